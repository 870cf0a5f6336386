//! The server's own commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use protocol::jail::Waived;
use serde_json::{Value, json};

use super::Context;
use super::error::CliError;
use super::output::{self, Answer};
use crate::api::{self, FirstAccount, InitError, Parts, TlsFiles};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::store::{MasterKey, Roots};
use crate::workers::Jail;

/// Name of the worker's binary.
const WORKER: &str = "fusebox-worker";
/// Where a master key may come from instead of a file: 32 bytes in hexadecimal or base64.
const MASTER_KEY_VARIABLE: &str = "FUSEBOX_MASTER_KEY";
const DAY_S: i64 = 86_400;

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Name of the first account, a security administrator.
    #[arg(long, default_value = "security-admin")]
    pub admin: String,
    /// Its organisation.
    #[arg(long, default_value = "platform")]
    pub org: String,
    /// Days until its token ends, at most 90.
    #[arg(long, default_value_t = 30)]
    pub days: u32,
    /// File to write its token to. Without it the token is printed.
    #[arg(long, value_name = "FILE")]
    pub token_out: Option<PathBuf>,
    /// The server's configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on; port 0 leaves it to the system. Without TLS only a loopback address.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The worker's binary; without it, the one beside this program.
    #[arg(long, value_name = "PATH")]
    pub worker: Option<PathBuf>,
    /// The server's configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The worker beside this program.
pub fn worker_beside() -> Result<PathBuf, CliError> {
    let own = std::env::current_exe()
        .map_err(|e| CliError::failed(format!("this program's own path is unknown: {e}"), "name the worker with --worker"))?;
    Ok(own.with_file_name(WORKER))
}

fn config(context: &Context, path: Option<&Path>, data: &Path, worker: Option<PathBuf>) -> Result<Config, CliError> {
    let text = path.map(|path| context.files.read_text(path)).transpose()?.unwrap_or_default();
    let beside = match &worker {
        Some(worker) => worker.clone(),
        None => worker_beside()?,
    };
    let mut config = Config::parse(&text, std::env::vars(), data, &beside).map_err(|e| CliError::failed(e, "compare it with README.md"))?;
    // What the command line says counts over file and environment.
    data.clone_into(&mut config.data_dir);
    if let Some(worker) = worker {
        config.settings.worker = worker;
    }
    Ok(config)
}

fn key_from_environment() -> Result<Option<MasterKey>, CliError> {
    match std::env::var(MASTER_KEY_VARIABLE) {
        Ok(text) => MasterKey::parse(&text).map(Some).map_err(store_failed),
        Err(_) => Ok(None),
    }
}

fn store_failed(error: crate::store::StoreError) -> CliError {
    let text = error.log_text();
    CliError::failed(
        text,
        "mend what is named; `fusebox init` makes a new data directory, `fusebox doctor` shows the state of a running server",
    )
}

fn roots(context: &Context, data: &Path, remembered: Option<&Path>) -> Result<Roots, CliError> {
    let roots = Roots::open(data, context.files.authority()).map_err(store_failed)?;
    match remembered {
        Some(folder) => roots.remembering_in(folder, context.files.authority()).map_err(store_failed),
        None => Ok(roots),
    }
}

/// `init`.
pub fn init(context: &Context, arguments: Init) -> Result<Answer, CliError> {
    let name = |text: &str| text.parse().map_err(|e| CliError::failed(format!("`{text}`: {e}"), "choose another name"));
    let first = FirstAccount {
        id: name(&arguments.admin)?,
        org: arguments.org.parse().map_err(|e| CliError::failed(format!("`{}`: {e}", arguments.org), "choose another name"))?,
        token_lifetime_s: i64::from(arguments.days) * DAY_S,
    };
    let Config { settings, remembered_dir, .. } = config(context, arguments.config.as_deref(), &arguments.data, None)?;
    let made = api::init(
        roots(context, &arguments.data, remembered_dir.as_deref())?,
        key_from_environment()?,
        settings,
        Arc::new(SystemClock),
        first,
    )
    .map_err(init_failed)?;
    let mut answer = json!({ "data": arguments.data.display().to_string(), "admin": arguments.admin, "log_key": made.log_key, "token": made.token.reveal() });
    if let Some(out) = &arguments.token_out {
        super::people::keep_token(context.files, out, &mut answer)?;
    }
    Ok(Answer::fields(answer))
}

fn init_failed(error: InitError) -> CliError {
    match error {
        InitError::Store(error) => store_failed(error),
        InitError::Api(error) => CliError::failed(error, "choose an empty data directory: nothing is replaced"),
    }
}

/// `serve`: prints one JSON line with the bound address once it is ready, runs until SIGTERM or SIGINT.
pub fn serve(context: &Context, arguments: Serve) -> Result<Answer, CliError> {
    tracing_to_stderr();
    raise_open_files();
    let Config { data_dir, remembered_dir, tls, mut settings } =
        config(context, arguments.config.as_deref(), &arguments.data, arguments.worker)?;
    settings.listen = arguments.listen.unwrap_or(settings.listen);
    let files = match tls {
        Some((certificates, key)) => {
            let key = zeroize::Zeroizing::new(context.files.read(&key)?);
            Some(TlsFiles { certificates: context.files.read(&certificates)?, key })
        }
        None => None,
    };
    let roots = roots(context, &data_dir, remembered_dir.as_deref())?;
    let key = match key_from_environment()? {
        Some(key) => key,
        None => MasterKey::open_file(roots.state(), api::MASTER_KEY_FILE).map_err(store_failed)?,
    };
    let scheme = if files.is_some() { "https" } else { "http" };
    let ready = |address: SocketAddr| {
        output::say(&json!({ "ready": true, "url": format!("{scheme}://{address}"), "pid": std::process::id() }).to_string())
    };
    let parts = Parts { roots, keys: Arc::new(key), settings, clock: Arc::new(SystemClock) };
    api::serve_with(parts, files.as_ref(), crate::console::router, ready).map_err(|e| CliError::failed(e, "see the server's log above"))?;
    Ok(Answer::text(json!({ "stopped": true }), "stopped"))
}

/// As many open files as the system allows this process: views of many columns are held one descriptor a column.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the number of open files stays as it was");
    }
}

/// The log of the server: one JSON line an event on standard error, so that standard output holds the ready line alone.
pub fn tracing_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUSEBOX_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second subscriber in one process is a test's affair.
    let _ = tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).try_init();
}

/// `doctor`: what the server says of itself, where one answers, and what this machine offers.
pub fn doctor(context: &Context) -> Result<Answer, CliError> {
    let client = context.client()?;
    let health = client.get("/health").unwrap_or_else(|e| json!({ "status": "no answer", "why": e.to_string() }));
    // Only system and security administrators see more.
    let detail = client.get("/v1/doctor").unwrap_or(Value::Null);
    let worker = worker_beside()?;
    let worker_found = context.files.open(&worker).is_ok();
    // What this machine offers a worker, whatever a server was told to do without.
    let probed = Jail::probe(&worker, &Waived::NONE);
    let behind = health.get("rolled_back") == Some(&Value::Bool(true));
    let good = probed.is_ok() && !behind && health.get("status").and_then(Value::as_str) == Some("ok");
    let jail = match probed {
        Ok(jail) => json!({ "complete": true, "roles": jail.roles() }),
        Err(error) => json!({ "complete": false, "why": error.to_string() }),
    };
    let answer = json!({
        "server": client.server(),
        "health": health,
        "detail": detail,
        "worker": worker.display().to_string(),
        "worker_found": worker_found,
        "jail": jail,
    });
    Ok(Answer { good, ..Answer::fields(answer) })
}
