//! Proof of two signed approvals, and the one function that lets a held output leave, which takes it.

use rusqlite::{Connection, params};

use super::super::audit;
use super::super::decide::DecideError;
use super::super::record::{ReleaseRow, ReleaseState, release_leaf};
use super::signed::{Choice, CountedVote};
use super::{Airlock, keys};
use crate::id::{OrgId, PrincipalId, ReleaseId};
use crate::policy::PolicyError;
use crate::policy::release::active;
use crate::refusal::{self, Refused};
use crate::store::StoreError;

/// Two approvals of one artefact in one round, signed by two reviewers with two enrolled keys that stand. Made by [`Endorsed::of`] only,
/// which verifies both signatures; used once, by the release.
///
/// ```compile_fail,E0603
/// use fusebox::gate::review::endorsed::Endorsed;
/// ```
#[must_use = "a held output is released with it"]
pub(super) struct Endorsed {
    release: ReleaseId,
    commitment: String,
}

impl Endorsed {
    /// # Errors
    /// `review.signature` where anything about the two votes does not hold.
    pub(super) fn of(connection: &Connection, row: &ReleaseRow, round: u32, votes: &[CountedVote]) -> Result<Self, DecideError> {
        let no = || DecideError::from(Refused::new(&refusal::REVIEW_SIGNATURE));
        let [first, second] = votes else { return Err(no()) };
        if first.vote.by == second.vote.by || first.vote.public_key == second.vote.public_key {
            return Err(no());
        }
        for CountedVote { vote, .. } in [first, second] {
            let this = vote.release == row.id && vote.round == round && vote.artefact_commitment == row.commitment;
            let enrolled = keys::confirmed(connection, &vote.by)?.iter().any(|k| k.id == vote.key && k.public_key == vote.public_key);
            if !this || !enrolled || vote.decision != Choice::Approve || !vote.reason.approves() || !vote.verify() {
                return Err(no());
            }
        }
        Ok(Self { release: row.id.clone(), commitment: row.commitment.clone() })
    }
}

impl Airlock<'_> {
    /// Lets a held or pending output leave, with its leaf; denies what waited though its data refuses it, in the words of any denial, and a
    /// table that may not leave beside what was released since it was judged. That it may not depends on data: it counts as a hold of the
    /// operator.
    pub(super) fn release(&self, row: &ReleaseRow, endorsed: Endorsed, readers: &[&OrgId]) -> Result<ReleaseState, DecideError> {
        if endorsed.release != row.id || endorsed.commitment != row.commitment {
            return Err(StoreError::Fault.into());
        }
        if audit::never_leaves(self.tx, &row.id)? {
            return self.ended(row, Refused::new(&refusal::RELEASE_DENIED).into());
        }
        let policy = || {
            active(self.tx, &row.providers.iter().chain([&row.org]).cloned().collect()).map_err(|e| match e {
                PolicyError::Refused(refused) => DecideError::Refused(refused),
                PolicyError::Store(error) => DecideError::Store(error),
            })
        };
        if audit::meanwhile(self.tx, self.artefacts, &row.id, policy)? {
            audit::count_hold(self.tx, &row.org, &row.id, self.now)?;
            return self.ended(row, Refused::new(&refusal::RELEASE_MEANWHILE).into());
        }
        let leaf = release_leaf(self.tx, self.journal, &row.id, row.decision_leaf, row.facts.recipient.as_str(), &row.commitment, readers)?;
        let sql = "UPDATE release SET state = ?2, reason = 'sound', decided_at = ?3, release_leaf = ?4
                   WHERE id = ?1 AND state IN ('held', 'approved_pending')";
        let changed = self.tx.execute(sql, params![row.id, ReleaseState::Released.word(), self.now, leaf]).map_err(StoreError::from)?;
        if changed == 1 { Ok(ReleaseState::Released) } else { Err(StoreError::Fault.into()) }
    }

    /// Approved, but providers may still object.
    pub(super) fn pend(&self, row: &ReleaseRow) -> Result<ReleaseState, DecideError> {
        self.tx.execute("UPDATE release SET state = 'approved_pending' WHERE id = ?1", [&row.id]).map_err(StoreError::from)?;
        Ok(ReleaseState::ApprovedPending)
    }

    /// Stays. `reason` is a word of ours; `by` is set where one person did it.
    pub(super) fn deny(&self, row: &ReleaseRow, reason: &str, by: Option<&PrincipalId>) -> Result<ReleaseState, DecideError> {
        let sql = "UPDATE release SET state = ?2, reason = ?3, reviewer = ?4, decided_at = ?5 WHERE id = ?1";
        self.tx.execute(sql, params![row.id, ReleaseState::Denied.word(), reason, by, self.now]).map_err(StoreError::from)?;
        Ok(ReleaseState::Denied)
    }
}
