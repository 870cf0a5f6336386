//! What the witness said last, in the store: the newest checkpoint that it cosigned, and what it holds against the log.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::store::{Migration, StoreError, Tx};

/// One row at most. `fault` is a word of [`WitnessFault`].
pub const MIGRATION: Migration = Migration {
    name: "tlog-witness-1",
    sql: "CREATE TABLE log_witness (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, note TEXT, asked_at INTEGER NOT NULL, fault TEXT) STRICT;",
};

/// What a witness holds against a log: that the two have seen different histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WitnessFault {
    /// The witness cosigned more leaves than there are: the log was cut, or its database set back.
    Behind,
    /// The witness cosigned another tree: the log was rewritten.
    Forked,
}

impl WitnessFault {
    /// Its word in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Forked => "forked",
        }
    }
}

/// The newest cosigned checkpoint: its size and the note with both signatures.
///
/// # Errors
/// What the store says.
pub fn newest(connection: &Connection) -> Result<Option<(u64, String)>, StoreError> {
    let sql = "SELECT size, note FROM log_witness WHERE note IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| Ok((r.get(0)?, r.get(1)?))).optional()?)
}

/// What the witness holds against the log, with the size at which it does.
///
/// # Errors
/// What the store says.
pub fn fault(connection: &Connection) -> Result<Option<(String, u64)>, StoreError> {
    let sql = "SELECT fault, size FROM log_witness WHERE fault IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| Ok((r.get(0)?, r.get(1)?))).optional()?)
}

/// Keeps a cosigned checkpoint; it must have been verified. One of fewer leaves replaces none of more.
///
/// # Errors
/// What the store says.
pub fn keep(tx: &Tx<'_>, size: u64, note: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO log_witness (id, size, note, asked_at, fault) VALUES (1, ?1, ?2, ?3, NULL)
               ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note, asked_at = excluded.asked_at, fault = NULL
               WHERE excluded.size >= size OR note IS NULL";
    tx.execute(sql, params![size, note, now])?;
    Ok(())
}

/// Keeps what the witness holds against the log; the checkpoint that it cosigned before stays.
///
/// # Errors
/// What the store says.
pub fn keep_fault(tx: &Tx<'_>, fault: WitnessFault, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO log_witness (id, size, note, asked_at, fault) VALUES (1, 0, NULL, ?2, ?1)
               ON CONFLICT (id) DO UPDATE SET asked_at = excluded.asked_at, fault = excluded.fault";
    tx.execute(sql, params![fault.word(), now])?;
    Ok(())
}
