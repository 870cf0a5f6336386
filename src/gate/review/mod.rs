//! The airlock: what is held leaves by two signed approvals, and in no other way.
//!
//! ```text
//! held ──file (operator's statement: the clock runs)──▶ round open ──vote──▶ one vote in: sealed, its leaf a commitment
//!                                                                  ──vote──▶ both counted in one transaction, one leaf with both:
//!   approve + approve ─▶ released, or approved_pending while providers may object ─(window over, or all waive)─▶ released
//!   any deny          ─▶ denied ──appeal, once──▶ authority: upheld, or a round for two others
//!   else              ─▶ returned: the operator files again with changes
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `signed` | what is signed, and whether it holds: pure |
//! | `keys` | reviewers' keys: enrolled by them, confirmed by the security administrator |
//! | `rounds` | statement, round, reply clock, extension |
//! | `vote` | who may vote; a vote kept; two votes counted |
//! | `endorsed` | proof of two signed approvals, and the release that takes it, unless what left meanwhile forbids it |
//! | `window` | objection, waiver, the end of the window |
//! | `appeal` | after a denial |
//! | `shown` | how a review stands, for whoever may see the output |

mod appeal;
mod endorsed;
mod keys;
mod rounds;
mod shown;
mod signed;
mod tables;
mod vote;
mod window;

pub use keys::{ReviewerKey, confirm_key, enrol_key, fingerprint, reviewer_key, reviewer_keys, revoke_reviewer_key};
pub use rounds::{Appeal, Extension, REASON_CHARS_MAX, ReplyDue, Round, RoundOutcome, STATEMENT_CHARS_MAX, Statement, rounds};
pub use shown::{ReviewShown, Stage, review_shown};
pub use signed::{Choice, CountedVote, REASONS, REVIEW_CONTEXT, ReviewReason, SignedVote, review_message};
pub use tables::MIGRATION;
pub use vote::{Cast, NewVote, consolidate};
pub use window::pending;

pub(in crate::gate) use vote::has_duty;

use protocol::seal::SealKey;

use crate::clock::Timestamp;
use crate::policy::city::CityProfile;
use crate::store::Tx;
use crate::store::artefacts::Artefacts;
use crate::tlog::Journal;

/// What a step of a review needs: the transaction it is part of, the log, the key that votes are sealed under, and the city's days.
pub struct Airlock<'a> {
    /// The transaction.
    pub tx: &'a Tx<'a>,
    /// The log.
    pub journal: &'a Journal,
    /// What was released: a held table is judged once more beside it before it leaves.
    pub artefacts: &'a Artefacts,
    /// Votes that are not counted yet are sealed under it.
    pub key: &'a SealKey,
    /// Working days and clocks.
    pub city: &'a CityProfile,
    /// The present time.
    pub now: Timestamp,
}

/// The closed list of reasons, as a refusal names it.
pub fn reason_words() -> String {
    REASONS.iter().map(|(reason, ..)| reason.word()).collect::<Vec<_>>().join(", ")
}
