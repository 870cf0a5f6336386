//! Who takes part.

use serde_json::{Value, json};

use super::Steps;
use crate::cli::client::Client;
use crate::cli::error::CliError;

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
    /// Output checker of another organisation.
    pub checker: Client,
    /// Tax bureau, credit office, electricity: dataset, file of its entry, and who answers for it.
    pub providers: [Client; 3],
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
        steps.done("9 people of 8 organisations, one role each, with tokens");
        Ok(cast)
    }
}
