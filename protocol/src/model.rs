//! Typed models that a module may hand in. They are always held for review.

use serde::{Deserialize, Serialize};

use crate::limits::{LimitExceeded, Limits};
use crate::schema::is_name;

/// A model of one of the closed forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// Linear or logistic.
    Linear(LinearModel),
}

impl Model {
    /// Its name, unique in the job.
    pub fn name(&self) -> &str {
        match self {
            Self::Linear(model) => &model.name,
        }
    }

    /// Its real-valued parameters, in a fixed order.
    pub fn parameters(&self) -> Vec<f64> {
        match self {
            Self::Linear(model) => model.coefficients.iter().chain([&model.intercept]).copied().collect(),
        }
    }

    /// Whether the two differ in nothing but the values of their parameters.
    pub fn same_form(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Linear(a), Self::Linear(b)) => (&a.name, a.link, &a.features) == (&b.name, b.link, &b.features),
        }
    }

    /// Checks all that does not need the view.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::Linear(model) => model.validate(),
        }
    }
}

/// A linear or logistic model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// Name, unique in the job.
    pub name: String,
    /// What the linear score means.
    pub link: Link,
    /// One a coefficient: a granted or derived column, or `column=label` for one level of a category.
    pub features: Vec<String>,
    /// Coefficients, finite.
    pub coefficients: Vec<f64>,
    /// Intercept, finite.
    pub intercept: f64,
}

/// What the linear score means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The value itself.
    Identity,
    /// The log odds.
    Logit,
    /// The logarithm of the expected count.
    Log,
}

/// Why a model is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModelError {
    /// The model's name is not a name.
    #[error("the model's name is not `[a-z][a-z0-9_]*`")]
    Name,
    /// As many features as coefficients are needed.
    #[error("a model needs as many features as coefficients, and at least one")]
    Shape,
    /// NaN or infinite.
    #[error("a coefficient is not a finite number")]
    NotFinite,
    /// A feature that names no granted or derived column, or no level of it.
    #[error("a feature names no granted column or no level of it")]
    Feature,
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl LinearModel {
    /// Checks all that does not need the view.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), ModelError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("model_coefficients_max", l.model_coefficients_max.into(), 0, self.coefficients.len() as u64)?;
        if !is_name(&self.name) {
            return Err(ModelError::Name);
        }
        if self.features.len() != self.coefficients.len() || self.features.is_empty() {
            return Err(ModelError::Shape);
        }
        let distinct: std::collections::BTreeSet<_> = self.features.iter().collect();
        if distinct.len() != self.features.len() {
            return Err(ModelError::Feature);
        }
        if self.coefficients.iter().chain([&self.intercept]).all(|c| c.is_finite()) { Ok(()) } else { Err(ModelError::NotFinite) }
    }
}
