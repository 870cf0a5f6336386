//! One job through the workers to the gate. Blocks.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use protocol::message::{GuestFailure, SecretKey, Source, SourceColumn, World};
use protocol::plan::{FusePlan, Transform, ViewColumn, ViewType, Visibility};
use protocol::seal::SealKey;

use super::prepare::{self, Prepared};
use super::records::{Ending, JobRow, change};
use super::service::Jobs;
use super::spec::JobSpec;
use super::state::{Event, State};
use super::{JobError, modules};
use crate::agreement::Door;
use crate::catalog::store::VersionKind;
use crate::gate::{DecideError, Decision, JobFacts, RawOutput, ReleaseState};
use crate::id::OrgId;
use crate::policy::{ActivePolicy, release};
use crate::refusal::{self, Refused};
use crate::store::{KeyUse, StoreError};
use crate::tlog::LeafKind;
use crate::workers::{EngineSession, FuseInput, GuestInput, GuestOutput, KillSwitch, View, WorkerError, Workers};

/// Why a run ended without a decision.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// A rule, told to the operator.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The run itself; the text is for checkers, and on synthetic data for the author.
    #[error("{0}")]
    Failed(String),
    /// Stopped.
    #[error("stopped")]
    Cancelled,
    /// A fault of ours: the job stays as it is and is taken up again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<JobError> for RunError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Refused(refused) => Self::Refused(refused),
            JobError::Store(store) => Self::Store(store),
        }
    }
}

impl From<DecideError> for RunError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Refused(refused) => Self::Refused(refused),
            DecideError::Store(store) => Self::Store(store),
        }
    }
}

impl From<WorkerError> for RunError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Cancelled => Self::Cancelled,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// What the workers brought, before the gate.
pub(super) struct Produced {
    pub(super) raw: RawOutput,
    pub(super) doors: BTreeSet<Door>,
    pub(super) report: serde_json::Value,
    pub(super) log: String,
}

impl Jobs {
    /// Runs a job that was taken, and ends it. An error is a fault of ours.
    pub(super) fn run(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, JobError> {
        let ended = if job.spec.synthetic_rows.is_some() { self.run_synthetic(job, switch) } else { self.run_real(job, switch) };
        match ended {
            Ok(state) => Ok(state),
            Err(RunError::Store(error)) => Err(error.into()),
            // Whoever stopped it wrote its end before; and what the end of the server stops has none: the next start takes it up.
            Err(RunError::Cancelled) => Ok(job.state),
            Err(RunError::Refused(refused)) => self.end(job, Event::Fail, Ending { refusal: Some(refused), ..Ending::default() }),
            Err(RunError::Failed(why)) => {
                tracing::info!(job = %job.id, why, "a run ended without a result");
                let refusal = Some(Refused::new(&refusal::RUN_FAILED));
                self.end(job, Event::Fail, Ending { refusal, failure: Some(why), ..Ending::default() })
            }
        }
    }

    fn end(&self, job: &JobRow, event: Event, mut ending: Ending) -> Result<State, JobError> {
        let (id, org, journal, now) = (job.id.clone(), job.org.clone(), self.journal().clone(), self.now());
        ending.visible_at = Some(self.quantum_after(job, now));
        self.store().db.write_blocking(move |tx| {
            let state = change(tx, &id, event, &ending, now)?;
            let body = serde_json::json!({ "job": id, "state": state, "refusal": ending.refusal });
            let _ = journal.append(tx, LeafKind::JobState, &body, &[&org])?;
            Ok(state)
        })
    }

    /// The end of the time quantum in which `now` lies, by the policy for the job's data; the floor's where that is not known.
    fn quantum_after(&self, job: &JobRow, now: crate::clock::Timestamp) -> crate::clock::Timestamp {
        if job.spec.synthetic_rows.is_some() {
            return now;
        }
        let seconds = self.store().db.read_blocking(release::floor).ok().flatten().map_or(60, |p| p.time_quantum_seconds);
        ceil(now, seconds)
    }

    fn run_real(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, RunError> {
        let job_key = job.spec.job_key(&self.store().keyring.derive(KeyUse::JobKey))?;
        let (prepared, policy) = self.judged(job)?;
        let produced = self.produce(&job.spec, &prepared, &job_key, self.workers(), true, switch)?;
        let facts = self.facts(job, &prepared);
        let providers = facts.providers();
        let Produced { raw, doors, report, .. } = produced;
        let decision = Decision::decide(raw, facts, &policy, &job_key)?;
        let commitment = crate::gate::hex(decision.commitment());
        let sealed = decision.seal(&self.store().artefacts, &job_key)?;
        let (id, spec, journal, now) = (job.id.clone(), job.spec.clone(), self.journal().clone(), self.now());
        let visible_at = ceil(now, policy.rules().time_quantum_seconds);
        let threads = self.workers().threads();
        let state = self.store().db.write_blocking(move |tx| -> Result<State, JobError> {
            // Judged once more in the transaction that releases: a revocation that came first wins.
            let prepared = prepare::resolve(tx, &spec, threads)?;
            let before = prepare::jobs_under(tx, spec.agreement.as_ref().ok_or(StoreError::Fault)?, Some(&id))?;
            let _in_force = prepare::papers(tx, &spec, &prepared.resolved, &doors, before, now)?;
            if release::active(tx, &owners(&spec.org, &providers))?.digest() != policy.digest() {
                return Err(Refused::new(&refusal::CONFLICT).subject("policy").into());
            }
            let told = sealed.record(tx, &journal, now)?;
            let held = told.iter().any(|(_, state)| *state == ReleaseState::Held);
            let ending = Ending { visible_at: Some(visible_at), commitment: Some(commitment), report: Some(report), ..Ending::default() };
            change(tx, &id, Event::Decided { held }, &ending, now)
        })?;
        Ok(state)
    }

    /// Plan, papers and policy as they stand now.
    fn judged(&self, job: &JobRow) -> Result<(Prepared, ActivePolicy), JobError> {
        let (spec, id, now, threads) = (job.spec.clone(), job.id.clone(), self.now(), self.workers().threads());
        self.store().db.read_blocking(move |c| {
            let prepared = prepare::resolve(c, &spec, threads)?;
            let before = prepare::jobs_under(c, spec.agreement.as_ref().ok_or(StoreError::Fault)?, Some(&id))?;
            let _in_force = prepare::papers(c, &spec, &prepared.resolved, &BTreeSet::new(), before, now)?;
            let providers: BTreeSet<OrgId> = prepared.resolved.owners().into_values().collect();
            let policy = release::active(c, &owners(&spec.org, &providers))?;
            Ok((prepared, policy))
        })
    }

    fn facts(&self, job: &JobRow, prepared: &Prepared) -> JobFacts {
        JobFacts {
            job: job.id.clone(),
            org: job.org.clone(),
            principal: job.principal.clone(),
            author_org: prepared.module.org.clone(),
            agreement: job.spec.agreement.clone(),
            plan: job.spec.plan.clone(),
            plan_digest: job.spec.plan_digest.clone(),
            module: job.spec.module.clone(),
            engine_digest: self.engine_digest().to_owned(),
            purpose: job.spec.purpose.to_string(),
            recipient: job.spec.recipient.clone(),
            sources: prepare::sources(&job.spec, &prepared.resolved),
            today: job.spec.today,
        }
    }

    /// Fuses (or takes the cached view), runs the module, reduces.
    pub(super) fn produce(
        &self,
        spec: &JobSpec,
        prepared: &Prepared,
        job_key: &SealKey,
        workers: &Workers,
        cached: bool,
        switch: &KillSwitch,
    ) -> Result<Produced, RunError> {
        let (mut engine, view) = self.view(spec, prepared, workers, cached, switch)?;
        let code = self.code(&spec.module)?;
        let input = GuestInput {
            world: World::Analysis,
            code: &code,
            view: &view,
            manifest: prepared.module.manifest.clone(),
            seed: JobSpec::seed(job_key),
            synthetic: false,
        };
        let output = workers.run(&input, switch).map_err(|(error, _)| error)?;
        let coded = coded_columns(&prepared.resolved.fuse);
        self.reduce(&mut engine, &view, output, coded)
    }

    fn reduce(&self, engine: &mut EngineSession, view: &View, output: GuestOutput, coded: BTreeSet<String>) -> Result<Produced, RunError> {
        let GuestOutput { derived, tables, models, log } = output;
        let mut doors = BTreeSet::new();
        if !tables.is_empty() {
            doors.insert(Door::Table);
        }
        if !models.is_empty() {
            doors.insert(Door::Artefact);
        }
        let mut columns: Vec<ViewColumn> = view.granted().map(|(c, _)| c.clone()).collect();
        columns.extend(derived.iter().map(|(d, _)| derived_column(d)));
        let tables = if tables.is_empty() { Vec::new() } else { engine.reduce(tables, derived)? };
        let report = serde_json::to_value(view.report()).unwrap_or_default();
        Ok(Produced { raw: RawOutput::seal(tables, models, columns, coded, view.report().units), doors, report, log })
    }

    /// The fused view: from the cache under everything it depends on, or fused now.
    fn view(
        &self,
        spec: &JobSpec,
        prepared: &Prepared,
        workers: &Workers,
        cached: bool,
        switch: &KillSwitch,
    ) -> Result<(EngineSession, View), RunError> {
        let agreement = spec.agreement.as_ref().ok_or(StoreError::Fault)?;
        let depends = serde_json::json!({
            "plan": spec.plan_digest, "sources": spec.sources, "agreement": agreement, "operator": spec.org, "purpose": spec.purpose,
            "today": spec.today, "engine": self.engine_digest(),
        });
        let bytes = protocol::canonical::to_canonical_json(&depends).map_err(|_| StoreError::Fault)?;
        let key = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let key: [u8; 32] = key.as_ref().try_into().map_err(|_| StoreError::Fault)?;
        if cached && let Some(view) = self.cache().get(&key) {
            return Ok((workers.attach(&view, switch)?, view));
        }
        let keyring = &self.store().keyring;
        let input = FuseInput {
            plan: prepared.resolved.fuse.clone(),
            sources: self.sources(spec, prepared)?,
            pseudonym_key: secret(&keyring.derive(KeyUse::PseudonymRoot).derive(agreement.as_str())),
            namespace_key: secret(&keyring.derive(KeyUse::NamespaceKey).derive(prepared.resolved.namespace.as_str())),
        };
        let (session, view) = workers.fuse(input, switch)?;
        if cached {
            let tags = spec.sources.iter().map(|s| s.dataset.to_string()).chain([agreement.to_string(), spec.org.to_string()]);
            self.cache().put(key, view.clone(), tags.collect());
        }
        Ok((session, view))
    }

    /// The sealed segments that the plan needs, each with the key of that column of that version.
    fn sources(&self, spec: &JobSpec, prepared: &Prepared) -> Result<Vec<(Source, OwnedFd)>, RunError> {
        let segments = self.store().segments.clone();
        let (fuse, members) = (prepared.resolved.fuse.clone(), prepared.resolved.members.clone());
        let pinned = spec.sources.clone();
        let opened = self.store().db.read_blocking(move |c| -> Result<_, StoreError> {
            let mut all = Vec::new();
            for ((index, member), plan) in (0u16..).zip(&members).zip(&fuse.members) {
                let source = pinned.iter().find(|s| s.dataset == member.dataset).ok_or(StoreError::Fault)?;
                let mut wanted: Vec<(SourceColumn, u32, String)> = (0u16..)
                    .zip(&plan.columns)
                    .map(|(i, col)| (SourceColumn::Data(i), source.version, VersionKind::Data.segment(&col.name)))
                    .collect();
                if let (Some(_), Some(version)) = (plan.consent_unit, source.consent_version) {
                    for (what, name) in [
                        (SourceColumn::ConsentUnit, "unit"),
                        (SourceColumn::ConsentPurpose, "purpose"),
                        (SourceColumn::ConsentExpiry, "expiry"),
                    ] {
                        wanted.push((what, version, VersionKind::Consent.segment(name)));
                    }
                }
                for (column, version, segment) in wanted {
                    let file = segments.open_file(c, &member.dataset, version, &segment)?;
                    let key = secret(&segments.column_key(c, &member.dataset, version, &segment)?);
                    all.push((Source { member: index, column, key, context: file.context }, file.fd));
                }
            }
            Ok(all)
        })?;
        Ok(opened)
    }

    fn run_synthetic(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, RunError> {
        let rows = job.spec.synthetic_rows.ok_or(StoreError::Fault)?;
        let job_key = job.spec.job_key(&self.store().keyring.derive(KeyUse::JobKey))?;
        let (spec, threads) = (job.spec.clone(), self.workers().threads());
        let (prepared, policy) = self.store().db.read_blocking(move |c| -> Result<_, JobError> {
            let prepared = prepare::resolve(c, &spec, threads)?;
            let providers: BTreeSet<OrgId> = prepared.resolved.owners().into_values().collect();
            let policy = release::active(c, &owners(&spec.org, &providers))?;
            Ok((prepared, policy))
        })?;
        let view = super::synthetic::view(&prepared.resolved.fuse, rows, JobSpec::seed(&job_key))?;
        let code = self.code(&job.spec.module)?;
        let input = GuestInput {
            world: World::Analysis,
            code: &code,
            view: &view,
            manifest: prepared.module.manifest.clone(),
            seed: JobSpec::seed(&job_key),
            synthetic: true,
        };
        let output = match self.workers().run(&input, switch) {
            Ok(output) => output,
            Err((WorkerError::Cancelled, _)) => return Err(RunError::Cancelled),
            Err((error, log)) => {
                let why = match &error {
                    WorkerError::Guest(GuestFailure::Error(Some(text))) => text.clone(),
                    other => other.to_string(),
                };
                let refusal = Some(Refused::new(&refusal::RUN_FAILED));
                return Ok(self.end(job, Event::Fail, Ending { refusal, failure: Some(why), log: Some(log), ..Ending::default() })?);
            }
        };
        let mut engine = self.workers().attach(&view, switch)?;
        let produced = match self.reduce(&mut engine, &view, output, coded_columns(&prepared.resolved.fuse)) {
            Err(RunError::Failed(why)) => {
                let refusal = Some(Refused::new(&refusal::TABLE_REQUEST));
                return Ok(self.end(job, Event::Fail, Ending { refusal, failure: Some(why), ..Ending::default() })?);
            }
            other => other?,
        };
        let log = produced.log.clone();
        let decision = Decision::decide(produced.raw, self.facts(job, &prepared), &policy, &job_key)?;
        let commitment = Some(crate::gate::hex(decision.commitment()));
        let ending = Ending { result: Some(decision.rehearsal()), log: Some(log), commitment, ..Ending::default() };
        Ok(self.end(job, Event::Decided { held: false }, ending)?)
    }

    /// The module's code as sealed memory, authenticated once and then kept.
    pub(super) fn code(&self, module: &crate::id::ModuleDigest) -> Result<std::sync::Arc<OwnedFd>, RunError> {
        if let Some(code) = self.kept_code(module) {
            return Ok(code);
        }
        let (store, digest) = (self.store().clone(), module.clone());
        let (code, engine) = self.store().db.read_blocking(move |c| modules::code(c, &store, &digest))?;
        let code = if engine == self.engine_digest() {
            code
        } else {
            // Compiled for an engine of before: compiled anew from the uploaded bytes, which the signature covers.
            let (store, digest) = (self.store().clone(), module.clone());
            let bytes = self.store().db.read_blocking(move |c| modules::bytes(c, &store, &digest))?;
            let compiled =
                self.workers().compile(&bytes, World::Analysis, &KillSwitch::default()).map_err(|e| RunError::Failed(e.to_string()))?;
            protocol::memfd::sealed("code", &compiled.code).map_err(StoreError::from)?
        };
        Ok(self.keep_code(module, code))
    }
}

fn secret(key: &SealKey) -> SecretKey {
    SecretKey(*key.as_bytes())
}

/// Whose policies apply: the operator's own too, where it has tightened one.
fn owners(org: &OrgId, providers: &BTreeSet<OrgId>) -> BTreeSet<OrgId> {
    providers.iter().chain([org]).cloned().collect()
}

/// The first moment after `now` that is a multiple of `seconds`; `now` itself where it is one.
fn ceil(now: crate::clock::Timestamp, seconds: u32) -> crate::clock::Timestamp {
    let quantum = i64::from(seconds.max(1));
    let floor = now.floor_to_s(quantum);
    if floor == now { now } else { floor.plus_s(quantum) }
}

/// Output columns that the plan bounds by constants: only these may show a minimum or maximum.
pub fn coded_columns(plan: &FusePlan) -> BTreeSet<String> {
    let clamped = |t: &Transform| matches!(t, Transform::Clamp { .. });
    plan.outputs.iter().filter(|o| clamped(&o.transform)).map(|o| o.name.clone()).collect()
}

/// A derived column as tables and models see it.
pub fn derived_column(declared: &protocol::manifest::DerivedColumn) -> ViewColumn {
    let ty = match &declared.ty {
        protocol::manifest::DerivedType::Number { scale, min, max } => ViewType::Number { scale: *scale, min: *min, max: *max },
        protocol::manifest::DerivedType::Category { .. } => ViewType::Category { declared: true },
    };
    ViewColumn { name: declared.name.clone(), ty, visibility: Visibility::Granted, provenance: "derived".to_owned() }
}
