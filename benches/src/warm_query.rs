//! A module that asks for one table over a view of 10 million rows against the same query in polars, in a plain process.
//!
//! Number of rows, distinct units and a sum by two keys, 96 cells. In the span: a worker that waited takes the cached view, maps
//! it, and reduces it with its evidence.

use crate::measure::{Outcome, Pairs, Target, median, rounded, time_ms};
use crate::plain::{Answer, Plain};
use crate::{data, place};
use anyhow::{Result, ensure};
use fusebox::workers::{KillSwitch, Workers};
use protocol::table::{MeasureOp, MeasureRequest, TableOutput, TableRequest};
use std::cell::RefCell;

const RUNS: usize = 11;

fn request() -> TableRequest {
    let measure = |name: &str, op, column: Option<&str>| MeasureRequest { name: name.into(), op, column: column.map(Into::into) };
    TableRequest {
        name: "query".into(),
        keys: vec!["region".into(), "class".into()],
        measures: vec![
            measure("rows", MeasureOp::Count, None),
            measure("units", MeasureOp::Units, None),
            measure("total", MeasureOp::Sum, Some("value")),
        ],
    }
}

fn answer(table: &TableOutput) -> Answer {
    let total = |c: &protocol::table::Cell| c.measures.iter().flatten().map(|m| m.sum).sum::<i128>();
    let filled = || table.cells.iter().filter(|c| c.rows > 0);
    Answer {
        rows: filled().map(|c| c.rows).sum(),
        units: filled().map(|c| c.units).sum(),
        total: filled().map(total).sum::<i128>() as i64,
        cells: filled().count() as u64,
    }
}

/// Measures the engine's part of a warm query.
pub fn measure() -> Result<Outcome> {
    let workers = Workers::new(place::worker()?, 2, 1);
    let view = data::view(data::ROWS)?;
    let plain = RefCell::new(Plain::start()?);
    let (mut ours, mut theirs) = (None, None);
    let mut bare = Vec::new();
    let pairs = Pairs::take(
        RUNS,
        || {
            // The worker that the last run used is replaced meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(300));
            time_ms(|| {
                let mut engine = workers.attach(&view, &KillSwitch::default())?;
                ours = engine.reduce(vec![request()], Vec::new())?.first().map(answer);
                Ok(())
            })
        },
        || {
            let mut plain = plain.borrow_mut();
            bare.push(plain.query(false)?.0);
            let (ms, answer) = plain.query(true)?;
            theirs = Some(answer);
            Ok(ms)
        },
    )?;
    ensure!(ours.is_some() && ours == theirs, "the answers differ: {ours:?}, {theirs:?}");
    let outcome = pairs.outcome(Target::AtMostPlusMs(1.10, 30.0));
    let bare = median(&bare);
    let against_bare = rounded(median(&pairs.ours) / bare);
    Ok(outcome.with("plain_without_units_ms", rounded(bare)).with("ratio_without_units", against_bare))
}
