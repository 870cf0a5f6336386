//! Held outputs and releases: list, show, fetch, review.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::output::{self, Answer, plain};

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
    /// Approve or deny a held output.
    Review(Review),
}

/// A checker's decision on an output.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("vote").required(true).args(["approve", "deny"])))]
pub struct Review {
    /// The held output.
    id: String,
    /// Let it out.
    #[arg(long)]
    approve: bool,
    /// Keep it.
    #[arg(long)]
    deny: bool,
    /// `sound` to approve; `disclosive`, `beyond_purpose`, `capacity`, `unexplained` or `quality` to deny.
    #[arg(long)]
    reason: String,
}

/// `release …`.
pub fn release(context: &Context, command: ReleaseCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        ReleaseCommand::List => Ok(Answer::list(client.get("/v1/releases")?, &["id", "name", "kind", "state", "job", "created_at"])),
        ReleaseCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/releases/{id}"))?)),
        ReleaseCommand::Artefact { id, out } => {
            let released = client.get(&format!("/v1/releases/{id}/artefact"))?;
            if let Some(out) = out {
                context.files.write(&out, released.to_string().as_bytes())?;
            }
            Ok(Answer::text(released.clone(), artefact_text(&released)))
        }
        ReleaseCommand::Review(Review { id, approve, deny: _, reason }) => {
            let body = json!({ "approve": approve, "reason": reason });
            Ok(Answer::fields(client.post(&format!("/v1/releases/{id}/review"), &body)?))
        }
    }
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

/// A model: intercept and coefficients.
fn model_text(model: &Value) -> String {
    let part = |value: &Value, field: &str| value.get(field).map(plain).unwrap_or_default();
    let mut shown = output::table(vec!["feature".to_owned(), "coefficient".to_owned()]);
    shown.add_row(["(intercept)".to_owned(), part(model, "intercept")]);
    for term in model.get("terms").and_then(Value::as_array).into_iter().flatten() {
        shown.add_row([part(term, "feature"), part(term, "coefficient")]);
    }
    format!("{} (link: {})\n{shown}", part(model, "name"), part(model, "link"))
}
