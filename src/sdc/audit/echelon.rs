//! The reduced row echelon form of all equations, atoms with few units last: what is left where every large atom is eliminated.

use super::atoms::{Atoms, add};
use super::field::Prime;
use super::{Found, Steps, TooLarge};

/// A row: its columns, rising, with their values; the first is the pivot, and its value one.
pub(super) type Sparse = Vec<(u32, u64)>;

pub(super) struct Echelon {
    prime: Prime,
    pub(super) rows: Vec<Sparse>,
    /// The row whose pivot a column is.
    pub(super) pivots: Vec<Option<usize>>,
    scratch: Vec<u64>,
}

impl Echelon {
    pub(super) fn new(prime: Prime, columns: usize) -> Self {
        Self { prime, rows: Vec::new(), pivots: vec![None; columns], scratch: vec![0; columns] }
    }

    /// `row` without the pivots of the first `before` rows; nothing where these say all of it.
    pub(super) fn reduced(&mut self, row: &[(u32, u64)], before: usize, steps: &mut Steps) -> Result<Sparse, TooLarge> {
        for (column, value) in row {
            if let Some(slot) = self.scratch.get_mut(*column as usize) {
                *slot = *value;
            }
        }
        let columns = self.scratch.len();
        let first = row.first().map_or(columns, |(column, _)| *column as usize);
        steps.take(columns.saturating_sub(first) / 8 + 1)?;
        let mut left: Sparse = Vec::new();
        for column in first..columns {
            let value = self.scratch.get_mut(column).map_or(0, std::mem::take);
            if value == 0 {
                continue;
            }
            let pivot = self.pivots.get(column).copied().flatten().filter(|r| *r < before).and_then(|r| self.rows.get(r));
            let Some((_, tail)) = pivot.and_then(|row| row.split_first()) else {
                left.push((column as u32, value));
                continue;
            };
            steps.take(tail.len())?;
            // All of a row's columns stand to the right of its pivot.
            for (at, factor) in tail {
                if let Some(slot) = self.scratch.get_mut(*at as usize) {
                    *slot = self.prime.sub_mul(*slot, value, *factor);
                }
            }
        }
        Ok(left)
    }

    fn insert(&mut self, row: &[(u32, u64)], steps: &mut Steps) -> Result<(), TooLarge> {
        let left = self.reduced(row, self.rows.len(), steps)?;
        self.keep(left);
        Ok(())
    }

    /// Keeps a row that was reduced by those before.
    pub(super) fn keep(&mut self, mut left: Sparse) {
        let inverse = left.first().map_or(1, |(_, value)| self.prime.inverse(*value));
        left.iter_mut().for_each(|(_, value)| *value = self.prime.mul(*value, inverse));
        if let Some(slot) = left.first().and_then(|(column, _)| self.pivots.get_mut(*column as usize)) {
            *slot = Some(self.rows.len());
            self.rows.push(left);
        }
    }
}

/// The atoms, most units first, and the column of each.
pub(super) fn columns(atoms: &Atoms) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0u32..).take(atoms.units.len()).collect();
    order.sort_by_key(|atom| std::cmp::Reverse(atoms.units.get(*atom as usize).map_or(0, Vec::len)));
    let mut column_of = vec![0u32; order.len()];
    for (column, atom) in (0u32..).zip(&order) {
        if let Some(slot) = column_of.get_mut(*atom as usize) {
            *slot = column;
        }
    }
    (order, column_of)
}

/// Finds a row of the form whose support has fewer than `k` units and that cells before `first_new` alone do not say already.
pub(super) fn find(atoms: &Atoms, first_new: usize, k: usize, prime: Prime, steps: &mut Steps) -> Result<Option<Found>, TooLarge> {
    let (order, column_of) = columns(atoms);
    let big = order.iter().take_while(|atom| atoms.is_big(**atom, k)).count();
    let mut echelon = Echelon::new(prime, order.len());
    let mut earlier = 0;
    for (c, cell) in atoms.cells.iter().enumerate() {
        if c == first_new {
            earlier = echelon.rows.len();
        }
        let mut row: Sparse =
            cell.iter().map(|(atom, times)| (column_of.get(*atom as usize).copied().unwrap_or(0), (*times).into())).collect();
        row.sort_unstable();
        echelon.insert(&row, steps)?;
    }
    if first_new >= atoms.cells.len() {
        return Ok(None);
    }
    // Rows whose pivot is a large atom have enough units whatever stands beside it; the others are reduced from the last one up.
    let mut small: Vec<usize> = (big..order.len()).filter_map(|column| echelon.pivots.get(column).copied().flatten()).collect();
    small.reverse();
    let mut finished = Echelon::new(prime, order.len());
    for row in small {
        let Some(((pivot, _), tail)) = echelon.rows.get(row).and_then(|r| r.split_first()).map(|(p, tail)| (*p, tail.to_vec())) else {
            continue;
        };
        let mut whole: Sparse = vec![(pivot, 1)];
        whole.extend(finished.reduced(&tail, usize::MAX, steps)?);
        if let Some(found) = leak(atoms, &order, &whole, k)
            && !echelon.reduced(&whole, earlier, steps)?.is_empty()
        {
            return Ok(Some(found));
        }
        if let Some(slot) = finished.pivots.get_mut(pivot as usize) {
            *slot = Some(finished.rows.len());
            finished.rows.push(whole);
        }
    }
    Ok(None)
}

fn leak(atoms: &Atoms, order: &[u32], row: &[(u32, u64)], k: usize) -> Option<Found> {
    let mut units = Vec::new();
    for (column, _) in row {
        for unit in order.get(*column as usize).and_then(|atom| atoms.units.get(*atom as usize)).into_iter().flatten() {
            add(&mut units, *unit, k);
        }
        if units.len() >= k {
            return None;
        }
    }
    Some(Found { cells: Vec::new(), units: units.len() })
}
