//! Every pair of cells: what lies in one of them and not, or not as often, in the other.

use std::collections::HashMap;

use super::atoms::{Atoms, add, digest};
use super::{Cell, Found, Steps, TooLarge};

/// A cell that was seen, or nothing at all, with its small atoms and how often.
type Seen = (Option<usize>, Vec<(u32, u32)>);

/// Finds a pair of which at least one is new (index `first_new` on) and whose difference has a unit but fewer than `k`, or none though
/// their labels differ: one with a unit before one without. Nothing at all counts as a cell too.
///
/// Two cells that differ in an atom of `k` units need no further look, so cells are compared only where their big atoms agree.
pub(super) fn find(
    atoms: &Atoms,
    told: &[Cell],
    first_new: usize,
    k: usize,
    seed: u64,
    steps: &mut Steps,
) -> Result<Option<Found>, TooLarge> {
    let label = |cell: usize| told.get(cell).and_then(|c| c.label);
    let mut groups: HashMap<u128, Vec<Seen>> = HashMap::new();
    groups.entry(0).or_default().push((None, Vec::new()));
    let mut zero = None;
    for (c, cell) in atoms.cells.iter().enumerate() {
        let (big, small) = halves(atoms, cell, k, seed);
        let others = groups.entry(big).or_default();
        steps.take(cell.len())?;
        if c >= first_new {
            for (other, held) in others.iter() {
                let units = difference(atoms, &small, held, k, steps)?;
                let named_otherwise = || other.and_then(label).zip(label(c)).is_some_and(|(a, b)| a != b);
                let pair = || Some(Found { cells: other.iter().copied().chain([c]).collect(), units });
                if (1..k).contains(&units) {
                    return Ok(pair());
                }
                if units == 0 && zero.is_none() && !cell.is_empty() && named_otherwise() {
                    zero = pair();
                }
            }
        }
        others.push((Some(c), small));
    }
    Ok(zero)
}

/// Finds a pair of a cell before `first_new` and one from there on whose difference has a unit but fewer than `k`.
pub(super) fn between(atoms: &Atoms, first_new: usize, k: usize, seed: u64, steps: &mut Steps) -> Result<Option<Found>, TooLarge> {
    let mut groups: HashMap<u128, Vec<Seen>> = HashMap::new();
    for (c, cell) in atoms.cells.iter().enumerate() {
        let (big, small) = halves(atoms, cell, k, seed);
        steps.take(cell.len())?;
        if c < first_new {
            groups.entry(big).or_default().push((Some(c), small));
            continue;
        }
        for (other, held) in groups.get(&big).into_iter().flatten() {
            let units = difference(atoms, &small, held, k, steps)?;
            if (1..k).contains(&units) {
                return Ok(Some(Found { cells: other.iter().copied().chain([c]).collect(), units }));
            }
        }
    }
    Ok(None)
}

/// A digest of a cell's big atoms, and its small ones, with how often.
fn halves(atoms: &Atoms, cell: &[(u32, u32)], k: usize, seed: u64) -> (u128, Vec<(u32, u32)>) {
    let (mut big, mut small) = (0u128, Vec::new());
    for (atom, times) in cell {
        if atoms.is_big(*atom, k) {
            big = big.wrapping_add(digest(seed, (*atom).into(), (*times).into()));
        } else {
            small.push((*atom, *times));
        }
    }
    (big, small)
}

/// Distinct units in the symmetric difference, no further than `k`.
fn difference(atoms: &Atoms, a: &[(u32, u32)], b: &[(u32, u32)], k: usize, steps: &mut Steps) -> Result<usize, TooLarge> {
    let mut units = Vec::new();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while units.len() < k {
        steps.take(1)?;
        let atom = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(x), Some(y)) if x == y => {
                let _ = (a.next(), b.next());
                continue;
            }
            (Some(x), Some(y)) if x.0 == y.0 => {
                let _ = b.next();
                a.next()
            }
            (Some(x), Some(y)) if x.0 > y.0 => b.next(),
            (Some(_), _) => a.next(),
            (None, Some(_)) => b.next(),
        };
        for unit in atom.and_then(|(atom, _)| atoms.units.get(*atom as usize)).into_iter().flatten() {
            add(&mut units, *unit, k);
        }
    }
    Ok(units.len())
}
