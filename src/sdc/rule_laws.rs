//! Every rule of the policy for tables without totals, both ways: a cell is shown if and only if none of them forbids it. The rules are
//! written once more here, from rows, and each must have been the one that decided in some case.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use protocol::table::{
    Cell, KeyDomain, Margins, MeasureColumn, MeasureEvidence, MeasureOp, MeasureRequest, TableHeader, TableOutput, TableRequest,
};

use super::*;
use crate::policy::release::{Rounding, TableRules, ZeroCells};
use crate::policy::{ActivePolicy, ReleasePolicy};

const BOUND: i64 = 50;
const CASES: u32 = 1500;

/// A row of a cell: its unit, whether it lies in data that the operator does not own, its value.
type Row = (u32, bool, Option<i64>);

/// A table as it is asked for: rows by cell, measures with the coding of their column.
#[derive(Debug, Clone)]
struct Asked {
    cells: Vec<Vec<Row>>,
    measures: Vec<(MeasureOp, Coding)>,
}

/// Exact figures of a cell, apart from the product's.
struct Facts {
    values: Vec<i64>,
    counting: usize,
    counting_with_value: usize,
    units: usize,
    /// Absolute totals by unit, largest first.
    totals: Vec<i128>,
}

impl Facts {
    fn of(rows: &[Row]) -> Self {
        let units = |of: &dyn Fn(&&Row) -> bool| rows.iter().filter(of).map(|r| r.0).collect::<BTreeSet<_>>().len();
        let mut totals = BTreeMap::<u32, i128>::new();
        rows.iter().for_each(|r| *totals.entry(r.0).or_default() += i128::from(r.2.unwrap_or(0)));
        let mut totals: Vec<i128> = totals.into_values().map(i128::abs).collect();
        totals.sort_unstable_by(|a, b| b.cmp(a));
        let mut values: Vec<i64> = rows.iter().filter_map(|r| r.2).collect();
        values.sort_unstable();
        let (counting, with_value) = (units(&|r| r.1), units(&|r| r.1 && r.2.is_some()));
        Self { values, counting, counting_with_value: with_value, units: units(&|_| true), totals }
    }

    fn sum(&self) -> i128 {
        self.values.iter().map(|v| i128::from(*v)).sum()
    }

    fn squares(&self) -> i128 {
        self.values.iter().map(|v| i128::from(*v).pow(2)).sum()
    }

    /// n² times the variance.
    fn spread(&self) -> i128 {
        self.values.len() as i128 * self.squares() - self.sum().pow(2)
    }

    /// Place, from 1, of the lower order statistic.
    fn rank(&self, permille: u16) -> usize {
        (1..=self.values.len()).find(|r| r * 1000 >= self.values.len() * usize::from(permille)).unwrap_or(1)
    }

    fn ranked(&self, op: MeasureOp) -> Option<i64> {
        match op {
            MeasureOp::Min => self.values.first().copied(),
            MeasureOp::Max => self.values.last().copied(),
            MeasureOp::Quantile { permille } => self.values.get(self.rank(permille) - 1).copied(),
            _ => None,
        }
    }

    fn evidence(&self, op: MeasureOp) -> MeasureEvidence {
        MeasureEvidence {
            n: self.values.len() as u64,
            units: self.counting_with_value as u64,
            sum: self.sum(),
            sum_of_squares: if op == MeasureOp::Variance { self.squares() } else { 0 },
            order: self.ranked(op),
            largest: self.totals.first().copied().unwrap_or(0),
            second: self.totals.get(1).copied().unwrap_or(0),
            total: self.totals.iter().sum(),
        }
    }

    /// Every rule that forbids to show one measure.
    fn forbidden(&self, op: MeasureOp, rules: &TableRules) -> Vec<&'static str> {
        let (n, k) = (self.values.len(), rules.min_frequency as usize);
        let mut found = Vec::new();
        if self.counting_with_value < k {
            found.push("minimum of a measure");
        }
        let at_bound = |bound: i64| self.values.iter().all(|v| *v == bound);
        let full = match op {
            MeasureOp::Sum | MeasureOp::Mean => at_bound(BOUND) || at_bound(-BOUND),
            // Rounds to zero.
            MeasureOp::Variance => at_bound(BOUND) || at_bound(-BOUND) || 2 * self.spread() <= (n as i128).pow(2),
            _ => false,
        };
        if full && rules.zero_cells == ZeroCells::Suppress {
            found.push("full");
        }
        let total: i128 = self.totals.iter().sum();
        let over = |largest: usize, permille: u16| self.totals.iter().take(largest).sum::<i128>() * 1000 > total * i128::from(permille);
        if matches!(op, MeasureOp::Sum | MeasureOp::Mean | MeasureOp::Variance) {
            let rest: i128 = self.totals.iter().skip(2).sum();
            let close = rest * 1000 < self.totals.first().copied().unwrap_or(0) * i128::from(rules.p_permille);
            let hit =
                [(over(1, rules.largest_permille_max), "largest"), (over(2, rules.largest_two_permille_max), "largest two"), (close, "p%")];
            found.extend(hit.into_iter().filter_map(|(hit, rule)| hit.then_some(rule)));
        }
        if let MeasureOp::Quantile { permille: permille @ 1..1000 } = op {
            let rank = self.rank(permille);
            let (below, above) = (rank.min(n), (n + 1).saturating_sub(rank));
            if below < k || above < k {
                found.push("tail");
            }
        }
        found
    }
}

/// Every rule that forbids to show a cell.
fn forbidden(asked: &Asked, cell: usize, rules: &TableRules) -> Vec<&'static str> {
    let rows = &asked.cells[cell];
    let facts = Facts::of(rows);
    let mut found = Vec::new();
    if rows.is_empty() {
        return if rules.zero_cells == ZeroCells::Suppress { vec!["zero"] } else { found };
    }
    if facts.counting < rules.min_frequency as usize {
        found.push("minimum");
    }
    let of_columns = asked.measures.iter().filter(|m| m.0.needs_column());
    found.extend(of_columns.flat_map(|m| facts.forbidden(m.0, rules)));
    let all: usize = asked.cells.iter().map(|rows| Facts::of(rows).units).sum();
    // A key of one label has no margin but the cell itself.
    if asked.cells.len() > 1 && facts.units * 1000 > all * usize::from(rules.group_permille_max) {
        found.push("group");
    }
    found
}

/// Why nothing of the table may leave.
fn whole(asked: &Asked, policy: &ReleasePolicy, units: u64) -> Option<&'static str> {
    let uncoded = |(op, coding): &(MeasureOp, Coding)| match op {
        MeasureOp::Min | MeasureOp::Quantile { permille: 0 } => !coding.bottom,
        MeasureOp::Max | MeasureOp::Quantile { permille: 1000 } => !coding.top,
        _ => false,
    };
    let counting: usize = asked.cells.iter().map(|rows| Facts::of(rows).counting).sum();
    if !policy.doors.table {
        Some("policy.door")
    } else if asked.measures.iter().any(uncoded) {
        Some("table.uncoded")
    } else if asked.cells.len() as u64 > policy.table.cells_max {
        Some("table.cells")
    } else if (counting as u64).min(units) < policy.table.min_frequency.into() {
        Some("table.minimum_units")
    } else if (0..asked.cells.len()).all(|cell| !forbidden(asked, cell, &policy.table).is_empty()) {
        Some("table.all_suppressed")
    } else {
        None
    }
}

/// The engine's table.
fn output(asked: &Asked) -> TableOutput {
    let cells: Vec<Cell> = (0i64..)
        .zip(&asked.cells)
        .map(|(key, rows)| {
            let facts = Facts::of(rows);
            Cell {
                totals: 0,
                keys: vec![Some(key)],
                rows: rows.len() as u64,
                units: facts.units as u64,
                units_counting: facts.counting as u64,
                contributors: rows.iter().fold(key as u128, |sum, r| sum.wrapping_add(u128::from(r.0) << 40)),
                measures: asked.measures.iter().map(|m| m.0.needs_column().then(|| facts.evidence(m.0))).collect(),
            }
        })
        .collect();
    let measure = |(i, (op, _)): (usize, &(MeasureOp, Coding))| MeasureRequest {
        name: format!("m{i}"),
        op: *op,
        column: op.needs_column().then(|| "x".into()),
    };
    let column = |op: MeasureOp| op.needs_column().then_some(MeasureColumn { scale: 0, min: -BOUND, max: BOUND });
    TableOutput {
        header: TableHeader {
            request: TableRequest {
                name: "t".into(),
                keys: vec!["k".into()],
                measures: asked.measures.iter().enumerate().map(measure).collect(),
                margins: Margins::None,
            },
            domains: vec![KeyDomain::Declared((0..cells.len()).map(|l| format!("l{l}")).collect())],
            columns: asked.measures.iter().map(|m| column(m.0)).collect(),
            cells: cells.len() as u64,
        },
        cells,
    }
}

/// What is wrong with a figure that is shown.
fn figure(op: MeasureOp, facts: &Facts, rows: usize, shown: Option<i128>, rules: &TableRules) -> Result<(), TestCaseError> {
    let n = facts.values.len() as i128;
    let counted = |exact: usize| -> Result<(), TestCaseError> {
        let (shown, base) = (shown.unwrap_or(-1), i128::from(rules.rounding_base));
        let off = (shown - exact as i128).abs();
        let near = if rules.rounding == Rounding::Random { off < base } else { 2 * off <= base };
        prop_assert!(shown % base == 0 && near, "{exact} shown as {shown}, base {base}");
        Ok(())
    };
    match op {
        MeasureOp::Count => counted(rows)?,
        MeasureOp::Units => counted(facts.units)?,
        MeasureOp::Sum => prop_assert_eq!(shown, Some(facts.sum())),
        _ if n == 0 => prop_assert_eq!(shown, None),
        MeasureOp::Mean => prop_assert!(shown.is_some_and(|m| 2 * (m * n - facts.sum()).abs() <= n)),
        MeasureOp::Variance => prop_assert!(shown.is_some_and(|v| 2 * (v * n * n - facts.spread()).abs() <= n * n)),
        MeasureOp::Quantile { .. } | MeasureOp::Min | MeasureOp::Max => prop_assert_eq!(shown, facts.ranked(op).map(i128::from)),
    }
    Ok(())
}

prop_compose! {
    /// Rows of one cell: of few or many units, mixed values, all alike, all at a bound, or one that dominates.
    fn cell_rows()(
        like in prop_oneof![3 => Just(None), 1 => prop::sample::select(vec![BOUND, -BOUND, 7]).prop_map(Some)],
        heavy in prop::bool::weighted(0.2),
        pool in prop::sample::select(vec![4u32, 400]),
        rows in prop::collection::vec((0..1_000_000u32, prop::bool::weighted(0.85), prop::bool::weighted(0.85), -10..=10i64), 0..40),
    ) -> Vec<Row> {
        let value = |at: usize, drawn: i64| like.unwrap_or(if heavy && at == 0 { BOUND } else if heavy { drawn.signum() } else { drawn });
        rows.into_iter().enumerate().map(|(at, (unit, counts, there, drawn))| (unit % pool, counts, there.then(|| value(at, drawn)))).collect()
    }
}

prop_compose! {
    fn asked()(
        cells in prop::collection::vec(cell_rows(), 1..5),
        measures in prop::collection::vec((op(), prop::bool::weighted(0.9), prop::bool::weighted(0.9)), 1..4),
    ) -> Asked {
        Asked { cells, measures: measures.into_iter().map(|(op, bottom, top)| (op, Coding { bottom, top })).collect() }
    }
}

fn op() -> impl Strategy<Value = MeasureOp> {
    use MeasureOp::{Count, Max, Mean, Min, Quantile, Sum, Units, Variance};
    prop_oneof![
        prop::sample::select(vec![Count, Units, Sum, Sum, Mean, Variance, Min, Max]),
        prop_oneof![0..=1000u16, Just(500u16)].prop_map(|permille| Quantile { permille }),
    ]
}

prop_compose! {
    fn policy()(
        k in 2..8u32, one in 400..=1000u16, two in 500..=1000u16, p in 0..=500u16, suppress in any::<bool>(),
        group in prop_oneof![Just(1000u16), 500..1000u16], base in prop::sample::select(vec![1u32, 5, 10]), random in any::<bool>(),
        door in prop::bool::weighted(0.97), cells_max in prop_oneof![1 => 1..5u64, 9 => Just(10_000u64)],
    ) -> ReleasePolicy {
        let mut policy = ReleasePolicy::parse(include_str!("../../policies/release/standard.toml")).unwrap();
        policy.doors.table = door;
        policy.table = TableRules {
            min_frequency: k,
            largest_permille_max: one,
            largest_two_permille_max: two,
            p_permille: p,
            zero_cells: if suppress { ZeroCells::Suppress } else { ZeroCells::Show },
            rounding_base: base,
            rounding: if random { Rounding::Random } else { Rounding::Nearest },
            group_permille_max: group,
            cells_max,
            ..policy.table
        };
        policy
    }
}

/// What decided each table or cell, with how often it was alone in doing so.
type Decided = BTreeMap<&'static str, u32>;

fn judge(asked: &Asked, policy: &ReleasePolicy, decided: &mut Decided) -> Result<(), TestCaseError> {
    let units = asked.cells.iter().flatten().map(|r| r.0).collect::<BTreeSet<_>>().len() as u64;
    let (active, rounding) = (ActivePolicy::for_tests(policy.clone()), RoundingKey::new(b"laws"));
    let coding: Vec<Coding> = asked.measures.iter().map(|m| m.1).collect();
    let verdict = decide_table(&output(asked), &coding, &Deciding { policy: &active, units, rounding: &rounding });
    let expected = whole(asked, policy, units);
    let verdict = match (verdict, expected) {
        (Ok(verdict), None) => verdict,
        (Err(NotReleased::Refused { refused } | NotReleased::RefusedByData { refused }), Some(rule)) => {
            prop_assert_eq!(refused.rule().id, rule);
            *decided.entry(rule).or_default() += 1;
            return Ok(());
        }
        (Err(other), expected) => return Err(TestCaseError::fail(format!("{other} where {expected:?} was expected"))),
        (Ok(_), Some(rule)) => return Err(TestCaseError::fail(format!("released against {rule}"))),
    };
    prop_assert_eq!(&verdict.held, &None);
    prop_assert_eq!(verdict.table.rows.len(), asked.cells.len());
    for (at, (row, rows)) in verdict.table.rows.iter().zip(&asked.cells).enumerate() {
        let forbidden = forbidden(asked, at, &policy.table);
        let DecidedCell::Shown(values) = &row.cell else {
            prop_assert!(!forbidden.is_empty(), "cell {at} is hidden, and no rule says so");
            let rules: BTreeSet<_> = forbidden.into_iter().collect();
            if let (1, Some(rule)) = (rules.len(), rules.first()) {
                *decided.entry(rule).or_default() += 1;
            }
            continue;
        };
        prop_assert!(forbidden.is_empty(), "cell {at} is shown against {forbidden:?}");
        *decided.entry("shown").or_default() += 1;
        let facts = Facts::of(rows);
        for ((op, _), value) in asked.measures.iter().zip(values) {
            let value = value.as_ref().map(|text| text.parse::<i128>()).transpose();
            prop_assert!(value.is_ok(), "not a whole number: {values:?}");
            figure(*op, &facts, rows.len(), value.unwrap(), &policy.table)?;
        }
    }
    Ok(())
}

#[test]
fn a_cell_is_shown_if_and_only_if_no_rule_forbids_it() {
    let decided = RefCell::new(Decided::new());
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, ..ProptestConfig::default() });
    runner.run(&(asked(), policy()), |(asked, policy)| judge(&asked, &policy, &mut decided.borrow_mut())).unwrap();
    let decided = decided.into_inner();
    println!("{decided:?}");
    let rules = [
        "policy.door",
        "table.uncoded",
        "table.cells",
        "table.minimum_units",
        "table.all_suppressed",
        "zero",
        "minimum",
        "minimum of a measure",
        "full",
        "largest",
        "largest two",
        "p%",
        "tail",
        "group",
        "shown",
    ];
    for rule in rules {
        assert!(decided.get(rule).is_some_and(|n| *n > 0), "no case was decided by {rule} alone: {decided:?}");
    }
}
