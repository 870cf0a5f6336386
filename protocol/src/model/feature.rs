//! What a model reads.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ModelError;
use crate::limits::{LimitExceeded, Limits};
use crate::plan::ViewType;

/// A number of a row: the value of a column, or 1 where a category has a level and 0 where it has another or none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Feature {
    /// A granted or derived column. A guest names it by its index; whoever reads this from a worker compares it with the view's columns.
    pub column: String,
    /// Index into the category's labels; `None` for a number, a date or an hour.
    pub level: Option<u32>,
}

impl Feature {
    /// Whether a column of this type has such a feature. A pseudonym has none: its order means nothing.
    pub fn fits(&self, ty: &ViewType) -> bool {
        match ty {
            ViewType::Number { .. } | ViewType::Date | ViewType::Hour => self.level.is_none(),
            ViewType::Category { .. } => self.level.is_some(),
            ViewType::Pseudonym => false,
        }
    }
}

/// At least one, each once, within the limit.
pub(super) fn validate(features: &[Feature]) -> Result<(), ModelError> {
    LimitExceeded::check("model_coefficients_max", Limits::STANDARD.model_coefficients_max.into(), 0, features.len() as u64)?;
    if features.is_empty() {
        return Err(ModelError::Shape);
    }
    let distinct: BTreeSet<_> = features.iter().collect();
    if distinct.len() == features.len() { Ok(()) } else { Err(ModelError::Feature) }
}
