//! The audit across releases: time of a decision against what was released before, up to the bounds beyond which a table waits for a checker.
//!
//! [`earlier`] goes through the gate: a store with so many released tables over so many units, each table a partition of all of them into
//! 12 cells by one of three keys, then the decision of one more: cell rules, sealed sets of all earlier tables read and opened,
//! atoms, pairs, echelon form. Its bound is the number of memberships (a base row in a cell) that are read. [`combinations`] is the
//! audit alone at its hardest: every table cuts the units by a key of its own, so that nearly each unit is an atom and no row of the form
//! stays sparse. Its bound is the number of steps; where it lies in cells × atoms is told. Both against the promise.

use crate::gate::{Gate, table};
use crate::measure::{Outcome, Pairs, Target, median, rounded, time_ms};
use crate::shared::mix;
use anyhow::{Context, Result, ensure};
use fusebox::gate::RawOutput;
use fusebox::sdc::audit::{Cell, Prime, STEPS_MAX, Verdict, audit};
use protocol::contributors::{BaseRow, Contributors, Membership};
use protocol::table::{Margins, MeasureOp};
use serde_json::{Value, json};

/// The promise, in milliseconds.
const PROMISE_MS: f64 = 5_000.0;
const CELLS: u64 = 12;
const TABLES_MAX: u64 = 256;
const RUNS: usize = 3;
/// Earlier tables and units.
const CURVE: [(u64, u64); 5] = [(10, 1_000), (100, 1_000), (10, 10_000), (100, 10_000), (40, 100_000)];
/// As many memberships as are read.
const BOUND: (u64, u64) = (19, 1_000_000);

/// Decisions through the gate.
pub fn earlier() -> Result<Outcome> {
    let mut curve = Vec::new();
    for (tables, units) in CURVE {
        curve.push(point(tables, units, &decisions(tables, units)?));
    }
    let slowest = decisions(BOUND.0, BOUND.1)?;
    curve.push(point(BOUND.0, BOUND.1, &slowest));
    Ok(against_promise(slowest).with("curve", curve))
}

fn against_promise(ours: Vec<f64>) -> Outcome {
    Pairs { plain: vec![PROMISE_MS; ours.len()], ours }.outcome(Target::AtMost(1.0))
}

fn point(tables: u64, units: u64, all: &[f64]) -> Value {
    json!({ "tables": tables, "units": units, "memberships": (tables + 1) * units, "ms": rounded(median(all)) })
}

/// Milliseconds of deciding one more table, some times.
fn decisions(tables: u64, units: u64) -> Result<Vec<f64>> {
    let gate = Gate::open(&format!("audit-{tables}-{units}"))?;
    for at in 0..tables {
        gate.put(partition(at % 3, units)?)?;
    }
    let mut all = Vec::new();
    for run in 0..RUNS as u64 {
        let raw = partition(run % 3, units)?;
        let mut released = false;
        all.push(time_ms(|| {
            let mut decision = gate.decide(raw)?;
            gate.audit(&mut decision)?;
            released = decision.rehearsal()[0]["outcome"] == "release";
            Ok(())
        })?);
        ensure!(released, "{tables} tables over {units} units: the next one was held");
    }
    Ok(all)
}

/// All units, a row each, cut into cells by the key `salt`.
fn partition(salt: u64, units: u64) -> Result<RawOutput> {
    let cell_of = |unit: u64| mix(unit ^ salt << 40) % CELLS;
    let mut values = vec![Vec::new(); CELLS as usize];
    (0..units).for_each(|unit| values[cell_of(unit) as usize].push(50 + (mix(unit) % 101) as i64));
    // Identities are keyed hashes: in no order but their own.
    let mut rows: Vec<(i64, u64)> = (0..units).map(|unit| (mix(unit ^ 1 << 50) as i64, unit)).collect();
    rows.sort_unstable();
    let told = (0u32..).zip(&rows).map(|(row, (_, unit))| Membership { row, cell: cell_of(*unit) as u32, times: 1 }).collect();
    let rows = rows.into_iter().map(|(identity, unit)| BaseRow { identity, unit: unit as i64 }).collect();
    Gate::raw(
        table([4, 3], Margins::None, &[MeasureOp::Count], &values),
        "person",
        Contributors { rows, tables: vec![told], parts: Vec::new() },
    )
}

/// The audit alone, where combinations are hardest.
pub fn combinations() -> Result<Outcome> {
    let (mut curve, mut slowest): (Vec<Value>, Vec<f64>) = (Vec::new(), Vec::new());
    for units in [1_000u64, 10_000, 100_000] {
        let mut at = |tables: u64| -> Result<bool> {
            let (ms, verdict) = judged(tables, units)?;
            let told = match verdict {
                Verdict::Clear => "clear",
                Verdict::Found(_) => "found",
                Verdict::TooLarge => "too large",
            };
            curve.push(json!({ "cells": tables * CELLS, "units": units, "ms": rounded(ms), "verdict": told }));
            Ok(verdict == Verdict::TooLarge)
        };
        // Doubled until there is no verdict, then halved: the bound, to an eighth.
        let (mut within, mut beyond) = (2, 4);
        while beyond < TABLES_MAX && !at(beyond)? {
            (within, beyond) = (beyond, beyond * 2);
        }
        while beyond - within > (within / 8).max(1) {
            let middle = u64::midpoint(within, beyond);
            if at(middle)? { beyond = middle } else { within = middle }
        }
        let tables = beyond;
        let mut all = Vec::new();
        for _ in 0..RUNS {
            all.push(judged(tables, units)?.0);
        }
        if slowest.is_empty() || median(&all) > median(&slowest) {
            slowest = all;
        }
    }
    Ok(against_promise(slowest).with("steps_max", STEPS_MAX).with("curve", curve))
}

/// One audit of so many tables, the last one new.
fn judged(tables: u64, units: u64) -> Result<(f64, Verdict)> {
    let unit_of: Vec<u32> = (0..u32::try_from(units)?).collect();
    let mut cells = Vec::new();
    for salt in 0..tables {
        let mut own = vec![Vec::new(); CELLS as usize];
        unit_of.iter().for_each(|unit| own[(mix(u64::from(*unit) ^ salt << 40) % CELLS) as usize].push((*unit, 1)));
        cells.extend(own.into_iter().map(|rows| Cell { rows, equation: true, label: None }));
    }
    let first_new = cells.len() - CELLS as usize;
    let mut verdict = None;
    let ms = time_ms(|| {
        verdict = Some(audit(&unit_of, &cells, first_new, 10, (Prime::from_random(7 << 50), 7)));
        Ok(())
    })?;
    Ok((ms, verdict.context("no verdict")?))
}
