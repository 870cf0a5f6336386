//! The store: SQLite for state, encrypted files for column segments and large artefacts, and the keys of both.
//!
//! ```text
//! master key ──wraps──▶ data key per dataset ──HKDF──▶ key per version and column ──seals──▶ segment file
//!            └─wraps──▶ data key per release ─────────────────────────────────────seals──▶ artefact (row or file)
//! ```
//!
//! The database itself is not encrypted: it holds no value of a dataset in clear, by the rule that whoever writes one seals it.
//! Files are written and fsynced before the row that names them, so after a crash a file without a row is swept away and a row
//! without a file does not occur.

use std::sync::Arc;

pub mod artefacts;
pub mod db;
mod error;
pub mod keys;
mod roots;
pub mod segments;
#[cfg(test)]
pub mod testing;
mod writer;

pub use artefacts::Artefacts;
pub use db::{CommitHook, Db, Migration, Tx};
pub use error::StoreError;
pub use keys::{KeyKind, KeyService, KeyUse, Keyring, MasterKey};
pub use roots::Roots;
pub(crate) use roots::write_durably;
pub use segments::Segments;

/// Everything of the store, opened together. Clones share it.
#[derive(Clone)]
pub struct Store {
    /// State.
    pub db: Db,
    /// Data keys.
    pub keyring: Keyring,
    /// Column segments.
    pub segments: Segments,
    /// Artefacts.
    pub artefacts: Artefacts,
}

impl Store {
    /// Opens the store: database and migrations, master key checked against it, leftovers of a crash swept. Blocks.
    ///
    /// # Errors
    /// As [`Db::open`], and [`StoreError::WrongMasterKey`].
    pub fn open(roots: &Roots, service: Arc<dyn KeyService>, migrations: &[Migration], readers: usize) -> Result<Self, StoreError> {
        let db = Db::open(roots, migrations, readers)?;
        let keyring = db.write_blocking(move |tx| Keyring::open(service, tx))?;
        let segments = Segments::new(roots, keyring.clone())?;
        let artefacts = Artefacts::new(roots, keyring.clone())?;
        db.read_blocking(|connection| segments.sweep(connection).and(artefacts.sweep(connection)))?;
        Ok(Self { db, keyring, segments, artefacts })
    }
}

/// A file name that tells nothing: `prefix` and 80 random bits.
fn random_file_name(prefix: &str) -> Result<String, StoreError> {
    Ok(crate::id::random_name(&format!("{prefix}_"))?.to_string())
}

#[cfg(test)]
mod tests {
    use super::testing::TempDir;
    use super::*;

    #[test]
    fn another_master_key_is_refused_and_the_right_one_still_opens() {
        let temp = TempDir::create();
        drop(temp.store());
        let other = Arc::new(MasterKey::random().unwrap());
        assert!(matches!(Store::open(&temp.roots(), other, &[], 1), Err(StoreError::WrongMasterKey)));
        drop(temp.store());
    }

    #[test]
    fn a_servers_own_secret_is_made_once() {
        let temp = TempDir::create();
        let store = temp.store();
        let get = |store: &Store| {
            let keyring = store.keyring.clone();
            let key = store.db.write_blocking(move |tx| keyring.get_or_create(tx, KeyKind::Server, "log"));
            *key.unwrap().as_bytes()
        };
        let first = get(&store);
        drop(store);
        assert_eq!(get(&temp.store()), first);
        assert_eq!(temp.files_with(&first), 0);
    }

    /// No text for callers names a path, a type, or what lies below; the text for the log does.
    #[test]
    fn callers_are_told_less_than_the_log() {
        let error = StoreError::from(std::io::Error::other("/secret/path: No space left"));
        assert!(!error.to_string().contains("secret") && error.log_text().contains("/secret/path"));
        let error = StoreError::Batch("constraint failed: item.n".into());
        assert!(!error.to_string().contains("item") && error.log_text().contains("item.n"));
    }
}
