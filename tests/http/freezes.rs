//! Stops of one dataset: whoever may set them, what they stop at every step of a review, and who alone lifts them.

use serde_json::json;

use crate::reviews::{World, at, good, id, refused};

#[test]
fn a_stop_of_one_dataset_stops_what_rests_on_it_in_every_state_and_the_authority_alone_lifts_it() {
    let world = World::new("2026-09-18", "veto_working_days = { artefact = 2 }");
    let set = |who: &str, dataset: &str| world.post(who, "/v1/freeze", &json!({ "reason": "核查", "dataset": dataset }));
    let path = |release: char, what: &str| format!("/v1/releases/{}/{what}", id(release));
    // Its provider, the authority and the security administrator; nobody else, and no provider another's.
    for who in ["operator", "researcher", "checker", "sysadmin", "auditor", "other-provider"] {
        refused(&set(who, "tax_grades"), "auth.role");
    }
    refused(&set("provider", "loans"), "auth.role");
    refused(&set("operator", "loans"), "auth.role");
    // A provider that names what is not there freezes nothing, least of all everything of its own.
    refused(&set("authority", "nothing_such"), "request.not_found");
    refused(&set("provider", "nothing_such"), "request.not_found");
    let both = json!({ "reason": "x", "dataset": "tax_grades", "org": "opco" });
    refused(&world.post("authority", "/v1/freeze", &both), "request.malformed");
    assert!(!world.leaves().iter().any(|(kind, _)| *kind == fusebox::tlog::LeafKind::Freeze));

    // One that left, one in its window, one with a vote, one that was filed.
    for release in ['a', 'b', 'c', 'd'] {
        good(&world.file(release));
    }
    for release in ['a', 'b'] {
        good(&world.vote("gao", release, "approve", "sound"));
        assert_eq!(good(&world.vote("tang", release, "approve", "sound"))["state"], "approved_pending");
    }
    assert_eq!(good(&world.post("provider", &path('a', "waive"), &json!({})))["state"], "released");
    good(&world.vote("gao", 'c', "approve", "sound"));
    // Another dataset's stop stops none of these.
    let other = good(&set("authority", "loans"))["id"].clone();
    good(&world.vote("gao", 'd', "approve", "sound"));

    let frozen = good(&set("provider", "tax_grades"));
    assert_eq!((&frozen["dataset"], &frozen["org"], &frozen["set_by"]), (&json!("tax_grades"), &json!("bureau"), &json!("bureau")));
    let again = good(&set("secadmin", "tax_grades"))["id"].clone();
    assert_eq!(world.get("authority", "/health").json()["frozen"], false, "not all releases");
    for (who, decision, reason) in [("tang", "approve", "sound"), ("tang", "deny", "quality")] {
        refused(&world.vote(who, 'c', decision, reason), "release.frozen");
        refused(&world.vote(who, 'd', decision, reason), "release.frozen");
    }
    // The window is over: it waits on, and what left is handed to nobody who did not see it before.
    at(&world.server, "2026-09-25");
    assert_eq!(good(&world.post("provider", &path('b', "waive"), &json!({})))["state"], "approved_pending");
    for who in ["operator", "researcher", "own-checker", "provider"] {
        refused(&world.get(who, &path('a', "artefact")), "release.frozen");
    }
    for who in ["authority", "checker"] {
        // Seeded without its bytes: what fails is not the stop.
        assert_eq!(world.get(who, &path('a', "artefact")).rule(), "internal");
    }

    let lift = |who: &str, number: &serde_json::Value| world.post(who, "/v1/freeze/lift", &json!({ "reason": "完毕", "id": number }));
    for who in ["provider", "secadmin", "operator", "other-provider"] {
        refused(&lift(who, &frozen["id"]), "auth.role");
        refused(&world.post(who, "/v1/freeze/lift", &json!({ "reason": "完毕" })), "auth.role");
    }
    let alerts = world.get("authority", "/v1/alerts").json();
    let alert = |subject: String| alerts.as_array().unwrap().iter().any(|a| a["rule"] == "release.frozen" && a["subject"] == subject);
    assert!(alert(format!("{} (tax_grades)", frozen["id"])) && alert(format!("{other} (loans)")), "{alerts}");
    good(&lift("authority", &frozen["id"]));
    refused(&lift("authority", &frozen["id"]), "request.not_found");
    refused(&world.vote("tang", 'c', "approve", "sound"), "release.frozen");
    good(&lift("authority", &again));
    assert_eq!(good(&world.vote("tang", 'c', "approve", "sound"))["state"], "approved_pending");
    assert_eq!(good(&world.vote("tang", 'd', "deny", "quality"))["state"], "denied");
    let leaves = world.leaves().into_iter().filter(|(kind, _)| *kind == fusebox::tlog::LeafKind::Freeze);
    let told: Vec<_> = leaves.map(|(_, body)| (body["dataset"].clone(), body["lifted"].clone())).collect();
    assert_eq!(told.len(), 5, "{told:?}");
}
