//! Keys with which reviewers sign: `fusebox key new FILE` makes one, here it is enrolled, confirmed and revoked.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use ring::signature::KeyPair;
use serde_json::json;

use super::Context;
use super::error::CliError;
use super::output::Answer;
use super::people::read_key;

/// `reviewer`.
#[derive(Debug, Subcommand)]
pub enum ReviewerCommand {
    /// Keys with which reviewers sign votes.
    #[command(subcommand)]
    Key(ReviewerKeyCommand),
}

/// `reviewer key`.
#[derive(Debug, Subcommand)]
pub enum ReviewerKeyCommand {
    /// Enrol the public half of a key; prints the fingerprint to tell the security administrator.
    Enrol {
        /// File with the key, as `fusebox key new` made it.
        file: PathBuf,
    },
    /// List keys.
    List,
    /// Confirm a key by the fingerprint that its reviewer told in person.
    Confirm {
        /// Its name.
        id: String,
        /// `sha256:` and 64 hexadecimal digits.
        #[arg(long)]
        fingerprint: String,
    },
    /// Revoke a key: votes under it that were not counted are void.
    Revoke {
        /// Its name.
        id: String,
    },
}

/// `reviewer …`.
pub fn reviewer(context: &Context, command: ReviewerCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    let ReviewerCommand::Key(command) = command;
    match command {
        ReviewerKeyCommand::Enrol { file } => {
            let public_key = STANDARD.encode(read_key(context.files, &file)?.public_key().as_ref());
            client.post("/v1/reviewer-keys", &json!({ "public_key": public_key })).map(Answer::fields)
        }
        ReviewerKeyCommand::List => {
            Ok(Answer::list(client.get("/v1/reviewer-keys")?, &["id", "principal", "org", "fingerprint", "confirmed_at", "revoked_at"]))
        }
        ReviewerKeyCommand::Confirm { id, fingerprint } => {
            client.post(&format!("/v1/reviewer-keys/{id}/confirm"), &json!({ "fingerprint": fingerprint })).map(Answer::fields)
        }
        ReviewerKeyCommand::Revoke { id } => client.delete(&format!("/v1/reviewer-keys/{id}")).map(Answer::fields),
    }
}
