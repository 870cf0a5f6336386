//! Issuers of consent tokens: whose signature lets a question be asked about a subject. Registered by a provider or the authority; an operator
//! is none, for it would consent in its subjects' place.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::decide::DecideError;
use super::hex;
use crate::clock::Timestamp;
use crate::id::{Name, OrgId, PrincipalId};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// An issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct IssuerRow {
    /// Its name, which tokens bear.
    pub id: Name,
    /// The organisation that signs.
    pub org: OrgId,
    /// Ed25519 public key, hexadecimal.
    pub public_key: String,
    /// The organisation that registered it.
    pub registered_org: OrgId,
    /// Who registered it.
    pub registered_by: PrincipalId,
    /// From when on tokens are taken.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
    /// Set once it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What is registered.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// From when on tokens are taken.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
}

/// Whether an organisation is an operator's: authorised, party to an agreement as one, or with somebody who acts as one.
fn operates(connection: &Connection, org: &OrgId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM authorisation WHERE operator = ?1) OR EXISTS (SELECT 1 FROM agreement WHERE operator = ?1)
               OR EXISTS (SELECT 1 FROM principal WHERE org = ?1 AND role IN ('operator', 'researcher'))";
    Ok(connection.prepare_cached(sql)?.query_row([org], |r| r.get(0))?)
}

/// Registers an issuer, with its leaf.
///
/// # Errors
/// `issuer.operator`, `request.malformed` where it is valid for no time, `request.conflict` where the name is taken.
pub fn register_issuer(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::IssuerRegister>,
    new: &NewIssuer,
    now: Timestamp,
) -> Result<IssuerRow, DecideError> {
    let (thing, who) = (permit.resource(), permit.caller().principal());
    if operates(tx, &thing.org)? {
        return Err(Refused::new(&refusal::ISSUER_OPERATOR).subject(thing.org.as_str()).into());
    }
    if new.valid_from >= new.valid_until {
        return Err(Refused::new(&refusal::MALFORMED).subject("valid_until").into());
    }
    if issuer(tx, &thing.id)?.is_some() {
        return Err(Refused::new(&refusal::CONFLICT).subject(thing.id.as_str()).into());
    }
    let sql = "INSERT INTO issuer (id, org, public_key, registered_org, registered_by, registered_at, valid_from, valid_until)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let values = params![thing.id, thing.org, new.public_key, who.org, who.id, now, new.valid_from, new.valid_until];
    tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(StoreError::from)?;
    let row = issuer(tx, &thing.id)?.ok_or(StoreError::Fault)?;
    let body = serde_json::json!({ "event": "issuer.registered", "issuer": row, "by": who.id });
    let _ = journal.append(tx, LeafKind::Issuer, &body, &[&who.org, &thing.org])?;
    Ok(row)
}

/// Revokes an issuer: no token of it is taken any more.
///
/// # Errors
/// `request.conflict` where it was revoked.
pub fn revoke_issuer(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::IssuerRevoke>,
    reason: &str,
    now: Timestamp,
) -> Result<IssuerRow, DecideError> {
    let (thing, who) = (permit.resource(), permit.caller().principal());
    let sql = "UPDATE issuer SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    let changed = tx.prepare_cached(sql).and_then(|mut s| s.execute(params![thing.id, now])).map_err(StoreError::from)?;
    if changed == 0 {
        return Err(Refused::new(&refusal::CONFLICT).subject(thing.id.as_str()).into());
    }
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let body = serde_json::json!({ "event": "issuer.revoked", "issuer": thing.id, "by": who.id, "org": who.org, "reason": reason });
    let _ = journal.append(tx, LeafKind::Issuer, &body, &[&who.org, &thing.org])?;
    Ok(issuer(tx, &thing.id)?.ok_or(StoreError::Fault)?)
}

const COLUMNS: &str = "id, org, public_key, registered_org, registered_by, valid_from, valid_until, revoked_at";

fn row(r: &Row<'_>) -> rusqlite::Result<IssuerRow> {
    Ok(IssuerRow {
        id: r.get(0)?,
        org: r.get(1)?,
        public_key: hex(&r.get::<_, Vec<u8>>(2)?),
        registered_org: r.get(3)?,
        registered_by: r.get(4)?,
        valid_from: r.get(5)?,
        valid_until: r.get(6)?,
        revoked_at: r.get(7)?,
    })
}

/// An issuer by name.
///
/// # Errors
/// What the store says.
pub fn issuer(connection: &Connection, id: &Name) -> Result<Option<IssuerRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM issuer WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], row).optional()?)
}

/// All issuers, by name.
///
/// # Errors
/// What the store says.
pub fn issuers(connection: &Connection) -> Result<Vec<IssuerRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM issuer ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([], row)?.collect::<Result<_, _>>()?)
}

/// The public key under which a token of this issuer is taken now.
///
/// # Errors
/// `token.issuer` where none of this name is registered, `token.issuer_revoked` where it is revoked or out of its time, `issuer.operator`
/// where its organisation has become an operator.
pub(super) fn key_in_force(connection: &Connection, id: &Name, now: Timestamp) -> Result<Vec<u8>, DecideError> {
    let found = issuer(connection, id)?.ok_or_else(|| Refused::new(&refusal::TOKEN_ISSUER).subject(id.as_str()))?;
    if found.revoked_at.is_some() || now < found.valid_from || now >= found.valid_until {
        return Err(Refused::new(&refusal::TOKEN_ISSUER_REVOKED).subject(id.as_str()).into());
    }
    if operates(connection, &found.org)? {
        return Err(Refused::new(&refusal::ISSUER_OPERATOR).subject(found.org.as_str()).into());
    }
    let key = connection.prepare_cached("SELECT public_key FROM issuer WHERE id = ?1").and_then(|mut s| s.query_row([id], |r| r.get(0)));
    Ok(key.map_err(StoreError::from)?)
}
