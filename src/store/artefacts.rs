//! Artefacts: what a release consists of, and held outputs, encrypted under one data key per release.
//!
//! Up to [`INLINE_BYTES_MAX`] an artefact is a row and becomes durable with the caller's transaction; a larger one is written
//! and fsynced before it, and swept at the next start if the transaction did not come.

use std::io::Write;
use std::sync::Arc;

use cap_std::fs::Dir;
use protocol::seal::{self, SealKey};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::keys::{KeyKind, Keyring, WrappedKey};
use super::roots::{sync_dir, write_durably};
use super::segments::{remove, sweep};
use super::{Db, Roots, StoreError, Tx};
use crate::id::{Name, ReleaseId};

/// Largest plaintext that is kept in a row.
pub const INLINE_BYTES_MAX: usize = 1 << 20;

/// The artefacts of all releases. Methods that touch files block.
#[derive(Clone)]
pub struct Artefacts {
    dir: Arc<Dir>,
    keyring: Keyring,
}

/// The sealed artefacts of one release, before their transaction. Its key is new; a release is written once.
#[must_use = "without `record` the artefacts are lost"]
pub struct Bundle {
    release: ReleaseId,
    key: SealKey,
    wrapped: WrappedKey,
    parts: Vec<Part>,
}

struct Part {
    name: Name,
    plaintext_bytes: u64,
    place: Place,
}

enum Place {
    Inline(Vec<u8>),
    File(String),
}

fn context(release: &ReleaseId, name: &Name) -> String {
    format!("artefact/{release}/{name}")
}

impl Artefacts {
    pub(super) fn new(roots: &Roots, keyring: Keyring) -> Result<Self, StoreError> {
        Ok(Self { dir: Arc::new(roots.artefacts().try_clone()?), keyring })
    }

    /// An empty bundle for `release`, with a fresh data key.
    pub fn bundle(&self, release: &ReleaseId) -> Result<Bundle, StoreError> {
        let key = SealKey::random()?;
        let wrapped = self.keyring.wrap(KeyKind::Release, release.as_str(), &key)?;
        Ok(Bundle { release: release.clone(), key, wrapped, parts: Vec::new() })
    }

    /// Seals `plaintext` into the bundle; a large one goes durably to its file at once. Blocks.
    pub fn add(&self, bundle: &mut Bundle, name: &Name, plaintext: &[u8]) -> Result<(), StoreError> {
        let sealed = seal::seal(&bundle.key, context(&bundle.release, name).as_bytes(), plaintext)?;
        let place = if plaintext.len() <= INLINE_BYTES_MAX {
            Place::Inline(sealed)
        } else {
            let file = super::random_file_name("art")?;
            write_durably(&self.dir, &file, |mut out| {
                out.write_all(&sealed)?;
                Ok((out, ()))
            })?;
            Place::File(file)
        };
        bundle.parts.push(Part { name: name.clone(), plaintext_bytes: plaintext.len() as u64, place });
        Ok(())
    }

    /// Opens an artefact; `None` where the release has none of this name. Blocks.
    ///
    /// # Errors
    /// [`StoreError::KeyDestroyed`] after [`Artefacts::destroy`].
    pub fn read(&self, connection: &Connection, release: &ReleaseId, name: &Name) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = match self.keyring.get(connection, KeyKind::Release, release.as_str()) {
            Err(StoreError::NoKey) => return Ok(None),
            other => other?,
        };
        let row: Option<(Option<Vec<u8>>, Option<String>)> = connection
            .prepare_cached("SELECT inline, file FROM artefact WHERE release = ?1 AND name = ?2")?
            .query_row((release, name), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let sealed = match row {
            None => return Ok(None),
            Some((Some(inline), _)) => inline,
            Some((None, Some(file))) => self.dir.read(file)?,
            Some((None, None)) => return Err(StoreError::Malformed("artefact without content")),
        };
        Ok(Some(seal::open_all(&key, context(release, name).as_bytes(), &sealed, 1)?))
    }

    /// Names and plaintext lengths of a release's artefacts, by name.
    pub fn list(&self, connection: &Connection, release: &ReleaseId) -> Result<Vec<(Name, u64)>, StoreError> {
        let mut statement = connection.prepare_cached("SELECT name, plaintext_bytes FROM artefact WHERE release = ?1 ORDER BY name")?;
        let rows = statement.query_map([release], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Destroys the release's key and forgets its artefacts, in the caller's transaction; the files to hand to
    /// [`Artefacts::purge_blocking`] after the commit.
    pub fn destroy(&self, tx: &Tx<'_>, release: &ReleaseId) -> Result<Vec<String>, StoreError> {
        let mut statement = tx.prepare_cached("DELETE FROM artefact WHERE release = ?1 RETURNING file")?;
        let files = statement.query_map([release], |row| row.get(0))?.collect::<Result<Vec<Option<String>>, _>>()?;
        Keyring::destroy(tx, KeyKind::Release, release.as_str())?;
        Ok(files.into_iter().flatten().collect())
    }

    /// Removes files that [`Artefacts::destroy`] gave, and the last copy of the wrapped key in the write-ahead log. Blocks.
    pub fn purge_blocking(&self, db: &Db, files: &[String]) -> Result<(), StoreError> {
        files.iter().for_each(|file| remove(&self.dir, file));
        sync_dir(&self.dir)?;
        db.truncate_wal_blocking()
    }

    /// Removes files without a row. Only at the start, before anything is added.
    pub(super) fn sweep(&self, connection: &Connection) -> Result<usize, StoreError> {
        sweep(&self.dir, connection, "SELECT file FROM artefact WHERE file IS NOT NULL")
    }
}

impl Bundle {
    /// The release.
    pub fn release(&self) -> &ReleaseId {
        &self.release
    }

    /// Stores key and artefacts in the caller's transaction. Refused where the release has any already.
    pub fn record(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        Keyring::record(tx, KeyKind::Release, self.release.as_str(), &self.wrapped)?;
        let mut insert =
            tx.prepare_cached("INSERT INTO artefact (release, name, plaintext_bytes, inline, file) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for part in &self.parts {
            let (inline, file) = match &part.place {
                Place::Inline(sealed) => (Some(sealed), None),
                Place::File(file) => (None, Some(file)),
            };
            insert.execute((&self.release, &part.name, part.plaintext_bytes as i64, inline, file))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::testing::TempDir;

    const CANARY: &[u8] = b"CANARY-91350200MA2XXXXXXX-CANARY";

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn read(store: &Store, release: &ReleaseId, of: &str) -> Result<Option<Vec<u8>>, StoreError> {
        store.db.read_blocking(|c| Ok(store.artefacts.read(c, release, &name(of))?.map(|a| a.to_vec())))
    }

    fn files(temp: &TempDir) -> usize {
        temp.files().iter().filter(|(path, _)| path.parent().unwrap().ends_with("artefacts")).count()
    }

    #[test]
    fn small_and_large_artefacts_come_back_and_stand_nowhere_in_clear() {
        let temp = TempDir::create();
        let store = temp.store();
        let release = ReleaseId::random().unwrap();
        let large = CANARY.repeat(INLINE_BYTES_MAX / CANARY.len() + 1);
        let edge = large[..INLINE_BYTES_MAX].to_vec();
        let mut bundle = store.artefacts.bundle(&release).unwrap();
        for (of, bytes) in [("small", CANARY), ("edge", &edge), ("large", &large), ("empty", b"".as_slice())] {
            store.artefacts.add(&mut bundle, &name(of), bytes).unwrap();
        }
        assert_eq!(read(&store, &release, "small").unwrap(), None, "not before its transaction");
        store.db.write_blocking(move |tx| bundle.record(tx)).unwrap();
        drop(store);
        let store = temp.store();
        assert_eq!(read(&store, &release, "small").unwrap().unwrap(), CANARY);
        assert_eq!(read(&store, &release, "edge").unwrap().unwrap(), edge);
        assert_eq!(read(&store, &release, "large").unwrap().unwrap(), large);
        assert_eq!(read(&store, &release, "empty").unwrap().unwrap(), b"");
        assert_eq!(read(&store, &release, "other").unwrap(), None);
        assert_eq!(files(&temp), 1);
        assert_eq!(temp.files_with(&CANARY[7..25]), 0);
        let listed = store.db.read_blocking(|c| store.artefacts.list(c, &release)).unwrap();
        assert_eq!(listed[0], (name("edge"), INLINE_BYTES_MAX as u64));
        assert_eq!(listed.len(), 4);
    }

    #[test]
    fn a_bundle_whose_transaction_fails_is_swept_and_a_release_is_written_once() {
        let temp = TempDir::create();
        let store = temp.store();
        let release = ReleaseId::random().unwrap();
        let large = vec![7; INLINE_BYTES_MAX + 1];
        let mut lost = store.artefacts.bundle(&release).unwrap();
        store.artefacts.add(&mut lost, &name("a"), &large).unwrap();
        let failed = store.db.write_blocking(move |tx| {
            lost.record(tx)?;
            Err::<(), _>(StoreError::Fault)
        });
        assert!(failed.is_err() && files(&temp) == 1);
        drop(store);
        let store = temp.store();
        assert_eq!(files(&temp), 0);
        let first = store.artefacts.bundle(&release).unwrap();
        let second = store.artefacts.bundle(&release).unwrap();
        store.db.write_blocking(move |tx| first.record(tx)).unwrap();
        assert!(store.db.write_blocking(move |tx| second.record(tx)).is_err());
    }

    #[test]
    fn destroying_a_release_makes_it_unreadable() {
        let temp = TempDir::create();
        let store = temp.store();
        let release = ReleaseId::random().unwrap();
        let mut bundle = store.artefacts.bundle(&release).unwrap();
        store.artefacts.add(&mut bundle, &name("a"), &vec![7; INLINE_BYTES_MAX + 1]).unwrap();
        store.db.write_blocking(move |tx| bundle.record(tx)).unwrap();
        let (artefacts, id) = (store.artefacts.clone(), release.clone());
        let gone = store.db.write_blocking(move |tx| artefacts.destroy(tx, &id)).unwrap();
        store.artefacts.purge_blocking(&store.db, &gone).unwrap();
        assert_eq!(files(&temp), 0);
        assert!(matches!(read(&store, &release, "a"), Err(StoreError::KeyDestroyed)));
    }
}
