//! Does what the job's seed says. Most of it ends the run: each number is named in a host test.

use fusebox_guest::bindings::fusebox::analysis::{derive, models, tables, view as host};
use fusebox_guest::{Error, LinearModel, Link, Rows, View, log, seed, submit, table};

fusebox_guest::module! {
    name: "misbehaves",
    version: "0.1.0",
    derived: { "band": category["low", "high"], "double": number(0, 0, 1_000) },
    run: run,
}

fn run(view: &View) -> Result<(), Error> {
    match seed() {
        1 => return Err(Error::new("an error with a value in it: 42")),
        // An `unreachable` instruction once built for wasm.
        2 => std::process::abort(),
        3 => memory_bomb(),
        4 => log(&recurse(0).to_string()),
        5 => drop(host::read_integers(0, view.rows(), 1)),
        6 => drop(host::read_integers(0, u64::MAX, 8)),
        7 => drop(host::read_integers(99, 0, 1)),
        8 => drop(host::read_codes(0, 0, 1)),
        9 => drop(host::read_validity(0, 3, 1)),
        10 => derive::append_codes(0, &vec![0; rows(view)], &[]),
        11 => {
            derive::append_codes(0, &vec![0; rows(view)], &[]);
            derive::append_codes(0, &[0], &[]);
        }
        12 => derive::append_codes(0, &[0; 8], &[]),
        13 => derive::append_codes(0, &vec![2; rows(view)], &[]),
        14 => derive::append_integers(1, &vec![1_001; rows(view)], &[]),
        15 => derive::append_integers(0, &vec![1; rows(view)], &[]),
        16 => derive::append_codes(7, &[0; 8], &[]),
        17 => derive::append_codes(0, &[0; 8], &[255, 255]),
        18 => tables::request("no spaces", &[], &[], tables::Margins::None),
        19 => table("t").key("secret").count("n").request(),
        20 => (0..17).for_each(|i| table(&format!("t{i}")).count("n").request()),
        21 => submit(&model(f64::NAN, "amount")),
        22 => submit(&model(1.0, "secret")),
        23 => submit(&model(1.0, "amount=1")),
        24 => (0..5).for_each(|_| submit(&model(1.0, "amount"))),
        25 => (0..100).for_each(|i| log(&format!("{i} {}", "long ".repeat(1_000)))),
        26 => missing_slots(view)?,
        27 => drop(host::read_integers(0, 0, u32::MAX)),
        28 => derive::append_codes(0, &[0; 3], &[]),
        29 => (0..2).for_each(|_| table("same").count("n").request()),
        30 => models::submit_linear(&LinearModel { features: Vec::new(), ..model(1.0, "amount") }),
        31 => spin(),
        33 => echo(view)?,
        _ => {}
    }
    Ok(())
}

fn rows(view: &View) -> usize {
    usize::try_from(view.rows()).unwrap_or(0)
}

fn model(coefficient: f64, feature: &str) -> LinearModel {
    LinearModel {
        name: "m".to_owned(),
        link: Link::Identity,
        features: vec![feature.to_owned()],
        coefficients: vec![coefficient],
        intercept: 0.0,
    }
}

fn memory_bomb() {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 24]);
        core::hint::black_box(&mut all);
    }
}

/// Needs the machine's stack alone: with values in memory the module's own stack would run out first, which is a plain trap.
fn recurse(depth: u64) -> u64 {
    let seed = seed();
    if depth == u64::MAX { seed } else { seed ^ recurse(depth + 1).rotate_left(1) }
}

fn spin() {
    loop {
        core::hint::black_box(0);
    }
}

/// Hides values behind missing bits: the host must wipe them.
fn missing_slots(view: &View) -> Result<(), Error> {
    let n = rows(view);
    derive::append_integers(1, &vec![7; n], &vec![0xAA; n.div_ceil(8)]);
    Ok(())
}

/// Hands back what it read, so that a test can compare.
fn echo(view: &View) -> Result<(), Error> {
    let amount = view.number("amount")?;
    let grade = view.category("grade")?;
    view.derive_number("double", |rows: Rows, out| out.extend(amount.read(rows).iter().map(|v| v.map(|v| v * 2))))?;
    view.derive_category("band", |rows: Rows, out| out.extend(grade.read(rows).iter().map(|c| c.map(|c| u32::from(c > 0)))))?;
    let sum: f64 = view.chunks().flat_map(|rows| amount.f64s(rows)).filter(|v| v.is_finite()).sum();
    log(&format!("{} {:?} {sum}", view.rows(), grade.labels));
    Ok(())
}
