//! What holds of every table that is released, tried on random ones: by a checker and by attackers written apart from the rules, who
//! see the table as it is shown and nothing else.

use std::collections::BTreeMap;

use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem};
use proptest::prelude::*;
use protocol::table::{
    Cell, KeyDomain, Margins, MeasureColumn, MeasureEvidence, MeasureOp, MeasureRequest, TableHeader, TableOutput, TableRequest,
};

use super::*;
use crate::policy::release::{Rounding, ZeroCells};
use crate::policy::{ActivePolicy, ReleasePolicy};

/// Greatest value of the summed column.
const MAX: i64 = 1000;

/// A row: its label of each key, its unit, its value.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) keys: Vec<usize>,
    pub(super) unit: u32,
    pub(super) value: i64,
}

pub(super) fn standard() -> ReleasePolicy {
    ReleasePolicy::parse(include_str!("../../policies/release/standard.toml")).unwrap()
}

fn evidence(rows: &[&Row]) -> MeasureEvidence {
    let mut totals = BTreeMap::<u32, i128>::new();
    rows.iter().for_each(|r| *totals.entry(r.unit).or_default() += i128::from(r.value));
    let mut totals: Vec<i128> = totals.into_values().map(i128::abs).collect();
    totals.sort_unstable_by(|a, b| b.cmp(a));
    MeasureEvidence {
        n: rows.len() as u64,
        units: totals.len() as u64,
        sum: rows.iter().map(|r| i128::from(r.value)).sum(),
        sum_of_squares: 0,
        order: None,
        largest: totals.first().copied().unwrap_or(0),
        second: totals.get(1).copied().unwrap_or(0),
        total: totals.iter().sum(),
        top: Vec::new(),
        own: None,
    }
}

/// The engine's table over declared keys `k0`, `k1`, … of so many labels each, some of them only.
pub(super) fn table(name: &str, sizes: &[usize], over: &[usize], rows: &[Row], ops: &[MeasureOp], margins: Margins) -> TableOutput {
    let mut cells = Vec::new();
    for totals in margins.totals(over.len()) {
        let mut places: Vec<Vec<Option<i64>>> = vec![Vec::new()];
        for (i, key) in over.iter().enumerate() {
            let labels: Vec<Option<i64>> = if totals >> i & 1 == 1 { vec![None] } else { (0..sizes[*key] as i64).map(Some).collect() };
            places = places.iter().flat_map(|p| labels.iter().map(move |l| [p.clone(), vec![*l]].concat())).collect();
        }
        for keys in places {
            let inside = |r: &&Row| over.iter().zip(&keys).all(|(key, label)| label.is_none_or(|l| l == r.keys[*key] as i64));
            let rows: Vec<&Row> = rows.iter().filter(inside).collect();
            let units = rows.iter().map(|r| r.unit).collect::<std::collections::BTreeSet<_>>().len() as u64;
            let measures = ops.iter().map(|op| op.needs_column().then(|| evidence(&rows))).collect();
            let contributors = rows.iter().fold(0u128, |sum, r| sum.wrapping_add(u128::from(r.unit) << 40));
            cells.push(Cell { totals, keys, rows: rows.len() as u64, units, units_counting: units, contributors, measures });
        }
    }
    let column = || MeasureColumn { scale: 0, min: 0, max: MAX };
    let measure =
        |(i, op): (usize, &MeasureOp)| MeasureRequest { name: format!("m{i}"), op: *op, column: op.needs_column().then(|| "x".into()) };
    TableOutput {
        header: TableHeader {
            request: TableRequest {
                name: name.into(),
                keys: over.iter().map(|k| format!("k{k}")).collect(),
                measures: ops.iter().enumerate().map(measure).collect(),
                margins,
            },
            domains: over.iter().map(|k| KeyDomain::Declared((0..sizes[*k]).map(|l| format!("l{l}")).collect())).collect(),
            columns: ops.iter().map(|op| op.needs_column().then(column)).collect(),
            cells: cells.len() as u64,
        },
        cells,
    }
}

pub(super) fn decide(tables: &[TableOutput], policy: &ReleasePolicy) -> Vec<Result<Verdict, NotReleased>> {
    let policy = ActivePolicy::for_tests(policy.clone());
    let coding = |t: &TableOutput| vec![Coding { bottom: false, top: false }; t.header.request.measures.len()];
    let tables: Vec<_> = tables.iter().map(|t| (t, coding(t))).collect();
    decide_tables(&tables, &Deciding { policy: &policy, units: u64::MAX, rounding: &RoundingKey::new(b"laws") })
}

/// Labels of a cell; `None`: total.
pub(super) type Labels = Vec<Option<String>>;

/// What an outsider reads of a measure: each cell by its labels (`None`: total), `None` where hidden.
pub(super) type Seen = BTreeMap<Labels, Option<i128>>;

pub(super) fn seen(table: &DecidedTable, measure: usize) -> Seen {
    let text = |row: &DecidedRow| match &row.cell {
        DecidedCell::Shown(values) => Some(values[measure].as_ref().unwrap().parse().unwrap()),
        DecidedCell::Suppressed => None,
    };
    table.rows.iter().map(|row| (row.keys.iter().map(|k| k.label().map(str::to_owned)).collect(), text(row))).collect()
}

/// Every total with the cells next to it that it is made of.
fn sums(cells: &Seen) -> Vec<(Labels, Vec<Labels>)> {
    let mut out = Vec::new();
    for whole in cells.keys() {
        for key in (0..whole.len()).filter(|k| whole[*k].is_none()) {
            let next = |part: &&Labels| (0..whole.len()).all(|i| if i == key { part[i].is_some() } else { part[i] == whole[i] });
            let parts: Vec<_> = cells.keys().filter(next).cloned().collect();
            if !parts.is_empty() {
                out.push((whole.clone(), parts));
            }
        }
    }
    out
}

/// The interval of each hidden cell by two linear programs, from what is shown alone. `upper` bounds every cell.
fn intervals(cells: &Seen, upper: f64) -> BTreeMap<Labels, (f64, f64)> {
    let equations = sums(cells);
    let mut out = BTreeMap::new();
    for target in cells.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k) {
        let ends = [OptimizationDirection::Minimize, OptimizationDirection::Maximize].map(|direction| {
            let mut problem = Problem::new(direction);
            let variables: BTreeMap<_, _> = cells
                .iter()
                .map(|(key, value)| {
                    let bounds = value.map_or((0.0, upper), |v| (v as f64, v as f64));
                    (key, problem.add_var(f64::from(u8::from(key == target)), bounds))
                })
                .collect();
            for (whole, parts) in &equations {
                let mut sum = LinearExpr::empty();
                parts.iter().for_each(|p| sum.add(variables[p], 1.0));
                sum.add(variables[whole], -1.0);
                problem.add_constraint(sum, ComparisonOp::Eq, 0.0);
            }
            problem.solve().unwrap().into_solution().unwrap().objective()
        });
        out.insert(target.clone(), (ends[0], ends[1]));
    }
    out
}

/// All values that each hidden cell takes in some whole-numbered table that agrees with what is shown; by trying every one. `None` where
/// that would take more than `budget` steps.
pub(super) fn enumerated(cells: &Seen, most: i128, budget: &mut u64) -> Option<BTreeMap<Labels, std::collections::BTreeSet<i128>>> {
    let hidden: Vec<_> = cells.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect();
    let equations = sums(cells);
    let mut values: BTreeMap<_, _> = cells.iter().map(|(k, v)| (k.clone(), *v)).collect();
    let mut found: BTreeMap<_, std::collections::BTreeSet<i128>> = hidden.iter().map(|k| (k.clone(), Default::default())).collect();
    fn fits(equations: &[(Labels, Vec<Labels>)], values: &BTreeMap<Labels, Option<i128>>) -> bool {
        equations.iter().all(|(whole, parts)| {
            let known: i128 = parts.iter().filter_map(|p| values[p]).sum();
            let open = parts.iter().any(|p| values[p].is_none());
            values[whole].is_none_or(|whole| if open { known <= whole } else { known == whole })
        })
    }
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn go(
        at: usize,
        hidden: &[Labels],
        equations: &[(Labels, Vec<Labels>)],
        values: &mut BTreeMap<Labels, Option<i128>>,
        found: &mut BTreeMap<Labels, std::collections::BTreeSet<i128>>,
        most: i128,
        budget: &mut u64,
    ) -> Option<()> {
        let Some(key) = hidden.get(at) else {
            for key in hidden {
                found.get_mut(key).unwrap().extend(values[key]);
            }
            return Some(());
        };
        for value in 0..=most {
            *budget = budget.checked_sub(1)?;
            values.insert(key.clone(), Some(value));
            if fits(equations, values) {
                go(at + 1, hidden, equations, values, found, most, budget)?;
            }
        }
        values.insert(key.clone(), None);
        Some(())
    }
    go(0, &hidden, &equations, &mut values, &mut found, most, budget)?;
    Some(found)
}

prop_compose! {
    pub(super) fn some_rows(sizes: Vec<usize>, rows: usize, several: bool)(
        rows in prop::collection::vec((prop::collection::vec(0..1_000_000usize, 3), 0..40u32, prop_oneof![4 => 0..200i64, 1 => 0..=MAX]), 0..rows)
    ) -> Vec<Row> {
        // Labels are drawn unevenly, so that there are small cells.
        let skew = |draw: usize, size: usize| (draw % size).min(draw / 7 % size);
        rows.into_iter().enumerate().map(|(i, (keys, unit, value))| Row {
            keys: sizes.iter().zip(keys).map(|(size, draw)| skew(draw, *size)).collect(),
            unit: if several { unit } else { i as u32 },
            value,
        }).collect()
    }
}

prop_compose! {
    fn some_policy()(k in 3..8u32, one in 500..=1000u16, two in 600..=1000u16, p in 0..=300u16, show in any::<bool>(), group in prop_oneof![Just(1000u16), 700..1000u16]) -> ReleasePolicy {
        let mut policy = standard();
        policy.table.min_frequency = k;
        (policy.table.largest_permille_max, policy.table.largest_two_permille_max, policy.table.p_permille) = (one, two, p);
        policy.table.zero_cells = if show { ZeroCells::Show } else { ZeroCells::Suppress };
        policy.table.group_permille_max = group;
        policy
    }
}

/// The rules once more, from rows, for a cell that is shown.
fn checked(rows: &[&Row], policy: &ReleasePolicy, sums: bool) -> Result<(), String> {
    let t = &policy.table;
    if rows.is_empty() {
        return if t.zero_cells == ZeroCells::Show { Ok(()) } else { Err("an empty cell".into()) };
    }
    let mut totals = BTreeMap::<u32, i128>::new();
    rows.iter().for_each(|r| *totals.entry(r.unit).or_default() += i128::from(r.value));
    let mut totals: Vec<i128> = totals.into_values().collect();
    totals.sort_unstable();
    if totals.len() < t.min_frequency as usize {
        return Err(format!("{} units", totals.len()));
    }
    if sums {
        let (total, largest) = (totals.iter().sum::<i128>(), totals[totals.len() - 1]);
        let second = totals[totals.len() - 2];
        let over = |part: i128, permille: u16| part * 1000 > total * i128::from(permille);
        if over(largest, t.largest_permille_max) || over(largest + second, t.largest_two_permille_max) {
            return Err("a dominated sum".into());
        }
        if (total - largest - second) * 1000 < largest * i128::from(t.p_permille) {
            return Err("a sum that the second largest can take apart".into());
        }
        if t.zero_cells == ZeroCells::Suppress && (total == 0 || total == i128::from(MAX) * rows.len() as i128) {
            return Err("a full cell".into());
        }
    }
    Ok(())
}

/// Checks a verdict as an outsider could, were he to know the rows. Returns how many cells were hidden, and how many of them an attacker
/// with linear programs found.
fn judge(rows: &[Row], verdict: &Verdict, policy: &ReleasePolicy, sums: bool) -> Result<(usize, usize), TestCaseError> {
    for row in &verdict.table.rows {
        let inside = |r: &&Row| row.keys.iter().enumerate().all(|(i, k)| k.label().is_none_or(|l| l == format!("l{}", r.keys[i])));
        let rows: Vec<&Row> = rows.iter().filter(inside).collect();
        if row.cell != DecidedCell::Suppressed {
            let why = checked(&rows, policy, sums);
            prop_assert!(why.is_ok(), "{row:?}: {}", why.unwrap_err());
        }
    }
    let shown = seen(&verdict.table, 0);
    let truth = |key: &Labels| {
        rows.iter().filter(|r| key.iter().enumerate().all(|(i, k)| k.as_ref().is_none_or(|l| *l == format!("l{}", r.keys[i])))).count()
            as f64
    };
    let (mut hidden, mut found) = (0, 0);
    let (k, p) = (f64::from(policy.table.min_frequency), f64::from(policy.table.p_permille) / 1000.0);
    for (key, (low, high)) in intervals(&shown, 1e6) {
        hidden += 1;
        found += usize::from(high - low < 0.5);
        let value = truth(&key);
        let (want_low, want_high) =
            if value < k { (1.0f64.max(0.0), k) } else { (value - (p * value).max(1.0), value + (p * value).max(1.0)) };
        prop_assert!(low <= want_low + 1e-6 && high >= want_high - 1e-6, "{key:?} is {value} and lies in [{low}, {high}]");
    }
    if sums {
        for (key, (low, high)) in intervals(&seen(&verdict.table, 1), 1e9) {
            found += usize::from(high - low < 0.5);
            prop_assert!(high > low + 0.5, "the sum of {key:?} is {low}");
        }
    }
    Ok((hidden, found))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// No released table violates its policy, and no hidden cell of it is found by linear programs over what is shown.
    #[test]
    fn no_released_table_violates_its_policy(
        (sizes, rows) in prop_oneof![
            Just(vec![4usize]), Just(vec![3, 3]), Just(vec![4, 5]), Just(vec![2, 3, 3]),
        ].prop_flat_map(|sizes| (Just(sizes.clone()), any::<bool>()).prop_flat_map(move |(sizes, several)| (Just(sizes.clone()), some_rows(sizes, 300, several)))),
        policy in some_policy(), cube in any::<bool>(), sums in any::<bool>(),
    ) {
        let ops: &[MeasureOp] = if sums { &[MeasureOp::Count, MeasureOp::Sum] } else { &[MeasureOp::Count, MeasureOp::Units] };
        let over: Vec<usize> = (0..sizes.len()).collect();
        let output = table("t", &sizes, &over, &rows, ops, if cube { Margins::Cube } else { Margins::Rollup });
        match decide(&[output], &policy).remove(0) {
            Ok(verdict) if verdict.held.is_none() => {
                let (_, found) = judge(&rows, &verdict, &policy, sums)?;
                prop_assert_eq!(found, 0);
            }
            Ok(_) | Err(NotReleased::RefusedByData { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// An attacker who tries every table of whole numbers cannot exclude 0 or 1, nor k, of a small hidden cell.
    #[test]
    fn no_small_cell_is_found_by_trying_every_table(rows in some_rows(vec![3, 3], 70, false), k in 3..6u32) {
        let mut policy = standard();
        policy.table.min_frequency = k;
        policy.table.zero_cells = ZeroCells::Show;
        let output = table("t", &[3, 3], &[0, 1], &rows, &[MeasureOp::Count], Margins::Cube);
        if let Ok(verdict) = decide(&[output], &policy).remove(0) && verdict.held.is_none() {
            let shown = seen(&verdict.table, 0);
            // A grand total bounds what has to be tried.
            if shown[&vec![None, None]].is_some() && let Some(all) = enumerated(&shown, rows.len() as i128, &mut 60_000) {
                for (key, values) in all {
                    let value = rows.iter().filter(|r| (0..2).all(|i| key[i].as_ref().is_none_or(|l| *l == format!("l{}", r.keys[i])))).count() as i128;
                    prop_assert!(values.contains(&value) && values.len() > 1, "{:?}: {:?}", key, values);
                    if value < k.into() {
                        prop_assert!(values.iter().any(|v| *v <= 1) && values.iter().any(|v| *v >= k.into()), "{:?}: {:?}", key, values);
                    }
                }
            }
        }
    }

    /// Random rounding on top: what is shown is a multiple of the base next to the truth, and the pattern is that of exact figures.
    #[test]
    fn rounding_changes_no_pattern(rows in some_rows(vec![4, 5], 200, false), base in prop::sample::select(vec![5u32, 10])) {
        let exact = standard();
        let mut rounded = exact.clone();
        (rounded.table.rounding, rounded.table.rounding_base) = (Rounding::Random, base);
        let output = table("t", &[4, 5], &[0, 1], &rows, &[MeasureOp::Count], Margins::Cube);
        let [a, b] = [&exact, &rounded].map(|policy| decide(std::slice::from_ref(&output), policy).remove(0));
        match (a, b) {
            (Ok(a), Ok(b)) => {
                for (a, b) in seen(&a.table, 0).values().zip(seen(&b.table, 0).values()) {
                    prop_assert_eq!(a.is_some(), b.is_some());
                    if let (Some(a), Some(b)) = (a, b) {
                        prop_assert!(b % i128::from(base) == 0 && (a - b).abs() < i128::from(base), "{} as {}", a, b);
                    }
                }
            }
            (a, b) => prop_assert_eq!(a.is_err(), b.is_err()),
        }
    }
}

/// Rows of one unit each, so many to a cell.
pub(super) fn filled(counts: &[(usize, usize, usize)]) -> Vec<Row> {
    let mut unit = 0;
    let mut rows = Vec::new();
    for (a, b, n) in counts {
        for _ in 0..*n {
            unit += 1;
            rows.push(Row { keys: vec![*a, *b], unit, value: 50 + i64::from(unit) * 37 % 101 });
        }
    }
    rows
}

#[test]
fn a_lone_hidden_cell_gets_partners_and_the_evidence_names_them() {
    let counts: Vec<_> = (0..3).flat_map(|a| (0..3).map(move |b| (a, b, if (a, b) == (1, 1) { 4 } else { 20 + 3 * a + b }))).collect();
    let output = table("t", &[3, 3], &[0, 1], &filled(&counts), &[MeasureOp::Count], Margins::Cube);
    let verdict = decide(&[output], &standard()).remove(0).unwrap();
    assert_eq!((verdict.held, verdict.evidence.attack.outcome), (None, AttackOutcome::Protected));
    assert_eq!((verdict.evidence.attack.primary, verdict.evidence.attack.complementary, verdict.table.suppressed), (1, 3, 4));
    // The cheapest rectangle: units 20, 21 and 23 beside 4.
    let hidden = |c: &&CellEvidence| c.fate == Fate::Suppressed;
    let mut units: Vec<u64> = verdict.evidence.cells.iter().filter(hidden).map(|c| c.units).collect();
    units.sort_unstable();
    assert_eq!(units, [4, 20, 21, 23]);
    let narrowest = verdict.evidence.attack.narrowest.unwrap();
    assert_eq!(narrowest.statistic, "rows");
    let json = serde_json::to_value(&verdict.table).unwrap();
    assert_eq!(json["rows"][15]["keys"], serde_json::json!([{ "total": true }, { "total": true }]));
    assert_eq!(serde_json::from_value::<DecidedTable>(json).unwrap(), verdict.table);
}

#[test]
fn tables_of_one_job_are_attacked_together() {
    // By a and b one cell is small; by a, and by b, none is. Alone each would be shown but for that cell.
    let counts: Vec<_> = (0..3).flat_map(|a| (0..3).map(move |b| (a, b, if (a, b) == (2, 0) { 5 } else { 30 }))).collect();
    let rows = filled(&counts);
    let of = |name: &str, over: &[usize]| table(name, &[3, 3], over, &rows, &[MeasureOp::Count], Margins::None);
    let alone = decide(&[of("ab", &[0, 1])], &standard()).remove(0).unwrap();
    assert_eq!((alone.table.suppressed, alone.evidence.attack.outcome), (1, AttackOutcome::NoEquations));
    let together = decide(&[of("ab", &[0, 1]), of("a", &[0]), of("b", &[1])], &standard());
    let suppressed: u64 = together.iter().map(|v| v.as_ref().unwrap().table.suppressed).sum();
    assert!(suppressed >= 4, "{suppressed}");
    // Two tables over different keys share the grand total, though neither shows it.
    let few: Vec<_> = [(0, 0, 40), (1, 1, 30), (2, 0, 6)].to_vec();
    let rows = filled(&few);
    let of = |name: &str, over: &[usize]| table(name, &[3, 2], over, &rows, &[MeasureOp::Count], Margins::None);
    let together = decide(&[of("a", &[0]), of("b", &[1])], &standard());
    let hidden: Vec<u64> = together.iter().map(|v| v.as_ref().unwrap().table.suppressed).collect();
    assert!(hidden.iter().sum::<u64>() >= 2, "{hidden:?}");
}

#[test]
fn group_disclosure_hides_a_cell_that_is_nearly_its_margin() {
    let rows = filled(&[(0, 0, 95), (0, 1, 5), (1, 0, 50), (1, 1, 50), (2, 0, 40), (2, 1, 60)]);
    let mut policy = standard();
    policy.table.min_frequency = 3;
    policy.table.group_permille_max = 900;
    for margins in [Margins::None, Margins::Cube] {
        let output = table("t", &[3, 2], &[0, 1], &rows, &[MeasureOp::Count], margins);
        let verdict = decide(std::slice::from_ref(&output), &policy).remove(0).unwrap();
        let grouped = |v: &Verdict| {
            v.evidence.cells.iter().filter(|c| c.causes.iter().any(|c| c.rule == CauseRule::Group)).map(|c| c.units).collect::<Vec<_>>()
        };
        assert_eq!(grouped(&verdict), [95]);
        let mut off = policy.clone();
        off.table.group_permille_max = 1000;
        assert_eq!(grouped(&decide(&[output], &off).remove(0).unwrap()), [0u64; 0]);
    }
}

#[test]
fn ranked_values_have_no_margins() {
    let rows = filled(&[(0, 0, 50), (1, 1, 50)]);
    let median = MeasureOp::Quantile { permille: 500 };
    let rule = |v: &Result<Verdict, NotReleased>| match v {
        Err(NotReleased::Refused { refused }) => refused.rule().id,
        _ => "",
    };
    let of = |name: &str, over: &[usize], margins| table(name, &[2, 2], over, &rows, &[MeasureOp::Count, median], margins);
    // (The test's tables hold no ranked values, so that what passes this rule is malformed.)
    assert_eq!(rule(&decide(&[of("t", &[0], Margins::None), of("u", &[1], Margins::None)], &standard())[0]), "");
    let mut sound = of("t", &[0], Margins::Rollup);
    sound.cells.iter_mut().for_each(|c| c.measures[1].as_mut().unwrap().order = (c.rows > 0).then_some(60));
    assert_eq!(rule(&decide(&[sound], &standard())[0]), "table.order_margin");
}

/// A table of `a` × `b` cells with margins, of which about `hidden` are hidden, and the seconds that deciding it takes.
fn timed(a: usize, b: usize, small: usize) -> (u64, u64, f64, AttackOutcome) {
    let mut counts = Vec::new();
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for i in 0..a {
        for j in 0..b {
            counts.push((i, j, 12 + (next() % 40) as usize));
        }
    }
    for _ in 0..small {
        let at = (next() % counts.len() as u64) as usize;
        counts[at].2 = 1 + (next() % 9) as usize;
    }
    let output = table("t", &[a, b], &[0, 1], &filled(&counts), &[MeasureOp::Count, MeasureOp::Sum], Margins::Cube);
    let cells = output.cells.len() as u64;
    let start = std::time::Instant::now();
    let verdict = decide(&[output], &standard()).remove(0).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    (cells, verdict.evidence.attack.primary + verdict.evidence.attack.complementary, seconds, verdict.evidence.attack.outcome)
}

#[test]
fn the_largest_table_is_decided_in_time() {
    let (cells, hidden, seconds, outcome) = timed(40, 47, 45);
    println!("{cells} cells, {hidden} hidden: {seconds:.2} s, {outcome:?}");
    assert_eq!(outcome, AttackOutcome::Protected);
    // 10 s is the promise; a machine that does other things is given more.
    assert!(seconds < 30.0);
    let (cells, hidden, seconds, outcome) = timed(40, 60, 45);
    println!("{cells} cells, {hidden} hidden: {seconds:.2} s, {outcome:?}");
    assert_eq!(outcome, AttackOutcome::TooManyCells);
    let (_, _, _, outcome) = timed(40, 47, 400);
    assert_eq!(outcome, AttackOutcome::TooManyHidden);
}

/// Kinds of tables that are compared: what is peculiar in their values.
const COMPARED: [&str; 8] =
    ["mixed", "one dominates", "all zero", "all at the bound", "at the limit", "negative", "missing", "several rows a unit"];

/// Rows of a compared table, and whether each has a value.
fn compared(kind: &str, next: &mut impl FnMut(u64) -> u64) -> Vec<(Row, bool)> {
    if kind == "at the limit" {
        return at_the_limit().into_iter().map(|row| (row, true)).collect();
    }
    let count = 60 + next(240) as u32;
    let row = |unit: u32| {
        let (a, b) = (next(4).min(next(4)) as usize, next(3) as usize);
        let draw = next(12);
        let value = match (kind, draw) {
            ("one dominates", 0) => 900 + next(100),
            ("all zero", _) if a == 0 => 0,
            ("all at the bound", _) if b == 0 => MAX as u64,
            (_, 1) => next(1000),
            _ => 5 + next(40),
        } as i64;
        let value = if kind == "negative" && b == 1 { -value } else { value };
        let unit = if kind == "several rows a unit" { unit / 2 } else { unit };
        (Row { keys: vec![a, b], unit, value }, kind != "missing" || draw < 8)
    };
    (0..count).map(row).collect()
}

/// Cells in which the two largest hold nine tenths, or just less; in which the rest is a tenth of the largest; with one unit more or less
/// than the minimum.
fn at_the_limit() -> Vec<Row> {
    let mut rows = Vec::new();
    for (a, b) in (0..4).flat_map(|a| (0..3).map(move |b| (a, b))) {
        let two = [[450, 450], [450, 449], [500, 100]][b];
        let mut values: Vec<i64> = two.into_iter().chain([if b == 2 { 5 } else { 10 }; 10]).collect();
        values[0] += i64::from(a == 1);
        values.truncate([12, 12, 10, 9][a]);
        rows.extend(values.into_iter().map(|value| (vec![a, b], value)));
    }
    (0..).zip(rows).map(|(unit, (keys, value))| Row { keys, unit, value }).collect()
}

/// Random tables with the verdicts of each cell, a line of JSON each, for `tests/acro/compare.py`.
#[test]
#[ignore = "prints tables for tests/acro/compare.py"]
fn tables_for_comparison() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for table_number in 0..80 {
        let kind = COMPARED[table_number % COMPARED.len()];
        let rows = compared(kind, &mut next);
        let mut told = Vec::new();
        for op in [MeasureOp::Count, MeasureOp::Sum] {
            let all: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
            let mut output = table("t", &[4, 3], &[0, 1], &all, &[op], Margins::None);
            output.header.columns.iter_mut().flatten().for_each(|column| column.min = if kind == "negative" { -MAX } else { 0 });
            for cell in &mut output.cells {
                let inside = |row: &Row| row.keys.iter().zip(&cell.keys).all(|(k, label)| *label == Some(*k as i64));
                let there: Vec<&Row> = rows.iter().filter(|(row, there)| *there && inside(row)).map(|(row, _)| row).collect();
                cell.measures.iter_mut().flatten().for_each(|e| *e = evidence(&there));
            }
            // Also of tables that are refused as a whole the cells' own verdicts are compared.
            let rules = standard().table;
            let verdicts: Vec<_> = output
                .cells
                .iter()
                .map(|cell| {
                    let causes = super::primary::causes(cell, &output.header, &rules);
                    let names: Vec<_> = causes.iter().map(|c| serde_json::to_value(c.rule).unwrap()).collect();
                    serde_json::json!({ "keys": cell.keys, "rows": cell.rows, "causes": names })
                })
                .collect();
            told.push(verdicts);
        }
        let value = |(row, there): &(Row, bool)| there.then_some(row.value);
        let rows: Vec<_> = rows.iter().map(|r| serde_json::json!([r.0.keys[0], r.0.keys[1], value(r)])).collect();
        println!("TABLE {}", serde_json::json!({ "kind": kind, "rows": rows, "count": told[0], "sum": told[1] }));
    }
}

/// Time against cells and hidden cells.
#[test]
#[ignore = "a curve, not a check"]
fn time_against_cells() {
    for (a, b) in [(10, 9), (20, 19), (30, 29), (40, 47)] {
        for small in [5, 20, 45, 70] {
            let (cells, hidden, seconds, outcome) = timed(a, b, small);
            println!("{cells} cells, {hidden} hidden: {seconds:.3} s, {outcome:?}");
        }
    }
}
