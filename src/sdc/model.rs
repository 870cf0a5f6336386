//! Models: rounded by the host, bounded in what they can carry, and held for review in any case.
//!
//! # What the bound guarantees
//!
//! A model that was fitted by hostile code is a message. Song, Ristenpart and Shmatikov, *Machine Learning Models that Remember Too Much* (CCS
//! 2017), write rows into the low bits of the weights, into their signs, and into correlations that the fit itself prefers; the model
//! stays accurate, and nobody who looks at it sees them. So nothing here asks whether a model is honest. The host rounds every
//! parameter to the policy's significant digits, within fixed magnitudes, and keeps the shape in one spelling; what remains is one of at
//! most 2^bits models, where bits are counted over parameters *and* shape: which features, which nodes, which layers. Whoever reads it
//! learns at most so many bits, whatever the module did. `model.capacity` bounds them, `model.ratio` bounds the parameters by the units.
//!
//! # What it does not
//!
//! The bits that are left can be anyone's: 1,024 of them hold sixteen amounts of 64 bits, or whether each of a thousand people is in arrears.
//! Two reviewers, and the probe that runs the module again without one unit, stand behind the bound. Leaves and levels are counted one by one:
//! two trees whose leaves differ by one unit tell of it what their values differ by. A leaf whose units all have the same outcome tells
//! the outcome of each, and nothing here knows the outcome. A module may leave rows out of its fit that count here.
//!
//! # Formats
//!
//! The artefact is canonical JSON, every parameter as a decimal; with it the same numbers as safetensors. There is no ONNX: of the writers in
//! Rust (late 2026) those that are maintained are first versions with few users, and the binding with users is generated from a schema
//! of 2024; a file that other tools run is not to rest on either. From the JSON it is a page of Python.

mod capacity;
mod rounded;
mod shown;
mod tensors;

#[cfg(test)]
mod smuggling_tests;
#[cfg(test)]
mod tests;

use protocol::model::{Group, Model, ModelEvidence};
use serde::Serialize;

use super::table::NotReleased;
use crate::policy::ActivePolicy;
use crate::refusal::{self, Refused, Rule};
use capacity::Capacity;
use rounded::MAGNITUDES;

pub use shown::{DecidedModel, ModelTerm, ShownLayer, ShownLinear, ShownNetwork, ShownNode, ShownTrees};

/// What reviewers are told of a model beside its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReport {
    /// Privacy units of the view.
    pub units: u64,
    /// Real-valued parameters.
    pub parameters: u64,
    /// Units for each parameter, rounded down.
    pub units_per_parameter: u64,
    /// Units less parameters: below zero any data can be fitted exactly.
    pub degrees_of_freedom: i64,
    /// What the model can carry.
    pub capacity: CapacityReport,
    /// Units counting towards the minimum of the leaf that fewest reach, over all trees; nothing where there are no trees.
    pub smallest_leaf: Option<u64>,
    /// Tree by tree, one a leaf in preorder: units counting.
    pub leaves: Vec<Vec<u64>>,
    /// The same of the levels that the model reads.
    pub levels: Vec<LevelReport>,
}

/// Bits, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CapacityReport {
    /// Of one parameter, in thousandths.
    pub millibits_per_parameter: u64,
    /// Of all parameters.
    pub parameter_bits: u64,
    /// Of the shape: form, features, nodes, layers.
    pub structure_bits: u64,
    /// Together.
    pub bits: u64,
    /// By the policy.
    pub bits_max: u64,
}

/// Who has a level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelReport {
    /// `column=label`.
    pub feature: String,
    /// Units counting.
    pub units: u64,
}

/// What can be decided before anything is known of the data: door, form, digits, bits of the parameters alone. The model as it would be
/// released, for the engine to put rows through.
///
/// # Errors
/// `policy.door`, `model.invalid`, `model.range`, `model.capacity`.
pub fn round_model(model: &Model, policy: &ActivePolicy) -> Result<Model, Refused> {
    let rules = policy.rules().model;
    if !policy.rules().doors.artefact {
        return Err(Refused::new(&refusal::POLICY_DOOR).subject("artefact"));
    }
    if let Model::Linear(linear) = model
        && linear.coefficients.len() as u64 > rules.coefficients_max.into()
    {
        return Err(Refused::new(&refusal::MODEL_CAPACITY).threshold(format!("{} coefficients", rules.coefficients_max)));
    }
    model.validate().map_err(|_| Refused::new(&refusal::MODEL_INVALID))?;
    let too_large = || Refused::new(&refusal::MODEL_RANGE).threshold(format!("below 10^{}", MAGNITUDES.end() + 1));
    let rounded = rounded::round(model, rules.significant_digits).ok_or_else(too_large)?;
    // As if there were one feature to choose from: what is more can only be told with the data.
    within(&Capacity::of(&rounded, rules.significant_digits, 1), rules.bits_max)?;
    Ok(rounded)
}

fn within(capacity: &Capacity, bits_max: u32) -> Result<(), Refused> {
    let refused = || Refused::new(&refusal::MODEL_CAPACITY).threshold(format!("{bits_max} bits"));
    if capacity.bits() <= bits_max.into() { Ok(()) } else { Err(refused()) }
}

/// Decides a model under a policy. `units` are the privacy units of the view it was made on, as fusing counted them; `evidence` is what
/// the engine found of the model as [`round_model`] makes it.
///
/// # Errors
/// As [`round_model`]; by data `model.units`, `model.ratio`, `model.capacity`, `model.group`. Malformed where there is no evidence of
/// this model.
pub fn decide_model(
    model: &Model,
    evidence: Option<&ModelEvidence>,
    policy: &ActivePolicy,
    units: u64,
) -> Result<(DecidedModel, ModelReport), NotReleased> {
    let rules = policy.rules().model;
    let rounded = round_model(model, policy)?;
    let by_data = |rule: &'static Rule, threshold: String| NotReleased::RefusedByData { refused: Refused::new(rule).threshold(threshold) };
    if units < rules.units_min {
        return Err(by_data(&refusal::MODEL_UNITS, format!("{} units", rules.units_min)));
    }
    let evidence = evidence.filter(|e| e.is_of(&rounded)).ok_or(NotReleased::Malformed("a model without its evidence"))?;
    let capacity = Capacity::of(&rounded, rules.significant_digits, evidence.features_possible);
    let parameters = capacity.parameters;
    if parameters.saturating_mul(rules.units_per_parameter_min.into()) > units {
        return Err(by_data(&refusal::MODEL_RATIO, format!("{} units a parameter", rules.units_per_parameter_min)));
    }
    within(&capacity, rules.bits_max).map_err(|refused| NotReleased::RefusedByData { refused })?;
    let min_frequency = u64::from(policy.rules().table.min_frequency);
    let groups = || evidence.leaves.iter().flatten().chain(evidence.levels.iter().flatten());
    if groups().any(|g| g.units_counting < min_frequency) {
        return Err(by_data(&refusal::MODEL_GROUP, format!("{min_frequency} units")));
    }
    let features = shown::features(&rounded, evidence);
    let decided = shown::show(&rounded, &features, rules.significant_digits)?;
    let counting = |group: &Group| group.units_counting;
    let level = |(feature, group): (&String, &Option<Group>)| {
        group.as_ref().map(|group| LevelReport { feature: feature.clone(), units: counting(group) })
    };
    let report = ModelReport {
        units,
        parameters,
        units_per_parameter: units.checked_div(parameters).unwrap_or(units),
        degrees_of_freedom: i64::try_from(i128::from(units) - i128::from(parameters)).unwrap_or(i64::MAX),
        capacity: capacity.report(rules.bits_max),
        smallest_leaf: evidence.leaves.iter().flatten().map(counting).min(),
        leaves: evidence.leaves.iter().map(|tree| tree.iter().map(counting).collect()).collect(),
        levels: features.iter().zip(&evidence.levels).filter_map(level).collect(),
    };
    Ok((decided, report))
}
