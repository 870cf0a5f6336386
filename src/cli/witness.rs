//! `witness`: a process of its own, with a key of its own, that cosigns a log's checkpoints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Context;
use super::error::CliError;
use super::log::log_key;
use super::output::{self, Answer};
use super::server::tracing_to_stderr;
use crate::api::serve_witness;
use crate::clock::SystemClock;
use crate::tlog::witness::{Keeper, KeeperError};

/// `witness`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Witness {
    #[command(subcommand)]
    command: Option<WitnessCommand>,
    #[command(flatten)]
    serve: Option<ServeWitness>,
}

/// `witness init`.
#[derive(Debug, Subcommand)]
pub enum WitnessCommand {
    /// Make a witness's folder and key; prints the public key that the log's server and everyone who verifies are given.
    Init {
        /// Its folder: never the log's.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Its name: an address without scheme, for example `witness.example.gov/1`.
        #[arg(long)]
        name: String,
    },
}

/// `witness` without a further word: runs it.
#[derive(Debug, Args)]
pub struct ServeWitness {
    /// Its folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on; port 0 leaves it to the system.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Public key of a log that it cosigns, or a file that holds it; once for each log.
    #[arg(long, value_name = "VERIFIER", required = true)]
    log_key: Vec<String>,
}

fn failed(error: KeeperError) -> CliError {
    CliError::failed(error, "a witness has a folder of its own, made by `fusebox witness init`; one process works on it")
}

/// `witness …`: prints one JSON line with the bound address once it is ready, runs until SIGTERM or SIGINT.
pub fn witness(context: &Context, arguments: Witness) -> Result<Answer, CliError> {
    if let Some(WitnessCommand::Init { data, name }) = arguments.command {
        let key = Keeper::init(&context.files.make_dir(&data)?, &name).map_err(failed)?;
        return Ok(Answer::fields(json!({ "data": data.display().to_string(), "witness_key": key.to_string() })));
    }
    let Some(serve) = arguments.serve else {
        return Err(CliError::failed("nothing to do", "name --data, --listen and --log-key, or `witness init`"));
    };
    tracing_to_stderr();
    let logs = serve.log_key.iter().map(|text| log_key(context.files, text)).collect::<Result<Vec<_>, _>>()?;
    let keeper = Keeper::open(context.files.dir(&serve.data)?, logs, Arc::new(SystemClock)).map_err(failed)?;
    let key = keeper.key().to_string();
    let ready = |address: SocketAddr| {
        let line = json!({ "ready": true, "url": format!("http://{address}"), "witness_key": key, "pid": std::process::id() });
        output::say(&line.to_string());
    };
    serve_witness(keeper, serve.listen, ready).map_err(|e| CliError::failed(e, "see the witness's log above"))?;
    Ok(Answer::text(json!({ "stopped": true }), "stopped"))
}
