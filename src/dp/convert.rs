//! Between ρ of zero-concentrated differential privacy and (ε, δ).
//!
//! Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020, arXiv:2004.00010), Prop. 12 and Cor. 13:
//! what is ρ-zCDP is (ε, δ)-differentially private for every α > 1 with
//!
//! ```text
//! δ = exp((α − 1)(αρ − ε)) / (α − 1) · (1 − 1/α)^α
//! ε = αρ + ln(1 − 1/α) + (ln(1/δ) − ln α) / (α − 1)
//! ```
//!
//! *Every* α gives a bound, so the search for the best one needs no care: only the value at the α that it ends with is rounded, and
//! rounded outward. The three terms are taken with `ln_1p`, each off by a few units in the last place (2^-52); 2^-40 of the sum of
//! their sizes is added, 4,096 such units.

use std::ops::RangeInclusive;

use super::units::{Epsilon, Rho, UnitsError};

/// Exponents k for which δ = 10^-k is known.
pub const DELTA_EXPONENTS: RangeInclusive<u8> = 3..=15;

const MARGIN: f64 = 1.0 / (1u64 << 40) as f64;
/// Steps of the golden-section search: the interval of ln(α − 1), 60 wide, shrinks to 10^-14.
const STEPS: u32 = 76;

/// ε of the bound at α = 1 + exp(`t`), rounded up.
fn bound(rho: f64, delta_exponent: u8, t: f64) -> f64 {
    let x = t.exp();
    let log_delta = f64::from(delta_exponent) * std::f64::consts::LN_10;
    // 1 − 1/α = 1 / (1 + 1/x).
    let terms = [(1.0 + x) * rho, -(1.0 / x).ln_1p(), (log_delta - x.ln_1p()) / x];
    let size: f64 = log_delta / x + x.ln_1p() / x + terms.iter().map(|t| t.abs()).sum::<f64>();
    (terms.iter().sum::<f64>() + size * MARGIN).max(0.0)
}

/// ε at δ = 10^-`delta_exponent` of what is ρ-zCDP, rounded up.
///
/// # Errors
/// An exponent out of [`DELTA_EXPONENTS`], an ε beyond [`Epsilon::MAX`].
pub fn epsilon_at(rho: Rho, delta_exponent: u8) -> Result<Epsilon, UnitsError> {
    if !DELTA_EXPONENTS.contains(&delta_exponent) {
        return Err(UnitsError::Malformed);
    }
    if rho == Rho::ZERO {
        return Ok(Epsilon::ZERO);
    }
    // ε as a function of α has one valley: where it is at most e, ln δ(α; e) is at most ln δ, and that one is convex.
    let rho = rho.to_f64();
    let f = |t| bound(rho, delta_exponent, t);
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-15.0, 45.0);
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    for _ in 0..STEPS {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = f(b);
        }
    }
    Epsilon::from_f64_up(at_a.min(at_b))
}

/// The largest ρ whose ε at δ = 10^-`delta_exponent`, rounded up, does not exceed `epsilon`. Zero where none does, and where `epsilon`
/// is zero: that δ alone would cover a little is no reason to spend it.
///
/// # Errors
/// An exponent out of [`DELTA_EXPONENTS`].
pub fn rho_within(epsilon: Epsilon, delta_exponent: u8) -> Result<Rho, UnitsError> {
    if !DELTA_EXPONENTS.contains(&delta_exponent) {
        return Err(UnitsError::Malformed);
    }
    if epsilon == Epsilon::ZERO {
        return Ok(Rho::ZERO);
    }
    // `low` always keeps to the bound, as `epsilon_at` itself says: whatever that function's rounding, what is returned is within.
    let (mut low, mut high) = (0u128, Rho::MAX.units() + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match epsilon_at(Rho::from_units(middle)?, delta_exponent) {
            Ok(loss) if loss <= epsilon => low = middle,
            _ => high = middle,
        }
    }
    Rho::from_units(low)
}

#[cfg(test)]
mod tests {
    use opendp::combinators::ConcentratedMeasure;
    use opendp::measures::ZeroConcentratedDivergence;
    use proptest::prelude::*;

    use super::*;

    fn rho(text: &str) -> Rho {
        Rho::parse(text).unwrap()
    }

    #[test]
    fn known_conversions() {
        // opendp's own test: ρ = 1/32 at δ = 10^-3.
        let e = epsilon_at(rho("0.03125"), 3).unwrap().to_f64();
        assert!((e - 0.688_002_455_487_808_5).abs() < 1e-9, "{e}");
        assert_eq!(epsilon_at(Rho::ZERO, 6).unwrap(), Epsilon::ZERO);
        assert_eq!(rho_within(Epsilon::ZERO, 6).unwrap(), Rho::ZERO);
        assert!(epsilon_at(rho("1"), 2).is_err() && epsilon_at(rho("1"), 16).is_err() && rho_within(Epsilon::ZERO, 0).is_err());
        assert_eq!(epsilon_at(Rho::MAX, 6), Err(UnitsError::TooLarge));
    }

    fn any_rho() -> impl Strategy<Value = Rho> {
        // Evenly over the orders of magnitude, 10^-12 to 500.
        (0.0..14.6f64).prop_map(|log| Rho::from_units(10f64.powf(log) as u128).unwrap())
    }

    proptest! {
        /// At our ε opendp's δ is at most ours; at an ε smaller by 10^-6 of itself it is more: the conversion is safe, and tight.
        #[test]
        fn agrees_with_opendp(r in any_rho(), k in DELTA_EXPONENTS) {
            let ours = epsilon_at(r, k).unwrap().to_f64();
            let profile = ZeroConcentratedDivergence::convert(r.to_f64()).unwrap();
            let delta = 10f64.powi(-i32::from(k));
            prop_assert!(profile.delta(ours).unwrap() <= delta * (1.0 + 1e-9));
            let less = ours * (1.0 - 1e-6) - 1e-11;
            // opendp leaves out α below 1.01: there it is the looser one.
            if less > 0.0 && ours > 1.05 * r.to_f64() {
                prop_assert!(profile.delta(less).unwrap() > delta, "{} {}", profile.delta(less).unwrap(), delta);
            }
        }

        #[test]
        fn monotone(a in any_rho(), b in any_rho(), k in DELTA_EXPONENTS) {
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(epsilon_at(a, k).unwrap() <= epsilon_at(b, k).unwrap());
            if k < 15 {
                prop_assert!(epsilon_at(a, k).unwrap() <= epsilon_at(a, k + 1).unwrap());
            }
        }

        /// The largest ρ within ε is within, and one unit in a billion more is not: the conversions bracket each other.
        #[test]
        fn largest_within(units in 1_000_000u128..100 * super::super::units::UNITS_PER_ONE, k in DELTA_EXPONENTS) {
            let e = Epsilon::from_units(units).unwrap();
            let r = rho_within(e, k).unwrap();
            prop_assert!(epsilon_at(r, k).unwrap() <= e);
            let more = Rho::from_units(r.units() + r.units() / 1_000_000_000 + 1).unwrap();
            prop_assert!(epsilon_at(more, k).unwrap() > e);
        }
    }
}
