//! Accounts, tokens, keys, release policies, freezes.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Context;
use super::error::CliError;
use super::files::Files;
use super::output::Answer;
use crate::policy::Role;

/// First line of a file with a signing key.
const KEY_HEADER: &str = "fusebox signing key, Ed25519, PKCS #8";

/// `principal`.
#[derive(Debug, Subcommand)]
pub enum PrincipalCommand {
    /// Make an account.
    Create {
        /// Its name.
        id: String,
        /// Its organisation.
        #[arg(long)]
        org: String,
        /// Its role: authority, provider, operator, researcher, `output_checker`, `system_admin`, `security_admin` or auditor.
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// List accounts.
    List,
    /// Close an account; its tokens end.
    Close {
        /// Its name.
        id: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_| format!("a role is one of {}", Role::ALL.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", ")))
}

/// `token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token to an account.
    Issue {
        /// The account.
        principal: String,
        /// Days until it ends.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// File to write it to, for its owner only. Without it the token is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Change one's own token for a new one.
    Rotate {
        /// One's own account.
        principal: String,
        /// Days until it ends.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// File to write it to.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revoke a token.
    Revoke {
        /// Its name, as told when it was issued.
        token_id: String,
    },
}

/// `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key pair in a file for its owner only; prints the public half.
    New {
        /// The file.
        file: PathBuf,
    },
    /// Register a public key for an organisation.
    Register {
        /// The public half, base64.
        public_key: String,
        /// The organisation; the caller's own without it.
        #[arg(long)]
        org: Option<String>,
    },
}

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// The floor and what providers tightened.
    Show,
    /// Set the floor.
    Floor {
        /// The policy, TOML.
        file: PathBuf,
    },
    /// Tighten the policy for an organisation's own data.
    Tighten {
        /// The organisation.
        org: String,
        /// The policy, TOML.
        file: PathBuf,
    },
}

/// `freeze`.
#[derive(Debug, Subcommand)]
pub enum FreezeCommand {
    /// Stop releases.
    Set {
        /// Why.
        #[arg(long)]
        reason: String,
        /// Only those with data of this organisation.
        #[arg(long)]
        org: Option<String>,
        /// Only those that rest on this dataset.
        #[arg(long, conflicts_with = "org")]
        dataset: Option<String>,
    },
    /// Let them go on.
    Lift {
        /// Why.
        #[arg(long)]
        reason: String,
        /// Number of the freeze; without it every one that the caller may lift.
        #[arg(long)]
        id: Option<i64>,
    },
}

/// `me`.
pub fn me(context: &Context) -> Result<Answer, CliError> {
    Ok(Answer::fields(context.client()?.get("/v1/me")?))
}

/// `principal …`.
pub fn principal(context: &Context, command: PrincipalCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        PrincipalCommand::Create { id, org, role } => {
            Ok(Answer::fields(client.post("/v1/principals", &json!({ "id": id, "org": org, "role": role }))?))
        }
        PrincipalCommand::List => Ok(Answer::list(client.get("/v1/principals")?, &["id", "org", "role", "active"])),
        PrincipalCommand::Close { id } => client.delete(&format!("/v1/principals/{id}")).map(Answer::fields),
    }
}

/// `token …`.
pub fn token(context: &Context, command: TokenCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    let (path, days, out) = match command {
        TokenCommand::Revoke { token_id } => return client.delete(&format!("/v1/tokens/{token_id}")).map(Answer::fields),
        TokenCommand::Issue { principal, days, out } => (format!("/v1/principals/{principal}/tokens"), days, out),
        TokenCommand::Rotate { principal, days, out } => (format!("/v1/principals/{principal}/tokens/rotate"), days, out),
    };
    let mut issued = client.post(&path, &json!({ "days": days }))?;
    if let Some(out) = out {
        keep_token(context.files, &out, &mut issued)?;
    }
    Ok(Answer::fields(issued))
}

/// Moves the token of an answer into a file.
pub fn keep_token(files: Files, path: &Path, answer: &mut Value) -> Result<(), CliError> {
    let Some(Value::String(token)) = answer.as_object_mut().and_then(|o| o.remove("token")) else {
        return Err(CliError::failed("the answer holds no token", "ask for another one"));
    };
    let token = Zeroizing::new(token);
    files.write_private(path, format!("{}\n", token.as_str()).as_bytes())
}

/// `key …`.
pub fn key(context: &Context, command: KeyCommand) -> Result<Answer, CliError> {
    match command {
        KeyCommand::New { file } => {
            let public_key = new_key(context.files, &file)?;
            Ok(Answer::fields(json!({ "public_key": public_key, "file": file.display().to_string() })))
        }
        KeyCommand::Register { public_key, org } => {
            let mut body = json!({ "public_key": public_key });
            if let (Some(org), Some(object)) = (org, body.as_object_mut()) {
                object.insert("org".to_owned(), Value::String(org));
            }
            Ok(Answer::fields(context.client()?.post("/v1/keys", &body)?))
        }
    }
}

/// Makes a key pair in a file; returns the public half, base64.
pub fn new_key(files: Files, path: &Path) -> Result<String, CliError> {
    let failed = || CliError::failed("the system's random source failed", "try again");
    let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).map_err(|_| failed())?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| failed())?;
    let text = Zeroizing::new(format!("{KEY_HEADER}\n{}\n", STANDARD.encode(document.as_ref())));
    files.write_private(path, text.as_bytes())?;
    Ok(STANDARD.encode(pair.public_key().as_ref()))
}

/// Reads a key pair.
pub fn read_key(files: Files, path: &Path) -> Result<Ed25519KeyPair, CliError> {
    let text = Zeroizing::new(files.read_text(path)?);
    let pair = text
        .strip_prefix(KEY_HEADER)
        .and_then(|rest| STANDARD.decode(rest.trim()).ok().map(Zeroizing::new))
        .and_then(|document| Ed25519KeyPair::from_pkcs8(&document).ok());
    pair.ok_or_else(|| CliError::failed(format!("{} holds no signing key", path.display()), "make one with `fusebox key new FILE`"))
}

/// `policy …`.
pub fn policy(context: &Context, command: PolicyCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        PolicyCommand::Show => {
            let policies = client.get("/v1/policies")?;
            let mut text = String::new();
            for policy in policies.as_array().into_iter().flatten() {
                let org = policy.get("org").and_then(Value::as_str).unwrap_or("floor");
                let rules = policy.get("policy").and_then(|p| toml::to_string(p).ok()).unwrap_or_default();
                text.push_str(&format!("# {org}\n{rules}\n"));
            }
            Ok(Answer::text(policies, text))
        }
        PolicyCommand::Floor { file } => client.put_toml("/v1/policies/floor", &context.files.read_text(&file)?).map(Answer::fields),
        PolicyCommand::Tighten { org, file } => {
            client.put_toml(&format!("/v1/policies/orgs/{org}"), &context.files.read_text(&file)?).map(Answer::fields)
        }
    }
}

/// `freeze …`.
pub fn freeze(context: &Context, command: &FreezeCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        FreezeCommand::Set { reason, org, dataset } => {
            Ok(Answer::fields(client.post("/v1/freeze", &json!({ "reason": reason, "org": org, "dataset": dataset }))?))
        }
        FreezeCommand::Lift { reason, id } => {
            Ok(Answer::list(client.post("/v1/freeze/lift", &json!({ "reason": reason, "id": id }))?, &["id", "org", "dataset", "set_by"]))
        }
    }
}
