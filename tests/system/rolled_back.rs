//! A database that is put back from an older copy would give budgets back and forget what left: the server starts frozen, until the newer one
//! is there again or the authority signs for the loss.

use fusebox::tlog::LeafKind;
use serde_json::{Value, json};

use crate::support::{fusebox, until};
use crate::world::{PLAN, Papers, World, changed};

fn health(world: &World) -> (bool, bool) {
    let health = world.server.anonymous().get("/health").good();
    (health["frozen"].as_bool().unwrap(), health["rolled_back"].as_bool().unwrap())
}

#[test]
fn a_rolled_back_database_starts_frozen_until_the_authority_recovers_it() {
    let mut world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let table = world.approved("credit-default-rate");
    let job = world.job("main", &table);
    let before = world.output(&world.run(&job));
    assert_eq!(before["state"], "released");
    world.server.stop();
    let copy = world.server.database();
    world.server.launch();
    assert_eq!(health(&world), (false, false), "an orderly end and a start");
    let lost = world.output(&world.run(&job));
    let (told, _) = world.checkpoint();
    world.server.stop();
    let newest = world.server.database();

    world.server.put_back(&copy);
    world.server.launch();
    assert_eq!(health(&world), (true, true));
    let said = world.server.log();
    assert!(said.contains("is behind what is remembered of its log") && said.contains("remedy"), "{said}");
    // Reads work; nothing is accepted, nothing leaves, and what left before is not handed out.
    let (operator, authority) = (world.operator(), world.authority());
    let artefact = |release: &Value| format!("/v1/releases/{}/artefact", release["id"].as_str().unwrap());
    world.checker().get(&format!("/v1/releases/{}", before["id"].as_str().unwrap())).good();
    assert_eq!(operator.get(&format!("/v1/releases/{}", lost["id"].as_str().unwrap())).status, 404);
    operator.post("/v1/jobs", &job).refused("log.rolled_back");
    operator.post("/v1/jobs", &json!({ "plan": "credit", "module": table, "synthetic": true, "rows": 10 })).refused("log.rolled_back");
    until("its end shows", || Some(operator.get(&artefact(&before))).filter(|a| a.status != 404)).refused("log.rolled_back");
    world.checker().get(&artefact(&before)).good();
    let alerts = authority.get("/v1/alerts").good();
    let alert = alerts.as_array().unwrap().iter().find(|a| a["rule"] == "log.rolled_back").unwrap_or_else(|| panic!("{alerts}"));
    assert_eq!((&alert["severity"], &alert["subject"]), (&json!("urgent"), &json!("log")));
    // No freeze that could be lifted stands.
    authority.post("/v1/freeze/lift", &json!({ "reason": "x" })).refused("request.not_found");

    // The newer database back: not behind.
    world.server.stop();
    let frozen = world.server.database();
    world.server.put_back(&newest);
    world.server.launch();
    assert_eq!(health(&world), (false, false));
    world.server.stop();
    world.server.put_back(&frozen);
    world.server.launch();
    assert_eq!(health(&world), (true, true), "found at every start");

    let found = world.authority().get("/v1/recovery").good();
    let (database, remembered) = (&found["needed"]["database"], &found["remembered"]);
    assert!(remembered["size"].as_u64().unwrap() >= told, "{found}");
    assert!(database["size"].as_u64().unwrap() < told && found["newest"] == 0, "{found}");
    recovered(&mut world, &found);
    after(&mut world, &job, &table);
}

/// Only the authority signs, and only for what was found.
fn recovered(world: &mut World, found: &Value) {
    let (database, remembered) = (&found["needed"]["database"], &found["remembered"]);
    let statement = json!({ "database": database, "remembered": remembered, "reason": "磁盘损坏" });
    for who in [world.operator(), world.bureau(), world.checker(), world.server.admin.clone()] {
        who.post("/v1/recovery", &statement).refused("auth.role");
    }
    for (element, value) in [("database", remembered.clone()), ("remembered", database.clone()), ("remembered", Value::Null)] {
        let mut other = statement.clone();
        other[element] = value;
        assert_eq!(world.authority().post("/v1/recovery", &other).refused("recovery.other")["subject"], element);
    }
    world
        .authority()
        .post("/v1/recovery", &json!({ "database": database, "remembered": remembered, "reason": " " }))
        .refused("request.malformed");
    assert_eq!(health(world), (true, true));
    // By the command, as the authority does it.
    let token = world.server.dir.path().join("authority-token");
    std::fs::write(&token, &world.authority().token).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let extent = |e: &Value| format!("{}:{}", e["size"], e["root"].as_str().unwrap());
    let remote = ["--json", "--server", &world.server.url, "--token-file", token.to_str().unwrap()];
    let (shown, err, code) = fusebox(&[&["recover", "show"], remote.as_slice()].concat());
    assert_eq!((code, serde_json::from_str::<Value>(&shown).unwrap()), (0, found.clone()), "{err}");
    let (database, remembered) = (extent(database), extent(remembered));
    let sign = ["recover", "sign", "--database", &database, "--remembered", &remembered, "--reason", "磁盘损坏"];
    let (out, err, code) = fusebox(&[sign.as_slice(), remote.as_slice()].concat());
    assert_eq!(code, 0, "{err}");
    let signed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&signed["jobs_cancelled"], &signed["outputs_denied"]), (&json!(0), &json!(0)), "{signed}");
    world.authority().post("/v1/recovery", &statement).refused("request.not_found");
}

/// What a recovery leaves: the log goes on and verifies, tables wait until the namespace is re-based, and the next start finds nothing.
fn after(world: &mut World, job: &Value, table: &str) {
    assert_eq!(health(world), (false, false));
    let leaves = world.leaves();
    let of = |event: &str| {
        leaves.iter().filter(|(k, b)| *k == LeafKind::Recovery && b["event"] == event).map(|(_, b)| b.clone()).collect::<Vec<_>>()
    };
    assert_eq!((of("recovery.needed").len(), of("recovery.signed").len()), (2, 1), "found as behind, then as another branch too");
    let signed = &of("recovery.signed")[0];
    let lost = signed["lost_leaves_at_most"].as_u64().unwrap();
    assert!(lost > 0 && signed["counted_as_spent"]["jobs"] == lost, "{signed}");
    let held = world.run(job);
    let output = world.output(&held);
    assert_eq!((&held["state"], &output["state"]), (&json!("in_review"), &json!("held")));
    assert!(output["checks"].as_array().unwrap().iter().any(|c| c["rule"] == "audit.recovery"), "{output}");
    // Nobody knows how often the operator was told what depends on data: a table that its data refuses waits like any other.
    let few = r#"dataset = "tax_grades"
filters = [{ column = "penalties_24m", op = "ge", value = 1 }, { column = "grade", op = "eq", value = "C" }]"#;
    let plan = changed(&changed(PLAN, r#"dataset = "tax_grades""#, few), r#"id = "credit""#, r#"id = "few""#);
    world.operator().post_toml("/v1/plans", &plan).good();
    world.carry(&Papers::new("few").agreement(r#"plan = "credit""#, r#"plan = "few""#));
    let mut refused = world.job("few", table);
    refused["plan"] = json!("few");
    let waiting = world.run(&refused);
    let output = world.output(&waiting);
    let rules: Vec<&Value> = output["checks"].as_array().unwrap().iter().map(|c| &c["rule"]).collect();
    assert_eq!((&output["state"], rules), (&json!("held"), vec![&json!("audit.recovery")]), "{output}");
    let alerted =
        |world: &World| world.authority().get("/v1/alerts").good().as_array().unwrap().iter().any(|a| a["rule"] == "recovery.rebase");
    assert!(alerted(world));
    world.operator().post("/v1/recovery/rebase", &json!({ "namespace": "firm", "reason": "x" })).refused("auth.role");
    world.authority().post("/v1/recovery/rebase", &json!({ "namespace": "firm", "reason": "核对完毕" })).good();
    world.authority().post("/v1/recovery/rebase", &json!({ "namespace": "firm", "reason": "x" })).refused("request.conflict");
    assert!(!alerted(world));
    let released = world.run(&world.job("main", table));
    assert_eq!(world.output(&released)["state"], "released");
    let told = world.run(&refused);
    assert_eq!(world.output(&told)["refusal"]["rule"], "table.minimum_units");
    let (size, remembered) = world.checkpoint();
    world.server.stop();
    world.server.launch();
    assert_eq!(health(world), (false, false));
    world.verified_log(&remembered, size);
}

#[test]
fn a_remembered_checkpoint_that_is_gone_freezes_and_a_folder_elsewhere_is_kept_to() {
    let elsewhere = crate::support::TempDir::new();
    let config = elsewhere.path().join("fusebox.toml");
    let folder = elsewhere.path().join("memory");
    std::fs::write(&config, format!("remembered_dir = {:?}\n", folder.to_str().unwrap())).unwrap();
    // The first start of all remembered in the data directory; what is configured later has to be brought along.
    let mut server = crate::support::Server::start();
    server.stop();
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (inside, outside) = (server.data().join("remembered/checkpoint"), folder.join("checkpoint"));
    server.arguments.extend(["--config".to_owned(), config.to_str().unwrap().to_owned()]);
    let health = |server: &crate::support::Server| server.anonymous().get("/health").good()["rolled_back"].clone();
    server.launch();
    assert_eq!(health(&server), true, "nothing is remembered where it was said to be");
    assert!(server.log().contains("Missing"));
    server.stop();
    std::fs::rename(&inside, &outside).unwrap();
    server.launch();
    assert_eq!(health(&server), false);
    // The whole data directory put back: what is remembered elsewhere tells.
    server.stop();
    let copy = server.database();
    server.launch();
    server.person("authority-chen", "city", "authority");
    server.stop();
    assert!(!server.data().join("remembered/checkpoint").exists(), "nothing is remembered in the data directory");
    server.put_back(&copy);
    server.launch();
    assert_eq!(health(&server), true);
}
