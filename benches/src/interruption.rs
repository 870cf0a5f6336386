//! What it costs to count inside a guest: the kernels with fuel, and with epochs, against the product's settings, which end a run
//! from outside and count nothing.
//!
//! Span and data are those of [`super::kernels`]. Fuel is deterministic (the same module stops at the same instruction), epochs are
//! not; a batch guest needs neither.

use crate::measure::{Outcome, Pairs, Target, rounded, time_ms};
use crate::place;
use anyhow::{Result, ensure};
use fusebox_worker::compile::config;
use serde_json::{Map, json};
use wasmtime::{Config, Engine, Instance, Module, Store, TypedFunc};

const RUNS: usize = 25;
const KERNELS: [&str; 4] = ["sum", "variance", "histogram", "logistic_gradient"];

/// A guest that is ready, under one way of counting.
struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(module: &[u8], count: impl FnOnce(&mut Config)) -> wasmtime::Result<Self> {
        let mut config = config()?;
        count(&mut config);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, module)?;
        let mut store = Store::new(&engine, ());
        // Both kinds of counting at once where the engine has them; far beyond what the kernels need.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX);
        let instance = Instance::new(&mut store, &module, &[])?;
        let prepare: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "prepare")?;
        prepare.call(&mut store, ())?;
        Ok(Self { store, instance })
    }

    fn time(&mut self, kernel: &str, result: &mut f64) -> Result<f64> {
        let call: TypedFunc<(), f64> = self.instance.get_typed_func(&mut self.store, kernel).map_err(anyhow::Error::msg)?;
        time_ms(|| {
            *result = call.call(&mut self.store, ()).map_err(anyhow::Error::msg)?;
            Ok(())
        })
    }
}

/// Measures fuel; epochs and each kernel beside it.
pub fn measure() -> Result<Outcome> {
    let bytes = place::module("bench-kernels")?;
    let guest = |count: fn(&mut Config)| Guest::new(&bytes, count).map_err(anyhow::Error::msg);
    let mut plain = guest(|_| {})?;
    let mut counted = [
        (
            "fuel",
            guest(|c| {
                c.consume_fuel(true);
            })?,
        ),
        (
            "epochs",
            guest(|c| {
                c.epoch_interruption(true);
            })?,
        ),
    ];
    let (mut each, mut fuel) = (Map::new(), Vec::new());
    for kernel in KERNELS {
        for (name, guest) in &mut counted {
            let (mut ours, mut theirs) = (0.0, 0.0);
            let pairs = Pairs::take(RUNS, || guest.time(kernel, &mut ours), || plain.time(kernel, &mut theirs))?;
            ensure!(ours.to_bits() == theirs.to_bits(), "{kernel}: {ours} with {name}, {theirs} without");
            each.insert(format!("{kernel} {name}"), json!(rounded(pairs.ratio())));
            if *name == "fuel" {
                fuel.push(pairs);
            }
        }
    }
    let outcome = super::kernels::geometric_mean(&fuel, Target::None).ok_or_else(|| anyhow::anyhow!("no kernel was measured"))?;
    Ok(outcome.with("kernels", each))
}
