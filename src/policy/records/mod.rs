//! What this module keeps in the store: accounts, tokens, release policies. Everything else in `policy` is pure.

pub mod principal;
pub mod release;
pub mod token;

use crate::refusal::Refused;
use crate::store::{Migration, StoreError};

/// The tables of this module.
pub const MIGRATIONS: &[Migration] = &[principal::MIGRATION, release::MIGRATION];

/// Why nothing was done: a rule, or the store.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Refused under a rule.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for PolicyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<crate::id::IdError> for PolicyError {
    fn from(error: crate::id::IdError) -> Self {
        Self::Store(error.into())
    }
}
