//! Ends of private jobs, written on the time quantum: what ends a block, and how long it took, must not show, and every commit makes the
//! public log longer. The runner goes on at once; the end waits here. A crash loses what waits, never what was spent: the job is ended
//! as interrupted by the next start.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::JobError;
use super::service::Jobs;
use super::state::State;
use crate::clock::Timestamp;
use crate::id::JobId;

/// What is done at the time.
type End = Box<dyn FnOnce(&Jobs) + Send>;

/// Ends that wait: for their time, or for their turn.
#[derive(Default)]
pub(super) struct Waiting {
    line: Mutex<Line>,
    moved: Condvar,
    audited: Mutex<()>,
}

#[derive(Default)]
struct Line {
    ends: Vec<(Timestamp, End)>,
    closed: bool,
}

impl Waiting {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `end` at `at`, or at once where the server is ending.
    pub(super) fn put(&self, jobs: &Jobs, at: Timestamp, end: End) {
        let mut line = self.line();
        if line.closed {
            drop(line);
            return end(jobs);
        }
        line.ends.push((at, end));
        drop(line);
        self.moved.notify_all();
    }

    /// The next whose time has come; waits for one no longer than a moment. `None` where none came.
    fn due(&self, now: Timestamp) -> Option<End> {
        let mut line = self.line();
        if let Some(i) = line.ends.iter().position(|(at, _)| *at <= now) {
            return Some(line.ends.remove(i).1);
        }
        let _line = self.moved.wait_timeout(line, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner);
        None
    }

    /// Whatever still waits is done now: the server is ending.
    pub(super) fn close(&self, jobs: &Jobs) {
        let ends = {
            let mut line = self.line();
            line.closed = true;
            std::mem::take(&mut line.ends)
        };
        ends.into_iter().for_each(|(_, end)| end(jobs));
    }
}

/// Starts the thread that does what is due.
///
/// # Errors
/// The kernel's refusal.
pub(super) fn start(waiting: &Arc<Waiting>, jobs: impl Fn() -> Option<Jobs> + Send + 'static) -> std::io::Result<()> {
    let waiting = Arc::clone(waiting);
    std::thread::Builder::new().name("job-settler".into()).spawn(move || {
        while let Some(jobs) = jobs() {
            if let Some(end) = waiting.due(jobs.now()) {
                end(&jobs);
                jobs.ring();
            }
        }
    })?;
    Ok(())
}

impl Jobs {
    /// Held while tables are audited, sealed and recorded.
    pub(super) fn audit_turn(&self) -> MutexGuard<'_, ()> {
        self.waiting().audited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `end` on the time quantum.
    pub(super) fn settle_at(&self, at: Timestamp, end: impl FnOnce(&Self) + Send + 'static) {
        self.waiting().put(self, at, Box::new(end));
    }

    /// Tells how recording the end of a job went.
    pub(super) fn told(id: &JobId, ended: Result<State, JobError>) {
        match ended {
            Ok(_) => {}
            // Cancelled meanwhile: its row says so already.
            Err(JobError::Refused(refused)) => {
                tracing::info!(job = %id, rule = refused.rule().id, "the end of a job was not recorded")
            }
            Err(JobError::Store(error)) => tracing::error!(job = %id, error = error.log_text(), "a job could not be ended"),
        }
    }
}
