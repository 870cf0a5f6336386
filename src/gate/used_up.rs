//! What a recovery counts as spent: all that may have been spent in the lost span, for nobody can tell what was.
//!
//! | ledger | counted as spent |
//! |---|---|
//! | privacy budget of a namespace | up to its cap, as if by one Gaussian fold, so that neither rule of the ledger pays for more. The authority may raise the cap: what it adds is what remains |
//! | privacy budget of an agreement | likewise; another agreement has its own |
//! | bits about a subject under an agreement | all of them, for every subject |
//! | nonces of consent tokens | every token that was signed: their issuers are revoked, and register a new key |
//! | ends that depended on data, of an operator on a namespace | all of the cap, until the authority re-bases the namespace: everything waits alike (`audit::cap`) |
//! | jobs of an agreement | as many as leaves were lost, for each job has a leaf; all, where nobody can tell how many |
//!
//! An agreement that was drafted in the lost span and is drafted anew is a new one. A budget that was raised in the lost span counts as
//! it stood before: the authority, which raised it and signs the recovery, takes that into account when it raises it again.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::decide::DecideError;
use super::ledger::{self, Budget, Remaining};
use crate::agreement::records;
use crate::clock::Timestamp;
use crate::dp::{Epsilon, Rho};
use crate::id::{AgreementId, Name};
use crate::policy::{PolicyError, release};
use crate::store::{StoreError, Tx};

/// Exponent of δ where no release policy says one.
const DELTA_EXPONENT: u8 = 6;

/// What is counted as spent.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct UsedUp {
    namespaces: Vec<(Name, Rho)>,
    agreements: Vec<(AgreementId, Option<Rho>)>,
    issuers: Vec<Name>,
    /// Jobs that each agreement is charged with.
    jobs: u32,
}

fn policy(error: PolicyError) -> DecideError {
    match error {
        PolicyError::Refused(refused) => DecideError::Refused(refused),
        PolicyError::Store(error) => DecideError::Store(error),
    }
}

/// What the pure rule still has is closed by the Gaussian fold, whatever little ρ that takes.
fn rest(remaining: &Remaining) -> Result<Rho, StoreError> {
    if remaining.rho > Rho::ZERO { Ok(remaining.rho) } else { Rho::from_units(1).map_err(|_| StoreError::Malformed("privacy ledger")) }
}

impl UsedUp {
    /// All that may have been spent where at most `lost` leaves were lost.
    pub(super) fn of(connection: &Connection, lost: Option<u64>) -> Result<Self, DecideError> {
        let mut all = Self { jobs: lost.and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX), ..Self::default() };
        let names = |sql: &str| -> Result<Vec<Name>, StoreError> {
            Ok(connection.prepare_cached(sql)?.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
        };
        for namespace in names("SELECT namespace FROM privacy_budget ORDER BY namespace")? {
            if let Some(remaining) = ledger::remaining_on(connection, &namespace)? {
                all.namespaces.push((namespace, rest(&remaining)?));
            }
        }
        let exponent = release::floor(connection).map_err(policy)?.map_or(DELTA_EXPONENT, |floor| floor.private.delta_exponent);
        for id in records::agreement_ids(connection).map_err(policy)? {
            let Some(agreement) = records::agreement(connection, &id).map_err(policy)? else { continue };
            let epsilon = agreement.terms.agreement.budgets.privacy_epsilon;
            let rho = match epsilon > Epsilon::ZERO {
                true => Some(rest(&ledger::remaining_under(connection, &id, &Budget::new(epsilon, exponent)?)?)?),
                false => None,
            };
            all.agreements.push((id, rho));
        }
        all.issuers = names("SELECT id FROM issuer WHERE revoked_at IS NULL ORDER BY id")?;
        Ok(all)
    }

    /// Writes it, in the transaction of the recovery's leaf.
    pub(super) fn record(&self, tx: &Tx<'_>, recovery: i64, leaf: u64, now: Timestamp) -> Result<(), StoreError> {
        // No job has such a name, and a spend of no namespace or no agreement counts for the other alone.
        let sql = "INSERT INTO privacy_spend (job, namespace, agreement, rho, epsilon, state, leaf, at) VALUES (?1, ?2, ?3, ?4, NULL, 'reserved', ?5, ?6)";
        let spend = |of: &str, namespace: &str, agreement: &str, rho: Rho| -> Result<(), StoreError> {
            let name = format!("recovery {recovery} of {of}");
            tx.prepare_cached(sql)?.execute(params![name, namespace, agreement, rho.to_column(), leaf, now])?;
            Ok(())
        };
        for (namespace, rho) in &self.namespaces {
            spend(&format!("namespace {namespace}"), namespace.as_str(), "", *rho)?;
        }
        let sql = "INSERT INTO recovered_agreement (agreement, jobs) VALUES (?1, ?2)
                   ON CONFLICT (agreement) DO UPDATE SET jobs = min(jobs + excluded.jobs, 4294967295)";
        for (agreement, rho) in &self.agreements {
            if let Some(rho) = rho {
                spend(&format!("agreement {agreement}"), "", agreement.as_str(), *rho)?;
            }
            tx.prepare_cached(sql)?.execute(params![agreement, self.jobs])?;
        }
        for issuer in &self.issuers {
            tx.execute("UPDATE issuer SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", params![issuer, now])?;
        }
        Ok(())
    }
}

/// Jobs that an agreement is charged with for lost spans; `None`: it stood in none.
fn charged(connection: &Connection, agreement: &AgreementId) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT jobs FROM recovered_agreement WHERE agreement = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([agreement], |r| r.get(0)).optional()?)
}

/// Jobs that count for an agreement beside those that are known.
///
/// # Errors
/// What the store says.
pub fn jobs_lost(connection: &Connection, agreement: &AgreementId) -> Result<u32, StoreError> {
    Ok(charged(connection, agreement)?.unwrap_or(0))
}

/// Whether all that may be answered about anyone under an agreement counts as answered.
pub(super) fn answers_used_up(connection: &Connection, agreement: &AgreementId) -> Result<bool, StoreError> {
    Ok(charged(connection, agreement)?.is_some())
}
