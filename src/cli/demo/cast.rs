//! Who takes part.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::Steps;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::gate::fingerprint;

/// Organisation of the operator.
pub const OPERATOR_ORG: &str = "harbour-bank";

/// One client a person.
pub struct Cast {
    /// Security administrator: accounts, tokens, keys.
    pub admin: Client,
    /// Data authority: policies, authorisations.
    pub authority: Client,
    /// Operator: the bank.
    pub operator: Client,
    /// Output checker of another organisation: approves modules.
    pub checker: Client,
    /// Two more, who review outputs, each with a key of its own.
    pub reviewers: [Reviewer; 2],
    /// Tax bureau, credit office, electricity: dataset, file of its entry, and who answers for it.
    pub providers: [Client; 3],
}

/// A reviewer of outputs.
pub struct Reviewer {
    /// Calls.
    pub client: Client,
    /// Signs votes.
    pub key: Ed25519KeyPair,
}

/// A key pair.
pub fn key_pair() -> Result<Ed25519KeyPair, CliError> {
    let failed = || CliError::failed("the system's random source failed", "try again");
    let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).map_err(|_| failed())?;
    Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| failed())
}

/// Enrols a key of the reviewer, which the security administrator confirms by the fingerprint made here, not by the one the server told.
fn enrolled(admin: &Client, client: Client) -> Result<Reviewer, CliError> {
    let key = key_pair()?;
    let public = key.public_key().as_ref();
    let made = client.post("/v1/reviewer-keys", &json!({ "public_key": STANDARD.encode(public) }))?;
    let id = made.get("id").and_then(Value::as_str).unwrap_or_default();
    admin.post(&format!("/v1/reviewer-keys/{id}/confirm"), &json!({ "fingerprint": fingerprint(public) }))?;
    Ok(Reviewer { client, key })
}

impl Cast {
    /// Makes the accounts.
    pub fn make(admin: &Client, steps: &mut Steps) -> Result<Self, CliError> {
        let person = |id: &str, org: &str, role: &str| -> Result<Client, CliError> {
            admin.post("/v1/principals", &json!({ "id": id, "org": org, "role": role }))?;
            let issued = admin.post(&format!("/v1/principals/{id}/tokens"), &json!({ "days": 1 }))?;
            Ok(admin.with_token(issued.get("token").and_then(Value::as_str).unwrap_or_default()))
        };
        let cast = Self {
            admin: admin.clone(),
            authority: person("authority-chen", "data-authority", "authority")?,
            operator: person("operator-wang", OPERATOR_ORG, "operator")?,
            checker: person("checker-li", "data-exchange-centre", "output_checker")?,
            reviewers: [
                enrolled(admin, person("reviewer-gao", "statistics-bureau", "output_checker")?)?,
                enrolled(admin, person("reviewer-tang", "university", "output_checker")?)?,
            ],
            providers: [
                person("tax-zhao", "tax-bureau", "provider")?,
                person("credit-sun", "credit-office", "provider")?,
                person("power-zhou", "utilities-bureau", "provider")?,
            ],
        };
        // Nobody in the story needs these, but every role has someone.
        for (id, org, role) in [
            ("researcher-wu", OPERATOR_ORG, "researcher"),
            ("system-admin", "platform", "system_admin"),
            ("auditor-qian", "audit-office", "auditor"),
        ] {
            person(id, org, role)?;
        }
        steps.done(
            "11 people of 10 organisations, one role each, with tokens; 2 reviewers with keys that the security administrator confirmed",
        );
        Ok(cast)
    }
}
