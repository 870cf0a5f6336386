//! Who may sign in: one organisation and one role each (clauses: X31, C18; system, security and audit administration are three
//! people, so nobody has two roles).

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use super::authz::Permit;
use super::{PolicyError, actions};
use crate::clock::Timestamp;
use crate::id::{OrgId, PrincipalId};
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

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident = $text:literal;)*) => {
        /// What a principal is for. The columns of the permission matrix.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Role { $($(#[$doc])* $role,)* }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$role),*];
            /// Its name in policies, requests and the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$role => $text),* }
            }
        }
    };
}

roles! {
    /// Competent data authority (大数据主管部门).
    Authority = "authority";
    /// Data provider (数源部门).
    Provider = "provider";
    /// Authorised operator (授权运营主体).
    Operator = "operator";
    /// Researcher of an operator.
    Researcher = "researcher";
    /// Output checker: reviews modules and outputs of other organisations.
    OutputChecker = "output_checker";
    /// System administrator.
    SystemAdmin = "system_admin";
    /// Security administrator: accounts, tokens, keys.
    SecurityAdmin = "security_admin";
    /// Auditor: reads the log.
    Auditor = "auditor";
}

impl std::str::FromStr for Role {
    type Err = PolicyError;
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::ALL.iter().find(|r| r.as_str() == text).copied().ok_or(Refused::new(&refusal::MALFORMED).into())
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

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

/// Someone who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Principal {
    /// Name of the account.
    pub id: PrincipalId,
    /// Organisation.
    pub org: OrgId,
    /// Role.
    pub role: Role,
    /// Whether it may sign in; a closed account stays, so that the log's names keep their meaning.
    pub active: bool,
}

impl Principal {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get("id")?, org: row.get("org")?, role: row.get("role")?, active: row.get("active")? })
    }
}

/// A principal whose token was verified. Made by [`super::token::authenticate`] only.
///
/// ```compile_fail,E0451
/// fn forge(principal: fusebox::policy::Principal) -> fusebox::policy::Caller {
///     fusebox::policy::Caller { principal }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    principal: Principal,
}

impl Caller {
    pub(super) fn verified(principal: Principal) -> Self {
        Self { principal }
    }
    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
    /// A caller that no token stands behind.
    #[cfg(test)]
    pub fn for_tests(id: &str, org: &str, role: Role) -> Self {
        Self::verified(Principal { id: id.parse().unwrap(), org: org.parse().unwrap(), role, active: true })
    }
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
    Ok(statement.query_row([id], Principal::from_row).optional()?)
}

/// Every principal, by name.
pub fn list(connection: &Connection) -> Result<Vec<Principal>, PolicyError> {
    let mut statement = connection.prepare_cached("SELECT id, org, role, active FROM principal ORDER BY id")?;
    let rows = statement.query_map([], Principal::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
