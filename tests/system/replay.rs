//! The same job gives the same commitment, whoever runs it again, on however many threads.

use serde_json::json;

use crate::support::{fusebox, module, until};
use crate::world::{PLAN, Papers, World, changed};

#[test]
fn the_same_job_gives_the_same_commitment() {
    let world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let checker = world.checker();
    let commitment = |job: &serde_json::Value| {
        let text = job["commitment"].as_str().unwrap_or_else(|| panic!("{job}")).to_owned();
        assert!(text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
        text
    };
    let mut seen = Vec::new();
    // A table that the host computes, and a model that the module computes in floating point.
    for package in ["credit-default-rate", "credit-scorecard"] {
        let module = world.approved(package);
        let first = world.run(&world.job("main", &module));
        let second = world.run(&world.job("main", &module));
        assert_ne!(first["id"], second["id"]);
        assert_eq!(commitment(&first), commitment(&second), "{package}: the view came from the cache");
        for threads in [1, 2, 3] {
            let path = format!("/v1/jobs/{}/replay", first["id"].as_str().unwrap());
            let replayed = checker.post(&path, &json!({ "threads": threads })).good();
            assert_eq!(
                (replayed["same"].as_bool(), replayed["commitment"].as_str()),
                (Some(true), first["commitment"].as_str()),
                "{package} on {threads} threads"
            );
        }
        seen.push(commitment(&first));
        // By the command line, as a reviewer does it.
        let token = world.server.dir.path().join(format!("{package}.token"));
        std::fs::write(&token, &checker.token).unwrap();
        let arguments =
            ["--json", "--server", &checker.url, "--token-file", token.to_str().unwrap(), "job", "replay", first["id"].as_str().unwrap()];
        for more in [&["--threads", "1"][..], &["--threads", "2"], &[]] {
            let (out, err, code) = fusebox(&[&arguments[..], more].concat());
            let told: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
            assert_eq!((code, &told["same"], &told["commitment"]), (0, &json!(true), &first["commitment"]), "{err}");
        }
    }
    assert_ne!(seen[0], seen[1]);

    // Another plan, another module, another agreement, other rows: another specification, another key, another commitment.
    let table = world.upload_bytes(&module("credit-default-rate")).good()["digest"].as_str().unwrap().to_owned();
    world.operator().post_toml("/v1/plans", &changed(PLAN, r#"id = "credit""#, r#"id = "again""#)).good();
    world.carry(&Papers::new("again").agreement(r#"plan = "credit""#, r#"plan = "again""#));
    let mut job = world.job("again", &table);
    job["plan"] = json!("again");
    seen.push(commitment(&world.run(&job)));
    let old = world.run(&world.job("main", &table));
    world.bureau().upload("/v1/datasets/tax_grades/versions?format=csv", crate::world::tax_csv().as_bytes()).good();
    let new = world.run(&world.job("main", &table));
    assert_eq!(commitment(&old), seen[0]);
    seen.push(commitment(&new));
    let distinct: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    // A replay runs over the pinned versions, not over the newest.
    let replayed = checker.post(&format!("/v1/jobs/{}/replay", old["id"].as_str().unwrap()), &json!({})).good();
    assert_eq!(replayed["same"], true);

    // It releases nothing, and is a leaf.
    let outputs = checker.get("/v1/releases").good().as_array().unwrap().len();
    let replays = world.leaves().iter().filter(|(_, body)| body["replay"] == true).count();
    assert_eq!((outputs, replays), (7, 13));
    // Who may not, learns nothing; what has no commitment has no replay.
    let path = format!("/v1/jobs/{}/replay", old["id"].as_str().unwrap());
    world.operator().post(&path, &json!({})).refused("auth.role");
    world.own_checker().post(&path, &json!({})).refused("auth.own_review");
    let mut synthetic = json!({ "plan": "credit", "module": table, "synthetic": true, "rows": 200 });
    let id = world.submit(&synthetic);
    until("the synthetic job", || (world.seen(&id)["state"] == "done").then_some(()));
    checker.post(&format!("/v1/jobs/{id}/replay"), &json!({})).refused("request.conflict");
    // Nor has it a replay with another engine's threads than there can be.
    checker.post(&path, &json!({ "threads": 0 })).refused("request.malformed");
    // On synthetic data too the same specification gives the same rows.
    synthetic["rows"] = json!(200);
    let again = world.submit(&synthetic);
    until("the second", || (world.seen(&again)["state"] == "done").then_some(()));
    let operator = world.operator();
    let result = |id: &str| operator.get(&format!("/v1/jobs/{id}")).good()["result"].clone();
    assert_eq!(result(&id), result(&again));
}
