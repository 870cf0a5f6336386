//! Kernels in a guest against the same source, native.
//!
//! In the measured span: one call from the host and one pass over 2²⁰ rows that lie in memory already (8 to 72 MB). Not in it:
//! compiling, instantiating, making the data. The engine's settings are the product's; native code is this binary's: the release
//! profile for the machine's base instruction set (128-bit vectors, as wasm has).

use crate::measure::{Outcome, Pairs, Target, median, quantile, rounded, time_ms};
use crate::{place, shared};
use anyhow::{Context, Result, ensure};
use serde_json::{Map, json};
use std::hint::black_box;
use wasmtime::{Instance, Module, Store, TypedFunc};

const RUNS: usize = 25;
const TARGET: f64 = 1.35;

type Kernel = (&'static str, fn(&shared::Data) -> f64);
const KERNELS: [Kernel; 4] = [
    ("sum", shared::sum),
    ("variance", shared::variance),
    ("histogram", shared::histogram),
    ("logistic_gradient", shared::logistic_gradient),
];

/// Measures every kernel; the ratio is their geometric mean.
pub fn measure() -> Result<Outcome> {
    let engine = fusebox_worker::compile::engine().map_err(anyhow::Error::msg)?;
    let module = Module::new(&engine, place::module("bench-kernels")?).map_err(anyhow::Error::msg)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).map_err(anyhow::Error::msg)?;
    let prepare: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "prepare").map_err(anyhow::Error::msg)?;
    prepare.call(&mut store, ()).map_err(anyhow::Error::msg)?;
    let data = shared::Data::make();
    let (mut all, mut each) = (Vec::new(), Map::new());
    for (name, native) in KERNELS {
        let guest: TypedFunc<(), f64> = instance.get_typed_func(&mut store, name).map_err(anyhow::Error::msg)?;
        let (mut theirs, mut ours) = (0.0, 0.0);
        let pairs = Pairs::take(
            RUNS,
            || {
                time_ms(|| {
                    theirs = guest.call(&mut store, ()).map_err(anyhow::Error::msg)?;
                    Ok(())
                })
            },
            || {
                time_ms(|| {
                    ours = native(black_box(&data));
                    Ok(())
                })
            },
        )?;
        // Only `exp` may differ, in its last bits.
        ensure!((theirs - ours).abs() <= 1e-9 * ours.abs().max(1.0), "{name}: {theirs} in the guest, {ours} native");
        let ms = [&pairs.ours, &pairs.plain].map(|side| rounded(median(side))).to_vec();
        each.insert(name.to_owned(), json!({ "ratio": rounded(pairs.ratio()), "median_ms": ms }));
        all.push(pairs);
    }
    let outcome = geometric_mean(&all, Target::AtMost(TARGET)).context("no kernel was measured")?;
    Ok(outcome.with("kernels", each))
}

/// Kernel by kernel in one number: ratios are multiplied, times added.
pub fn geometric_mean(all: &[Pairs], target: Target) -> Option<Outcome> {
    let count = all.len() as f64;
    let mean = |of: &dyn Fn(&Pairs) -> f64| (all.iter().map(|p| of(p).ln()).sum::<f64>() / count).exp();
    let first = all.first()?;
    let by_turn: Vec<f64> = (0..first.ours.len()).map(|turn| mean(&|p| p.ratios()[turn])).collect();
    let spread = [quantile(&by_turn, 0.25), quantile(&by_turn, 0.75)];
    let total = |side: fn(&Pairs) -> &Vec<f64>| all.iter().map(|p| median(side(p))).sum();
    Some(Outcome {
        ratio: mean(&Pairs::ratio),
        target,
        runs: by_turn.len(),
        spread,
        median_ms: [total(|p| &p.ours), total(|p| &p.plain)],
        more: Map::new(),
    })
}
