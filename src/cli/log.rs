//! The release log: its checkpoint, a copy of it, and verification without the server.

use std::path::PathBuf;

use cap_std::fs::Dir;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::files::Files;
use super::output::{self, Answer};
use crate::tlog::{Checkpoint, LogDir, Report, Verifier, tile, verify};

/// `log`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the server's checkpoint; keep it to find a cut or forked log later.
    Checkpoint {
        /// File to keep it in.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Copy the server's log into a folder, for offline verification.
    Fetch {
        /// The folder.
        dir: PathBuf,
    },
    /// Verify a copy of the log with nothing but the log's public key.
    Verify {
        /// The folder: `log` in the data directory, or what `log fetch` made.
        dir: PathBuf,
        /// A checkpoint kept from before.
        #[arg(long, value_name = "FILE")]
        remembered: Option<PathBuf>,
        /// The log's public key, `name+hash+base64`, or a file that holds it.
        #[arg(long, value_name = "VERIFIER")]
        key: String,
    },
    /// Print the log's public key, as the server tells it; compare it with the one you know.
    Key,
    /// Show the body of a leaf.
    Leaf {
        /// Its number, from 0.
        number: u64,
    },
}

/// `log …`.
pub fn log(context: &Context, command: LogCommand) -> Result<Answer, CliError> {
    match command {
        LogCommand::Checkpoint { out } => {
            let bytes = context.client()?.get_bytes("/log/checkpoint")?;
            if let Some(out) = out {
                context.files.write(&out, &bytes)?;
            }
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            Ok(Answer::text(json!({ "checkpoint": text }), text.clone()))
        }
        LogCommand::Fetch { dir } => fetch(context, &dir),
        LogCommand::Verify { dir, remembered, key } => {
            let key = log_key(context.files, &key)?;
            let remembered = remembered.map(|path| context.files.read(&path)).transpose()?;
            let report = verify_dir(context.files.dir(&dir)?, &key, remembered.as_deref());
            Ok(Answer { good: report.is_sound(), ..Answer::text(json!(report), report.to_string()) })
        }
        LogCommand::Key => {
            let text = String::from_utf8_lossy(&context.client()?.get_bytes("/log/key")?).trim().to_owned();
            Ok(Answer::text(json!({ "key": text }), text.clone()))
        }
        LogCommand::Leaf { number } => Ok(Answer::fields(context.client()?.get(&format!("/v1/log/leaves/{number}"))?)),
    }
}

/// A log's public key, written or in a file.
pub fn log_key(files: Files, text: &str) -> Result<Verifier, CliError> {
    if let Ok(key) = Verifier::parse(text) {
        return Ok(key);
    }
    let read = files.read_text(text.as_ref()).ok().and_then(|text| Verifier::parse(text.trim()).ok());
    read.ok_or_else(|| {
        let remedy = "it has the form name+hash+base64: `fusebox init` prints it, `fusebox log key` asks the server for it";
        CliError::failed("this is no public key of a log, nor a file that holds one", remedy)
    })
}

/// Verifies the log in `dir`.
pub fn verify_dir(dir: Dir, key: &Verifier, remembered: Option<&[u8]>) -> Report {
    verify(&LogDir::new(dir), key, remembered)
}

/// Downloads the checkpoint, then every tile that its size needs. Nothing is believed here: `log verify` judges the copy.
fn fetch(context: &Context, path: &std::path::Path) -> Result<Answer, CliError> {
    let client = context.client()?;
    let checkpoint = client.get_bytes("/log/checkpoint")?;
    let bad = || CliError::failed("the server's checkpoint is not of the known form", "check that --server is a fusebox server");
    let text = std::str::from_utf8(&checkpoint).ok().and_then(|note| note.split_once("\n\n"));
    let size = text.and_then(|(text, _)| Checkpoint::parse(&format!("{text}\n")).ok()).ok_or_else(bad)?.size;
    let dir = context.files.make_dir(path)?;
    let tiles: Vec<_> = tile::changed(0, size).collect();
    let bar = output::spinner("tiles", context.json);
    for tile in &tiles {
        let name = tile.to_string();
        bar.set_message(name.clone());
        let bytes = client.get_bytes(&format!("/log/{name}"))?;
        put(&dir, &name, &bytes).map_err(|e| CliError::file("write", &path.join(&name), &e))?;
    }
    // Last, so that a copy that broke off has none.
    put(&dir, "checkpoint", &checkpoint).map_err(|e| CliError::file("write", path, &e))?;
    bar.finish_and_clear();
    let value: Value = json!({ "size": size, "files": tiles.len() + 1 });
    Ok(Answer::text(value, format!("{size} leaves in {} files; verify them with `fusebox log verify`", tiles.len() + 1)))
}

fn put(dir: &Dir, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    if let Some((parent, _)) = name.rsplit_once('/') {
        dir.create_dir_all(parent)?;
    }
    dir.write(name, bytes)
}
