//! The one exit. What a module or the engine returned goes in sealed; what leaves carries a decision, and the decision is in the
//! release log before anyone can read it.
//!
//! ```text
//! RawOutput ──decide (pure)──▶ Decision ──seal──▶ Prepared ──record (one transaction: rows, artefacts, leaves)──▶ released | held | refused
//!                                                                                          held ──two signed votes──▶ released | approved_pending | denied
//! ```
//! Invariants: only this module opens a [`RawOutput`]; only this module builds a [`Released`]; whatever is not decided to be
//! released stays here; no table is released whose cells, together with all released before on its namespace, tell of too few units; a freeze turns a release into a hold inside the same transaction in which it would have been released; what
//! a fold costs is reserved in [`reserve`]'s transaction before it begins; a database that was put back from an older copy gives no
//! budget back.

mod audit;
mod checks;
mod conditions;
mod decide;
mod freeze;
mod bundle;
mod issuers;
mod ledger;
mod ledger_tables;
mod opened;
mod own;
mod private;
mod probe;
mod record;
mod recovery;
mod review;
mod used_up;
mod verification;

pub use audit::{MIGRATION as AUDIT, MIGRATION_SEEN as AUDIT_SEEN};
pub use bundle::{Bundle, Cause, Checked, Fault, Part, bundle, verify};
pub use checks::Check;
pub use conditions::{Conditions, own_notices};
pub use decide::{DERIVED, DecideError, Decision, JobFacts, JudgedModels, Outcome, OutputKind, RawOutput, SourceFact};
pub use freeze::{Frozen, MIGRATION as FREEZE, Reach, all_standing, lift, set, stopped};
pub use issuers::{IssuerRow, NewIssuer, issuer, issuers, register_issuer, revoke_issuer};
pub use ledger::{
    Budget, NamespaceBudget, Released as LedgerReleased, Remaining, Reservation, Spend, Spent, check, claim, has_reserved,
    namespace_budget, released_besides, remaining_on, remaining_under, reserve, set_budget, settle, spent_on, spent_under,
};
pub use ledger_tables::MIGRATION as LEDGER;
pub use opened::{Released, open, review_copy};
pub use own::MIGRATION as OWN;
pub use private::{Concluded, Drawn, Noising, RawSums};
pub use probe::{Baseline, Finding, InfluenceShown, ParameterShown, Picked, Probe, ProbeEvidence, ProbeRun};
pub(crate) use record::hex;
pub use record::{Filter, Prepared, ReleaseRow, ReleaseState, find, list};
pub use recovery::{MIGRATION as RECOVERY, Recovered, RecoveryStatement, accepts, rebase, recover, tables_wait, waiting_namespaces};
pub use review::{
    Airlock, Appeal, Cast, Choice, CountedVote, Extension, MIGRATION as REVIEW, NewVote, REASON_CHARS_MAX, REASONS, REVIEW_CONTEXT,
    ReplyDue, ReviewReason, ReviewShown, ReviewerKey, Round, RoundOutcome, STATEMENT_CHARS_MAX, SignedVote, Stage, Statement, confirm_key,
    consolidate, enrol_key, fingerprint, pending, reason_words, review_message, review_shown, reviewer_key, reviewer_keys,
    revoke_reviewer_key, rounds,
};
pub use used_up::jobs_lost;
pub use verification::{
    Answered, Asking, Question, VERIFICATION, VerificationRow, conclude_answer, judge_question, reserve_answer, verification, verifications,
};

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
