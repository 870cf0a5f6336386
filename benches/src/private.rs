//! The private door, through processes as a job runs it, against plain things.
//!
//! | measure | one side | other side |
//! |---|---|---|
//! | [`built_in`] | exact count and clipped sum of 10 million units, engine and conversation included | polars: clip, sum and len |
//! | [`blocks`] | one block through an instance of its own | a process start |
//! | [`noise`] | a vector of discrete Gaussians for the gate | OpenDP's sampler in a loop |
//! | [`gradient`] | a round with one instance a unit | the same vectors summed in one place |

use crate::data::people;
use crate::measure::{Outcome, Pairs, Target, median, rounded, time_ms};
use crate::place;
use anyhow::{Context, Result, ensure};
use fusebox::dp::{Calibration, Epsilon, MechanismKind, Noise};
use fusebox::workers::{FoldCode, KillSwitch, Mappers, Patience, View, WorkerSettings, Workers};
use fusebox_worker::map::Mapped;
use polars::prelude::{ChunkAgg, ChunkApply, Int64Chunked, NewChunkedArray};
use protocol::column::Column;
use protocol::fold::{Blocks, BuiltIn, Clip, FoldMap, FoldPlan, FoldStart, Isolation, Norm};
use protocol::limits::Limits;
use protocol::message::{SecretKey, WorkerRole};
use std::hint::black_box;
use std::process::Command;

const ROWS: u64 = 10_000_000;
const VALUE: [i64; 2] = [20_000, 90_000];

fn plan(blocks: Blocks, dimension: u32, bound: i64, map: FoldMap) -> FoldPlan {
    let clip = Clip { dimension, norm: Norm::L2, bound, scale: 0 };
    FoldPlan { blocks, isolation: Isolation::Instance, rows_per_unit_max: 1, clip, map, key: SecretKey([1; 32]) }
}

/// Count and clipped sum over a view that an engine holds.
pub fn built_in() -> Result<Outcome> {
    // Two engines at once: they share the memory.
    let workers = Workers::new(WorkerSettings { jobs_max: 2, ..WorkerSettings::alone(place::worker()?, 2, 2) });
    let view = people(ROWS)?;
    let (_, fd) = view.granted().find(|(c, _)| c.name == "value").context("no column")?;
    let mapped = Mapped::new(fd)?;
    let values = Column::parse(&mapped)?.i64s().context("no integers")?;
    let column = Int64Chunked::from_slice("value".into(), values);
    let switch = KillSwitch::default();
    let session = |map: BuiltIn, bound: i64| -> Result<_> {
        let [share] = workers.reserve([WorkerRole::Engine], Patience::Job, &switch)?;
        Ok(workers.attach(&view, share, &switch)?.fold(plan(Blocks::PerUnit, 1, bound, FoldMap::BuiltIn(map)))?)
    };
    let mut count = session(BuiltIn::Count, 1)?;
    let mut sum = session(BuiltIn::Sum { column: "value".into(), min: VALUE[0], max: VALUE[1] }, VALUE[1])?;
    let pairs = Pairs::take(
        15,
        || {
            time_ms(|| {
                black_box(count.round(&[], None)?);
                black_box(sum.round(&[], None)?);
                Ok(())
            })
        },
        || {
            time_ms(|| {
                let clipped = column.apply_values(|v| v.clamp(VALUE[0], VALUE[1]));
                black_box((clipped.len(), clipped.sum()));
                Ok(())
            })
        },
    )?;
    Ok(pairs.outcome(Target::AtMost(1.25)))
}

/// A module's code and how it is started.
struct Module {
    code: std::os::fd::OwnedFd,
    start: FoldStart,
    dimension: u32,
}

impl Module {
    fn load(workers: &Workers, package: &str) -> Result<Self> {
        let compiled = workers.compile(&place::module(package)?, Patience::Job, &KillSwitch::default())?;
        let manifest = compiled.manifest.fold.context("not a fold")?;
        let dimension = manifest.dimension;
        let start = FoldStart { manifest, fuel: 100_000_000, memory_bytes_max: Limits::STANDARD.fold_memory_bytes_max };
        Ok(Self { code: protocol::memfd::sealed("code", &compiled.code)?, start, dimension })
    }

    fn mappers<'a>(&'a self, workers: &'a Workers, switch: &'a KillSwitch) -> Result<Mappers<'a>> {
        let [share] = workers.reserve([WorkerRole::Guest], Patience::Job, switch)?;
        Ok(workers.mappers(FoldCode { code: &self.code, start: &self.start }, share, switch))
    }
}

/// Milliseconds of one round over `view` in a warm guest.
fn rounds<'a>(
    module: &'a Module,
    view: &View,
    blocks: Blocks,
    workers: &'a Workers,
    switch: &'a KillSwitch,
) -> Result<impl FnMut() -> Result<f64> + use<'a>> {
    let [share] = workers.reserve([WorkerRole::Engine], Patience::Job, switch)?;
    let columns = module.start.manifest.columns.clone();
    let mut session = workers.attach(view, share, switch)?.fold(plan(blocks, module.dimension, 1 << 40, FoldMap::Module { columns }))?;
    let state = vec![0.0; module.start.manifest.state as usize];
    let mut mappers = module.mappers(workers, switch)?;
    Ok(move || {
        time_ms(|| {
            black_box(session.round(&state, Some(&mut mappers))?);
            Ok(())
        })
    })
}

/// One block through an instance of its own, in a warm guest process.
pub fn blocks() -> Result<Outcome> {
    const BLOCKS: u64 = 100_000;
    let workers = Workers::new(WorkerSettings::alone(place::worker()?, 1, 1));
    let switch = KillSwitch::default();
    let view = people(BLOCKS)?;
    let module = Module::load(&workers, "bench-fold")?;
    let mut round = rounds(&module, &view, Blocks::PerUnit, &workers, &switch)?;
    let spawn = || {
        time_ms(|| {
            ensure!(Command::new("/bin/true").status()?.success(), "/bin/true failed");
            Ok(())
        })
    };
    let pairs = Pairs::take(9, || Ok(round()? / BLOCKS as f64), spawn)?;
    let per_second = 1000.0 / median(&pairs.ours);
    Ok(pairs.outcome(Target::AtMost(1.0 / 50.0)).with("blocks_per_second", rounded(per_second)).with("goal_blocks_per_second", 50_000))
}

/// A round of the example's logistic regression: one instance a person, against one instance that sees all.
pub fn gradient() -> Result<Outcome> {
    const PEOPLE: u64 = 32_561;
    let workers = Workers::new(WorkerSettings { jobs_max: 2, ..WorkerSettings::alone(place::worker()?, 1, 2) });
    let switch = KillSwitch::default();
    let view = people(PEOPLE)?;
    let module = Module::load(&workers, "bench-gradient")?;
    let mut apart = rounds(&module, &view, Blocks::PerUnit, &workers, &switch)?;
    let mut together = rounds(&module, &view, Blocks::Shared(1), &workers, &switch)?;
    let pairs = Pairs::take(9, &mut apart, &mut together)?;
    let per_unit_us = median(&pairs.ours) * 1000.0 / PEOPLE as f64;
    Ok(pairs.outcome(Target::None).with("microseconds_per_person", rounded(per_unit_us)))
}

/// A vector of noise for the gate, against the bare sampler.
pub fn noise() -> Result<Outcome> {
    const DIMENSION: u32 = 10_000;
    let clip = Clip { dimension: DIMENSION, norm: Norm::L2, bound: 1 << 20, scale: 0 };
    let calibration = Calibration::new(MechanismKind::Gaussian, Epsilon::parse("1")?, 6, 1, clip, Blocks::PerUnit)
        .map_err(|refused| anyhow::anyhow!("{refused}"))?;
    let scale = calibration.scale().clone();
    let pairs = Pairs::take(
        9,
        || {
            time_ms(|| {
                let _drawn = Noise::draw(&calibration, DIMENSION)?;
                Ok(())
            })
        },
        || {
            time_ms(|| {
                for _ in 0..DIMENSION {
                    black_box(opendp::traits::samplers::sample_discrete_gaussian(scale.clone()).map_err(|e| anyhow::anyhow!("{e}"))?);
                }
                Ok(())
            })
        },
    )?;
    let per_second = f64::from(DIMENSION) / median(&pairs.ours) * 1000.0;
    Ok(pairs.outcome(Target::None).with("samples_per_second", rounded(per_second)))
}
