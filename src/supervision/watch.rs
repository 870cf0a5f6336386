//! Which alerts stand. Each rule is one question to the store; none looks at a value of a dataset.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::acknowledge::{Acknowledged, seen};
use super::rules::{self, AlertRule};
use super::{OrderState, denials, exits, orders};
use crate::agreement::records;
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::gate;
use crate::id::{AgreementId, OrgId};
use crate::jobs::JobError;
use crate::policy::city::CityProfile;
use crate::refusal;
use crate::store::{StoreError, Tx};
use crate::tlog::{Report, cosigned, rollback};

const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;

/// What alerts are judged by, besides the store.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The present time.
    pub now: Timestamp,
    /// Working days and reply clocks.
    pub city: &'a CityProfile,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// An application for data.
    Application,
    /// An output at the gate.
    Release,
    /// An agreement.
    Agreement,
    /// An organisation.
    Organisation,
    /// An order to put something right.
    Order,
    /// A kind of identifier.
    Namespace,
    /// The log.
    Log,
    /// A freeze.
    Freeze,
}

/// An alert that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Which.
    pub rule: &'static AlertRule,
    /// What it is about: a paper, an organisation, an order.
    pub subject: String,
    /// Whom it is about.
    pub org: Option<OrgId>,
    /// What kind of thing its subject is.
    pub about: About,
    /// What was found, in a closed sentence.
    pub value: String,
    /// From where on it is said, in a closed sentence.
    pub threshold: String,
    /// How far its cause has gone, in the rule's own count (days, uploads, percent). A larger one is a new alert.
    pub extent: u64,
    /// Who has seen it at this extent.
    pub acknowledged: Option<Acknowledged>,
}

/// What the last check of the published log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LogCheck {
    /// When.
    pub at: Timestamp,
    /// Leaves it reached.
    pub leaves: u64,
    /// The fault, in closed words; nothing where it is sound.
    pub fault: Option<String>,
}

/// Every alert that stands, the most urgent first, those nobody has seen before the others.
///
/// # Errors
/// What the store says.
pub fn standing(connection: &Connection, situation: &Situation<'_>) -> Result<Vec<Alert>, JobError> {
    let (c, now) = (connection, situation.now);
    let mut found = overdue(c, situation)?;
    found.extend(exits::overdue_requests(c, situation)?);
    found.extend(agreements(c, now)?);
    found.extend(denied(c, now)?);
    found.extend(exits::differencing(c, now)?);
    found.extend(exits::frequent(c, now)?);
    found.extend(similar(c, now)?);
    found.extend(refused(c, now)?);
    found.extend(overdue_orders(c, now)?);
    found.extend(log(c)?);
    found.extend(stopped(c)?);
    for alert in &mut found {
        alert.acknowledged = seen(c, alert.rule.id, &alert.subject, alert.extent)?;
    }
    let place = |rule: &AlertRule| rules::ALERTS.iter().position(|r| r.id == rule.id);
    found.sort_by_key(|a| (a.acknowledged.is_some(), a.rule.severity, place(a.rule), a.subject.clone()));
    Ok(found)
}

/// An alert nobody is known to have seen.
pub(super) fn alert(
    rule: &'static AlertRule,
    (about, subject): (About, impl ToString),
    org: Option<&OrgId>,
    extent: u64,
    (value, threshold): (String, String),
) -> Alert {
    Alert { rule, about, subject: subject.to_string(), org: org.cloned(), value, threshold, extent, acknowledged: None }
}

/// Applications that a provider has not decided in its working days. The extent is 1: that it is overdue.
fn overdue(c: &Connection, s: &Situation<'_>) -> Result<Vec<Alert>, JobError> {
    let (today, clock) = (s.now.date(CHINA_UTC_OFFSET_S), s.city.clocks.application_reply);
    let mut found = Vec::new();
    for id in records::application_ids(c)? {
        let Some(application) = records::application(c, &id)? else { continue };
        let due = s.city.calendar.after(application.submitted_at.date(CHINA_UTC_OFFSET_S), clock.working_days);
        // A year that is not announced has no clock: nothing is called overdue on a guess.
        let Some(due) = due.filter(|due| today > *due) else { continue };
        let told = || (format!("due {due}"), format!("{} working days", clock.working_days));
        let silent = application.providers.iter().filter(|p| !application.decisions.contains_key(*p));
        found.extend(
            silent.map(|provider| {
                alert(&rules::OVERDUE_REPLY, (About::Application, format!("{id} ({provider})")), Some(provider), 1, told())
            }),
        );
    }
    Ok(found)
}

/// Agreements near their end, and ended ones without a certificate.
fn agreements(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let mut found = Vec::new();
    for id in records::agreement_ids(c)? {
        let Some(agreement) = records::agreement(c, &id)? else { continue };
        let terms = &agreement.terms.agreement;
        let left_s = terms.term.end().unix_s() - now.unix_s();
        let ended = agreement.terminated.as_ref().map(|e| e.at.date(CHINA_UTC_OFFSET_S)).or((left_s <= 0).then_some(terms.term.until));
        if let Some(day) = ended {
            if !disposed(c, &id)? {
                let told = (format!("ended {day}"), "a certificate of disposal".to_owned());
                found.push(alert(&rules::UNDISPOSED, (About::Agreement, &id), Some(&terms.operator), 1, told));
            }
        } else if left_s <= rules::EXPIRING_DAYS * DAY_S {
            let told = (format!("ends {}", terms.term.until), format!("{} days", rules::EXPIRING_DAYS));
            found.push(alert(&rules::EXPIRING, (About::Agreement, &id), Some(&terms.operator), 1, told));
        }
    }
    Ok(found)
}

fn disposed(c: &Connection, id: &AgreementId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM disposal WHERE agreement = ?1";
    Ok(c.prepare_cached(sql)?.query_row([id], |r| r.get::<_, i64>(0)).optional()?.is_some())
}

/// Attempts at reviewing one's own, and unusually many denials.
fn denied(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let mut found: Vec<Alert> = denials::since(c, now.plus_s(-30 * DAY_S))?
        .into_iter()
        .filter(|(_, rule, _)| rule == refusal::OWN_REVIEW.id)
        .map(|(org, _, count)| {
            let told = (format!("{count} attempts"), "1 or more in 30 days".to_owned());
            alert(&rules::SELF_REVIEW, (About::Organisation, &org), Some(&org), count, told)
        })
        .collect();
    let mut by_org: BTreeMap<OrgId, u64> = BTreeMap::new();
    for (org, _, count) in denials::since(c, now.plus_s(-WEEK_S))? {
        *by_org.entry(org).or_default() += count;
    }
    let many = by_org.iter().filter(|(_, count)| **count >= rules::DENIALS_A_WEEK);
    found.extend(many.map(|(org, count)| {
        let told = (format!("{count} calls denied"), format!("{} calls in 7 days", rules::DENIALS_A_WEEK));
        alert(&rules::REFUSAL_RATE, (About::Organisation, format!("{org} (calls)")), Some(org), count / rules::DENIALS_A_WEEK, told)
    }));
    Ok(found)
}

/// Modules with the same declaration by one operator: the name and version left aside.
fn similar(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let sql = "SELECT org, count(*) FROM module WHERE created_at >= ?1 GROUP BY org, json_remove(manifest, '$.name', '$.version')
               HAVING count(*) >= ?2 ORDER BY org";
    let mut statement = c.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![now.plus_s(-WEEK_S), rules::SIMILAR_MODULES], |r| Ok((r.get::<_, OrgId>(0)?, r.get::<_, u64>(1)?)))?;
    let mut most: BTreeMap<OrgId, u64> = BTreeMap::new();
    for row in rows {
        let (org, count) = row?;
        let entry = most.entry(org).or_default();
        *entry = count.max(*entry);
    }
    let told = |count: u64| (format!("{count} modules"), format!("{} modules in 7 days", rules::SIMILAR_MODULES));
    Ok(most.iter().map(|(org, count)| alert(&rules::SIMILAR, (About::Organisation, org), Some(org), *count, told(*count))).collect())
}

/// Operators of whose outputs half or more stayed.
fn refused(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let sql = "SELECT org, count(*), sum(state IN ('refused', 'denied')) FROM release WHERE created_at >= ?1 GROUP BY org ORDER BY org";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map([now.plus_s(-WEEK_S)], |r| Ok((r.get::<_, OrgId>(0)?, r.get::<_, u64>(1)?, r.get::<_, u64>(2)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (org, all, stayed) = row?;
        if all >= rules::OUTPUTS_MIN && stayed * 100 >= all * rules::REFUSED_PERCENT {
            let told =
                (format!("{stayed} of {all} outputs"), format!("{} % of {} outputs or more", rules::REFUSED_PERCENT, rules::OUTPUTS_MIN));
            let subject = (About::Organisation, format!("{org} (outputs)"));
            found.push(alert(&rules::REFUSAL_RATE, subject, Some(&org), stayed * 100 / all, told));
        }
    }
    Ok(found)
}

fn overdue_orders(c: &Connection, now: Timestamp) -> Result<Vec<Alert>, JobError> {
    let late = orders::list(c, now)?.into_iter().filter(|o| o.state == OrderState::Overdue);
    let told = |due| (format!("due {due}"), "the day of the order".to_owned());
    Ok(late.map(|o| alert(&rules::RECTIFICATION, (About::Order, o.id), Some(&o.org), 1, told(o.due))).collect())
}

/// A database that is behind its log, by the leaf of the finding; what a recovery left waiting; and every freeze, by its number.
fn stopped(c: &Connection) -> Result<Vec<Alert>, JobError> {
    let told = || ("a checkpoint that is remembered".to_owned(), "no fault".to_owned());
    let behind = rollback::standing(c)?.map(|finding| alert(&rules::ROLLED_BACK, (About::Log, "log"), None, finding.leaf, told()));
    let mut found: Vec<Alert> = behind.into_iter().collect();
    for namespace in gate::waiting_namespaces(c)? {
        let told = ("tables wait for reviewers".to_owned(), "re-based after the last recovery".to_owned());
        found.push(alert(&rules::REBASE, (About::Namespace, namespace), None, 1, told));
    }
    for freeze in gate::all_standing(c)? {
        let scope = freeze.dataset.as_ref().map(ToString::to_string).or_else(|| freeze.org.as_ref().map(ToString::to_string));
        let subject = format!("{} ({})", freeze.id, scope.as_deref().unwrap_or("all"));
        let told = (scope.as_deref().unwrap_or("all releases").to_owned(), "1 freeze".to_owned());
        found.push(alert(&rules::FROZEN, (About::Freeze, subject), freeze.org.as_ref(), 1, told));
    }
    Ok(found)
}

fn log(c: &Connection) -> Result<Vec<Alert>, JobError> {
    let mut found = Vec::new();
    if let Some(LogCheck { leaves, fault: Some(fault), .. }) = last_log_check(c)? {
        found.push(alert(&rules::LOG_CHECK, (About::Log, "log"), None, leaves, (fault, "no fault".to_owned())));
    }
    if let Some((word, size)) = cosigned::fault(c)? {
        let told = ("the witness cosigned a log that is not this one".to_owned(), "no fault".to_owned());
        found.push(alert(&rules::WITNESS, (About::Log, format!("log ({word})")), None, size, told));
    }
    Ok(found)
}

/// What the last check of the log found.
pub(super) fn last_log_check(c: &Connection) -> Result<Option<LogCheck>, StoreError> {
    let sql = "SELECT at, leaves, fault FROM log_check WHERE id = 1";
    Ok(c.prepare_cached(sql)?.query_row([], |r| Ok(LogCheck { at: r.get(0)?, leaves: r.get(1)?, fault: r.get(2)? })).optional()?)
}

/// Remembers what a check of the published log found.
///
/// # Errors
/// What the store says.
pub fn record_log_check(tx: &Tx<'_>, report: &Report, now: Timestamp) -> Result<(), StoreError> {
    let fault = report.fault.as_ref().map(|f| f.cause.en());
    let sql = "INSERT INTO log_check (id, at, leaves, fault) VALUES (1, ?1, ?2, ?3)
               ON CONFLICT (id) DO UPDATE SET at = excluded.at, leaves = excluded.leaves, fault = excluded.fault";
    tx.execute(sql, params![now, report.leaves, fault])?;
    Ok(())
}
