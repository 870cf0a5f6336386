//! A fold as an operator asks for it: fixed at submission, public, no value of any dataset in it. Decimals are texts, so that no digit
//! is lost and the document has one spelling.

use protocol::fold::{Isolation, Norm};
use serde::{Deserialize, Serialize};

/// A fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a fold")]
pub struct FoldDocument {
    /// What is computed of each block.
    pub map: MapDocument,
    /// Which noise.
    pub mechanism: MechanismKind,
    /// Privacy loss of the whole fold, all rounds together: a decimal. For `gaussian` at the policy's δ.
    pub epsilon: String,
    /// Rounds; 1 for what is built in.
    #[serde(default = "one")]
    pub rounds: u32,
    /// Rows of one privacy unit that take part.
    #[serde(default = "one")]
    pub rows_per_unit_max: u32,
    /// How units become blocks.
    #[serde(default)]
    pub blocks: BlocksDocument,
}

fn one() -> u32 {
    1
}

/// Which noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MechanismKind {
    /// Discrete Gaussian: zero-concentrated differential privacy.
    Gaussian,
    /// Discrete Laplace: pure differential privacy.
    Laplace,
}

/// How units become blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, expecting = "blocks")]
pub enum BlocksDocument {
    /// One block a unit.
    #[default]
    PerUnit,
    /// A public number of blocks, to which units go by keyed hash.
    Shared {
        /// How many.
        count: u32,
        /// `instance` (default) or `process`.
        #[serde(default = "instance")]
        #[schema(value_type = String)]
        isolation: Isolation,
    },
}

fn instance() -> Isolation {
    Isolation::Instance
}

/// What is computed of each block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, expecting = "a map")]
pub enum MapDocument {
    /// The job's module.
    Module(ModuleMap),
    /// Rows, at most `rows_per_unit_max` of a unit: with 1, units.
    Count {},
    /// Sum of a number column; bounds (decimals) narrower than the catalogue's may be given.
    Sum {
        /// The column of the view.
        column: String,
        /// Smallest value; smaller ones count as this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        /// Largest value; larger ones count as this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
    },
    /// Mean of a number column over the rows that take part.
    Mean {
        /// The column of the view.
        column: String,
        /// Smallest value; smaller ones count as this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        /// Largest value; larger ones count as this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
    },
    /// Rows by label of a category (all declared labels, or those given), or by bin of a number column.
    Histogram {
        /// The column of the view.
        column: String,
        /// Labels of the public domain; needed where the view's dictionary is found in the data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        labels: Option<Vec<String>>,
        /// Rising cut points (decimals) of a number column; one bin more than cuts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cuts: Option<Vec<String>>,
    },
    /// Quantiles of a number column: read from a noised histogram of equal bins over the bounds.
    Quantile {
        /// The column of the view.
        column: String,
        /// Which, in permille, rising.
        permille: Vec<u16>,
        /// Bins (2 to 4096).
        bins: u32,
        /// Smallest value; smaller ones count as this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        /// Largest value; larger ones count as this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
    },
}

/// The job's module as the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a module's map")]
pub struct ModuleMap {
    /// The bound of a contribution.
    pub clip: ClipDocument,
    /// The state of the first round, decimals; zeros where empty.
    #[serde(default)]
    pub initial: Vec<String>,
    /// Fuel of one block, and of one update.
    pub fuel: u64,
}

/// The bound of a contribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a bound")]
pub struct ClipDocument {
    /// `l1`, `l2` or `max`.
    #[schema(value_type = String)]
    pub norm: Norm,
    /// The bound, a decimal.
    pub bound: String,
    /// Contributions are cut, toward zero, to 10^-scale (0 to 9).
    pub scale: u8,
}
