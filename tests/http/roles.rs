//! Every route of the description × every role: allowed and denied as the permission matrix says. A route that is not in the
//! table, or a line of the table that is no route, fails.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::papers::{AGREEMENT, APPLICATION, AUTHORISATION, LOANS, PLAN, POLICY, TAX};
use crate::server::{Answer, Server, WHO};

const JOB: &str = "job_aaaaaaaaaaaaaaaa";
const RELEASE: &str = "rel_aaaaaaaaaaaaaaaa";
const MODULE: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const KEY: &str = "key-0000000000000000";

const ALL: &[&str] = &[
    "authority",
    "provider",
    "operator",
    "researcher",
    "checker",
    "own-checker",
    "sysadmin",
    "secadmin",
    "auditor",
    "other-operator",
    "other-provider",
];
/// Those with lists of papers, modules, jobs and releases, each shown only what it may read.
const LISTS: &[&str] = &["authority", "provider", "operator", "researcher", "checker", "own-checker", "other-operator", "other-provider"];
/// Those who may read what concerns the operator's papers.
const PAPERS: &[&str] = &["authority", "provider", "operator", "researcher", "checker", "own-checker"];
const EVIDENCE: &[&str] = &["authority", "checker"];

enum Body {
    None,
    Json(fn() -> Value),
    Toml(&'static str),
    Bytes(&'static str),
}
use Body::{Bytes, Json, None as Nothing, Toml};

/// One operation, what is sent, and who may. Those who may get another answer than 401, 403 and 500.
struct Line(&'static str, &'static str, &'static str, Body, &'static [&'static str]);

/// Reads of which the seeded rows have no content: a refused output has no artefact.
const UNREADABLE: &[&str] = &["/v1/releases/{id}/artefact", "/v1/releases/{id}/bundle"];

const ISSUER: &str = "citizen-app";
const VERIFICATION: &str = "ver_aaaaaaaaaaaaaaaa";

fn issuer() -> Value {
    json!({ "id": "another-app", "org": "citizen-services", "public_key": "A".repeat(43) + "=", "valid_until": "2090-01-01T00:00:00Z" })
}

fn question() -> Value {
    json!({
        "agreement": "none", "plan": "none", "module": MODULE, "purpose": "credit_risk",
        "token": { "signature": "", "token": {
            "issuer": "x", "namespace": "person", "subject": "x", "operator": "opco", "agreement": "none", "purpose": "credit_risk",
            "module": MODULE, "expires_at": "2090-01-01T00:00:00Z", "nonce": "0",
        } },
    })
}

/// All but system and security administration.
const BUDGETS: &[&str] =
    &["authority", "provider", "operator", "researcher", "checker", "own-checker", "auditor", "other-operator", "other-provider"];

fn count() -> Value {
    json!({ "plan": "credit", "fold": { "map": { "count": {} }, "mechanism": "laplace", "epsilon": "0.5" } })
}

fn reason() -> Value {
    json!({ "reason": "test" })
}

fn lines() -> Vec<Line> {
    vec![
        Line("GET", "/v1/me", "/v1/me", Nothing, ALL),
        Line("GET", "/v1/doctor", "/v1/doctor", Nothing, &["sysadmin", "secadmin"]),
        Line("POST", "/v1/principals", "/v1/principals", Json(|| json!({ "id": "new-one", "org": "x", "role": "auditor" })), &["secadmin"]),
        Line("GET", "/v1/principals", "/v1/principals", Nothing, &["secadmin"]),
        Line("DELETE", "/v1/principals/{id}", "/v1/principals/leaver", Nothing, &["secadmin"]),
        Line("POST", "/v1/principals/{id}/tokens", "/v1/principals/root/tokens", Json(|| json!({ "days": 1 })), &["secadmin"]),
        Line("POST", "/v1/principals/{id}/tokens/rotate", "/v1/principals/root/tokens/rotate", Json(|| json!({ "days": 1 })), &[]),
        Line("DELETE", "/v1/tokens/{token_id}", "/v1/tokens/{token}", Nothing, &["secadmin"]),
        // Register / grade a dataset: the provider its own, the operator its own non-public ones.
        Line("POST", "/v1/datasets", "/v1/datasets", Toml(TAX), &["provider"]),
        Line("POST", "/v1/datasets", "/v1/datasets", Toml(LOANS), &["operator"]),
        Line("GET", "/v1/datasets", "/v1/datasets", Nothing, ALL),
        Line("GET", "/v1/datasets/{id}", "/v1/datasets/tax_grades", Nothing, ALL),
        Line("POST", "/v1/datasets/{id}/versions", "/v1/datasets/tax_grades/versions?format=x", Bytes(""), &["provider"]),
        Line("POST", "/v1/datasets/{id}/versions", "/v1/datasets/loans/versions?format=x", Bytes(""), &["operator"]),
        Line("POST", "/v1/datasets/{id}/consents", "/v1/datasets/loans/consents?format=x", Bytes(""), &["operator"]),
        Line("GET", "/v1/datasets/{id}/imports", "/v1/datasets/tax_grades/imports", Nothing, &["provider"]),
        Line("POST", "/v1/plans", "/v1/plans", Toml(PLAN), &["operator", "other-operator"]),
        Line("GET", "/v1/plans", "/v1/plans", Nothing, LISTS),
        Line("GET", "/v1/plans/{id}", "/v1/plans/credit", Nothing, PAPERS),
        // Authorise / revoke an operator: the authority.
        Line("POST", "/v1/authorisations", "/v1/authorisations", Toml(AUTHORISATION), &["authority"]),
        Line("GET", "/v1/authorisations", "/v1/authorisations", Nothing, LISTS),
        Line(
            "GET",
            "/v1/authorisations/{id}",
            "/v1/authorisations/auth-1",
            Nothing,
            &["authority", "provider", "operator", "researcher", "checker", "own-checker", "other-provider"],
        ),
        // Apply, sign an agreement: the operator; the provider decides and counter-signs.
        Line("POST", "/v1/applications", "/v1/applications", Toml(APPLICATION), &["operator"]),
        Line("GET", "/v1/applications", "/v1/applications", Nothing, LISTS),
        Line("GET", "/v1/applications/{id}", "/v1/applications/app-1", Nothing, PAPERS),
        Line("POST", "/v1/applications/{id}/decide", "/v1/applications/app-1/decide", Json(|| json!({ "approve": true })), &["provider"]),
        Line("POST", "/v1/agreements", "/v1/agreements", Toml(AGREEMENT), &["operator"]),
        Line("GET", "/v1/agreements", "/v1/agreements", Nothing, LISTS),
        Line("GET", "/v1/agreements/{id}", "/v1/agreements/agr-1", Nothing, PAPERS),
        Line("POST", "/v1/agreements/{id}/countersign", "/v1/agreements/agr-1/countersign", Json(|| json!({})), &["provider"]),
        // Keys: the security administrator.
        Line("POST", "/v1/keys", "/v1/keys", Json(|| json!({ "public_key": "AAAA" })), &["secadmin"]),
        Line(
            "GET",
            "/v1/keys/{id}",
            "/v1/keys/key-0000000000000000",
            Nothing,
            &["authority", "operator", "researcher", "own-checker", "secadmin"],
        ),
        Line("DELETE", "/v1/keys/{id}", "/v1/keys/key-0000000000000000", Nothing, &["secadmin"]),
        // Upload a module: operator and researcher; approve one: a checker, not of one's own.
        Line("POST", "/v1/modules", "/v1/modules", Bytes("no wasm"), &["operator", "researcher", "other-operator"]),
        Line("GET", "/v1/modules", "/v1/modules", Nothing, LISTS),
        Line(
            "GET",
            "/v1/modules/{digest}",
            "/v1/modules/{module}",
            Nothing,
            &["authority", "operator", "researcher", "checker", "own-checker"],
        ),
        Line(
            "GET",
            "/v1/modules/{digest}/wasm",
            "/v1/modules/{module}/wasm",
            Nothing,
            &["operator", "researcher", "checker", "own-checker"],
        ),
        Line(
            "POST",
            "/v1/modules/{digest}/review",
            "/v1/modules/{module}/review",
            Json(|| json!({ "approve": true, "reason": "read" })),
            &["checker"],
        ),
        // Run on synthetic and on real data: operator and researcher.
        Line(
            "POST",
            "/v1/jobs",
            "/v1/jobs",
            Json(|| json!({ "plan": "none", "module": MODULE, "synthetic": true, "rows": 10 })),
            &["operator", "researcher", "other-operator"],
        ),
        Line(
            "POST",
            "/v1/jobs",
            "/v1/jobs",
            Json(|| json!({ "plan": "none", "module": MODULE, "purpose": "credit_risk" })),
            &["operator", "researcher", "other-operator"],
        ),
        Line("GET", "/v1/jobs", "/v1/jobs", Nothing, LISTS),
        Line("GET", "/v1/jobs/{id}", "/v1/jobs/{job}", Nothing, PAPERS),
        Line("GET", "/v1/jobs/{id}/events", "/v1/jobs/{job}/events", Nothing, PAPERS),
        Line("POST", "/v1/jobs/{id}/cancel", "/v1/jobs/{job}/cancel", Nothing, &["operator", "researcher"]),
        Line("POST", "/v1/jobs/{id}/replay", "/v1/jobs/{job}/replay", Json(|| json!({ "threads": 0 })), EVIDENCE),
        // Approve a release: a checker, not of one's own.
        Line("GET", "/v1/releases", "/v1/releases", Nothing, LISTS),
        Line("GET", "/v1/releases/{id}", "/v1/releases/{release}", Nothing, PAPERS),
        // Refused at the gate, so that nobody has an artefact to fetch: those who may are told that (release.denied).
        Line("GET", "/v1/releases/{id}/artefact", "/v1/releases/{release}/artefact", Nothing, PAPERS),
        Line("GET", "/v1/releases/{id}/bundle", "/v1/releases/{release}/bundle", Nothing, PAPERS),
        Line("GET", "/v1/releases/{id}/evidence", "/v1/releases/{release}/evidence", Nothing, EVIDENCE),
        // The airlock: the operator files and appeals, checkers vote, providers object, the authority gives time and hears appeals.
        Line(
            "POST",
            "/v1/releases/{id}/request",
            "/v1/releases/{release}/request",
            Json(|| json!({ "purpose": "x", "context": "x" })),
            &["operator"],
        ),
        Line(
            "POST",
            "/v1/releases/{id}/vote",
            "/v1/releases/{release}/vote",
            Json(|| json!({ "decision": "approve", "reason": "sound", "signature": "" })),
            &["checker"],
        ),
        Line("POST", "/v1/releases/{id}/extend", "/v1/releases/{release}/extend", Json(reason), &["authority"]),
        Line("POST", "/v1/releases/{id}/veto", "/v1/releases/{release}/veto", Json(reason), &["provider"]),
        Line("POST", "/v1/releases/{id}/waive", "/v1/releases/{release}/waive", Json(|| json!({})), &["provider"]),
        Line("POST", "/v1/releases/{id}/appeal", "/v1/releases/{release}/appeal", Json(reason), &["operator"]),
        Line(
            "POST",
            "/v1/releases/{id}/appeal/decide",
            "/v1/releases/{release}/appeal/decide",
            Json(|| json!({ "uphold": true, "reason": "test" })),
            &["authority"],
        ),
        // Reviewers' keys: enrolled by checkers, each its own; confirmed by the security administrator.
        Line("POST", "/v1/reviewer-keys", "/v1/reviewer-keys", Json(|| json!({ "public_key": "AAAA" })), &["checker", "own-checker"]),
        Line("GET", "/v1/reviewer-keys", "/v1/reviewer-keys", Nothing, &["authority", "checker", "own-checker", "secadmin", "auditor"]),
        Line(
            "POST",
            "/v1/reviewer-keys/{id}/confirm",
            "/v1/reviewer-keys/rkey-aaaa/confirm",
            Json(|| json!({ "fingerprint": "sha256:0" })),
            &["secadmin"],
        ),
        Line("DELETE", "/v1/reviewer-keys/{id}", "/v1/reviewer-keys/rkey-aaaa", Nothing, &["checker", "secadmin"]),
        // Set policy: the authority the floor, a provider tighter for its own data.
        Line("GET", "/v1/policies", "/v1/policies", Nothing, ALL),
        Line("PUT", "/v1/policies/floor", "/v1/policies/floor", Toml(POLICY), &["authority"]),
        Line("PUT", "/v1/policies/orgs/{org}", "/v1/policies/orgs/bureau", Toml(POLICY), &["provider"]),
        // Privacy budgets: the authority sets, whoever has to do with data sees. A preview: whoever may read the plan.
        Line("GET", "/v1/namespaces/{namespace}/budget", "/v1/namespaces/firm/budget", Nothing, BUDGETS),
        Line(
            "PUT",
            "/v1/namespaces/{namespace}/budget",
            "/v1/namespaces/firm/budget",
            Json(|| json!({ "epsilon": "3", "reason": "test" })),
            &["authority"],
        ),
        Line("POST", "/v1/private/preview", "/v1/private/preview", Json(count), PAPERS),
        // Issuers of consent tokens: providers and the authority, never an operator. Questions: the operator and its researchers.
        Line("POST", "/v1/issuers", "/v1/issuers", Json(issuer), &["authority", "provider", "other-provider"]),
        Line("GET", "/v1/issuers", "/v1/issuers", Nothing, BUDGETS),
        Line("GET", "/v1/issuers/{id}", "/v1/issuers/citizen-app", Nothing, BUDGETS),
        Line("POST", "/v1/issuers/{id}/revoke", "/v1/issuers/citizen-app/revoke", Json(reason), &["authority", "provider"]),
        Line("POST", "/v1/verifications", "/v1/verifications", Json(question), &["operator", "researcher", "other-operator"]),
        Line("GET", "/v1/verifications", "/v1/verifications", Nothing, LISTS),
        Line("GET", "/v1/verifications/{id}", "/v1/verifications/ver_aaaaaaaaaaaaaaaa", Nothing, PAPERS),
        // Freeze releases: authority, security administrator, provider for its own; the authority alone lifts.
        Line("POST", "/v1/freeze", "/v1/freeze", Json(reason), &["authority", "provider", "secadmin", "other-provider"]),
        Line("POST", "/v1/freeze/lift", "/v1/freeze/lift", Json(reason), &["authority"]),
        // A database behind its log: whoever runs the platform sees it, the authority alone signs.
        Line("GET", "/v1/recovery", "/v1/recovery", Nothing, &["authority", "sysadmin", "secadmin", "auditor"]),
        Line(
            "POST",
            "/v1/recovery",
            "/v1/recovery",
            Json(|| json!({ "database": { "size": 1, "root": "x" }, "remembered": null, "reason": "test" })),
            &["authority"],
        ),
        Line(
            "POST",
            "/v1/recovery/rebase",
            "/v1/recovery/rebase",
            Json(|| json!({ "namespace": "firm", "reason": "test" })),
            &["authority"],
        ),
        // Supervise: the authority acts, the auditor reads; orders are seen by those they are to.
        Line("GET", "/v1/alerts", "/v1/alerts", Nothing, &["authority", "auditor"]),
        Line(
            "POST",
            "/v1/alerts/acknowledge",
            "/v1/alerts/acknowledge",
            Json(|| json!({ "rule": "log.check", "subject": "log", "note": "test" })),
            &["authority"],
        ),
        Line("GET", "/v1/indicators", "/v1/indicators?days=7", Nothing, &["authority", "auditor"]),
        Line("GET", "/v1/orders", "/v1/orders", Nothing, BUDGETS),
        Line("POST", "/v1/orders", "/v1/orders", Json(|| json!({ "org": "opco", "text": "test", "due": "2098-12-31" })), &["authority"]),
        Line("POST", "/v1/orders/{id}/close", "/v1/orders/1/close", Json(|| json!({ "outcome": "done" })), &["authority"]),
        // Read the log: a body for those it concerns, the authority and the auditor. Leaf 0 is the first account's, of `platform`:
        // administrators read no log.
        Line("GET", "/v1/log/leaves", "/v1/log/leaves?count=5&kind=24", Nothing, BUDGETS),
        Line("GET", "/v1/log/leaves/{n}", "/v1/log/leaves/0", Nothing, &["authority", "auditor"]),
        // What ends things, last.
        Line("POST", "/v1/authorisations/{id}/revoke", "/v1/authorisations/auth-1/revoke", Json(reason), &["authority"]),
        Line("POST", "/v1/agreements/{id}/terminate", "/v1/agreements/agr-1/terminate", Json(reason), &["operator", "provider"]),
    ]
}

/// Rows of a module, a key, an ended job and a refused output, as the server writes them.
fn seed(db: &rusqlite::Connection, modules: &protocol::seal::SealKey) {
    let bytes = protocol::seal::seal(modules, format!("module/{MODULE}").as_bytes(), b"bytes").unwrap();
    let manifest = json!({ "name": "m", "version": "1" }).to_string();
    db.execute(
        "INSERT INTO module (digest, org, principal, name, version, manifest, imports, state, bytes, engine, code, created_at)
         VALUES (?1, 'opco', 'operator', 'm', '1', ?2, '[]', 'unreviewed', ?3, 'e', x'00', 1)",
        (MODULE, manifest, bytes),
    )
    .unwrap();
    db.execute("INSERT INTO signing_key (id, org, public_key, created_at) VALUES (?1, 'opco', zeroblob(32), 1)", [KEY]).unwrap();
    let enrolled = "INSERT INTO reviewer_key (id, principal, org, public_key, enrolled_at) VALUES ('rkey-aaaa', 'checker', 'review-office', zeroblob(32), 1)";
    db.execute(enrolled, []).unwrap();
    let source = json!({ "dataset": "tax_grades", "entry_revision": 1, "version": 1, "consent_version": null });
    let spec = json!({
        "org": "opco", "agreement": "agr-1", "plan": "credit", "plan_digest": "0".repeat(64), "module": MODULE, "purpose": "credit_risk",
        "recipient": "opco", "sources": [source], "synthetic_rows": null, "today": "2026-01-01",
    });
    db.execute(
        "INSERT INTO job (id, org, principal, state, synthetic, agreement, spec, spec_digest, request_digest, created_at)
         VALUES (?1, 'opco', 'operator', 'done', 0, 'agr-1', ?2, 'd', 'r', 1)",
        (JOB, spec.to_string()),
    )
    .unwrap();
    let facts = json!({
        "job": JOB, "org": "opco", "principal": "operator", "author_org": "opco", "agreement": "agr-1", "plan": "credit",
        "plan_digest": "0", "module": MODULE, "engine_digest": "0", "purpose": "credit_risk", "recipient": "opco",
        "sources": [{ "dataset": "tax_grades", "owner": "bureau", "version": 1, "consent_version": null, "columns": ["grade"] }],
        "today": "2026-01-01",
    });
    db.execute(
        "INSERT INTO release (id, job, org, author_org, providers, name, kind, state, checks, facts, commitment, decision_leaf, created_at)
         VALUES (?1, ?2, 'opco', 'opco', '|bureau|', 't', 'table', 'refused', '[]', ?3, 'c', 0, 1)",
        (RELEASE, JOB, facts.to_string()),
    )
    .unwrap();
    seed_verification(db);
}

/// Rows of an issuer and a question.
fn seed_verification(db: &rusqlite::Connection) {
    db.execute(
        "INSERT INTO issuer (id, org, public_key, registered_org, registered_by, registered_at, valid_from, valid_until)
         VALUES (?1, 'citizen-services', zeroblob(32), 'bureau', 'provider', 1, 1, 4000000000)",
        [ISSUER],
    )
    .unwrap();
    db.execute(
        "INSERT INTO verification (id, issuer, nonce, subject, org, principal, author_org, providers, agreement, plan, module, purpose, millibits, state, asked_at, leaf)
         VALUES (?1, ?2, 'n', zeroblob(32), 'opco', 'operator', 'opco', '|bureau|', 'agr-1', 'credit', ?3, 'credit_risk', 1000, 'spent', 1, 0)",
        (VERIFICATION, ISSUER, MODULE),
    )
    .unwrap();
}

fn world() -> Server {
    let server = Server::with_everyone(seed);
    let done = |answer: Answer| assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    for id in ["leaver", "holder"] {
        done(server.call("POST", "/v1/principals", &server.root_token, Some(&json!({ "id": id, "org": "x", "role": "auditor" }))));
    }
    done(server.toml("POST", "/v1/datasets", server.token("provider"), TAX));
    done(server.toml("POST", "/v1/datasets", server.token("operator"), LOANS));
    done(server.toml("POST", "/v1/plans", server.token("operator"), PLAN));
    done(server.toml("POST", "/v1/authorisations", server.token("authority"), AUTHORISATION));
    done(server.toml("POST", "/v1/applications", server.token("operator"), APPLICATION));
    done(server.toml("POST", "/v1/agreements", server.token("operator"), AGREEMENT));
    server
}

fn send(server: &Server, line: &Line, who: &str, token_id: &str) -> Answer {
    let path = line.2.replace("{module}", MODULE).replace("{job}", JOB).replace("{release}", RELEASE).replace("{token}", token_id);
    match &line.3 {
        Nothing => server.raw(line.0, &path, Some(&format!("Bearer {}", server.token(who))), None, &[]),
        Json(body) => server.call(line.0, &path, server.token(who), Some(&body())),
        Toml(text) => server.toml(line.0, &path, server.token(who), text),
        Bytes(text) => {
            let authorization = format!("Bearer {}", server.token(who));
            server.raw(line.0, &path, Some(&authorization), Some(("application/octet-stream", text.as_bytes())), &[])
        }
    }
}

/// Rules that deny a role, and not a thing's state.
const ROLE_RULES: &[&str] = &["auth.role", "auth.own_review", "dataset.public_by_operator"];

#[test]
fn every_route_and_role_is_allowed_or_denied_as_the_matrix_says() {
    let server = world();
    let spare = server.issue("holder", 1)["token_id"].as_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    for line in lines() {
        // Those who may not, first: what they are denied must not depend on what was done before.
        let (may, may_not): (Vec<_>, Vec<_>) = WHO.iter().map(|(id, ..)| *id).partition(|id| line.4.contains(id));
        for who in may_not {
            let answer = send(&server, &line, who, &spare);
            if answer.status != 403 || !ROLE_RULES.contains(&answer.rule().as_str()) {
                wrong.push(format!("{} {} as {who}: {} {}, not denied", line.0, line.2, answer.status, answer.rule()));
            }
        }
        for who in may {
            let answer = send(&server, &line, who, &spare);
            let denied = answer.status == 403 && ROLE_RULES.contains(&answer.rule().as_str());
            let unread = line.0 == "GET" && answer.status != 200 && !UNREADABLE.contains(&line.1);
            if denied || unread || answer.status == 401 || answer.status >= 500 {
                wrong.push(format!("{} {} as {who}: {} {}, not allowed", line.0, line.2, answer.status, answer.rule()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let denials = server.leaves().iter().filter(|leaf| leaf["event"] == "denied").count();
    let expected: usize = lines().iter().map(|line| WHO.len() - line.4.len()).sum();
    assert!(denials >= expected, "{denials} denials are in the log, {expected} were told");
}

#[test]
fn the_table_has_every_signed_route_and_no_other() {
    let described: BTreeSet<(String, String)> = serde_json::to_value(fusebox::api::document()).unwrap()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(path, _)| path.starts_with("/v1/"))
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path.clone())).collect::<Vec<_>>())
        .collect();
    let listed: BTreeSet<(String, String)> = lines().iter().map(|l| (l.0.to_owned(), l.1.to_owned())).collect();
    assert_eq!(described.difference(&listed).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "without a line here");
    assert_eq!(listed.difference(&described).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "no route any more");
}
