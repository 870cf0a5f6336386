//! Rows of jobs.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::spec::JobSpec;
use super::state::{Event, State};
use super::{JobError, prepare};
use crate::clock::Timestamp;
use crate::id::{JobId, Name, OrgId, PrincipalId};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// A job.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Identifier.
    pub id: JobId,
    /// The operator.
    pub org: OrgId,
    /// Who submitted it.
    pub principal: PrincipalId,
    /// Its state, as it is. See [`JobRow::shown`].
    pub state: State,
    /// What was pinned.
    pub spec: JobSpec,
    /// Digest of what was pinned, hexadecimal.
    pub spec_digest: String,
    /// Runs so far.
    pub attempts: u32,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it ended, exactly: for checkers.
    pub ended_at: Option<Timestamp>,
    /// From when on its end is shown: the policy's time quantum.
    pub visible_at: Option<Timestamp>,
    /// The refusal that ended it.
    pub refusal: Option<serde_json::Value>,
    /// What ended it, in our words: for checkers, and for the author on synthetic data.
    pub failure: Option<String>,
    /// HMAC-SHA-256(job key, canonical bytes), hexadecimal.
    pub commitment: Option<String>,
    /// Decided tables and models on synthetic data.
    pub result: Option<serde_json::Value>,
    /// The module's log text on synthetic data.
    pub log: Option<String>,
    /// Exact figures of the fusion: for providers and checkers.
    pub report: Option<serde_json::Value>,
}

impl JobRow {
    /// The state as it is shown at `now`: an end shows on the time quantum only.
    pub fn shown(&self, now: Timestamp) -> State {
        match self.visible_at {
            Some(at) if now < at => State::Running,
            // When a private job begins would tell when the one before it ended.
            _ if self.spec.private.is_some() && self.state == State::Queued => State::Running,
            _ => self.state,
        }
    }
}

const COLUMNS: &str = "id, org, principal, state, spec, spec_digest, attempts, created_at, ended_at, visible_at, refusal, failure, commitment, result, log, report";

fn row(r: &Row<'_>) -> rusqlite::Result<Option<JobRow>> {
    let spec: String = r.get(4)?;
    let Ok(spec) = serde_json::from_str(&spec) else { return Ok(None) };
    let json = |i: usize| -> rusqlite::Result<Option<serde_json::Value>> {
        Ok(r.get::<_, Option<String>>(i)?.and_then(|t| serde_json::from_str(&t).ok()))
    };
    Ok(Some(JobRow {
        id: r.get(0)?,
        org: r.get(1)?,
        principal: r.get(2)?,
        state: r.get(3)?,
        spec,
        spec_digest: r.get(5)?,
        attempts: r.get(6)?,
        created_at: r.get(7)?,
        ended_at: r.get(8)?,
        visible_at: r.get(9)?,
        refusal: json(10)?,
        failure: r.get(11)?,
        commitment: r.get(12)?,
        result: json(13)?,
        log: r.get(14)?,
        report: json(15)?,
    }))
}

/// A job by id.
///
/// # Errors
/// What the store says.
pub fn find(connection: &Connection, id: &JobId) -> Result<Option<JobRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], row).optional()?.flatten())
}

/// Jobs of `org` (`None`: of all), newest first, at most 500.
///
/// # Errors
/// What the store says.
pub fn list(connection: &Connection, org: Option<&OrgId>) -> Result<Vec<JobRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE (?1 IS NULL OR org = ?1) ORDER BY created_at DESC, rowid DESC LIMIT 500");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([org], row)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// What a submission became.
#[derive(Debug, Clone, Serialize)]
pub struct Accepted {
    /// The job.
    pub id: JobId,
    /// Whether an earlier submission under the same idempotency key is meant.
    pub repeated: bool,
}

/// Who may submit what: on real data or on synthetic data, each by its own permit.
pub enum SubmitPermit {
    /// Real data, with proof that the papers are in force.
    Real(Permit<actions::JobSubmit>, crate::agreement::InForce),
    /// Synthetic data.
    Synthetic(Permit<actions::JobSubmitSynthetic>),
}

/// The job that an operator submitted under this key before. To be asked before papers are judged: whoever did not hear the first
/// answer is told it, whatever became of the papers since.
///
/// # Errors
/// `request.conflict` where it was another request.
pub fn earlier(connection: &Connection, org: &OrgId, key: Option<&Name>, request_digest: &str) -> Result<Option<Accepted>, JobError> {
    let Some(key) = key else { return Ok(None) };
    let found: Option<(JobId, String)> = connection
        .prepare_cached("SELECT id, request_digest FROM job WHERE org = ?1 AND idempotency_key = ?2")?
        .query_row(params![org, key], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    match found {
        Some((id, digest)) if digest == request_digest => Ok(Some(Accepted { id, repeated: true })),
        Some(_) => Err(Refused::new(&refusal::CONFLICT).subject("idempotency-key").into()),
        None => Ok(None),
    }
}

/// Queues a job, with its leaf. A key that repeats answers the earlier job; the same key for another request is a conflict.
///
/// # Errors
/// `request.busy` beyond `open_max` open jobs of the operator, `request.conflict`.
pub fn submit(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: SubmitPermit,
    submission: &prepare::Submission,
    idempotency_key: Option<&Name>,
    open_max: u32,
    now: Timestamp,
) -> Result<Accepted, JobError> {
    let (who, id, in_force) = match permit {
        SubmitPermit::Real(p, in_force) => {
            if submission.spec.agreement.as_ref() != Some(in_force.agreement()) {
                return Err(Refused::new(&refusal::AGREEMENT_MISSING).into());
            }
            (p.caller().principal().clone(), p.resource().id.clone(), Some(in_force))
        }
        SubmitPermit::Synthetic(p) => (p.caller().principal().clone(), p.resource().id.clone(), None),
    };
    let synthetic = in_force.is_none();
    let spec = &submission.spec;
    if spec.org != who.org || synthetic != spec.synthetic_rows.is_some() {
        return Err(Refused::new(&refusal::FORBIDDEN).into());
    }
    let request = submission.request_digest.as_str();
    if let Some(accepted) = earlier(tx, &who.org, idempotency_key, request)? {
        return Ok(accepted);
    }
    crate::gate::accepts(tx)?;
    let open: u32 = tx
        .prepare_cached("SELECT count(*) FROM job WHERE org = ?1 AND state IN ('queued', 'running')")?
        .query_row([&who.org], |r| r.get(0))?;
    if open >= open_max {
        return Err(Refused::new(&refusal::BUSY).threshold(format!("{open_max} open jobs")).into());
    }
    let digest = spec.digest()?;
    let text = serde_json::to_string(spec).map_err(|_| StoreError::Fault)?;
    let sql =
        "INSERT INTO job (id, org, principal, state, synthetic, agreement, spec, spec_digest, idempotency_key, request_digest, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    tx.prepare_cached(sql)?.execute(params![
        id,
        who.org,
        who.id,
        State::Queued,
        synthetic,
        spec.agreement,
        text,
        digest,
        idempotency_key,
        request,
        now
    ])?;
    let readers: Vec<&OrgId> = submission.providers.iter().chain([&who.org]).collect();
    let _ = journal.append(
        tx,
        LeafKind::Submission,
        &serde_json::json!({ "job": id, "by": who.id, "spec": spec, "spec_digest": digest }),
        &readers,
    )?;
    if let (Some(in_force), Some(_)) = (&in_force, &spec.private) {
        super::private::reserve(tx, journal, spec, &id, in_force, now)?;
    }
    Ok(Accepted { id, repeated: false })
}

/// The end of a private job waits for its time: from here on it is not at work.
///
/// # Errors
/// What the store says.
pub(super) fn settling(tx: &Tx<'_>, id: &JobId, at: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE job SET settles_at = ?2 WHERE id = ?1")?.execute(params![id, at])?;
    Ok(())
}

/// What a change of state writes beside it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    pub(super) visible_at: Option<Timestamp>,
    pub(super) refusal: Option<Refused>,
    pub(super) failure: Option<String>,
    pub(super) commitment: Option<String>,
    pub(super) result: Option<serde_json::Value>,
    pub(super) log: Option<String>,
    pub(super) report: Option<serde_json::Value>,
}

/// Moves a job along the transition function.
///
/// # Errors
/// `request.conflict` where the event cannot happen in its state.
pub(super) fn change(tx: &Tx<'_>, id: &JobId, event: Event, ending: &Ending, now: Timestamp) -> Result<State, JobError> {
    let state: Option<State> = tx.prepare_cached("SELECT state FROM job WHERE id = ?1")?.query_row([id], |r| r.get(0)).optional()?;
    let state = state.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let next = state.after(event).ok_or(Refused::new(&refusal::CONFLICT).subject(state.word()))?;
    let text = |v: Option<&serde_json::Value>| v.map(ToString::to_string);
    let refused = ending.refusal.as_ref().and_then(|r| serde_json::to_string(r).ok());
    let sql = "UPDATE job SET state = ?2, attempts = attempts + ?3, ended_at = ?4, visible_at = ?5, refusal = ?6, failure = ?7, commitment = ?8, result = ?9, log = ?10, report = ?11 WHERE id = ?1";
    let over = !matches!(next, State::Queued | State::Running);
    tx.prepare_cached(sql)?.execute(params![
        id,
        next,
        u32::from(event == Event::Start),
        over.then_some(now),
        ending.visible_at,
        refused,
        ending.failure,
        ending.commitment,
        text(ending.result.as_ref()),
        ending.log,
        text(ending.report.as_ref())
    ])?;
    Ok(next)
}

/// A held output of the job was reviewed: the job is done once none is left.
///
/// # Errors
/// What the store says.
pub fn reviewed(tx: &Tx<'_>, id: &JobId) -> Result<(), JobError> {
    let held: u32 = tx
        .prepare_cached("SELECT count(*) FROM release WHERE job = ?1 AND state IN ('held', 'approved_pending')")?
        .query_row([id], |r| r.get(0))?;
    if held == 0 {
        tx.prepare_cached("UPDATE job SET state = 'done' WHERE id = ?1 AND state = 'in_review'")?.execute([id])?;
    }
    Ok(())
}
