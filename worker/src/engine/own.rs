//! Columns that the operator owns and a table measures: how their values are spread over its cells. The values are of the operator's
//! choosing, so a sum of them tells how often each occurs among rows that are not the operator's.

use std::collections::{BTreeMap, BTreeSet};

use protocol::contributors::{Membership, Part};
use protocol::limits::Limits;
use protocol::message::EngineFailure;
use protocol::table::OwnSpread;

use super::key::{BLOCK, Cells, Key, Scratch};
use super::reduce::reduce;
use super::view::View;

/// More values than cells.
const TOO_FINE: OwnSpread = OwnSpread { least: 0, absent: true };

/// The spread in each of `cells`, by number; `kept` are their keys, to which the column is added. A value that is missing stands among the
/// values of a cell, but its cells need not have it.
///
/// # Errors
/// [`EngineFailure`].
pub(super) fn spread<'a>(
    view: &View,
    cells: &Cells<'_>,
    kept: Vec<Key<'a>>,
    column: Result<Key<'a>, EngineFailure>,
) -> Result<Vec<OwnSpread>, EngineFailure> {
    let fine = column.and_then(|column| Cells::new(kept.into_iter().chain([column]).collect(), view.rows));
    let fine = match fine {
        Err(EngineFailure::Limit(_) | EngineFailure::Overflow) => return Ok(vec![TOO_FINE; cells.len()]),
        other => other?,
    };
    let counts = reduce(view, &fine, &[])?.counts;
    let mut values: BTreeSet<u128> = BTreeSet::new();
    let mut found: Vec<(u64, usize)> = vec![(u64::MAX, 0); cells.len()];
    for (number, count) in counts.iter().enumerate().filter(|(_, count)| count.rows > 0) {
        let (outer, slot) = fine.split(fine.place(number));
        let place = cells.number(outer).and_then(|n| found.get_mut(n)).ok_or(EngineFailure::Internal)?;
        place.0 = place.0.min(count.counting);
        if slot > 0 {
            place.1 += 1;
            values.insert(slot);
        }
    }
    Ok(found.into_iter().map(|(least, present)| OwnSpread { least, absent: present < values.len() }).collect())
}

/// The cells that `cell_of_row` says, split by the column; `None` where there are more parts than a table has cells. `base_of` has the base
/// row of each row that counts.
///
/// # Errors
/// [`EngineFailure`].
pub(super) fn part(
    view: &View,
    cell_of_row: &[u32],
    column: Result<Key<'_>, EngineFailure>,
    base_of: &[Option<u32>],
) -> Result<Option<Part>, EngineFailure> {
    let cells = match column.and_then(|column| Cells::new(vec![column], view.rows)) {
        Err(EngineFailure::Limit(_) | EngineFailure::Overflow) => return Ok(None),
        other => other?,
    };
    let (mut scratch, mut block) = (Scratch::default(), Vec::new());
    let mut values: Vec<Option<i64>> = Vec::with_capacity(view.rows);
    for start in (0..view.rows).step_by(BLOCK) {
        cells.write(start..view.rows.min(start + BLOCK), &mut scratch, &mut block)?;
        values.extend(block.iter().map(|number| cells.values(cells.place(*number as usize)).first().copied().flatten()));
    }
    let told: BTreeSet<(u32, Option<i64>)> = cell_of_row.iter().copied().zip(values.iter().copied()).collect();
    if told.len() as u64 > Limits::STANDARD.table_cells_max {
        return Ok(None);
    }
    let numbers: BTreeMap<&(u32, Option<i64>), u32> = told.iter().zip(0u32..).collect();
    let mut pairs: Vec<(u32, u32)> = base_of
        .iter()
        .zip(cell_of_row.iter().copied().zip(values))
        .filter_map(|(row, place)| Some(((*row)?, numbers.get(&place).copied()?)))
        .collect();
    pairs.sort_unstable();
    Ok(Some(Part { table: 0, measure: 0, members: counted(&pairs), cells: told.iter().copied().collect() }))
}

/// Rows and cells, sorted, each pair once with how often it was there.
pub(super) fn counted(pairs: &[(u32, u32)]) -> Vec<Membership> {
    let mut members: Vec<Membership> = Vec::with_capacity(pairs.len());
    for (row, cell) in pairs {
        match members.last_mut().filter(|m| (m.row, m.cell) == (*row, *cell)) {
            Some(last) => last.times = last.times.saturating_add(1),
            None => members.push(Membership { row: *row, cell: *cell, times: 1 }),
        }
    }
    members
}
