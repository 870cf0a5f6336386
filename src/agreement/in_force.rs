//! Whether a job may be done: the one judgement over authorisation, application and agreement. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::document::{AgreementTerms, ApplicationDocument, AuthorisationDocument, Columns, Digest, Door, first_beyond};
use crate::clock::Timestamp;
use crate::dp::Epsilon;
use crate::id::{AgreementId, DatasetId, Name, OrgId, PlanId, PrincipalId};
use crate::refusal::{self, Refused, Rule};

/// How a paper ended before its term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Ending {
    /// Who ended it.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// An operator's authorisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Authorisation {
    /// As written.
    pub document: AuthorisationDocument,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// Set once it was revoked.
    pub revoked: Option<Ending>,
}

/// A provider's decision on an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProviderDecision {
    /// Granted or refused.
    pub granted: bool,
    /// Why; a refusal must say.
    pub reason: String,
    /// On which legal basis; a refusal must say.
    pub basis: String,
    /// Who decided.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// An application and the decisions on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Application {
    /// As written.
    pub document: ApplicationDocument,
    /// Owners of the data asked for, the operator left out.
    pub providers: BTreeSet<OrgId>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// One a provider that has decided.
    #[schema(value_type = BTreeMap<String, ProviderDecision>)]
    pub decisions: BTreeMap<OrgId, ProviderDecision>,
}

/// A provider's signature under an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Countersignature {
    /// Digest of the terms it was given for.
    pub digest: Digest,
    /// Who signed.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// An agreement and the signatures under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Agreement {
    /// What was agreed.
    pub terms: AgreementTerms,
    /// When it was drafted.
    pub drafted_at: Timestamp,
    /// One a provider that has signed.
    #[schema(value_type = BTreeMap<String, Countersignature>)]
    pub countersignatures: BTreeMap<OrgId, Countersignature>,
    /// Set once it was terminated.
    pub terminated: Option<Ending>,
}

/// What a job wants to do.
#[derive(Debug, Clone)]
pub struct JobFacts<'a> {
    /// For whom it runs.
    pub operator: &'a OrgId,
    /// What for.
    pub purpose: &'a Name,
    /// To whom its releases go.
    pub recipient: &'a OrgId,
    /// Kinds of output it may make.
    pub doors: &'a BTreeSet<Door>,
    /// Its inputs and whose they are.
    pub owners: &'a BTreeMap<DatasetId, OrgId>,
    /// Columns of its inputs that it sees.
    pub columns: &'a Columns,
    /// Its plan.
    pub plan: &'a PlanId,
    /// Digest of the plan as it stands.
    pub plan_digest: Digest,
    /// Jobs on real data under this agreement before it.
    pub jobs_before: u32,
    /// The present time.
    pub now: Timestamp,
}

/// Proof that authorisation, application and agreement covered a job at a moment. Made by [`in_force`] only, used once.
///
/// ```compile_fail,E0451
/// fn forge(agreement: fusebox::id::AgreementId) -> fusebox::agreement::InForce {
///     fusebox::agreement::InForce { agreement, ..unimplemented!() }
/// }
/// ```
#[derive(Debug)]
#[must_use = "a job is submitted with it"]
pub struct InForce {
    agreement: AgreementId,
    terms: Digest,
    providers: BTreeSet<OrgId>,
    privacy_epsilon: Epsilon,
    at: Timestamp,
    until: Timestamp,
}

impl InForce {
    /// The agreement.
    pub fn agreement(&self) -> &AgreementId {
        &self.agreement
    }
    /// Digest of its terms.
    pub fn terms(&self) -> Digest {
        self.terms
    }
    /// The providers who agreed.
    pub fn providers(&self) -> &BTreeSet<OrgId> {
        &self.providers
    }
    /// What its folds may cost in all, at the policy's δ.
    pub fn privacy_epsilon(&self) -> Epsilon {
        self.privacy_epsilon
    }
    /// When it was judged.
    pub fn at(&self) -> Timestamp {
        self.at
    }
    /// When agreement or authorisation ends, whichever is first: from then on it must be judged again, and fails.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// Judges the three papers for a job. Cheap and without effect: it is asked at submission, before the run and before the release.
///
/// # Errors
/// The first cause, each its own rule: `agreement.operator`, `authorisation.*`, `application.*`, `agreement.*`. What is missing
/// or beyond is named where the operator itself named it, or where it is a provider.
pub fn in_force(
    agreement: &Agreement,
    authorisation: &Authorisation,
    application: &Application,
    job: &JobFacts<'_>,
) -> Result<InForce, Refused> {
    let terms = &agreement.terms.agreement;
    let refuse = |rule: &'static Rule| Err(Refused::new(rule));
    let parties = [&terms.operator, &authorisation.document.operator, &application.document.operator];
    if parties.iter().any(|o| *o != job.operator) {
        return refuse(&refusal::AGREEMENT_OPERATOR);
    }
    if terms.authorisation != authorisation.document.id {
        return refuse(&refusal::AUTHORISATION_MISSING);
    }
    if terms.application != application.document.id {
        return refuse(&refusal::APPLICATION_UNDECIDED);
    }
    authorised(authorisation, job)?;
    // Everyone who owns an input now, and everyone who did when it was agreed.
    let owners = job.owners.values().filter(|o| *o != job.operator).cloned();
    let providers: BTreeSet<OrgId> = owners.chain(agreement.terms.providers.iter().cloned()).collect();
    granted(application, &providers)?;
    agreed(agreement, &providers, job)?;
    Ok(InForce {
        agreement: terms.id.clone(),
        terms: agreement.terms.digest(),
        providers,
        privacy_epsilon: terms.budgets.privacy_epsilon,
        at: job.now,
        until: terms.term.end().min(authorisation.document.term.end()),
    })
}

fn authorised(authorisation: &Authorisation, job: &JobFacts<'_>) -> Result<(), Refused> {
    let document = &authorisation.document;
    if authorisation.revoked.is_some() {
        return Err(Refused::new(&refusal::AUTHORISATION_REVOKED));
    }
    if !document.term.begun(job.now) || document.term.over(job.now) {
        return Err(Refused::new(&refusal::AUTHORISATION_EXPIRED).threshold(days(document.term)));
    }
    // An operator needs no authorisation for its own data.
    let beyond = job.owners.iter().find(|(dataset, owner)| *owner != job.operator && !document.datasets.contains(*dataset));
    match beyond {
        Some((dataset, _)) => Err(Refused::new(&refusal::AUTHORISATION_SCOPE).subject(dataset.as_str())),
        None => Ok(()),
    }
}

fn granted(application: &Application, providers: &BTreeSet<OrgId>) -> Result<(), Refused> {
    let refused = application.decisions.iter().find(|(_, d)| !d.granted);
    if let Some((provider, _)) = refused {
        return Err(Refused::new(&refusal::APPLICATION_REFUSED).subject(provider.as_str()));
    }
    let undecided = providers.union(&application.providers).find(|p| !application.decisions.contains_key(*p));
    match undecided {
        Some(provider) => Err(Refused::new(&refusal::APPLICATION_UNDECIDED).subject(provider.as_str())),
        None => Ok(()),
    }
}

fn agreed(agreement: &Agreement, providers: &BTreeSet<OrgId>, job: &JobFacts<'_>) -> Result<(), Refused> {
    let terms = &agreement.terms.agreement;
    if agreement.terminated.is_some() {
        return Err(Refused::new(&refusal::AGREEMENT_TERMINATED));
    }
    if !terms.term.begun(job.now) {
        return Err(Refused::new(&refusal::AGREEMENT_NOT_BEGUN).threshold(days(terms.term)));
    }
    if terms.term.over(job.now) {
        return Err(Refused::new(&refusal::AGREEMENT_EXPIRED).threshold(days(terms.term)));
    }
    let digest = agreement.terms.digest();
    let unsigned = providers.iter().find(|p| agreement.countersignatures.get(*p).is_none_or(|s| s.digest != digest));
    if let Some(provider) = unsigned {
        return Err(Refused::new(&refusal::AGREEMENT_COUNTERSIGNATURE).subject(provider.as_str()));
    }
    if terms.plan != *job.plan || agreement.terms.plan_digest != job.plan_digest {
        return Err(Refused::new(&refusal::AGREEMENT_PLAN).subject(job.plan.as_str()));
    }
    if !terms.purposes.contains(job.purpose) {
        return Err(Refused::new(&refusal::AGREEMENT_PURPOSE).subject(job.purpose.as_str()));
    }
    if !terms.recipients.contains(job.recipient) {
        return Err(Refused::new(&refusal::AGREEMENT_RECIPIENT).subject(job.recipient.as_str()));
    }
    if let Some(door) = job.doors.difference(&terms.doors).next() {
        return Err(Refused::new(&refusal::AGREEMENT_DOOR).subject(door.as_str()));
    }
    if let Some(column) = first_beyond(job.columns, &terms.columns) {
        return Err(Refused::new(&refusal::AGREEMENT_COLUMN).subject(&column));
    }
    if job.jobs_before >= terms.budgets.jobs_max {
        return Err(Refused::new(&refusal::AGREEMENT_BUDGET).threshold(format!("{} jobs", terms.budgets.jobs_max)));
    }
    Ok(())
}

fn days(term: super::Term) -> String {
    format!("{} to {}", term.from, term.until)
}

#[cfg(test)]
pub(super) mod tests;
