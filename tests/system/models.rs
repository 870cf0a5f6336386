//! Trees and networks through real workers to the gate: what is held, what reviewers are told of it, and what is refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{FIRMS, Papers, World, firm};

/// As the provider's file has it.
fn kwh(i: u64) -> u64 {
    1000 + i * 37 % 500
}

fn count(of: impl Fn(u64) -> bool) -> u64 {
    (0..FIRMS).filter(|i| of(*i)).count() as u64
}

#[test]
fn trees_and_networks_are_held_with_evidence_and_what_carries_too_much_is_refused() {
    let world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let module = world.approved("forest");
    let job = world.run(&world.job("main", &module));
    assert_eq!(job["state"], "in_review", "{job}");
    let outputs: BTreeMap<String, Value> = job["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| world.checker().get(&format!("/v1/releases/{}", id.as_str().unwrap())).good())
        .map(|output| (output["name"].as_str().unwrap().to_owned(), output))
        .collect();
    let states: Vec<(&str, &Value, &Value)> = outputs.iter().map(|(n, o)| (n.as_str(), &o["state"], &o["refusal"]["rule"])).collect();
    let null = Value::Null;
    assert_eq!(
        states,
        [
            ("forest", &json!("held"), &null),
            ("hoard", &json!("refused"), &json!("model.capacity")),
            ("narrow", &json!("refused"), &json!("model.group")),
            ("net", &json!("held"), &null)
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
