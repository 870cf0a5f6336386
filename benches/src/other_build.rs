//! What a change costs a warm job: this build against another, in turns.
//!
//! `FUSEBOX_BASELINE` is a folder with the other build's `fusebox` and `fusebox-worker`. Both run the job of [`super::noop_job`] on
//! servers of their own; its span is that of the submission to the end, as a checker sees it.

use crate::measure::{Outcome, Pairs, Target};
use crate::server::World;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::time::Duration;

const RUNS: usize = 101;
const ROWS: u64 = 1_000;

/// Measures a warm job here and there.
pub fn measure() -> Result<Outcome> {
    let folder = std::env::var_os("FUSEBOX_BASELINE").map(PathBuf::from);
    let folder = folder.context("FUSEBOX_BASELINE is not set; remedy: a folder with the other build's two binaries")?;
    let here = World::start(ROWS, "bench-noop")?;
    let there = World::of(&folder.join("fusebox"), &folder.join("fusebox-worker"), ROWS, "bench-noop")?;
    let run = |world: &World| {
        // A job's workers are replaced after it began: the next one finds them waiting.
        std::thread::sleep(Duration::from_millis(200));
        Ok(world.run(Duration::from_millis(1))?.0)
    };
    let pairs = Pairs::take(RUNS, || run(&here), || run(&there))?;
    Ok(pairs.outcome(Target::AtMost(1.1)))
}
