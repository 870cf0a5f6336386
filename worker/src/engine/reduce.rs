//! One pass over the rows of a view: counts and sums per cell, with the evidence per privacy unit.
//!
//! Rows of a unit are adjacent, so a unit's part in a cell is complete when its run ends: nothing is hashed or sorted by unit.
//! Rows are shared out between threads at unit boundaries; all sums are exact integers, so merging them in any number gives
//! the same result. That runs are units is checked: their number must be the number of distinct units that fusing found.

use std::ops::Range;

use protocol::message::EngineFailure;
use protocol::plan::Visibility;

use super::key::{BLOCK, Cells, Scratch, is_set};
use super::parallel::parallel;
use super::runs::{boundary, shares};
use super::view::View;

/// A number column to be summed.
pub(super) struct Measure<'a> {
    /// Stored integers.
    pub values: &'a [i64],
    /// Bitmap of present values.
    pub validity: Option<&'a [u8]>,
    /// Whether squares are summed.
    pub squares: bool,
}

/// Counts of a cell.
#[derive(Clone, Default)]
pub(super) struct Count {
    /// Rows.
    pub rows: u64,
    /// Distinct units.
    pub units: u64,
    /// Distinct units with a row that counts.
    pub counting: u64,
    /// Sum of the rows' digests.
    pub contributors: u128,
    run: u64,
    run_counts: bool,
}

/// 128 bits of a row's identity, which is keyed already: two finalisers of splitmix64 (Steele, Lea, Flood 2014), so that the sums of
/// different sets of rows differ.
#[inline]
fn digest(identity: i64) -> u128 {
    let half = |step: u64| {
        let z = identity.cast_unsigned().wrapping_add(step);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(z ^ (z >> 31))
    };
    half(0x9e37_79b9_7f4a_7c15) << 64 | half(0x3c6e_f372_fe94_f82a)
}

/// Sums of a measure in a cell.
#[derive(Clone)]
pub(super) struct Sums {
    /// Rows with a value.
    pub n: u64,
    /// Distinct units with a row that counts and has a value.
    pub counting: u64,
    /// Sum.
    pub sum: i128,
    /// Sum of squares.
    pub squares: i128,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// Largest |total| of a unit.
    pub largest: i128,
    /// Second largest |total| of a unit.
    pub second: i128,
    /// Sum of the units' |totals|.
    pub total: i128,
    run: u64,
    run_total: i128,
    run_counts: bool,
}

impl Sums {
    /// No row.
    pub(super) const ZERO: Self = Self {
        n: 0,
        counting: 0,
        sum: 0,
        squares: 0,
        min: i64::MAX,
        max: i64::MIN,
        largest: 0,
        second: 0,
        total: 0,
        run: 0,
        run_total: 0,
        run_counts: false,
    };

    #[inline]
    fn add_value(&mut self, value: i64, squares: bool) {
        let wide = i128::from(value);
        self.n += 1;
        self.sum += wide;
        if squares {
            self.squares += wide * wide;
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    #[inline]
    fn add_unit(&mut self, total: i128) {
        self.total += total;
        self.rank(total);
    }

    #[inline]
    fn rank(&mut self, total: i128) {
        if total > self.second {
            self.second = total.min(self.largest);
            self.largest = self.largest.max(total);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.counting += other.counting;
        self.sum += other.sum;
        self.squares += other.squares;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.total += other.total;
        self.rank(other.largest);
        self.rank(other.second);
    }
}

/// Everything that one pass finds, by cell number.
pub(super) struct Reduced {
    /// One a cell.
    pub counts: Vec<Count>,
    /// For each measure, one a cell.
    pub sums: Vec<Vec<Sums>>,
    runs: u64,
}

/// Reduces the whole view.
///
/// # Errors
/// [`EngineFailure::Column`] where rows of a unit are not adjacent or columns are of unequal length.
pub(super) fn reduce(view: &View, cells: &Cells<'_>, measures: &[Measure<'_>]) -> Result<Reduced, EngineFailure> {
    let pass = Pass {
        units: view.hidden(Visibility::UnitOrdinal)?,
        foreign: view.hidden(Visibility::Foreign)?,
        identity: view.identity()?,
        cells,
        measures,
    };
    // Small views are not worth a thread, and accumulators of many cells not their memory.
    let heavy = cells.len() * (measures.len() + 1) > 1 << 19;
    let threads = if view.rows < 1 << 16 || heavy { 1 } else { view.threads.clamp(1, 64) };
    let shares = shares(pass.units, threads);
    let parts = parallel(threads, shares.len(), |i| pass.run(shares.get(i).cloned().unwrap_or(0..0)))?;
    let all = parts.into_iter().reduce(merge).ok_or(EngineFailure::Internal)?;
    if all.runs == view.units { Ok(all) } else { Err(EngineFailure::Column) }
}

fn merge(mut all: Reduced, part: Reduced) -> Reduced {
    for (to, from) in all.counts.iter_mut().zip(&part.counts) {
        to.rows += from.rows;
        to.units += from.units;
        to.counting += from.counting;
        to.contributors = to.contributors.wrapping_add(from.contributors);
    }
    for (to, from) in all.sums.iter_mut().flatten().zip(part.sums.iter().flatten()) {
        to.merge(from);
    }
    all.runs += part.runs;
    all
}

struct Pass<'a> {
    units: &'a [i64],
    foreign: &'a [i64],
    identity: &'a [i64],
    cells: &'a Cells<'a>,
    measures: &'a [Measure<'a>],
}

impl Pass<'_> {
    fn run(&self, rows: Range<usize>) -> Result<Reduced, EngineFailure> {
        let cells = self.cells.len();
        let sums = self.measures.iter().map(|_| vec![Sums::ZERO; cells]).collect();
        let mut out = Reduced { counts: vec![Count::default(); cells], sums, runs: 0 };
        let (mut scratch, mut ids, mut ends, mut present, mut touched) =
            (Scratch::default(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut start = rows.start;
        while start < rows.end {
            let end = boundary(self.units, (start + BLOCK).min(rows.end));
            self.cells.write(start..end, &mut scratch, &mut ids)?;
            let (units, foreign) = (self.units.get(start..end), self.foreign.get(start..end));
            let identity = self.identity.get(start..end);
            let (Some(units), Some(foreign), Some(identity)) = (units, foreign, identity) else { return Err(EngineFailure::Column) };
            ends.clear();
            ends.extend((1..).zip(units.windows(2)).filter(|(_, w)| w.first() != w.last()).map(|(i, _)| i));
            ends.push(units.len());
            let block = Block { ids: &ids, foreign, ends: &ends, first_run: out.runs + 1 };
            block.count(&mut out.counts);
            for (id, identity) in ids.iter().zip(identity) {
                let Some(cell) = out.counts.get_mut(*id as usize) else { continue };
                cell.contributors = cell.contributors.wrapping_add(digest(*identity));
            }
            for (measure, sums) in self.measures.iter().zip(&mut out.sums) {
                let values = measure.values.get(start..end).ok_or(EngineFailure::Column)?;
                present.clear();
                match measure.validity {
                    None => present.resize(values.len(), true),
                    Some(bits) => present.extend((start..end).map(|row| is_set(bits, row))),
                }
                block.sum(values, &present, measure.squares, sums, &mut touched);
            }
            out.runs += ends.len() as u64;
            start = end;
        }
        Ok(out)
    }
}

/// Whole runs of rows. `ends` are the runs' ends in it, rising.
struct Block<'a> {
    ids: &'a [u32],
    foreign: &'a [i64],
    ends: &'a [usize],
    first_run: u64,
}

impl Block<'_> {
    fn is_all_single(&self) -> bool {
        self.ends.len() == self.ids.len()
    }

    fn runs(&self) -> impl Iterator<Item = (u64, Range<usize>)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        (self.first_run..).zip(starts.zip(self.ends.iter().copied()).map(|(start, end)| start..end))
    }

    fn count(&self, counts: &mut [Count]) {
        if self.is_all_single() {
            for (id, foreign) in self.ids.iter().zip(self.foreign) {
                let Some(cell) = counts.get_mut(*id as usize) else { continue };
                cell.rows += 1;
                cell.units += 1;
                cell.counting += u64::from(*foreign == 1);
            }
            return;
        }
        for (run, rows) in self.runs() {
            let rows = self.ids.get(rows.clone()).into_iter().flatten().zip(self.foreign.get(rows).into_iter().flatten());
            for (id, foreign) in rows {
                let Some(cell) = counts.get_mut(*id as usize) else { continue };
                if cell.run != run {
                    (cell.run, cell.run_counts) = (run, false);
                    cell.units += 1;
                }
                cell.rows += 1;
                if *foreign == 1 && !cell.run_counts {
                    cell.run_counts = true;
                    cell.counting += 1;
                }
            }
        }
    }

    fn sum(&self, values: &[i64], present: &[bool], squares: bool, sums: &mut [Sums], touched: &mut Vec<u32>) {
        if self.is_all_single() {
            for (((id, foreign), value), present) in self.ids.iter().zip(self.foreign).zip(values).zip(present) {
                let Some(cell) = sums.get_mut(*id as usize).filter(|_| *present) else { continue };
                cell.add_value(*value, squares);
                cell.add_unit(i128::from(*value).abs());
                cell.counting += u64::from(*foreign == 1);
            }
            return;
        }
        let mut rows = self.ids.iter().zip(self.foreign).zip(values).zip(present);
        for (run, range) in self.runs() {
            touched.clear();
            for (((id, foreign), value), present) in rows.by_ref().take(range.len()) {
                let Some(cell) = sums.get_mut(*id as usize).filter(|_| *present) else { continue };
                if cell.run != run {
                    (cell.run, cell.run_total, cell.run_counts) = (run, 0, false);
                    touched.push(*id);
                }
                cell.add_value(*value, squares);
                cell.run_total += i128::from(*value);
                if *foreign == 1 && !cell.run_counts {
                    cell.run_counts = true;
                    cell.counting += 1;
                }
            }
            for id in touched.iter() {
                let Some(cell) = sums.get_mut(*id as usize) else { continue };
                cell.add_unit(cell.run_total.abs());
            }
        }
    }
}

/// Lower order statistics of a measure: for each of `permilles`, one value a cell (`None` without values). `n` is the number
/// of values of each cell.
///
/// # Errors
/// As [`reduce`].
pub(super) fn order_statistics(
    rows: usize,
    cells: &Cells<'_>,
    measure: &Measure<'_>,
    n: &[u64],
    permilles: &[u16],
) -> Result<Vec<Vec<Option<i64>>>, EngineFailure> {
    let mut next: Vec<usize> = Vec::with_capacity(n.len());
    let mut total = 0usize;
    for n in n {
        next.push(total);
        total += usize::try_from(*n).map_err(|_| EngineFailure::Internal)?;
    }
    let mut sorted = vec![0i64; total];
    let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
    for start in (0..rows).step_by(BLOCK) {
        let end = rows.min(start + BLOCK);
        cells.write(start..end, &mut scratch, &mut ids)?;
        let values = measure.values.get(start..end).ok_or(EngineFailure::Column)?;
        for ((row, id), value) in (start..end).zip(&ids).zip(values) {
            if measure.validity.is_some_and(|bits| !is_set(bits, row)) {
                continue;
            }
            let Some(at) = next.get_mut(*id as usize) else { return Err(EngineFailure::Internal) };
            let Some(slot) = sorted.get_mut(*at) else { return Err(EngineFailure::Internal) };
            *slot = *value;
            *at += 1;
        }
    }
    let mut rest = sorted.as_mut_slice();
    let mut out = vec![Vec::with_capacity(n.len()); permilles.len()];
    for n in n {
        let (cell, later) = rest.split_at_mut_checked(*n as usize).ok_or(EngineFailure::Internal)?;
        rest = later;
        for (permille, out) in permilles.iter().zip(&mut out) {
            // The ⌈n·permille/1000⌉-th smallest, counted from 1; the first for 0.
            let rank = (*n * u64::from(*permille)).div_ceil(1000).saturating_sub(1) as usize;
            out.push((rank < cell.len()).then(|| *cell.select_nth_unstable(rank).1));
        }
    }
    Ok(out)
}
