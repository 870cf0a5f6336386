//! Sums over sets of rows that follow from shown sums, and whether one unit may hold too much of one.
//!
//! Values are not kept from release to release: of each shown sum its largest units are, with what they have in it, rounded up. A unit's
//! part in a set of rows is no larger than in a cell that holds the set, nor than the parts in cells that hold each of its atoms; a
//! unit that is not named has no more in a cell than the last one that is. With these bounds in place of the two largest parts, the
//! rules ask no less than with the parts themselves, so that what they let pass is not dominated; but they can hold what is not.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::atoms::{Atoms, NO_ATOM};
use super::echelon::{Echelon, Sparse, columns};
use super::field::Prime;
use super::{Cell, Found, Steps, TooLarge};

/// Sums beyond this are not judged: the field tells integers apart up to a fourth of its size.
const TOTAL_MAX: u128 = 1 << 57;

/// A shown sum of a column that cannot be negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Index of its cell.
    pub cell: usize,
    /// The sum.
    pub total: i128,
    /// Its largest units, largest first, and no less than what each has in it.
    pub top: Vec<(u32, u64)>,
    /// Whether no other unit has a part in it.
    pub whole: bool,
}

/// What a sum must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most that the largest unit may hold, in permille.
    pub largest_permille: u16,
    /// Most that the largest two may hold, in permille.
    pub largest_two_permille: u16,
    /// p%: least that the others hold, in permille of the largest.
    pub p_permille: u16,
    /// Whether a sum of zero, which tells everybody's value, is found.
    pub zero: bool,
}

impl Limits {
    fn broken(&self, total: i128, first: i128, second: i128) -> bool {
        let over = |part: i128, permille: u16| part.saturating_mul(1000) > total.saturating_mul(permille.into());
        (self.zero && total == 0)
            || over(first, self.largest_permille)
            || over(first + second, self.largest_two_permille)
            || (total - first - second).saturating_mul(1000) < first.saturating_mul(self.p_permille.into())
    }
}

impl Sum {
    /// What a unit that is not named can have in it.
    fn rest(&self) -> i128 {
        if self.whole { 0 } else { self.top.last().map_or(i128::MAX, |(_, most)| (*most).into()) }
    }

    fn most(&self, unit: u32) -> i128 {
        self.top.iter().find(|(u, _)| *u == unit).map_or_else(|| self.rest(), |(_, most)| (*most).into())
    }
}

/// What bounds are looked up in.
struct Known<'a> {
    atoms: &'a Atoms,
    sums: &'a [Sum],
    /// Of each atom the sums over it.
    over: Vec<Vec<usize>>,
    /// Of each atom the named units with a row in it.
    named: Vec<BTreeSet<u32>>,
}

impl<'a> Known<'a> {
    fn new(unit_of: &[u32], atoms: &'a Atoms, sums: &'a [Sum]) -> Self {
        let mut over = vec![Vec::new(); atoms.units.len()];
        for (e, cell) in atoms.cells.iter().enumerate() {
            for (atom, _) in cell {
                if let Some(all) = over.get_mut(*atom as usize) {
                    all.push(e);
                }
            }
        }
        let units: HashSet<u32> = sums.iter().flat_map(|s| &s.top).map(|(unit, _)| *unit).collect();
        let mut named = vec![BTreeSet::new(); atoms.units.len()];
        for (unit, atom) in unit_of.iter().zip(&atoms.of_rows).filter(|(unit, atom)| **atom != NO_ATOM && units.contains(unit)) {
            if let Some(all) = named.get_mut(*atom as usize) {
                all.insert(*unit);
            }
        }
        Self { atoms, sums, over, named }
    }

    fn over(&self, atom: u32) -> impl Iterator<Item = (usize, &Sum)> {
        self.over.get(atom as usize).into_iter().flatten().filter_map(|e| Some((*e, self.sums.get(*e)?)))
    }

    /// No less than what each of the two largest units can have in a set of atoms.
    fn bounds(&self, set: &[u32], steps: &mut Steps) -> Result<(i128, i128), TooLarge> {
        let mut holding: Vec<(usize, &Sum)> = set.first().map_or_else(Vec::new, |atom| self.over(*atom).collect());
        for atom in set.iter().skip(1) {
            steps.take(holding.len() + 1)?;
            let holds = |e: usize| self.atoms.cells.get(e).is_some_and(|cell| cell.binary_search_by_key(atom, |(a, _)| *a).is_ok());
            holding.retain(|(e, _)| holds(*e));
        }
        let least = |sums: &mut dyn Iterator<Item = i128>| sums.min().unwrap_or(i128::MAX);
        // Of each named unit, the sum of its bounds in the atoms that it has a row in.
        let mut by_atoms: BTreeMap<u32, i128> = BTreeMap::new();
        let mut rest = 0i128;
        for atom in set {
            steps.take(self.over.get(*atom as usize).map_or(0, Vec::len) + 1)?;
            rest = rest.saturating_add(least(&mut self.over(*atom).map(|(_, s)| s.rest())));
            for unit in self.named.get(*atom as usize).into_iter().flatten() {
                steps.take(self.over.get(*atom as usize).map_or(0, Vec::len) + 1)?;
                let most = least(&mut self.over(*atom).map(|(_, s)| s.most(*unit)));
                let slot = by_atoms.entry(*unit).or_insert(0);
                *slot = slot.saturating_add(most);
            }
        }
        let rest = rest.min(least(&mut holding.iter().map(|(_, s)| s.rest())));
        let (mut first, mut second) = (rest, rest);
        for (unit, most) in by_atoms {
            steps.take(holding.len() + 1)?;
            let most = most.min(least(&mut holding.iter().map(|(_, s)| s.most(unit))));
            if most > first {
                (first, second) = (most, first);
            } else {
                second = second.max(most);
            }
        }
        Ok((first, second))
    }
}

/// Finds a row of the reduced form of all sums that is a sum over a set of rows, of no shown cell, breaks the limits, and does not follow
/// from sums of cells before `first_new` alone.
pub(super) fn find(
    unit_of: &[u32],
    cells: &[Cell],
    sums: &[Sum],
    first_new: usize,
    (k, limits): (usize, &Limits),
    (prime, seed): (Prime, u64),
    steps: &mut Steps,
) -> Result<Option<Found>, TooLarge> {
    let equations: Vec<&Cell> = sums.iter().filter_map(|s| cells.get(s.cell)).collect();
    if sums.iter().all(|s| s.cell < first_new) {
        return Ok(None);
    }
    // A sum of no cell, or too large a one: not known.
    if equations.len() != sums.len() || sums.iter().any(|s| s.total.unsigned_abs() > TOTAL_MAX) {
        return Err(TooLarge);
    }
    steps.take(equations.iter().map(|c| c.rows.len()).sum::<usize>())?;
    let atoms = Atoms::new(unit_of, &equations, k, seed);
    let (order, column_of) = columns(&atoms);
    // The sums themselves stand in one more column.
    let right = order.len() as u32;
    let mut echelon = Echelon::new(prime, order.len() + 1);
    let mut earlier = 0;
    for (sum, cell) in sums.iter().zip(&atoms.cells) {
        let mut row: Sparse = cell.iter().map(|(a, times)| (column_of.get(*a as usize).copied().unwrap_or(0), (*times).into())).collect();
        row.sort_unstable();
        row.push((right, prime.element(sum.total)));
        let left = echelon.reduced(&row, usize::MAX, steps)?;
        // Nothing but a sum: the same rows with other values, as by another clamp.
        if left.first().is_some_and(|(column, _)| *column != right) {
            echelon.keep(left);
        }
        if sum.cell < first_new {
            earlier = echelon.rows.len();
        }
    }
    let known = Known::new(unit_of, &atoms, sums);
    let shown: HashSet<&[(u32, u32)]> = atoms.cells.iter().map(Vec::as_slice).collect();
    let mut finished = Echelon::new(prime, order.len() + 1);
    let pivots: Vec<usize> = (0..order.len()).rev().filter_map(|column| echelon.pivots.get(column).copied().flatten()).collect();
    for row in pivots {
        let Some(((pivot, _), tail)) = echelon.rows.get(row).and_then(|r| r.split_first()).map(|(p, tail)| (*p, tail.to_vec())) else {
            continue;
        };
        let mut whole: Sparse = vec![(pivot, 1)];
        whole.extend(finished.reduced(&tail, usize::MAX, steps)?);
        if let Some((set, total)) = set(&whole, &order, right, prime)
            && !shown.contains(set.iter().map(|atom| (*atom, 1)).collect::<Vec<_>>().as_slice())
        {
            let (first, second) = known.bounds(&set, steps)?;
            let first = first.min(total);
            if limits.broken(total, first, second.min(total - first)) && !echelon.reduced(&whole, earlier, steps)?.is_empty() {
                let units = set.iter().filter_map(|atom| atoms.units.get(*atom as usize)).map(Vec::len).max().unwrap_or(0);
                return Ok(Some(Found { cells: Vec::new(), units }));
            }
        }
        if let Some(slot) = finished.pivots.get_mut(pivot as usize) {
            *slot = Some(finished.rows.len());
            finished.rows.push(whole);
        }
    }
    Ok(None)
}

/// The atoms, sorted, and the sum, of a row that is a sum over a set; `None` of another row.
fn set(row: &[(u32, u64)], order: &[u32], right: u32, prime: Prime) -> Option<(Vec<u32>, i128)> {
    let (mut atoms, mut total) = (Vec::new(), 0);
    for (column, value) in row {
        if *column == right {
            total = prime.nearest(*value);
        } else if *value == 1 {
            atoms.push(order.get(*column as usize).copied()?);
        } else {
            return None;
        }
    }
    atoms.sort_unstable();
    (total >= 0).then_some((atoms, total))
}
