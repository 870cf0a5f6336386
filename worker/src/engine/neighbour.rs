//! For the neighbour-replay probe: the view as a guest would have it without one unit, and which units stand out.
//!
//! What is guaranteed: the columns are those that a fusion without that unit's rows would have granted, byte for byte, where members are
//! joined on the unit (a test over random plans). So a label that only this unit had is gone from a dictionary found in the data, too.
//!
//! Distances are floating-point sums taken row by row on one thread: the same on any number of cores.

use std::ops::Range;
use std::os::fd::OwnedFd;

use protocol::column::Column;
use protocol::message::EngineFailure;
use protocol::neighbour::{Measured, RANKED_MAX, RankRequest, Ranked};
use protocol::plan::{ViewColumn, ViewType};

use super::fold::blocks::runs;
use super::output::{Content, gather, seal};
use super::parallel::parallel;
use super::view::View;

/// Largest distance that counts in one column, ten standard deviations: an operator's own column cannot make a unit look as if anything
/// might be expected of it.
const DISTANCE_MAX: f64 = 100.0;
/// Labels of a category in which distance is measured; one with more is passed over.
const LABELS_MAX: usize = 256;

/// The granted columns of `view` without the rows of the unit at `place`, and how many rows are left.
///
/// # Errors
/// [`EngineFailure::Plan`] where there is no such unit.
pub(super) fn without(view: &View, place: u64) -> Result<(Vec<OwnedFd>, u64), EngineFailure> {
    let (_, starts) = runs(view)?;
    let gone = rows_of(&starts, place).ok_or(EngineFailure::Plan)?;
    let all = u32::try_from(view.rows).map_err(|_| EngineFailure::Plan)?;
    let kept: Vec<u32> = (0..gone.start).chain(gone.end..all).collect();
    let columns: Vec<(&ViewColumn, Column<'_>)> = view.all_granted().collect::<Result<_, _>>()?;
    let fds = parallel(view.threads, columns.len(), |i| {
        let (described, column) = columns.get(i).ok_or(EngineFailure::Internal)?;
        seal(&rest(&described.ty, column, &kept)?)
    })?;
    Ok((fds, kept.len() as u64))
}

/// Rows of the unit at `place`.
fn rows_of(starts: &[u32], place: u64) -> Option<Range<u32>> {
    let place = usize::try_from(place).ok()?;
    Some(*starts.get(place)?..*starts.get(place.checked_add(1)?)?)
}

/// The `kept` rows of a column.
fn rest(ty: &ViewType, column: &Column<'_>, kept: &[u32]) -> Result<Content, EngineFailure> {
    let present = |row: u32| column.is_valid(row as usize);
    let Some(codes) = column.codes() else {
        let values = column.i64s().ok_or(EngineFailure::Column)?;
        return Ok(Content::Ints(gather(kept, |row| values.get(row as usize).copied().filter(|_| present(row)))));
    };
    let labels = column.labels();
    let code = |row: u32| codes.get(row as usize).copied().filter(|_| present(row));
    if *ty == (ViewType::Category { declared: true }) {
        return Ok(Content::Codes(gather(kept, code), labels.into_iter().map(str::to_owned).collect()));
    }
    let mut used = vec![false; labels.len()];
    for code in kept.iter().filter_map(|row| code(*row)) {
        *used.get_mut(code as usize).ok_or(EngineFailure::Column)? = true;
    }
    let places = used.iter().scan(0u32, |next, used| {
        let place = *next;
        *next += u32::from(*used);
        Some(place)
    });
    let places: Vec<u32> = places.collect();
    let recoded = gather(kept, |row| code(row).and_then(|code| places.get(code as usize).copied()));
    let left = labels.into_iter().zip(&used).filter(|(_, used)| **used).map(|(label, _)| label.to_owned());
    Ok(Content::Codes(recoded, left.collect()))
}

/// Measures the units that are named, and names those that stand out.
///
/// # Errors
/// [`EngineFailure::Plan`] for a column that is not granted, a unit that is none, or too many of either.
pub(super) fn rank(view: &View, request: &RankRequest) -> Result<Ranked, EngineFailure> {
    let (most, far) = (usize::from(request.most_rows), usize::from(request.farthest));
    if request.units.len() > RANKED_MAX || most > RANKED_MAX || far > RANKED_MAX {
        return Err(EngineFailure::Plan);
    }
    let (_, starts) = runs(view)?;
    let mut scales = Vec::new();
    for name in &request.columns {
        let (ty, column) = view.granted(name).ok_or(EngineFailure::Plan)?;
        scales.extend(Scale::of(ty, column));
    }
    let measure = |place: u64| rows_of(&starts, place).map(|rows| measured(place, rows, &scales)).ok_or(EngineFailure::Plan);
    let named = request.units.iter().map(|place| measure(*place)).collect::<Result<_, _>>()?;
    let (mut most_rows, mut farthest) = (Top::of(most), Top::of(far));
    let mut fewest = u64::MAX;
    for place in 0..(starts.len() as u64).saturating_sub(1) {
        let unit = measure(place)?;
        fewest = fewest.min(unit.rows);
        most_rows.offer(unit.rows, unit);
        farthest.offer(unit.largest_permille, unit);
    }
    let most_rows: Vec<Measured> = most_rows.0.into_iter().map(|(_, unit)| unit).filter(|unit| unit.rows > fewest).collect();
    let farthest = farthest.0.into_iter().map(|(_, unit)| unit).collect();
    Ok(Ranked { named, most_rows, farthest })
}

/// The largest so far, largest first; of equal ones those that came first.
struct Top(Vec<(u64, Measured)>, usize);

impl Top {
    fn of(most: usize) -> Self {
        Self(Vec::with_capacity(most + 1), most)
    }

    fn offer(&mut self, value: u64, unit: Measured) {
        if self.0.len() == self.1 && self.0.last().is_none_or(|(least, _)| *least >= value) {
            return;
        }
        let at = self.0.partition_point(|(other, _)| *other >= value);
        self.0.insert(at, (value, unit));
        self.0.truncate(self.1);
    }
}

/// How distance is measured in a column.
enum Scale<'v> {
    Number { column: Column<'v>, values: &'v [i64], mean: f64, variance: f64 },
    Label { column: Column<'v>, codes: &'v [u32], distance: Vec<f64>, mean: f64 },
}

impl<'v> Scale<'v> {
    /// `None` for a column in which all are alike, and for pseudonyms.
    fn of(ty: &ViewType, column: Column<'v>) -> Option<Self> {
        let rows = usize::try_from(column.rows()).ok()?;
        if let Some(codes) = column.codes() {
            let mut counts = vec![0u64; column.labels().len()];
            for (row, code) in codes.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
                debug_assert!(row < rows);
                *counts.get_mut(*code as usize)? += 1;
            }
            let all = counts.iter().sum::<u64>() as f64;
            let used = counts.iter().filter(|n| **n > 0).count();
            let distance = counts.iter().map(|n| if *n == 0 { 0.0 } else { all / *n as f64 - 1.0 }).collect();
            return (2..=LABELS_MAX).contains(&used).then_some(Self::Label { column, codes, distance, mean: used as f64 - 1.0 });
        }
        let values = column.i64s().filter(|_| !matches!(ty, ViewType::Pseudonym))?;
        let present = || values.iter().enumerate().filter(|(row, _)| column.is_valid(*row)).map(|(_, v)| *v as f64);
        let n = present().count() as f64;
        let mean = present().sum::<f64>() / n;
        let variance = present().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        (variance > 0.0).then_some(Self::Number { column, values, mean, variance })
    }

    /// Distance of a row, and what it is on average.
    fn distance(&self, row: usize) -> (f64, f64) {
        match self {
            Self::Number { column, values, mean, variance } if column.is_valid(row) => {
                let from_mean = values.get(row).map_or(0.0, |v| *v as f64 - mean);
                (from_mean * from_mean / variance, 1.0)
            }
            Self::Label { column, codes, distance, mean } if column.is_valid(row) => {
                (codes.get(row).and_then(|code| distance.get(*code as usize)).copied().unwrap_or(0.0), *mean)
            }
            _ => (0.0, 1.0),
        }
    }
}

fn measured(unit: u64, rows: Range<u32>, scales: &[Scale<'_>]) -> Measured {
    let (mut mean, mut largest) = (0.0, 0.0);
    for row in rows.clone() {
        let mut far = 0.0f64;
        for scale in scales {
            let (distance, on_average) = scale.distance(row as usize);
            let distance = distance.min(DISTANCE_MAX);
            mean += distance / on_average / scales.len() as f64;
            far = far.max(distance);
        }
        largest += far;
    }
    let thousandths = |value: f64| (value * 1000.0).round() as u64;
    Measured { unit, rows: u64::from(rows.end - rows.start), mean_permille: thousandths(mean), largest_permille: thousandths(largest) }
}

#[cfg(test)]
mod tests;
