//! Who may do what, and how strictly outputs are judged.
//!
//! - [`token`]: a presented bearer token becomes a [`Caller`].
//! - [`authz`]: a [`Caller`], an action and a thing become a [`Permit`] or a refusal. Cedar decides, by `policies/authz.cedar`.
//! - [`release`]: release policies, and the strictest of those that apply as an [`ActivePolicy`].
//! - [`city`]: working days and reply clocks of a city.
//! - [`records`]: accounts, tokens and policies in the store; all else here is pure.
//!
//! Nothing is allowed by being left out: no policy, no file, no field and no fault of ours permits.

pub mod action;
pub mod authz;
pub mod caller;
pub mod city;
pub mod records;
pub mod release;
pub mod resource;

pub use action::{Action, ActionType, actions};
pub use authz::{Authz, Permit};
pub use caller::{Caller, Principal, Role};
pub use records::{MIGRATIONS, PolicyError, principal, token};
pub use release::{ActivePolicy, ReleasePolicy};
