//! Alerts about the doors: tables that differ by too few, questions about subjects at high frequency, release requests without a reply.
//! Counts and dates only; what the audit found of whom stays with the gate.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::rules;
use super::watch::{About, Alert, Situation, alert};
use crate::clock::{CHINA_UTC_OFFSET_S, Date, Timestamp};
use crate::gate;
use crate::id::{Name, OrgId, ReleaseId};
use crate::jobs::JobError;
use crate::policy::ReleasePolicy;
use crate::policy::records::release;

const DAY_S: i64 = 86_400;
/// Causes that say a difference with what was released, or with an earlier version of the operator's own rows, tells of too few, or of one
/// too much.
const DIFFERENCES: [&str; 6] = ["difference", "zero", "dominance", "combination", "own_version", "meanwhile"];

fn floor(c: &Connection) -> Result<Option<ReleasePolicy>, JobError> {
    Ok(release::floor(c)?)
}

/// Requests whose reviewers have not decided in their working days, an extension included. The extent is 1: that it is overdue.
pub(super) fn overdue_requests(c: &Connection, s: &Situation<'_>) -> Result<Vec<Alert>, JobError> {
    let mut statement = c.prepare_cached("SELECT id, org FROM release WHERE state = 'held' ORDER BY id")?;
    let held = statement.query_map([], |r| Ok((r.get::<_, ReleaseId>(0)?, r.get::<_, OrgId>(1)?)))?.collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for (id, org) in held {
        let Some(round) = gate::rounds(c, &id)?.pop().filter(|round| round.outcome.is_none()) else { continue };
        let clock = round.clock(&s.city.calendar, s.now);
        // A year that is not announced has no clock: nothing is called overdue on a guess.
        if let (Some(due), Some(true)) = (clock.due, clock.overdue) {
            let days = round.working_days.saturating_add(round.extension.as_ref().map_or(0, |e| e.working_days));
            let told = (format!("due {due}"), format!("{days} working days"));
            found.push(alert(&rules::OVERDUE_REPLY, (About::Release, &id), Some(&org), 1, told));
        }
    }
    Ok(found)
}

/// Operators of whose tables the audit held or refused one for a difference, or so many that every further one is held.
pub(super) fn differencing(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let Some(policy) = floor(c)? else { return Ok(Vec::new()) };
    let audit = policy.audit;
    let since = now.plus_s(-i64::from(audit.holds_window_days) * DAY_S);
    let sql =
        "SELECT org, namespace, cause, count(*) FROM audit_hold WHERE at >= ?1 GROUP BY org, namespace, cause ORDER BY org, namespace";
    let mut statement = c.prepare_cached(sql)?;
    let rows =
        statement.query_map([since], |r| Ok((r.get::<_, OrgId>(0)?, r.get::<_, Name>(1)?, r.get::<_, String>(2)?, r.get::<_, u64>(3)?)))?;
    let mut counts: BTreeMap<(OrgId, Name), (u64, u64)> = BTreeMap::new();
    for row in rows {
        let (org, namespace, cause, count) = row?;
        let (differences, all) = counts.entry((org, namespace)).or_default();
        *differences += if DIFFERENCES.contains(&cause.as_str()) { count } else { 0 };
        *all += count;
    }
    let standing = counts.iter().filter(|(_, (differences, all))| *differences > 0 || *all >= u64::from(audit.holds_max));
    Ok(standing
        .map(|((org, namespace), (differences, all))| {
            let value = format!("{differences} tables for a difference, {all} held or refused in all");
            let threshold = format!("1 for a difference, or {} in all, in {} days", audit.holds_max, audit.holds_window_days);
            let subject = (About::Organisation, format!("{org} ({namespace})"));
            alert(&rules::DIFFERENCING, subject, Some(org), *all, (value, threshold))
        })
        .collect())
}

/// Operators who, on one of the last days, asked most of what the policy allows in a day. The extent is the busiest day's count.
pub(super) fn frequent(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let Some(policy) = floor(c)? else { return Ok(Vec::new()) };
    let most = u64::from(policy.verification.answers_per_day_max);
    let least = (most * rules::ANSWERS_PERCENT).div_ceil(100).max(1);
    let from = Date::from_days(now.date(CHINA_UTC_OFFSET_S).days() - rules::ANSWERS_DAYS + 1).start(CHINA_UTC_OFFSET_S);
    let sql = "SELECT org, (asked_at + ?2) / 86400, count(*) FROM verification WHERE asked_at >= ?1 GROUP BY 1, 2 HAVING count(*) >= ?3
               ORDER BY 1, 3, 2";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params![from, CHINA_UTC_OFFSET_S, least], |r| {
        Ok((r.get::<_, OrgId>(0)?, Date::from_days(r.get(1)?), r.get::<_, u64>(2)?))
    })?;
    // In the order of counts: the busiest day of each operator is the last.
    let busiest: BTreeMap<OrgId, (Date, u64)> =
        rows.map(|row| row.map(|(org, day, count)| (org, (day, count)))).collect::<Result<_, _>>()?;
    Ok(busiest
        .iter()
        .map(|(org, (day, count))| {
            let told = (format!("{count} answers on {day}"), format!("{least} of {most} answers a day"));
            alert(&rules::FREQUENT, (About::Organisation, org), Some(org), *count, told)
        })
        .collect())
}
