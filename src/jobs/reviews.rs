//! Outputs that two reviewers approved and that wait for the end of their providers' window: looked at by a thread, and by every start.

use std::time::Duration;

use protocol::seal::SealKey;

use super::JobError;
use super::records::reviewed;
use super::service::Jobs;
use crate::gate::{Airlock, DecideError, pending};
use crate::id::{AgreementId, ReleaseId};
use crate::store::{KeyUse, Tx};

/// How often the windows are looked at.
const EVERY: Duration = Duration::from_secs(1);

impl From<DecideError> for JobError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Refused(refused) => Self::Refused(refused),
            DecideError::Store(store) => Self::Store(store),
        }
    }
}

impl Jobs {
    /// Settles every pending output whose window is over. What a crash interrupts is settled after the next start. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn settle_reviews(&self) -> Result<(), JobError> {
        let due = self.store().db.read_blocking(pending)?;
        for id in due {
            let jobs = self.clone();
            self.store().db.write_blocking(move |tx| jobs.settle_review(tx, &id))?;
        }
        Ok(())
    }

    fn airlock<'a>(&'a self, tx: &'a Tx<'a>, key: &'a SealKey) -> Airlock<'a> {
        let artefacts = &self.store().artefacts;
        Airlock { tx, journal: self.journal(), artefacts, key, city: self.city(), now: self.now() }
    }

    fn settle_review(&self, tx: &Tx<'_>, id: &ReleaseId) -> Result<(), JobError> {
        let key = self.store().keyring.derive(KeyUse::Vote);
        let airlock = self.airlock(tx, &key);
        airlock.settle(id)?;
        match crate::gate::find(tx, id)? {
            Some(row) => reviewed(tx, &row.job),
            None => Ok(()),
        }
    }

    /// Denies what was held or pending under an agreement that ended, in the transaction that ends it.
    pub(super) fn deny_under(&self, tx: &Tx<'_>, agreement: &AgreementId) -> Result<(), JobError> {
        let key = self.store().keyring.derive(KeyUse::Vote);
        let airlock = self.airlock(tx, &key);
        for job in airlock.agreement_ended(agreement)? {
            reviewed(tx, &job)?;
        }
        Ok(())
    }
}

/// Starts the thread that looks at windows.
///
/// # Errors
/// The kernel's refusal.
pub(super) fn start(jobs: impl Fn() -> Option<Jobs> + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("release-windows".into()).spawn(move || {
        while let Some(jobs) = jobs().filter(|jobs| !jobs.is_closed()) {
            if let Err(error) = jobs.settle_reviews() {
                tracing::error!(%error, "a pending release could not be settled and is tried again");
            }
            drop(jobs);
            std::thread::sleep(EVERY);
        }
    })?;
    Ok(())
}
