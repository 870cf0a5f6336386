//! Models, reviews, tables, and what of a table is not shown.

use serde_json::{Value, json};

use super::{Told, carried, silent};
use crate::support::until;
use crate::world::{FIRMS, PLAN, Papers, changed, firm};

pub(super) fn doors_and_reviews(told: &mut Told) {
    // A model where tables were agreed, then the same where both were: held, and nobody's own.
    let scorecard = told.world.upload("credit-scorecard");
    told.world.checker().post(&format!("/v1/modules/{scorecard}/review"), &json!({ "approve": true, "reason": "read" })).good();
    let tables = told.world.carry(&Papers::new("tables").agreement(r#"["table", "artefact"]"#, r#"["table"]"#));
    let job = told.world.run(&told.world.job(&tables, &scorecard));
    assert_eq!(job["state"], "failed", "{job}");
    carried(&job, "agreement.door");
    assert_eq!(job["releases"], json!([]));
    let job = told.world.run(&told.world.job("main", &scorecard));
    assert_eq!(job["state"], "in_review", "{job}");
    let held = told.world.output(&job);
    assert_eq!((held["kind"].as_str(), held["state"].as_str()), (Some("model"), Some("held")));
    let id = held["id"].as_str().unwrap();
    let vote = format!("/v1/releases/{id}/vote");
    let yes = json!({ "decision": "approve", "reason": "sound", "signature": "" });
    let empty = json!({ "purpose": "", "context": "x" });
    let answer = told.world.operator().post(&format!("/v1/releases/{id}/request"), &empty);
    told.no(&answer, "review.statement");
    let answer = told.world.server.reviewer("reviewer-gao").vote(id, "approve", "sound");
    told.no(&answer, "review.not_filed");
    told.world.operator().files(id);
    for (who, rule) in [
        (told.world.own_checker(), "auth.own_review"),
        (told.world.operator(), "auth.role"),
        (told.world.bureau(), "auth.role"),
        (told.world.authority(), "auth.role"),
        (told.world.checker(), "review.separation"),
        (told.world.server.person("keyless", "academy", "output_checker"), "review.key"),
    ] {
        let answer = who.post(&vote, &yes);
        told.no(&answer, rule);
    }
    for (decision, reason) in [("approve", "looks_good"), ("deny", "sound"), ("approve", "disclosive"), ("return", "")] {
        let answer = told.world.server.reviewer("reviewer-gao").vote(id, decision, reason);
        told.no(&answer, "review.reason");
    }
    let answer = told.world.server.reviewer("reviewer-gao").client.post(&vote, &yes);
    told.no(&answer, "review.signature");
    for path in ["evidence", "artefact"] {
        let answer = told.world.own_checker().get(&format!("/v1/releases/{id}/{path}"));
        let rule = answer.rule();
        assert!(["auth.own_review", "release.held", "request.not_found", "auth.role"].contains(&rule.as_str()), "{path}: {rule}");
        told.no(&answer, &rule);
    }
    let answer = told.world.operator().get(&format!("/v1/releases/{id}/evidence"));
    told.no(&answer, "auth.role");
    // Whose vote is not wanted gets no copy: the checker approved the module.
    let answer = told.world.checker().get(&format!("/v1/releases/{id}/evidence"));
    told.no(&answer, "review.no_duty");
    let copy = told.world.server.reviewer("reviewer-gao").client.get(&format!("/v1/releases/{id}/evidence")).good();
    assert!(copy["artefact"].is_object() && copy["evidence"].is_object(), "{copy}");
    told.world.server.voted(id, "deny", "capacity");
    let again = told.world.server.reviewer("reviewer-gao").vote(id, "approve", "sound");
    told.no(&again, "request.conflict");
    assert_eq!(told.world.seen(job["id"].as_str().unwrap())["state"], "done");
    let answer = told.world.checker().get(&format!("/v1/releases/{id}/artefact"));
    told.no(&answer, "release.denied");
}

/// Tables of which nothing may be shown: too few units behind the whole, too few behind every cell, and too few of each of the
/// operator's own values.
pub(super) fn tables(told: &mut Told) {
    const OWN: &str = "loans.default_12m";
    for (id, filter, measured, rule) in [
        ("few", r#"{ column = "grade", op = "in", values = ["M", "C", "D"] }"#, "tax.penalties_24m", "table.all_suppressed"),
        ("own", r#"{ column = "grade", op = "in", values = ["M", "C", "D"] }"#, OWN, "table.own_measure"),
        (
            "tiny",
            r#"{ column = "penalties_24m", op = "ge", value = 1 }, { column = "grade", op = "eq", value = "C" }"#,
            OWN,
            "table.minimum_units",
        ),
    ] {
        let plan = PLAN.replace(OWN, measured);
        let plan = changed(&plan, r#"dataset = "tax_grades""#, &format!("dataset = \"tax_grades\"\nfilters = [{filter}]"));
        told.world.operator().post_toml("/v1/plans", &changed(&plan, r#"id = "credit""#, &format!("id = \"{id}\""))).good();
        told.world.carry(&Papers::new(id).agreement(r#"plan = "credit""#, &format!("plan = \"{id}\"")));
        let mut job = told.world.job(id, &told.table);
        job["plan"] = json!(id);
        let job = told.world.run(&job);
        assert_eq!(job["state"], "done", "{job}");
        if id == "own" {
            // Its author learned of it on made-up rows, in the same words.
            let rehearsed = told.world.run(&json!({ "plan": id, "module": told.table, "synthetic": true, "rows": 60 }));
            assert_eq!(rehearsed["result"][0]["refusal"], told.world.output(&job)["refusal"], "{rehearsed}");
        }
        let output = told.world.output(&job);
        assert_eq!(output["state"], "refused", "{output}");
        carried(&output, rule);
        assert_eq!(output["refusal"]["threshold"], "10 units");
        let answer = told.world.checker().get(&format!("/v1/releases/{}/artefact", output["id"].as_str().unwrap()));
        told.no(&answer, "release.denied");
    }
}

/// What the operator sees of a table with hidden cells: that they are, and nothing of why.
pub(super) fn suppressed(told: &Told, job: &str) {
    let world = &told.world;
    let exact = world.ended(job);
    let id = world.output(&exact)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/releases/{id}/artefact");
    let operator = world.operator();
    // Not before the time quantum is over.
    until("the end as the operator sees it", || (operator.get(&format!("/v1/jobs/{job}")).good()["state"] == "done").then_some(()));
    let artefact = operator.get(&path).good();
    let table = &artefact["artefact"];
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 15, "five grades by three bands: {table}");
    for row in rows {
        let keys = (row["keys"][0].as_str().unwrap(), row["keys"][1].as_str().unwrap());
        let inside: Vec<u64> =
            (0..FIRMS).filter(|i| firm(*i).0 == keys.0 && (if firm(*i).1 { "long" } else { "none" }) == keys.1).collect();
        if inside.len() < 10 {
            assert_eq!(row["cell"], json!("suppressed"), "{keys:?}");
            continue;
        }
        let shown = row["cell"]["shown"].as_array().unwrap();
        assert_eq!(
            (shown[0].as_str(), shown[1].as_str()),
            (Some(inside.len().to_string().as_str()), Some(inside.len().to_string().as_str())),
            "{keys:?}"
        );
    }
    let hidden = rows.iter().filter(|r| r["cell"] == "suppressed").count();
    assert_eq!((hidden, table["suppressed"].as_u64()), (11, Some(11)));
    let job = operator.get(&format!("/v1/jobs/{job}")).good();
    let release = operator.get(&format!("/v1/releases/{id}")).good();
    for seen in [artefact.to_string(), job.to_string(), release.to_string()] {
        for word in ["minimum_frequency\":", "causes", "\"zero\"", "dominat", "units_counting", "\"fate\"", "evidence"] {
            assert!(!seen.contains(word), "the operator is told `{word}`: {seen}");
        }
        silent(seen.as_bytes());
    }
    assert_eq!((&job["report"], &job["failure"], &job["log"], &job["ended_at"]), (&Value::Null, &Value::Null, &Value::Null, &Value::Null));
    // The manifest names where it comes from.
    let sources = artefact["manifest"]["facts"]["sources"].as_array().unwrap();
    let named: Vec<_> = sources.iter().map(|s| (s["dataset"].as_str().unwrap(), s["owner"].as_str().unwrap())).collect();
    assert_eq!(named, [("loans", "harbour-bank"), ("tax_grades", "tax-bureau"), ("power_bills", "power-company")]);
    // A checker is told the cause.
    let evidence = world.checker().get(&format!("/v1/releases/{id}/evidence")).good();
    assert!(evidence["evidence"]["cells"].as_array().unwrap().iter().any(|c| c["causes"][0]["rule"] == "minimum_frequency"));
}
