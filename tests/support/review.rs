//! Reviews through HTTP: the operator's statement, and votes signed by reviewers whose keys were confirmed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::{Answer, Client, Server};

/// A reviewer with an enrolled key.
pub struct Reviewer {
    pub client: Client,
    key: Ed25519KeyPair,
}

impl Server {
    /// The reviewer of this name, of an organisation of its own; enrolled and confirmed at the first call. The key follows from the name.
    pub fn reviewer(&self, id: &str) -> Reviewer {
        let client = self.person(id, &format!("{id}-office"), "output_checker");
        let key = Ed25519KeyPair::from_seed_unchecked(digest(&SHA256, id.as_bytes()).as_ref()).unwrap();
        let public = key.public_key().as_ref();
        // Enrolling twice would be a denial, and a leaf.
        let enrolled = client.get("/v1/reviewer-keys").good().as_array().unwrap().iter().any(|key| key["principal"] == *id);
        if !enrolled {
            let made = client.post("/v1/reviewer-keys", &json!({ "public_key": STANDARD.encode(public) })).good();
            let confirm = format!("/v1/reviewer-keys/{}/confirm", made["id"].as_str().unwrap());
            let fingerprint = digest(&SHA256, public).as_ref().iter().fold("sha256:".to_owned(), |text, b| format!("{text}{b:02x}"));
            self.admin.post(&confirm, &json!({ "fingerprint": fingerprint })).good();
        }
        Reviewer { client, key }
    }

    /// The two who review in most tests.
    pub fn reviewers(&self) -> [Reviewer; 2] {
        [self.reviewer("reviewer-gao"), self.reviewer("reviewer-tang")]
    }

    /// Both vote alike on a held output that was filed; the answer to the second.
    #[track_caller]
    pub fn voted(&self, release: &str, decision: &str, reason: &str) -> Value {
        let [first, second] = self.reviewers();
        first.vote(release, decision, reason).good();
        second.vote(release, decision, reason).good()
    }
}

impl Reviewer {
    /// Reads what is to be signed, signs it and votes.
    pub fn vote(&self, release: &str, decision: &str, reason: &str) -> Answer {
        let shown = self.client.get(&format!("/v1/releases/{release}")).good();
        let (round, commitment) = (&shown["review"]["round"], shown["commitment"].as_str().unwrap());
        let message = format!("fusebox-review-v1\n{release}\n{round}\n{commitment}\n{decision}\n{reason}\n");
        let signature = STANDARD.encode(self.key.sign(message.as_bytes()).as_ref());
        self.client
            .post(&format!("/v1/releases/{release}/vote"), &json!({ "decision": decision, "reason": reason, "signature": signature }))
    }
}

impl Client {
    /// Files what a held output of the caller is for.
    #[track_caller]
    pub fn files(&self, release: &str) -> Value {
        self.post(&format!("/v1/releases/{release}/request"), &json!({ "purpose": "信用评分", "context": "由获准模块计算" })).good()
    }
}
