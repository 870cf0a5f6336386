//! The airlock: two blind signed votes, and what refuses everything else.

use std::collections::BTreeMap;
use std::sync::Barrier;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fusebox::clock::Timestamp;
use fusebox::gate::{CountedVote, fingerprint};
use fusebox::tlog::leaf::commit;
use fusebox::tlog::{Leaf, LeafKind};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::papers::{AGREEMENT, APPLICATION, AUTHORISATION, LOANS, PLAN, TAX};
use crate::server::{Answer, Server, WHO};

/// Reviewers beside those of every test, and where they are from. `author-li` is of the module author's organisation.
const REVIEWERS: &[(&str, &str)] =
    &[("gao", "centre"), ("tang", "university"), ("xie", "centre"), ("deng", "institute"), ("author-li", "module-house")];

pub struct World {
    pub server: Server,
    tokens: BTreeMap<String, String>,
}

fn key(seed: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(ring::digest::digest(&ring::digest::SHA256, seed.as_bytes()).as_ref()).unwrap()
}

/// `rel_` and sixteen times the letter.
pub fn id(letter: char) -> String {
    format!("rel_{}", letter.to_string().repeat(16))
}

/// Held outputs `rel_aaaa…` to `rel_jjjj…` of one job, as the gate writes them; the checker of every test approved their module.
fn seed(db: &rusqlite::Connection) {
    let job = "job_kkkkkkkkkkkkkkkk";
    let digest = "0".repeat(64);
    let spec = json!({
        "org": "opco", "agreement": "agr-1", "plan": "credit", "plan_digest": digest, "module": format!("sha256:{digest}"),
        "purpose": "credit_risk", "recipient": "opco", "sources": [], "synthetic_rows": null, "today": "2026-01-01",
    });
    db.execute(
        "INSERT INTO job (id, org, principal, state, synthetic, agreement, spec, spec_digest, request_digest, created_at)
         VALUES (?1, 'opco', 'operator', 'in_review', 0, 'agr-1', ?2, 'd', 'r', 1)",
        (job, spec.to_string()),
    )
    .unwrap();
    let facts = json!({
        "job": job, "org": "opco", "principal": "operator", "author_org": "module-house", "agreement": "agr-1", "plan": "credit",
        "plan_digest": "0", "module": format!("sha256:{digest}"), "module_approver": "checker", "engine_digest": "0",
        "purpose": "credit_risk", "recipient": "opco",
        "sources": [{ "dataset": "tax_grades", "owner": "bureau", "version": 1, "consent_version": null, "columns": ["grade"] }],
        "today": "2026-01-01",
    });
    for letter in 'a'..='j' {
        db.execute(
            "INSERT INTO release (id, job, org, author_org, providers, name, kind, state, checks, facts, commitment, decision_leaf, created_at)
             VALUES (?1, ?2, 'opco', 'module-house', '|bureau|', 'm', 'model', 'held', '[]', ?3, ?4, 0, 1)",
            (id(letter), job, facts.to_string(), letter.to_string().repeat(8)),
        )
        .unwrap();
    }
}

pub fn at(server: &Server, day: &str) {
    server.clock.set(format!("{day}T04:00:00Z").parse::<Timestamp>().unwrap());
}

impl World {
    /// At noon in China of `day`, with papers in force; `window` is a line of the agreement.
    pub fn new(day: &str, window: &str) -> Self {
        let server = Server::with_everyone(|db, _| seed(db));
        at(&server, day);
        for (name, org) in REVIEWERS {
            let made = json!({ "id": name, "org": org, "role": "output_checker" });
            assert_eq!(server.call("POST", "/v1/principals", &server.root_token, Some(&made)).status, 201);
        }
        let names = WHO.iter().map(|(name, ..)| *name).chain(REVIEWERS.iter().map(|(name, _)| *name));
        let tokens = names.map(|name| (name.to_owned(), server.issue(name, 90)["token"].as_str().unwrap().to_owned())).collect();
        let world = Self { server, tokens };
        let agreement = AGREEMENT.replace("budgets =", &format!("{window}\nbudgets ="));
        for (path, who, text) in [
            ("/v1/datasets", "provider", TAX),
            ("/v1/datasets", "operator", LOANS),
            ("/v1/plans", "operator", PLAN),
            ("/v1/authorisations", "authority", AUTHORISATION),
            ("/v1/applications", "operator", APPLICATION),
            ("/v1/agreements", "operator", &agreement),
        ] {
            let answer = world.server.toml("POST", path, &world.tokens[who], text);
            assert_eq!(answer.status, 201, "{path}: {}", answer.text());
        }
        for (name, _) in REVIEWERS {
            world.enrol(name);
        }
        world
    }

    pub fn post(&self, who: &str, path: &str, body: &Value) -> Answer {
        self.server.call("POST", path, &self.tokens[who], Some(body))
    }

    pub fn get(&self, who: &str, path: &str) -> Answer {
        self.server.call("GET", path, &self.tokens[who], None)
    }

    /// Enrols and confirms the key of `name`; its id.
    fn enrol(&self, name: &str) -> String {
        let pair = key(name);
        let public = pair.public_key().as_ref();
        let made = self.post(name, "/v1/reviewer-keys", &json!({ "public_key": STANDARD.encode(public) }));
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json()["id"].as_str().unwrap().to_owned();
        let confirmed = self.post("secadmin", &format!("/v1/reviewer-keys/{made}/confirm"), &json!({ "fingerprint": fingerprint(public) }));
        assert_eq!(confirmed.status, 200, "{}", confirmed.text());
        made
    }

    pub fn file(&self, release: char) -> Answer {
        self.post("operator", &format!("/v1/releases/{}/request", id(release)), &json!({ "purpose": "评分", "context": "逻辑回归" }))
    }

    pub fn shown(&self, release: char) -> Value {
        self.get("authority", &format!("/v1/releases/{}", id(release))).json()
    }

    /// The vote of `who`, signed over these lines.
    fn send(&self, who: &str, release: char, (decision, reason): (&str, &str), signed: &str) -> Answer {
        let signature = STANDARD.encode(key(who).sign(signed.as_bytes()).as_ref());
        self.post(
            who,
            &format!("/v1/releases/{}/vote", id(release)),
            &json!({ "decision": decision, "reason": reason, "signature": signature }),
        )
    }

    pub fn vote(&self, who: &str, release: char, decision: &str, reason: &str) -> Answer {
        let shown = self.shown(release);
        let message = message(&id(release), &shown["review"]["round"], &shown["commitment"], decision, reason);
        self.send(who, release, (decision, reason), &message)
    }

    pub fn leaves(&self) -> Vec<(LeafKind, Value)> {
        let open = |n: u64| self.get("auditor", &format!("/v1/log/leaves/{n}"));
        let leaves = (0..).map(open).take_while(|answer| answer.status == 200);
        leaves
            .map(|answer| {
                let leaf = Leaf::parse(&STANDARD.decode(answer.json()["leaf"].as_str().unwrap()).unwrap()).unwrap();
                (leaf.kind, serde_json::from_str(answer.json()["body"].as_str().unwrap()).unwrap())
            })
            .collect()
    }

    fn leaves_of(&self, release: char, kind: LeafKind) -> Vec<Value> {
        self.leaves().into_iter().filter(|(k, body)| *k == kind && body["release"] == *id(release)).map(|(_, body)| body).collect()
    }
}

/// What is signed, spelled by hand.
fn message(release: &str, round: &Value, commitment: &Value, decision: &str, reason: &str) -> String {
    format!("fusebox-review-v1\n{release}\n{round}\n{}\n{decision}\n{reason}\n", commitment.as_str().unwrap())
}

#[track_caller]
pub fn refused(answer: &Answer, rule: &str) {
    assert_eq!(answer.rule(), rule, "{} {}", answer.status, answer.text());
}

#[track_caller]
pub fn good(answer: &Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    answer.json()
}

#[test]
fn two_signed_approvals_release_and_the_log_opens_both_votes_then() {
    let world = World::new("2026-03-02", "");
    // Nobody is asked before the operator has said what it is for, and nobody has a copy.
    assert_eq!(world.shown('a')["review"]["stage"], "awaiting_statement");
    assert_eq!(world.shown('a')["review"]["clock"], Value::Null, "the clock has not started");
    refused(&world.vote("gao", 'a', "approve", "sound"), "review.not_filed");
    refused(&world.get("gao", &format!("/v1/releases/{}/evidence", id('a'))), "review.no_duty");
    for bad in [
        json!({ "purpose": " ", "context": "x" }),
        json!({ "purpose": "x\u{202e}", "context": "x" }),
        json!({ "purpose": "x", "context": "x".repeat(2001) }),
    ] {
        refused(&world.post("operator", &format!("/v1/releases/{}/request", id('a')), &bad), "review.statement");
    }
    refused(
        &world.post("operator", &format!("/v1/releases/{}/request", id('a')), &json!({ "purpose": "x", "context": "x", "html": "x" })),
        "request.malformed",
    );
    good(&world.file('a'));
    refused(&world.file('a'), "request.conflict");
    // Markup is text.
    assert_eq!(world.shown('a')["review"]["rounds"][0]["statement"]["purpose"], "评分");

    refused(&world.vote("author-li", 'a', "approve", "sound"), "auth.own_review");
    refused(&world.vote("own-checker", 'a', "approve", "sound"), "auth.own_review");
    refused(&world.vote("checker", 'a', "approve", "sound"), "review.separation");
    refused(&world.vote("operator", 'a', "approve", "sound"), "auth.role");
    let one = good(&world.vote("gao", 'a', "approve", "sound"));
    assert_eq!((&one["state"], &one["votes"], &one["outcome"]), (&json!("held"), &json!(1), &Value::Null));
    refused(&world.vote("gao", 'a', "approve", "sound"), "request.conflict");
    refused(&world.get("gao", &format!("/v1/releases/{}/evidence", id('a'))), "review.no_duty");
    refused(&world.get("operator", &format!("/v1/releases/{}/artefact", id('a'))), "release.held");
    let two = good(&world.vote("tang", 'a', "approve", "sound"));
    assert_eq!((&two["state"], &two["votes"], &two["outcome"]), (&json!("released"), &json!(2), &json!("approved")));
    refused(&world.vote("xie", 'a', "approve", "sound"), "request.conflict");

    // Decision by two: one leaf with both votes, each opening the commitment of its own leaf, each signature good by the public key alone.
    let [review] = &world.leaves_of('a', LeafKind::Review)[..] else { panic!() };
    let cast = world.leaves_of('a', LeafKind::Vote);
    let votes: Vec<CountedVote> = serde_json::from_value(review["votes"].clone()).unwrap();
    assert_eq!((cast.len(), votes.len()), (2, 2));
    for (vote, leaf) in votes.iter().zip(&cast) {
        assert!(vote.vote.verify());
        let salt: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&vote.salt[2 * i..2 * i + 2], 16).unwrap()).collect();
        let body = protocol::canonical::to_canonical_json(&vote.vote).unwrap();
        let opened: String = commit(&salt.try_into().unwrap(), &body).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(leaf["vote_commitment"], opened);
    }
    let release = &world.leaves_of('a', LeafKind::Release)[..];
    assert_eq!((release.len(), &release[0]["artefact_commitment"]), (1, &world.shown('a')["commitment"]));
}

/// Everything that anyone can read of an output, with what differs by name made the same.
fn readable(world: &World, release: char) -> String {
    let mut all = String::new();
    for who in world.tokens.keys() {
        for path in ["", "/artefact", "/evidence"] {
            if path.is_empty() || !["authority"].contains(&who.as_str()) {
                all += &format!("{who}{path} {}\n", world.get(who, &format!("/v1/releases/{}{path}", id(release))).text());
            }
        }
        let list = world.get(who, "/v1/releases").json();
        let mine = list.as_array().into_iter().flatten().find(|r| r["id"] == *id(release)).cloned();
        all += &format!("{who} {mine:?}\n");
    }
    all
}

#[test]
fn a_first_vote_looks_the_same_to_everyone_whatever_it_says() {
    let world = World::new("2026-03-02", "");
    let says = [('a', "approve", "sound"), ('b', "deny", "beyond_purpose"), ('c', "return", "unexplained")];
    let mut seen = Vec::new();
    for (release, decision, reason) in says {
        good(&world.file(release));
        let before = world.leaves().len();
        let cast = good(&world.vote("gao", release, decision, reason));
        assert_eq!((&cast["votes"], &cast["outcome"], &cast["state"]), (&json!(1), &Value::Null, &json!("held")));
        let leaves = world.leaves();
        // Reading beyond the last leaf, as this test does, is a denial of its own.
        let new = leaves[before..].iter().filter(|(kind, _)| *kind != LeafKind::Denial);
        let new: Vec<(LeafKind, usize)> = new.map(|(kind, body)| (*kind, body.to_string().len())).collect();
        assert_eq!(new.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [LeafKind::Vote]);
        let mut text = readable(&world, release);
        for word in ["beyond_purpose", "unexplained", "signature", "\"decision\""] {
            assert!(!text.contains(word) && !leaves[before..].iter().any(|(_, b)| b.to_string().contains(word)), "{word} is told: {text}");
        }
        let shown = world.shown(release);
        text = text.replace(&id(release), "ID").replace(shown["commitment"].as_str().unwrap(), "COMMITMENT");
        for leaf in shown["review"]["rounds"].as_array().unwrap() {
            text = text.replace(&format!("\"leaf\":{}", leaf["leaf"]), "LEAF").replace(&format!("Number({})", leaf["leaf"]), "LEAF");
        }
        seen.push((new, text));
    }
    assert_eq!(seen[0].0, seen[1].0, "kinds and sizes of leaves and their bodies");
    assert_eq!(seen[0].0, seen[2].0);
    for (a, b) in seen[0].1.lines().zip(seen[1].1.lines()).chain(seen[0].1.lines().zip(seen[2].1.lines())) {
        assert_eq!(a, b);
    }
    // And a freeze refuses both kinds of second vote alike.
    good(&world.post("authority", "/v1/freeze", &json!({ "reason": "x" })));
    refused(&world.vote("tang", 'a', "approve", "sound"), "release.frozen");
    refused(&world.vote("tang", 'b', "deny", "quality"), "release.frozen");
}

#[test]
fn a_signature_is_good_for_one_output_round_decision_and_key() {
    let world = World::new("2026-03-02", "");
    good(&world.file('a'));
    good(&world.file('b'));
    let (a, b) = (world.shown('a'), world.shown('b'));
    let this = |decision: &str, reason: &str| message(&id('a'), &json!(1), &a["commitment"], decision, reason);
    for (what, signed) in [
        ("another output", message(&id('b'), &json!(1), &b["commitment"], "approve", "sound")),
        ("another artefact", message(&id('a'), &json!(1), &b["commitment"], "approve", "sound")),
        ("another round", message(&id('a'), &json!(2), &a["commitment"], "approve", "sound")),
        ("another decision", this("deny", "quality")),
        ("no last line end", this("approve", "sound").trim_end().to_owned()),
        ("nothing", String::new()),
    ] {
        let answer = world.send("gao", 'a', ("approve", "sound"), &signed);
        assert_eq!(answer.rule(), "review.signature", "{what}: {}", answer.text());
    }
    // Another reviewer's signature, replayed under one's own name.
    let stolen = STANDARD.encode(key("tang").sign(this("approve", "sound").as_bytes()).as_ref());
    let body = json!({ "decision": "approve", "reason": "sound", "signature": stolen });
    refused(&world.post("gao", &format!("/v1/releases/{}/vote", id('a')), &body), "review.signature");
    for (decision, reason, rule) in [
        ("approve", "quality", "review.reason"),
        ("deny", "sound", "review.reason"),
        ("return", "sound", "review.reason"),
        ("approve", "nice", "review.reason"),
        ("maybe", "sound", "request.malformed"),
    ] {
        refused(&world.vote("gao", 'a', decision, reason), rule);
    }
    assert_eq!(world.shown('a')["review"]["votes_in"], 0);

    // A key of another reviewer cannot be enrolled; one that nobody confirmed signs nothing; a wrong fingerprint confirms nothing.
    let public = |name: &str| STANDARD.encode(key(name).public_key().as_ref());
    refused(&world.post("gao", "/v1/reviewer-keys", &json!({ "public_key": public("tang") })), "request.conflict");
    let fresh = json!({ "id": "fresh", "org": "academy", "role": "output_checker" });
    good(&world.server.call("POST", "/v1/principals", &world.server.root_token, Some(&fresh)));
    let token = world.server.issue("fresh", 30)["token"].as_str().unwrap().to_owned();
    let vote = || {
        let signature = STANDARD.encode(key("fresh").sign(this("approve", "sound").as_bytes()).as_ref());
        let body = json!({ "decision": "approve", "reason": "sound", "signature": signature });
        world.server.call("POST", &format!("/v1/releases/{}/vote", id('a')), &token, Some(&body))
    };
    refused(&vote(), "review.key");
    let made = good(&world.server.call("POST", "/v1/reviewer-keys", &token, Some(&json!({ "public_key": public("fresh") }))));
    refused(&vote(), "review.key");
    let confirm = format!("/v1/reviewer-keys/{}/confirm", made["id"].as_str().unwrap());
    refused(&world.server.call("POST", &confirm, &token, Some(&json!({ "fingerprint": made["fingerprint"] }))), "auth.role");
    refused(&world.post("secadmin", &confirm, &json!({ "fingerprint": fingerprint(&[0; 32]) })), "review.fingerprint");
    good(&world.post("secadmin", &confirm, &json!({ "fingerprint": made["fingerprint"] })));
    good(&vote());
    // A vote whose key is revoked before it is counted is void, and the other one alone releases nothing.
    let revoked =
        world.server.call("DELETE", &format!("/v1/reviewer-keys/{}", made["id"].as_str().unwrap()), &world.tokens["secadmin"], None);
    assert_eq!(revoked.status, 204);
    assert_eq!(world.shown('a')["review"]["votes_in"], 0);
    refused(&vote(), "review.key");
    assert_eq!(good(&world.vote("gao", 'a', "approve", "sound"))["state"], "held");
    assert_eq!(good(&world.vote("tang", 'a', "approve", "sound"))["state"], "released");
}

#[test]
fn a_return_opens_another_round_and_an_appeal_goes_to_two_others() {
    let world = World::new("2026-03-02", "");
    let path = |what: &str| format!("/v1/releases/{}/{what}", id('a'));
    let why = json!({ "reason": "理由" });
    good(&world.file('a'));
    refused(&world.post("operator", &path("appeal"), &why), "request.conflict");
    good(&world.vote("gao", 'a', "return", "unexplained"));
    assert_eq!(good(&world.vote("tang", 'a', "approve", "sound"))["outcome"], "returned");
    assert_eq!(world.shown('a')["review"]["stage"], "returned");
    refused(&world.vote("xie", 'a', "approve", "sound"), "review.not_filed");
    refused(&world.file('a'), "review.statement");
    good(&world.post("operator", &path("request"), &json!({ "purpose": "x", "context": "y", "changes": "z" })));
    // The first round's votes are kept, and good for nothing in the second.
    let shown = world.shown('a');
    assert_eq!((&shown["review"]["round"], shown["review"]["rounds"][0]["votes"].as_array().unwrap().len()), (&json!(2), 2));
    let first = shown["review"]["rounds"][0]["votes"][1]["signature"].clone();
    refused(
        &world.post("tang", &path("vote"), &json!({ "decision": "approve", "reason": "sound", "signature": first })),
        "review.signature",
    );
    good(&world.vote("gao", 'a', "approve", "sound"));
    assert_eq!(good(&world.vote("tang", 'a', "deny", "disclosive"))["state"], "denied");
    let shown = world.shown('a');
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("denied"), &json!("disclosive")));
    refused(&world.get("operator", &path("artefact")), "release.denied");
    refused(&world.get("gao", &path("evidence")), "review.no_duty");

    refused(&world.post("authority", &path("appeal/decide"), &json!({ "uphold": true, "reason": "x" })), "request.conflict");
    refused(&world.post("operator", &path("appeal"), &json!({ "reason": " " })), "request.malformed");
    good(&world.post("operator", &path("appeal"), &why));
    refused(&world.post("operator", &path("appeal"), &why), "request.conflict");
    assert_eq!(world.shown('a')["review"]["stage"], "appealed");
    assert_eq!(good(&world.post("authority", &path("appeal/decide"), &json!({ "uphold": false, "reason": "x" })))["state"], "held");
    for who in ["gao", "tang"] {
        refused(&world.vote(who, 'a', "approve", "sound"), "review.separation");
    }
    good(&world.vote("xie", 'a', "approve", "sound"));
    assert_eq!(good(&world.vote("deng", 'a', "approve", "sound"))["state"], "released");
    assert_eq!(world.leaves_of('a', LeafKind::Appeal).len(), 2);

    // Upheld: it stays denied, for good.
    good(&world.file('b'));
    good(&world.vote("gao", 'b', "deny", "quality"));
    good(&world.vote("tang", 'b', "deny", "capacity"));
    let path = |what: &str| format!("/v1/releases/{}/{what}", id('b'));
    good(&world.post("operator", &path("appeal"), &why));
    assert_eq!(good(&world.post("authority", &path("appeal/decide"), &json!({ "uphold": true, "reason": "x" })))["state"], "denied");
    refused(&world.post("operator", &path("appeal"), &why), "request.conflict");
    // Denied ones stand beside those that left.
    let list = world.get("authority", "/v1/releases").json();
    let states: Vec<&str> = list.as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"denied") && states.contains(&"released") && states.contains(&"held"));
    let listing = &world.shown('b')["listing"];
    assert_eq!(
        (&listing["agreement_until"], &listing["use_case"], &listing["fusion_keys"]),
        (&json!("2099-12-31"), &json!("评分"), &json!(["loans.uscc", "uscc"]))
    );
    assert_eq!((&listing["sources"][0]["security_level"], &listing["sources"][0]["sharing"]), (&json!("general"), &json!("conditional")));
}

#[test]
fn the_reply_clock_runs_in_working_days_over_a_holiday_with_make_up_workdays() {
    let world = World::new("2026-02-11", "");
    good(&world.file('a'));
    let clock = |day: &str| {
        at(&world.server, day);
        world.shown('a')["review"]["clock"].clone()
    };
    // 12, 13, Saturday 14 (worked); then the Spring Festival; 24, 25.
    let told = clock("2026-02-25");
    assert_eq!((&told["due"], &told["overdue"], &told["announced"]), (&json!("2026-02-25"), &json!(false), &json!(true)));
    assert_eq!(clock("2026-02-26")["overdue"], true);
    let extend = format!("/v1/releases/{}/extend", id('a'));
    refused(&world.post("checker", &extend, &json!({ "reason": "x" })), "auth.role");
    let round = good(&world.post("authority", &extend, &json!({ "reason": "案情复杂" })));
    assert_eq!((&round["extension"]["by"], &round["extension"]["reason"]), (&json!("authority"), &json!("案情复杂")));
    refused(&world.post("authority", &extend, &json!({ "reason": "x" })), "request.conflict");
    // 26, 27, Saturday 28 (worked), March 2 and 3.
    let told = clock("2026-03-03");
    assert_eq!((&told["due"], &told["overdue"]), (&json!("2026-03-03"), &json!(false)));
    assert_eq!(clock("2026-03-04")["overdue"], true);
    let list = world.get("authority", "/v1/releases").json();
    assert!(list.as_array().unwrap().iter().any(|r| r["review"]["clock"]["overdue"] == true), "overdue stands in the list");
}

#[test]
fn a_clock_into_a_year_that_was_not_announced_says_so() {
    let world = World::new("2026-12-29", "");
    good(&world.file('a'));
    let clock = world.shown('a')["review"]["clock"].clone();
    assert_eq!((&clock["due"], &clock["announced"], &clock["overdue"]), (&Value::Null, &json!(false), &Value::Null));
}

#[test]
fn providers_may_object_within_their_window_and_not_after_it() {
    let world = World::new("2026-09-18", "veto_working_days = { artefact = 2, table = 0 }");
    let path = |release: char, what: &str| format!("/v1/releases/{}/{what}", id(release));
    let why = json!({ "reason": "含敏感口径" });
    for release in ['a', 'b', 'c', 'd'] {
        good(&world.file(release));
    }
    refused(&world.post("provider", &path('a', "waive"), &json!({})), "request.conflict");
    for release in ['a', 'b', 'c'] {
        good(&world.vote("gao", release, "approve", "sound"));
        assert_eq!(good(&world.vote("tang", release, "approve", "sound"))["state"], "approved_pending");
        refused(&world.get("operator", &path(release, "artefact")), "release.pending");
    }
    // Friday the 18th; Sunday the 20th is worked: the window is the 20th and the 21st.
    assert_eq!(world.shown('a')["review"]["window_ends"], "2026-09-21T16:00:00Z");
    at(&world.server, "2026-09-21");
    refused(&world.post("other-provider", &path('a', "veto"), &why), "auth.role");
    assert_eq!(good(&world.post("provider", &path('a', "veto"), &why))["state"], "denied");
    refused(&world.post("operator", &path('a', "appeal"), &why), "request.conflict");
    // Inside the window nothing leaves by itself; a waiver of all lets it go at once.
    assert_eq!(good(&world.post("provider", &path('b', "waive"), &json!({})))["state"], "released");
    assert_eq!(world.shown('c')["state"], "approved_pending");
    // While a review goes on, the same provider may object too.
    assert_eq!(good(&world.post("provider", &path('d', "veto"), &why))["state"], "denied");
    // After it: not any more, and the gate releases; a freeze that stands holds it back.
    good(&world.post("authority", "/v1/freeze", &json!({ "reason": "x" })));
    at(&world.server, "2026-09-22");
    refused(&world.post("provider", &path('c', "veto"), &why), "request.conflict");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(world.shown('c')["state"], "approved_pending", "frozen");
    good(&world.post("authority", "/v1/freeze/lift", &json!({ "reason": "x" })));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.shown('c')["state"] != "released" {
        assert!(std::time::Instant::now() < until, "the window is over: {}", world.shown('c'));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(world.leaves_of('c', LeafKind::Release).len(), 1);
}

#[test]
fn what_waits_is_denied_when_its_agreement_ends_or_a_reviewers_key_is_revoked() {
    let world = World::new("2026-09-18", "veto_working_days = { artefact = 2 }");
    for release in ['a', 'b'] {
        good(&world.file(release));
    }
    good(&world.vote("gao", 'a', "approve", "sound"));
    good(&world.vote("tang", 'a', "approve", "sound"));
    let keys = world.get("secadmin", "/v1/reviewer-keys").json();
    let gao = keys.as_array().unwrap().iter().find(|k| k["principal"] == "gao").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.server.call("DELETE", &format!("/v1/reviewer-keys/{gao}"), &world.tokens["gao"], None).status, 204);
    let waived = good(&world.post("provider", &format!("/v1/releases/{}/waive", id('a')), &json!({})));
    assert_eq!((&waived["state"], &world.shown('a')["reason"]), (&json!("denied"), &json!("review.signature")));
    good(&world.post("operator", "/v1/agreements/agr-1/terminate", &json!({ "reason": "x" })));
    assert_eq!((&world.shown('b')["state"], &world.shown('b')["reason"]), (&json!("denied"), &json!("agreement.terminated")));
    assert_eq!(world.shown('c')["state"], "denied", "one that nobody filed");
}

#[test]
fn two_votes_at_one_moment_are_counted_once() {
    let world = World::new("2026-03-02", "");
    let releases: Vec<char> = ('a'..='h').collect();
    for release in &releases {
        good(&world.file(*release));
        let barrier = Barrier::new(3);
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let cast = |who: &'static str| {
                let (world, barrier) = (&world, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    world.vote(who, *release, "approve", "sound")
                })
            };
            let all = [cast("gao"), cast("tang"), cast("xie")];
            all.into_iter().map(|t| t.join().unwrap()).map(|a| if a.status == 200 { a.json() } else { json!(a.rule()) }).collect()
        });
        let released = answers.iter().filter(|a| a["state"] == "released").count();
        let late = answers.iter().filter(|a| **a == "request.conflict").count();
        assert_eq!((released, late), (1, 1), "{answers:?}");
        assert_eq!(world.leaves_of(*release, LeafKind::Review).len(), 1);
        assert_eq!(world.leaves_of(*release, LeafKind::Release).len(), 1);
    }
}
