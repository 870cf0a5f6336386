//! A database that was found behind what is remembered of its log.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::output::Answer;

/// `recover`.
#[derive(Debug, Subcommand)]
pub enum RecoverCommand {
    /// What was found.
    Show,
    /// Sign for the database as it is: the lost span's budgets count as spent.
    Sign {
        /// The database's log as it was found, as SIZE:ROOT.
        #[arg(long, value_parser = extent)]
        database: Value,
        /// The furthest checkpoint that is remembered, as SIZE:ROOT; left out where none is.
        #[arg(long, value_parser = extent)]
        remembered: Option<Value>,
        /// Why the newer database is not put back, and what was done about it.
        #[arg(long)]
        reason: String,
    },
    /// Let tables on a kind of identifier leave automatically again.
    Rebase {
        /// The kind.
        namespace: String,
        /// What was done about the tables that left in the lost span.
        #[arg(long)]
        reason: String,
    },
}

fn extent(text: &str) -> Result<Value, String> {
    let (size, root) = text.split_once(':').ok_or("written as SIZE:ROOT, as `fusebox recover show` has it")?;
    let size: u64 = size.parse().map_err(|_| "SIZE is a number of leaves".to_owned())?;
    Ok(json!({ "size": size, "root": root }))
}

/// `recover …`.
pub fn recover(context: &Context, command: &RecoverCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        RecoverCommand::Show => Ok(Answer::fields(client.get("/v1/recovery")?)),
        RecoverCommand::Sign { database, remembered, reason } => {
            let statement = json!({ "database": database, "remembered": remembered, "reason": reason });
            Ok(Answer::fields(client.post("/v1/recovery", &statement)?))
        }
        RecoverCommand::Rebase { namespace, reason } => {
            Ok(Answer::fields(client.post("/v1/recovery/rebase", &json!({ "namespace": namespace, "reason": reason }))?))
        }
    }
}
