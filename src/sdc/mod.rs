//! Statistical disclosure control: exact figures with their evidence become a table or model that may be shown. Pure.
//!
//! [`decide_tables`] applies, cell by cell, the minimum frequency, (n,k) dominance, the p% rule, group disclosure, the rule for zero and
//! full cells, and then suppression that holds against an attacker; it rounds counts;
//! [`decide_model`] bounds and rounds a model: what the bound guarantees, and what not, is in `model`; [`influences`] says whether one
//! unit moves a model as no other does. Sources: Hundepool et al., *Statistical Disclosure Control* (2012), ch. 4;
//! Griffiths et al., *Handbook on Statistical Disclosure Control for Outputs* (2019).
//!
//! # What this protects, and what not
//!
//! A cell that is shown has enough units behind it and no dominating one; a hidden cell's cause is not told; a label that stands for
//! too few units, and was not declared beforehand, is not named at all.
//!
//! More cells are hidden until no hidden one can be computed, or narrowed down too far, from the tables of the same job: the attacker, what
//! it knows and what counts as protected are in `attack`. A table that cannot be protected so, or is too large to try, is held. What
//! follows from *other* jobs is not part of this module. Neither is prior knowledge, and what a released minimum or maximum tells
//! when it lies inside its coding; these and quantiles are not equations, so they have no margins.
//!
//! Counts alone are rounded. Where sum and mean of a column stand in one table, their quotient is the number of its values.

mod attack;
pub mod audit;
mod derived;
mod evidence;
mod exact;
mod group;
mod influence;
mod model;
mod primary;
mod rounding;
mod shown;
mod sound;
mod table;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod pattern_laws;
#[cfg(test)]
mod rule_laws;

pub use derived::judge_derived;
pub use evidence::{AttackEvidence, AttackOutcome, CellEvidence, Fate, NarrowestEvidence, TableEvidence};
pub use influence::{Influences, JUMP_MIN, LARGEST_MIN, PROBED_MIN, Parameter, Probed, Size, influences};
pub use model::{
    CapacityReport, DecidedModel, LevelReport, ModelReport, ModelTerm, ShownLayer, ShownLinear, ShownNetwork, ShownNode, ShownTrees,
    decide_model, round_model,
};
pub use primary::{Cause, CauseRule};
pub use rounding::RoundingKey;
pub use shown::ShownKey;
pub use table::{
    Coding, DecidedCell, DecidedRow, DecidedTable, Deciding, NotReleased, Verdict, decide_table, decide_tables, shares_margin,
};
