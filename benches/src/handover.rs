//! Columns handed to a module against memcpy of the same bytes.
//!
//! The module runs in a worker of its own, through the real world, and reads a column of 10 million integers again and again in
//! ranges of 65,536 rows, as the SDK does; two runs that differ only in how often it reads give the time of a reading: calls,
//! copies into linear memory and the guest's allocator are in, start and first touch are not. The other side copies the same
//! column from shared memory in the same ranges into one warm buffer.

use crate::measure::{Outcome, Pairs, Target, rounded, time_ms};
use crate::{data, place};
use anyhow::{Context, Result, anyhow, ensure};
use fusebox::workers::{GuestInput, KillSwitch, Patience, View, WorkerSettings, Workers};
use fusebox_worker::map::Mapped;
use protocol::column::Column;
use protocol::message::WorkerRole;
use std::hint::black_box;

const RUNS: usize = 15;
const CHUNK: usize = 1 << 16;
/// Readings in the short and the long run.
const READINGS: [u64; 2] = [2, 42];

/// Measures one reading of a column.
pub fn measure() -> Result<Outcome> {
    let workers = Workers::new(WorkerSettings::alone(place::worker()?, 2, 1));
    let compiled = workers.compile(&place::module("bench-handover")?, Patience::Job, &KillSwitch::default())?;
    let code = protocol::memfd::sealed("code", &compiled.code)?;
    let view = data::view(data::ROWS)?;
    let (_, fd) = view.granted().find(|(c, _)| c.name == "value").context("no column")?;
    let mapped = Mapped::new(fd)?;
    let values = Column::parse(&mapped)?.i64s().context("no integers")?;
    let run = |view: &View, readings: u64| {
        let input = GuestInput { code: &code, view, manifest: compiled.manifest.clone(), seed: readings, synthetic: false };
        time_ms(|| {
            let [share] = workers.reserve([WorkerRole::Guest], Patience::Job, &KillSwitch::default())?;
            workers.run(&input, share, &KillSwitch::default()).map(drop).map_err(|(error, _)| anyhow!(error))
        })
    };
    let [short, long] = READINGS;
    let mut buffer = vec![0i64; CHUNK];
    let pairs = Pairs::take(
        RUNS,
        || Ok((run(&view, long)? - run(&view, short)?) / (long - short) as f64),
        || {
            let copies = 10;
            let ms = time_ms(|| {
                for _ in 0..copies {
                    for chunk in black_box(values).chunks(CHUNK) {
                        buffer[..chunk.len()].copy_from_slice(chunk);
                        black_box(&mut buffer);
                    }
                }
                Ok(())
            })?;
            Ok(ms / f64::from(copies))
        },
    )?;
    ensure!(pairs.ours.iter().all(|ms| *ms > 0.0), "the machine is too noisy: a longer run took less time");
    let bytes = (values.len() * 8) as f64;
    let outcome = pairs.outcome(Target::AtLeast(0.7)).inverted();
    let [ours, plain] = outcome.median_ms.map(|ms| rounded(bytes / ms / 1e6));
    Ok(outcome.with("gigabytes_per_second", vec![ours, plain]))
}
