//! A scenario of `examples/` brought to the point where jobs can be submitted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::{Client, Server, example, module};

/// Everyone of a scenario.
pub struct Scenario<'a> {
    pub server: &'a Server,
    pub name: &'static str,
    /// Organisation of the operator.
    pub operator_org: &'static str,
    pub authority: Client,
    pub operator: Client,
    pub checker: Client,
    /// Owners of the members that are not the operator's.
    pub providers: Vec<Client>,
    pub purpose: &'static str,
    pub key: Ed25519KeyPair,
}

/// A dataset of a scenario: file of its entry without ending, its owner's account, organisation and role, its table as CSV.
pub struct Member<'a> {
    pub entry: &'a str,
    pub id: &'a str,
    pub owner: (&'a str, &'a str, &'a str),
    pub csv: &'a str,
    pub consents: Option<&'a str>,
}

impl<'a> Scenario<'a> {
    /// Registers and imports `members`, then carries the papers of the example through.
    pub fn set_up(
        server: &'a Server,
        name: &'static str,
        operator: (&str, &'static str),
        purpose: &'static str,
        members: &[Member<'_>],
    ) -> Self {
        let agreement = example(&format!("{name}/agreement.toml"));
        Self::set_up_as(server, name, operator, purpose, members, &example("credit/policy.toml"), &agreement)
    }

    /// The same under another policy and agreement.
    pub fn set_up_as(
        server: &'a Server,
        name: &'static str,
        operator: (&str, &'static str),
        purpose: &'static str,
        members: &[Member<'_>],
        policy: &str,
        agreement: &str,
    ) -> Self {
        let authority = server.person("authority-chen", "data-authority", "authority");
        authority.put_toml("/v1/policies/floor", policy).good();
        let operator_client = server.person(operator.0, operator.1, "operator");
        let mut providers = Vec::new();
        for member in members {
            let (id, org, role) = member.owner;
            let owner = server.person(id, org, role);
            owner.post_toml("/v1/datasets", &example(&format!("{name}/entries/{}.toml", member.entry))).good();
            owner.upload(&format!("/v1/datasets/{}/versions?format=csv", member.id), member.csv.as_bytes()).good();
            if let Some(consents) = member.consents {
                owner.upload(&format!("/v1/datasets/{}/consents?format=csv", member.id), consents.as_bytes()).good();
            }
            if org != operator.1 {
                providers.push(owner);
            }
        }
        let (key, public_key) = signing_key();
        server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": operator.1 })).good();
        let scenario = Self {
            server,
            name,
            operator_org: operator.1,
            authority,
            operator: operator_client,
            checker: server.person("checker-li", "data-exchange-centre", "output_checker"),
            providers,
            purpose,
            key,
        };
        scenario.papers(agreement);
        scenario
    }

    fn papers(&self, agreement: &str) {
        let paper = |file: &str| example(&format!("{}/{file}.toml", self.name));
        self.operator.post_toml("/v1/plans", &paper("plan")).good();
        self.authority.post_toml("/v1/authorisations", &paper("authorisation")).good();
        let application = self.operator.post_toml("/v1/applications", &paper("application")).good();
        let id = application["id"].as_str().unwrap();
        for provider in &self.providers {
            provider.post(&format!("/v1/applications/{id}/decide"), &json!({ "approve": true, "reason": "", "basis": "" })).good();
        }
        let agreement = self.operator.post_toml("/v1/agreements", agreement).good();
        let id = agreement["id"].as_str().unwrap();
        for provider in &self.providers {
            provider.post(&format!("/v1/agreements/{id}/countersign"), &json!({})).good();
        }
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

    /// What a job on real data is submitted with.
    pub fn job(&self, module: &str) -> Value {
        let id = |file: &str| {
            let paper: toml::Table = example(&format!("{}/{file}.toml", self.name)).parse().unwrap();
            paper["id"].as_str().unwrap().to_owned()
        };
        json!({
            "agreement": id("agreement"), "plan": id("plan"), "module": module,
            "purpose": self.purpose, "recipient": self.operator_org, "synthetic": false,
        })
    }

    /// Runs a module on real data to its end or to the review; the job.
    pub fn run(&self, module: &str) -> Value {
        let job = self.operator.post("/v1/jobs", &self.job(module)).good();
        self.operator.ended(job["id"].as_str().unwrap())
    }

    /// The releases of a job.
    pub fn releases(&self, job: &Value) -> Vec<Value> {
        let ids = job["releases"].as_array().cloned().unwrap_or_default();
        ids.iter().map(|id| self.operator.get(&format!("/v1/releases/{}", id.as_str().unwrap())).good()).collect()
    }
}

/// A key pair and its public half, base64.
pub fn signing_key() -> (Ed25519KeyPair, String) {
    let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let public_key = STANDARD.encode(key.public_key().as_ref());
    (key, public_key)
}
