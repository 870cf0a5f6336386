//! Merkle tree of RFC 6962 §2.1 over SHA-256; proofs verified as in RFC 9162 §2.1.3.2 and §2.1.4.2.
//!
//! A *node* (level, index) is the root of the complete subtree over the 2^level leaves from index × 2^level on. Nodes never
//! change once written, so a log stores those that [`Tree::append`] returns and makes every proof from a reader
//! `Fn(level, index) -> Option<Hash>` over them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest;
use serde::{Serialize, Serializer};

/// A SHA-256 value of the tree. Shown in base64, as in checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Reads the base64 of a checkpoint; refuses any other spelling of the same bytes.
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Hash(out)
}

/// SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], &left.0, &right.0])
}

/// Root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// A complete subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// log2 of the number of leaves under it.
    pub level: u8,
    /// Position among the nodes of its level.
    pub index: u64,
    /// Its root.
    pub hash: Hash,
}

/// Why a proof or a root could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The reader has no such node.
    #[error("node {index} of level {level} is not stored")]
    MissingNode {
        /// log2 of the number of leaves under it.
        level: u8,
        /// Position among the nodes of its level.
        index: u64,
    },
    /// The leaf or the older size lies beyond the tree.
    #[error("{asked} lies beyond a tree of {size} leaves")]
    OutOfRange {
        /// The index or size asked for.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// As many edge hashes as the size has set bits are needed.
    #[error("{found} edge hashes do not make a tree of {size} leaves")]
    Edge {
        /// Hashes given.
        found: usize,
        /// The tree's size.
        size: u64,
    },
}

/// A proof that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not hold")]
pub struct ProofInvalid;

/// The growing end of a tree: its size and the roots of the complete subtrees it decomposes into (largest first).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    edge: Vec<Hash>,
}

impl Tree {
    /// The empty tree.
    #[allow(clippy::new_without_default)] // An empty log is said, never assumed.
    pub fn new() -> Self {
        Self { size: 0, edge: Vec::new() }
    }

    /// Continues from a stored edge (see [`Tree::edge`]).
    pub fn resume(size: u64, edge: Vec<Hash>) -> Result<Self, MerkleError> {
        if usize::try_from(size.count_ones()) != Ok(edge.len()) {
            return Err(MerkleError::Edge { found: edge.len(), size });
        }
        Ok(Self { size, edge })
    }

    /// Continues from stored nodes.
    pub fn load(size: u64, node: impl Fn(u8, u64) -> Option<Hash>) -> Result<Self, MerkleError> {
        let mut edge = Vec::new();
        for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
            edge.push(stored(level, (size >> level) - 1, &node)?);
        }
        Ok(Self { size, edge })
    }

    /// The tree over these leaf hashes.
    pub fn from_leaves(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.append(leaf);
        }
        tree
    }

    /// Adds a leaf hash. Returns the nodes that are complete now, the leaf (level 0) first: store them for proofs and tiles.
    pub fn append(&mut self, leaf: Hash) -> Vec<Node> {
        let mut node = Node { level: 0, index: self.size, hash: leaf };
        let mut complete = vec![node];
        while node.index & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            node = Node { level: node.level + 1, index: node.index >> 1, hash: node_hash(&left, &node.hash) };
            complete.push(node);
        }
        self.edge.push(node.hash);
        self.size += 1;
        complete
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first: one for each set bit of the size.
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// MTH(D\[0:size\]).
    pub fn root(&self) -> Hash {
        self.edge.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

/// Every complete node in memory (about 64 bytes a leaf): for a log whose store keeps leaf hashes only.
#[derive(Debug)]
pub struct Nodes {
    tree: Tree,
    levels: Vec<Vec<Hash>>,
}

impl Nodes {
    /// The nodes over these leaf hashes.
    pub fn from_leaves(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut nodes = Self { tree: Tree::new(), levels: Vec::new() };
        for leaf in leaves {
            nodes.append(leaf);
        }
        nodes
    }
    /// Adds a leaf hash.
    pub fn append(&mut self, leaf: Hash) {
        for node in self.tree.append(leaf) {
            match self.levels.get_mut(usize::from(node.level)) {
                Some(level) => level.push(node.hash),
                None => self.levels.push(vec![node.hash]),
            }
        }
    }
    /// The tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
    /// A node, if complete.
    pub fn node(&self, level: u8, index: u64) -> Option<Hash> {
        self.levels.get(usize::from(level))?.get(usize::try_from(index).ok()?).copied()
    }
}

fn stored(level: u8, index: u64, node: &impl Fn(u8, u64) -> Option<Hash>) -> Result<Hash, MerkleError> {
    node(level, index).ok_or(MerkleError::MissingNode { level, index })
}

/// The largest power of two smaller than `n` (n ≥ 2).
fn split(n: u64) -> u64 {
    1 << n.saturating_sub(1).max(1).ilog2()
}

/// MTH(D[lo:hi]) for the ranges that RFC 6962 makes by splitting: lo is a multiple of a power of two ≥ hi − lo.
fn range(lo: u64, hi: u64, node: &impl Fn(u8, u64) -> Option<Hash>) -> Result<Hash, MerkleError> {
    let n = hi - lo;
    if n.is_power_of_two() {
        let level = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
        return stored(level, lo >> level, node);
    }
    let middle = lo + split(n);
    Ok(node_hash(&range(lo, middle, node)?, &range(middle, hi, node)?))
}

/// Root of the first `size` leaves.
pub fn root_at(size: u64, node: impl Fn(u8, u64) -> Option<Hash>) -> Result<Hash, MerkleError> {
    if size == 0 { Ok(empty_root()) } else { range(0, size, &node) }
}

/// PATH(index, D\[0:size\]) of RFC 6962 §2.1.1.
pub fn inclusion(index: u64, size: u64, node: impl Fn(u8, u64) -> Option<Hash>) -> Result<Vec<Hash>, MerkleError> {
    if index >= size {
        return Err(MerkleError::OutOfRange { asked: index, size });
    }
    let (mut lo, mut hi, mut path) = (0, size, Vec::new());
    while hi - lo > 1 {
        let middle = lo + split(hi - lo);
        if index < middle {
            path.push(range(middle, hi, &node)?);
            hi = middle;
        } else {
            path.push(range(lo, middle, &node)?);
            lo = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// PROOF(old, D\[0:new\]) of RFC 6962 §2.1.2; empty for old = 0 and old = new.
pub fn consistency(old: u64, new: u64, node: impl Fn(u8, u64) -> Option<Hash>) -> Result<Vec<Hash>, MerkleError> {
    if old > new {
        return Err(MerkleError::OutOfRange { asked: old, size: new });
    }
    let (mut lo, mut hi, mut path) = (0, new, Vec::new());
    if old == 0 {
        return Ok(path);
    }
    while hi != old {
        let middle = lo + split(hi - lo);
        if old <= middle {
            path.push(range(middle, hi, &node)?);
            hi = middle;
        } else {
            path.push(range(lo, middle, &node)?);
            lo = middle;
        }
    }
    // From lo = 0 on, the verifier knows this subtree: it is the old root itself.
    if lo != 0 {
        path.push(range(lo, hi, &node)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that `leaf` (a leaf hash) stands at `index` of the tree of `size` leaves with `root`: RFC 9162 §2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofInvalid> {
    if index >= size {
        return Err(ProofInvalid);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in path {
        if last == 0 {
            return Err(ProofInvalid);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(ProofInvalid) }
}

/// Checks that the tree (`old`, `old_root`) is a prefix of (`new`, `new_root`): RFC 9162 §2.1.4.2. From the empty tree only
/// its own root and an empty path are accepted.
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> Result<(), ProofInvalid> {
    if old == 0 || old == new {
        let roots = if old == new { old_root == new_root } else { true };
        let empty = old != 0 || *old_root == empty_root();
        return if path.is_empty() && roots && empty { Ok(()) } else { Err(ProofInvalid) };
    }
    if old > new {
        return Err(ProofInvalid);
    }
    let mut steps = path.iter();
    let first = if old.is_power_of_two() { old_root } else { steps.next().ok_or(ProofInvalid)? };
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if last == 0 {
            return Err(ProofInvalid);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 && old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(hash: &Hash) -> String {
        hash.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The eight inputs and their roots of the Certificate Transparency reference implementation.
    fn reference() -> Vec<Hash> {
        let inputs: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        inputs.iter().map(|input| leaf_hash(input)).collect()
    }

    #[test]
    fn known_roots() {
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(hex(&Tree::from_leaves(reference().into_iter().take(size)).root()), *root, "size {size}");
        }
    }

    #[test]
    fn known_paths() {
        let nodes = Nodes::from_leaves(reference());
        let path = inclusion(0, 8, |l, i| nodes.node(l, i)).unwrap();
        let known = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(path.iter().map(hex).collect::<Vec<_>>(), known);
        let proof = consistency(6, 8, |l, i| nodes.node(l, i)).unwrap();
        let known = [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(proof.iter().map(hex).collect::<Vec<_>>(), known);
    }

    /// MTH written as RFC 6962 §2.1 defines it, as an oracle.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&mth(&many[..k]), &mth(&many[k..]))
            }
        }
    }

    fn numbered(size: u64) -> Vec<Hash> {
        (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_proof_to_70() {
        let leaves = numbered(70);
        let nodes = Nodes::from_leaves(leaves.clone());
        let node = |l, i| nodes.node(l, i);
        for size in 0..=70_u64 {
            let root = mth(&leaves[..size as usize]);
            assert_eq!(root_at(size, node), Ok(root));
            let loaded = Tree::load(size, node).unwrap();
            assert_eq!(loaded.root(), root);
            assert_eq!(Tree::resume(size, loaded.edge().to_vec()), Ok(loaded.clone()));
            assert_eq!(loaded, Tree::from_leaves(leaves[..size as usize].iter().copied()));
            for index in 0..size {
                let leaf = &leaves[index as usize];
                let path = inclusion(index, size, node).unwrap();
                assert_eq!(verify_inclusion(leaf, index, size, &path, &root), Ok(()));
                for wrong in (0..=size).filter(|wrong| *wrong != index) {
                    assert!(verify_inclusion(leaf, wrong, size, &path, &root).is_err(), "{index} as {wrong} of {size}");
                }
                let longer: Vec<Hash> = path.iter().copied().chain([root]).collect();
                assert!(verify_inclusion(leaf, index, size, &longer, &root).is_err());
                if let Some((_, shorter)) = path.split_last() {
                    assert!(verify_inclusion(leaf, index, size, shorter, &root).is_err());
                }
            }
            assert!(inclusion(size, size, node).is_err());
            for old in 0..=size {
                let old_root = mth(&leaves[..old as usize]);
                let path = consistency(old, size, node).unwrap();
                assert_eq!(verify_consistency(old, &old_root, size, &root, &path), Ok(()), "{old} to {size}");
                let other = leaf_hash(b"other");
                assert!(verify_consistency(old, &other, size, &root, &path).is_err());
                assert!(old == 0 || verify_consistency(old, &old_root, size, &other, &path).is_err());
                let longer: Vec<Hash> = path.iter().copied().chain([other]).collect();
                assert!(verify_consistency(old, &old_root, size, &root, &longer).is_err());
                if let Some((_, shorter)) = path.split_last() {
                    assert!(verify_consistency(old, &old_root, size, &root, shorter).is_err());
                }
            }
            assert!(consistency(size + 1, size, node).is_err());
        }
    }

    #[test]
    fn missing_nodes_are_named() {
        assert_eq!(root_at(3, |_, _| None), Err(MerkleError::MissingNode { level: 1, index: 0 }));
        assert!(Tree::load(5, |level, _| (level > 0).then(empty_root)).is_err());
        assert!(Tree::resume(3, vec![empty_root()]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Proofs of larger trees hold, and no longer hold with one bit changed anywhere in them.
        #[test]
        fn proofs_hold_and_bind(new in 1_u64..1500, a in any::<u64>(), b in any::<u64>(), bit in any::<usize>()) {
            let (old, index) = (a % new + 1, b % new);
            let leaves = numbered(new);
            let nodes = Nodes::from_leaves(leaves.clone());
            let node = |l, i| nodes.node(l, i);
            let (root, old_root) = (nodes.tree().root(), root_at(old, node).unwrap());
            prop_assert_eq!(root, mth(&leaves));
            let leaf = leaves[index as usize];
            let mut path = inclusion(index, new, node).unwrap();
            prop_assert!(verify_inclusion(&leaf, index, new, &path, &root).is_ok());
            let mut proof = consistency(old, new, node).unwrap();
            prop_assert!(verify_consistency(old, &old_root, new, &root, &proof).is_ok());
            for hashes in [&mut path, &mut proof] {
                if !hashes.is_empty() {
                    let at = bit % (hashes.len() * 256);
                    hashes[at / 256].0[at % 256 / 8] ^= 1 << (at % 8);
                }
            }
            prop_assert!(path.is_empty() || verify_inclusion(&leaf, index, new, &path, &root).is_err());
            prop_assert!(proof.is_empty() || verify_consistency(old, &old_root, new, &root, &proof).is_err());
        }
    }
}
