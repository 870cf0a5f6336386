use proptest::prelude::*;
use protocol::table::{Cell, KeyDomain, Margins, MeasureColumn, MeasureEvidence, MeasureRequest, OwnSpread, TableHeader};

use super::*;
use crate::policy::ReleasePolicy;
use crate::policy::release::ZeroCells;

fn standard() -> ReleasePolicy {
    ReleasePolicy::parse(include_str!("../../../policies/release/standard.toml")).unwrap()
}

fn measure(name: &str, op: MeasureOp) -> MeasureRequest {
    MeasureRequest { name: name.into(), op, column: op.needs_column().then(|| "x".into()) }
}

/// Rows of one cell as (unit, counts towards the minimum, value); the evidence is computed here, apart from the engine.
type Rows = Vec<(u32, bool, Option<i64>)>;

fn each(n: u32, value: impl Fn(u32) -> i64) -> Rows {
    (0..n).map(|i| (i, true, Some(value(i)))).collect()
}

fn cell(keys: &[Option<i64>], rows: &Rows, measures: &[MeasureRequest]) -> Cell {
    use std::collections::{BTreeMap, BTreeSet};
    let units: BTreeSet<_> = rows.iter().map(|r| r.0).collect();
    let counting: BTreeSet<_> = rows.iter().filter(|r| r.1).map(|r| r.0).collect();
    let mut values: Vec<i64> = rows.iter().filter_map(|r| r.2).collect();
    values.sort_unstable();
    let mut totals = BTreeMap::<u32, i128>::new();
    for (unit, _, value) in rows {
        *totals.entry(*unit).or_default() += i128::from(value.unwrap_or(0));
    }
    let mut totals: Vec<i128> = totals.values().map(|t| t.abs()).collect();
    totals.sort_unstable_by(|a, b| b.cmp(a));
    let counting_with_value: BTreeSet<_> = rows.iter().filter(|r| r.1 && r.2.is_some()).map(|r| r.0).collect();
    let evidence = |op| MeasureEvidence {
        n: values.len() as u64,
        units: counting_with_value.len() as u64,
        sum: values.iter().map(|v| i128::from(*v)).sum(),
        sum_of_squares: if op == MeasureOp::Variance { values.iter().map(|v| i128::from(*v).pow(2)).sum() } else { 0 },
        order: match op {
            MeasureOp::Min => values.first().copied(),
            MeasureOp::Max => values.last().copied(),
            MeasureOp::Quantile { permille } => {
                let rank = (values.len() * usize::from(permille)).div_ceil(1000).max(1);
                values.get(rank - 1).copied()
            }
            _ => None,
        },
        largest: totals.first().copied().unwrap_or(0),
        second: totals.get(1).copied().unwrap_or(0),
        total: totals.iter().sum(),
        top: Vec::new(),
        own: None,
    };
    Cell {
        totals: 0,
        contributors: 0,
        keys: keys.to_vec(),
        rows: rows.len() as u64,
        units: units.len() as u64,
        units_counting: counting.len() as u64,
        measures: measures.iter().map(|m| m.op.needs_column().then(|| evidence(m.op))).collect(),
    }
}

/// A table over one key with values of two decimals between -1000 and 1000.
fn table(domain: KeyDomain, ops: &[MeasureOp], cells: &[(Option<i64>, Rows)]) -> TableOutput {
    let measures: Vec<_> = ops.iter().enumerate().map(|(i, op)| measure(&format!("m{i}"), *op)).collect();
    let column = MeasureColumn { scale: 2, min: -100_000, max: 100_000 };
    let cells: Vec<_> = cells.iter().map(|(key, rows)| cell(&[*key], rows, &measures)).collect();
    TableOutput {
        header: TableHeader {
            columns: measures.iter().map(|m| m.column.as_ref().map(|_| column.clone())).collect(),
            request: TableRequest { name: "t".into(), keys: vec!["k".into()], measures, margins: Margins::None },
            domains: vec![domain],
            cells: cells.len() as u64,
        },
        cells,
    }
}

fn declared() -> KeyDomain {
    KeyDomain::Declared(["a", "b", "c"].map(String::from).to_vec())
}

fn under(output: &TableOutput, policy: &ActivePolicy, coding: &[Coding], units: u64) -> Result<(DecidedTable, TableEvidence), NotReleased> {
    let verdict = decide_table(output, coding, &Deciding { policy, units, rounding: &RoundingKey::new(b"tests") })?;
    assert_eq!((verdict.held, verdict.evidence.attack.outcome), (None, crate::sdc::AttackOutcome::NoEquations));
    Ok((verdict.table, verdict.evidence))
}

fn decide_under(output: &TableOutput, policy: ReleasePolicy, coded: bool) -> Result<(DecidedTable, TableEvidence), NotReleased> {
    let coding = vec![Coding { bottom: coded, top: coded }; output.header.request.measures.len()];
    under(output, &ActivePolicy::for_tests(policy), &coding, 1000)
}

fn decide(output: &TableOutput) -> (DecidedTable, TableEvidence) {
    decide_under(output, standard(), false).unwrap()
}

fn rule(result: Result<(DecidedTable, TableEvidence), NotReleased>) -> (&'static str, bool) {
    match result.unwrap_err() {
        NotReleased::Refused { refused } => (refused.rule().id, false),
        NotReleased::RefusedByData { refused } => (refused.rule().id, true),
        NotReleased::Malformed(what) => (what, false),
    }
}

/// The rules that hide the second of two cells, the first of which is fine.
fn causes_of(op: MeasureOp, rows: Rows) -> Vec<CauseRule> {
    let output = table(declared(), &[op], &[(Some(0), each(400, |i| i64::from(i) - 20)), (Some(1), rows)]);
    let (decided, evidence) = decide_under(&output, standard(), true).unwrap();
    assert_eq!(evidence.cells[0].fate, Fate::Shown);
    let hidden = decided.rows[1].cell == DecidedCell::Suppressed;
    assert_eq!((hidden, decided.suppressed), (!evidence.cells[1].causes.is_empty(), u64::from(hidden)));
    evidence.cells[1].causes.iter().map(|c| c.rule).collect()
}

#[test]
fn figures_over_own_values_are_shown_where_every_value_has_enough_units() {
    let with = |spreads: [OwnSpread; 2], policy: ReleasePolicy| {
        let mut output = table(declared(), &[MeasureOp::Mean], &[(Some(0), each(400, i64::from)), (Some(1), each(300, i64::from))]);
        for (cell, spread) in output.cells.iter_mut().zip(spreads) {
            cell.measures[0].as_mut().unwrap().own = Some(spread);
        }
        decide_under(&output, policy, false)
    };
    let spread = |least, absent| OwnSpread { least, absent };
    let hidden =
        |other, policy| with([spread(10, false), other], policy).unwrap().1.cells[1].causes.iter().map(|c| c.rule).collect::<Vec<_>>();
    assert!(hidden(spread(10, false), standard()).is_empty());
    assert_eq!(hidden(spread(9, false), standard()), [CauseRule::OwnValues]);
    assert_eq!(hidden(spread(0, true), standard()), [CauseRule::OwnValues]);
    // Ten of each value that is there, and one of the view's values is not: a zero cell.
    assert_eq!(hidden(spread(10, true), standard()), [CauseRule::OwnValues]);
    let shows_zeros = ReleasePolicy { table: TableRules { zero_cells: ZeroCells::Show, ..standard().table }, ..standard() };
    assert!(hidden(spread(10, true), shows_zeros).is_empty());
    // Where none is left the refusal says what to do about own values.
    assert_eq!(rule(with([spread(1, false), spread(1, false)], standard())), ("table.own_measure", true));
}

#[test]
fn shown_figures_are_exact() {
    use MeasureOp::{Count, Max, Mean, Min, Quantile, Sum, Units, Variance};
    let ops = [Count, Units, Sum, Mean, Variance, Quantile { permille: 500 }, Min, Max];
    // Each of 20 units twice: 0.00 to 0.19, and the same again.
    let rows: Rows = (0..40).map(|i| (i / 2, true, Some(i64::from(i / 2)))).collect();
    let (decided, _) = decide_under(&table(declared(), &ops, &[(Some(1), rows)]), standard(), true).unwrap();
    // Sum 2·1.90; mean 0.095 to even 0.10; variance (20²−1)/12 = 33.25 in 10^-4.
    let expected = ["40", "20", "3.80", "0.10", "0.0033", "0.09", "0.00", "0.19"];
    let DecidedCell::Shown(values) = &decided.rows[0].cell else { panic!("hidden") };
    assert_eq!(values.iter().map(|v| v.as_deref().unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!((decided.rows[0].keys.clone(), decided.suppressed), (vec![ShownKey::Label("b".to_owned())], 0));
    assert_eq!((decided.keys, decided.measures.len()), (vec!["k".to_owned()], 8));
}

#[test]
fn minimum_frequency_counts_units_and_not_rows_nor_the_operators_own() {
    let count = MeasureOp::Count;
    assert_eq!(causes_of(count, each(10, |_| 1)), []);
    assert_eq!(causes_of(count, each(9, |_| 1)), [CauseRule::MinimumFrequency]);
    let nine_units: Rows = (0..90).map(|i| (i % 9, true, Some(1))).collect();
    assert_eq!(causes_of(count, nine_units), [CauseRule::MinimumFrequency]);
    let own = |foreign: u32| (0..90).map(|i| (i, i < foreign, Some(1))).collect();
    assert_eq!((causes_of(count, own(9)), causes_of(count, own(10))), (vec![CauseRule::MinimumFrequency], vec![]));
    // Enough units in the cell, too few with a value.
    let sparse: Rows = (0..30).map(|i| (i, true, (i < 9).then_some(i64::from(i) + 5))).collect();
    assert_eq!(causes_of(MeasureOp::Sum, sparse), [CauseRule::MinimumFrequency]);
}

#[test]
fn dominance_and_p_percent() {
    use CauseRule::{LargestDominates, LargestTwoDominate, PPercent};
    // Twenty of 10 and one of x: total 200 + x.
    let one = |x: i64| (0..21).map(|i| (i, true, Some(if i == 20 { x } else { 10 }))).collect::<Rows>();
    for op in [MeasureOp::Sum, MeasureOp::Mean, MeasureOp::Variance] {
        assert_eq!(causes_of(op, one(790)), [], "{op:?}"); // 79.8 %, 80.8 %, rest 190 of 790
        assert_eq!(causes_of(op, one(800)), [], "exactly 80 % is not more");
        assert_eq!(causes_of(op, one(801)), [LargestDominates]);
        assert_eq!(causes_of(op, one(1691)), [LargestDominates]); // two: 1701 of 1891, 89.95 %
        assert_eq!(causes_of(op, one(1801)), [LargestDominates, LargestTwoDominate]); // rest 190 of 1801: 10.5 %
        assert_eq!(causes_of(op, one(1901)), [LargestDominates, LargestTwoDominate, PPercent]);
        // Signs do not hide it: contributions are absolute totals.
        assert_eq!(causes_of(op, one(-1901)), [LargestDominates, LargestTwoDominate, PPercent]);
    }
    // Many rows of one unit are one contribution.
    let split: Rows = (0..20).map(|i| (i, true, Some(10))).chain((0..100).map(|_| (99, true, Some(9)))).collect();
    assert_eq!(causes_of(MeasureOp::Sum, split), [LargestDominates]);
    assert_eq!(causes_of(MeasureOp::Count, one(99_999)), []);
    // Two positives among many: together they hold everything.
    let two: Rows = (0..50).map(|i| (i, true, Some(i64::from(i < 2)))).collect();
    assert_eq!(causes_of(MeasureOp::Mean, two), [LargestTwoDominate, PPercent]);
}

#[test]
fn zero_and_full_cells() {
    assert_eq!(causes_of(MeasureOp::Count, vec![]), [CauseRule::Zero]);
    for bound in [-100_000, 100_000] {
        assert_eq!(causes_of(MeasureOp::Mean, each(50, |_| bound)), [CauseRule::Full]);
        assert_eq!(causes_of(MeasureOp::Sum, each(50, |_| bound)), [CauseRule::Full]);
    }
    assert_eq!(causes_of(MeasureOp::Mean, each(50, |_| 7)), []);
    assert_eq!(causes_of(MeasureOp::Variance, each(50, |_| 7)), [CauseRule::Full]);

    let mut show = standard();
    show.table.zero_cells = ZeroCells::Show;
    let ops = [MeasureOp::Count, MeasureOp::Sum, MeasureOp::Mean];
    let cells = [(Some(0), each(50, i64::from)), (Some(1), vec![]), (Some(2), each(50, |_| 100_000))];
    let (decided, _) = decide_under(&table(declared(), &ops, &cells), show, false).unwrap();
    assert_eq!(decided.rows[1].cell, DecidedCell::Shown(vec![Some("0".into()), Some("0.00".into()), None]));
    assert_eq!(decided.suppressed, 0);
}

#[test]
fn quantiles_need_the_minimum_on_both_sides_and_extremes_a_coding() {
    let median = MeasureOp::Quantile { permille: 500 };
    assert_eq!(causes_of(median, each(20, i64::from)), []);
    assert_eq!(causes_of(median, each(19, i64::from)), []); // the tenth of nineteen
    assert_eq!(causes_of(median, each(18, i64::from)), [CauseRule::QuantileTail]);
    assert_eq!(causes_of(MeasureOp::Quantile { permille: 950 }, each(100, i64::from)), [CauseRule::QuantileTail]);
    assert_eq!(causes_of(MeasureOp::Quantile { permille: 900 }, each(100, i64::from)), []);
    let cells = [(Some(0), each(50, i64::from))];
    for (op, bottom, top) in [
        (MeasureOp::Min, true, false),
        (MeasureOp::Quantile { permille: 0 }, true, false),
        (MeasureOp::Max, false, true),
        (MeasureOp::Quantile { permille: 1000 }, false, true),
    ] {
        let (output, policy) = (table(declared(), &[op], &cells), ActivePolicy::for_tests(standard()));
        let with = |bottom, top| under(&output, &policy, &[Coding { bottom, top }], 1000);
        assert!(with(bottom, top).is_ok() && with(true, true).is_ok());
        assert_eq!((rule(with(!bottom, !top)), rule(with(false, false))), (("table.uncoded", false), ("table.uncoded", false)));
    }
}

#[test]
fn labels_found_in_the_data_are_not_named_below_the_minimum() {
    let found = KeyDomain::Found(["fine", "rare"].map(String::from).to_vec());
    let cells = [(None, each(3, |_| 1)), (Some(0), each(50, |_| 1)), (Some(1), each(9, |_| 1))];
    let output = table(found, &[MeasureOp::Count], &cells);
    let (decided, evidence) = decide(&output);
    assert_eq!(decided.rows.iter().map(|r| r.keys[0].label()).collect::<Vec<_>>(), [Some("fine")]);
    assert_eq!(decided.suppressed, 0);
    assert_eq!(evidence.cells.iter().map(|c| c.fate).collect::<Vec<_>>(), [Fate::Omitted, Fate::Shown, Fate::Omitted]);
    assert!(!serde_json::to_string(&decided).unwrap().contains("rare"));
    // Declared labels are named, but not a missing value that too few have.
    let (decided, _) = decide(&table(declared(), &[MeasureOp::Count], &cells));
    assert_eq!(decided.rows.iter().map(|r| r.keys[0].label()).collect::<Vec<_>>(), [Some("a"), Some("b")]);
    assert_eq!(decided.suppressed, 1);
    // And an empty cell of an open domain is not there even where zeros are shown.
    let mut show = standard();
    show.table.zero_cells = ZeroCells::Show;
    let cells = [(Some(0), each(50, |_| 1)), (Some(1), vec![])];
    let (decided, _) = decide_under(&table(KeyDomain::Date, &[MeasureOp::Count], &cells), show, false).unwrap();
    assert_eq!(decided.rows.len(), 1);
}

#[test]
fn labels_of_dates_hours_and_numbers() {
    for (domain, key, label) in [
        (KeyDomain::Date, 20_000, "2024-10-04"),
        (KeyDomain::Hour, 20_000 * 24 + 7, "2024-10-04 07"),
        (KeyDomain::Hour, -1, "1969-12-31 23"),
        (KeyDomain::Number(2), -5, "-0.05"),
        (KeyDomain::Number(0), 7, "7"),
    ] {
        let (decided, _) = decide(&table(domain, &[MeasureOp::Count], &[(None, each(50, |_| 1)), (Some(key), each(50, |_| 1))]));
        assert_eq!(decided.rows.iter().map(|r| r.keys[0].label()).collect::<Vec<_>>(), [None, Some(label)]);
    }
}

#[test]
fn counts_are_rounded_to_the_base() {
    let mut policy = standard();
    policy.table.rounding_base = 5;
    let output = table(declared(), &[MeasureOp::Count, MeasureOp::Units, MeasureOp::Sum], &[(Some(0), each(13, |i| i64::from(i) + 5))]);
    let (decided, _) = decide_under(&output, policy, false).unwrap();
    assert_eq!(decided.rows[0].cell, DecidedCell::Shown(["15", "15", "1.43"].map(|v| Some(v.to_owned())).to_vec()));
}

#[test]
fn whole_tables_are_refused_by_rule() {
    let fine = table(declared(), &[MeasureOp::Count], &[(Some(0), each(50, |_| 1))]);
    let mut policy = standard();
    policy.doors.table = false;
    assert_eq!(rule(decide_under(&fine, policy, false)), ("policy.door", false));
    let mut policy = standard();
    policy.table.cells_max = 1;
    let two = [(Some(0), each(50, |_| 1)), (Some(1), each(50, |_| 1))];
    assert_eq!(rule(decide_under(&table(declared(), &[MeasureOp::Count], &two), policy.clone(), false)), ("table.cells", false));
    assert_eq!(rule(decide_under(&table(KeyDomain::Date, &[MeasureOp::Count], &two), policy, false)), ("table.cells", true));
    let small = table(declared(), &[MeasureOp::Count], &[(Some(0), each(5, |_| 1)), (Some(1), each(4, |_| 1))]);
    assert_eq!(rule(decide_under(&small, standard(), false)), ("table.minimum_units", true));
    let scattered = table(declared(), &[MeasureOp::Count], &[(Some(0), each(9, |_| 1)), (Some(1), each(9, |_| 1))]);
    assert_eq!(rule(decide_under(&scattered, standard(), false)), ("table.all_suppressed", true));
    assert_eq!(
        rule(under(&fine, &ActivePolicy::for_tests(standard()), &[Coding { bottom: false, top: false }], 9)),
        ("table.minimum_units", true)
    );
}

#[test]
fn a_table_that_contradicts_itself_is_not_decided() {
    type Spoil = fn(&mut TableOutput);
    let spoils: &[Spoil] = &[
        |t| t.header.cells = 1,
        |t| t.header.domains.clear(),
        |t| t.header.columns.clear(),
        |t| t.header.columns[1] = None,
        |t| t.header.request.name = "No Name".into(),
        |t| t.cells.swap(0, 1),
        |t| t.cells[1].keys[0] = t.cells[0].keys[0],
        |t| t.cells[1].keys[0] = Some(3),
        |t| t.cells[0].keys[0] = Some(-1),
        |t| t.cells[0].keys.push(None),
        |t| t.cells[0].measures.truncate(0),
        |t| t.cells[0].measures.swap(0, 1),
        |t| t.cells[0].units = 51,
        |t| t.cells[0].units_counting = 51,
        |t| t.cells[0].measures[1].as_mut().unwrap().n = 51,
        |t| t.cells[0].measures[1].as_mut().unwrap().units = 51,
        |t| t.cells[0].measures[1].as_mut().unwrap().sum = 5_000_001,
        |t| t.cells[0].measures[1].as_mut().unwrap().sum = i128::MIN,
        |t| t.cells[0].measures[1].as_mut().unwrap().second = 50,
        |t| t.cells[0].measures[1].as_mut().unwrap().second = -1,
        |t| t.cells[0].measures[1].as_mut().unwrap().largest = i128::MAX,
        |t| t.cells[0].measures[1].as_mut().unwrap().total = 60,
        |t| t.cells[0].measures[1].as_mut().unwrap().order = Some(1),
    ];
    let fine = table(declared(), &[MeasureOp::Count, MeasureOp::Sum], &[(Some(0), each(50, i64::from)), (Some(1), each(50, i64::from))]);
    assert!(decide_under(&fine, standard(), false).is_ok());
    for (i, spoil) in spoils.iter().enumerate() {
        let mut spoilt = fine.clone();
        spoil(&mut spoilt);
        let result = decide_under(&spoilt, standard(), false);
        assert!(matches!(result, Err(NotReleased::Malformed(_))), "{i}: {result:?}");
    }
}

#[test]
fn a_margin_is_seen() {
    let request = |keys: &[&str]| TableRequest {
        name: "t".into(),
        keys: keys.iter().map(|k| (*k).into()).collect(),
        measures: vec![],
        margins: Margins::None,
    };
    assert!(shares_margin(&request(&["a"]), &request(&["a", "b"])) && shares_margin(&request(&["a", "b"]), &request(&["b"])));
    assert!(shares_margin(&request(&[]), &request(&["a"])) && shares_margin(&request(&["a", "b"]), &request(&["b", "a"])));
    assert!(!shares_margin(&request(&["a"]), &request(&["b"])) && !shares_margin(&request(&["a", "c"]), &request(&["a", "b"])));
}

prop_compose! {
    fn any_rules()(k in 3..15u32, one in 300..=1000u16, two in 300..=1000u16, p in 0..=1000u16, show in any::<bool>(), base in prop::sample::select(vec![1u32, 5, 10])) -> ReleasePolicy {
        let mut policy = standard();
        policy.table = TableRules {
            min_frequency: k, largest_permille_max: one, largest_two_permille_max: two, p_permille: p,
            zero_cells: if show { ZeroCells::Show } else { ZeroCells::Suppress }, rounding_base: base, ..policy.table
        };
        policy
    }
}

proptest! {
    /// What a member's policy hides, the strictest hides too; and no cell below the minimum is ever shown.
    #[test]
    fn the_strictest_policy_shows_no_more_than_any_member(
        a in any_rules(), b in any_rules(),
        cells in prop::collection::vec(prop::collection::vec((0..20u32, any::<bool>(), prop::option::of(-50..50i64)), 0..60), 3),
    ) {
        let cells: Vec<_> = cells.into_iter().map(|rows| {
            // Whether a unit counts is one fact per unit.
            rows.into_iter().map(|(u, _, v)| (u, u % 5 != 0, v)).collect::<Rows>()
        }).enumerate().map(|(i, rows)| (Some(i as i64), rows)).collect();
        let output = table(declared(), &[MeasureOp::Count, MeasureOp::Sum], &cells);
        let shown = |policy: &ReleasePolicy| match decide_under(&output, policy.clone(), false) {
            Ok((decided, _)) => decided.rows.iter().map(|r| r.cell != DecidedCell::Suppressed).collect(),
            Err(NotReleased::RefusedByData { .. }) => vec![false; 3],
            Err(other) => panic!("{other}"),
        };
        let strictest = a.strictest(&b);
        for (i, seen) in shown(&strictest).into_iter().enumerate() {
            if seen {
                prop_assert!(shown(&a)[i] && shown(&b)[i]);
                let counting = output.cells[i].units_counting;
                prop_assert!(counting >= u64::from(strictest.table.min_frequency) || counting == 0 && output.cells[i].rows == 0);
            }
        }
    }
}
