//! What a supervisor watches: alerts, orders, figures.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::output::{Answer, plain, table};

/// `alert`.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// List the alerts that stand.
    List,
    /// Note that one was seen.
    Acknowledge(Acknowledge),
}

/// Which alert was seen, and what was done.
#[derive(Debug, Args)]
pub struct Acknowledge {
    /// Its rule, as the list has it.
    rule: String,
    /// What it is about, as the list has it.
    subject: String,
    /// What was done about it.
    #[arg(long)]
    note: String,
}

/// `order`.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// List orders to put something right.
    List,
    /// Order an organisation to put something right.
    Issue {
        /// To whom.
        org: String,
        /// What is to be put right.
        #[arg(long)]
        text: String,
        /// The last day for it, as 2026-12-31.
        #[arg(long)]
        due: String,
    },
    /// Close one.
    Close {
        /// Its number.
        id: i64,
        /// What was found.
        #[arg(long)]
        outcome: String,
    },
}

/// `alert …`.
pub fn alert(context: &Context, command: AlertCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        AlertCommand::List => {
            Ok(Answer::list(client.get("/v1/alerts")?, &["severity", "rule", "subject", "zh", "en", "value", "threshold"]))
        }
        AlertCommand::Acknowledge(Acknowledge { rule, subject, note }) => {
            let body = json!({ "rule": rule, "subject": subject, "note": note });
            Ok(Answer::fields(client.post("/v1/alerts/acknowledge", &body)?))
        }
    }
}

/// `order …`.
pub fn order(context: &Context, command: OrderCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        OrderCommand::List => Ok(Answer::list(client.get("/v1/orders")?, &["id", "org", "due", "state", "text", "outcome"])),
        OrderCommand::Issue { org, text, due } => {
            Ok(Answer::fields(client.post("/v1/orders", &json!({ "org": org, "text": text, "due": due }))?))
        }
        OrderCommand::Close { id, outcome } => {
            let _ = client.post(&format!("/v1/orders/{id}/close"), &json!({ "outcome": outcome }))?;
            Ok(Answer::text(json!({ "closed": id }), format!("order {id} closed")))
        }
    }
}

/// `indicators`: figures of the last days.
pub fn indicators(context: &Context, days: u32) -> Result<Answer, CliError> {
    let figures = context.client()?.get(&format!("/v1/indicators?days={days}"))?;
    let text = figures_text(&figures);
    Ok(Answer::text(figures, text))
}

fn figures_text(figures: &Value) -> String {
    let field = |value: &Value, name: &str| value.get(name).map(plain).unwrap_or_default();
    let mut shown = table(["operator", "released", "held", "stayed"].map(str::to_owned).to_vec());
    for (org, of) in figures.get("operators").and_then(Value::as_object).into_iter().flatten() {
        shown.add_row([org.clone(), field(of, "released"), field(of, "held"), field(of, "stayed")]);
    }
    let rest = ["replies_in_time", "replies_late", "ended", "disposed", "denials"];
    rest.iter().fold(shown.to_string(), |text, name| format!("{text}\n{name}: {}", field(figures, name)))
}
