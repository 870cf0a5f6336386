//! Who has seen an alert.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::watch::{Situation, standing};
use crate::clock::Timestamp;
use crate::id::{OrgId, PrincipalId};
use crate::jobs::JobError;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// Characters of a note.
const NOTE_CHARS_MAX: usize = 500;

/// That an alert was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Acknowledged {
    /// By whom.
    pub by: PrincipalId,
    /// Of which organisation.
    pub org: OrgId,
    /// What was noted.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// Notes that an alert was seen, with its leaf. It is good for the alert as it stands: one whose cause has grown stands again.
///
/// # Errors
/// `request.not_found` where it does not stand, `request.malformed` without a note, `request.conflict` where it was seen.
pub fn acknowledge(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::AlertAcknowledge>,
    (rule, subject): (&str, &str),
    note: &str,
    situation: &Situation<'_>,
) -> Result<Acknowledged, JobError> {
    let note: String = note.trim().chars().filter(|c| !c.is_control()).take(NOTE_CHARS_MAX).collect();
    if note.is_empty() {
        return Err(Refused::new(&refusal::MALFORMED).subject("note").into());
    }
    let alert = standing(tx, situation)?.into_iter().find(|a| a.rule.id == rule && a.subject == subject);
    let alert = alert.ok_or(Refused::new(&refusal::NOT_FOUND).subject(rule))?;
    if alert.acknowledged.is_some() {
        return Err(Refused::new(&refusal::CONFLICT).subject(rule).into());
    }
    let who = permit.caller().principal();
    let sql = "INSERT INTO alert_seen (rule, subject, extent, seen_by, org, note, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    tx.execute(sql, params![rule, subject, alert.extent, who.id, who.org, note, situation.now])?;
    let body = serde_json::json!({ "alert": rule, "subject": subject, "extent": alert.extent, "by": who.id, "org": who.org, "note": note });
    let _ = journal.append(tx, LeafKind::Alert, &body, &[&who.org])?;
    Ok(Acknowledged { by: who.id.clone(), org: who.org.clone(), note, at: situation.now })
}

/// Who has seen the alert at this extent.
pub(super) fn seen(connection: &Connection, rule: &str, subject: &str, extent: u64) -> Result<Option<Acknowledged>, StoreError> {
    let sql = "SELECT seen_by, org, note, at FROM alert_seen WHERE rule = ?1 AND subject = ?2 AND extent = ?3";
    let row = |r: &rusqlite::Row<'_>| Ok(Acknowledged { by: r.get(0)?, org: r.get(1)?, note: r.get(2)?, at: r.get(3)? });
    Ok(connection.prepare_cached(sql)?.query_row(params![rule, subject, extent], row).optional()?)
}
