//! Typed models. They are held until reviewers agree; before that the host rounds every number and counts what the model could carry.

use crate::Error;
use crate::bindings::fusebox::analysis::models as host;
use crate::view::View;

pub use host::Link;

/// What a model reads: [`View::feature`] or [`View::level`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    pub(crate) column: u32,
    pub(crate) level: i64,
}

/// A decision tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// The end: what it adds to the score.
    Leaf(f64),
    /// A question.
    Split {
        /// Index into the model's features.
        feature: u32,
        /// A value of at most this goes left, any other and a missing one right. Of a level it is not read: rows without it go left.
        threshold: f64,
        /// Where the answer is yes, and where it is no.
        children: Box<[Tree; 2]>,
    },
}

impl Tree {
    /// A question over two subtrees.
    pub fn split(feature: u32, threshold: f64, left: Self, right: Self) -> Self {
        Self::Split { feature, threshold, children: Box::new([left, right]) }
    }
}

/// What is applied to a layer's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Activation {
    /// Nothing.
    Identity = 0,
    /// max(0, x).
    Relu = 1,
    /// tanh x.
    Tanh = 2,
    /// 1 / (1 + e^-x).
    Sigmoid = 3,
}

/// A dense layer: activation(weights × inputs + biases).
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Applied to each output.
    pub activation: Activation,
    /// Output by output one weight an input.
    pub weights: Vec<f64>,
    /// One an output.
    pub biases: Vec<f64>,
}

impl View {
    /// Hands in intercept + Σ coefficient × feature, under a name declared in `models`.
    ///
    /// # Errors
    /// The name is not declared; so below. What else is wrong ends the run.
    pub fn submit_linear(&self, name: &str, link: Link, terms: &[(Feature, f64)], intercept: f64) -> Result<(), Error> {
        let features: Vec<Feature> = terms.iter().map(|(feature, _)| *feature).collect();
        let coefficients = terms.iter().map(|(_, coefficient)| *coefficient).collect();
        host::submit_linear(&host::Linear { model: self.model(name)?, link, features: listed(&features), coefficients, intercept });
        Ok(())
    }

    /// Hands in base + the sum of the trees.
    #[allow(clippy::missing_errors_doc)]
    pub fn submit_trees(&self, name: &str, link: Link, features: &[Feature], base: f64, trees: &[Tree]) -> Result<(), Error> {
        host::submit_trees(&flat(self.model(name)?, link, features, base, trees));
        Ok(())
    }

    /// Hands in a dense network; the last layer's outputs are the scores.
    #[allow(clippy::missing_errors_doc)]
    pub fn submit_network(&self, name: &str, link: Link, features: &[Feature], layers: &[Layer]) -> Result<(), Error> {
        host::submit_network(&host::Network {
            model: self.model(name)?,
            link,
            features: listed(features),
            widths: layers.iter().map(|l| index(l.biases.len())).collect(),
            activations: layers.iter().map(|l| l.activation as u8).collect(),
            weights: layers.iter().flat_map(|l| l.weights.iter().copied()).collect(),
            biases: layers.iter().flat_map(|l| l.biases.iter().copied()).collect(),
        });
        Ok(())
    }
}

fn listed(features: &[Feature]) -> host::Features {
    host::Features { columns: features.iter().map(|f| f.column).collect(), levels: features.iter().map(|f| f.level).collect() }
}

/// More nodes than a `u32` counts are refused by the host as too many.
fn index(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// The trees as lists of nodes.
fn flat(model: u32, link: Link, features: &[Feature], base: f64, trees: &[Tree]) -> host::Trees {
    let mut flat = host::Trees {
        model,
        link,
        features: listed(features),
        base,
        roots: Vec::new(),
        feature: Vec::new(),
        threshold: Vec::new(),
        left: Vec::new(),
        right: Vec::new(),
        value: Vec::new(),
    };
    for tree in trees {
        let root = lay(tree, &mut flat);
        flat.roots.push(root);
    }
    flat
}

/// Appends the nodes of a tree; the index of its first.
fn lay(tree: &Tree, model: &mut host::Trees) -> u32 {
    let at = model.feature.len();
    let (feature, threshold, value) = match tree {
        Tree::Leaf(value) => (u32::MAX, 0.0, *value),
        Tree::Split { feature, threshold, .. } => (*feature, *threshold, 0.0),
    };
    model.feature.push(feature);
    model.threshold.push(threshold);
    model.left.push(0);
    model.right.push(0);
    model.value.push(value);
    if let Tree::Split { children, .. } = tree {
        let [left, right] = [lay(&children[0], model), lay(&children[1], model)];
        model.left[at] = left;
        model.right[at] = right;
    }
    index(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_laid_with_their_children() {
        let tree = Tree::split(0, 1.5, Tree::Leaf(1.0), Tree::split(1, 2.5, Tree::Leaf(2.0), Tree::Leaf(3.0)));
        let model = flat(0, Link::Identity, &[], 0.0, &[tree, Tree::Leaf(4.0)]);
        assert_eq!(model.roots, [0, 5]);
        assert_eq!(model.feature, [0, u32::MAX, 1, u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!((model.left, model.right), (vec![1, 0, 3, 0, 0, 0], vec![2, 0, 4, 0, 0, 0]));
        assert_eq!((model.threshold, model.value), (vec![1.5, 0.0, 2.5, 0.0, 0.0, 0.0], vec![0.0, 1.0, 0.0, 2.0, 3.0, 4.0]));
    }
}
