//! An import: upload → ingest worker → validated columns → sealed segments → version and leaf in one transaction.

use std::os::fd::OwnedFd;

use protocol::message::{IngestFailure, IngestRequest, RejectedRow, UploadFormat};
use serde::Serialize;

use super::service::Jobs;
use super::{JobError, overloaded};
use crate::catalog::store::{self as catalogue, VersionKind, VersionRow};
use crate::id::{DatasetId, OrgId, PrincipalId};
use crate::refusal::{self, Refused};
use crate::store::StoreError;
use crate::store::segments::StagedSegment;
use crate::tlog::LeafKind;
use crate::workers::{IngestError, Ingested, KillSwitch, WorkerError};

/// What an import brought: figures and broken rules, no values.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReport {
    /// The version, where one was made.
    pub version: Option<u32>,
    /// Rows taken.
    pub rows: u64,
    /// Rows left out.
    pub rejected: u64,
    /// The first of them, one by one.
    pub rejected_rows: Vec<RejectedLine>,
    /// Why the whole upload was refused.
    pub refusal: Option<Refused>,
}

/// A row that was left out.
#[derive(Debug, Clone, Serialize)]
pub struct RejectedLine {
    /// Row number, the first row of data being 1.
    pub row: u64,
    /// The column; `None`: the row as a whole.
    pub column: Option<String>,
    /// The rule it broke.
    pub rule: protocol::message::RowRule,
}

/// Whose import of what. Made from the permit of the one or the other action, which the caller has used up.
#[derive(Debug, Clone)]
pub struct ImportOf {
    /// The dataset.
    pub dataset: DatasetId,
    /// Rows or consent.
    pub kind: VersionKind,
    /// Who.
    pub by: PrincipalId,
    /// Of which organisation.
    pub org: OrgId,
}

impl ImportOf {
    /// An import of rows.
    pub fn data(permit: crate::policy::Permit<crate::policy::actions::DatasetImport>) -> Self {
        Self::of(permit.resource().id.clone(), VersionKind::Data, permit.caller())
    }
    /// An import of a consent table.
    pub fn consent(permit: crate::policy::Permit<crate::policy::actions::ConsentImport>) -> Self {
        Self::of(permit.resource().id.clone(), VersionKind::Consent, permit.caller())
    }
    fn of(dataset: DatasetId, kind: VersionKind, caller: &crate::policy::Caller) -> Self {
        let who = caller.principal();
        Self { dataset, kind, by: who.id.clone(), org: who.org.clone() }
    }
}

impl Jobs {
    /// The format of an upload by its word.
    pub fn upload_format(word: &str) -> Option<UploadFormat> {
        serde_json::from_value(serde_json::Value::from(word)).ok()
    }

    /// Imports an upload. Blocks. `progress` is told the rows read so far.
    ///
    /// # Errors
    /// `request.not_found`, `request.conflict`, `request.overloaded`; an upload that was refused is a report with its refusal, not an error.
    pub fn import(
        &self,
        of: &ImportOf,
        format: UploadFormat,
        upload: &OwnedFd,
        progress: impl FnMut(u64),
    ) -> Result<ImportReport, JobError> {
        let (dataset, kind) = (of.dataset.clone(), of.kind);
        let (entry, next) = self.store().db.read_blocking(move |c| -> Result<_, JobError> {
            let entry = catalogue::entry(c, &dataset)?.ok_or(Refused::new(&refusal::NOT_FOUND).subject(dataset.as_str()))?;
            Ok((entry, catalogue::latest(c, &dataset, kind)?.map_or(1, |v| v.version + 1)))
        })?;
        let (schema, unique) = match of.kind {
            VersionKind::Data => (entry.entry.schema(), entry.entry.unique.clone()),
            VersionKind::Consent => {
                let none = || Refused::new(&refusal::CONFLICT).subject("personal_information");
                (entry.entry.consent_schema().ok_or_else(none)?, Vec::new())
            }
        };
        let names: Vec<String> = schema.iter().map(|c| c.name.clone()).collect();
        let request = IngestRequest { format, schema, unique };
        let ingested = match self.workers().ingest(&request, upload, &KillSwitch::default(), progress) {
            Ok(ingested) => ingested,
            Err(IngestError::Refused { failure, rejected_rows }) => {
                let rejected = rejected_rows.len() as u64;
                let refusal = Some(refused(&failure, &names));
                return Ok(ImportReport { version: None, rows: 0, rejected, rejected_rows: lines(rejected_rows, &names), refusal });
            }
            Err(IngestError::Worker(WorkerError::Busy)) => return Err(overloaded().into()),
            Err(IngestError::Worker(WorkerError::Spawn(error))) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, dataset = %of.dataset, "an ingest worker failed");
                let why = match &error {
                    IngestError::Worker(error) => error.closed(),
                    _ => "a column was not of the declared form".to_owned(),
                };
                let refusal = Some(Refused::new(&refusal::IMPORT_REJECTED).subject(&why));
                return Ok(ImportReport { version: None, rows: 0, rejected: 0, rejected_rows: Vec::new(), refusal });
            }
        };
        let version = VersionRow {
            dataset: of.dataset.clone(),
            kind: of.kind,
            version: next,
            entry_revision: entry.revision,
            rows: ingested.rows,
            rejected: ingested.rejected,
            imported_by: of.by.clone(),
            imported_at: self.now(),
        };
        let report = ImportReport {
            version: Some(next),
            rows: ingested.rows,
            rejected: ingested.rejected,
            rejected_rows: lines(ingested.rejected_rows.clone(), &names),
            refusal: None,
        };
        let staged = self.stage(&version, &names, &ingested)?;
        self.commit_import(version, staged, of.org.clone())?;
        self.evict(of.dataset.as_str());
        Ok(report)
    }

    fn stage(&self, version: &VersionRow, names: &[String], ingested: &Ingested) -> Result<Vec<StagedSegment>, JobError> {
        let segments = self.store().segments.clone();
        let (these, dataset) = (segments.clone(), version.dataset.clone());
        let key = match self.store().db.write_blocking(move |tx| these.dataset_key(tx, &dataset)) {
            // Disposed of: a key that was destroyed is never made again.
            Err(StoreError::KeyDestroyed) => return Err(Refused::new(&refusal::CONFLICT).subject(version.dataset.as_str()).into()),
            other => other?,
        };
        let mut staged = Vec::with_capacity(names.len());
        for (name, column) in names.iter().zip(&ingested.columns) {
            let bytes = column.as_slice();
            match segments.stage(&key, version.version, &version.kind.segment(name), bytes.len() as u64, bytes) {
                Ok(segment) => staged.push(segment),
                Err(error) => {
                    segments.discard(staged);
                    return Err(error.into());
                }
            }
        }
        Ok(staged)
    }

    fn commit_import(&self, version: VersionRow, staged: Vec<StagedSegment>, org: OrgId) -> Result<(), JobError> {
        let (segments, journal) = (self.store().segments.clone(), self.journal().clone());
        let staged = std::sync::Arc::new(staged);
        let within = std::sync::Arc::clone(&staged);
        let done = self.store().db.write_blocking(move |tx| -> Result<(), JobError> {
            catalogue::record_version(tx, &version)?;
            for segment in within.iter() {
                segments.record(tx, segment)?;
            }
            let _ = journal.append(tx, LeafKind::Import, &version, &[&org])?;
            Ok(())
        });
        if done.is_err()
            && let Ok(staged) = std::sync::Arc::try_unwrap(staged)
        {
            self.store().segments.discard(staged);
        }
        done
    }
}

fn lines(rows: Vec<RejectedRow>, names: &[String]) -> Vec<RejectedLine> {
    let column = |i: Option<u16>| i.and_then(|i| names.get(usize::from(i)).cloned());
    rows.into_iter().map(|r| RejectedLine { row: r.row, column: column(r.column), rule: r.rule }).collect()
}

fn refused(failure: &IngestFailure, names: &[String]) -> Refused {
    let base = Refused::new(&refusal::IMPORT_REJECTED);
    match failure {
        IngestFailure::MissingColumn(i) => {
            base.subject(&format!("missing column {}", names.get(usize::from(*i)).map_or("?", String::as_str)))
        }
        IngestFailure::UndeclaredColumn(i) => base.subject(&format!("column {i} of the upload is not declared")),
        IngestFailure::Limit(limit) => base.subject(&limit.name).threshold(limit.limit.to_string()),
        other => base.subject(&other.to_string()),
    }
}
