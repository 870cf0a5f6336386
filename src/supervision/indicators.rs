//! Figures of a period: what left, what stayed and why, whether replies came in time.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::denials;
use super::watch::{LogCheck, Situation, last_log_check};
use crate::agreement::records;
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::id::OrgId;
use crate::jobs::JobError;
use crate::store::StoreError;

/// Outputs of one operator, by form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OperatorFigures {
    /// Released, by form (`table`, `model`, `private`, `verification`).
    pub released: BTreeMap<String, u64>,
    /// Held now.
    pub held: u64,
    /// Refused by a rule, or denied by reviewers.
    pub stayed: u64,
}

/// Figures of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Indicators {
    /// Its first second.
    pub from: Timestamp,
    /// Its last.
    pub until: Timestamp,
    /// By operator.
    #[schema(value_type = BTreeMap<String, OperatorFigures>)]
    pub operators: BTreeMap<OrgId, OperatorFigures>,
    /// Calls denied, by rule.
    pub denials: BTreeMap<String, u64>,
    /// Providers' decisions on applications of the period that came within their working days.
    pub replies_in_time: u64,
    /// Those that came later, or not yet though their day is over.
    pub replies_late: u64,
    /// Agreements that ended in the period.
    pub ended: u64,
    /// Of those, with a disposal certificate.
    pub disposed: u64,
    /// The last check of the published log.
    pub log_check: Option<LogCheck>,
}

/// Figures from `from` to now.
///
/// # Errors
/// What the store says.
pub fn figures(c: &Connection, situation: &Situation<'_>, from: Timestamp) -> Result<Indicators, JobError> {
    let (replies_in_time, replies_late) = replies(c, situation, from)?;
    let (ended, disposed) = endings(c, situation.now, from)?;
    let mut denials: BTreeMap<String, u64> = BTreeMap::new();
    for (_, rule, count) in denials::since(c, from)? {
        *denials.entry(rule).or_default() += count;
    }
    let operators = outputs(c, from)?;
    let log_check = last_log_check(c)?;
    Ok(Indicators { from, until: situation.now, operators, denials, replies_in_time, replies_late, ended, disposed, log_check })
}

fn outputs(c: &Connection, from: Timestamp) -> Result<BTreeMap<OrgId, OperatorFigures>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT org, kind, state, count(*) FROM release WHERE created_at >= ?1 GROUP BY org, kind, state")?;
    let rows = statement
        .query_map([from], |r| Ok((r.get::<_, OrgId>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, u64>(3)?)))?;
    let mut operators: BTreeMap<OrgId, OperatorFigures> = BTreeMap::new();
    for row in rows {
        let (org, kind, state, count) = row?;
        let figures = operators.entry(org).or_default();
        match state.as_str() {
            "released" => *figures.released.entry(kind).or_default() += count,
            "refused" | "denied" => figures.stayed += count,
            _ => figures.held += count,
        }
    }
    Ok(operators)
}

fn replies(c: &Connection, s: &Situation<'_>, from: Timestamp) -> Result<(u64, u64), JobError> {
    let day = |at: Timestamp| at.date(CHINA_UTC_OFFSET_S);
    let (mut in_time, mut late) = (0, 0);
    for id in records::application_ids(c)? {
        let Some(application) = records::application(c, &id)?.filter(|a| a.submitted_at >= from) else { continue };
        let Some(due) = s.city.calendar.after(day(application.submitted_at), s.city.clocks.application_reply.working_days) else {
            continue;
        };
        for provider in &application.providers {
            match application.decisions.get(provider) {
                Some(decision) if day(decision.at) <= due => in_time += 1,
                None if day(s.now) <= due => {}
                _ => late += 1,
            }
        }
    }
    Ok((in_time, late))
}

fn endings(c: &Connection, now: Timestamp, from: Timestamp) -> Result<(u64, u64), JobError> {
    let (mut ended, mut disposed) = (0, 0);
    for id in records::agreement_ids(c)? {
        let Some(agreement) = records::agreement(c, &id)? else { continue };
        let end = agreement.terminated.as_ref().map_or_else(|| agreement.terms.agreement.term.end(), |e| e.at);
        if end >= from && end <= now {
            ended += 1;
            let sql = "SELECT count(*) FROM disposal WHERE agreement = ?1";
            disposed += c.prepare_cached(sql)?.query_row(params![id], |r| r.get::<_, u64>(0))?;
        }
    }
    Ok((ended, disposed))
}
