//! Reviewers' keys. A reviewer enrols the public half; it counts once the security administrator has confirmed its fingerprint, told
//! on another way than the token's. So a stolen token alone makes no reviewer, and neither does the administrator without an account.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::super::decide::DecideError;
use super::super::record::hex;
use crate::clock::Timestamp;
use crate::id::{Name, OrgId, PrincipalId, random_name};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// A reviewer's key.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReviewerKey {
    /// Its name.
    pub id: Name,
    /// Whose.
    pub principal: PrincipalId,
    /// Of which organisation.
    pub org: OrgId,
    /// Ed25519 public key, 32 bytes in base64.
    pub public_key: String,
    /// SHA-256 of the 32 bytes, `sha256:` and hexadecimal: what the reviewer tells the administrator.
    pub fingerprint: String,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When it was confirmed; before, it signs nothing.
    pub confirmed_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// `sha256:` and 64 hexadecimal digits of a public key.
pub fn fingerprint(public_key: &[u8]) -> String {
    format!("sha256:{}", hex(digest::digest(&digest::SHA256, public_key).as_ref()))
}

const COLUMNS: &str = "id, principal, org, public_key, enrolled_at, confirmed_at, revoked_at";

fn row(r: &Row<'_>) -> rusqlite::Result<ReviewerKey> {
    let key: Vec<u8> = r.get(3)?;
    Ok(ReviewerKey {
        id: r.get(0)?,
        principal: r.get(1)?,
        org: r.get(2)?,
        public_key: STANDARD.encode(&key),
        fingerprint: fingerprint(&key),
        enrolled_at: r.get(4)?,
        confirmed_at: r.get(5)?,
        revoked_at: r.get(6)?,
    })
}

/// A key by name.
///
/// # Errors
/// What the store says.
pub fn reviewer_key(connection: &Connection, id: &Name) -> Result<Option<ReviewerKey>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM reviewer_key WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], row).optional()?)
}

/// Every key, newest first; the caller leaves out what may not be seen.
///
/// # Errors
/// What the store says.
pub fn reviewer_keys(connection: &Connection) -> Result<Vec<ReviewerKey>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM reviewer_key ORDER BY enrolled_at DESC, rowid DESC LIMIT 500");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The confirmed keys of a reviewer whose account is open.
pub(super) fn confirmed(connection: &Connection, who: &PrincipalId) -> Result<Vec<ReviewerKey>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM reviewer_key WHERE principal = ?1 AND confirmed_at IS NOT NULL AND revoked_at IS NULL
         AND EXISTS (SELECT 1 FROM principal p WHERE p.id = principal AND p.active)"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([who], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A reviewer enrols its own public key. A key that anyone ever enrolled is nobody else's: two votes need two keys.
///
/// # Errors
/// `request.malformed` where it is not 32 bytes, `request.conflict` where it is known.
pub fn enrol_key(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::ReviewerKeyEnrol>,
    public_key: &[u8],
    now: Timestamp,
) -> Result<ReviewerKey, DecideError> {
    let key: [u8; 32] = public_key.try_into().map_err(|_| Refused::new(&refusal::MALFORMED).subject("public_key"))?;
    let who = permit.caller().principal();
    let id = random_name("rkey-").map_err(StoreError::from)?;
    let sql = "INSERT OR IGNORE INTO reviewer_key (id, principal, org, public_key, enrolled_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    if tx.execute(sql, params![id, who.id, who.org, key, now]).map_err(StoreError::from)? != 1 {
        return Err(Refused::new(&refusal::CONFLICT).subject("public_key").into());
    }
    tell(tx, journal, "reviewer_key.enrolled", (&id, &fingerprint(&key)), (&who.id, &who.org))?;
    Ok(reviewer_key(tx, &id)?.ok_or(StoreError::Fault)?)
}

/// The security administrator confirms a key by the fingerprint that its reviewer told.
///
/// # Errors
/// `review.fingerprint` where it is another, `request.conflict` where it was confirmed or revoked.
pub fn confirm_key(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::ReviewerKeyConfirm>,
    told: &str,
    now: Timestamp,
) -> Result<ReviewerKey, DecideError> {
    let id = &permit.resource().id;
    let key = reviewer_key(tx, id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    if told != key.fingerprint {
        return Err(Refused::new(&refusal::REVIEW_FINGERPRINT).into());
    }
    let sql = "UPDATE reviewer_key SET confirmed_at = ?2 WHERE id = ?1 AND confirmed_at IS NULL AND revoked_at IS NULL";
    if tx.execute(sql, params![id, now]).map_err(StoreError::from)? != 1 {
        return Err(Refused::new(&refusal::CONFLICT).subject(id.as_str()).into());
    }
    tell(tx, journal, "reviewer_key.confirmed", (id, &key.fingerprint), (&permit.caller().principal().id, &key.org))?;
    Ok(reviewer_key(tx, id)?.ok_or(StoreError::Fault)?)
}

/// Revokes a key. A vote under it that was not counted yet is void, and an approval that was not carried out yet is denied.
///
/// # Errors
/// `request.conflict` where it was revoked.
pub fn revoke_reviewer_key(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::ReviewerKeyRevoke>,
    now: Timestamp,
) -> Result<(), DecideError> {
    let id = &permit.resource().id;
    let key = reviewer_key(tx, id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let sql = "UPDATE reviewer_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    if tx.execute(sql, params![id, now]).map_err(StoreError::from)? != 1 {
        return Err(Refused::new(&refusal::CONFLICT).subject(id.as_str()).into());
    }
    tell(tx, journal, "reviewer_key.revoked", (id, &key.fingerprint), (&permit.caller().principal().id, &key.org))?;
    Ok(())
}

fn tell(
    tx: &Tx<'_>,
    journal: &Journal,
    event: &str,
    (key, fingerprint): (&Name, &str),
    (by, org): (&PrincipalId, &OrgId),
) -> Result<(), StoreError> {
    let body = serde_json::json!({ "event": event, "key": key, "fingerprint": fingerprint, "by": by });
    let _ = journal.append(tx, LeafKind::KeyChange, &body, &[org])?;
    Ok(())
}
