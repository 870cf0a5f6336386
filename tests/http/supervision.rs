//! Alerts, orders and figures: raised by their cause, seen once, and gone with it.

use fusebox::clock::Timestamp;
use serde_json::{Value, json};

use crate::papers::{AGREEMENT, APPLICATION, AUTHORISATION, LOANS, PLAN, POLICY, TAX};
use crate::server::Server;

const DAY_S: i64 = 86_400;

fn server() -> Server {
    let server = Server::with_everyone(|_, _| {});
    for (path, who, text) in [
        ("/v1/datasets", "provider", TAX),
        ("/v1/datasets", "operator", LOANS),
        ("/v1/plans", "operator", PLAN),
        ("/v1/authorisations", "authority", AUTHORISATION),
        ("/v1/applications", "operator", APPLICATION),
    ] {
        let answer = server.toml("POST", path, server.token(who), text);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    server
}

fn alerts(server: &Server) -> Vec<Value> {
    let answer = server.call("GET", "/v1/alerts", server.token("authority"), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().unwrap().clone()
}

fn of<'a>(alerts: &'a [Value], rule: &str) -> Vec<&'a Value> {
    alerts.iter().filter(|a| a["rule"] == rule).collect()
}

/// At noon in China of a day of 2026, whose calendar is announced.
fn at(server: &Server, day: &str) {
    server.clock.set(format!("{day}T04:00:00Z").parse::<Timestamp>().unwrap());
}

#[test]
fn a_reply_is_overdue_after_ten_working_days_and_no_sooner() {
    let server = Server::with_everyone(|_, _| {});
    // Before the Spring Festival: ten working days later, with two make-up Saturdays, is 2026-03-04.
    at(&server, "2026-02-12");
    let tokens: std::collections::BTreeMap<&str, String> =
        crate::server::WHO.iter().map(|(id, ..)| (*id, server.issue(id, 60)["token"].as_str().unwrap().to_owned())).collect();
    for (path, who, text) in
        [("/v1/datasets", "provider", TAX), ("/v1/datasets", "operator", LOANS), ("/v1/applications", "operator", APPLICATION)]
    {
        assert_eq!(server.toml("POST", path, &tokens[who], text).status, 201);
    }
    let standing = |day: &str| {
        at(&server, day);
        let answer = server.call("GET", "/v1/alerts", &tokens["authority"], None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        of(answer.json().as_array().unwrap(), "reply.overdue").len()
    };
    assert_eq!(standing("2026-03-04"), 0, "the last day for it");
    assert_eq!(standing("2026-03-05"), 1);
    let figures = server.call("GET", "/v1/indicators?days=60", &tokens["auditor"], None).json();
    assert_eq!((&figures["replies_in_time"], &figures["replies_late"]), (&json!(0), &json!(1)));
    // Decided, however late: nothing is open any more.
    let decide = json!({ "approve": true, "reason": "", "basis": "" });
    assert_eq!(server.call("POST", "/v1/applications/app-1/decide", &tokens["provider"], Some(&decide)).status, 200);
    assert_eq!(standing("2026-03-06"), 0);
}

#[test]
fn an_attempt_at_reviewing_ones_own_is_seen_once_until_it_happens_again() {
    let server = server();
    let module = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let attempt = || {
        let db = rusqlite::Connection::open(server.dir.join("data/state/fusebox.db")).unwrap();
        db.execute(
            "INSERT OR IGNORE INTO module (digest, org, principal, name, version, manifest, imports, state, bytes, engine, code, created_at)
             VALUES (?1, 'opco', 'operator', 'm', '1', ?2, '[]', 'unreviewed', x'', '', x'', ?3)",
            (module, json!({ "name": "m", "version": "1" }).to_string(), server.clock_s()),
        )
        .unwrap();
        let body = json!({ "approve": true, "reason": "r" });
        let answer = server.call("POST", &format!("/v1/modules/{module}/review"), server.token("own-checker"), Some(&body));
        assert_eq!(answer.rule(), "auth.own_review");
    };
    assert!(of(&alerts(&server), "review.self").is_empty());
    attempt();
    let standing = alerts(&server);
    let alert = of(&standing, "review.self")[0];
    assert_eq!((&alert["subject"], &alert["extent"], &alert["acknowledged"]), (&json!("opco"), &json!(1), &Value::Null));
    let seen = json!({ "rule": "review.self", "subject": "opco", "note": "asked them" });
    for (body, status) in [
        (json!({ "rule": "review.self", "subject": "opco", "note": " " }), 422),
        (json!({ "rule": "review.self", "subject": "nobody", "note": "n" }), 404),
        (seen.clone(), 201),
        (seen.clone(), 409),
    ] {
        assert_eq!(server.call("POST", "/v1/alerts/acknowledge", server.token("authority"), Some(&body)).status, status, "{body}");
    }
    assert_eq!(of(&alerts(&server), "review.self")[0]["acknowledged"]["note"], "asked them");
    assert!(server.leaves().iter().any(|l| l["alert"] == "review.self" && l["note"] == "asked them"));
    attempt();
    assert_eq!(of(&alerts(&server), "review.self")[0]["acknowledged"], Value::Null, "it has grown");
}

#[test]
fn an_order_past_its_day_stands_until_it_is_closed() {
    let server = server();
    let today = server.clock_s();
    let day = |at: i64| Timestamp::from_unix_s(at).date(fusebox::clock::CHINA_UTC_OFFSET_S).to_string();
    let post = |path: &str, body: &Value| server.call("POST", path, server.token("authority"), Some(body));
    let order = |due: i64| json!({ "org": "opco", "text": "mend the access list", "due": day(due) });
    assert_eq!(post("/v1/orders", &order(today - DAY_S)).status, 422, "its day is over");
    let id = post("/v1/orders", &order(today + DAY_S)).json()["id"].as_i64().unwrap();
    let seen = |who: &str| server.call("GET", "/v1/orders", server.token(who), None).json().as_array().unwrap().len();
    assert_eq!((seen("operator"), seen("researcher"), seen("other-operator"), seen("auditor")), (1, 1, 0, 1));
    assert!(of(&alerts(&server), "rectification.overdue").is_empty());
    server.clock.advance_s(2 * DAY_S);
    assert_eq!(of(&alerts(&server), "rectification.overdue")[0]["org"], "opco");
    assert_eq!(post(&format!("/v1/orders/{id}/close"), &json!({ "outcome": "" })).status, 422);
    assert_eq!(post(&format!("/v1/orders/{id}/close"), &json!({ "outcome": "seen to be done" })).status, 204);
    assert_eq!(post(&format!("/v1/orders/{id}/close"), &json!({ "outcome": "again" })).status, 409);
    assert!(of(&alerts(&server), "rectification.overdue").is_empty());
}

#[test]
fn agreements_near_their_end_and_similar_modules_are_said() {
    let server = server();
    let until = Timestamp::from_unix_s(server.clock_s() + 20 * DAY_S).date(fusebox::clock::CHINA_UTC_OFFSET_S);
    let decide = json!({ "approve": true, "reason": "", "basis": "" });
    assert_eq!(server.call("POST", "/v1/applications/app-1/decide", server.token("provider"), Some(&decide)).status, 200);
    let near = AGREEMENT.replace("2099-12-31", &until.to_string());
    let drafted = server.toml("POST", "/v1/agreements", server.token("operator"), &near);
    assert_eq!(drafted.status, 201, "{}", drafted.text());
    let standing = alerts(&server);
    assert_eq!(of(&standing, "agreement.expiring")[0]["subject"], "agr-1");
    assert!(of(&standing, "agreement.undisposed").is_empty() && of(&standing, "module.similar").is_empty());
    let db = rusqlite::Connection::open(server.dir.join("data/state/fusebox.db")).unwrap();
    for i in 0..5 {
        db.execute(
            "INSERT INTO module (digest, org, principal, name, version, manifest, imports, state, bytes, engine, code, created_at)
             VALUES (?1, 'opco', 'operator', ?2, '1', ?3, '[]', 'unreviewed', x'', '', x'', ?4)",
            (
                format!("sha256:{i:064}"),
                format!("m{i}"),
                json!({ "name": format!("m{i}"), "columns": ["a"] }).to_string(),
                server.clock_s(),
            ),
        )
        .unwrap();
        assert_eq!(of(&alerts(&server), "module.similar").len(), usize::from(i == 4));
    }
    // Past its end with no certificate yet (the thread that disposes comes once a minute).
    server.clock.advance_s(25 * DAY_S);
    let late = alerts(&server);
    assert_eq!(of(&late, "agreement.undisposed")[0]["subject"], "agr-1");
    assert!(of(&late, "agreement.expiring").is_empty() && of(&late, "module.similar").is_empty());
}

fn database(server: &Server) -> rusqlite::Connection {
    rusqlite::Connection::open(server.dir.join("data/state/fusebox.db")).unwrap()
}

#[test]
fn differences_and_frequent_questions_are_said_from_the_policys_thresholds_on() {
    let server = server();
    assert_eq!(server.toml("PUT", "/v1/policies/floor", server.token("authority"), POLICY).status, 204);
    let (db, now) = (database(&server), server.clock_s());
    let hold = |org: &str, cause: &str, at: i64| {
        let sql = "INSERT INTO audit_hold (namespace, org, release, cause, at) VALUES ('firm', ?1, 'rel_x', ?2, ?3)";
        db.execute(sql, (org, cause, at)).unwrap();
    };
    let differences = || of(&alerts(&server), "audit.differencing").into_iter().cloned().collect::<Vec<_>>();
    // 19 tables that a rule refused for what their data is say nothing of differences; the 20th ends the automatic tables.
    (0..19).for_each(|_| hold("opco", "refused", now - DAY_S));
    hold("rival", "difference", now - 91 * DAY_S);
    assert!(differences().is_empty(), "{:?}", differences());
    hold("opco", "refused", now);
    hold("third", "combination", now - DAY_S);
    let standing = differences();
    assert_eq!(standing.iter().map(|a| a["org"].as_str().unwrap()).collect::<Vec<_>>(), ["opco", "third"]);
    assert_eq!(standing[0]["value"], "0 tables for a difference, 20 held or refused in all");
    assert_eq!(standing[1]["value"], "1 tables for a difference, 1 held or refused in all");
    assert_eq!((&standing[1]["about"], &standing[1]["subject"]), (&json!("organisation"), &json!("third (firm)")));
    assert_eq!(standing[0]["threshold"], "1 for a difference, or 20 in all, in 90 days");
    // One that was seen stands again with the next.
    let seen = json!({ "rule": "audit.differencing", "subject": "third (firm)", "note": "asked" });
    assert_eq!(server.call("POST", "/v1/alerts/acknowledge", server.token("authority"), Some(&seen)).status, 201);
    assert_eq!(differences()[0]["org"], "opco", "what nobody has seen comes first");
    hold("third", "difference", now);
    assert!(differences().iter().all(|a| a["acknowledged"].is_null()));

    let ask = |org: &str, count: u32, at: i64| {
        let sql = "INSERT INTO verification (id, issuer, nonce, subject, org, principal, author_org, providers, agreement, plan, module, purpose,
                       millibits, state, asked_at, leaf)
                   WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
                   SELECT ?1 || ?3 || i, 'app', ?1 || ?3 || i, zeroblob(32), ?1, 'p', ?1, '|bureau|', 'agr-1', 'credit', 'm', 'credit_risk', 1000,
                       'spent', ?3, 0 FROM n";
        db.execute(sql, (org, count, at)).unwrap();
    };
    // 800 of 1000 a day; 799 on one day and 300 on the next are not, nor what lies more than a week back.
    ask("opco", 799, now - 2 * DAY_S);
    ask("opco", 300, now - DAY_S);
    ask("third", 900, now - 9 * DAY_S);
    assert!(of(&alerts(&server), "verification.frequent").is_empty());
    ask("opco", 1, now - 2 * DAY_S + 1);
    let standing = alerts(&server);
    let frequent = of(&standing, "verification.frequent");
    let day = Timestamp::from_unix_s(now - 2 * DAY_S).date(fusebox::clock::CHINA_UTC_OFFSET_S);
    assert_eq!((frequent.len(), &frequent[0]["org"], &frequent[0]["value"]), (1, &json!("opco"), &json!(format!("800 answers on {day}"))));
}

#[test]
fn a_release_request_is_overdue_after_its_working_days() {
    let server = Server::with_everyone(|_, _| {});
    at(&server, "2026-02-12");
    let filed = server.clock_s();
    let token = server.issue("authority", 60)["token"].as_str().unwrap().to_owned();
    let db = database(&server);
    let facts = json!({
        "job": "job_aaaaaaaaaaaaaaaa", "org": "opco", "principal": "operator", "author_org": "opco", "agreement": "agr-1", "plan": "credit",
        "plan_digest": "0", "module": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "engine_digest": "0",
        "purpose": "credit_risk", "recipient": "opco", "sources": [], "today": "2026-02-12",
    });
    db.execute(
        "INSERT INTO release (id, job, org, author_org, providers, name, kind, state, checks, facts, commitment, decision_leaf, created_at)
         VALUES ('rel_aaaaaaaaaaaaaaaa', 'job_aaaaaaaaaaaaaaaa', 'opco', 'opco', '|bureau|', 't', 'model', 'held', '[]', ?1, 'c', 0, ?2)",
        (facts.to_string(), filed),
    )
    .unwrap();
    let standing = |day: &str| {
        at(&server, day);
        let answer = server.call("GET", "/v1/alerts", &token, None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        of(answer.json().as_array().unwrap(), "reply.overdue").into_iter().cloned().collect::<Vec<_>>()
    };
    assert!(standing("2026-03-20").is_empty(), "no request was filed: no clock runs");
    let statement = json!({ "purpose": "credit_risk", "context": "c" });
    db.execute(
        "INSERT INTO release_round (release, round, origin, statement, filed_by, filed_at, working_days, leaf)
         VALUES ('rel_aaaaaaaaaaaaaaaa', 1, 'request', ?1, 'operator', ?2, 10, 0)",
        (statement.to_string(), filed),
    )
    .unwrap();
    assert!(standing("2026-03-04").is_empty(), "the last day for it");
    let late = standing("2026-03-05");
    assert_eq!(
        (&late[0]["subject"], &late[0]["about"], &late[0]["org"]),
        (&json!("rel_aaaaaaaaaaaaaaaa"), &json!("release"), &json!("opco"))
    );
    assert_eq!((&late[0]["value"], &late[0]["threshold"]), (&json!("due 2026-03-04"), &json!("10 working days")));
    // More time, given once.
    let extension = json!({ "working_days": 5, "by": "authority", "reason": "r", "at": "2026-03-04T00:00:00Z" });
    db.execute("UPDATE release_round SET extension = ?1", [extension.to_string()]).unwrap();
    assert!(standing("2026-03-11").is_empty());
    assert_eq!(standing("2026-03-12").len(), 1);
}

#[test]
fn a_log_that_was_touched_raises_an_alert() {
    let server = server();
    let path = server.dir.join("data/log/checkpoint");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let check = || server.call("GET", "/v1/indicators", server.token("auditor"), None).json()["log_check"].clone();
    while !(check()["leaves"].as_u64().unwrap_or(0) > 0 && check()["fault"].is_null()) {
        assert!(std::time::Instant::now() < until, "never found sound: {}", check());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let sound = std::fs::read(&path).unwrap();
    let mut touched = sound.clone();
    let at = touched.iter().position(|b| *b == b'\n').unwrap() + 1;
    touched[at] ^= 1;
    std::fs::write(&path, &touched).unwrap();
    while of(&alerts(&server), "log.check").is_empty() {
        assert!(std::time::Instant::now() < until, "never said");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
