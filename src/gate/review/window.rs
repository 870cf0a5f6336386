//! What providers may do: object while a review goes on and in the days after an approval, or say that they will not. When the days are
//! over, or all have said so, the gate releases.
//!
//! The agreement says it for each door: nothing (as in papers from before there were windows): an objection while the review goes on, no
//! days after it; `0`: no objection; `n`: while the review goes on and for n working days after the approval.

use rusqlite::{Connection, params};

use super::super::decide::{DecideError, OutputKind};
use super::super::freeze;
use super::super::record::{ReleaseRow, ReleaseState, find};
use super::Airlock;
use super::endorsed::Endorsed;
use super::rounds::{Round, RoundOutcome, papers_stand, parties, rounds, words};
use crate::agreement::{Door, records};
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::id::{AgreementId, JobId, OrgId, ReleaseId};
use crate::policy::{Permit, PolicyError, actions};
use crate::refusal::{self, Refused};
use crate::store::StoreError;
use crate::tlog::LeafKind;

fn door(kind: OutputKind) -> Door {
    match kind {
        OutputKind::Table => Door::Table,
        OutputKind::Model => Door::Artefact,
        OutputKind::Private => Door::Private,
    }
}

/// Working days that the agreement gives providers; `None` where it says nothing.
pub(super) fn veto_days(connection: &Connection, row: &ReleaseRow) -> Result<Option<u16>, DecideError> {
    let Some(id) = &row.facts.agreement else { return Ok(None) };
    let agreement = records::agreement(connection, id).map_err(|e| match e {
        PolicyError::Refused(refused) => DecideError::Refused(refused),
        PolicyError::Store(error) => DecideError::Store(error),
    })?;
    Ok(agreement.and_then(|a| a.terms.agreement.veto_working_days.get(&door(row.kind)).copied()))
}

/// Providers that have said that they will not object.
pub(super) fn waived(connection: &Connection, release: &ReleaseId) -> Result<Vec<OrgId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT org FROM release_waiver WHERE release = ?1 ORDER BY org")?;
    let rows = statement.query_map([release], |r| r.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Outputs that wait for the end of their window.
///
/// # Errors
/// What the store says.
pub fn pending(connection: &Connection) -> Result<Vec<ReleaseId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM release WHERE state = 'approved_pending' ORDER BY rowid")?;
    let rows = statement.query_map([], |r| r.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Airlock<'_> {
    pub(super) fn veto_window(&self, row: &ReleaseRow) -> Result<Option<u16>, DecideError> {
        veto_days(self.tx, row)
    }

    /// The first moment after the window of an approved round; `None` where a year on the way is not announced: then it does not end.
    pub(super) fn window_end(&self, round: &Round) -> Option<Timestamp> {
        let approved = round.ended_at?.date(CHINA_UTC_OFFSET_S);
        Some(self.city.calendar.after(approved, round.window_days?)?.end(CHINA_UTC_OFFSET_S))
    }

    /// A provider objects to an output that rests on its data: it does not leave (S8, X31). There is no appeal against that.
    ///
    /// # Errors
    /// `request.malformed` without a reason, `release.no_veto` where the agreement gives none, `request.conflict` where it is neither
    /// held nor within its window.
    pub fn veto(&self, permit: Permit<actions::ReleaseVeto>, reason: &str) -> Result<ReleaseState, DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let reason = words(reason)?;
        let last = rounds(self.tx, &row.id)?.pop();
        let within = match row.state {
            ReleaseState::Held => true,
            ReleaseState::ApprovedPending => last.as_ref().and_then(|r| self.window_end(r)).is_none_or(|end| self.now < end),
            _ => false,
        };
        if !within {
            return Err(Refused::new(&refusal::CONFLICT).into());
        }
        if veto_days(self.tx, &row)? == Some(0) {
            return Err(Refused::new(&refusal::RELEASE_NO_VETO).into());
        }
        let who = permit.caller().principal();
        let body = serde_json::json!({
            "release": row.id, "by": who.id, "org": who.org, "veto": true, "reason": reason, "artefact_commitment": row.commitment,
        });
        let _ = self.journal.append(self.tx, LeafKind::Review, &body, &parties(&row, &[]))?;
        self.stop(&row, "veto", Some(&who.id))
    }

    /// Ends what goes on about an output, uncounted votes included, and denies it.
    fn stop(&self, row: &ReleaseRow, reason: &str, by: Option<&crate::id::PrincipalId>) -> Result<ReleaseState, DecideError> {
        self.tx
            .execute(
                "UPDATE release_round SET outcome = ?2, ended_at = ?3 WHERE release = ?1 AND outcome IS NULL",
                params![row.id, RoundOutcome::Stopped.word(), self.now],
            )
            .map_err(StoreError::from)?;
        self.deny(row, reason, by)
    }

    /// A provider says that it will not object to an approved output; when all have, it leaves at once.
    ///
    /// # Errors
    /// `request.conflict` where no window is open.
    pub fn waive(&self, permit: Permit<actions::ReleaseWaive>) -> Result<ReleaseState, DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        if row.state != ReleaseState::ApprovedPending {
            return Err(Refused::new(&refusal::CONFLICT).into());
        }
        let who = permit.caller().principal();
        let sql = "INSERT OR IGNORE INTO release_waiver (release, org, by, at) VALUES (?1, ?2, ?3, ?4)";
        let fresh = self.tx.execute(sql, params![row.id, who.org, who.id, self.now]).map_err(StoreError::from)?;
        if fresh == 1 {
            let body = serde_json::json!({ "release": row.id, "by": who.id, "org": who.org, "waived": true });
            let _ = self.journal.append(self.tx, LeafKind::Review, &body, &parties(&row, &[]))?;
        }
        self.settle(&row.id)
    }

    /// Releases a pending output whose window is over or waived by all; denies it where papers or a reviewer's key ended meanwhile. Under
    /// a freeze it waits on. The votes are verified anew.
    ///
    /// # Errors
    /// What the store says.
    pub fn settle(&self, release: &ReleaseId) -> Result<ReleaseState, DecideError> {
        let row = find(self.tx, release)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let round = rounds(self.tx, release)?.pop().filter(|_| row.state == ReleaseState::ApprovedPending);
        let Some(round) = round else { return Ok(row.state) };
        if let Err(error) = papers_stand(self.tx, &row, self.now) {
            return self.ended(&row, error);
        }
        let waived = waived(self.tx, release)?;
        let over = self.window_end(&round).is_some_and(|end| self.now >= end) || row.providers.iter().all(|p| waived.contains(p));
        if !over || freeze::stopped(self.tx, &row.reach())?.is_some() {
            return Ok(row.state);
        }
        match Endorsed::of(self.tx, &row, round.round, &round.votes) {
            Ok(endorsed) => {
                let orgs: Vec<&OrgId> = round.votes.iter().map(|v| &v.vote.org).collect();
                self.release(&row, endorsed, &parties(&row, &orgs))
            }
            Err(error) => self.ended(&row, error),
        }
    }

    /// Denies what can no longer leave, and says under which rule. A fault of ours is one still.
    pub(super) fn ended(&self, row: &ReleaseRow, error: DecideError) -> Result<ReleaseState, DecideError> {
        let DecideError::Refused(refused) = error else { return Err(error) };
        let rule = refused.rule().id;
        let body = serde_json::json!({ "release": row.id, "ended": rule, "clauses": refused.rule().clauses, "artefact_commitment": row.commitment });
        let _ = self.journal.append(self.tx, LeafKind::Review, &body, &parties(row, &[]))?;
        self.stop(row, rule, None)
    }

    /// Denies every output that waits for the end of its providers' window: an objection may stand in the lost span. The jobs they belong to.
    ///
    /// # Errors
    /// What the store says.
    pub fn windows_lost(&self) -> Result<Vec<JobId>, DecideError> {
        let mut jobs = Vec::new();
        for id in pending(self.tx)? {
            let Some(row) = find(self.tx, &id)? else { continue };
            self.ended(&row, Refused::new(&refusal::LOG_ROLLED_BACK).into())?;
            jobs.push(row.job);
        }
        Ok(jobs)
    }

    /// Denies every output of an ended agreement that is held or pending; the jobs they belong to.
    ///
    /// # Errors
    /// What the store says.
    pub fn agreement_ended(&self, agreement: &AgreementId) -> Result<Vec<JobId>, DecideError> {
        let sql = "SELECT id FROM release WHERE state IN ('held', 'approved_pending') AND json_extract(facts, '$.agreement') = ?1";
        let mut statement = self.tx.prepare_cached(sql).map_err(StoreError::from)?;
        let rows = statement.query_map([agreement], |r| r.get::<_, ReleaseId>(0)).map_err(StoreError::from)?;
        let ids = rows.collect::<Result<Vec<_>, _>>().map_err(StoreError::from)?;
        let mut jobs = Vec::new();
        for id in ids {
            let Some(row) = find(self.tx, &id)? else { continue };
            if let Err(error) = papers_stand(self.tx, &row, self.now) {
                self.ended(&row, error)?;
                jobs.push(row.job);
            }
        }
        Ok(jobs)
    }
}
