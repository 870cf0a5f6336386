//! What a recovery makes of jobs: a job that an older copy of the database has as open may have run in the span that the copy lost. Run
//! again, a fold would draw its noise anew and tell twice what was paid for once. So none is taken up again.

use super::JobError;
use super::records::{Ending, change, reviewed};
use super::service::Jobs;
use super::state::Event;
use crate::gate::Airlock;
use crate::id::{JobId, OrgId};
use crate::refusal::{self, Refused};
use crate::store::{KeyUse, Tx};
use crate::tlog::LeafKind;

impl Jobs {
    /// Cancels every open job on real data, and denies what waits for the end of its providers' window: an objection may stand in the lost
    /// span. In the transaction of the recovery; how many of each.
    ///
    /// # Errors
    /// What the store says.
    pub fn recovered(&self, tx: &Tx<'_>) -> Result<(usize, usize), JobError> {
        let (journal, now) = (self.journal(), self.now());
        let mut statement = tx.prepare_cached("SELECT id, org FROM job WHERE state IN ('queued', 'running') AND synthetic = 0")?;
        let open: Vec<(JobId, OrgId)> = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
        for (id, org) in &open {
            let refused = Refused::new(&refusal::LOG_ROLLED_BACK);
            let state = change(tx, id, Event::Cancel, &Ending { refusal: Some(refused.clone()), ..Ending::default() }, now)?;
            let body = serde_json::json!({ "job": id, "state": state, "refusal": refused });
            let _ = journal.append(tx, LeafKind::JobState, &body, &[org])?;
        }
        let key = self.store().keyring.derive(KeyUse::Vote);
        let denied = Airlock { tx, journal, artefacts: &self.store().artefacts, key: &key, city: self.city(), now }.windows_lost()?;
        for job in &denied {
            reviewed(tx, job)?;
        }
        Ok((open.len(), denied.len()))
    }
}
