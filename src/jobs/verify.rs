//! A question of the verification door: paid for, asked in a fresh process over one subject's rows, answered at a time that nothing about
//! the subject has a part in.
//!
//! ```text
//! judged ─▶ memory ─▶ nonce, count, leaf committed ─▶ view (cached or fused) ─▶ guest loaded ─▶ │ time fixed │ ─▶ rows, answer ─▶ leaf committed ─▶ sent
//! ```
//! When the answer is sent is fixed before the subject is looked for: the first multiple of the policy's time that leaves the guest its
//! window. The guest is ended at the end of the window, whatever it does; the leaf is committed then, and not before, for every commit makes
//! the public log longer. What ends the guest is answered as `no`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::limits::Limits;
use protocol::message::{SecretKey, WorkerRole};
use protocol::secret::SecretText;
use protocol::verify::{SubjectPlan, VerifyStart};
use rusqlite::Connection;

use super::JobError;
use super::modules::{self, ModuleRow};
use super::prepare::{self, Prepared};
use super::produce::Way;
use super::run::{RunError, owners};
use super::service::Jobs;
use super::spec::JobSpec;
use crate::agreement::Door;
use crate::agreement::consent::SignedToken;
use crate::catalog::AccessClass;
use crate::catalog::store as catalogue;
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::gate::{self, Answered, DecideError, Question};
use crate::id::{AgreementId, ModuleDigest, Name, PlanId};
use crate::policy::{Permit, Principal, actions, release};
use crate::refusal::{self, Refused};
use crate::store::{KeyUse, StoreError};
use crate::workers::{KillSwitch, Patience, WorkerError};

/// Least time that a guest has for its answer.
const WINDOW_MIN: Duration = Duration::from_millis(100);
/// Time between the end of the window and the answer: for the commit of its leaf.
const MARGIN: Duration = Duration::from_millis(25);

/// What is asked.
#[derive(Debug, Clone)]
pub struct VerificationRequest {
    /// The agreement.
    pub agreement: AgreementId,
    /// Its plan.
    pub plan: PlanId,
    /// The module.
    pub module: ModuleDigest,
    /// The purpose.
    pub purpose: Name,
    /// The subject's consent.
    pub token: SignedToken,
}

/// An answer and when it is sent.
#[derive(Debug)]
pub struct Due {
    /// The answer, in the log.
    pub answered: Answered,
    /// When.
    pub at: Instant,
}

/// A question with everything pinned.
struct Judged {
    spec: JobSpec,
    prepared: Prepared,
    module: ModuleRow,
    question: Question,
}

fn decided(error: DecideError) -> JobError {
    match error {
        DecideError::Refused(refused) => JobError::Refused(refused),
        DecideError::Store(store) => JobError::Store(store),
    }
}

/// A run that came to no answer, for reasons that lie before the subject is looked for.
fn unfinished(error: RunError) -> JobError {
    match error {
        RunError::Refused(refused) => refused.into(),
        RunError::Store(store) => store.into(),
        RunError::Busy => super::overloaded().into(),
        other => {
            tracing::info!(why = %other, "a question was not put");
            Refused::new(&refusal::RUN_FAILED).into()
        }
    }
}

/// When the window ends, and when the answer is sent, for a call received at `received` that is ready for the rows at `ready`.
fn schedule(received: Instant, ready: Instant, answer_ms: u32) -> (Instant, Instant) {
    let step = Duration::from_millis(u64::from(answer_ms.max(1)));
    let least = ready.saturating_duration_since(received) + (step / 2).max(WINDOW_MIN) + MARGIN;
    let steps = u32::try_from(least.as_micros().div_ceil(step.as_micros())).unwrap_or(u32::MAX);
    let sent = received + step.saturating_mul(steps);
    (sent.checked_sub(MARGIN).unwrap_or(sent), sent)
}

impl Jobs {
    /// Asks one question about one subject. Blocks until its leaf is committed; the answer is to be sent at [`Due::at`].
    ///
    /// # Errors
    /// `token.*`, `issuer.operator`, `verification.*`, `release.frozen`, and the causes of a job.
    pub fn verify(
        &self,
        permit: Permit<actions::VerificationAsk>,
        request: VerificationRequest,
        received: Instant,
    ) -> Result<Due, JobError> {
        let (who, now) = (permit.caller().principal().clone(), self.now());
        let key = Arc::new(self.store().keyring.derive(KeyUse::VerificationSubject));
        let (asked, by, subject_key) = (request.clone(), who.clone(), Arc::clone(&key));
        let judged = self.store().db.read_blocking(move |c| -> Result<Judged, JobError> {
            let judged = judge(c, &by, &asked, now)?;
            gate::judge_question(c, &judged.question, &asked.token, &subject_key, now).map_err(decided)?;
            Ok(judged)
        })?;
        let switch = KillSwitch::default();
        let code = self.code(&request.module, Patience::Call, &switch).map_err(unfinished)?;
        let shares = self.workers().reserve([WorkerRole::Engine, WorkerRole::Guest], Patience::Call, &switch);
        let [engine, guest] = shares.map_err(|e| unfinished(e.into()))?;
        let (journal, asked, by) = (self.journal().clone(), request.clone(), who.clone());
        let asking = self.store().db.write_blocking(move |tx| -> Result<_, JobError> {
            let question = judge(tx, &by, &asked, now)?.question;
            gate::reserve_answer(tx, &journal, permit, question, &asked.token, &key, now).map_err(decided)
        })?;

        let Judged { spec, prepared, module, question } = judged;
        let way = Way { workers: self.workers(), patience: Patience::Call, cached: true };
        let (mut session, _view) = self.view(&spec, &prepared, &way, engine, &switch).map_err(unfinished)?;
        let manifest = module.manifest.verify.ok_or(StoreError::Fault)?;
        let l = &Limits::STANDARD;
        let columns = manifest.columns.clone();
        let start = VerifyStart { manifest, fuel: l.fold_fuel_max, memory_bytes_max: l.fold_memory_bytes_max };
        let guest = self.workers().answering(&code, start, guest, &switch).map_err(|e| unfinished(e.into()))?;
        let (window, sent) = schedule(received, Instant::now(), question.rules.answer_ms);

        // From here on what happens depends on the subject: nothing of it may show but the label.
        let namespace_key = self.store().keyring.derive(KeyUse::NamespaceKey).derive(question.namespace.as_str());
        let plan = SubjectPlan {
            columns,
            labels: question.answer.count(),
            subject: SecretText(request.token.token.subject.clone()),
            linkage: question.linkage,
            key: SecretKey(*namespace_key.as_bytes()),
        };
        let (label, cause) = match session.subject(plan, &guest, window) {
            Ok(answer) => (answer.label, answer.failure.map(|failure| WorkerError::from(failure).closed())),
            Err(error) => (0, Some(error.closed())),
        };
        std::thread::sleep(window.saturating_duration_since(Instant::now()));
        let (journal, now) = (self.journal().clone(), self.now());
        let answered = self.store().db.write_blocking(move |tx| -> Result<Answered, JobError> {
            // Judged once more: what was revoked, withdrawn or imported meanwhile keeps the answer.
            if judge(tx, &who, &request, now)?.spec.sources != spec.sources {
                return Err(Refused::new(&refusal::CONFLICT).subject("plan").into());
            }
            gate::conclude_answer(tx, &journal, asking, label, cause.as_deref()).map_err(decided)
        });
        // Ending them takes a guest that works longer than one that is done: not on this thread.
        std::thread::Builder::new().name("verification-end".into()).spawn(move || drop((session, guest)))?;
        Ok(Due { answered: answered?, at: sent })
    }
}

/// Pins a question at `now` and judges module, plan, papers and policy.
fn judge(connection: &Connection, who: &Principal, request: &VerificationRequest, now: Timestamp) -> Result<Judged, JobError> {
    let missing = |what: &str| Refused::new(&refusal::NOT_FOUND).subject(what);
    let module = modules::find(connection, &request.module)?.filter(|m| m.org == who.org).ok_or_else(|| missing("module"))?;
    prepare::judge_module(&module, true)?;
    let manifest = module.manifest.verify.clone().ok_or_else(|| Refused::new(&refusal::VERIFICATION_MODULE).subject("world"))?;
    let plan = catalogue::plan(connection, &request.plan)?.filter(|p| p.org == who.org).ok_or_else(|| missing("plan"))?.plan;
    let entries = prepare::entries(connection, &plan, None)?;
    plan.validate(&entries.iter().map(|(id, e)| (id.clone(), &e.entry)).collect())?;
    let sources = plan.datasets().map(|dataset| prepare::pin(connection, dataset, &entries)).collect::<Result<_, _>>()?;
    let spec = JobSpec {
        org: who.org.clone(),
        agreement: Some(request.agreement.clone()),
        plan: request.plan.clone(),
        plan_digest: gate::hex(&plan.digest()),
        module: Some(request.module.clone()),
        private: None,
        purpose: request.purpose.clone(),
        recipient: who.org.clone(),
        sources,
        synthetic_rows: None,
        today: now.date(CHINA_UTC_OFFSET_S),
    };
    let prepared = prepare::resolve_verification(connection, &spec, module.clone())?;
    let resolved = &prepared.resolved;
    // Answers are bounded by the policy, not by the agreement's number of jobs.
    let _in_force = prepare::papers(connection, &spec, resolved, &BTreeSet::from([Door::Verification]), 0, now)?;
    // What is not shared at all is usable where nothing but single answers can leave (H13).
    if let Some((dataset, _)) = entries.iter().find(|(_, e)| e.entry.sharing.class == AccessClass::None) {
        let agreement = crate::agreement::records::agreement(connection, &request.agreement)?;
        let doors = agreement.map(|a| a.terms.agreement.doors).unwrap_or_default();
        if doors != BTreeSet::from([Door::Verification]) {
            return Err(Refused::new(&refusal::DATASET_SHARING_NONE).subject(dataset.as_str()).into());
        }
    }
    let providers: BTreeSet<_> = resolved.owners().into_values().filter(|o| *o != who.org).collect();
    let policy = release::active(connection, &owners(&who.org, &providers))?;
    if !policy.rules().doors.verification {
        return Err(Refused::new(&refusal::POLICY_DOOR).subject("verification").into());
    }
    let granted = crate::dp::granted_columns(&resolved.fuse);
    for column in &manifest.columns {
        let readable = granted.iter().any(|has| has.name == column.name && protocol::fold::readable(&column.ty, &has.ty));
        if !readable {
            return Err(Refused::new(&refusal::VERIFICATION_MODULE).subject(&format!("columns.{}", column.name)).into());
        }
    }
    let unit = resolved.fuse.unit;
    let schema = resolved.fuse.members.get(usize::from(unit.member)).and_then(|m| m.columns.get(usize::from(unit.column)));
    let question = Question {
        principal: who.id.clone(),
        org: who.org.clone(),
        agreement: request.agreement.clone(),
        plan: request.plan.clone(),
        module: request.module.clone(),
        author_org: module.org.clone(),
        purpose: request.purpose.clone(),
        providers,
        datasets: spec.sources.iter().map(|s| s.dataset.clone()).collect(),
        namespace: resolved.namespace.clone(),
        linkage: schema.and_then(|s| s.linkage),
        answer: manifest.answer,
        rules: policy.rules().verification,
    };
    Ok(Judged { spec, prepared, module, question })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_sent_on_a_multiple_that_leaves_the_guest_its_window() {
        let received = Instant::now();
        let ms = Duration::from_millis;
        for (ready, answer_ms, steps) in
            [(0, 1000, 1), (400, 1000, 1), (476, 1000, 2), (30, 100, 2), (80, 100, 3), (5000, 1000, 6), (0, 60_000, 1)]
        {
            let (window, sent) = schedule(received, received + ms(ready), answer_ms);
            assert_eq!(sent - received, ms(u64::from(answer_ms) * steps), "{ready} {answer_ms}");
            assert_eq!(sent - window, MARGIN);
            assert!(window - (received + ms(ready)) >= WINDOW_MIN.max(ms(u64::from(answer_ms / 2))));
        }
    }
}
