//! The one exit. What a module or the engine returned goes in sealed; what leaves carries a decision, and the decision is in the
//! release log before anyone can read it.
//!
//! ```text
//! RawOutput ──decide (pure)──▶ Decision ──seal──▶ Prepared ──record (one transaction: rows, artefacts, leaves)──▶ released | held | refused
//!                                                                                          held ──review──▶ released | denied
//! ```
//! Invariants: only this module opens a [`RawOutput`]; only this module builds a [`Released`]; whatever is not decided to be
//! released stays here; no table is released whose cells, together with all released before on its namespace, tell of too few units; a freeze turns a release into a hold inside the same transaction in which it would have been released; what
//! a fold costs is reserved in [`reserve`]'s transaction before it begins.

mod audit;
mod checks;
mod decide;
mod freeze;
mod ledger;
mod ledger_tables;
mod own;
mod private;
mod record;
mod review;

pub use audit::MIGRATION as AUDIT;
pub use own::MIGRATION as OWN;
pub use checks::Check;
pub use decide::{DecideError, Decision, JobFacts, Outcome, OutputKind, RawOutput, SourceFact};
pub use freeze::{Frozen, all_standing, lift, set, standing};
pub use ledger::{
    Budget, NamespaceBudget, Released as LedgerReleased, Remaining, Reservation, Spend, Spent, check, claim, has_reserved,
    namespace_budget, released_besides, remaining_on, remaining_under, reserve, set_budget, settle, spent_on, spent_under,
};
pub use ledger_tables::MIGRATION as LEDGER;
pub use private::{Concluded, Drawn, Noising, RawSums};
pub(crate) use record::hex;
pub use record::{Filter, Prepared, ReleaseRow, ReleaseState, Released, find, list, open, review_copy};
pub use review::{REASONS, ReviewReason, review, veto};

use crate::store::Migration;

/// Tables of the gate. Documents (`checks`) hold settings and outcomes, never values.
pub const MIGRATION: Migration = Migration {
    name: "gate-1",
    sql: "CREATE TABLE release (
              id TEXT PRIMARY KEY, job TEXT NOT NULL, org TEXT NOT NULL, author_org TEXT NOT NULL, providers TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
              state TEXT NOT NULL, refusal TEXT, reason TEXT, reviewer TEXT, checks TEXT NOT NULL, facts TEXT NOT NULL,
              commitment TEXT NOT NULL, decision_leaf INTEGER NOT NULL, release_leaf INTEGER,
              created_at INTEGER NOT NULL, decided_at INTEGER) STRICT;
          CREATE INDEX release_job ON release (job);
          CREATE INDEX release_org ON release (org, created_at);
          CREATE TABLE freeze (id INTEGER PRIMARY KEY, org TEXT, set_by TEXT NOT NULL, reason TEXT NOT NULL, set_at INTEGER NOT NULL, lifted_at INTEGER) STRICT;",
};
