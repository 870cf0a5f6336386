//! Entries, versions and plans in the store. Documents hold declarations, never rows; rows are in segments.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{CatalogueEntry, FusionPlan};
use crate::clock::Timestamp;
use crate::id::{DatasetId, OrgId, PlanId, PrincipalId};
use crate::policy::{Permit, PolicyError, actions};
use crate::refusal::{self, Refused};
use crate::store::{Migration, StoreError, Tx};

/// Tables of the catalogue.
pub const MIGRATION: Migration = Migration {
    name: "catalog-1",
    sql: "CREATE TABLE catalogue_entry (
              dataset TEXT NOT NULL, revision INTEGER NOT NULL, owner TEXT NOT NULL, document TEXT NOT NULL,
              registered_by TEXT NOT NULL, registered_at INTEGER NOT NULL, PRIMARY KEY (dataset, revision)) STRICT;
          CREATE TABLE dataset_version (
              dataset TEXT NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL, entry_revision INTEGER NOT NULL,
              row_count INTEGER NOT NULL, rejected INTEGER NOT NULL, imported_by TEXT NOT NULL, imported_at INTEGER NOT NULL,
              PRIMARY KEY (dataset, kind, version)) STRICT;
          CREATE TABLE plan (
              id TEXT PRIMARY KEY, org TEXT NOT NULL, document TEXT NOT NULL, submitted_by TEXT NOT NULL, submitted_at INTEGER NOT NULL) STRICT;",
};

/// A catalogue entry as it is kept.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// Its revision, from 1.
    pub revision: u32,
    /// The declaration.
    pub entry: CatalogueEntry,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// Registers an entry, or a new revision of it by the same owner.
///
/// # Errors
/// `request.conflict` where another organisation has the identifier, or where a revision changes the columns of a dataset that
/// holds versions.
pub fn register(tx: &Tx<'_>, permit: Permit<actions::DatasetRegister>, entry: &CatalogueEntry, now: Timestamp) -> Result<u32, PolicyError> {
    let thing = permit.resource();
    let refuse = |rule| Err(PolicyError::from(Refused::new(rule).subject(entry.id.as_str())));
    if thing.id != entry.id || thing.org != *entry.owner() {
        return refuse(&refusal::FORBIDDEN);
    }
    let revision = match self::entry(tx, &entry.id)? {
        None => 1,
        Some(before) if before.entry.owner() != entry.owner() => return refuse(&refusal::CONFLICT),
        // Levels, classes and frequency may change under imported rows; what the rows were validated against may not.
        Some(before) if !same_shape(&before.entry, entry) && latest(tx, &entry.id, VersionKind::Data)?.is_some() => {
            return refuse(&refusal::CONFLICT);
        }
        Some(before) => before.revision + 1,
    };
    let by = &permit.caller().principal().id;
    tx.execute(
        "INSERT INTO catalogue_entry VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![entry.id, revision, entry.owner(), entry.to_toml(), by, now],
    )?;
    Ok(revision)
}

fn same_shape(before: &CatalogueEntry, now: &CatalogueEntry) -> bool {
    before.columns == now.columns
        && before.consent_unit == now.consent_unit
        && before.personal_information == now.personal_information
        && before.origin == now.origin
        && before.unique == now.unique
}

fn entry_row(r: &Row<'_>) -> rusqlite::Result<(u32, String, Timestamp)> {
    Ok((r.get(0)?, r.get(1)?, r.get(2)?))
}

fn parsed((revision, document, registered_at): (u32, String, Timestamp)) -> Result<EntryRow, StoreError> {
    let entry = CatalogueEntry::parse(&document).map_err(|_| StoreError::Malformed("catalogue entry"))?;
    Ok(EntryRow { revision, entry, registered_at })
}

/// The newest revision of an entry.
///
/// # Errors
/// What the store says.
pub fn entry(connection: &Connection, dataset: &DatasetId) -> Result<Option<EntryRow>, StoreError> {
    let sql = "SELECT revision, document, registered_at FROM catalogue_entry WHERE dataset = ?1 ORDER BY revision DESC LIMIT 1";
    connection.prepare_cached(sql)?.query_row([dataset], entry_row).optional()?.map(parsed).transpose()
}

/// One revision of an entry.
///
/// # Errors
/// What the store says.
pub fn entry_at(connection: &Connection, dataset: &DatasetId, revision: u32) -> Result<Option<EntryRow>, StoreError> {
    let sql = "SELECT revision, document, registered_at FROM catalogue_entry WHERE dataset = ?1 AND revision = ?2";
    connection.prepare_cached(sql)?.query_row(params![dataset, revision], entry_row).optional()?.map(parsed).transpose()
}

/// The newest revision of every entry, by identifier.
///
/// # Errors
/// What the store says.
pub fn entries(connection: &Connection) -> Result<Vec<EntryRow>, StoreError> {
    let sql = "SELECT revision, document, registered_at FROM catalogue_entry AS e
               WHERE revision = (SELECT max(revision) FROM catalogue_entry WHERE dataset = e.dataset) ORDER BY dataset";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], entry_row)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(parsed).collect()
}

/// What a version is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionKind {
    /// Rows of the dataset.
    Data,
    /// Its consent table.
    Consent,
}

impl VersionKind {
    fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Consent => "consent",
        }
    }
    /// Name of the segment that holds `column` of such a version. Columns have no full stop, so the two never meet.
    pub fn segment(self, column: &str) -> String {
        match self {
            Self::Data => column.to_owned(),
            Self::Consent => format!("consent.{column}"),
        }
    }
}

/// An imported version.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VersionRow {
    /// The dataset.
    pub dataset: DatasetId,
    /// Of rows or of consent.
    pub kind: VersionKind,
    /// From 1, for each kind.
    pub version: u32,
    /// Revision of the entry that it was validated against.
    pub entry_revision: u32,
    /// Rows taken.
    pub rows: u64,
    /// Rows left out.
    pub rejected: u64,
    /// Who imported it.
    pub imported_by: PrincipalId,
    /// When.
    pub imported_at: Timestamp,
}

/// Makes a version known. Its segments are recorded in the same transaction.
///
/// # Errors
/// `request.conflict` where the version is there already (two imports at once), or the entry was revised meanwhile.
pub fn record_version(tx: &Tx<'_>, row: &VersionRow) -> Result<(), PolicyError> {
    let expected = latest(tx, &row.dataset, row.kind)?.map_or(1, |v| v.version + 1);
    let revision = entry(tx, &row.dataset)?.map(|e| e.revision);
    if row.version != expected || revision != Some(row.entry_revision) {
        return Err(Refused::new(&refusal::CONFLICT).subject(row.dataset.as_str()).into());
    }
    tx.execute(
        "INSERT INTO dataset_version VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![row.dataset, row.kind.word(), row.version, row.entry_revision, row.rows, row.rejected, row.imported_by, row.imported_at],
    )?;
    Ok(())
}

/// Versions of a kind, newest first.
///
/// # Errors
/// What the store says.
pub fn versions(connection: &Connection, dataset: &DatasetId, kind: VersionKind) -> Result<Vec<VersionRow>, StoreError> {
    let sql = "SELECT version, entry_revision, row_count, rejected, imported_by, imported_at FROM dataset_version
               WHERE dataset = ?1 AND kind = ?2 ORDER BY version DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![dataset, kind.word()], |r| {
        Ok(VersionRow {
            dataset: dataset.clone(),
            kind,
            version: r.get(0)?,
            entry_revision: r.get(1)?,
            rows: r.get(2)?,
            rejected: r.get(3)?,
            imported_by: r.get(4)?,
            imported_at: r.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest version of a kind.
///
/// # Errors
/// What the store says.
pub fn latest(connection: &Connection, dataset: &DatasetId, kind: VersionKind) -> Result<Option<VersionRow>, StoreError> {
    Ok(versions(connection, dataset, kind)?.into_iter().next())
}

/// Forgets every version of a dataset: its key was destroyed.
///
/// # Errors
/// What the store says.
pub fn forget_versions(tx: &Tx<'_>, dataset: &DatasetId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM dataset_version WHERE dataset = ?1", [dataset])?;
    Ok(())
}

/// A plan as it is kept.
#[derive(Debug, Clone)]
pub struct PlanRow {
    /// The operator that submitted it.
    pub org: OrgId,
    /// The plan.
    pub plan: FusionPlan,
    /// When it was submitted.
    pub submitted_at: Timestamp,
}

/// Keeps a plan. A plan is never changed: an agreement pins its digest.
///
/// # Errors
/// `request.conflict` where another plan has the identifier.
pub fn submit_plan(tx: &Tx<'_>, permit: Permit<actions::PlanSubmit>, plan: &FusionPlan, now: Timestamp) -> Result<(), PolicyError> {
    let thing = permit.resource();
    if thing.id != plan.id {
        return Err(Refused::new(&refusal::FORBIDDEN).into());
    }
    if let Some(before) = self::plan(tx, &plan.id)? {
        let same = before.org == thing.org && before.plan.digest() == plan.digest();
        return if same { Ok(()) } else { Err(Refused::new(&refusal::CONFLICT).subject(plan.id.as_str()).into()) };
    }
    tx.execute(
        "INSERT INTO plan VALUES (?1, ?2, ?3, ?4, ?5)",
        params![plan.id, thing.org, plan.to_toml(), permit.caller().principal().id, now],
    )?;
    Ok(())
}

fn plan_row(r: &Row<'_>) -> rusqlite::Result<(OrgId, String, Timestamp)> {
    Ok((r.get(0)?, r.get(1)?, r.get(2)?))
}

fn parsed_plan((org, document, submitted_at): (OrgId, String, Timestamp)) -> Result<PlanRow, StoreError> {
    let plan = FusionPlan::parse(&document).map_err(|_| StoreError::Malformed("plan"))?;
    Ok(PlanRow { org, plan, submitted_at })
}

/// A plan by name.
///
/// # Errors
/// What the store says.
pub fn plan(connection: &Connection, id: &PlanId) -> Result<Option<PlanRow>, StoreError> {
    let sql = "SELECT org, document, submitted_at FROM plan WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], plan_row).optional()?.map(parsed_plan).transpose()
}

/// Every plan, by identifier.
///
/// # Errors
/// What the store says.
pub fn plans(connection: &Connection) -> Result<Vec<PlanRow>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT org, document, submitted_at FROM plan ORDER BY id")?;
    let rows = statement.query_map([], plan_row)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(parsed_plan).collect()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
