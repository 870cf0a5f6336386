//! Tables that differ by too few units wait, whoever asks for them and in however many steps; those that do not differ leave.

use fusebox::tlog::LeafKind;
use serde_json::{Value, json};

use crate::support::module;
use crate::support::scenario::signing_key;
use crate::world::{PLAN, Papers, World, changed};

/// The plan under another name, without the firms for which the power company's `filter` does not hold.
fn filtered(world: &World, id: &str, filter: &str) -> String {
    let plan = changed(PLAN, "id = \"credit\"", &format!("id = \"{id}\""));
    let plan = changed(&plan, "alias = \"power\"", &format!("alias = \"power\"\nfilters = [{filter}]"));
    world.operator().post_toml("/v1/plans", &plan).good();
    world.carry(&Papers::new(id).agreement("plan = \"credit\"", &format!("plan = \"{id}\"")))
}

fn job(world: &World, agreement: &str, module: &str) -> Value {
    let mut job = world.job(agreement, module);
    job["plan"] = json!(agreement);
    job
}

/// A world, an approved module, and papers.
fn start() -> (World, String, String) {
    let world = World::start(&[]);
    let (module, whole) = (world.approved("credit-default-rate"), world.carry(&Papers::new("whole")));
    (world, module, whole)
}

/// Tables of so many runs, which wait for a freeze alone, that has been lifted.
fn held<const RUNS: usize>(world: &World, module: &str, agreement: &str) -> [String; RUNS] {
    world.authority().post("/v1/freeze", &json!({ "reason": "安全事件" })).good();
    let runs = [(); RUNS].map(|()| world.output(&world.run(&world.job(agreement, module)))["id"].as_str().unwrap().to_owned());
    world.authority().post("/v1/freeze/lift", &json!({ "reason": "已处置" })).good();
    runs
}

/// Has the rival join the same public data, without the bank's, beginning at `base`, and ask by the same keys.
fn rival_runs(world: &World, base: &str, filter: &str) -> Value {
    let other = if base == "tax" { "power" } else { "tax" };
    let member = |alias: &str| {
        let (dataset, filters) = if alias == "tax" { ("tax_grades", "") } else { ("power_bills", filter) };
        format!("[[members]]\nalias = \"{alias}\"\ndataset = \"{dataset}\"\nfilters = [{filters}]\n")
    };
    let plan = format!(
        r#"
id = "rival"
title = "对照"
namespace = "firm"
unit = "{base}.uscc"
{}{}
[[joins]]
member = "{other}"
kind = "inner"
on = [["{base}.uscc", "uscc"]]
[[outputs]]
name = "tax_grade"
from = "tax.grade"
transform = "keep"
[[outputs]]
name = "arrears_band"
from = "power.arrears_days"
transform = {{ bands = {{ cuts = [1, 31], labels = ["none", "short", "long"] }} }}
[[outputs]]
name = "default_12m"
from = "tax.penalties_24m"
transform = {{ clamp = {{ min = 0, max = 10 }} }}
"#,
        member(base),
        member(other)
    );
    let rival = world.rival();
    rival.post_toml("/v1/plans", &plan).good();
    let mut papers = Papers::new("rival").agreement("plan = \"credit\"", "plan = \"rival\"");
    for text in [&mut papers.authorisation, &mut papers.application, &mut papers.agreement] {
        *text = text.replace("harbour-bank", "rival-bank").replace("loans = [\"uscc\", \"default_12m\"]\n", "");
    }
    world.authority().post_toml("/v1/authorisations", &papers.authorisation).good();
    rival.post_toml("/v1/applications", &papers.application).good();
    rival.post_toml("/v1/agreements", &papers.agreement).good();
    for provider in [world.bureau(), world.power()] {
        let yes = json!({ "approve": true, "reason": "", "basis": "" });
        provider.post("/v1/applications/rival/decide", &yes).good();
        provider.post("/v1/agreements/rival/countersign", &json!({})).good();
    }
    let (key, public_key) = signing_key();
    world.server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": "rival-bank" })).good();
    // The same module with a section that says nothing: another's digest.
    let bytes = [module("credit-default-rate"), vec![0, 4, 1, b'x', 0, 0]].concat();
    let digest = rival.upload_module(&key, &bytes).good()["digest"].as_str().unwrap().to_owned();
    world.checker().post(&format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "read" })).good();
    let asked = json!({ "agreement": "rival", "plan": "rival", "module": digest, "purpose": "credit_risk", "recipient": "rival-bank", "synthetic": false });
    let id = rival.post("/v1/jobs", &asked).good()["id"].as_str().unwrap().to_owned();
    world.ended(&id)
}

#[test]
fn tables_that_differ_by_a_firm_wait_whoever_asks() {
    let (world, module, whole) = start();
    let first = world.run(&world.job(&whole, &module));
    assert_eq!(world.output(&first)["state"], "released", "{first}");
    let again = world.run(&world.job(&whole, &module));
    assert_eq!(world.output(&again)["state"], "released", "a repeat tells nothing new");

    // One firm's consumption stands at 1037 kWh: everyone but that one.
    let less = filtered(&world, "less", r#"{ column = "kwh", op = "ne", value = "1037" }"#);
    let held = world.run(&job(&world, &less, &module));
    let output = world.output(&held);
    assert_eq!((&held["state"], &output["state"]), (&json!("in_review"), &json!("held")), "{held} {output}");
    // The operator learns that it waits, as of anything that waits; the checker learns why.
    let id = output["id"].as_str().unwrap();
    let told = world.operator().get(&format!("/v1/releases/{id}"));
    assert!(!String::from_utf8_lossy(&told.bytes).contains("difference\""), "{}", String::from_utf8_lossy(&told.bytes));
    let evidence = world.authority().get(&format!("/v1/releases/{id}/evidence")).good();
    let found = &evidence["evidence"]["audit"]["found"];
    assert_eq!((&found["verdict"], &found["units"]), (&json!("difference"), &json!(1)), "{evidence}");

    // Another operator over the same public data, through rows of its own plan.
    let other = rival_runs(&world, "tax", r#"{ column = "kwh", op = "ne", value = "1074" }"#);
    assert_eq!(world.output(&other)["state"], "held", "{other}");
    let causes: Vec<Value> =
        world.leaves().into_iter().filter(|(k, _)| *k == LeafKind::Audit).map(|(_, body)| body["cause"].clone()).collect();
    assert_eq!(causes, ["difference", "difference"]);
}

/// The same people through another dataset's rows.
#[test]
fn plans_that_begin_at_different_datasets_are_compared_by_units() {
    let (world, module, whole) = start();
    let first = world.run(&world.job(&whole, &module));
    assert_eq!(world.output(&first)["state"], "released", "{first}");
    let other = rival_runs(&world, "power", r#"{ column = "kwh", op = "ne", value = "1074" }"#);
    let output = world.output(&other);
    assert_eq!(output["state"], "held", "{other}");
    let evidence = world.authority().get(&format!("/v1/releases/{}/evidence", output["id"].as_str().unwrap())).good();
    let found = &evidence["evidence"]["audit"]["found"];
    assert_eq!((&found["verdict"], &found["units"]), (&json!("difference"), &json!(1)), "{evidence}");
}

/// A table is held; another leaves that differs from it by a firm; then two reviewers, who know of the first alone, approve it.
#[test]
fn a_held_table_does_not_leave_beside_what_left_meanwhile() {
    let (world, module, whole) = start();
    let [held, twin] = held(&world, &module, &whole);
    let less = filtered(&world, "less", r#"{ column = "kwh", op = "ne", value = "1037" }"#);
    let left = world.run(&job(&world, &less, &module));
    assert_eq!(world.output(&left)["state"], "released", "{left}");

    world.operator().files(&held);
    let counted = world.server.voted(&held, "approve", "sound");
    assert_eq!((&counted["outcome"], &counted["state"]), (&json!("approved"), &json!("denied")), "{counted}");
    let shown = world.checker().get(&format!("/v1/releases/{held}")).good();
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("denied"), &json!("release.meanwhile")), "{shown}");
    world.checker().get(&format!("/v1/releases/{held}/artefact")).refused("release.denied");
    world.operator().files(&twin);
    assert_eq!(world.server.voted(&twin, "approve", "sound")["state"], "denied", "its twin fares alike");
    let causes: Vec<Value> = world
        .leaves()
        .into_iter()
        .filter(|(k, _)| *k == LeafKind::Review)
        .map(|(_, body)| body["ended"].clone())
        .filter(|e| !e.is_null())
        .collect();
    assert_eq!(causes, ["release.meanwhile", "release.meanwhile"]);
}

/// What was held for a freeze alone leaves once approved, beside a repeat of it that left meanwhile; and counts from then on.
#[test]
fn a_held_table_leaves_where_nothing_stands_against_it_and_counts_from_then_on() {
    let (world, module, whole) = start();
    let [held] = held(&world, &module, &whole);
    world.operator().files(&held);
    assert_eq!(world.server.voted(&held, "approve", "sound")["state"], "released");
    let less = filtered(&world, "less", r#"{ column = "kwh", op = "ne", value = "1037" }"#);
    let waits = world.run(&job(&world, &less, &module));
    assert_eq!(world.output(&waits)["state"], "held", "{waits}");
}
