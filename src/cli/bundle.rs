//! `verify`: the bundle of a release, checked without a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Context;
use super::error::CliError;
use super::files::Files;
use super::log::log_key;
use super::output::{Answer, plain};
use crate::clock::Timestamp;
use crate::gate;
use crate::tlog::WitnessKey;

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The bundle, as `release bundle` wrote it.
    bundle: PathBuf,
    /// The log's public key, `name+hash+base64`, or a file that holds it.
    #[arg(long, value_name = "VERIFIER")]
    log_key: String,
    /// The witness's public key, or a file that holds it. Without it the cosignature is not checked.
    #[arg(long, value_name = "VERIFIER")]
    witness_key: Option<String>,
}

/// A witness's public key, written or in a file.
pub fn witness_key(files: Files, text: &str) -> Result<WitnessKey, CliError> {
    if let Ok(key) = WitnessKey::parse(text) {
        return Ok(key);
    }
    let read = files.read_text(text.as_ref()).ok().and_then(|text| WitnessKey::parse(text.trim()).ok());
    read.ok_or_else(|| {
        let remedy = "it has the form name+hash+base64: `fusebox witness init` prints it";
        CliError::failed("this is no public key of a witness, nor a file that holds one", remedy)
    })
}

/// `verify`: says what the bundle holds, or names the first thing wrong with it.
pub fn verify(context: &Context, arguments: &Verify) -> Result<Answer, CliError> {
    let log = log_key(context.files, &arguments.log_key)?;
    let witness = arguments.witness_key.as_deref().map(|text| witness_key(context.files, text)).transpose()?;
    let bytes = context.files.read(&arguments.bundle)?;
    let checked = match gate::verify(&bytes, &log, witness.as_ref()) {
        Ok(checked) => checked,
        Err(fault) => {
            let (en, zh) = (fault.to_string(), fault.zh());
            let value = json!({ "sound": false, "part": fault.part.file(), "fault": fault, "en": en, "zh": zh });
            return Ok(Answer { good: false, ..Answer::text(value, format!("NOT SOUND: {en}\n不可信：{zh}")) });
        }
    };
    let part = |path: &str| checked.manifest.pointer(path).map(plain).unwrap_or_default();
    let mut text = format!(
        "sound 可信: {} `{}` of job {}, decided under policy {}\n  to {} for {}; log {} of {} leaves",
        part("/kind"),
        part("/name"),
        part("/job"),
        part("/policy"),
        part("/recipient"),
        part("/purpose"),
        part("/log/origin"),
        checked.log_size,
    );
    for source in checked.manifest.get("sources").and_then(|s| s.as_array()).into_iter().flatten() {
        let part = |name: &str| source.get(name).map(plain).unwrap_or_default();
        text.push_str(&format!("\n  source: {} of {}, version {} ({})", part("dataset"), part("owner"), part("version"), part("columns")));
    }
    for reviewer in checked.manifest.get("reviewers").and_then(|s| s.as_array()).into_iter().flatten() {
        let part = |name: &str| reviewer.get(name).map(plain).unwrap_or_default();
        text.push_str(&format!("\n  approved by {} of {}, key {}", part("by"), part("org"), part("fingerprint")));
    }
    text.push_str(&match checked.cosigned_at {
        Some(at) => format!("\n  cosigned by the witness at {}", Timestamp::from_unix_s(i64::try_from(at).unwrap_or(i64::MAX))),
        None => "\n  no witness's key was given: whether others are shown another log was not checked 未核对见证方联署".to_owned(),
    });
    Ok(Answer::text(json!({ "sound": true, "checked": checked }), text))
}
