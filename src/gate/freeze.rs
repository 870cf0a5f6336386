//! A stop on releases: one action stops all of them, or those with data of one organisation, in-flight ones included.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::decide::DecideError;
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// A freeze that stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Frozen {
    /// Its number.
    pub id: i64,
    /// Releases with data of this organisation; `None`: all.
    pub org: Option<OrgId>,
    /// Organisation that set it.
    pub set_by: OrgId,
}

/// The freeze that stands over a release with data of `providers` for `operator`, if one does.
///
/// # Errors
/// What the store says.
pub fn standing(connection: &Connection, providers: &BTreeSet<OrgId>, operator: &OrgId) -> Result<Option<Frozen>, StoreError> {
    Ok(all_standing(connection)?.into_iter().find(|f| f.org.as_ref().is_none_or(|org| providers.contains(org) || org == operator)))
}

/// Every freeze that stands, oldest first.
///
/// # Errors
/// What the store says.
pub fn all_standing(connection: &Connection) -> Result<Vec<Frozen>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, org, set_by FROM freeze WHERE lifted_at IS NULL ORDER BY id")?;
    let rows = statement.query_map([], |r| Ok(Frozen { id: r.get(0)?, org: r.get(1)?, set_by: r.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets a freeze.
///
/// # Errors
/// What the store says.
pub fn set(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::FreezeSet>,
    reason: &str,
    now: Timestamp,
) -> Result<Frozen, DecideError> {
    let org = permit.resource().org.clone();
    let who = permit.caller().principal();
    let sql = "INSERT INTO freeze (org, set_by, reason, set_at) VALUES (?1, ?2, ?3, ?4) RETURNING id";
    let reason: String = reason.chars().take(500).collect();
    let id: i64 =
        tx.prepare_cached(sql).and_then(|mut s| s.query_row(params![org, who.org, reason, now], |r| r.get(0))).map_err(StoreError::from)?;
    let body = serde_json::json!({ "freeze": id, "scope": org, "by": who.id, "org": who.org, "reason": reason });
    let _ = journal.append(tx, LeafKind::Freeze, &body, &[&who.org])?;
    Ok(Frozen { id, org, set_by: who.org.clone() })
}

/// Lifts a freeze.
///
/// # Errors
/// `request.not_found` where it does not stand.
pub fn lift(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::FreezeLift>,
    id: i64,
    reason: &str,
    now: Timestamp,
) -> Result<(), DecideError> {
    let found: Option<i64> = tx
        .prepare_cached("UPDATE freeze SET lifted_at = ?2 WHERE id = ?1 AND lifted_at IS NULL RETURNING id")
        .and_then(|mut s| s.query_row(params![id, now], |r| r.get(0)).optional())
        .map_err(StoreError::from)?;
    found.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let who = permit.caller().principal();
    let body = serde_json::json!({ "freeze": id, "lifted": true, "by": who.id, "org": who.org, "reason": reason.chars().take(500).collect::<String>() });
    let _ = journal.append(tx, LeafKind::Freeze, &body, &[&who.org])?;
    Ok(())
}
