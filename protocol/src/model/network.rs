//! Small dense networks.

use serde::{Deserialize, Serialize};

use super::{Feature, Link, ModelError, plain};
use crate::limits::{LimitExceeded, Limits};

/// A dense network: each layer is activation(weights × inputs + biases); the last one's outputs are the scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkModel {
    /// Name, unique in the job.
    pub name: String,
    /// What a score means.
    pub link: Link,
    /// Inputs of the first layer.
    pub features: Vec<Feature>,
    /// One after another.
    pub layers: Vec<Layer>,
}

/// A dense layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Applied to each output.
    pub activation: Activation,
    /// Output by output one weight an input, finite.
    pub weights: Vec<f64>,
    /// One an output, finite.
    pub biases: Vec<f64>,
}

/// What is applied to a layer's outputs. Between processes and in the interface by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// 0: nothing.
    Identity,
    /// 1: max(0, x).
    Relu,
    /// 2: tanh x.
    Tanh,
    /// 3: 1 / (1 + e^-x).
    Sigmoid,
}

impl Activation {
    /// Every one, by its number.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Relu, Self::Tanh, Self::Sigmoid];
}

/// Layers as a guest hands them in: all weights one after another, layer by layer, and so the biases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlatNetwork {
    /// Outputs of each layer.
    pub widths: Vec<u32>,
    /// The number of each layer's [`Activation`].
    pub activations: Vec<u8>,
    /// Weights.
    pub weights: Vec<f64>,
    /// Biases.
    pub biases: Vec<f64>,
}

impl FlatNetwork {
    /// The layers of a network of so many inputs.
    ///
    /// # Errors
    /// A limit; lengths that do not fit each other; an activation that is none.
    pub fn parse(&self, inputs: usize) -> Result<Vec<Layer>, ModelError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("model_layers_max", l.model_layers_max.into(), 0, self.widths.len() as u64)?;
        let given = (self.weights.len() as u64).saturating_add(self.biases.len() as u64);
        LimitExceeded::check("model_coefficients_max", l.model_coefficients_max.into(), 0, given.saturating_sub(1))?;
        if self.widths.is_empty() || self.activations.len() != self.widths.len() {
            return Err(ModelError::Shape);
        }
        let (mut weights, mut biases, mut inputs) = (self.weights.as_slice(), self.biases.as_slice(), inputs);
        let mut layers = Vec::with_capacity(self.widths.len());
        for (width, activation) in self.widths.iter().zip(&self.activations) {
            let width = usize::try_from(*width).map_err(|_| ModelError::Shape)?;
            let activation = *Activation::ALL.get(usize::from(*activation)).ok_or(ModelError::Shape)?;
            let count = width.checked_mul(inputs).ok_or(ModelError::Shape)?;
            let (own, rest) = weights.split_at_checked(count).ok_or(ModelError::Shape)?;
            let (bias, others) = biases.split_at_checked(width).ok_or(ModelError::Shape)?;
            let plain = |values: &[f64]| values.iter().copied().map(plain).collect();
            layers.push(Layer { activation, weights: plain(own), biases: plain(bias) });
            (weights, biases, inputs) = (rest, others, width);
        }
        if weights.is_empty() && biases.is_empty() { Ok(layers) } else { Err(ModelError::Shape) }
    }
}

impl NetworkModel {
    /// A model as a guest hands it in.
    ///
    /// # Errors
    /// As [`FlatNetwork::parse`].
    pub fn new(name: String, link: Link, features: Vec<Feature>, flat: &FlatNetwork) -> Result<Self, ModelError> {
        let layers = flat.parse(features.len())?;
        Ok(Self { name, link, features, layers })
    }

    pub(super) fn validate(&self) -> Result<(), ModelError> {
        LimitExceeded::check("model_layers_max", Limits::STANDARD.model_layers_max.into(), 0, self.layers.len() as u64)?;
        if self.layers.is_empty() {
            return Err(ModelError::Shape);
        }
        let mut inputs = self.features.len();
        for layer in &self.layers {
            let outputs = layer.biases.len();
            if outputs == 0 || inputs.checked_mul(outputs) != Some(layer.weights.len()) {
                return Err(ModelError::Shape);
            }
            inputs = outputs;
        }
        Ok(())
    }
}
