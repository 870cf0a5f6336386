//! Scenario A end to end over HTTP: firms of three bureaus and a bank, a table by rule, a model by two reviewers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use credit_generator::{BROKEN_ROWS, Data, GRADES, MONTH, Options, PURPOSE, YEAR};
use serde_json::{Value, json};
use support::independent::{Cell, Keys, MIN_FREQUENCY, compare};
use support::scenario::{Member, Scenario};
use support::{Server, fusebox};

const BANDS: [&str; 3] = ["none", "short", "long"];

/// A borrower as the fused view has it.
struct Row {
    uscc: String,
    default: u8,
    grade: usize,
    penalties: u32,
    electricity: Option<(u32, u32)>,
}

impl Row {
    fn band(&self) -> Option<&'static str> {
        self.electricity.map(|(_, arrears)| match arrears {
            0 => BANDS[0],
            1..31 => BANDS[1],
            31.. => BANDS[2],
        })
    }
}

/// The fusion, by hand: consenting borrowers with their tax grade of the year, penalties, and the month's bill where there is one.
fn fused(data: &Data) -> Vec<Row> {
    let consenting: BTreeSet<&str> =
        data.consents.iter().filter(|c| c.purpose == PURPOSE && c.expiry > "2026-11-01").map(|c| c.uscc.as_str()).collect();
    let grades: BTreeMap<&str, usize> = data.tax.iter().filter(|r| r.year == YEAR).map(|r| (r.uscc.as_str(), r.grade)).collect();
    let penalties: BTreeMap<&str, u32> = data.credit.iter().map(|r| (r.uscc.as_str(), r.penalties_24m)).collect();
    let bills: BTreeMap<&str, (u32, u32)> =
        data.electricity.iter().filter(|r| r.month == MONTH).map(|r| (r.uscc.as_str(), (r.kwh, r.arrears_days))).collect();
    data.bank
        .iter()
        .filter(|b| consenting.contains(b.uscc.as_str()))
        .filter_map(|b| {
            let uscc = b.uscc.as_str();
            let (grade, penalties) = (*grades.get(uscc)?, *penalties.get(uscc)?);
            Some(Row { uscc: uscc.to_owned(), default: b.default_12m, grade, penalties, electricity: bills.get(uscc).copied() })
        })
        .collect()
}

/// Every cell by its keys, with the figures where it may be shown.
fn expected(rows: &[Row]) -> BTreeMap<Keys, Option<Vec<Option<String>>>> {
    let mut cells: BTreeMap<Keys, Cell> = BTreeMap::new();
    for grade in GRADES {
        for band in BANDS.map(Some).into_iter().chain([None]) {
            cells.insert(vec![Some(grade.to_owned()), band.map(str::to_owned)], Cell::default());
        }
    }
    for row in rows {
        let keys = vec![Some(GRADES[row.grade].to_owned()), row.band().map(str::to_owned)];
        cells.get_mut(&keys).unwrap().rows.push((row.uscc.clone(), Some(i64::from(row.default) * 10_000)));
    }
    let figures = |cell: &Cell| vec![Some(cell.rows.len().to_string()), Some(cell.units().to_string()), cell.mean(4)];
    // The bank knows who of its borrowers defaulted: how many of them are in a cell is a cell too.
    let by_value = |cell: &Cell, value| {
        cell.rows.iter().filter(|(_, v)| *v == Some(value)).map(|(unit, _)| unit.as_str()).collect::<BTreeSet<_>>().len()
    };
    let shown =
        |cell: &Cell| cell.may_be_shown((0, 10_000), false) && [0, 10_000].into_iter().all(|value| by_value(cell, value) >= MIN_FREQUENCY);
    cells.into_iter().map(|(keys, cell)| (keys, shown(&cell).then(|| figures(&cell)))).collect()
}

fn set_up<'a>(server: &'a Server, data: &Data) -> Scenario<'a> {
    let (tax, credit, electricity, bank, consents) =
        (data.tax_csv(), data.credit_csv(), data.electricity_csv(), data.bank_csv(), data.consents_csv());
    let members = [
        Member { entry: "tax", id: "tax_grades", owner: ("tax-zhao", "tax-bureau", "provider"), csv: &tax, consents: None },
        Member { entry: "credit", id: "credit_records", owner: ("credit-sun", "credit-office", "provider"), csv: &credit, consents: None },
        Member {
            entry: "electricity",
            id: "electricity_bills",
            owner: ("power-zhou", "utilities-bureau", "provider"),
            csv: &electricity,
            consents: None,
        },
        Member {
            entry: "bank",
            id: "bank_loans",
            owner: ("operator-wang", "harbour-bank", "operator"),
            csv: &bank,
            consents: Some(&consents),
        },
    ];
    Scenario::set_up(server, "credit", ("operator-wang", "harbour-bank"), PURPOSE, &members)
}

#[test]
fn the_released_table_equals_a_computation_by_hand_and_the_model_waits_for_its_reviewers() {
    let data = Data::generate(Options { firms: 20_000, seed: 42 });
    let mut server = Server::start();
    let scenario = set_up(&server, &data);
    let (rate, card) = (scenario.approved("credit-default-rate"), scenario.approved("credit-scorecard"));
    let submit = |module: &str| scenario.operator.post("/v1/jobs", &scenario.job(module)).good()["id"].as_str().unwrap().to_owned();
    let (table_job, model_job) = (submit(&rate), submit(&card));

    // The checker sees ends at once. The exact figures of the fusion are for checkers and providers.
    let rows = fused(&data);
    let ended = scenario.checker.ended(&table_job);
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(ended["report"]["rows"].as_u64(), Some(rows.len() as u64));
    let held = scenario.checker.ended(&model_job);
    assert_eq!(held["state"], "in_review", "{held}");
    let release = held["releases"][0].as_str().unwrap();
    // The checker approved the module: others review what it made.
    scenario.checker.get(&format!("/v1/releases/{release}/evidence")).refused("review.no_duty");
    scenario.operator.files(release);
    let [first, second] = server.reviewers();
    first.vote(release, "approve", "disclosive").refused("review.reason");
    assert_eq!(first.vote(release, "approve", "sound").good()["state"], "held");
    assert_eq!(second.vote(release, "approve", "sound").good()["state"], "released");

    // The operator sees them on the policy's quantum.
    let job = scenario.operator.ended(&table_job);
    assert_eq!(job["state"], "done");
    assert!(job["report"].is_null() && job["failure"].is_null() && job["log"].is_null(), "the operator is told phases only: {job}");
    let release = job["releases"][0].as_str().unwrap();
    let released = scenario.operator.get(&format!("/v1/releases/{release}/artefact")).good();
    let expected = expected(&rows);
    let shown = compare(&released["artefact"], &expected);
    let hidden = expected.values().filter(|v| v.is_none()).count();
    assert!(shown >= 10 && hidden >= 1, "{shown} shown, {hidden} hidden: the data no longer tests both");
    let sources: BTreeSet<&str> =
        released["manifest"]["facts"]["sources"].as_array().unwrap().iter().map(|s| s["dataset"].as_str().unwrap()).collect();
    assert_eq!(sources, BTreeSet::from(["bank_loans", "credit_records", "electricity_bills", "tax_grades"]));

    let job = scenario.operator.ended(&model_job);
    let release = job["releases"][0].as_str().unwrap();
    let model = scenario.operator.get(&format!("/v1/releases/{release}/artefact")).good();
    fits(&model["artefact"], &rows);

    // The same on one thread and on two, and again.
    for threads in [1, 2, 2] {
        for (job, module) in [(&table_job, &rate), (&model_job, &card)] {
            let replayed = scenario.checker.post(&format!("/v1/jobs/{job}/replay"), &json!({ "threads": threads })).good();
            assert_eq!(replayed["same"], true, "{module} on {threads} threads");
        }
    }

    verifies(&mut server);
}

/// The maximum of the likelihood is where predictions and outcomes agree over every level of the tax grade; rounding to three digits moves
/// that little.
fn fits(model: &Value, rows: &[Row]) {
    let number = |text: &Value| text.as_str().unwrap().parse::<f64>().unwrap();
    let terms: BTreeMap<&str, f64> =
        model["terms"].as_array().unwrap().iter().map(|t| (t["feature"].as_str().unwrap(), number(&t["coefficient"]))).collect();
    assert_eq!(terms.len(), 7, "{model}");
    let (mut predicted, mut found, mut n) = ([0.0; 5], [0.0; 5], 0);
    for row in rows {
        let Some((kwh, arrears)) = row.electricity else { continue };
        let grade = terms.get(format!("tax_grade={}", GRADES[row.grade]).as_str()).copied().unwrap_or(0.0);
        let score = number(&model["intercept"])
            + grade
            + terms["arrears_days"] * f64::from(arrears.min(120))
            + terms["penalties_24m"] * f64::from(row.penalties.min(10))
            + terms["kwh"] * f64::from(kwh.min(60_000));
        predicted[row.grade] += 1.0 / (1.0 + (-score).exp());
        found[row.grade] += f64::from(row.default);
        n += 1;
    }
    assert!(n > 5000);
    for (grade, (p, f)) in GRADES.iter().zip(predicted.iter().zip(found)) {
        assert!((p - f).abs() < 0.03 * f + 0.5, "grade {grade}: {p} predicted, {f} found");
    }
}

/// The log as the server left it, against a checkpoint remembered before its end.
fn verifies(server: &mut Server) {
    let checkpoint = server.anonymous().get("/log/checkpoint");
    assert_eq!(checkpoint.status, 200);
    let remembered = server.dir.path().join("remembered");
    std::fs::write(&remembered, &checkpoint.bytes).unwrap();
    server.stop();
    let log = server.data().join("log");
    let arguments =
        ["log", "verify", log.to_str().unwrap(), "--remembered", remembered.to_str().unwrap(), "--key", &server.log_key, "--json"];
    let (out, err, code) = fusebox(&arguments);
    assert_eq!(code, 0, "{out}{err}");
    // One byte of one entry.
    let entries = log.join("tile/entries");
    let file = std::fs::read_dir(&entries).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).expect("a partial bundle");
    let file = std::fs::read_dir(file).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (out, _, code) = fusebox(&arguments);
    assert_eq!(code, 1, "an altered log passed: {out}");
}

#[test]
fn broken_rows_are_named_by_row_column_and_rule_and_never_repeated() {
    let data = Data::generate(Options { firms: 300, seed: 3 });
    let server = Server::start();
    let provider = server.person("tax-zhao", "tax-bureau", "provider");
    provider.post_toml("/v1/datasets", &support::example("credit/entries/tax.toml")).good();
    let csv = data.tax_csv();
    let imported = provider.upload("/v1/datasets/tax_grades/versions?format=csv", csv.as_bytes());
    let told = imported.good();
    assert_eq!((told["rejected"].as_u64(), told["rows"].as_u64()), (Some(BROKEN_ROWS as u64), Some((data.tax.len() - BROKEN_ROWS) as u64)));
    for (row, broken) in told["rejected_rows"].as_array().unwrap().iter().zip(&data.tax[data.tax.len() - BROKEN_ROWS..]) {
        assert_eq!((&row["column"], &row["rule"]), (&json!("uscc"), &json!("linkage_key")), "{row}");
        assert!(!String::from_utf8_lossy(&imported.bytes).contains(&broken.uscc));
        assert!(!server.log().contains(&broken.uscc));
    }
}
