use protocol::model::{Feature, LinearModel, Link};

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

fn causes(probe: &Probe) -> Vec<String> {
    evidence(probe, &model(1.0), 0, 3).findings.into_iter().map(|f| f.cause).collect()
}

#[test]
fn an_honest_probe_says_what_it_is_and_finds_nothing() {
    let told = evidence(&probe(), &model(1.0), 0, 3);
    assert_eq!(told.findings, []);
    assert_eq!((told.random, told.extreme, told.wanted, told.detection_probability.as_str()), (30, 2, 32, "0.0300"));
    for text in ["1000 units", "30 units drawn at random", "2 extreme", "0.0300"] {
        assert!(told.about_en.contains(text), "{}", told.about_en);
    }
    for text in ["1000", "30", "0.0300", "极端单元另计"] {
        assert!(told.about_zh.contains(text), "{}", told.about_zh);
    }
    assert_eq!(told.parameters.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a", "b [1]", "(intercept)"]);
    assert!(told.influences.is_sorted_by(|a, b| a.influence.parse::<f64>().unwrap() >= b.influence.parse::<f64>().unwrap()));
    // The order of runs, which is the engine's order of units, shows nowhere.
    let mut turned = probe();
    turned.runs.reverse();
    assert_eq!(evidence(&turned, &model(1.0), 0, 3), told);
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("\"unit\""), "no place of a unit: {text}");
    assert!(canonical(&told).is_ok());
}

#[test]
fn what_a_unit_moves_is_a_finding_with_value_threshold_and_both_languages() {
    let mut hidden = probe();
    hidden.runs[4] = run(Picked::Random, 3, Ok(vec![model(1.37)]));
    let told = evidence(&hidden, &model(1.0), 0, 3);
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
    assert_eq!(evidence(&reshaped, &model(1.0), 0, 3).reshaped, 2);

    let mut failed = probe();
    failed.runs[2] = run(Picked::Random, 1, Err("guest: the module trapped".into()));
    let told = evidence(&failed, &model(1.0), 0, 3);
    assert_eq!((causes(&failed), told.failed, told.failures.len()), (vec!["failed".to_owned()], 1, 1));

    for baseline in [Baseline::Differs, Baseline::Failed("the worker closed the conversation".into())] {
        assert_eq!(causes(&Probe { baseline, ..probe() }), ["not_repeatable"]);
    }

    // A cut leaves a smaller chance, and says so.
    let mut cut = probe();
    cut.runs.truncate(5);
    cut.cut = Some("the time of a probe, 600 s, was used up".into());
    let told = evidence(&cut, &model(1.0), 0, 3);
    assert_eq!((told.random, told.wanted, told.detection_probability.as_str(), told.cut.is_some()), (5, 32, "0.0050", true));
    assert_eq!(causes(&cut), ["not_judged"]);
    // The check that an operator sees is the same for all of them.
    assert_eq!(check(&cut), check(&probe()));
    assert_eq!(check(&failed), check(&probe()));
}
