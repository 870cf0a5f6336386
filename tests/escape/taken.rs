//! A jailed worker that a payload took over.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use fusebox::workers::spawn;
use protocol::frame::{Channel, FrameError};
use protocol::jail::{Ending, Start, Waived};
use protocol::message::WorkerRole;

use super::said::{Attempt, Outcome};

/// A role, and for guests whether the last stage is entered, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub name: &'static str,
    pub role: WorkerRole,
    pub confined: bool,
    pub fold: bool,
}

pub const STAGES: [Stage; 5] = [
    Stage { name: "ingest", role: WorkerRole::Ingest, confined: false, fold: false },
    Stage { name: "compile", role: WorkerRole::Compile, confined: false, fold: false },
    Stage { name: "engine", role: WorkerRole::Engine, confined: false, fold: false },
    Stage { name: "guest, loading", role: WorkerRole::Guest, confined: false, fold: false },
    Stage { name: "guest, code", role: WorkerRole::Guest, confined: true, fold: false },
];

/// It has nothing that the stage of other guests has not, but plain receiving: only its table is tried once more.
pub const FOLD: Stage = Stage { name: "guest, fold", role: WorkerRole::Guest, confined: true, fold: true };

/// Private memory that a payload gets.
pub const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Seconds of processor time that a payload gets.
pub const CPU_SECONDS_MAX: u64 = 1;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Outcome(Outcome),
    Ended(Ending),
}

pub fn worker() -> PathBuf {
    std::env::var_os("FUSEBOX_WORKER").expect("FUSEBOX_WORKER is not set; remedy: `cargo xtask test`").into()
}

/// The worker with the payload, which is built beside it.
pub fn payload() -> PathBuf {
    let path = worker().parent().unwrap().join("examples").join("escape");
    assert!(path.exists(), "{} is missing; remedy: `cargo xtask test`, which builds every target", path.display());
    path
}

pub fn start(role: WorkerRole) -> Start {
    Start { role, threads: 2, memory_bytes_max: MEMORY_BYTES_MAX, cpu_seconds_max: CPU_SECONDS_MAX, waived: Waived::NONE }
}

pub struct Taken {
    pub keeper: Child,
    channel: Channel,
    confine: Option<Attempt>,
}

impl Taken {
    pub fn new(stage: Stage) -> Self {
        let (keeper, mut channel) = spawn(&payload(), &start(stage.role)).unwrap();
        channel.set_deadline(Some(Instant::now() + Duration::from_secs(60)));
        let last = if stage.fold { Attempt::ConfineFold } else { Attempt::Confine };
        Self { keeper, channel, confine: stage.confined.then_some(last) }
    }

    pub fn attempt(&mut self, attempt: Attempt) -> Seen {
        self.attempt_with(attempt, &[]).0
    }

    /// What the attempt gave, and a descriptor that was handed over before.
    pub fn attempt_with(&mut self, attempt: Attempt, fds: &[OwnedFd]) -> (Seen, Option<OwnedFd>) {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let mut attempts = vec![attempt];
        if let Some(last) = self.confine.take() {
            attempts.insert(0, last);
        }
        let mut left = attempts.len();
        self.channel.send(&attempts, &fds).unwrap();
        let mut handed = None;
        loop {
            match self.channel.receive::<Outcome>() {
                Ok((Outcome::Through(_), mut fds)) if !fds.is_empty() => handed = fds.pop(),
                Ok((outcome, _)) if left == 1 => return (Seen::Outcome(outcome), handed),
                Ok((outcome, _)) => {
                    assert_eq!(outcome, Outcome::Through(String::new()), "the last stage could not be entered");
                    left -= 1;
                }
                Err(FrameError::Closed | FrameError::Truncated) => {
                    return (Seen::Ended(Ending::of(self.keeper.wait().unwrap().code())), handed);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The worker as this process sees its number.
    pub fn worker_pid(&self) -> u32 {
        child_of(self.keeper.id()).expect("the keeper has a worker")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// The one child of a process, once it is there.
pub fn child_of(parent: u32) -> Option<u32> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let all = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        if let Some(child) = all.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
