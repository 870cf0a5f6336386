//! What the server is told. Every field has a safe value without being told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use protocol::jail::Waived;

use crate::jobs::JobSettings;
use crate::tlog::WitnessKey;
use crate::workers::WorkerSettings;

/// The witness of the log.
#[derive(Debug, Clone)]
pub struct WitnessSettings {
    /// Where it answers. Plain HTTP will do: both sides sign what they send, and nothing of it is secret.
    pub url: String,
    /// Its public key.
    pub key: WitnessKey,
    /// Whether a release may be read only once the witness has cosigned a log that holds it.
    pub required: bool,
    /// Pause between two looks for a new checkpoint.
    pub every: Duration,
}

impl WitnessSettings {
    /// A witness whose cosignature is asked for every second.
    pub fn new(url: &str, key: WitnessKey, required: bool) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), key, required, every: Duration::from_secs(1) }
    }
}

/// Settings of the server. Nothing here widens what policies allow.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address to listen on. Without TLS it must be a loopback address.
    pub listen: SocketAddr,
    /// Name of this log, in its checkpoints.
    pub log_name: String,
    /// The worker's binary.
    pub worker: PathBuf,
    /// Layers of the workers' jail that may be missing.
    pub waived: Waived,
    /// Threads of an engine.
    pub threads: u16,
    /// Workers of each role that wait for work.
    pub workers_waiting: usize,
    /// Memory of all workers at work together.
    pub workers_memory_bytes_max: u64,
    /// Time of one step of a worker; never more than the built-in limit.
    pub worker_wall: Duration,
    /// The city's working days and reply clocks, in the form of `policies/city/`.
    pub city_profile: String,
    /// Bounds of the queue.
    pub jobs: JobSettings,
    /// Readers of the database.
    pub readers: usize,
    /// Step of the times that log leaves show, in seconds.
    pub log_quantum_s: NonZeroU64,
    /// Time for a call, uploads and event streams aside.
    pub request_timeout: Duration,
    /// Time for an upload.
    pub upload_timeout: Duration,
    /// Bytes of one upload; never more than the built-in limit.
    pub upload_bytes_max: u64,
    /// How often calls without a valid token are counted into a leaf.
    pub denials_counted_every: Duration,
    /// How often the published log is verified whole.
    pub log_checked_every: Duration,
    /// The witness that cosigns the log; without one nobody does.
    pub witness: Option<WitnessSettings>,
    /// Time that open calls get to end at shutdown.
    pub shutdown_grace: Duration,
}

impl Settings {
    /// The settings of a server that was told its worker and nothing else.
    pub fn new(worker: PathBuf) -> Self {
        let threads = std::thread::available_parallelism().ok().and_then(|n| u16::try_from(n.get()).ok()).unwrap_or(1).min(64);
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            log_name: "fusebox.localhost/log".into(),
            worker,
            waived: Waived::NONE,
            threads,
            workers_waiting: 1,
            workers_memory_bytes_max: WorkerSettings::memory_of_the_machine(),
            worker_wall: Duration::from_millis(protocol::limits::Limits::STANDARD.wall_ms_max),
            city_profile: crate::policy::city::BUILT_IN.to_owned(),
            jobs: JobSettings::for_cores(u32::from(threads)),
            readers: 4,
            log_quantum_s: NonZeroU64::MIN.saturating_add(59),
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(1800),
            upload_bytes_max: protocol::limits::Limits::STANDARD.upload_bytes_max,
            denials_counted_every: Duration::from_secs(60),
            log_checked_every: Duration::from_secs(3600),
            witness: None,
            shutdown_grace: Duration::from_secs(10),
        }
    }

    /// Whether a release may be read only once a witness has cosigned it.
    pub(super) fn witness_required(&self) -> bool {
        self.witness.as_ref().is_some_and(|witness| witness.required)
    }

    /// What of them is for the workers.
    pub(super) fn workers(&self) -> WorkerSettings {
        WorkerSettings {
            binary: self.worker.clone(),
            threads: self.threads,
            waiting_max: self.workers_waiting,
            memory_bytes_max: self.workers_memory_bytes_max,
            jobs_max: self.jobs.running_max,
            wall: self.worker_wall,
            waived: self.waived.clone(),
        }
    }
}
