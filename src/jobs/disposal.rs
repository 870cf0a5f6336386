//! The end of an agreement: the data key of the operator's own member is destroyed, and with it every segment and view sealed
//! under it; a certificate says so in the log. The log itself is kept.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use super::JobError;
use super::service::Jobs;
use crate::agreement::records;
use crate::catalog::store as catalogue;
use crate::clock::Timestamp;
use crate::id::{AgreementId, DatasetId, JobId, OrgId};
use crate::refusal::{self, Refused};
use crate::store::segments::Destroyed;
use crate::store::{StoreError, Tx};
use crate::tlog::LeafKind;

/// How often agreements whose term is over are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// Why an agreement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its term is over.
    Expired,
    /// It was terminated.
    Terminated,
}

/// What was destroyed, and what was kept and why. Holds names and sizes, no values.
#[derive(Debug, Clone, Serialize)]
pub struct Certificate {
    /// The agreement.
    pub agreement: AgreementId,
    /// The operator.
    pub operator: OrgId,
    /// Why it ended.
    pub cause: EndCause,
    /// When the keys were destroyed.
    pub at: Timestamp,
    /// Datasets of the operator whose key was destroyed, with their segments.
    pub destroyed: Vec<serde_json::Value>,
    /// Datasets of the operator that another agreement in force still needs.
    pub kept: Vec<Kept>,
    /// Its leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<u64>,
}

/// A dataset that was kept.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The dataset.
    pub dataset: DatasetId,
    /// The agreement that needs it.
    pub agreement: AgreementId,
}

/// A disposal within its transaction; [`Jobs::disposed`] completes it after the commit.
#[must_use = "after the commit, `Jobs::disposed` removes files and stops jobs"]
pub struct Disposal {
    certificate: Certificate,
    destroyed: Vec<Destroyed>,
    cancelled: Vec<JobId>,
}

impl Jobs {
    /// Destroys what an ended agreement leaves behind: in the transaction that ends it, or that notices that its term is over.
    ///
    /// # Errors
    /// `request.conflict` where it is in force, `request.not_found`, or what the store says.
    pub fn dispose(&self, tx: &Tx<'_>, id: &AgreementId) -> Result<Disposal, JobError> {
        let now = self.now();
        let agreement = records::agreement(tx, id)?.ok_or(Refused::new(&refusal::NOT_FOUND).subject(id.as_str()))?;
        let terms = &agreement.terms.agreement;
        let cause = match (&agreement.terminated, terms.term.over(now)) {
            (Some(_), _) => EndCause::Terminated,
            (None, true) => EndCause::Expired,
            (None, false) => return Err(Refused::new(&refusal::CONFLICT).subject(id.as_str()).into()),
        };
        let cancelled = self.cancel_unlawful(tx)?;
        self.deny_under(tx, id)?;
        let plan = catalogue::plan(tx, &terms.plan)?.ok_or(StoreError::Malformed("an agreement's plan"))?;
        let (mut destroyed, mut kept) = (Vec::new(), Vec::new());
        for dataset in plan.plan.datasets() {
            let Some(entry) = catalogue::entry(tx, dataset)? else { continue };
            if *entry.entry.owner() != terms.operator {
                continue;
            }
            match in_use(tx, dataset, id, now)? {
                Some(agreement) => kept.push(Kept { dataset: dataset.clone(), agreement }),
                None => {
                    destroyed.push(self.store().segments.destroy_dataset_key(tx, dataset)?);
                    catalogue::forget_versions(tx, dataset)?;
                }
            }
        }
        let json = |d: &Destroyed| serde_json::to_value(d).map_err(|_| StoreError::Fault);
        let mut certificate = Certificate {
            agreement: id.clone(),
            operator: terms.operator.clone(),
            cause,
            at: now,
            destroyed: destroyed.iter().map(json).collect::<Result<_, _>>()?,
            kept,
            leaf: None,
        };
        let readers: Vec<&OrgId> = agreement.terms.providers.iter().chain([&terms.operator]).collect();
        let leaf = self.journal().append(tx, LeafKind::Disposal, &certificate, &readers)?.number();
        certificate.leaf = Some(leaf);
        let text = serde_json::to_string(&certificate).map_err(|_| StoreError::Fault)?;
        tx.execute("INSERT OR IGNORE INTO disposal VALUES (?1, ?2, ?3)", params![id, text, now])?;
        Ok(Disposal { certificate, destroyed, cancelled })
    }

    /// After the commit: kills workers, evicts views, removes files. What a crash interrupts here, the next start completes. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn disposed(&self, disposal: Disposal) -> Result<Certificate, JobError> {
        self.stop(&disposal.cancelled);
        self.evict(disposal.certificate.agreement.as_str());
        for destroyed in &disposal.destroyed {
            self.evict(destroyed.dataset.as_str());
            self.store().segments.purge_blocking(&self.store().db, destroyed)?;
        }
        Ok(disposal.certificate)
    }

    /// Disposes of every agreement whose term is over. Called by a thread once a minute. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn dispose_expired(&self) -> Result<Vec<Certificate>, JobError> {
        let now = self.now();
        let due = self.store().db.read_blocking(move |c| -> Result<Vec<AgreementId>, JobError> {
            let mut due = Vec::new();
            for id in records::expired(c, now)? {
                let done: Option<i64> = c.query_row("SELECT 1 FROM disposal WHERE agreement = ?1", [&id], |r| r.get(0)).optional()?;
                if done.is_none() {
                    due.push(id);
                }
            }
            Ok(due)
        })?;
        let mut certificates = Vec::new();
        for id in due {
            let jobs = self.clone();
            let disposal = self.store().db.write_blocking(move |tx| jobs.dispose(tx, &id))?;
            certificates.push(self.disposed(disposal)?);
        }
        Ok(certificates)
    }
}

/// Starts the thread that looks for agreements whose term is over.
///
/// # Errors
/// The kernel's refusal.
pub(super) fn start(jobs: impl Fn() -> Option<Jobs> + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("disposal".into()).spawn(move || {
        while let Some(jobs) = jobs().filter(|jobs| !jobs.is_closed()) {
            if let Err(error) = jobs.dispose_expired() {
                tracing::error!(%error, "the disposal of an expired agreement failed and is tried again");
            }
            drop(jobs);
            std::thread::sleep(EVERY);
        }
    })?;
    Ok(())
}

/// Another agreement in its term, not terminated, whose plan needs the dataset.
fn in_use(tx: &Tx<'_>, dataset: &DatasetId, but: &AgreementId, now: Timestamp) -> Result<Option<AgreementId>, JobError> {
    for id in records::agreement_ids(tx)? {
        if id == *but {
            continue;
        }
        let Some(agreement) = records::agreement(tx, &id)? else { continue };
        if agreement.terminated.is_some() || agreement.terms.agreement.term.over(now) {
            continue;
        }
        let plan = catalogue::plan(tx, &agreement.terms.agreement.plan)?;
        if plan.is_some_and(|p| p.plan.datasets().any(|d| d == dataset)) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
