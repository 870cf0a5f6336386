//! Admission: whoever asks for more than there is is told to come back, and when; a job waits its turn instead.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, TempDir, until};
use crate::world::{Papers, World, power_csv};

/// The least memory that a server may have for its workers: one fold's, so one table's with too little beside it for anything else.
const SETTINGS: &str = "workers_memory_bytes_max = 4294967296
jobs_running_max = 3
jobs_running_per_org_max = 3
jobs_open_per_org_max = 3
workers_waiting = 0
";

fn told_to_come_back(answer: &Answer, rule: &str) {
    answer.refused(rule);
    assert_eq!(answer.status, 429);
    assert!(answer.retry_after_s.is_some_and(|s| (1..=60).contains(&s)), "{:?}", answer.retry_after_s);
}

#[test]
fn more_than_there_is_is_answered_with_when_to_come_back() {
    let dir = TempDir::new();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, SETTINGS).unwrap();
    let world = World::start(&["--config", config.to_str().unwrap()]);
    world.carry(&Papers::new("main"));
    let (spins, table) = (world.approved("spins"), world.approved("credit-default-rate"));
    let operator = world.operator();

    let upload = || world.power().upload("/v1/datasets/power_bills/versions?format=csv", power_csv().as_bytes());

    // One job takes the memory, which shows by an upload that finds none; two more wait for it, and a fourth is one too many.
    let spinning = world.submit(&world.job("main", &spins));
    until("a job that holds the memory", || (upload().status == 429).then_some(()));
    let waiting = [&table, &table].map(|module| world.submit(&world.job("main", module)));
    let jobs: Vec<String> = std::iter::once(spinning).chain(waiting).collect();
    world.wait(&jobs[0], "running");
    let fourth = operator.post("/v1/jobs", &world.job("main", &table));
    told_to_come_back(&fourth, "request.busy");
    assert_eq!(fourth.json()["error"]["threshold"], "3 open jobs");
    world.wait(&jobs[1], "running");
    world.wait(&jobs[2], "running");

    // Uploads wait a moment, and only a few of them.
    let wasm = crate::support::module("credit-scorecard");
    let started = Instant::now();
    let answers: Vec<(Answer, Duration)> = std::thread::scope(|scope| {
        let call = |n: usize| {
            let (upload, world, wasm) = (&upload, &world, &wasm);
            scope.spawn(move || {
                let answer = if n == 0 { upload() } else { world.upload_bytes(wasm) };
                (answer, started.elapsed())
            })
        };
        let calls: Vec<_> = (0..4).map(call).collect();
        calls.into_iter().map(|c| c.join().unwrap()).collect()
    });
    for (answer, _) in &answers {
        told_to_come_back(answer, "request.overloaded");
    }
    let mut waits: Vec<u64> = answers.iter().map(|(_, took)| took.as_secs()).collect();
    waits.sort_unstable();
    eprintln!("four calls were answered after {waits:?} s");
    assert!(waits[0] < 8 && waits[1] < 8, "two were turned away at once");
    assert!((9..40).contains(&waits[3]), "two waited");

    // A job that waits for memory can be stopped; the other gets it once it is free.
    let cancel = |id: &str| operator.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).good();
    cancel(&jobs[1]);
    assert_eq!(world.seen(&jobs[1])["state"], "cancelled");
    assert_eq!(world.seen(&jobs[2])["state"], "running");
    cancel(&jobs[0]);
    assert_eq!(world.ended(&jobs[2])["state"], "done");
    until("an import", || (upload().status == 201).then_some(()));
}
