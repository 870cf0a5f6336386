//! Linear and logistic models.

use serde::{Deserialize, Serialize};

use super::{Feature, Link, ModelError, plain};

/// A linear or logistic model: score = intercept + Σ coefficient × feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// Name, unique in the job.
    pub name: String,
    /// What the score means.
    pub link: Link,
    /// One a coefficient.
    pub features: Vec<Feature>,
    /// Coefficients, finite.
    pub coefficients: Vec<f64>,
    /// Intercept, finite.
    pub intercept: f64,
}

impl LinearModel {
    /// A model as a guest hands it in, zeros without a sign.
    pub fn new(name: String, link: Link, features: Vec<Feature>, coefficients: Vec<f64>, intercept: f64) -> Self {
        let coefficients = coefficients.into_iter().map(plain).collect();
        Self { name, link, features, coefficients, intercept: plain(intercept) }
    }

    pub(super) fn validate(&self) -> Result<(), ModelError> {
        if self.features.len() == self.coefficients.len() { Ok(()) } else { Err(ModelError::Shape) }
    }
}
