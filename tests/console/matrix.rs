//! Every page of the console × every role: shown, or refused with its rule. A page of the router that has no line here fails.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fusebox::gate::fingerprint;
use serde_json::json;

use crate::by_hand::{Hand, check_headers, mark};
use crate::world::{WHO, World};

const LISTS: &[&str] = &["authority-chen", "tax-zhao", "operator-wang", "researcher-he", "checker-li", "reviewer-song", "rival-qian"];
pub const PAPERS: &[&str] = &["authority-chen", "tax-zhao", "operator-wang", "researcher-he", "checker-li", "reviewer-song"];
const LOG: &[&str] =
    &["authority-chen", "tax-zhao", "operator-wang", "researcher-he", "checker-li", "reviewer-song", "auditor-xu", "rival-qian"];
const WATCHES: &[&str] = &["authority-chen", "auditor-xu"];
const EVERYONE: &[&str] = &[];

/// A page: as the router spells it, one address of it, who sees it (none named: all).
pub struct Line(pub &'static str, pub String, pub &'static [&'static str]);

pub fn lines(world: &World) -> Vec<Line> {
    let World { table, models, table_job, module, .. } = world;
    let line = |route: &'static str, who| Line(route, route.to_owned(), who);
    vec![
        line("/console/overview", LISTS),
        line("/console/releases", LISTS),
        Line("/console/releases/{id}", format!("/console/releases/{}", models[0]), PAPERS),
        Line("/console/releases/{id}", format!("/console/releases/{table}"), PAPERS),
        Line("/console/releases/{id}/bundle", format!("/console/releases/{table}/bundle"), PAPERS),
        line("/console/alerts", WATCHES),
        line("/console/orders", LOG),
        line("/console/indicators", WATCHES),
        line("/console/log", LOG),
        Line("/console/log/{number}", "/console/log/0".into(), LOG),
        line("/console/jobs", LISTS),
        Line("/console/jobs/{id}", format!("/console/jobs/{table_job}"), PAPERS),
        Line("/console/jobs/{id}/events", format!("/console/jobs/{table_job}/events"), PAPERS),
        line("/console/modules", LISTS),
        Line(
            "/console/modules/{digest}",
            format!("/console/modules/{module}"),
            &["authority-chen", "operator-wang", "researcher-he", "checker-li", "reviewer-song"],
        ),
        line("/console/papers", LISTS),
        Line("/console/papers/agreements/{id}", "/console/papers/agreements/credit-2026".into(), PAPERS),
        Line("/console/papers/applications/{id}", "/console/papers/applications/credit-application-2026".into(), PAPERS),
        line("/console/data", EVERYONE),
        Line("/console/data/{id}", "/console/data/tax_grades".into(), EVERYONE),
        line("/console/accounts", &["security-ma"]),
        line("/console/machine", &["system-gao", "security-ma"]),
        line("/console/freeze", &["authority-chen", "tax-zhao", "security-ma"]),
        line("/console/keys", &["authority-chen", "checker-li", "reviewer-song", "security-ma", "auditor-xu"]),
        line("/console/clauses", EVERYONE),
    ]
}

/// A form: its address in the router, one address of it, what is sent, whom no rule about roles denies.
struct Form(&'static str, String, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// In an order in which each has something to do, and nothing of it ends what comes after.
fn forms(world: &World) -> Vec<Form> {
    let World { models, table_job, module, .. } = world;
    let form = |route: &'static str, fields, who| Form(route, route.to_owned(), fields, who);
    let reason: &[(&str, &str)] = &[("reason", "r")];
    let step = |step: &str, fields, who| {
        let route = routes("post").into_iter().find(|route| *route == format!("/console/releases/{{id}}/{step}")).unwrap();
        Form(route.leak(), format!("/console/releases/{}/{step}", models[0]), fields, who)
    };
    // A key of `checker-li` that waits for confirmation.
    let public = [9; 32];
    let enrolled = json!({ "public_key": STANDARD.encode(public) });
    let made = world.client("checker-li").post("/v1/reviewer-keys", &enrolled).good();
    let key: [(&str, &str); 2] = [("key", made["id"].as_str().unwrap().to_owned().leak()), ("fingerprint", fingerprint(&public).leak())];
    let key: &[(&str, &str)] = key.to_vec().leak();
    let digest: &[(&str, &str)] = &[("digest", "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")];
    vec![
        Form("/console/releases/{id}/copy", format!("/console/releases/{}/copy", models[1]), &[], &["authority-chen", "reviewer-song"]),
        step("request", &[("purpose", "p"), ("context", "c")], &["operator-wang"]),
        step("vote", &[("decision", "maybe")], &["checker-li", "reviewer-song"]),
        step("extend", reason, &["authority-chen"]),
        step("waive", &[], &["tax-zhao"]),
        step("appeal", reason, &["operator-wang"]),
        step("hear", &[("decision", "uphold"), ("reason", "r")], &["authority-chen"]),
        form("/console/keys", &[("public_key", "AAAA")], &["checker-li", "reviewer-song"]),
        form("/console/keys/confirm", key, &["security-ma"]),
        form("/console/keys/revoke", key, &["checker-li", "security-ma"]),
        form("/console/alerts/acknowledge", &[("rule", "log.check"), ("subject", "log"), ("note", "n")], &["authority-chen"]),
        form("/console/orders", &[("org", "harbour-bank"), ("text", "t"), ("due", "2098-12-31")], &["authority-chen"]),
        form("/console/orders/close", &[("order", "1"), ("outcome", "o")], &["authority-chen"]),
        form("/console/jobs", &[("plan", "none"), ("module", "none"), ("data", "synthetic"), ("rows", "10")], EVERYONE),
        Form("/console/jobs/{id}/cancel", format!("/console/jobs/{table_job}/cancel"), &[], &["operator-wang", "researcher-he"]),
        Form(
            "/console/modules/{digest}/review",
            format!("/console/modules/{module}/review"),
            &[("decision", "yes"), ("reason", "r")],
            &["checker-li", "reviewer-song"],
        ),
        Form(
            "/console/papers/agreements/{id}/countersign",
            "/console/papers/agreements/credit-2026/countersign".into(),
            digest,
            &["tax-zhao"],
        ),
        Form(
            "/console/papers/applications/{id}/decide",
            "/console/papers/applications/credit-application-2026/decide".into(),
            &[("decision", "yes")],
            &["tax-zhao"],
        ),
        form("/console/freeze", reason, &["authority-chen", "tax-zhao", "security-ma"]),
        form("/console/freeze/lift", reason, &["authority-chen"]),
        Form("/console/releases/{id}/veto", format!("/console/releases/{}/veto", models[1]), reason, &["tax-zhao"]),
        form("/console/sign-out", &[], EVERYONE),
    ]
}

/// Pages of the router that are shown to whoever signed in and hold nothing but a way: tested by hand.
const WAYS: [&str; 3] = ["/console/", "/console/{*rest}", "/console/releases/{id}/copy"];
/// Pages before the door.
const DOOR: [&str; 4] = ["/console", "/console/sign-in", "/console/language/{word}", "/console/assets/{name}"];

/// Every address of the router that answers this method, as its source has them.
fn routes(method: &str) -> Vec<String> {
    let source = include_str!("../../src/console/mod.rs");
    let shown = |line: &str| line.split_once("\", ").is_some_and(|(_, handlers)| handlers.contains(&format!("{method}(")));
    source
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\""))
        .filter(|line| shown(line))
        .map(|line| line.split('"').next().unwrap().to_owned())
        .filter(|path| path.starts_with("/console"))
        .collect()
}

/// The router's addresses are those of the table, no more and no fewer.
fn all_there(method: &str, table: &[&str], others: &[&str]) {
    let known = routes(method);
    let missing: Vec<&String> = known.iter().filter(|r| !table.contains(&r.as_str()) && !others.contains(&r.as_str())).collect();
    assert!(missing.is_empty(), "addresses of the router without a line in the matrix: {missing:?}");
    let gone: Vec<&&str> = table.iter().filter(|t| !known.iter().any(|r| r == **t)).collect();
    assert!(gone.is_empty(), "lines of the matrix that are no address of the router: {gone:?}");
}

pub fn every_page_and_role(world: &World) {
    let (mut wrong, mut told, mut shown) = (Vec::new(), 0, 0);
    let lines = lines(world);
    let others: Vec<&str> = WAYS.iter().chain(&DOOR).copied().collect();
    all_there("get", &lines.iter().map(|line| line.0).collect::<Vec<_>>(), &others);
    let denials = || world.leaves_of("\"auth.role\"");
    let before = denials();
    for (who, ..) in WHO {
        let mut hand = Hand::signed_in(world, who);
        for Line(route, path, may) in &lines {
            let page = hand.get(path);
            let sees = may.is_empty() || may.contains(&who);
            // What came of a job shows to others than checkers and the authority on the quantum: either is right for them.
            let later = *route == "/console/releases/{id}" && sees && page.status == 404;
            let expected = if sees { 200 } else { 403 };
            if page.status != expected && !later {
                wrong.push(format!("{path} as {who}: {} instead of {}", page.status, if sees { "shown" } else { "refused" }));
            }
            (shown, told) = (shown + usize::from(page.status == 200), told + usize::from(page.status == 403));
            if page.status == 403 && !page.html.contains("auth.role") {
                wrong.push(format!("{path} as {who}: denied without a rule"));
            }
            // The stream is the interface's own answer.
            if !route.ends_with("/events") {
                check_headers(&page, path);
                check_navigation(&page.html, &lines, who, &mut wrong);
            }
        }
        assert_eq!(hand.get("/console/").status, 303, "{who} is shown the way");
        let page = hand.get("/console/nothing-here");
        assert_eq!(page.status, 404);
        check_headers(&page, "/console/nothing-here");
    }
    println!("{} pages x {} roles: {shown} shown, {told} refused, each a leaf", lines.len(), WHO.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(denials() - before, told, "every refusal is a leaf, and no page that was shown left one");
}

/// Every form × every role: a role that may not is denied, and it is a leaf; one that may is answered otherwise.
pub fn every_form_and_role(world: &World) {
    let forms = forms(world);
    all_there("post", &forms.iter().map(|form| form.0).collect::<Vec<_>>(), &["/console/sign-in"]);
    let (mut wrong, mut denied) = (Vec::new(), 0);
    let before = world.leaves_of("\"event\":\"denied\"");
    for Form(_, path, fields, may) in &forms {
        // Those who may not, first: what they are denied must not depend on what was done before.
        let (last, first): (Vec<_>, Vec<_>) = WHO.iter().map(|(who, ..)| *who).partition(|who| may.is_empty() || may.contains(who));
        for (who, may) in first.into_iter().map(|who| (who, false)).chain(last.into_iter().map(|who| (who, true))) {
            let mut hand = Hand::signed_in(world, who);
            let own = mark(&hand.get("/console/clauses").html);
            let sent: Vec<(&str, &str)> = [("mark", own.as_str())].into_iter().chain(fields.iter().copied()).collect();
            let page = hand.post(path, &sent, &[]);
            let refused = page.status == 403 && page.html.contains("id=\"refusal\"");
            denied += usize::from(refused);
            if may == refused || page.status >= 500 {
                wrong.push(format!("{path} as {who}: {} {}", page.status, if may { "though it may" } else { "though it may not" }));
            }
        }
    }
    println!("{} forms x {} roles: {denied} denied, each a leaf", forms.len(), WHO.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(world.leaves_of("\"event\":\"denied\"") - before >= denied, "every denial is a leaf");
}

/// Nobody is led to a page that they may not see.
fn check_navigation(html: &str, lines: &[Line], who: &str, wrong: &mut Vec<String>) {
    let side = html.split("<nav class=\"side\"").nth(1).and_then(|rest| rest.split("</nav>").next()).unwrap_or_default();
    for href in side.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let line = lines.iter().find(|Line(route, ..)| *route == href);
        if !line.is_some_and(|Line(_, _, may)| may.is_empty() || may.contains(&who)) {
            wrong.push(format!("{who} is led to {href}"));
        }
    }
}
