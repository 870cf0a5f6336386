//! Primary suppression: why one cell may not be shown.

use protocol::table::{Cell, MeasureColumn, MeasureEvidence, MeasureOp, OwnSpread, TableHeader};
use serde::{Deserialize, Serialize};

use crate::policy::release::{TableRules, ZeroCells};

/// Why a cell is hidden. For checkers: the operator is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The rule.
    pub rule: CauseRule,
    /// The measure, where it is about one.
    pub measure: Option<String>,
}

/// The rule that hides a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseRule {
    /// No rows.
    Zero,
    /// Every value of the measure is the column's bound, or all are equal.
    Full,
    /// Fewer counting units than the minimum.
    MinimumFrequency,
    /// The largest unit holds too much of the total.
    LargestDominates,
    /// The two largest units hold too much of the total.
    LargestTwoDominate,
    /// The second largest could estimate the largest too well.
    PPercent,
    /// A quantile with fewer rows than the minimum at or beyond it on one side.
    QuantileTail,
    /// A figure over a column of the operator's own, of whose values one has too few units in the cell, or none.
    OwnValues,
    /// The cell holds too much of a margin.
    Group,
    /// A figure that cannot be computed exactly.
    Overflow,
    /// Hidden for the sake of another cell, which would follow from it.
    Complementary,
}

/// Every rule that hides the cell; none: it may be shown.
pub(super) fn causes(cell: &Cell, header: &TableHeader, rules: &TableRules) -> Vec<Cause> {
    let whole = |rule| vec![Cause { rule, measure: None }];
    if cell.rows == 0 {
        return if rules.zero_cells == ZeroCells::Show { Vec::new() } else { whole(CauseRule::Zero) };
    }
    let mut found = Vec::new();
    if cell.units_counting < rules.min_frequency.into() {
        found = whole(CauseRule::MinimumFrequency);
    }
    for ((request, column), evidence) in header.request.measures.iter().zip(&header.columns).zip(&cell.measures) {
        if let (Some(column), Some(evidence)) = (column, evidence) {
            let about = |rule| Cause { rule, measure: Some(request.name.clone()) };
            found.extend(of_measure(request.op, column, evidence, rules).into_iter().map(about));
        }
    }
    found
}

fn of_measure(op: MeasureOp, column: &MeasureColumn, e: &MeasureEvidence, rules: &TableRules) -> Vec<CauseRule> {
    let mut found = Vec::new();
    if e.units < rules.min_frequency.into() {
        found.push(CauseRule::MinimumFrequency);
    }
    if rules.zero_cells == ZeroCells::Suppress && full(op, column, e) {
        found.push(CauseRule::Full);
    }
    if e.own.is_some_and(|own| tells_by_value(own, rules)) {
        found.push(CauseRule::OwnValues);
    }
    match op {
        MeasureOp::Sum | MeasureOp::Mean | MeasureOp::Variance => found.extend(dominance(e, rules)),
        MeasureOp::Quantile { permille } if !matches!(permille, 0 | 1000) => {
            let rank = rank(e.n, permille);
            let tail = rank.min(e.n.saturating_sub(rank).saturating_add(1));
            if tail < rules.min_frequency.into() {
                found.push(CauseRule::QuantileTail);
            }
        }
        _ => {}
    }
    found
}

/// Whether a figure over the operator's own values tells of too few units. It is a function of how many units of the cell have each value,
/// and who has which is of the operator's choosing: one in ten thousand, or all in powers of two. So each value's units in the cell are a
/// cell that must stand for itself, by minimum frequency and as a zero cell; the audit across releases counts them as shown.
fn tells_by_value(own: OwnSpread, rules: &TableRules) -> bool {
    own.least < rules.min_frequency.into() || (own.absent && rules.zero_cells == ZeroCells::Suppress)
}

/// The rank of the lower order statistic: ⌈n·permille/1000⌉, at least 1.
fn rank(n: u64, permille: u16) -> u64 {
    let rank = (u128::from(n) * u128::from(permille)).div_ceil(1000).max(1);
    u64::try_from(rank).unwrap_or(u64::MAX)
}

/// Whether the figure tells every unit's value.
fn full(op: MeasureOp, column: &MeasureColumn, e: &MeasureEvidence) -> bool {
    let all = |value: i64| i128::from(e.n).checked_mul(value.into()) == Some(e.sum);
    match op {
        MeasureOp::Sum | MeasureOp::Mean => all(column.min) || all(column.max),
        // All equal, wherever they lie: n·Σx² = (Σx)². The exact variance rounds to 0 for near-equal values too, so those count as equal.
        MeasureOp::Variance => all(column.min) || all(column.max) || super::exact::variance(e.sum, e.sum_of_squares, e.n) == Some(0),
        _ => false,
    }
}

/// (n,k) dominance for n = 1 and 2, and the p% rule, over absolute totals by unit. What overflows counts as too much.
fn dominance(e: &MeasureEvidence, rules: &TableRules) -> Vec<CauseRule> {
    let over = |part: Option<i128>, permille: u16| {
        let (part, limit) = (part.and_then(|p| p.checked_mul(1000)), e.total.checked_mul(permille.into()));
        part.zip(limit).is_none_or(|(part, limit)| part > limit)
    };
    let two = e.largest.checked_add(e.second);
    let rest = two.and_then(|two| e.total.checked_sub(two)).and_then(|r| r.checked_mul(1000));
    let needed = e.largest.checked_mul(rules.p_permille.into());
    let close = rest.zip(needed).is_none_or(|(rest, needed)| rest < needed);
    [
        (over(Some(e.largest), rules.largest_permille_max), CauseRule::LargestDominates),
        (over(two, rules.largest_two_permille_max), CauseRule::LargestTwoDominate),
        (close, CauseRule::PPercent),
    ]
    .into_iter()
    .filter_map(|(hit, rule)| hit.then_some(rule))
    .collect()
}
