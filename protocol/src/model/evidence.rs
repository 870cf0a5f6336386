//! What the engine found when it put the view's rows through a model.

use serde::{Deserialize, Serialize};

use super::{Model, Node};

/// Distinct privacy units of a group of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// All.
    pub units: u64,
    /// Those that have a row of the group in a member which the operator does not own: only these count towards a minimum.
    pub units_counting: u64,
}

/// Evidence about one model, from the engine alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEvidence {
    /// One a feature: the label of its level.
    pub labels: Vec<Option<String>>,
    /// One a feature: who has its level.
    pub levels: Vec<Option<Group>>,
    /// Tree by tree, one a leaf in preorder: who reaches it. Empty where the model has no trees.
    pub leaves: Vec<Vec<Group>>,
    /// Features among which a module could choose: columns that have a number, and the levels of categories.
    pub features_possible: u64,
}

impl ModelEvidence {
    /// Whether it has the shape of `model`: what a worker says is believed no further.
    pub fn is_of(&self, model: &Model) -> bool {
        let features = model.features();
        let levels = |has: &dyn Fn(usize) -> bool| features.iter().enumerate().all(|(i, f)| f.level.is_some() == has(i));
        let trees = if let Model::Trees(model) = model { model.trees.as_slice() } else { &[] };
        let leaves = |tree: &Vec<Node>| tree.iter().filter(|n| matches!(n, Node::Leaf { .. })).count();
        let sound = |group: &Group| group.units_counting <= group.units;
        self.labels.len() == features.len()
            && self.levels.len() == features.len()
            && levels(&|i| matches!(self.labels.get(i), Some(Some(_))))
            && levels(&|i| matches!(self.levels.get(i), Some(Some(_))))
            && self.leaves.len() == trees.len()
            && trees.iter().zip(&self.leaves).all(|(tree, found)| leaves(tree) == found.len())
            && self.leaves.iter().flatten().chain(self.levels.iter().flatten()).all(sound)
            && self.features_possible >= features.len() as u64
    }
}
