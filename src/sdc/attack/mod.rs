//! Complementary suppression: more cells are hidden until an attacker who solves for the hidden ones comes near none.
//!
//! All tables of a job are attacked together, because they are over the same rows: a cell that is hidden in one is hidden in all, every
//! shown figure is an equation, and two tables share the totals of the keys they have in common even where neither shows them. A mean
//! counts as a sum, and every measure of a column as if the number of its values were shown too; a variance as a sum of squares. Shown
//! counts are taken as exact even where they are rounded: who knows less cannot exclude more, so rounding weakens nothing.
//!
//! A table without margins beside no other has no equations among its own cells and is not attacked. Not considered either: what is known
//! of the view as a whole (its units, from the fusion report or the agreement), other jobs (the audit across releases), and what the
//! pattern tells of who is primary: that a hidden cell is provably large makes another the likelier cause, and so does it that no more is
//! hidden than has to be (Wong et al., *Minimality Attack in Privacy Preserving Data Publishing*, 2007).
//!
//! `search` proposes patterns; `attacker` judges them, by tables that agree with everything shown; and before a pattern is taken, each of
//! these tables is checked once more, in exact integers and without a solver.

mod attacker;
mod search;
mod solve;
mod system;

use std::collections::{BTreeMap, BTreeSet};

use protocol::table::{Cell, MeasureOp, TableOutput};

use attacker::{Attacker, Thresholds};
use search::{Pattern, Search};
use system::{Statistic, System};

/// The labels of a cell, by key; `None`: missing. Totalled keys are not in it.
pub(super) type Place = BTreeMap<String, Option<String>>;

/// Cells that may take part in equations.
pub(super) const CELLS_MAX: usize = 2_000;
/// Of them hidden ones, complementary ones included.
pub(super) const HIDDEN_MAX: usize = 200;

/// One cell of a job's tables, wherever it stands.
#[derive(Debug)]
struct JobCell {
    hidden: bool,
    secondary: bool,
    units: u64,
}

/// The tables of a job, cell by cell.
#[derive(Debug, Default)]
pub(super) struct JobTables {
    places: BTreeMap<Place, usize>,
    cells: Vec<JobCell>,
    /// The cells of each table.
    tables: Vec<Vec<usize>>,
    members: BTreeMap<Statistic, Vec<(usize, i128)>>,
    bounds: BTreeMap<String, (i128, i128)>,
    /// Columns of which some row has no value: their number of values is a statistic of its own.
    gaps: BTreeSet<String>,
    several_units: bool,
}

/// What the attack came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attacked {
    /// Cells in equations.
    pub(super) cells: u64,
    /// Equations that name a hidden cell.
    pub(super) equations: u64,
    /// Linear programs solved.
    pub(super) programs: u64,
    /// The narrowest proved interval.
    pub(super) narrowest: Option<Narrowest>,
}

/// A hidden figure, and the interval within which other tables were found that agree with everything shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Narrowest {
    /// Labels of the cell; totalled keys are not there.
    pub(super) place: Place,
    /// What is hidden.
    pub(super) statistic: String,
    /// Smallest value reached.
    pub(super) low: i128,
    /// Largest value reached.
    pub(super) high: i128,
    /// Width beside the value, in permille.
    pub(super) width_permille: i128,
}

/// Why no set of hidden cells was found, or the figures contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// More cells than are attacked.
    Cells,
    /// More hidden cells than are attacked.
    Hidden,
    /// Every set that was tried leaves a figure exposed.
    Exposed,
    /// A total is not the sum of its parts.
    Contradiction,
}

impl JobTables {
    /// Adds a table: the place of each cell, and whether a rule hides it.
    pub(super) fn add(&mut self, output: &TableOutput, places: &[Place], hidden: &[bool]) {
        let mut cells = Vec::with_capacity(places.len());
        for ((cell, place), hidden) in output.cells.iter().zip(places).zip(hidden) {
            let next = self.cells.len();
            let at = *self.places.entry(place.clone()).or_insert(next);
            if at == next {
                self.cells.push(JobCell { hidden: false, secondary: false, units: cell.units });
            }
            if let Some(own) = self.cells.get_mut(at) {
                own.hidden |= *hidden;
            }
            self.several_units |= cell.units != cell.rows;
            self.figures(output, cell, at);
            cells.push(at);
        }
        self.tables.push(cells);
    }

    /// The statistics that a table shows of a cell.
    fn figures(&mut self, output: &TableOutput, cell: &Cell, at: usize) {
        let mut found: Vec<(Statistic, i128)> = Vec::new();
        let measures = output.header.request.measures.iter().zip(&output.header.columns).zip(&cell.measures);
        for ((request, column), evidence) in measures {
            match (request.op, &request.column, column, evidence) {
                (MeasureOp::Count, ..) => found.push((Statistic::Rows, cell.rows.into())),
                (MeasureOp::Units, ..) => found.push((Statistic::Units, cell.units.into())),
                (MeasureOp::Sum | MeasureOp::Mean | MeasureOp::Variance, Some(name), Some(column), Some(e)) => {
                    self.bounds.insert(name.clone(), (column.min.into(), column.max.into()));
                    if e.n != cell.rows {
                        self.gaps.insert(name.clone());
                    }
                    found.push((Statistic::Values(name.clone()), e.n.into()));
                    found.push((Statistic::Sum(name.clone()), e.sum));
                    if request.op == MeasureOp::Variance {
                        found.push((Statistic::Squares(name.clone()), e.sum_of_squares));
                    }
                }
                _ => {}
            }
        }
        for (statistic, value) in found {
            let members = self.members.entry(statistic).or_default();
            if members.last() != Some(&(at, value)) {
                members.push((at, value));
            }
        }
    }

    /// Counts that are the same count have one system: units where every unit has one row, values where none is missing. Only for this,
    /// the attacker is taken to know so.
    fn merge_counts(&mut self) {
        let mut same: Vec<Statistic> = Vec::new();
        if !self.several_units {
            same.push(Statistic::Units);
        }
        let full = |s: &&Statistic| matches!(s, Statistic::Values(c) if !self.gaps.contains(c));
        same.extend(self.members.keys().filter(full).cloned());
        for statistic in same {
            if let Some(members) = self.members.remove(&statistic) {
                self.members.entry(Statistic::Rows).or_default().extend(members);
            }
        }
    }

    fn systems(&self) -> Result<Vec<System>, Stopped> {
        let places: BTreeMap<usize, &Place> = self.places.iter().map(|(place, at)| (*at, place)).collect();
        let mut systems = Vec::new();
        for (statistic, members) in &self.members {
            let members: Vec<(usize, &Place, i128)> =
                members.iter().filter_map(|(at, value)| Some((*at, *places.get(at)?, *value))).collect();
            systems.push(System::new(statistic.clone(), &members).ok_or(Stopped::Contradiction)?);
        }
        Ok(systems)
    }

    fn hidden(&self) -> Vec<bool> {
        self.cells.iter().map(|c| c.hidden).collect()
    }

    /// Hides more cells until the attacker comes near none. `None`: nothing that is hidden stands in an equation.
    ///
    /// # Errors
    /// [`Stopped`]: then no table of the job may leave by itself.
    pub(super) fn protect(&mut self, k: u32, p_permille: u16) -> Result<Option<Attacked>, Stopped> {
        // Many cells and no second level anywhere: nothing to look at, so nothing is built.
        let levels: BTreeSet<Vec<&String>> = self.places.keys().map(|p| p.keys().collect()).collect();
        if levels.len() < 2 || !self.cells.iter().any(|c| c.hidden) {
            return Ok(None);
        }
        self.merge_counts();
        let systems = self.systems()?;
        let bound: BTreeSet<usize> =
            systems.iter().flat_map(|s| (0..s.cells.len()).filter(|at| s.is_bound(*at)).filter_map(|at| *s.cells.get(at)?)).collect();
        let is_hidden = |at: &usize| self.cells.get(*at).is_some_and(|c| c.hidden);
        if !bound.iter().any(is_hidden) {
            return Ok(None);
        }
        if bound.len() > CELLS_MAX {
            return Err(Stopped::Cells);
        }
        let thresholds = Thresholds { k: k.into(), p_permille: p_permille.into() };
        let Pattern { hidden, attacker } = Search::new(self, &systems, &bound, thresholds).best()?;
        let told = self.told(&systems, &attacker, &hidden, bound.len());
        for (cell, hidden) in self.cells.iter_mut().zip(hidden) {
            (cell.secondary, cell.hidden) = (hidden && !cell.hidden, hidden);
        }
        Ok(Some(told))
    }

    fn told(&self, systems: &[System], attacker: &Attacker<'_>, hidden: &[bool], cells: usize) -> Attacked {
        let named = |s: &System| {
            let unknown: BTreeSet<usize> = s.unknown(hidden).into_iter().collect();
            s.equations.iter().filter(|e| e.cells().any(|at| unknown.contains(&at))).count() as u64
        };
        let narrowest = attacker.narrowest(hidden).and_then(|(system, at, range)| {
            let of = systems.get(system)?;
            let cell = (*of.cells.get(at)?)?;
            let place = self.places.iter().find(|(_, at)| **at == cell).map(|(place, _)| place.clone())?;
            let value = of.values.get(at)?.saturating_abs().max(1);
            let width_permille = range.high.saturating_sub(range.low).saturating_mul(1000) / value;
            Some(Narrowest { place, statistic: of.statistic.name(), low: range.low, high: range.high, width_permille })
        });
        Attacked { cells: cells as u64, equations: systems.iter().map(named).sum(), programs: attacker.programs, narrowest }
    }

    /// Whether a cell is hidden, and whether only for the sake of another.
    pub(super) fn fate(&self, place: &Place) -> (bool, bool) {
        self.places.get(place).and_then(|at| self.cells.get(*at)).map_or((true, false), |c| (c.hidden, c.secondary))
    }
}
