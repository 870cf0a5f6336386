//! Table requests resolved against the view and the derived columns, computed, and told with their evidence.

use std::collections::BTreeSet;

use protocol::column::Column;
use protocol::limits::Limits;
use protocol::manifest::DerivedType;
use protocol::message::EngineFailure;
use protocol::plan::ViewType;
use protocol::table::{
    Cell, KeyDomain, MeasureColumn, MeasureEvidence, MeasureOp, OwnSpread, TOP_UNITS, TableError, TableHeader, TableOutput, TableRequest,
    UnitShare,
};

pub(super) use super::derived::{Derived, prepare};
use super::key::{BLOCK, Cells, Key, Scratch, cells_within};
use super::own::spread;
use super::reduce::{Count, Measure, Reduced, Sums, order_statistics, reduce};
use super::top::largest;
use super::view::View;

/// What tables are asked over: the view, the module's columns, which granted ones the operator owns, and whether the largest units of
/// cells are told.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub view: &'a View,
    pub derived: &'a [Derived],
    pub own: &'a [String],
    pub top: bool,
}

/// A column that a request or a model names.
pub(super) struct Resolved<'a> {
    pub(super) column: Column<'a>,
    pub(super) ty: ViewType,
    labels: Option<&'a [String]>,
}

impl<'a> Resolved<'a> {
    pub(super) fn new(view: &'a View, derived: &'a [Derived], name: &str) -> Result<Self, EngineFailure> {
        if let Some((ty, column)) = view.granted(name) {
            return Ok(Self { column, ty: ty.clone(), labels: None });
        }
        let missing = || TableError::NotGranted(name.to_owned());
        let found = derived.iter().find(|d| d.declared.name == name).ok_or_else(missing)?;
        let column = Column::parse(&found.memory).map_err(|_| EngineFailure::Internal)?;
        Ok(match &found.declared.ty {
            DerivedType::Number { scale, min, max } => {
                Self { column, ty: ViewType::Number { scale: *scale, min: *min, max: *max }, labels: None }
            }
            DerivedType::Category { labels } => Self { column, ty: ViewType::Category { declared: true }, labels: Some(labels) },
        })
    }

    pub(super) fn labels(&self) -> Vec<String> {
        self.labels.map_or_else(|| self.column.labels().into_iter().map(str::to_owned).collect(), <[String]>::to_vec)
    }

    fn key(&self, name: &str) -> Result<(Key<'a>, KeyDomain), EngineFailure> {
        Ok(match &self.ty {
            ViewType::Category { declared } => {
                let labels = self.labels();
                let key = Key::code(&self.column, labels.len())?;
                (key, if *declared { KeyDomain::Declared(labels) } else { KeyDomain::Found(labels) })
            }
            ViewType::Date => (Key::int(&self.column)?, KeyDomain::Date),
            ViewType::Hour => (Key::int(&self.column)?, KeyDomain::Hour),
            ViewType::Number { scale, .. } => (Key::int(&self.column)?, KeyDomain::Number(*scale)),
            ViewType::Pseudonym => return Err(TableError::Type(name.to_owned()).into()),
        })
    }
}

/// The operator's own columns among those that a request measures, each with the index of its first measure.
pub(super) fn own_measures<'a>(request: &'a TableRequest, own: &[String]) -> Vec<(u32, &'a str)> {
    let mut found: Vec<(u32, &str)> = Vec::new();
    for (measure, name) in (0u32..).zip(&request.measures).filter_map(|(i, m)| Some((i, m.column.as_deref()?))) {
        if own.iter().any(|o| o == name) && !found.iter().any(|(_, n)| *n == name) {
            found.push((measure, name));
        }
    }
    found
}

/// A granted column as a key. Too many distinct values: [`EngineFailure::Limit`].
pub(super) fn own_key<'a>(view: &'a View, name: &str) -> Result<Key<'a>, EngineFailure> {
    Ok(Resolved::new(view, &[], name)?.key(name)?.0)
}

/// The measures of a request: each distinct column once.
struct Measures<'a> {
    names: Vec<&'a str>,
    columns: Vec<Measure<'a>>,
    /// One a request: what is known of its column, and its index in `columns`.
    asked: Vec<Option<(MeasureColumn, usize)>>,
}

impl<'a> Measures<'a> {
    fn new(view: &'a View, derived: &'a [Derived], request: &'a TableRequest) -> Result<Self, EngineFailure> {
        let mut all = Self { names: Vec::new(), columns: Vec::new(), asked: Vec::new() };
        for measure in &request.measures {
            let Some(name) = measure.column.as_deref() else {
                all.asked.push(None);
                continue;
            };
            let resolved = Resolved::new(view, derived, name)?;
            let ViewType::Number { scale, min, max } = resolved.ty else { return Err(TableError::Type(name.to_owned()).into()) };
            let squares = measure.op == MeasureOp::Variance;
            if squares {
                let largest = u128::from(min.unsigned_abs().max(max.unsigned_abs()));
                let bound = (largest * largest).checked_mul(view.rows as u128).filter(|b| *b <= i128::MAX as u128);
                bound.ok_or(EngineFailure::Overflow)?;
            }
            let at = all.names.iter().position(|n| *n == name).unwrap_or(all.names.len());
            if let Some(column) = all.columns.get_mut(at) {
                column.squares |= squares;
            } else {
                let values = resolved.column.i64s().ok_or(EngineFailure::Column)?;
                all.names.push(name);
                all.columns.push(Measure { values, validity: resolved.column.validity(), squares });
            }
            all.asked.push(Some((MeasureColumn { scale, min, max }, at)));
        }
        Ok(all)
    }
}

/// Of each row of the view the index of its cell among the table's own, in the order in which [`compute`] tells them.
///
/// # Errors
/// [`EngineFailure`].
pub(super) fn cell_of_rows(view: &View, derived: &[Derived], request: &TableRequest) -> Result<Vec<u32>, EngineFailure> {
    let keys = request.keys.iter().map(|name| Resolved::new(view, derived, name)?.key(name));
    let (keys, domains): (Vec<Key<'_>>, Vec<KeyDomain>) = keys.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let cells = Cells::new(keys, view.rows)?;
    let declared = domains.iter().all(|d| matches!(d, KeyDomain::Declared(_)));
    let (mut scratch, mut block) = (Scratch::default(), Vec::new());
    let mut numbers: Vec<u32> = Vec::with_capacity(view.rows);
    for start in (0..view.rows).step_by(BLOCK) {
        cells.write(start..view.rows.min(start + BLOCK), &mut scratch, &mut block)?;
        numbers.extend(&block);
    }
    let mut present: Vec<u32> = numbers.clone();
    present.sort_unstable();
    present.dedup();
    let mut places = if declared { cells.whole_domain()? } else { Vec::new() };
    places.extend(present.iter().map(|number| cells.place(*number as usize)));
    places.sort_unstable();
    places.dedup();
    let index = |number: &u32| places.binary_search(&cells.place(*number as usize)).ok().and_then(|i| u32::try_from(i).ok());
    let indexes: polars::prelude::PlHashMap<u32, u32> = present.iter().filter_map(|n| Some((*n, index(n)?))).collect();
    numbers.iter().map(|n| indexes.get(n).copied().ok_or(EngineFailure::Internal)).collect()
}

/// One table with its evidence.
///
/// # Errors
/// [`EngineFailure`].
pub(super) fn compute(asked: &Asked<'_>, request: &TableRequest) -> Result<TableOutput, EngineFailure> {
    let measures = Measures::new(asked.view, asked.derived, request)?;
    let mut domains: Vec<KeyDomain> = Vec::new();
    let mut out: Vec<Cell> = Vec::new();
    for totals in request.margins.totals(request.keys.len()) {
        domains = level(asked, request, &measures, totals, &mut out)?;
        cells_within(out.len() as u64)?;
    }
    for (k, domain) in domains.iter_mut().enumerate() {
        if let KeyDomain::Found(labels) = domain {
            keep_used(labels, k, &mut out);
        }
    }
    let columns = measures.asked.into_iter().map(|asked| asked.map(|(column, _)| column)).collect();
    let header = TableHeader { request: request.clone(), domains, columns, cells: out.len() as u64 };
    Ok(TableOutput { header, cells: out })
}

/// The cells in which the keys of `totals` are totalled, appended to `out`: one pass over the rows, because distinct units, and so
/// the evidence, do not add up. Returns the domains of all keys.
fn level(
    asked: &Asked<'_>,
    request: &TableRequest,
    measures: &Measures<'_>,
    totals: u32,
    out: &mut Vec<Cell>,
) -> Result<Vec<KeyDomain>, EngineFailure> {
    let Asked { view, derived, .. } = *asked;
    let keys = request.keys.iter().map(|name| Resolved::new(view, derived, name)?.key(name));
    let (keys, domains): (Vec<Key<'_>>, Vec<KeyDomain>) = keys.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let is_kept = |k: usize| totals >> k & 1 == 0;
    let declared = domains.iter().enumerate().all(|(k, d)| !is_kept(k) || matches!(d, KeyDomain::Declared(_)));
    let kept: Vec<Key<'_>> = keys.into_iter().enumerate().filter_map(|(k, key)| is_kept(k).then_some(key)).collect();
    let cells = Cells::new(kept, view.rows)?;
    // Bounded before any row is read.
    let mut places = if declared { cells.whole_domain()? } else { Vec::new() };
    let reduced = reduce(view, &cells, &measures.columns)?;
    let orders = orders(view, &cells, request, measures, &reduced)?;
    let (spreads, tops) = (spreads(asked, &cells, request, totals)?, tops(asked, &cells, request, measures)?);
    let filled = reduced.counts.iter().enumerate().filter(|(_, count)| count.rows > 0);
    places.extend(filled.map(|(number, _)| cells.place(number)));
    places.sort_unstable();
    places.dedup();
    cells_within(places.len() as u64)?;
    for place in places {
        let number = cells.number(place).unwrap_or(usize::MAX);
        let evidence =
            request.measures.iter().zip(&measures.asked).zip(orders.iter().zip(&tops)).map(|((measure, asked), (orders, tops))| {
                let (_, at) = asked.as_ref()?;
                let sums = reduced.sums.get(*at).and_then(|s| s.get(number)).unwrap_or(&Sums::ZERO);
                let column = measure.column.as_deref()?;
                Some(MeasureEvidence {
                    top: tops.get(number).cloned().unwrap_or_default(),
                    own: spreads.iter().find(|(name, _)| *name == column).map(|(_, s)| s.get(number).copied().unwrap_or(NO_ROWS)),
                    ..evidence(measure.op, sums, orders.get(number).copied().flatten())
                })
            });
        let measures = evidence.collect();
        let Count { rows, units, counting, contributors, .. } = reduced.counts.get(number).cloned().unwrap_or_default();
        let mut values = cells.values(place).into_iter();
        let keys = (0..request.keys.len()).map(|k| if is_kept(k) { values.next().flatten() } else { None }).collect();
        out.push(Cell { totals, keys, rows, units, units_counting: counting, contributors, measures });
    }
    Ok(domains)
}

/// A cell without rows has none of the view's values.
const NO_ROWS: OwnSpread = OwnSpread { least: u64::MAX, absent: true };

/// The spread of each of the operator's own columns that are measured, by cell number.
fn spreads<'a>(
    asked: &Asked<'_>,
    cells: &Cells<'_>,
    request: &'a TableRequest,
    totals: u32,
) -> Result<Vec<(&'a str, Vec<OwnSpread>)>, EngineFailure> {
    let kept = || {
        let names = request.keys.iter().enumerate().filter(|(k, _)| totals >> k & 1 == 0);
        names.map(|(_, name)| Ok(Resolved::new(asked.view, asked.derived, name)?.key(name)?.0)).collect::<Result<Vec<_>, EngineFailure>>()
    };
    let spread = |(_, name): (u32, &'a str)| Ok((name, spread(asked.view, cells, kept()?, own_key(asked.view, name))?));
    own_measures(request, asked.own).into_iter().map(spread).collect()
}

/// The largest units of each measure that is a sum or follows from one, by cell number; none where they are not wanted, or the column can
/// be negative.
fn tops(
    asked: &Asked<'_>,
    cells: &Cells<'_>,
    request: &TableRequest,
    measures: &Measures<'_>,
) -> Result<Vec<Vec<Vec<UnitShare>>>, EngineFailure> {
    let sums = |op: MeasureOp| matches!(op, MeasureOp::Sum | MeasureOp::Mean | MeasureOp::Variance);
    let mut out: Vec<Vec<Vec<UnitShare>>> = Vec::with_capacity(request.measures.len());
    for (measure, column) in request.measures.iter().zip(&measures.asked) {
        let column = column.as_ref().filter(|(column, _)| asked.top && sums(measure.op) && column.min >= 0);
        let known = request.measures.iter().zip(&out).find(|(m, top)| m.column == measure.column && !top.is_empty());
        out.push(match (column, known) {
            (None, _) => Vec::new(),
            (Some(_), Some((_, top))) => top.clone(),
            (Some((_, at)), None) => largest(asked.view, cells, measures.columns.get(*at).ok_or(EngineFailure::Internal)?)?,
        });
    }
    Ok(out)
}

/// The order statistics of each measure by cell number; empty where none is asked for.
fn orders(
    view: &View,
    cells: &Cells<'_>,
    request: &TableRequest,
    measures: &Measures<'_>,
    reduced: &Reduced,
) -> Result<Vec<Vec<Option<i64>>>, EngineFailure> {
    let mut out = Vec::with_capacity(request.measures.len());
    for (measure, asked) in request.measures.iter().zip(&measures.asked) {
        let wanted = match (measure.op, asked) {
            (MeasureOp::Quantile { permille }, Some((_, at))) => Some((permille, *at)),
            _ => None,
        };
        let Some((permille, at)) = wanted else {
            out.push(Vec::new());
            continue;
        };
        let (column, sums) = (measures.columns.get(at), reduced.sums.get(at));
        let (Some(column), Some(sums)) = (column, sums) else { return Err(EngineFailure::Internal) };
        let n: Vec<u64> = sums.iter().map(|s| s.n).collect();
        out.extend(order_statistics(view.rows, cells, column, &n, &[permille])?);
    }
    Ok(out)
}

fn evidence(op: MeasureOp, sums: &Sums, quantile: Option<i64>) -> MeasureEvidence {
    let some = sums.n > 0;
    MeasureEvidence {
        n: sums.n,
        units: sums.counting,
        sum: sums.sum,
        sum_of_squares: if op == MeasureOp::Variance { sums.squares } else { 0 },
        order: match op {
            MeasureOp::Quantile { .. } => quantile,
            MeasureOp::Min => some.then_some(sums.min),
            MeasureOp::Max => some.then_some(sums.max),
            _ => None,
        },
        largest: sums.largest,
        second: sums.second,
        total: sums.total,
        top: Vec::new(),
        own: None,
    }
}

/// Labels that no cell has are dropped, and the cells' codes follow. Order stays.
fn keep_used(labels: &mut Vec<String>, key: usize, cells: &mut [Cell]) {
    let used: BTreeSet<i64> = cells.iter().filter_map(|c| c.keys.get(key).copied().flatten()).collect();
    let mut code = -1;
    labels.retain(|_| {
        code += 1;
        used.contains(&code)
    });
    let places: std::collections::BTreeMap<i64, i64> = used.into_iter().zip(0..).collect();
    for slot in cells.iter_mut().filter_map(|c| c.keys.get_mut(key)) {
        *slot = slot.and_then(|old| places.get(&old).copied());
    }
}

/// How many cells of this shape surely fit into one frame (postcard: at most 10 bytes a u64 or i64, 19 an i128).
pub(super) fn cells_per_frame(request: &TableRequest) -> usize {
    let measure = 1 + 2 * 10 + 11 + 5 * 19 + 5 + TOP_UNITS * (10 + 19) + 1 + 11;
    let cell = 3 * 5 + 5 + 19 + 3 * 10 + request.keys.len() * 11 + request.measures.len() * measure;
    (Limits::STANDARD.frame_bytes_max as usize - 64) / cell
}
