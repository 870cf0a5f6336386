//! A bundle out of the store.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::super::decide::{DecideError, canonical};
use super::super::opened::open;
use super::super::record::{ReleaseRow, SALT, part};
use super::super::review::{RoundOutcome, rounds};
use super::Part;
use super::container::{self, Files};
use super::form::{DecisionFile, LeafProof, Manifest, ProofFile, ReviewFile};
use crate::agreement::records;
use crate::policy::{Permit, PolicyError, actions};
use crate::store::StoreError;
use crate::store::artefacts::Artefacts;
use crate::tlog::{Checkpoint, Journal, Reader, cosigned, journal, merkle};

/// A bundle. Only the gate makes one, of what was released.
pub struct Bundle(Zeroizing<Vec<u8>>);

impl Bundle {
    /// The bytes of the file.
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}

/// Where leaves and proofs come from.
struct Sources<'a> {
    connection: &'a Connection,
    journal: &'a Journal,
}

/// The bundle of a release: under the newest cosigned checkpoint that holds it, else under the newest one.
///
/// # Errors
/// As [`open`]; a fault of ours where a part is not there.
pub fn bundle(
    (connection, artefacts, journal): (&Connection, &Artefacts, &Journal),
    permit: Permit<actions::ReleaseRead>,
    witness_required: bool,
) -> Result<Bundle, DecideError> {
    let released = open(connection, artefacts, permit, witness_required)?;
    let (row, from) = (released.manifest(), Sources { connection, journal });
    let release_leaf = row.release_leaf.ok_or(StoreError::Malformed("a release without its leaf"))?;
    let (checkpoint, note) = from.checkpoint(release_leaf)?;

    let mut leaves = vec![(Part::Decision, row.decision_leaf), (Part::Release, release_leaf)];
    leaves.extend(from.review_leaf(row)?.map(|leaf| (Part::Review, leaf)));
    let (mut files, mut proofs) = (Files::new(), Vec::new());
    files.push((Part::Artefact, released.artefact().to_vec()));
    for (part, number) in leaves {
        let (body, proof) = from.leaf(part, number, checkpoint.size)?;
        files.push((part, body));
        proofs.push(proof);
    }
    if let Some(id) = &row.facts.agreement {
        let agreement = records::agreement(connection, id).map_err(|error| match error {
            PolicyError::Store(error) => error,
            PolicyError::Refused(_) => StoreError::Fault,
        })?;
        files.push((Part::Agreement, canonical(&agreement.ok_or(StoreError::Malformed("the agreement of a release"))?.terms)?));
    }
    let salt = artefacts.read(connection, &row.id, &part(SALT)?)?.ok_or(StoreError::Malformed("the salt of a release"))?;
    files.push((Part::Proof, canonical(&ProofFile { artefact_salt: STANDARD.encode(salt.as_slice()), leaves: proofs })?));
    files.push((Part::Checkpoint, note.into_bytes()));

    let body = |wanted: Part| files.iter().find(|(part, _)| *part == wanted).map(|(_, bytes)| bytes.as_slice());
    let malformed = |_| StoreError::Malformed("the body of a leaf");
    let decision: DecisionFile = serde_json::from_slice(body(Part::Decision).unwrap_or_default()).map_err(malformed)?;
    let review: Option<ReviewFile> = body(Part::Review).map(serde_json::from_slice).transpose().map_err(malformed)?;
    let manifest = canonical(&Manifest::of(&decision, review.as_ref(), checkpoint, &files))?;
    files.insert(0, (Part::Manifest, manifest));
    let bytes = container::write(&files).ok_or(StoreError::Malformed("a bundle is too large"))?;
    Ok(Bundle(Zeroizing::new(bytes)))
}

impl Sources<'_> {
    /// The checkpoint that the proofs lead to.
    fn checkpoint(&self, release_leaf: u64) -> Result<(Checkpoint, String), StoreError> {
        let cosigned = cosigned::newest(self.connection)?.filter(|(size, _)| release_leaf < *size);
        let (_, note) = match cosigned {
            Some(found) => found,
            None => journal::checkpoint(self.connection)?.ok_or(StoreError::Malformed("a log without a checkpoint"))?,
        };
        let malformed = StoreError::Malformed("checkpoint");
        let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
        match text.and_then(|text| Checkpoint::parse(&text).ok()) {
            Some(checkpoint) => Ok((checkpoint, note)),
            None => Err(malformed),
        }
    }

    /// Leaf of the round that approved it, where it was held.
    fn review_leaf(&self, row: &ReleaseRow) -> Result<Option<u64>, StoreError> {
        let last = rounds(self.connection, &row.id)?.pop().filter(|round| round.outcome == Some(RoundOutcome::Approved));
        Ok(last.and_then(|round| round.review_leaf))
    }

    /// Body and proof of a leaf in the tree of `size` leaves.
    fn leaf(&self, part: Part, number: u64, size: u64) -> Result<(Vec<u8>, LeafProof), StoreError> {
        let opened = self.journal.open(self.connection, number, Reader::All)?.ok_or(StoreError::Malformed("the leaf of a release"))?;
        let path = merkle::inclusion(number, size, |level, index| journal::node(self.connection, level, index));
        let path = path.map_err(|_| StoreError::Malformed("log nodes"))?;
        let proof = LeafProof {
            file: part.file().to_owned(),
            leaf: STANDARD.encode(opened.leaf),
            salt: STANDARD.encode(opened.salt),
            inclusion: path.iter().map(ToString::to_string).collect(),
        };
        Ok((opened.body.into_bytes(), proof))
    }
}
