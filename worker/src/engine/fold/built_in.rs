//! Maps that need no module: one block a unit, one pass over the rows, integers only.

use std::ops::Range;

use protocol::fold::{Blocks, BuiltIn, FoldError, FoldPlan};
use protocol::manifest::FoldType;
use protocol::message::EngineFailure;
use protocol::plan::{ViewType, Visibility};

use super::super::parallel::parallel;
use super::super::runs::{boundary, shares};
use super::super::view::View;
use super::blocks::Choice;
use super::columns::One;

/// Rows looked at together.
const CHUNK: usize = 1 << 12;

/// Whether the map fits the view and the bound: every contribution keeps to it by itself, so none is ever cut.
///
/// # Errors
/// [`FoldError`].
pub(super) fn check(view: &View, plan: &FoldPlan, map: &BuiltIn) -> Result<(), EngineFailure> {
    let _ = column(view, map)?;
    // The largest row; a unit's rows may all be alike, so its norm is that many times the row's.
    let (dimension, row) = match map {
        BuiltIn::Count => (1, [1, 0]),
        BuiltIn::Sum { min, max, .. } => (1, [largest(*min, *max, 0), 0]),
        BuiltIn::Mean { min, max, centre, weight, .. } => (2, [largest(*min, *max, *centre), i128::from(*weight)]),
        BuiltIn::Labels { labels, .. } => (labels.len(), [1, 0]),
        BuiltIn::Bins { cuts, .. } => (cuts.len() + 1, [1, 0]),
    };
    let row = row.map(|steps| steps.saturating_mul(i128::from(plan.rows_per_unit_max)));
    let kept = row.map(i64::try_from).into_iter().collect::<Result<Vec<_>, _>>().is_ok_and(|row| plan.clip.holds(row.into_iter()));
    let ordered = match map {
        BuiltIn::Sum { min, max, .. } => min <= max,
        BuiltIn::Mean { min, max, weight, .. } => min <= max && *weight > 0,
        BuiltIn::Bins { cuts, .. } => cuts.is_sorted_by(|a, b| a < b),
        BuiltIn::Count | BuiltIn::Labels { .. } => true,
    };
    let fits = plan.blocks == Blocks::PerUnit && dimension == plan.clip.dimension as usize && kept;
    if ordered && fits { Ok(()) } else { Err(FoldError::Bound.into()) }
}

fn largest(min: i64, max: i64, centre: i64) -> i128 {
    let away = |v: i64| (i128::from(v) - i128::from(centre)).abs();
    away(min).max(away(max))
}

fn column<'v>(view: &'v View, map: &BuiltIn) -> Result<Option<One<'v>>, EngineFailure> {
    let name = match map {
        BuiltIn::Count => return Ok(None),
        BuiltIn::Sum { column, .. } | BuiltIn::Mean { column, .. } | BuiltIn::Labels { column, .. } | BuiltIn::Bins { column, .. } => {
            column
        }
    };
    let (ty, _) = view.granted(name).ok_or(FoldError::Column)?;
    let ty = match (map, ty) {
        (BuiltIn::Labels { labels, .. }, ViewType::Category { .. }) => FoldType::Category { labels: labels.clone() },
        (BuiltIn::Sum { .. } | BuiltIn::Mean { .. } | BuiltIn::Bins { .. }, ViewType::Number { scale, .. }) => {
            FoldType::Number { scale: *scale }
        }
        (BuiltIn::Bins { .. }, ViewType::Date) => FoldType::Date,
        (BuiltIn::Bins { .. }, ViewType::Hour) => FoldType::Hour,
        _ => return Err(FoldError::Column.into()),
    };
    One::of(view, name, &ty).map(Some)
}

/// The exact sums.
///
/// # Errors
/// [`EngineFailure::Column`] where rows of a unit are not adjacent.
pub(super) fn sums(view: &View, plan: &FoldPlan, map: &BuiltIn) -> Result<Vec<i128>, EngineFailure> {
    let pass = Pass {
        ordinals: view.hidden(Visibility::UnitOrdinal)?,
        column: column(view, map)?,
        choice: Choice::of(plan),
        map,
        dimension: plan.clip.dimension as usize,
    };
    let threads = if view.rows < 1 << 16 { 1 } else { view.threads.clamp(1, 64) };
    let shares = shares(pass.ordinals, threads);
    let parts = parallel(threads, shares.len(), |i| Ok(pass.run(shares.get(i).cloned().unwrap_or(0..0))))?;
    let mut sums = vec![0i128; pass.dimension];
    let mut runs = 0;
    for (part, of_part) in parts {
        sums.iter_mut().zip(part).for_each(|(sum, more)| *sum += more);
        runs += of_part;
    }
    // A unit whose rows lie apart would count as several.
    if runs == view.units { Ok(sums) } else { Err(EngineFailure::Column) }
}

struct Pass<'a> {
    ordinals: &'a [i64],
    column: Option<One<'a>>,
    choice: Choice,
    map: &'a BuiltIn,
    dimension: usize,
}

impl Pass<'_> {
    /// Sums over whole runs, and how many.
    fn run(&self, rows: Range<usize>) -> (Vec<i128>, u64) {
        let mut sums = vec![0i128; self.dimension];
        let mut runs = 0;
        let mut start = rows.start;
        while start < rows.end {
            let end = boundary(self.ordinals, (start + CHUNK).min(rows.end));
            let units = self.ordinals.get(start..end).unwrap_or(&[]);
            // Not cut short at the first equal pair: so it is one instruction for several rows.
            let pairs = units.iter().zip(units.get(1..).unwrap_or(&[]));
            let singles = pairs.fold(true, |single, (a, b)| single & (a != b));
            if singles {
                runs += units.len() as u64;
                self.add_singles(start..end, &mut sums);
            } else {
                runs += self.add_runs(start, units, &mut sums);
            }
            start = end;
        }
        (sums, runs)
    }

    /// Rows that are a unit each.
    fn add_singles(&self, rows: Range<usize>, sums: &mut [i128]) {
        let plain = self.column.as_ref().and_then(|c| c.plain()).and_then(|values| values.get(rows.clone()));
        match (self.map, plain, sums) {
            (BuiltIn::Count, _, [sum]) => *sum += rows.len() as i128,
            // At most 2^12 values and what a bound lets through, 2^52: 64 bits hold it.
            (BuiltIn::Sum { min, max, .. }, Some(values), [sum]) => {
                *sum += i128::from(values.iter().map(|v| (*v).clamp(*min, *max)).sum::<i64>());
            }
            (BuiltIn::Mean { min, max, centre, weight, .. }, Some(values), [sum, count]) => {
                *sum += i128::from(values.iter().map(|v| (*v).clamp(*min, *max) - centre).sum::<i64>());
                *count += i128::from(*weight) * values.len() as i128;
            }
            (_, _, sums) => rows.for_each(|row| self.add_row(row, sums)),
        }
    }

    /// Rows from `start` on, of whole runs; how many runs.
    fn add_runs(&self, start: usize, units: &[i64], sums: &mut [i128]) -> u64 {
        let mut at = start;
        let mut runs = 0;
        for run in units.chunk_by(|a, b| a == b) {
            let rows = at..at + run.len();
            at = rows.end;
            runs += 1;
            if run.len() <= self.choice.rows_max() {
                rows.for_each(|row| self.add_row(row, sums));
            } else {
                let ordinal = run.first().copied().unwrap_or(0);
                self.choice.rows(ordinal, rows, self.column.iter()).into_iter().for_each(|row| self.add_row(row, sums));
            }
        }
        runs
    }

    fn add_row(&self, row: usize, sums: &mut [i128]) {
        let value = match &self.column {
            None => 0,
            Some(column) => match column.get(row) {
                Some(value) => value,
                None => return,
            },
        };
        let mut add = |at: usize, what: i128| {
            if let Some(sum) = sums.get_mut(at) {
                *sum += what;
            }
        };
        match self.map {
            BuiltIn::Count => add(0, 1),
            BuiltIn::Sum { min, max, .. } => add(0, i128::from(value.clamp(*min, *max))),
            BuiltIn::Mean { min, max, centre, weight, .. } => {
                add(0, i128::from(value.clamp(*min, *max)) - i128::from(*centre));
                add(1, i128::from(*weight));
            }
            // -1, none of the labels, lies beyond every sum.
            BuiltIn::Labels { .. } => add(usize::try_from(value).unwrap_or(usize::MAX), 1),
            BuiltIn::Bins { cuts, .. } => add(cuts.partition_point(|cut| *cut <= value), 1),
        }
    }
}
