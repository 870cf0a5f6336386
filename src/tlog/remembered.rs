//! The newest checkpoint, remembered outside the database: whoever puts an older copy of the database back does not put back what was
//! told since, and so is found.
//!
//! One file with two places of 4 KiB. A checkpoint is written over the older place and synced while the database commits, so that the two
//! syncs take the time of one; a caller is told when both are done. What tears the writing of one place leaves the other, which is of the
//! commit before, that was told. So the file is never behind what was told. It can be ahead of the database by the one commit that was
//! begun when the machine failed: the last byte of a place says whether its commit was done. It is written before anyone is told and not
//! synced for itself, so it outlives the process, and the machine from the next commit on. Where it is missing, a database that stands
//! exactly at the place before is no contradiction: what a power cut can hide is a copy of the database that lacks the very last commit.
//!
//! Overwriting a place of a file that exists needs one sync; a new file under a new name needs three. A place holds a signed note, so that
//! its signature is its checksum too, and zeros to its last byte.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};

use super::checkpoint::Checkpoint;
use super::note::Verifier;
use super::rollback::{Known, Memory};
use crate::store::StoreError;

const FILE: &str = "checkpoint";
const PLACE_BYTES: usize = 4096;
/// The last byte of a place, once its commit was done.
const DONE: u8 = 1;
/// What findings call it.
pub const SOURCE: &str = "remembered";

/// The file.
#[derive(Debug)]
pub struct RememberedFile {
    file: File,
    /// The place to be written next.
    next: u64,
    /// Leaves of a checkpoint that is there without the mark of its commit, which stands in the other place than `next`.
    unmarked: Option<u64>,
    syncer: Syncer,
}

/// A thread that syncs the file beside the database's commit. It ends with its handle.
#[derive(Debug)]
struct Syncer {
    ask: SyncSender<()>,
    done: Receiver<std::io::Result<()>>,
}

impl Syncer {
    fn start(file: File) -> Result<Self, StoreError> {
        let ((ask, asked), (tell, done)) = (sync_channel::<()>(1), sync_channel(1));
        std::thread::Builder::new().name("log-remembered".into()).spawn(move || {
            while asked.recv().is_ok() {
                if tell.send(file.sync_data()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { ask, done })
    }
}

/// What one place holds.
struct Place {
    checkpoint: Option<Checkpoint>,
    empty: bool,
    done: bool,
}

impl RememberedFile {
    /// Opens the file in `dir`, making it with two empty places where absent; and what is remembered there, as far as `key` signed it.
    ///
    /// # Errors
    /// The system's.
    pub fn open(dir: &Dir, key: &Verifier) -> Result<(Self, Known), StoreError> {
        let mut options = OpenOptions::new();
        let file = dir.open_with(FILE, options.read(true).write(true).create(true).truncate(false).mode(0o600))?;
        if file.metadata()?.len() < 2 * PLACE_BYTES as u64 {
            file.set_len(2 * PLACE_BYTES as u64)?;
            file.sync_all()?;
            // The name too. Opened anew for reading: the descriptor of a `Dir` may be of the kind that cannot be synced.
            dir.open(".")?.sync_all()?;
        }
        let syncer = Syncer::start(file.try_clone()?)?;
        let mut opened = Self { file, next: 0, unmarked: None, syncer };
        let known = opened.known(key)?;
        Ok((opened, known))
    }

    fn place(&mut self, at: u64, key: &Verifier) -> Result<Place, StoreError> {
        let mut bytes = vec![0; PLACE_BYTES];
        self.file.seek(SeekFrom::Start(at * PLACE_BYTES as u64))?;
        self.file.read_exact(&mut bytes)?;
        let done = bytes.pop() == Some(DONE);
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        let checkpoint = Checkpoint::verify(&bytes, key).ok().map(|v| v.checkpoint);
        Ok(Place { checkpoint, empty: bytes.is_empty(), done })
    }

    /// What is remembered; the place beside it is the next to be written.
    fn known(&mut self, key: &Verifier) -> Result<Known, StoreError> {
        let places = [self.place(0, key)?, self.place(1, key)?];
        let signed = (0..).zip(&places).filter_map(|(at, place)| Some((at, place.checkpoint.as_ref()?, place.done)));
        let newest = signed.clone().max_by_key(|(_, checkpoint, _)| checkpoint.size);
        let memory = match newest {
            Some((at, checkpoint, done)) => {
                self.next = 1 - at;
                let before = signed.clone().find(|(other, ..)| *other != at).map(|(_, c, _)| (c.size, c.root));
                let (size, root) = (checkpoint.size, checkpoint.root);
                self.unmarked = (!done).then_some(size);
                if done { Memory::At { size, root } } else { Memory::Begun { size, root, before } }
            }
            None if places.iter().all(|place| place.empty) => Memory::Missing,
            None => Memory::Unreadable,
        };
        Ok(Known { source: SOURCE.to_owned(), memory })
    }

    /// Settles a checkpoint without mark, once the database was judged by it: a log of `size` leaves has its commit, and the mark is made
    /// up for; or has not, and the place is the next to be written.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn settle(&mut self, size: u64) -> Result<(), StoreError> {
        let Some(begun) = self.unmarked.take() else { return Ok(()) };
        self.next = 1 - self.next;
        if size >= begun {
            self.mark()?;
        }
        Ok(())
    }

    /// Begins to remember a signed checkpoint, while its transaction commits; [`RememberedFile::finish`] waits for it.
    ///
    /// # Errors
    /// The system's; a note that is longer than a place.
    pub(super) fn begin(&mut self, note: &str) -> Result<(), StoreError> {
        let mut bytes = note.as_bytes().to_vec();
        if bytes.len() >= PLACE_BYTES {
            return Err(StoreError::Malformed("checkpoint"));
        }
        bytes.resize(PLACE_BYTES, 0);
        self.file.seek(SeekFrom::Start(self.next * PLACE_BYTES as u64))?;
        self.file.write_all(&bytes)?;
        self.syncer.ask.send(()).map_err(|_| StoreError::Fault)
    }

    /// Returns once what was begun is durable, and marks it: to be called when its commit is, before anyone is told.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.syncer.done.recv().map_err(|_| StoreError::Fault)??;
        self.mark()
    }

    /// Marks the place that was written as done; the other is next.
    fn mark(&mut self) -> Result<(), StoreError> {
        self.file.seek(SeekFrom::Start((self.next + 1) * PLACE_BYTES as u64 - 1))?;
        self.file.write_all(&[DONE])?;
        self.next = 1 - self.next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TempDir;
    use crate::tlog::merkle::Hash;
    use crate::tlog::note::Signer;

    #[test]
    fn what_tears_one_place_leaves_the_commit_before_and_nothing_unsigned_is_believed() {
        let place = TempDir::create();
        let dir = place.roots().remembered().try_clone().unwrap();
        let (signer, other) =
            (Signer::from_seed("log.example/a", &[1; 32]).unwrap(), Signer::from_seed("log.example/a", &[2; 32]).unwrap());
        let open = |signer: &Signer| RememberedFile::open(&dir, signer.verifier()).unwrap();
        let known = |signer: &Signer| open(signer).1.memory;
        assert_eq!(known(&signer), Memory::Missing);
        let note = |size: u64| Checkpoint::sign(&signer, size, Hash([size as u8; 32])).unwrap();
        let at = |size: u64| Memory::At { size, root: Hash([size as u8; 32]) };
        let write = |file: &mut RememberedFile, note: &str| {
            file.begin(note).unwrap();
            file.finish().unwrap();
        };
        let mut file = open(&signer).0;
        for size in 1..=5 {
            write(&mut file, &note(size));
            assert_eq!(known(&signer), at(size));
            assert_eq!(known(&other), Memory::Unreadable);
        }
        // The newest stands in place 0; whichever byte of it is torn, the one before is remembered.
        let path = place.path().join("data/remembered/checkpoint");
        let whole = std::fs::read(&path).unwrap();
        for torn in [0, 20, note(5).len() - 2] {
            let mut bytes = whole.clone();
            bytes[torn] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(known(&signer), at(4), "{torn}");
            // The one that holds is not the one that is written over.
            write(&mut open(&signer).0, &note(6));
            bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes[PLACE_BYTES..], whole[PLACE_BYTES..]);
            assert_eq!(known(&signer), at(6));
        }
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(known(&signer), Memory::Unreadable);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(known(&signer), Memory::Missing);
        assert!(open(&signer).0.begin(&"x".repeat(PLACE_BYTES)).is_err());
    }

    #[test]
    fn what_was_begun_and_not_done_is_told_apart_and_settled_by_what_the_database_has() {
        let place = TempDir::create();
        let dir = place.roots().remembered().try_clone().unwrap();
        let signer = Signer::from_seed("log.example/a", &[1; 32]).unwrap();
        let note = |size: u64| Checkpoint::sign(&signer, size, Hash([size as u8; 32])).unwrap();
        let root = |size: u64| Hash([size as u8; 32]);
        let open = || RememberedFile::open(&dir, signer.verifier()).unwrap();
        let begun = |size, before: Option<u64>| Memory::Begun { size, root: root(size), before: before.map(|b| (b, root(b))) };

        let mut first = open().0;
        first.begin(&note(1)).unwrap();
        assert_eq!(open().1.memory, begun(1, None));
        first.finish().unwrap();
        first.begin(&note(2)).unwrap();
        drop(first);
        // The database has not got it: its place is written over, and the one that was done stays.
        let (mut second, known) = open();
        assert_eq!(known.memory, begun(2, Some(1)));
        second.settle(1).unwrap();
        second.begin(&note(3)).unwrap();
        assert_eq!(open().1.memory, begun(3, Some(1)));
        drop(second);
        // The database has it: it counts as done, and the other place is written over.
        let (mut third, _) = open();
        third.settle(3).unwrap();
        assert_eq!(open().1.memory, Memory::At { size: 3, root: root(3) });
        third.begin(&note(4)).unwrap();
        assert_eq!(open().1.memory, begun(4, Some(3)));
        third.finish().unwrap();
        assert_eq!(open().1.memory, Memory::At { size: 4, root: root(4) });
    }
}
