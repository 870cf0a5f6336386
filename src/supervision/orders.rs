//! Orders to put something right by a day (责令整改; X63, C33). Closing one says what came of it; one past its day raises an alert.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use crate::clock::{CHINA_UTC_OFFSET_S, Date, Timestamp};
use crate::id::{OrgId, PrincipalId};
use crate::jobs::JobError;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// Characters of an order, or of what came of it.
const TEXT_CHARS_MAX: usize = 2000;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// To be done.
    Open,
    /// To be done, and past its day.
    Overdue,
    /// Done, as the authority found.
    Closed,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// To whom.
    pub org: OrgId,
    /// What is to be put right.
    pub text: String,
    /// The last day for it, China Standard Time.
    pub due: Date,
    /// Who issued it.
    pub issued_by: PrincipalId,
    /// When.
    pub issued_at: Timestamp,
    /// Where it stands.
    pub state: OrderState,
    /// What came of it.
    pub outcome: Option<String>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

fn text(text: &str, what: &str) -> Result<String, Refused> {
    let clean: String = text.trim().chars().filter(|c| !c.is_control() || *c == '\n').take(TEXT_CHARS_MAX).collect();
    if clean.is_empty() { Err(Refused::new(&refusal::MALFORMED).subject(what)) } else { Ok(clean) }
}

/// Issues an order to an organisation, with its leaf.
///
/// # Errors
/// `request.malformed` without a text, or where its last day is over.
pub fn issue(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::OrderIssue>,
    what: &str,
    due: Date,
    now: Timestamp,
) -> Result<Order, JobError> {
    let what = text(what, "text")?;
    if due < now.date(CHINA_UTC_OFFSET_S) {
        return Err(Refused::new(&refusal::MALFORMED).subject("due").into());
    }
    let (who, org) = (permit.caller().principal(), permit.resource().org.clone());
    let sql = "INSERT INTO rectification (org, text, due, issued_by, issued_at) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
    let id: i64 = tx.prepare_cached(sql)?.query_row(params![org, what, due, who.id, now], |r| r.get(0))?;
    let body = serde_json::json!({ "order": id, "to": org, "text": what, "due": due, "by": who.id, "org": who.org });
    let _ = journal.append(tx, LeafKind::Registration, &body, &[&org])?;
    let issued_by = who.id.clone();
    Ok(Order { id, org, text: what, due, issued_by, issued_at: now, state: OrderState::Open, outcome: None, closed_at: None })
}

/// Closes an order: the authority found what it asked for done.
///
/// # Errors
/// `request.malformed` without an outcome, `request.conflict` where it is closed or not to this organisation.
pub fn close(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::OrderClose>,
    id: i64,
    outcome: &str,
    now: Timestamp,
) -> Result<(), JobError> {
    let outcome = text(outcome, "outcome")?;
    let (who, org) = (permit.caller().principal(), &permit.resource().org);
    let sql = "UPDATE rectification SET closed_by = ?3, closed_at = ?4, outcome = ?5 WHERE id = ?1 AND org = ?2 AND closed_at IS NULL";
    if tx.execute(sql, params![id, org, who.id, now, outcome])? == 0 {
        return Err(Refused::new(&refusal::CONFLICT).subject("order").into());
    }
    let body = serde_json::json!({ "order": id, "to": org, "closed": true, "outcome": outcome, "by": who.id, "org": who.org });
    let _ = journal.append(tx, LeafKind::Registration, &body, &[org])?;
    Ok(())
}

/// Every order, newest first. The caller leaves out what may not be seen.
///
/// # Errors
/// What the store says.
pub fn list(connection: &Connection, now: Timestamp) -> Result<Vec<Order>, StoreError> {
    let today = now.date(CHINA_UTC_OFFSET_S);
    let sql = "SELECT id, org, text, due, issued_by, issued_at, outcome, closed_at FROM rectification ORDER BY id DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |r| order(r, today))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn order(r: &Row<'_>, today: Date) -> rusqlite::Result<Order> {
    let due: Date = r.get(3)?;
    let closed_at: Option<Timestamp> = r.get(7)?;
    let state = match closed_at {
        Some(_) => OrderState::Closed,
        None if due < today => OrderState::Overdue,
        None => OrderState::Open,
    };
    let (id, org, text, issued_by, issued_at) = (r.get(0)?, r.get(1)?, r.get(2)?, r.get(4)?, r.get(5)?);
    Ok(Order { id, org, text, due, issued_by, issued_at, state, outcome: r.get(6)?, closed_at })
}
