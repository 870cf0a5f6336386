//! Typed models that a module may hand in. They are always held for review.
//!
//! | module | what it is |
//! |---|---|
//! | `feature` | what a model reads: a column, or one level of a category |
//! | `linear` | linear and logistic models |
//! | `trees` | ensembles of decision trees |
//! | `network` | small dense networks |
//! | `evidence` | what the engine found when it put the view's rows through a model |
//!
//! Every form is closed: what it may hold is numbers, indexes and words of a list, so that no text of a module crosses. Names are the
//! manifest's, features the view's. What is read here has one spelling a model: a tree's nodes stand in preorder, a zero has no sign.

mod evidence;
mod feature;
mod linear;
mod network;
mod trees;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::limits::{LimitExceeded, Limits};
use crate::plan::ViewType;
use crate::schema::is_name;

pub use evidence::{Group, ModelEvidence};
pub use feature::Feature;
pub use linear::LinearModel;
pub use network::{Activation, FlatNetwork, Layer, NetworkModel};
pub use trees::{FlatTrees, LEAF, LEVEL_THRESHOLD, Node, TreesModel, right_children};

/// A model of one of the closed forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// Linear or logistic.
    Linear(LinearModel),
    /// An ensemble of decision trees.
    Trees(TreesModel),
    /// A small dense network.
    Network(NetworkModel),
}

/// What a model's score means.
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
    /// The model's name is not a name of the manifest's list, or is there twice.
    #[error("the model's name is not one of the manifest's `models`, or is there twice")]
    Name,
    /// Parts that do not fit each other.
    #[error("the parts of a model do not fit each other, or there is none")]
    Shape,
    /// A node that is reached twice or never.
    #[error("the nodes of a tree are not each reached once")]
    Tree,
    /// NaN or infinite.
    #[error("a parameter is not a finite number")]
    NotFinite,
    /// A feature that names no granted or derived column, or no level of it.
    #[error("a feature names no granted column or no level of it")]
    Feature,
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl Model {
    /// Its name, unique in the job.
    pub fn name(&self) -> &str {
        match self {
            Self::Linear(model) => &model.name,
            Self::Trees(model) => &model.name,
            Self::Network(model) => &model.name,
        }
    }

    /// What its score means.
    pub fn link(&self) -> Link {
        match self {
            Self::Linear(model) => model.link,
            Self::Trees(model) => model.link,
            Self::Network(model) => model.link,
        }
    }

    /// What it reads.
    pub fn features(&self) -> &[Feature] {
        match self {
            Self::Linear(model) => &model.features,
            Self::Trees(model) => &model.features,
            Self::Network(model) => &model.features,
        }
    }

    /// Hands every real-valued parameter to `change`, in a fixed order: coefficients, then the intercept; tree by tree thresholds and leaf
    /// values in preorder, then the base; layer by layer weights, then biases. The threshold of a level is none: it is always
    /// [`LEVEL_THRESHOLD`].
    pub fn for_each_parameter(&mut self, change: &mut impl FnMut(&mut f64)) {
        match self {
            Self::Linear(model) => {
                model.coefficients.iter_mut().for_each(&mut *change);
                change(&mut model.intercept);
            }
            Self::Trees(model) => model.for_each_parameter(change),
            Self::Network(model) => {
                model.layers.iter_mut().flat_map(|l| l.weights.iter_mut().chain(&mut l.biases)).for_each(change);
            }
        }
    }

    /// Its real-valued parameters, in that order.
    pub fn parameters(&self) -> Vec<f64> {
        let mut all = Vec::new();
        self.clone().for_each_parameter(&mut |value| all.push(*value));
        all
    }

    /// Whether the two differ in nothing but the values of their parameters.
    pub fn same_form(&self, other: &Self) -> bool {
        let [mut a, mut b] = [self.clone(), other.clone()];
        a.for_each_parameter(&mut |value| *value = 0.0);
        b.for_each_parameter(&mut |value| *value = 0.0);
        a == b
    }

    /// Checks all that does not need the view.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), ModelError> {
        if !is_name(self.name()) {
            return Err(ModelError::Name);
        }
        feature::validate(self.features())?;
        let parameters = self.parameters();
        let most = Limits::STANDARD.model_coefficients_max.into();
        // The intercept beside as many coefficients as there may be.
        LimitExceeded::check("model_coefficients_max", most, 0, (parameters.len() as u64).saturating_sub(1))?;
        match self {
            Self::Linear(model) => model.validate()?,
            Self::Trees(model) => model.validate()?,
            Self::Network(model) => model.validate()?,
        }
        if parameters.iter().all(|p| p.is_finite() && (*p != 0.0 || p.is_sign_positive())) { Ok(()) } else { Err(ModelError::NotFinite) }
    }

    /// Checks that every feature is a column that a model can read: `column` tells a column's type by its name.
    ///
    /// # Errors
    /// [`ModelError::Feature`].
    pub fn validate_features(&self, column: impl Fn(&str) -> Option<ViewType>) -> Result<(), ModelError> {
        let fits = |f: &Feature| column(&f.column).is_some_and(|ty| f.fits(&ty));
        if self.features().iter().all(fits) { Ok(()) } else { Err(ModelError::Feature) }
    }
}

/// Zero has one spelling, so that its sign carries nothing.
pub(crate) fn plain(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}
