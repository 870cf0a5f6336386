use std::num::NonZeroU64;
use std::sync::Arc;

use proptest::prelude::*;
use protocol::seal::SealKey;

use super::*;
use crate::clock::SystemClock;
use crate::store::Db;
use crate::store::testing::TempDir;
use crate::tlog::{LogDir, RememberedFile, Signer};

fn signer() -> Signer {
    Signer::from_seed("log.example/test", &[5; 32]).unwrap()
}

fn journal() -> Journal {
    Journal::new(SealKey::from_bytes(&[1; 32]), NonZeroU64::new(60).unwrap(), Arc::new(SystemClock))
}

/// One start over the files of `place`: what was found stands, and `leaves` more are written.
struct Start {
    db: Db,
    standing: Option<RolledBack>,
}

fn start(place: &TempDir, more: &[Known]) -> Start {
    let roots = place.roots();
    let db = Db::open(&roots, &[journal::MIGRATION, MIGRATION], 2).unwrap();
    let (remembered, known) = RememberedFile::open(roots.remembered(), signer().verifier()).unwrap();
    let known: Vec<Known> = [vec![known], more.to_vec()].concat();
    let found = db.read_blocking(move |c| judge(c, &known)).unwrap();
    journal::attach(&db, signer(), LogDir::new(roots.log().try_clone().unwrap()), remembered).unwrap();
    let j = journal();
    let standing = db.write_blocking(move |tx| record(tx, &j, found, Timestamp::from_unix_s(1))).unwrap();
    Start { db, standing }
}

impl Start {
    fn write(&self, leaves: u64, word: &str) {
        for n in 0..leaves {
            let (j, body) = (journal(), serde_json::json!({ "n": n, "word": word }));
            self.db.write_blocking(move |tx| j.append(tx, LeafKind::Import, &body, &[]).map(drop)).unwrap();
        }
    }
    fn size(&self) -> u64 {
        self.db.read_blocking(size).unwrap()
    }
    /// What a recovery does here.
    fn recover(&self) {
        let j = journal();
        let id = self.standing.as_ref().unwrap().id;
        let done = self.db.write_blocking(move |tx| {
            let leaf = j.append(tx, LeafKind::Recovery, &"signed", &[])?.number();
            end(tx, id, "recovered", leaf, Timestamp::from_unix_s(2))
        });
        done.unwrap();
    }
}

/// The database files alone, as a backup has them, once nobody writes them: the publisher may be the last to let go.
fn database(place: &TempDir) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let state = place.path().join("data/state");
    let lock = std::fs::File::open(state.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(state).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("fusebox.db") {
            files.push((entry.file_name(), std::fs::read(entry.path()).unwrap()));
        }
    }
    files
}

fn put_back(place: &TempDir, copy: &[(std::ffi::OsString, Vec<u8>)]) {
    let state = place.path().join("data/state");
    for (name, _) in database(place) {
        std::fs::remove_file(state.join(name)).unwrap();
    }
    for (name, bytes) in copy {
        std::fs::write(state.join(name), bytes).unwrap();
    }
}

#[test]
fn a_database_that_is_put_back_is_found_at_every_start_until_it_is_recovered() {
    let place = TempDir::create();
    let first = start(&place, &[]);
    assert_eq!(first.standing, None, "a fresh log has nothing to be remembered of");
    first.write(5, "a");
    drop(first);
    let copy = database(&place);
    let second = start(&place, &[]);
    assert_eq!((second.standing.clone(), second.size()), (None, 5));
    second.write(4, "b");
    drop(second);
    put_back(&place, &copy);

    let third = start(&place, &[]);
    let found = third.standing.clone().unwrap();
    assert_eq!((found.database.size, found.remembered().unwrap().size, found.lost_at_most()), (5, 9, Some(4)));
    assert_eq!(found.contradictions[0].finding, Finding::Behind);
    // It grows beyond what is remembered, which stays.
    third.write(7, "c");
    assert!(third.size() > 9);
    drop(third);
    let fourth = start(&place, &[]);
    let same = fourth.standing.clone().unwrap();
    assert_eq!((same.id, same.database.size), (found.id, 5));
    assert!(same.contradictions.iter().any(|c| c.finding == Finding::Forked && c.remembered == found.remembered().cloned()));
    fourth.recover();
    let size = fourth.size();
    drop(fourth);
    // A witness goes on remembering what was counted as lost: no objection. Another fork is one.
    let lost = found.remembered().unwrap();
    let witness = |root: &str| Known { source: "witness".into(), memory: Memory::At { size: lost.size, root: Hash::parse(root).unwrap() } };
    let fifth = start(&place, &[witness(&lost.root)]);
    assert_eq!((fifth.standing.clone(), fifth.size()), (None, size));
    drop(fifth);
    assert_eq!(start(&place, &[witness(&Hash([7; 32]).to_string())]).standing.unwrap().contradictions[0].source, "witness");
    // The copy once more, after the recovery: it knows of none.
    put_back(&place, &copy);
    assert_eq!(start(&place, &[]).standing.unwrap().database.size, 5);
}

#[test]
fn a_memory_that_is_not_at_hand_freezes_and_its_return_clears_that_alone() {
    let place = TempDir::create();
    let first = start(&place, &[]);
    first.write(3, "a");
    drop(first);
    let file = place.path().join("data/remembered/checkpoint");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let second = start(&place, &[]);
    let found = second.standing.clone().unwrap();
    assert_eq!((found.contradictions[0].finding, found.remembered(), found.lost_at_most()), (Finding::Missing, None, None));
    second.write(2, "b");
    drop(second);
    assert!(start(&place, &[]).standing.is_some(), "a start alone makes nothing remembered");
    std::fs::write(&file, kept).unwrap();
    assert_eq!(start(&place, &[]).standing, None);
    // A witness that is required and silent; then it speaks.
    let silent = Known { source: "witness".into(), memory: Memory::Unreachable };
    assert_eq!(start(&place, &[silent]).standing.unwrap().contradictions[0].finding, Finding::Unreachable);
    assert_eq!(start(&place, &[Known { source: "witness".into(), memory: Memory::Nothing }]).standing, None);
}

#[test]
fn a_fork_of_the_same_length_is_found() {
    let place = TempDir::create();
    let first = start(&place, &[]);
    first.write(2, "a");
    drop(first);
    let copy = database(&place);
    let second = start(&place, &[]);
    second.write(3, "b");
    drop(second);
    let remembered = std::fs::read(place.path().join("data/remembered/checkpoint")).unwrap();
    put_back(&place, &copy);
    std::fs::remove_file(place.path().join("data/remembered/checkpoint")).unwrap();
    // Grown elsewhere, without what is remembered here.
    let third = start(&place, &[]);
    third.write(6, "c");
    drop(third);
    std::fs::write(place.path().join("data/remembered/checkpoint"), remembered).unwrap();
    let found = start(&place, &[]).standing.unwrap();
    assert!(found.contradictions.iter().any(|c| c.finding == Finding::Forked), "{found:?}");
    assert_eq!(found.lost_at_most(), None, "one memory cannot tell how much");
}

#[test]
fn a_commit_that_was_begun_when_the_machine_failed_is_no_objection_and_one_that_was_done_is() {
    let place = TempDir::create();
    let mut copies = Vec::new();
    for n in 0..3u64 {
        let run = start(&place, &[]);
        assert_eq!((run.standing.clone(), run.size()), (None, n));
        run.write(1, &n.to_string());
        drop(run);
        copies.push(database(&place));
    }
    let file = place.path().join("data/remembered/checkpoint");
    let done = std::fs::read(&file).unwrap();
    // The last bytes of both places are the marks; the newest checkpoint stands in the first.
    let mut begun = done.clone();
    assert_eq!((done[4095], done[8191]), (1, 1));
    begun[4095] = 0;
    for (memory, copy, lost) in [(&begun, 1, None), (&done, 1, Some(1)), (&begun, 0, Some(2)), (&begun, 2, None), (&done, 2, None)] {
        std::fs::write(&file, memory).unwrap();
        put_back(&place, &copies[copy]);
        let run = start(&place, &[]);
        assert_eq!(run.standing.as_ref().and_then(RolledBack::lost_at_most), lost, "copy {copy}");
        // What was lost with nobody told may be written again.
        if lost.is_none() {
            run.write(2, "again");
            drop(run);
            assert_eq!(start(&place, &[]).standing, None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever was written between copies and whichever is put back: it is found exactly where the copy lacks a commit that was told.
    #[test]
    fn every_copy_but_the_newest_is_found(writes in proptest::collection::vec(0u64..4, 1..4), pick in any::<prop::sample::Index>()) {
        let place = TempDir::create();
        let mut copies = Vec::new();
        for (n, leaves) in writes.iter().enumerate() {
            let run = start(&place, &[]);
            prop_assert!(run.standing.is_none());
            run.write(*leaves, &n.to_string());
            let size = run.size();
            drop(run);
            copies.push((size, database(&place)));
        }
        let newest = copies.last().unwrap().0;
        let (size, copy) = &copies[pick.index(copies.len())];
        put_back(&place, copy);
        let found = start(&place, &[]).standing;
        prop_assert_eq!(found.as_ref().map(|f| f.lost_at_most()), (*size < newest).then_some(Some(newest - size)));
    }
}
