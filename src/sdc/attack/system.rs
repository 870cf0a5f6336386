//! What the attacker knows of one statistic: the cells of a job's tables that hold it, and the equations between them.
//!
//! A cell is the assignment of labels to the keys that are not totalled, whichever table it stands in; tables of one job are over the
//! same rows. The levels of a statistic are the sets of such keys, closed under intersection: two tables over different keys share
//! at least the grand total, though neither shows it. Each cell of a level is the sum of the cells of every next finer level.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;

/// What is equated. Columns by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Statistic {
    /// Rows.
    Rows,
    /// Distinct units.
    Units,
    /// Rows with a value in the column.
    Values(String),
    /// Sum of the column.
    Sum(String),
    /// Sum of its squares.
    Squares(String),
}

impl Statistic {
    /// Its name, for checkers.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Rows => "rows".to_owned(),
            Self::Units => "units".to_owned(),
            Self::Values(c) => format!("values of {c}"),
            Self::Sum(c) => format!("sum of {c}"),
            Self::Squares(c) => format!("sum of squares of {c}"),
        }
    }
    /// Whether it counts something.
    pub(super) fn is_count(&self) -> bool {
        matches!(self, Self::Rows | Self::Units | Self::Values(_))
    }
}

/// How a cell and its parts relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The whole is the sum of its parts.
    Equal,
    /// The whole is at least its largest part and at most their sum: distinct units of which some lie in several parts.
    Union,
}

/// A cell and its parts, as indexes into the system.
#[derive(Debug, Clone)]
pub(super) struct Equation {
    pub(super) whole: usize,
    pub(super) parts: Vec<usize>,
    pub(super) relation: Relation,
}

impl Equation {
    /// Whether it holds of these values.
    pub(super) fn holds(&self, values: &[i128]) -> bool {
        let of = |at: &usize| values.get(*at).copied();
        let sum = self.parts.iter().try_fold(0i128, |sum, part| sum.checked_add(of(part)?));
        let (Some(whole), Some(sum)) = (of(&self.whole), sum) else { return false };
        match self.relation {
            Relation::Equal => whole == sum,
            Relation::Union => whole <= sum && self.parts.iter().filter_map(of).all(|part| part <= whole),
        }
    }

    /// All its cells.
    pub(super) fn cells(&self) -> impl Iterator<Item = usize> + '_ {
        self.parts.iter().copied().chain([self.whole])
    }
}

/// The cells that hold a statistic, and how they hang together.
#[derive(Debug, Clone)]
pub(super) struct System {
    pub(super) statistic: Statistic,
    /// Each cell, by its index in all cells of the job; `None` for one that no table shows, though it is a sum of some.
    pub(super) cells: Vec<Option<usize>>,
    /// Their exact values.
    pub(super) values: Vec<i128>,
    pub(super) equations: Vec<Equation>,
    /// Where each cell of the job stands here.
    at: BTreeMap<usize, usize>,
    /// Which cells an equation names.
    bound: Vec<bool>,
}

impl System {
    /// The system over `members`: cells of the job with their places and values. `None` where the values do not add up though they
    /// must.
    pub(super) fn new(statistic: Statistic, members: &[(usize, &Place, i128)]) -> Option<Self> {
        let mut levels: BTreeMap<BTreeSet<&str>, BTreeMap<Place, usize>> = BTreeMap::new();
        let mut system =
            Self { statistic, cells: Vec::new(), values: Vec::new(), equations: Vec::new(), at: BTreeMap::new(), bound: Vec::new() };
        for (cell, place, value) in members {
            let level = levels.entry(place.keys().map(String::as_str).collect()).or_default();
            if let Some(known) = level.get(*place) {
                // The same cell in another table: the same value, or one of the tables is wrong.
                system.values.get(*known).filter(|v| *v == value)?;
                continue;
            }
            level.insert((*place).clone(), system.push(Some(*cell), *value));
        }
        let unions = system.statistic == Statistic::Units;
        close(&mut levels);
        let names: Vec<BTreeSet<&str>> = levels.keys().cloned().collect();
        // Coarsest last, so that what a shared total is made of has its value already.
        let mut order: Vec<&BTreeSet<&str>> = names.iter().collect();
        order.sort_by_key(|level| std::cmp::Reverse(level.len()));
        for whole in order {
            for finer in names.iter().filter(|l| covers(&names, whole, l)) {
                let parts = levels.get(finer)?.clone();
                system.equate(levels.get_mut(whole)?, whole, &parts, unions)?;
            }
        }
        system.bound = vec![false; system.cells.len()];
        let named: Vec<usize> = system.equations.iter().flat_map(Equation::cells).collect();
        named.into_iter().for_each(|at| system.bound.get_mut(at).into_iter().for_each(|b| *b = true));
        Some(system)
    }

    fn push(&mut self, cell: Option<usize>, value: i128) -> usize {
        let at = self.cells.len();
        self.cells.push(cell);
        self.values.push(value);
        if let Some(cell) = cell {
            self.at.insert(cell, at);
        }
        at
    }

    /// Equations between the cells of a level and those of a finer one.
    fn equate(
        &mut self,
        wholes: &mut BTreeMap<Place, usize>,
        level: &BTreeSet<&str>,
        finer: &BTreeMap<Place, usize>,
        unions: bool,
    ) -> Option<()> {
        let mut groups: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (place, at) in finer {
            let kept = place.iter().filter(|(key, _)| level.contains(key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
            groups.entry(kept).or_default().push(*at);
        }
        for (place, parts) in groups {
            let sum = parts.iter().try_fold(0i128, |sum, p| sum.checked_add(*self.values.get(*p)?))?;
            let whole = match wholes.get(&place) {
                Some(at) => *at,
                None => {
                    let at = self.push(None, sum);
                    wholes.insert(place, at);
                    at
                }
            };
            let relation = match *self.values.get(whole)? {
                value if value == sum => Relation::Equal,
                // A total of units that no table shows is not known to anyone: nothing follows from it.
                _ if unions && self.cells.get(whole)?.is_none() => continue,
                _ if unions => Relation::Union,
                _ => return None,
            };
            self.equations.push(Equation { whole, parts, relation });
        }
        Some(())
    }

    /// Where a cell of the job stands here.
    pub(super) fn at(&self, cell: usize) -> Option<usize> {
        self.at.get(&cell).copied()
    }

    /// Whether an equation names the cell at `at`.
    pub(super) fn is_bound(&self, at: usize) -> bool {
        self.bound.get(at).copied().unwrap_or(false)
    }

    /// The cells that the attacker does not know: the hidden ones, and those that no table shows.
    pub(super) fn unknown(&self, hidden: &[bool]) -> Vec<usize> {
        self.is_unknown(hidden).iter().enumerate().filter_map(|(at, unknown)| unknown.then_some(at)).collect()
    }

    /// Of each cell, whether it is one of those.
    pub(super) fn is_unknown(&self, hidden: &[bool]) -> Vec<bool> {
        let is_unknown = |cell: &Option<usize>| cell.is_none_or(|c| hidden.get(c).copied().unwrap_or(true));
        self.cells.iter().enumerate().map(|(at, cell)| self.is_bound(at) && is_unknown(cell)).collect()
    }
}

/// Adds the intersections of levels; the new ones hold no cell yet.
fn close<'a>(levels: &mut BTreeMap<BTreeSet<&'a str>, BTreeMap<Place, usize>>) {
    loop {
        let known: Vec<BTreeSet<&'a str>> = levels.keys().cloned().collect();
        for (i, a) in known.iter().enumerate() {
            for b in known.iter().skip(i + 1) {
                levels.entry(a.intersection(b).copied().collect()).or_default();
            }
        }
        if levels.len() == known.len() {
            return;
        }
    }
}

/// Whether `finer` is finer than `level` with none between.
fn covers(levels: &[BTreeSet<&str>], level: &BTreeSet<&str>, finer: &BTreeSet<&str>) -> bool {
    let below = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| a != b && a.is_subset(b);
    below(level, finer) && !levels.iter().any(|l| below(level, l) && below(l, finer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(keys: &[(&str, &str)]) -> Place {
        keys.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect()
    }

    #[test]
    fn two_tables_share_a_total_that_neither_shows() {
        let places = [place(&[("a", "x")]), place(&[("a", "y")]), place(&[("b", "1")]), place(&[("b", "2")])];
        let members: Vec<_> = places.iter().enumerate().zip([3, 4, 5, 2]).map(|((i, p), v)| (i, p, v)).collect();
        let system = System::new(Statistic::Rows, &members).unwrap();
        assert_eq!((system.equations.len(), system.cells.len(), system.values[4]), (2, 5, 7));
        assert_eq!(system.unknown(&[true, false, false, false]), [0, 4]);
        let alone = System::new(Statistic::Rows, &members[..2]).unwrap();
        assert!(alone.equations.is_empty() && alone.unknown(&[true; 4]).is_empty());
        // Units that lie in several cells of one table: the shared total is nobody's knowledge. Rows that do not add up: a fault.
        let mut odd = members.clone();
        odd[3].2 = 3;
        assert_eq!(System::new(Statistic::Units, &odd).unwrap().equations.len(), 1);
        assert!(System::new(Statistic::Rows, &odd).is_none());
    }

    #[test]
    fn a_whole_holds_between_largest_part_and_sum() {
        let union = Equation { whole: 0, parts: vec![1, 2], relation: Relation::Union };
        assert!(union.holds(&[5, 5, 3]) && union.holds(&[8, 5, 3]) && !union.holds(&[9, 5, 3]) && !union.holds(&[4, 5, 3]));
        let equal = Equation { relation: Relation::Equal, ..union };
        assert!(equal.holds(&[8, 5, 3]) && !equal.holds(&[7, 5, 3]) && !equal.holds(&[7, 5]));
    }
}
