//! Trees and networks through real workers to the gate: what is held, what reviewers are told of it, and what is refused.

use std::collections::BTreeMap;

use fusebox::tlog::LeafKind;
use serde_json::{Value, json};

use crate::support::policy;
use crate::world::{FIRMS, Papers, World, firm};

/// As the provider's file has it.
fn kwh(i: u64) -> u64 {
    1000 + i * 37 % 500
}

fn count(of: impl Fn(u64) -> bool) -> u64 {
    (0..FIRMS).filter(|i| of(*i)).count() as u64
}

/// A job's outputs by name, as checkers see them.
fn outputs(world: &World, job: &Value) -> BTreeMap<String, Value> {
    let ids = job["releases"].as_array().unwrap().iter();
    let output = ids.map(|id| world.checker().get(&format!("/v1/releases/{}", id.as_str().unwrap())).good());
    output.map(|output| (output["name"].as_str().unwrap().to_owned(), output)).collect()
}

/// State and rule of each.
fn states(outputs: &BTreeMap<String, Value>) -> Vec<(&str, &str, Option<&str>)> {
    outputs.iter().map(|(name, o)| (name.as_str(), o["state"].as_str().unwrap(), o["refusal"]["rule"].as_str())).collect()
}

#[test]
fn trees_and_networks_are_held_with_evidence_and_what_carries_too_much_is_refused() {
    let world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let module = world.approved("forest");
    let job = world.run(&world.job("main", &module));
    assert_eq!(job["state"], "in_review", "{job}");
    let outputs = outputs(&world, &job);
    assert_eq!(
        states(&outputs),
        [
            ("forest", "held", None),
            ("hoard", "refused", Some("model.capacity")),
            ("narrow", "refused", Some("model.group")),
            ("net", "held", None)
        ]
    );
    assert_eq!(
        (&outputs["hoard"]["refusal"]["threshold"], &outputs["narrow"]["refusal"]["threshold"]),
        (&json!("1024 bits"), &json!("10 units"))
    );

    let copy = |name: &str| {
        let id = outputs[name]["id"].as_str().unwrap();
        world.operator().files(id);
        world.server.reviewer("reviewer-gao").client.get(&format!("/v1/releases/{id}/evidence")).good()
    };
    let forest = copy("forest");
    let shown = &forest["artefact"];
    assert_eq!(
        (&shown["form"], &shown["features"], &shown["base"]),
        (&json!("trees"), &json!(["arrears_days", "kwh", "tax_grade=A"]), &json!("-0.333"))
    );
    // The threshold as it is released decides who reaches a leaf: the median at three digits.
    let mut all: Vec<u64> = (0..FIRMS).map(kwh).collect();
    all.sort_unstable();
    let median = (all[all.len() / 2] + 5) / 10 * 10;
    assert_eq!(shown["trees"][1][0], json!({ "feature": 1, "threshold": median.to_string(), "left": 1, "right": 2 }));
    let (late, best) = (|i: u64| firm(i).1, |i: u64| firm(i).0 == "A");
    let leaves = json!([
        [count(|i| !late(i) && !best(i)), count(|i| !late(i) && best(i)), count(late)],
        [count(|i| kwh(i) <= median), count(|i| kwh(i) > median)]
    ]);
    let evidence = &forest["evidence"];
    assert_eq!((&evidence["leaves"], &evidence["units"]), (&leaves, &json!(FIRMS)), "{evidence}");
    assert_eq!(evidence["levels"], json!([{ "feature": "tax_grade=A", "units": count(best) }]));
    // Two thresholds, five leaves and the base.
    assert_eq!((&evidence["parameters"], &evidence["degrees_of_freedom"]), (&json!(8), &json!(FIRMS - 8)));
    let bits = evidence["capacity"]["bits"].as_u64().unwrap();
    println!("forest: {} bits of {}", bits, evidence["capacity"]["bits_max"]);
    assert!((8 * 15..=1024).contains(&bits));

    let net = copy("net");
    assert_eq!(net["artefact"]["layers"][0]["weights"], json!([["0.0500", "0", "1.00"], ["0", "0.000123", "-1.00"]]));
    assert_eq!(net["artefact"]["layers"][1], json!({ "activation": "sigmoid", "weights": [["0.143", "-2.00"]], "biases": ["0.250"] }));
    assert_eq!(net["evidence"]["parameters"], 11);
    // Nothing about the rows reaches the operator.
    for output in outputs.values() {
        let id = output["id"].as_str().unwrap();
        let seen = world.operator().get(&format!("/v1/releases/{id}"));
        assert!(!String::from_utf8_lossy(&seen.bytes).contains("smallest_leaf"), "{id}");
        assert_ne!(world.operator().get(&format!("/v1/releases/{id}/artefact")).status, 200);
    }
}

/// That the data refuses a model is a bit, as with tables: both are counted together, and beyond the policy's number everything waits alike.
#[test]
fn models_that_the_data_refuses_are_counted_and_beyond_the_cap_every_output_waits_alike() {
    let world = World::start(&[]);
    let few = [policy::SMALL, &[("holds_max = 20", "holds_max = 2"), ("probe_units = 30", "probe_units = 3")]].concat();
    world.authority().put_toml("/v1/policies/floor", &policy::standard(&few)).good();
    world.carry(&Papers::new("main"));
    let (forest, table) = (world.job("main", &world.approved("forest")), world.job("main", &world.approved("credit-default-rate")));
    let under = |narrow| [("forest", "held", None), ("hoard", "refused", Some("model.capacity")), narrow, ("net", "held", None)];
    // Each of these has a model that the data refuses, and one that is refused whatever the data says: that does not count.
    for _ in 0..2 {
        let left = world.run(&table);
        assert_eq!(world.output(&left)["state"], "released", "{left}");
        let job = world.run(&forest);
        assert_eq!(states(&outputs(&world, &job)), under(("narrow", "refused", Some("model.group"))), "{job}");
    }
    let causes = || -> Vec<Value> {
        world.leaves().into_iter().filter(|(kind, _)| *kind == LeafKind::Audit).map(|(_, body)| body["cause"].clone()).collect()
    };
    assert_eq!(causes(), ["refused", "refused"]);

    let job = world.run(&forest);
    assert_eq!(job["state"], "in_review", "{job}");
    let models = outputs(&world, &job);
    assert_eq!(states(&models), under(("narrow", "held", None)), "what is refused whatever the data says still is");
    let waits = world.output(&world.run(&table));
    assert_eq!((&waits["state"], &waits["refusal"]), (&json!("held"), &Value::Null), "{waits}");
    assert_eq!(causes(), ["refused", "refused", "holds", "holds", "refused", "holds"]);
    // The operator sees the same of what the data refused and of what it did not.
    let operator = world.operator();
    let seen = |output: &Value| {
        let id = output["id"].as_str().unwrap();
        operator.get(&format!("/v1/releases/{id}/artefact")).refused("release.held");
        let mut seen = operator.get(&format!("/v1/releases/{id}")).good();
        let own = seen.as_object_mut().unwrap();
        for field in ["id", "name", "job", "kind", "commitment", "decision_leaf", "created_at", "facts", "listing"] {
            assert!(own.remove(field).is_some(), "{field}");
        }
        seen
    };
    operator.ended(job["id"].as_str().unwrap());
    operator.ended(waits["job"].as_str().unwrap());
    let narrow = seen(&models["narrow"]);
    assert_eq!((&narrow, &narrow), (&seen(&models["net"]), &seen(&waits)));
    let checks = narrow["checks"].as_array().unwrap();
    assert_eq!((checks.len(), &checks[0]["rule"], &checks[0]["threshold"]), (1, &json!("audit.holds"), &json!("2 in 90 days")));

    // Its reviewers learn why; and should they approve it, it has nothing that could leave.
    let id = models["narrow"]["id"].as_str().unwrap();
    operator.files(id);
    let copy = world.server.reviewer("reviewer-gao").client.get(&format!("/v1/releases/{id}/evidence")).good();
    assert_eq!((&copy["artefact"], &copy["evidence"]["refused"]["rule"]), (&Value::Null, &json!("model.group")), "{copy}");
    let counted = world.server.voted(id, "approve", "sound");
    assert_eq!((&counted["outcome"], &counted["state"]), (&json!("approved"), &json!("denied")), "{counted}");
    assert_eq!(operator.get(&format!("/v1/releases/{id}")).good()["reason"], "release.denied");
    let id = models["net"]["id"].as_str().unwrap();
    operator.files(id);
    assert_eq!(world.server.voted(id, "approve", "sound")["state"], "released", "the model beside it leaves as ever");
}
