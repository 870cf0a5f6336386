//! The bundle of a release: fetched and checked by command, and tampered with in every way.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use fusebox::gate::{Part, verify};
use fusebox::tlog::{Verifier, WitnessKey};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use crate::support::{Client, Server, TempDir, fusebox};
use crate::witness::{Witness, cosigned_beyond, world};
use crate::world::Papers;

/// Runs `fusebox verify`; what it says as JSON, as text, and whether it is sound.
fn by_command(bundle: &Path, log_key: &str, witness_key: Option<&str>) -> (Value, String, bool) {
    let mut arguments = vec!["verify", bundle.to_str().unwrap(), "--log-key", log_key];
    if let Some(key) = witness_key {
        arguments.extend(["--witness-key", key]);
    }
    let (text, err, code) = fusebox(&arguments);
    arguments.push("--json");
    let (out, _, again) = fusebox(&arguments);
    assert_eq!(code, again);
    (serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")), text, code == 0)
}

/// `fusebox release bundle` as `who`.
fn fetch(server: &Server, who: &Client, release: &str, dir: &TempDir) -> std::path::PathBuf {
    let (token, file) = (dir.path().join("token"), dir.path().join(format!("{release}.zip")));
    std::fs::write(&token, &who.token).unwrap();
    let (_, err, code) = fusebox(&[
        "--server",
        &server.url,
        "--token-file",
        token.to_str().unwrap(),
        "release",
        "bundle",
        release,
        "-o",
        file.to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{err}");
    file
}

type Files = Vec<(String, Vec<u8>)>;

fn unzipped(bytes: &[u8]) -> Files {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..zip.len())
        .map(|at| {
            let mut entry = zip.by_index(at).unwrap();
            let (name, mut content) = (entry.name().unwrap().into_owned(), Vec::new());
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        })
        .collect()
}

/// The zip as the product spells it.
fn zipped(files: &Files) -> Vec<u8> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn bundles_of_a_table_and_of_a_model_are_checked_offline_and_every_changed_byte_is_named() {
    let mut witness = Witness::prepare();
    let world = world(&witness, true);
    let dir = TempDir::new();
    world.carry(&Papers::new("main"));
    let job = world.run(&world.job("main", &world.approved("credit-default-rate")));
    let table = world.output(&job);
    assert_eq!(table["state"], "released", "{table}");
    let (id, leaf) = (table["id"].as_str().unwrap().to_owned(), table["leaf"].as_u64().unwrap());
    // Released, and not yet to be read: the witness is not there.
    for path in ["artefact", "bundle"] {
        let error = world.checker().get(&format!("/v1/releases/{id}/{path}")).refused("release.unwitnessed");
        assert!(error["remedy_en"].as_str().unwrap().contains("witness"));
    }
    assert_eq!(world.server.anonymous().get("/log/checkpoint/cosigned").status, 404);
    witness.launch(&world.server.log_key);
    let cosigned = cosigned_beyond(&world, &witness, leaf);
    world.checker().get(&format!("/v1/releases/{id}/artefact")).good();

    let file = fetch(&world.server, &world.checker(), &id, &dir);
    let (told, text, sound) = by_command(&file, &world.server.log_key, Some(&witness.key));
    assert!(sound && text.contains("tax_grades of tax-bureau") && text.contains("cosigned by the witness"), "{text}");
    let checked = &told["checked"];
    assert!(checked["cosigned_at"].as_u64() >= Some(cosigned.time_s) && checked["reviewers"] == 0, "{told}");
    let manifest = &checked["manifest"];
    assert_eq!((&manifest["release"], &manifest["artefact_commitment"]), (&json!(id), &table["commitment"]));
    assert_eq!(manifest["agreement"]["id"], "main");
    let (_, text, sound) = by_command(&file, &world.server.log_key, None);
    assert!(sound && text.contains("was not checked"), "{text}");
    let (told, text, sound) = by_command(&file, &Server::start().log_key, None);
    assert!(!sound && told["part"] == "checkpoint" && text.contains("日志签名无效"), "{text}");
    let (told, _, sound) = by_command(&file, &world.server.log_key, Some(&Witness::prepare().key));
    assert!(!sound && told["part"] == "checkpoint", "{told}");

    // A held model: two signed votes, in the bundle.
    let job = world.run(&world.job("main", &world.approved("credit-scorecard")));
    let held = world.output(&job)["id"].as_str().unwrap().to_owned();
    world.checker().get(&format!("/v1/releases/{held}/bundle")).refused("release.held");
    world.operator().files(&held);
    assert_eq!(world.server.voted(&held, "approve", "sound")["state"], "released");
    let model = world.output(&job);
    cosigned_beyond(&world, &witness, model["leaf"].as_u64().unwrap());
    world.rival().get(&format!("/v1/releases/{held}/bundle")).refused("auth.role");
    let file = fetch(&world.server, &world.checker(), &held, &dir);
    let (told, text, sound) = by_command(&file, &world.server.log_key, Some(&witness.key));
    assert!(sound && told["checked"]["reviewers"] == 2, "{text}");
    assert!(text.contains("approved by reviewer-gao") && text.contains("approved by reviewer-tang"), "{text}");

    let keys = (Verifier::parse(&world.server.log_key).unwrap(), WitnessKey::parse(&witness.key).unwrap());
    tampered(&std::fs::read(&file).unwrap(), &keys);
    // One changed byte, as the command names it.
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(9).position(|w| w == b"intercept").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let (told, text, sound) = by_command(&file, &world.server.log_key, Some(&witness.key));
    assert!(!sound && told["part"] == "artefact.json" && text.contains("不可信"), "{text}");
}

fn tampered(bundle: &[u8], (log, witness): &(Verifier, WitnessKey)) {
    let judge = |bytes: &[u8]| verify(bytes, log, Some(witness));
    judge(bundle).unwrap();
    let files = unzipped(bundle);
    assert_eq!(zipped(&files), bundle, "the zip is spelled in the one way");

    // Every byte of the zip; and bytes of every file, with the zip mended around them (each one: the library's own test).
    let mut raw: BTreeMap<&str, usize> = BTreeMap::new();
    for at in 0..bundle.len() {
        let mut changed = bundle.to_vec();
        changed[at] ^= 1 << (at % 8);
        let fault = judge(&changed).expect_err(&format!("byte {at} of the zip"));
        *raw.entry(fault.part.file()).or_default() += 1;
    }
    eprintln!("{} changed bytes of the zip, by the part named: {raw:?}", bundle.len());
    let mut inside: BTreeMap<&str, usize> = BTreeMap::new();
    for (which, (name, content)) in files.iter().enumerate() {
        for at in (0..content.len()).step_by(1 + content.len() / 150) {
            let mut changed = files.clone();
            changed[which].1[at] ^= 1 << (at % 8);
            let fault = judge(&zipped(&changed)).expect_err(&format!("byte {at} of {name}"));
            assert_eq!(fault.part.file(), name, "byte {at}: {fault}");
            *inside.entry(fault.part.file()).or_default() += 1;
        }
    }
    assert_eq!(inside.len(), Part::FILES.len());
    eprintln!("{} changed bytes of the files, each named by its file: {inside:?}", inside.values().sum::<usize>());

    // Cut anywhere.
    for length in (0..bundle.len()).step_by(7) {
        assert!(judge(&bundle[..length]).is_err(), "{length} bytes");
    }
    let named = |files: &Files| judge(&zipped(files)).unwrap_err().to_string();
    let mut more = files.clone();
    more.push(("notes.txt".into(), b"x".to_vec()));
    assert!(named(&more).contains("notes.txt"), "{}", named(&more));
    let mut swapped = files.clone();
    swapped.swap(1, 2);
    assert!(named(&swapped).contains("not at its place"), "{}", named(&swapped));
    let mut less = files.clone();
    less.retain(|(name, _)| name != "agreement.json");
    assert_eq!(named(&less), "agreement.json: it is missing");
    // Deflated, as the headers say: method 8 in the local and in the central header of the first entry.
    let mut deflated = bundle.to_vec();
    let central = bundle.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    (deflated[8], deflated[central + 10]) = (8, 8);
    assert_eq!(judge(&deflated).unwrap_err().to_string(), "manifest.json: it is compressed; a bundle stores");
}
