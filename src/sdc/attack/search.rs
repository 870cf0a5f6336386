//! Which cells are hidden for the sake of others. Several greedy searches, each cleaned up; of what they find, the pattern that takes
//! least from the reader.
//!
//! A search attacks; gives the first figure that is exposed the cheapest cells with which it can move; and attacks again. What a cell
//! costs is a guess at what hiding it leads to, and no guess is best for every job, so that several are tried. The clean-up then shows
//! every cell again without which the attacker still comes near none, dearest first. Which patterns are looked at depends on the tables
//! alone, never on time, and the attacker judges every one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::attacker::{Attacker, Exposed, Thresholds};
use super::system::System;
use super::{HIDDEN_MAX, JobTables, Stopped};

/// Cells hidden one after another in a search.
const ROUNDS_MAX: usize = 256;

/// Variables of all linear programs together, after which no further pattern is looked at: some seconds.
const WORK_MAX: u64 = 500_000;

/// What a search takes a cell to cost.
#[derive(Debug, Clone, Copy)]
struct Guess {
    /// To which power the number of equations counts that name the cell.
    equations: i32,
    /// To which the number of its units.
    units: i32,
}

/// The searches.
const GUESSES: [Guess; 3] = [Guess { equations: 8, units: 0 }, Guess { equations: 2, units: 1 }, Guess { equations: 1, units: 0 }];

/// What a pattern takes from the reader, the worst first: tables of which nothing is left; its cells, each for the square root of its units,
/// so that three small ones are less than two of their totals; their number.
type Loss = (usize, u64, usize);

/// Hidden cells, and the attacker who comes near none of them.
pub(super) struct Pattern<'a> {
    pub(super) hidden: Vec<bool>,
    pub(super) attacker: Attacker<'a>,
}

/// A job's tables, and what is looked for in them.
pub(super) struct Search<'a> {
    job: &'a JobTables,
    systems: &'a [System],
    bound: &'a BTreeSet<usize>,
    thresholds: Thresholds,
    /// By cell, the equations that name it, in that system where they are most.
    equations: BTreeMap<usize, u32>,
}

impl<'a> Search<'a> {
    pub(super) fn new(job: &'a JobTables, systems: &'a [System], bound: &'a BTreeSet<usize>, thresholds: Thresholds) -> Self {
        let mut equations: BTreeMap<usize, u32> = BTreeMap::new();
        for system in systems {
            let mut here: BTreeMap<usize, u32> = BTreeMap::new();
            let named = system.equations.iter().flat_map(|e| e.cells()).filter_map(|at| *system.cells.get(at)?);
            named.for_each(|cell| *here.entry(cell).or_default() += 1);
            for (cell, count) in here {
                let most = equations.entry(cell).or_default();
                *most = count.max(*most);
            }
        }
        Self { job, systems, bound, thresholds, equations }
    }

    /// The best pattern that is found.
    ///
    /// # Errors
    /// [`Stopped`] of the first search, where none finds any.
    pub(super) fn best(&self) -> Result<Pattern<'a>, Stopped> {
        let (mut found, mut stopped, mut work): (Vec<Pattern<'a>>, _, u64) = (Vec::new(), None, 0);
        for guess in GUESSES {
            match self.hide(guess, WORK_MAX.saturating_sub(work)) {
                (spent, Ok(pattern)) => {
                    work += spent;
                    if found.iter().all(|other| other.hidden != pattern.hidden) {
                        found.push(pattern);
                    }
                }
                (spent, Err(why)) => {
                    work += spent;
                    stopped = stopped.or(Some(why));
                }
            }
        }
        // The best first, because the work may not last for all.
        found.sort_by_key(|pattern| self.loss(&pattern.hidden));
        for pattern in &mut found {
            let before = pattern.attacker.work;
            self.clean(pattern, before + WORK_MAX.saturating_sub(work));
            work += pattern.attacker.work - before;
        }
        let best = found.into_iter().min_by_key(|pattern| self.loss(&pattern.hidden)).ok_or(stopped.unwrap_or(Stopped::Exposed))?;
        // Believed only by the tables that it rests on, each of them looked at once more.
        if best.attacker.proves(&best.hidden) { Ok(best) } else { Err(Stopped::Exposed) }
    }

    fn loss(&self, hidden: &[bool]) -> Loss {
        let is_hidden = |cell: &usize| hidden.get(*cell).copied().unwrap_or(true);
        let emptied = self.job.tables.iter().filter(|cells| cells.iter().all(is_hidden)).count();
        let lost: Vec<usize> = self.job.tables.iter().flatten().copied().filter(is_hidden).collect();
        let roots = lost.iter().map(|cell| self.units(*cell).min(1 << 40).saturating_mul(10_000).isqrt());
        (emptied, roots.sum(), lost.len())
    }

    fn units(&self, cell: usize) -> u64 {
        self.job.cells.get(cell).map_or(0, |c| c.units)
    }

    /// Hides cells until the attacker comes near none; told beside: the work that it took.
    fn hide(&self, guess: Guess, work_max: u64) -> (u64, Result<Pattern<'a>, Stopped>) {
        let mut attacker = Attacker::new(self.systems, &self.job.bounds, self.thresholds);
        let mut hidden = self.job.hidden();
        for _ in 0..ROUNDS_MAX {
            if self.bound.iter().filter(|at| hidden.get(**at).copied().unwrap_or(false)).count() > HIDDEN_MAX {
                return (attacker.work, Err(Stopped::Hidden));
            }
            let Some(exposed) = attacker.attack(&hidden, &BTreeSet::new()) else {
                return (attacker.work, Ok(Pattern { hidden, attacker }));
            };
            if attacker.work >= work_max || !self.mend(&mut attacker, &mut hidden, exposed, guess) {
                break;
            }
        }
        (attacker.work, Err(Stopped::Exposed))
    }

    /// Hides partners of an exposed figure; false where none are left.
    fn mend(&self, attacker: &mut Attacker<'_>, hidden: &mut [bool], exposed: Exposed, guess: Guess) -> bool {
        #[allow(clippy::cast_precision_loss)]
        let cost = |cell: usize| {
            let equations = f64::from(self.equations.get(&cell).copied().unwrap_or(1));
            equations.powi(guess.equations) * (1.0 + self.units(cell).min(1_000_000) as f64).powi(guess.units)
        };
        let mut partners = attacker.partners(&exposed, hidden, &cost);
        if partners.is_empty() {
            partners.extend(self.cheapest_beside(hidden, exposed));
        }
        let mut any = false;
        for cell in partners {
            let Some(own) = hidden.get_mut(cell).filter(|h| !**h) else { continue };
            (*own, any) = (true, true);
        }
        any
    }

    /// The cheapest shown cell of any equation that names an exposed figure, else of any equation at all.
    fn cheapest_beside(&self, hidden: &[bool], exposed: Exposed) -> Option<usize> {
        let system = self.systems.get(exposed.system)?;
        let beside = |all: bool| {
            let equations = system.equations.iter().filter(move |e| all || e.cells().any(|at| at == exposed.at));
            let cells = equations.flat_map(|e| e.cells()).filter_map(|at| *system.cells.get(at)?);
            cells.filter(|c| !hidden.get(*c).copied().unwrap_or(true)).min_by_key(|c| (self.units(*c), *c))
        };
        beside(false).or_else(|| beside(true))
    }

    /// Shows every cell again without which the attacker comes near none.
    fn clean(&self, pattern: &mut Pattern<'a>, work_max: u64) {
        let is_primary = |cell: usize| self.job.cells.get(cell).is_none_or(|c| c.hidden);
        let mut cells: Vec<usize> =
            (0..pattern.hidden.len()).filter(|c| pattern.hidden.get(*c) == Some(&true) && !is_primary(*c)).collect();
        cells.sort_by_key(|cell| Reverse((self.equations.get(cell).copied(), self.units(*cell), *cell)));
        for cell in cells {
            if pattern.attacker.work >= work_max {
                return;
            }
            let mut hidden = pattern.hidden.clone();
            hidden.get_mut(cell).into_iter().for_each(|h| *h = false);
            let mut attacker = pattern.attacker.clone();
            attacker.show(cell);
            let exposed = attacker.attack(&hidden, &self.beside(cell));
            (pattern.attacker.programs, pattern.attacker.work) = (attacker.programs, attacker.work);
            if exposed.is_none() {
                *pattern = Pattern { hidden, attacker };
            }
        }
    }

    /// The cells of the equations that name a cell.
    fn beside(&self, cell: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for system in self.systems {
            let Some(at) = system.at(cell) else { continue };
            let equations = system.equations.iter().filter(|e| e.cells().any(|other| other == at));
            found.extend(equations.flat_map(|e| e.cells()).filter_map(|other| *system.cells.get(other)?));
        }
        found
    }
}
