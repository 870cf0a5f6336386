//! The cell rules with the attacker's search, against the time that was promised for the largest table it takes.
//!
//! A table of two declared keys with all its totals, counts and sums, 12 to 51 units a cell, some of them 1 to 9: those are hidden, and
//! then as many more as it takes that no hidden figure can be solved for. In the span: everything from the exact cells to the decided
//! table with its evidence. The largest has 1,968 cells with as many small ones as leave fewer than 200 hidden; five tables of it, by seed,
//! because the search depends on where the small cells lie. Told beside: the curve against cells and hidden cells.

use crate::gate::{Gate, table};
use crate::measure::{Outcome, Pairs, Target, median, quantile, rounded, time_ms};
use crate::shared::mix;
use anyhow::{Context, Result};
use fusebox::sdc::{AttackOutcome, Coding, Deciding, RoundingKey, decide_tables};
use protocol::table::{Margins, MeasureOp, TableOutput};
use serde_json::{Value, json};

/// The promise, in milliseconds.
const PROMISE_MS: f64 = 10_000.0;
const SIZES: [[usize; 2]; 4] = [[10, 9], [20, 19], [30, 29], [40, 47]];
const SMALL: [usize; 5] = [5, 20, 45, 70, 100];
const SEEDS: u64 = 5;

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

/// Measures the curve, then the largest table.
pub fn measure() -> Result<Outcome> {
    let gate = Gate::open("suppression")?;
    let mut curve = Vec::new();
    let mut most = 0;
    for size in SIZES {
        for small in SMALL {
            let one = decide(&gate, &drawn(size, small, 0))?;
            if size == SIZES[3] && one.outcome == AttackOutcome::Protected {
                most = most.max(small);
            }
            curve.push(one.told());
        }
    }
    // As many small cells as the largest table takes, found by halves.
    let mut beyond = SMALL.iter().copied().find(|s| *s > most).unwrap_or(most + 1);
    while beyond - most > 2 {
        let middle = usize::midpoint(most, beyond);
        let taken = decide(&gate, &drawn(SIZES[3], middle, 0))?.outcome == AttackOutcome::Protected;
        (most, beyond) = if taken { (middle, beyond) } else { (most, middle) };
    }
    let (mut all, mut largest, mut held) = (Vec::new(), Vec::new(), 0);
    for seed in 0..SEEDS {
        let one = decide(&gate, &drawn(SIZES[3], most, seed))?;
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
    let values: Vec<Vec<i64>> =
        (0u64..).zip(units).map(|(cell, units)| (0..units).map(|n| 50 + (random(cell << 20 | n) % 101) as i64).collect()).collect();
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
