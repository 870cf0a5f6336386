//! Issuers of consent tokens, and questions asked with one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::output::Answer;
use super::people::read_key;
use crate::agreement::consent::ConsentToken;

/// `issuer`.
#[derive(Debug, Subcommand)]
pub enum IssuerCommand {
    /// Register an issuer: a provider or the authority does.
    Register {
        /// Its name, which tokens bear.
        id: String,
        /// The organisation that signs.
        #[arg(long)]
        org: String,
        /// The public half of its key, base64 (`fusebox key new`).
        #[arg(long)]
        public_key: String,
        /// Until when its tokens are taken, for example 2027-01-01T00:00:00Z.
        #[arg(long)]
        valid_until: String,
    },
    /// List issuers.
    List,
    /// Revoke one.
    Revoke {
        /// Its name.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Sign a subject's consent to one question, offline. Prints the token.
    Sign(Sign),
}

/// What a subject consents to.
#[derive(Debug, Args)]
pub struct Sign {
    /// File with the issuer's key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The issuer's name.
    #[arg(long)]
    issuer: String,
    /// File that holds the subject's identifier alone: it is never given on the command line.
    #[arg(long, value_name = "FILE")]
    subject_file: PathBuf,
    /// Kind of identifier, as the plan names it.
    #[arg(long, default_value = "person")]
    namespace: String,
    /// Who may ask.
    #[arg(long)]
    operator: String,
    /// Under which agreement.
    #[arg(long)]
    agreement: String,
    /// For which purpose.
    #[arg(long)]
    purpose: String,
    /// Digest of the module.
    #[arg(long)]
    module: String,
    /// From when on the token is good for nothing, for example 2026-06-01T12:00:00Z.
    #[arg(long)]
    expires_at: String,
}

/// `verification`.
#[derive(Debug, Subcommand)]
pub enum VerificationCommand {
    /// Ask one question about one consenting subject.
    Ask(Ask),
    /// List questions, without their answers.
    List,
    /// Show one.
    Show {
        /// The question.
        id: String,
    },
}

/// A question.
#[derive(Debug, Args)]
pub struct Ask {
    /// The agreement.
    #[arg(long)]
    agreement: String,
    /// Its plan.
    #[arg(long)]
    plan: String,
    /// Digest of the module.
    #[arg(long)]
    module: String,
    /// The purpose.
    #[arg(long)]
    purpose: String,
    /// File with the token, JSON.
    #[arg(long, value_name = "FILE")]
    token_of_consent: PathBuf,
}

fn sign(context: &Context, sign: Sign) -> Result<Answer, CliError> {
    let key = read_key(context.files, &sign.key)?;
    let mut nonce = [0u8; 16];
    SystemRandom::new().fill(&mut nonce).map_err(|_| CliError::failed("the system's random source failed", "try again"))?;
    let fields = json!({
        "issuer": sign.issuer, "namespace": sign.namespace, "subject": context.files.read_text(&sign.subject_file)?.trim(),
        "operator": sign.operator, "agreement": sign.agreement, "purpose": sign.purpose, "module": sign.module,
        "expires_at": sign.expires_at, "nonce": crate::gate::hex(&nonce),
    });
    // The parser's own words could repeat the identifier.
    let token: ConsentToken = serde_json::from_value(fields)
        .map_err(|_| CliError::failed("a name, a digest or a time is not of its form", "compare the options with `--help`"))?;
    let signed = serde_json::to_value(token.sign(&key)).unwrap_or(Value::Null);
    Ok(Answer::text(signed.clone(), signed.to_string()))
}

/// `issuer …`.
pub fn issuer(context: &Context, command: IssuerCommand) -> Result<Answer, CliError> {
    match command {
        IssuerCommand::Register { id, org, public_key, valid_until } => {
            let body = json!({ "id": id, "org": org, "public_key": public_key, "valid_until": valid_until });
            Ok(Answer::fields(context.client()?.post("/v1/issuers", &body)?))
        }
        IssuerCommand::List => {
            Ok(Answer::list(context.client()?.get("/v1/issuers")?, &["id", "org", "registered_org", "valid_until", "revoked_at"]))
        }
        IssuerCommand::Revoke { id, reason } => {
            Ok(Answer::fields(context.client()?.post(&format!("/v1/issuers/{id}/revoke"), &json!({ "reason": reason }))?))
        }
        IssuerCommand::Sign(command) => sign(context, command),
    }
}

/// `verification …`.
pub fn verification(context: &Context, command: VerificationCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        VerificationCommand::Ask(ask) => {
            let text = context.files.read_text(&ask.token_of_consent)?;
            let token: Value = serde_json::from_str(&text)
                .map_err(|_| CliError::failed("the token file holds no JSON", "make one with `fusebox issuer sign`"))?;
            let body = json!({
                "agreement": ask.agreement, "plan": ask.plan, "module": ask.module, "purpose": ask.purpose, "token": token,
            });
            Ok(Answer::fields(client.post("/v1/verifications", &body)?))
        }
        VerificationCommand::List => {
            let columns = &["id", "agreement", "module", "purpose", "issuer", "millibits", "state", "asked_at"];
            Ok(Answer::list(client.get("/v1/verifications")?, columns))
        }
        VerificationCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/verifications/{id}"))?)),
    }
}
