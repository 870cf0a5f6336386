//! Keys: one master key wraps one data key per dataset and per release.
//!
//! [`KeyService`] is the seam where a hardware module or a remote key service fits; [`MasterKey`] is the one that is here.

use std::io::{Read, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cap_std::fs::{Dir, PermissionsExt};
use protocol::seal::{self, SealError, SealKey};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::roots::{sync_dir, write_durably};
use super::{StoreError, Tx};

/// Bytes that tell which master key wrapped a data key.
const KEY_ID_BYTES: usize = 8;
/// Longest key file that is read.
const KEY_TEXT_BYTES_MAX: u64 = 256;

/// What the server's own keys are for; each is independent of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Encrypts the bodies of log leaves.
    LeafBody,
    /// Keyed hash of bearer tokens.
    TokenPepper,
    /// MAC over compiled modules.
    ModuleMac,
    /// Commitments of jobs.
    JobKey,
    /// Root of the project-scoped pseudonym keys.
    PseudonymRoot,
    /// Ordinals of units in a namespace.
    NamespaceKey,
    /// Draws of random rounding.
    Rounding,
    /// Keyed hash under which questions about a subject are counted.
    VerificationSubject,
    /// Seals reviewers' votes until both are in.
    Vote,
}

impl KeyUse {
    fn label(self) -> &'static str {
        match self {
            Self::LeafBody => "leaf-body",
            Self::TokenPepper => "token-pepper",
            Self::ModuleMac => "module-mac",
            Self::JobKey => "job-key",
            Self::PseudonymRoot => "pseudonym-root",
            Self::NamespaceKey => "namespace-key",
            Self::Rounding => "rounding",
            Self::VerificationSubject => "verification-subject",
            Self::Vote => "vote",
        }
    }
}

/// A data key sealed under the master key: 8 bytes that tell which one, then a sealed segment (its header names the algorithm).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// A wrapped key read from elsewhere; judged when it is unwrapped.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl ToSql for WrappedKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

impl FromSql for WrappedKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(value.as_blob()?.to_vec()))
    }
}

/// Keeps the master key, and uses it without giving it away.
pub trait KeyService: Send + Sync {
    /// Wraps `key` so that it unwraps under the same context only.
    fn wrap(&self, context: &str, key: &SealKey) -> Result<WrappedKey, StoreError>;
    /// The key that was wrapped under `context`.
    fn unwrap(&self, context: &str, wrapped: &WrappedKey) -> Result<SealKey, StoreError>;
    /// One of the server's own keys. The same at every start.
    fn derive(&self, of: KeyUse) -> SealKey;
}

/// A master key in this process's memory, from a file or an environment value.
pub struct MasterKey {
    root: SealKey,
    wrapping: SealKey,
    id: [u8; KEY_ID_BYTES],
}

impl MasterKey {
    fn new(root: SealKey) -> Self {
        let mut id = [0; KEY_ID_BYTES];
        let digest = root.derive("key-id");
        id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        Self { wrapping: root.derive("wrap"), root, id }
    }

    /// A fresh one, kept nowhere.
    pub fn random() -> Result<Self, StoreError> {
        Ok(Self::new(SealKey::random()?))
    }

    /// The key written in `text`: 32 bytes in hexadecimal or base64, blanks around it ignored.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let text = text.trim();
        let bytes = Zeroizing::new(match text.len() {
            64 => {
                let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
                let digits = Zeroizing::new(digits.ok_or(StoreError::KeyFormat)?);
                digits.chunks(2).map(|pair| pair.iter().fold(0u8, |byte, d| byte << 4 | *d as u8)).collect()
            }
            44 => STANDARD.decode(text).map_err(|_| StoreError::KeyFormat)?,
            _ => return Err(StoreError::KeyFormat),
        });
        SealKey::from_slice(&bytes).map(Self::new).ok_or(StoreError::KeyFormat)
    }

    /// The key in `dir/name`.
    ///
    /// # Errors
    /// [`StoreError::KeyMissing`]; [`StoreError::KeyFileMode`] unless the file is a plain one of mode 0600.
    pub fn open_file(dir: &Dir, name: &str) -> Result<Self, StoreError> {
        let file = match dir.open(name) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::KeyMissing),
            other => other?,
        };
        // Of the open file, not of the name: what is judged is what is read.
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o7777 != 0o600 {
            return Err(StoreError::KeyFileMode);
        }
        let mut text = Zeroizing::new(String::with_capacity(KEY_TEXT_BYTES_MAX as usize));
        file.take(KEY_TEXT_BYTES_MAX).read_to_string(&mut text).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => StoreError::KeyFormat,
            _ => e.into(),
        })?;
        Self::parse(&text)
    }

    /// Makes a random key and writes it to `dir/name`, mode 0600, durably.
    ///
    /// # Errors
    /// [`StoreError::KeyExists`]: no key is ever replaced.
    pub fn create_file(dir: &Dir, name: &str) -> Result<Self, StoreError> {
        if dir.symlink_metadata(name).is_ok() {
            return Err(StoreError::KeyExists);
        }
        let root = SealKey::random()?;
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in root.as_bytes() {
            text.extend([byte >> 4, byte & 15].iter().filter_map(|d| char::from_digit(u32::from(*d), 16)));
        }
        text.push('\n');
        let temporary = super::random_file_name("key")?;
        write_durably(dir, &temporary, |mut file| {
            file.write_all(text.as_bytes())?;
            Ok((file, ()))
        })?;
        // A link, unlike a rename, never replaces what another process may have made meanwhile.
        let linked = dir.hard_link(&temporary, dir, name);
        dir.remove_file(&temporary)?;
        linked.map_err(|e| if e.kind() == std::io::ErrorKind::AlreadyExists { StoreError::KeyExists } else { e.into() })?;
        sync_dir(dir)?;
        Ok(Self::new(root))
    }

    fn context(&self, context: &str) -> Vec<u8> {
        [b"data-key/".as_slice(), &self.id, context.as_bytes()].concat()
    }
}

impl KeyService for MasterKey {
    fn wrap(&self, context: &str, key: &SealKey) -> Result<WrappedKey, StoreError> {
        let sealed = seal::seal(&self.wrapping, &self.context(context), key.as_bytes())?;
        Ok(WrappedKey([self.id.as_slice(), &sealed].concat()))
    }

    fn unwrap(&self, context: &str, wrapped: &WrappedKey) -> Result<SealKey, StoreError> {
        let (id, sealed) = wrapped.0.split_at_checked(KEY_ID_BYTES).ok_or(StoreError::Malformed("wrapped key"))?;
        if id != self.id {
            return Err(StoreError::WrongMasterKey);
        }
        let key = seal::open_all(&self.wrapping, &self.context(context), sealed, 1)?;
        SealKey::from_slice(&key).ok_or(StoreError::Seal(SealError::Length))
    }

    fn derive(&self, of: KeyUse) -> SealKey {
        self.root.derive(of.label())
    }
}

/// What a data key is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A dataset, by its id.
    Dataset,
    /// A release, by its id.
    Release,
    /// A secret of the server itself (for example the seed that signs the log), by its name.
    Server,
}

impl KeyKind {
    fn word(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Release => "release",
            Self::Server => "server",
        }
    }
    fn context(self, id: &str) -> String {
        format!("{}/{id}", self.word())
    }
}

/// The data keys, wrapped in the database.
#[derive(Clone)]
pub struct Keyring(Arc<dyn KeyService>);

impl Keyring {
    /// Data keys under `service`, once it was found to be the one this database was made with. Notes it in a new database.
    ///
    /// # Errors
    /// [`StoreError::WrongMasterKey`].
    pub(super) fn open(service: Arc<dyn KeyService>, tx: &Tx<'_>) -> Result<Self, StoreError> {
        const NAME: &str = "master-key-check";
        let check: Option<WrappedKey> = tx.query_row("SELECT value FROM meta WHERE name = ?1", [NAME], |row| row.get(0)).optional()?;
        match check {
            Some(wrapped) => drop(service.unwrap(NAME, &wrapped)?),
            None => {
                let wrapped = service.wrap(NAME, &SealKey::random()?)?;
                tx.execute("INSERT INTO meta VALUES (?1, ?2)", (NAME, wrapped))?;
            }
        }
        Ok(Self(service))
    }

    /// One of the server's own keys.
    pub fn derive(&self, of: KeyUse) -> SealKey {
        self.0.derive(of)
    }

    /// Wraps a key for [`Keyring::record`].
    pub(super) fn wrap(&self, kind: KeyKind, id: &str, key: &SealKey) -> Result<WrappedKey, StoreError> {
        self.0.wrap(&kind.context(id), key)
    }

    /// Stores a wrapped key. Refused where one is or was there.
    pub(super) fn record(tx: &Tx<'_>, kind: KeyKind, id: &str, wrapped: &WrappedKey) -> Result<(), StoreError> {
        tx.prepare_cached("INSERT INTO data_key VALUES (?1, ?2, ?3)")?.execute((kind.word(), id, wrapped))?;
        Ok(())
    }

    /// The data key of `id`.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] where none was made, [`StoreError::KeyDestroyed`] where it was destroyed.
    pub fn get(&self, connection: &Connection, kind: KeyKind, id: &str) -> Result<SealKey, StoreError> {
        let found: Option<Option<WrappedKey>> = connection
            .prepare_cached("SELECT wrapped FROM data_key WHERE kind = ?1 AND id = ?2")?
            .query_row((kind.word(), id), |row| row.get(0))
            .optional()?;
        let wrapped = found.ok_or(StoreError::NoKey)?.ok_or(StoreError::KeyDestroyed)?;
        self.0.unwrap(&kind.context(id), &wrapped)
    }

    /// The data key of `id`, made where none ever was.
    pub fn get_or_create(&self, tx: &Tx<'_>, kind: KeyKind, id: &str) -> Result<SealKey, StoreError> {
        match self.get(tx, kind, id) {
            Err(StoreError::NoKey) => {
                let key = SealKey::random()?;
                Self::record(tx, kind, id, &self.wrap(kind, id, &key)?)?;
                Ok(key)
            }
            other => other,
        }
    }

    /// Destroys the data key of `id` for good; whether there was one. Its bytes are gone from every file of the store after
    /// the commit and [`super::Db::truncate_wal_blocking`]; copies in backups are the backup's to delete.
    pub fn destroy(tx: &Tx<'_>, kind: KeyKind, id: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE data_key SET wrapped = NULL WHERE kind = ?1 AND id = ?2 AND wrapped IS NOT NULL";
        Ok(tx.prepare_cached(sql)?.execute((kind.word(), id))? == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TempDir;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn unwrap_error(service: &MasterKey, context: &str, wrapped: &WrappedKey) -> StoreError {
        service.unwrap(context, wrapped).err().expect("must be refused")
    }

    #[test]
    fn a_wrapped_key_opens_under_its_master_key_and_context_only() {
        let (master, key) = (MasterKey::parse(KEY).unwrap(), SealKey::random().unwrap());
        let wrapped = master.wrap("dataset/a", &key).unwrap();
        assert_eq!(master.unwrap("dataset/a", &wrapped).unwrap().as_bytes(), key.as_bytes());
        assert!(matches!(unwrap_error(&master, "dataset/b", &wrapped), StoreError::Seal(SealError::Altered)));
        let other = MasterKey::random().unwrap();
        assert!(matches!(unwrap_error(&other, "dataset/a", &wrapped), StoreError::WrongMasterKey));
        for at in 0..wrapped.as_bytes().len() {
            let mut bytes = wrapped.as_bytes().to_vec();
            bytes[at] ^= 1;
            unwrap_error(&master, "dataset/a", &WrappedKey::from_bytes(bytes));
        }
        let mut sm4 = wrapped.as_bytes().to_vec();
        sm4[KEY_ID_BYTES + 8] = 2;
        let refused = unwrap_error(&master, "dataset/a", &WrappedKey::from_bytes(sm4));
        assert!(matches!(refused, StoreError::Seal(SealError::UnknownAlgorithm(2))));
    }

    #[test]
    fn a_key_is_read_from_hexadecimal_and_base64_alike() {
        let hex = MasterKey::parse(KEY).unwrap();
        let base64 = MasterKey::parse(" ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\n").unwrap();
        assert_eq!(hex.root.as_bytes(), base64.root.as_bytes());
        assert_eq!(hex.root.as_bytes()[..3], [0x00, 0x11, 0x22]);
        for bad in ["", "00", &KEY[1..], &KEY.replace('0', "g"), &"é".repeat(32), &"=".repeat(44)] {
            assert!(matches!(MasterKey::parse(bad), Err(StoreError::KeyFormat)), "{bad}");
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_refused_when_others_may_read_it() {
        let temp = TempDir::create();
        let roots = temp.roots();
        let dir = roots.state();
        assert!(matches!(MasterKey::open_file(dir, "k"), Err(StoreError::KeyMissing)));
        let made = MasterKey::create_file(dir, "k").unwrap();
        assert_eq!(dir.entries().unwrap().count(), 1);
        assert!(matches!(MasterKey::create_file(dir, "k"), Err(StoreError::KeyExists)));
        assert_eq!(MasterKey::open_file(dir, "k").unwrap().root.as_bytes(), made.root.as_bytes());
        for mode in [0o640, 0o604, 0o660, 0o400, 0o700] {
            dir.set_permissions("k", cap_std::fs::Permissions::from_mode(mode)).unwrap();
            let error = MasterKey::open_file(dir, "k").err().unwrap();
            assert!(matches!(error, StoreError::KeyFileMode) && error.to_string().contains("chmod 600"), "{mode:o}");
        }
    }

    #[test]
    fn the_servers_own_keys_are_independent_and_stable() {
        let uses = [
            KeyUse::LeafBody,
            KeyUse::TokenPepper,
            KeyUse::ModuleMac,
            KeyUse::JobKey,
            KeyUse::PseudonymRoot,
            KeyUse::NamespaceKey,
            KeyUse::Rounding,
        ];
        let keys = uses.map(|u| *MasterKey::parse(KEY).unwrap().derive(u).as_bytes());
        let again = uses.map(|u| *MasterKey::parse(KEY).unwrap().derive(u).as_bytes());
        assert_eq!(keys, again);
        let master = MasterKey::parse(KEY).unwrap();
        assert!((0..6).all(|i| (0..i).all(|j| keys[i] != keys[j]) && keys[i] != *master.wrapping.as_bytes()));
    }
}
