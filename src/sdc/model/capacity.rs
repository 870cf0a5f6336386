//! What a model can carry, in bits: the logarithm of how many models there are that could have been released in its place.

use protocol::limits::Limits;
use protocol::model::{Activation, Model, Node};

use super::{CapacityReport, rounded};

/// Upper bound on the bits of a model, in thousandths so that sums are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) parameters: u64,
    per_parameter: u64,
    structure: u64,
}

/// log2 of a number of possibilities, in thousandths, rounded up.
fn millibits(possibilities: u64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bits = ((possibilities.max(1) as f64).log2() * 1000.0).ceil() as u64;
    bits
}

impl Capacity {
    /// Of a model whose module could choose among so many features.
    pub(super) fn of(model: &Model, digits: u8, features_possible: u64) -> Self {
        let parameters = model.parameters().len() as u64;
        Self { parameters, per_parameter: millibits(rounded::possible(digits)), structure: structure(model, features_possible) }
    }

    /// All bits, rounded up.
    pub(super) fn bits(&self) -> u64 {
        self.parameters.saturating_mul(self.per_parameter).saturating_add(self.structure).div_ceil(1000)
    }

    pub(super) fn report(&self, bits_max: u32) -> CapacityReport {
        CapacityReport {
            millibits_per_parameter: self.per_parameter,
            parameter_bits: self.parameters.saturating_mul(self.per_parameter).div_ceil(1000),
            structure_bits: self.structure.div_ceil(1000),
            bits: self.bits(),
            bits_max: bits_max.into(),
        }
    }
}

/// Form, link, which features in which order; then what the form alone has. Orders that mean nothing (of trees, of a layer's units) are
/// counted as if they did, for a reader would see them.
fn structure(model: &Model, features_possible: u64) -> u64 {
    let l = &Limits::STANDARD;
    // One of three forms, one of three links.
    let head = 2 * millibits(3);
    let features = model.features().len() as u64;
    let chosen = millibits(l.model_coefficients_max.into()).saturating_add(features.saturating_mul(millibits(features_possible)));
    let own = match model {
        Model::Linear(_) => 0,
        Model::Trees(model) => {
            // In preorder a bit a node, split or leaf, is the shape of a tree and where it ends.
            let splits = model.nodes().filter(|n| matches!(n, Node::Split { .. })).count() as u64;
            let nodes = model.nodes().count() as u64;
            millibits(l.model_trees_max.into()) + nodes * 1000 + splits.saturating_mul(millibits(features))
        }
        Model::Network(model) => {
            let layer = millibits(Activation::ALL.len() as u64) + millibits(u64::from(l.model_coefficients_max) + 1);
            millibits(l.model_layers_max.into()) + layer * model.layers.len() as u64
        }
    };
    head.saturating_add(chosen).saturating_add(own)
}
