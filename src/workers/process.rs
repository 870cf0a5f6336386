//! One child process: its socket, its deadline, its end.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::frame::{Channel, FrameError};
use protocol::jail::{Ending, Start};
use protocol::memfd::{MemfdError, SealedFd};
use protocol::message::{EngineFailure, GuestFailure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::memory::Share;

/// Why a conversation with a worker brought no result. For the log and for checkers, never for an operator.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The process could not be started.
    #[error("a worker could not be started: {0}")]
    Spawn(std::io::Error),
    /// What came back is not of the protocol, or nothing came in time.
    #[error("worker conversation: {0}")]
    Frame(#[from] FrameError),
    /// Shared memory that is not what it has to be.
    #[error("worker memory: {0}")]
    Memory(#[from] MemfdError),
    /// A reply that does not belong here (wrong kind, wrong count, wrong shape).
    #[error("a worker answered out of turn: {0}")]
    OutOfTurn(&'static str),
    /// The worker ended before its work was done.
    #[error("{0}")]
    Ended(Ending),
    /// Stopped by a cancellation, a revocation or a freeze.
    #[error("stopped")]
    Cancelled,
    /// The memory for workers is in use, and too many wait for it.
    #[error("the memory for workers is in use")]
    Busy,
    /// The engine gave up.
    #[error("engine: {0}")]
    Engine(#[from] EngineFailure),
    /// The module did not return.
    #[error("guest: {0}")]
    Guest(#[from] GuestFailure),
}

/// Stops every worker of a job, now and from then on.
#[derive(Debug, Clone, Default)]
pub struct KillSwitch {
    inner: Arc<Mutex<Switch>>,
}

#[derive(Debug, Default)]
struct Switch {
    thrown: bool,
    children: Vec<Arc<Mutex<Child>>>,
}

/// Time between the end of a conversation and that of its keeper.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KillSwitch {
    /// Kills every registered child and every one registered later.
    pub fn throw(&self) {
        let mut switch = lock(&self.inner);
        switch.thrown = true;
        for child in switch.children.drain(..) {
            kill(&child);
        }
    }
    /// Whether it was thrown.
    pub fn is_thrown(&self) -> bool {
        lock(&self.inner).thrown
    }
    fn register(&self, child: &Arc<Mutex<Child>>) {
        let mut switch = lock(&self.inner);
        if switch.thrown {
            kill(child);
        } else {
            switch.children.push(Arc::clone(child));
        }
    }
    fn forget(&self, child: &Arc<Mutex<Child>>) {
        lock(&self.inner).children.retain(|c| !Arc::ptr_eq(c, child));
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = lock(child);
    // Not reaped yet, so its number is nobody else's. The group is keeper and worker; one that is gone already is what was wanted.
    if let Ok(None) = child.try_wait()
        && let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// Starts `binary` as a worker: an empty environment, no descriptor but the socket and `/dev/null`, a process group of its own. What
/// comes back is its keeper; the worker is the keeper's child, in its jail (`fusebox_worker::jail`).
///
/// # Errors
/// The kernel's refusal to start it. A jail that cannot be entered shows as the end of the conversation.
pub fn spawn(binary: &std::path::Path, start: &Start) -> std::io::Result<(Child, Channel)> {
    let (channel, theirs) = Channel::pair()?;
    let child = Command::new(binary)
        .args(start.arguments())
        .env_clear()
        .current_dir("/")
        // A Ctrl-C in the server's terminal is the server's to answer: it ends its workers itself.
        .process_group(0)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, channel))
}

/// Wall time of a conversation: each step's, and how many steps' in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    pub(super) step: Duration,
    pub(super) steps: u32,
}

/// A child that waits for its one conversation. Killed and reaped when dropped; then its memory is given back.
#[derive(Debug)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    channel: Channel,
    work: Option<Work>,
}

/// What a conversation runs under.
#[derive(Debug)]
struct Work {
    switch: KillSwitch,
    wall: Wall,
    ends: Instant,
    share: Share,
}

impl Process {
    /// Starts a worker.
    pub(super) fn spawn(binary: &std::path::Path, start: &Start) -> Result<Self, WorkerError> {
        let (child, channel) = spawn(binary, start).map_err(WorkerError::Spawn)?;
        Ok(Self { child: Arc::new(Mutex::new(child)), channel, work: None })
    }

    /// Whether it still waits.
    pub(super) fn is_alive(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Its process id.
    #[cfg(test)]
    pub(super) fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Begins the conversation: from here on the deadline runs, `switch` may end it, and it holds `share`.
    pub(super) fn begin(&mut self, switch: &KillSwitch, share: Share, wall: Wall) {
        switch.register(&self.child);
        let ends = Instant::now() + wall.step.saturating_mul(wall.steps);
        self.work = Some(Work { switch: switch.clone(), wall, ends, share });
        self.extend();
    }

    /// Begins another step: its wall time starts anew, that of the conversation does not.
    pub(super) fn extend(&mut self) {
        // Whatever was not begun has no time at all.
        let now = Instant::now();
        self.channel.set_deadline(Some(self.work.as_ref().map_or(now, |w| w.ends.min(now + w.wall.step))));
    }

    /// Ends the conversation at `at`, if not before.
    pub(super) fn end_by(&mut self, at: Instant) {
        self.channel.set_deadline(Some(self.work.as_ref().map_or(at, |w| w.ends.min(at))));
    }

    pub(super) fn send(&mut self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> Result<(), WorkerError> {
        self.channel.send(message, descriptors).map_err(|e| self.explain(e))
    }

    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), WorkerError> {
        self.channel.receive().map_err(|e| self.explain(e))
    }

    fn explain(&self, e: FrameError) -> WorkerError {
        if self.work.as_ref().is_some_and(|w| w.switch.is_thrown()) {
            return WorkerError::Cancelled;
        }
        match (&e, self.ending()) {
            (FrameError::Closed | FrameError::Truncated, Some(ending)) if ending != Ending::Done => WorkerError::Ended(ending),
            _ => WorkerError::Frame(e),
        }
    }

    /// How the worker ended, if it ends in a moment.
    fn ending(&self) -> Option<Ending> {
        let until = Instant::now() + ENDS_WITHIN;
        while Instant::now() < until {
            match lock(&self.child).try_wait() {
                Ok(Some(status)) => return Some(Ending::of(status.code())),
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Process {
    /// Ends and reaps it; the memory that it had is the caller's again, for another in its place.
    pub(super) fn into_share(mut self) -> Option<Share> {
        self.end();
        self.work.take().map(|work| work.share)
    }

    fn end(&self) {
        if let Some(work) = &self.work {
            work.switch.forget(&self.child);
        }
        kill(&self.child);
        let _ = lock(&self.child).wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Exactly one descriptor, sealed and within the column limit.
pub(super) fn one_sealed(fds: Vec<OwnedFd>, bytes_max: u64) -> Result<SealedFd, WorkerError> {
    let mut fds = fds.into_iter();
    match (fds.next(), fds.next()) {
        (Some(fd), None) => Ok(SealedFd::verify(fd, bytes_max)?),
        _ => Err(WorkerError::OutOfTurn("one descriptor was due")),
    }
}
