//! The neighbour-replay probe: a job whose model waits for review runs again without one unit, for some units drawn at random and some
//! that stand out, and once with every unit. Blocks.
//!
//! Runs are deterministic, so a parameter that moves when one unit is left out moves because of that unit. Each run is a fresh guest in
//! its jail, with the job's own seed; the engine leaves the unit out, and alone knows which one its place stands for. Engine and guest
//! have the memory of one job; runs come one after the other, and none is begun after [`TIME_MAX`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use protocol::message::WorkerRole;
use protocol::neighbour::{Measured, RankRequest, Ranked};
use protocol::plan::ViewType;
use protocol::seal::SealKey;
use ring::hmac;

use super::prepare::Prepared;
use super::produce::Way;
use super::run::RunError;
use super::service::Jobs;
use super::spec::JobSpec;
use crate::gate::{Baseline, Conditions, Picked, Probe, ProbeRun, RawOutput};
use crate::store::StoreError;
use crate::workers::{EngineSession, GuestInput, KillSwitch, Share, View, WorkerError};

/// Time of all runs of a probe together: none is begun after it.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Units probed for their many rows, and as many for their distance from the others.
const EXTREME_EACH: u16 = 3;

/// A job that is probed.
pub(super) struct Probed<'a> {
    pub(super) spec: &'a JobSpec,
    pub(super) prepared: &'a Prepared,
    pub(super) job_key: &'a SealKey,
    /// Units of its view.
    pub(super) units: u64,
    /// How many of them to draw at random.
    pub(super) drawn: u16,
    /// What the job's output gave.
    pub(super) commitment: [u8; 32],
}

/// What every run of a probe shares.
struct Runs<'a> {
    jobs: &'a Jobs,
    job: &'a Probed<'a>,
    way: &'a Way<'a>,
    switch: &'a KillSwitch,
    code: &'a std::os::fd::OwnedFd,
    view: &'a View,
    until: Instant,
}

impl Jobs {
    /// Probes a job. What goes wrong in it is part of what it says; an error is a stop, or a fault of ours.
    pub(super) fn probe(&self, job: &Probed<'_>, way: &Way<'_>, switch: &KillSwitch) -> Result<Probe, RunError> {
        let digest = job.spec.module.as_ref().ok_or(StoreError::Fault)?;
        let code = self.code(digest, way.patience, switch)?;
        let [engine, guest] = way.workers.reserve([WorkerRole::Engine, WorkerRole::Guest], way.patience, switch)?;
        let random = random_places(job.units, job.drawn, &SealKey::random().map_err(StoreError::from)?);
        let mut probe = Probe {
            units: job.units,
            drawn: random.len() as u64,
            extreme: 0,
            baseline: Baseline::Failed("the run was not begun".to_owned()),
            runs: Vec::new(),
            cut: None,
        };
        let (mut engine, view) = match self.view(job.spec, job.prepared, way, engine, switch) {
            Ok(fused) => fused,
            Err(RunError::Failed(error)) => {
                probe.cut = Some(error.closed());
                return Ok(probe);
            }
            Err(other) => return Err(other),
        };
        let runs = Runs { jobs: self, job, way, switch, code: &code, view: &view, until: Instant::now() + TIME_MAX };
        let mut share = Some(guest);
        probe.baseline = runs.baseline(&mut engine, &mut share)?;
        match engine.rank(asked(&view, &random), job.units) {
            Ok(ranked) => runs.all(&mut engine, &mut share, ranked, &mut probe)?,
            Err(WorkerError::Cancelled) => return Err(RunError::Cancelled),
            Err(error) => probe.cut = Some(error.closed()),
        }
        Ok(probe)
    }
}

impl Runs<'_> {
    /// One run of the module over `view`, within the guest's share.
    fn run(&self, view: &View, share: &mut Option<Share>) -> Result<Result<crate::workers::GuestOutput, WorkerError>, RunError> {
        let Some(taken) = share.take() else { return Ok(Err(WorkerError::Busy)) };
        let module = self.job.prepared.module.as_ref().ok_or(StoreError::Fault)?;
        let seed = JobSpec::seed(self.job.job_key);
        let input = GuestInput { code: self.code, view, manifest: module.manifest.clone(), seed, synthetic: false };
        let (ended, back) = self.way.workers.run_in_turn(&input, taken, self.switch);
        *share = back;
        match ended {
            Err(WorkerError::Cancelled) => Err(RunError::Cancelled),
            other => Ok(other),
        }
    }

    /// With every unit: the job's commitment is due again.
    fn baseline(&self, engine: &mut EngineSession, share: &mut Option<Share>) -> Result<Baseline, RunError> {
        let output = match self.run(self.view, share)? {
            Ok(output) => output,
            Err(error) => return Ok(Baseline::Failed(error.closed())),
        };
        let conditions = Conditions::of(&self.job.prepared.resolved, self.job.spec.module.as_ref());
        match self.jobs.reduce(engine, self.view, output, &self.job.prepared.resolved, (conditions, None)) {
            Ok(produced) if produced.raw.commitment(self.job.job_key)? == self.job.commitment => Ok(Baseline::Same),
            Ok(_) => Ok(Baseline::Differs),
            Err(RunError::Failed(error)) => Ok(Baseline::Failed(error.closed())),
            Err(other) => Err(other),
        }
    }

    /// Without each unit: first those drawn at random, so that what a cut leaves is still a random sample.
    fn all(&self, engine: &mut EngineSession, share: &mut Option<Share>, ranked: Ranked, probe: &mut Probe) -> Result<(), RunError> {
        let random: BTreeSet<u64> = ranked.named.iter().map(|unit| unit.unit).collect();
        let mut seen = random;
        let extreme: Vec<Measured> = ranked.most_rows.into_iter().chain(ranked.farthest).filter(|unit| seen.insert(unit.unit)).collect();
        probe.extreme = extreme.len() as u64;
        let all =
            ranked.named.into_iter().map(|unit| (Picked::Random, unit)).chain(extreme.into_iter().map(|unit| (Picked::Extreme, unit)));
        for (drawn, unit) in all {
            if Instant::now() >= self.until {
                probe.cut = Some(format!("the time of a probe, {} s, was used up", TIME_MAX.as_secs()));
                return Ok(());
            }
            let rest = match engine.without(self.view, unit.unit) {
                Ok(rest) => rest,
                Err(WorkerError::Cancelled) => return Err(RunError::Cancelled),
                Err(error) => {
                    probe.cut = Some(error.closed());
                    return Ok(());
                }
            };
            let outcome = match self.run(&rest, share)? {
                Ok(output) => Ok(RawOutput::seal(Vec::new(), output.models, Vec::new(), BTreeSet::new(), rest.report().units)),
                Err(error) => Err(error.closed()),
            };
            probe.runs.push(ProbeRun { drawn, unit, outcome });
            if share.is_none() {
                probe.cut = Some("a worker could not be started".to_owned());
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What the engine is asked: distances in all that the module was granted, pseudonyms left out. Which columns count is not the module's
/// choice.
fn asked(view: &View, random: &[u64]) -> RankRequest {
    let measured = view.granted().filter(|(column, _)| column.ty != ViewType::Pseudonym);
    RankRequest {
        columns: measured.map(|(column, _)| column.name.clone()).collect(),
        units: random.to_vec(),
        most_rows: EXTREME_EACH,
        farthest: EXTREME_EACH,
    }
}

/// `wanted` places below `units`, all different, every set of as many equally likely (R. W. Floyd, in: Bentley, *Programming Pearls: a
/// sample of brilliance*, CACM 30(9), 1987); all places where there are no more.
fn random_places(units: u64, wanted: u16, key: &SealKey) -> Vec<u64> {
    let wanted = u64::from(wanted).min(units);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let below = |n: u64| {
        let tag = hmac::sign(&key, &n.to_le_bytes());
        let word = tag.as_ref().first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        // Multiplying spreads 64 bits evenly over n places, to within n / 2^64.
        u64::try_from((u128::from(word) * u128::from(n)) >> 64).unwrap_or(0)
    };
    let mut taken = BTreeSet::new();
    let mut places = Vec::new();
    for last in units - wanted..units {
        let place = below(last + 1);
        let place = if taken.contains(&place) { last } else { place };
        taken.insert(place);
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_different_and_each_is_drawn_as_often_as_any_other() {
        let mut counts = [0u32; 12];
        const DRAWS: u32 = 4000;
        for draw in 0..DRAWS {
            let mut key = [0u8; 32];
            key[..4].copy_from_slice(&draw.to_le_bytes());
            let places = random_places(12, 5, &SealKey::from_bytes(&key));
            let distinct: BTreeSet<u64> = places.iter().copied().collect();
            assert!(places.len() == 5 && distinct.len() == 5 && distinct.iter().all(|place| *place < 12), "{places:?}");
            places.iter().for_each(|place| counts[*place as usize] += 1);
        }
        // Five standard deviations of a count.
        let (expected, deviation) = (f64::from(DRAWS) * 5.0 / 12.0, (f64::from(DRAWS) * 5.0 / 12.0 * 7.0 / 12.0).sqrt());
        assert!(counts.iter().all(|n| (f64::from(*n) - expected).abs() < 5.0 * deviation), "{counts:?} of {expected}");
        let key = SealKey::from_bytes(&[1; 32]);
        assert_eq!(random_places(3, 30, &key).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
        assert!(random_places(0, 30, &key).is_empty() && random_places(9, 0, &key).is_empty());
    }
}
