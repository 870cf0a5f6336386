//! Atoms: base rows that lie, as often, in the same cells.

use std::collections::HashMap;

use super::Cell;

/// Cells over atoms.
pub(super) struct Atoms {
    /// Distinct units of each atom, sorted; `k` of them where there are more.
    pub units: Vec<Vec<u32>>,
    /// Of each cell its atoms and how often, by atom.
    pub cells: Vec<Vec<(u32, u32)>>,
    /// Of each row its atom; [`NO_ATOM`] where it lies in no cell.
    pub of_rows: Vec<u32>,
}

/// The atom of a row that lies in no cell.
pub(super) const NO_ATOM: u32 = u32::MAX;

/// Splitmix64's finaliser (Steele, Lea, Flood 2014) over a secret seed: 128 bits of two lanes tell memberships apart, and nobody can
/// aim at a collision without the seed.
fn mix(seed: u64, a: u64, b: u64) -> u64 {
    let mut z = seed ^ a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

/// 128 bits of a pair.
pub(super) fn digest(seed: u64, a: u64, b: u64) -> u128 {
    u128::from(mix(seed, a, b)) << 64 | u128::from(mix(!seed, b.rotate_left(32), a))
}

impl Atoms {
    /// The atoms of `cells`. `unit_of` has the unit of each row.
    pub(super) fn new(unit_of: &[u32], cells: &[&Cell], k: usize, seed: u64) -> Self {
        let mut signatures = vec![0u128; unit_of.len()];
        for (c, cell) in (0u64..).zip(cells) {
            for (row, times) in &cell.rows {
                if let Some(signature) = signatures.get_mut(*row as usize) {
                    *signature = signature.wrapping_add(digest(seed, c, (*times).into()));
                }
            }
        }
        let mut known: HashMap<u128, u32> = HashMap::new();
        let mut units: Vec<Vec<u32>> = Vec::new();
        let mut atom_of = vec![NO_ATOM; unit_of.len()];
        for ((signature, unit), atom) in signatures.iter().zip(unit_of).zip(&mut atom_of) {
            if *signature == 0 {
                continue;
            }
            *atom = *known.entry(*signature).or_insert_with(|| {
                units.push(Vec::new());
                units.len() as u32 - 1
            });
            if let Some(units) = units.get_mut(*atom as usize) {
                add(units, *unit, k);
            }
        }
        let mut seen = vec![usize::MAX; units.len()];
        let told = |(c, cell): (usize, &&Cell)| {
            let mut atoms: Vec<(u32, u32)> = Vec::new();
            for (row, times) in &cell.rows {
                let atom = atom_of.get(*row as usize).copied().unwrap_or(NO_ATOM);
                if let Some(seen) = seen.get_mut(atom as usize).filter(|seen| **seen != c) {
                    *seen = c;
                    atoms.push((atom, *times));
                }
            }
            atoms.sort_unstable();
            atoms
        };
        let cells = cells.iter().enumerate().map(told).collect();
        Self { units, cells, of_rows: atom_of }
    }

    /// Whether an atom alone has `k` units.
    pub(super) fn is_big(&self, atom: u32, k: usize) -> bool {
        self.units.get(atom as usize).is_none_or(|units| units.len() >= k)
    }
}

/// Adds a unit to a sorted set that is not kept beyond `k`.
pub(super) fn add(units: &mut Vec<u32>, unit: u32, k: usize) {
    if units.len() < k
        && let Err(at) = units.binary_search(&unit)
    {
        units.insert(at, unit);
    }
}
