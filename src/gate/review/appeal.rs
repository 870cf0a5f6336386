//! After a denial: the operator appeals once, and the authority upholds it or asks two other reviewers. It never releases by itself.

use rusqlite::params;

use super::super::decide::DecideError;
use super::super::record::{ReleaseState, find};
use super::Airlock;
use super::rounds::{Opening, RoundOutcome, appeal, open_next, parties, rounds, words};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::StoreError;
use crate::tlog::LeafKind;

impl Airlock<'_> {
    /// The operator appeals against a denial by reviewers.
    ///
    /// # Errors
    /// `request.malformed` without a reason, `request.conflict` where reviewers did not deny it or it was appealed before.
    pub fn appeal(&self, permit: Permit<actions::ReleaseAppeal>, reason: &str) -> Result<(), DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let reason = words(reason)?;
        let by_reviewers = rounds(self.tx, &row.id)?.last().is_some_and(|r| r.outcome == Some(RoundOutcome::Denied));
        if row.state != ReleaseState::Denied || !by_reviewers || appeal(self.tx, &row.id)?.is_some() {
            return Err(Refused::new(&refusal::CONFLICT).into());
        }
        let who = permit.caller().principal();
        let body = serde_json::json!({ "event": "appeal.filed", "release": row.id, "by": who.id, "org": who.org, "reason": reason });
        let _ = self.journal.append(self.tx, LeafKind::Appeal, &body, &parties(&row, &[]))?;
        self.tx
            .execute(
                "INSERT INTO release_appeal (release, by, reason, at) VALUES (?1, ?2, ?3, ?4)",
                params![row.id, who.id, reason, self.now],
            )
            .map_err(StoreError::from)?;
        Ok(())
    }

    /// The authority upholds the denial, or opens a round for two reviewers who have not voted on the output.
    ///
    /// # Errors
    /// `request.malformed` without a reason, `request.conflict` where no appeal is open.
    pub fn decide_appeal(
        &self,
        permit: Permit<actions::ReleaseAppealDecide>,
        uphold: bool,
        reason: &str,
    ) -> Result<ReleaseState, DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let reason = words(reason)?;
        let open = appeal(self.tx, &row.id)?.is_some_and(|a| a.outcome.is_none());
        let last = rounds(self.tx, &row.id)?.pop();
        let Some(last) = last.filter(|_| open && row.state == ReleaseState::Denied) else {
            return Err(Refused::new(&refusal::CONFLICT).into());
        };
        let who = permit.caller().principal();
        let outcome = if uphold { "upheld" } else { "sent_back" };
        let body = serde_json::json!({ "event": "appeal.decided", "release": row.id, "by": who.id, "org": who.org, "outcome": outcome, "reason": reason });
        let leaf = self.journal.append(self.tx, LeafKind::Appeal, &body, &parties(&row, &[&who.org]))?.number();
        self.tx
            .execute(
                "UPDATE release_appeal SET outcome = ?2, decided_by = ?3, decided_reason = ?4, decided_at = ?5 WHERE release = ?1",
                params![row.id, outcome, who.id, reason, self.now],
            )
            .map_err(StoreError::from)?;
        if uphold {
            return Ok(row.state);
        }
        open_next(self.tx, (&row, &last.statement), &Opening { origin: "appeal", by: &who.id }, self.city, (leaf, self.now))?;
        self.tx
            .execute(
                "UPDATE release SET state = ?2, reason = NULL, decided_at = NULL WHERE id = ?1",
                params![row.id, ReleaseState::Held.word()],
            )
            .map_err(StoreError::from)?;
        Ok(ReleaseState::Held)
    }
}
