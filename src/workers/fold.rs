//! Folds: rounds of exact sums from an engine, the guests that map its blocks, and the guest that turns noised sums into the next state.
//!
//! Rows go from the engine to the guest over a socket of their own: none passes through the server. What an update returns comes from
//! a process that never held data: after an escape, a process that saw rows could return them as state.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use protocol::fold::{Floats, FoldPlan, FoldStart, UpdateReply, UpdateRequest};
use protocol::message::{EngineReply, EngineRequest, GuestFailure, GuestOpening, WorkerRole};

use super::engine::EngineSession;
use super::memory::Share;
use super::pool::Workers;
use super::process::{KillSwitch, Process, WorkerError};
use crate::gate::RawSums;

/// An engine that holds the blocks of a fold.
#[derive(Debug)]
pub struct FoldSession {
    engine: Process,
    dimension: usize,
}

/// What a guest process of a fold needs.
#[derive(Debug, Clone, Copy)]
pub struct FoldCode<'a> {
    /// Compiled code, its MAC verified.
    pub code: &'a OwnedFd,
    /// Declaration, fuel, memory.
    pub start: &'a FoldStart,
}

/// Where guests that map blocks come from: one at a time within one share.
#[derive(Debug)]
pub struct Mappers<'a> {
    workers: &'a Workers,
    code: FoldCode<'a>,
    switch: &'a KillSwitch,
    at_work: Option<Process>,
    share: Option<Share>,
    started: u32,
}

/// A guest that turns noised sums into the next state.
#[derive(Debug)]
pub struct Updater {
    process: Process,
    state: usize,
}

impl Workers {
    /// Guests that map blocks.
    pub fn mappers<'a>(&'a self, code: FoldCode<'a>, share: Share, switch: &'a KillSwitch) -> Mappers<'a> {
        Mappers { workers: self, code, switch, at_work: None, share: Some(share), started: 0 }
    }

    /// A guest that updates.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn updater(&self, code: FoldCode<'_>, share: Share, switch: &KillSwitch) -> Result<Updater, WorkerError> {
        let mut process = self.take(WorkerRole::Guest, share, switch)?;
        process.send(&GuestOpening::Update(code.start.clone()), &[code.code.as_fd()])?;
        Ok(Updater { process, state: code.start.manifest.state as usize })
    }
}

impl Mappers<'_> {
    /// A guest that has not been used; the engine's end of its socket. The one before is ended first: its share is the next one's.
    fn next(&mut self) -> Result<OwnedFd, WorkerError> {
        let share = match self.at_work.take() {
            Some(ended) => ended.into_share(),
            None => self.share.take(),
        };
        let share = share.ok_or(WorkerError::OutOfTurn("a guest without a share"))?;
        let (engine, guest) = UnixStream::pair().map_err(WorkerError::Spawn)?;
        let mut process = self.workers.take(WorkerRole::Guest, share, self.switch)?;
        let fds: [BorrowedFd<'_>; 2] = [self.code.code.as_fd(), guest.as_fd()];
        process.send(&GuestOpening::Map(self.code.start.clone()), &fds)?;
        self.at_work = Some(process);
        self.started = self.started.saturating_add(1);
        Ok(engine.into())
    }

    /// How many were started so far.
    pub fn started(&self) -> u32 {
        self.started
    }
}

impl Updater {
    /// The next state; `None` where the module did not return one of its declared length.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn update(&mut self, round: u32, state: &[f64], noised: &[f64]) -> Result<Vec<f64>, WorkerError> {
        self.process.extend();
        self.process.send(&UpdateRequest { round, state: Floats(state.to_vec()), noised: Floats(noised.to_vec()) }, &[])?;
        let (UpdateReply(reply), fds) = self.process.receive()?;
        match reply {
            Some(Floats(state)) if state.len() == self.state && fds.is_empty() => Ok(state),
            Some(_) => Err(WorkerError::OutOfTurn("a state of another length")),
            None => Err(GuestFailure::Trap.into()),
        }
    }
}

impl EngineSession {
    /// Makes the blocks of a fold.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn fold(mut self, plan: FoldPlan) -> Result<FoldSession, WorkerError> {
        self.process.extend();
        let dimension = plan.clip.dimension as usize;
        self.process.send(&EngineRequest::Fold(plan), &[])?;
        match self.process.receive()? {
            (EngineReply::Ready, fds) if fds.is_empty() => Ok(FoldSession { engine: self.process, dimension }),
            (EngineReply::Failed(failure), _) => Err(failure.into()),
            _ => Err(WorkerError::OutOfTurn("the blocks of a fold were due")),
        }
    }
}

impl FoldSession {
    /// The exact sums of one round under `state`, sealed: only the gate opens them, and adds noise.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn round(&mut self, state: &[f64], mut mappers: Option<&mut Mappers<'_>>) -> Result<RawSums, WorkerError> {
        self.engine.extend();
        self.engine.send(&EngineRequest::Round(Floats(state.to_vec())), &[])?;
        let mut sums: Vec<i128> = Vec::with_capacity(self.dimension);
        loop {
            let (reply, fds) = self.engine.receive()?;
            if !fds.is_empty() {
                return Err(WorkerError::OutOfTurn("no descriptor was due"));
            }
            match reply {
                EngineReply::GuestWanted => {
                    let mappers = mappers.as_deref_mut().ok_or(WorkerError::OutOfTurn("a guest for what is built in"))?;
                    let socket = mappers.next()?;
                    self.engine.extend();
                    self.engine.send(&EngineRequest::Guest, &[socket.as_fd()])?;
                }
                EngineReply::Sums(some) if sums.len() + some.len() <= self.dimension => sums.extend(some),
                EngineReply::Done if sums.len() == self.dimension => return Ok(RawSums::seal(sums)),
                EngineReply::Failed(failure) => return Err(failure.into()),
                _ => return Err(WorkerError::OutOfTurn("the sums of a round were due")),
            }
        }
    }
}
