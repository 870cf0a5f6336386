//! Tables with their evidence against a naive computation: nested loops over decoded rows.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use protocol::column::{Parts, write_column};
use protocol::manifest::{DerivedColumn, DerivedType};
use protocol::memfd::sealed;
use protocol::message::EngineFailure;
use protocol::table::*;

use super::fuse::fuse;
use super::table;
use super::testing::*;
use super::view::View;

#[test]
fn tables_equal_a_naive_computation() {
    for seed in 100..180 {
        let case = case(seed);
        let fused = case.fuse(1).unwrap();
        let rows = decoded(&fused);
        let names: Vec<String> = fused.columns.iter().map(|c| c.name.clone()).collect();
        let labels = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let declared = BTreeMap::from([
            ("grade", labels(&["A", "B", "C"])),
            ("band", labels(&["low", "mid", "high"])),
            ("gone", labels(&["C", "X", "A"])),
        ]);
        let view = view_of(fused, 2);
        let mut r = Rng(seed | 1);
        for keys in [&[][..], &["grade"], &["band", "grade"], &["gone"], &["words", "opened"], &["opened", "amount", "grade"], &["arrears"]]
        {
            let request = request(keys, &all_measures(&mut r));
            let output = compute(&view, &request).unwrap();
            compare(&output, naive_table(&names, &rows, &declared, &request), &format!("seed {seed} keys {keys:?}"));
            margins_equal_a_table_over_the_kept_keys(&view, &request, &output, &format!("seed {seed} keys {keys:?}"));
        }
    }
}

#[test]
fn spreads_of_own_values_and_largest_units_equal_naive_ones() {
    let (mut spread, mut named) = (0, 0);
    for seed in 100..160 {
        let fused = case(seed).fuse(1).unwrap();
        let (rows, names) = (decoded(&fused), fused.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>());
        let view = view_of(fused, 2);
        let (column, own) = (names.iter().position(|n| n == "arrears").unwrap(), ["arrears".to_owned()]);
        for keys in [&[][..], &["grade"], &["band", "grade"], &["words", "opened"], &["arrears"]] {
            let request = TableRequest { margins: Margins::Cube, ..request(keys, &[(MeasureOp::Sum, Some("arrears"))]) };
            let asked = table::Asked { view: &view, derived: &[], own: &own, top: true };
            let output = table::compute(&asked, &request).unwrap();
            let nonnegative = output.header.columns[0].as_ref().unwrap().min >= 0;
            let values: BTreeSet<&Opt> = rows.iter().map(|r| &r.0[column]).filter(|v| v.is_some()).collect();
            for cell in &output.cells {
                let inside = rows_of(&rows, &names, keys, &output, cell);
                let (mut units, mut totals) = (BTreeMap::<&Opt, BTreeSet<&Val>>::new(), BTreeMap::<&Val, i128>::new());
                for row in &inside {
                    let of_value = units.entry(&row.0[column]).or_default();
                    if row.2 {
                        of_value.insert(&row.1);
                    }
                    if let Some(Val::Int(v)) = &row.0[column] {
                        *totals.entry(&row.1).or_default() += i128::from(*v);
                    }
                }
                let least = units.values().map(|u| u.len() as u64).min().unwrap_or(u64::MAX);
                let absent = values.iter().any(|v| !units.contains_key(*v));
                let e = cell.measures[0].as_ref().unwrap();
                assert_eq!(e.own, Some(OwnSpread { least, absent }), "seed {seed} {keys:?} {cell:?}");
                spread += usize::from(inside.len() > 1);
                if nonnegative {
                    let ordinal = |v: &Val| match v {
                        Val::Int(unit) => *unit,
                        Val::Text(_) => panic!(),
                    };
                    let mut top: Vec<UnitShare> =
                        totals.iter().map(|(unit, total)| UnitShare { unit: ordinal(unit), total: *total }).collect();
                    top.sort_by_key(|s| (std::cmp::Reverse(s.total), s.unit));
                    top.truncate(TOP_UNITS);
                    assert_eq!(e.top, top, "seed {seed} {keys:?}");
                    named += top.len();
                }
            }
        }
    }
    assert!(spread > 100 && named > 100, "{spread} cells, {named} units");
}

#[test]
fn contributors_tell_sets_of_rows_apart() {
    let (mut cells, mut shared) = (0, 0);
    for seed in 100..140 {
        let fused = case(seed).fuse(1).unwrap();
        let identity: Vec<i64> = decode(fused.descriptors.last().unwrap())
            .into_iter()
            .map(|v| match v {
                Some(Val::Int(v)) => v,
                other => panic!("{other:?}"),
            })
            .collect();
        let view = view_of(fused, 2);
        // Digest of a cell's contributors by the base rows behind it, each as often as it is there.
        let (mut sets, mut totals) = (BTreeMap::<Vec<i64>, u128>::new(), Vec::new());
        for key in ["grade", "opened"] {
            let request = request(&[key], &[(MeasureOp::Count, None)]);
            let told = compute(&view, &request).unwrap().cells;
            let of_rows = table::cell_of_rows(&view, &[], &request).unwrap();
            totals.push(told.iter().fold(0u128, |sum, c| sum.wrapping_add(c.contributors)));
            for (at, cell) in told.iter().enumerate().filter(|(_, c)| c.rows > 0) {
                let mut rows: Vec<i64> = of_rows.iter().zip(&identity).filter(|(c, _)| **c as usize == at).map(|(_, id)| *id).collect();
                rows.sort_unstable();
                cells += 1;
                shared += usize::from(sets.insert(rows, cell.contributors).is_some_and(|before| {
                    assert_eq!(before, cell.contributors, "seed {seed}: one set, two digests");
                    true
                }));
            }
        }
        // Any partition of the rows sums to the same, and different sets differ.
        assert_eq!(totals[0], totals[1], "seed {seed}");
        assert_eq!(sets.values().collect::<BTreeSet<_>>().len(), sets.len(), "seed {seed}: two sets, one digest");
    }
    println!("{cells} cells, {shared} of them over the same base rows as another");
    assert!(cells > 100, "{cells} cells");
}

#[test]
fn blocks_threads_and_sparse_keys_change_nothing() {
    for units in [0, 3, 400] {
        let case = big_case(units, 70_000);
        let (sources, fds) = case.sources();
        let fused = fuse(&case.plan, sources, fds, case.keys(), 1 << 20).unwrap();
        let rows = decoded(&fused);
        let names: Vec<String> = fused.columns.iter().map(|c| c.name.clone()).collect();
        let mut view = view_of(fused, 1);
        // `x, y` has 90 601 places: numbered, not dense.
        for keys in [&["x"][..], &["far"], &["x", "y"]] {
            let request = request(keys, &[(MeasureOp::Sum, Some("v")), (MeasureOp::Quantile { permille: 333 }, Some("v"))]);
            view.threads = 1;
            let one = compute(&view, &request).unwrap();
            view.threads = 3;
            assert_eq!(compute(&view, &request).unwrap(), one);
            compare(&one, naive_table(&names, &rows, &BTreeMap::new(), &request), &format!("{units} {keys:?}"));
        }
        // Every value of three keys together: more cells than a table may have.
        let many = request(&["x", "y", "v"], &[(MeasureOp::Count, None)]);
        match compute(&view, &many) {
            Ok(output) => assert!(output.cells.len() <= 100_000),
            Err(e) => assert!(matches!(e, EngineFailure::Limit(l) if l.name == "table_cells_max")),
        }
        // A view that claims another number of units is not one of ours.
        view.units += 1;
        assert_eq!(compute(&view, &request(&["x"], &[(MeasureOp::Count, None)])).unwrap_err(), EngineFailure::Column);
    }
}

#[test]
fn derived_columns_are_hostile() {
    let case = big_case(5, 100);
    let view = view_of(case.fuse(1).unwrap(), 1);
    let number = DerivedColumn { name: "d".into(), ty: DerivedType::Number { scale: 0, min: 0, max: 9 } };
    let labels = DerivedColumn { name: "d".into(), ty: DerivedType::Category { labels: vec!["p".into(), "q".into()] } };
    let prepare = |declared: &DerivedColumn, fd: OwnedFd| {
        table::prepare(&view, &[], vec![declared.clone()], vec![fd])
            .map(|_| ())
            .map_err(|e| assert_eq!(e, EngineFailure::Derived("d".into())))
    };
    let memory = |bytes: &[u8]| sealed("d", bytes).unwrap();
    let codes = |codes: &[u32], dictionary: &[u32]| {
        let mut out = Vec::new();
        write_column(Parts::Code(codes, dictionary, b"xyz"), None, &mut out).unwrap();
        memory(&out)
    };
    assert!(prepare(&number, memory(&i64_column(&[9; 100]))).is_ok());
    assert!(prepare(&number, memory(&i64_column(&[9; 99]))).is_err());
    assert!(prepare(&number, memory(&i64_column(&[10; 100]))).is_err());
    assert!(prepare(&number, memory(&[0; 128])).is_err());
    assert!(prepare(&number, codes(&[1; 100], &[0, 3])).is_err());
    assert!(prepare(&labels, memory(&i64_column(&[1; 100]))).is_err());
    assert!(prepare(&labels, codes(&[1; 100], &[0, 3])).is_ok(), "its own dictionary is not read");
    assert!(prepare(&labels, codes(&[2; 100], &[0, 1, 2, 3])).is_err());
    let open = rustix::fs::memfd_create("d", rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::write(&open, &i64_column(&[9; 100])).unwrap();
    assert!(prepare(&number, open).is_err());
    let clash = DerivedColumn { name: "v".into(), ..number };
    let refused = table::prepare(&view, &[], vec![clash], vec![memory(&i64_column(&[9; 100]))]).map(|_| ()).unwrap_err();
    assert_eq!(refused, EngineFailure::Derived("v".into()));
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let view = view_of(case(5).fuse(1).unwrap(), 1);
    let error = |keys: &[&str], measure| compute(&view, &request(keys, &[measure])).unwrap_err();
    let count = (MeasureOp::Count, None);
    assert_eq!(error(&["who"], count), EngineFailure::Table(TableError::Type("who".into())));
    assert_eq!(error(&["unit_ordinal"], count), EngineFailure::Table(TableError::NotGranted("unit_ordinal".into())));
    assert_eq!(error(&["foreign"], count), EngineFailure::Table(TableError::NotGranted("foreign".into())));
    assert_eq!(error(&[], (MeasureOp::Sum, Some("grade"))), EngineFailure::Table(TableError::Type("grade".into())));
    assert_eq!(error(&[], (MeasureOp::Sum, Some("who"))), EngineFailure::Table(TableError::Type("who".into())));
}

/// Rows as `name → value`, with unit and foreign flag.
fn naive_table(names: &[String], rows: &[Row], declared: &BTreeMap<&str, Vec<String>>, request: &TableRequest) -> Vec<(Vec<Opt>, Cell)> {
    let col = |name: &str| names.iter().position(|n| n == name).unwrap();
    let mut cells: BTreeMap<Vec<Opt>, Vec<&Row>> = BTreeMap::new();
    if request.keys.iter().all(|k| declared.contains_key(k.as_str())) {
        let mut domain: Vec<Vec<Opt>> = vec![Vec::new()];
        for key in &request.keys {
            let labels = &declared[key.as_str()];
            domain = domain.iter().flat_map(|d| labels.iter().map(move |l| [d.clone(), vec![text(l)]].concat())).collect();
        }
        cells.extend(domain.into_iter().map(|d| (d, Vec::new())));
    }
    for row in rows {
        let key: Vec<Opt> = request.keys.iter().map(|k| row.0[col(k)].clone()).collect();
        cells.entry(key).or_default().push(row);
    }
    let distinct = |rows: &[&Row]| rows.iter().map(|r| &r.1).collect::<BTreeSet<_>>().len() as u64;
    let foreign = |rows: &[&Row]| distinct(&rows.iter().copied().filter(|r| r.2).collect::<Vec<_>>());
    let measure = |m: &MeasureRequest, rows: &[&Row]| {
        let c = col(m.column.as_deref()?);
        let rows: Vec<&Row> = rows.iter().copied().filter(|r| r.0[c].is_some()).collect();
        let value = |r: &Row| match r.0[c] {
            Some(Val::Int(v)) => v,
            _ => panic!(),
        };
        let mut sorted: Vec<i64> = rows.iter().map(|r| value(r)).collect();
        sorted.sort_unstable();
        let mut totals: BTreeMap<&Val, i128> = BTreeMap::new();
        rows.iter().for_each(|r| *totals.entry(&r.1).or_default() += i128::from(value(r)));
        let mut totals: Vec<i128> = totals.into_values().map(i128::abs).collect();
        totals.sort_unstable_by(|a, b| b.cmp(a));
        let n = sorted.len();
        Some(MeasureEvidence {
            n: n as u64,
            units: foreign(&rows),
            sum: sorted.iter().map(|v| i128::from(*v)).sum(),
            sum_of_squares: if m.op == MeasureOp::Variance { sorted.iter().map(|v| i128::from(*v) * i128::from(*v)).sum() } else { 0 },
            order: match m.op {
                MeasureOp::Min => sorted.first().copied(),
                MeasureOp::Max => sorted.last().copied(),
                MeasureOp::Quantile { permille } => {
                    let rank = (1..=n.max(1)).find(|k| k * 1000 >= n * usize::from(permille)).unwrap();
                    sorted.get(rank - 1).copied()
                }
                _ => None,
            },
            largest: totals.first().copied().unwrap_or(0),
            second: totals.get(1).copied().unwrap_or(0),
            total: totals.iter().sum(),
            top: Vec::new(),
            own: None,
        })
    };
    let cell = |rows: &[&Row]| Cell {
        totals: 0,
        contributors: 0,
        keys: Vec::new(),
        rows: rows.len() as u64,
        units: distinct(rows),
        units_counting: foreign(rows),
        measures: request.measures.iter().map(|m| measure(m, rows)).collect(),
    };
    cells.into_iter().map(|(key, rows)| (key, cell(&rows))).collect()
}

fn compare(output: &TableOutput, mut expected: Vec<(Vec<Opt>, Cell)>, context: &str) {
    assert_eq!(output.header.cells as usize, output.cells.len());
    assert!(output.cells.is_sorted_by(|a, b| (a.totals, &a.keys) < (b.totals, &b.keys)), "{context}");
    let named = |domain: &KeyDomain, v: i64| match domain {
        KeyDomain::Declared(l) | KeyDomain::Found(l) => Val::Text(l[v as usize].clone()),
        _ => Val::Int(v),
    };
    let mut got: Vec<(Vec<Opt>, Cell)> = Vec::new();
    for cell in &output.cells {
        let key = cell.keys.iter().zip(&output.header.domains).map(|(k, d)| k.map(|v| named(d, v))).collect();
        // The digest is compared apart: `contributors_tell_sets_of_rows_apart`.
        got.push((key, Cell { totals: 0, keys: Vec::new(), contributors: 0, ..cell.clone() }));
    }
    got.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(got, expected, "{context}");
}

fn all_measures<'a>(r: &mut Rng) -> Vec<(MeasureOp, Option<&'a str>)> {
    let permille = *r.pick(&[0, 1, 250, 500, 900, 1000]);
    vec![
        (MeasureOp::Count, None),
        (MeasureOp::Units, None),
        (MeasureOp::Sum, Some("arrears")),
        (MeasureOp::Variance, Some("amount")),
        (MeasureOp::Mean, Some("amount")),
        (MeasureOp::Quantile { permille }, Some("arrears")),
        (MeasureOp::Min, Some("amount")),
        (MeasureOp::Max, Some("arrears")),
    ]
}

fn compute(view: &View, request: &TableRequest) -> Result<TableOutput, EngineFailure> {
    table::compute(&table::Asked { view, derived: &[], own: &[], top: false }, request)
}

/// A cell's rows by its labels, totalled keys left out.
fn rows_of<'a>(rows: &'a [Row], names: &[String], keys: &[&str], output: &TableOutput, cell: &Cell) -> Vec<&'a Row> {
    let col = |name: &str| names.iter().position(|n| n == name).unwrap();
    let value = |k: usize| match (cell.keys[k], &output.header.domains[k]) {
        (Some(v), KeyDomain::Declared(l) | KeyDomain::Found(l)) => text(&l[v as usize]),
        (v, _) => v.map(Val::Int),
    };
    let inside = |row: &&Row| (0..keys.len()).all(|k| cell.is_total(k) || row.0[col(keys[k])] == value(k));
    rows.iter().filter(inside).collect()
}

/// Each margin of a cube holds the cells, with evidence and digest, of the table over the keys that are not totalled; its own cells
/// are those of the table without margins; a rollup is a part of the cube.
fn margins_equal_a_table_over_the_kept_keys(view: &View, request: &TableRequest, plain: &TableOutput, context: &str) {
    let with = |margins| compute(view, &TableRequest { margins, ..request.clone() }).unwrap();
    let named = |output: &TableOutput, cell: &Cell| {
        let value = |(k, domain): (Option<i64>, &KeyDomain)| match (k, domain) {
            (Some(v), KeyDomain::Declared(l) | KeyDomain::Found(l)) => Some(l[v as usize].clone()),
            (v, _) => v.map(|v| v.to_string()),
        };
        cell.keys.iter().copied().zip(&output.header.domains).map(value).collect::<Vec<_>>()
    };
    let (cube, rollup) = (with(Margins::Cube), with(Margins::Rollup));
    assert!(cube.cells.is_sorted_by(|a, b| (a.totals, &a.keys) < (b.totals, &b.keys)), "{context}");
    for totals in Margins::Cube.totals(request.keys.len()) {
        let kept: Vec<usize> = (0..request.keys.len()).filter(|k| totals >> k & 1 == 0).collect();
        let keys = kept.iter().map(|k| request.keys[*k].clone()).collect();
        let over = compute(view, &TableRequest { keys, ..request.clone() }).unwrap();
        let expected: Vec<_> = over.cells.iter().map(|c| (named(&over, c), c.contributors, c.clone())).collect();
        for (output, whole) in [(&cube, true), (&rollup, Margins::Rollup.totals(request.keys.len()).contains(&totals))] {
            let found: Vec<_> = output.cells.iter().filter(|c| c.totals == totals).collect();
            assert_eq!(found.len(), if whole { expected.len() } else { 0 }, "{context} totals {totals:b}");
            for (cell, (labels, contributors, other)) in found.iter().zip(&expected) {
                let all = named(output, cell);
                assert_eq!(&kept.iter().map(|k| all[*k].clone()).collect::<Vec<_>>(), labels, "{context} totals {totals:b}");
                assert_eq!((cell.contributors, &cell.measures, cell.units), (*contributors, &other.measures, other.units), "{context}");
            }
        }
    }
    assert_eq!(cube.cells.iter().filter(|c| c.totals == 0).count(), plain.cells.len(), "{context}");
}

fn i64_column(values: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    write_column(Parts::I64(values), None, &mut out).unwrap();
    out
}
