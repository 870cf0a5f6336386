//! How much noise a fold gets, and what it costs.
//!
//! # Sensitivity
//!
//! Invariant, under adding or removing one privacy unit with all its rows: *one noised vector changes by at most
//! `blocks.bounds_per_unit()` vectors of norm C*. It rests on four things, each held elsewhere:
//!
//! 1. a unit's rows lie in one block (plans that do not qualify are refused at validation), and removing one unit changes no other
//!    unit's rows (`worker/src/engine`);
//! 2. the engine takes exactly one contribution a block number, computed from that block's rows and the public state only (a fresh
//!    instance a block), and whatever ends a block zeroes that block and no other;
//! 3. a contribution is clipped, cut toward zero to the grid, and its integer norm checked exactly: at most C, or it is the zero
//!    vector (`protocol::fold::Clip::holds`);
//! 4. sums are exact.
//!
//! With a block a unit, its contribution appears or disappears: C. With shared blocks the contribution of one block changes from
//! one vector of norm C to another: 2C.
//!
//! | norm of the clip | Δ₁ | Δ₂² | Laplace | Gaussian |
//! |---|---|---|---|---|
//! | L1 | bC | (bC)² | yes | yes: a vector's Euclidean norm is at most its L1 norm |
//! | L2 | – | (bC)² | refused | yes |
//! | Max | b·d·C | b²·d·C² | yes | yes |
//!
//! (b = bounds a unit, d = dimension.) All of it in whole grid steps: with d at most 100,000 and C at most 2^52, Δ₁ is below 2^70 and
//! Δ₂² below 2^123.
//!
//! # Cost
//!
//! Discrete Gaussian noise of parameter σ on every coordinate of an integer vector is Δ₂²/(2σ²)-zCDP (Canonne, Kamath, Steinke 2020,
//! the multivariate discrete Gaussian). Discrete Laplace noise of scale s is (Δ₁/s)-differentially private (Ghosh, Roughgarden,
//! Sundararajan 2009), so ρ = (Δ₁/s)²/2 (Bun, Steinke 2016). Rounds compose by adding, also where a later round is chosen by what an
//! earlier one gave.
//!
//! The asked ε becomes a total, the total is divided by the rounds and rounded *down* to a unit, the scale is rounded *up* to a dyadic
//! rational, and the cost of that scale is rounded *up* to a unit: so the true cost ≤ the stated cost ≤ what was asked.

use dashu::base::SquareRootRem;
use dashu::integer::UBig;
use dashu::rational::RBig;
use protocol::fold::{Blocks, Clip, Norm};
use protocol::limits::Limits;
use serde::Serialize;

use super::MechanismKind;
use super::convert;
use super::units::{Epsilon, Rho, UNITS_PER_ONE};
use crate::refusal::{self, Refused};

/// Significant bits of a scale: rounding it up costs at most 2^-24 of it.
const SCALE_BITS: usize = 25;

/// How far one noised vector can change when one privacy unit is added or removed, in grid steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensitivity {
    /// In the L1 norm; `None` where the clip does not bound it by less than the dimension's root.
    pub l1: Option<u128>,
    /// In the L2 norm, squared.
    pub l2_squared: u128,
}

impl Sensitivity {
    /// Of a clip whose fields are in their ranges.
    fn of(clip: &Clip, blocks: Blocks) -> Option<Self> {
        let bound = u128::try_from(clip.bound).ok()?.checked_mul(blocks.bounds_per_unit().into())?;
        let square = bound.checked_mul(bound)?;
        let d = u128::from(clip.dimension);
        Some(match clip.norm {
            Norm::L1 => Self { l1: Some(bound), l2_squared: square },
            Norm::L2 => Self { l1: None, l2_squared: square },
            Norm::Max => Self { l1: Some(bound.checked_mul(d)?), l2_squared: square.checked_mul(d)? },
        })
    }
}

/// What all rounds of a fold cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Cost {
    /// Zero-concentrated loss, rounded up.
    pub rho: Rho,
    /// Pure loss, rounded up; `None` where the noise is Gaussian.
    pub epsilon: Option<Epsilon>,
}

/// Which noise every coordinate of every round gets, and what it costs. Public: nothing in it depends on data.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    mechanism: MechanismKind,
    rounds: u32,
    clip: Clip,
    blocks: Blocks,
    sensitivity: Sensitivity,
    scale: RBig,
    cost: Cost,
}

fn invalid(what: &str) -> Refused {
    Refused::new(&refusal::PRIVACY_INVALID).subject(what)
}

impl Calibration {
    /// Calibrates `rounds` draws to a privacy loss of `epsilon` in all: pure for Laplace, at δ = 10^-`delta_exponent` for Gaussian.
    ///
    /// # Errors
    /// `privacy.invalid` naming the parameter that is out of range; `privacy.mechanism` for Laplace under the L2 norm.
    pub fn new(
        mechanism: MechanismKind,
        epsilon: Epsilon,
        delta_exponent: u8,
        rounds: u32,
        clip: Clip,
        blocks: Blocks,
    ) -> Result<Self, Refused> {
        if !clip.is_valid() {
            return Err(invalid("clip"));
        }
        if !(1..=Limits::STANDARD.fold_rounds_max).contains(&rounds) {
            return Err(invalid("rounds"));
        }
        if matches!(blocks, Blocks::Shared(count) if !(1..=Limits::STANDARD.fold_blocks_max).contains(&count)) {
            return Err(invalid("blocks"));
        }
        if !convert::DELTA_EXPONENTS.contains(&delta_exponent) {
            return Err(invalid("delta_exponent"));
        }
        if epsilon > Epsilon::ASKED_MAX {
            return Err(invalid("epsilon").threshold(Epsilon::ASKED_MAX.to_string()));
        }
        let sensitivity = Sensitivity::of(&clip, blocks).ok_or_else(|| invalid("clip"))?;
        let (scale, cost) = match mechanism {
            MechanismKind::Gaussian => gaussian(epsilon, delta_exponent, rounds, sensitivity.l2_squared)?,
            MechanismKind::Laplace => {
                let l1 = sensitivity.l1.ok_or_else(|| Refused::new(&refusal::PRIVACY_MECHANISM).subject("laplace"))?;
                laplace(epsilon, rounds, l1)?
            }
        };
        Ok(Self { mechanism, rounds, clip, blocks, sensitivity, scale, cost })
    }

    /// Which noise.
    pub fn mechanism(&self) -> MechanismKind {
        self.mechanism
    }
    /// How often a vector is noised.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }
    /// The bound of a contribution.
    pub fn clip(&self) -> &Clip {
        &self.clip
    }
    /// How units become blocks.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }
    /// How far a vector can change by one unit.
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }
    /// What all rounds cost: at most what was asked.
    pub fn cost(&self) -> Cost {
        self.cost
    }
    /// ε of all rounds at δ = 10^-`delta_exponent`: the pure one where that is smaller.
    ///
    /// # Errors
    /// `privacy.invalid`: an exponent out of range.
    pub fn epsilon_at(&self, delta_exponent: u8) -> Result<Epsilon, Refused> {
        let at = convert::epsilon_at(self.cost.rho, delta_exponent);
        match (at, self.cost.epsilon) {
            (Ok(at), Some(pure)) => Ok(at.min(pure)),
            (Ok(at), None) => Ok(at),
            (Err(_), Some(pure)) => Ok(pure),
            (Err(_), None) => Err(invalid("delta_exponent")),
        }
    }
    /// The parameter that the sampler gets: σ or s, in grid steps.
    pub fn scale(&self) -> &RBig {
        &self.scale
    }
    /// The same as a number, for people.
    pub fn scale_steps(&self) -> f64 {
        self.scale.to_f64().value()
    }
    /// Standard deviation of one coordinate's noise in grid steps: for Gaussian noise its parameter, which the discrete one does not
    /// exceed (CKS20); for Laplace noise exact, √(2p)/(1 − p) with p = e^(−1/s).
    pub fn sigma_steps(&self) -> f64 {
        let scale = self.scale_steps();
        match self.mechanism {
            MechanismKind::Gaussian => scale,
            MechanismKind::Laplace => (2.0 * (-1.0 / scale).exp()).sqrt() / -(-1.0 / scale).exp_m1(),
        }
    }
    /// A number h of grid steps such that one coordinate's noise lies within ±h with a probability of at least 95%.
    ///
    /// Gaussian: P(X ≥ m) ≤ P(N(0, σ²) ≥ m − 1) for the discrete X (CKS20), so ⌈1.96 σ⌉. Laplace: P(|X| > h) is
    /// 2p^(h+1)/(1 + p).
    pub fn half_width_95_steps(&self) -> f64 {
        let scale = self.scale_steps();
        match self.mechanism {
            MechanismKind::Gaussian => (1.959_964 * scale).ceil(),
            MechanismKind::Laplace => ((scale * (40.0 / (1.0 + (-1.0 / scale).exp())).ln()).ceil() - 1.0).max(0.0),
        }
    }
}

fn share(total: u128, rounds: u32) -> Result<u128, Refused> {
    match total / u128::from(rounds) {
        0 => Err(invalid("epsilon")),
        share => Ok(share),
    }
}

fn gaussian(epsilon: Epsilon, delta_exponent: u8, rounds: u32, l2_squared: u128) -> Result<(RBig, Cost), Refused> {
    let total = convert::rho_within(epsilon, delta_exponent).map_err(|_| invalid("epsilon"))?;
    let round = share(total.units(), rounds)?;
    // σ² ≥ Δ₂²/(2ρ); σ = n/2^k with n² ≥ Δ₂² · 4^k · 10^12 / (2ρ').
    let (numerator, denominator) = (UBig::from(l2_squared) * UBig::from(UNITS_PER_ONE), UBig::from(2 * round));
    let places = places(2 * SCALE_BITS, &numerator, &denominator).div_ceil(2);
    let square = ceil(&numerator << (2 * places), &denominator);
    let (root, rest) = square.sqrt_rem();
    let n = if rest.is_zero() { root } else { root + UBig::ONE };
    let cost = units(ceil(&numerator << (2 * places), &(n.sqr() * UBig::from(2u8))))?;
    let rho = Rho::from_units(cost).and_then(|round| round.checked_mul(rounds)).map_err(|_| invalid("epsilon"))?;
    Ok((dyadic(n, places), Cost { rho, epsilon: None }))
}

fn laplace(epsilon: Epsilon, rounds: u32, l1: u128) -> Result<(RBig, Cost), Refused> {
    let round = share(epsilon.units(), rounds)?;
    let (numerator, denominator) = (UBig::from(l1) * UBig::from(UNITS_PER_ONE), UBig::from(round));
    let places = places(SCALE_BITS, &numerator, &denominator);
    let n = ceil(&numerator << places, &denominator);
    let cost = units(ceil(&numerator << places, &n))?;
    let round = Epsilon::from_units(cost).map_err(|_| invalid("epsilon"))?;
    let all = |_| invalid("epsilon");
    let cost = Cost {
        rho: round.pure_as_rho().and_then(|round| round.checked_mul(rounds)).map_err(all)?,
        epsilon: Some(round.checked_mul(rounds).map_err(all)?),
    };
    Ok((dyadic(n, places), cost))
}

/// Binary places that a quotient needs for `bits` significant ones.
fn places(bits: usize, numerator: &UBig, denominator: &UBig) -> usize {
    use dashu::base::BitTest;
    (bits + denominator.bit_len()).saturating_sub(numerator.bit_len())
}

fn ceil(numerator: UBig, denominator: &UBig) -> UBig {
    (numerator + (denominator - UBig::ONE)) / denominator
}

fn units(number: UBig) -> Result<u128, Refused> {
    u128::try_from(number).map_err(|_| invalid("epsilon"))
}

fn dyadic(n: UBig, places: usize) -> RBig {
    RBig::from_parts(n.into(), UBig::ONE << places)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clip(norm: Norm, dimension: u32, bound: i64) -> Clip {
        Clip { dimension, norm, bound, scale: 0 }
    }

    fn epsilon(text: &str) -> Epsilon {
        Epsilon::parse(text).unwrap()
    }

    #[test]
    fn sensitivity_is_the_table() {
        let of = |norm, blocks| Sensitivity::of(&clip(norm, 4, 5), blocks).unwrap();
        let (own, shared) = (Blocks::PerUnit, Blocks::Shared(7));
        assert_eq!(of(Norm::L1, own), Sensitivity { l1: Some(5), l2_squared: 25 });
        assert_eq!(of(Norm::L1, shared), Sensitivity { l1: Some(10), l2_squared: 100 });
        assert_eq!(of(Norm::L2, own), Sensitivity { l1: None, l2_squared: 25 });
        assert_eq!(of(Norm::L2, shared), Sensitivity { l1: None, l2_squared: 100 });
        assert_eq!(of(Norm::Max, own), Sensitivity { l1: Some(20), l2_squared: 100 });
        assert_eq!(of(Norm::Max, shared), Sensitivity { l1: Some(40), l2_squared: 400 });
    }

    #[test]
    fn a_count_at_epsilon_one() {
        let c = Calibration::new(MechanismKind::Laplace, epsilon("1"), 6, 1, clip(Norm::L1, 1, 1), Blocks::PerUnit).unwrap();
        assert_eq!(c.scale(), &RBig::ONE);
        assert_eq!(c.cost(), Cost { rho: Rho::parse("0.5").unwrap(), epsilon: Some(epsilon("1")) });
        assert!((c.sigma_steps() - 1.357).abs() < 1e-3);
        assert_eq!(c.half_width_95_steps(), 3.0);
        let c = Calibration::new(MechanismKind::Gaussian, epsilon("1"), 6, 1, clip(Norm::L1, 1, 1), Blocks::PerUnit).unwrap();
        assert!((4.0..5.0).contains(&c.sigma_steps()), "{}", c.sigma_steps());
        assert!(c.epsilon_at(6).unwrap() <= epsilon("1") && c.epsilon_at(6).unwrap() > epsilon("0.9999"));
        assert_eq!(c.cost().epsilon, None);
    }

    #[test]
    fn the_widest_vectors_do_not_overflow() {
        for mechanism in [MechanismKind::Laplace, MechanismKind::Gaussian] {
            let c =
                Calibration::new(mechanism, epsilon("0.001"), 15, 1, clip(Norm::Max, 100_000, Clip::BOUND_MAX), Blocks::Shared(1 << 20))
                    .unwrap();
            assert!(c.sigma_steps().is_finite() && c.scale() > &RBig::from(Clip::BOUND_MAX));
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let make =
            |m, e, k, rounds, c, b| Calibration::new(m, e, k, rounds, c, b).map_err(|r| (r.rule().id, r.subject_text().map(str::to_owned)));
        let (g, one, l1) = (MechanismKind::Gaussian, epsilon("1"), clip(Norm::L1, 1, 1));
        let named = |rule, subject: &str| Err((rule, Some(subject.to_owned())));
        assert_eq!(make(g, one, 6, 0, l1, Blocks::PerUnit), named("privacy.invalid", "rounds"));
        assert_eq!(make(g, one, 6, 1001, l1, Blocks::PerUnit), named("privacy.invalid", "rounds"));
        assert_eq!(make(g, one, 2, 1, l1, Blocks::PerUnit), named("privacy.invalid", "delta_exponent"));
        assert_eq!(make(g, one, 6, 1, l1, Blocks::Shared(0)), named("privacy.invalid", "blocks"));
        assert_eq!(make(g, epsilon("1000.1"), 6, 1, l1, Blocks::PerUnit), named("privacy.invalid", "epsilon"));
        assert_eq!(make(g, Epsilon::ZERO, 6, 1, l1, Blocks::PerUnit), named("privacy.invalid", "epsilon"));
        assert_eq!(make(MechanismKind::Laplace, epsilon("0.000000000002"), 6, 3, l1, Blocks::PerUnit), named("privacy.invalid", "epsilon"));
        for bad in [clip(Norm::L1, 0, 1), clip(Norm::L1, 1, 0), clip(Norm::L1, 1, -1), clip(Norm::Max, 100_001, 1)] {
            assert_eq!(make(g, one, 6, 1, bad, Blocks::PerUnit), named("privacy.invalid", "clip"));
        }
        assert_eq!(make(MechanismKind::Laplace, one, 6, 1, clip(Norm::L2, 2, 1), Blocks::PerUnit), named("privacy.mechanism", "laplace"));
    }

    prop_compose! {
        fn any_call()(
            gaussian in any::<bool>(), log in 6.0..15.0f64, k in 3..=15u8, rounds in 1..=1000u32, norm in 0..3u8, d in 1..=100_000u32,
            bound in 0..=52u32, shared in any::<bool>(),
        ) -> (MechanismKind, Epsilon, u8, u32, Clip, Blocks) {
            let mechanism = if gaussian { MechanismKind::Gaussian } else { MechanismKind::Laplace };
            let norm = match (norm, gaussian) { (0, _) | (1, false) => Norm::L1, (1, true) => Norm::L2, _ => Norm::Max };
            let blocks = if shared { Blocks::Shared(9) } else { Blocks::PerUnit };
            (mechanism, Epsilon::from_units(10f64.powf(log) as u128).unwrap(), k, rounds, clip(norm, d, 1i64 << bound), blocks)
        }
    }

    proptest! {
        /// True cost ≤ stated cost ≤ what was asked, the first in exact rationals computed apart from the code above.
        #[test]
        fn never_more_than_asked((m, e, k, rounds, clip, blocks) in any_call()) {
            let Ok(c) = Calibration::new(m, e, k, rounds, clip, blocks) else {
                // Only where a round's share is less than a unit.
                prop_assert!(e.units() < 10_000_000_000_000 / 1000);
                return Ok(());
            };
            let unit = RBig::from(UNITS_PER_ONE);
            let (rounds, stated) = (RBig::from(rounds), RBig::from(c.cost().rho.units()) / &unit);
            let b = RBig::from(blocks.bounds_per_unit()) * RBig::from(clip.bound);
            let d = RBig::from(clip.dimension);
            match m {
                MechanismKind::Gaussian => {
                    let l2 = if clip.norm == Norm::Max { b.clone() * &b * d } else { b.clone() * &b };
                    let real = rounds * l2 / (RBig::from(2) * c.scale() * c.scale());
                    prop_assert!(real <= stated);
                    // And no more noise than that: within 2^-20, and a unit a round.
                    prop_assert!(stated <= real * RBig::from_parts(1_000_002.into(), 1_000_000u32.into()) + RBig::from(c.rounds()) / &unit);
                    prop_assert!(c.epsilon_at(k).unwrap() <= e);
                }
                MechanismKind::Laplace => {
                    let l1 = if clip.norm == Norm::Max { b * d } else { b };
                    let round = l1 / c.scale();
                    let pure = RBig::from(c.cost().epsilon.unwrap().units()) / &unit;
                    prop_assert!(&round * &rounds <= pure && c.cost().epsilon.unwrap() <= e);
                    prop_assert!(&round * &round * rounds / RBig::from(2) <= stated);
                    prop_assert!(c.epsilon_at(k).unwrap() <= e);
                }
            }
        }

        /// More budget never means more noise; another round, a further coordinate under Max, shared blocks never less.
        #[test]
        fn monotone((m, e, k, rounds, clip, blocks) in any_call()) {
            let scale = |e, rounds, clip, blocks| Calibration::new(m, e, k, rounds, clip, blocks).map(|c| c.scale().clone()).ok();
            let Some(base) = scale(e, rounds, clip, blocks) else { return Ok(()) };
            let more = Epsilon::from_units(e.units() * 3 / 2).unwrap_or(Epsilon::MAX).min(Epsilon::ASKED_MAX);
            prop_assert!(scale(more, rounds, clip, blocks).unwrap() <= base);
            if let Some(further) = (rounds < 1000).then(|| scale(e, rounds + 1, clip, blocks)).flatten() {
                prop_assert!(further >= base);
            }
            prop_assert!(scale(e, rounds, clip, Blocks::Shared(9)).unwrap() >= base);
            let least = Clip { bound: 1, ..clip };
            prop_assert!(scale(e, rounds, least, blocks).unwrap() <= base);
        }
    }
}
