//! Authorisations, applications, agreements.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::Context;
use super::error::CliError;
use super::output::Answer;

/// `authorisation`.
#[derive(Debug, Subcommand)]
pub enum AuthorisationCommand {
    /// Authorise an operator.
    Grant {
        /// The authorisation, TOML.
        file: PathBuf,
    },
    /// List authorisations.
    List,
    /// Revoke one: its queued and running jobs stop.
    Revoke {
        /// Its identifier.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// `application`.
#[derive(Debug, Subcommand)]
pub enum ApplicationCommand {
    /// Apply for data.
    Submit {
        /// The application, TOML.
        file: PathBuf,
    },
    /// Show one with its decisions.
    Show {
        /// Its identifier.
        id: String,
    },
    /// Decide for one's own data.
    Decide(Decision),
}

/// A provider's decision.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("vote").required(true).args(["approve", "refuse"])))]
pub struct Decision {
    /// The application.
    id: String,
    /// Grant it.
    #[arg(long)]
    approve: bool,
    /// Refuse it; needs reason and basis.
    #[arg(long)]
    refuse: bool,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
    /// On which legal basis.
    #[arg(long, default_value = "")]
    basis: String,
}

/// `agreement`.
#[derive(Debug, Subcommand)]
pub enum AgreementCommand {
    /// Draft an agreement.
    Draft {
        /// The agreement, TOML.
        file: PathBuf,
    },
    /// List agreements.
    List,
    /// Show one with its signatures.
    Show {
        /// Its identifier.
        id: String,
    },
    /// Counter-sign for one's own data.
    Countersign {
        /// Its identifier.
        id: String,
    },
    /// End it: its keys are destroyed, with a certificate.
    Terminate {
        /// Its identifier.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// `authorisation …`.
pub fn authorisation(context: &Context, command: AuthorisationCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        AuthorisationCommand::Grant { file } => {
            Ok(Answer::fields(client.post_toml("/v1/authorisations", &context.files.read_text(&file)?)?))
        }
        AuthorisationCommand::List => {
            let columns = &["document.id", "document.operator", "document.datasets", "document.term.until", "revoked.at"];
            Ok(Answer::list(client.get("/v1/authorisations")?, columns))
        }
        AuthorisationCommand::Revoke { id, reason } => {
            Ok(Answer::fields(client.post(&format!("/v1/authorisations/{id}/revoke"), &json!({ "reason": reason }))?))
        }
    }
}

/// `application …`.
pub fn application(context: &Context, command: ApplicationCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        ApplicationCommand::Submit { file } => Ok(Answer::fields(client.post_toml("/v1/applications", &context.files.read_text(&file)?)?)),
        ApplicationCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/applications/{id}"))?)),
        ApplicationCommand::Decide(Decision { id, approve, refuse: _, reason, basis }) => {
            let body = json!({ "approve": approve, "reason": reason, "basis": basis });
            Ok(Answer::fields(client.post(&format!("/v1/applications/{id}/decide"), &body)?))
        }
    }
}

const AGREEMENT_COLUMNS: &[&str] = &[
    "id",
    "terms.agreement.operator",
    "terms.agreement.plan",
    "terms.agreement.purposes",
    "terms.providers",
    "unsigned",
    "terms.agreement.term.until",
    "terminated.at",
];

/// `agreement …`.
pub fn agreement(context: &Context, command: AgreementCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        AgreementCommand::Draft { file } => Ok(Answer::fields(client.post_toml("/v1/agreements", &context.files.read_text(&file)?)?)),
        AgreementCommand::List => Ok(Answer::list(client.get("/v1/agreements")?, AGREEMENT_COLUMNS)),
        AgreementCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/agreements/{id}"))?)),
        AgreementCommand::Countersign { id } => Ok(Answer::fields(client.post(&format!("/v1/agreements/{id}/countersign"), &json!({}))?)),
        AgreementCommand::Terminate { id, reason } => {
            Ok(Answer::fields(client.post(&format!("/v1/agreements/{id}/terminate"), &json!({ "reason": reason }))?))
        }
    }
}
