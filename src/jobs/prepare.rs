//! From the names in a request to pinned versions, papers in force and a resolved plan.

use std::collections::{BTreeMap, BTreeSet};

use protocol::message::World;
use rusqlite::Connection;

use super::JobError;
use super::modules::{self, ModuleRow, ModuleState};
use super::spec::{JobSpec, PinnedSource};
use crate::agreement::{Columns, Digest, Door, InForce, JobFacts as Papers};
use crate::catalog::store::{self as catalogue, EntryRow, VersionKind};
use crate::catalog::{CatalogueEntry, FusionPlan, MemberInput, PinnedVersion, ResolvedPlan, RunContext};
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::dp::{FoldDocument, ResolvedFold, granted_columns};
use crate::gate::SourceFact;
use crate::id::{AgreementId, DatasetId, ModuleDigest, Name, OrgId, PlanId};
use crate::refusal::{self, Refused};
use crate::store::StoreError;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// The agreement; needed on real data.
    pub agreement: Option<AgreementId>,
    /// The plan.
    pub plan: PlanId,
    /// The module; `None` where the fold is built in.
    pub module: Option<ModuleDigest>,
    /// Set for the private door.
    pub private: Option<FoldDocument>,
    /// Purpose.
    pub purpose: Name,
    /// Recipient.
    pub recipient: OrgId,
    /// Rows of synthetic data; `None`: real data.
    pub synthetic_rows: Option<u64>,
}

/// A request with everything pinned, ready to be queued.
#[derive(Debug)]
pub struct Submission {
    /// What is pinned.
    pub spec: JobSpec,
    /// Owners of the inputs, the operator left out.
    pub providers: BTreeSet<OrgId>,
    /// Whether nobody has to have read a module for it: the module is approved, or the door is the private one.
    pub approved: bool,
    /// Digest of the request as asked, for idempotency.
    pub request_digest: String,
}

/// Rows of synthetic data that may be asked for.
pub const SYNTHETIC_ROWS_MAX: u64 = 1_000_000;

/// Pins a request at `now` and judges what can be judged before authorisation: module, plan, and on real data versions.
///
/// # Errors
/// `module.*`, `plan.*`, `dataset.*`, `request.not_found`.
pub fn submission(connection: &Connection, org: &OrgId, request: &JobRequest, now: Timestamp) -> Result<Submission, JobError> {
    crate::gate::accepts(connection)?;
    let real = request.synthetic_rows.is_none();
    let module = module(connection, request.module.as_ref(), request.private.is_some(), real)?;
    if module.as_ref().is_some_and(|m| m.org != *org) {
        return Err(Refused::new(&refusal::NOT_FOUND).subject("module").into());
    }
    if !real && request.private.is_some() {
        return Err(Refused::new(&refusal::MALFORMED)
            .subject("private: on real data only; `fusebox dev` runs a fold on synthetic rows")
            .into());
    }
    if let Some(rows) = request.synthetic_rows
        && !(1..=SYNTHETIC_ROWS_MAX).contains(&rows)
    {
        return Err(Refused::new(&refusal::MALFORMED).subject("rows").threshold(format!("1 to {SYNTHETIC_ROWS_MAX}")).into());
    }
    let plan =
        catalogue::plan(connection, &request.plan)?.filter(|p| p.org == *org).ok_or(Refused::new(&refusal::NOT_FOUND).subject("plan"))?;
    for_jobs(&plan.plan)?;
    let entries = entries(connection, &plan.plan, None)?;
    // Judged first without versions: what the catalogue forbids is refused by name, whatever is imported.
    let catalogue = entries.iter().map(|(id, e)| (id.clone(), &e.entry)).collect();
    let checked = plan.plan.validate(&catalogue)?;
    let _fold = fold(request.private.as_ref(), &plan.plan, &catalogue, &checked, module.as_ref())?;
    let mut sources = Vec::new();
    if real {
        if request.agreement.is_none() {
            return Err(Refused::new(&refusal::AGREEMENT_MISSING).into());
        }
        for dataset in plan.plan.datasets() {
            sources.push(pin(connection, dataset, &entries)?);
        }
    }
    let spec = JobSpec {
        org: org.clone(),
        agreement: request.agreement.clone().filter(|_| real),
        plan: request.plan.clone(),
        plan_digest: crate::gate::hex(&plan.plan.digest()),
        module: request.module.clone(),
        private: request.private.clone(),
        purpose: request.purpose.clone(),
        recipient: request.recipient.clone(),
        sources,
        synthetic_rows: request.synthetic_rows,
        today: now.date(CHINA_UTC_OFFSET_S),
    };
    let request_digest = request_digest(request)?;
    let approved = request.private.is_some() || module.is_some_and(|m| m.state == ModuleState::Approved);
    let providers = checked.owners().into_values().filter(|o| o != org).collect();
    Ok(Submission { spec, providers, approved, request_digest })
}

/// Digest of a request as asked, hexadecimal: what a repeated idempotency key has to agree with.
///
/// # Errors
/// A fault of ours.
pub fn request_digest(request: &JobRequest) -> Result<String, StoreError> {
    let asked = serde_json::json!({
        "agreement": request.agreement, "plan": request.plan, "module": request.module, "purpose": request.purpose,
        "recipient": request.recipient, "synthetic_rows": request.synthetic_rows, "private": request.private,
    });
    let asked = protocol::canonical::to_canonical_json(&asked).map_err(|_| StoreError::Fault)?;
    Ok(crate::gate::hex(ring::digest::digest(&ring::digest::SHA256, &asked).as_ref()))
}

/// The module of a job, judged. The private door takes modules that nobody has read, and those of the world `fold` only.
fn module(connection: &Connection, digest: Option<&ModuleDigest>, private: bool, real: bool) -> Result<Option<ModuleRow>, JobError> {
    let Some(digest) = digest else {
        return if private { Ok(None) } else { Err(Refused::new(&refusal::MALFORMED).subject("missing field `module`").into()) };
    };
    let module = modules::find(connection, digest)?.ok_or(Refused::new(&refusal::NOT_FOUND).subject("module"))?;
    judge_module(&module, real && !private)?;
    match (module.manifest.world(), private) {
        (World::Fold, true) | (World::Analysis, false) => Ok(Some(module)),
        (World::Fold, false) => {
            Err(Refused::new(&refusal::MALFORMED).subject("module: a fold leaves through the private door only").into())
        }
        (World::Verify, _) => Err(Refused::new(&refusal::MALFORMED).subject("module: it answers through `/v1/verifications` only").into()),
        (World::Analysis, true) => Err(Refused::new(&refusal::PRIVACY_INVALID).subject("module: not of the world `fold`").into()),
    }
}

/// The fold of a job, resolved over a plan that qualifies.
fn fold(
    document: Option<&FoldDocument>,
    plan: &FusionPlan,
    catalogue: &BTreeMap<DatasetId, &CatalogueEntry>,
    resolved: &ResolvedPlan,
    module: Option<&ModuleRow>,
) -> Result<Option<ResolvedFold>, Refused> {
    let Some(document) = document else { return Ok(None) };
    plan.qualify(catalogue)?;
    document.resolve(&granted_columns(&resolved.fuse), module.and_then(|m| m.manifest.fold.as_ref())).map(Some)
}

/// Refuses a plan that serves the verification door alone.
fn for_jobs(plan: &FusionPlan) -> Result<(), Refused> {
    if plan.verification { Err(Refused::new(&refusal::PLAN_VERIFICATION).subject(plan.id.as_str())) } else { Ok(()) }
}

pub(super) fn judge_module(module: &ModuleRow, reviewed: bool) -> Result<(), Refused> {
    match module.state {
        ModuleState::Approved => Ok(()),
        ModuleState::Unreviewed if !reviewed => Ok(()),
        ModuleState::Unreviewed => Err(Refused::new(&refusal::MODULE_UNREVIEWED)),
        ModuleState::Denied => Err(Refused::new(&refusal::MODULE_DENIED)),
    }
}

pub(super) fn pin(connection: &Connection, dataset: &DatasetId, entries: &BTreeMap<DatasetId, EntryRow>) -> Result<PinnedSource, JobError> {
    let entry = entries.get(dataset).ok_or(StoreError::Fault)?;
    let version = catalogue::latest(connection, dataset, VersionKind::Data)?
        .ok_or_else(|| Refused::new(&refusal::DATASET_NO_VERSION).subject(dataset.as_str()))?;
    let consent = catalogue::latest(connection, dataset, VersionKind::Consent)?.map(|v| v.version);
    if entry.entry.consent_unit.is_some() && consent.is_none() {
        return Err(Refused::new(&refusal::DATASET_NO_CONSENT).subject(dataset.as_str()).into());
    }
    Ok(PinnedSource {
        dataset: dataset.clone(),
        entry_revision: entry.revision,
        version: version.version,
        consent_version: consent.filter(|_| entry.entry.consent_unit.is_some()),
    })
}

/// Entries of a plan: the newest, or the pinned revisions.
pub(super) fn entries(
    connection: &Connection,
    plan: &FusionPlan,
    pinned: Option<&[PinnedSource]>,
) -> Result<BTreeMap<DatasetId, EntryRow>, JobError> {
    let mut found = BTreeMap::new();
    for dataset in plan.datasets() {
        let revision = pinned.and_then(|p| p.iter().find(|s| s.dataset == *dataset)).map(|s| s.entry_revision);
        let row = match revision {
            Some(revision) => catalogue::entry_at(connection, dataset, revision)?,
            None => catalogue::entry(connection, dataset)?,
        };
        found.insert(dataset.clone(), row.ok_or_else(|| Refused::new(&refusal::NOT_FOUND).subject(dataset.as_str()))?);
    }
    Ok(found)
}

/// A job's plan, resolved over what it pinned.
pub(super) struct Prepared {
    pub(super) resolved: ResolvedPlan,
    pub(super) module: Option<ModuleRow>,
    /// Set for the private door.
    pub(super) fold: Option<ResolvedFold>,
}

/// Resolves a pinned specification. Classes and levels are judged by the newest entries too, so that a re-grading counts.
///
/// # Errors
/// As [`submission`], and `agreement.plan` where the plan is not the pinned one.
pub(super) fn resolve(connection: &Connection, spec: &JobSpec, threads: u16) -> Result<Prepared, JobError> {
    let module = module(connection, spec.module.as_ref(), spec.private.is_some(), spec.synthetic_rows.is_none())?;
    let plan = catalogue::plan(connection, &spec.plan)?.ok_or(Refused::new(&refusal::NOT_FOUND).subject("plan"))?.plan;
    if crate::gate::hex(&plan.digest()) != spec.plan_digest {
        return Err(Refused::new(&refusal::AGREEMENT_PLAN).into());
    }
    for_jobs(&plan)?;
    let newest = entries(connection, &plan, None)?;
    let catalogue: BTreeMap<DatasetId, &CatalogueEntry> = newest.iter().map(|(id, e)| (id.clone(), &e.entry)).collect();
    let checked = plan.validate_for(&catalogue, &spec.org)?;
    if spec.synthetic_rows.is_some() {
        return Ok(Prepared { resolved: checked, module, fold: None });
    }
    let resolved = over_pinned(connection, spec, &plan, threads)?;
    let fold = fold(spec.private.as_ref(), &plan, &catalogue, &resolved, module.as_ref())?;
    Ok(Prepared { resolved, module, fold })
}

/// The plan over the versions that a specification pinned.
fn over_pinned(connection: &Connection, spec: &JobSpec, plan: &FusionPlan, threads: u16) -> Result<ResolvedPlan, JobError> {
    let pinned = entries(connection, plan, Some(&spec.sources))?;
    let mut inputs = BTreeMap::new();
    for source in &spec.sources {
        let entry = &pinned.get(&source.dataset).ok_or(StoreError::Fault)?.entry;
        let rows = catalogue::versions(connection, &source.dataset, VersionKind::Data)?
            .into_iter()
            .find(|v| v.version == source.version)
            .ok_or_else(|| Refused::new(&refusal::DATASET_NO_VERSION).subject(source.dataset.as_str()))?
            .rows;
        let version = Some(PinnedVersion { version: source.version, rows, consent_version: source.consent_version });
        inputs.insert(source.dataset.clone(), MemberInput { entry, version });
    }
    let run = RunContext { operator: &spec.org, purpose: spec.purpose.as_str(), today: spec.today, threads };
    let resolved = plan.resolve(&inputs, &run)?;
    Ok(resolved)
}

/// The plan of a question over what it pinned; classes and levels were judged by the newest entries before.
///
/// # Errors
/// As [`resolve`].
pub(super) fn resolve_verification(connection: &Connection, spec: &JobSpec, module: ModuleRow) -> Result<Prepared, JobError> {
    let plan = catalogue::plan(connection, &spec.plan)?.ok_or(Refused::new(&refusal::NOT_FOUND).subject("plan"))?.plan;
    Ok(Prepared { resolved: over_pinned(connection, spec, &plan, 1)?, module: Some(module), fold: None })
}

/// Judges authorisation, application and agreement for a job.
///
/// # Errors
/// The first cause, each its own rule.
pub(super) fn papers(
    connection: &Connection,
    spec: &JobSpec,
    resolved: &ResolvedPlan,
    doors: &BTreeSet<Door>,
    jobs_before: u32,
    now: Timestamp,
) -> Result<InForce, JobError> {
    let agreement = spec.agreement.as_ref().ok_or(Refused::new(&refusal::AGREEMENT_MISSING))?;
    let owners = resolved.owners();
    // Every column that is read, whether granted, joined on or filtered by: a filter tells of its column too.
    let columns: Columns = resolved.columns();
    let digest = Digest(unhex(&spec.plan_digest).ok_or(StoreError::Fault)?);
    let facts = Papers {
        operator: &spec.org,
        purpose: &spec.purpose,
        recipient: &spec.recipient,
        doors,
        owners: &owners,
        columns: &columns,
        plan: &spec.plan,
        plan_digest: digest,
        jobs_before,
        now,
    };
    Ok(crate::agreement::records::check(connection, agreement, &facts)?)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// Jobs on real data under an agreement so far; with `before`, those submitted before that job.
pub(super) fn jobs_under(connection: &Connection, agreement: &AgreementId, before: Option<&crate::id::JobId>) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM job WHERE agreement = ?1 AND synthetic = 0
               AND (?2 IS NULL OR rowid < (SELECT rowid FROM job WHERE id = ?2))";
    let known: u32 = connection.prepare_cached(sql)?.query_row(rusqlite::params![agreement, before], |r| r.get(0))?;
    Ok(known.saturating_add(crate::gate::jobs_lost(connection, agreement)?))
}

/// Judges papers and policy for a request before it is queued; doors are judged when outputs are there, the private one now.
///
/// # Errors
/// As [`papers`]; `policy.missing`, `request.busy` beyond the policy's jobs a day.
pub fn judge(connection: &Connection, submission: &Submission, now: Timestamp) -> Result<InForce, JobError> {
    let prepared = resolve(connection, &submission.spec, 1)?;
    let owners = submission.providers.iter().chain([&submission.spec.org]).cloned().collect();
    let policy = crate::policy::release::active(connection, &owners)?;
    let (day_max, today) = (policy.rules().jobs_per_day_max, now.date(CHINA_UTC_OFFSET_S).start(CHINA_UTC_OFFSET_S));
    let sql = "SELECT count(*) FROM job WHERE org = ?1 AND synthetic = 0 AND created_at >= ?2";
    let submitted: u32 = connection.prepare_cached(sql)?.query_row(rusqlite::params![submission.spec.org, today], |r| r.get(0))?;
    if submitted >= day_max {
        return Err(Refused::new(&refusal::BUSY).threshold(format!("{day_max} jobs a day")).into());
    }
    let agreement = submission.spec.agreement.as_ref().ok_or(Refused::new(&refusal::AGREEMENT_MISSING))?;
    let before = jobs_under(connection, agreement, None)?;
    papers(connection, &submission.spec, &prepared.resolved, &submission.spec.doors(), before, now)
}

/// Source attribution of a job.
pub(super) fn sources(spec: &JobSpec, resolved: &ResolvedPlan) -> Vec<SourceFact> {
    let fact = |member: &crate::catalog::ResolvedMember| {
        let pinned = spec.sources.iter().find(|s| s.dataset == member.dataset);
        let columns = resolved.provenance.iter().filter(|p| p.dataset == member.dataset).map(|p| p.column.clone());
        SourceFact {
            dataset: member.dataset.clone(),
            owner: member.owner.clone(),
            version: pinned.map_or(0, |s| s.version),
            consent_version: pinned.and_then(|s| s.consent_version),
            columns: columns.collect(),
        }
    };
    resolved.members.iter().map(fact).collect()
}
