//! Held outputs and releases: list, show, fetch; and every step of a review.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args, Subcommand};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::Context;
use super::client::Client;
use super::error::CliError;
use super::output::{self, Answer, plain};
use super::people::read_key;
use crate::gate::{Choice, ReviewReason, review_message};

/// `release`.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// List held outputs and releases.
    List,
    /// Show one: what it rests on, which rules were applied. Checkers see the evidence too.
    Show {
        /// Its identifier.
        id: String,
    },
    /// Fetch what was released, with its manifest.
    Artefact {
        /// Its identifier.
        id: String,
        /// File to write the JSON to.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Fetch the bundle of a release: artefact, decision, votes, agreement and proofs in one file; `fusebox verify` checks it offline.
    Bundle {
        /// Its identifier.
        id: String,
        /// File to write it to.
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
    /// File what a held output is for: its review begins.
    Request(Request),
    /// Sign a vote on a held output and cast it.
    Vote(Vote),
    /// Give a review more working days, once.
    Extend(Why),
    /// Object to an output that rests on one's own data.
    Veto(Why),
    /// Say that one will not object to an approved output.
    Waive {
        /// Its identifier.
        id: String,
    },
    /// Appeal against a denial, once.
    Appeal(Why),
    /// Decide an appeal.
    HearAppeal(HearAppeal),
}

/// An output and a reason.
#[derive(Debug, Args)]
pub struct Why {
    /// The output.
    id: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// A statement of purpose and context.
#[derive(Debug, Args)]
pub struct Request {
    /// The held output.
    id: String,
    /// What it is for.
    #[arg(long)]
    purpose: String,
    /// How it came about and what it shows.
    #[arg(long)]
    context: String,
    /// After a return: what is different.
    #[arg(long)]
    changes: Option<String>,
}

/// A reviewer's vote.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("vote").required(true).args(["approve", "deny", "return_"])))]
pub struct Vote {
    /// The held output.
    id: String,
    /// It may leave.
    #[arg(long)]
    approve: bool,
    /// It stays.
    #[arg(long)]
    deny: bool,
    /// Back to the operator for changes.
    #[arg(long = "return")]
    return_: bool,
    /// `sound` to approve; `disclosive`, `beyond_purpose`, `capacity`, `unexplained` or `quality` to deny or return.
    #[arg(long)]
    reason: String,
    /// File with the enrolled key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// The authority's word on an appeal.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("word").required(true).args(["uphold", "send_back"])))]
pub struct HearAppeal {
    /// The denied output.
    id: String,
    /// It stays denied.
    #[arg(long)]
    uphold: bool,
    /// Two other reviewers vote.
    #[arg(long)]
    send_back: bool,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// Reads what is to be signed, signs and casts.
pub fn vote(client: &Client, id: &str, (decision, reason): (Choice, &str), key: &Ed25519KeyPair) -> Result<Value, CliError> {
    let shown = client.get(&format!("/v1/releases/{id}"))?;
    let odd = || CliError::failed("the server's answer is not of its form", "is it of this version?");
    let reason: ReviewReason = serde_json::from_value(Value::from(reason))
        .map_err(|_| CliError::failed(format!("`{reason}` is no reason"), format!("one of {}", crate::gate::reason_words())))?;
    let round = shown.pointer("/review/round").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).ok_or_else(odd)?;
    let commitment = shown.get("commitment").and_then(Value::as_str).ok_or_else(odd)?;
    let release = id.parse().map_err(|e| CliError::failed(format!("`{id}`: {e}"), "take the identifier from `release list`"))?;
    let message = review_message(&release, round, commitment, decision, reason);
    let signature = STANDARD.encode(key.sign(message.as_bytes()).as_ref());
    client.post(&format!("/v1/releases/{id}/vote"), &json!({ "decision": decision, "reason": reason, "signature": signature }))
}

/// `release …`.
pub fn release(context: &Context, command: ReleaseCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        ReleaseCommand::List => {
            Ok(Answer::list(client.get("/v1/releases")?, &["id", "name", "kind", "state", "reason", "job", "created_at"]))
        }
        ReleaseCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/releases/{id}"))?)),
        ReleaseCommand::Artefact { id, out } => {
            let released = client.get(&format!("/v1/releases/{id}/artefact"))?;
            if let Some(out) = out {
                context.files.write(&out, released.to_string().as_bytes())?;
            }
            Ok(Answer::text(released.clone(), artefact_text(&released)))
        }
        ReleaseCommand::Bundle { id, out } => {
            let bytes = client.get_bytes(&format!("/v1/releases/{id}/bundle"))?;
            context.files.write(&out, &bytes)?;
            let answer = json!({ "bundle": out.display().to_string(), "bytes": bytes.len() });
            Ok(Answer::fields(answer))
        }
        ReleaseCommand::Request(Request { id, purpose, context, changes }) => {
            let mut body = json!({ "purpose": purpose, "context": context });
            if let (Some(changes), Some(object)) = (changes, body.as_object_mut()) {
                object.insert("changes".to_owned(), Value::String(changes));
            }
            step(&client, &id, "request", &body)
        }
        ReleaseCommand::Vote(Vote { id, approve, deny, return_: _, reason, key }) => {
            let decision = match (approve, deny) {
                (true, _) => Choice::Approve,
                (_, true) => Choice::Deny,
                _ => Choice::Return,
            };
            vote(&client, &id, (decision, &reason), &read_key(context.files, &key)?).map(Answer::fields)
        }
        ReleaseCommand::Extend(Why { id, reason }) => step(&client, &id, "extend", &json!({ "reason": reason })),
        ReleaseCommand::Veto(Why { id, reason }) => step(&client, &id, "veto", &json!({ "reason": reason })),
        ReleaseCommand::Waive { id } => step(&client, &id, "waive", &json!({})),
        ReleaseCommand::Appeal(Why { id, reason }) => step(&client, &id, "appeal", &json!({ "reason": reason })),
        ReleaseCommand::HearAppeal(HearAppeal { id, uphold, send_back: _, reason }) => {
            step(&client, &id, "appeal/decide", &json!({ "uphold": uphold, "reason": reason }))
        }
    }
}

fn step(client: &Client, id: &str, what: &str, body: &Value) -> Result<Answer, CliError> {
    Ok(Answer::fields(client.post(&format!("/v1/releases/{id}/{what}"), body)?))
}

/// An artefact for people: the table or the model, then where it comes from.
pub fn artefact_text(released: &Value) -> String {
    let artefact = released.get("artefact").unwrap_or(released);
    let mut text = match artefact.get("rows") {
        Some(_) => table_text(artefact),
        None => model_text(artefact),
    };
    for source in released.pointer("/manifest/facts/sources").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| source.get(name).map(plain).unwrap_or_default();
        text.push_str(&format!("\nsource: {} of {}, version {} ({})", part("dataset"), part("owner"), part("version"), part("columns")));
    }
    text
}

/// A released table: keys, then measures; hidden cells are marked.
fn table_text(table: &Value) -> String {
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let (keys, measures) = (list(table, "keys"), list(table, "measures"));
    let mut shown = output::table(keys.iter().chain(&measures).map(plain).collect());
    for row in list(table, "rows") {
        let mut line: Vec<String> =
            list(&row, "keys").iter().map(|key| if key.is_null() { "(missing)".to_owned() } else { plain(key) }).collect();
        match row.pointer("/cell/shown").and_then(Value::as_array) {
            Some(values) => line.extend(values.iter().map(plain)),
            None => line.extend(measures.iter().map(|_| "suppressed".to_owned())),
        }
        shown.add_row(line);
    }
    format!(
        "{}\n{shown}\n{} of the cells suppressed",
        plain(table.get("name").unwrap_or(&Value::Null)),
        plain(table.get("suppressed").unwrap_or(&Value::Null))
    )
}

/// A model: its numbers, one a line.
fn model_text(model: &Value) -> String {
    let (head, lines) = model_lines(model);
    let mut shown = output::table(head.map(str::to_owned).to_vec());
    for line in lines {
        shown.add_row(line);
    }
    let part = |field: &str| model.get(field).map(plain).unwrap_or_default();
    format!("{} (link: {})\n{shown}", part("name"), part("link"))
}

/// Names and values: coefficients; nodes of trees; layers.
fn model_lines(model: &Value) -> ([&'static str; 2], Vec<[String; 2]>) {
    let part = |value: &Value, field: &str| value.get(field).map(plain).unwrap_or_default();
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let feature = |index: &Value| {
        let named = list(model, "features");
        index.as_u64().and_then(|i| usize::try_from(i).ok()).and_then(|i| named.get(i).map(plain)).unwrap_or_default()
    };
    let mut lines = Vec::new();
    match model.get("form").and_then(Value::as_str) {
        Some("trees") => {
            lines.push(["(base)".to_owned(), part(model, "base")]);
            for (t, tree) in list(model, "trees").iter().enumerate() {
                for (n, node) in tree.as_array().into_iter().flatten().enumerate() {
                    let told = match node.get("feature") {
                        Some(index) => {
                            let [threshold, left, right] = ["threshold", "left", "right"].map(|name| part(node, name));
                            format!("{} <= {threshold} ? {left} : {right}", feature(index))
                        }
                        None => part(node, "value"),
                    };
                    lines.push([format!("tree {t}, node {n}"), told]);
                }
            }
            (["node", "split or value"], lines)
        }
        Some("network") => {
            lines.push(["(inputs)".to_owned(), list(model, "features").iter().map(plain).collect::<Vec<_>>().join(", ")]);
            for (l, layer) in list(model, "layers").iter().enumerate() {
                for (o, (weights, bias)) in list(layer, "weights").iter().zip(list(layer, "biases")).enumerate() {
                    let sum = weights.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(", ");
                    lines.push([format!("layer {l}, output {o}"), format!("{}([{sum}] + {})", part(layer, "activation"), plain(&bias))]);
                }
            }
            (["output", "activation(weights + bias)"], lines)
        }
        _ => {
            lines.push(["(intercept)".to_owned(), part(model, "intercept")]);
            lines.extend(list(model, "terms").iter().map(|term| [part(term, "feature"), part(term, "coefficient")]));
            (["feature", "coefficient"], lines)
        }
    }
}
