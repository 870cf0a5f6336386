//! A decided job again: over the same versions, without cache and gate, to the same commitment.

use serde::Serialize;

use super::produce::Way;
use super::run::RunError;
use super::service::Jobs;
use super::{JobError, overloaded, prepare, records};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::KeyUse;
use crate::tlog::LeafKind;
use crate::workers::{KillSwitch, Patience};

/// What a replay found.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    /// The commitment found now, hexadecimal.
    pub commitment: String,
    /// Whether it is the one that was logged.
    pub same: bool,
}

impl Jobs {
    /// Runs a decided job again over the same versions, without cache and gate, and compares commitments. Blocks.
    ///
    /// # Errors
    /// `request.conflict` where it has no commitment, `request.overloaded`, or the causes of a run.
    pub fn replay(&self, permit: &Permit<actions::JobReplay>, threads: Option<u16>) -> Result<Replayed, JobError> {
        let id = permit.resource().id.clone();
        let job = self.store().db.read_blocking(move |c| records::find(c, &id))?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
        if job.spec.private.is_some() {
            // Its noise is drawn once, for one release: another run would be another spend.
            return Err(Refused::new(&refusal::CONFLICT).subject("private").into());
        }
        let (Some(logged), None) = (job.commitment.clone(), job.spec.synthetic_rows) else {
            return Err(Refused::new(&refusal::CONFLICT).subject(job.state.word()).into());
        };
        let threads = threads.unwrap_or(self.workers().threads()).clamp(1, 64);
        let spec = job.spec.clone();
        let prepared = self.store().db.read_blocking(move |c| prepare::resolve(c, &spec, threads))?;
        let key = job.spec.job_key(&self.store().keyring.derive(KeyUse::JobKey))?;
        let way = Way { workers: &self.workers().apart(threads), patience: Patience::Call, cached: false };
        let produced = self.produce(&job.spec, &prepared, &key, &way, &KillSwitch::default(), None).map_err(|e| match e {
            RunError::Refused(refused) => JobError::Refused(refused),
            RunError::Store(error) => JobError::Store(error),
            RunError::Busy => overloaded().into(),
            other => {
                tracing::warn!(job = %job.id, error = %other, "a replay did not finish");
                JobError::Refused(Refused::new(&refusal::RUN_FAILED))
            }
        })?;
        let commitment = crate::gate::hex(&produced.raw.commitment(&key)?);
        let same = commitment == logged;
        let (journal, body) =
            (self.journal().clone(), serde_json::json!({ "job": job.id, "replay": true, "same": same, "threads": threads }));
        let org = job.org.clone();
        self.store().db.write_blocking(move |tx| journal.append(tx, LeafKind::JobState, &body, &[&org]).map(drop))?;
        Ok(Replayed { commitment, same })
    }
}
