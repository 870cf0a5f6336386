//! A job's end shows on the time quantum of its data, the strictest that a provider set, also where the module made the job fail.

use fusebox::clock::{Clock, SystemClock};
use serde_json::json;

use crate::support::policy;
use crate::world::{PLAN, Papers, World, changed};

#[test]
fn a_module_that_fails_does_not_choose_when_that_shows() {
    let mut world = World::start(&[]);
    // One output bears the name on which this module traps.
    let plan = changed(&changed(PLAN, r#"id = "credit""#, r#"id = "trap""#), r#"name = "kwh""#, r#"name = "then_trap""#);
    world.operator().post_toml("/v1/plans", &plan).good();
    world.carry(&Papers::new("trap").agreement(r#"plan = "credit""#, r#"plan = "trap""#));
    let strict = changed(&policy::small(), "time_quantum_seconds = 60", "time_quantum_seconds = 3600");
    world.bureau().put_toml("/v1/policies/orgs/tax-bureau", &strict).good();
    let mut job = world.job("trap", &world.approved("leaks"));
    job["plan"] = json!("trap");
    let hour = (SystemClock.now().unix_s() / 3_600 + 1) * 3_600;
    let at = |world: &mut World, now_s: i64| {
        world.server.stop();
        world.server.clock_s = Some(now_s);
        world.server.launch();
    };
    at(&mut world, hour + 10);
    let id = world.submit(&job);
    assert_eq!(world.ended(&id)["state"], "failed");
    let told = |world: &World| world.operator().get(&format!("/v1/jobs/{id}")).good()["state"].clone();
    // The floor's quantum is over, the provider's is not.
    at(&mut world, hour + 3_599);
    assert_eq!(told(&world), "running");
    at(&mut world, hour + 3_600);
    assert_eq!(told(&world), "failed");
}
