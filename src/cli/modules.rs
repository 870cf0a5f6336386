//! Modules: sign, upload, review.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args, Subcommand};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::Context;
use super::client::Client;
use super::error::CliError;
use super::output::{Answer, plain};
use super::people::read_key;
use crate::id::ModuleDigest;

/// `module`.
#[derive(Debug, Subcommand)]
pub enum ModuleCommand {
    /// Print digest and signature of a module, for upload by someone else.
    Sign {
        /// The module, wasm.
        file: PathBuf,
        /// File with the signing key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Upload a module with its signature.
    Upload(Upload),
    /// List modules.
    List,
    /// Show one with its imports.
    Show {
        /// Its digest.
        digest: String,
    },
    /// Approve or deny one.
    Review(Review),
}

/// A module and its signature.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("signed").required(true).args(["key", "signature"])))]
pub struct Upload {
    /// The module, wasm.
    file: PathBuf,
    /// File with the signing key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A signature made before, base64.
    #[arg(long)]
    signature: Option<String>,
}

/// A checker's decision on a module.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("vote").required(true).args(["approve", "deny"])))]
pub struct Review {
    /// The module's digest.
    digest: String,
    /// Approve it.
    #[arg(long)]
    approve: bool,
    /// Deny it.
    #[arg(long)]
    deny: bool,
    /// Why; a denial needs one.
    #[arg(long, default_value = "", required_if_eq("deny", "true"))]
    reason: String,
}

/// What precedes the digest in the signed message, so that the signature is good for nothing else.
const SIGNED_PREFIX: &[u8] = b"fusebox-module-v1\0";

/// Signature over prefix and the 32 bytes of the digest, base64.
pub fn sign(key: &Ed25519KeyPair, digest: &ModuleDigest) -> String {
    STANDARD.encode(key.sign(&[SIGNED_PREFIX, &digest.bytes()].concat()).as_ref())
}

/// Uploads a module.
pub fn upload(client: &Client, bytes: &[u8], digest: &ModuleDigest, signature: &str) -> Result<Value, CliError> {
    let headers = [("x-fusebox-signature", signature), ("x-fusebox-digest", digest.as_str())];
    client.post_bytes("/v1/modules", "application/wasm", &headers, bytes)
}

/// `module …`.
pub fn module(context: &Context, command: ModuleCommand) -> Result<Answer, CliError> {
    match command {
        ModuleCommand::Sign { file, key } => {
            let digest = ModuleDigest::of(&context.files.read(&file)?);
            let signature = sign(&read_key(context.files, &key)?, &digest);
            Ok(Answer::fields(json!({ "digest": digest, "signature": signature })))
        }
        ModuleCommand::Upload(Upload { file, key, signature }) => {
            let bytes = context.files.read(&file)?;
            let digest = ModuleDigest::of(&bytes);
            let signature = match (key, signature) {
                (Some(key), _) => sign(&read_key(context.files, &key)?, &digest),
                (None, given) => given.unwrap_or_default(),
            };
            let uploaded = upload(&context.client()?, &bytes, &digest, &signature)?;
            Ok(Answer::text(uploaded.clone(), capabilities(&uploaded)))
        }
        ModuleCommand::List => Ok(Answer::list(context.client()?.get("/v1/modules")?, &["name", "version", "state", "digest"])),
        ModuleCommand::Show { digest } => {
            let shown = context.client()?.get(&format!("/v1/modules/{digest}"))?;
            Ok(Answer::text(shown.clone(), capabilities(&shown)))
        }
        ModuleCommand::Review(Review { digest, approve, deny: _, reason }) => {
            let body = json!({ "approve": approve, "reason": reason });
            Ok(Answer::fields(context.client()?.post(&format!("/v1/modules/{digest}/review"), &body)?))
        }
    }
}

/// Name, state and what it may do.
fn capabilities(module: &Value) -> String {
    let part = |name: &str| module.get(name).map(plain).unwrap_or_default();
    let mut text = format!("{} {}: {}\n{}", part("name"), part("version"), part("state"), part("digest"));
    for import in module.get("imports").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(&format!("\n  may: {}", plain(import)));
    }
    text
}
