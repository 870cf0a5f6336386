//! Jobs and agreements come to their ends: cancelled, revoked, terminated, expired, restarted, frozen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};

use fusebox::tlog::LeafKind;
use serde_json::{Value, json};

use crate::support::{Client, TempDir, until};
use crate::world::{POWER, Papers, World, changed, children, lives, ticks};

/// A server that runs two jobs at a time.
fn two_at_a_time() -> World {
    let folder = TempDir::new();
    let config = folder.path().join("fusebox.toml");
    std::fs::write(&config, "jobs_running_max = 2\n").unwrap();
    let mut world = World::start(&["--config", config.to_str().unwrap()]);
    world.folder = Some(folder);
    world
}

/// Waits until no worker of the server computes.
fn rest(world: &World) {
    until("the workers' rest", || {
        let workers = world.workers();
        let before = ticks(&workers);
        std::thread::sleep(std::time::Duration::from_millis(500));
        (ticks(&workers) <= before + 2).then_some(())
    });
}

/// Waits until a worker computes without pause: a guest that never ends.
fn busy(world: &World) {
    until("a busy guest", || {
        let workers = world.workers();
        let before = ticks(&workers);
        std::thread::sleep(std::time::Duration::from_millis(300));
        (ticks(&workers) >= before + 10).then_some(())
    });
}

fn segments(world: &World) -> BTreeSet<String> {
    let dir = std::fs::read_dir(world.server.data().join("segments")).unwrap();
    dir.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn cancelled_revoked_and_terminated_work_stops() {
    let mut world = two_at_a_time();
    for id in ["first", "second"] {
        world.carry(&Papers::new(id));
    }
    let (spins, table) = (world.approved("spins"), world.approved("credit-default-rate"));
    let operator = world.operator();

    // Cancel: one at work, one in the queue behind two.
    let job = world.job("first", &spins);
    let (one, two, three) = (world.submit(&job), world.submit(&job), world.submit(&job));
    world.wait(&one, "running");
    world.wait(&two, "running");
    assert_eq!(world.seen(&three)["state"], "queued");
    busy(&world);
    for id in [&three, &one] {
        let told = operator.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).good();
        assert_eq!(told["state"], "cancelled");
        assert_eq!(world.seen(id)["state"], "cancelled");
        operator.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).refused("request.conflict");
    }
    world.rival().post(&format!("/v1/jobs/{two}/cancel"), &json!({})).refused("auth.role");
    assert_eq!(world.seen(&two)["state"], "running", "another's cancellation stops nothing");
    operator.post(&format!("/v1/jobs/{two}/cancel"), &json!({})).good();
    rest(&world);

    // The same key answers the same job; for another request it is a conflict.
    let keyed = |job: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "monthly-2026-01")];
        operator.call("POST", "/v1/jobs", &headers, job.to_string().as_bytes())
    };
    let first = keyed(&world.job("first", &table));
    assert_eq!(first.status, 201);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let again = keyed(&world.job("first", &table));
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())));
    keyed(&world.job("second", &table)).refused("request.conflict");
    assert_eq!(world.ended(&id)["state"], "done");
    let again = keyed(&world.job("first", &table));
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())), "after its end too");

    // Revocation: what runs and what waits stops, and its papers say why.
    let jobs: Vec<String> = (0..3).map(|_| world.submit(&job)).collect();
    world.wait(&jobs[0], "running");
    world.wait(&jobs[1], "running");
    busy(&world);
    let kept = world.submit(&world.job("second", &spins));
    world.authority().post("/v1/authorisations/first/revoke", &json!({ "reason": "整改逾期" })).good();
    for id in &jobs {
        let stopped = world.seen(id);
        assert_eq!(stopped["state"], "cancelled", "{stopped}");
        assert_eq!(stopped["refusal"]["rule"], "authorisation.revoked", "{stopped}");
    }
    operator.post("/v1/jobs", &job).refused("authorisation.revoked");
    let again = keyed(&world.job("first", &table));
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())), "what was submitted stays known");
    world.wait(&kept, "running");
    world.authority().post("/v1/authorisations/first/revoke", &json!({ "reason": "again" })).refused("request.conflict");

    // Graded up: what runs on it stops; graded down again, the next may run.
    let core = changed(POWER, "security_level = \"general\"", "security_level = \"core\"");
    world.power().post_toml("/v1/datasets", &core).good();
    let stopped = world.seen(&kept);
    assert_eq!((&stopped["state"], &stopped["refusal"]["rule"]), (&json!("cancelled"), &json!("dataset.core")), "{stopped}");
    rest(&world);
    world.operator().post("/v1/jobs", &world.job("second", &spins)).refused("dataset.core");
    world.power().post_toml("/v1/datasets", POWER).good();
    let kept = world.submit(&world.job("second", &spins));
    world.wait(&kept, "running");

    terminated(&mut world, &kept, &table);
}

/// The wrapped key of each dataset.
fn wrapped_keys(world: &World) -> BTreeMap<String, Option<Vec<u8>>> {
    let path = world.server.data().join("state/fusebox.db");
    let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = db.prepare("SELECT id, wrapped FROM data_key WHERE kind = 'dataset'").unwrap();
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The end of two agreements: the operator's rows go with the last that needs them.
fn terminated(world: &mut World, running: &str, table: &str) {
    let before = segments(world);
    let keys = wrapped_keys(world);
    assert!(keys.values().all(Option::is_some) && keys.len() == 3, "{keys:?}");
    let first = world.operator().post("/v1/agreements/first/terminate", &json!({ "reason": "到期前终止" })).good();
    assert_eq!((&first["cause"], &first["destroyed"]), (&json!("terminated"), &json!([])), "{first}");
    assert_eq!(first["kept"], json!([{ "dataset": "loans", "agreement": "second" }]));
    assert_eq!(segments(world), before, "the second agreement still needs them");
    assert_eq!(world.seen(running)["state"], "running");
    world.stranger().post("/v1/agreements/second/terminate", &json!({ "reason": "x" })).refused("auth.role");

    let (remembered_size, remembered) = world.checkpoint();
    let certificate = world.bureau().post("/v1/agreements/second/terminate", &json!({ "reason": "违约" })).good();
    assert_eq!(world.seen(running)["state"], "cancelled");
    rest(world);
    let destroyed = certificate["destroyed"].as_array().unwrap();
    assert_eq!(destroyed.len(), 1, "{certificate}");
    assert_eq!((&destroyed[0]["dataset"], &destroyed[0]["key"]), (&json!("loans"), &json!(true)));
    // Two columns of rows, three of consent.
    let gone = destroyed[0]["segments"].as_array().unwrap().len();
    assert_eq!(gone, 5, "{certificate}");
    let after = segments(world);
    assert_eq!((before.len() - after.len(), after.is_subset(&before)), (gone, true), "{before:?} {after:?}");
    let leaf = certificate["leaf"].as_u64().unwrap();
    let (kind, body) = world.leaves().swap_remove(leaf as usize);
    assert_eq!((kind, &body["agreement"], &body["destroyed"]), (LeafKind::Disposal, &json!("second"), &certificate["destroyed"]));
    let refused = |world: &World| {
        let rule = world.operator().post("/v1/jobs", &world.job("second", table)).rule();
        assert!(["agreement.terminated", "dataset.no_version"].contains(&rule.as_str()), "{rule}");
    };
    refused(world);
    assert_eq!(world.operator().get("/v1/datasets/loans").good()["data"], json!([]));
    world.bureau().post("/v1/agreements/second/terminate", &json!({ "reason": "again" })).refused("request.conflict");
    // The log is kept, and goes on from what was remembered.
    world.verified_log(&remembered, leaf + 1);
    assert!(leaf >= remembered_size);

    // No copy of its wrapped key is left in any file of the state, nor after a restart.
    world.server.stop();
    let state = world.server.data().join("state");
    assert_eq!(
        wrapped_keys(world),
        BTreeMap::from([
            ("loans".to_owned(), None),
            ("power_bills".to_owned(), keys["power_bills"].clone()),
            ("tax_grades".to_owned(), keys["tax_grades"].clone())
        ])
    );
    let (destroyed, kept) = (keys["loans"].clone().unwrap(), keys["tax_grades"].clone().unwrap());
    let holds = |needle: &[u8]| {
        let files = std::fs::read_dir(&state).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
    };
    assert!(holds(&kept), "the search finds what is there");
    assert!(!holds(&destroyed), "a copy of the destroyed key is left");
    world.server.launch();
    refused(world);
    // A destroyed key is never made again: what comes later is another dataset.
    let again = world.operator().upload("/v1/datasets/loans/versions?format=csv", crate::world::loans_csv().as_bytes());
    again.refused("request.conflict");
}

#[test]
fn an_expired_agreement_is_disposed_of() {
    let mut world = World::start(&[]);
    world.carry(&Papers::new("old").agreement("2098-12-31", "2020-12-31"));
    let before = segments(&world);
    // The server looks once a minute, and when it starts.
    world.server.stop();
    world.server.launch();
    let certificate = until("the certificate", || world.leaves().into_iter().find(|(kind, _)| *kind == LeafKind::Disposal)).1;
    assert_eq!((&certificate["agreement"], &certificate["cause"]), (&json!("old"), &json!("expired")));
    assert_eq!(certificate["destroyed"][0]["dataset"], "loans");
    until("the end of the files", || (segments(&world).len() == before.len() - 5).then_some(()));
    // Once.
    world.server.stop();
    world.server.launch();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(world.leaves().iter().filter(|(kind, _)| *kind == LeafKind::Disposal).count(), 1);
}

/// The phases of a job, to the end of the stream.
fn phases(client: &Client, job: &str) -> Vec<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(crate::support::PATIENCE)).build().into();
    let path = format!("{}/v1/jobs/{job}/events", client.url);
    let response = agent.get(&path).header("authorization", format!("Bearer {}", client.token)).call().unwrap();
    let mut phases = Vec::new();
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.unwrap();
        if let Some(data) = line.strip_prefix("data:") {
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data.as_object().unwrap().len(), 1, "a state and nothing else: {data}");
            phases.push(data["state"].as_str().unwrap().to_owned());
        } else {
            assert!(line.is_empty() || line == "event: phase" || line.starts_with(':'), "{line}");
        }
    }
    phases
}

#[test]
fn restarts_freezes_and_phases() {
    let mut world = two_at_a_time();
    world.carry(&Papers::new("main"));
    let (spins, table) = (world.approved("spins"), world.approved("credit-default-rate"));

    // Phases: on synthetic data as they come; on real data the end shows on the time quantum, and the stream ends with it.
    let synthetic = world.submit(&json!({ "plan": "credit", "module": table, "synthetic": true, "rows": 500 }));
    let seen = phases(&world.operator(), &synthetic);
    assert!(seen.last().is_some_and(|s| s == "done"), "{seen:?}");
    assert!(seen.iter().all(|s| ["queued", "running", "done"].contains(&s.as_str())), "{seen:?}");

    restarted(&mut world, &spins, &table);

    let job = world.submit(&world.job("main", &table));
    let (operator, name) = (world.operator(), job.clone());
    let stream = std::thread::spawn(move || phases(&operator, &name));
    assert_eq!(world.ended(&job)["state"], "done");
    let released = world.output(&world.seen(&job));
    assert_eq!(released["state"], "released");
    frozen(&world, &table);
    let seen = stream.join().unwrap();
    assert!(seen.last().is_some_and(|s| s == "done"), "{seen:?}");
    assert!(seen.iter().all(|s| ["queued", "running", "done"].contains(&s.as_str())), "{seen:?}");
    let shown = world.operator().get(&format!("/v1/releases/{}", released["id"].as_str().unwrap())).good();
    // For the operator it ended on a minute, whenever it did.
    let at = shown["decided_at"].as_str().map(str::to_owned).unwrap_or_else(|| shown["decided_at"].to_string());
    assert!(at.contains(":00Z") || at.parse::<i64>().is_ok_and(|s| s % 60 == 0), "{at}");
    between_votes(&mut world, &table);
}

/// SIGTERM in the middle: nothing is lost, nothing is done twice, no worker stays behind.
fn restarted(world: &mut World, spins: &str, table: &str) {
    let endless = world.submit(&world.job("main", spins));
    let mut jobs: Vec<String> = (0..5).map(|_| world.submit(&world.job("main", table))).collect();
    world.wait(&endless, "running");
    busy(world);
    let pid = world.server.pid();
    let workers = children(pid);
    assert!(!workers.is_empty());
    world.server.stop();
    until("the end of the workers", || workers.iter().all(|pid| !lives(*pid)).then_some(()));
    world.server.launch();
    // The endless one is taken up again too, until someone stops it.
    world.wait(&endless, "running");
    world.operator().post(&format!("/v1/jobs/{endless}/cancel"), &json!({})).good();
    for id in &jobs {
        assert_eq!(world.ended(id)["state"], "done");
    }
    jobs.push(endless);
    let leaves = world.leaves();
    for id in &jobs {
        let submitted = leaves.iter().filter(|(kind, body)| *kind == LeafKind::Submission && body["job"] == **id).count();
        assert_eq!(submitted, 1, "{id}");
        let released = leaves.iter().filter(|(kind, body)| *kind == LeafKind::Decision && body["facts"]["job"] == **id).count();
        assert_eq!(released, usize::from(id != jobs.last().unwrap()), "{id}");
    }
}

/// The server is killed between two votes: the first one counts, once, and the second one releases.
fn between_votes(world: &mut World, table: &str) {
    world.authority().post("/v1/freeze", &json!({ "reason": "x" })).good();
    let job = world.run(&world.job("main", table));
    let id = world.output(&job)["id"].as_str().unwrap().to_owned();
    world.authority().post("/v1/freeze/lift", &json!({ "reason": "x" })).good();
    world.operator().files(&id);
    world.server.reviewer("reviewer-gao").vote(&id, "approve", "sound").good();
    world.server.kill();
    world.server.launch();
    let between = world.checker().get(&format!("/v1/releases/{id}")).good();
    assert_eq!((&between["state"], &between["review"]["votes_in"]), (&json!("held"), &json!(1)), "{between}");
    world.server.reviewer("reviewer-gao").vote(&id, "approve", "sound").refused("request.conflict");
    assert_eq!(world.server.reviewer("reviewer-tang").vote(&id, "approve", "sound").good()["state"], "released");
    let artefact = world.checker().get(&format!("/v1/releases/{id}/artefact")).good();
    assert!(artefact["artefact"]["rows"].is_array(), "{artefact}");
}

fn frozen(world: &World, table: &str) {
    let (authority, checker) = (world.authority(), world.checker());
    let health = || world.server.anonymous().get("/health").good()["frozen"].clone();
    assert_eq!(health(), false);
    world.operator().post("/v1/freeze", &json!({ "reason": "x" })).refused("auth.role");
    authority.post("/v1/freeze", &json!({ "reason": "安全事件" })).good();
    assert_eq!(health(), true);
    let job = world.run(&world.job("main", table));
    assert_eq!(job["state"], "in_review", "{job}");
    let held = world.output(&job);
    assert_eq!((&held["state"], &held["leaf"]), (&json!("held"), &Value::Null), "{held}");
    let id = held["id"].as_str().unwrap();
    world.operator().files(id);
    for (decision, reason) in [("approve", "sound"), ("deny", "quality")] {
        world.server.reviewer("reviewer-gao").vote(id, decision, reason).refused("release.frozen");
    }
    checker.post("/v1/freeze/lift", &json!({ "reason": "x" })).refused("auth.role");
    world.bureau().post("/v1/freeze/lift", &json!({ "reason": "x" })).refused("auth.role");
    authority.post("/v1/freeze/lift", &json!({ "reason": "已处置" })).good();
    assert_eq!(health(), false);
    // What was held is not let go by the lift.
    assert_eq!(checker.get(&format!("/v1/releases/{id}")).good()["state"], "held");
    let own = json!({ "decision": "approve", "reason": "sound", "signature": "" });
    world.own_checker().post(&format!("/v1/releases/{id}/vote"), &own).refused("auth.own_review");
    world.server.reviewer("reviewer-gao").vote(id, "approve", "sound").good();
    assert_eq!(world.server.reviewer("reviewer-tang").vote(id, "approve", "sound").good()["state"], "released");
    let released = checker.get(&format!("/v1/releases/{id}")).good();
    assert_eq!(released["state"], "released");
    assert!(released["leaf"].as_u64() > released["decision_leaf"].as_u64());
    assert_eq!(world.seen(job["id"].as_str().unwrap())["state"], "done");

    // A provider stops what holds its own data; the authority lifts that too.
    world.power().post("/v1/freeze", &json!({ "reason": "核查", "dataset": "tax_grades" })).refused("auth.role");
    world.bureau().post("/v1/freeze", &json!({ "reason": "核查", "dataset": "tax_grades" })).good();
    let fetched = || Some(world.operator().get(&format!("/v1/releases/{id}/artefact"))).filter(|answer| answer.status != 404);
    until("its end shows", fetched).refused("release.frozen");
    checker.get(&format!("/v1/releases/{id}/artefact")).good();
    let job = world.run(&world.job("main", table));
    assert_eq!(job["state"], "in_review");
    let held = world.output(&job)["id"].as_str().unwrap().to_owned();
    world.power().post("/v1/freeze/lift", &json!({ "reason": "x" })).refused("auth.role");
    world.bureau().post("/v1/freeze/lift", &json!({ "reason": "核查完毕" })).refused("auth.role");
    authority.post("/v1/freeze/lift", &json!({ "reason": "核查完毕" })).good();
    world.operator().files(&held);
    assert_eq!(world.server.voted(&held, "deny", "disclosive")["state"], "denied");
    checker.get(&format!("/v1/releases/{held}/artefact")).refused("release.denied");
    let job = world.run(&world.job("main", table));
    assert_eq!((job["state"].as_str(), world.output(&job)["state"].as_str()), (Some("done"), Some("released")));
    let kinds: Vec<LeafKind> = world.leaves().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.iter().filter(|k| **k == LeafKind::Freeze).count(), 4);
    assert_eq!(kinds.iter().filter(|k| **k == LeafKind::Review).count(), 2);
}
