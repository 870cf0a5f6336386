//! Children that wait: started before they are needed, so that a warm job pays no process start.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::jail::{Start, Waived};
use protocol::limits::Limits;
use protocol::message::WorkerRole;

use super::process::{KillSwitch, Process, WorkerError};

/// Starts workers and keeps a few waiting.
#[derive(Debug, Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    binary: PathBuf,
    threads: u16,
    waived: Waived,
    waiting_max: usize,
    waiting: Mutex<HashMap<WorkerRole, Vec<Process>>>,
}

impl Inner {
    fn start(&self, role: WorkerRole) -> Start {
        let limits = &Limits::STANDARD;
        Start {
            role,
            threads: self.threads.clamp(1, 64),
            memory_bytes_max: limits.memory_bytes_max(role),
            cpu_seconds_max: limits.cpu_seconds_max(role),
            waived: self.waived.clone(),
        }
    }
}

impl Workers {
    /// Workers are processes of `binary`; engines use `threads` threads; `waiting_max` children of each role that a job needs wait
    /// for work (0: each is started when it is needed).
    pub fn new(binary: PathBuf, threads: u16, waiting_max: usize) -> Self {
        Self::waiving(binary, threads, waiting_max, Waived::NONE)
    }

    /// As [`Workers::new`], tolerating that the kernel does not offer the layers in `waived`.
    pub fn waiving(binary: PathBuf, threads: u16, waiting_max: usize, waived: Waived) -> Self {
        let workers = Self { inner: Arc::new(Inner { binary, threads, waived, waiting_max, waiting: Mutex::default() }) };
        for role in [WorkerRole::Engine, WorkerRole::Guest] {
            workers.refill(role);
        }
        workers
    }

    /// Workers of the same kind with other threads, of which none waits.
    pub fn apart(&self, threads: u16) -> Self {
        Self::waiving(self.inner.binary.clone(), threads, 0, self.inner.waived.clone())
    }

    /// The worker binary.
    pub fn binary(&self) -> &std::path::Path {
        &self.inner.binary
    }

    /// Digest of the engine that this binary compiles for, hexadecimal: it says so itself, without a conversation.
    ///
    /// # Errors
    /// [`WorkerError::Spawn`] where it does not.
    pub fn engine_digest(&self) -> Result<String, WorkerError> {
        let output = std::process::Command::new(&self.inner.binary).arg("digest").env_clear().output().map_err(WorkerError::Spawn)?;
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
        self.inner.threads
    }

    /// A worker in `role`, its conversation begun under `switch`.
    pub(super) fn take(&self, role: WorkerRole, switch: &KillSwitch) -> Result<Process, WorkerError> {
        let mut process = loop {
            match self.pop(role) {
                Some(waiting) if waiting.is_alive() => break waiting,
                Some(_) => {}
                None => break Process::spawn(&self.inner.binary, &self.inner.start(role))?,
            }
        };
        process.begin(switch);
        if matches!(role, WorkerRole::Engine | WorkerRole::Guest) {
            self.refill(role);
        }
        Ok(process)
    }

    fn pop(&self, role: WorkerRole) -> Option<Process> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&role).and_then(Vec::pop)
    }

    /// Starts children until enough wait, on a thread of its own: nobody waits for it.
    fn refill(&self, role: WorkerRole) {
        let inner = Arc::clone(&self.inner);
        let refill = move || {
            loop {
                let count = inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&role).map_or(0, Vec::len);
                if count >= inner.waiting_max {
                    return;
                }
                match Process::spawn(&inner.binary, &inner.start(role)) {
                    Ok(process) => inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(role).or_default().push(process),
                    Err(error) => {
                        tracing::error!(%error, role = role.word(), "a waiting worker could not be started");
                        return;
                    }
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("worker-refill".into()).spawn(refill) {
            tracing::error!(%error, "the refill thread could not be started");
        }
    }
}
