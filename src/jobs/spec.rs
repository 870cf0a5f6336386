//! What is pinned when a job is submitted.

use std::collections::BTreeSet;

use protocol::seal::SealKey;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::agreement::Door;
use crate::clock::Date;
use crate::dp::FoldDocument;
use crate::id::{AgreementId, DatasetId, ModuleDigest, Name, OrgId, PlanId};
use crate::store::StoreError;

/// A job's specification. The same specification gives the same bytes, on any number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The operator.
    pub org: OrgId,
    /// The agreement; `None` on synthetic data, where none is needed.
    pub agreement: Option<AgreementId>,
    /// The plan.
    pub plan: PlanId,
    /// Digest of the plan's canonical form, hexadecimal.
    pub plan_digest: String,
    /// The module; `None` where the fold is built in.
    pub module: Option<ModuleDigest>,
    /// Set for the private door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<FoldDocument>,
    /// Purpose.
    pub purpose: Name,
    /// Recipient.
    pub recipient: OrgId,
    /// Versions of the inputs, in the plan's order; empty on synthetic data.
    pub sources: Vec<PinnedSource>,
    /// Rows of synthetic data; `None` on real data.
    pub synthetic_rows: Option<u64>,
    /// Day of the first submission, China Standard Time: consent is looked up on it, through repeats, restarts and replays.
    pub today: Date,
}

/// A pinned input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedSource {
    /// The catalogue entry.
    pub dataset: DatasetId,
    /// Revision of the entry.
    pub entry_revision: u32,
    /// Version of the data.
    pub version: u32,
    /// Version of the consent table, where one is needed.
    pub consent_version: Option<u32>,
}

impl JobSpec {
    /// SHA-256 of the canonical form, hexadecimal.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn digest(&self) -> Result<String, StoreError> {
        let bytes =
            protocol::canonical::to_canonical_json(self).map_err(|_| StoreError::Malformed("a job's specification is not canonical"))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        Ok(crate::gate::hex(digest.as_ref()))
    }

    /// Doors that the job needs whatever it returns; those of an `analysis` module show when outputs are there.
    pub fn doors(&self) -> BTreeSet<Door> {
        self.private.iter().map(|_| Door::Private).collect()
    }

    /// Key of this job's commitments: of its specification, so that a replay finds the same.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn job_key(&self, root: &SealKey) -> Result<SealKey, StoreError> {
        Ok(root.derive(&self.digest()?))
    }

    /// The module's only randomness.
    pub fn seed(job_key: &SealKey) -> u64 {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, job_key.as_bytes()), b"seed");
        tag.as_ref().first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
    }
}
