//! Modules that misbehave, through HTTP: whatever one does to a block costs that block and no other, and tells nobody.

use serde_json::{Value, json};

use crate::world::{World, number, people};

const PEOPLE: u64 = 60;
const VICTIM: u64 = 7;

fn fold(state: [f64; 4], blocks: Value) -> Value {
    let initial: Vec<String> = state.iter().map(f64::to_string).collect();
    json!({
        "map": { "module": { "clip": { "norm": "max", "bound": "1", "scale": 6 }, "initial": initial, "fuel": 20_000_000 } },
        "mechanism": "gaussian", "epsilon": "30", "blocks": blocks,
    })
}

/// Deeds of `fold_misbehaves`, and how many people count where it is done to one.
const DEEDS: &[(u8, &str, u64)] = &[
    (1, "1e308", PEOPLE),
    (2, "not a number", PEOPLE - 1),
    (3, "negative zero", PEOPLE - 1),
    (4, "infinity", PEOPLE - 1),
    (5, "too short", PEOPLE - 1),
    (6, "too long", PEOPLE - 1),
    (7, "nothing", PEOPLE - 1),
    (8, "a coordinate twice", PEOPLE - 1),
    (9, "falling coordinates", PEOPLE - 1),
    (10, "a coordinate beyond", PEOPLE - 1),
    (11, "fewer values than coordinates", PEOPLE - 1),
    (12, "trap", PEOPLE - 1),
    (13, "spin", PEOPLE - 1),
    (14, "flood of memory", PEOPLE - 1),
    (15, "flood of stack", PEOPLE - 1),
    (16, "flood of values", PEOPLE - 1),
    (17, "flood of coordinates", PEOPLE - 1),
    (18, "another coordinate", PEOPLE - 1),
    (19, "sparse and large", PEOPLE),
];

#[test]
fn what_is_done_to_one_person_costs_that_person_and_shows_nowhere() {
    let world = World::start("1000");
    world.cohort("x", &people(PEOPLE), "1000");
    let module = world.upload("fold-misbehaves");
    let submit = |deed: u8, who: f64| world.submit("x", &fold([f64::from(deed), who, 0.0, 0.0], json!("per_unit")), Some(&module));
    let one = DEEDS.iter().map(|(deed, name, counted)| (*name, *counted, submit(*deed, VICTIM as f64)));
    // Done to everybody it shows: nobody counts, or everybody does.
    let all = DEEDS.iter().map(|(deed, name, counted)| (*name, if *counted == PEOPLE { PEOPLE } else { 0 }, submit(*deed, -1.0)));
    let jobs: Vec<_> = one.chain(all).collect();
    let good = submit(0, -1.0);
    let mut shapes = std::collections::BTreeSet::new();
    for (name, counted, job) in jobs.into_iter().chain([("good", PEOPLE, good)]) {
        let release = world.release(&job);
        let counted_there = number(&release["artefact"]["answer"]["state"][3]);
        let sigma = number(&release["artefact"]["certificate"]["noise_standard_deviation"]);
        assert!(sigma < 0.6, "{sigma}");
        assert!((counted_there - counted as f64).abs() < 7.0 * sigma, "{name}: {counted_there} of {counted}");
        let shown = world.operator.get(&format!("/v1/jobs/{job}")).good();
        assert_eq!(
            (&shown["failure"], &shown["log"], &shown["ended_at"], &shown["report"]),
            (&Value::Null, &Value::Null, &Value::Null, &Value::Null)
        );
        // Everything that an operator sees besides the answer is the same, whatever was done.
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(",");
        shapes.insert(format!("{} {} {}", keys(&shown), keys(&release), shown["state"]));
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
}

#[test]
fn shared_blocks_and_processes_of_their_own_give_the_same_and_are_certified() {
    let world = World::start("1000");
    world.cohort("x", &people(PEOPLE), "1000");
    let module = world.upload("fold-misbehaves");
    let blocks = |isolation: &str| json!({ "shared": { "count": 12, "isolation": isolation } });
    let run = |isolation: &str, deed: f64| world.submit("x", &fold([deed, -1.0, 0.0, 0.0], blocks(isolation)), Some(&module));
    // 12 blocks, every one of which says 1 after clipping (an empty one says 0).
    let jobs = [("instance", run("instance", 0.0)), ("process", run("process", 0.0))];
    // One that ends every block of its own.
    let trap = run("process", 12.0);
    for (isolation, job) in jobs {
        let release = world.release(&job);
        let certificate = &release["artefact"]["certificate"];
        assert_eq!(certificate["blocks"]["shared"]["isolation"], isolation);
        assert!(certificate["sensitivity"].as_str().unwrap().starts_with("twice"));
        let said = certificate["not_covered"].to_string();
        assert!(said.contains(if isolation == "process" { "one block" } else { "times the units" }), "{said}");
        let counted = number(&release["artefact"]["answer"]["state"][3]);
        let sigma = number(&certificate["noise_standard_deviation"]);
        assert!((counted - 12.0).abs() < 7.0 * sigma && sigma < 1.0, "{counted}");
    }
    let release = world.release(&trap);
    let sigma = number(&release["artefact"]["certificate"]["noise_standard_deviation"]);
    assert!(number(&release["artefact"]["answer"]["state"][3]).abs() < 7.0 * sigma, "{release}");
}

#[test]
fn an_update_that_misbehaves_ends_the_job_and_gives_nothing_back() {
    let world = World::start("1000");
    world.cohort("x", &people(PEOPLE), "1000");
    let module = world.upload("fold-misbehaves");
    let jobs: Vec<String> =
        [30.0, 31.0, 33.0].iter().map(|deed| world.submit("x", &fold([*deed, -1.0, 0.0, 0.0], json!("per_unit")), Some(&module))).collect();
    for job in jobs {
        let ended = world.operator.ended(&job);
        assert_eq!((&ended["state"], &ended["failure"]), (&json!("failed"), &Value::Null), "{ended}");
    }
    let budget = world.budget();
    assert_eq!((&budget["spent"]["folds"], &budget["spent"]["released"]), (&json!(3), &json!(0)), "{budget}");
}
