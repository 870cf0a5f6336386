//! What was released is opened, and what is held to its reviewers.

use rusqlite::Connection;
use serde::Serialize;
use zeroize::Zeroizing;

use super::decide::DecideError;
use super::freeze;
use super::record::{ReleaseRow, ReleaseState, find, part};
use crate::policy::{Permit, Role, actions};
use crate::refusal::{self, Refused};
use crate::store::artefacts::Artefacts;
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind, cosigned};

/// What left, with the manifest that says where it comes from. Only the gate builds one.
#[derive(Debug, Serialize)]
pub struct Released {
    manifest: ReleaseRow,
    #[serde(serialize_with = "as_json")]
    artefact: Zeroizing<Vec<u8>>,
}

fn as_json<S: serde::Serializer>(bytes: &Zeroizing<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(serde::ser::Error::custom)?;
    value.serialize(s)
}

impl Released {
    /// The manifest.
    pub fn manifest(&self) -> &ReleaseRow {
        &self.manifest
    }
    /// The artefact, canonical JSON.
    pub fn artefact(&self) -> &[u8] {
        &self.artefact
    }
}

/// Opens what was released. While a freeze stands over it, for those only who may see it before it leaves too; where a witness is required, only once it has cosigned a log that holds the release.
///
/// # Errors
/// `release.frozen`, `release.held` or `release.denied` in any other state, `release.unwitnessed`, `request.not_found`.
pub fn open(
    connection: &Connection,
    artefacts: &Artefacts,
    permit: Permit<actions::ReleaseRead>,
    witness_required: bool,
) -> Result<Released, DecideError> {
    let manifest = find(connection, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    match manifest.state {
        ReleaseState::Released => {}
        ReleaseState::Held => return Err(Refused::new(&refusal::RELEASE_HELD).into()),
        ReleaseState::ApprovedPending => return Err(Refused::new(&refusal::RELEASE_PENDING).into()),
        ReleaseState::Denied | ReleaseState::Refused => return Err(Refused::new(&refusal::RELEASE_DENIED).into()),
    }
    freeze::opens(connection, &manifest, permit.caller().principal())?;
    if witness_required {
        let cosigned = cosigned::newest(connection)?.map_or(0, |(size, _)| size);
        if manifest.release_leaf.is_none_or(|leaf| leaf >= cosigned) {
            return Err(Refused::new(&refusal::RELEASE_UNWITNESSED).into());
        }
    }
    let artefact = artefacts.read(connection, &manifest.id, &part("artefact")?)?.ok_or(StoreError::Malformed("artefact"))?;
    Ok(Released { manifest, artefact })
}

/// What a reviewer sees of an output that is held: the artefact as it would leave, and the evidence. Each opening is a leaf. A checker gets
/// one of what has not left only while its vote is wanted.
///
/// # Errors
/// `review.no_duty`, `request.not_found`, or what the store says.
pub fn review_copy(
    tx: &Tx<'_>,
    artefacts: &Artefacts,
    journal: &Journal,
    permit: Permit<actions::ReleaseEvidenceRead>,
) -> Result<serde_json::Value, DecideError> {
    let manifest = find(tx, &permit.resource().id)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let who = permit.caller().principal();
    let left = matches!(manifest.state, ReleaseState::Released | ReleaseState::Refused);
    if !left && who.role == Role::OutputChecker && !super::review::has_duty(tx, &manifest, who)? {
        return Err(Refused::new(&refusal::REVIEW_NO_DUTY).into());
    }
    let value = evidence(tx, artefacts, &manifest)?;
    let body = serde_json::json!({ "release": manifest.id, "by": who.id, "org": who.org });
    let _ = journal.append(tx, LeafKind::ReviewCopy, &body, &[&who.org])?;
    Ok(value)
}

/// Artefact and evidence of an output, for those whose permit was judged.
fn evidence(connection: &Connection, artefacts: &Artefacts, row: &ReleaseRow) -> Result<serde_json::Value, StoreError> {
    let read = |name: &str| -> Result<serde_json::Value, StoreError> {
        if row.state == ReleaseState::Refused {
            return Ok(serde_json::Value::Null);
        }
        let bytes = artefacts.read(connection, &row.id, &part(name)?)?.ok_or(StoreError::Malformed("artefact"))?;
        serde_json::from_slice(&bytes).map_err(|_| StoreError::Malformed("artefact"))
    };
    Ok(serde_json::json!({ "artefact": read("artefact")?, "evidence": read("evidence")? }))
}
