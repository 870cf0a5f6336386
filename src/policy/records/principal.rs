//! Accounts in the store.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use super::PolicyError;
use crate::clock::Timestamp;
use crate::id::PrincipalId;
use crate::policy::{Permit, actions};
pub use crate::policy::{Principal, Role};
use crate::refusal::{self, Refused};
use crate::store::{Migration, Tx};

/// Tables of principals and tokens. A token is stored as a keyed hash only.
pub const MIGRATION: Migration = Migration {
    name: "principal-1",
    sql: "
CREATE TABLE principal (
    id         TEXT NOT NULL PRIMARY KEY,
    org        TEXT NOT NULL,
    role       TEXT NOT NULL,
    active     INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE token (
    hash       BLOB NOT NULL PRIMARY KEY,
    principal  TEXT NOT NULL REFERENCES principal (id),
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_principal ON token (principal);
",
};

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
    }
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Principal> {
    Ok(Principal { id: row.get("id")?, org: row.get("org")?, role: row.get("role")?, active: row.get("active")? })
}

/// Makes the account that the permit is for.
///
/// # Errors
/// `request.conflict` where the name was ever used.
pub fn create(tx: &Tx<'_>, permit: Permit<actions::PrincipalCreate>, now: Timestamp) -> Result<Principal, PolicyError> {
    let account = permit.resource();
    let principal = Principal { id: account.name.clone(), org: account.org.clone(), role: account.role, active: true };
    insert(tx, &principal, now)?;
    Ok(principal)
}

pub(super) fn insert(tx: &Tx<'_>, p: &Principal, now: Timestamp) -> Result<(), PolicyError> {
    if get(tx, &p.id)?.is_some() {
        return Err(Refused::new(&refusal::CONFLICT).subject(p.id.as_str()).into());
    }
    tx.execute("INSERT INTO principal VALUES (?1, ?2, ?3, ?4, ?5)", (&p.id, &p.org, p.role, p.active, now))?;
    Ok(())
}

/// Closes the account and ends its tokens. The last active security administrator stays, or nobody could make another.
///
/// # Errors
/// `request.conflict` for that one.
pub fn deactivate(tx: &Tx<'_>, permit: Permit<actions::PrincipalDeactivate>) -> Result<(), PolicyError> {
    let id = &permit.resource().name;
    let others: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM principal WHERE role = ?1 AND active AND id <> ?2)",
        (Role::SecurityAdmin, id),
        |row| row.get(0),
    )?;
    if !others {
        return Err(Refused::new(&refusal::CONFLICT).subject(id.as_str()).into());
    }
    tx.execute("UPDATE principal SET active = FALSE WHERE id = ?1", [id])?;
    tx.execute("DELETE FROM token WHERE principal = ?1", [id])?;
    Ok(())
}

/// The principal of this name, closed ones too.
pub fn get(connection: &Connection, id: &PrincipalId) -> Result<Option<Principal>, PolicyError> {
    let mut statement = connection.prepare_cached("SELECT id, org, role, active FROM principal WHERE id = ?1")?;
    Ok(statement.query_row([id], from_row).optional()?)
}

/// Every principal, by name.
pub fn list(connection: &Connection) -> Result<Vec<Principal>, PolicyError> {
    let mut statement = connection.prepare_cached("SELECT id, org, role, active FROM principal ORDER BY id")?;
    let rows = statement.query_map([], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
