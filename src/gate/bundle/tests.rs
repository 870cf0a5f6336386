//! Bundles made by hand, so that an attacker's can be made too.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use protocol::canonical::to_canonical_json;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::container::{self, Files};
use super::form::{DecisionFile, Manifest, ReviewFile, sha256};
use super::{Cause, Part, verify};
use crate::agreement::AgreementTerms;
use crate::gate::record::hex;
use crate::gate::review::{Choice, ReviewReason, review_message};
use crate::tlog::leaf::commit;
use crate::tlog::merkle::{Nodes, inclusion, root_at};
use crate::tlog::{Checkpoint, Cosigner, Leaf, LeafKind, Signer};

const RELEASE: &str = "rel_aaaaaaaaaaaaaaaa";
const SALT: [u8; 32] = [9; 32];
const QUANTUM: NonZeroU64 = NonZeroU64::new(60).unwrap();
const SIZE: u64 = 13;

fn log() -> Signer {
    Signer::from_seed("log.example/a", &[1; 32]).unwrap()
}

fn witness() -> Cosigner {
    Cosigner::from_seed("witness.example/w", &[2; 32]).unwrap()
}

/// What a bundle is made of, before anything is signed.
#[derive(Clone)]
struct Draft {
    artefact: Value,
    decision: Value,
    release: Value,
    review: Option<Value>,
    agreement: Option<Value>,
}

fn terms() -> Value {
    json!({
        "agreement": {
            "id": "agr-1", "operator": "opco", "authorisation": "auth-1", "application": "app-1", "plan": "credit",
            "purposes": ["credit_risk"], "recipients": ["opco"], "doors": ["table"], "term": { "from": "2026-01-01", "until": "2026-12-31" },
            "budgets": { "jobs_max": 10 }, "safeguards": "沙箱", "disposal": "销毁", "columns": { "tax_grades": ["grade"] },
        },
        "plan_digest": format!("sha256:{}", "0".repeat(64)), "providers": ["bureau"],
    })
}

fn vote(who: &str, seed: u8, commitment: &str) -> Value {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let message = review_message(&RELEASE.parse().unwrap(), 1, commitment, Choice::Approve, ReviewReason::Sound);
    json!({
        "release": RELEASE, "round": 1, "artefact_commitment": commitment, "decision": "approve", "reason": "sound", "by": who,
        "org": format!("{who}-office"), "key": format!("rkey-{who}"), "public_key": STANDARD.encode(pair.public_key().as_ref()),
        "signature": STANDARD.encode(pair.sign(message.as_bytes()).as_ref()), "clauses": ["Q41"], "leaf": 6, "salt": "00",
    })
}

/// The terms as the product spells them: its digest is over what it reads.
fn spelled(terms: Value) -> Value {
    let terms: AgreementTerms = serde_json::from_value(terms).unwrap();
    serde_json::to_value(terms).unwrap()
}

fn draft(held: bool) -> Draft {
    let artefact = json!({ "name": "by grade", "rows": [{ "keys": ["A"], "cell": { "shown": ["12", "0.5"] } }], "suppressed": 1 });
    let commitment = hex(&commit(&SALT, &to_canonical_json(&artefact).unwrap()));
    let agreement = spelled(terms());
    let facts = json!({
        "job": "job_aaaaaaaaaaaaaaaa", "org": "opco", "principal": "operator", "author_org": "opco", "agreement": "agr-1", "plan": "credit",
        "plan_digest": "0".repeat(64), "module": format!("sha256:{}", "1".repeat(64)), "engine_digest": "2".repeat(64),
        "purpose": "credit_risk", "recipient": "opco", "today": "2026-01-01",
        "sources": [{ "dataset": "tax_grades", "owner": "bureau", "version": 1, "consent_version": null, "columns": ["grade"] }],
    });
    let check = json!({ "rule": "table.cells", "clauses": ["Q41"], "threshold": "10 cells", "outcome": "2 cells" });
    Draft {
        decision: json!({
            "release": RELEASE, "name": "by grade", "kind": if held { "model" } else { "table" }, "state": if held { "held" } else { "released" },
            "refusal": null, "frozen": false, "checks": [check], "facts": facts, "policy": "3".repeat(64),
            "agreement_digest": format!("sha256:{}", sha256(&to_canonical_json(&agreement).unwrap())),
            "artefact_commitment": commitment, "job_commitment": "4".repeat(64),
        }),
        release: json!({ "release": RELEASE, "decision_leaf": 4, "recipient": "opco", "artefact_commitment": commitment }),
        review: held.then(|| {
            json!({
                "release": RELEASE, "round": 1, "outcome": "approved", "artefact_commitment": commitment,
                "votes": [vote("gao", 5, &commitment), vote("tang", 6, &commitment)], "veto_window_working_days": null,
            })
        }),
        agreement: Some(agreement),
        artefact,
    }
}

impl Draft {
    /// The files, in a log of `SIZE` leaves, but for the manifest.
    fn files(&self) -> Files {
        let bytes = |value: &Value| to_canonical_json(value).unwrap();
        let mut logged = vec![
            (Part::Decision, LeafKind::Decision, 4, bytes(&self.decision)),
            (Part::Release, LeafKind::Release, 9, bytes(&self.release)),
        ];
        logged.extend(self.review.as_ref().map(|r| (Part::Review, LeafKind::Review, 8, bytes(r))));
        let leaf = |number: u64| match logged.iter().find(|(_, _, n, _)| *n == number) {
            Some((_, kind, _, body)) => Leaf::new(*kind, 60 * number, QUANTUM, number, &[number as u8; 32], body),
            None => Leaf::new(LeafKind::Import, 60 * number, QUANTUM, number, &[0; 32], b"other"),
        };
        let nodes = Nodes::from_leaves((0..SIZE).map(|n| leaf(n).hash()));
        let checkpoint =
            Checkpoint { origin: log().verifier().name().into(), size: SIZE, root: root_at(SIZE, |l, i| nodes.node(l, i)).unwrap() };
        let note = Checkpoint::sign(&log(), SIZE, checkpoint.root).unwrap() + &witness().line(&checkpoint, 1_790_000_000);
        let proofs: Vec<Value> = logged
            .iter()
            .map(|(part, _, number, _)| {
                let path = inclusion(*number, SIZE, |l, i| nodes.node(l, i)).unwrap();
                json!({
                    "file": part.file(), "leaf": STANDARD.encode(leaf(*number).to_bytes()), "salt": STANDARD.encode([*number as u8; 32]),
                    "inclusion": path.iter().map(ToString::to_string).collect::<Vec<_>>(),
                })
            })
            .collect();
        let mut files: Files = vec![(Part::Artefact, bytes(&self.artefact))];
        files.extend(logged.into_iter().map(|(part, _, _, body)| (part, body)));
        files.extend(self.agreement.as_ref().map(|a| (Part::Agreement, bytes(a))));
        files.push((Part::Proof, bytes(&json!({ "artefact_salt": STANDARD.encode(SALT), "leaves": proofs }))));
        files.push((Part::Checkpoint, note.into_bytes()));
        files
    }

    fn bundle(&self) -> Vec<u8> {
        container::write(&complete(self.files())).unwrap()
    }

    /// What is found wrong where the log itself holds this draft.
    fn fault(&self) -> (Part, Cause) {
        judged(&self.bundle())
    }
}

/// With the manifest that follows; what an attacker would give, who may write all but signatures.
fn complete(mut files: Files) -> Files {
    files.retain(|(part, _)| *part != Part::Manifest);
    let read = |part: Part| files.iter().find(|(p, _)| *p == part).map(|(_, bytes)| bytes.as_slice());
    let decision: DecisionFile = serde_json::from_slice(read(Part::Decision).unwrap()).unwrap();
    let review: Option<ReviewFile> = read(Part::Review).map(|bytes| serde_json::from_slice(bytes).unwrap());
    let note = String::from_utf8(read(Part::Checkpoint).unwrap().to_vec()).unwrap();
    let checkpoint = Checkpoint::parse(&format!("{}\n", note.split_once("\n\n").unwrap().0)).unwrap();
    let manifest = to_canonical_json(&Manifest::of(&decision, review.as_ref(), checkpoint, &files)).unwrap();
    files.insert(0, (Part::Manifest, manifest));
    files
}

fn judged(bytes: &[u8]) -> (Part, Cause) {
    let fault = verify(bytes, log().verifier(), Some(witness().verifier())).unwrap_err();
    assert!(!fault.to_string().is_empty() && fault.zh().chars().any(|c| c > '\u{4e00}'), "{fault}");
    (fault.part, fault.cause)
}

#[test]
fn sound_bundles() {
    for held in [false, true] {
        let bundle = draft(held).bundle();
        let checked = verify(&bundle, log().verifier(), Some(witness().verifier())).unwrap();
        assert_eq!((checked.log_size, checked.cosigned_at, checked.unknown_signatures), (SIZE, Some(1_790_000_000), 0));
        assert_eq!((checked.release.as_str(), checked.reviewers), (RELEASE, if held { 2 } else { 0 }));
        assert_eq!(checked.manifest["sources"][0]["dataset"], "tax_grades");
        assert_eq!(checked.manifest["providers"], json!(["bureau"]));
        let alone = verify(&bundle, log().verifier(), None).unwrap();
        assert_eq!((alone.cosigned_at, alone.unknown_signatures), (None, 1));
    }
}

/// Every byte of every file, with the zip made anew around it: found, and the file is named.
#[test]
fn every_changed_byte_of_a_file_is_found_and_its_file_named() {
    let files = container::read(&draft(true).bundle()).unwrap();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (which, (part, content)) in files.iter().enumerate() {
        for at in 0..content.len() {
            let mut changed = files.clone();
            changed[which].1[at] ^= 1;
            let (found, cause) = judged(&container::write(&changed).unwrap());
            assert_eq!(found, *part, "byte {at} of {}: {cause:?}", part.file());
            *named.entry(found.file()).or_default() += 1;
        }
    }
    eprintln!("{} bytes, by the file named: {named:?}", named.values().sum::<usize>());
}

/// Every byte of the zip as it lies on a disk.
#[test]
fn every_changed_byte_of_the_zip_is_found() {
    let bundle = draft(false).bundle();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for at in 0..bundle.len() {
        let mut changed = bundle.clone();
        changed[at] ^= 1;
        *named.entry(judged(&changed).0.file()).or_default() += 1;
    }
    eprintln!("{} bytes, by the part named: {named:?}", bundle.len());
}

/// Without the witness's key nothing vouches for its line but the manifest.
#[test]
fn a_changed_cosignature_is_found_without_the_witness_s_key() {
    let files = container::read(&draft(false).bundle()).unwrap();
    let checkpoint = files.iter().position(|(part, _)| *part == Part::Checkpoint).unwrap();
    for at in 0..files[checkpoint].1.len() {
        let mut changed = files.clone();
        changed[checkpoint].1[at] ^= 1;
        let fault = verify(&container::write(&changed).unwrap(), log().verifier(), None).unwrap_err();
        assert_eq!(fault.part, Part::Checkpoint, "byte {at}: {fault}");
    }
}

/// Someone who may write whatever he likes, the manifest included, but has no key.
#[test]
fn whoever_has_no_key_changes_nothing() {
    let files = draft(true).files();
    let change = |part: Part, to: &dyn Fn(&mut Value)| {
        let mut files = files.clone();
        let (_, bytes) = files.iter_mut().find(|(p, _)| *p == part).unwrap();
        let mut value: Value = serde_json::from_slice(bytes).unwrap();
        to(&mut value);
        *bytes = to_canonical_json(&value).unwrap();
        judged(&container::write(&complete(files)).unwrap())
    };
    assert_eq!(change(Part::Artefact, &|v| v["rows"][0]["cell"]["shown"][0] = json!("13")), (Part::Artefact, Cause::Artefact));
    assert_eq!(change(Part::Decision, &|v| v["checks"] = json!([])), (Part::Decision, Cause::Opening));
    assert_eq!(change(Part::Release, &|v| v["recipient"] = json!("rival")), (Part::Release, Cause::Opening));
    assert_eq!(change(Part::Review, &|v| v["votes"][0]["by"] = json!("xie")), (Part::Review, Cause::Opening));
    assert_eq!(change(Part::Agreement, &|v| v["agreement"]["disposal"] = json!("none")), (Part::Agreement, Cause::Terms));
    assert_eq!(change(Part::Proof, &|v| v["leaves"][0]["salt"] = v["leaves"][1]["salt"].clone()), (Part::Decision, Cause::Opening));
    assert_eq!(change(Part::Proof, &|v| v["leaves"][0]["inclusion"][0] = v["leaves"][1]["inclusion"][0].clone()).1, Cause::Inclusion);
    assert_eq!(change(Part::Proof, &|v| v["more"] = json!(1)), (Part::Proof, Cause::Form));
    // The leaf of another event in place of the decision's.
    assert!(matches!(change(Part::Proof, &|v| v["leaves"].as_array_mut().unwrap().swap(0, 1)).0, Part::Proof));
    let without = |part: Part| {
        let mut files = complete(files.clone());
        files.retain(|(p, _)| *p != part);
        judged(&container::write(&files).unwrap())
    };
    for part in Part::FILES {
        let (named, cause) = without(part);
        let as_its_leaf = part == Part::Review && named == Part::Proof;
        assert!((named == part && cause == Cause::Missing) || as_its_leaf, "{part:?}: {named:?} {cause:?}");
    }
}

/// What a log could hold and no gate writes: it is judged too.
#[test]
fn a_log_that_holds_nonsense_makes_no_sound_bundle() {
    let with = |held: bool, change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(held);
        change(&mut draft);
        draft.fault()
    };
    assert_eq!(with(true, &|d| d.review = None), (Part::Review, Cause::Missing));
    assert_eq!(with(true, &|d| d.decision["state"] = json!("released")), (Part::Review, Cause::Unwanted));
    assert_eq!(with(true, &|d| d.decision["state"] = json!("denied")), (Part::Decision, Cause::Other));
    let review = |change: &dyn Fn(&mut Value)| with(true, &|d| change(d.review.as_mut().unwrap()));
    assert_eq!(review(&|r| r["votes"][1] = r["votes"][0].clone()), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["votes"][1]["public_key"] = r["votes"][0]["public_key"].clone()), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["votes"][1]["decision"] = json!("deny")), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["votes"][1]["org"] = json!("opco")), (Part::Review, Cause::Votes), "the operator's own");
    let approver = |d: &mut Draft| d.decision["facts"]["module_approver"] = json!("gao");
    assert_eq!(with(true, &approver), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["votes"][1]["round"] = json!(2)), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["outcome"] = json!("denied")), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["votes"].as_array_mut().unwrap().truncate(1)), (Part::Review, Cause::Votes));
    assert_eq!(review(&|r| r["votes"][1]["signature"] = r["votes"][0]["signature"].clone()), (Part::Review, Cause::VoteSignature));
    assert_eq!(with(false, &|d| d.release["decision_leaf"] = json!(3)), (Part::Release, Cause::Other));
    assert_eq!(with(false, &|d| d.release["release"] = json!("rel_bbbbbbbbbbbbbbbb")), (Part::Release, Cause::Other));
    assert_eq!(with(false, &|d| d.agreement = None), (Part::Agreement, Cause::Missing));
    assert_eq!(with(false, &|d| d.decision["facts"]["plan_digest"] = json!("5".repeat(64))), (Part::Agreement, Cause::Other));
    assert_eq!(with(false, &|d| d.decision["agreement_digest"] = Value::Null), (Part::Decision, Cause::Form));
}

#[test]
fn keys_that_are_not_the_right_ones() {
    let bundle = draft(false).bundle();
    let other = Signer::from_seed("log.example/a", &[3; 32]).unwrap();
    let fault = verify(&bundle, other.verifier(), None).unwrap_err();
    assert!(fault.part == Part::Checkpoint && matches!(fault.cause, Cause::Log(_)), "{fault}");
    let other = Cosigner::from_seed("witness.example/w", &[3; 32]).unwrap();
    let fault = verify(&bundle, log().verifier(), Some(other.verifier())).unwrap_err();
    assert!(fault.part == Part::Checkpoint && matches!(fault.cause, Cause::Witness(_)), "{fault}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(verify(&bytes, log().verifier(), None).is_err());
    }

    /// Pieces cut out, doubled, and overwritten.
    #[test]
    fn a_bundle_cut_and_mended_is_an_error(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..60, 0_u8..4, any::<u8>()), 1..5),
    ) {
        let good = draft(true).bundle();
        let mut bytes = good.clone();
        for (at, length, what, byte) in edits {
            let from = at.index(bytes.len());
            let to = (from + length).min(bytes.len());
            match what {
                0 => drop(bytes.drain(from..to)),
                1 => {
                    let piece = bytes[from..to].to_vec();
                    drop(bytes.splice(from..from, piece));
                }
                2 => bytes[from..to].fill(byte),
                _ => bytes[from] ^= byte,
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        prop_assert_eq!(verify(&bytes, log().verifier(), Some(witness().verifier())).is_ok(), bytes == good);
    }
}
