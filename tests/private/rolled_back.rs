//! A privacy budget does not come back with an older copy of the database, and what is reserved there is not run a second time.

use serde_json::{Value, json};

use crate::world::{World, people};

fn count(epsilon: &str) -> Value {
    json!({ "map": { "count": {} }, "mechanism": "laplace", "epsilon": epsilon })
}

#[test]
fn a_budget_that_came_back_counts_as_spent() {
    let mut world = World::start("3");
    world.cohort("all", &people(60), "3");
    world.server.stop();
    let copy = world.server.database();
    world.server.launch();
    world.again();
    world.submit("all", &count("1"), None);
    assert_eq!(world.budget()["remaining"]["epsilon"], "2");
    world.server.stop();
    world.server.put_back(&copy);
    world.server.launch();
    world.again();

    assert_eq!(world.budget()["remaining"]["epsilon"], "3", "as the copy has it");
    let job = world.job("all", &count("1"), None);
    world.operator.post("/v1/jobs", &job).refused("log.rolled_back");
    world.server.recover(&world.bureau).refused("auth.role");
    world.server.recover(&world.authority).good();
    let budget = world.budget();
    let remaining = &budget["remaining"];
    assert_eq!((&remaining["rho"], &remaining["epsilon"], &remaining["laplace"]), (&json!("0"), &json!("0"), &json!("0")), "{budget}");
    world.operator.post("/v1/jobs", &job).refused("privacy.budget");
    // A raise adds what it adds; the agreement that stood in the lost span is spent as well.
    world.set_budget("9").good();
    let refused = world.operator.post("/v1/jobs", &job).refused("privacy.budget");
    assert!(refused["threshold"].as_str().unwrap().starts_with("agreement"), "{refused}");
    world.agreement("more", "all", "1");
    let mut job = job;
    job["agreement"] = json!("agr-more");
    world.operator.post("/v1/jobs", &job).good();
}

#[test]
fn a_fold_that_an_older_copy_has_as_open_is_not_run_again() {
    let mut world = World::start("3");
    world.cohort("all", &people(60), "3");
    // Two jobs: killed at once, the copy has them queued or at work.
    let ids = [world.submit("all", &count("0.5"), None), world.submit("all", &count("0.5"), None)];
    world.server.kill();
    let copy = world.server.database();
    world.server.launch();
    world.again();
    let more = world.submit("all", &count("0.5"), None);
    world.server.stop();
    world.server.put_back(&copy);
    world.server.launch();
    world.again();
    assert_eq!(world.operator.get(&format!("/v1/jobs/{more}")).status, 404);
    let signed = world.server.recover(&world.authority).good();
    let states: Vec<Value> = ids.iter().map(|id| world.operator.ended(id)["state"].clone()).collect();
    let cancelled = states.iter().filter(|s| **s == "cancelled").count();
    assert_eq!(signed["jobs_cancelled"].as_u64().unwrap(), cancelled as u64, "{states:?}");
    assert!(states.iter().all(|s| *s == "cancelled" || *s == "failed"), "{states:?}");
    let releases = world.operator.get("/v1/releases").good();
    assert_eq!(releases.as_array().unwrap().len(), 0);
}
