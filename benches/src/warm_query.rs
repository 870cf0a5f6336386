//! A module that asks for one table over a fused view of 2 million rows against the same query in polars, in a plain process.
//!
//! Number of rows, distinct privacy units and a sum by two keys, 96 cells. Ours is the whole job, from the call that submits it to
//! the call that shows its end: judged, queued, the cached view mapped by a worker that waited, the module run, the table reduced
//! with its evidence, decided, logged; each step durable. Not in it: import and fusion, which the first job pays, and the
//! replacement of workers. The plain process has the same integers in memory, in the same order, and runs the query alone; what
//! it is asked and answers over a pipe is not counted. Told beside: the query without distinct units, the engine's part, and each job's
//! time in turn: every table is audited beside all that was released before, so the tenth costs more than the first.

use crate::measure::{Outcome, Pairs, Target, median, rounded, time_ms};
use crate::plain::{Answer, Plain};
use crate::server::World;
use crate::{data, place};
use anyhow::{Context, Result, ensure};
use fusebox::workers::{KillSwitch, Patience, View, WorkerSettings, Workers};
use protocol::message::WorkerRole;
use protocol::table::{Cell, Margins, MeasureOp, MeasureRequest, TableOutput, TableRequest};
use serde_json::Value;
use std::cell::RefCell;
use std::time::Duration;

const RUNS: usize = 9;
/// A job's workers are replaced after it began: the next one finds them waiting.
const REST: Duration = Duration::from_millis(500);
/// How often a checker asks for the state.
const POLL: Duration = Duration::from_millis(3);

/// Measures warm jobs.
pub fn measure() -> Result<Outcome> {
    let world = World::start(data::QUERY_ROWS, "bench-query")?;
    let (cold_ms, _) = world.run(POLL)?;
    let plain = RefCell::new(Plain::start()?);
    let (mut release, mut theirs, mut bare) = (String::new(), None, Vec::new());
    let pairs = Pairs::take(
        RUNS,
        || {
            std::thread::sleep(REST);
            let (ms, id) = world.run(POLL)?;
            release = id;
            Ok(ms)
        },
        || {
            let mut plain = plain.borrow_mut();
            bare.push(plain.query(false)?.0);
            let (ms, answer) = plain.query(true)?;
            theirs = Some(answer);
            Ok(ms)
        },
    )?;
    let ours = released(&world.artefact(&release)?)?;
    ensure!(Some(ours) == theirs, "the answers differ: {ours:?}, {theirs:?}");
    drop(world);
    let (engine_ms, reduced) = engine()?;
    ensure!(Some(reduced) == theirs, "the engine's answer differs: {reduced:?}, {theirs:?}");
    let bare = median(&bare);
    let against_bare = rounded(median(&pairs.ours) / bare);
    let in_turn = pairs.ours.clone();
    let outcome = pairs.outcome(Target::AtMostPlusMs(1.10, 30.0)).with("engine_ms", rounded(engine_ms)).with("cold_ms", rounded(cold_ms));
    let in_turn: Vec<Value> = in_turn.iter().map(|ms| rounded(*ms)).collect();
    let outcome = outcome.with("rows", data::QUERY_ROWS).with("in_turn_ms", in_turn);
    Ok(outcome.with("plain_without_units_ms", rounded(bare)).with("ratio_without_units", against_bare))
}

/// What a released table says, in sum.
fn released(fetched: &Value) -> Result<Answer> {
    let cells = fetched["artefact"]["rows"].as_array().context("no cells")?;
    let of = |measure: usize| -> Result<i64> {
        let texts = cells.iter().map(|row| row["cell"]["shown"][measure].as_str().context("a cell is suppressed"));
        texts.map(|text| Ok(text?.parse::<i64>()?)).sum()
    };
    Ok(Answer { rows: of(0)? as u64, units: of(1)? as u64, total: of(2)?, cells: cells.len() as u64 })
}

/// Median milliseconds of the engine alone: a worker that waited maps a view and reduces it.
fn engine() -> Result<(f64, Answer)> {
    let workers = Workers::new(WorkerSettings::alone(place::worker()?, 2, 1));
    let view: View = data::view(data::QUERY_ROWS)?;
    let (mut all, mut answered) = (Vec::new(), None);
    for _ in 0..RUNS {
        std::thread::sleep(REST);
        all.push(time_ms(|| {
            let [share] = workers.reserve([WorkerRole::Engine], Patience::Job, &KillSwitch::default())?;
            let mut engine = workers.attach(&view, share, &KillSwitch::default())?;
            answered = engine.reduce(vec![request()], Vec::new())?.0.first().map(answer);
            Ok(())
        })?);
    }
    Ok((median(&all), answered.context("no table")?))
}

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
        margins: Margins::None,
    }
}

fn answer(table: &TableOutput) -> Answer {
    let total = |c: &Cell| c.measures.iter().flatten().map(|m| m.sum).sum::<i128>();
    let filled = || table.cells.iter().filter(|c| c.rows > 0);
    Answer {
        rows: filled().map(|c| c.rows).sum(),
        units: filled().map(|c| c.units).sum(),
        total: filled().map(total).sum::<i128>() as i64,
        cells: filled().count() as u64,
    }
}
