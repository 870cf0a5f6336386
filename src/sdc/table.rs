//! From the engine's exact table to what may be shown.

use protocol::table::{Cell, KeyDomain, MeasureEvidence, MeasureOp, TableOutput, TableRequest};
use protocol::value::SCALE_MAX;
use serde::{Deserialize, Serialize};

use super::exact;
use super::primary::{Cause, CauseRule, causes};
use crate::clock::Date;
use crate::policy::ActivePolicy;
use crate::policy::release::TableRules;
use crate::refusal::{self, Refused, Rule};

/// How the plan coded a measure's column (its `clamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// Values below a constant of the plan were raised to it.
    pub bottom: bool,
    /// Values above a constant of the plan were lowered to it.
    pub top: bool,
}

/// A table that may be shown. Every figure is a decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecidedTable {
    /// Its name, as requested.
    pub name: String,
    /// Names of the keys.
    pub keys: Vec<String>,
    /// Names of the measures.
    pub measures: Vec<String>,
    /// One a cell, sorted by key (missing first).
    pub rows: Vec<DecidedRow>,
    /// How many of the rows are suppressed.
    pub suppressed: u64,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecidedRow {
    /// One label a key; null: the value is missing.
    pub keys: Vec<Option<String>>,
    /// Its figures.
    pub cell: DecidedCell,
}

/// A cell's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedCell {
    /// One a measure; null where there is none (the mean of no rows).
    Shown(Vec<Option<String>>),
    /// Hidden. The cause is for checkers.
    Suppressed,
}

/// What was decided on each cell and why. For checkers: it holds the exact counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEvidence {
    /// Name of the table.
    pub name: String,
    /// The rules that were applied.
    pub rules: TableRules,
    /// Every cell of the engine's table, those left out too.
    pub cells: Vec<CellEvidence>,
}

/// What was decided on one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellEvidence {
    /// One label a key.
    pub keys: Vec<Option<String>>,
    /// Rows.
    pub rows: u64,
    /// Privacy units.
    pub units: u64,
    /// Those that count towards the minimum.
    pub units_counting: u64,
    /// What became of it.
    pub fate: Fate,
    /// Every rule that hides it.
    pub causes: Vec<Cause>,
}

/// What became of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its figures are shown.
    Shown,
    /// Its labels are shown, its figures are not.
    Suppressed,
    /// Not even its labels are shown: they were found in the data, so that they exist would tell of the few units behind them.
    Omitted,
}

/// Why no table comes of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// A rule forbids the whole table.
    #[error(transparent)]
    Refused {
        /// The rule.
        #[from]
        refused: Refused,
    },
    /// A rule forbids the whole table, and that it does depends on the data: one bit, to be counted.
    #[error("{refused}")]
    RefusedByData {
        /// The rule.
        refused: Refused,
    },
    /// The engine's table contradicts itself. Not told to the caller: the job failed.
    #[error("the table contradicts itself: {0}")]
    Malformed(&'static str),
}

/// Decides an engine's table under a policy.
///
/// `coding` has one entry a measure (ignored for counts). `units` are the privacy units of the view, as fusing counted them.
///
/// # Errors
/// [`NotReleased`]: `policy.door`, `table.uncoded`, `table.cells`; by data `table.minimum_units`, `table.all_suppressed`.
pub fn decide_table(
    output: &TableOutput,
    policy: &ActivePolicy,
    coding: &[Coding],
    units: u64,
) -> Result<(DecidedTable, TableEvidence), NotReleased> {
    let rules = &policy.rules().table;
    if !policy.rules().doors.table {
        return Err(Refused::new(&refusal::POLICY_DOOR).subject("table").into());
    }
    sound(output, coding)?;
    whole(output, rules, coding, units)?;
    let request = &output.header.request;
    let mut table = DecidedTable {
        name: request.name.clone(),
        keys: request.keys.clone(),
        measures: request.measures.iter().map(|m| m.name.clone()).collect(),
        rows: Vec::with_capacity(output.cells.len()),
        suppressed: 0,
    };
    let mut evidence = TableEvidence { name: request.name.clone(), rules: *rules, cells: Vec::with_capacity(output.cells.len()) };
    for cell in &output.cells {
        let keys = labels(cell, &output.header.domains)?;
        let mut causes = causes(cell, &output.header, rules);
        let values = values(cell, output, rules);
        if values.is_none() && causes.is_empty() {
            causes.push(Cause { rule: CauseRule::Overflow, measure: None });
        }
        let fate = match (&values, causes.is_empty()) {
            (Some(_), true) if cell.rows > 0 || !is_open(cell, &output.header.domains) => Fate::Shown,
            _ if is_open(cell, &output.header.domains) => Fate::Omitted,
            _ => Fate::Suppressed,
        };
        match (fate, values) {
            (Fate::Shown, Some(values)) => table.rows.push(DecidedRow { keys: keys.clone(), cell: DecidedCell::Shown(values) }),
            (Fate::Omitted, _) => {}
            _ => {
                table.suppressed += 1;
                table.rows.push(DecidedRow { keys: keys.clone(), cell: DecidedCell::Suppressed });
            }
        }
        let (rows, units, units_counting) = (cell.rows, cell.units, cell.units_counting);
        evidence.cells.push(CellEvidence { keys, rows, units, units_counting, fate, causes });
    }
    if !evidence.cells.iter().any(|c| c.fate == Fate::Shown) {
        return Err(by_data(&refusal::TABLE_ALL_SUPPRESSED, format!("{} units", rules.min_frequency)));
    }
    Ok((table, evidence))
}

/// Whether the cells of one request are sums of cells of the other: its keys are among the other's. Then figures that one hides may
/// follow from the two together.
pub fn shares_margin(a: &TableRequest, b: &TableRequest) -> bool {
    let within = |a: &TableRequest, b: &TableRequest| a.keys.iter().all(|k| b.keys.contains(k));
    within(a, b) || within(b, a)
}

fn by_data(rule: &'static Rule, threshold: String) -> NotReleased {
    NotReleased::RefusedByData { refused: Refused::new(rule).threshold(threshold) }
}

/// Rules for the table as a whole.
fn whole(output: &TableOutput, rules: &TableRules, coding: &[Coding], units: u64) -> Result<(), NotReleased> {
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
    let counting = output.cells.iter().fold(0u64, |sum, c| sum.saturating_add(c.units_counting));
    if counting.min(units) < rules.min_frequency.into() {
        return Err(by_data(&refusal::TABLE_MINIMUM_UNITS, format!("{} units", rules.min_frequency)));
    }
    Ok(())
}

/// Whether a label of the cell was found in the data rather than declared: then the cell's existence tells something.
fn is_open(cell: &Cell, domains: &[KeyDomain]) -> bool {
    cell.keys.iter().zip(domains).any(|(key, domain)| key.is_none() || !matches!(domain, KeyDomain::Declared(_)))
}

fn labels(cell: &Cell, domains: &[KeyDomain]) -> Result<Vec<Option<String>>, NotReleased> {
    let label = |(key, domain): (&Option<i64>, &KeyDomain)| {
        let Some(key) = *key else { return Ok(None) };
        Ok(Some(match domain {
            KeyDomain::Declared(labels) | KeyDomain::Found(labels) => {
                let label = usize::try_from(key).ok().and_then(|i| labels.get(i));
                label.ok_or(NotReleased::Malformed("a key's code lies outside its domain"))?.clone()
            }
            KeyDomain::Date => Date::from_days(key).to_string(),
            KeyDomain::Hour => format!("{} {:02}", Date::from_days(key.div_euclid(24)), key.rem_euclid(24)),
            KeyDomain::Number(scale) => exact::decimal(key.into(), *scale),
        }))
    };
    cell.keys.iter().zip(domains).map(label).collect()
}

/// The cell's figures; `None` where one cannot be computed exactly.
fn values(cell: &Cell, output: &TableOutput, rules: &TableRules) -> Option<Vec<Option<String>>> {
    let header = &output.header;
    let measures = header.request.measures.iter().zip(&header.columns).zip(&cell.measures);
    measures
        .map(|((request, column), evidence)| {
            let scale = column.as_ref().map_or(0, |c| c.scale);
            let zero = MeasureEvidence { n: 0, units: 0, sum: 0, sum_of_squares: 0, order: None, largest: 0, second: 0, total: 0 };
            let e = evidence.as_ref().unwrap_or(&zero);
            Some(match request.op {
                MeasureOp::Count => Some(exact::decimal(exact::to_multiple(cell.rows, rules.rounding_base), 0)),
                MeasureOp::Units => Some(exact::decimal(exact::to_multiple(cell.units, rules.rounding_base), 0)),
                MeasureOp::Sum => Some(exact::decimal(e.sum, scale)),
                _ if e.n == 0 => None,
                MeasureOp::Mean => Some(exact::decimal(exact::mean(e.sum, e.n)?, scale)),
                MeasureOp::Variance => Some(exact::decimal(exact::variance(e.sum, e.sum_of_squares, e.n)?, scale.checked_mul(2)?)),
                MeasureOp::Quantile { .. } | MeasureOp::Min | MeasureOp::Max => Some(exact::decimal(e.order?.into(), scale)),
            })
        })
        .collect()
}

/// Whether the table is what an engine could have made: nothing of it is believed before.
fn sound(output: &TableOutput, coding: &[Coding]) -> Result<(), NotReleased> {
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
    if !cells.is_sorted_by(|a, b| a.keys < b.keys) {
        return malformed("cells out of order or there twice");
    }
    for cell in cells {
        if cell.keys.len() != keys || cell.measures.len() != measures {
            return malformed("a cell's shape");
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
}

#[cfg(test)]
mod tests;
