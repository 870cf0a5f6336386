//! One question about one subject: a guest that has loaded everything but the rows, and the engine that finds them and reads the answer.
//!
//! Rows go from the engine to the guest over a socket of their own: none passes through the server, which hears one number.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use protocol::message::{EngineReply, EngineRequest, GuestFailure, GuestOpening, WorkerRole};
use protocol::verify::{SubjectPlan, VerifyReady, VerifyStart};

use super::engine::EngineSession;
use super::memory::Share;
use super::pool::Workers;
use super::process::{KillSwitch, Process, WorkerError};

/// A guest that waits for one subject's rows.
#[derive(Debug)]
pub struct Answering {
    /// Ends with this.
    _process: Process,
    engine: OwnedFd,
}

/// What came of a question: the number of a label, and why the guest gave none.
#[derive(Debug)]
pub struct SubjectAnswer {
    /// 0 where there was none, or no rows.
    pub label: u32,
    /// For checkers.
    pub failure: Option<GuestFailure>,
}

impl Workers {
    /// A guest with this code, ready for rows. Nothing of the module has run.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn answering(&self, code: &OwnedFd, start: VerifyStart, share: Share, switch: &KillSwitch) -> Result<Answering, WorkerError> {
        let (engine, guest) = UnixStream::pair().map_err(WorkerError::Spawn)?;
        let mut process = self.take(WorkerRole::Guest, share, switch)?;
        process.send(&GuestOpening::Answer(start), &[code.as_fd(), guest.as_fd()])?;
        match process.receive::<VerifyReady>()? {
            (VerifyReady {}, fds) if fds.is_empty() => Ok(Answering { _process: process, engine: engine.into() }),
            _ => Err(WorkerError::OutOfTurn("no descriptor was due")),
        }
    }
}

impl EngineSession {
    /// Hands the subject's rows to `guest` and waits for the answer, no longer than `until`.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn subject(&mut self, plan: SubjectPlan, guest: &Answering, until: Instant) -> Result<SubjectAnswer, WorkerError> {
        self.process.end_by(until);
        let labels = plan.labels;
        self.process.send(&EngineRequest::Subject(plan), &[guest.engine.as_fd()])?;
        match self.process.receive()? {
            (EngineReply::Answer { label, failure }, fds) if fds.is_empty() && label < labels => Ok(SubjectAnswer { label, failure }),
            (EngineReply::Failed(failure), _) => Err(failure.into()),
            _ => Err(WorkerError::OutOfTurn("an answer was due")),
        }
    }
}
