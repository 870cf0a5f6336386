//! The cap of ends that depend on data. Beyond it an operator's outputs on a namespace all wait alike: what the rules would let leave, what
//! they would hold and what they refuse for its data show the same state, checks and leaves, so that none of them answers a question. Only
//! what is refused whatever the data says still is.
//!
//! What the data refuses has no artefact: it waits for people to read why, and cannot leave by them ([`never_leaves`]).

use rusqlite::{Connection, params};

use super::super::checks::{self, Check};
use super::super::decide::{Decided, Decision, Outcome, OutputKind, canonical};
use super::super::recovery;
use super::{Audit, Cause};
use crate::clock::Timestamp;
use crate::id::{Name, OrgId, ReleaseId};
use crate::policy::ActivePolicy;
use crate::policy::release::AuditRules;
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};

/// Ends of an operator's outputs on a namespace that depended on data, within the window. What waited for being one too many is none: it
/// told nothing, and would keep whoever goes on asking beyond the cap for good.
fn holds(connection: &Connection, org: &OrgId, namespace: &Name, rules: &AuditRules, now: Timestamp) -> Result<u32, StoreError> {
    let since = now.plus_s(-86_400 * i64::from(rules.holds_window_days));
    let sql = "SELECT count(*) FROM audit_hold WHERE org = ?1 AND namespace = ?2 AND at >= ?3 AND cause <> 'holds'";
    Ok(connection.prepare_cached(sql)?.query_row(params![org, namespace, since], |r| r.get(0))?)
}

impl Decision {
    /// Whether a probe is due: a model waits for review, or will for being one too many, whatever the data says of it. A probe takes its time,
    /// so it may not depend on the data there.
    ///
    /// # Errors
    /// What the store says.
    pub fn is_probed(&self, connection: &Connection, policy: &ActivePolicy, now: Timestamp) -> Result<bool, StoreError> {
        let Some((namespace, _)) = &self.audit.on else { return Ok(self.holds_a_model()) };
        if self.holds_a_model() || self.audit.models.iter().all(Option::is_none) {
            return Ok(self.holds_a_model());
        }
        if recovery::tables_wait(connection, namespace)? {
            return Ok(true);
        }
        let rules = &policy.rules().audit;
        let most = holds(connection, &self.facts.org, namespace, rules, now)?.saturating_add(self.outputs.len() as u32);
        Ok(most > rules.holds_max)
    }

    fn holds_a_model(&self) -> bool {
        self.outputs.iter().any(|o| o.kind == OutputKind::Model && o.outcome == Outcome::Hold)
    }

    /// Makes every output wait that is one too many, and every one where nobody knows how many there were.
    pub(super) fn cap(&mut self, connection: &Connection, namespace: &Name, rules: &AuditRules, now: Timestamp) -> Result<(), StoreError> {
        let mut held = holds(connection, &self.facts.org, namespace, rules, now)?;
        let lost = recovery::tables_wait(connection, namespace)?;
        for (at, decided) in self.outputs.iter_mut().enumerate() {
            let Some(cause) = self.audit.cause_mut(at) else { continue };
            if cause.is_none() && matches!(decided.outcome, Outcome::Refuse(_)) {
                continue;
            }
            if lost {
                wait(decided, recovery::check())?;
            } else if held >= rules.holds_max {
                let _ = cause.get_or_insert(Cause::Holds);
                let many = format!("{} in {} days", rules.holds_max, rules.holds_window_days);
                wait(decided, checks::held(&Refused::new(&refusal::AUDIT_HOLDS).subject(&many)))?;
            }
            held = held.saturating_add(u32::from(cause.is_some()));
        }
        Ok(())
    }
}

impl Audit {
    fn cause_mut(&mut self, at: usize) -> Option<&mut Option<Cause>> {
        match at.checked_sub(self.tables.len()) {
            None => self.tables.get_mut(at).map(|table| &mut table.cause),
            Some(at) => self.models.get_mut(at),
        }
    }

    /// Why an output ended as it did, where that depends on data.
    pub(super) fn cause(&self, at: usize) -> Option<Cause> {
        match at.checked_sub(self.tables.len()) {
            None => self.tables.get(at).and_then(|table| table.cause),
            Some(at) => self.models.get(at).copied().flatten(),
        }
    }
}

/// The output as it waits: what was checked, and what refused it, goes to the evidence, which its reviewers read and the operator does not.
fn wait(decided: &mut Decided, check: Check) -> Result<(), StoreError> {
    let mut evidence = match &decided.outcome {
        Outcome::Refuse(refused) => {
            decided.artefact = canonical(&serde_json::Value::Null)?;
            serde_json::json!({ "refused": refused })
        }
        _ => serde_json::from_slice(&decided.evidence).map_err(|_| StoreError::Fault)?,
    };
    let fields = evidence.as_object_mut().ok_or(StoreError::Fault)?;
    let checks = std::mem::take(&mut decided.checks);
    fields.insert("checks".to_owned(), serde_json::to_value(checks).map_err(|_| StoreError::Fault)?);
    decided.evidence = canonical(&evidence)?;
    decided.outcome = Outcome::Hold;
    decided.checks = vec![check];
    Ok(())
}

/// Whether an output that waits was refused for its data.
///
/// # Errors
/// What the store says.
pub(in crate::gate) fn never_leaves(tx: &Tx<'_>, release: &ReleaseId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM audit_hold WHERE release = ?1 AND cause = 'refused')";
    Ok(tx.prepare_cached(sql)?.query_row([release], |r| r.get(0))?)
}
