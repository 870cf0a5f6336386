//! A tlog-tiles directory on disk, through cap-std.

use super::{
    leaf::LEAF_BYTES,
    merkle::Hash,
    tile::{TileError, changed},
    verify::{CHECKPOINT_PATH, FILE_BYTES_MAX, Source},
};
use cap_std::fs::{Dir, OpenOptions};
use std::io::{self, Read as _, Write as _};

/// Where a file is written before it takes its name. It is never part of a log: one left by a crash is not looked at, and written over.
const INCOMING: &str = "incoming";
/// Branches that were told and that recoveries left behind. They are kept as evidence and are never part of the log.
const SUPERSEDED: &str = "superseded";
/// The tiles.
const TILES: &str = "tile";
/// Deepest directory read: `tile/0/` and 7 groups of digits and `.p`.
const DEPTH_MAX: usize = 16;

/// A directory of a log.
#[derive(Debug)]
pub struct LogDir(Dir);

/// Why publishing failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store lacks what the tree says it has.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The directory could not be written.
    #[error("the log directory could not be written")]
    Io(#[from] io::Error),
}

impl LogDir {
    /// The log in `dir`.
    pub fn new(dir: Dir) -> Self {
        Self(dir)
    }

    /// Writes what a tree of `new` leaves has and one of `old` had not, then the signed `checkpoint`, each synced and renamed into
    /// place: a reader never sees a checkpoint before its tiles. Repeating it is harmless.
    pub fn publish(
        &self,
        (old, new): (u64, u64),
        checkpoint: &str,
        node: impl Fn(u8, u64) -> Option<Hash>,
        entry: impl Fn(u64) -> Option<[u8; LEAF_BYTES]>,
    ) -> Result<(), PublishError> {
        for tile in changed(old, new) {
            self.write(&tile.to_string(), &tile.bytes(&node, &entry)?)?;
        }
        Ok(self.write(CHECKPOINT_PATH, checkpoint.as_bytes())?)
    }

    /// Puts aside what is published, as the branch that the recovery of this number left behind. Repeating it is harmless.
    ///
    /// # Errors
    /// The system's.
    pub fn supersede(&self, recovery: i64) -> io::Result<()> {
        let folder = format!("{SUPERSEDED}/{recovery}");
        self.0.create_dir_all(&folder)?;
        // The checkpoint last: while it is here, this is not done.
        for name in [TILES, CHECKPOINT_PATH] {
            match self.0.rename(name, &self.0, format!("{folder}/{name}")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.0.create_dir_all(folder)?;
        }
        let mut file = self.0.open_with(INCOMING, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.0.rename(INCOMING, &self.0, path)
    }
}

impl Source for LogDir {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match self.0.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|n| n > FILE_BYTES_MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        walk(&self.0, "", DEPTH_MAX, &mut found)?;
        found.retain(|path| path != INCOMING && !path.starts_with(&format!("{SUPERSEDED}/")));
        found.sort_unstable();
        Ok(found)
    }
}

/// Lists whatever is not a directory. Links and devices are marked, so that they are never taken for a file of the log.
fn walk(dir: &Dir, prefix: &str, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            walk(&entry.open_dir()?, &format!("{path}/"), depth - 1, found)?;
        } else if kind.is_file() {
            found.push(path);
        } else {
            found.push(format!("{path} (not a file)"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::{Checkpoint, Leaf, LeafKind, Signer, merkle::Nodes, report::Cause, verify::verify};

    #[test]
    fn published_steps_verify_and_links_do_not() {
        let root = std::env::temp_dir().join(format!("fusebox-tlog-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let log = LogDir::new(Dir::open_ambient_dir(&root, cap_std::ambient_authority()).unwrap());
        let signer = Signer::from_seed("log.example/dir", &[3; 32]).unwrap();
        let quantum = std::num::NonZeroU64::new(60).unwrap();
        let leaves: Vec<Leaf> = (0..300).map(|i| Leaf::new(LeafKind::Import, 60 * i, quantum, i, &[1; 32], b"x")).collect();
        let nodes = Nodes::from_leaves(leaves.iter().map(Leaf::hash));
        let (mut old, mut remembered) = (0, None);
        for size in [0, 1, 255, 256, 300] {
            let root = crate::tlog::merkle::root_at(size, |l, i| nodes.node(l, i)).unwrap();
            let checkpoint = Checkpoint::sign(&signer, size, root).unwrap();
            let entry = |i: u64| leaves.get(i as usize).map(Leaf::to_bytes);
            log.publish((old, size), &checkpoint, |l, i| nodes.node(l, i), entry).unwrap();
            let report = verify(&log, signer.verifier(), remembered.as_deref());
            assert!(report.is_sound(), "{report}");
            (old, remembered) = (size, Some(checkpoint.into_bytes()));
        }
        assert!(log.read("tile/0/007").unwrap().is_none());
        // What a crash left half written is no part of it, wherever else the name stands it is.
        std::fs::write(root.join(INCOMING), b"half").unwrap();
        assert!(verify(&log, signer.verifier(), None).is_sound());
        std::fs::write(root.join("tile").join(INCOMING), b"half").unwrap();
        assert_eq!(verify(&log, signer.verifier(), None).fault.unwrap().cause, Cause::Extra);
        std::fs::remove_file(root.join("tile").join(INCOMING)).unwrap();
        std::fs::rename(root.join("tile/0/000"), root.join("tile/0/moved")).unwrap();
        std::os::unix::fs::symlink("moved", root.join("tile/0/000")).unwrap();
        let fault = verify(&log, signer.verifier(), None).fault.unwrap();
        assert_eq!((fault.cause, fault.file.as_deref()), (Cause::Extra, Some("tile/0/000 (not a file)")));
        std::fs::remove_file(root.join("tile/0/000")).unwrap();
        std::fs::rename(root.join("tile/0/moved"), root.join("tile/0/000")).unwrap();
        std::fs::write(root.join("tile/entries/000"), vec![0; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert_eq!(verify(&log, signer.verifier(), None).fault.unwrap().cause, Cause::Unreadable);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
