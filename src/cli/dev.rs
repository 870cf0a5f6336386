//! A module on its author's own machine: a new one from the template, and a run on synthetic rows through the same worlds, limits and
//! rules as on the server. No server, no real data, no agreement.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use protocol::limits::Limits;
use protocol::memfd::{self, SealedFd};
use protocol::message::{GuestFailure, WorkerRole};
use protocol::plan::FusionReport;
use protocol::seal::SealKey;
use serde_json::{Value, json};

use super::Context;
use super::error::{CliError, RefusalText};
use super::files::Files;
use super::output::{Answer, plain};
use super::releases::artefact_text;
use super::server::worker_beside;
use crate::catalog::{CatalogueEntry, FusionPlan, ResolvedPlan, synthetic_view};
use crate::clock::{CHINA_UTC_OFFSET_S, Clock, SystemClock};
use crate::gate::{Conditions, Decision, JobFacts, RawOutput, own_notices};
use crate::id::{DatasetId, JobId, ModuleDigest, Name, OrgId, PrincipalId};
use crate::jobs::{coded_columns, derived_column, judge_models};
use crate::policy::{ActivePolicy, ReleasePolicy};
use crate::sdc::RoundingKey;
use crate::workers::{
    CompileError, Compiled, GuestInput, GuestOutput, KillSwitch, Patience, Share, View, WorkerError, WorkerSettings, Workers,
};

const TEMPLATE_MANIFEST: &str = include_str!("../../guest-sdk/template/Cargo.toml");
const TEMPLATE_SOURCE: &str = include_str!("../../guest-sdk/template/src/lib.rs");
const STANDARD_POLICY: &str = include_str!("../../policies/release/standard.toml");

/// `dev`.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Make a module from the template.
    New(New),
    /// Run a module on synthetic rows.
    Run(Run),
}

/// `dev new`.
#[derive(Debug, Args)]
pub struct New {
    /// Its name: lower-case letters, digits, `_`.
    name: String,
    /// Folder to make it in; without it, one of its name here.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Path of `guest-sdk` in a checkout of fusebox, as seen from the module.
    #[arg(long, value_name = "DIR")]
    sdk: PathBuf,
}

/// `dev run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The module, wasm.
    module: PathBuf,
    /// The fusion plan, TOML.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Folder with the catalogue entries of its datasets, TOML.
    #[arg(long, value_name = "DIR")]
    entries: PathBuf,
    /// The organisation that it would run for: figures over columns of its own are judged as on real data.
    #[arg(long, value_name = "ORG")]
    operator: Option<String>,
    /// Rows.
    #[arg(long, default_value_t = 10_000)]
    rows: u32,
    /// Seed: the same gives the same rows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Release policy to judge by; without it the one that comes with fusebox.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The worker's binary; without it, the one beside this program.
    #[arg(long, value_name = "PATH")]
    worker: Option<PathBuf>,
}

/// `dev …`.
pub fn dev(context: &Context, command: DevCommand) -> Result<Answer, CliError> {
    match command {
        DevCommand::New(new) => make(context.files, new),
        DevCommand::Run(run) => rehearse(context.files, &run),
    }
}

fn make(files: Files, new: New) -> Result<Answer, CliError> {
    if !protocol::schema::is_name(&new.name) {
        return Err(CliError::failed(
            format!("`{}` is no name for a module", new.name),
            "use a lower-case letter, then lower-case letters, digits and _",
        ));
    }
    let path = new.dir.unwrap_or_else(|| PathBuf::from(&new.name));
    let dir = files.make_dir(&path)?;
    if dir.exists("Cargo.toml") {
        return Err(CliError::failed(format!("{} holds a crate already", path.display()), "choose another folder"));
    }
    // Debug form of a path is a quoted TOML text for all but control characters, which no such path has.
    let sdk = format!("path = {:?}", new.sdk.display().to_string());
    let fill = |text: &str| text.replace("{{name}}", &new.name).replace("{{sdk}}", &sdk);
    let written = dir
        .write("Cargo.toml", fill(TEMPLATE_MANIFEST))
        .and_then(|()| dir.create_dir_all("src"))
        .and_then(|()| dir.write("src/lib.rs", fill(TEMPLATE_SOURCE)));
    written.map_err(|e| CliError::file("write", &path, &e))?;
    let next = format!(
        "{} made. Build it with\n  cargo build --release --target wasm32-unknown-unknown\nand try it with\n  fusebox dev run target/wasm32-unknown-unknown/release/{}.wasm --plan PLAN --entries DIR",
        path.display(),
        new.name
    );
    Ok(Answer::text(json!({ "module": new.name, "dir": path.display().to_string() }), next))
}

/// Everything that a run needs, checked.
struct Stage {
    plan: FusionPlan,
    resolved: ResolvedPlan,
    policy: ActivePolicy,
    module: Vec<u8>,
    workers: Workers,
}

impl Stage {
    fn set(files: Files, run: &Run) -> Result<Self, CliError> {
        let entries = entries(files, &run.entries)?;
        let plan = FusionPlan::parse(&files.read_text(&run.plan)?)?;
        let catalogue = entries.iter().map(|(id, entry)| (id.clone(), entry)).collect();
        let resolved = match &run.operator {
            Some(operator) => {
                let operator = operator.parse().map_err(|e| CliError::failed(format!("`{operator}`: {e}"), "name an organisation"))?;
                plan.validate_for(&catalogue, &operator)?
            }
            None => plan.validate(&catalogue)?,
        };
        let policy = run.policy.as_ref().map(|path| files.read_text(path)).transpose()?.unwrap_or_else(|| STANDARD_POLICY.to_owned());
        let policy = ReleasePolicy::parse(&policy).map_err(|e| CliError::failed(e, "compare it with policies/release/standard.toml"))?;
        let worker = match &run.worker {
            Some(worker) => worker.clone(),
            None => worker_beside()?,
        };
        let threads = std::thread::available_parallelism().ok().and_then(|n| u16::try_from(n.get()).ok()).unwrap_or(1);
        let module = files.read(&run.module)?;
        let workers = Workers::new(WorkerSettings::alone(worker, threads, 0));
        Ok(Self { plan, resolved, policy: ActivePolicy::for_rehearsal(policy), module, workers })
    }

    fn compile(&self) -> Result<Compiled, CliError> {
        self.workers.compile(&self.module, Patience::Job, &KillSwitch::default()).map_err(|e| match e {
            CompileError::Refused(refusal) => {
                CliError::failed(format!("the module would be refused: {refusal}"), "build it with the guest SDK, and import nothing else")
            }
            CompileError::Worker(e) => worker_failed(&e),
        })
    }

    fn view(&self, run: &Run) -> Result<View, CliError> {
        let made = synthetic_view(&self.resolved.fuse, run.rows, run.seed)
            .map_err(|e| CliError::failed(e, "ask for fewer rows, or mend the plan"))?;
        let mut columns = Vec::with_capacity(made.columns.len());
        for (column, bytes) in made.columns.into_iter().zip(made.bytes) {
            columns.push((column, sealed(&bytes)?));
        }
        Ok(View::new(columns, FusionReport { members: Vec::new(), rows: made.rows, units: made.units }))
    }

    /// The same decision as on the server, on outputs that are made up.
    fn decide(&self, run: &Run, view: &View, output: GuestOutput) -> Result<Value, CliError> {
        let GuestOutput { derived, tables, models, .. } = output;
        let (conditions, unjudged) = Conditions::on_synthetic(&self.resolved, None);
        let notices = own_notices(&tables, &unjudged, &self.policy);
        let mut columns: Vec<_> = view.granted().map(|(column, _)| column.clone()).collect();
        columns.extend(derived.iter().map(|(declared, _)| derived_column(declared)));
        let (tables, judged) = if tables.is_empty() && models.is_empty() {
            (Vec::new(), None)
        } else {
            let mut engine = share(&self.workers, WorkerRole::Engine)
                .and_then(|share| self.workers.attach(view, share, &KillSwitch::default()))
                .map_err(|e| worker_failed(&e))?;
            let judged = judge_models(&mut engine, &models, &derived, &self.policy).map_err(|e| worker_failed(&e))?;
            let reduced = if tables.is_empty() {
                None
            } else {
                Some(engine.reduce(tables, derived, conditions.own()).map_err(|e| worker_failed(&e))?.0)
            };
            (reduced.unwrap_or_default(), Some(judged))
        };
        let raw = RawOutput::seal(tables, models, columns, coded_columns(&self.resolved.fuse), view.report().units);
        let raw = if let Some(judged) = judged { raw.with_judged(judged) } else { raw };
        let failed = |e: &dyn std::fmt::Display| CliError::failed(e, "this is a fault of the product; report it");
        let author = |e: crate::id::IdError| failed(&e);
        let facts = JobFacts {
            job: JobId::random().map_err(author)?,
            org: "author".parse::<OrgId>().map_err(author)?,
            principal: "author".parse::<PrincipalId>().map_err(author)?,
            author_org: "author".parse::<OrgId>().map_err(author)?,
            agreement: None,
            plan: self.plan.id.clone(),
            plan_digest: String::new(),
            module: Some(ModuleDigest::of(&self.module)),
            module_approver: None,
            engine_digest: String::new(),
            purpose: "development".parse::<Name>().map_err(author)?.to_string(),
            recipient: "author".parse::<OrgId>().map_err(author)?,
            sources: Vec::new(),
            today: SystemClock.now().date(CHINA_UTC_OFFSET_S),
        };
        let mut key = [0; 32];
        key.iter_mut().zip(run.seed.to_le_bytes()).for_each(|(to, from)| *to = from);
        match Decision::decide(raw, facts, &self.policy, &SealKey::from_bytes(&key), &RoundingKey::new(&key)) {
            Ok(decision) => Ok(decision.rehearsal_with(&notices)),
            Err(crate::gate::DecideError::Refused(refused)) => Err(refused.into()),
            Err(crate::gate::DecideError::Store(error)) => Err(failed(&error)),
        }
    }
}

fn entries(files: Files, path: &Path) -> Result<BTreeMap<DatasetId, CatalogueEntry>, CliError> {
    let listed = files.dir(path)?.entries().map_err(|e| CliError::file("list", path, &e))?;
    let mut entries = BTreeMap::new();
    for file in listed {
        let name = file.map_err(|e| CliError::file("list", path, &e))?.file_name();
        if Path::new(&name).extension().is_some_and(|ending| ending == "toml") {
            let entry = CatalogueEntry::parse(&files.read_text(&path.join(&name))?)?;
            entries.insert(entry.id.clone(), entry);
        }
    }
    Ok(entries)
}

fn sealed(bytes: &[u8]) -> Result<SealedFd, CliError> {
    let failed = |e: &dyn std::fmt::Display| CliError::failed(format!("shared memory: {e}"), "free some memory, or ask for fewer rows");
    let fd = memfd::sealed("synthetic", bytes).map_err(|e| failed(&e))?;
    SealedFd::verify(fd, Limits::STANDARD.column_bytes_max).map_err(|e| failed(&e))
}

fn share(workers: &Workers, role: WorkerRole) -> Result<Share, WorkerError> {
    workers.reserve([role], Patience::Job, &KillSwitch::default()).map(|[share]| share)
}

fn worker_failed(error: &WorkerError) -> CliError {
    let remedy = match error {
        WorkerError::Spawn(_) => "name the worker's binary with --worker",
        WorkerError::Engine(_) => "mend the table request that is named",
        _ => "mend the module; its log text is above",
    };
    CliError::failed(error, remedy)
}

fn rehearse(files: Files, run: &Run) -> Result<Answer, CliError> {
    let stage = Stage::set(files, run)?;
    let compiled = stage.compile()?;
    let view = stage.view(run)?;
    let code = memfd::sealed("code", &compiled.code).map_err(|e| CliError::failed(format!("shared memory: {e}"), "free some memory"))?;
    let manifest = compiled.manifest.clone();
    let input = GuestInput { code: &code, view: &view, manifest, seed: run.seed, synthetic: true };
    let guest = share(&stage.workers, WorkerRole::Guest).map_err(|e| worker_failed(&e))?;
    let output = match stage.workers.run(&input, guest, &KillSwitch::default()) {
        Ok(output) => output,
        Err((error, log)) => {
            super::output::warn(&log);
            return Err(match &error {
                WorkerError::Guest(GuestFailure::Error(Some(text))) => {
                    CliError::failed(format!("the module gave up: {text}"), "mend the module")
                }
                other => worker_failed(other),
            });
        }
    };
    let log = output.log.clone();
    let decided = stage.decide(run, &view, output)?;
    let mut text = format!(
        "{} {}: {} imports, {} kB of code; {} synthetic rows, {} units",
        compiled.manifest.name,
        compiled.manifest.version,
        compiled.imports.len(),
        compiled.code.len() / 1000,
        view.rows(),
        view.report().units
    );
    if !log.is_empty() {
        text.push_str(&format!("\n--- log of the module\n{}", log.trim_end()));
    }
    for output in decided.as_array().into_iter().flatten() {
        text.push_str(&format!("\n--- {}\n{}", verdict(output), rehearsed(output)));
        for notice in output.get("on_real_data").and_then(Value::as_array).into_iter().flatten() {
            let told = RefusalText::read(notice).map_or_else(|| plain(notice), |r| r.to_string());
            text.push_str(&format!("\nnot judged on synthetic rows, and may be refused on real ones:\n{told}"));
        }
    }
    Ok(Answer::text(json!({ "imports": compiled.imports, "rows": view.rows(), "log": log, "outputs": decided }), text))
}

/// What would become of an output.
pub fn verdict(output: &Value) -> String {
    let part = |name: &str| output.get(name).map(plain).unwrap_or_default();
    let word = match part("outcome").as_str() {
        "release" => "would be released",
        "hold" => "would be held for a checker",
        _ => "would be refused",
    };
    format!("{} `{}` {word}", part("kind"), part("name"))
}

/// A rehearsed output for people.
pub fn rehearsed(output: &Value) -> String {
    match output.get("refusal").filter(|r| !r.is_null()) {
        Some(refusal) => RefusalText::read(refusal).map_or_else(|| plain(refusal), |r| r.to_string()),
        None => artefact_text(output),
    }
}
