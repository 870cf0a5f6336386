//! A job of the private door: its whole cost is reserved with its submission; then rounds of exact sums, noise and updates; then, on the
//! time quantum, the gate.
//!
//! A reservation is a spend, whatever ends the job, and its operator learns that it ended.

use std::collections::BTreeSet;

use protocol::fold::{FoldPlan, FoldStart};
use protocol::limits::Limits;
use protocol::message::{SecretKey, WorkerRole};

use super::JobError;
use super::prepare::{self, Prepared};
use super::produce::Way;
use super::records::{Ending, JobRow, change, settling};
use super::run::{RunError, ceil, owners};
use super::service::Jobs;
use super::spec::JobSpec;
use super::state::{Event, State};
use crate::agreement::InForce;
use crate::clock::Timestamp;
use crate::dp::{Answer, Calibration, Cost, Epsilon, FoldDocument, MapDocument, Reading, ResolvedFold, number, numbers};
use crate::gate::{self, Budget, Concluded, DecideError, LedgerReleased, Noising, ReleaseState, Reservation, Spend};
use crate::id::{JobId, ModuleDigest, OrgId};
use crate::policy::{ActivePolicy, release};
use crate::refusal::{self, Refused};
use crate::store::{KeyUse, StoreError, Tx};
use crate::tlog::Journal;
use crate::workers::{FoldCode, FoldSession, KillSwitch, Mappers, Patience, Updater};

/// What the fold of a document costs under a policy.
///
/// # Errors
/// `policy.door` where the door is closed, `privacy.*` naming the parameter that is out of range.
pub fn calibrate(document: &FoldDocument, fold: &ResolvedFold, policy: &ActivePolicy) -> Result<Calibration, Refused> {
    let rules = policy.rules();
    if !rules.doors.private {
        return Err(Refused::new(&refusal::POLICY_DOOR).subject("private"));
    }
    let epsilon =
        Epsilon::parse(&document.epsilon).map_err(|e| Refused::new(&refusal::PRIVACY_INVALID).subject(&format!("epsilon: {e}")))?;
    let most = rules.private.epsilon_per_job_max;
    if epsilon > most {
        return Err(Refused::new(&refusal::PRIVACY_INVALID).subject("epsilon").threshold(format!("{most} a job")));
    }
    Calibration::new(document.mechanism, epsilon, rules.private.delta_exponent, fold.rounds, fold.clip, fold.blocks)
}

/// The name that a release of the fold bears: the module's, or what is built in.
fn name(document: &FoldDocument, prepared: &Prepared) -> String {
    let built_in = match &document.map {
        MapDocument::Module(_) => None,
        MapDocument::Count {} => Some("count"),
        MapDocument::Sum { .. } => Some("sum"),
        MapDocument::Mean { .. } => Some("mean"),
        MapDocument::Histogram { .. } => Some("histogram"),
        MapDocument::Quantile { .. } => Some("quantile"),
    };
    built_in.map(str::to_owned).or_else(|| prepared.module.as_ref().map(|m| m.manifest.name.clone())).unwrap_or_default()
}

/// The guests of a fold that runs a module.
struct Guests<'a> {
    mappers: Mappers<'a>,
    updater: Updater,
}

impl Jobs {
    /// Runs a private job that was taken; its end, whatever it is, comes on the time quantum.
    pub(super) fn run_private(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, RunError> {
        let (refusal, failure) = match self.fold(job, switch) {
            Ok((policy, quantum_s, settled)) => {
                let row = job.clone();
                return Ok(self.end_on_quantum(job, quantum_s, move |jobs| jobs.settle(&row, policy, settled))?);
            }
            Err(error @ (RunError::Store(_) | RunError::Cancelled)) => return Err(error),
            Err(RunError::Refused(refused)) => (refused, None),
            Err(error @ (RunError::Failed(_) | RunError::View(_) | RunError::Busy)) => {
                let why = error.to_string();
                tracing::info!(job = %job.id, why, "a private run ended without a result");
                (Refused::new(&refusal::RUN_FAILED), Some(why))
            }
        };
        let quantum_s = self.quantum_s(&job.spec)?;
        let (row, ending) = (job.clone(), Ending { refusal: Some(refusal), failure, ..Ending::default() });
        Ok(self.end_on_quantum(job, quantum_s, move |jobs| jobs.end(&row, Event::Fail, ending))?)
    }

    /// All rounds; what the releasing transaction needs, under which policy, on which quantum.
    fn fold(&self, job: &JobRow, switch: &KillSwitch) -> Result<([u8; 32], u32, Settled), RunError> {
        let job_key = job.spec.job_key(&self.store().keyring.derive(KeyUse::JobKey))?;
        let (prepared, policy) = self.judged(job)?;
        let (Some(document), Some(fold)) = (&job.spec.private, &prepared.fold) else { return Err(StoreError::Fault.into()) };
        let calibration = calibrate(document, fold, &policy)?;
        let code = job.spec.module.as_ref().map(|m: &ModuleDigest| self.code(m, Patience::Job, switch)).transpose()?;
        let [engine, mapper, updater] =
            self.workers().reserve([WorkerRole::Engine, WorkerRole::Guest, WorkerRole::Guest], Patience::Job, switch)?;
        let (spend, besides) = self.claim(job, &prepared)?;
        if *spend.cost() != calibration.cost() {
            // Another δ than when the job was submitted.
            return Err(Refused::new(&refusal::CONFLICT).subject("policy").into());
        }
        let mut noising = Noising::begin(spend, calibration)?;
        let way = Way { workers: self.workers(), patience: Patience::Job, cached: true };
        let first = noising.draw()?;
        let (session, view) = self.view(&job.spec, &prepared, &way, engine, switch)?;
        let session = session.fold(engine_plan(fold, SecretKey(*job_key.derive("fold").as_bytes())))?;
        let start = prepared.module.as_ref().and_then(|m| fold_start(&m.manifest, fold));
        let guests = match (&code, &start) {
            (Some(code), Some(start)) => {
                let code = FoldCode { code, start };
                let updater = self.workers().updater(code, updater, switch)?;
                Some(Guests { mappers: self.workers().mappers(code, mapper, switch), updater })
            }
            _ => None,
        };
        let answer = rounds(session, fold, &mut noising, first, guests)?;
        let name = name(document, &prepared);
        let concluded = Concluded { name: &name, answer: &answer, fold, namespace: &prepared.resolved.namespace, besides: &besides };
        let (decision, spend) = noising.conclude(concluded, self.facts(job, &prepared), &policy, &job_key)?;
        let commitment = crate::gate::hex(decision.commitment());
        let sealed = decision.seal(&self.store().artefacts)?;
        let report = serde_json::to_value(view.report()).unwrap_or_default();
        let ending = Ending { commitment: Some(commitment), report: Some(report), ..Ending::default() };
        Ok((policy.digest(), policy.rules().time_quantum_seconds, Settled { sealed, spend, ending }))
    }

    /// What was reserved when the job was submitted; and what other folds cost.
    fn claim(&self, job: &JobRow, prepared: &Prepared) -> Result<(Spend, LedgerReleased), RunError> {
        if job.attempts > 1 {
            return Err(Refused::new(&refusal::CONFLICT).subject("private").into());
        }
        let (id, namespace) = (job.id.clone(), prepared.resolved.namespace.clone());
        let readers: Vec<OrgId> = prepared.resolved.owners().into_values().collect();
        let claimed = self.store().db.read_blocking(move |c| -> Result<_, JobError> {
            let besides = gate::released_besides(c, &namespace, &id)?;
            Ok((gate::claim(c, &id, &readers).map_err(decided)?, besides))
        });
        Ok(claimed?)
    }

    /// Ends a private job on the time quantum: until then it shows as running, and no commit tells that it is not.
    fn end_on_quantum(
        &self,
        job: &JobRow,
        quantum_s: u32,
        end: impl FnOnce(&Self) -> Result<State, JobError> + Send + 'static,
    ) -> Result<State, JobError> {
        let (at, id) = (ceil(self.now(), quantum_s), job.id.clone());
        self.store().db.write_blocking(move |tx| settling(tx, &id, at))?;
        let job = job.clone();
        self.settle_at(at, move |jobs| {
            let mut ended = end(jobs);
            if let Err(JobError::Refused(refused)) = &ended {
                // The papers ended meanwhile; or it was cancelled, then this changes nothing.
                let ending = Ending { refusal: Some(refused.clone()), ..Ending::default() };
                ended = jobs.end(&job, Event::Fail, ending);
            }
            Self::told(&job.id, ended);
        });
        Ok(State::Running)
    }

    /// The transaction that releases: papers, policy and module judged once more, the reservation settled, the job ended.
    fn settle(&self, job: &JobRow, policy: [u8; 32], settled: Settled) -> Result<State, JobError> {
        let Settled { sealed, spend, mut ending } = settled;
        let (id, spec, journal, now) = (job.id.clone(), job.spec.clone(), self.journal().clone(), self.now());
        ending.visible_at = Some(now);
        let threads = self.workers().threads();
        self.store().db.write_blocking(move |tx| -> Result<State, JobError> {
            let prepared = prepare::resolve(tx, &spec, threads)?;
            let before = prepare::jobs_under(tx, spec.agreement.as_ref().ok_or(StoreError::Fault)?, Some(&id))?;
            let _in_force = prepare::papers(tx, &spec, &prepared.resolved, &spec.doors(), before, now)?;
            let providers: BTreeSet<OrgId> = prepared.resolved.owners().into_values().collect();
            if release::active(tx, &owners(&spec.org, &providers))?.digest() != policy {
                return Err(Refused::new(&refusal::CONFLICT).subject("policy").into());
            }
            let _leaf = gate::settle(tx, &journal, spend)?;
            let told = sealed.record(tx, &journal, now)?;
            let held = told.iter().any(|(_, state)| *state == ReleaseState::Held);
            change(tx, &id, Event::Decided { held }, &ending, now)
        })
    }
}

/// What the releasing transaction needs.
struct Settled {
    sealed: gate::Prepared,
    spend: Spend,
    ending: Ending,
}

/// Reserves the whole cost of a job, with a leaf, in the transaction that queues it: so long before the first look at data, and at a
/// moment that the operator chose.
///
/// # Errors
/// `privacy.*` where a budget does not cover it.
pub(super) fn reserve(
    tx: &Tx<'_>,
    journal: &Journal,
    spec: &JobSpec,
    job: &JobId,
    in_force: &InForce,
    now: Timestamp,
) -> Result<(), JobError> {
    let prepared = prepare::resolve(tx, spec, 1)?;
    let providers: BTreeSet<OrgId> = prepared.resolved.owners().into_values().collect();
    let policy = release::active(tx, &owners(&spec.org, &providers))?;
    let (Some(document), Some(fold)) = (&spec.private, &prepared.fold) else { return Err(StoreError::Fault.into()) };
    let cost = calibrate(document, fold, &policy)?.cost();
    let delta_exponent = policy.rules().private.delta_exponent;
    let spend = reservation(job, &prepared, in_force, delta_exponent, cost, |wanted| gate::reserve(tx, journal, wanted, now))?;
    // Claimed by the run.
    drop(spend);
    Ok(())
}

fn decided(error: DecideError) -> JobError {
    match error {
        DecideError::Refused(refused) => JobError::Refused(refused),
        DecideError::Store(store) => JobError::Store(store),
    }
}

/// What a job reserves, handed to `then`.
///
/// # Errors
/// What `then` says.
pub(super) fn reservation<T>(
    job: &JobId,
    prepared: &Prepared,
    in_force: &InForce,
    delta_exponent: u8,
    cost: Cost,
    then: impl FnOnce(&Reservation<'_>) -> Result<T, DecideError>,
) -> Result<T, JobError> {
    let readers: Vec<OrgId> = prepared.resolved.owners().into_values().collect();
    // An agreement without such a budget pays nothing.
    let budget = Some(in_force.privacy_epsilon()).filter(|e| *e > Epsilon::ZERO).map(|e| Budget::new(e, delta_exponent)).transpose()?;
    let (namespace, agreement) = (&prepared.resolved.namespace, in_force.agreement());
    let reservation = Reservation { job, namespace, agreement, budget, cost, readers: &readers };
    then(&reservation).map_err(decided)
}

/// A fold as the engine gets it.
fn engine_plan(fold: &ResolvedFold, key: SecretKey) -> FoldPlan {
    FoldPlan {
        blocks: fold.blocks,
        isolation: fold.isolation,
        rows_per_unit_max: fold.rows_per_unit_max,
        clip: fold.clip,
        map: fold.map.clone(),
        key,
    }
}

fn fold_start(manifest: &protocol::manifest::Manifest, fold: &ResolvedFold) -> Option<FoldStart> {
    let Reading::State { fuel, .. } = fold.reading else { return None };
    Some(FoldStart { manifest: manifest.fold.clone()?, fuel, memory_bytes_max: Limits::STANDARD.fold_memory_bytes_max })
}

/// All rounds. The noise of a round is drawn before its sums are asked for: that of the first was drawn before the engine saw data.
fn rounds(
    mut session: FoldSession,
    fold: &ResolvedFold,
    noising: &mut Noising,
    first: crate::gate::Drawn,
    guests: Option<Guests<'_>>,
) -> Result<Answer, RunError> {
    let (Reading::State { initial, .. }, Some(mut guests)) = (&fold.reading, guests) else {
        let noised = noising.add(first, session.round(&[], None)?)?;
        return fold.reading.read(&noised, noising.calibration()).ok_or_else(|| StoreError::Fault.into());
    };
    let mut state = initial.clone();
    let mut drawn = Some(first);
    for round in 0..fold.rounds {
        let drawn = match drawn.take() {
            Some(drawn) => drawn,
            None => noising.draw()?,
        };
        let sums = session.round(&state, Some(&mut guests.mappers))?;
        let noised = noising.add(drawn, sums)?;
        state = guests.updater.update(round, &state, &numbers(&noised, noising.calibration()))?;
    }
    Ok(Answer::State(state.into_iter().map(number).collect()))
}
