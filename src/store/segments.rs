//! Column segments: one encrypted file per column of a dataset version.
//!
//! Order of a write: sealed under a temporary name, fsynced, renamed, directory fsynced; then the row, in the caller's
//! transaction. What a crash leaves without a row is swept at the next start.

use std::collections::HashSet;
use std::io::{BufWriter, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cap_std::fs::Dir;
use protocol::seal::{self, SealKey, Sealer};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::keys::{KeyKind, Keyring};
use super::roots::{sync_dir, write_durably};
use super::{Db, Roots, StoreError, Tx};
use crate::id::DatasetId;

/// Bytes read at a time from what is being sealed.
const READ_BYTES: usize = seal::CHUNK_BYTES;

/// The column segments of all datasets. Methods that touch files block.
#[derive(Clone)]
pub struct Segments {
    dir: Arc<Dir>,
    keyring: Keyring,
}

/// The data key of one dataset.
pub struct DatasetKey {
    dataset: DatasetId,
    key: SealKey,
}

/// A segment that lies durably in its file and waits for its row. Without one the next sweep removes it.
#[must_use = "without `record` the segment is swept away"]
#[derive(Debug)]
pub struct StagedSegment {
    dataset: DatasetId,
    version: u32,
    column: String,
    file: String,
    plaintext_bytes: u64,
    sealed_bytes: u64,
}

/// A segment, opened read-only for the engine.
#[derive(Debug)]
pub struct SegmentFile {
    /// The file.
    pub fd: OwnedFd,
    /// Its length.
    pub sealed_bytes: u64,
    /// Length of the plaintext.
    pub plaintext_bytes: u64,
    /// The context it opens under.
    pub context: String,
}

/// One destroyed column segment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DestroyedSegment {
    /// Version of the dataset.
    pub version: u32,
    /// Column.
    pub column: String,
    /// Length of the file.
    pub sealed_bytes: u64,
}

/// What was destroyed of a dataset, for the certificate.
#[must_use = "the files are removed by `purge_blocking`"]
#[derive(Debug, serde::Serialize)]
pub struct Destroyed {
    /// The dataset.
    pub dataset: DatasetId,
    /// Whether there was a data key to destroy.
    pub key: bool,
    /// Its segments, unreadable without the key.
    pub segments: Vec<DestroyedSegment>,
    #[serde(skip)]
    files: Vec<String>,
}

fn label(version: u32, column: &str) -> String {
    format!("segment/{version}/{column}")
}

impl Segments {
    pub(super) fn new(roots: &Roots, keyring: Keyring) -> Result<Self, StoreError> {
        Ok(Self { dir: Arc::new(roots.segments().try_clone()?), keyring })
    }

    /// The data key of `dataset`, made where none ever was. Needed to stage.
    pub fn dataset_key(&self, tx: &Tx<'_>, dataset: &DatasetId) -> Result<DatasetKey, StoreError> {
        let key = self.keyring.get_or_create(tx, KeyKind::Dataset, dataset.as_str())?;
        Ok(DatasetKey { dataset: dataset.clone(), key })
    }

    /// Seals `plaintext_bytes` bytes of `plaintext` into a new file, durably. Blocks.
    pub fn stage(
        &self,
        key: &DatasetKey,
        version: u32,
        column: &str,
        plaintext_bytes: u64,
        plaintext: impl Read,
    ) -> Result<StagedSegment, StoreError> {
        let file = super::random_file_name("seg")?;
        let context = seal::segment_context(key.dataset.as_str(), version, column);
        let column_key = key.key.derive(&label(version, column));
        write_durably(&self.dir, &file, |out| {
            let mut sealer = Sealer::new(&column_key, context.as_bytes(), plaintext_bytes, BufWriter::new(out))?;
            // One byte more than announced, so that a longer source is refused and not cut.
            let mut rest = plaintext.take(plaintext_bytes.saturating_add(1));
            let mut buf = Zeroizing::new(vec![0u8; READ_BYTES]);
            loop {
                match rest.read(&mut buf) {
                    Ok(0) => break,
                    Ok(n) => sealer.push(buf.get(..n).unwrap_or_default())?,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e.into()),
                }
            }
            let out = sealer.finish()?.into_inner().map_err(|e| StoreError::Io(e.into_error()))?;
            Ok((out, ()))
        })?;
        let sealed_bytes = seal::sealed_bytes(plaintext_bytes).ok_or(StoreError::Malformed("segment length"))?;
        let (dataset, column) = (key.dataset.clone(), column.to_owned());
        Ok(StagedSegment { dataset, version, column, file, plaintext_bytes, sealed_bytes })
    }

    /// Gives a staged segment its row, in the transaction that makes the version known.
    pub fn record(&self, tx: &Tx<'_>, staged: &StagedSegment) -> Result<(), StoreError> {
        // A key destroyed meanwhile must not leave a readable-looking version.
        drop(self.keyring.get(tx, KeyKind::Dataset, staged.dataset.as_str())?);
        tx.prepare_cached("INSERT INTO segment VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute((
            &staged.dataset,
            staged.version,
            &staged.column,
            &staged.file,
            staged.plaintext_bytes as i64,
            staged.sealed_bytes as i64,
        ))?;
        Ok(())
    }

    /// Removes staged segments whose import came to nothing. Blocks.
    pub fn discard(&self, staged: Vec<StagedSegment>) {
        for segment in staged {
            remove(&self.dir, &segment.file);
        }
    }

    /// Seals one column and records it: key, file, row. For callers with nothing else to write in the same transaction. Blocks.
    pub fn put_blocking(&self, db: &Db, dataset: &DatasetId, version: u32, column: &str, plaintext: &[u8]) -> Result<(), StoreError> {
        let (this, name) = (self.clone(), dataset.clone());
        let key = db.write_blocking(move |tx| this.dataset_key(tx, &name))?;
        let staged = self.stage(&key, version, column, plaintext.len() as u64, plaintext)?;
        let this = self.clone();
        db.write_blocking(move |tx| this.record(tx, &staged))
    }

    /// Opens a segment read-only, for passing its descriptor to the engine. Blocks.
    pub fn open_file(&self, connection: &Connection, dataset: &DatasetId, version: u32, column: &str) -> Result<SegmentFile, StoreError> {
        let sql = "SELECT file, plaintext_bytes, sealed_bytes FROM segment WHERE dataset = ?1 AND version = ?2 AND column_name = ?3";
        let row: Option<(String, i64, i64)> = connection
            .prepare_cached(sql)?
            .query_row((dataset, version, column), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (file, plaintext_bytes, sealed_bytes) = row.ok_or(StoreError::Malformed("no such segment"))?;
        let file = self.dir.open(file)?;
        if i64::try_from(file.metadata()?.len()) != Ok(sealed_bytes) {
            return Err(StoreError::Malformed("segment file of another length"));
        }
        Ok(SegmentFile {
            fd: file.into_std().into(),
            sealed_bytes: sealed_bytes as u64,
            plaintext_bytes: plaintext_bytes as u64,
            context: seal::segment_context(dataset.as_str(), version, column),
        })
    }

    /// The key of one column of one version: it opens that segment and no other.
    pub fn column_key(&self, connection: &Connection, dataset: &DatasetId, version: u32, column: &str) -> Result<SealKey, StoreError> {
        let key = self.keyring.get(connection, KeyKind::Dataset, dataset.as_str())?;
        Ok(key.derive(&label(version, column)))
    }

    /// Destroys the data key of `dataset` and forgets its segments, in the caller's transaction (that of the certificate's
    /// leaf). After the commit, [`Segments::purge_blocking`] removes the files.
    pub fn destroy_dataset_key(&self, tx: &Tx<'_>, dataset: &DatasetId) -> Result<Destroyed, StoreError> {
        let mut statement =
            tx.prepare_cached("DELETE FROM segment WHERE dataset = ?1 RETURNING version, column_name, sealed_bytes, file")?;
        let rows = statement.query_map([dataset], |row| {
            let segment = DestroyedSegment { version: row.get(0)?, column: row.get(1)?, sealed_bytes: row.get::<_, i64>(2)? as u64 };
            Ok((segment, row.get::<_, String>(3)?))
        })?;
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.sort_by(|(a, _), (b, _)| (a.version, &a.column).cmp(&(b.version, &b.column)));
        let (segments, files) = rows.into_iter().unzip();
        let key = Keyring::destroy(tx, KeyKind::Dataset, dataset.as_str())?;
        Ok(Destroyed { dataset: dataset.clone(), key, segments, files })
    }

    /// Removes the files of what was destroyed and the last copy of its wrapped key in the write-ahead log. Blocks. What a
    /// crash interrupts, the next start completes.
    pub fn purge_blocking(&self, db: &Db, destroyed: &Destroyed) -> Result<(), StoreError> {
        destroyed.files.iter().for_each(|file| remove(&self.dir, file));
        sync_dir(&self.dir)?;
        db.truncate_wal_blocking()
    }

    /// Removes files without a row. Only at the start, before anything is staged.
    pub(super) fn sweep(&self, connection: &Connection) -> Result<usize, StoreError> {
        sweep(&self.dir, connection, "SELECT file FROM segment")
    }
}

pub(super) fn remove(dir: &Dir, file: &str) {
    if let Err(error) = dir.remove_file(file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::error!(%error, file, "an encrypted file could not be removed; it is at the next start");
    }
}

/// Removes the files of `dir` that `sql` does not list; how many. Tells of listed files that are not there.
pub(super) fn sweep(dir: &Dir, connection: &Connection, sql: &str) -> Result<usize, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut known = statement.query_map([], |row| row.get(0))?.collect::<Result<HashSet<String>, _>>()?;
    let mut removed = 0;
    for entry in dir.entries()? {
        let name = entry?.file_name();
        if name.to_str().is_none_or(|name| !known.remove(name)) {
            dir.remove_file(&name)?;
            removed += 1;
        }
    }
    if removed > 0 {
        sync_dir(dir)?;
        tracing::info!(removed, "files that no row names were removed");
    }
    for file in known {
        tracing::error!(file, "an encrypted file is missing; restore it from a backup");
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::testing::TempDir;

    const CANARY: &[u8] = b"CANARY-110101199003074578-CANARY";

    fn dataset(name: &str) -> DatasetId {
        name.parse().unwrap()
    }

    fn open(store: &Store, set: &str, version: u32, column: &str, key_of: (&str, u32, &str)) -> Result<Vec<u8>, StoreError> {
        store.db.read_blocking(|c| {
            let file = store.segments.open_file(c, &dataset(set), version, column)?;
            let key = store.segments.column_key(c, &dataset(key_of.0), key_of.1, key_of.2)?;
            let mut sealed = Vec::new();
            std::fs::File::from(file.fd).read_to_end(&mut sealed)?;
            assert_eq!(sealed.len() as u64, file.sealed_bytes);
            let plain = seal::open_all(&key, file.context.as_bytes(), &sealed, 2)?.to_vec();
            assert_eq!(plain.len() as u64, file.plaintext_bytes);
            Ok(plain)
        })
    }

    fn files(temp: &TempDir) -> usize {
        temp.files().iter().filter(|(path, _)| path.parent().unwrap().ends_with("segments")).count()
    }

    #[test]
    fn a_column_opens_with_its_own_key_only_and_stands_nowhere_in_clear() {
        let temp = TempDir::create();
        let store = temp.store();
        let text = CANARY.repeat(5_000);
        for (set, version, column) in [("tax", 1, "id"), ("tax", 1, "grade"), ("tax", 2, "id"), ("other", 1, "id")] {
            store.segments.put_blocking(&store.db, &dataset(set), version, column, &text).unwrap();
        }
        assert_eq!(open(&store, "tax", 1, "id", ("tax", 1, "id")).unwrap(), text);
        for key in [("tax", 1, "grade"), ("tax", 2, "id"), ("other", 1, "id")] {
            assert!(matches!(open(&store, "tax", 1, "id", key), Err(StoreError::Seal(_))), "{key:?}");
        }
        assert!(store.segments.put_blocking(&store.db, &dataset("tax"), 1, "id", b"x").is_err(), "never overwritten");
        assert_eq!(temp.files_with(&CANARY[7..25]), 0);
        drop(store);
        assert_eq!(open(&temp.store(), "tax", 2, "id", ("tax", 2, "id")).unwrap(), text, "after a restart");
        assert_eq!(temp.files_with(&CANARY[7..25]), 0);
    }

    #[test]
    fn what_a_crash_leaves_is_swept_and_what_is_recorded_stays() {
        let temp = TempDir::create();
        let store = temp.store();
        store.segments.put_blocking(&store.db, &dataset("tax"), 1, "id", b"kept").unwrap();
        let (segments, name) = (store.segments.clone(), dataset("tax"));
        let key = store.db.write_blocking(move |tx| segments.dataset_key(tx, &name)).unwrap();
        let staged = store.segments.stage(&key, 2, "id", 4, b"lost".as_slice()).unwrap();
        store.segments.discard(vec![store.segments.stage(&key, 2, "x", 4, b"gone".as_slice()).unwrap()]);
        std::fs::write(temp.path().join("data/segments/seg_half.tmp"), b"half").unwrap();
        assert_eq!(files(&temp), 3);
        drop((store, staged)); // as if the process had died between rename and commit
        let store = temp.store();
        assert_eq!(files(&temp), 1);
        assert_eq!(open(&store, "tax", 1, "id", ("tax", 1, "id")).unwrap(), b"kept");
        assert!(open(&store, "tax", 2, "id", ("tax", 2, "id")).is_err());
    }

    #[test]
    fn a_source_of_another_length_is_refused_and_leaves_nothing() {
        let temp = TempDir::create();
        let store = temp.store();
        let (segments, name) = (store.segments.clone(), dataset("tax"));
        let key = store.db.write_blocking(move |tx| segments.dataset_key(tx, &name)).unwrap();
        for announced in [3, 5] {
            assert!(store.segments.stage(&key, 1, "id", announced, b"four".as_slice()).is_err());
        }
        assert_eq!(files(&temp), 0);
    }

    #[test]
    fn a_destroyed_key_is_in_no_file_and_never_comes_back() {
        let temp = TempDir::create();
        let store = temp.store();
        for (set, column) in [("tax", "b"), ("tax", "a"), ("other", "a")] {
            store.segments.put_blocking(&store.db, &dataset(set), 1, column, CANARY).unwrap();
        }
        let wrapped: Vec<u8> = store
            .db
            .read_blocking(|c| Ok::<_, StoreError>(c.query_row("SELECT wrapped FROM data_key WHERE id = 'tax'", [], |r| r.get(0))?))
            .unwrap();
        assert!(temp.files_with(&wrapped[16..]) > 0);
        // Into the database file too, so that more than the write-ahead log has to forget it.
        store.db.truncate_wal_blocking().unwrap();

        let segments = store.segments.clone();
        let destroyed = store.db.write_blocking(move |tx| segments.destroy_dataset_key(tx, &dataset("tax"))).unwrap();
        store.segments.purge_blocking(&store.db, &destroyed).unwrap();
        assert!(destroyed.key);
        assert_eq!(destroyed.segments.iter().map(|s| s.column.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(files(&temp), 1);
        // The salt and ciphertext of the wrapped key: not one 16-byte piece of it is left.
        assert!(wrapped[32..].chunks_exact(16).all(|piece| temp.files_with(piece) == 0));

        let again = store.segments.put_blocking(&store.db, &dataset("tax"), 2, "a", CANARY);
        assert!(matches!(again, Err(StoreError::KeyDestroyed)));
        let segments = store.segments.clone();
        let twice = store.db.write_blocking(move |tx| segments.destroy_dataset_key(tx, &dataset("tax"))).unwrap();
        assert!(!twice.key && twice.segments.is_empty());
        assert_eq!(open(&store, "other", 1, "a", ("other", 1, "a")).unwrap(), CANARY);
    }

    #[test]
    fn an_altered_segment_is_refused() {
        let temp = TempDir::create();
        let store = temp.store();
        store.segments.put_blocking(&store.db, &dataset("tax"), 1, "id", CANARY).unwrap();
        let path = temp.files().into_iter().map(|f| f.0).find(|p| p.parent().unwrap().ends_with("segments")).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(&store, "tax", 1, "id", ("tax", 1, "id")), Err(StoreError::Seal(_))));
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(matches!(open(&store, "tax", 1, "id", ("tax", 1, "id")), Err(StoreError::Malformed(_))));
    }
}
