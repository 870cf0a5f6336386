//! The private door: exact sums come in sealed, noise is added, and what leaves says what it rests on.
//!
//! ```text
//! Spend (reserved, in the log) ──begin──▶ Noising ──draw──▶ Drawn ──(engine works)──▶ add(RawSums) ──▶ noised sums ──…──▶ conclude ──▶ Decision + Spend
//! ```
//! Invariants: no noise is drawn, and so no sum opened, without a [`Spend`]; a round's noise is drawn before its sums are asked for, so
//! no time between the two can be watched; one draw serves one vector of sums; no more rounds than were paid for.

use serde::Serialize;
use zeroize::Zeroize;

use super::audit::Audit;
use super::checks::Check;
use super::decide::{DecideError, Decided, Decision, JobFacts, Outcome, OutputKind, canonical, mac};
use super::ledger::{Released, Spend};
use crate::dp::{Answer, BlocksDocument, Calibration, MechanismKind, Noise, RANDOMNESS, ResolvedFold, number};
use crate::id::Name;
use crate::policy::ActivePolicy;
use crate::store::StoreError;
use protocol::fold::{Blocks, Isolation, Norm};
use protocol::limits::Limits;
use protocol::seal::SealKey;
use protocol::value::format_decimal;

/// Exact sums of one round. Anyone may seal, only the gate opens; no `Debug`, no `Clone`.
pub struct RawSums(Vec<i128>);

impl RawSums {
    /// Seals what an engine returned.
    pub fn seal(sums: Vec<i128>) -> Self {
        Self(sums)
    }
}

impl Drop for RawSums {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The rounds of one fold under one reservation.
pub struct Noising {
    spend: Spend,
    calibration: Calibration,
    rounds_left: u32,
}

/// Noise of one round, drawn before its sums.
#[must_use = "a draw that is not used was paid for"]
pub struct Drawn(Noise);

impl Noising {
    /// Rounds under `spend`, whose cost has to be the calibration's.
    ///
    /// # Errors
    /// A fault of ours: another cost was reserved.
    pub fn begin(spend: Spend, calibration: Calibration) -> Result<Self, StoreError> {
        if *spend.cost() != calibration.cost() {
            return Err(StoreError::Fault);
        }
        let rounds_left = calibration.rounds();
        Ok(Self { spend, calibration, rounds_left })
    }

    /// What the noise is scaled to.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Draws the noise of the next round: to be called before its sums are asked for.
    ///
    /// # Errors
    /// No randomness, or more rounds than were paid for: faults of ours.
    pub fn draw(&mut self) -> Result<Drawn, StoreError> {
        self.rounds_left = self.rounds_left.checked_sub(1).ok_or(StoreError::Fault)?;
        Noise::draw(&self.calibration, self.calibration.clip().dimension).map(Drawn).map_err(|_| StoreError::Fault)
    }

    /// The noised sums.
    ///
    /// # Errors
    /// Sums of another length: a fault of ours.
    pub fn add(&self, drawn: Drawn, sums: RawSums) -> Result<Vec<i128>, StoreError> {
        drawn.0.add(&sums.0).map_err(|_| StoreError::Fault)
    }

    /// The decision: it leaves, for all of it was paid. `guests` is how many guest processes mapped blocks.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn conclude(
        self,
        ended: Concluded<'_>,
        facts: JobFacts,
        policy: &ActivePolicy,
        job_key: &SealKey,
    ) -> Result<(Decision, Spend), DecideError> {
        let certificate = Certificate::of(&self, &ended, policy)?;
        let checks = certificate.checks();
        let artefact = canonical(&serde_json::json!({ "answer": ended.answer, "certificate": certificate }))?;
        let commitment = mac(job_key, &artefact);
        let decided = Decided {
            name: ended.name.to_owned(),
            kind: OutputKind::Private,
            outcome: Outcome::Release,
            artefact,
            evidence: canonical(&certificate)?,
            checks,
        };
        Ok((
            Decision {
                facts,
                policy_digest: policy.digest(),
                outputs: vec![decided],
                models: Vec::new(),
                commitment,
                audit: Audit::default(),
            },
            self.spend,
        ))
    }
}

/// What a fold came to.
pub struct Concluded<'a> {
    /// Its name: the module's, or what is built in.
    pub name: &'a str,
    /// The answer.
    pub answer: &'a Answer,
    /// The fold.
    pub fold: &'a ResolvedFold,
    /// Kind of identifier of the unit.
    pub namespace: &'a Name,
    /// What other folds cost and released on the namespace.
    pub besides: &'a Released,
}

/// What a private release states about itself.
#[derive(Debug, Serialize)]
struct Certificate<'a> {
    /// ε, a decimal: of all rounds, at δ where there is one.
    epsilon: String,
    /// δ is 10 to the power of minus this; nothing for pure differential privacy.
    delta_exponent: Option<u8>,
    rho: String,
    mechanism: MechanismKind,
    unit: &'a Name,
    neighbours: &'static str,
    rounds: u32,
    rows_per_unit_max: u32,
    blocks: BlocksDocument,
    norm: Norm,
    bound: String,
    sensitivity: &'static str,
    step: String,
    noise_standard_deviation: String,
    half_width_95: String,
    randomness: &'static str,
    rests_on: Vec<&'static str>,
    not_covered: Vec<String>,
    other_folds_on_the_namespace: &'a Released,
}

impl<'a> Certificate<'a> {
    fn of(noising: &Noising, ended: &Concluded<'a>, policy: &ActivePolicy) -> Result<Self, DecideError> {
        let (c, fold) = (&noising.calibration, ended.fold);
        let delta_exponent = policy.rules().private.delta_exponent;
        let one = 10f64.powi(i32::from(fold.clip.scale));
        let cost = c.cost();
        let epsilon = match cost.epsilon {
            Some(pure) => pure,
            None => c.epsilon_at(delta_exponent)?,
        };
        let module = matches!(fold.map, protocol::fold::FoldMap::Module { .. });
        Ok(Self {
            epsilon: epsilon.to_string(),
            delta_exponent: cost.epsilon.is_none().then_some(delta_exponent),
            rho: cost.rho.to_string(),
            mechanism: c.mechanism(),
            unit: ended.namespace,
            neighbours: "one unit with all its rows, added or removed",
            rounds: c.rounds(),
            rows_per_unit_max: fold.rows_per_unit_max,
            blocks: match fold.blocks {
                Blocks::PerUnit => BlocksDocument::PerUnit,
                Blocks::Shared(count) => BlocksDocument::Shared { count, isolation: fold.isolation },
            },
            norm: fold.clip.norm,
            bound: format_decimal(fold.clip.bound, fold.clip.scale),
            sensitivity: match fold.blocks {
                Blocks::PerUnit => "the bound: a unit's block appears or disappears",
                Blocks::Shared(_) => "twice the bound: the contribution of a unit's block changes",
            },
            step: format_decimal(1, fold.clip.scale),
            noise_standard_deviation: number(c.sigma_steps() / one),
            half_width_95: number(c.half_width_95_steps() / one),
            randomness: RANDOMNESS,
            rests_on: if module { MODULE_RESTS_ON.to_vec() } else { BUILT_IN_RESTS_ON.to_vec() },
            not_covered: not_covered(module, fold),
            other_folds_on_the_namespace: ended.besides,
        })
    }

    fn checks(&self) -> Vec<Check> {
        let at = self.delta_exponent.map_or(String::new(), |k| format!(" at δ = 10^-{k}"));
        let check = |rule: &str, threshold: String, outcome: String| Check {
            rule: rule.to_owned(),
            clauses: ["Q41", "C26", "X55"].map(str::to_owned).to_vec(),
            threshold,
            outcome,
            withheld: false,
        };
        vec![
            check(
                "private.budget",
                "the namespace's and the agreement's".to_owned(),
                format!("ε = {}{at} spent, ρ = {}", self.epsilon, self.rho),
            ),
            check(
                "private.bound",
                format!("{} in the norm {:?}", self.bound, self.norm),
                "kept by every contribution, in integers".to_owned(),
            ),
            check(
                "private.noise",
                format!("standard deviation {}", self.noise_standard_deviation),
                "on every coordinate of every round".to_owned(),
            ),
        ]
    }
}

const BUILT_IN_RESTS_ON: &[&str] = &["the engine: units, clipping and sums", "the gate: noise and accounting"];
const MODULE_RESTS_ON: &[&str] = &[
    "the engine: units, clipping and sums",
    "the gate: noise and accounting",
    "the compiler and wasmtime: a fresh instance for each block",
    "nothing about the module",
];

/// What ε does not cover, said where it is stated.
fn not_covered(module: bool, fold: &ResolvedFold) -> Vec<String> {
    let mut said = vec!["releases through other doors".to_owned()];
    if module {
        said.push(match fold.isolation {
            Isolation::Instance => {
                "after an escape from its sandbox a module could change the sums by the bound times the units that its process served"
                    .to_owned()
            }
            Isolation::Process => "after an escape from its sandbox a module could change one block's contribution".to_owned(),
        });
        said.push(format!(
            "whether more than {} guest processes ended: then the whole budget is spent and nothing is released",
            Limits::STANDARD.fold_restarts_max
        ));
    }
    said
}
