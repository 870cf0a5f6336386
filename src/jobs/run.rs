//! One job through the workers to the gate. Blocks.

use std::collections::BTreeSet;

use protocol::message::{EngineFailure, GuestFailure, WorkerRole};

use super::JobError;
use super::prepare::{self, Prepared};
use super::probe::Probed;
use super::produce::{Produced, Way};
use super::records::{Ending, JobRow, change};
use super::service::Jobs;
use super::spec::JobSpec;
use super::state::{Event, State};
use crate::catalog::SyntheticError;
use crate::gate::{Conditions, DecideError, Decision, JobFacts, ReleaseState, own_notices};
use crate::id::OrgId;
use crate::policy::release::TIME_QUANTUM_S_MAX;
use crate::policy::{ActivePolicy, release};
use crate::refusal::{self, Refused};
use crate::sdc::RoundingKey;
use crate::store::{KeyUse, StoreError};
use crate::tlog::LeafKind;
use crate::workers::{GuestInput, KillSwitch, Patience, WorkerError};

/// Why a run ended without a decision.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// A rule, told to the operator.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The run itself. In closed words for checkers; on synthetic data the author has it whole.
    #[error("{}", .0.closed())]
    Failed(WorkerError),
    /// The plan has no synthetic view.
    #[error(transparent)]
    View(#[from] SyntheticError),
    /// The memory for workers is in use.
    #[error("the memory for workers is in use")]
    Busy,
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
            WorkerError::Busy => Self::Busy,
            other => Self::Failed(other),
        }
    }
}

impl Jobs {
    /// Runs a job that was taken, and ends it. An error is a fault of ours.
    pub(super) fn run(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, JobError> {
        let ended = match (job.spec.synthetic_rows, &job.spec.private) {
            (Some(_), _) => self.run_synthetic(job, switch),
            (None, Some(_)) => self.run_private(job, switch),
            (None, None) => self.run_real(job, switch),
        };
        match ended {
            Ok(state) => Ok(state),
            Err(RunError::Store(error)) => Err(error.into()),
            // Whoever stopped it wrote its end before; and what the end of the server stops has none: the next start takes it up.
            Err(RunError::Cancelled) => Ok(job.state),
            Err(RunError::Refused(refused)) => self.end(job, Event::Fail, Ending { refusal: Some(refused), ..Ending::default() }),
            Err(error @ (RunError::Failed(_) | RunError::View(_) | RunError::Busy)) => {
                let why = error.to_string();
                tracing::info!(job = %job.id, why, "a run ended without a result");
                let refusal = Some(Refused::new(&refusal::RUN_FAILED));
                self.end(job, Event::Fail, Ending { refusal, failure: Some(why), ..Ending::default() })
            }
        }
    }

    pub(super) fn end(&self, job: &JobRow, event: Event, mut ending: Ending) -> Result<State, JobError> {
        let (id, org, journal, now) = (job.id.clone(), job.org.clone(), self.journal().clone(), self.now());
        ending.visible_at = Some(if job.spec.synthetic_rows.is_some() { now } else { ceil(now, self.quantum_s(&job.spec)?) });
        self.store().db.write_blocking(move |tx| {
            let state = change(tx, &id, event, &ending, now)?;
            let body = serde_json::json!({ "job": id, "state": state, "refusal": ending.refusal });
            let _ = journal.append(tx, LeafKind::JobState, &body, &[&org])?;
            Ok(state)
        })
    }

    /// The time quantum of a job's data in seconds, however the job ends: a module chooses whether it fails, and when. Where the plan does
    /// not resolve any more, the longest that anyone set.
    pub(super) fn quantum_s(&self, spec: &JobSpec) -> Result<u32, JobError> {
        let spec = spec.clone();
        self.store().db.read_blocking(move |c| {
            let own = prepare::resolve(c, &spec, 1).and_then(|prepared| {
                let providers = prepared.resolved.owners().into_values().collect();
                Ok(release::active(c, &owners(&spec.org, &providers))?.rules().time_quantum_seconds)
            });
            match own {
                Err(JobError::Refused(_)) => {
                    let set = release::all(c)?;
                    Ok(set.iter().map(|(_, policy)| policy.time_quantum_seconds).max().unwrap_or(TIME_QUANTUM_S_MAX))
                }
                other => other,
            }
        })
    }

    fn run_real(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, RunError> {
        let job_key = job.spec.job_key(&self.store().keyring.derive(KeyUse::JobKey))?;
        let (prepared, policy) = self.judged(job)?;
        let way = Way { workers: self.workers(), patience: Patience::Job, cached: true };
        let produced = self.produce(&job.spec, &prepared, &job_key, &way, switch, Some(&policy))?;
        let facts = self.facts(job, &prepared);
        let providers = facts.providers();
        let Produced { raw, doors, report, .. } = produced;
        let mut decision = Decision::decide(raw, facts, &policy, &job_key, &self.rounding())?;
        if self.store().db.read_blocking(|c| decision.is_probed(c, &policy, self.now()))? {
            let (drawn, commitment) = (policy.rules().model.probe_units, *decision.commitment());
            let units = report.get("units").and_then(serde_json::Value::as_u64).unwrap_or(0);
            let probed = Probed { spec: &job.spec, prepared: &prepared, job_key: &job_key, units, drawn, commitment };
            decision.probed(&self.probe(&probed, &way, switch)?, &policy)?;
        }
        // Judged, sealed and recorded one job at a time: what is released between would not have been looked at.
        let _turn = self.audit_turn();
        let artefacts = &self.store().artefacts;
        let own_key = self.store().keyring.derive(KeyUse::NamespaceKey).derive("own-versions");
        self.store().db.read_blocking(|c| decision.audit(c, artefacts, &policy, &own_key, self.now()))?;
        let commitment = crate::gate::hex(decision.commitment());
        let sealed = decision.seal(&self.store().artefacts)?;
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

    /// The key of random rounding: one for all operators and policies, so that repeats repeat whoever asks.
    fn rounding(&self) -> RoundingKey {
        RoundingKey::new(self.store().keyring.derive(KeyUse::Rounding).as_bytes())
    }

    /// Plan, papers and policy as they stand now.
    pub(super) fn judged(&self, job: &JobRow) -> Result<(Prepared, ActivePolicy), JobError> {
        let (spec, id, now, threads) = (job.spec.clone(), job.id.clone(), self.now(), self.workers().threads());
        self.store().db.read_blocking(move |c| {
            let prepared = prepare::resolve(c, &spec, threads)?;
            let before = prepare::jobs_under(c, spec.agreement.as_ref().ok_or(StoreError::Fault)?, Some(&id))?;
            let _in_force = prepare::papers(c, &spec, &prepared.resolved, &spec.doors(), before, now)?;
            let providers: BTreeSet<OrgId> = prepared.resolved.owners().into_values().collect();
            let policy = release::active(c, &owners(&spec.org, &providers))?;
            Ok((prepared, policy))
        })
    }

    pub(super) fn facts(&self, job: &JobRow, prepared: &Prepared) -> JobFacts {
        JobFacts {
            job: job.id.clone(),
            org: job.org.clone(),
            principal: job.principal.clone(),
            author_org: prepared.module.as_ref().map_or_else(|| job.org.clone(), |m| m.org.clone()),
            agreement: job.spec.agreement.clone(),
            plan: job.spec.plan.clone(),
            plan_digest: job.spec.plan_digest.clone(),
            module: job.spec.module.clone(),
            module_approver: prepared.module.as_ref().and_then(|m| m.reviewer.clone()),
            engine_digest: self.engine_digest().to_owned(),
            purpose: job.spec.purpose.to_string(),
            recipient: job.spec.recipient.clone(),
            sources: prepare::sources(&job.spec, &prepared.resolved),
            today: job.spec.today,
        }
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
        let (Some(digest), Some(module)) = (&job.spec.module, &prepared.module) else { return Err(StoreError::Fault.into()) };
        let code = self.code(digest, Patience::Job, switch)?;
        let input =
            GuestInput { code: &code, view: &view, manifest: module.manifest.clone(), seed: JobSpec::seed(&job_key), synthetic: true };
        let [guest] = self.workers().reserve([WorkerRole::Guest], Patience::Job, switch)?;
        let output = match self.workers().run(&input, guest, switch) {
            Ok(output) => output,
            Err((WorkerError::Cancelled, _)) => return Err(RunError::Cancelled),
            Err((error, log)) => {
                let why = match &error {
                    WorkerError::Guest(GuestFailure::Error(Some(text))) => text.clone(),
                    other => author_text(other),
                };
                let refusal = Some(Refused::new(&refusal::RUN_FAILED));
                return Ok(self.end(job, Event::Fail, Ending { refusal, failure: Some(why), log: Some(log), ..Ending::default() })?);
            }
        };
        // The guest is gone, and its memory given back: nothing is held while this waits.
        let [engine] = self.workers().reserve([WorkerRole::Engine], Patience::Job, switch)?;
        let mut engine = self.workers().attach(&view, engine, switch)?;
        let (conditions, unjudged) = Conditions::on_synthetic(&prepared.resolved, Some(digest));
        let notices = own_notices(&output.tables, &unjudged, &policy);
        let produced = match self.reduce(&mut engine, &view, output, &prepared.resolved, (conditions, Some(&policy))) {
            Err(RunError::Failed(error)) => {
                let refusal = match error {
                    WorkerError::Engine(EngineFailure::Model(_)) => &refusal::MODEL_INVALID,
                    WorkerError::Engine(_) => &refusal::TABLE_REQUEST,
                    _ => &refusal::RUN_FAILED,
                };
                let (refusal, failure) = (Some(Refused::new(refusal)), Some(author_text(&error)));
                return Ok(self.end(job, Event::Fail, Ending { refusal, failure, ..Ending::default() })?);
            }
            other => other?,
        };
        let log = produced.log.clone();
        // Not the key of real tables: an author knows what was rounded here.
        let rounding = RoundingKey::new(job_key.as_bytes());
        let decision = Decision::decide(produced.raw, self.facts(job, &prepared), &policy, &job_key, &rounding)?;
        let commitment = Some(crate::gate::hex(decision.commitment()));
        let ending = Ending { result: Some(decision.rehearsal_with(&notices)), log: Some(log), commitment, ..Ending::default() };
        Ok(self.end(job, Event::Decided { held: false }, ending)?)
    }
}

/// What the author of a module is told on synthetic data: the module's own failure whole, ours in closed words.
fn author_text(error: &WorkerError) -> String {
    match error {
        WorkerError::Engine(_) | WorkerError::Guest(_) => error.to_string(),
        ours => ours.closed(),
    }
}

/// Whose policies apply: the operator's own too, where it has tightened one.
pub(super) fn owners(org: &OrgId, providers: &BTreeSet<OrgId>) -> BTreeSet<OrgId> {
    providers.iter().chain([org]).cloned().collect()
}

/// The first moment after `now` that is a multiple of `seconds`; `now` itself where it is one.
pub(super) fn ceil(now: crate::clock::Timestamp, seconds: u32) -> crate::clock::Timestamp {
    let quantum = i64::from(seconds.max(1));
    let floor = now.floor_to_s(quantum);
    if floor == now { now } else { floor.plus_s(quantum) }
}
