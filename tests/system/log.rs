//! The published log as a supervisor has it: a folder, a public key, and a checkpoint remembered from before.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fusebox::tlog::{Cause, Leaf, Remembered, Source, Verifier, verify};
use serde_json::json;

use crate::random::Random;
use crate::support::{Server, fusebox};
use crate::world::{Papers, World};

/// A log in memory, so that thousands of changes can be tried.
#[derive(Clone)]
struct Copy(BTreeMap<String, Vec<u8>>);

impl Source for Copy {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).cloned())
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }
}

impl Copy {
    fn of(dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(dir, "", &mut files);
        Self(files)
    }

    fn write(&self, dir: &Path) {
        let _ = std::fs::remove_dir_all(dir);
        for (path, bytes) in &self.0 {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Runs `fusebox log verify`; the report, and whether it says the log is sound.
fn by_command(dir: &Path, key: &str, remembered: Option<&Path>) -> (serde_json::Value, bool, String) {
    let mut arguments = vec!["log", "verify", dir.to_str().unwrap(), "--key", key];
    if let Some(path) = remembered {
        arguments.extend(["--remembered", path.to_str().unwrap()]);
    }
    let (text, _, code) = fusebox(&arguments);
    arguments.insert(0, "--json");
    let (out, err, again) = fusebox(&arguments);
    assert_eq!(code, again);
    (serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")), code == 0, text)
}

#[test]
fn every_change_of_the_log_is_found() {
    let mut random = Random::seeded("log");
    let mut world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let table = world.approved("credit-default-rate");
    let job = world.run(&world.job("main", &table));
    assert_eq!(job["state"], "done");
    let output = world.output(&job);
    bodies(&world, &job, &output);
    let early = world.checkpoint();
    world.verified_log(&early.1, early.0);
    let earlier = Copy::of(&world.server.data().join("log"));
    // More than one full tile of leaves.
    let rival = world.rival();
    while world.checkpoint().0 < 300 {
        (0..20).for_each(|_| drop(rival.get("/v1/doctor").refused("auth.role")));
    }
    world.run(&world.job("main", &table));
    let (size, remembered) = world.checkpoint();
    world.verified_log(&remembered, size);
    over_http(&world, size);
    world.server.stop();

    let dir = world.server.data().join("log");
    let log = Copy::of(&dir);
    let key = Verifier::parse(&world.server.log_key).unwrap();
    // The end of the server may have added to it; what was remembered is its beginning.
    let report = verify(&log, &key, Some(&remembered));
    assert!(report.is_sound() && report.remembered == Remembered::Extends { size } && report.leaves >= size, "{report}");
    let notes = world.server.dir.path().join("remembered");
    std::fs::write(&notes, &remembered).unwrap();
    let (told, sound, text) = by_command(&dir, &world.server.log_key, Some(&notes));
    assert!(sound && text.contains("sound") && told["fault"].is_null(), "{text}");
    assert_eq!(told["remembered"], json!({ "extends": { "size": size } }));
    let (told, sound, text) = by_command(&dir, &world.server.log_key, None);
    assert!(sound && text.contains("truncation and forks were not checked"), "{text}");
    assert_eq!(told["remembered"], "not_given");

    flips(&log, &key, &remembered, &mut random);
    let scratch = world.server.dir.path().join("scratch");
    let judge = |copy: &Copy, remembered: Option<&Path>| {
        copy.write(&scratch);
        by_command(&scratch, &world.server.log_key, remembered)
    };
    // The log of before, signed as it then was: only who remembers more finds it.
    let (told, sound, _) = judge(&earlier, Some(&notes));
    assert!(!sound);
    assert_eq!(told["fault"]["cause"]["truncated"]["remembered"], json!(size), "{told}");
    let (_, sound, text) = judge(&earlier, None);
    assert!(sound && text.contains("truncation and forks were not checked"), "{text}");
    // The checkpoint of before over the files of now; a file gone; one more.
    let mut swapped = log.clone();
    swapped.0.insert("checkpoint".into(), earlier.0["checkpoint"].clone());
    assert!(!judge(&swapped, Some(&notes)).1 && !judge(&swapped, None).1);
    for path in ["checkpoint", "tile/entries/000", "tile/0/000"] {
        let mut less = log.clone();
        assert!(less.0.remove(path).is_some(), "{path}");
        assert!(!judge(&less, Some(&notes)).1, "{path}");
    }
    let mut more = log.clone();
    more.0.insert("tile/entries/900".into(), log.0["tile/entries/000"].clone());
    assert!(!judge(&more, Some(&notes)).1);
    another(&world, &log, &key, &notes, &judge);
    forked(&mut world, &log, size);
}

/// Single bytes: every bit of the checkpoint, every byte of one entry and of one hash, and some of every file.
fn flips(log: &Copy, key: &Verifier, remembered: &[u8], random: &mut Random) {
    let mut copy = log.clone();
    let mut tried = 0;
    let mut fails = |path: &str, at: usize, by: u8| {
        copy.0.get_mut(path).unwrap()[at] ^= by;
        let report = verify(&copy, key, Some(remembered));
        assert!(!report.is_sound(), "byte {at} of {path} changed by {by:#04x}: {report}");
        copy.0.get_mut(path).unwrap()[at] ^= by;
        tried += 1;
    };
    for at in 0..log.0["checkpoint"].len() {
        (0..8).for_each(|bit| fails("checkpoint", at, 1 << bit));
    }
    let (entry, hash) = (58 * random.below(256) as usize, 32 * random.below(256) as usize);
    (entry..entry + 58).for_each(|at| fails("tile/entries/000", at, 0x01));
    (hash..hash + 32).for_each(|at| fails("tile/0/000", at, 0x80));
    for (path, bytes) in &log.0 {
        // Of files that an older size left, two places; of the others the ends and a few between.
        let places = if path.contains(".p/") { 2 } else { 40 };
        let some: Vec<usize> = (0..places).map(|_| random.below(bytes.len() as u64) as usize).collect();
        for at in some.into_iter().chain([0, bytes.len() - 1]) {
            fails(path, at, 1 + random.below(255) as u8);
        }
    }
    assert!(tried >= 500, "{tried}");
    assert!(verify(&copy, key, Some(remembered)).is_sound());
    eprintln!("{tried} changed bytes found, in {} files of {} bytes", log.0.len(), log.0.values().map(Vec::len).sum::<usize>());
}

/// Verifies a copy, with a remembered checkpoint or without: report, whether it is sound, what was printed.
type Judge<'a> = dyn Fn(&Copy, Option<&Path>) -> (serde_json::Value, bool, String) + 'a;

/// A log of another server, whole and sound, in place of this one.
fn another(world: &World, log: &Copy, key: &Verifier, notes: &Path, judge: &Judge<'_>) {
    let mut other = Server::start();
    let note = other.anonymous().get("/log/checkpoint").bytes;
    assert_ne!(other.log_key, world.server.log_key);
    other.stop();
    let theirs = Copy::of(&other.data().join("log"));
    assert!(verify(&theirs, &Verifier::parse(&other.log_key).unwrap(), Some(&note)).is_sound());
    assert!(!judge(&theirs, Some(notes)).1 && !judge(&theirs, None).1);
    let mut swapped = log.clone();
    swapped.0.insert("checkpoint".into(), note.clone());
    assert!(!judge(&swapped, Some(notes)).1);
    // Their checkpoint as the remembered one proves nothing, and is not taken for a proof.
    let fault = verify(log, key, Some(&note)).fault.unwrap();
    assert!(matches!(fault.cause, Cause::RememberedInvalid(_)), "{fault}");
}

/// Two logs that begin alike under the same key: whoever remembers one finds the other.
fn forked(world: &mut World, log: &Copy, size: u64) {
    let data = world.server.data();
    let aside = world.server.dir.path().join("aside");
    let status = std::process::Command::new("cp").arg("-a").arg(&data).arg(&aside).status().unwrap();
    assert!(status.success());
    world.server.launch();
    world.rival().get("/v1/principals").refused("auth.role");
    let (one_size, one) = world.checkpoint();
    world.verified_log(&one, one_size);
    world.server.stop();
    std::fs::rename(&data, world.server.dir.path().join("one")).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    world.server.launch();
    for _ in 0..5 {
        world.rival().get("/v1/doctor").refused("auth.role");
    }
    let (two_size, two) = world.checkpoint();
    assert!(two_size >= one_size && one_size > size);
    world.verified_log(&two, two_size);
    world.server.stop();
    let key = Verifier::parse(&world.server.log_key).unwrap();
    let fork = Copy::of(&data.join("log"));
    assert!(verify(&fork, &key, None).is_sound() && verify(&fork, &key, Some(&two)).is_sound());
    assert!(verify(&fork, &key, Some(&log.0["checkpoint"])).is_sound(), "both begin with this");
    let fault = verify(&fork, &key, Some(&one)).fault.unwrap();
    assert_eq!(fault.cause, Cause::Forked { remembered: one_size });
}

/// What the server serves is what lies in its directory.
fn over_http(world: &World, size: u64) {
    let anonymous = world.server.anonymous();
    let log = Copy::of(&world.server.data().join("log"));
    let mut compared = 0;
    for (path, bytes) in &log.0 {
        let served = anonymous.get(&format!("/log/{path}"));
        assert_eq!((served.status, &served.bytes == bytes), (200, true), "{path}");
        compared += 1;
    }
    assert!(compared > 5);
    for path in ["tile/0/009", "tile/0/000.p/0", "tile/0/../../state/fusebox.db", "master.key", "tile/entries/000.p/256"] {
        assert_eq!(anonymous.get(&format!("/log/{path}")).status, if path.starts_with("tile") { 404 } else { 401 }, "{path}");
    }
    // Fetched by command, it is the same again.
    let out = world.server.dir.path().join("fetched");
    let (_, err, code) = fusebox(&["--server", &world.server.url, "log", "fetch", out.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    for (path, bytes) in &Copy::of(&out).0 {
        assert_eq!(log.0.get(path), Some(bytes), "{path}");
    }
    let key = anonymous.get("/log/key");
    assert_eq!(String::from_utf8_lossy(&key.bytes).trim(), world.server.log_key);
    assert!(size >= 300);
}

/// A leaf is opened to those it concerns, and to nobody else.
fn bodies(world: &World, job: &serde_json::Value, output: &serde_json::Value) {
    let decision = output["decision_leaf"].as_u64().unwrap();
    let path = format!("/v1/log/leaves/{decision}");
    let entries = world.server.anonymous().get(&format!("/log/tile/entries/000.p/{}", world.checkpoint().0)).bytes;
    for who in [world.authority(), world.auditor(), world.operator(), world.researcher(), world.bureau(), world.power()] {
        let open = who.get(&path).good();
        let bytes = STANDARD.decode(open["leaf"].as_str().unwrap()).unwrap();
        let salt: [u8; 32] = STANDARD.decode(open["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
        let body = open["body"].as_str().unwrap();
        let leaf = Leaf::parse(&bytes).unwrap();
        assert!(leaf.opens(&salt, body.as_bytes()) && !leaf.opens(&salt, b"{}") && !leaf.opens(&[0; 32], body.as_bytes()));
        assert_eq!((leaf.number, leaf.kind), (decision, fusebox::tlog::LeafKind::Decision));
        // The leaf that was opened is the one that is published.
        assert_eq!(bytes, entries[58 * decision as usize + 2..][..56]);
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["release"], &body["facts"]["job"]), (&output["id"], &job["id"]));
    }
    for who in [world.rival(), world.stranger(), world.server.admin.clone(), world.checker()] {
        let answer = who.get(&path);
        assert!([403, 404].contains(&answer.status), "{}", answer.status);
        assert!(answer.json()["salt"].is_null() && answer.json()["body"].is_null());
    }
    assert_eq!(world.authority().get(&format!("/v1/log/leaves/{}", world.checkpoint().0 + 50)).status, 404);
}
