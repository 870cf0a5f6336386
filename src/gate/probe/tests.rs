use protocol::model::{Feature, FlatNetwork, FlatTrees, LEAF, LinearModel, Link, NetworkModel, TreesModel};

use super::*;

fn model(coefficient: f64) -> Model {
    named("score", coefficient)
}

fn named(name: &str, coefficient: f64) -> Model {
    let features = vec![Feature { column: "a".into(), level: None }, Feature { column: "b".into(), level: Some(1) }];
    Model::Linear(LinearModel::new(name.into(), Link::Logit, features, vec![coefficient, -0.5], 2.0))
}

fn run(drawn: Picked, unit: u64, outcome: Result<Vec<Model>, String>) -> ProbeRun {
    let unit = Measured { unit, rows: 1, mean_permille: 1000, largest_permille: 2000 };
    let seal = |models| RawOutput::seal(Vec::new(), models, Vec::new(), BTreeSet::new(), 99);
    ProbeRun { drawn, unit, outcome: outcome.map(seal) }
}

/// 30 units at random and two extreme ones of 1,000, none of which moves anything much.
fn probe() -> Probe {
    let runs = (0..32u64).map(|i| {
        let drawn = if i < 30 { Picked::Random } else { Picked::Extreme };
        run(drawn, 31 * i + 7, Ok(vec![model(1.0 + (i as f64 - 15.0) * 1e-4)]))
    });
    Probe { units: 1000, drawn: 30, extreme: 2, baseline: Baseline::Same, runs: runs.collect(), cut: None }
}

fn seen(probe: &Probe) -> ProbeEvidence {
    evidence(probe, (&model(1.0), &["a".to_owned(), "b=young".to_owned()]), 0, 3)
}

fn causes(probe: &Probe) -> Vec<String> {
    seen(probe).findings.into_iter().map(|f| f.cause).collect()
}

#[test]
fn an_honest_probe_says_what_it_is_and_finds_nothing() {
    let told = seen(&probe());
    assert_eq!(told.findings, []);
    assert_eq!((told.random, told.extreme, told.wanted, told.detection_probability.as_str()), (30, 2, 32, "0.0300"));
    for text in ["1000 units", "30 units drawn at random", "2 extreme", "0.0300"] {
        assert!(told.about_en.contains(text), "{}", told.about_en);
    }
    for text in ["1000", "30", "0.0300", "极端单元另计"] {
        assert!(told.about_zh.contains(text), "{}", told.about_zh);
    }
    assert_eq!(told.parameters.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a", "b=young", "(intercept)"]);
    assert!(told.influences.is_sorted_by(|a, b| a.influence.parse::<f64>().unwrap() >= b.influence.parse::<f64>().unwrap()));
    // The order of runs, which is the engine's order of units, shows nowhere.
    let mut turned = probe();
    turned.runs.reverse();
    assert_eq!(seen(&turned), told);
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("\"unit\""), "no place of a unit: {text}");
    assert!(canonical(&told).is_ok());
}

#[test]
fn what_a_unit_moves_is_a_finding_with_value_threshold_and_both_languages() {
    let mut hidden = probe();
    hidden.runs[4] = run(Picked::Random, 3, Ok(vec![model(1.37)]));
    let told = seen(&hidden);
    let [finding] = &told.findings[..] else { panic!("{told:?}") };
    assert_eq!((finding.rule.as_str(), finding.cause.as_str()), ("model.influence", "outlier"));
    assert!(finding.value.contains(&told.above) && finding.threshold.contains("2.5") && !finding.clauses.is_empty());
    assert!(finding.zh.contains("参数") && finding.en.contains("parameters"));
    assert_eq!(told.parameters[0].largest_steps, "37.00", "{:?}", told.parameters);
}

#[test]
fn what_did_not_run_is_told_and_never_left_out() {
    let mut reshaped = probe();
    reshaped.runs[0] = run(Picked::Random, 1, Ok(vec![named("other", 1.0)]));
    reshaped.runs[1] = run(Picked::Random, 2, Ok(Vec::new()));
    assert_eq!(causes(&reshaped), ["reshaped"]);
    assert_eq!(seen(&reshaped).reshaped, 2);

    let mut failed = probe();
    failed.runs[2] = run(Picked::Random, 1, Err("guest: the module trapped".into()));
    let told = seen(&failed);
    assert_eq!((causes(&failed), told.failed, told.failures.len()), (vec!["failed".to_owned()], 1, 1));

    for baseline in [Baseline::Differs, Baseline::Failed("the worker closed the conversation".into())] {
        assert_eq!(causes(&Probe { baseline, ..probe() }), ["not_repeatable"]);
    }

    // A cut leaves a smaller chance, and says so.
    let mut cut = probe();
    cut.runs.truncate(5);
    cut.cut = Some("the time of a probe, 600 s, was used up".into());
    let told = seen(&cut);
    assert_eq!((told.random, told.wanted, told.detection_probability.as_str(), told.cut.is_some()), (5, 32, "0.0050", true));
    assert_eq!(causes(&cut), ["not_judged"]);
    // The check that an operator sees is the same for all of them.
    assert_eq!(check(&cut), check(&probe()));
    assert_eq!(check(&failed), check(&probe()));
}

#[test]
fn every_parameter_has_a_name_of_the_artefact() {
    let column = |name: &str, level| Feature { column: name.into(), level };
    let features = vec![column("x", None), column("grade", Some(2))];
    let flat = FlatTrees {
        roots: vec![0],
        feature: vec![0, LEAF, 1, LEAF, LEAF],
        threshold: vec![1.5, 0.0, 0.0, 0.0, 0.0],
        left: vec![1, 0, 3, 0, 0],
        right: vec![2, 0, 4, 0, 0],
        value: vec![0.0, -0.5, 0.0, 9.0, 0.25],
    };
    let trees = Model::Trees(TreesModel::new("forest".into(), Link::Logit, features, 0.0, &flat).unwrap());
    let flat = FlatNetwork { widths: vec![2], activations: vec![2], weights: vec![1.0, 2.0, 3.0, 4.0], biases: vec![0.0, 1.0] };
    let inputs = vec![column("x", None), column("y", None)];
    let network = Model::Network(NetworkModel::new("net".into(), Link::Identity, inputs, &flat).unwrap());
    let linear = ["a".to_owned(), "b=young".to_owned()];
    for model in [&trees, &network, &model(1.0)] {
        let names = names(model, &linear);
        assert_eq!(names.len(), model.parameters().len(), "{names:?}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
    assert_eq!(names(&trees, &[]), ["tree 0, node 0", "tree 0, node 1", "tree 0, node 3", "tree 0, node 4", "(base)"]);
    let named = names(&network, &[]);
    assert_eq!(
        (named[1].as_str(), named[3].as_str(), named[4].as_str()),
        ("layer 0, output 0, input 1", "layer 0, output 1, input 1", "layer 0, output 0, bias")
    );
    let shown = br#"{"form":"linear","name":"s","link":"logit","intercept":"1","terms":[{"feature":"b=young","coefficient":"2"}],"significant_digits":3,"tensors":""}"#;
    assert_eq!(super::features(shown).unwrap(), ["b=young"]);
}
