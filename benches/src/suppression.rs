//! The cell rules with the attacker's search, against the time that was promised for the largest table it takes.
//!
//! A table of two declared keys with all its totals, counts and sums, 12 to 51 units a cell, some of them 1 to 9: those are hidden, and
//! then as many more as it takes that no hidden figure can be solved for. In the span: everything from the exact cells to the decided
//! table with its evidence. The largest has 1,968 cells: nine of it with a few small ones and nine with as many as bring it to nearly 200
//! hidden, the most that is attacked; by seed, because the search depends on where the small cells lie. Told beside: how many of them were
//! held, how many cells were hidden for the sake of others, and the curve against cells and hidden cells.

use crate::gate::{Gate, table};
use crate::measure::{Outcome, Pairs, Target, median, quantile, rounded, time_ms};
use crate::shared::mix;
use anyhow::{Context, Result};
use fusebox::sdc::{AttackOutcome, Coding, Deciding, RoundingKey, decide_tables};
use protocol::table::{Margins, MeasureOp, TableOutput};
use serde_json::{Value, json};

/// The promise, in milliseconds.
const PROMISE_MS: f64 = 10_000.0;
const SIZES: [[usize; 2]; 3] = [[10, 9], [20, 19], [30, 29]];
const SMALL: [usize; 3] = [5, 20, 45];
const LARGEST: [usize; 2] = [40, 47];
const FEW: usize = 5;
const MANY: usize = 160;
const SEEDS: u64 = 9;

/// What one decision took, and what came of it.
struct Decided {
    ms: f64,
    cells: usize,
    primary: u64,
    hidden: u64,
    outcome: AttackOutcome,
}

impl Decided {
    fn told(&self) -> Value {
        json!({ "cells": self.cells, "primary": self.primary, "hidden": self.hidden, "ms": rounded(self.ms), "outcome": self.outcome })
    }
}

/// Measures the curve, then the largest tables.
pub fn measure() -> Result<Outcome> {
    let gate = Gate::open("suppression")?;
    let mut curve = Vec::new();
    for size in SIZES {
        for small in SMALL {
            curve.push(decide(&gate, &drawn(size, small, 0))?.told());
        }
    }
    let (mut all, mut largest, mut held) = (Vec::new(), Vec::new(), 0);
    for (small, seed) in [FEW, MANY].into_iter().flat_map(|small| (0..SEEDS).map(move |seed| (small, seed))) {
        let one = decide(&gate, &drawn(LARGEST, small, seed))?;
        held += u64::from(one.outcome != AttackOutcome::Protected);
        largest.push(one.told());
        all.push(one.ms);
    }
    let slowest = quantile(&all, 1.0);
    let pairs = Pairs { plain: vec![PROMISE_MS; all.len()], ours: all };
    let outcome = pairs.outcome(Target::AtMost(1.0)).with("slowest_ms", rounded(slowest)).with("held", held);
    Ok(outcome.with("median_seconds", rounded(median(&pairs.ours) / 1e3)).with("largest", largest).with("curve", curve))
}

/// A table of which `small` cells have fewer units than any may show.
fn drawn([a, b]: [usize; 2], small: usize, seed: u64) -> TableOutput {
    let random = |n: u64| mix(mix(seed) ^ n);
    let mut units: Vec<u64> = (0..(a * b) as u64).map(|n| 12 + random(n) % 40).collect();
    for n in 0..small as u64 {
        let at = random(1 << 32 | n) as usize % units.len();
        units[at] = 1 + random(1 << 33 | n) % 9;
    }
    let mut unit = 0i64;
    let mut value = || {
        unit += 1;
        50 + unit * 37 % 101
    };
    let values: Vec<Vec<i64>> = units.into_iter().map(|units| (0..units).map(|_| value()).collect()).collect();
    table([a, b], Margins::Cube, &[MeasureOp::Count, MeasureOp::Sum], &values)
}

fn decide(gate: &Gate, output: &TableOutput) -> Result<Decided> {
    let coding = vec![Coding { bottom: false, top: false }; output.header.request.measures.len()];
    let rounding = RoundingKey::new(b"bench");
    let deciding = Deciding { policy: &gate.policy, units: u64::MAX, rounding: &rounding };
    let mut verdict = None;
    let ms = time_ms(|| {
        verdict = decide_tables(&[(output, coding)], &deciding).pop();
        Ok(())
    })?;
    let attack = verdict.context("no verdict")??.evidence.attack;
    let hidden = attack.primary + attack.complementary;
    Ok(Decided { ms, cells: output.cells.len(), primary: attack.primary, hidden, outcome: attack.outcome })
}
