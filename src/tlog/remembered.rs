//! The newest checkpoint, remembered outside the database: whoever puts an older copy of the database back does not put back what was
//! told since, and so is found.
//!
//! One file with two places of 4 KiB. A checkpoint is written over the older place and synced before any caller is told of the commit
//! that it is of; what tears the writing of one place leaves the other, which is of the commit before, that was told. So the file is
//! never behind what was told, and never ahead of the database, which was durable first. Overwriting a place of a file that exists needs
//! one sync; a new file under a new name needs three.
//!
//! A place holds a signed note, so that its signature is its checksum too, and zeros to its end.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};

use super::checkpoint::Checkpoint;
use super::note::Verifier;
use super::rollback::{Known, Memory};
use crate::store::StoreError;

const FILE: &str = "checkpoint";
const PLACE_BYTES: usize = 4096;
/// What findings call it.
pub const SOURCE: &str = "remembered";

/// The file.
#[derive(Debug)]
pub struct RememberedFile {
    file: File,
    /// The place to be written next.
    next: u64,
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
        let mut opened = Self { file, next: 0 };
        let known = opened.known(key)?;
        Ok((opened, known))
    }

    fn place(&mut self, at: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; PLACE_BYTES];
        self.file.seek(SeekFrom::Start(at * PLACE_BYTES as u64))?;
        self.file.read_exact(&mut bytes)?;
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        Ok(bytes)
    }

    /// What is remembered; the place beside it is the next to be written.
    fn known(&mut self, key: &Verifier) -> Result<Known, StoreError> {
        let places = [self.place(0)?, self.place(1)?];
        let signed = |note: &Vec<u8>| Checkpoint::verify(note, key).ok().map(|v| v.checkpoint);
        let newest = (0..).zip(&places).filter_map(|(at, note)| Some((at, signed(note)?))).max_by_key(|(_, c)| c.size);
        let memory = match newest {
            Some((at, checkpoint)) => {
                self.next = 1 - at;
                Memory::At { size: checkpoint.size, root: checkpoint.root }
            }
            None if places.iter().all(Vec::is_empty) => Memory::Missing,
            None => Memory::Unreadable,
        };
        Ok(Known { source: SOURCE.to_owned(), memory })
    }

    /// Remembers a signed checkpoint; returns once it is durable.
    ///
    /// # Errors
    /// The system's; a note that is longer than a place.
    pub fn write(&mut self, note: &str) -> Result<(), StoreError> {
        let mut bytes = note.as_bytes().to_vec();
        if bytes.len() > PLACE_BYTES {
            return Err(StoreError::Malformed("checkpoint"));
        }
        bytes.resize(PLACE_BYTES, 0);
        self.file.seek(SeekFrom::Start(self.next * PLACE_BYTES as u64))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
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
        let mut file = open(&signer).0;
        for size in 1..=5 {
            file.write(&note(size)).unwrap();
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
            open(&signer).0.write(&note(6)).unwrap();
            bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes[PLACE_BYTES..], whole[PLACE_BYTES..]);
            assert_eq!(known(&signer), at(6));
        }
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(known(&signer), Memory::Unreadable);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(known(&signer), Memory::Missing);
        assert!(open(&signer).0.write(&"x".repeat(PLACE_BYTES + 1)).is_err());
    }
}
