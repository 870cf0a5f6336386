//! A bundle judged with public keys only. Every byte of it is hostile; what is wrong is named by file, the first thing first.
//!
//! Order: the zip, the form of the files, then from the log's key downwards: checkpoint, leaves, bodies, artefact, votes, terms; the
//! manifest last, for it only repeats. Where two files contradict each other, the one that the manifest does not know is named.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use protocol::canonical::to_canonical_json;
use serde::Serialize;
use serde_json::Value;

use super::super::record::{ReleaseState, hex};
use super::super::review::{Choice, CountedVote, RoundOutcome};
use super::Part;
use super::container::{self, Files};
use super::fault::{Cause, Fault};
use super::form::{DecisionFile, FileLine, LeafProof, Manifest, ProofFile, ReleaseFile, ReviewFile, bytes32, parse, sha256};
use crate::agreement::AgreementTerms;
use crate::id::ReleaseId;
use crate::tlog::leaf::commit;
use crate::tlog::merkle::verify_inclusion;
use crate::tlog::note::{Note, NoteError};
use crate::tlog::{Checkpoint, Leaf, LeafKind, Verifier, WitnessKey};

/// What a bundle that holds was found to say.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The release.
    pub release: ReleaseId,
    /// Its manifest.
    pub manifest: Value,
    /// Leaves of the signed tree.
    pub log_size: u64,
    /// When the witness cosigned it, seconds since 1970; `None` where no key of a witness was given: then a log that shows another history
    /// to others is not found.
    pub cosigned_at: Option<u64>,
    /// Signatures on the checkpoint of keys that were not given.
    pub unknown_signatures: usize,
    /// Reviewers whose signatures hold. That their keys were enrolled, the log's operator vouches for: compare the fingerprints.
    pub reviewers: usize,
}

/// Verifies a bundle.
///
/// # Errors
/// The first thing wrong.
pub fn verify(bytes: &[u8], log: &Verifier, witness: Option<&WitnessKey>) -> Result<Checked, Fault> {
    let read = Read::of(bytes)?;
    let (checkpoint, unknown_signatures, cosigned_at) = read.checkpoint(log, witness)?;
    let proof: ProofFile = parse(Part::Proof, read.file(Part::Proof)?)?;
    let numbers = read.leaves(&proof, &checkpoint)?;
    let decision: DecisionFile = parse(Part::Decision, read.file(Part::Decision)?)?;
    read.release(&decision, numbers)?;
    read.artefact(&decision, &proof)?;
    let review = read.review(&decision)?;
    read.agreement(&decision)?;
    let expected = Manifest::of(&decision, review.as_ref(), checkpoint.clone(), &read.files);
    let manifest = read.manifest(&expected, unknown_signatures)?;
    Ok(Checked {
        release: decision.release,
        manifest,
        log_size: checkpoint.size,
        cosigned_at,
        unknown_signatures,
        reviewers: review.map_or(0, |r| r.votes.len()),
    })
}

/// The files, and which of them the manifest does not know.
struct Read {
    files: Files,
    manifest: Value,
    strange: Vec<Part>,
}

impl Read {
    fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let files = container::read(bytes)?;
        // Review and agreement are called for by the decision only.
        let needed = [Part::Manifest, Part::Artefact, Part::Decision, Part::Release, Part::Proof, Part::Checkpoint];
        if let Some(part) = needed.into_iter().find(|part| !files.iter().any(|(p, _)| p == part)) {
            return Err(Fault::new(part, Cause::Missing));
        }
        let mut read = Self { files, manifest: Value::Null, strange: Vec::new() };
        read.manifest = parse(Part::Manifest, read.file(Part::Manifest)?)?;
        let lines: Vec<FileLine> = read.manifest.get("files").and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
        let known = |part: Part, bytes: &[u8]| lines.iter().any(|line| line.name == part.file() && line.sha256 == sha256(bytes));
        read.strange = read.files.iter().filter(|(part, bytes)| !known(*part, bytes)).map(|(part, _)| *part).collect();
        Ok(read)
    }

    fn file(&self, wanted: Part) -> Result<&[u8], Fault> {
        let found = self.files.iter().find(|(part, _)| *part == wanted);
        found.map(|(_, bytes)| bytes.as_slice()).ok_or(Fault { part: wanted, cause: Cause::Missing })
    }

    fn has(&self, wanted: Part) -> bool {
        self.files.iter().any(|(part, _)| *part == wanted)
    }

    /// Of two files that contradict each other, the one that the manifest does not know; else the first.
    fn blame(&self, [first, second]: [Part; 2], cause: Cause) -> Fault {
        let second_only = self.strange.contains(&second) && !self.strange.contains(&first);
        Fault::new(if second_only { second } else { first }, cause)
    }

    fn checkpoint(&self, log: &Verifier, witness: Option<&WitnessKey>) -> Result<(Checkpoint, usize, Option<u64>), Fault> {
        let bytes = self.file(Part::Checkpoint)?;
        let fault = |cause| Fault::new(Part::Checkpoint, cause);
        let verified = Checkpoint::verify(bytes, log).map_err(|e| fault(Cause::Log(e)))?;
        let note = Note::parse(bytes).map_err(|e| fault(Cause::Log(e.into())))?;
        let at = witness.map(|key| key.cosigned_at(&note)).transpose().map_err(|e: NoteError| fault(Cause::Witness(e)))?;
        let unknown = verified.unknown_signatures.saturating_sub(witness.map_or(0, |key| key.lines(&note)));
        Ok((verified.checkpoint, unknown, at))
    }

    /// Every leaf stands in the signed tree and commits to its file; the numbers of decision and release.
    fn leaves(&self, proof: &ProofFile, checkpoint: &Checkpoint) -> Result<[u64; 2], Fault> {
        let review = self.has(Part::Review).then_some((Part::Review, LeafKind::Review));
        let wanted: Vec<_> = [(Part::Decision, LeafKind::Decision), (Part::Release, LeafKind::Release)].into_iter().chain(review).collect();
        let named: Vec<&str> = proof.leaves.iter().map(|leaf| leaf.file.as_str()).collect();
        if named != wanted.iter().map(|(part, _)| part.file()).collect::<Vec<_>>() {
            return Err(Fault::new(Part::Proof, Cause::Form));
        }
        let mut numbers = Vec::new();
        for (leaf, (part, kind)) in proof.leaves.iter().zip(wanted) {
            numbers.push(self.leaf(leaf, part, kind, checkpoint)?);
        }
        match numbers.as_slice() {
            [decision, release, ..] => Ok([*decision, *release]),
            _ => Err(Fault::new(Part::Proof, Cause::Form)),
        }
    }

    fn leaf(&self, proof: &LeafProof, part: Part, kind: LeafKind, checkpoint: &Checkpoint) -> Result<u64, Fault> {
        let fault = |cause| Fault::new(Part::Proof, cause);
        let form = || fault(Cause::Form);
        let bytes = STANDARD.decode(&proof.leaf).map_err(|_| form())?;
        let leaf = Leaf::parse(&bytes).map_err(|e| fault(Cause::Leaf(Some(e))))?;
        let (salt, path) = (bytes32(&proof.salt).ok_or_else(form)?, proof.path().ok_or_else(form)?);
        verify_inclusion(&leaf.hash(), leaf.number, checkpoint.size, &path, &checkpoint.root)
            .map_err(|_| self.blame([Part::Proof, Part::Checkpoint], Cause::Inclusion))?;
        if leaf.kind != kind {
            return Err(fault(Cause::Leaf(None)));
        }
        if !leaf.opens(&salt, self.file(part)?) {
            return Err(self.blame([part, Part::Proof], Cause::Opening));
        }
        Ok(leaf.number)
    }

    fn release(&self, decision: &DecisionFile, [decision_leaf, _]: [u64; 2]) -> Result<(), Fault> {
        let release: ReleaseFile = parse(Part::Release, self.file(Part::Release)?)?;
        let same = release.release == decision.release
            && release.decision_leaf == decision_leaf
            && release.recipient == decision.facts.recipient
            && release.artefact_commitment == decision.artefact_commitment;
        if same { Ok(()) } else { Err(Fault::new(Part::Release, Cause::Other)) }
    }

    fn artefact(&self, decision: &DecisionFile, proof: &ProofFile) -> Result<(), Fault> {
        let salt = bytes32(&proof.artefact_salt).ok_or(Fault { part: Part::Proof, cause: Cause::Form })?;
        if hex(&commit(&salt, self.file(Part::Artefact)?)) == decision.artefact_commitment {
            return Ok(());
        }
        Err(self.blame([Part::Artefact, Part::Proof], Cause::Artefact))
    }

    /// Two approvals by people who may review it, where the decision was to hold; none where it was to release.
    fn review(&self, decision: &DecisionFile) -> Result<Option<ReviewFile>, Fault> {
        let fault = |cause| Fault::new(Part::Review, cause);
        match (decision.state, self.has(Part::Review)) {
            (ReleaseState::Released, false) => return Ok(None),
            (ReleaseState::Released, true) => return Err(fault(Cause::Unwanted)),
            (ReleaseState::Held, true) => {}
            (ReleaseState::Held, false) => return Err(fault(Cause::Missing)),
            _ => return Err(Fault::new(Part::Decision, Cause::Other)),
        }
        let review: ReviewFile = parse(Part::Review, self.file(Part::Review)?)?;
        let [first, second] = review.votes.as_slice() else { return Err(fault(Cause::Votes)) };
        let two = first.vote.by != second.vote.by && first.vote.public_key != second.vote.public_key;
        let approves = |CountedVote { vote, .. }: &CountedVote| {
            vote.decision == Choice::Approve
                && vote.reason.approves()
                && (&vote.release, vote.round) == (&decision.release, review.round)
                && vote.artefact_commitment == decision.artefact_commitment
        };
        // As the gate keeps people apart.
        let facts = &decision.facts;
        let apart = |CountedVote { vote, .. }: &CountedVote| {
            vote.org != facts.org && vote.org != facts.author_org && facts.module_approver.as_ref() != Some(&vote.by)
        };
        let of_this = review.release == decision.release && review.artefact_commitment == decision.artefact_commitment;
        if !two || !of_this || review.outcome != RoundOutcome::Approved || ![first, second].into_iter().all(|v| approves(v) && apart(v)) {
            return Err(fault(Cause::Votes));
        }
        if ![first, second].into_iter().all(|v| v.vote.verify()) {
            return Err(fault(Cause::VoteSignature));
        }
        Ok(Some(review))
    }

    fn agreement(&self, decision: &DecisionFile) -> Result<(), Fault> {
        let fault = |cause| Fault::new(Part::Agreement, cause);
        let (id, digest) = match (&decision.facts.agreement, decision.agreement_digest, self.has(Part::Agreement)) {
            (None, None, false) => return Ok(()),
            (None, None, true) => return Err(fault(Cause::Unwanted)),
            (Some(id), Some(digest), true) => (id, digest),
            (Some(_), Some(_), false) => return Err(fault(Cause::Missing)),
            _ => return Err(Fault::new(Part::Decision, Cause::Form)),
        };
        let bytes = self.file(Part::Agreement)?;
        if format!("sha256:{}", sha256(bytes)) != digest.to_string() {
            return Err(fault(Cause::Terms));
        }
        let terms: AgreementTerms = parse(Part::Agreement, bytes)?;
        let plan = terms.plan_digest.to_string();
        let same = terms.agreement.id == *id && plan.strip_prefix("sha256:") == Some(decision.facts.plan_digest.as_str());
        if same { Ok(()) } else { Err(fault(Cause::Other)) }
    }

    /// The manifest is the one that follows from the files.
    fn manifest(self, expected: &Manifest, unknown_signatures: usize) -> Result<Value, Fault> {
        let form = || Fault::new(Part::Manifest, Cause::Form);
        let expected = to_canonical_json(expected).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok()).ok_or_else(form)?;
        if expected == self.manifest {
            return Ok(self.manifest);
        }
        // A signature of a key that was not given is vouched for by nothing else.
        if self.strange.contains(&Part::Checkpoint) && unknown_signatures > 0 {
            return Err(Fault::new(Part::Checkpoint, Cause::Digest));
        }
        let (Some(said), Some(follows)) = (self.manifest.as_object(), expected.as_object()) else { return Err(form()) };
        let differs = follows.iter().find(|(name, value)| said.get(*name) != Some(value)).map(|(name, _)| name);
        let more = said.keys().find(|name| !follows.contains_key(*name));
        Err(Fault::new(Part::Manifest, Cause::Field(differs.or(more).cloned().unwrap_or_default())))
    }
}
