//! A stop of a dataset reaches a fold that is at work: its answer is held in the transaction that would have released it.

use serde_json::json;

use crate::world::{World, people};

#[test]
fn a_stop_of_its_dataset_holds_a_fold_that_was_submitted_before_and_what_it_cost_is_spent() {
    let world = World::start("3");
    let checker = world.server.person("checker-li", "centre", "output_checker");
    world.cohort("all", &people(60), "3");
    let fold = json!({ "map": { "count": {} }, "mechanism": "laplace", "epsilon": "1" });
    let job = world.submit("all", &fold, None);
    let frozen = world.bureau.post("/v1/freeze", &json!({ "reason": "核查", "dataset": "people_all" })).good();
    let ended = checker.ended(&job);
    assert_eq!(ended["state"], "in_review", "{ended}");
    let release = ended["releases"][0].as_str().unwrap().to_owned();
    assert_eq!(checker.get(&format!("/v1/releases/{release}")).good()["state"], "held");
    assert_eq!(world.budget()["remaining"]["epsilon"], "2");
    world.bureau.post("/v1/freeze/lift", &json!({ "reason": "x", "id": frozen["id"] })).refused("auth.role");
    world.authority.post("/v1/freeze/lift", &json!({ "reason": "x", "id": frozen["id"] })).good();
    // The lift alone lets nothing go.
    world.operator.get(&format!("/v1/releases/{release}/artefact")).refused("release.held");
}
