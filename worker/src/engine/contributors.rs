//! Which base rows lie in which cells.

use std::os::fd::OwnedFd;

use protocol::contributors::{BaseRow, CONTRIBUTORS_ROWS_MAX, Contributors, Part};
use protocol::message::EngineFailure;
use protocol::plan::Visibility;
use protocol::table::TableRequest;

use super::own::{counted, part};
use super::table::{Derived, cell_of_rows, own_key, own_measures};
use super::view::View;

/// The contributors of every table, in sealed memory; `None` where there are more rows than the layout holds.
///
/// # Errors
/// [`EngineFailure`].
pub(super) fn find(view: &View, derived: &[Derived], own: &[String], tables: &[TableRequest]) -> Result<Option<OwnedFd>, EngineFailure> {
    let (units, foreign, identities) = (view.hidden(Visibility::UnitOrdinal)?, view.hidden(Visibility::Foreign)?, view.identity()?);
    let counts = |row: &usize| foreign.get(*row) == Some(&1);
    let at = |values: &[i64], row: usize| values.get(row).copied().unwrap_or(0);
    let base = |row| BaseRow { identity: at(identities, row), unit: at(units, row) };
    let mut rows: Vec<BaseRow> = (0..view.rows).filter(counts).map(base).collect();
    rows.sort_unstable();
    rows.dedup_by_key(|row| row.identity);
    if rows.len() > CONTRIBUTORS_ROWS_MAX {
        return Ok(None);
    }
    let index = |row: &usize| rows.binary_search_by_key(&at(identities, *row), |r| r.identity).ok().and_then(|i| u32::try_from(i).ok());
    let base_of: Vec<Option<u32>> = (0..view.rows).map(|row| Some(row).filter(counts).as_ref().and_then(index)).collect();
    let mut all = Contributors { tables: Vec::with_capacity(tables.len()), ..Contributors::default() };
    for (table, request) in (0u32..).zip(tables) {
        let cells = cell_of_rows(view, derived, request)?;
        let mut pairs: Vec<(u32, u32)> = base_of.iter().zip(&cells).filter_map(|(row, cell)| Some(((*row)?, *cell))).collect();
        pairs.sort_unstable();
        all.tables.push(counted(&pairs));
        for (measure, column) in own_measures(request, own) {
            let found = part(view, &cells, own_key(view, column), &base_of)?;
            all.parts.extend(found.map(|part| Part { table, measure, ..part }));
        }
    }
    all.rows = rows;
    let bytes = all.encode().map_err(|_| EngineFailure::Internal)?;
    Ok(Some(protocol::memfd::sealed("contributors", &bytes).map_err(|_| EngineFailure::Internal)?))
}
