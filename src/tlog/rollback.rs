//! Whether the database is the newest one. Whoever remembers a checkpoint of the log (a file beside the database, a witness) is asked at
//! the start; a database that is behind, or has another root at that size, was put back from an older copy, and with it every budget.
//!
//! A finding is a row and a leaf. While it stands nothing is accepted and nothing leaves (`gate` judges it in every transaction that
//! would), and the remembered checkpoint is not written over, so that it still tells what was lost. It ends with a recovery
//! that the authority signs, or, where the database was not contradicted but a memory was not at hand, with a start at which it is.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::journal::{self, Journal};
use super::leaf::LeafKind;
use super::merkle::{Hash, empty_root, root_at};
use super::note::Verifier;
use crate::clock::Timestamp;
use crate::store::{Migration, StoreError, Tx};

/// Findings. `state` is `standing`, `recovered` or `cleared`.
pub const MIGRATION: Migration = Migration {
    name: "tlog-rollback-1",
    sql: "CREATE TABLE log_rollback (
              id INTEGER PRIMARY KEY, found_at INTEGER NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL, contradictions TEXT NOT NULL,
              state TEXT NOT NULL, leaf INTEGER NOT NULL, ended_at INTEGER, ended_leaf INTEGER) STRICT;
          CREATE UNIQUE INDEX log_rollback_standing ON log_rollback (state) WHERE state = 'standing';",
};

/// What someone remembers of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A signed checkpoint.
    At {
        /// Its leaves.
        size: u64,
        /// Root over them.
        root: Hash,
    },
    /// A signed checkpoint whose commit was begun, and perhaps not done when the machine failed: then nobody was told of it.
    Begun {
        /// Its leaves.
        size: u64,
        /// Root over them.
        root: Hash,
        /// The one before, whose commit was done; `None` where there was none.
        before: Option<(u64, Hash)>,
    },
    /// It never heard of this log, and need not have: no objection.
    Nothing,
    /// It must have heard of every log that has a leaf, and has not.
    Missing,
    /// What it has bears no signature of this log.
    Unreadable,
    /// It does not answer, and is required to.
    Unreachable,
}

/// One who remembers, by name, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who: `remembered`, or the name of a witness.
    pub source: String,
    /// What.
    pub memory: Memory,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The database has fewer leaves than are remembered.
    Behind,
    /// The database has another root at the size that is remembered.
    Forked,
    /// Nothing is remembered of a log that has leaves.
    Missing,
    /// What is remembered bears no signature of this log.
    Unreadable,
    /// Who is required to tell does not answer.
    Unreachable,
}

/// A log's size, and the root at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 root over them, base64.
    pub root: String,
}

impl Extent {
    fn new(size: u64, root: &Hash) -> Self {
        Self { size, root: root.to_string() }
    }
}

/// One who remembers otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Contradiction {
    /// Who: `remembered`, or the name of a witness.
    pub source: String,
    /// What is wrong.
    pub finding: Finding,
    /// What is remembered, where anything is.
    pub remembered: Option<Extent>,
}

/// A finding that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RolledBack {
    /// Its number.
    pub id: i64,
    /// When it was found.
    pub found_at: Timestamp,
    /// The log of the database as it was found.
    pub database: Extent,
    /// Who remembers otherwise.
    pub contradictions: Vec<Contradiction>,
    /// Leaf of the finding.
    pub leaf: u64,
}

impl RolledBack {
    /// The furthest checkpoint that is remembered and contradicted, if any is.
    pub fn remembered(&self) -> Option<&Extent> {
        self.contradictions.iter().filter_map(|c| c.remembered.as_ref()).max_by_key(|extent| extent.size)
    }

    /// At most how many leaves were lost; `None` where nobody can tell.
    pub fn lost_at_most(&self) -> Option<u64> {
        let lost = |c: &Contradiction| match (c.finding, &c.remembered) {
            (Finding::Behind, Some(extent)) => extent.size.checked_sub(self.database.size),
            // Where they part is not known, so any of them may be lost.
            (_, Some(extent)) => Some(extent.size),
            (_, None) => None,
        };
        let each: Option<Vec<u64>> = self.contradictions.iter().map(lost).collect();
        each.and_then(|each| each.into_iter().max())
    }
}

fn size(connection: &Connection) -> Result<u64, StoreError> {
    Ok(journal::checkpoint(connection)?.map_or(0, |(size, _)| size))
}

fn root(connection: &Connection, size: u64) -> Result<Hash, StoreError> {
    if size == 0 {
        return Ok(empty_root());
    }
    root_at(size, |l, i| journal::node(connection, l, i)).map_err(|_| StoreError::Malformed("log nodes"))
}

/// Whether the log begins with the tree of a published checkpoint: nothing published is its beginning too.
///
/// # Errors
/// What the store says.
pub(super) fn begins(connection: &Connection, published: Option<&[u8]>, key: &Verifier) -> Result<bool, StoreError> {
    let Some(note) = published else { return Ok(true) };
    let Ok(published) = Checkpoint::verify(note, key).map(|v| v.checkpoint) else { return Ok(false) };
    Ok(published.size <= size(connection)? && root(connection, published.size)? == published.root)
}

/// Who of `known` remembers otherwise than the database. What a recovery has counted as lost is no objection any more.
///
/// # Errors
/// What the store says.
pub fn judge(connection: &Connection, known: &[Known]) -> Result<Vec<Contradiction>, StoreError> {
    let own = size(connection)?;
    let settled = settled(connection)?;
    let mut found = Vec::new();
    for Known { source, memory } in known {
        let memory = &settled_memory(connection, own, *memory)?;
        let (finding, remembered) = match memory {
            Memory::At { size, .. } if *size > own => (Finding::Behind, Some(memory)),
            Memory::At { size, root: theirs } if root(connection, *size)? != *theirs => (Finding::Forked, Some(memory)),
            Memory::Missing if own > 0 => (Finding::Missing, None),
            Memory::Unreadable => (Finding::Unreadable, None),
            Memory::Unreachable => (Finding::Unreachable, None),
            Memory::At { .. } | Memory::Begun { .. } | Memory::Nothing | Memory::Missing => continue,
        };
        let remembered = remembered.and_then(|m| if let Memory::At { size, root } = m { Some(Extent::new(*size, root)) } else { None });
        if remembered.as_ref().is_none_or(|extent| !settled.contains(extent)) {
            found.push(Contradiction { source: source.clone(), finding, remembered });
        }
    }
    Ok(found)
}

/// A commit that was begun: no objection from a log that stands exactly where it stood before; of any other it is as one that was done.
fn settled_memory(connection: &Connection, own: u64, memory: Memory) -> Result<Memory, StoreError> {
    let Memory::Begun { size, root: begun, before } = memory else { return Ok(memory) };
    let stands_before = match before {
        None => own == 0,
        Some((size, told)) => own == size && root(connection, size)? == told,
    };
    Ok(if stands_before { Memory::Nothing } else { Memory::At { size, root: begun } })
}

/// Checkpoints that recoveries counted as lost.
fn settled(connection: &Connection) -> Result<Vec<Extent>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT contradictions FROM log_rollback WHERE state = 'recovered'")?;
    let rows = statement.query_map([], |r| r.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for text in rows {
        all.extend(parsed(&text)?.into_iter().filter_map(|c| c.remembered));
    }
    Ok(all)
}

fn parsed(text: &str) -> Result<Vec<Contradiction>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Malformed("log_rollback"))
}

/// The finding that stands, if one does.
///
/// # Errors
/// What the store says.
pub fn standing(connection: &Connection) -> Result<Option<RolledBack>, StoreError> {
    let sql = "SELECT id, found_at, size, root, contradictions, leaf FROM log_rollback WHERE state = 'standing'";
    let row = connection.prepare_cached(sql)?.query_row([], |r| {
        let database = Extent { size: r.get(2)?, root: r.get(3)? };
        Ok((
            RolledBack { id: r.get(0)?, found_at: r.get(1)?, database, contradictions: Vec::new(), leaf: r.get(5)? },
            r.get::<_, String>(4)?,
        ))
    });
    let Some((found, text)) = row.optional()? else { return Ok(None) };
    Ok(Some(RolledBack { contradictions: parsed(&text)?, ..found }))
}

/// Number of the newest recovery; 0 where there was none.
///
/// # Errors
/// What the store says.
pub fn newest_recovery(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(id), 0) FROM log_rollback WHERE state = 'recovered'";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}

/// Writes what a start found, with its leaf; what stands afterwards. A finding of an earlier start that nobody contradicts any more ends
/// here where it never was about the database: a memory that was not at hand then is now.
///
/// # Errors
/// What the store says.
pub fn record(tx: &Tx<'_>, journal: &Journal, mut found: Vec<Contradiction>, now: Timestamp) -> Result<Option<RolledBack>, StoreError> {
    let before = standing(tx)?;
    if let Some(before) = &before {
        let medium = |c: &Contradiction| matches!(c.finding, Finding::Missing | Finding::Unreadable | Finding::Unreachable);
        if found.is_empty() && before.contradictions.iter().all(medium) {
            let body = serde_json::json!({ "event": "recovery.cleared", "finding": before.id });
            let leaf = journal.append(tx, LeafKind::Recovery, &body, &[])?.number();
            end(tx, before.id, "cleared", leaf, now)?;
            return Ok(None);
        }
        if found.iter().all(|c| before.contradictions.contains(c)) {
            return Ok(Some(before.clone()));
        }
        let known: Vec<Contradiction> = before.contradictions.iter().filter(|c| !found.contains(c)).cloned().collect();
        found.extend(known);
    } else if found.is_empty() {
        return Ok(None);
    }
    let database = match &before {
        Some(before) => before.database.clone(),
        None => {
            let own = size(tx)?;
            Extent::new(own, &root(tx, own)?)
        }
    };
    let body = serde_json::json!({ "event": "recovery.needed", "database": database, "contradictions": found });
    let leaf = journal.append(tx, LeafKind::Recovery, &body, &[])?.number();
    let text = serde_json::to_string(&found).map_err(|_| StoreError::Fault)?;
    match before {
        Some(before) => {
            tx.execute("UPDATE log_rollback SET contradictions = ?2, leaf = ?3 WHERE id = ?1", params![before.id, text, leaf])?
        }
        None => tx.execute(
            "INSERT INTO log_rollback (found_at, size, root, contradictions, state, leaf) VALUES (?1, ?2, ?3, ?4, 'standing', ?5)",
            params![now, database.size, database.root, text, leaf],
        )?,
    };
    standing(tx)
}

/// Ends a finding, in the transaction of the leaf that says why.
///
/// # Errors
/// What the store says; a finding that does not stand is a fault.
pub fn end(tx: &Tx<'_>, id: i64, state: &'static str, leaf: u64, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE log_rollback SET state = ?2, ended_leaf = ?3, ended_at = ?4 WHERE id = ?1 AND state = 'standing'";
    match tx.execute(sql, params![id, state, leaf, now])? {
        1 => Ok(()),
        _ => Err(StoreError::Malformed("log_rollback")),
    }
}

#[cfg(test)]
#[path = "rollback_tests.rs"]
mod tests;
