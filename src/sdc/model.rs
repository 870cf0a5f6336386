//! A linear model: bounded in what it can carry, and rounded. It is held for review in any case.

use protocol::model::{LinearModel, Link};
use serde::{Deserialize, Serialize};

use super::exact;
use super::table::NotReleased;
use crate::policy::ActivePolicy;
use crate::refusal::{self, Refused};

/// A model that a checker may look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecidedModel {
    /// Its name.
    pub name: String,
    /// What the linear score means.
    #[schema(value_type = String)]
    pub link: Link,
    /// Intercept, rounded.
    pub intercept: String,
    /// One a coefficient, in the module's order.
    pub terms: Vec<ModelTerm>,
    /// Significant decimal digits of each number.
    pub significant_digits: u8,
}

/// One coefficient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelTerm {
    /// A column, or `column=label`.
    pub feature: String,
    /// Its coefficient, rounded.
    pub coefficient: String,
}

/// Decides a model under a policy. `units` are the privacy units of the view it was made on, as fusing counted them.
///
/// # Errors
/// `policy.door`, `model.invalid`, `model.capacity`; by data `model.units`.
pub fn decide_model(model: &LinearModel, policy: &ActivePolicy, units: u64) -> Result<DecidedModel, NotReleased> {
    let rules = policy.rules().model;
    if !policy.rules().doors.artefact {
        return Err(Refused::new(&refusal::POLICY_DOOR).subject("artefact").into());
    }
    if model.coefficients.len() as u64 > rules.coefficients_max.into() {
        return Err(Refused::new(&refusal::MODEL_CAPACITY).threshold(format!("{} coefficients", rules.coefficients_max)).into());
    }
    let invalid = || NotReleased::from(Refused::new(&refusal::MODEL_INVALID));
    model.validate().map_err(|_| invalid())?;
    if units < rules.units_min {
        let refused = Refused::new(&refusal::MODEL_UNITS).threshold(format!("{} units", rules.units_min));
        return Err(NotReleased::RefusedByData { refused });
    }
    let rounded = |value: f64| exact::significant(value, rules.significant_digits).ok_or_else(invalid);
    let terms = model.features.iter().zip(&model.coefficients);
    Ok(DecidedModel {
        name: model.name.clone(),
        link: model.link,
        intercept: rounded(model.intercept)?,
        terms: terms
            .map(|(feature, value)| Ok(ModelTerm { feature: feature.clone(), coefficient: rounded(*value)? }))
            .collect::<Result<_, NotReleased>>()?,
        significant_digits: rules.significant_digits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ReleasePolicy;

    #[test]
    fn a_model_is_bounded_and_rounded() {
        let standard = ReleasePolicy::parse(include_str!("../../policies/release/standard.toml")).unwrap();
        let policy = ActivePolicy::for_tests(standard.clone());
        let model = |n: usize| LinearModel {
            name: "score".into(),
            link: Link::Logit,
            features: (0..n).map(|i| format!("f{i}")).collect(),
            coefficients: (0..n).map(|i| i as f64 + 1.0 / 3.0).collect(),
            intercept: -2.71628,
        };
        let decided = decide_model(&model(2), &policy, 500).unwrap();
        assert_eq!(decided.intercept, "-2.72");
        assert_eq!(decided.terms.iter().map(|t| t.coefficient.as_str()).collect::<Vec<_>>(), ["0.333", "1.33"]);
        let told = |model: &LinearModel, policy: &ActivePolicy, units| match decide_model(model, policy, units).unwrap_err() {
            NotReleased::Refused { refused } => (refused.rule().id, false),
            NotReleased::RefusedByData { refused } => (refused.rule().id, true),
            NotReleased::Malformed(what) => panic!("{what}"),
        };
        assert!(decide_model(&model(32), &policy, 500).is_ok());
        assert_eq!(told(&model(33), &policy, 500), ("model.capacity", false));
        assert_eq!(told(&model(5000), &policy, 500), ("model.capacity", false));
        assert_eq!(told(&model(2), &policy, 499), ("model.units", true));
        let mut nan = model(2);
        nan.coefficients[1] = f64::NAN;
        assert_eq!(told(&nan, &policy, 500), ("model.invalid", false));
        let mut closed = standard;
        closed.doors.artefact = false;
        assert_eq!(told(&model(2), &ActivePolicy::for_tests(closed), 500), ("policy.door", false));
    }
}
