//! Queue and life of a job.
//!
//! ```text
//! submit ─▶ queued ─▶ running ─▶ (fuse or cached view ─▶ guest ─▶ reduce ─▶ gate) ─▶ in_review | done | failed
//!             │          │ restart: back to queued, at most thrice                     └─ review ─▶ done
//!             └──────────┴─ cancel, revocation ─▶ cancelled
//! ```
//! A job's digests are pinned when it is submitted; papers and module are judged again before it runs and in the transaction
//! that would release. On real data its operator sees phases and the gate's decision, nothing else.
//!
//! | file | what it is |
//! |---|---|
//! | `state` | the transition function, pure |
//! | `spec` | what is pinned |
//! | `records` | rows and their reading |
//! | `disposal` | what the end of an agreement destroys |
//! | `import` | uploads through the ingest worker into sealed segments |
//! | `modules` | uploads, signatures, reviews, compiled code |
//! | `models` | what the engine says of a job's models |
//! | `prepare` | from names to pinned versions, papers and a resolved plan |
//! | `turns` | whose job is next |
//! | `produce` | a run through the workers |
//! | `probe` | a job again without one unit, for some units, before its model's review opens |
//! | `private` | a run through the private door: reservation, rounds, noise |
//! | `settle` | ends of private jobs, on the time quantum |
//! | `verify` | one question about one subject, answered at a fixed time |
//! | `run` | one job from the queue to the gate |
//! | `reviews` | outputs that wait for the end of their providers' window |
//! | `recovery` | what a database that was put back makes of open jobs |
//! | `replay` | a decided job again, to the same commitment |
//! | `uploads` | uploads of modules: heard, verified, compiled |
//! | `service` | threads that take jobs, kill switches, waiting for changes |

mod disposal;
mod import;
mod models;
pub mod modules;
mod prepare;
mod private;
mod probe;
mod produce;
mod records;
mod recovery;
mod replay;
mod reviews;
mod run;
mod service;
mod settle;
mod spec;
mod state;
mod synthetic;
mod turns;
mod uploads;
mod verify;

pub use disposal::{Certificate, Disposal, EndCause, Kept};
pub use import::{ImportOf, ImportReport, RejectedLine};
pub use models::judge as judge_models;
pub use prepare::{JobRequest, Submission, judge, request_digest, submission};
pub use private::calibrate;
pub use produce::{coded_columns, derived_column};
pub use records::{Accepted, JobRow, SubmitPermit, earlier, find, list, reviewed, submit};
pub use replay::Replayed;
pub use service::{JobSettings, Jobs};
pub use spec::{JobSpec, PinnedSource};
pub use state::{Event, State};
pub use verify::{Due, VerificationRequest};

use crate::policy::PolicyError;
use crate::refusal::{self, Refused};
use crate::store::{Migration, StoreError};
use crate::workers::CALLS_WAITING_MAX;

/// Tables of jobs and modules.
pub const MIGRATION: Migration = Migration {
    name: "jobs-1",
    sql: "CREATE TABLE job (
              id TEXT PRIMARY KEY, org TEXT NOT NULL, principal TEXT NOT NULL, state TEXT NOT NULL, synthetic INTEGER NOT NULL,
              agreement TEXT, spec TEXT NOT NULL, spec_digest TEXT NOT NULL, idempotency_key TEXT, request_digest TEXT NOT NULL,
              attempts INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, ended_at INTEGER, visible_at INTEGER,
              refusal TEXT, failure TEXT, commitment TEXT, result TEXT, log TEXT, report TEXT,
              UNIQUE (org, idempotency_key)) STRICT;
          CREATE INDEX job_state ON job (state, created_at);
          CREATE INDEX job_org ON job (org, created_at);
          CREATE TABLE module (
              digest TEXT PRIMARY KEY, org TEXT NOT NULL, principal TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
              manifest TEXT NOT NULL, imports TEXT NOT NULL, state TEXT NOT NULL, reviewer TEXT, reason TEXT,
              bytes BLOB NOT NULL, engine TEXT NOT NULL, code BLOB NOT NULL, created_at INTEGER NOT NULL, reviewed_at INTEGER) STRICT;
          CREATE TABLE signing_key (
              id TEXT PRIMARY KEY, org TEXT NOT NULL, public_key BLOB NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER) STRICT;
          CREATE TABLE disposal (agreement TEXT PRIMARY KEY, certificate TEXT NOT NULL, at INTEGER NOT NULL) STRICT;",
};

/// Whose turn it was: an operator's last.
pub const TURNS: Migration =
    Migration { name: "jobs-2", sql: "CREATE TABLE operator_turn (org TEXT PRIMARY KEY, turn INTEGER NOT NULL) STRICT;" };

/// When the end of a private job is written; from then on it is no longer at work, though it shows as running.
pub const SETTLES: Migration = Migration { name: "jobs-3", sql: "ALTER TABLE job ADD COLUMN settles_at INTEGER;" };

/// `request.overloaded`: nobody waits long for memory while holding a call open.
fn overloaded() -> Refused {
    Refused::new(&refusal::OVERLOADED).threshold(format!("{CALLS_WAITING_MAX} waiting calls"))
}

/// Why nothing was done: a rule, or the store.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Refused under a rule.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PolicyError> for JobError {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Refused(refused) => Self::Refused(refused),
            PolicyError::Store(store) => Self::Store(store),
        }
    }
}

impl From<rusqlite::Error> for JobError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<crate::id::IdError> for JobError {
    fn from(error: crate::id::IdError) -> Self {
        Self::Store(error.into())
    }
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.into())
    }
}
