//! Modules that misbehave: whatever one does, the operator hears one label, and the cause is for checkers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::until;
use crate::world::{World, sign};

/// Deeds of `verify_misbehaves`, the cause that checkers read, and the value of the person.
const DEEDS: &[(u64, &str)] = &[
    (1, "the worker did not answer in time"),
    (2, "guest: the module trapped"),
    (3, "guest: guest_memory_bytes_max"),
    (4, "guest: the module returned an error"),
    (5, "guest: the module returned an error"),
    (6, "guest: "),
];

#[test]
fn a_module_says_a_label_of_its_own_and_nothing_else() {
    let people: Vec<(u64, u64, u64)> = DEEDS.iter().map(|(deed, _)| (*deed, *deed, 7)).chain((10..14).map(|n| (n, 0, 4096 + n))).collect();
    let world = World::start(&people);
    // Of a value of twenty bits the last two get out, which is what the label was paid for.
    assert_eq!((10..14).map(|n| world.label(n)).collect::<Vec<_>>(), ["b", "c", "none", "a"]);
    // Whoever is not known gets the first label, whatever the module says of nobody.
    assert_eq!(world.label(99), "none");
    for (deed, cause) in DEEDS {
        let answer = world.ask(*deed).good();
        assert_eq!(answer["answer"], "none", "deed {deed}");
        let path = format!("/v1/verifications/{}", answer["id"].as_str().unwrap());
        let (own, others) = (world.operator.get(&path).good(), world.checker.get(&path).good());
        assert_eq!((&own["cause"], &own["state"]), (&Value::Null, &json!("answered")), "{own}");
        assert!(others["cause"].as_str().is_some_and(|c| c.starts_with(cause)), "deed {deed}: {others}");
    }
    // Nothing of it is in the lists that the operator and the provider read.
    let listed = world.operator.get("/v1/verifications").good();
    assert_eq!(listed.as_array().unwrap().len(), 5 + DEEDS.len());
    assert!(
        listed.as_array().unwrap().iter().all(|row| row["cause"].is_null() && row.get("answer").is_none() && row.get("subject").is_none())
    );
    assert_eq!(world.bureau.get("/v1/verifications").good().as_array().unwrap().len(), 5 + DEEDS.len());
    assert!(!world.server.log().contains("M0000"), "no identifier in the server's log");
}

#[test]
fn a_killed_server_has_spent_the_token() {
    let mut world = World::start(&[(1, 1, 7), (2, 0, 1)]);
    // Warm, so that the time between the two commits is the window.
    assert_eq!(world.label(2), "a");
    let token = sign(&world.issuer, &world.token(1));
    let question = world.question(&token);
    let operator = world.operator.clone();
    let asked = std::thread::spawn({
        let question = question.clone();
        // The connection breaks off: what the thread comes to is of no interest.
        move || std::panic::catch_unwind(|| operator.post("/v1/verifications", &question)).is_ok()
    });
    let db = rusqlite::Connection::open(world.server.data().join("state/fusebox.db")).unwrap();
    let count = |state: &str| -> i64 { db.query_row("SELECT count(*) FROM verification WHERE state = ?1", [state], |r| r.get(0)).unwrap() };
    let started = Instant::now();
    while count("spent") == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "no reservation came");
        std::thread::sleep(Duration::from_millis(1));
    }
    world.server.kill();
    assert_eq!((count("spent"), count("answered")), (1, 1), "killed between the two commits");
    drop(db);
    let _ = asked.join();
    world.server.launch();
    let url = world.server.url.clone();
    for client in [&mut world.operator, &mut world.bureau, &mut world.authority, &mut world.checker] {
        client.url.clone_from(&url);
    }
    until("the server", || (world.operator.get("/v1/me").status == 200).then_some(()));
    world.operator.post("/v1/verifications", &question).refused("token.replayed");
    let listed = world.operator.get("/v1/verifications").good();
    assert_eq!(listed.as_array().unwrap().iter().filter(|row| row["state"] == "spent").count(), 1);
}
