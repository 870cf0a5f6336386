//! The least a job can cost: submitted over HTTP, run by workers that waited, judged at the gate, logged.
//!
//! The module asks for one number over a cached view of 1,000 rows. In the span: the call, every durable commit, two workers'
//! work, the call that shows the end; a checker asks each millisecond. The other side starts `/bin/true`, waits for it, writes
//! 4 KiB to a file of the same file system, and calls fdatasync once.

use crate::measure::{Outcome, Pairs, Target, median, rounded, time_ms};
use crate::place::Scratch;
use crate::server::World;
use anyhow::{Result, ensure};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;
use std::time::Duration;

const RUNS: usize = 51;
const ROWS: u64 = 1_000;

/// Measures a job from the submission to its end.
pub fn measure() -> Result<Outcome> {
    let world = World::start(ROWS, "bench-noop")?;
    world.run(Duration::from_millis(5))?;
    let scratch = Scratch::new("sync")?;
    let mut file = File::create(scratch.0.join("file"))?;
    let (mut spawns, mut syncs) = (Vec::new(), Vec::new());
    let pairs = Pairs::take(
        RUNS,
        || {
            // A job's workers are replaced after it began: the next one finds them waiting.
            std::thread::sleep(Duration::from_millis(200));
            Ok(world.run(Duration::from_millis(1))?.0)
        },
        || {
            let spawn = time_ms(|| {
                ensure!(Command::new("/bin/true").status()?.success(), "/bin/true failed");
                Ok(())
            })?;
            let sync = time_ms(|| {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&[1; 4096])?;
                Ok(file.sync_data()?)
            })?;
            spawns.push(spawn);
            syncs.push(sync);
            Ok(spawn + sync)
        },
    )?;
    let parts = vec![rounded(median(&spawns)), rounded(median(&syncs))];
    Ok(pairs.outcome(Target::None).with("spawn_and_fdatasync_ms", parts))
}
