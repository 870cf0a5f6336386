//! What handlers share.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use cap_std::fs::Dir;
use protocol::seal::SealKey;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::ApiError;
use super::settings::Settings;
use crate::clock::{Clock, Timestamp};
use crate::gate::Airlock;
use crate::id::{DatasetId, OrgId};
use crate::jobs::Jobs;
use crate::policy::city::CityProfile;
use crate::policy::token::Pepper;
use crate::policy::{ActionType, Authz, Caller, Permit};
use crate::refusal::{self, Refused};
use crate::store::{KeyKind, KeyService, KeyUse, Migration, Roots, Store, StoreError, Tx};
use crate::tlog::leaf::LeafKind;
use crate::tlog::rollback::{self, Contradiction};
use crate::tlog::{Appended, Journal, LogDir, RememberedFile, Signer, journal};
use crate::workers::{Jail, Workers};

/// Uploads, compilations and replays at one time: each holds its bytes in memory.
const UPLOADS_MAX: usize = 4;
/// Open event streams at one time.
const STREAMS_MAX: usize = 256;

/// Every table of the server, in the order in which they came.
pub fn migrations() -> Vec<Migration> {
    let papers = crate::policy::MIGRATIONS.iter().chain(crate::agreement::MIGRATIONS).copied();
    [
        journal::MIGRATION,
        crate::catalog::store::MIGRATION,
        crate::gate::MIGRATION,
        crate::gate::LEDGER,
        crate::gate::AUDIT,
        crate::gate::OWN,
        crate::gate::VERIFICATION,
        crate::jobs::MIGRATION,
        crate::jobs::TURNS,
        crate::jobs::SETTLES,
        crate::gate::REVIEW,
        crate::supervision::MIGRATION,
        crate::gate::FREEZE,
        rollback::MIGRATION,
        crate::gate::RECOVERY,
    ]
    .into_iter()
    .chain(papers)
    .collect()
}

/// The store with its log: what the first start needs, and all else is built on.
pub(super) struct Opened {
    pub store: Store,
    pub journal: Journal,
    pub log_key: String,
    pub pepper: Pepper,
    pub log_dir: LogDir,
    work: Dir,
}

/// Opens the store and attaches the log to it. Blocks.
pub(super) fn open(roots: &Roots, keys: Arc<dyn KeyService>, settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Opened, StoreError> {
    let store = Store::open(roots, keys, &migrations(), settings.readers)?;
    let signer = signer(&store, &settings.log_name)?;
    let log_key = signer.verifier().to_string();
    let (remembered, known) = RememberedFile::open(roots.remembered(), signer.verifier())?;
    let known = vec![known];
    let found = store.db.read_blocking(move |c| rollback::judge(c, &known))?;
    journal::attach(&store.db, signer, LogDir::new(roots.log().try_clone()?), remembered)?;
    let journal = Journal::new(store.keyring.derive(KeyUse::LeafBody), settings.log_quantum_s, Arc::clone(clock));
    judged(&store, &journal, found, clock.now())?;
    let pepper = Pepper::new(store.keyring.derive(KeyUse::TokenPepper).as_bytes());
    let log_dir = LogDir::new(roots.log().try_clone()?);
    Ok(Opened { store, journal, log_key, pepper, log_dir, work: roots.work().try_clone()? })
}

/// Notes what those who remember checkpoints of the log said of the database, and says it in the server's own log. The server runs on,
/// so that what was found can be read: nothing is accepted and nothing leaves.
fn judged(store: &Store, journal: &Journal, found: Vec<Contradiction>, now: Timestamp) -> Result<(), StoreError> {
    let nothing = found.is_empty() && store.db.read_blocking(rollback::standing)?.is_none();
    if nothing {
        return Ok(());
    }
    let journal = journal.clone();
    let standing = store.db.write_blocking(move |tx| rollback::record(tx, &journal, found, now))?;
    if let Some(finding) = standing {
        for c in &finding.contradictions {
            tracing::error!(
                source = c.source,
                finding = ?c.finding,
                database_leaves = finding.database.size,
                remembered_leaves = c.remembered.as_ref().map(|extent| extent.size),
                "{}; remedy: {}",
                refusal::LOG_ROLLED_BACK.en,
                refusal::LOG_ROLLED_BACK.remedy_en,
            );
        }
    }
    Ok(())
}

/// What the server is made of.
pub struct Parts {
    /// Directories.
    pub roots: Roots,
    /// Holder of the master key.
    pub keys: Arc<dyn KeyService>,
    /// Settings.
    pub settings: Settings,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What handlers share. Clones share it.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts behind an [`App`].
pub struct Inner {
    /// State, segments, artefacts, keys.
    pub store: Store,
    /// The release log.
    pub journal: Journal,
    /// The log's public key, as `name+hash+base64`.
    pub log_key: String,
    /// Where the log is published.
    pub log_dir: LogDir,
    /// Who may do what.
    pub authz: Authz,
    /// Under which tokens are hashed.
    pub pepper: Pepper,
    /// The queue.
    pub jobs: Jobs,
    /// Working days and reply clocks.
    pub city: Arc<CityProfile>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The jail of the workers, as it was found at the start.
    pub jail: Jail,
    /// Settings.
    pub settings: Settings,
    /// Scratch space: sealed or unnamed files only.
    pub work: Dir,
    /// Rows read so far, of imports that are under way.
    pub(super) imports: Mutex<HashMap<DatasetId, watch::Sender<u64>>>,
    uploads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Calls without a valid token since the last leaf that counts them.
    pub(super) unauthenticated: AtomicU64,
}

impl std::ops::Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The key that signs the log, made at the first start.
fn signer(store: &Store, name: &str) -> Result<Signer, StoreError> {
    let keyring = store.keyring.clone();
    let seed = store.db.write_blocking(move |tx| keyring.get_or_create(tx, KeyKind::Server, "log"))?;
    Signer::from_seed(name, seed.as_bytes()).map_err(|_| StoreError::Malformed("the log's name or key"))
}

/// The jail that this machine offers; said in the log. Without it no server starts.
fn jail(settings: &Settings) -> Result<Jail, ApiError> {
    let jail = Jail::probe(&settings.worker, &settings.waived).map_err(|e| ApiError::Internal(e.to_string()))?;
    for role in jail.roles() {
        let layers: Vec<&str> = role.report.in_force.iter().map(|l| l.word()).collect();
        tracing::info!(role = role.role, layers = layers.join(" "), system_calls = role.report.system_calls, "jail");
    }
    for layer in jail.missing() {
        tracing::warn!(layer = layer.word(), "a waived layer of the jail is missing");
    }
    Ok(jail)
}

impl App {
    /// Opens the store, attaches the log and starts what waits. Blocks.
    ///
    /// # Errors
    /// What the store says, and policies that are not valid.
    pub fn open(parts: Parts) -> Result<Self, ApiError> {
        let Parts { roots, keys, settings, clock } = parts;
        let Opened { store, journal, log_key, pepper, log_dir, work } = open(&roots, keys, &settings, &clock)?;
        let authz = Authz::new().map_err(|e| ApiError::Internal(e.to_string()))?;
        let city = Arc::new(CityProfile::parse(&settings.city_profile).map_err(|e| ApiError::Internal(e.to_string()))?);
        let jail = jail(&settings)?;
        let workers = Workers::new(settings.workers());
        let jobs = Jobs::start(store.clone(), journal.clone(), workers, (Arc::clone(&clock), Arc::clone(&city)), settings.jobs.clone())?;
        let (uploads, streams) = (Arc::new(Semaphore::new(UPLOADS_MAX)), Arc::new(Semaphore::new(STREAMS_MAX)));
        let (imports, unauthenticated) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner {
            store,
            journal,
            log_key,
            log_dir,
            jail,
            authz,
            pepper,
            jobs,
            city,
            clock,
            settings,
            work,
            imports,
            uploads,
            streams,
            unauthenticated,
        })))
    }

    /// A place among the uploads, compilations and replays that go on at one time. Asked for before anything is received.
    ///
    /// # Errors
    /// `request.busy`; `request.overloaded` where enough wait for a worker already.
    pub(super) fn upload_slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.jobs.admits()?;
        let busy = || Refused::new(&refusal::BUSY).threshold(format!("{UPLOADS_MAX} uploads"));
        Ok(Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| busy())?)
    }

    /// A place among the event streams that are open at one time.
    ///
    /// # Errors
    /// `request.busy`.
    pub(super) fn stream_slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = || Refused::new(&refusal::BUSY).threshold(format!("{STREAMS_MAX} event streams"));
        Ok(Arc::clone(&self.streams).try_acquire_owned().map_err(|_| busy())?)
    }

    /// Runs what blocks on a thread of its own.
    pub(super) async fn blocking<T, E>(&self, f: impl FnOnce(&App) -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let app = self.clone();
        match tokio::task::spawn_blocking(move || f(&app)).await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(ApiError::Internal(error.to_string())),
        }
    }

    /// The present time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether `caller` may do `A` to `resource`, as a permit.
    pub(super) fn permit<A: ActionType>(&self, caller: &Caller, resource: A::Resource) -> Result<Permit<A>, ApiError> {
        Ok(self.authz.authorize::<A>(caller, resource)?)
    }

    /// Reads in one snapshot.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&App, &Connection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = self.clone();
        self.store.db.read(move |connection| f(&app, connection)).await
    }

    /// One transaction: what `f` does and the leaves it appends are durable together, or not at all.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&App, &Tx<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = self.clone();
        self.store.db.write(move |tx| f(&app, tx)).await
    }

    /// A step of a review in `tx`, under the key that votes are sealed under.
    pub(super) fn airlock<'a>(&'a self, tx: &'a Tx<'a>, key: &'a SealKey) -> Airlock<'a> {
        Airlock { tx, journal: &self.journal, key, city: &self.city, now: self.now() }
    }

    /// Appends the leaf of an event: what, by whom, and about what. `readers` may see its body, the caller's organisation always.
    pub(super) fn append(
        &self,
        tx: &Tx<'_>,
        kind: LeafKind,
        caller: &Caller,
        (event, about): (&str, Value),
        readers: &[&OrgId],
    ) -> Result<Appended, StoreError> {
        let who = caller.principal();
        let body = json!({ "event": event, "by": who.id, "org": who.org, "role": who.role, "about": about });
        let mut all = vec![&who.org];
        for org in readers {
            if !all.contains(org) {
                all.push(org);
            }
        }
        self.journal.append(tx, kind, &body, &all)
    }
}

/// An identifier of `bytes` random bytes in hexadecimal.
pub(super) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    // Used for naming only: without randomness the name is zeros, and nothing rests on it.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes.iter().fold(String::with_capacity(N * 2), |text, b| text + &format!("{b:02x}"))
}
