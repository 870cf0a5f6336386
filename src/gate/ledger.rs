//! The privacy ledger: what every fold cost, against what may be spent.
//!
//! Two budgets apply to each fold, the strictest counts: one for the *namespace* (a kind of identifier: person, firm), over all
//! operators together, which the authority sets; and one of the agreement. Where either is not set, nothing may be spent. A budget is
//! an ε at a δ; what it promises is that all folds under it are together (ε, δ)-differentially private. Two ledgers are kept, the
//! zero-concentrated one (ρ, of every fold) and the pure one (ε, of folds with pure noise), and a fold may be paid where
//!
//! - A: it is pure, so was every fold before it, and the sum of their ε stays within the budget's; or
//! - B: the sum of every fold's ρ stays within the ρ that the budget comes to.
//!
//! *Why either will do*, though it is chosen fold by fold, and what is asked may depend on what earlier folds gave. Call a history A if
//! only pure folds are in it and their ε add up to at most the budget's, else B. In a B history ρ adds up to at most its bound: from the
//! first fold on that is Gaussian or brings the ε beyond the budget, rule A is shut for good, and rule B looks at every fold. For a set
//! S of A histories the likelihoods of two neighbours differ by a factor of e^ε at most: P(S) ≤ e^ε P'(S), without δ. A set S of B
//! histories is as likely as if folding were stopped whenever the sum of ρ would pass its bound; that is ρ-zCDP, whatever is asked
//! (Feldman, Zrnic 2021), so P(S) ≤ e^ε P'(S) + δ. Any set is one of each, and δ is added once.
//!
//! Invariants:
//! - *A reservation is a spend.* Its row is counted from the moment it is written, in every sum; `spent` only tells that a release
//!   followed. Nothing deletes a row or makes it smaller: the table's own triggers refuse it. There is no refund and no refill.
//! - The whole cost of a job is reserved in one transaction with its leaf, before the first draw of noise and the first look at real
//!   data. Transactions run one after another on the store's writing thread, so that no race can overspend.
//! - A job reserves once. A [`Spend`] is used once, and nothing but [`reserve`] makes one.
//!
//! Amounts are whole units of 10^-12 in signed 64-bit columns: the largest ρ and ε (10^6 each) fit by construction, sums are taken by
//! SQLite in integers, which fails rather than wraps; a sum beyond the largest is a fault, so that nothing more may be spent.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::decide::DecideError;
use crate::clock::Timestamp;
use crate::dp::{Cost, Epsilon, Rho, UnitsError, convert};
use crate::id::{AgreementId, JobId, Name, OrgId};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// A budget: ε at δ = 10^-`delta_exponent`, and the ρ that it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Budget {
    /// Most ε: of everything at δ, and of all pure folds added up.
    pub epsilon: Epsilon,
    /// Most ρ: the largest whose ε at δ does not exceed `epsilon`.
    pub rho: Rho,
    /// δ = 10^-this.
    pub delta_exponent: u8,
}

impl Budget {
    /// The budget of `epsilon` at δ = 10^-`delta_exponent`.
    ///
    /// # Errors
    /// `privacy.invalid`: no such exponent, or more than a budget may hold.
    pub fn new(epsilon: Epsilon, delta_exponent: u8) -> Result<Self, Refused> {
        if epsilon > Epsilon::ASKED_MAX {
            return Err(Refused::new(&refusal::PRIVACY_INVALID).subject("epsilon").threshold(Epsilon::ASKED_MAX.to_string()));
        }
        let rho =
            convert::rho_within(epsilon, delta_exponent).map_err(|_| Refused::new(&refusal::PRIVACY_INVALID).subject("delta_exponent"))?;
        Ok(Self { epsilon, rho, delta_exponent })
    }
}

/// What was spent, open reservations included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Spent {
    /// Folds that reserved.
    pub folds: u64,
    /// Of those, the ones that a release followed.
    pub released: u64,
    /// ρ of all.
    pub rho: Rho,
    /// ε of those with pure noise, added up.
    pub epsilon: Epsilon,
    /// Folds with Gaussian noise.
    pub gaussian_folds: u64,
}

/// What left a namespace through folds besides one job's: for its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Releases of other folds.
    pub releases: u64,
    /// Other folds that spent, those included that nothing was released of.
    pub folds: u64,
    /// ρ of all those folds.
    pub rho: Rho,
    /// ε of those with pure noise, added up.
    pub epsilon: Epsilon,
}

/// What may still be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Remaining {
    /// Of the ρ ledger.
    pub rho: Rho,
    /// Of the ledger of pure folds; zero once a Gaussian fold was made.
    pub epsilon: Epsilon,
    /// The largest ε at the budget's δ that one Gaussian fold may ask.
    pub gaussian: Epsilon,
    /// The largest ε that one Laplace fold may ask.
    pub laplace: Epsilon,
    /// δ = 10^-this.
    pub delta_exponent: u8,
}

impl Remaining {
    fn of(budget: &Budget, spent: &Spent) -> Result<Self, StoreError> {
        let rho = budget.rho.checked_sub(spent.rho).unwrap_or(Rho::ZERO);
        let pure = budget.epsilon.checked_sub(spent.epsilon).unwrap_or(Epsilon::ZERO);
        let epsilon = if spent.gaussian_folds == 0 { pure } else { Epsilon::ZERO };
        // Below the ε of one unit more, the ρ that a fold is given is at most what remains.
        let more = Rho::from_units(rho.units() + 1).and_then(|more| convert::epsilon_at(more, budget.delta_exponent));
        let gaussian = match (rho == Rho::ZERO, more) {
            (true, _) => Epsilon::ZERO,
            (false, Ok(more)) => Epsilon::from_units(more.units().saturating_sub(1)).map_err(beyond)?.min(budget.epsilon),
            (false, Err(_)) => budget.epsilon,
        };
        // e²/2 rounded up is at most ρ where e ≤ √(2ρ) rounded down.
        let root = (2 * crate::dp::units::UNITS_PER_ONE * rho.units()).isqrt();
        let laplace = Epsilon::from_units(root.max(epsilon.units()).min(Epsilon::ASKED_MAX.units())).map_err(beyond)?;
        Ok(Self { rho, epsilon, gaussian, laplace, delta_exponent: budget.delta_exponent })
    }
    /// Whether a fold of this cost may be reserved.
    pub fn covers(&self, cost: &Cost) -> bool {
        cost.rho <= self.rho || cost.epsilon.is_some_and(|e| e <= self.epsilon)
    }
    fn threshold(&self, whose: &str) -> String {
        format!("{whose}: gaussian epsilon {} at delta 10^-{}, laplace epsilon {}", self.gaussian, self.delta_exponent, self.laplace)
    }
}

fn beyond(_: UnitsError) -> StoreError {
    StoreError::Malformed("privacy ledger")
}

/// The budget of a namespace, with who set it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NamespaceBudget {
    /// The budget.
    pub budget: Budget,
    /// Organisation that set it.
    pub set_by: OrgId,
    /// Why it was set to this.
    pub reason: String,
    /// Leaf of that.
    pub leaf: u64,
}

/// The budget of `namespace`; `None`: nothing may be spent on it.
///
/// # Errors
/// What the store says.
pub fn namespace_budget(connection: &Connection, namespace: &Name) -> Result<Option<NamespaceBudget>, StoreError> {
    let sql = "SELECT epsilon_max, rho_max, delta_exponent, set_by, reason, leaf FROM privacy_budget WHERE namespace = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([namespace], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)));
    row.optional()?
        .map(|(epsilon, rho, delta_exponent, set_by, reason, leaf)| {
            let (epsilon, rho) = (Epsilon::from_column(epsilon).map_err(beyond)?, Rho::from_column(rho).map_err(beyond)?);
            Ok(NamespaceBudget { budget: Budget { epsilon, rho, delta_exponent }, set_by, reason, leaf })
        })
        .transpose()
}

/// What was spent on `namespace`, by all operators.
///
/// # Errors
/// What the store says.
pub fn spent_on(connection: &Connection, namespace: &Name) -> Result<Spent, StoreError> {
    spent(connection, "namespace", namespace.as_str(), None)
}

/// What was spent on `namespace` by folds other than `job`'s, by all operators.
///
/// # Errors
/// What the store says.
pub fn released_besides(connection: &Connection, namespace: &Name, job: &JobId) -> Result<Released, StoreError> {
    let Spent { folds, released, rho, epsilon, .. } = spent(connection, "namespace", namespace.as_str(), Some(job))?;
    Ok(Released { releases: released, folds, rho, epsilon })
}

/// What was spent under `agreement`, on every namespace.
///
/// # Errors
/// What the store says.
pub fn spent_under(connection: &Connection, agreement: &AgreementId) -> Result<Spent, StoreError> {
    spent(connection, "agreement", agreement.as_str(), None)
}

fn spent(connection: &Connection, column: &'static str, key: &str, besides: Option<&JobId>) -> Result<Spent, StoreError> {
    let sql = format!(
        "SELECT count(*), coalesce(sum(state = 'spent'), 0), coalesce(sum(rho), 0), coalesce(sum(epsilon), 0), coalesce(sum(epsilon IS NULL), 0) FROM privacy_spend
         WHERE {column} = ?1 AND (?2 IS NULL OR job <> ?2)"
    );
    let row: (u64, u64, i64, i64, u64) = connection
        .prepare_cached(&sql)?
        .query_row(params![key, besides], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))?;
    let (folds, released, rho, epsilon, gaussian_folds) = row;
    Ok(Spent {
        folds,
        released,
        rho: Rho::from_column(rho).map_err(beyond)?,
        epsilon: Epsilon::from_column(epsilon).map_err(beyond)?,
        gaussian_folds,
    })
}

/// What remains of a namespace's budget.
///
/// # Errors
/// What the store says.
pub fn remaining_on(connection: &Connection, namespace: &Name) -> Result<Option<Remaining>, StoreError> {
    let Some(found) = namespace_budget(connection, namespace)? else { return Ok(None) };
    Remaining::of(&found.budget, &spent_on(connection, namespace)?).map(Some)
}

/// What remains of `budget`, the one of `agreement`.
///
/// # Errors
/// What the store says.
pub fn remaining_under(connection: &Connection, agreement: &AgreementId, budget: &Budget) -> Result<Remaining, StoreError> {
    Remaining::of(budget, &spent_under(connection, agreement)?)
}

/// Sets the budget of a namespace, in the caller's transaction. What was spent stays spent, so a budget may be below it: then
/// nothing remains.
///
/// # Errors
/// What the store says.
pub fn set_budget(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::BudgetSet>,
    budget: &Budget,
    reason: &str,
    now: Timestamp,
) -> Result<NamespaceBudget, DecideError> {
    let namespace = permit.resource().namespace.clone();
    let who = permit.caller().principal();
    let reason: String = reason.chars().take(500).collect();
    let before = namespace_budget(tx, &namespace)?.map(|found| found.budget);
    let body = serde_json::json!({
        "event": "budget.set", "by": who.id, "org": who.org, "namespace": namespace, "reason": reason, "budget": budget, "before": before,
    });
    let leaf = journal.append(tx, LeafKind::Budget, &body, &[&who.org])?.number();
    let sql = "INSERT OR REPLACE INTO privacy_budget (namespace, epsilon_max, rho_max, delta_exponent, set_by, reason, leaf, set_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let values = params![namespace, budget.epsilon.to_column(), budget.rho.to_column(), budget.delta_exponent, who.org, reason, leaf, now];
    tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(StoreError::from)?;
    Ok(NamespaceBudget { budget: *budget, set_by: who.org.clone(), reason, leaf })
}

/// What is to be reserved, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Reservation<'a> {
    /// The job.
    pub job: &'a JobId,
    /// Kind of its privacy unit.
    pub namespace: &'a Name,
    /// Its agreement.
    pub agreement: &'a AgreementId,
    /// The agreement's budget; `None`: it has none, so nothing may be spent.
    pub budget: Option<Budget>,
    /// Whole cost of the fold.
    pub cost: Cost,
    /// Organisations that the leaves concern.
    pub readers: &'a [OrgId],
}

/// A reserved cost. The releasing transaction consumes it.
///
/// ```compile_fail,E0451
/// fn forge(job: fusebox::id::JobId, cost: fusebox::dp::Cost) -> fusebox::gate::Spend {
///     fusebox::gate::Spend { job, cost, leaf: 0, readers: Vec::new() }
/// }
/// ```
/// ```compile_fail,E0382
/// fn twice(tx: &fusebox::store::Tx<'_>, journal: &fusebox::tlog::Journal, spend: fusebox::gate::Spend) {
///     let (_, _) = (fusebox::gate::settle(tx, journal, spend), fusebox::gate::settle(tx, journal, spend));
/// }
/// ```
#[derive(Debug)]
#[must_use = "what is reserved is spent, whether or not a release follows"]
pub struct Spend {
    job: JobId,
    cost: Cost,
    leaf: u64,
    readers: Vec<OrgId>,
}

impl Spend {
    /// The job it is for.
    pub fn job(&self) -> &JobId {
        &self.job
    }
    /// What it costs.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }
    /// Leaf of the reservation.
    pub fn leaf(&self) -> u64 {
        self.leaf
    }
}

/// Whether the budgets cover what is wanted, now: told before a job is queued; what counts is [`reserve`].
///
/// # Errors
/// `privacy.no_budget`, `privacy.budget` with what remains.
pub fn check(connection: &Connection, wanted: &Reservation<'_>) -> Result<(), DecideError> {
    let cost = wanted.cost;
    if cost.rho == Rho::ZERO || cost.epsilon == Some(Epsilon::ZERO) {
        return Err(Refused::new(&refusal::PRIVACY_INVALID).subject("epsilon").into());
    }
    let no_budget = |whose: &str| DecideError::from(Refused::new(&refusal::PRIVACY_NO_BUDGET).subject(whose));
    let on_namespace = remaining_on(connection, wanted.namespace)?.ok_or_else(|| no_budget(&format!("namespace {}", wanted.namespace)))?;
    let budget = wanted.budget.ok_or_else(|| no_budget(&format!("agreement {}", wanted.agreement)))?;
    let under_agreement = remaining_under(connection, wanted.agreement, &budget)?;
    for (remaining, whose) in [(&on_namespace, "namespace"), (&under_agreement, "agreement")] {
        if !remaining.covers(&cost) {
            return Err(Refused::new(&refusal::PRIVACY_BUDGET).threshold(remaining.threshold(whose)).into());
        }
    }
    Ok(())
}

/// Whether a job reserved, whatever came of it.
///
/// # Errors
/// What the store says.
pub fn has_reserved(connection: &Connection, job: &JobId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM privacy_spend WHERE job = ?1")?.exists([job])?)
}

/// Reserves the whole cost of a job, in the caller's transaction, with its leaf. From its commit on it is spent.
///
/// # Errors
/// `privacy.no_budget`, `privacy.budget` with what remains, `request.conflict` where the job reserved before.
pub fn reserve(tx: &Tx<'_>, journal: &Journal, wanted: &Reservation<'_>, now: Timestamp) -> Result<Spend, DecideError> {
    check(tx, wanted)?;
    let cost = wanted.cost;
    if has_reserved(tx, wanted.job)? {
        return Err(Refused::new(&refusal::CONFLICT).into());
    }
    let readers: Vec<&OrgId> = wanted.readers.iter().collect();
    let body = serde_json::json!({
        "event": "budget.reserved", "job": wanted.job, "namespace": wanted.namespace, "agreement": wanted.agreement, "cost": cost,
    });
    let leaf = journal.append(tx, LeafKind::Reservation, &body, &readers)?.number();
    let sql = "INSERT INTO privacy_spend (job, namespace, agreement, rho, epsilon, state, leaf, at) VALUES (?1, ?2, ?3, ?4, ?5, 'reserved', ?6, ?7)";
    let values =
        params![wanted.job, wanted.namespace, wanted.agreement, cost.rho.to_column(), cost.epsilon.map(Epsilon::to_column), leaf, now];
    tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(StoreError::from)?;
    Ok(Spend { job: wanted.job.clone(), cost, leaf, readers: wanted.readers.to_vec() })
}

/// The reservation of a job that has not begun: it was made when the job was submitted. A job begins once, so it is claimed once.
///
/// # Errors
/// `request.conflict` where there is none that is open; what the store says.
pub fn claim(connection: &Connection, job: &JobId, readers: &[OrgId]) -> Result<Spend, DecideError> {
    let sql = "SELECT rho, epsilon, leaf FROM privacy_spend WHERE job = ?1 AND state = 'reserved'";
    let row = connection
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row([job], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, Option<i64>>(1)?, r.get(2)?))).optional());
    let (rho, epsilon, leaf) = row.map_err(StoreError::from)?.ok_or(Refused::new(&refusal::CONFLICT))?;
    let rho = Rho::from_column(rho).map_err(beyond)?;
    let epsilon = epsilon.map(Epsilon::from_column).transpose().map_err(beyond)?;
    Ok(Spend { job: job.clone(), cost: Cost { rho, epsilon }, leaf, readers: readers.to_vec() })
}

/// Marks a reservation as spent by a release, in the transaction that releases; its leaf's number.
///
/// # Errors
/// What the store says; a job without an open reservation is a fault.
pub fn settle(tx: &Tx<'_>, journal: &Journal, spend: Spend) -> Result<u64, StoreError> {
    let readers: Vec<&OrgId> = spend.readers.iter().collect();
    let body = serde_json::json!({ "event": "budget.spent", "job": spend.job, "reservation_leaf": spend.leaf, "cost": spend.cost });
    let leaf = journal.append(tx, LeafKind::Spend, &body, &readers)?.number();
    let sql = "UPDATE privacy_spend SET state = 'spent', spent_leaf = ?2 WHERE job = ?1 AND state = 'reserved' AND leaf = ?3";
    match tx.prepare_cached(sql)?.execute(params![spend.job, leaf, spend.leaf])? {
        1 => Ok(leaf),
        _ => Err(StoreError::Malformed("privacy ledger")),
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
