//! What is asked of a table as a whole, before any cell is looked at.

use protocol::table::{Cell, KeyDomain, Margins, MeasureEvidence, MeasureOp, MeasureRequest, TOP_UNITS, TableOutput};
use protocol::value::SCALE_MAX;

use super::table::{Coding, NotReleased};
use crate::policy::release::TableRules;
use crate::refusal::{self, Refused, Rule};

/// A refusal that depends on the data.
pub(super) fn by_data(rule: &'static Rule, threshold: String) -> NotReleased {
    NotReleased::RefusedByData { refused: Refused::new(rule).threshold(threshold) }
}

/// Rules for the table as a whole.
pub(super) fn whole(output: &TableOutput, rules: &TableRules, coding: &[Coding], units: u64) -> Result<(), NotReleased> {
    let header = &output.header;
    for (measure, coding) in header.request.measures.iter().zip(coding) {
        let coded = match measure.op {
            MeasureOp::Min | MeasureOp::Quantile { permille: 0 } => coding.bottom,
            MeasureOp::Max | MeasureOp::Quantile { permille: 1000 } => coding.top,
            _ => true,
        };
        if !coded {
            return Err(Refused::new(&refusal::TABLE_UNCODED).subject(&measure.name).into());
        }
    }
    let orders = |m: &MeasureRequest| matches!(m.op, MeasureOp::Min | MeasureOp::Max | MeasureOp::Quantile { .. });
    if header.request.margins != Margins::None
        && let Some(measure) = header.request.measures.iter().find(|m| orders(m))
    {
        return Err(Refused::new(&refusal::TABLE_ORDER_MARGIN).subject(&measure.name).into());
    }
    if header.cells > rules.cells_max {
        let threshold = format!("{} cells", rules.cells_max);
        // Of declared keys every cell exists, whatever the data.
        let declared = header.domains.iter().all(|d| matches!(d, KeyDomain::Declared(_)));
        return Err(if declared {
            Refused::new(&refusal::TABLE_CELLS).threshold(threshold).into()
        } else {
            by_data(&refusal::TABLE_CELLS, threshold)
        });
    }
    // No unit of the table is outside its cells, so their sum bounds the units from above.
    let counting = output.cells.iter().filter(|c| c.totals == 0).fold(0u64, |sum, c| sum.saturating_add(c.units_counting));
    if counting.min(units) < rules.min_frequency.into() {
        return Err(by_data(&refusal::TABLE_MINIMUM_UNITS, format!("{} units", rules.min_frequency)));
    }
    Ok(())
}

/// Whether the table is what an engine could have made: nothing of it is believed before.
pub(super) fn sound(output: &TableOutput, coding: &[Coding]) -> Result<(), NotReleased> {
    let malformed = |what| Err(NotReleased::Malformed(what));
    let (header, cells) = (&output.header, &output.cells);
    let request = &header.request;
    if request.validate().is_err() {
        return malformed("the request is not valid");
    }
    let (keys, measures) = (request.keys.len(), request.measures.len());
    if header.domains.len() != keys || header.columns.len() != measures || coding.len() != measures {
        return malformed("not one domain a key and one column and coding a measure");
    }
    if header.cells != cells.len() as u64 {
        return malformed("not as many cells as announced");
    }
    for (measure, column) in request.measures.iter().zip(&header.columns) {
        if measure.op.needs_column() != column.is_some() || column.as_ref().is_some_and(|c| c.scale > SCALE_MAX || c.min > c.max) {
            return malformed("a measure's column");
        }
    }
    if !cells.is_sorted_by(|a, b| (a.totals, &a.keys) < (b.totals, &b.keys)) {
        return malformed("cells out of order or there twice");
    }
    let totals = request.margins.totals(keys);
    for cell in cells {
        if cell.keys.len() != keys || cell.measures.len() != measures || !totals.contains(&cell.totals) {
            return malformed("a cell's shape");
        }
        if cell.keys.iter().enumerate().any(|(i, key)| cell.is_total(i) && key.is_some()) {
            return malformed("a total with a label");
        }
        if cell.units_counting > cell.units || cell.units > cell.rows {
            return malformed("more units than rows");
        }
        for ((request, column), evidence) in request.measures.iter().zip(&header.columns).zip(&cell.measures) {
            match (column, evidence) {
                (None, None) => {}
                (Some(column), Some(e)) if sound_evidence(request.op, (column.min, column.max), e, cell) => {}
                _ => return malformed("a measure's evidence"),
            }
        }
    }
    Ok(())
}

fn sound_evidence(op: MeasureOp, (min, max): (i64, i64), e: &MeasureEvidence, cell: &Cell) -> bool {
    let order = matches!(op, MeasureOp::Quantile { .. } | MeasureOp::Min | MeasureOp::Max);
    let bound = |v: i64| i128::from(e.n).checked_mul(v.into());
    let in_bounds = bound(min).is_some_and(|b| b <= e.sum) && bound(max).is_some_and(|b| e.sum <= b);
    let ranked = 0 <= e.second && e.second <= e.largest && e.largest.checked_add(e.second).is_some_and(|two| two <= e.total);
    e.n <= cell.rows
        && e.units <= cell.units_counting
        && e.units <= e.n
        && in_bounds
        && ranked
        && e.sum.checked_abs().is_some_and(|s| s <= e.total)
        && e.order.is_some() == (order && e.n > 0)
        && e.order.is_none_or(|v| (min..=max).contains(&v))
        && (e.n > 0 || e.total == 0)
        && e.top.len() <= TOP_UNITS
        && e.top.is_sorted_by(|a, b| a.total >= b.total)
        && e.top.first().is_none_or(|top| top.total == e.largest)
}
