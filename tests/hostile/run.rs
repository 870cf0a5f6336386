//! Runs a case against real worker processes and says in what it differs from what must come of it.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use fusebox::workers::{CompileError, Compiled, GuestInput, GuestOutput, KillSwitch, Patience, View, WorkerError, Workers};
use protocol::column::{Parts, write_column};
use protocol::manifest::Manifest;
use protocol::memfd::{MemfdWriter, SealedFd, sealed};
use protocol::message::{EngineFailure, GuestFailure, ModuleRefusal, WorkerRole};
use protocol::model::ModelError;
use protocol::plan::{FusionReport, ViewColumn, ViewType, Visibility};
use protocol::table::TableError;

use crate::cases::{Case, Expect, Rows, Source};
use crate::{escaped, modules};

/// Time after which what is known not to end is ended.
pub const SHORT: Duration = Duration::from_millis(600);
/// Time in which everything else must have ended.
pub const LONG: Duration = Duration::from_secs(60);
/// The seed of every run but those of guests that do what their seed says.
const SEED: u64 = 42;

/// The worker binary.
pub fn binary() -> PathBuf {
    PathBuf::from(std::env::var_os("FUSEBOX_WORKER").expect("FUSEBOX_WORKER is not set; remedy: `cargo xtask test`"))
}

pub fn sealed_column(parts: Parts<'_>, validity: Option<&[u8]>) -> SealedFd {
    let mut memory = MemfdWriter::create("t").unwrap();
    write_column(parts, validity, &mut memory).unwrap();
    SealedFd::verify(memory.seal().unwrap(), 1 << 30).unwrap()
}

fn column(name: &str, ty: ViewType, visibility: Visibility, memory: SealedFd) -> (ViewColumn, SealedFd) {
    (ViewColumn { name: name.to_owned(), ty, visibility, provenance: "t.t".to_owned() }, memory)
}

fn category(name: &str, codes: &[u32], labels: &[String]) -> (ViewColumn, SealedFd) {
    let ends = labels.iter().scan(0, |end, label| {
        *end += u32::try_from(label.len()).unwrap();
        Some(*end)
    });
    let offsets: Vec<u32> = std::iter::once(0).chain(ends).collect();
    let memory = sealed_column(Parts::Code(codes, &offsets, labels.concat().as_bytes()), None);
    column(name, ViewType::Category { declared: true }, Visibility::Granted, memory)
}

/// The view of a case.
pub fn view(rows: Rows) -> View {
    let count = match rows {
        Rows::None => 0,
        Rows::Vast => 1 << 31,
        _ => 1000,
    };
    let n = if rows == Rows::Vast { 0 } else { usize::try_from(count).unwrap() };
    let number = ViewType::Number { scale: 2, min: 0, max: 500 };
    let labels = |count: usize| -> Vec<String> { (0..count).map(|i| format!("label {i}")).collect() };
    let columns = match rows {
        Rows::Vast => Vec::new(),
        Rows::Garbage => {
            let memory = SealedFd::verify(sealed("t", &[7; 4096]).unwrap(), 4096).unwrap();
            vec![column("amount", number, Visibility::Granted, memory)]
        }
        Rows::Wide => {
            let codes: Vec<u32> = (0..n).map(|i| (i % 64) as u32).collect();
            let mut all: Vec<_> = ["ka", "kb", "kc", "kd", "ke"].iter().map(|name| category(name, &codes, &labels(64))).collect();
            let whole = ViewType::Number { scale: 0, min: 0, max: i64::MAX };
            let ordinals: Vec<i64> = (0..n as i64).collect();
            all.push(column("unit", whole.clone(), Visibility::UnitOrdinal, sealed_column(Parts::I64(&ordinals), None)));
            all.push(column("foreign", whole.clone(), Visibility::Foreign, sealed_column(Parts::I64(&vec![1; n]), None)));
            all.push(column("row_identity", whole, Visibility::RowIdentity, sealed_column(Parts::I64(&ordinals), None)));
            all
        }
        Rows::Synthetic | Rows::Real | Rows::None => {
            let values: Vec<i64> = (0..n).map(|i| if i % 5 == 3 { 0 } else { (i % 400) as i64 }).collect();
            let mut bits = vec![0u8; n.div_ceil(8)];
            (0..n).filter(|i| i % 5 != 3).for_each(|i| bits[i / 8] |= 1 << (i % 8));
            let codes: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
            let grades = ["甲".to_owned(), "b".to_owned(), "c".to_owned()];
            vec![
                column("amount", number, Visibility::Granted, sealed_column(Parts::I64(&values), Some(&bits))),
                category("grade", &codes, &grades),
            ]
        }
    };
    View::new(columns, FusionReport { members: Vec::new(), rows: count, units: count })
}

/// Compiled guests, each once.
type Guests = Mutex<HashMap<&'static str, Arc<Compiled>>>;
static GUESTS: LazyLock<Guests> = LazyLock::new(Mutex::default);

fn compile(workers: &Workers, source: &Source) -> Result<Arc<Compiled>, CompileError> {
    if let Source::Guest(name, _) = source
        && let Some(compiled) = GUESTS.lock().unwrap().get(name)
    {
        return Ok(Arc::clone(compiled));
    }
    let compiled = Arc::new(workers.compile(&modules::upload(source).unwrap(), Patience::Job, &KillSwitch::default())?);
    if let Source::Guest(name, _) = source {
        GUESTS.lock().unwrap().insert(name, Arc::clone(&compiled));
    }
    Ok(compiled)
}

/// One run, stopped when patience ends.
pub fn run(
    workers: &Workers,
    code: &[u8],
    manifest: &Manifest,
    rows: Rows,
    seed: u64,
    patience: Duration,
) -> Result<GuestOutput, (WorkerError, String)> {
    let code: OwnedFd = sealed("code", code).unwrap();
    let view = view(rows);
    let synthetic = rows != Rows::Real;
    let input = GuestInput { code: &code, view: &view, manifest: manifest.clone(), seed, synthetic };
    let switch = KillSwitch::default();
    let [share] = workers.reserve([WorkerRole::Guest], Patience::Job, &switch).map_err(|error| (error, String::new()))?;
    let (done, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (switch, ended) = (&switch, ended);
            if ended.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                switch.throw();
            }
        });
        let output = workers.run(&input, share, &switch);
        drop(done);
        output
    })
}

/// How long to wait for a case.
pub fn patience(case: &Case) -> Duration {
    if case.expect == Expect::Stopped { SHORT } else { LONG }
}

/// What a run told, as one text.
pub fn told(output: &GuestOutput) -> String {
    let derived = output.derived.iter().map(|(d, _)| format!("derived {}", d.name));
    let tables = output.tables.iter().map(|t| format!("table {}", t.name));
    let models = output.models.iter().map(|m| format!("model {} {:?}", m.name(), m.parameters()));
    let log = output.log.lines().map(|line| format!("log {line}"));
    derived.chain(tables).chain(models).chain(log).collect::<Vec<_>>().join("; ")
}

/// The kind of a refusal.
pub fn refusal(refusal: &ModuleRefusal) -> &'static str {
    match refusal {
        ModuleRefusal::Invalid => "Invalid",
        ModuleRefusal::UndeclaredImport(_) => "UndeclaredImport",
        ModuleRefusal::MissingExport => "MissingExport",
        ModuleRefusal::Manifest(_) => "Manifest",
        ModuleRefusal::Limit(_) => "Limit",
        ModuleRefusal::Compiler => "Compiler",
    }
}

/// Every kind of refusal: as many as [`refusal`] knows.
pub const REFUSALS: [&str; 6] = ["Invalid", "UndeclaredImport", "MissingExport", "Manifest", "Limit", "Compiler"];

/// The kind of a failure.
pub fn failure(failure: &GuestFailure) -> &'static str {
    match failure {
        GuestFailure::Trap => "Trap",
        GuestFailure::Error(_) => "Error",
        GuestFailure::Limit(_) => "Limit",
        GuestFailure::Table(_) => "Table",
        GuestFailure::Model(_) => "Model",
        GuestFailure::Derived(_) => "Derived",
        GuestFailure::Code => "Code",
        GuestFailure::Internal => "Internal",
    }
}

/// Every kind of failure: as many as [`failure`] knows.
pub const FAILURES: [&str; 8] = ["Trap", "Error", "Limit", "Table", "Model", "Derived", "Code", "Internal"];

/// The kind of an error of the conversation.
fn conversation(error: &WorkerError) -> &'static str {
    match error {
        WorkerError::Frame(_) => "Frame",
        WorkerError::Memory(_) => "Memory",
        WorkerError::OutOfTurn(_) => "OutOfTurn",
        WorkerError::Ended(_) => "Ended",
        WorkerError::Spawn(_) | WorkerError::Busy | WorkerError::Cancelled | WorkerError::Engine(_) | WorkerError::Guest(_) => {
            "none of the conversation"
        }
    }
}

/// The limit that a failure names.
fn limit(failure: &GuestFailure) -> Option<&str> {
    match failure {
        GuestFailure::Limit(l) | GuestFailure::Model(ModelError::Limit(l)) | GuestFailure::Table(TableError::Limit(l)) => Some(&l.name),
        _ => None,
    }
}

/// Whether a refusal or a failed conversation with the compiler is what was expected.
fn refused_as(expect: Expect, error: &CompileError) -> bool {
    use protocol::manifest::ManifestError;
    match (expect, error) {
        (Expect::RefusedLimit(name), CompileError::Refused(ModuleRefusal::Limit(l) | ModuleRefusal::Manifest(ManifestError::Limit(l)))) => {
            l.name == name && l.current.saturating_add(l.requested) > l.limit
        }
        (Expect::RefusedImport(name), CompileError::Refused(ModuleRefusal::UndeclaredImport(n))) => n == name,
        (Expect::Refused(kind), CompileError::Refused(r)) => refusal(r) == kind,
        (Expect::CompilerEnded(kind), CompileError::Worker(WorkerError::Ended(how))) => format!("{how:?}") == kind,
        (Expect::NotBelieved(kind), CompileError::Worker(e)) => conversation(e) == kind,
        _ => false,
    }
}

/// Whether a failure is what was expected; on real rows it may hold no word of the module's.
fn failed_as(expect: Expect, rows: Rows, error: &WorkerError, log: &str) -> bool {
    if rows == Rows::Real && (!log.is_empty() || matches!(error, WorkerError::Guest(GuestFailure::Error(Some(_))))) {
        return false;
    }
    match (expect, error) {
        (Expect::Failed(kind), WorkerError::Guest(f)) => failure(f) == kind,
        (Expect::FailedLimit(name), WorkerError::Guest(f)) => limit(f) == Some(name),
        (Expect::FailedText(bytes), WorkerError::Guest(GuestFailure::Error(Some(text)))) => text.len() == bytes,
        (Expect::Stopped, WorkerError::Cancelled) => true,
        (Expect::NotBelieved(kind), e) => conversation(e) == kind,
        _ => false,
    }
}

/// Whether the tables that a run asked for are refused by the engine as expected.
fn reduced_as(workers: &Workers, case: &Case, output: GuestOutput) -> Result<(), String> {
    let Expect::EngineLimit(name) = case.expect else { return Err(format!("finished: {}", told(&output))) };
    let switch = KillSwitch::default();
    let reduced = workers
        .reserve([WorkerRole::Engine], Patience::Job, &switch)
        .and_then(|[share]| workers.attach(&view(case.rows), share, &switch))
        .and_then(|mut engine| engine.reduce(output.tables, output.derived, &BTreeSet::new()));
    match reduced {
        Err(WorkerError::Engine(EngineFailure::Limit(l) | EngineFailure::Table(TableError::Limit(l)))) if l.name == name => Ok(()),
        other => Err(format!("engine: {other:?}")),
    }
}

/// Runs `case`; what came instead where it is not what must come.
pub fn check(workers: &Workers, case: &Case) -> Result<(), String> {
    let compiled = match &case.source {
        Source::Escaped(escape) => return escaped::check(*escape, case),
        Source::Code(code) => {
            let manifest = serde_json::from_str(modules::MANIFEST).unwrap();
            Arc::new(Compiled { code: code.to_vec(), manifest, imports: Vec::new(), engine: [0; 32] })
        }
        source => match compile(workers, source) {
            Ok(compiled) => compiled,
            Err(error) if refused_as(case.expect, &error) => return Ok(()),
            Err(error) => return Err(format!("compile: {error:?}")),
        },
    };
    let seed = if let Source::Guest(_, seed) = case.source { seed } else { SEED };
    for _ in 0..2 {
        match run(workers, &compiled.code, &compiled.manifest, case.rows, seed, patience(case)) {
            Ok(output) => match case.expect {
                Expect::Harmless(text) if told(&output) == text => {}
                Expect::HarmlessLog(bytes) if output.log.len() == bytes => {}
                _ => return reduced_as(workers, case, output),
            },
            Err((error, log)) if failed_as(case.expect, case.rows, &error, &log) => return Ok(()),
            Err((error, _)) => return Err(format!("run: {error:?}")),
        }
    }
    Ok(())
}

/// Judges what came of a worker that someone took over.
pub fn judge(case: &Case, compiled: Option<CompileError>, ran: Option<Result<GuestOutput, (WorkerError, String)>>) -> Result<(), String> {
    match (compiled, ran) {
        (Some(error), _) if refused_as(case.expect, &error) => Ok(()),
        (None, Some(Err((error, log)))) if failed_as(case.expect, case.rows, &error, &log) => Ok(()),
        (None, Some(Ok(output))) if case.expect == Expect::Harmless("") && told(&output).is_empty() => Ok(()),
        (compiled, ran) => Err(format!("{compiled:?} {ran:?}")),
    }
}
