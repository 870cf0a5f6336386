//! A database that was found behind what is remembered of its log is used again only once the authority has signed for it: the lost
//! span's budgets count as spent ([`super::used_up`]), and no table leaves automatically.
//!
//! Which tables left in the lost span is not known, so no new one can be judged beside them. Every automatic table, on whatever namespace,
//! waits for two reviewers, until the authority says for that namespace, in the log and with a reason, that what left in the lost span
//! is accounted for (operators hold copies, with leaf numbers) or tells no more (other versions are released from).

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::checks::Check;
use super::decide::DecideError;
use super::used_up::UsedUp;
use crate::clock::Timestamp;
use crate::id::Name;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{Migration, StoreError, Tx};
use crate::tlog::rollback::{self, Extent};
use crate::tlog::{Journal, LeafKind};

/// What recoveries counted, and the namespaces whose tables leave automatically again.
pub const MIGRATION: Migration = Migration {
    name: "gate-recovery-1",
    sql: "CREATE TABLE recovered_agreement (agreement TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
          CREATE TABLE rebased (namespace TEXT PRIMARY KEY, recovery INTEGER NOT NULL, reason TEXT NOT NULL, leaf INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
};

const REASON_CHARS_MAX: usize = 500;

/// What the authority signs: the two logs it looked at, and why it goes on.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryStatement {
    /// The log of the database as it was found.
    pub database: Extent,
    /// The furthest checkpoint that is remembered; nothing where none is.
    #[serde(default)]
    pub remembered: Option<Extent>,
    /// Why the newer database is not put back, and what was done about it.
    pub reason: String,
}

/// A signed recovery.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Recovered {
    /// Number of the finding that it ends.
    pub id: i64,
    /// Its leaf.
    pub leaf: u64,
}

fn reason(text: &str) -> Result<String, Refused> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    if text.trim().is_empty() { Err(Refused::new(&refusal::MALFORMED).subject("reason")) } else { Ok(text) }
}

/// Nothing is accepted while the database is found to be behind.
///
/// # Errors
/// `log.rolled_back`.
pub fn accepts(connection: &Connection) -> Result<(), DecideError> {
    match rollback::standing(connection)? {
        Some(_) => Err(Refused::new(&refusal::LOG_ROLLED_BACK).into()),
        None => Ok(()),
    }
}

/// Ends a finding: the lost span's budgets count as spent, in the transaction of the leaf that says so. What the statement names has to be
/// what was found, so that nobody signs for another loss than the one that stands.
///
/// # Errors
/// `request.not_found` where nothing was found, `recovery.other` where the statement is about another finding, `request.malformed` without
/// a reason.
pub fn recover(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::RecoverySign>,
    statement: &RecoveryStatement,
    now: Timestamp,
) -> Result<Recovered, DecideError> {
    let found = rollback::standing(tx)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let reason = reason(&statement.reason)?;
    for (element, same) in
        [("database", statement.database == found.database), ("remembered", statement.remembered.as_ref() == found.remembered())]
    {
        if !same {
            return Err(Refused::new(&refusal::RECOVERY_OTHER).subject(element).into());
        }
    }
    let used_up = UsedUp::of(tx, found.lost_at_most())?;
    let who = permit.caller().principal();
    let body = serde_json::json!({
        "event": "recovery.signed", "finding": found, "by": who.id, "org": who.org, "reason": reason, "lost_leaves_at_most": found.lost_at_most(),
        "counted_as_spent": used_up,
    });
    let leaf = journal.append(tx, LeafKind::Recovery, &body, &[&who.org])?.number();
    used_up.record(tx, found.id, leaf, now)?;
    rollback::end(tx, found.id, "recovered", leaf, now)?;
    Ok(Recovered { id: found.id, leaf })
}

/// Whether tables on `namespace` wait for reviewers because tables that left in a lost span are not known.
///
/// # Errors
/// What the store says.
pub fn tables_wait(connection: &Connection, namespace: &Name) -> Result<bool, StoreError> {
    let sql = "SELECT recovery FROM rebased WHERE namespace = ?1";
    let rebased: Option<i64> = connection.prepare_cached(sql)?.query_row([namespace], |r| r.get(0)).optional()?;
    Ok(rebased.unwrap_or(0) < rollback::newest_recovery(connection)?)
}

/// Said on every table that waits for this: it depends on no data.
pub(super) fn check() -> Check {
    Check {
        rule: "audit.recovery".to_owned(),
        clauses: ["X57", "C36", "Q41"].map(str::to_owned).to_vec(),
        threshold: "the namespace re-based after the last recovery of the log".to_owned(),
        outcome: "not re-based: which tables left in the lost span is not known, so a reviewer decides".to_owned(),
        withheld: false,
    }
}

/// Namespaces with tables at the gate that wait for this.
///
/// # Errors
/// What the store says.
pub fn waiting_namespaces(connection: &Connection) -> Result<Vec<Name>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT namespace FROM audit_table ORDER BY namespace")?;
    let all = statement.query_map([], |r| r.get(0))?.collect::<Result<Vec<Name>, _>>()?;
    let mut waiting = Vec::new();
    for namespace in all {
        if tables_wait(connection, &namespace)? {
            waiting.push(namespace);
        }
    }
    Ok(waiting)
}

/// Lets tables on a namespace leave automatically again.
///
/// # Errors
/// `request.conflict` where none wait for this, `request.malformed` without a reason.
pub fn rebase(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::RecoverySign>,
    namespace: &Name,
    why: &str,
) -> Result<u64, DecideError> {
    let why = reason(why)?;
    if !tables_wait(tx, namespace)? {
        return Err(Refused::new(&refusal::CONFLICT).subject(namespace.as_str()).into());
    }
    let recovery = rollback::newest_recovery(tx)?;
    let who = permit.caller().principal();
    let body = serde_json::json!({
        "event": "recovery.rebased", "recovery": recovery, "namespace": namespace, "by": who.id, "org": who.org, "reason": why,
    });
    let leaf = journal.append(tx, LeafKind::Recovery, &body, &[&who.org])?.number();
    let sql = "INSERT OR REPLACE INTO rebased (namespace, recovery, reason, leaf) VALUES (?1, ?2, ?3, ?4)";
    tx.prepare_cached(sql).and_then(|mut s| s.execute(params![namespace, recovery, why, leaf])).map_err(StoreError::from)?;
    Ok(leaf)
}
