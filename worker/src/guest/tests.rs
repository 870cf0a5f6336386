//! Whole runs: modules that `cargo xtask guests` built, compiled and run over a socket.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use super::*;
use crate::compile::{compile, tests::guest};
use crate::jail::Confined;
use protocol::column::{Column, Parts, write_column};
use protocol::manifest::Manifest;
use protocol::memfd::{MemfdWriter, sealed};
use protocol::model::{Activation, Feature, Layer, Link, Model, ModelError, Node};
use protocol::plan::{ViewColumn, ViewType, Visibility};

type Compiled = BTreeMap<String, (Vec<u8>, Manifest)>;

/// Code and manifest of each module, compiled once.
static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

fn compiled(name: &str) -> (Vec<u8>, Manifest) {
    let mut all = COMPILED.lock().unwrap();
    let entry = all.entry(name.to_owned()).or_insert_with(|| {
        let c = compile(&guest(name)).unwrap();
        (c.code, c.manifest)
    });
    entry.clone()
}

#[derive(Default)]
struct Run {
    seed: u64,
    real: bool,
    rows: usize,
    memory_bytes_max: Option<u64>,
    columns: Vec<(ViewColumn, OwnedFd)>,
}

fn column(name: &str, ty: ViewType, parts: Parts<'_>, validity: Option<&[u8]>) -> (ViewColumn, OwnedFd) {
    let mut memory = MemfdWriter::create("t").unwrap();
    write_column(parts, validity, &mut memory).unwrap();
    (ViewColumn { name: name.to_owned(), ty, visibility: Visibility::Granted, provenance: "t.t".to_owned() }, memory.seal().unwrap())
}

fn category(name: &str, codes: &[u32], labels: &[&str]) -> (ViewColumn, OwnedFd) {
    let ends = labels.iter().scan(0, |end, label| {
        *end += u32::try_from(label.len()).unwrap();
        Some(*end)
    });
    let offsets: Vec<u32> = std::iter::once(0).chain(ends).collect();
    let parts = Parts::Code(codes, &offsets, labels.concat().leak().as_bytes());
    column(name, ViewType::Category { declared: true }, parts, None)
}

fn number(name: &str, scale: u8, values: &[i64]) -> (ViewColumn, OwnedFd) {
    column(name, ViewType::Number { scale, min: 0, max: 1 << 40 }, Parts::I64(values), None)
}

/// Amounts of which every fifth is missing.
fn amounts(rows: usize) -> (Vec<i64>, Vec<u8>) {
    let values = (0..rows).map(|i| if i % 5 == 3 { 0 } else { (i % 400) as i64 }).collect();
    let mut bits = vec![0u8; rows.div_ceil(8)];
    (0..rows).filter(|i| i % 5 != 3).for_each(|i| bits[i / 8] |= 1 << (i % 8));
    (values, bits)
}

fn view(rows: usize) -> Vec<(ViewColumn, OwnedFd)> {
    let (values, bits) = amounts(rows);
    let codes: Vec<u32> = (0..rows).map(|i| (i % 3) as u32).collect();
    vec![
        column("amount", ViewType::Number { scale: 2, min: 0, max: 500 }, Parts::I64(&values), Some(&bits)),
        category("grade", &codes, &["甲", "b", "c"]),
    ]
}

fn run(name: &str, how: Run) -> Vec<(GuestReply, Vec<OwnedFd>)> {
    let (code, manifest) = compiled(name);
    run_code(&code, manifest, how)
}

fn run_code(code: &[u8], manifest: Manifest, how: Run) -> Vec<(GuestReply, Vec<OwnedFd>)> {
    let columns = if how.columns.is_empty() { view(how.rows) } else { how.columns };
    let code = sealed("code", code).unwrap();
    let (mut server, socket) = Channel::pair().unwrap();
    server.set_deadline(Some(std::time::Instant::now() + std::time::Duration::from_secs(120)));
    let worker = std::thread::Builder::new()
        .stack_size(8 << 20)
        .spawn(move || converse(&mut Channel::new(socket), |_| Ok(Confined::for_tests())))
        .unwrap();
    let request = GuestRequest {
        columns: columns.iter().map(|(c, _)| c.clone()).collect(),
        rows: how.rows as u64,
        manifest,
        seed: how.seed,
        synthetic: !how.real,
        memory_bytes_max: how.memory_bytes_max.unwrap_or(64 << 20),
    };
    let fds: Vec<_> = std::iter::once(code.as_fd()).chain(columns.iter().map(|(_, fd)| fd.as_fd())).collect();
    server.send(&GuestOpening::Run(request), &fds).unwrap();
    let mut replies = Vec::new();
    loop {
        let (reply, fds) = server.receive::<GuestReply>().unwrap();
        let last = matches!(reply, GuestReply::Finished | GuestReply::Failed(_));
        replies.push((reply, fds));
        if last {
            worker.join().unwrap().unwrap();
            return replies;
        }
    }
}

/// The one reply of a run that fails.
fn failure(seed: u64) -> GuestFailure {
    let replies = run("misbehaves", Run { seed, rows: 1000, real: true, ..Run::default() });
    match replies.as_slice() {
        [(GuestReply::Failed(failure), fds)] if fds.is_empty() => failure.clone(),
        other => panic!("seed {seed}: {other:?}"),
    }
}

fn read(fd: &OwnedFd) -> protocol::column::AlignedBytes {
    SealedFd::verify(fd.try_clone().unwrap(), 1 << 30).unwrap().read().unwrap()
}

#[test]
fn derived_columns_come_back_whole_and_in_order() {
    for rows in [1, 8, 1000, 65_536, 70_001] {
        let replies = run("misbehaves", Run { seed: 33, rows, ..Run::default() });
        let [
            (GuestReply::Log(log), _),
            (GuestReply::Derived { index: 0 }, band),
            (GuestReply::Derived { index: 1 }, double),
            (GuestReply::Finished, _),
        ] = replies.as_slice()
        else {
            panic!("{replies:?}")
        };
        let (values, bits) = amounts(rows);
        let sum: f64 = values.iter().map(|v| *v as f64 / 100.0).sum();
        assert!(log.starts_with(&format!("{rows} [\"甲\", \"b\", \"c\"] ")), "{log}");
        assert!((log.trim().rsplit(' ').next().unwrap().parse::<f64>().unwrap() - sum).abs() < 1e-6);
        let (double, band) = (read(&double[0]), read(&band[0]));
        let (double, band) = (Column::parse(double.as_slice()).unwrap(), Column::parse(band.as_slice()).unwrap());
        double.validate().unwrap();
        band.validate().unwrap();
        assert_eq!(double.i64s().unwrap(), values.iter().map(|v| v * 2).collect::<Vec<_>>());
        assert_eq!(double.validity().unwrap_or(&bits), bits);
        assert_eq!(double.validity().is_some(), rows > 3, "a bitmap only where something is missing");
        assert_eq!(band.codes().unwrap(), (0..rows).map(|i| u32::from(i % 3 > 0)).collect::<Vec<_>>());
        assert_eq!((band.labels(), band.validity()), (vec!["low", "high"], None));
    }
}

#[test]
fn nothing_hides_behind_missing_values() {
    let replies = run("misbehaves", Run { seed: 26, rows: 1001, ..Run::default() });
    let bytes = read(&replies[0].1[0]);
    let column = Column::parse(bytes.as_slice()).unwrap();
    column.validate().unwrap();
    assert_eq!(&column.i64s().unwrap()[..4], [0, 7, 0, 7]);
}

#[test]
fn a_view_without_rows_gives_empty_columns() {
    let replies = run("misbehaves", Run { seed: 0, rows: 0, ..Run::default() });
    assert!(matches!(
        replies[..],
        [(GuestReply::Derived { index: 0 }, _), (GuestReply::Derived { index: 1 }, _), (GuestReply::Finished, _)]
    ));
    assert_eq!(Column::parse(read(&replies[0].1[0]).as_slice()).unwrap().rows(), 0);
}

#[test]
fn text_leaves_on_synthetic_rows_only() {
    assert_eq!(failure(1), GuestFailure::Error(None));
    let told = run("misbehaves", Run { seed: 1, rows: 8, ..Run::default() });
    assert!(matches!(&told[0].0, GuestReply::Failed(GuestFailure::Error(Some(text))) if text.contains("42")));
    let real = run("misbehaves", Run { seed: 33, rows: 100, real: true, ..Run::default() });
    assert!(!real.iter().any(|(reply, _)| matches!(reply, GuestReply::Log(_))));
    let replies = run("misbehaves", Run { seed: 25, rows: 8, ..Run::default() });
    let [(GuestReply::Log(log), _), (GuestReply::Finished, _)] = replies.as_slice() else { panic!("{replies:?}") };
    assert!(log.len() <= Limits::STANDARD.log_bytes_max as usize && log.len() > 60_000, "{}", log.len());
    // Names that a module chose are text too.
    assert_eq!(failure(18), GuestFailure::Table(TableError::Empty));
    assert_eq!(failure(19), GuestFailure::Table(TableError::Name(String::new())));
    let told = run("misbehaves", Run { seed: 19, rows: 8, ..Run::default() });
    assert!(matches!(&told[0].0, GuestReply::Failed(GuestFailure::Table(TableError::NotGranted(c))) if c == "secret"));
}

#[test]
fn what_is_not_allowed_ends_the_run_with_its_reason() {
    let limit = |seed| match failure(seed) {
        GuestFailure::Limit(l) => l.name,
        GuestFailure::Model(ModelError::Limit(l)) => l.name,
        other => panic!("seed {seed}: {other:?}"),
    };
    assert_eq!(failure(2), GuestFailure::Trap);
    assert_eq!(limit(3), "guest_memory_bytes_max");
    assert_eq!(limit(4), "guest_stack_bytes_max");
    assert_eq!(
        (limit(5), limit(6), limit(7), limit(27)),
        ("rows".into(), "rows".into(), "granted_columns".into(), "chunk_rows_max".into())
    );
    assert_eq!((failure(8), failure(9)), (GuestFailure::Trap, GuestFailure::Trap), "codes of a number, validity inside a byte");
    // Of seed 11 a whole column came before: it stays inside, `failure` sees the failure alone.
    for seed in [11, 12, 13, 15, 17, 28] {
        assert_eq!(failure(seed), GuestFailure::Derived("band".to_owned()), "seed {seed}");
    }
    assert_eq!(failure(14), GuestFailure::Derived("double".to_owned()));
    assert_eq!(limit(16), "declared_columns");
    assert_eq!(limit(20), "tables_max");
    assert_eq!(failure(29), GuestFailure::Table(TableError::Name(String::new())));
    // A table of a name that was not declared, and one of a measure.
    for (seed, table) in [(45, "t_1037_kwh"), (46, "t0")] {
        let told = run("misbehaves", Run { seed, rows: 8, ..Run::default() });
        let undeclared = GuestFailure::Table(TableError::Undeclared(table.to_owned()));
        assert!(matches!(&told[0].0, GuestReply::Failed(failure) if *failure == undeclared), "{:?}", told[0].0);
        assert_eq!(failure(seed), GuestFailure::Table(TableError::Name(String::new())), "on real rows without its words");
    }
    assert_eq!(failure(21), GuestFailure::Model(ModelError::NotFinite));
    assert_eq!((failure(22), failure(23)), (GuestFailure::Model(ModelError::Feature), GuestFailure::Model(ModelError::Feature)));
    assert_eq!(failure(24), GuestFailure::Model(ModelError::Name), "the same name twice");
    assert_eq!((limit(34), limit(44), limit(42)), ("declared_models".into(), "model_depth_max".into(), "model_layers_max".into()));
    assert_eq!((failure(35), failure(39)), (GuestFailure::Model(ModelError::Feature), GuestFailure::Model(ModelError::Feature)));
    assert_eq!((failure(36), failure(37)), (GuestFailure::Model(ModelError::Tree), GuestFailure::Model(ModelError::Tree)));
    assert_eq!(failure(38), GuestFailure::Model(ModelError::NotFinite));
    assert_eq!((failure(40), failure(41)), (GuestFailure::Model(ModelError::Shape), GuestFailure::Model(ModelError::Shape)));
    assert_eq!(failure(30), GuestFailure::Model(ModelError::Shape));
}

#[test]
fn trees_and_networks_come_back_in_one_spelling() {
    let replies = run("misbehaves", Run { seed: 43, rows: 100, real: true, ..Run::default() });
    let [(GuestReply::Model(Model::Trees(trees)), _), (GuestReply::Model(Model::Network(network)), _), (GuestReply::Finished, _)] =
        replies.as_slice()
    else {
        panic!("{replies:?}")
    };
    let (amount, level) = (Feature { column: "amount".into(), level: None }, Feature { column: "grade".into(), level: Some(2) });
    let leaf = |value| Node::Leaf { value };
    assert_eq!((trees.name.as_str(), trees.link, &trees.features), ("n", Link::Logit, &vec![amount.clone()]));
    assert_eq!(trees.trees, [vec![Node::Split { feature: 0, threshold: 1.23456 }, leaf(-0.5), leaf(0.25)]]);
    assert!(trees.base.is_sign_positive());
    assert_eq!((network.name.as_str(), &network.features), ("o", &vec![amount, level]));
    assert_eq!(network.layers, [Layer { activation: Activation::Sigmoid, weights: vec![0.125, -2.0], biases: vec![0.5] }]);
}

#[test]
fn code_that_is_not_ours_is_not_run() {
    let (mut code, manifest) = compiled("misbehaves");
    for garbage in [Vec::new(), b"\x7fELF".to_vec(), guest("misbehaves")] {
        let replies = run_code(&garbage, manifest.clone(), Run { rows: 8, ..Run::default() });
        assert!(matches!(replies[..], [(GuestReply::Failed(GuestFailure::Code), _)]), "{replies:?}");
    }
    code.truncate(code.len() / 2);
    let replies = run_code(&code, manifest, Run { rows: 8, ..Run::default() });
    assert!(matches!(replies[..], [(GuestReply::Failed(GuestFailure::Code), _)]), "{replies:?}");
}

#[test]
fn a_query_only_module_asks_for_its_table() {
    let columns =
        vec![category("tax_grade", &[0, 1], &["A", "B"]), category("arrears_band", &[0, 0], &["none"]), number("default_12m", 0, &[0, 1])];
    let replies = run("credit-default-rate", Run { rows: 2, columns, ..Run::default() });
    let [(GuestReply::Table(table), _), (GuestReply::Finished, _)] = replies.as_slice() else { panic!("{replies:?}") };
    assert_eq!((table.name.as_str(), table.keys.join(","), table.measures.len()), ("default_rate", "tax_grade,arrears_band".to_owned(), 3));
}

#[test]
fn the_flights_module_bands_the_wind() {
    let speeds = [0, 4_99, 5_00, 12_00, 19_99, 20_00];
    let columns = vec![
        category("origin", &[0, 1, 2, 0, 1, 2], &["EWR", "JFK", "LGA"]),
        number("dep_delay", 0, &[0; 6]),
        column(
            "wind_speed",
            ViewType::Number { scale: 2, min: 0, max: 50_00 },
            Parts::I64(&[0, 4_99, 5_00, 12_00, 19_99, 0]),
            Some(&[0b01_1111]),
        ),
    ];
    let replies = run("flights-delay-by-wind", Run { rows: speeds.len(), columns, ..Run::default() });
    let [(GuestReply::Derived { index: 0 }, fds), (GuestReply::Table(table), _), (GuestReply::Finished, _)] = replies.as_slice() else {
        panic!("{replies:?}")
    };
    let bytes = read(&fds[0]);
    let band = Column::parse(bytes.as_slice()).unwrap();
    assert_eq!((band.codes().unwrap(), band.validity()), (&[0, 0, 1, 2, 2, 0][..], Some(&[0b01_1111u8][..])));
    assert_eq!(table.measures.len(), 4);
}

#[test]
fn the_scorecard_finds_what_drives_default() {
    let rows = 20_000usize;
    // A fixed pseudo-random sequence; default follows the score below.
    let mut state = 12_345u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    let mut all: [Vec<i64>; 4] = Default::default();
    let mut grades = Vec::new();
    for _ in 0..rows {
        let (grade, days, penalties, kwh) =
            ((next() * 5.0) as u32, (next() * 60.0) as i64, (next() * 4.0) as i64, (next() * 50_000.0) as i64);
        let score = -3.0 + 0.5 * f64::from(grade) + days as f64 / 30.0 - kwh as f64 / 50_000.0;
        grades.push(grade);
        for (column, value) in all.iter_mut().zip([days, penalties, kwh, i64::from(next() < 1.0 / (1.0 + (-score).exp()))]) {
            column.push(value);
        }
    }
    let columns = vec![
        category("tax_grade", &grades, &["A", "B", "M", "C", "D"]),
        number("arrears_days", 0, &all[0]),
        number("penalties_24m", 0, &all[1]),
        number("kwh", 0, &all[2]),
        number("default_12m", 0, &all[3]),
    ];
    let replies = run("credit-scorecard", Run { rows, columns, real: true, ..Run::default() });
    let [(GuestReply::Model(Model::Linear(model)), _), (GuestReply::Finished, _)] = replies.as_slice() else { panic!("{replies:?}") };
    assert_eq!((model.link, model.features.len()), (Link::Logit, 7));
    let near = |name: &str, expected: f64, tolerance: f64| {
        let labels = ["A", "B", "M", "C", "D"];
        let spelled = |f: &Feature| f.level.map_or(f.column.clone(), |l| format!("{}={}", f.column, labels[l as usize]));
        let at = model.features.iter().position(|f| spelled(f) == name).unwrap();
        let found = model.coefficients[at];
        assert!((found - expected).abs() < tolerance, "{name}: {found}, not {expected}");
    };
    near("tax_grade=D", 2.0, 0.3);
    near("tax_grade=B", 0.5, 0.3);
    near("arrears_days", 1.0 / 30.0, 0.004);
    near("penalties_24m", 0.0, 0.06);
    near("kwh", -1.0 / 50_000.0, 0.000_005);
}
