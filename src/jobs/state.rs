//! The states of a job as a pure transition function.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

/// How often a job that a restart interrupted is taken up again.
pub const ATTEMPTS_MAX: u32 = 3;

/// State of a job. The first three are phases that its operator sees while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker.
    Queued,
    /// At work.
    Running,
    /// An output waits for a checker.
    InReview,
    /// Decided.
    Done,
    /// Ended without a decision.
    Failed,
    /// Stopped by its operator, or because its papers ended.
    Cancelled,
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A runner takes it.
    Start,
    /// The server restarted while it ran; this was its `attempts`-th run.
    Interrupted {
        /// Runs so far.
        attempts: u32,
    },
    /// The gate decided; whether an output is held.
    Decided {
        /// Whether a checker has to decide.
        held: bool,
    },
    /// The last held output was reviewed.
    Reviewed,
    /// It ended without a decision.
    Fail,
    /// Its operator or the end of its papers stops it.
    Cancel,
}

impl State {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Queued, Self::Running, Self::InReview, Self::Done, Self::Failed, Self::Cancelled];

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The state after `event`; `None` where it cannot happen.
    pub fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Queued, Event::Start) => Some(Self::Running),
            (Self::Running, Event::Interrupted { attempts }) => Some(if attempts < ATTEMPTS_MAX { Self::Queued } else { Self::Failed }),
            (Self::Running, Event::Decided { held: true }) => Some(Self::InReview),
            (Self::Running, Event::Decided { held: false }) | (Self::InReview, Event::Reviewed) => Some(Self::Done),
            (Self::Queued | Self::Running, Event::Fail) => Some(Self::Failed),
            (Self::Queued | Self::Running, Event::Cancel) => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// Its word in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::InReview => "in_review",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.word().into())
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        Self::ALL.iter().copied().find(|s| s.word() == word).ok_or(FromSqlError::InvalidType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &[Event] = &[
        Event::Start,
        Event::Interrupted { attempts: 1 },
        Event::Interrupted { attempts: ATTEMPTS_MAX },
        Event::Decided { held: true },
        Event::Decided { held: false },
        Event::Reviewed,
        Event::Fail,
        Event::Cancel,
    ];

    #[test]
    fn nothing_follows_an_end_and_every_state_reaches_one() {
        for state in State::ALL {
            let next: Vec<State> = EVENTS.iter().filter_map(|e| state.after(*e)).collect();
            assert_eq!(next.is_empty(), state.is_final(), "{state:?}");
        }
        let mut reached = vec![State::Queued];
        for _ in 0..State::ALL.len() {
            let more: Vec<State> = reached.iter().flat_map(|s| EVENTS.iter().filter_map(|e| s.after(*e))).collect();
            reached.extend(more);
        }
        assert!(State::ALL.iter().all(|s| reached.contains(s)));
    }

    #[test]
    fn a_job_that_keeps_interrupting_ends() {
        let mut state = State::Queued;
        for attempts in 1..=ATTEMPTS_MAX {
            state = state.after(Event::Start).unwrap();
            state = state.after(Event::Interrupted { attempts }).unwrap();
        }
        assert_eq!(state, State::Failed);
    }
}
