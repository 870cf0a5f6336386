//! A job keeps the day on which it was first submitted, whatever happens past midnight in China (16:00 UTC): the day decides whose consent
//! stands, and is in the key of the job's commitment.

use std::sync::Arc;

use fusebox::api::{self, Parts, Settings};
use fusebox::clock::{CHINA_UTC_OFFSET_S, Clock, FixedClock, SystemClock, Timestamp};
use fusebox::store::{MasterKey, Roots};
use fusebox::tlog::LeafKind;
use serde_json::{Value, json};

use crate::support::{Clocked, policy, worker};
use crate::world::{Papers, World};

/// Not a test by itself: under [`Clocked`] it is the server, whose clock stands where the test has put it.
#[test]
fn serves_under_a_clock_that_stands() {
    let Some(told) = Clocked::of_environment() else { return };
    let roots = Roots::open(&told.data, cap_std::ambient_authority()).unwrap();
    let keys = Arc::new(MasterKey::open_file(roots.state(), "master.key").unwrap());
    let settings = Settings { listen: "127.0.0.1:0".parse().unwrap(), ..Settings::new(worker()) };
    let clock = Arc::new(FixedClock::new(Timestamp::from_unix_s(told.now_s)));
    api::serve(Parts { roots, keys, settings, clock }, None, |address| Clocked::ready(&format!("http://{address}"))).unwrap();
}

/// Submits under a key; the job, and whether an earlier submission was meant.
fn submit(world: &World, key: &str, job: &Value) -> (String, bool) {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let answer = world.operator().call("POST", "/v1/jobs", &headers, job.to_string().as_bytes());
    (answer.good()["id"].as_str().unwrap().to_owned(), answer.status == 200)
}

/// Day and commitment of a decided job.
fn day(world: &World, job: &str) -> (Value, Value) {
    let ended = world.ended(job);
    let release = ended["releases"][0].as_str().unwrap_or_else(|| panic!("{ended}"));
    let output = world.checker().get(&format!("/v1/releases/{release}")).good();
    (output["facts"]["today"].clone(), ended["commitment"].clone())
}

#[test]
fn a_job_keeps_its_day_through_repeats_and_a_restart_past_midnight() {
    let mut world = World::start(&[]);
    let few = [policy::SMALL, &[("probe_units = 30", "probe_units = 3")]].concat();
    world.authority().put_toml("/v1/policies/floor", &policy::standard(&few)).good();
    world.carry(&Papers::new("main"));
    let job = world.job("main", &world.approved("forest"));
    let today = SystemClock.now().date(CHINA_UTC_OFFSET_S);
    let (eve, next) = (fusebox::clock::Date::from_days(today.days() + 1), fusebox::clock::Date::from_days(today.days() + 2));
    let midnight = next.start(CHINA_UTC_OFFSET_S).unix_s();
    assert_eq!(midnight.rem_euclid(86_400), 16 * 3_600);

    world.server.stop();
    world.server.clock_s = Some(midnight - 1);
    world.server.launch();
    let (whole, _) = submit(&world, "whole", &job);
    let told = day(&world, &whole);
    assert_eq!(told.0, json!(eve));
    let (cut, _) = submit(&world, "cut", &job);
    world.wait(&cut, "running");
    world.server.kill();

    world.server.clock_s = Some(midnight + 1);
    world.server.launch();
    assert_eq!(submit(&world, "cut", &job), (cut.clone(), true), "sent again past midnight, it is the same job");
    assert_eq!(day(&world, &cut), told, "interrupted and run again past midnight, it is the job of its day");
    let interrupted = |(kind, body): &(LeafKind, Value)| *kind == LeafKind::JobState && body["interrupted"] == true && body["job"] == cut;
    assert!(world.leaves().iter().any(interrupted), "the kill met the run");
    let replayed = world.checker().post(&format!("/v1/jobs/{cut}/replay"), &json!({})).good();
    assert_eq!(replayed["same"], true, "{replayed}");
    assert_eq!(submit(&world, "whole", &job), (whole, true));

    // Another submission is another job, of its own day.
    let (new, repeated) = submit(&world, "new", &job);
    let (day, commitment) = day(&world, &new);
    assert_eq!((repeated, &day), (false, &json!(next)));
    assert_ne!(commitment, told.1);
}
