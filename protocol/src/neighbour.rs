//! The neighbour-replay probe between server and engine: which units are looked at, and how far each stands from the others.
//!
//! A unit is named by its place in the engine's order of units, which only the project's key knows. No identifier crosses.

use serde::{Deserialize, Serialize};

/// Units that one question may name, or ask for.
pub const RANKED_MAX: usize = 4096;

/// Which units to measure, by place, and how many of those that stand out most to name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankRequest {
    /// Granted columns in which distance is measured.
    pub columns: Vec<String>,
    /// Places of units to measure.
    pub units: Vec<u64>,
    /// How many to name of those with the most rows.
    pub most_rows: u16,
    /// How many to name of those farthest from the mean.
    pub farthest: u16,
}

/// A unit as it is measured.
///
/// Distance of a row in a column: for numbers the squared distance from the mean over the variance; for a category 1/f − 1, f being
/// the share of its label (the chi-square distance). No more than 100 counts in a column; a missing value has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its place in the engine's order.
    pub unit: u64,
    /// Its rows.
    pub rows: u64,
    /// Sum over its rows of the mean distance over the columns, each column's scaled to a mean of one, in thousandths.
    pub mean_permille: u64,
    /// Sum over its rows of the largest distance in any column, in thousandths.
    pub largest_permille: u64,
}

/// What was asked for, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// The units that were named.
    pub named: Vec<Measured>,
    /// Those with the most rows, most first; none where all have as many.
    pub most_rows: Vec<Measured>,
    /// Those with the largest distance, farthest first.
    pub farthest: Vec<Measured>,
}
