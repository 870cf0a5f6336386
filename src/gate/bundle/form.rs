//! The forms of a bundle's files, and the manifest that follows from them.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use protocol::canonical::to_canonical_json;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::super::checks::Check;
use super::super::decide::{JobFacts, OutputKind, SourceFact};
use super::super::record::{ReleaseState, hex};
use super::super::review::{CountedVote, RoundOutcome, fingerprint};
use super::fault::{Cause, Fault};
use super::{FORMAT, Part};
use crate::agreement::Digest;
use crate::id::{JobId, ModuleDigest, Name, OrgId, PrincipalId, ReleaseId};
use crate::tlog::Checkpoint;
use crate::tlog::merkle::Hash;

/// Body of the decision's leaf, as it is read.
#[derive(Deserialize)]
pub(super) struct DecisionFile {
    pub(super) release: ReleaseId,
    pub(super) name: String,
    pub(super) kind: OutputKind,
    pub(super) state: ReleaseState,
    pub(super) checks: Vec<Check>,
    pub(super) facts: JobFacts,
    pub(super) policy: String,
    pub(super) agreement_digest: Option<Digest>,
    pub(super) artefact_commitment: String,
}

/// Body of the release's leaf.
#[derive(Deserialize)]
pub(super) struct ReleaseFile {
    pub(super) release: ReleaseId,
    pub(super) decision_leaf: u64,
    pub(super) recipient: OrgId,
    pub(super) artefact_commitment: String,
}

/// Body of the review's leaf.
#[derive(Deserialize)]
pub(super) struct ReviewFile {
    pub(super) release: ReleaseId,
    pub(super) round: u32,
    pub(super) outcome: RoundOutcome,
    pub(super) artefact_commitment: String,
    pub(super) votes: Vec<CountedVote>,
}

/// A leaf, what opens it, and the way from it to the root.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeafProof {
    /// The file with its body.
    pub(super) file: String,
    /// 56 bytes, base64.
    pub(super) leaf: String,
    /// 32 bytes, base64.
    pub(super) salt: String,
    /// Hashes in base64, from the leaf upwards (RFC 6962 §2.1.1).
    pub(super) inclusion: Vec<String>,
}

/// `proof.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofFile {
    /// Salt of the artefact's commitment, 32 bytes, base64.
    pub(super) artefact_salt: String,
    /// The leaves, in the order of their files.
    pub(super) leaves: Vec<LeafProof>,
}

impl LeafProof {
    pub(super) fn path(&self) -> Option<Vec<Hash>> {
        self.inclusion.iter().map(|hash| Hash::parse(hash)).collect()
    }
}

/// 32 bytes in base64, of the one spelling.
pub(super) fn bytes32(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A file of canonical JSON.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(part: Part, bytes: &[u8]) -> Result<T, Fault> {
    let form = || Fault::new(part, Cause::Form);
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| form())?;
    if to_canonical_json(&value).ok().as_deref() != Some(bytes) {
        return Err(form());
    }
    serde_json::from_value(value).map_err(|_| form())
}

#[derive(Serialize)]
struct Named<I, D> {
    id: I,
    digest: D,
}

#[derive(Serialize)]
struct Reviewer {
    by: PrincipalId,
    org: OrgId,
    key: Name,
    fingerprint: String,
}

/// A file in the manifest's list.
#[derive(Serialize, Deserialize)]
pub(super) struct FileLine {
    pub(super) name: String,
    bytes: usize,
    /// SHA-256, hexadecimal.
    pub(super) sha256: String,
}

/// `manifest.json`: it says nothing that the other files do not, and follows from them.
#[derive(Serialize)]
pub(super) struct Manifest {
    format: &'static str,
    release: ReleaseId,
    job: JobId,
    name: String,
    kind: OutputKind,
    operator: OrgId,
    recipient: OrgId,
    purpose: String,
    sources: Vec<SourceFact>,
    providers: BTreeSet<OrgId>,
    plan: Named<String, String>,
    module: Option<ModuleDigest>,
    engine: String,
    policy: String,
    agreement: Option<Named<String, Digest>>,
    rules: Vec<String>,
    reviewers: Vec<Reviewer>,
    artefact_commitment: String,
    log: Checkpoint,
    files: Vec<FileLine>,
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

impl Manifest {
    /// The manifest of these files.
    pub(super) fn of(decision: &DecisionFile, review: Option<&ReviewFile>, log: Checkpoint, files: &[(Part, Vec<u8>)]) -> Self {
        let facts = &decision.facts;
        let votes = review.map(|r| r.votes.as_slice()).unwrap_or_default();
        let reviewer = |CountedVote { vote, .. }: &CountedVote| Reviewer {
            by: vote.by.clone(),
            org: vote.org.clone(),
            key: vote.key.clone(),
            fingerprint: STANDARD.decode(&vote.public_key).map(|key| fingerprint(&key)).unwrap_or_default(),
        };
        let line = |(part, bytes): &(Part, Vec<u8>)| FileLine { name: part.file().to_owned(), bytes: bytes.len(), sha256: sha256(bytes) };
        let agreement = facts.agreement.as_ref().zip(decision.agreement_digest);
        Self {
            format: FORMAT,
            release: decision.release.clone(),
            job: facts.job.clone(),
            name: decision.name.clone(),
            kind: decision.kind,
            operator: facts.org.clone(),
            recipient: facts.recipient.clone(),
            purpose: facts.purpose.clone(),
            sources: facts.sources.clone(),
            providers: facts.providers(),
            plan: Named { id: facts.plan.to_string(), digest: facts.plan_digest.clone() },
            module: facts.module.clone(),
            engine: facts.engine_digest.clone(),
            policy: decision.policy.clone(),
            agreement: agreement.map(|(id, digest)| Named { id: id.to_string(), digest }),
            rules: decision.checks.iter().map(|check| check.rule.clone()).collect(),
            reviewers: votes.iter().map(reviewer).collect(),
            artefact_commitment: decision.artefact_commitment.clone(),
            log,
            files: files.iter().filter(|(part, _)| *part != Part::Manifest).map(line).collect(),
        }
    }
}
