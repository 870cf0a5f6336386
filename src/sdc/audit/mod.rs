//! The audit across releases: whether shown cells, of whatever tables, operators and versions, tell together of fewer units than a cell
//! must have. Pure.
//!
//! A cell is a set of base rows, each as often as joins made it; a sum, mean or count over it is an equation over its rows whatever the
//! column (x and x + 1 are the same question), a variance one over their squares. An *atom* is a set of rows that lie, as often, in the
//! same cells; its size is its number of distinct units, and that of several atoms the number of distinct units of them all.
//!
//! # What is guaranteed
//!
//! Of every pair of cells, one of them new, and of every new cell alone, the rows that lie in one and not (or not as often) in the other
//! are of no unit or of at least k. No row of the reduced row echelon form of all equations, atoms with fewer units last, has a support
//! of fewer than k units, unless the earlier cells alone say it already (a checker let it pass). So totals minus cells, nested filters,
//! overlapping weeks and combinations of colluding operators are found wherever they show as one of these.
//!
//! Two cells of exactly the same rows that are described by different conditions are a difference too, where they carry
//! [`Cell::label`]: that nobody lies between them is a zero cell.
//!
//! Of a column that cannot be negative, no sum over a set of rows that follows from shown sums as a row of the reduced echelon form of
//! that column's sums is dominated, as far as the largest units of the shown cells bound what a unit can have in it ([`dominated`]).
//!
//! [`across`] compares cells over the rows of different datasets by their units alone.
//!
//! # What is not
//!
//! A combination of three or more cells may have few units and be neither: the form is one basis of what follows, and to find the
//! smallest support is NP-hard (Natarajan 1995; McCormick 1983). That all parts of a total together leave nobody over is seen for two cells,
//! not for more. Dominance is judged of sets of rows, not of differences that weigh rows unequally, and not of columns that can be
//! negative. Cells of order statistics are compared in pairs only. Nothing is said
//! of bounds on a value, of what someone knew before, or of a group in which all are alike. A column that a module derives can be zero
//! or missing where it chooses: a filter that no plan shows; that is for whoever reviews the module. The private door covers all of
//! these.
//!
//! # Bound
//!
//! Work is counted in steps ([`STEPS_MAX`]), not in time, so that the verdict depends on nothing but the cells; beyond it there is none,
//! and the table is held.

mod atoms;
mod dominance;
mod echelon;
mod field;
mod pairs;
#[cfg(test)]
mod tests;

pub use dominance::{Limits, Sum};
pub use field::Prime;

use atoms::Atoms;

/// Steps of one audit: a comparison, or a multiplication in the field.
pub const STEPS_MAX: u64 = 200_000_000;

/// A shown cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Base rows, by index, and how often; each row once.
    pub rows: Vec<(u32, u32)>,
    /// Whether a figure of it is a sum, a mean, a count or a variance.
    pub equation: bool,
    /// What its rows have in common, where another description of the same rows tells something.
    pub label: Option<u128>,
}

/// What was found. For checkers: it holds a count of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The cells of a difference, by index, earlier ones first; empty for a combination of more.
    pub cells: Vec<usize>,
    /// Distinct units that are told of, counted no further than the least number; 0: that there are none.
    pub units: usize,
}

/// What an audit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Neither a difference nor a row of the echelon form tells of too few units.
    Clear,
    /// One does.
    Found(Found),
    /// More work than [`STEPS_MAX`]: not known.
    TooLarge,
}

/// More steps than allowed.
struct TooLarge;

/// Steps that are left.
struct Steps(u64);

impl Steps {
    fn take(&mut self, steps: usize) -> Result<(), TooLarge> {
        self.0 = self.0.checked_sub(steps as u64).ok_or(TooLarge)?;
        Ok(())
    }
}

/// Judges `cells`, of which those from `first_new` on are about to be shown; `unit_of` has the unit of each base row, `k` is the least
/// number of units, `prime` and `seed` are random and secret.
pub fn audit(unit_of: &[u32], cells: &[Cell], first_new: usize, k: usize, (prime, seed): (Prime, u64)) -> Verdict {
    let mut steps = Steps(STEPS_MAX);
    let mut judged = || -> Result<Option<Found>, TooLarge> {
        let all: Vec<&Cell> = cells.iter().collect();
        steps.take(all.iter().map(|c| c.rows.len()).sum::<usize>())?;
        if let Some(found) = pairs::find(&Atoms::new(unit_of, &all, k, seed), cells, first_new, k, seed, &mut steps)? {
            return Ok(Some(found));
        }
        let equations: Vec<&Cell> = cells.iter().filter(|c| c.equation).collect();
        let earlier = cells.iter().take(first_new).filter(|c| c.equation).count();
        echelon::find(&Atoms::new(unit_of, &equations, k, seed), earlier, k, prime, &mut steps)
    };
    match judged() {
        Ok(None) => Verdict::Clear,
        Ok(Some(found)) => Verdict::Found(found),
        Err(TooLarge) => Verdict::TooLarge,
    }
}

/// Judges sums of one column that cannot be negative, in the order of their cells: whether, with those of cells from `first_new` on, one
/// over other rows follows that is dominated. The rest as in [`audit`].
pub fn dominated(
    unit_of: &[u32],
    cells: &[Cell],
    sums: &[Sum],
    first_new: usize,
    (k, limits): (usize, &Limits),
    secret: (Prime, u64),
) -> Verdict {
    let mut steps = Steps(STEPS_MAX);
    match dominance::find(unit_of, cells, sums, first_new, (k, limits), secret, &mut steps) {
        Ok(None) => Verdict::Clear,
        Ok(Some(found)) => Verdict::Found(found),
        Err(TooLarge) => Verdict::TooLarge,
    }
}

/// Judges cells from `first_new` on beside each of those before, which are over the rows of other datasets: rows are units here. Two sets
/// that differ by a unit and by fewer than `k` are found.
pub fn across(units: usize, cells: &[Cell], first_new: usize, k: usize, seed: u64) -> Verdict {
    let mut steps = Steps(STEPS_MAX);
    let unit_of: Vec<u32> = (0u32..).take(units).collect();
    let all: Vec<&Cell> = cells.iter().collect();
    let atoms = Atoms::new(&unit_of, &all, k, seed);
    match pairs::between(&atoms, first_new, k, seed, &mut steps) {
        Ok(None) => Verdict::Clear,
        Ok(Some(found)) => Verdict::Found(found),
        Err(TooLarge) => Verdict::TooLarge,
    }
}
