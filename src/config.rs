//! Settings of the server: TOML, then environment variables over it. Nothing has to be set; nothing allows by being left out.
//!
//! ```toml
//! data_dir = "/var/lib/fusebox"
//! remembered_dir = "/mnt/other-disk/fusebox"   # the log's newest checkpoint: not put back with a copy of `data_dir`
//! listen = "127.0.0.1:8080"        # another address needs the two lines below
//! tls_certificate = "/etc/fusebox/tls.pem"
//! tls_key = "/etc/fusebox/tls.key"
//! ```

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::jail::Waived;
use protocol::limits::Limits;
use serde::Deserialize;

use crate::api::{Settings, WitnessSettings};
use crate::tlog::WitnessKey;
use crate::workers::WorkerSettings;

/// Start of every environment variable: `FUSEBOX_LISTEN` is over `listen`.
const PREFIX: &str = "FUSEBOX_";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not of its form; names the element, not its value.
    #[error("the configuration cannot be read: {0}")]
    Form(String),
    /// An element is out of range.
    #[error("`{name}` is {why}")]
    Range {
        /// The element.
        name: &'static str,
        /// What it has to be.
        why: String,
    },
}

/// A configuration as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a configuration")]
struct Written {
    data_dir: Option<PathBuf>,
    remembered_dir: Option<PathBuf>,
    worker: Option<PathBuf>,
    listen: Option<SocketAddr>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    log_name: Option<String>,
    log_quantum_s: Option<u64>,
    waive_jail_layers: Option<String>,
    threads: Option<u16>,
    workers_waiting: Option<u16>,
    workers_memory_bytes_max: Option<u64>,
    worker_wall_ms: Option<u64>,
    jobs_running_max: Option<u32>,
    jobs_running_per_org_max: Option<u32>,
    jobs_open_per_org_max: Option<u32>,
    view_cache_bytes_max: Option<u64>,
    request_timeout_s: Option<u64>,
    upload_timeout_s: Option<u64>,
    upload_bytes_max: Option<u64>,
    log_checked_every_s: Option<u64>,
    witness_url: Option<String>,
    witness_key: Option<String>,
    witness_required: Option<bool>,
    shutdown_grace_s: Option<u64>,
}

/// What the server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where the newest checkpoint of the log is remembered; without it in the data directory, and put back together with it.
    pub remembered_dir: Option<PathBuf>,
    /// Certificate chain and key in PEM; without them the server listens on loopback only.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The rest.
    pub settings: Settings,
}

impl Config {
    /// From the text of a file (empty: none) and the environment. `data_dir` and `worker` are those used where neither says.
    ///
    /// # Errors
    /// [`ConfigError`], naming the element.
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        data_dir: &Path,
        worker: &Path,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| ConfigError::Form(e.message().to_owned()))?;
        for (name, value) in environment {
            let Some(name) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase).filter(|n| NAMES.contains(&n.as_str())) else {
                continue;
            };
            let plain = value.parse().map(toml::Value::Integer).ok().or_else(|| value.parse().map(toml::Value::Boolean).ok());
            let value = plain.unwrap_or(toml::Value::String(value));
            table.insert(name, value);
        }
        let written: Written = table.try_into().map_err(|e: toml::de::Error| ConfigError::Form(e.message().to_owned()))?;
        written.complete(data_dir, worker)
    }
}

/// The elements that the environment may set.
const NAMES: [&str; 25] = [
    "data_dir",
    "remembered_dir",
    "worker",
    "listen",
    "tls_certificate",
    "tls_key",
    "log_name",
    "log_quantum_s",
    "waive_jail_layers",
    "threads",
    "workers_waiting",
    "workers_memory_bytes_max",
    "worker_wall_ms",
    "jobs_running_max",
    "jobs_running_per_org_max",
    "jobs_open_per_org_max",
    "view_cache_bytes_max",
    "request_timeout_s",
    "upload_timeout_s",
    "upload_bytes_max",
    "log_checked_every_s",
    "witness_url",
    "witness_key",
    "witness_required",
    "shutdown_grace_s",
];

/// `value` where it is written, checked; else what `safe` is.
fn within<T: PartialOrd + std::fmt::Display + Copy>(
    name: &'static str,
    value: Option<T>,
    safe: T,
    (min, max): (T, T),
) -> Result<T, ConfigError> {
    match value {
        Some(v) if v < min || v > max => Err(ConfigError::Range { name, why: format!("out of range: {min} to {max}") }),
        value => Ok(value.unwrap_or(safe)),
    }
}

/// The witness, where one is named: address and key together.
fn witness(url: Option<&str>, key: Option<&str>, required: Option<bool>) -> Result<Option<WitnessSettings>, ConfigError> {
    let bad = |name, why: &str| ConfigError::Range { name, why: why.to_owned() };
    match (url, key) {
        (None, None) if required == Some(true) => Err(bad("witness_required", "needed together with `witness_url` and `witness_key`")),
        (None, None) => Ok(None),
        (Some(url), Some(key)) => {
            let key = WitnessKey::parse(key).map_err(|_| bad("witness_key", "not the key that `fusebox witness init` printed"))?;
            if !url.starts_with("http://") {
                return Err(bad("witness_url", "not an address that begins with `http://`"));
            }
            Ok(Some(WitnessSettings::new(url, key, required.unwrap_or(false))))
        }
        _ => Err(bad("witness_key", "needed together with `witness_url`")),
    }
}

impl Written {
    fn complete(self, data_dir: &Path, worker: &Path) -> Result<Config, ConfigError> {
        let safe = Settings::new(self.worker.unwrap_or_else(|| worker.to_owned()));
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(ConfigError::Range { name: "tls_key", why: "needed together with `tls_certificate`".into() }),
        };
        let seconds =
            |name, value: Option<u64>, safe: Duration, max| within(name, value, safe.as_secs(), (1, max)).map(Duration::from_secs);
        let mut jobs = safe.jobs.clone();
        jobs.running_max = within("jobs_running_max", self.jobs_running_max, jobs.running_max, (1, 64))?;
        jobs.running_per_org_max = within("jobs_running_per_org_max", self.jobs_running_per_org_max, jobs.running_per_org_max, (1, 64))?;
        jobs.open_per_org_max = within("jobs_open_per_org_max", self.jobs_open_per_org_max, jobs.open_per_org_max, (1, 10_000))?;
        jobs.cache_bytes_max = within("view_cache_bytes_max", self.view_cache_bytes_max, jobs.cache_bytes_max, (0, 1 << 40))?;
        let quantum = within("log_quantum_s", self.log_quantum_s, safe.log_quantum_s.get(), (1, 86_400))?;
        let wall_ms_max = Limits::STANDARD.wall_ms_max;
        let wall_ms = within("worker_wall_ms", self.worker_wall_ms, wall_ms_max, (1_000, wall_ms_max))?;
        let (memory, least) = (self.workers_memory_bytes_max, WorkerSettings::memory_bytes_min());
        let settings = Settings {
            listen: self.listen.unwrap_or(safe.listen),
            log_name: self.log_name.unwrap_or(safe.log_name),
            threads: within("threads", self.threads, safe.threads, (1, 64))?,
            workers_waiting: within("workers_waiting", self.workers_waiting.map(usize::from), safe.workers_waiting, (0, 16))?,
            workers_memory_bytes_max: within("workers_memory_bytes_max", memory, safe.workers_memory_bytes_max, (least, 1 << 50))?,
            worker_wall: Duration::from_millis(wall_ms),
            jobs,
            readers: safe.readers,
            city_profile: safe.city_profile,
            log_quantum_s: NonZeroU64::new(quantum).unwrap_or(NonZeroU64::MIN),
            request_timeout: seconds("request_timeout_s", self.request_timeout_s, safe.request_timeout, 600)?,
            upload_timeout: seconds("upload_timeout_s", self.upload_timeout_s, safe.upload_timeout, 86_400)?,
            upload_bytes_max: within("upload_bytes_max", self.upload_bytes_max, safe.upload_bytes_max, (1, safe.upload_bytes_max))?,
            denials_counted_every: safe.denials_counted_every,
            log_checked_every: seconds("log_checked_every_s", self.log_checked_every_s, safe.log_checked_every, 86_400)?,
            witness: witness(self.witness_url.as_deref(), self.witness_key.as_deref(), self.witness_required)?,
            shutdown_grace: seconds("shutdown_grace_s", self.shutdown_grace_s, safe.shutdown_grace, 600)?,
            waived: Waived::parse(self.waive_jail_layers.as_deref().unwrap_or(""))
                .map_err(|e| ConfigError::Range { name: "waive_jail_layers", why: format!("not a list of waivable layers: {e}") })?,
            worker: safe.worker,
        };
        let data_dir = self.data_dir.unwrap_or_else(|| data_dir.to_owned());
        Ok(Config { data_dir, remembered_dir: self.remembered_dir, tls, settings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::parse(text, environment, Path::new("/data"), Path::new("/worker"))
    }

    #[test]
    fn nothing_said_listens_on_loopback_without_tls() {
        let config = parse("", &[]).unwrap();
        assert!(config.settings.listen.ip().is_loopback() && config.tls.is_none());
        assert_eq!((config.data_dir.to_str(), config.settings.worker.to_str()), (Some("/data"), Some("/worker")));
    }

    #[test]
    fn the_environment_is_over_the_file_and_other_variables_are_not_looked_at() {
        let config =
            parse("listen = \"127.0.0.1:1\"\nthreads = 3", &[("FUSEBOX_LISTEN", "127.0.0.1:2"), ("FUSEBOX_BIN", "x"), ("LISTEN", "y")]);
        let settings = config.unwrap().settings;
        assert_eq!((settings.listen.port(), settings.threads), (2, 3));
        assert_eq!(parse("", &[("FUSEBOX_THREADS", "2")]).unwrap().settings.threads, 2);
    }

    #[test]
    fn a_witness_is_named_by_address_and_key() {
        let key = WitnessKey::new("witness.example/w", [7; 32]).unwrap().to_string();
        let variables =
            [("FUSEBOX_WITNESS_URL", "http://127.0.0.1:9/"), ("FUSEBOX_WITNESS_KEY", &key), ("FUSEBOX_WITNESS_REQUIRED", "true")];
        let witness = parse("", &variables).unwrap().settings.witness.unwrap();
        assert_eq!((witness.url.as_str(), witness.key.to_string(), witness.required), ("http://127.0.0.1:9", key, true));
        assert!(parse("", &[]).unwrap().settings.witness.is_none());
    }

    #[test]
    fn every_name_of_the_environment_is_an_element_and_what_is_none_is_refused() {
        for name in NAMES {
            // Whatever the value, the name is known.
            let error = parse("", &[(&format!("{PREFIX}{}", name.to_uppercase()), "\u{7f}")]).err();
            assert!(error.is_none_or(|e| !e.to_string().contains("unknown field")), "{name}");
        }
        for bad in ["worker_wall_ms = 999", "worker_wall_ms = 600001", "workers_memory_bytes_max = 1073741824"] {
            assert!(parse(bad, &[]).is_err(), "{bad}");
        }
        let told = parse("worker_wall_ms = 1500\nworkers_memory_bytes_max = 4294967296", &[]).unwrap().settings;
        assert_eq!((told.worker_wall.as_millis(), told.workers_memory_bytes_max), (1500, 4 << 30));
        for bad in [
            "lisen = 1",
            "threads = 0",
            "threads = 65",
            "tls_key = \"x\"",
            "upload_bytes_max = 99999999999999",
            "listen = 7",
            "witness_url = \"http://127.0.0.1:1\"",
            "witness_required = true",
            "witness_key = \"log.example/a+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\"\nwitness_url = \"http://127.0.0.1:1\"",
            "= =",
            "waive_jail_layers = \"seccomp\"",
            "waive_jail_layers = \"all\"",
        ] {
            assert!(parse(bad, &[]).is_err(), "{bad}");
        }
    }
}
