//! Threads that take jobs, kill switches of those at work, and waiting for a change.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::prepare;
use super::records::{Ending, JobRow, change, find};
use super::state::{ATTEMPTS_MAX, Event, State};
use super::{JobError, settle, turns};
use crate::clock::{Clock, Timestamp};
use crate::gate;
use crate::id::{JobId, ModuleDigest, OrgId};
use crate::policy::city::CityProfile;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{Store, StoreError, Tx};
use crate::tlog::{Journal, LeafKind, rollback};
use crate::workers::{KillSwitch, ViewCache, Workers};

/// Settings of the queue. All are bounds; none can be switched off.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// Jobs at work at once.
    pub running_max: u32,
    /// Jobs of one operator at work at once.
    pub running_per_org_max: u32,
    /// Jobs of one operator that are queued or at work.
    pub open_per_org_max: u32,
    /// Bytes of cached views.
    pub cache_bytes_max: u64,
}

impl JobSettings {
    /// For a machine of `cores`.
    pub fn for_cores(cores: u32) -> Self {
        Self { running_max: cores.max(1), running_per_org_max: cores.max(1), open_per_org_max: 64, cache_bytes_max: 4 << 30 }
    }
}

/// The queue and its runners. Clones share it.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    store: Store,
    journal: Journal,
    workers: Workers,
    cache: ViewCache,
    clock: Arc<dyn Clock>,
    settings: JobSettings,
    engine_digest: String,
    city: Arc<CityProfile>,
    code: Mutex<HashMap<ModuleDigest, Arc<OwnedFd>>>,
    at_work: Mutex<HashMap<JobId, KillSwitch>>,
    settling: Arc<settle::Waiting>,
    wake: (Mutex<Bell>, Condvar),
    changed: tokio::sync::watch::Sender<u64>,
}

#[derive(Default)]
struct Bell {
    rung: bool,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time that runners get to end when the server does.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);
/// How many versions of compiled code are kept as open memory.
const CODE_KEPT_MAX: usize = 64;

impl Jobs {
    /// Takes up what a restart interrupted, then starts the runners.
    ///
    /// # Errors
    /// What the store says, or that the workers cannot be asked for their engine.
    pub fn start(
        store: Store,
        journal: Journal,
        workers: Workers,
        (clock, city): (Arc<dyn Clock>, Arc<CityProfile>),
        settings: JobSettings,
    ) -> Result<Self, JobError> {
        let engine_digest = workers.engine_digest().map_err(|e| StoreError::Io(std::io::Error::other(e.to_string())))?;
        let (changed, _) = tokio::sync::watch::channel(0);
        let cache = ViewCache::new(settings.cache_bytes_max);
        let jobs = Self(Arc::new(Inner {
            store,
            journal,
            workers,
            cache,
            clock,
            settings,
            engine_digest,
            city,
            code: Mutex::default(),
            at_work: Mutex::default(),
            settling: Arc::default(),
            wake: Default::default(),
            changed,
        }));
        jobs.recover()?;
        for i in 0..jobs.0.settings.running_max {
            let weak = Arc::downgrade(&jobs.0);
            std::thread::Builder::new().name(format!("job-runner-{i}")).spawn(move || {
                while let Some(inner) = weak.upgrade() {
                    let jobs = Self(inner);
                    if !jobs.step() {
                        return;
                    }
                }
            })?;
        }
        let weak = Arc::downgrade(&jobs.0);
        settle::start(&jobs.0.settling, move || weak.upgrade().map(Self))?;
        let weak = Arc::downgrade(&jobs.0);
        super::disposal::start(move || weak.upgrade().map(Self))?;
        let weak = Arc::downgrade(&jobs.0);
        super::reviews::start(move || weak.upgrade().map(Self))?;
        Ok(jobs)
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }
    pub(super) fn journal(&self) -> &Journal {
        &self.0.journal
    }
    /// The workers that it uses.
    pub fn workers(&self) -> &Workers {
        &self.0.workers
    }
    pub(super) fn cache(&self) -> &ViewCache {
        &self.0.cache
    }
    pub(super) fn engine_digest(&self) -> &str {
        &self.0.engine_digest
    }
    pub(super) fn city(&self) -> &CityProfile {
        &self.0.city
    }
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0.wake.0).closed
    }
    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
    /// Its settings.
    pub fn settings(&self) -> &JobSettings {
        &self.0.settings
    }

    pub(super) fn kept_code(&self, module: &ModuleDigest) -> Option<Arc<OwnedFd>> {
        lock(&self.0.code).get(module).cloned()
    }
    pub(super) fn keep_code(&self, module: &ModuleDigest, code: OwnedFd) -> Arc<OwnedFd> {
        let mut kept = lock(&self.0.code);
        if kept.len() >= CODE_KEPT_MAX {
            kept.clear();
        }
        let code = Arc::new(code);
        kept.insert(module.clone(), Arc::clone(&code));
        code
    }

    /// Jobs that a restart found at work go back to the queue, at most thrice; then they end.
    fn recover(&self) -> Result<(), JobError> {
        let (journal, now) = (self.0.journal.clone(), self.now());
        self.0.store.db.write_blocking(move |tx| -> Result<(), JobError> {
            let mut statement = tx.prepare_cached("SELECT id, org, attempts FROM job WHERE state = 'running'")?;
            let found: Vec<(JobId, OrgId, u32)> =
                statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect::<Result<_, _>>()?;
            for (id, org, attempts) in found {
                let ending = Ending {
                    failure: Some("interrupted by restarts".into()),
                    refusal: Some(Refused::new(&refusal::RUN_FAILED)),
                    ..Ending::default()
                };
                // What a private job reserved is spent: taken up again, it would have to pay anew.
                let attempts = if gate::has_reserved(tx, &id)? { ATTEMPTS_MAX } else { attempts };
                let state = change(tx, &id, Event::Interrupted { attempts }, &ending, now)?;
                if state == State::Queued {
                    let _ = tx.execute("UPDATE job SET failure = NULL, refusal = NULL WHERE id = ?1", [&id])?;
                }
                let _ = journal.append(
                    tx,
                    LeafKind::JobState,
                    &serde_json::json!({ "job": id, "state": state, "interrupted": true }),
                    &[&org],
                )?;
            }
            Ok(())
        })
    }

    /// Tells the runners that a job was queued, and everyone who waits that something changed. Called after the commit.
    pub fn ring(&self) {
        lock(&self.0.wake.0).rung = true;
        self.0.wake.1.notify_all();
        self.0.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Stops taking jobs; those at work are killed and taken up again at the next start. Waits a moment for their runners, so that
    /// nothing is written afterwards. Blocks.
    pub fn close(&self) {
        lock(&self.0.wake.0).closed = true;
        self.0.wake.1.notify_all();
        for switch in lock(&self.0.at_work).values() {
            switch.throw();
        }
        let until = Instant::now() + CLOSED_WITHIN;
        while !lock(&self.0.at_work).is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.0.settling.close(self);
    }

    /// Ends that wait for the time quantum.
    pub(super) fn waiting(&self) -> &settle::Waiting {
        &self.0.settling
    }

    /// Takes and runs one job, or waits for one; false once closed.
    fn step(&self) -> bool {
        {
            let bell = lock(&self.0.wake.0);
            if bell.closed {
                return false;
            }
        }
        match self.take() {
            Ok(Some((job, switch))) => {
                // There may be another for the next runner.
                lock(&self.0.wake.0).rung = true;
                self.0.wake.1.notify_one();
                let ended = self.run(&job, &switch);
                lock(&self.0.at_work).remove(&job.id);
                Self::told(&job.id, ended);
                self.ring();
            }
            Ok(None) => {
                let bell = lock(&self.0.wake.0);
                let wait = self.0.wake.1.wait_timeout_while(bell, Duration::from_millis(500), |b| !b.rung && !b.closed);
                wait.unwrap_or_else(PoisonError::into_inner).0.rung = false;
            }
            Err(error) => {
                tracing::error!(%error, "no job could be taken");
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        true
    }

    /// Takes the job that is next ([`turns`]).
    fn take(&self) -> Result<Option<(JobRow, KillSwitch)>, JobError> {
        let (per_org, now) = (self.0.settings.running_per_org_max, self.now());
        // What was queued may have run, and drawn its noise, in a span that an older copy of the database lost.
        let next = move |c: &rusqlite::Connection| if rollback::standing(c)?.is_some() { Ok(None) } else { turns::next(c, per_org) };
        if self.0.store.db.read_blocking(next)?.is_none() {
            return Ok(None);
        }
        let switch = KillSwitch::default();
        let taken = self.0.store.db.write_blocking(move |tx| -> Result<Option<JobRow>, JobError> {
            let Some(id) = next(tx)? else { return Ok(None) };
            change(tx, &id, Event::Start, &Ending::default(), now)?;
            let job = find(tx, &id)?;
            if let Some(job) = &job {
                turns::served(tx, &job.org)?;
            }
            Ok(job)
        })?;
        let Some(job) = taken else { return Ok(None) };
        lock(&self.0.at_work).insert(job.id.clone(), switch.clone());
        if lock(&self.0.wake.0).closed {
            switch.throw();
        }
        self.0.changed.send_modify(|n| *n = n.wrapping_add(1));
        // Cancelled between the commit and the line above: then nobody had a switch to throw.
        let id = job.id.clone();
        if self.0.store.db.read_blocking(move |c| find(c, &id))?.is_none_or(|j| j.state != State::Running) {
            lock(&self.0.at_work).remove(&job.id);
            return Ok(None);
        }
        Ok(Some((job, switch)))
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// `request.conflict` where it has ended.
    pub fn cancel(&self, tx: &Tx<'_>, permit: Permit<actions::JobCancel>) -> Result<State, JobError> {
        let id = &permit.resource().id;
        let state = change(tx, id, Event::Cancel, &Ending::default(), self.now())?;
        let body = serde_json::json!({ "job": id, "state": state, "by": permit.caller().principal().id });
        let _ = self.0.journal.append(tx, LeafKind::JobState, &body, &[&permit.resource().org])?;
        Ok(state)
    }

    /// Cancels every open job whose papers no longer hold, with a leaf each. To be called in the transaction that revokes,
    /// terminates or re-grades; then [`Jobs::stop`] with what it returns after the commit.
    ///
    /// # Errors
    /// What the store says.
    pub fn cancel_unlawful(&self, tx: &Tx<'_>) -> Result<Vec<JobId>, JobError> {
        let mut statement = tx.prepare_cached("SELECT id FROM job WHERE state IN ('queued', 'running') AND synthetic = 0")?;
        let open: Vec<JobId> = statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
        let now = self.now();
        let mut cancelled = Vec::new();
        for id in open {
            let Some(job) = find(tx, &id)? else { continue };
            let judged = prepare::resolve(tx, &job.spec, 1).and_then(|p| {
                let agreement = job.spec.agreement.as_ref().ok_or(StoreError::Fault)?;
                prepare::papers(tx, &job.spec, &p.resolved, &BTreeSet::new(), prepare::jobs_under(tx, agreement, Some(&id))?, now)
            });
            match judged {
                Ok(_in_force) => {}
                Err(JobError::Refused(refused)) => {
                    let ending = Ending { refusal: Some(refused.clone()), ..Ending::default() };
                    let state = change(tx, &id, Event::Cancel, &ending, now)?;
                    let body = serde_json::json!({ "job": id, "state": state, "refusal": refused });
                    let _ = self.0.journal.append(tx, LeafKind::JobState, &body, &[&job.org])?;
                    cancelled.push(id);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(cancelled)
    }

    /// Kills the workers of these jobs, after the commit that cancelled them.
    pub fn stop(&self, jobs: &[JobId]) {
        let at_work = lock(&self.0.at_work);
        for id in jobs {
            if let Some(switch) = at_work.get(id) {
                switch.throw();
            }
        }
        drop(at_work);
        self.ring();
    }

    /// Drops cached views that depend on a dataset, agreement or organisation.
    pub fn evict(&self, tag: &str) {
        self.0.cache.evict(tag);
    }

    /// Drops every cached view.
    pub fn evict_all(&self) {
        self.0.cache.clear();
    }

    /// Waits until the state shown of a job is another than `seen`; answers the state shown then. Wakes on the time quantum.
    ///
    /// # Errors
    /// `request.not_found`.
    pub async fn changed(&self, id: &JobId, seen: Option<State>) -> Result<State, JobError> {
        let mut changes = self.0.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let wanted = id.clone();
            let row = self.0.store.db.read(move |c| find(c, &wanted)).await?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
            let now = self.now();
            let shown = row.shown(now);
            if seen != Some(shown) {
                return Ok(shown);
            }
            let hidden = row.visible_at.filter(|at| *at > now).map_or(15, |at| at.unix_s() - now.unix_s());
            let wait = Duration::from_secs(u64::try_from(hidden.clamp(1, 15)).unwrap_or(1));
            // Polled as well: a change may come from a review, which rings no bell.
            let _ = tokio::time::timeout(wait, changes.changed()).await;
        }
    }
}
