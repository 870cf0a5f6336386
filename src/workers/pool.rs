//! Children that wait: started before they are needed, so that a warm job pays no process start. Work is given to them within the
//! memory that all together may have ([`super::memory`]) and within the wall time of each.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::jail::{Start, Waived};
use protocol::limits::Limits;
use protocol::message::WorkerRole;

use super::memory::{Budget, Caps, Patience, Share};
use super::process::{KillSwitch, Process, Wall, WorkerError};

/// Settings of the workers. All are bounds; none can be switched off.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The worker's binary.
    pub binary: PathBuf,
    /// Threads of an engine.
    pub threads: u16,
    /// Children of each role that a job needs, waiting for work (0: each is started when it is needed).
    pub waiting_max: usize,
    /// Memory of all workers at work together.
    pub memory_bytes_max: u64,
    /// Jobs that may be at work at once: engines get what lets all of them in.
    pub jobs_max: u32,
    /// Time of one step of a worker; never more than the built-in limit.
    pub wall: Duration,
    /// Layers of the jail that the kernel need not offer.
    pub waived: Waived,
}

impl WorkerSettings {
    /// For one job at a time on this machine.
    pub fn alone(binary: PathBuf, threads: u16, waiting_max: usize) -> Self {
        let wall = Duration::from_millis(Limits::STANDARD.wall_ms_max);
        Self { binary, threads, waiting_max, memory_bytes_max: Self::memory_of_the_machine(), jobs_max: 1, wall, waived: Waived::NONE }
    }

    /// Least memory for all workers: what any one job or call needs.
    pub fn memory_bytes_min() -> u64 {
        Caps::least()
    }

    /// Three quarters of the machine's memory, and no less than the least: the rest is the server's and its cache's.
    pub fn memory_of_the_machine() -> u64 {
        let system = rustix::system::sysinfo();
        let bytes = (system.totalram as u64).saturating_mul(u64::from(system.mem_unit.max(1)));
        (bytes / 4 * 3).max(Caps::least())
    }
}

/// Starts workers and keeps a few waiting.
#[derive(Debug, Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: WorkerSettings,
    caps: Caps,
    budget: Budget,
    waiting: Mutex<HashMap<WorkerRole, Waiting>>,
}

/// The children of one role that wait, and how many are being started.
#[derive(Debug, Default)]
struct Waiting {
    /// The oldest first: none is passed over for ever by those that come after it.
    ready: VecDeque<Process>,
    starting: usize,
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, HashMap<WorkerRole, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, role: WorkerRole) -> Result<Process, WorkerError> {
        let start = Start {
            role,
            threads: self.settings.threads.clamp(1, 64),
            memory_bytes_max: self.caps.of(role),
            cpu_seconds_max: Limits::STANDARD.cpu_seconds_max(role),
            waived: self.settings.waived.clone(),
        };
        Process::spawn(&self.settings.binary, &start)
    }

    /// Counts one more as being started, unless enough wait or are on their way.
    fn begin_start(&self, role: WorkerRole) -> bool {
        let mut waiting = self.waiting();
        let of_role = waiting.entry(role).or_default();
        let wanted = of_role.ready.len() + of_role.starting < self.settings.waiting_max;
        of_role.starting += usize::from(wanted);
        wanted
    }

    fn end_start(&self, role: WorkerRole, started: Option<Process>) {
        let mut waiting = self.waiting();
        let of_role = waiting.entry(role).or_default();
        of_role.starting = of_role.starting.saturating_sub(1);
        of_role.ready.extend(started);
    }
}

impl Workers {
    /// Workers under `settings`; those that wait are started at once.
    pub fn new(settings: WorkerSettings) -> Self {
        let caps = Caps::within(settings.memory_bytes_max, settings.jobs_max);
        let (engine, asked) = (caps.of(WorkerRole::Engine), Limits::STANDARD.memory_bytes_max(WorkerRole::Engine));
        let mib = |bytes: u64| bytes >> 20;
        tracing::info!(all_mib = mib(settings.memory_bytes_max), engine_mib = mib(engine), jobs = settings.jobs_max, "memory of workers");
        if engine < asked {
            tracing::warn!(
                engine_mib = mib(engine),
                limit_mib = mib(asked),
                "an engine may use less than the limit, so that the workers of all jobs fit into the memory"
            );
        }
        let budget = Budget::new(settings.memory_bytes_max);
        let workers = Self { inner: Arc::new(Inner { settings, caps, budget, waiting: Mutex::default() }) };
        for role in [WorkerRole::Engine, WorkerRole::Guest] {
            workers.refill(role);
        }
        workers
    }

    /// Workers of the same binary within the same memory, with engines of `threads` threads; none of them waits.
    pub fn apart(&self, threads: u16) -> Self {
        let settings = WorkerSettings { threads, waiting_max: 0, ..self.inner.settings.clone() };
        let (caps, budget) = (self.inner.caps, self.inner.budget.clone());
        Self { inner: Arc::new(Inner { settings, caps, budget, waiting: Mutex::default() }) }
    }

    /// Digest of the engine that this binary compiles for, hexadecimal: it says so itself, without a conversation.
    ///
    /// # Errors
    /// [`WorkerError::Spawn`] where it does not.
    pub fn engine_digest(&self) -> Result<String, WorkerError> {
        let binary = &self.inner.settings.binary;
        let output = std::process::Command::new(binary).arg("digest").env_clear().output().map_err(WorkerError::Spawn)?;
        let text = String::from_utf8(output.stdout).unwrap_or_default();
        let digest = text.trim();
        if output.status.success() && digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(digest.to_owned())
        } else {
            Err(WorkerError::OutOfTurn("the engine's digest was due"))
        }
    }

    /// Threads of an engine.
    pub fn threads(&self) -> u16 {
        self.inner.settings.threads
    }

    /// Memory for one worker in each of `roles`, in one step, once all who asked before have theirs. Whoever needs several at a time
    /// asks for all of them here, and never while holding one: so nothing locks up. Blocks.
    ///
    /// # Errors
    /// [`WorkerError::Cancelled`] once `switch` is thrown, [`WorkerError::Busy`] for a call where too many wait.
    pub fn reserve<const N: usize>(
        &self,
        roles: [WorkerRole; N],
        patience: Patience,
        switch: &KillSwitch,
    ) -> Result<[Share; N], WorkerError> {
        self.inner.budget.take(roles.map(|role| self.inner.caps.of(role)), patience, switch)
    }

    /// Whether a call that needed a worker now would be turned away at once.
    pub fn is_crowded(&self) -> bool {
        self.inner.budget.is_crowded()
    }

    /// A worker in `role` within `share`, its conversation begun under `switch`.
    pub(super) fn take(&self, role: WorkerRole, share: Share, switch: &KillSwitch) -> Result<Process, WorkerError> {
        let mut process = loop {
            match self.pop(role) {
                Some(waiting) if waiting.is_alive() => break waiting,
                Some(_) => {}
                None => break self.inner.spawn(role)?,
            }
        };
        process.begin(switch, share, Wall { step: self.inner.settings.wall, steps: Limits::wall_steps_max(role) });
        if matches!(role, WorkerRole::Engine | WorkerRole::Guest) {
            self.refill(role);
        }
        Ok(process)
    }

    fn pop(&self, role: WorkerRole) -> Option<Process> {
        self.inner.waiting().get_mut(&role).and_then(|w| w.ready.pop_front())
    }

    /// Starts children until enough wait, on a thread of its own: nobody waits for it.
    fn refill(&self, role: WorkerRole) {
        if !self.inner.begin_start(role) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let refill = move || {
            loop {
                let started = inner.spawn(role);
                if let Err(error) = &started {
                    tracing::error!(%error, role = role.word(), "a waiting worker could not be started");
                }
                let failed = started.is_err();
                inner.end_start(role, started.ok());
                if failed || !inner.begin_start(role) {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("worker-refill".into()).spawn(refill) {
            tracing::error!(%error, "the refill thread could not be started");
            self.inner.end_start(role, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TempDir;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    /// Workers whose binary is a shell script that does `what`.
    fn scripted(dir: &TempDir, what: &str, waiting_max: usize) -> Workers {
        let binary = dir.path().join("worker");
        std::fs::write(&binary, format!("#!/bin/sh\n{what}\n")).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o700)).unwrap();
        let (memory_bytes_max, wall) = (Caps::least(), Duration::from_millis(500));
        let waived = Waived::NONE;
        Workers::new(WorkerSettings { binary, threads: 1, waiting_max, memory_bytes_max, jobs_max: 1, wall, waived })
    }

    fn waiting(workers: &Workers, role: WorkerRole, count: usize) {
        let started = Instant::now();
        while workers.inner.waiting().get(&role).is_none_or(|w| w.ready.len() != count || w.starting != 0) {
            assert!(started.elapsed() < Duration::from_secs(20), "{count} of {}", role.word());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn share(workers: &Workers, role: WorkerRole) -> Share {
        workers.reserve([role], Patience::Call, &KillSwitch::default()).unwrap().into_iter().next().unwrap()
    }

    #[test]
    fn a_dead_child_that_waited_is_replaced() {
        let dir = TempDir::create();
        let workers = scripted(&dir, "exec sleep 1000", 3);
        for role in [WorkerRole::Engine, WorkerRole::Guest] {
            waiting(&workers, role, 3);
        }
        let dead: Vec<u32> = workers.inner.waiting()[&WorkerRole::Guest].ready.iter().map(Process::pid).collect();
        for pid in &dead {
            rustix::process::kill_process(rustix::process::Pid::from_raw(*pid as i32).unwrap(), rustix::process::Signal::KILL).unwrap();
        }
        while workers.inner.waiting()[&WorkerRole::Guest].ready.iter().any(Process::is_alive) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let taken = workers.take(WorkerRole::Guest, share(&workers, WorkerRole::Guest), &KillSwitch::default()).unwrap();
        assert!(taken.is_alive() && !dead.contains(&taken.pid()));
        waiting(&workers, WorkerRole::Guest, 3);
        assert!(workers.inner.waiting()[&WorkerRole::Guest].ready.iter().all(Process::is_alive));
    }

    #[test]
    fn many_at_once_leave_no_more_waiting_than_there_may_be() {
        let dir = TempDir::create();
        let workers = scripted(&dir, "exec sleep 1000", 2);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let budget = Budget::new(1);
                    let [share] = budget.take([1], Patience::Job, &KillSwitch::default()).unwrap();
                    drop(workers.take(WorkerRole::Guest, share, &KillSwitch::default()).unwrap());
                });
            }
        });
        waiting(&workers, WorkerRole::Guest, 2);
    }

    #[test]
    fn memory_comes_back_with_the_process_and_a_silent_child_ends_in_time() {
        let dir = TempDir::create();
        let workers = scripted(&dir, "exec sleep 1000", 0);
        let switch = KillSwitch::default();
        let [engine, guest] = workers.reserve([WorkerRole::Engine, WorkerRole::Guest], Patience::Job, &switch).unwrap();
        // What a fold needs is all there is.
        let all = [WorkerRole::Engine, WorkerRole::Guest, WorkerRole::Guest];
        let mut process = workers.take(WorkerRole::Engine, engine, &switch).unwrap();
        let started = Instant::now();
        let error = process.receive::<u8>().unwrap_err();
        assert!(matches!(error, WorkerError::Frame(protocol::frame::FrameError::Timeout)), "{error}");
        assert!((450..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        drop(guest);
        // The engine's share is out until its process is reaped.
        let thrown = KillSwitch::default();
        thrown.throw();
        assert!(matches!(workers.reserve(all, Patience::Job, &thrown), Err(WorkerError::Cancelled)));
        let pid = process.pid();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "reaped");
        assert!(workers.reserve(all, Patience::Job, &thrown).is_ok());
    }

    #[test]
    fn steps_end_with_the_conversation_however_often_they_begin() {
        let dir = TempDir::create();
        let workers = scripted(&dir, "exec sleep 1000", 0);
        let mut process = workers.take(WorkerRole::Ingest, share(&workers, WorkerRole::Ingest), &KillSwitch::default()).unwrap();
        let started = Instant::now();
        // Half a second a step, three steps in all.
        while started.elapsed() < Duration::from_millis(1400) {
            process.extend();
            std::thread::sleep(Duration::from_millis(50));
        }
        process.extend();
        assert!(process.receive::<u8>().is_err());
        assert!((1400..4000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    }

    #[test]
    fn a_child_that_closes_or_babbles_is_told_in_closed_words() {
        for (what, word) in [
            ("exit 0", "the worker closed the conversation"),
            ("exit 72", "the worker made a system call that its role does not need"),
            ("exec 1>&0; printf 'aaaaaaaaaaaaaaaa'", "a frame was larger than allowed"),
            ("exec 1>&0; printf '\\001\\000\\000\\000\\000\\000\\000\\000\\377'", "a frame was not of the documented form"),
            ("exec 1>&0; printf '\\011\\000\\000\\000\\000\\000\\000\\000\\377'", "the worker closed inside a frame"),
            ("exec 1>&0; printf '\\001\\000\\000\\000\\007\\000\\000\\000\\377'", "the descriptors were not as announced"),
            ("exec 1>&0; exec cat /dev/zero", "a frame was not of the documented form"),
        ] {
            let dir = TempDir::create();
            let workers = scripted(&dir, what, 0);
            let mut process = workers.take(WorkerRole::Compile, share(&workers, WorkerRole::Compile), &KillSwitch::default()).unwrap();
            assert_eq!(process.receive::<protocol::message::CompileReply>().unwrap_err().closed(), word, "{what}");
        }
    }
}
