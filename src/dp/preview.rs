//! What an answer is worth, told before anything is spent: from public parameters alone, never from data.
//!
//! The noise is known exactly. What clipping, clamping or sampling a block takes off an answer depends on the data and is not in these
//! figures; nor is the rounding of a quantile to its bin.

use protocol::fold::{Blocks, Clip, Norm};
use serde::Serialize;

use super::MechanismKind;
use super::calibration::Calibration;
use super::units::Epsilon;
use crate::refusal::{self, Refused};

/// How the noised vector becomes what the operator reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Each coordinate as it is: count, sum, histogram, a module's vector.
    Coordinates,
    /// Sum of `value − centre` over a count that was weighted with `weight`: the error depends on how many rows there are, so the
    /// operator states how many it expects. The worst case, a mean at its bound, is told.
    Mean {
        /// What one row adds to the second coordinate, in grid steps.
        weight: i64,
        /// The largest |value − centre| in grid steps.
        half_range: i64,
        /// Rows expected.
        rows: u64,
    },
    /// Rank read from running totals of the bins: the error of the last total, in rows.
    Quantile {
        /// How many.
        bins: u32,
    },
    /// The mean of the contributions of shared blocks.
    BlockMean,
}

/// How far an answer lies from the one without noise, in real units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ExpectedError {
    /// Root of the mean square.
    pub rmse: f64,
    /// With a probability of at least 95% it lies within this (for a quantile or mean: by the normal approximation).
    pub half_width_95: f64,
}

impl ExpectedError {
    /// Of one coordinate, or of the statistic.
    pub fn of(calibration: &Calibration, statistic: Statistic) -> Self {
        let step = 10f64.powi(-i32::from(calibration.clip().scale));
        let sigma = calibration.sigma_steps();
        let normal = |rmse: f64| Self { rmse, half_width_95: 1.96 * rmse };
        let scaled = |factor: f64| Self { rmse: sigma * factor, half_width_95: calibration.half_width_95_steps() * factor };
        match statistic {
            Statistic::Coordinates => scaled(step),
            // (S + z₁)/(w N + z₂)·w − S/N ≈ (z₁ − (S/(w N)) z₂)/N to first order, |S/N| at most the half range.
            Statistic::Mean { weight, half_range, rows } => {
                let share = half_range as f64 / weight.max(1) as f64;
                normal(sigma * step * (1.0 + share * share).sqrt() / rows.max(1) as f64)
            }
            Statistic::Quantile { bins } => normal(sigma * step * f64::from(bins.max(1)).sqrt()),
            Statistic::BlockMean => match calibration.blocks() {
                Blocks::Shared(count) => scaled(step / f64::from(count.max(1))),
                Blocks::PerUnit => Self { rmse: f64::INFINITY, half_width_95: f64::INFINITY },
            },
        }
    }
}

/// The error that someone can live with, in real units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Root of the mean square.
    Rmse(f64),
    /// 95% of answers lie within.
    HalfWidth95(f64),
}

impl Target {
    fn met(self, error: &ExpectedError) -> bool {
        match self {
            Self::Rmse(target) => error.rmse <= target,
            Self::HalfWidth95(target) => error.half_width_95 <= target,
        }
    }
    fn is_valid(self) -> bool {
        let (Self::Rmse(target) | Self::HalfWidth95(target)) = self;
        target.is_finite() && target > 0.0
    }
}

/// What is calibrated, its ε aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Which noise.
    pub mechanism: MechanismKind,
    /// δ = 10^-this.
    pub delta_exponent: u8,
    /// Rounds.
    pub rounds: u32,
    /// The bound.
    pub clip: Clip,
    /// The blocks.
    pub blocks: Blocks,
}

impl Shape {
    /// At this ε.
    ///
    /// # Errors
    /// As [`Calibration::new`].
    pub fn at(&self, epsilon: Epsilon) -> Result<Calibration, Refused> {
        Calibration::new(self.mechanism, epsilon, self.delta_exponent, self.rounds, self.clip, self.blocks)
    }

    /// The least ε, in thousandths, whose expected error meets the target.
    ///
    /// # Errors
    /// `privacy.unreachable`: no ε does. As [`Calibration::new`].
    pub fn epsilon_for(&self, statistic: Statistic, target: Target) -> Result<Epsilon, Refused> {
        const STEP: u128 = 1_000_000_000;
        let unreachable = || Refused::new(&refusal::PRIVACY_UNREACHABLE);
        if !target.is_valid() {
            return Err(Refused::new(&refusal::PRIVACY_INVALID).subject("target_error"));
        }
        let epsilon = |steps: u128| Epsilon::from_units(steps * STEP).map_err(|_| unreachable());
        let most = Epsilon::ASKED_MAX.units() / STEP;
        // Refusals other than for a share below one unit do not depend on ε: they show at the largest.
        if !target.met(&ExpectedError::of(&self.at(epsilon(most)?)?, statistic)) {
            return Err(unreachable());
        }
        let (mut low, mut high) = (0, most);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let met = self.at(epsilon(middle)?).is_ok_and(|c| target.met(&ExpectedError::of(&c, statistic)));
            (low, high) = if met { (low, middle) } else { (middle, high) };
        }
        epsilon(high)
    }
}

/// Blocks of a sample-and-aggregate fold: as few as bring the noise of their mean to 1/√2 of the target, so that each is as large as
/// can be and the estimator within it as good as can be; the other half of the squared error is left to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BlockPlan {
    /// How many blocks.
    pub blocks: u32,
    /// Units in one, on average, of those that were declared.
    pub units_per_block: u64,
}

impl Shape {
    /// Plans the blocks for `units`, a number that the operator declares and nobody counts. `self.blocks` does not matter.
    ///
    /// # Errors
    /// `privacy.unreachable`: there would be more blocks than units, or than may be. As [`Calibration::new`].
    pub fn blocks_for(&self, epsilon: Epsilon, units: u64, target: Target) -> Result<BlockPlan, Refused> {
        if !target.is_valid() {
            return Err(Refused::new(&refusal::PRIVACY_INVALID).subject("target_error"));
        }
        let most = protocol::limits::Limits::STANDARD.fold_blocks_max;
        let shared = |count: u32| Self { blocks: Blocks::Shared(count), ..*self };
        // The noise of the sum does not depend on how many blocks there are, so the error falls as 1/count.
        let one = ExpectedError::of(&shared(1).at(epsilon)?, Statistic::BlockMean);
        let ratio = match target {
            Target::Rmse(target) => one.rmse / target,
            Target::HalfWidth95(target) => one.half_width_95 / target,
        };
        let blocks = (ratio * std::f64::consts::SQRT_2).ceil().max(1.0);
        if blocks > f64::from(most) || blocks > units as f64 {
            return Err(Refused::new(&refusal::PRIVACY_UNREACHABLE));
        }
        let blocks = blocks as u32;
        Ok(BlockPlan { blocks, units_per_block: units / u64::from(blocks) })
    }
}

/// The clip of a fold whose contribution is one number between two bounds, centred: half the range.
pub fn centred_clip(min: i64, max: i64, scale: u8) -> Option<Clip> {
    let range = max.checked_sub(min)?;
    let clip = Clip { dimension: 1, norm: Norm::L2, bound: range / 2 + range % 2, scale };
    clip.is_valid().then_some(clip)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(mechanism: MechanismKind, dimension: u32, bound: i64, blocks: Blocks) -> Shape {
        let clip = Clip { dimension, norm: Norm::L1, bound, scale: 0 };
        Shape { mechanism, delta_exponent: 6, rounds: 1, clip, blocks }
    }

    fn epsilon(text: &str) -> Epsilon {
        Epsilon::parse(text).unwrap()
    }

    #[test]
    fn a_count_a_mean_and_a_quantile() {
        let count = shape(MechanismKind::Laplace, 1, 1, Blocks::PerUnit).at(epsilon("0.1")).unwrap();
        let error = ExpectedError::of(&count, Statistic::Coordinates);
        assert!((error.rmse - 14.1).abs() < 0.1 && (29.0..31.0).contains(&error.half_width_95), "{error:?}");
        // Ages 17 to 90 about 53.5 in tenths, weight = half range: √2 σ / N.
        let clip = Clip { dimension: 2, norm: Norm::Max, bound: 365, scale: 1 };
        let mean = Shape { clip, ..shape(MechanismKind::Gaussian, 1, 1, Blocks::PerUnit) }.at(epsilon("1")).unwrap();
        let error = ExpectedError::of(&mean, Statistic::Mean { weight: 365, half_range: 365, rows: 48_842 });
        assert!((error.rmse - 2f64.sqrt() * mean.sigma_steps() / 10.0 / 48_842.0).abs() < 1e-9);
        let bins = shape(MechanismKind::Gaussian, 64, 1, Blocks::PerUnit).at(epsilon("1")).unwrap();
        let error = ExpectedError::of(&bins, Statistic::Quantile { bins: 64 });
        assert!((error.rmse - 8.0 * bins.sigma_steps()).abs() < 1e-9);
    }

    #[test]
    fn blocks_are_as_few_as_the_target_lets() {
        // Adult: 48,842 people, ages 17 to 90, ε = 0.3, 1% of about 38.6.
        let clip = centred_clip(1700, 9000, 2).unwrap();
        let shape = Shape { clip, ..shape(MechanismKind::Laplace, 1, 1, Blocks::PerUnit) };
        assert!(shape.at(epsilon("0.3")).is_err(), "laplace needs another norm");
        let clip = Clip { norm: Norm::L1, ..clip };
        let shape = Shape { clip, ..shape };
        let target = Target::Rmse(0.386);
        let plan = shape.blocks_for(epsilon("0.3"), 48_842, target).unwrap();
        let error = |blocks| {
            ExpectedError::of(&Shape { blocks: Blocks::Shared(blocks), ..shape }.at(epsilon("0.3")).unwrap(), Statistic::BlockMean)
        };
        assert!(error(plan.blocks).rmse <= 0.386 / 2f64.sqrt() && error(plan.blocks - 1).rmse > 0.386 / 2f64.sqrt());
        assert_eq!(plan.units_per_block, 48_842 / u64::from(plan.blocks));
        assert_eq!(shape.blocks_for(epsilon("0.3"), 100, target).unwrap_err().rule().id, "privacy.unreachable");
        assert!(shape.blocks_for(epsilon("0.3"), 100, Target::Rmse(f64::NAN)).is_err());
    }

    proptest! {
        /// The planned ε meets the target, a thousandth less does not, and more budget is never a larger error.
        #[test]
        fn planned_epsilon_is_the_least(gaussian in any::<bool>(), bound in 1..1000i64, target in 1.0..1e6f64, width in any::<bool>(), shared in any::<bool>()) {
            let mechanism = if gaussian { MechanismKind::Gaussian } else { MechanismKind::Laplace };
            let blocks = if shared { Blocks::Shared(50) } else { Blocks::PerUnit };
            let shape = shape(mechanism, 3, bound, blocks);
            let target = if width { Target::HalfWidth95(target) } else { Target::Rmse(target) };
            let Ok(e) = shape.epsilon_for(Statistic::Coordinates, target) else { return Ok(()) };
            prop_assert!(target.met(&ExpectedError::of(&shape.at(e).unwrap(), Statistic::Coordinates)));
            let less = Epsilon::from_units(e.units() - 1_000_000_000).unwrap();
            prop_assert!(!shape.at(less).is_ok_and(|c| target.met(&ExpectedError::of(&c, Statistic::Coordinates))));
        }
    }
}
