//! Tiles and entry bundles, <https://c2sp.org/tlog-tiles>.
//!
//! A hash tile holds up to 256 consecutive hashes of tree level 8 × L; an entry bundle the leaves of a level-0 tile, each after its length
//! in two bytes, big-endian. The last of each level is partial (`.p/W`) unless full.

use super::{
    leaf::LEAF_BYTES,
    merkle::{Hash, MerkleError},
};

/// Hashes, or entries, of a full tile.
pub const TILE_WIDTH: u16 = 256;
/// Levels of the tree that one level of tiles spans.
pub const TILE_HEIGHT: u8 = 8;
/// Largest tile level of a tree of fewer than 2^64 leaves.
const LEVEL_MAX: u8 = 7;
/// Bytes of an entry in a bundle.
pub const BUNDLE_ENTRY_BYTES: usize = 2 + LEAF_BYTES;
#[allow(clippy::cast_possible_truncation)] // 56
const ENTRY_PREFIX: [u8; 2] = (LEAF_BYTES as u16).to_be_bytes();

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The entries themselves.
    Entries,
    /// Hashes of this tile level.
    Hashes(u8),
}

impl Layer {
    fn level(self) -> u8 {
        match self {
            Self::Entries => 0,
            Self::Hashes(level) => level,
        }
    }
    /// Items (entries or hashes of complete subtrees) that this layer has in a tree of `size` leaves.
    pub fn items(self, size: u64) -> u64 {
        size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(self.level())).unwrap_or(0)
    }
}

/// The name of one tile or bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    layer: Layer,
    index: u64,
    width: u16,
}

/// What a publisher could not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// A node.
    #[error(transparent)]
    Node(#[from] MerkleError),
    /// An entry.
    #[error("entry {0} is not stored")]
    Entry(u64),
}

impl Tile {
    /// The tile `index` of `layer` with `width` items (1 to 256).
    pub fn new(layer: Layer, index: u64, width: u16) -> Option<Self> {
        let fits = layer.level() <= LEVEL_MAX && (1..=TILE_WIDTH).contains(&width) && index <= u64::MAX / u64::from(TILE_WIDTH);
        fits.then_some(Self { layer, index, width })
    }

    /// Reads a path such as `tile/0/x001/x234/067` or `tile/entries/000.p/5`; refuses any other spelling of it.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (rest, width) = match rest.split_once(".p/") {
            Some((rest, width)) => (rest, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let (layer, digits) = rest.split_once('/')?;
        let layer = if layer == "entries" { Layer::Entries } else { Layer::Hashes(layer.parse().ok()?) };
        let mut index = 0_u64;
        for group in digits.split('/') {
            let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok().filter(|n| *n < 1000)?;
            index = index.checked_mul(1000)?.checked_add(group)?;
        }
        Self::new(layer, index, width).filter(|tile| tile.to_string() == path)
    }

    /// What it holds.
    pub fn layer(&self) -> Layer {
        self.layer
    }
    /// Position in its layer.
    pub fn index(&self) -> u64 {
        self.index
    }
    /// Number of items.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// First item, counted in its layer.
    pub fn first(&self) -> u64 {
        self.index * u64::from(TILE_WIDTH)
    }

    /// Whether a tree of `size` leaves has all its items.
    pub fn within(&self, size: u64) -> bool {
        self.first().checked_add(self.width.into()).is_some_and(|end| end <= self.layer.items(size))
    }

    /// The file's bytes, from stored nodes (see [`super::merkle`]) and stored leaves by index.
    pub fn bytes(
        &self,
        node: impl Fn(u8, u64) -> Option<Hash>,
        entry: impl Fn(u64) -> Option<[u8; LEAF_BYTES]>,
    ) -> Result<Vec<u8>, TileError> {
        let mut out = Vec::new();
        for index in self.first()..self.first().saturating_add(self.width.into()) {
            match self.layer {
                Layer::Entries => {
                    out.extend_from_slice(&ENTRY_PREFIX);
                    out.extend_from_slice(&entry(index).ok_or(TileError::Entry(index))?);
                }
                Layer::Hashes(tile_level) => {
                    let level = tile_level.saturating_mul(TILE_HEIGHT);
                    let hash = node(level, index).ok_or(MerkleError::MissingNode { level, index })?;
                    out.extend_from_slice(hash.as_bytes());
                }
            }
        }
        Ok(out)
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.layer {
            Layer::Entries => f.write_str("tile/entries/")?,
            Layer::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The tiles and bundles that a tree of `new` leaves has and one of `old` had not, bundles first, in order. `changed(0, size)`
/// is all of a tree.
pub fn changed(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let layers = std::iter::once(Layer::Entries).chain((0..=LEVEL_MAX).map(Layer::Hashes));
    layers.flat_map(move |layer| {
        let (before, now, full) = (layer.items(old), layer.items(new), u64::from(TILE_WIDTH));
        let indexes = if now > before { before / full..now.div_ceil(full) } else { 0..0 };
        indexes.filter_map(move |index| {
            let width = now.saturating_sub(index * full).min(full);
            Tile::new(layer, index, u16::try_from(width).ok()?)
        })
    })
}

/// The entries of a bundle, if it is nothing but entries of a leaf's size.
pub fn parse_bundle(bytes: &[u8]) -> Option<Vec<&[u8; LEAF_BYTES]>> {
    let (entries, rest) = bytes.as_chunks::<BUNDLE_ENTRY_BYTES>();
    let entry = |chunk: &'_ [u8; BUNDLE_ENTRY_BYTES]| chunk.starts_with(&ENTRY_PREFIX);
    if !rest.is_empty() || !entries.iter().all(entry) {
        return None;
    }
    entries.iter().map(|chunk| chunk.last_chunk::<LEAF_BYTES>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::{Nodes, Tree, leaf_hash};
    use proptest::prelude::*;

    #[test]
    fn paths() {
        for (tile, path) in [
            (Tile::new(Layer::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067"),
            (Tile::new(Layer::Entries, 0, 5), "tile/entries/000.p/5"),
            (Tile::new(Layer::Hashes(2), 1000, 1), "tile/2/x001/000.p/1"),
        ] {
            assert_eq!(tile.unwrap().to_string(), path);
            assert_eq!(Tile::parse(path), tile);
        }
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/8/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/05",
            "tile/0/000.p/",
            "tile/0/x000/001",
            "tile/0/001/x001",
            "tile/0/+01",
            "tile/entries/000.p/5/",
            "/tile/0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/-1/000",
            "tile/0/../0/000",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    /// The example of the specification: 70,000 leaves.
    #[test]
    fn tiles_of_70000() {
        let all: Vec<Tile> = changed(0, 70_000).collect();
        let of = |layer| all.iter().filter(|t| t.layer() == layer).map(Tile::width).collect::<Vec<_>>();
        assert_eq!(of(Layer::Hashes(0)), [vec![256; 273], vec![112]].concat());
        assert_eq!(of(Layer::Entries), of(Layer::Hashes(0)));
        assert_eq!(of(Layer::Hashes(1)), [256, 17]);
        assert_eq!(of(Layer::Hashes(2)), [1]);
        assert_eq!(all.len(), 2 * 274 + 2 + 1);
        let at_256: Vec<String> = changed(255, 256).map(|t| t.to_string()).collect();
        assert_eq!(at_256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    }

    #[test]
    fn upper_tiles_are_roots_of_full_ones() {
        let leaves: Vec<Hash> = (0..600_u64).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let nodes = Nodes::from_leaves(leaves.clone());
        let bytes = Tile::new(Layer::Hashes(1), 0, 2).unwrap().bytes(|l, i| nodes.node(l, i), |_| None).unwrap();
        let roots = leaves.chunks_exact(256).map(|chunk| Tree::from_leaves(chunk.iter().copied()).root().0);
        assert_eq!(bytes, roots.collect::<Vec<_>>().concat());
        assert!(Tile::new(Layer::Hashes(1), 0, 3).unwrap().bytes(|l, i| nodes.node(l, i), |_| None).is_err());
    }

    #[test]
    fn bundles() {
        let bytes = Tile::new(Layer::Entries, 0, 3).unwrap().bytes(|_, _| None, |i| Some([i as u8; LEAF_BYTES])).unwrap();
        assert_eq!(bytes[..3], [0, 56, 0]);
        assert_eq!(parse_bundle(&bytes).unwrap(), [&[0; 56], &[1; 56], &[2; 56]]);
        assert_eq!(parse_bundle(&bytes[..bytes.len() - 1]), None);
        for at in [0, 1, 58, 117] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(parse_bundle(&other), None);
        }
    }

    proptest! {
        /// Publishing step by step leaves the same files, at their last width, as publishing at once; none is outside the tree.
        #[test]
        fn steps_add_up(sizes in proptest::collection::vec(0_u64..200_000, 1..6)) {
            let mut sizes = sizes;
            sizes.sort_unstable();
            let mut written = std::collections::BTreeSet::new();
            let mut old = 0;
            for new in sizes {
                for tile in changed(old, new) {
                    prop_assert!(tile.within(new) && !tile.within(old));
                    prop_assert_eq!(Tile::parse(&tile.to_string()), Some(tile));
                    written.insert(tile);
                }
                for tile in changed(0, new) {
                    prop_assert!(written.contains(&tile));
                }
                old = new;
            }
        }
    }
}
