//! Tables that differ by too few units wait, whoever asks for them and in however many steps; those that do not differ leave.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fusebox::tlog::LeafKind;
use serde_json::{Value, json};

use crate::support::module;
use crate::support::scenario::signing_key;
use crate::world::{PLAN, Papers, SIGNATURE_CONTEXT, World, changed};

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

/// Has the rival join the same public data, without the bank's, and ask by the same keys.
fn rival_runs(world: &World, filter: &str) -> Value {
    let plan = format!(
        r#"
id = "rival"
title = "对照"
namespace = "firm"
unit = "tax.uscc"
[[members]]
alias = "tax"
dataset = "tax_grades"
[[members]]
alias = "power"
dataset = "power_bills"
filters = [{filter}]
[[joins]]
member = "power"
kind = "inner"
on = [["tax.uscc", "uscc"]]
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
"#
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
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let signature = STANDARD.encode(key.sign(&[SIGNATURE_CONTEXT, digest.as_ref()].concat()).as_ref());
    let headers = [("content-type", "application/wasm"), ("x-fusebox-signature", signature.as_str())];
    let digest = rival.call("POST", "/v1/modules", &headers, &bytes).good()["digest"].as_str().unwrap().to_owned();
    world.checker().post(&format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "read" })).good();
    let asked = json!({ "agreement": "rival", "plan": "rival", "module": digest, "purpose": "credit_risk", "recipient": "rival-bank", "synthetic": false });
    let id = rival.post("/v1/jobs", &asked).good()["id"].as_str().unwrap().to_owned();
    world.ended(&id)
}

#[test]
fn tables_that_differ_by_a_firm_wait_whoever_asks() {
    let world = World::start(&[]);
    let module = world.approved("credit-default-rate");
    let whole = world.carry(&Papers::new("whole"));
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
    let other = rival_runs(&world, r#"{ column = "kwh", op = "ne", value = "1074" }"#);
    assert_eq!(world.output(&other)["state"], "held", "{other}");
    let causes: Vec<Value> =
        world.leaves().into_iter().filter(|(k, _)| *k == LeafKind::Audit).map(|(_, body)| body["cause"].clone()).collect();
    assert_eq!(causes, ["difference", "difference"]);
}
