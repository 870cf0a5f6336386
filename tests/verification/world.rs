//! A bureau with a table of people, an operator, an issuer, and the papers for the verification door. Person `n` has the deed and the value of
//! its number; whoever is not numbered is not known.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::papers::Terms;
use crate::support::scenario::signing_key;
use crate::support::{Answer, Client, Server, module};

/// Everyone, and a server.
pub struct World {
    pub server: Server,
    pub authority: Client,
    pub bureau: Client,
    pub operator: Client,
    pub checker: Client,
    pub issuer: Ed25519KeyPair,
    pub module: String,
    key: Ed25519KeyPair,
}

/// A policy for tests: short times, this many answers a day.
pub fn policy(answers: u32) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tenancy/policy.toml")).unwrap();
    let text = text.replace("answers_per_day_max = 1000", &format!("answers_per_day_max = {answers}"));
    text.replace("answer_ms = 500", "answer_ms = 100").replace("table = false", "table = true")
}

static NONCE: AtomicU64 = AtomicU64::new(1);

/// A nonce that nobody used.
pub fn nonce() -> String {
    format!("{:032x}", NONCE.fetch_add(1, Ordering::Relaxed))
}

/// A token of this issuer's key over these fields, as any program would make one.
pub fn sign(key: &Ed25519KeyPair, token: &Value) -> Value {
    // Keys in order, no white space: canonical for plain texts.
    let sorted: std::collections::BTreeMap<String, Value> = serde_json::from_value(token.clone()).unwrap();
    let message = [b"fusebox-consent-v1\0".as_slice(), serde_json::to_string(&sorted).unwrap().as_bytes()].concat();
    json!({ "token": token, "signature": STANDARD.encode(key.sign(&message).as_ref()) })
}

/// The identifier of a person.
pub fn subject(n: u64) -> String {
    format!("M{n:06}")
}

impl World {
    /// A server with `people` known, each with its deed and value.
    pub fn start(people: &[(u64, u64, u64)]) -> Self {
        let server = Server::start();
        let authority = server.person("authority-chen", "data-authority", "authority");
        authority.put_toml("/v1/policies/floor", &policy(100_000)).good();
        let bureau = server.person("bureau-wang", "bureau", "provider");
        let operator = server.person("operator-zhao", "opco", "operator");
        let checker = server.person("checker-li", "centre", "output_checker");
        let (key, public_key) = signing_key();
        server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": "opco" })).good();
        let (issuer, _) = signing_key();
        let mut world = Self { server, authority, bureau, operator, checker, issuer, module: String::new(), key };
        world.bureau.post_toml("/v1/datasets", ENTRY).good();
        let rows = people
            .iter()
            .fold("member,deed,value\n".to_owned(), |text, (n, deed, value)| text + &format!("{},{deed},{value}\n", subject(*n)));
        world.bureau.upload("/v1/datasets/people/versions?format=csv", rows.as_bytes()).good();
        world.consents(&people.iter().map(|(n, ..)| *n).collect::<Vec<_>>());
        world.operator.post_toml("/v1/plans", PLAN).good();
        world.authority.post_toml("/v1/authorisations", &TERMS.authorisation()).good();
        world.operator.post_toml("/v1/applications", &TERMS.application()).good();
        world.bureau.post("/v1/applications/app-1/decide", &json!({ "approve": true, "reason": "", "basis": "" })).good();
        world.operator.post_toml("/v1/agreements", &TERMS.agreement()).good();
        world.bureau.post("/v1/agreements/agr-1/countersign", &json!({})).good();
        let public_key = STANDARD.encode(world.issuer.public_key().as_ref());
        world.bureau.post("/v1/issuers", &issuer_document("citizen-app", "citizen-services", &public_key)).good();
        world.module = world.approved("verify-misbehaves");
        world
    }

    /// Everyone, at the address that the server has after a start.
    pub fn again(&mut self) {
        for who in [&mut self.authority, &mut self.bureau, &mut self.operator, &mut self.checker] {
            who.url.clone_from(&self.server.url);
        }
    }

    /// Imports the consents of these people.
    pub fn consents(&self, people: &[u64]) {
        let rows = people.iter().fold("unit,purpose,expiry\n".to_owned(), |text, n| text + &format!("{},check,2098-12-31\n", subject(*n)));
        self.bureau.upload("/v1/datasets/people/consents?format=csv", rows.as_bytes()).good();
    }

    /// Uploads a module; its digest.
    pub fn upload(&self, package: &str) -> String {
        self.operator.upload_module(&self.key, &module(package)).good()["digest"].as_str().unwrap().to_owned()
    }

    /// Uploads a module and has it approved; its digest.
    pub fn approved(&self, package: &str) -> String {
        let digest = self.upload(package);
        self.checker.post(&format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "sound" })).good();
        digest
    }

    /// What a token says of a person.
    pub fn token(&self, n: u64) -> Value {
        json!({
            "issuer": "citizen-app", "namespace": "member", "subject": subject(n), "operator": "opco", "agreement": "agr-1",
            "purpose": "check", "module": self.module, "expires_at": "2098-01-01T00:00:00Z", "nonce": nonce(),
        })
    }

    /// A question with a signed token.
    pub fn question(&self, signed: &Value) -> Value {
        json!({ "agreement": "agr-1", "plan": "plan-1", "module": self.module, "purpose": "check", "token": signed })
    }

    /// Asks with a token of these fields, signed by the issuer.
    pub fn ask_with(&self, token: &Value) -> Answer {
        self.operator.post("/v1/verifications", &self.question(&sign(&self.issuer, token)))
    }

    /// Asks about a person with a fresh token.
    pub fn ask(&self, n: u64) -> Answer {
        self.ask_with(&self.token(n))
    }

    /// The label about a person.
    #[track_caller]
    pub fn label(&self, n: u64) -> String {
        self.ask(n).good()["answer"].as_str().unwrap().to_owned()
    }
}

/// What an issuer is registered with.
pub fn issuer_document(id: &str, org: &str, public_key: &str) -> Value {
    json!({ "id": id, "org": org, "public_key": public_key, "valid_until": "2098-01-01T00:00:00Z" })
}

const ENTRY: &str = r#"id = "people"
title = "成员"
provider = "bureau"
origin = "public"
public_kind = "government"
source = "登记"
update_frequency = "yearly"
security_level = "general"
personal_information = true
consent_unit = "member"
declared_rows = 1000
unique = ["member"]
sharing = { class = "none", legal_basis = "条例" }
opening = { class = "conditional" }
[[columns]]
name = "member"
title = "编号"
role = "direct_identifier"
type = "text"
bytes_max = 16
linkage = "opaque"
namespace = "member"
nullable = false
[[columns]]
name = "deed"
title = "行为"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "100"
nullable = false
[[columns]]
name = "value"
title = "值"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "1000000"
nullable = false
"#;

pub const PLAN: &str = r#"
id = "plan-1"
title = "成员"
unit = "people.member"
namespace = "member"
verification = true
[[members]]
alias = "people"
dataset = "people"
[[outputs]]
name = "deed"
from = "people.deed"
transform = "keep"
[[outputs]]
name = "value"
from = "people.value"
transform = "keep"
"#;

pub const TERMS: Terms<'static> = Terms {
    ids: ["auth-1", "app-1", "agr-1"],
    operator: "opco",
    plan: "plan-1",
    datasets: r#"["people"]"#,
    purposes: r#"["check", "other"]"#,
    doors: r#"["verification"]"#,
    budgets: "jobs_max = 1",
    columns: "people = [\"member\", \"deed\", \"value\"]\n",
};
