//! What a module declares about itself, in its custom section `fusebox.manifest` (JSON), so that the signed digest covers it.
//!
//! A derived column's labels stand here, fixed before any data is seen: a module cannot write values into labels.

use serde::{Deserialize, Serialize};

use crate::limits::{LimitExceeded, Limits};
use crate::schema::is_name;

/// Name of the custom section.
pub const SECTION: &str = "fusebox.manifest";

/// A module's declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, `[a-z][a-z0-9_]*`.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// Columns it will derive, at most once each.
    #[serde(default)]
    pub derived: Vec<DerivedColumn>,
}

/// A column that a module derives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerivedColumn {
    /// Name; may not be that of a granted column.
    pub name: String,
    /// Its type.
    #[serde(flatten)]
    pub ty: DerivedType,
}

/// Type of a derived column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum DerivedType {
    /// Fixed-point number: stored integers of 10^-scale within the bounds.
    Number {
        /// Decimal digits after the point (0 to 9).
        scale: u8,
        /// Smallest stored integer.
        min: i64,
        /// Largest stored integer.
        max: i64,
    },
    /// One of these labels.
    Category {
        /// The labels.
        labels: Vec<String>,
    },
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of the documented form.
    #[error("the module's manifest is missing or not of the documented form")]
    Malformed,
    /// A name.
    #[error("`{0}` is not a name, or is there twice")]
    Name(String),
    /// Labels empty, too long, with control characters, or twice the same; or bounds in the wrong order.
    #[error("the declaration of derived column `{0}` is not valid")]
    Column(String),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl Manifest {
    /// Checks the declaration.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("derived_columns_max", l.derived_columns_max.into(), 0, self.derived.len() as u64)?;
        if !is_name(&self.name) || self.version.is_empty() || self.version.len() > 64 || self.version.chars().any(char::is_control) {
            return Err(ManifestError::Name(self.name.chars().take(64).collect()));
        }
        let mut seen = std::collections::BTreeSet::new();
        for column in &self.derived {
            if !is_name(&column.name) || !seen.insert(&column.name) {
                return Err(ManifestError::Name(column.name.chars().take(64).collect()));
            }
            let good = match &column.ty {
                DerivedType::Number { scale, min, max } => *scale <= 9 && min <= max,
                DerivedType::Category { labels } => {
                    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
                    !labels.is_empty()
                        && labels.len() <= 256
                        && distinct.len() == labels.len()
                        && labels.iter().all(|s| !s.is_empty() && s.len() <= 64 && !s.chars().any(char::is_control))
                }
            };
            if !good {
                return Err(ManifestError::Column(column.name.clone()));
            }
        }
        Ok(())
    }
}
