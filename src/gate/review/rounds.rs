//! Rounds of a review: opened by the operator's statement, or by the authority after an appeal; each with its reply clock.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::super::decide::DecideError;
use super::super::record::{ReleaseRow, ReleaseState, find};
use super::Airlock;
use super::signed::CountedVote;
use crate::agreement::records;
use crate::clock::{CHINA_UTC_OFFSET_S, Date, Timestamp};
use crate::id::{OrgId, PrincipalId, ReleaseId};
use crate::policy::city::{CityProfile, WorkingDays};
use crate::policy::{Permit, PolicyError, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::LeafKind;

/// Characters of one text of a statement.
pub const STATEMENT_CHARS_MAX: usize = 2000;
/// Characters of a reason in words.
pub const REASON_CHARS_MAX: usize = 500;

/// What an operator says of an output that is to leave: its words, shown as text and never as markup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a statement")]
pub struct Statement {
    /// What it is for.
    pub purpose: String,
    /// How it came about and what it shows.
    pub context: String,
    /// What is different from the round before; needed after a return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
}

/// Whether `text` is words: something, not too long, no control characters but line ends, none that turn the direction of writing or
/// cannot be seen.
pub(super) fn is_words(text: &str, chars_max: usize) -> bool {
    let unseen = |c: char| {
        c.is_control() && c != '\n' || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    !text.trim().is_empty() && text.chars().count() <= chars_max && !text.chars().any(unseen)
}

/// `reason` as it is kept, or the refusal that names it.
pub(super) fn words(reason: &str) -> Result<String, DecideError> {
    if is_words(reason, REASON_CHARS_MAX) {
        return Ok(reason.trim().to_owned());
    }
    Err(Refused::new(&refusal::MALFORMED).subject("reason").threshold(format!("{REASON_CHARS_MAX} characters")).into())
}

impl Statement {
    fn validate(&self, after_return: bool) -> Result<(), Refused> {
        let texts = [("purpose", Some(&self.purpose)), ("context", Some(&self.context)), ("changes", self.changes.as_ref())];
        let wrong = texts.iter().filter(|(name, text)| match text {
            Some(text) => !is_words(text, STATEMENT_CHARS_MAX),
            None => *name != "changes" || after_return,
        });
        let wrong: Vec<&str> = wrong.map(|(name, _)| *name).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Refused::new(&refusal::REVIEW_STATEMENT).subject(&wrong.join(", ")).threshold(format!("{STATEMENT_CHARS_MAX} characters each")))
    }
}

/// More time for a reply, given once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Extension {
    /// Working days more.
    pub working_days: u16,
    /// Who approved it.
    pub by: PrincipalId,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoundOutcome {
    /// Two approvals.
    Approved,
    /// At least one denial.
    Denied,
    /// At least one return, and no denial.
    Returned,
    /// A provider objected, or the papers ended: no votes were counted.
    Stopped,
}

impl RoundOutcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Returned => "returned",
            Self::Stopped => "stopped",
        }
    }
}

/// A round, without votes that are not counted yet.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct Round {
    /// Its number, from 1: part of what is signed.
    pub round: u32,
    /// `request` or `appeal`.
    pub origin: String,
    /// The operator's words.
    pub statement: Statement,
    /// Who opened it.
    pub filed_by: PrincipalId,
    /// When; its clock began on that day.
    pub filed_at: Timestamp,
    /// Working days for the reply.
    pub working_days: u16,
    /// More time, where it was given.
    pub extension: Option<Extension>,
    /// How it ended; `None` while it is open.
    pub outcome: Option<RoundOutcome>,
    /// Both votes, once they are counted.
    pub votes: Vec<CountedVote>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Working days that providers have after the approval.
    pub window_days: Option<u16>,
    /// Leaf of the request.
    pub leaf: u64,
    /// Leaf with both votes.
    pub review_leaf: Option<u64>,
}

const COLUMNS: &str =
    "round, origin, statement, filed_by, filed_at, working_days, extension, outcome, votes, ended_at, window_days, leaf, review_leaf";

fn row(r: &Row<'_>) -> rusqlite::Result<Option<Round>> {
    let text = |i: usize| r.get::<_, Option<String>>(i);
    let Some(statement) = text(2)?.and_then(|t| serde_json::from_str(&t).ok()) else { return Ok(None) };
    Ok(Some(Round {
        round: r.get(0)?,
        origin: r.get(1)?,
        statement,
        filed_by: r.get(3)?,
        filed_at: r.get(4)?,
        working_days: r.get(5)?,
        extension: text(6)?.and_then(|t| serde_json::from_str(&t).ok()),
        outcome: text(7)?.and_then(|t| serde_json::from_value(t.into()).ok()),
        votes: text(8)?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default(),
        ended_at: r.get(9)?,
        window_days: r.get(10)?,
        leaf: r.get(11)?,
        review_leaf: r.get(12)?,
    }))
}

/// Every round of an output, in order.
///
/// # Errors
/// What the store says.
pub fn rounds(connection: &Connection, release: &ReleaseId) -> Result<Vec<Round>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM release_round WHERE release = ?1 ORDER BY round");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([release], row)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(|r| r.ok_or(StoreError::Malformed("a review round"))).collect()
}

/// The round that is open, if one is.
pub(super) fn open_round(connection: &Connection, release: &ReleaseId) -> Result<Option<Round>, StoreError> {
    Ok(rounds(connection, release)?.pop().filter(|r| r.outcome.is_none()))
}

/// A reply clock as it stands on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReplyDue {
    /// Day on which it began; the first working day after it is the first that counts.
    pub from: Date,
    /// Last day; `None` where a year on the way was not announced.
    pub due: Option<Date>,
    /// Whether holidays and make-up workdays are announced up to the last day.
    pub announced: bool,
    /// Whether the last day is over, and was when the round ended; `None` where it is not known.
    pub overdue: Option<bool>,
}

impl Round {
    /// Its clock at `now`. Days are those of China Standard Time.
    pub fn clock(&self, calendar: &WorkingDays, now: Timestamp) -> ReplyDue {
        let from = self.filed_at.date(CHINA_UTC_OFFSET_S);
        let days = self.working_days.saturating_add(self.extension.as_ref().map_or(0, |e| e.working_days));
        let due = calendar.after(from, days);
        let until = self.ended_at.unwrap_or(now).date(CHINA_UTC_OFFSET_S);
        ReplyDue { from, due, announced: due.is_some(), overdue: due.map(|due| until > due) }
    }
}

/// Whether the papers that an output rests on still stand: otherwise it is neither voted on nor released.
pub(super) fn papers_stand(connection: &Connection, row: &ReleaseRow, now: Timestamp) -> Result<(), DecideError> {
    let store = |e: PolicyError| match e {
        PolicyError::Refused(refused) => DecideError::Refused(refused),
        PolicyError::Store(error) => DecideError::Store(error),
    };
    let refused = |rule| Err(Refused::new(rule).into());
    let Some(id) = &row.facts.agreement else { return refused(&refusal::AGREEMENT_MISSING) };
    let Some(agreement) = records::agreement(connection, id).map_err(store)? else { return refused(&refusal::AGREEMENT_MISSING) };
    let terms = &agreement.terms.agreement;
    let Some(authorisation) = records::authorisation(connection, &terms.authorisation).map_err(store)? else {
        return refused(&refusal::AUTHORISATION_MISSING);
    };
    match () {
        () if agreement.terminated.is_some() => refused(&refusal::AGREEMENT_TERMINATED),
        () if terms.term.over(now) => refused(&refusal::AGREEMENT_EXPIRED),
        () if authorisation.revoked.is_some() => refused(&refusal::AUTHORISATION_REVOKED),
        () if authorisation.document.term.over(now) => refused(&refusal::AUTHORISATION_EXPIRED),
        () => Ok(()),
    }
}

/// Who may see the body of a leaf about an output: its operator and the owners of its inputs.
pub(super) fn parties<'a>(row: &'a ReleaseRow, more: &[&'a OrgId]) -> Vec<&'a OrgId> {
    let mut all: Vec<&OrgId> = row.providers.iter().chain([&row.org]).collect();
    for org in more {
        if !all.contains(org) {
            all.push(org);
        }
    }
    all
}

/// How a round came to be opened.
pub(super) struct Opening<'a> {
    pub(super) origin: &'static str,
    pub(super) by: &'a PrincipalId,
}

pub(super) fn open_next(
    tx: &Tx<'_>,
    (row, statement): (&ReleaseRow, &Statement),
    opening: &Opening<'_>,
    city: &CityProfile,
    (leaf, now): (u64, Timestamp),
) -> Result<u32, StoreError> {
    let round: u32 = tx
        .prepare_cached("SELECT coalesce(max(round), 0) + 1 FROM release_round WHERE release = ?1")?
        .query_row([&row.id], |r| r.get(0))?;
    let text = serde_json::to_string(statement).map_err(|_| StoreError::Fault)?;
    let sql = "INSERT INTO release_round (release, round, origin, statement, filed_by, filed_at, working_days, leaf)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let days = city.clocks.release_review.working_days;
    tx.prepare_cached(sql)?.execute(params![row.id, round, opening.origin, text, opening.by, now, days, leaf])?;
    Ok(round)
}

impl Airlock<'_> {
    /// The operator files what a held output is for: from then on it is under review, and the clock runs.
    ///
    /// # Errors
    /// `review.statement` naming what is missing or too long, `request.conflict` where it is not held or under review already.
    pub fn file(&self, permit: Permit<actions::ReleaseRequestFile>, statement: &Statement) -> Result<u32, DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let before = rounds(self.tx, &row.id)?;
        if row.state != ReleaseState::Held || before.iter().any(|r| r.outcome.is_none()) {
            return Err(Refused::new(&refusal::CONFLICT).into());
        }
        statement.validate(!before.is_empty())?;
        papers_stand(self.tx, &row, self.now)?;
        let by = &permit.caller().principal().id;
        let body = serde_json::json!({
            "event": "request.filed", "release": row.id, "round": before.len() + 1, "by": by, "statement": statement,
            "artefact_commitment": row.commitment,
        });
        let leaf = self.journal.append(self.tx, LeafKind::ReleaseRequest, &body, &parties(&row, &[]))?.number();
        Ok(open_next(self.tx, (&row, statement), &Opening { origin: "request", by }, self.city, (leaf, self.now))?)
    }

    /// The authority gives more time, once a round, by its name and with a reason.
    ///
    /// # Errors
    /// `request.conflict` where no round is open or it was extended, `request.malformed` without a reason.
    pub fn extend(&self, permit: Permit<actions::ReleaseExtend>, reason: &str) -> Result<Round, DecideError> {
        let row = find(self.tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        let reason = words(reason)?;
        let mut round = open_round(self.tx, &row.id)?.ok_or(Refused::new(&refusal::CONFLICT))?;
        let working_days = self.city.clocks.release_review.extension_working_days;
        if round.extension.is_some() || working_days == 0 {
            return Err(Refused::new(&refusal::CONFLICT).subject("extension").into());
        }
        let extension = Extension { working_days, by: permit.caller().principal().id.clone(), reason, at: self.now };
        let body = serde_json::json!({ "event": "request.extended", "release": row.id, "round": round.round, "extension": extension });
        let _ = self.journal.append(self.tx, LeafKind::ReleaseRequest, &body, &parties(&row, &[]))?;
        let text = serde_json::to_string(&extension).map_err(|_| StoreError::Fault)?;
        self.tx
            .execute("UPDATE release_round SET extension = ?3 WHERE release = ?1 AND round = ?2", params![row.id, round.round, text])
            .map_err(StoreError::from)?;
        round.extension = Some(extension);
        Ok(round)
    }
}

/// The appeal of an output, if there is one.
pub(super) fn appeal(connection: &Connection, release: &ReleaseId) -> Result<Option<Appeal>, StoreError> {
    let sql = "SELECT by, reason, at, outcome, decided_by, decided_reason, decided_at FROM release_appeal WHERE release = ?1";
    let read = |r: &Row<'_>| {
        Ok(Appeal {
            by: r.get(0)?,
            reason: r.get(1)?,
            at: r.get(2)?,
            outcome: r.get(3)?,
            decided_by: r.get(4)?,
            decided_reason: r.get(5)?,
            decided_at: r.get(6)?,
        })
    };
    Ok(connection.prepare_cached(sql)?.query_row([release], read).optional()?)
}

/// An appeal and what the authority said.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Appeal {
    /// Who appealed.
    pub by: PrincipalId,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// `upheld` (it stays denied) or `sent_back` (to two other reviewers); `None` while it is open.
    pub outcome: Option<String>,
    /// Who decided it.
    pub decided_by: Option<PrincipalId>,
    /// Why.
    pub decided_reason: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
}
