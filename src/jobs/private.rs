//! A job of the private door: the whole cost is reserved, then rounds of exact sums, noise and updates, then the gate.
//!
//! Nothing of a run that fails comes back: a reservation is a spend, whatever ends the job, and its operator learns that it ended.

use std::collections::BTreeSet;

use protocol::fold::{FoldPlan, FoldStart};
use protocol::limits::Limits;
use protocol::message::{SecretKey, WorkerRole};

use super::JobError;
use super::prepare::{self, Prepared};
use super::produce::Way;
use super::records::{Ending, JobRow, change};
use super::run::{RunError, ceil, owners};
use super::service::Jobs;
use super::state::{Event, State};
use crate::agreement::InForce;
use crate::dp::{Answer, Calibration, Cost, Epsilon, FoldDocument, MapDocument, Reading, ResolvedFold, number, numbers};
use crate::gate::{self, Budget, Concluded, DecideError, LedgerReleased, Noising, ReleaseState, Reservation, Spend};
use crate::id::{JobId, ModuleDigest, OrgId};
use crate::policy::{ActivePolicy, release};
use crate::refusal::{self, Refused};
use crate::store::{KeyUse, StoreError};
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
    /// Runs a private job that was taken, and ends it.
    pub(super) fn run_private(&self, job: &JobRow, switch: &KillSwitch) -> Result<State, RunError> {
        let job_key = job.spec.job_key(&self.store().keyring.derive(KeyUse::JobKey))?;
        let (prepared, policy) = self.judged(job)?;
        let (Some(document), Some(fold)) = (&job.spec.private, &prepared.fold) else { return Err(StoreError::Fault.into()) };
        let calibration = calibrate(document, fold, &policy)?;
        // Whatever can keep the run from beginning comes before the reservation.
        let code = job.spec.module.as_ref().map(|m: &ModuleDigest| self.code(m, Patience::Job, switch)).transpose()?;
        let [engine, mapper, updater] =
            self.workers().reserve([WorkerRole::Engine, WorkerRole::Guest, WorkerRole::Guest], Patience::Job, switch)?;
        let (spend, besides) = self.reserve(job, &policy, &calibration)?;
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
        let sealed = decision.seal(&self.store().artefacts, &job_key)?;
        let report = serde_json::to_value(view.report()).unwrap_or_default();
        let ending = Ending { commitment: Some(commitment), report: Some(report), ..Ending::default() };
        self.settle(job, &policy, sealed, spend, ending)
    }

    /// Reserves the whole cost, in the log, before the first draw of noise and the first look at data; and what other folds cost.
    fn reserve(&self, job: &JobRow, policy: &ActivePolicy, calibration: &Calibration) -> Result<(Spend, LedgerReleased), RunError> {
        let (id, spec, delta_exponent) = (job.id.clone(), job.spec.clone(), policy.rules().private.delta_exponent);
        let (cost, journal, now) = (calibration.cost(), self.journal().clone(), self.now());
        let threads = self.workers().threads();
        let reserved = self.store().db.write_blocking(move |tx| -> Result<_, JobError> {
            let agreement = spec.agreement.as_ref().ok_or(StoreError::Fault)?;
            let prepared = prepare::resolve(tx, &spec, threads)?;
            let before = prepare::jobs_under(tx, agreement, Some(&id))?;
            let in_force = prepare::papers(tx, &spec, &prepared.resolved, &spec.doors(), before, now)?;
            let besides = gate::released_besides(tx, &prepared.resolved.namespace, &id)?;
            let spend = reservation(&id, &prepared, &in_force, delta_exponent, cost, |wanted| gate::reserve(tx, &journal, wanted, now))?;
            Ok((spend, besides))
        });
        Ok(reserved?)
    }

    /// The transaction that releases: papers, policy and module judged once more, the reservation settled, the job ended.
    fn settle(
        &self,
        job: &JobRow,
        policy: &ActivePolicy,
        sealed: gate::Prepared,
        spend: Spend,
        mut ending: Ending,
    ) -> Result<State, RunError> {
        let (id, spec, journal, now) = (job.id.clone(), job.spec.clone(), self.journal().clone(), self.now());
        ending.visible_at = Some(ceil(now, policy.rules().time_quantum_seconds));
        let (threads, digest) = (self.workers().threads(), policy.digest());
        let state = self.store().db.write_blocking(move |tx| -> Result<State, JobError> {
            let prepared = prepare::resolve(tx, &spec, threads)?;
            let before = prepare::jobs_under(tx, spec.agreement.as_ref().ok_or(StoreError::Fault)?, Some(&id))?;
            let _in_force = prepare::papers(tx, &spec, &prepared.resolved, &spec.doors(), before, now)?;
            let providers: BTreeSet<OrgId> = prepared.resolved.owners().into_values().collect();
            if release::active(tx, &owners(&spec.org, &providers))?.digest() != digest {
                return Err(Refused::new(&refusal::CONFLICT).subject("policy").into());
            }
            let _leaf = gate::settle(tx, &journal, spend)?;
            let told = sealed.record(tx, &journal, now)?;
            let held = told.iter().any(|(_, state)| *state == ReleaseState::Held);
            change(tx, &id, Event::Decided { held }, &ending, now)
        })?;
        Ok(state)
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
    then(&reservation).map_err(|error| match error {
        DecideError::Refused(refused) => JobError::Refused(refused),
        DecideError::Store(store) => JobError::Store(store),
    })
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
