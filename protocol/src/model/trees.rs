//! Ensembles of decision trees.
//!
//! A guest hands in nodes in flat arrays with the indexes of their children, in any order; that order, unused nodes and unused fields would
//! carry what nobody looks at. [`FlatTrees::parse`] walks them once and keeps the nodes in preorder, where the shape alone says which
//! node is whose child: there is no cycle to look for any more, and one tree has one spelling.

use serde::{Deserialize, Serialize};

use super::{Feature, Link, ModelError, plain};
use crate::limits::{LimitExceeded, Limits};

/// In [`FlatTrees::feature`]: the node is a leaf.
pub const LEAF: u32 = u32::MAX;
/// Threshold of every split on a level: rows that have it go right.
pub const LEVEL_THRESHOLD: f64 = 0.5;

/// An ensemble: score = base + Σ value of the leaf that the row reaches in each tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreesModel {
    /// Name, unique in the job.
    pub name: String,
    /// What the score means.
    pub link: Link,
    /// What splits read, by index.
    pub features: Vec<Feature>,
    /// Added to every score, finite.
    pub base: f64,
    /// Trees, each in preorder: a split, its left subtree, its right subtree.
    pub trees: Vec<Vec<Node>>,
}

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Node {
    /// Rows whose feature is at most the threshold go left; all others, those without a value too, go right.
    Split {
        /// Index into the features.
        feature: u32,
        /// In the column's units (not its stored integers), finite.
        threshold: f64,
    },
    /// The end.
    Leaf {
        /// What it adds to the score, finite.
        value: f64,
    },
}

/// Trees as a guest hands them in: one entry a node in each of the five arrays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlatTrees {
    /// The first node of each tree.
    pub roots: Vec<u32>,
    /// Index into the features; [`LEAF`] for a leaf.
    pub feature: Vec<u32>,
    /// Thresholds; not read where the node is a leaf, or its feature a level.
    pub threshold: Vec<f64>,
    /// The left child; not read where the node is a leaf.
    pub left: Vec<u32>,
    /// The right child; not read where the node is a leaf.
    pub right: Vec<u32>,
    /// Values; not read where the node is none.
    pub value: Vec<f64>,
}

impl FlatTrees {
    /// The trees in preorder.
    ///
    /// # Errors
    /// A limit; arrays of other lengths; a node that is reached twice or never, or deeper than allowed; a feature that is none.
    pub fn parse(&self, features: &[Feature]) -> Result<Vec<Vec<Node>>, ModelError> {
        let l = &Limits::STANDARD;
        let nodes = self.feature.len();
        LimitExceeded::check("model_trees_max", l.model_trees_max.into(), 0, self.roots.len() as u64)?;
        LimitExceeded::check("model_nodes_max", l.model_nodes_max.into(), 0, nodes as u64)?;
        let lengths = [self.threshold.len(), self.left.len(), self.right.len(), self.value.len()];
        if self.roots.is_empty() || lengths.iter().any(|len| *len != nodes) {
            return Err(ModelError::Shape);
        }
        let mut reached = vec![false; nodes];
        let trees = self.roots.iter().map(|root| self.walk(*root, features, &mut reached)).collect::<Result<Vec<_>, _>>()?;
        if reached.iter().all(|r| *r) { Ok(trees) } else { Err(ModelError::Tree) }
    }

    fn walk(&self, root: u32, features: &[Feature], reached: &mut [bool]) -> Result<Vec<Node>, ModelError> {
        let mut tree = Vec::new();
        // The right child waits below the left one; each is taken once, so that this ends after as many steps as there are nodes.
        let mut waiting = vec![(root, 0u32)];
        while let Some((index, depth)) = waiting.pop() {
            let i = usize::try_from(index).map_err(|_| ModelError::Tree)?;
            let first = reached.get_mut(i).ok_or(ModelError::Tree)?;
            if std::mem::replace(first, true) {
                return Err(ModelError::Tree);
            }
            within_depth(depth)?;
            let at = |of: &[f64]| of.get(i).copied().map(plain).ok_or(ModelError::Shape);
            let child = |of: &[u32]| of.get(i).copied().ok_or(ModelError::Shape);
            let feature = child(&self.feature)?;
            if feature == LEAF {
                tree.push(Node::Leaf { value: at(&self.value)? });
                continue;
            }
            let is_level = features.get(feature as usize).ok_or(ModelError::Feature)?.level.is_some();
            tree.push(Node::Split { feature, threshold: if is_level { LEVEL_THRESHOLD } else { at(&self.threshold)? } });
            waiting.push((child(&self.right)?, depth + 1));
            waiting.push((child(&self.left)?, depth + 1));
        }
        Ok(tree)
    }
}

fn within_depth(splits_above: u32) -> Result<(), LimitExceeded> {
    LimitExceeded::check("model_depth_max", Limits::STANDARD.model_depth_max.into(), 0, splits_above.into())
}

/// Of each node of a tree in preorder the index of its right child; 0 for a leaf. The left child of a split is the node behind it.
///
/// # Errors
/// [`ModelError::Tree`] where the nodes are not those of exactly one tree; a limit where it is too deep.
pub fn right_children(tree: &[Node]) -> Result<Vec<u32>, ModelError> {
    let mut right = vec![0u32; tree.len()];
    // Splits that wait for a child: index, depth, whether the left one came.
    let mut open: Vec<(usize, u32, bool)> = Vec::new();
    for (i, node) in tree.iter().enumerate() {
        let depth = match open.last_mut() {
            None if i == 0 => 0,
            None => return Err(ModelError::Tree),
            Some((_, depth, came)) if !*came => {
                *came = true;
                *depth + 1
            }
            Some((split, depth, _)) => {
                let (split, depth) = (*split, *depth);
                *right.get_mut(split).ok_or(ModelError::Tree)? = u32::try_from(i).map_err(|_| ModelError::Tree)?;
                open.pop();
                depth + 1
            }
        };
        within_depth(depth)?;
        if matches!(node, Node::Split { .. }) {
            open.push((i, depth, false));
        }
    }
    if open.is_empty() && !tree.is_empty() { Ok(right) } else { Err(ModelError::Tree) }
}

impl TreesModel {
    /// A model as a guest hands it in.
    ///
    /// # Errors
    /// As [`FlatTrees::parse`].
    pub fn new(name: String, link: Link, features: Vec<Feature>, base: f64, flat: &FlatTrees) -> Result<Self, ModelError> {
        let trees = flat.parse(&features)?;
        Ok(Self { name, link, features, base: plain(base), trees })
    }

    /// Nodes of all trees.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.trees.iter().flatten()
    }

    pub(super) fn for_each_parameter(&mut self, change: &mut impl FnMut(&mut f64)) {
        let features = &self.features;
        let is_level = |feature: u32| features.get(feature as usize).is_some_and(|f| f.level.is_some());
        for node in self.trees.iter_mut().flatten() {
            match node {
                Node::Split { feature, .. } if is_level(*feature) => {}
                Node::Split { threshold: value, .. } | Node::Leaf { value } => change(value),
            }
        }
        change(&mut self.base);
    }

    pub(super) fn validate(&self) -> Result<(), ModelError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("model_trees_max", l.model_trees_max.into(), 0, self.trees.len() as u64)?;
        LimitExceeded::check("model_nodes_max", l.model_nodes_max.into(), 0, self.nodes().count() as u64)?;
        if self.trees.is_empty() {
            return Err(ModelError::Shape);
        }
        for tree in &self.trees {
            right_children(tree)?;
        }
        for node in self.nodes() {
            let Node::Split { feature, threshold } = node else { continue };
            let feature = self.features.get(*feature as usize).ok_or(ModelError::Feature)?;
            if feature.level.is_some() && threshold.to_bits() != LEVEL_THRESHOLD.to_bits() {
                return Err(ModelError::Shape);
            }
        }
        Ok(())
    }
}
