//! Why a table is shown as it is. For checkers: it holds exact counts and causes.

use serde::{Deserialize, Serialize};

use super::attack::{Attacked, Narrowest, Stopped};
use super::primary::{Cause, CauseRule};
use super::shown::ShownKey;
use crate::policy::release::TableRules;

/// What was decided on each cell and why. For checkers: it holds the exact counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEvidence {
    /// Name of the table.
    pub name: String,
    /// The rules that were applied.
    pub rules: TableRules,
    /// What an attacker who has all tables of the job can tell of hidden cells.
    pub attack: AttackEvidence,
    /// Every cell of the engine's table, those left out too.
    pub cells: Vec<CellEvidence>,
}

/// What was decided on one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellEvidence {
    /// One label a key.
    pub keys: Vec<ShownKey>,
    /// Rows.
    pub rows: u64,
    /// Privacy units.
    pub units: u64,
    /// Those that count towards the minimum.
    pub units_counting: u64,
    /// What became of it.
    pub fate: Fate,
    /// Every rule that hides it.
    pub causes: Vec<Cause>,
}

/// What became of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its figures are shown.
    Shown,
    /// Its labels are shown, its figures are not.
    Suppressed,
    /// Not even its labels are shown: they were found in the data, so that they exist would tell of the few units behind them.
    Omitted,
}

/// How hidden cells stood against the attacker of [`crate::sdc`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackEvidence {
    /// Who attacks.
    pub attacker: String,
    /// What is solved with, and how far its answers are believed.
    pub solver: String,
    /// What came of it.
    pub outcome: AttackOutcome,
    /// Cells of this table that a rule hides.
    pub primary: u64,
    /// Cells of this table hidden for the sake of others.
    pub complementary: u64,
    /// Cells of the job's tables in equations, where it was attacked.
    pub cells: u64,
    /// Equations that name a hidden cell.
    pub equations: u64,
    /// Linear programs solved.
    pub programs: u64,
    /// The hidden figure of the job that is told most narrowly, and within what: at least so far the attacker cannot tell.
    pub narrowest: Option<NarrowestEvidence>,
}

/// What came of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackOutcome {
    /// Nothing hidden stands in an equation with anything shown.
    NoEquations,
    /// For each hidden figure tables were found that agree with everything shown and lie far enough on both sides.
    Protected,
    /// More cells than are attacked: held.
    TooManyCells,
    /// More hidden cells than are attacked: held.
    TooManyHidden,
    /// A figure stays exposed whatever is hidden besides, or the solver failed: held.
    Exposed,
}

/// A proved interval. Figures are decimal texts of stored integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NarrowestEvidence {
    /// Labels of the cell by key; totalled keys are not there.
    pub cell: std::collections::BTreeMap<String, Option<String>>,
    /// What is hidden.
    pub statistic: String,
    /// Smallest value reached.
    pub low: String,
    /// Largest value reached.
    pub high: String,
    /// Width beside the value, in permille.
    pub width_permille: String,
}

impl AttackEvidence {
    pub(super) fn new(attacked: &Result<Option<Attacked>, Stopped>, rules: &TableRules) -> Self {
        let found = attacked.as_ref().ok().and_then(Option::as_ref);
        let told = |n: &Narrowest| NarrowestEvidence {
            cell: n.place.clone(),
            statistic: n.statistic.clone(),
            low: n.low.to_string(),
            high: n.high.to_string(),
            width_permille: n.width_permille.to_string(),
        };
        Self {
            attacker: format!(
                "knows the policy, the pattern, k = {} and p = {}‰, every figure of all tables of the job, exactly; takes every hidden cell as possibly primary",
                rules.min_frequency, rules.p_permille
            ),
            solver: "microlp (simplex, feasibility tolerance 1e-7); each answer rounded and checked in exact integers".to_owned(),
            outcome: match attacked {
                Ok(None) => AttackOutcome::NoEquations,
                Ok(Some(_)) => AttackOutcome::Protected,
                Err(Stopped::Cells) => AttackOutcome::TooManyCells,
                Err(Stopped::Hidden) => AttackOutcome::TooManyHidden,
                Err(Stopped::Exposed | Stopped::Contradiction) => AttackOutcome::Exposed,
            },
            primary: 0,
            complementary: 0,
            cells: found.map_or(0, |f| f.cells),
            equations: found.map_or(0, |f| f.equations),
            programs: found.map_or(0, |f| f.programs),
            narrowest: found.and_then(|f| f.narrowest.as_ref()).map(told),
        }
    }
}

impl TableEvidence {
    /// Counts primary and complementary suppressions apart.
    pub(super) fn count(&mut self) {
        let complementary = |c: &&CellEvidence| c.causes.iter().any(|c| c.rule == CauseRule::Complementary);
        let hidden = self.cells.iter().filter(|c| c.fate != Fate::Shown && !c.causes.is_empty()).count() as u64;
        self.attack.complementary = self.cells.iter().filter(complementary).count() as u64;
        self.attack.primary = hidden - self.attack.complementary;
    }
}
