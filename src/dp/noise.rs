//! Noise of one round.
//!
//! It is drawn *before* any sum is known: the samplers' running time depends on what they draw (Jin et al. 2021 tell a discrete
//! Gaussian's draw from its time), so nobody may be able to watch the time between a sum and its release, and no draw may wait for
//! one. [`Noise::draw`] takes a calibration and nothing else; [`Noise::add`] is one checked addition a coordinate.

use dashu::integer::IBig;
use opendp::traits::samplers::{sample_discrete_gaussian, sample_discrete_laplace};
use zeroize::Zeroizing;

use super::MechanismKind;
use super::calibration::Calibration;

/// What stands in a certificate about the noise: which samplers, and where their bits come from.
///
/// Read at the source: `opendp::traits::samplers::fill_bytes` without the feature `use-openssl` takes `rand` 0.7's `thread_rng`, which
/// is ChaCha20 in its own thread, seeded by the kernel (`getrandom`), seeded anew after every 64 KiB and after a fork.
pub const RANDOMNESS: &str = "OpenDP 0.16.0 samplers, exact over the rationals (Canonne, Kamath, Steinke 2020); bits from rand 0.7 thread_rng: \
     ChaCha20 seeded by the kernel's getrandom, reseeded every 64 KiB";

/// Why there is no noise, or no noised sum. None of these depends on data but with a probability below 2^-100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// The kernel gave no random bits.
    #[error("no randomness")]
    Randomness,
    /// The vectors are not of one length.
    #[error("the sums are not of the calibrated dimension")]
    Dimension,
    /// A draw or a noised sum does not fit 128 bits.
    #[error("a noised sum does not fit 128 bits")]
    Overflow,
}

/// One vector of noise: used once, seen by nobody, overwritten when it goes.
#[must_use = "a draw that is not used was paid for"]
pub struct Noise(Zeroizing<Vec<i128>>);

impl Noise {
    /// Draws `dimension` coordinates, the dimension of the calibration.
    ///
    /// # Errors
    /// [`NoiseError`].
    pub fn draw(calibration: &Calibration, dimension: u32) -> Result<Self, NoiseError> {
        if dimension != calibration.clip().dimension {
            return Err(NoiseError::Dimension);
        }
        let sample = match calibration.mechanism() {
            MechanismKind::Gaussian => sample_discrete_gaussian,
            MechanismKind::Laplace => sample_discrete_laplace,
        };
        // Reserved whole: a vector that grew would leave copies behind.
        let mut drawn = Zeroizing::new(Vec::with_capacity(dimension as usize));
        for _ in 0..dimension {
            let one: IBig = sample(calibration.scale().clone()).map_err(|_| NoiseError::Randomness)?;
            drawn.push(i128::try_from(one).map_err(|_| NoiseError::Overflow)?);
        }
        Ok(Self(drawn))
    }

    /// The noised sums. Consumes the noise: two sums under the same draw would tell their difference exactly.
    ///
    /// ```compile_fail,E0382
    /// fn twice(noise: fusebox::dp::Noise) {
    ///     let (_, _) = (noise.add(&[0]), noise.add(&[1]));
    /// }
    /// ```
    ///
    /// # Errors
    /// [`NoiseError::Dimension`], [`NoiseError::Overflow`].
    #[expect(clippy::should_implement_trait, reason = "it can fail, and takes a slice")]
    pub fn add(self, sums: &[i128]) -> Result<Vec<i128>, NoiseError> {
        if sums.len() != self.0.len() {
            return Err(NoiseError::Dimension);
        }
        sums.iter().zip(self.0.iter()).map(|(sum, noise)| sum.checked_add(*noise).ok_or(NoiseError::Overflow)).collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::fold::{Blocks, Clip, Norm};

    use super::super::units::Epsilon;
    use super::*;

    fn calibration(mechanism: MechanismKind, epsilon: &str, dimension: u32) -> Calibration {
        let clip = Clip { dimension, norm: Norm::Max, bound: 1, scale: 0 };
        Calibration::new(mechanism, Epsilon::parse(epsilon).unwrap(), 6, 1, clip, Blocks::PerUnit).unwrap()
    }

    /// Mean within 6 standard errors of 0, variance within 5% of the stated one, 95% half-width kept by at least 94.5% of 20,000.
    #[test]
    fn moments_and_interval() {
        for mechanism in [MechanismKind::Gaussian, MechanismKind::Laplace] {
            for epsilon in ["0.05", "700"] {
                const N: u32 = 20_000;
                let c = calibration(mechanism, epsilon, N);
                let drawn = Noise::draw(&c, N).unwrap().add(&vec![0; N as usize]).unwrap();
                let n = f64::from(N);
                let mean = drawn.iter().map(|x| *x as f64).sum::<f64>() / n;
                let variance = drawn.iter().map(|x| (*x as f64).powi(2)).sum::<f64>() / n;
                let sigma = c.sigma_steps();
                assert!(mean.abs() < 6.0 * sigma / n.sqrt(), "{mechanism:?} {epsilon}: mean {mean}, sigma {sigma}");
                assert!((variance / sigma.powi(2) - 1.0).abs() < 0.06, "{mechanism:?} {epsilon}: variance {variance}, sigma {sigma}");
                let within = drawn.iter().filter(|x| x.abs() as f64 <= c.half_width_95_steps()).count();
                assert!(within as f64 / n > 0.945, "{mechanism:?} {epsilon}: {within}");
            }
        }
    }

    #[test]
    fn adds_once_and_only_to_its_dimension() {
        let c = calibration(MechanismKind::Laplace, "1", 3);
        assert_eq!(Noise::draw(&c, 2).err(), Some(NoiseError::Dimension));
        assert_eq!(Noise::draw(&c, 3).unwrap().add(&[0, 0]), Err(NoiseError::Dimension));
        let far = [i128::MAX, 0, i128::MIN];
        let outcomes: Vec<_> = (0..200).map(|_| Noise::draw(&c, 3).unwrap().add(&far)).collect();
        assert!(outcomes.contains(&Err(NoiseError::Overflow)));
        assert!(outcomes.iter().flatten().all(|sums| sums.len() == 3));
    }
}
