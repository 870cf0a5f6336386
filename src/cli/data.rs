//! Catalogue entries, imports, consent; fusion plans.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::Context;
use super::client::Client;
use super::error::CliError;
use super::files::Files;
use super::output::{self, Answer, Moving};

/// `dataset`.
#[derive(Debug, Subcommand)]
pub enum DatasetCommand {
    /// Register a catalogue entry.
    Register {
        /// The entry, TOML.
        file: PathBuf,
    },
    /// List the catalogue.
    List,
    /// Show an entry.
    Show {
        /// Its identifier.
        id: String,
    },
    /// Import a version.
    Import {
        /// The dataset.
        id: String,
        /// The data.
        file: PathBuf,
        /// Its form; told from the file's name without it.
        #[arg(long)]
        format: Option<Format>,
    },
    /// Import the consent table (unit, purpose, expiry).
    Consent {
        /// The dataset.
        id: String,
        /// The data.
        file: PathBuf,
        /// Its form; told from the file's name without it.
        #[arg(long)]
        format: Option<Format>,
    },
}

/// Form of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// CSV, UTF-8.
    Csv,
    /// CSV, GB18030.
    CsvGb18030,
    /// CSV, UTF-8, gzip.
    CsvGz,
    /// CSV, GB18030, gzip.
    CsvGb18030Gz,
    /// Parquet.
    Parquet,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::CsvGb18030 => "csv_gb18030",
            Self::CsvGz => "csv_gz",
            Self::CsvGb18030Gz => "csv_gb18030_gz",
            Self::Parquet => "parquet",
        }
    }

    /// By the name's ending: `.csv`, `.csv.gz`, `.parquet`.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let endings = [(".csv.gz", Self::CsvGz), (".csv", Self::Csv), (".parquet", Self::Parquet)];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format)
    }
}

/// `plan`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Submit a plan.
    Submit {
        /// The plan, TOML.
        file: PathBuf,
    },
    /// List plans.
    List,
    /// Show a plan with what follows from the catalogue.
    Show {
        /// Its identifier.
        id: String,
    },
}

const DATASET_COLUMNS: &[&str] =
    &["id", "entry.title", "owner", "entry.origin", "entry.security_level", "entry.sharing.class", "data.version", "data.rows", "stale"];

/// `dataset …`.
pub fn dataset(context: &Context, command: DatasetCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        DatasetCommand::Register { file } => Ok(Answer::fields(client.post_toml("/v1/datasets", &context.files.read_text(&file)?)?)),
        DatasetCommand::List => Ok(Answer::list(client.get("/v1/datasets")?, DATASET_COLUMNS)),
        DatasetCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/datasets/{id}"))?)),
        DatasetCommand::Import { id, file, format } => {
            let target = format!("/v1/datasets/{id}/versions");
            upload_file(&client, context.files, &target, &file, format, context.json).map(imported)
        }
        DatasetCommand::Consent { id, file, format } => {
            let target = format!("/v1/datasets/{id}/consents");
            upload_file(&client, context.files, &target, &file, format, context.json).map(imported)
        }
    }
}

fn upload_file(client: &Client, files: Files, target: &str, path: &Path, format: Option<Format>, quiet: bool) -> Result<Value, CliError> {
    let format = format.or_else(|| Format::of(path));
    let format = format.ok_or_else(|| CliError::failed("the file's name does not tell its form", "say it with --format"))?;
    let file = files.open(path)?;
    let length = file.metadata().map_err(|e| CliError::file("read", path, &e))?.len();
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let bar = output::bar(length, &name, quiet);
    let answer = client.upload(&format!("{target}?format={}", format.word()), &mut Moving(file, bar.clone()), length);
    bar.finish_and_clear();
    answer
}

/// What an import took and what it left out: row, column and rule, never a value.
fn imported(value: Value) -> Answer {
    let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut text = format!("version {}: {} rows taken, {} rejected", number("version"), number("rows"), number("rejected"));
    let rejected = value.get("rejected_rows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for row in rejected.iter().take(20) {
        let part = |name: &str| row.get(name).map(output::plain).unwrap_or_default();
        text.push_str(&format!("\n  row {}, column {}: {}", part("row"), part("column"), part("rule")));
    }
    if rejected.len() > 20 {
        text.push_str("\n  … (all with --json)");
    }
    Answer::text(value, text)
}

/// `plan …`.
pub fn plan(context: &Context, command: PlanCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        PlanCommand::Submit { file } => Ok(Answer::fields(client.post_toml("/v1/plans", &context.files.read_text(&file)?)?)),
        PlanCommand::List => Ok(Answer::list(client.get("/v1/plans")?, &["id", "plan.title", "org", "level", "digest"])),
        PlanCommand::Show { id } => Ok(Answer::fields(client.get(&format!("/v1/plans/{id}"))?)),
    }
}
