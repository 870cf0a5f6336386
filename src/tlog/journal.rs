//! Where leaves are written: in the caller's own transaction, so that an event and its leaf are one commit; and where the tree
//! grows: in a hook of the store, which signs one checkpoint a commit and publishes tiles once it is durable.
//!
//! Order: stage (leaf row) → sign (inside the transaction) → commit → remember → answer; a thread of its own publishes to the directory what
//! was committed. Readers over HTTP are served from the database, so they are never behind an answer. Recovery publishes with
//! the same function what a crash kept from the directory.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use protocol::seal::{self, SealKey};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::dir::LogDir;
use super::leaf::{LEAF_BYTES, Leaf, LeafKind, commit};
use super::merkle::{Hash, Tree, root_at};
use super::note::{Signer, Verifier};
use super::remembered::RememberedFile;
use super::rollback;
use super::verify::{CHECKPOINT_PATH, Source as _};
use crate::clock::Clock;
use crate::id::OrgId;
use crate::store::{CommitHook, Db, Migration, StoreError, Tx};

/// Tables of the log. `readers` holds the organisations that a body concerns, as `|a|b|`.
pub const MIGRATION: Migration = Migration {
    name: "tlog-1",
    sql: "CREATE TABLE log_leaf (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL, sealed_body BLOB NOT NULL, readers TEXT NOT NULL) STRICT;
          CREATE TABLE log_node (level INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, position)) STRICT, WITHOUT ROWID;
          CREATE TABLE log_checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;",
};

/// Receipt of a leaf. Only the journal makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "an event without its leaf did not happen"]
pub struct Appended {
    number: u64,
    commitment: [u8; 32],
}

impl Appended {
    /// Index of the leaf.
    pub fn number(&self) -> u64 {
        self.number
    }
    /// What the leaf commits to.
    pub fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }
}

/// A leaf with what it commits to, for someone who may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The published bytes.
    pub leaf: [u8; LEAF_BYTES],
    /// The salt.
    pub salt: [u8; 32],
    /// The body, canonical JSON.
    pub body: String,
}

/// Who reads a body.
#[derive(Debug, Clone, Copy)]
pub enum Reader<'a> {
    /// The authority and auditors: every body.
    All,
    /// Someone of an organisation: the bodies that concern it.
    Org(&'a OrgId),
}

/// Appends leaves.
#[derive(Clone)]
pub struct Journal {
    body_key: Arc<SealKey>,
    quantum_s: NonZeroU64,
    clock: Arc<dyn Clock>,
}

impl Journal {
    /// A journal whose bodies are sealed under `body_key` and whose leaves show time in steps of `quantum_s`.
    pub fn new(body_key: SealKey, quantum_s: NonZeroU64, clock: Arc<dyn Clock>) -> Self {
        Self { body_key: Arc::new(body_key), quantum_s, clock }
    }

    /// Appends one leaf in the caller's transaction. `readers` are the organisations that may see the body.
    ///
    /// # Errors
    /// What the store says; the caller's transaction must then fail too.
    pub fn append(&self, tx: &Tx<'_>, kind: LeafKind, body: &impl Serialize, readers: &[&OrgId]) -> Result<Appended, StoreError> {
        let body = protocol::canonical::to_canonical_json(body).map_err(|_| StoreError::Malformed("a leaf's body is not canonical"))?;
        let mut salt = [0u8; 32];
        SystemRandom::new().fill(&mut salt).map_err(|_| StoreError::Fault)?;
        let last: Option<(u64, Vec<u8>)> = tx
            .prepare_cached("SELECT number, bytes FROM log_leaf ORDER BY number DESC LIMIT 1")?
            .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let (number, not_before) = match &last {
            None => (0, 0),
            Some((n, bytes)) => (n + 1, Leaf::parse(bytes).map_err(|_| StoreError::Malformed("leaf"))?.time_s),
        };
        // A clock that was set back does not make the log run backwards.
        let now = u64::try_from(self.clock.now().unix_s()).unwrap_or(0).max(not_before);
        let leaf = Leaf::new(kind, now, self.quantum_s, number, &salt, &body);
        let mut clear = salt.to_vec();
        clear.extend_from_slice(&body);
        let sealed = seal::seal(&self.body_key, &context(number), &clear)?;
        let readers = readers.iter().fold("|".to_owned(), |text, org| format!("{text}{org}|"));
        tx.prepare_cached("INSERT INTO log_leaf (number, bytes, sealed_body, readers) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            number,
            leaf.to_bytes(),
            sealed,
            readers
        ])?;
        Ok(Appended { number, commitment: commit(&salt, &body) })
    }

    /// A leaf and its body; `None` where there is none, or it does not concern the reader.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(&self, connection: &Connection, number: u64, reader: Reader<'_>) -> Result<Option<Opened>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>, String)> = connection
            .prepare_cached("SELECT bytes, sealed_body, readers FROM log_leaf WHERE number = ?1")?
            .query_row([number], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        let Some((bytes, sealed, readers)) = row else { return Ok(None) };
        if let Reader::Org(org) = reader
            && !readers.contains(&format!("|{org}|"))
        {
            return Ok(None);
        }
        let clear = seal::open_all(&self.body_key, &context(number), &sealed, 1)?;
        let (salt, body) = clear.split_first_chunk::<32>().ok_or(StoreError::Malformed("leaf body"))?;
        let leaf: [u8; LEAF_BYTES] = bytes.try_into().map_err(|_| StoreError::Malformed("leaf"))?;
        let body = String::from_utf8(body.to_vec()).map_err(|_| StoreError::Malformed("leaf body"))?;
        Ok(Some(Opened { leaf, salt: *salt, body }))
    }
}

fn context(number: u64) -> Vec<u8> {
    format!("log-body/{number}").into_bytes()
}

/// The newest signed checkpoint, if the log has one.
///
/// # Errors
/// What the store says.
pub fn checkpoint(connection: &Connection) -> Result<Option<(u64, String)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT size, note FROM log_checkpoint ORDER BY size DESC LIMIT 1")?
        .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?)
}

/// The organisations that a leaf's body concerns; `None` where there is no such leaf.
///
/// # Errors
/// What the store says.
pub fn readers(connection: &Connection, number: u64) -> Result<Option<BTreeSet<OrgId>>, StoreError> {
    let text: Option<String> =
        connection.prepare_cached("SELECT readers FROM log_leaf WHERE number = ?1")?.query_row([number], |r| r.get(0)).optional()?;
    text.map(|t| orgs(&t)).transpose()
}

/// Leaves before `before`, newest first, at most `count`, with the organisations that each one's body concerns.
///
/// # Errors
/// What the store says.
pub fn headers(
    connection: &Connection,
    before: u64,
    kind: Option<LeafKind>,
    count: u32,
) -> Result<Vec<(Leaf, BTreeSet<OrgId>)>, StoreError> {
    // The kind is the second byte of a leaf.
    let sql = "SELECT bytes, readers FROM log_leaf WHERE number < ?1 AND (?2 IS NULL OR substr(bytes, 2, 1) = ?2)
               ORDER BY number DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let kind = kind.map(|kind| vec![kind.code()]);
    let rows = statement.query_map(params![before, kind, count], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (bytes, readers) = row?;
        Ok((Leaf::parse(&bytes).map_err(|_| StoreError::Malformed("leaf"))?, orgs(&readers)?))
    })
    .collect()
}

fn orgs(readers: &str) -> Result<BTreeSet<OrgId>, StoreError> {
    readers.split('|').filter(|org| !org.is_empty()).map(|org| Ok(org.parse()?)).collect()
}

/// A complete node of the tree.
pub fn node(connection: &Connection, level: u8, position: u64) -> Option<Hash> {
    let hash: Vec<u8> = connection
        .prepare_cached("SELECT hash FROM log_node WHERE level = ?1 AND position = ?2")
        .ok()?
        .query_row(params![level, position], |r| r.get(0))
        .ok()?;
    Some(Hash(hash.try_into().ok()?))
}

/// The published bytes of a leaf.
pub fn entry(connection: &Connection, number: u64) -> Option<[u8; LEAF_BYTES]> {
    let bytes: Vec<u8> =
        connection.prepare_cached("SELECT bytes FROM log_leaf WHERE number = ?1").ok()?.query_row([number], |r| r.get(0)).ok()?;
    bytes.try_into().ok()
}

/// Between two writings of the published directory.
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);

/// The hook that grows the tree. Made by [`attach`].
struct Grower {
    signer: Signer,
    tree: Tree,
    /// The tree as it will be, and whether its checkpoint is being remembered.
    staged: Option<(Tree, bool)>,
    remembered: RememberedFile,
    publisher: Sender<()>,
}

/// Verifies that the stored tree is the one that was signed last, and from then on grows it with every commit of `db`; a
/// thread publishes to `dir` what is committed, first what a crash kept from it. Every checkpoint is remembered before anyone is told of its
/// commit; not while the database is found to be behind what is remembered.
///
/// # Errors
/// [`StoreError::Malformed`] where the stored log is not the signed one: then nothing may be appended.
pub fn attach(db: &Db, signer: Signer, dir: LogDir, mut remembered: RememberedFile) -> Result<(), StoreError> {
    let tree = db.read_blocking(|c| -> Result<_, StoreError> {
        let Some((size, note)) = checkpoint(c)? else { return Ok(Tree::new()) };
        let signed = Checkpoint::verify(note.as_bytes(), signer.verifier()).map_err(|_| StoreError::Malformed("checkpoint signature"))?;
        let root = root_at(size, |l, i| node(c, l, i)).map_err(|_| StoreError::Malformed("log nodes"))?;
        if signed.checkpoint.size != size || signed.checkpoint.root != root {
            return Err(StoreError::Malformed("the stored log is not the one that was signed"));
        }
        Tree::load(size, |l, i| node(c, l, i)).map_err(|_| StoreError::Malformed("log nodes"))
    })?;
    remembered.settle(tree.size())?;
    let (publisher, committed) = std::sync::mpsc::channel();
    let _ = publisher.send(());
    let key = signer.verifier().clone();
    let weak = db.downgrade();
    std::thread::Builder::new().name("log-publisher".into()).spawn(move || {
        let mut published = 0;
        while committed.recv().is_ok() {
            // Its files are synced one by one, and a commit that waits for the same disk waits longer: one writing serves many commits.
            if published > 0 {
                std::thread::sleep(PUBLISH_PAUSE);
            }
            while committed.try_recv().is_ok() {}
            let Some(db) = weak.upgrade() else { return };
            match db.read_blocking(|c| publish(c, &dir, &key, published)) {
                Ok(size) => published = size,
                // The next commit tries again from where the directory stands; the database has it all.
                Err(error) => tracing::error!(error = error.log_text(), "the log directory could not be written"),
            }
        }
    })?;
    db.install_hook(Box::new(Grower { signer, tree, staged: None, remembered, publisher }))
}

/// Waits until `dir` holds all that is to be published, for at most `patience`; whether it does. For an orderly end, so that the directory
/// alone verifies against every checkpoint that was told. Blocks.
pub fn published(db: &Db, dir: &LogDir, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let there = dir.read(CHECKPOINT_PATH).ok().flatten();
        let due = db.read_blocking(|c| Ok::<_, StoreError>((checkpoint(c)?, rollback::standing(c)?.is_some())));
        if due.is_ok_and(|(newest, behind)| behind || newest.map(|(_, note)| note.into_bytes()) == there) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes what `dir` lacks beyond `from` leaves; the size it holds then. While the database is behind what was told, the directory keeps what
/// was told; after a recovery that branch is put aside.
fn publish(connection: &Connection, dir: &LogDir, key: &Verifier, from: u64) -> Result<u64, StoreError> {
    let Some((size, note)) = checkpoint(connection)? else { return Ok(from) };
    if rollback::standing(connection)?.is_some() {
        return Ok(from);
    }
    let recovery = rollback::newest_recovery(connection)?;
    if from == 0 && recovery > 0 && !rollback::begins(connection, dir.read(CHECKPOINT_PATH)?.as_deref(), key)? {
        dir.supersede(recovery)?;
    }
    dir.publish((from, size), &note, |l, i| node(connection, l, i), |n| entry(connection, n))
        .map_err(|e| StoreError::Io(std::io::Error::other(e)))?;
    Ok(size)
}

impl CommitHook for Grower {
    fn before_commit(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let mut tree = self.tree.clone();
        let fresh: Vec<Vec<u8>> = tx
            .prepare_cached("SELECT bytes FROM log_leaf WHERE number >= ?1 ORDER BY number")?
            .query_map([tree.size()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        if fresh.is_empty() {
            return Ok(());
        }
        let mut insert = tx.prepare_cached("INSERT INTO log_node (level, position, hash) VALUES (?1, ?2, ?3)")?;
        for bytes in fresh {
            let leaf = Leaf::parse(&bytes).map_err(|_| StoreError::Malformed("leaf"))?;
            if leaf.number != tree.size() {
                return Err(StoreError::Malformed("leaf number"));
            }
            for n in tree.append(leaf.hash()) {
                insert.execute(params![n.level, n.index, n.hash.as_bytes()])?;
            }
        }
        let note = Checkpoint::sign(&self.signer, tree.size(), tree.root()).map_err(|_| StoreError::Malformed("checkpoint"))?;
        tx.prepare_cached("INSERT INTO log_checkpoint (size, note) VALUES (?1, ?2)")?.execute(params![tree.size(), note])?;
        let remembers = rollback::standing(tx)?.is_none();
        if remembers {
            self.remembered.begin(&note)?;
        }
        self.staged = Some((tree, remembers));
        Ok(())
    }

    fn after_commit(&mut self) -> Result<(), StoreError> {
        if let Some((tree, remembers)) = self.staged.take() {
            self.tree = tree;
            if remembers {
                self.remembered.finish()?;
            }
            let _ = self.publisher.send(());
        }
        Ok(())
    }

    fn after_rollback(&mut self) {
        self.staged = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::testing::TempDir;
    use crate::tlog::verify;

    #[test]
    fn what_is_committed_is_published_and_verifies_after_a_restart() {
        let place = TempDir::create();
        let seed = [5; 32];
        let run = |count: u64| {
            let roots = place.roots();
            let db = Db::open(&roots, &[MIGRATION, rollback::MIGRATION], 2).unwrap();
            let signer = Signer::from_seed("log.example/test", &seed).unwrap();
            let (remembered, _) = RememberedFile::open(roots.remembered(), signer.verifier()).unwrap();
            attach(&db, signer, LogDir::new(roots.log().try_clone().unwrap()), remembered).unwrap();
            let journal = Journal::new(SealKey::from_bytes(&[1; 32]), NonZeroU64::new(60).unwrap(), Arc::new(SystemClock));
            let org: OrgId = "bureau".parse().unwrap();
            for i in 0..count {
                let j = journal.clone();
                let o = org.clone();
                db.write_blocking(move |tx| j.append(tx, LeafKind::Import, &serde_json::json!({"n": i}), &[&o]).map(drop)).unwrap();
            }
            // A write that fails leaves no leaf.
            let j = journal.clone();
            let failed: Result<(), StoreError> = db.write_blocking(move |tx| {
                let _ = j.append(tx, LeafKind::Release, &"x", &[])?;
                Err(StoreError::Fault)
            });
            assert!(failed.is_err());
            let other: OrgId = "other".parse().unwrap();
            db.read_blocking(|c| -> Result<(), StoreError> {
                assert!(journal.open(c, 0, Reader::Org(&other))?.is_none());
                let opened = journal.open(c, 0, Reader::Org(&org))?.unwrap();
                assert!(Leaf::parse(&opened.leaf).unwrap().opens(&opened.salt, opened.body.as_bytes()));
                assert_eq!(opened.body, "{\"n\":0}");
                Ok(())
            })
            .unwrap();
            let size = db.read_blocking(checkpoint).unwrap().unwrap().0;
            // An orderly end waits for the publisher, which is a thread of its own.
            assert!(published(&db, &LogDir::new(roots.log().try_clone().unwrap()), Duration::from_secs(60)));
            drop(db);
            size
        };
        assert_eq!(run(300), 300);
        assert_eq!(run(7), 307);
        let roots = place.roots();
        let dir = LogDir::new(roots.log().try_clone().unwrap());
        let signer = Signer::from_seed("log.example/test", &seed).unwrap();
        let report = verify(&dir, signer.verifier(), None);
        assert!(report.is_sound() && report.leaves == 307, "{report}");
    }
}
