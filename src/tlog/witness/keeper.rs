//! A witness's folder: its key, and for each log the newest checkpoint that it cosigned.
//!
//! ```text
//! witness.key        name and seed, readable by its owner only
//! seen-ORIGIN        the cosigned note; ORIGIN is the SHA-256 of the log's name, hexadecimal
//! ```

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cap_std::fs::{Dir, File, OpenOptions};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use super::request::{AddCheckpoint, WitnessRefusal, judge};
use crate::clock::Clock;
use crate::store::{StoreError, write_durably};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::cosign::{Cosigned, CosignedError, Cosigner, WitnessKey};
use crate::tlog::note::{NOTE_BYTES_MAX, Note, NoteError, Verifier};

const KEY_FILE: &str = "witness.key";
const LOCK_FILE: &str = "lock";
/// Longest key file that is read.
const KEY_BYTES_MAX: u64 = 1024;

/// Why a witness does not work.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The folder.
    #[error("the witness's folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// Writing durably.
    #[error("the witness's folder cannot be written: {0}")]
    Store(#[from] StoreError),
    /// There is a key already, and none is replaced.
    #[error("there is a witness's key in this folder already; nothing is replaced")]
    KeyExists,
    /// There is no key, or it cannot be read.
    #[error("there is no witness's key in this folder; `fusebox witness init` makes one")]
    NoKey,
    /// A name that no key can have.
    #[error("{0}")]
    Name(#[from] NoteError),
    /// Another process works on the folder.
    #[error("another witness works on this folder")]
    InUse,
    /// What was kept does not hold under the keys.
    #[error("what this witness kept of the log {origin} does not hold: {why}")]
    Kept {
        /// The log.
        origin: String,
        /// Why.
        why: CosignedError,
    },
    /// A write failed: nothing is signed until a new start has read what is there.
    #[error("a write failed; start the witness again")]
    Failed,
    /// What was asked.
    #[error(transparent)]
    Refused(#[from] WitnessRefusal),
}

/// The newest of a log.
#[derive(Clone)]
struct Seen {
    cosigned: Cosigned,
    note: String,
}

/// A working witness. Methods block.
pub struct Keeper {
    dir: Dir,
    signer: Cosigner,
    logs: Vec<Verifier>,
    clock: Arc<dyn Clock>,
    /// `None` after a write failed.
    seen: Mutex<Option<BTreeMap<String, Seen>>>,
    _lock: File,
}

fn seen_file(origin: &str) -> String {
    let digest = digest::digest(&digest::SHA256, origin.as_bytes());
    digest.as_ref().iter().fold("seen-".to_owned(), |name, b| format!("{name}{b:02x}"))
}

/// The text of a file of at most `bytes_max` bytes; `None` where there is none.
fn text_of(dir: &Dir, name: &str, bytes_max: u64) -> std::io::Result<Option<Zeroizing<String>>> {
    let file = match dir.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(bytes_max).read_to_string(&mut text)?;
    Ok(Some(text))
}

fn write(dir: &Dir, name: &str, text: &str) -> Result<(), StoreError> {
    write_durably(dir, name, |mut file| {
        file.write_all(text.as_bytes())?;
        Ok((file, ()))
    })
}

impl Keeper {
    /// Makes the key of a new witness called `name`; its public half.
    ///
    /// # Errors
    /// [`KeeperError::KeyExists`], or what the folder says.
    pub fn init(dir: &Dir, name: &str) -> Result<WitnessKey, KeeperError> {
        if dir.exists(KEY_FILE) {
            return Err(KeeperError::KeyExists);
        }
        let mut seed = Zeroizing::new([0u8; 32]);
        SystemRandom::new().fill(seed.as_mut()).map_err(|_| StoreError::Fault)?;
        let signer = Cosigner::from_seed(name, &seed)?;
        let text = Zeroizing::new(format!("{name}\n{}\n", Zeroizing::new(STANDARD.encode(seed.as_slice())).as_str()));
        write(dir, KEY_FILE, &text)?;
        Ok(signer.verifier().clone())
    }

    fn signer(dir: &Dir) -> Result<Cosigner, KeeperError> {
        let text = text_of(dir, KEY_FILE, KEY_BYTES_MAX)?.ok_or(KeeperError::NoKey)?;
        let (name, seed) = text.trim_end().split_once('\n').ok_or(KeeperError::NoKey)?;
        let seed = Zeroizing::new(STANDARD.decode(seed).map_err(|_| KeeperError::NoKey)?);
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| KeeperError::NoKey)?;
        Ok(Cosigner::from_seed(name, seed)?)
    }

    /// Opens a witness's folder for these logs. What it kept is verified again.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn open(dir: Dir, logs: Vec<Verifier>, clock: Arc<dyn Clock>) -> Result<Self, KeeperError> {
        let signer = Self::signer(&dir)?;
        let lock = dir.open_with(LOCK_FILE, OpenOptions::new().write(true).create(true).truncate(false))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| KeeperError::InUse)?;
        let mut seen = BTreeMap::new();
        for log in &logs {
            let file = seen_file(log.name());
            // Left by a write that broke off; no signature on it has left.
            let _ = dir.remove_file(format!("{file}.tmp"));
            let Some(note) = text_of(&dir, &file, NOTE_BYTES_MAX as u64)? else { continue };
            let cosigned = Cosigned::verify(note.as_bytes(), log, signer.verifier())
                .map_err(|why| KeeperError::Kept { origin: log.name().to_owned(), why })?;
            seen.insert(log.name().to_owned(), Seen { cosigned, note: note.to_string() });
        }
        Ok(Self { dir, signer, logs, clock, seen: Mutex::new(Some(seen)), _lock: lock })
    }

    /// The public key.
    pub fn key(&self) -> &WitnessKey {
        self.signer.verifier()
    }

    /// The newest checkpoint that was cosigned for a log, with both signatures.
    pub fn newest(&self, origin: &str) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref()?.get(origin).map(|seen| seen.note.clone())
    }

    /// Judges a request and cosigns; the signature line. The checkpoint is on disk before the line is given away, and no two requests are
    /// judged at a time.
    ///
    /// # Errors
    /// [`KeeperError::Refused`], or what the folder says; then nothing was signed.
    pub fn add(&self, body: &[u8]) -> Result<String, KeeperError> {
        let request = AddCheckpoint::parse(body)?;
        let mut guard = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = guard.as_mut().ok_or(KeeperError::Failed)?;
        let checkpoint: Checkpoint = judge(&request, &self.logs, |origin| seen.get(origin).map(|s| s.cosigned.checkpoint.clone()))?;
        let origin = checkpoint.origin.clone();
        // A clock that was set back does not make the witness sign times that run backwards.
        let before = seen.get(&origin).map_or(0, |s| s.cosigned.time_s);
        let time_s = u64::try_from(self.clock.now().unix_s()).unwrap_or(0).max(before);
        let line = self.signer.line(&checkpoint, time_s);
        let log = self.logs.iter().find(|log| log.name() == origin).ok_or(WitnessRefusal::UnknownLog)?;
        // No signature beside the log's one is kept: whoever sends them could fill the note beyond what is read.
        let note = Note::parse(request.note.as_bytes()).map_err(|_| WitnessRefusal::Malformed)?;
        let note = note.with_line_of(log).ok_or(WitnessRefusal::Unsigned)? + &line;
        if let Err(error) = write(&self.dir, &seen_file(&origin), &note) {
            *guard = None;
            return Err(error.into());
        }
        seen.insert(origin, Seen { cosigned: Cosigned { checkpoint, time_s }, note });
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{FixedClock, Timestamp};
    use crate::store::testing::TempDir;
    use crate::tlog::merkle::{Nodes, consistency, leaf_hash, root_at};
    use crate::tlog::note::Signer;

    fn log() -> Signer {
        Signer::from_seed("log.example/a", &[1; 32]).unwrap()
    }

    fn request(nodes: &Nodes, old: u64, new: u64) -> Vec<u8> {
        let proof = consistency(old, new, |l, i| nodes.node(l, i)).unwrap();
        let note = Checkpoint::sign(&log(), new, root_at(new, |l, i| nodes.node(l, i)).unwrap()).unwrap();
        AddCheckpoint { old, proof, note }.to_text().into_bytes()
    }

    #[test]
    fn what_was_cosigned_is_remembered_across_a_start_and_contradicted_by_nobody() {
        let place = TempDir::create();
        let dir = || Dir::open_ambient_dir(place.path(), cap_std::ambient_authority()).unwrap();
        let clock = Arc::new(FixedClock::new(Timestamp::from_unix_s(1000)));
        let open = || Keeper::open(dir(), vec![log().verifier().clone()], clock.clone());
        assert!(matches!(open(), Err(KeeperError::NoKey)));
        let key = Keeper::init(&dir(), "witness.example/w").unwrap();
        assert!(matches!(Keeper::init(&dir(), "witness.example/w"), Err(KeeperError::KeyExists)));
        let nodes = Nodes::from_leaves((0..9).map(|i| leaf_hash(&[i])));
        let fork = Nodes::from_leaves((0..9).map(|i| leaf_hash(&[i / 2])));
        let witness = open().unwrap();
        assert_eq!(witness.key(), &key);
        assert!(matches!(open(), Err(KeeperError::InUse)));
        assert_eq!(witness.newest("log.example/a"), None);
        witness.add(&request(&nodes, 0, 4)).unwrap();
        // One signature line is kept, the log's: others may bear its name too, and be as many as a note holds.
        let mut strange = String::from_utf8(request(&nodes, 4, 7)).unwrap() + "— stranger AAAAAAAA\n";
        let own = strange.lines().find(|line| line.starts_with("— log.example/a ")).unwrap().to_owned();
        while strange.len() + 2 * own.len() < NOTE_BYTES_MAX {
            strange = strange + &own + "\n— log.example/a AAAAAAAA\n";
        }
        witness.add(strange.as_bytes()).unwrap();
        drop(witness);

        clock.set(Timestamp::from_unix_s(10));
        let witness = open().unwrap();
        let kept = witness.newest("log.example/a").unwrap();
        let cosigned = Cosigned::verify(kept.as_bytes(), log().verifier(), &key).unwrap();
        assert_eq!((cosigned.checkpoint.size, cosigned.time_s), (7, 1000));
        assert_eq!(kept.matches("— ").count(), 2, "{kept}");
        let refused = |body: &[u8]| match witness.add(body) {
            Err(KeeperError::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&request(&nodes, 4, 9)), WitnessRefusal::OtherSize { size: 7 });
        assert_eq!(refused(&request(&fork, 7, 9)), WitnessRefusal::Inconsistent);
        assert_eq!(refused(&request(&fork, 7, 7)), WitnessRefusal::OtherRoot { size: 7 });
        let line = witness.add(&request(&nodes, 7, 9)).unwrap();
        let signed = Checkpoint::sign(&log(), 9, root_at(9, |l, i| nodes.node(l, i)).unwrap()).unwrap() + &line;
        // The clock was set back; the times that are signed were not.
        assert_eq!(Cosigned::verify(signed.as_bytes(), log().verifier(), &key).unwrap().time_s, 1000);
        drop(witness);

        // A kept note that was altered stops the witness rather than be forgotten.
        let file = place.path().join(seen_file("log.example/a"));
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen("\n9\n", "\n8\n", 1)).unwrap();
        assert!(matches!(open(), Err(KeeperError::Kept { .. })));
    }

    #[test]
    fn nothing_is_signed_after_a_write_that_failed() {
        let place = TempDir::create();
        let dir = Dir::open_ambient_dir(place.path(), cap_std::ambient_authority()).unwrap();
        Keeper::init(&dir, "witness.example/w").unwrap();
        let witness = Keeper::open(dir, vec![log().verifier().clone()], Arc::new(crate::clock::SystemClock)).unwrap();
        let nodes = Nodes::from_leaves((0..9).map(|i| leaf_hash(&[i])));
        // A folder stands in the way of the file.
        let file = place.path().join(seen_file("log.example/a"));
        std::fs::create_dir_all(file.join("in the way")).unwrap();
        assert!(matches!(witness.add(&request(&nodes, 0, 4)), Err(KeeperError::Store(_))));
        std::fs::remove_dir_all(&file).unwrap();
        assert!(matches!(witness.add(&request(&nodes, 0, 4)), Err(KeeperError::Failed)));
    }
}
