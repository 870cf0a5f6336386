//! What is built in, through HTTP: answers within their noise, certificates, budgets, refusals.

use serde_json::{Value, json};

use crate::world::{People, World, number, people};

fn fold(map: Value, mechanism: &str, epsilon: &str) -> Value {
    json!({ "map": map, "mechanism": mechanism, "epsilon": epsilon })
}

/// Within eight standard deviations of what is true.
#[track_caller]
fn near(found: f64, truth: f64, deviation: f64) {
    assert!((found - truth).abs() <= 8.0 * deviation, "{found} is not {truth} ± {deviation}");
}

fn mean(people: &People) -> f64 {
    people.iter().map(|(_, v)| *v as f64).sum::<f64>() / people.len() as f64
}

#[test]
fn answers_lie_within_their_noise_and_every_spend_is_told() {
    let world = World::start("100");
    let everyone = people(600);
    world.cohort("x", &everyone, "60");
    let folds = [
        ("count", fold(json!({ "count": {} }), "laplace", "2")),
        ("sum", fold(json!({ "sum": { "column": "value" } }), "laplace", "2")),
        ("mean", fold(json!({ "mean": { "column": "value" } }), "gaussian", "8")),
        ("histogram", fold(json!({ "histogram": { "column": "grp" } }), "laplace", "2")),
        ("bins", fold(json!({ "histogram": { "column": "value", "cuts": ["25", "50", "75"] } }), "gaussian", "8")),
        ("quantile", fold(json!({ "quantile": { "column": "value", "permille": [250, 500, 750], "bins": 50 } }), "laplace", "4")),
    ];
    let jobs: Vec<String> = folds.iter().map(|(_, fold)| world.submit("x", fold, None)).collect();
    let releases: Vec<Value> = jobs.iter().map(|job| world.release(job)).collect();
    let answer = |i: usize| &releases[i]["artefact"]["answer"];
    let certificate = |i: usize| &releases[i]["artefact"]["certificate"];
    near(number(&answer(0)["number"]["value"]), 600.0, 0.71);
    let total: u64 = everyone.iter().map(|(_, v)| v).sum();
    near(number(&answer(1)["number"]["value"]), total as f64, number(&certificate(1)["noise_standard_deviation"]));
    near(number(&answer(2)["mean"]["mean"]["value"]), mean(&everyone), 0.5);
    near(number(&answer(2)["mean"]["count"]["value"]), 600.0, 10.0);
    for (i, label) in ["a", "b", "c"].iter().enumerate() {
        let told = &answer(3)["list"][i];
        assert_eq!(told["name"], *label);
        near(number(&told["value"]), 200.0, 0.71);
    }
    assert_eq!(answer(4)["list"][0]["name"], "below 25");
    let below = everyone.iter().filter(|(_, v)| *v < 25).count();
    near(number(&answer(4)["list"][0]["value"]), below as f64, 1.5);
    near(number(&answer(5)["list"][1]["value"]), 50.0, 1.5);
    // What each rests on and cost stands beside it.
    assert_eq!((&certificate(0)["epsilon"], &certificate(0)["delta_exponent"]), (&json!("2"), &Value::Null));
    assert_eq!(certificate(2)["delta_exponent"], 6);
    for i in 0..folds.len() {
        let c = certificate(i);
        assert_eq!((&c["unit"], &c["rounds"], &c["rows_per_unit_max"]), (&json!("member"), &json!(1), &json!(1)));
        assert!(c["randomness"].as_str().unwrap().contains("OpenDP"), "{c}");
        assert!(number(&c["rho"]) > 0.0 && number(&c["noise_standard_deviation"]) > 0.0, "{c}");
        assert!(c["rests_on"].as_array().unwrap().iter().all(|r| !r.as_str().unwrap().contains("wasmtime")));
    }
    let budget = world.budget();
    assert_eq!(budget["spent"]["folds"], 6, "{budget}");
    assert_eq!(budget["spent"]["released"], 6, "{budget}");
}

#[test]
fn what_does_not_fit_is_refused_by_name_before_anything_is_spent() {
    let world = World::start("5");
    world.cohort("x", &people(30), "3");
    let refused = |fold: Value, rule: &str, subject: &str| {
        let error = world.operator.post("/v1/jobs", &world.job("x", &fold, None)).refused(rule);
        assert!(error["subject"].as_str().unwrap_or_default().contains(subject) || subject.is_empty(), "{error}");
    };
    let count = json!({ "count": {} });
    refused(fold(count.clone(), "laplace", "4"), "privacy.budget", "");
    refused(fold(count.clone(), "laplace", "1000.5"), "privacy.invalid", "epsilon");
    refused(fold(count.clone(), "laplace", "-1"), "privacy.invalid", "epsilon");
    refused(fold(count.clone(), "laplace", "0"), "privacy.invalid", "epsilon");
    refused(fold(json!({ "sum": { "column": "grp" } }), "laplace", "1"), "privacy.invalid", "grp");
    refused(fold(json!({ "sum": { "column": "nobody" } }), "laplace", "1"), "privacy.invalid", "nobody");
    refused(fold(json!({ "sum": { "column": "value", "max": "101" } }), "laplace", "1"), "privacy.invalid", "bounds");
    refused(
        json!({ "map": count, "mechanism": "laplace", "epsilon": "1", "blocks": { "shared": { "count": 5 } } }),
        "privacy.invalid",
        "blocks",
    );
    refused(json!({ "map": count, "mechanism": "laplace", "epsilon": "1", "rounds": 2 }), "privacy.invalid", "rounds");
    refused(
        json!({ "map": count, "mechanism": "laplace", "epsilon": "1", "rows_per_unit_max": 0 }),
        "privacy.invalid",
        "rows_per_unit_max",
    );
    let module = json!({ "module": { "clip": { "norm": "l1", "bound": "1", "scale": 0 }, "fuel": 1000 } });
    refused(fold(module, "laplace", "1"), "privacy.invalid", "module");
    assert_eq!(world.budget()["spent"]["folds"], 0);
    // A namespace without a budget, and an agreement that is used up.
    world.set_budget("1").good();
    refused(fold(count.clone(), "laplace", "2"), "privacy.budget", "");
    world.run("x", &fold(count.clone(), "laplace", "0.2"), None);
    refused(fold(count, "laplace", "0.9"), "privacy.budget", "");
}

#[test]
fn the_command_line_tells_what_an_answer_will_be_worth_then_spends_and_shows_it() {
    let world = World::start("100");
    world.cohort("x", &people(200), "60");
    let token = world.server.dir.path().join("operator.token");
    std::fs::write(&token, &world.operator.token).unwrap();
    let run = |arguments: &[&str]| {
        let common = ["--server", &world.server.url, "--token-file", token.to_str().unwrap(), "private"];
        let papers = ["--plan", "plan-x", "--agreement", "agr-x", "--purpose", "research"];
        crate::support::fusebox(&[&common[..], arguments, &papers].concat())
    };
    let (out, err, code) = run(&["preview", "--half-width", "1", "mean", "value", "--epsilon", "8"]);
    assert!(code == 0 && out.contains("epsilon for the target") && out.contains("covered by every budget: true"), "{out}{err}");
    let (out, err, code) = run(&["mean", "value", "--epsilon", "8"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("root mean square error") && out.contains("\"mean\"") && out.contains("noise: 95% within"), "{out}{err}");
    let (out, err, code) = run(&["count", "--epsilon", "90"]);
    assert!(code != 0 && err.contains("privacy.budget"), "{out}{err}");
}
