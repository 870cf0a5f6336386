//! What can go wrong in the store. `Display` is for callers (no data, no paths, no type names); [`StoreError::log_text`] for the log.

use std::error::Error;

use protocol::seal::SealError;

use crate::id::IdError;

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite refused or failed.
    #[error("the store failed and changed nothing; try again, and tell the administrator if it happens again")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("the store could not read or write; ask the administrator to check disk space and permissions")]
    Io(#[from] std::io::Error),
    /// Sealed bytes did not open, or could not be sealed.
    #[error("stored data could not be opened or sealed; ask the administrator to compare it with a backup")]
    Seal(#[from] SealError),
    /// A value in the store is not of the form it was written in.
    #[error("stored data is malformed; ask the administrator to compare it with a backup")]
    Malformed(&'static str),
    /// No identifier could be made.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The batch of writes that this one was part of was rolled back.
    #[error("the write was rolled back together with others and changed nothing; try again")]
    Batch(String),
    /// A commit failed: what is on disk is not known until the database is recovered at the next start.
    #[error("the store stopped after a failed commit; whether this write was kept is known after a restart of the server")]
    Poisoned,
    /// The writing thread has ended.
    #[error("the store is closed; restart the server")]
    Closed,
    /// A fault in our own code, caught; nothing was changed.
    #[error("an internal fault; nothing was changed; tell the administrator")]
    Fault,
    /// Another process holds the data directory.
    #[error("another fusebox process uses this data directory; stop it first")]
    InUse,
    /// The database was made by another version.
    #[error("the database was made by another version of fusebox; start that version, or a newer one")]
    Version(String),
    /// A directory of the store is open to other users.
    #[error("a directory of the store is open to other users of this machine; run `chmod 700` on it")]
    DirectoryMode(&'static str),
    /// The master key file is open to other users.
    #[error(
        "the master key file is open to other users of this machine; run `chmod 600` on it, and replace the key if they may have read it"
    )]
    KeyFileMode,
    /// There is no master key.
    #[error("there is no master key; run `fusebox init`, or give the key that this data was made with")]
    KeyMissing,
    /// A key is there already and is not replaced.
    #[error("there is a master key already; it is not replaced, because data sealed under it would be lost")]
    KeyExists,
    /// Not 32 bytes in hexadecimal or base64.
    #[error("the master key is not 32 bytes in hexadecimal (64 digits) or base64 (44 characters)")]
    KeyFormat,
    /// This data was sealed under another master key.
    #[error("this is not the master key that the data was made with; give that one")]
    WrongMasterKey,
    /// No data key of this name was ever made.
    #[error("there is no key for this data")]
    NoKey,
    /// The data key was destroyed, and what was sealed under it with it.
    #[error("the key of this data was destroyed; the data cannot be read any more")]
    KeyDestroyed,
}

impl StoreError {
    /// The text for the log, with its causes. May name files and SQL, never bound values.
    pub fn log_text(&self) -> String {
        let mut text = self.to_string();
        match self {
            Self::Batch(cause) | Self::Version(cause) => text.push_str(&format!(": {cause}")),
            Self::Malformed(what) | Self::DirectoryMode(what) => text.push_str(&format!(": {what}")),
            _ => {}
        }
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    }
}
