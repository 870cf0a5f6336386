//! SIGKILL of the server while folds run: no spend is lost, none comes back, nothing is released without one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::until;
use crate::world::{World, people};

const KILLS: u64 = 12;

/// Of each job that reserved its ρ, its state and the leaf of its reservation.
type Spends = BTreeMap<String, (i64, String, i64)>;

fn spends(world: &World) -> (Spends, Vec<(String, String)>, Vec<String>) {
    let db = rusqlite::Connection::open(world.server.data().join("state/fusebox.db")).unwrap();
    let mut statement = db.prepare("SELECT job, rho, state, leaf FROM privacy_spend").unwrap();
    let spends = statement.query_map([], |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?, r.get(3)?)))).unwrap().map(Result::unwrap).collect();
    let mut statement = db.prepare("SELECT id, state FROM job").unwrap();
    let jobs = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut statement = db.prepare("SELECT job FROM release WHERE state = 'released'").unwrap();
    let released = statement.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
    (spends, jobs, released)
}

/// What must hold whenever the server is down.
fn account(world: &World, before: &Spends) -> Spends {
    let (now, jobs, released) = spends(world);
    for (job, (rho, state, leaf)) in before {
        let (rho_now, state_now, leaf_now) = now.get(job).unwrap_or_else(|| panic!("the spend of {job} is gone"));
        assert_eq!((rho, leaf), (rho_now, leaf_now), "{job}");
        assert!(state == "reserved" || state_now == "spent", "{job}");
    }
    for job in &released {
        assert_eq!(now.get(job).map(|s| s.1.as_str()), Some("spent"), "{job} was released without a spend");
    }
    for (job, state) in &jobs {
        let spent = now.get(job).map(|s| s.1.as_str());
        let released = released.contains(job);
        match (state.as_str(), spent) {
            // Reserved when it was submitted; until its release nothing more.
            ("queued" | "running" | "failed", Some("reserved")) => assert!(!released, "{job}"),
            ("done", Some("spent")) => assert!(released, "{job}"),
            other => panic!("{job}: {other:?}"),
        }
    }
    now
}

#[test]
fn no_spend_is_lost_or_given_back_by_kills() {
    let mut world = World::start("1000");
    world.cohort("x", &people(400), "1000");
    let module = world.upload("fold-ones");
    let count = json!({ "map": { "count": {} }, "mechanism": "laplace", "epsilon": "1" });
    let rounds = json!({
        "map": { "module": { "clip": { "norm": "l2", "bound": "1", "scale": 3 }, "initial": ["0", "0"], "fuel": 1_000_000 } },
        "mechanism": "gaussian", "epsilon": "1", "rounds": 40,
    });
    let mut before = Spends::new();
    let mut interrupted = 0;
    for kill in 0..KILLS {
        for _ in 0..2 {
            world.submit("x", &rounds, Some(&module));
            world.submit("x", &count, None);
        }
        std::thread::sleep(Duration::from_millis(40 + kill * 97 % 500));
        world.server.kill();
        before = account(&world, &before);
        interrupted += before.values().filter(|(_, state, _)| state == "reserved").count();
        world.server.launch();
        let (url, log) = (world.server.url.clone(), world.server.log());
        for client in [&mut world.authority, &mut world.bureau, &mut world.operator] {
            client.url.clone_from(&url);
        }
        assert!(!log.contains("panicked"), "{log}");
    }
    // Every job comes to an end; what was interrupted after its reservation is not run again.
    until("the end of all jobs", || {
        let jobs: Value = world.operator.get("/v1/jobs").good();
        let open = jobs.as_array().unwrap().iter().any(|j| matches!(j["state"].as_str(), Some("queued" | "running")));
        (!open).then_some(())
    });
    world.server.kill();
    let spends = account(&world, &before);
    let left: Vec<_> = spends.values().filter(|(_, state, _)| state == "reserved").collect();
    println!("{} spends, {} of them without a release; {interrupted} found open by kills", spends.len(), left.len());
    assert!(interrupted > 0, "no kill met a fold at work");
    let leaves: std::collections::BTreeSet<i64> = spends.values().map(|(_, _, leaf)| *leaf).collect();
    assert_eq!(leaves.len(), spends.len(), "every spend has a leaf of its own");
    world.server.launch();
    let url = world.server.url.clone();
    world.operator.url.clone_from(&url);
    assert_eq!(world.budget()["spent"]["folds"], spends.len());
}
