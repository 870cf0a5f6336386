use proptest::prelude::*;
use protocol::model::{Feature, FlatNetwork, FlatTrees, Group, LEAF, LinearModel, Link, Model, ModelEvidence, NetworkModel, TreesModel};

use super::*;
use crate::policy::ReleasePolicy;

const STANDARD: &str = include_str!("../../../policies/release/standard.toml");

pub(super) fn policy(change: impl FnOnce(&mut ReleasePolicy)) -> ActivePolicy {
    let mut policy = ReleasePolicy::parse(STANDARD).unwrap();
    change(&mut policy);
    ActivePolicy::for_tests(policy)
}

fn number(name: &str) -> Feature {
    Feature { column: name.to_owned(), level: None }
}

pub(super) fn linear(coefficients: Vec<f64>, intercept: f64) -> Model {
    let features = (0..coefficients.len()).map(|i| number(&format!("f{i}"))).collect();
    Model::Linear(LinearModel::new("score".into(), Link::Logit, features, coefficients, intercept))
}

/// x ≤ 1.2345 ? −0.5 : (grade is C ? 0.25 : 9.996)
fn trees() -> Model {
    let features = vec![number("x"), Feature { column: "grade".into(), level: Some(2) }];
    let flat = FlatTrees {
        roots: vec![0],
        feature: vec![0, LEAF, 1, LEAF, LEAF],
        threshold: vec![1.2345, 0.0, 0.0, 0.0, 0.0],
        left: vec![1, 0, 3, 0, 0],
        right: vec![2, 0, 4, 0, 0],
        value: vec![0.0, -0.5, 0.0, 9.996, 0.25],
    };
    Model::Trees(TreesModel::new("forest".into(), Link::Logit, features, 1e-12, &flat).unwrap())
}

fn network() -> Model {
    let flat = FlatNetwork {
        widths: vec![2, 1],
        activations: vec![2, 3],
        weights: vec![1.0, 2.0, 3.0, 4.0, 0.123_456, -5.0],
        biases: vec![0.0, 1.0, -1.0],
    };
    Model::Network(NetworkModel::new("net".into(), Link::Identity, vec![number("x"), number("y")], &flat).unwrap())
}

/// Evidence in which `units` stand behind every leaf and level.
pub(super) fn evidence(model: &Model, units: u64) -> ModelEvidence {
    let group = Group { units: units + 1, units_counting: units };
    let leaves = |tree: &Vec<protocol::model::Node>| tree.iter().filter(|n| matches!(n, protocol::model::Node::Leaf { .. })).count();
    let trees = if let Model::Trees(model) = model { model.trees.as_slice() } else { &[] };
    ModelEvidence {
        labels: model.features().iter().map(|f| f.level.map(|_| "C".to_owned())).collect(),
        levels: model.features().iter().map(|f| f.level.map(|_| group)).collect(),
        leaves: trees.iter().map(|tree| vec![group; leaves(tree)]).collect(),
        features_possible: 64.max(model.features().len() as u64),
    }
}

fn decide(model: &Model, policy: &ActivePolicy, units: u64) -> Result<(DecidedModel, ModelReport), NotReleased> {
    decide_model(model, Some(&evidence(model, 10)), policy, units)
}

/// The rule, its threshold, and whether it depends on the data.
pub(super) fn refused(decided: Result<(DecidedModel, ModelReport), NotReleased>) -> (&'static str, String, bool) {
    let told = |refused: Refused, by_data| (refused.rule().id, refused.threshold_text().unwrap_or_default().to_owned(), by_data);
    match decided.unwrap_err() {
        NotReleased::Refused { refused } => told(refused, false),
        NotReleased::RefusedByData { refused } => told(refused, true),
        NotReleased::Malformed(what) => ("malformed", what.to_owned(), false),
    }
}

#[test]
fn a_linear_model_is_bounded_and_rounded() {
    let standard = policy(|_| {});
    let model = |n: usize| linear((0..n).map(|i| i as f64 + 1.0 / 3.0).collect(), -2.71628);
    let (decided, report) = decide(&model(2), &standard, 500).unwrap();
    let DecidedModel::Linear(shown) = decided else { panic!() };
    assert_eq!((shown.intercept.as_str(), shown.significant_digits), ("-2.72", 3));
    assert_eq!(shown.terms.iter().map(|t| t.coefficient.as_str()).collect::<Vec<_>>(), ["0.333", "1.33"]);
    assert_eq!((report.parameters, report.units_per_parameter, report.degrees_of_freedom), (3, 166, 497));
    assert_eq!((report.smallest_leaf, report.levels), (None, Vec::new()));
    // log2(1 + 2 · 900 · 19) = 15.0617…; 3 of them are 45.2. 3 forms and 3 links, how many features, which of 64 twice: 27.2.
    let c = report.capacity;
    assert_eq!((c.millibits_per_parameter, c.parameter_bits, c.structure_bits, c.bits, c.bits_max), (15_062, 46, 28, 73, 1024));
    let id = |model: &Model, policy: &ActivePolicy, units| refused(decide(model, policy, units));
    assert!(decide(&model(32), &standard, 1650).is_ok());
    assert_eq!(id(&model(33), &standard, 100_000), ("model.capacity", "32 coefficients".into(), false));
    assert_eq!(id(&model(2), &standard, 499), ("model.units", "500 units".into(), true));
    assert_eq!(id(&model(32), &standard, 1649), ("model.ratio", "50 units a parameter".into(), true));
    assert_eq!(id(&linear(vec![1.0, f64::NAN], 0.0), &standard, 500), ("model.invalid", String::new(), false));
    assert_eq!(id(&linear(vec![1.0, 9.996e9], 0.0), &standard, 500), ("model.range", "below 10^10".into(), false));
    assert_eq!(id(&model(2), &policy(|p| p.doors.artefact = false), 500), ("policy.door", String::new(), false));
    // Two parameters too many for the bits, and a shape that is too much although its numbers are not.
    assert_eq!(id(&model(2), &policy(|p| p.model.bits_max = 45), 500), ("model.capacity", "45 bits".into(), false));
    assert_eq!(id(&model(2), &policy(|p| p.model.bits_max = 72), 500), ("model.capacity", "72 bits".into(), true));
    assert!(decide(&model(2), &policy(|p| p.model.bits_max = 73), 500).is_ok());
}

#[test]
fn trees_are_shown_with_the_views_names_and_each_leaf_and_level_has_its_units() {
    let standard = policy(|_| {});
    let (decided, report) = decide(&trees(), &standard, 500).unwrap();
    let DecidedModel::Trees(shown) = &decided else { panic!() };
    assert_eq!((shown.features.join(","), shown.base.as_str()), ("x,grade=C".to_owned(), "0"));
    let text = serde_json::to_value(&shown.trees).unwrap();
    let expected = serde_json::json!([[
        { "feature": 0, "threshold": "1.23", "left": 1, "right": 2 },
        { "value": "-0.500" },
        { "feature": 1, "threshold": "0.500", "left": 3, "right": 4 },
        { "value": "10.0" },
        { "value": "0.250" }
    ]]);
    assert_eq!(text, expected);
    // One threshold, three leaves, the base: the threshold of a level is no choice.
    assert_eq!((report.parameters, report.smallest_leaf, report.leaves.clone()), (5, Some(10), vec![vec![10, 10, 10]]));
    assert_eq!(report.levels, [LevelReport { feature: "grade=C".into(), units: 10 }]);
    let back: DecidedModel = serde_json::from_value(serde_json::to_value(&decided).unwrap()).unwrap();
    assert_eq!(back, decided);
    let with = |change: &dyn Fn(&mut ModelEvidence)| {
        let mut evidence = evidence(&trees(), 10);
        change(&mut evidence);
        refused(decide_model(&trees(), Some(&evidence), &standard, 500))
    };
    let group = ("model.group", "10 units".to_owned(), true);
    for leaf in 0..3 {
        // Units without a row of somebody else's do not count.
        assert_eq!(with(&|e| e.leaves[0][leaf] = Group { units: 1000, units_counting: 9 }), group);
        assert_eq!(with(&|e| e.leaves[0][leaf] = Group::default()), group, "a leaf that nobody reaches says what the module likes");
    }
    assert_eq!(with(&|e| e.levels[1] = Some(Group { units: 9, units_counting: 9 })), group);
    assert_eq!(with(&|e| e.leaves[0].truncate(2)).0, "malformed");
    assert_eq!(refused(decide_model(&trees(), None, &standard, 500)).0, "malformed");
}

#[test]
fn a_network_is_shown_layer_by_layer() {
    let (decided, report) = decide(&network(), &policy(|_| {}), 500).unwrap();
    let DecidedModel::Network(shown) = decided else { panic!() };
    let layers = serde_json::to_value(&shown.layers).unwrap();
    let expected = serde_json::json!([
        { "activation": "tanh", "weights": [["1.00", "2.00"], ["3.00", "4.00"]], "biases": ["0", "1.00"] },
        { "activation": "sigmoid", "weights": [["0.123", "-5.00"]], "biases": ["-1.00"] }
    ]);
    assert_eq!(layers, expected);
    assert_eq!((report.parameters, report.leaves.len()), (9, 0));
    assert_eq!(refused(decide(&network(), &policy(|p| p.model.units_min = 3), 449)), ("model.ratio", "50 units a parameter".into(), true));
}

/// The numbers of the tensors are those of the decimals, and the same model gives the same bytes.
#[test]
fn tensors_hold_what_is_shown() {
    use base64::Engine;
    let open = |model: &Model| {
        let (decided, _) = decide(model, &policy(|_| {}), 500).unwrap();
        let tensors = match &decided {
            DecidedModel::Linear(m) => &m.tensors,
            DecidedModel::Trees(m) => &m.tensors,
            DecidedModel::Network(m) => &m.tensors,
        };
        (decided.clone(), base64::engine::general_purpose::STANDARD.decode(tensors).unwrap())
    };
    let floats = |bytes: &[u8], name: &str| {
        let all = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let tensor = all.tensor(name).unwrap();
        let values: Vec<f64> = tensor.data().chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
        (tensor.shape().to_vec(), values)
    };
    let integers = |bytes: &[u8], name: &str| {
        let all = safetensors::SafeTensors::deserialize(bytes).unwrap();
        all.tensor(name).unwrap().data().chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<i32>>()
    };
    let (_, bytes) = open(&linear(vec![1.0 / 3.0, -2.0], 0.1));
    assert_eq!(floats(&bytes, "coefficients"), (vec![2], vec![0.333, -2.0]));
    assert_eq!(floats(&bytes, "intercept"), (vec![1], vec![0.1]));
    let (_, bytes) = open(&trees());
    assert_eq!((integers(&bytes, "roots"), integers(&bytes, "feature")), (vec![0], vec![0, -1, 1, -1, -1]));
    assert_eq!((integers(&bytes, "left"), integers(&bytes, "right")), (vec![1, -1, 3, -1, -1], vec![2, -1, 4, -1, -1]));
    assert_eq!(floats(&bytes, "value").1, [0.0, -0.5, 0.0, 10.0, 0.25]);
    assert_eq!(floats(&bytes, "threshold").1, [1.23, 0.0, 0.5, 0.0, 0.0]);
    let (_, bytes) = open(&network());
    assert_eq!(floats(&bytes, "0.weights"), (vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(floats(&bytes, "1.weights"), (vec![1, 2], vec![0.123, -5.0]));
    for model in [linear(vec![1.0], 0.0), trees(), network()] {
        assert_eq!(open(&model).1, open(&model).1);
    }
}

#[test]
fn the_number_of_numbers_is_counted_by_counting() {
    // Every decimal of one digit within the magnitudes, each once.
    let mut all = std::collections::BTreeSet::new();
    for exponent in -12..=12i32 {
        for tenth in 0..100i32 {
            for sign in [1.0, -1.0] {
                all.extend(rounded::text(sign * f64::from(tenth) / 10.0 * 10f64.powi(exponent), 1));
            }
        }
    }
    assert_eq!(all.len() as u64, rounded::possible(1));
    assert_eq!((rounded::possible(2), rounded::possible(3)), (3421, 34_201));
}

proptest! {
    /// Rounding is the nearest decimal of so many digits, and rounding again changes nothing.
    #[test]
    fn rounding_is_near_and_final(value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, digits in 1..=9u8) {
        let Some(text) = rounded::text(value, digits) else {
            prop_assert!(value.abs() >= 9.5e9);
            return Ok(());
        };
        let near: f64 = text.parse().unwrap();
        prop_assert_eq!(rounded::text(near, digits), Some(text.clone()));
        if near == 0.0 {
            prop_assert!(text == "0" && value.abs() < 1e-9);
        } else {
            // Half a unit of the last digit, by the exponent of what came of it.
            let exponent = near.abs().log10().floor() as i32;
            prop_assert!((near - value).abs() <= 0.500_001 * 10f64.powi(exponent - i32::from(digits) + 1));
            prop_assert!((1e-9..1e10).contains(&near.abs()));
        }
    }

    /// Magnitudes that parameters have.
    #[test]
    fn rounding_moderate_numbers(mantissa in -1f64..1.0, exponent in -11..=9i32, digits in 1..=9u8) {
        let value = mantissa * 10f64.powi(exponent);
        prop_assume!(value != 0.0);
        let near: f64 = rounded::text(value, digits).unwrap().parse().unwrap();
        let unit = 10f64.powi(value.abs().log10().floor() as i32 - i32::from(digits) + 1);
        prop_assert!((near - value).abs() <= 0.500_001 * unit || (near == 0.0 && value.abs() < 1e-9));
    }

    /// Whatever a module hands in: what is released fits the bits of the policy, and every number its digits.
    #[test]
    fn what_is_released_fits(coefficients in prop::collection::vec(any::<f64>(), 1..40), bits in 1..700u32, digits in 1..=9u8) {
        let active = policy(|p| (p.model.bits_max, p.model.significant_digits, p.model.units_per_parameter_min) = (bits, digits, 1));
        let model = linear(coefficients, 0.0);
        if let Ok((DecidedModel::Linear(shown), report)) = decide(&model, &active, 500) {
            prop_assert!(report.capacity.bits <= u64::from(bits));
            let least = report.parameters as f64 * (rounded::possible(digits) as f64).log2();
            prop_assert!(report.capacity.bits as f64 >= least);
            for term in shown.terms {
                let figures = term.coefficient.trim_start_matches(['-', '0', '.']).replace('.', "");
                prop_assert!(figures.trim_end_matches('0').len() <= usize::from(digits));
            }
        }
    }
}
