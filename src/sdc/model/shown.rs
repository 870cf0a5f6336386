//! A model as it is released: decimals and the view's own names.

use protocol::model::{Activation, Layer, Link, Model, ModelEvidence, Node, right_children};
use serde::{Deserialize, Serialize};

use super::super::table::NotReleased;
use super::{rounded, tensors};

/// A model that a checker may look at. Parameters are decimals; `tensors` holds the same numbers as safetensors (binary64), in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum DecidedModel {
    /// Linear or logistic.
    Linear(ShownLinear),
    /// Decision trees.
    Trees(ShownTrees),
    /// A dense network.
    Network(ShownNetwork),
}

/// score = intercept + Σ coefficient × feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShownLinear {
    /// Its name.
    pub name: String,
    /// What the score means.
    #[schema(value_type = String)]
    pub link: Link,
    /// Intercept, rounded.
    pub intercept: String,
    /// One a coefficient, in the module's order.
    pub terms: Vec<ModelTerm>,
    /// Significant decimal digits of each number.
    pub significant_digits: u8,
    /// Safetensors in base64: `coefficients`, `intercept`.
    pub tensors: String,
}

/// One coefficient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelTerm {
    /// A column, or `column=label`.
    pub feature: String,
    /// Its coefficient, rounded.
    pub coefficient: String,
}

/// score = base + Σ value of the leaf that a row reaches in each tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShownTrees {
    /// Its name.
    pub name: String,
    /// What the score means.
    #[schema(value_type = String)]
    pub link: Link,
    /// Added to every score, rounded.
    pub base: String,
    /// Columns, or `column=label`: 1 where a row has the label, else 0.
    pub features: Vec<String>,
    /// Nodes of each tree, the root first; children by their index in the same list.
    pub trees: Vec<Vec<ShownNode>>,
    /// Significant decimal digits of each number.
    pub significant_digits: u8,
    /// Safetensors in base64: `roots`, `feature` (-1 for a leaf), `threshold`, `left`, `right`, `value` over all trees, `base`.
    pub tensors: String,
}

/// A node of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ShownNode {
    /// Rows whose feature is at most the threshold go left; all others, those without a value too, go right.
    Split {
        /// Index into the features.
        feature: u32,
        /// In the column's units, rounded; 0.5 of a label.
        threshold: String,
        /// Index of the left child.
        left: u32,
        /// Index of the right child.
        right: u32,
    },
    /// The end.
    Leaf {
        /// What it adds to the score, rounded.
        value: String,
    },
}

/// Layer by layer activation(weights × inputs + biases); the last one's outputs are the scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShownNetwork {
    /// Its name.
    pub name: String,
    /// What a score means.
    #[schema(value_type = String)]
    pub link: Link,
    /// Inputs of the first layer: columns, or `column=label`.
    pub features: Vec<String>,
    /// Layers.
    pub layers: Vec<ShownLayer>,
    /// Significant decimal digits of each number.
    pub significant_digits: u8,
    /// Safetensors in base64: of layer `i` from 0 `i.weights` (outputs × inputs) and `i.biases`.
    pub tensors: String,
}

/// A dense layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShownLayer {
    /// Applied to each output.
    #[schema(value_type = String)]
    pub activation: Activation,
    /// Output by output one an input, rounded.
    pub weights: Vec<Vec<String>>,
    /// One an output, rounded.
    pub biases: Vec<String>,
}

/// `column`, or `column=label`.
pub(super) fn features(model: &Model, evidence: &ModelEvidence) -> Vec<String> {
    let named = model.features().iter().zip(&evidence.labels);
    named.map(|(f, label)| label.as_ref().map_or_else(|| f.column.clone(), |label| format!("{}={label}", f.column))).collect()
}

/// The released form of a rounded model.
pub(super) fn show(model: &Model, features: &[String], significant_digits: u8) -> Result<DecidedModel, NotReleased> {
    let text = |value: f64| rounded::text(value, significant_digits).ok_or(NotReleased::Malformed("a parameter was not rounded"));
    let tensors = tensors::encode(model, features)?;
    let (name, link) = (model.name().to_owned(), model.link());
    Ok(match model {
        Model::Linear(model) => DecidedModel::Linear(ShownLinear {
            name,
            link,
            intercept: text(model.intercept)?,
            terms: features
                .iter()
                .zip(&model.coefficients)
                .map(|(feature, value)| Ok(ModelTerm { feature: feature.clone(), coefficient: text(*value)? }))
                .collect::<Result<_, NotReleased>>()?,
            significant_digits,
            tensors,
        }),
        Model::Trees(model) => DecidedModel::Trees(ShownTrees {
            name,
            link,
            base: text(model.base)?,
            features: features.to_vec(),
            trees: model.trees.iter().map(|tree| nodes(tree, text)).collect::<Result<_, _>>()?,
            significant_digits,
            tensors,
        }),
        Model::Network(model) => DecidedModel::Network(ShownNetwork {
            name,
            link,
            features: features.to_vec(),
            layers: model.layers.iter().map(|l| layer(l, text)).collect::<Result<_, _>>()?,
            significant_digits,
            tensors,
        }),
    })
}

fn nodes(tree: &[Node], text: impl Fn(f64) -> Result<String, NotReleased>) -> Result<Vec<ShownNode>, NotReleased> {
    let right = right_children(tree).map_err(|_| NotReleased::Malformed("nodes that are no tree"))?;
    let node = |((node, right), next): ((&Node, u32), u32)| {
        Ok(match node {
            Node::Split { feature, threshold } => ShownNode::Split { feature: *feature, threshold: text(*threshold)?, left: next, right },
            Node::Leaf { value } => ShownNode::Leaf { value: text(*value)? },
        })
    };
    tree.iter().zip(right).zip(1..).map(node).collect()
}

fn layer(layer: &Layer, text: impl Fn(f64) -> Result<String, NotReleased>) -> Result<ShownLayer, NotReleased> {
    let inputs = layer.weights.len() / layer.biases.len().max(1);
    let row = |weights: &[f64]| weights.iter().map(|w| text(*w)).collect::<Result<Vec<_>, _>>();
    Ok(ShownLayer {
        activation: layer.activation,
        weights: layer.weights.chunks(inputs.max(1)).map(row).collect::<Result<_, _>>()?,
        biases: row(&layer.biases)?,
    })
}
