//! Runs of rows of one privacy unit: rows of a unit stand next to each other, and work is shared out at their boundaries.

use std::ops::Range;

/// Where the run that `row` lies in the middle of ends; `row` itself where a run begins there.
pub(super) fn boundary(units: &[i64], row: usize) -> usize {
    let Some(last) = row.checked_sub(1).and_then(|i| units.get(i)) else { return row.min(units.len()) };
    row + units.get(row..).unwrap_or(&[]).iter().take_while(|unit| *unit == last).count()
}

/// `threads` ranges of whole runs; at least one, if empty.
pub(super) fn shares(units: &[i64], threads: usize) -> Vec<Range<usize>> {
    let rows = units.len();
    let mut ends: Vec<usize> = (1..threads).map(|t| boundary(units, rows / threads * t)).chain([rows]).collect();
    ends.dedup();
    let starts: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
    starts.into_iter().zip(ends).map(|(start, end)| start..end).collect()
}
