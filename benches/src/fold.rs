//! Blocks through a fold's instances against the same sums in a plain thread at the other end of the same kind of socket.
//!
//! In the measured span: batches of 2,000 blocks of one row over the socket, one fresh instance a block in a jailed guest process, the
//! answers back. Not in it: starting the process, loading the code. The thread reads the same frames and answers in the same form.

use crate::measure::{Outcome, Pairs, Target, rounded, time_ms};
use crate::place;
use anyhow::{Context, Result, ensure};
use protocol::fold::{BlockBatch, Contribution, Floats, FoldStart, Integers, MapReply, MapRequest, Octets};
use protocol::frame::{Channel, FrameError};
use protocol::jail::{Start, Waived};
use protocol::memfd::sealed;
use protocol::message::{GuestOpening, WorkerRole};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

const RUNS: usize = 15;
const BATCHES: usize = 10;
const BLOCKS: usize = 2000;

/// Measures blocks; how many a second beside it.
pub fn measure() -> Result<Outcome> {
    let compiled = fusebox_worker::compile::compile(&place::module("bench-fold")?)?;
    let manifest = compiled.manifest.fold.context("not a fold")?;
    let start = FoldStart { manifest, fuel: 1_000_000, memory_bytes_max: 1 << 20 };
    let (mut guest, theirs) = pair()?;
    let _worker = worker(&start, &sealed("code", &compiled.code)?, &theirs)?;
    let (mut plain, theirs) = pair()?;
    let adder = std::thread::spawn(move || sums(Channel::plain(theirs)));
    let pairs = Pairs::take(RUNS, || time_ms(|| round(&mut guest)), || time_ms(|| round(&mut plain)))?;
    drop(plain);
    let ended = adder.join().ok().context("the plain side panicked")?;
    ensure!(matches!(ended, Err(FrameError::Closed)), "the plain side: {ended:?}");
    let outcome = pairs.outcome(Target::None);
    let per_second = outcome.median_ms.map(|ms| rounded((BATCHES * BLOCKS) as f64 / ms * 1e3)).to_vec();
    Ok(outcome.with("blocks_per_second", per_second))
}

fn pair() -> Result<(Channel, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((Channel::plain(ours), theirs))
}

/// Killed when dropped.
struct Worker(Child, #[expect(dead_code, reason = "hanging up ends the worker")] Channel);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A jailed guest process that maps what comes over `socket`.
fn worker(start: &FoldStart, code: &OwnedFd, socket: &UnixStream) -> Result<Worker> {
    let limits = Start {
        role: WorkerRole::Guest,
        threads: 1,
        memory_bytes_max: 1 << 30,
        cpu_seconds_max: 600,
        waived: Waived::parse("").map_err(anyhow::Error::new)?,
    };
    let (mut channel, theirs) = Channel::pair()?;
    let mut command = Command::new(place::worker()?);
    command.args(limits.arguments()).env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().context("cannot start the worker")?;
    channel.send(&GuestOpening::Map(start.clone()), &[code.as_fd(), socket.as_fd()])?;
    Ok(Worker(child, channel))
}

fn batch() -> BlockBatch {
    let ones = vec![1; BLOCKS];
    let values = (0..BLOCKS as i64).collect();
    BlockBatch { blocks: ones.clone(), units: ones, values: Integers(values), missing: Octets(Vec::new()) }
}

fn round(channel: &mut Channel) -> Result<()> {
    channel.send(&MapRequest::State(Floats(vec![0.0])), &[])?;
    for _ in 0..BATCHES {
        channel.send(&MapRequest::Blocks(batch()), &[])?;
        let (MapReply(answers), _) = channel.receive::<MapReply>()?;
        let sum: f64 = answers.iter().map(|a| if let Contribution::Dense(Floats(v)) = a { v[0] } else { f64::NAN }).sum();
        ensure!(sum == (BLOCKS * (BLOCKS - 1) / 2) as f64, "the sum is {sum}");
    }
    Ok(())
}

/// The plain side: the same frames, the same sums, no sandbox.
fn sums(mut channel: Channel) -> Result<(), FrameError> {
    loop {
        if let MapRequest::Blocks(batch) = channel.receive()?.0 {
            let answers = batch.values.0.iter().map(|value| Contribution::Dense(Floats(vec![*value as f64])));
            channel.send(&MapReply(answers.collect()), &[])?;
        }
    }
}
