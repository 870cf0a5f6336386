//! A stop on releases: one action stops all of them, those with data of one organisation, or those that rest on one dataset; in-flight
//! ones included, for it is judged in the transaction that would release.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::decide::{DecideError, JobFacts};
use super::record::ReleaseRow;
use crate::clock::Timestamp;
use crate::id::{DatasetId, OrgId};
use crate::policy::{Permit, Principal, Role, actions};
use crate::refusal::{self, Refused};
use crate::store::{Migration, StoreError, Tx};
use crate::tlog::{Journal, LeafKind, rollback};

/// Freezes of one dataset.
pub const MIGRATION: Migration = Migration { name: "gate-freeze-2", sql: "ALTER TABLE freeze ADD COLUMN dataset TEXT;" };

/// What a release rests on, as freezes look at it.
#[derive(Debug, Clone)]
pub struct Reach<'a> {
    /// Owners of the inputs, the operator left out.
    pub providers: &'a BTreeSet<OrgId>,
    /// The operator.
    pub operator: &'a OrgId,
    /// The catalogue entries that were read.
    pub datasets: BTreeSet<&'a DatasetId>,
}

impl<'a> Reach<'a> {
    /// Of a job's outputs.
    pub fn of(facts: &'a JobFacts, providers: &'a BTreeSet<OrgId>) -> Self {
        Self { providers, operator: &facts.org, datasets: facts.sources.iter().map(|s| &s.dataset).collect() }
    }
}

impl ReleaseRow {
    /// What freezes look at.
    pub(super) fn reach(&self) -> Reach<'_> {
        Reach::of(&self.facts, &self.providers)
    }
}

/// A freeze that stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Frozen {
    /// Its number.
    pub id: i64,
    /// Releases with data of this organisation; `None`: all. Beside `dataset`: its owner.
    pub org: Option<OrgId>,
    /// Releases that rest on this dataset only.
    pub dataset: Option<DatasetId>,
    /// Organisation that set it.
    pub set_by: OrgId,
}

impl Frozen {
    /// Whether it stops a release of this reach.
    fn stops(&self, reach: &Reach<'_>) -> bool {
        match (&self.dataset, &self.org) {
            (Some(dataset), _) => reach.datasets.contains(dataset),
            (None, Some(org)) => reach.providers.contains(org) || org == reach.operator,
            (None, None) => true,
        }
    }
}

/// Why nothing of this reach may leave now, if nothing may: the database was put back from an older copy, or a freeze stands over it.
///
/// # Errors
/// What the store says.
pub fn stopped(connection: &Connection, reach: &Reach<'_>) -> Result<Option<Refused>, StoreError> {
    if rollback::standing(connection)?.is_some() {
        return Ok(Some(Refused::new(&refusal::LOG_ROLLED_BACK)));
    }
    Ok(all_standing(connection)?.iter().any(|f| f.stops(reach)).then(|| Refused::new(&refusal::FROZEN)))
}

/// Every freeze that stands, oldest first.
///
/// # Errors
/// What the store says.
pub fn all_standing(connection: &Connection) -> Result<Vec<Frozen>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, org, dataset, set_by FROM freeze WHERE lifted_at IS NULL ORDER BY id")?;
    let rows = statement.query_map([], |r| Ok(Frozen { id: r.get(0)?, org: r.get(1)?, dataset: r.get(2)?, set_by: r.get(3)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether `who` gets what was released before: while something stops it, only those who see it before it leaves too.
pub(super) fn opens(connection: &Connection, row: &ReleaseRow, who: &Principal) -> Result<(), DecideError> {
    let reviews = who.role == Role::Authority || who.role == Role::OutputChecker && who.org != row.org;
    match stopped(connection, &row.reach())?.filter(|_| !reviews) {
        Some(refused) => Err(refused.into()),
        None => Ok(()),
    }
}

/// Sets a freeze: of all releases, of those with data of the permit's organisation, or of those that rest on `dataset`, which has to be
/// that organisation's.
///
/// # Errors
/// What the store says.
pub fn set(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::FreezeSet>,
    dataset: Option<DatasetId>,
    reason: &str,
    now: Timestamp,
) -> Result<Frozen, DecideError> {
    let org = permit.resource().org.clone();
    let who = permit.caller().principal();
    let sql = "INSERT INTO freeze (org, dataset, set_by, reason, set_at) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
    let reason: String = reason.chars().take(500).collect();
    let values = params![org, dataset, who.org, reason, now];
    let id: i64 = tx.prepare_cached(sql).and_then(|mut s| s.query_row(values, |r| r.get(0))).map_err(StoreError::from)?;
    let body = serde_json::json!({ "freeze": id, "scope": org, "dataset": dataset, "by": who.id, "org": who.org, "reason": reason });
    let _ = journal.append(tx, LeafKind::Freeze, &body, &[&who.org])?;
    Ok(Frozen { id, org, dataset, set_by: who.org.clone() })
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
