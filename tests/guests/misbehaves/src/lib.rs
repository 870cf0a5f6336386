//! Does what the job's seed says. Most of it ends the run: each number is named in a host test.

use fusebox_guest::bindings::fusebox::analysis::{derive, models, tables, view as host};
use fusebox_guest::{Error, Link, Rows, View, log, seed, table};

fusebox_guest::module! {
    name: "misbehaves",
    version: "0.1.0",
    derived: { "band": category["low", "high"], "double": number(0, 0, 1_000) },
    models: ["m", "n", "o", "p"],
    tables: {
        "t0": ["n"], "t1": ["n"], "t2": ["n"], "t3": ["n"], "t4": ["n"], "t5": ["n"], "t6": ["n"], "t7": ["n"],
        "t8": ["n"], "t9": ["n"], "t10": ["n"], "t11": ["n"], "t12": ["n"], "t13": ["n"], "t14": ["n"], "t15": ["n"]
    },
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
        21 => models::submit_linear(&linear(f64::NAN, AMOUNT)),
        22 => models::submit_linear(&linear(1.0, (99, -1))),
        23 => models::submit_linear(&linear(1.0, (AMOUNT.0, 1))),
        24 => (0..5).for_each(|_| models::submit_linear(&linear(1.0, AMOUNT))),
        25 => (0..100).for_each(|i| log(&format!("{i} {}", "long ".repeat(1_000)))),
        26 => missing_slots(view)?,
        27 => drop(host::read_integers(0, 0, u32::MAX)),
        28 => derive::append_codes(0, &[0; 3], &[]),
        29 => (0..2).for_each(|_| table("t0").count("n").request()),
        45 => table("t_1037_kwh").count("n").request(),
        46 => table("t0").count("n_1037").request(),
        30 => models::submit_linear(&models::Linear { features: features(&[]), ..linear(1.0, AMOUNT) }),
        31 => spin(),
        33 => echo(view)?,
        34 => models::submit_linear(&models::Linear { model: 4, ..linear(1.0, AMOUNT) }),
        35 => models::submit_linear(&linear(1.0, (1, 3))),
        36 => models::submit_trees(&models::Trees { left: vec![1, 0, 0], ..stump() }),
        37 => models::submit_trees(&models::Trees { roots: vec![1], ..stump() }),
        38 => models::submit_trees(&models::Trees { value: vec![0.0, f64::NAN, 1.0], ..stump() }),
        39 => models::submit_trees(&models::Trees { feature: vec![1, u32::MAX, u32::MAX], ..stump() }),
        40 => models::submit_network(&models::Network { weights: vec![1.0; 3], ..neuron() }),
        41 => models::submit_network(&models::Network { activations: vec![4], ..neuron() }),
        42 => models::submit_network(&models::Network { widths: vec![1; 5], activations: vec![0; 5], ..neuron() }),
        44 => models::submit_trees(&comb(17)),
        43 => {
            models::submit_trees(&stump());
            models::submit_network(&neuron());
        }
        _ => {}
    }
    Ok(())
}

fn rows(view: &View) -> usize {
    usize::try_from(view.rows()).unwrap_or(0)
}

/// The number column, as models name it.
const AMOUNT: (u32, i64) = (0, -1);

fn features(of: &[(u32, i64)]) -> models::Features {
    models::Features { columns: of.iter().map(|f| f.0).collect(), levels: of.iter().map(|f| f.1).collect() }
}

fn linear(coefficient: f64, feature: (u32, i64)) -> models::Linear {
    models::Linear { model: 0, link: Link::Identity, features: features(&[feature]), coefficients: vec![coefficient], intercept: 0.0 }
}

/// One split, its right side first.
fn stump() -> models::Trees {
    models::Trees {
        model: 1,
        link: Link::Logit,
        features: features(&[AMOUNT]),
        base: -0.0,
        roots: vec![0],
        feature: vec![0, u32::MAX, u32::MAX],
        threshold: vec![1.23456, f64::NAN, f64::INFINITY],
        left: vec![2, 7, 7],
        right: vec![1, 7, 7],
        value: vec![f64::NAN, 0.25, -0.5],
    }
}

/// Each split has a leaf on its left and the next split on its right.
fn comb(splits: u32) -> models::Trees {
    let nodes = 2 * splits + 1;
    models::Trees {
        feature: (0..nodes).map(|i| if i % 2 == 0 && i + 1 < nodes { 0 } else { u32::MAX }).collect(),
        left: (1..=nodes).collect(),
        right: (2..nodes + 2).collect(),
        threshold: vec![0.0; nodes as usize],
        value: vec![0.0; nodes as usize],
        ..stump()
    }
}

fn neuron() -> models::Network {
    models::Network {
        model: 2,
        link: Link::Identity,
        features: features(&[AMOUNT, (1, 2)]),
        widths: vec![1],
        activations: vec![3],
        weights: vec![0.125, -2.0],
        biases: vec![0.5],
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
