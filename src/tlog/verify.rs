//! Offline verification of a tlog-tiles directory with nothing but the log's public key and, if there is one, a checkpoint
//! remembered from before.
//!
//! Every hash is recomputed from the entries; every tile is compared byte for byte; no file may be missing, cut or extra. A
//! partial tile or bundle of an earlier size may remain beside its successor if it is a beginning of it (tlog-tiles allows
//! to keep or to delete it). Memory: 256 hashes a tile level, and the list of names.

use super::{
    checkpoint::{Checkpoint, Verified},
    leaf::{LEAF_BYTES, Leaf},
    merkle::{Hash, Tree, leaf_hash},
    note::{NOTE_BYTES_MAX, Verifier},
    report::{Cause, Fault, Remembered, Report},
    tile::{Layer, TILE_HEIGHT, TILE_WIDTH, Tile, changed, parse_bundle},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// Path of the checkpoint.
pub const CHECKPOINT_PATH: &str = "checkpoint";
/// Largest file of a log, in bytes.
pub const FILE_BYTES_MAX: u64 = NOTE_BYTES_MAX as u64;

/// The files of a log.
pub trait Source {
    /// The bytes of a file, `None` if there is none. Refuses files larger than [`FILE_BYTES_MAX`].
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;
    /// Paths of all files, `/` between the parts. What is not a plain file must be listed by a name that no file of a log has.
    fn list(&self) -> io::Result<Vec<String>>;
}

/// Verifies the log in `source`; `remembered` is a signed checkpoint, as kept from before.
///
/// Without one, a log cut at an earlier checkpoint or forked by the key's holder passes, and the report says that this was
/// not checked. Checking stops at the first fault.
pub fn verify(source: &dyn Source, key: &Verifier, remembered: Option<&[u8]>) -> Report {
    let mut report = Report {
        checkpoint: None,
        files: 0,
        leaves: 0,
        unknown_signatures: 0,
        remembered: if remembered.is_some() { Remembered::NotReached } else { Remembered::NotGiven },
        fault: None,
    };
    report.fault = check(source, key, remembered, &mut report).err();
    report
}

fn check(source: &dyn Source, key: &Verifier, remembered: Option<&[u8]>, report: &mut Report) -> Result<(), Fault> {
    let remembered = remembered.map(|bytes| Checkpoint::verify(bytes, key)).transpose();
    let remembered = remembered.map_err(|e| Fault { file: None, leaf: None, cause: Cause::RememberedInvalid(e) })?;
    let remembered = remembered.map(|verified| verified.checkpoint);

    let verified = Checkpoint::verify(&read(source, CHECKPOINT_PATH)?, key);
    let invalid = |e| fault(CHECKPOINT_PATH, Cause::CheckpointInvalid(e));
    let Verified { checkpoint, unknown_signatures } = verified.map_err(invalid)?;
    report.unknown_signatures = unknown_signatures;
    let (size, root) = (checkpoint.size, checkpoint.root);
    report.checkpoint = Some(checkpoint);
    if let Some(old) = remembered.as_ref().filter(|old| old.size > size) {
        report.remembered = Remembered::Contradicts { size: old.size };
        return Err(fault(CHECKPOINT_PATH, Cause::Truncated { remembered: old.size, size }));
    }

    let held = list(source, size, &mut report.files)?;
    let mut walk = Walk::new(source, &held, remembered.as_ref().map(|old| old.size));
    for index in 0..size.div_ceil(TILE_WIDTH.into()) {
        walk.bundle(index, size)?;
        report.leaves = walk.tree.size();
    }
    let remembered_root = walk.finish(size, root)?;

    if let (Some(old), Some(found)) = (remembered, remembered_root) {
        if found != old.root {
            report.remembered = Remembered::Contradicts { size: old.size };
            return Err(Fault { file: None, leaf: None, cause: Cause::Forked { remembered: old.size } });
        }
        report.remembered = Remembered::Extends { size: old.size };
    }
    Ok(())
}

fn fault(file: impl ToString, cause: Cause) -> Fault {
    Fault { file: Some(file.to_string()), leaf: None, cause }
}

fn read(source: &dyn Source, path: &str) -> Result<Vec<u8>, Fault> {
    let bytes = source.read(path).map_err(|_| fault(path, Cause::Unreadable))?;
    bytes.ok_or_else(|| fault(path, Cause::Missing))
}

/// Widths held of each tile.
type Held = BTreeMap<(Layer, u64), BTreeSet<u16>>;

/// The files there are; all belong to a tree of `size` leaves or an older one, and none that it needs is missing.
fn list(source: &dyn Source, size: u64, files: &mut usize) -> Result<Held, Fault> {
    let paths = source.list().map_err(|_| Fault { file: None, leaf: None, cause: Cause::Unreadable })?;
    *files = paths.len();
    let mut held = Held::new();
    for path in paths.iter().filter(|path| *path != CHECKPOINT_PATH) {
        let tile = Tile::parse(path).filter(|tile| tile.within(size)).ok_or_else(|| fault(path, Cause::Extra))?;
        held.entry((tile.layer(), tile.index())).or_default().insert(tile.width());
    }
    for tile in changed(0, size) {
        if !held.get(&(tile.layer(), tile.index())).is_some_and(|widths| widths.contains(&tile.width())) {
            return Err(fault(tile, Cause::Missing));
        }
    }
    Ok(held)
}

/// Hashes of one tile level, collected until their tile is full.
#[derive(Default)]
struct Row {
    tiles: u64,
    hashes: Vec<Hash>,
}

/// A file that differs from what the entries say. Whether file or entry was altered, the root tells at the end.
struct Difference {
    file: Tile,
    /// Place of the first differing hash in its level; `None` for an older partial file.
    place: Option<u64>,
}

struct Walk<'a> {
    source: &'a dyn Source,
    held: &'a Held,
    tree: Tree,
    rows: Vec<Row>,
    time_s: u64,
    difference: Option<Difference>,
    /// Counts only where the hashes agree: else an altered leaf would be found at its innocent neighbour.
    misplaced: Option<Fault>,
    remembered_size: Option<u64>,
    remembered_root: Option<Hash>,
}

impl<'a> Walk<'a> {
    fn new(source: &'a dyn Source, held: &'a Held, remembered_size: Option<u64>) -> Self {
        let tree = Tree::new();
        let remembered_root = (remembered_size == Some(0)).then(|| tree.root());
        Self { source, held, tree, rows: Vec::new(), time_s: 0, difference: None, misplaced: None, remembered_size, remembered_root }
    }

    /// One bundle, and the tiles that its entries complete.
    fn bundle(&mut self, index: u64, size: u64) -> Result<(), Fault> {
        let width = size.saturating_sub(index.saturating_mul(TILE_WIDTH.into())).min(TILE_WIDTH.into());
        let tile = u16::try_from(width).ok().and_then(|width| Tile::new(Layer::Entries, index, width));
        let tile = tile.ok_or_else(|| fault(CHECKPOINT_PATH, Cause::Form))?;
        let path = tile.to_string();
        let bytes = read(self.source, &path)?;
        let entries = parse_bundle(&bytes).filter(|entries| entries.len() == usize::from(tile.width()));
        for entry in entries.ok_or_else(|| fault(&path, Cause::Form))? {
            let leaf = Some(self.tree.size());
            let blame = |cause| Fault { file: Some(path.clone()), leaf, cause };
            if let Some(cause) = self.leaf(entry).map_err(blame)? {
                self.misplaced.get_or_insert_with(|| blame(cause));
            }
        }
        self.compare(0)?;
        self.older(tile, &bytes)?;
        for level in 1..self.rows.len() {
            if self.rows.get(level).is_some_and(|row| row.hashes.len() == usize::from(TILE_WIDTH)) {
                self.compare(level)?;
            }
        }
        Ok(())
    }

    /// Adds a leaf. `Some` if its number or its time does not follow from the one before.
    fn leaf(&mut self, entry: &[u8; LEAF_BYTES]) -> Result<Option<Cause>, Cause> {
        let leaf = Leaf::parse(entry).map_err(Cause::Leaf)?;
        let number = (leaf.number != self.tree.size()).then_some(Cause::Number);
        let misplaced = number.or((leaf.time_s < self.time_s).then_some(Cause::Time));
        self.time_s = leaf.time_s;
        for node in self.tree.append(leaf_hash(entry)).iter().filter(|node| node.level % TILE_HEIGHT == 0) {
            let level = usize::from(node.level / TILE_HEIGHT);
            if self.rows.len() <= level {
                self.rows.resize_with(level + 1, Row::default);
            }
            if let Some(row) = self.rows.get_mut(level) {
                row.hashes.push(node.hash);
            }
        }
        if self.remembered_size == Some(self.tree.size()) {
            self.remembered_root = Some(self.tree.root());
        }
        Ok(misplaced)
    }

    /// Compares the tile that the collected hashes of a level make, and empties them.
    fn compare(&mut self, level: usize) -> Result<(), Fault> {
        let Some(row) = self.rows.get_mut(level).filter(|row| !row.hashes.is_empty()) else { return Ok(()) };
        let (index, hashes) = (row.tiles, std::mem::take(&mut row.hashes));
        row.tiles += 1;
        let named = u8::try_from(level).ok().zip(u16::try_from(hashes.len()).ok());
        let tile = named.and_then(|(level, width)| Tile::new(Layer::Hashes(level), index, width));
        let tile = tile.ok_or_else(|| fault(CHECKPOINT_PATH, Cause::Form))?;
        let bytes = read(self.source, &tile.to_string())?;
        let (found, rest) = bytes.as_chunks::<32>();
        if found.len() != hashes.len() || !rest.is_empty() {
            return Err(fault(tile, Cause::Form));
        }
        let differing = found.iter().zip(&hashes).zip(tile.first()..).find(|((found, hash), _)| *found != hash.as_bytes());
        if let Some((_, place)) = differing {
            self.difference.get_or_insert(Difference { file: tile, place: Some(place) });
        }
        self.older(tile, &hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())
    }

    /// Compares the partial files that earlier sizes left of `tile` with its beginning.
    fn older(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), Fault> {
        let widths = self.held.get(&(tile.layer(), tile.index())).into_iter().flatten();
        for width in widths.copied().filter(|width| *width < tile.width()) {
            let Some(old) = Tile::new(tile.layer(), tile.index(), width) else { continue };
            let found = read(self.source, &old.to_string())?;
            // All items of a layer have one length.
            let length = bytes.len() / usize::from(tile.width()) * usize::from(width);
            if bytes.get(..length) != Some(found.as_slice()) {
                self.difference.get_or_insert(Difference { file: old, place: None });
            }
        }
        Ok(())
    }

    /// The partial tiles at the end, the root, and who is to blame for a difference. Gives the root at the remembered size.
    fn finish(mut self, size: u64, root: Hash) -> Result<Option<Hash>, Fault> {
        for level in 0..self.rows.len() {
            self.compare(level)?;
        }
        let agrees = self.tree.root() == root;
        match self.difference {
            None if agrees => self.misplaced.map_or(Ok(self.remembered_root), Err),
            None => Err(fault(CHECKPOINT_PATH, Cause::Root)),
            Some(Difference { file, place: None }) => Err(fault(file, Cause::PartialAltered)),
            Some(Difference { file, place: Some(place) }) if file.layer() == Layer::Hashes(0) => {
                let entries = changed(0, size).find(|tile| tile.layer() == Layer::Entries && tile.index() == file.index());
                let (file, cause) = match entries {
                    Some(entries) if !agrees => (entries, Cause::EntryAltered),
                    _ => (file, Cause::TileAltered),
                };
                Err(Fault { file: Some(file.to_string()), leaf: Some(place), cause })
            }
            Some(Difference { file, .. }) => Err(fault(file, Cause::TileAltered)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::{
        leaf::{LeafError, LeafKind},
        merkle::{Nodes, root_at},
        note::Signer,
    };
    use proptest::prelude::*;

    const QUANTUM: std::num::NonZeroU64 = std::num::NonZeroU64::new(3600).unwrap();

    #[derive(Clone)]
    struct Files(BTreeMap<String, Vec<u8>>);

    impl Source for Files {
        fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
            Ok(self.0.get(path).cloned())
        }
        fn list(&self) -> io::Result<Vec<String>> {
            Ok(self.0.keys().cloned().collect())
        }
    }

    /// `files` with another content for one of them.
    struct Altered<'a>(&'a Files, &'a str, Vec<u8>);

    impl Source for Altered<'_> {
        fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
            if path == self.1 { Ok(Some(self.2.clone())) } else { self.0.read(path) }
        }
        fn list(&self) -> io::Result<Vec<String>> {
            self.0.list()
        }
    }

    fn signer() -> Signer {
        Signer::from_seed("log.example/test", &[5; 32]).unwrap()
    }

    fn leaves(size: u64, body: &[u8]) -> Vec<Leaf> {
        let kind = |i: u64| LeafKind::ALL[i as usize % LeafKind::ALL.len()];
        (0..size).map(|i| Leaf::new(kind(i), 1_700_000_000 + 600 * i, QUANTUM, i, &[i as u8; 32], body)).collect()
    }

    /// Files as published at each of `sizes` (old partial ones stay), and the checkpoint of each.
    fn publish(leaves: &[Leaf], sizes: &[u64]) -> (Files, Vec<Vec<u8>>) {
        let nodes = Nodes::from_leaves(leaves.iter().map(Leaf::hash));
        let (mut files, mut checkpoints, mut old) = (BTreeMap::new(), Vec::new(), 0);
        for &new in sizes {
            for tile in changed(old, new) {
                let bytes = tile.bytes(|l, i| nodes.node(l, i), |i| leaves.get(i as usize).map(Leaf::to_bytes)).unwrap();
                files.insert(tile.to_string(), bytes);
            }
            let root = root_at(new, |l, i| nodes.node(l, i)).unwrap();
            checkpoints.push(Checkpoint::sign(&signer(), new, root).unwrap().into_bytes());
            old = new;
        }
        files.insert(CHECKPOINT_PATH.into(), checkpoints.last().unwrap().clone());
        (Files(files), checkpoints)
    }

    fn run(files: &dyn Source, remembered: Option<&[u8]>) -> Report {
        verify(files, signer().verifier(), remembered)
    }

    fn cause(files: &dyn Source, remembered: Option<&[u8]>) -> Cause {
        run(files, remembered).fault.expect("a fault").cause
    }

    #[test]
    fn sound_logs() {
        for size in [0, 1, 2, 255, 256, 257, 600] {
            let (files, checkpoints) = publish(&leaves(size, b"body"), &[size / 2, size]);
            let report = run(&files, None);
            assert!(report.is_sound() && report.to_string().contains("truncation and forks were not checked"), "{report}");
            assert!(report.zh().contains("未检查截断与分叉"));
            assert_eq!(report.leaves, size);
            for old in &checkpoints {
                let report = run(&files, Some(old));
                assert!(report.is_sound(), "{report}");
                assert!(matches!(report.remembered, Remembered::Extends { .. }) && !report.to_string().contains("not checked"));
            }
        }
    }

    /// One bit of each byte of each file, older partial files included.
    #[test]
    fn every_changed_byte_is_found_and_named() {
        let (files, checkpoints) = publish(&leaves(600, b"body"), &[300, 600]);
        let remembered = checkpoints.first().map(Vec::as_slice);
        assert!(run(&files, remembered).is_sound());
        let key = signer();
        let flips: Vec<(&str, usize)> = files.0.iter().flat_map(|(p, b)| (0..b.len()).map(move |at| (p.as_str(), at))).collect();
        assert!(flips.len() > 600 * (58 + 32));
        std::thread::scope(|scope| {
            for part in flips.chunks(flips.len().div_ceil(2)) {
                let (files, key) = (&files, key.verifier());
                scope.spawn(move || {
                    for &(path, at) in part {
                        let mut bytes = files.0[path].clone();
                        bytes[at] ^= 1 << (at % 8);
                        let found = verify(&Altered(files, path, bytes), key, remembered).fault;
                        assert_eq!(found.and_then(|fault| fault.file).as_deref(), Some(path), "byte {at}");
                    }
                });
            }
        });
    }

    #[test]
    fn an_altered_entry_is_named() {
        let (files, checkpoints) = publish(&leaves(600, b"body"), &[300, 600]);
        let path = "tile/entries/001";
        let mut bytes = files.0[path].clone();
        bytes[58 * 44 + 57] ^= 1;
        let fault = run(&Altered(&files, path, bytes), Some(&checkpoints[0])).fault.unwrap();
        assert_eq!(fault, Fault { file: Some(path.into()), leaf: Some(300), cause: Cause::EntryAltered });
        assert_eq!(fault.to_string(), "tile/entries/001: leaf 300: the entry does not hash to what was logged");
        assert_eq!(fault.zh(), "tile/entries/001：第 300 条：条目哈希与记录不符");
    }

    #[test]
    fn missing_extra_and_cut_files() {
        let (files, _) = publish(&leaves(600, b"body"), &[600]);
        for path in files.0.keys() {
            let mut less = files.clone();
            less.0.remove(path);
            let fault = run(&less, None).fault.unwrap();
            assert_eq!((fault.file.as_deref(), fault.cause), (Some(path.as_str()), Cause::Missing));
            let bytes = &files.0[path];
            for other in [bytes[..bytes.len() - 1].to_vec(), [bytes.as_slice(), b"\n"].concat(), Vec::new()] {
                assert!(!run(&Altered(&files, path, other), None).is_sound(), "{path}");
            }
        }
        for path in ["README", "tile/0/003", "tile/0/002.p/89", "tile/entries/002.p/0", "tile/2/000.p/1", "tile/0/000 ", "Checkpoint"] {
            let mut more = files.clone();
            more.0.insert(path.into(), Vec::new());
            let fault = run(&more, None).fault.unwrap();
            assert_eq!((fault.file.as_deref(), fault.cause), (Some(path), Cause::Extra));
        }
        for path in ["tile/0/001.p/7", "tile/entries/001.p/7", "tile/1/000.p/1"] {
            let mut more = files.clone();
            more.0.insert(path.into(), vec![0; 7]);
            let fault = run(&more, None).fault.unwrap();
            assert_eq!((fault.file.as_deref(), fault.cause), (Some(path), Cause::PartialAltered));
        }
    }

    #[test]
    fn dropped_tail_swapped_checkpoint_and_fork() {
        let all = leaves(600, b"body");
        let (files, checkpoints) = publish(&all, &[400, 600]);
        let [at_400, at_600] = checkpoints.as_slice() else { panic!() };
        // Cut with care: only who remembers sees it.
        let (cut, _) = publish(&all, &[400]);
        assert!(run(&cut, None).is_sound());
        let report = run(&cut, Some(at_600));
        assert_eq!(report.fault.unwrap().cause, Cause::Truncated { remembered: 600, size: 400 });
        // The older checkpoint over the present files, and the present one over older files.
        assert_eq!(cause(&Altered(&files, CHECKPOINT_PATH, at_400.clone()), Some(at_400)), Cause::Extra);
        assert_eq!(cause(&Altered(&cut, CHECKPOINT_PATH, at_600.clone()), Some(at_400)), Cause::Missing);
        // Another history, signed by the same key.
        let (forked, other) = publish(&leaves(600, b"other"), &[400, 600]);
        assert!(run(&forked, None).is_sound());
        for old in [at_400, at_600] {
            let report = run(&forked, Some(old));
            assert!(matches!(report.fault.unwrap().cause, Cause::Forked { .. }));
            assert!(matches!(report.remembered, Remembered::Contradicts { .. }));
        }
        // Only its checkpoint.
        assert_eq!(cause(&Altered(&files, CHECKPOINT_PATH, other[1].clone()), Some(at_400)), Cause::Root);
        // Another key.
        let stranger = Signer::from_seed("log.example/test", &[6; 32]).unwrap();
        assert!(matches!(verify(&files, stranger.verifier(), None).fault.unwrap().cause, Cause::CheckpointInvalid(_)));
        let note = Checkpoint::sign(&stranger, 0, Tree::new().root()).unwrap();
        assert!(matches!(cause(&files, Some(note.as_bytes())), Cause::RememberedInvalid(_)));
    }

    /// A log whose writer signed what it must not.
    #[test]
    fn wrongly_written_leaves() {
        let broken = |change: fn(&mut Leaf)| {
            let mut all = leaves(300, b"body");
            change(&mut all[280]);
            let fault = run(&publish(&all, &[300]).0, None).fault.unwrap();
            assert_eq!((fault.file.as_deref(), fault.leaf), (Some("tile/entries/001.p/44"), Some(280)));
            fault.cause
        };
        assert_eq!(broken(|leaf| leaf.number = 281), Cause::Number);
        assert_eq!(broken(|leaf| leaf.time_s = 1_699_999_200), Cause::Time);
        let (files, _) = publish(&leaves(3, b"body"), &[3]);
        let mut bytes = files.0["tile/entries/000.p/3"].clone();
        bytes[58 + 2 + 1] = 99;
        assert_eq!(cause(&Altered(&files, "tile/entries/000.p/3", bytes), None), Cause::Leaf(LeafError::Kind));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Any way of growing gives a log that extends each of its checkpoints, and no flipped bit passes.
        #[test]
        fn grown_logs(mut sizes in proptest::collection::vec(0_u64..700, 1..5), pick in any::<usize>(), bit in any::<usize>()) {
            sizes.sort_unstable();
            let (files, checkpoints) = publish(&leaves(700, b"x"), &sizes);
            for old in &checkpoints {
                let report = run(&files, Some(old));
                prop_assert!(report.is_sound(), "{}", report);
            }
            let (path, bytes) = files.0.iter().nth(pick % files.0.len()).unwrap();
            let mut bytes = bytes.clone();
            let at = bit % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert!(!run(&Altered(&files, path, bytes), None).is_sound());
        }
    }
}
