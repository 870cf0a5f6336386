//! Where leaves are written: in the caller's own transaction, so that an event and its leaf are one commit; and where the tree
//! grows: in a hook of the store, which signs one checkpoint a commit and publishes tiles once it is durable.
//!
//! Order, as sunlight has it: stage (leaf row) → sign (inside the transaction, after the old root was verified) → commit →
//! publish → answer. Recovery publishes with the same function what a crash kept from the directory.

use std::num::NonZeroU64;
use std::sync::Arc;

use protocol::seal::{self, SealKey};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::dir::LogDir;
use super::leaf::{LEAF_BYTES, Leaf, LeafKind, commit};
use super::merkle::{Hash, Tree, root_at};
use super::note::Signer;
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
        tx.prepare_cached("INSERT INTO log_leaf (number, bytes, sealed_body, readers) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![number, leaf.to_bytes(), sealed, readers])?;
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

/// The hook that grows the tree. Made by [`attach`].
struct Grower {
    signer: Signer,
    dir: LogDir,
    db: Db,
    tree: Tree,
    staged: Option<(Tree, String)>,
    published: u64,
}

/// Verifies that the stored tree is the one that was signed last, publishes what a crash kept from the directory, and from then
/// on grows the tree with every commit of `db`.
///
/// # Errors
/// [`StoreError::Malformed`] where the stored log is not the signed one: then nothing may be appended.
pub fn attach(db: &Db, signer: Signer, dir: LogDir) -> Result<(), StoreError> {
    let (tree, note) = db.read_blocking(|c| -> Result<_, StoreError> {
        let Some((size, note)) = checkpoint(c)? else { return Ok((Tree::new(), None)) };
        let signed = Checkpoint::verify(note.as_bytes(), signer.verifier()).map_err(|_| StoreError::Malformed("checkpoint signature"))?;
        let root = root_at(size, |l, i| node(c, l, i)).map_err(|_| StoreError::Malformed("log nodes"))?;
        if signed.checkpoint.size != size || signed.checkpoint.root != root {
            return Err(StoreError::Malformed("the stored log is not the one that was signed"));
        }
        Ok((Tree::load(size, |l, i| node(c, l, i)).map_err(|_| StoreError::Malformed("log nodes"))?, Some(note)))
    })?;
    let mut grower = Grower { signer, dir, db: db.clone_for_hook(), tree, staged: None, published: 0 };
    if let Some(note) = note {
        grower.publish(&note);
    }
    db.install_hook(Box::new(grower))
}

impl Grower {
    /// Writes tiles and checkpoint; on failure the next commit tries again from where the directory stands.
    fn publish(&mut self, note: &str) {
        let size = self.tree.size();
        let (dir, from) = (&self.dir, self.published);
        let written = self.db.read_blocking(|c| {
            dir.publish((from, size), note, |l, i| node(c, l, i), |n| entry(c, n)).map_err(|e| StoreError::Io(std::io::Error::other(e)))
        });
        match written {
            Ok(()) => self.published = size,
            Err(error) => tracing::error!(error = error.log_text(), "the log directory could not be written; the database has it all"),
        }
    }
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
        self.staged = Some((tree, note));
        Ok(())
    }

    fn after_commit(&mut self) {
        if let Some((tree, note)) = self.staged.take() {
            self.tree = tree;
            self.publish(&note);
        }
    }

    fn after_rollback(&mut self) {
        self.staged = None;
    }
}
