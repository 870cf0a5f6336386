//! `demo`: the main job end to end, through real processes, on made-up firms (`examples/credit`).
//!
//! A server is started on an empty data directory; eleven people of ten organisations do what each may do; a table is released with its
//! suppressed cells, a model is held and approved by two reviewers who sign, and the log is verified against a checkpoint remembered before. Whatever
//! is not as expected ends the demo with an error.

mod cast;
mod process;
mod story;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::log::verify_dir;
use super::output::{Answer, say, warn};
use super::releases::artefact_text;
use super::server::{self, Init, worker_beside};
use crate::tlog::{Remembered, Verifier};
use cast::Cast;
use process::Server;

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder with `credit-default-rate.wasm` and `credit-scorecard.wasm`, as `cargo xtask guests` makes it.
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    /// An empty data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The worker's binary; without it, the one beside this program.
    #[arg(long, value_name = "PATH")]
    worker: Option<PathBuf>,
    /// Firms of the region.
    #[arg(long, default_value_t = 20_000)]
    firms: u32,
    /// Seed of the made-up data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Tells each step with its time.
struct Steps {
    started: Instant,
    last: Instant,
    quiet: bool,
}

impl Steps {
    fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Self { started: now, last: now, quiet }
    }
    /// One line: what was done since the last one.
    fn done(&mut self, text: &str) {
        let now = Instant::now();
        if !self.quiet {
            say(&format!("{:7.2} s  {text}", (now - self.last).as_secs_f64()));
        }
        self.last = now;
    }
    /// Text between the steps.
    fn show(&self, text: &str) {
        if !self.quiet {
            say(&format!("\n{text}\n"));
        }
    }
}

/// What was expected and did not come.
fn unexpected(what: &str, found: &Value) -> CliError {
    CliError::failed(
        format!("{what}; found {found}"),
        "this is a fault of the product: keep the data directory with its server.log and report it",
    )
}

/// Holds, or the demo ends.
fn expect(holds: bool, what: &str, found: &Value) -> Result<(), CliError> {
    if holds { Ok(()) } else { Err(unexpected(what, found)) }
}

/// `demo`.
pub fn demo(context: &Context, arguments: Demo) -> Result<Answer, CliError> {
    let mut steps = Steps::new(context.json);
    let files = context.files;
    let token_file = arguments.data.join("security-admin.token");
    files.make_dir(&arguments.data)?;
    let init = Init {
        data: arguments.data.clone(),
        admin: "security-admin".to_owned(),
        org: "platform".to_owned(),
        days: 1,
        token_out: Some(token_file.clone()),
        config: None,
    };
    let made = server::init(context, init)?.value;
    let log_key = made.get("log_key").and_then(Value::as_str).unwrap_or_default().to_owned();
    files.write(&arguments.data.join("log-key"), format!("{log_key}\n").as_bytes())?;
    steps.done("data directory, master key, log and first account made");

    let worker = match arguments.worker {
        Some(worker) => worker,
        None => worker_beside()?,
    };
    let mut running = Server::start(files, &arguments.data, &worker)?;
    let admin = running.client(&super::client::token_from_file(files, &token_file)?)?;
    steps.done(&format!("server started at {}", admin.server()));

    let cast = Cast::make(&admin, &mut steps)?;
    let told = story::tell(context, &cast, &arguments.modules, (arguments.firms, arguments.seed), &mut steps);
    let told = told.inspect_err(|_| warn(&format!("the server's log: {}", arguments.data.join("server.log").display())))?;
    steps.show(&artefact_text(&told.table));
    steps.show(&artefact_text(&told.model));

    let checkpoint = admin.get_bytes("/log/checkpoint")?;
    let remembered = arguments.data.join("remembered-checkpoint");
    files.write(&remembered, &checkpoint)?;
    running.stop()?;
    steps.done("server stopped");
    let key = Verifier::parse(&log_key).map_err(|e| CliError::failed(e, "initialise anew"))?;
    let report = verify_dir(files.dir(&arguments.data.join("log"))?, &key, Some(&checkpoint));
    expect(
        report.is_sound() && matches!(report.remembered, Remembered::Extends { .. }),
        "the log is sound and extends the remembered checkpoint",
        &json!(report),
    )?;
    steps.done("log verified against the remembered checkpoint");
    steps.show(&format!("{}\n{report}", String::from_utf8_lossy(&checkpoint).trim_end()));
    let (data, total) = (arguments.data.display(), steps.started.elapsed().as_secs_f64());
    steps.show(&format!(
        "All is as expected, after {total:.1} s. To verify the log yourself:\n  fusebox log verify {data}/log --remembered {data}/remembered-checkpoint --key {data}/log-key"
    ));
    let value = json!({
        "table": told.table, "model": told.model, "commitments": told.commitments,
        "checkpoint": String::from_utf8_lossy(&checkpoint), "log": report, "log_key": log_key, "seconds": total,
    });
    Ok(Answer::text(value, ""))
}
