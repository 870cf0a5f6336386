//! A decision becomes durable: artefacts sealed, rows and leaves in one transaction.

use std::collections::BTreeSet;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::audit::Audit;
use super::checks::Check;
use super::decide::{Decided, Decision, JobFacts, Outcome, OutputKind};
use super::freeze::{self, Reach};
use crate::agreement::Digest;
use crate::agreement::records::agreement;
use crate::clock::Timestamp;
use crate::id::{AgreementId, JobId, Name, OrgId, ReleaseId};
use crate::policy::PolicyError;
use crate::refusal::Refused;
use crate::store::artefacts::{Artefacts, Bundle};
use crate::store::{StoreError, Tx};
use crate::tlog::leaf::commit;
use crate::tlog::{Journal, LeafKind};

/// State of an output at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseState {
    /// Waits for checkers.
    Held,
    /// Approved by two checkers; providers may still object.
    ApprovedPending,
    /// Left.
    Released,
    /// Refused by a rule.
    Refused,
    /// Denied by a checker.
    Denied,
}

impl ReleaseState {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::ApprovedPending => "approved_pending",
            Self::Released => "released",
            Self::Refused => "refused",
            Self::Denied => "denied",
        }
    }
    fn parse(word: &str) -> Option<Self> {
        [Self::Held, Self::ApprovedPending, Self::Released, Self::Refused, Self::Denied].into_iter().find(|s| s.word() == word)
    }
}

/// An output at the gate, as lists and details show it. Holds no value.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseRow {
    /// Identifier.
    pub id: ReleaseId,
    /// Its job.
    pub job: JobId,
    /// The operator.
    pub org: OrgId,
    /// Owners of the inputs, the operator left out.
    pub providers: BTreeSet<OrgId>,
    /// Its name in the module.
    pub name: String,
    /// Its form.
    pub kind: OutputKind,
    /// Its state.
    pub state: ReleaseState,
    /// The refusal, where a rule refused it.
    pub refusal: Option<serde_json::Value>,
    /// The checker's reason.
    pub reason: Option<String>,
    /// The rules that were applied, with thresholds and outcomes.
    pub checks: serde_json::Value,
    /// Manifest: agreement, plan, module, sources, recipient.
    pub facts: JobFacts,
    /// HMAC-SHA-256(salt, artefact), hexadecimal. The salt is random and leaves with the artefact only, in the bundle.
    pub commitment: String,
    /// Leaf of the decision.
    pub decision_leaf: u64,
    /// Leaf of the release.
    pub release_leaf: Option<u64>,
    /// When it reached the gate.
    pub created_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

/// A decision whose artefacts are sealed, before its transaction.
#[must_use = "without `record` nothing was decided"]
pub struct Prepared {
    facts: JobFacts,
    policy_digest: [u8; 32],
    commitment: [u8; 32],
    outputs: Vec<(Decided, ReleaseId, Option<Bundle>, [u8; 32])>,
    audit: Audit,
}

impl Decision {
    /// Seals the artefacts. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn seal(self, artefacts: &Artefacts) -> Result<Prepared, StoreError> {
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (at, decided) in self.outputs.into_iter().enumerate() {
            let id = ReleaseId::random()?;
            let mut salt = Zeroizing::new([0u8; 32]);
            SystemRandom::new().fill(salt.as_mut()).map_err(|_| StoreError::Fault)?;
            let commitment = commit(&salt, &decided.artefact);
            let bundle = if matches!(decided.outcome, Outcome::Refuse(_)) {
                None
            } else {
                let mut bundle = artefacts.bundle(&id)?;
                artefacts.add(&mut bundle, &part("artefact")?, &decided.artefact)?;
                artefacts.add(&mut bundle, &part("evidence")?, &decided.evidence)?;
                artefacts.add(&mut bundle, &part(SALT)?, salt.as_ref())?;
                if let Some(sets) = self.audit.sets(at)? {
                    artefacts.add(&mut bundle, &part("contributors")?, &sets)?;
                }
                if let Some(cells) = self.audit.cells(at)? {
                    artefacts.add(&mut bundle, &part("cells")?, &cells)?;
                }
                Some(bundle)
            };
            outputs.push((decided, id, bundle, commitment));
        }
        Ok(Prepared { facts: self.facts, policy_digest: self.policy_digest, commitment: self.commitment, outputs, audit: self.audit })
    }
}

/// The artefact that opens the commitment: 32 bytes.
pub(super) const SALT: &str = "salt";

pub(super) fn part(name: &str) -> Result<Name, StoreError> {
    name.parse().map_err(StoreError::from)
}

#[derive(Serialize)]
struct DecisionBody<'a> {
    release: &'a ReleaseId,
    name: &'a str,
    kind: OutputKind,
    state: ReleaseState,
    refusal: Option<&'a Refused>,
    frozen: bool,
    checks: &'a [Check],
    facts: &'a JobFacts,
    policy: String,
    agreement_digest: Option<Digest>,
    artefact_commitment: String,
    job_commitment: String,
}

#[derive(Serialize)]
pub(super) struct ReleaseBody<'a> {
    pub(super) release: &'a ReleaseId,
    pub(super) decision_leaf: u64,
    pub(super) recipient: &'a str,
    pub(super) artefact_commitment: &'a str,
}

impl Prepared {
    /// Writes rows, artefacts and leaves in the caller's transaction (which also ends the job). A freeze that stands turns a
    /// release into a hold here, so that none can slip past it.
    ///
    /// # Errors
    /// What the store says; then nothing was decided.
    pub fn record(self, tx: &Tx<'_>, journal: &Journal, now: Timestamp) -> Result<Vec<(ReleaseId, ReleaseState)>, StoreError> {
        let providers = self.facts.providers();
        let frozen = freeze::stopped(tx, &Reach::of(&self.facts, &providers))?.is_some();
        let readers: Vec<&OrgId> = providers.iter().chain([&self.facts.org]).collect();
        let facts = json(&self.facts)?;
        let unaudited = self.audit.is_stale(tx)? || self.audit.lost(tx)?;
        let none: Option<&Refused> = None;
        let policy = hex(&self.policy_digest);
        let agreement_digest = self.facts.agreement.as_ref().map(|id| agreement_digest(tx, id)).transpose()?;
        let mut told = Vec::with_capacity(self.outputs.len());
        for (at, (decided, id, bundle, commitment)) in self.outputs.into_iter().enumerate() {
            let (state, refusal) = match &decided.outcome {
                Outcome::Release if frozen || (unaudited && decided.kind == OutputKind::Table) => (ReleaseState::Held, none),
                Outcome::Release => (ReleaseState::Released, none),
                Outcome::Hold => (ReleaseState::Held, none),
                Outcome::Refuse(refused) => (ReleaseState::Refused, Some(refused)),
            };
            let artefact_commitment = hex(&commitment);
            // The operator reads this body too.
            let public: Vec<Check> = decided.checks.iter().cloned().map(Check::for_operator).collect();
            let body = DecisionBody {
                release: &id,
                name: &decided.name,
                kind: decided.kind,
                state,
                refusal,
                frozen,
                checks: &public,
                facts: &self.facts,
                policy: policy.clone(),
                agreement_digest,
                artefact_commitment: artefact_commitment.clone(),
                job_commitment: hex(&self.commitment),
            };
            let decision = journal.append(tx, LeafKind::Decision, &body, &readers)?.number();
            let release_leaf = match state {
                ReleaseState::Released => {
                    Some(release_leaf(tx, journal, &id, decision, self.facts.recipient.as_str(), &artefact_commitment, &readers)?)
                }
                _ => None,
            };
            if let Some(bundle) = bundle {
                bundle.record(tx)?;
            }
            let decided_at = (state != ReleaseState::Held).then_some(now);
            let sql = "INSERT INTO release (id, job, org, author_org, providers, name, kind, state, refusal, checks, facts, commitment, decision_leaf, release_leaf, created_at, decided_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
            tx.prepare_cached(sql)?.execute(params![
                id,
                self.facts.job,
                self.facts.org,
                self.facts.author_org,
                pipes(&providers),
                decided.name,
                decided.kind.word(),
                state.word(),
                refusal.map(json).transpose()?,
                json(&decided.checks)?,
                facts,
                artefact_commitment,
                decision,
                release_leaf,
                now,
                decided_at
            ])?;
            self.audit.record(tx, journal, at, (&id, state), &self.facts, now)?;
            told.push((id, state));
        }
        Ok(told)
    }
}

/// Digest of the terms that an output was decided under.
fn agreement_digest(tx: &Tx<'_>, id: &AgreementId) -> Result<Digest, StoreError> {
    match agreement(tx, id) {
        Ok(Some(found)) => Ok(found.terms.digest()),
        Err(PolicyError::Store(error)) => Err(error),
        Ok(None) | Err(PolicyError::Refused(_)) => Err(StoreError::Malformed("the agreement of an output")),
    }
}

pub(super) fn release_leaf(
    tx: &Tx<'_>,
    journal: &Journal,
    release: &ReleaseId,
    decision_leaf: u64,
    recipient: &str,
    artefact_commitment: &str,
    readers: &[&OrgId],
) -> Result<u64, StoreError> {
    let body = ReleaseBody { release, decision_leaf, recipient, artefact_commitment };
    Ok(journal.append(tx, LeafKind::Release, &body, readers)?.number())
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Fault)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, b| text + &format!("{b:02x}"))
}

fn pipes(orgs: &BTreeSet<OrgId>) -> String {
    orgs.iter().fold("|".to_owned(), |text, org| format!("{text}{org}|"))
}

const COLUMNS: &str = "id, job, org, providers, name, kind, state, refusal, reason, checks, facts, commitment, decision_leaf, release_leaf, created_at, decided_at";

fn row(r: &Row<'_>) -> rusqlite::Result<Option<ReleaseRow>> {
    let providers: String = r.get(3)?;
    let (kind, state): (String, String) = (r.get(5)?, r.get(6)?);
    let kind = [OutputKind::Table, OutputKind::Model, OutputKind::Private].into_iter().find(|k| k.word() == kind);
    let (Some(kind), Some(state)) = (kind, ReleaseState::parse(&state)) else { return Ok(None) };
    let text = |i: usize| -> rusqlite::Result<Option<String>> { r.get(i) };
    let Some(facts) = text(10)?.and_then(|t| serde_json::from_str(&t).ok()) else { return Ok(None) };
    let parse = |t: Option<String>| t.and_then(|t| serde_json::from_str(&t).ok());
    Ok(Some(ReleaseRow {
        id: r.get(0)?,
        job: r.get(1)?,
        org: r.get(2)?,
        providers: providers.split('|').filter_map(|p| p.parse().ok()).collect(),
        name: r.get(4)?,
        kind,
        state,
        refusal: parse(text(7)?),
        reason: r.get(8)?,
        checks: parse(text(9)?).unwrap_or_default(),
        facts,
        commitment: r.get(11)?,
        decision_leaf: r.get(12)?,
        release_leaf: r.get(13)?,
        created_at: r.get(14)?,
        decided_at: r.get(15)?,
    }))
}

/// Most outputs of a list.
const LIST_MAX: usize = 500;
/// Most that are looked at for one.
const LOOKED_AT_MAX: usize = 20_000;

/// Which outputs a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this job only.
    pub job: Option<JobId>,
    /// In this state only.
    pub state: Option<String>,
}

/// One output, for facts of an authorisation question; nothing of it is shown before that was answered.
///
/// # Errors
/// What the store says.
pub fn find(connection: &Connection, id: &ReleaseId) -> Result<Option<ReleaseRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM release WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], row).optional()?.flatten())
}

/// Outputs that `visible` lets through, newest first, at most 500 of them, among the newest 20,000: whoever fills the list with others hides
/// none of these.
///
/// # Errors
/// What the store says.
pub fn list(connection: &Connection, filter: &Filter, visible: impl Fn(&ReleaseRow) -> bool) -> Result<Vec<ReleaseRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM release WHERE (?1 IS NULL OR job = ?1) AND (?2 IS NULL OR state = ?2) ORDER BY created_at DESC, rowid DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![filter.job, filter.state], row)?;
    let shown = rows.take(LOOKED_AT_MAX).filter_map(Result::transpose).filter(|row| row.as_ref().map_or(true, &visible));
    Ok(shown.take(LIST_MAX).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Db, Migration};

    #[test]
    fn one_operators_many_outputs_hide_no_other() {
        let temp = crate::store::testing::TempDir::create();
        let migrations: Vec<Migration> = crate::api::migrations();
        let db = Db::open(&temp.roots(), &migrations, 1).unwrap();
        let facts = |org: &str| {
            serde_json::json!({
                "job": JobId::random().unwrap(), "org": org, "principal": "operator", "author_org": org, "agreement": null, "plan": "p",
                "plan_digest": "0".repeat(64), "module": null, "engine_digest": "0".repeat(64), "purpose": "p", "recipient": org,
                "sources": [], "today": "2026-01-01",
            })
        };
        let insert = move |tx: &Tx<'_>| -> Result<(), StoreError> {
            for (org, number) in std::iter::once(("few", 0)).chain((1..=LIST_MAX + 9).map(|n| ("many", n))) {
                let sql = "INSERT INTO release (id, job, org, author_org, providers, name, kind, state, checks, facts, commitment, decision_leaf, created_at)
                           VALUES (?1, ?2, ?3, ?3, '||', 't', 'table', 'held', '[]', ?4, '', ?5, ?5)";
                tx.execute(sql, params![ReleaseId::random()?, JobId::random()?, org, facts(org).to_string(), number as i64])?;
            }
            Ok(())
        };
        db.write_blocking(insert).unwrap();
        let of = |org: &'static str| {
            db.read_blocking(move |c| list(c, &Filter { job: None, state: Some("held".into()) }, |row| row.org.as_str() == org)).unwrap()
        };
        assert_eq!((of("few").len(), of("many").len()), (1, LIST_MAX));
        assert_eq!(of("many")[0].decision_leaf, LIST_MAX as u64 + 9, "newest first");
    }
}
