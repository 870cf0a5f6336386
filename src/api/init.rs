//! The first start: keys, tables, the log's first leaf, the first account.

use std::sync::Arc;

use super::error::ApiError;
use super::server::PUBLISHED_WITHIN;
use super::settings::Settings;
use super::state::{self, Opened};
use crate::clock::Clock;
use crate::id::{OrgId, PrincipalId};
use crate::policy::token::{self, Token};
use crate::store::{MasterKey, Roots, StoreError};
use crate::tlog::journal::published;
use crate::tlog::leaf::LeafKind;

/// The master key's file in the state directory.
pub const MASTER_KEY_FILE: &str = "master.key";

/// Who gets the first token: a security administrator, who makes all other accounts.
#[derive(Debug, Clone)]
pub struct FirstAccount {
    /// Name of the account.
    pub id: PrincipalId,
    /// Its organisation.
    pub org: OrgId,
    /// Life of its token.
    pub token_lifetime_s: i64,
}

/// What the first start made.
#[derive(Debug)]
pub struct Initialised {
    /// The security administrator's token: shown once, stored nowhere.
    pub token: Token,
    /// The log's public key, `name+hash+base64`: what everyone verifies with.
    pub log_key: String,
}

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A rule, for example that there is an account already.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Makes the master key (0600, in the state directory, unless `key` brings one), the tables, the log and the first account.
///
/// # Errors
/// [`StoreError::KeyExists`], or `request.conflict` where there is an account already; nothing is replaced.
pub fn init(
    roots: Roots,
    key: Option<MasterKey>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    first: FirstAccount,
) -> Result<Initialised, InitError> {
    let key = match key {
        Some(key) => key,
        None => MasterKey::create_file(roots.state(), MASTER_KEY_FILE)?,
    };
    let Opened { store, journal, log_key, pepper, log_dir, .. } = state::open(&roots, Arc::new(key), &settings, &clock)?;
    let now = clock.now();
    let token = store.db.write_blocking(move |tx| -> Result<Token, ApiError> {
        let (principal, token) = token::bootstrap(tx, &pepper, first.id, first.org, first.token_lifetime_s, now)?;
        let body = serde_json::json!({ "event": "account.first", "about": principal });
        let _ = journal.append(tx, LeafKind::Account, &body, &[&principal.org])?;
        Ok(token)
    })?;
    // What is behind is completed by the first start.
    let _ = published(&store.db, &log_dir, PUBLISHED_WITHIN);
    Ok(Initialised { token, log_key })
}
