//! The largest units of each cell: what the audit across releases bounds a unit's part in a difference of cells by.

use protocol::message::EngineFailure;
use protocol::plan::Visibility;
use protocol::table::{TOP_UNITS, UnitShare};

use super::key::{BLOCK, Cells, Scratch, is_set};
use super::parallel::parallel;
use super::reduce::Measure;
use super::runs::{boundary, shares};
use super::view::View;

/// For each cell number the largest units by their totals of `measure`, largest first, at most [`TOP_UNITS`]. For columns that cannot be
/// negative: there a unit's part in a part of a cell is no larger than in the cell.
///
/// # Errors
/// [`EngineFailure::Column`] where columns are of unequal length.
pub(super) fn largest(view: &View, cells: &Cells<'_>, measure: &Measure<'_>) -> Result<Vec<Vec<UnitShare>>, EngineFailure> {
    let units = view.hidden(Visibility::UnitOrdinal)?;
    let shares = shares(units, view.threads.clamp(1, 64));
    let parts = parallel(view.threads, shares.len(), |i| {
        let (rows, mut out) = (shares.get(i).cloned().unwrap_or(0..0), vec![Vec::new(); cells.len()]);
        let (mut scratch, mut ids, mut start) = (Scratch::default(), Vec::new(), rows.start);
        // Of each cell the run that was there last, and what it has so far.
        let mut runs: Vec<(u64, i128)> = vec![(0, 0); cells.len()];
        let (mut run, mut touched) = (1u64, Vec::new());
        while start < rows.end {
            let end = boundary(units, (start + BLOCK).min(rows.end));
            cells.write(start..end, &mut scratch, &mut ids)?;
            let (units, values) = (units.get(start..end), measure.values.get(start..end));
            let (Some(units), Some(values)) = (units, values) else { return Err(EngineFailure::Column) };
            for (at, ((id, unit), value)) in ids.iter().zip(units).zip(values).enumerate() {
                if let Some(slot) = runs.get_mut(*id as usize).filter(|_| measure.validity.is_none_or(|bits| is_set(bits, start + at))) {
                    if slot.0 != run {
                        *slot = (run, 0);
                        touched.push(*id as usize);
                    }
                    slot.1 += i128::from(*value);
                }
                if units.get(at + 1) != Some(unit) {
                    for id in touched.drain(..) {
                        if let (Some(top), Some((_, total))) = (out.get_mut(id), runs.get(id)) {
                            place(top, UnitShare { unit: *unit, total: *total });
                        }
                    }
                    run += 1;
                }
            }
            start = end;
        }
        Ok(out)
    })?;
    let mut all = vec![Vec::new(); cells.len()];
    for (to, from) in parts.into_iter().flat_map(|part| part.into_iter().enumerate()) {
        if let Some(top) = all.get_mut(to) {
            from.into_iter().for_each(|share| place(top, share));
        }
    }
    Ok(all)
}

/// Equal totals by unit, so that any number of threads tells the same.
#[inline]
fn place(top: &mut Vec<UnitShare>, share: UnitShare) {
    if top.len() == TOP_UNITS && top.last().is_some_and(|least| least.total > share.total) {
        return;
    }
    let at = top.partition_point(|t| (t.total, share.unit) > (share.total, t.unit));
    if at < TOP_UNITS {
        top.insert(at, share);
        top.truncate(TOP_UNITS);
    }
}
