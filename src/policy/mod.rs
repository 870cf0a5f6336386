//! Who may do what, and how strictly outputs are judged.
//!
//! - [`token`]: a presented bearer token becomes a [`Caller`].
//! - [`authz`]: a [`Caller`], an action and a thing become a [`Permit`] or a refusal. Cedar decides, by `policies/authz.cedar`.
//! - [`release`]: release policies, and the strictest of those that apply as an [`ActivePolicy`].
//! - [`city`]: working days and reply clocks of a city.
//!
//! Nothing is allowed by being left out: no policy, no file, no field and no fault of ours permits.

pub mod action;
pub mod authz;
pub mod city;
pub mod principal;
pub mod release;
pub mod resource;
pub mod token;

pub use action::{Action, ActionType, actions};
pub use authz::{Authz, Permit};
pub use principal::{Caller, Principal, Role};
pub use release::{ActivePolicy, ReleasePolicy};

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
