//! The decision: pure, from exact values with their evidence to what may be shown. No files, no clock, no store.

use std::collections::BTreeSet;

use protocol::contributors::Contributors;
use protocol::model::{Model, ModelEvidence};
use protocol::plan::{ViewColumn, ViewType};
use protocol::seal::SealKey;
use protocol::table::TableOutput;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::audit::{Audit, Told};
use super::checks::{self, Check};
use super::conditions::Conditions;
use crate::clock::Date;
use crate::id::{AgreementId, DatasetId, JobId, ModuleDigest, Name, OrgId, PlanId, PrincipalId};
use crate::policy::ActivePolicy;
use crate::refusal::{self, Refused};
use crate::sdc;
use crate::store::StoreError;

/// What came back from a job. Anyone may seal, only the gate opens; it has no `Debug`, so it cannot be logged by accident.
pub struct RawOutput {
    tables: Vec<TableOutput>,
    models: Vec<Model>,
    judged: Option<JudgedModels>,
    columns: Vec<ViewColumn>,
    coded: BTreeSet<String>,
    units: u64,
    contributors: Option<Told>,
}

/// What the engine found of a job's models, rounded to so many digits; nothing of one that its form or the policy refuses anyway.
#[derive(Debug)]
pub struct JudgedModels {
    /// Significant decimal digits.
    pub digits: u8,
    /// One a model.
    pub evidence: Vec<Option<ModelEvidence>>,
}

/// Provenance of a column that the module derived; a granted one's is `alias.column`.
pub const DERIVED: &str = "derived";

impl RawOutput {
    /// Names of the numbers that the module derived.
    fn derived_numbers(&self) -> BTreeSet<&str> {
        let derived = self.columns.iter().filter(|c| c.provenance == DERIVED && matches!(c.ty, ViewType::Number { .. }));
        derived.map(|c| c.name.as_str()).collect()
    }

    /// Seals what a job returned: tables with evidence from the engine, models from the guest, the granted and derived columns
    /// that they may name, which of them the plan top- and bottom-codes, and how many privacy units stand behind the view.
    pub fn seal(tables: Vec<TableOutput>, models: Vec<Model>, columns: Vec<ViewColumn>, coded: BTreeSet<String>, units: u64) -> Self {
        Self { tables, models, judged: None, columns, coded, units, contributors: None }
    }

    /// Adds which base rows lie in which cells, for the audit across releases on `namespace` over the rows of `base`, and what describes
    /// cells; nothing where an engine had too many to tell. Without this no table is released.
    #[must_use]
    pub fn with_contributors(self, namespace: Name, base: String, contributors: Option<Contributors>, conditions: Conditions) -> Self {
        Self { contributors: Some(Told { namespace, base, contributors, conditions }), ..self }
    }

    /// Adds the engine's evidence about the models. Without it none is decided.
    #[must_use]
    pub fn with_judged(self, judged: JudgedModels) -> Self {
        Self { judged: Some(judged), ..self }
    }

    /// The evidence about model `index`, if it is of the digits that apply now.
    fn evidence_of(&self, index: usize, digits: u8) -> Option<&ModelEvidence> {
        self.judged.as_ref().filter(|j| j.digits == digits).and_then(|j| j.evidence.get(index)).and_then(Option::as_ref)
    }

    /// The models, for what is said of them within the gate.
    pub(super) fn models(&self) -> &[Model] {
        &self.models
    }

    /// HMAC-SHA-256(job key, canonical bytes): the same for the same job, whoever replays it; says nothing without the key.
    /// Canonical bytes: postcard of tables, then models.
    pub fn commitment(&self, job_key: &SealKey) -> Result<[u8; 32], StoreError> {
        let bytes = postcard::to_stdvec(&(&self.tables, &self.models)).map_err(|_| StoreError::Fault)?;
        Ok(mac(job_key, &bytes))
    }
}

pub(super) fn mac(key: &SealKey, bytes: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), bytes);
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

/// What a decision says about its job: names and settings, no values. It is the manifest of what leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobFacts {
    /// The job.
    pub job: JobId,
    /// The operator it ran for.
    pub org: OrgId,
    /// Who submitted it.
    pub principal: PrincipalId,
    /// Organisation of the module's author.
    pub author_org: OrgId,
    /// The agreement.
    /// `None` on synthetic data.
    pub agreement: Option<AgreementId>,
    /// The plan.
    pub plan: PlanId,
    /// Digest of the plan, hexadecimal.
    pub plan_digest: String,
    /// The module; `None` where the fold is built in.
    pub module: Option<ModuleDigest>,
    /// Who approved the module: not one of those who review its outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_approver: Option<PrincipalId>,
    /// Digest of the engine, hexadecimal.
    pub engine_digest: String,
    /// Purpose.
    pub purpose: String,
    /// Who is to get it.
    pub recipient: OrgId,
    /// Source attribution: catalogue entries, their owners, versions and columns.
    pub sources: Vec<SourceFact>,
    /// Day on which consent was looked up.
    pub today: Date,
}

/// One catalogue entry that a release rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFact {
    /// The entry.
    pub dataset: DatasetId,
    /// Its owner.
    pub owner: OrgId,
    /// The version that was read.
    pub version: u32,
    /// The consent version, where consent was needed.
    pub consent_version: Option<u32>,
    /// The columns that were granted.
    pub columns: Vec<String>,
}

impl JobFacts {
    /// Owners of the inputs, the operator left out.
    pub fn providers(&self) -> std::collections::BTreeSet<OrgId> {
        self.sources.iter().map(|s| s.owner.clone()).filter(|o| *o != self.org).collect()
    }
}

/// Form of an output. Nothing else has a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// 统计表.
    Table,
    /// 模型.
    Model,
    /// 差分隐私结果.
    Private,
}

impl OutputKind {
    /// Its word in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Model => "model",
            Self::Private => "private",
        }
    }
}

/// What was decided about one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// May leave.
    Release,
    /// Waits for a checker.
    Hold,
    /// Stays.
    Refuse(Refused),
}

/// One output with its decision. `artefact` and `evidence` are canonical JSON; neither has left the gate.
pub(super) struct Decided {
    pub(super) name: String,
    pub(super) kind: OutputKind,
    pub(super) outcome: Outcome,
    pub(super) artefact: Vec<u8>,
    pub(super) evidence: Vec<u8>,
    pub(super) checks: Vec<Check>,
}

impl Decided {
    /// The decision, which waits where a figure is over a number that the module derived.
    fn waiting(mut self, why: Option<&Refused>) -> Self {
        if let Some(why) = why.filter(|_| self.outcome == Outcome::Release) {
            self.outcome = Outcome::Hold;
            self.checks.push(checks::held(why));
        }
        self
    }
}

/// The decisions about a job's outputs.
pub struct Decision {
    pub(super) facts: JobFacts,
    pub(super) policy_digest: [u8; 32],
    pub(super) outputs: Vec<Decided>,
    /// The models behind those of `outputs` that are models, in order.
    pub(super) models: Vec<Model>,
    pub(super) commitment: [u8; 32],
    pub(super) audit: Audit,
}

impl Decision {
    /// Decides every output of a job under `policy`, its tables together. `rounding` draws where counts are rounded at random.
    ///
    /// # Errors
    /// `output.none` where there is nothing to decide; a fault of ours as [`StoreError`].
    pub fn decide(
        mut raw: RawOutput,
        facts: JobFacts,
        policy: &ActivePolicy,
        job_key: &SealKey,
        rounding: &sdc::RoundingKey,
    ) -> Result<Self, DecideError> {
        if raw.tables.is_empty() && raw.models.is_empty() {
            return Err(Refused::new(&refusal::OUTPUT_NONE).into());
        }
        let commitment = raw.commitment(job_key)?;
        let mut outputs = Vec::with_capacity(raw.tables.len() + raw.models.len());
        let deciding = sdc::Deciding { policy, units: raw.units, rounding };
        let tables: Vec<_> = raw.tables.iter().map(|table| (table, coding(table, &raw.coded))).collect();
        let derived: BTreeSet<String> = raw.derived_numbers().into_iter().map(str::to_owned).collect();
        let mut audit = Audit::of(raw.contributors.take());
        for (table, verdict) in raw.tables.iter().zip(sdc::decide_tables(&tables, &deciding)) {
            // A key that the module derived is refused whatever the data says.
            let judged = sdc::judge_derived(&table.header.request, &derived.iter().map(String::as_str).collect());
            let (verdict, waits) = match judged {
                Ok(waits) => (verdict, waits),
                Err(refused) => (Err(refused.into()), None),
            };
            audit.note(table, &verdict);
            outputs.push(decide_one_table(table, verdict, policy)?.waiting(waits.as_ref()));
        }
        for (index, model) in raw.models.iter().enumerate() {
            let evidence = raw.evidence_of(index, policy.rules().model.significant_digits);
            let verdict = judge_one_model(model, evidence, &raw.columns, raw.units, policy);
            audit.note_model(&verdict);
            outputs.push(decide_one_model(model, verdict, policy)?);
        }
        Ok(Self { facts, policy_digest: policy.digest(), outputs, models: raw.models, commitment, audit })
    }

    /// What would have been decided, for the author of a module that ran on synthetic data. No output of real data comes here:
    /// [`Decision::seal`] is its only way.
    pub fn rehearsal(&self) -> serde_json::Value {
        self.rehearsal_with(&[])
    }

    /// The same with notices of rules that made-up rows say nothing of, by name of the table.
    pub fn rehearsal_with(&self, notices: &[(String, Refused)]) -> serde_json::Value {
        let outputs = self.outputs.iter().map(|o| {
            let (outcome, refusal) = match &o.outcome {
                Outcome::Release => ("release", None),
                Outcome::Hold => ("hold", None),
                Outcome::Refuse(refused) => ("refuse", Some(refused)),
            };
            let artefact: serde_json::Value = serde_json::from_slice(&o.artefact).unwrap_or_default();
            let checks: Vec<Check> = o.checks.iter().cloned().map(Check::for_operator).collect();
            let mut told =
                serde_json::json!({ "name": o.name, "kind": o.kind, "outcome": outcome, "refusal": refusal, "checks": checks, "artefact": artefact });
            let notices: Vec<&Refused> =
                notices.iter().filter(|(table, _)| o.kind == OutputKind::Table && *table == o.name).map(|(_, notice)| notice).collect();
            if let Some(fields) = told.as_object_mut().filter(|_| !notices.is_empty()) {
                fields.insert("on_real_data".to_owned(), serde_json::json!(notices));
            }
            told
        });
        serde_json::Value::Array(outputs.collect())
    }

    /// The job's commitment.
    pub fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// A rule.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A fault of ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the plan coded each measure's column.
fn coding(table: &TableOutput, coded: &BTreeSet<String>) -> Vec<sdc::Coding> {
    let coding = table.header.request.measures.iter().map(|m| {
        let coded = m.column.as_ref().is_some_and(|c| coded.contains(c));
        sdc::Coding { bottom: coded, top: coded }
    });
    coding.collect()
}

fn decide_one_table(
    table: &TableOutput,
    verdict: Result<sdc::Verdict, sdc::NotReleased>,
    policy: &ActivePolicy,
) -> Result<Decided, DecideError> {
    let request = &table.header.request;
    let rules = &policy.rules().table;
    match verdict {
        Ok(sdc::Verdict { table: shown, evidence, held }) => Ok(Decided {
            name: request.name.clone(),
            kind: OutputKind::Table,
            outcome: if rules.automatic && held.is_none() { Outcome::Release } else { Outcome::Hold },
            artefact: canonical(&shown)?,
            evidence: canonical(&evidence)?,
            checks: checks::table(rules, &shown, &evidence, held.as_ref()),
        }),
        Err(why) => refused(&request.name, OutputKind::Table, why),
    }
}

fn judge_one_model(
    model: &Model,
    evidence: Option<&ModelEvidence>,
    columns: &[ViewColumn],
    units: u64,
    policy: &ActivePolicy,
) -> Result<(sdc::DecidedModel, sdc::ModelReport), sdc::NotReleased> {
    // A feature is a column that the module was handed or derived: other text would be a way out.
    if model.validate_features(|name| columns.iter().find(|c| c.name == name).map(|c| c.ty.clone())).is_err() {
        return Err(Refused::new(&refusal::MODEL_INVALID).into());
    }
    sdc::decide_model(model, evidence, policy, units)
}

fn decide_one_model(
    model: &Model,
    verdict: Result<(sdc::DecidedModel, sdc::ModelReport), sdc::NotReleased>,
    policy: &ActivePolicy,
) -> Result<Decided, DecideError> {
    match verdict {
        Ok((shown, report)) => Ok(Decided {
            name: model.name().to_owned(),
            kind: OutputKind::Model,
            // A model always waits for a person, whatever the policy says.
            outcome: Outcome::Hold,
            evidence: canonical(&report)?,
            checks: checks::model(policy.rules(), &shown, &report),
            artefact: canonical(&shown)?,
        }),
        Err(why) => refused(model.name(), OutputKind::Model, why),
    }
}

fn refused(name: &str, kind: OutputKind, why: sdc::NotReleased) -> Result<Decided, DecideError> {
    let refused = match why {
        sdc::NotReleased::Refused { refused } | sdc::NotReleased::RefusedByData { refused } => refused,
        sdc::NotReleased::Malformed(what) => return Err(StoreError::Malformed(what).into()),
    };
    let outcome = Outcome::Refuse(refused);
    Ok(Decided { name: name.to_owned(), kind, outcome, artefact: Vec::new(), evidence: Vec::new(), checks: Vec::new() })
}

pub(super) fn canonical(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    protocol::canonical::to_canonical_json(value).map_err(|_| StoreError::Malformed("an artefact is not canonical"))
}
