//! The fold: blocks of privacy units are mapped one at a time to vectors, which are clipped and summed exactly.
//!
//! What is here passes between server, engine and the guest process that runs a module's `contribute` or `update`. Server and engine
//! talk over their conversation; the engine hands blocks to the guest over a socket of their own, so that no row passes through the
//! server. Long lists cross as raw little-endian words: a block costs a few copies and no parsing.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{LimitExceeded, Limits};
use crate::manifest::{FoldColumn, FoldManifest};
use crate::plan::ViewType;
use crate::secret::SecretKey;

/// How privacy units become blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// One block a unit. How many there are is never told.
    PerUnit,
    /// This many blocks, to which units go by keyed hash. The number is public; empty ones are handed over too.
    Shared(u32),
}

impl Blocks {
    /// By how many clipping bounds one sum can change when one unit is added or removed: a unit's own block appears with a
    /// contribution of norm C or disappears; a shared block's contribution changes from one vector of norm C to another.
    pub const fn bounds_per_unit(self) -> u8 {
        match self {
            Self::PerUnit => 1,
            Self::Shared(_) => 2,
        }
    }
}

/// How blocks are kept from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A fresh instance a block.
    Instance,
    /// A fresh process a block: shared blocks only.
    Process,
}

/// The norm in which a contribution is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Sum of absolute values.
    L1,
    /// Euclidean.
    L2,
    /// Largest absolute value.
    Max,
}

/// The bound that every contribution keeps to, on a grid of whole steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clip {
    /// Length of a contribution.
    pub dimension: u32,
    /// In which norm.
    pub norm: Norm,
    /// The bound C in steps, 1 to 2^52: every integer up to it is a binary floating-point number too.
    pub bound: i64,
    /// One step is 10^-scale (0 to 9).
    pub scale: u8,
}

impl Clip {
    /// Largest bound.
    pub const BOUND_MAX: i64 = 1 << 52;

    /// Whether every field is in its range.
    pub fn is_valid(&self) -> bool {
        let dimensions = 1..=Limits::STANDARD.fold_dimension_max;
        dimensions.contains(&self.dimension) && (1..=Self::BOUND_MAX).contains(&self.bound) && self.scale <= crate::value::SCALE_MAX
    }

    /// Whether `vector`, of `dimension` steps, keeps to the bound: in integers, exactly.
    pub fn holds(&self, vector: impl Iterator<Item = i64>) -> bool {
        let bound = self.bound.unsigned_abs();
        // Each square is checked against the bound before it is added, so a sum is at most 2^32 times 2^104 — but stops growing
        // once it is above 2^104: saturation cannot hide anything.
        let mut sum = 0u128;
        for steps in vector {
            let size = u128::from(steps.unsigned_abs());
            let (add, limit) = match self.norm {
                Norm::L1 => (size, u128::from(bound)),
                Norm::L2 => (size.saturating_mul(size), u128::from(bound) * u128::from(bound)),
                Norm::Max => (0, u128::from(bound)),
            };
            sum = sum.saturating_add(add);
            if sum > limit || size > u128::from(bound) {
                return false;
            }
        }
        true
    }
}

/// A fold as the engine gets it: nothing left to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldPlan {
    /// How units become blocks.
    pub blocks: Blocks,
    /// How blocks are kept from each other.
    pub isolation: Isolation,
    /// Rows of a unit that take part: those with the smallest keyed hash of their contents.
    pub rows_per_unit_max: u32,
    /// The bound.
    pub clip: Clip,
    /// What is computed.
    pub map: FoldMap,
    /// Key of the hashes that choose rows and blocks.
    pub key: SecretKey,
}

/// What is computed of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoldMap {
    /// By a module, in a guest process at the other end of the socket that comes with the plan.
    Module {
        /// The view's columns in the module's order.
        columns: Vec<FoldColumn>,
    },
    /// By the engine itself.
    BuiltIn(BuiltIn),
}

/// Maps that need no module. Columns are named as in the view; missing values contribute nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuiltIn {
    /// (rows).
    Count,
    /// (sum of the values after clamping to `min..=max`, stored integers).
    Sum {
        /// The number column.
        column: String,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// (sum of `value - centre` after clamping to `min..=max`, `weight` for each row with a value).
    Mean {
        /// The number column.
        column: String,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// What is taken off each value.
        centre: i64,
        /// What each row adds to the second coordinate.
        weight: i64,
    },
    /// Rows by label: one coordinate a label, in this order; other labels contribute nothing.
    Labels {
        /// The category column.
        column: String,
        /// The public domain.
        labels: Vec<String>,
    },
    /// Rows by bin: coordinate i counts `cuts[i-1] <= value < cuts[i]`; one coordinate more than cuts.
    Bins {
        /// The number, date or hour column.
        column: String,
        /// Rising cut points, stored integers.
        cuts: Vec<i64>,
    },
}

/// Why a plan of a fold does not fit the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FoldError {
    /// A bound, a number of rows or blocks is out of range, or does not suit what is computed.
    #[error("a bound of the fold is out of range")]
    Bound,
    /// A column is not granted, or of another type.
    #[error("a column of the fold is not granted, or of another type")]
    Column,
    /// More guest processes ended than may.
    #[error("more guest processes ended than may")]
    Restarts,
}

/// Whether a module's column can be read from a view column: one type, one resolution.
pub fn readable(wanted: &crate::manifest::FoldType, ty: &ViewType) -> bool {
    use crate::manifest::FoldType;
    match (wanted, ty) {
        (FoldType::Number { scale }, ViewType::Number { scale: has, .. }) => scale == has,
        (FoldType::Category { .. }, ViewType::Category { .. }) => true,
        (FoldType::Date, ViewType::Date) | (FoldType::Hour, ViewType::Hour) => true,
        _ => false,
    }
}

/// First message to a guest process that runs a fold. Descriptors: the compiled code (sealed memfd) and, where it maps blocks, its
/// socket to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldStart {
    /// What the module declared.
    pub manifest: FoldManifest,
    /// Fuel of one block, or of one update.
    pub fuel: u64,
    /// Linear memory of one instance.
    pub memory_bytes_max: u64,
}

/// To a guest that maps blocks, from the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MapRequest {
    /// The public state of the round. No answer.
    State(Floats),
    /// Blocks. Answer: [`MapReply`].
    Blocks(BlockBatch),
}

/// Some blocks, one after another. Columns are the module's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockBatch {
    /// Of each block its number of units.
    pub blocks: Vec<u32>,
    /// Of each unit its number of rows, block by block.
    pub units: Vec<u32>,
    /// Values block by block, within a block column by column: stored integers, label numbers (-1: none of the declared).
    pub values: Integers,
    /// One byte a value, 1 where it is missing; empty where none of the batch is.
    pub missing: Octets,
}

/// From a guest that maps blocks: one contribution a block, in order. Every byte is hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapReply(pub Vec<Contribution>);

/// What a block contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Contribution {
    /// Nothing: whatever ended the block.
    Nothing,
    /// One value a coordinate.
    Dense(Floats),
    /// Rising coordinates, and one value each; the others are zero.
    Sparse(Indexes, Floats),
}

/// To a guest that updates, from the server. Answer: [`UpdateReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateRequest {
    /// The round, from 0.
    pub round: u32,
    /// The state of the round.
    pub state: Floats,
    /// The noised sums.
    pub noised: Floats,
}

/// From a guest that updates: the next state, or none. Every byte is hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateReply(pub Option<Floats>);

impl FoldManifest {
    /// Checks names, lengths and labels.
    ///
    /// # Errors
    /// The limit, or the name of the first column that is not one.
    pub fn validate(&self) -> Result<(), crate::manifest::ManifestError> {
        use crate::manifest::ManifestError;
        let l = &Limits::STANDARD;
        LimitExceeded::check("fold_dimension_max", l.fold_dimension_max.into(), 0, self.dimension.into())?;
        LimitExceeded::check("fold_state_max", l.fold_state_max.into(), 0, self.state.into())?;
        // State and noised sums travel to an update in one frame.
        let together = u64::from(l.frame_bytes_max / 8 - 16);
        LimitExceeded::check("fold_state_max", together, self.dimension.into(), self.state.into())?;
        if self.dimension == 0 || self.state == 0 {
            return Err(ManifestError::Column("dimension".to_owned()));
        }
        validate_columns(&self.columns)
    }
}

/// Checks the columns that a module reads.
///
/// # Errors
/// As [`FoldManifest::validate`].
pub(crate) fn validate_columns(columns: &[FoldColumn]) -> Result<(), crate::manifest::ManifestError> {
    use crate::manifest::{FoldType, ManifestError};
    let l = &Limits::STANDARD;
    LimitExceeded::check("fold_columns_max", l.fold_columns_max.into(), 0, columns.len() as u64)?;
    let mut seen = std::collections::BTreeSet::new();
    for FoldColumn { name, ty } in columns {
        if !crate::schema::is_name(name) || !seen.insert(name) {
            return Err(ManifestError::Name(name.chars().take(64).collect()));
        }
        let good = match ty {
            FoldType::Number { scale } => *scale <= crate::value::SCALE_MAX,
            FoldType::Category { labels } => {
                LimitExceeded::check("derived_labels_max", l.derived_labels_max.into(), 0, labels.len() as u64)?;
                let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
                !labels.is_empty() && distinct.len() == labels.len()
            }
            FoldType::Date | FoldType::Hour => true,
        };
        if !good {
            return Err(ManifestError::Column(name.clone()));
        }
    }
    Ok(())
}

/// A list of words that crosses as raw little-endian bytes.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident($word:ty);)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name(pub Vec<$word>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(bytemuck::cast_slice(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Raw;
                impl<'de> Visitor<'de> for Raw {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("whole words")
                    }
                    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        const WORD: usize = size_of::<$word>();
                        if !bytes.len().is_multiple_of(WORD) {
                            return Err(E::custom("not whole words"));
                        }
                        Ok($name(bytes.chunks_exact(WORD).map(bytemuck::pod_read_unaligned).collect()))
                    }
                }
                deserializer.deserialize_bytes(Raw)
            }
        }
    )+};
}

words! {
    /// Binary floating-point numbers.
    Floats(f64);
    /// Stored integers.
    Integers(i64);
    /// Coordinates.
    Indexes(u32);
    /// Bytes.
    Octets(u8);
}

#[cfg(target_endian = "big")]
compile_error!("words cross as they lie in memory, little-endian");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clip(norm: Norm, bound: i64) -> Clip {
        Clip { dimension: 3, norm, bound, scale: 0 }
    }

    #[test]
    fn a_norm_is_checked_in_integers() {
        assert!(clip(Norm::L2, 5).holds([3, -4, 0].into_iter()));
        assert!(!clip(Norm::L2, 5).holds([3, -4, 1].into_iter()));
        assert!(clip(Norm::L1, 8).holds([3, -4, 1].into_iter()));
        assert!(!clip(Norm::L1, 7).holds([3, -4, 1].into_iter()));
        assert!(clip(Norm::Max, 4).holds([3, -4, 1].into_iter()));
        assert!(!clip(Norm::Max, 3).holds([3, -4, 1].into_iter()));
        for norm in [Norm::L1, Norm::L2, Norm::Max] {
            assert!(!clip(norm, Clip::BOUND_MAX).holds([i64::MIN].into_iter()));
        }
    }

    proptest! {
        #[test]
        fn words_cross(floats in proptest::collection::vec(any::<f64>(), 0..50), integers in proptest::collection::vec(any::<i64>(), 0..50)) {
            let bits = |f: &[f64]| f.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
            let batch = (Floats(floats), Integers(integers), Indexes(vec![1, 2]), Octets(vec![7]));
            let bytes = postcard::to_stdvec(&batch).unwrap();
            let back: (Floats, Integers, Indexes, Octets) = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(bits(&back.0.0), bits(&batch.0.0));
            prop_assert_eq!((back.1, back.2, back.3), (batch.1, batch.2, batch.3));
        }
    }
}
