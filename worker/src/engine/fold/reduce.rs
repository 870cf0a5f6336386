//! Contributions to exact sums: whatever a guest sends, what is added is a vector of whole steps within the bound.

use protocol::fold::{Clip, Contribution, Floats, Indexes, Norm};

/// Sums under construction.
pub(super) struct Sums {
    clip: Clip,
    steps_per_one: f64,
    sums: Vec<i128>,
    /// The contribution at hand, in steps.
    steps: Vec<i64>,
}

/// By so much a vector that is cut to the bound stays below it, that rounding in the norm (relative error below d × 2^-52, d at most
/// 10^5) does not carry it over.
const MARGIN: f64 = 1.0 - 1e-9;

impl Sums {
    /// Zero.
    pub(super) fn zero(clip: Clip) -> Self {
        Self { clip, steps_per_one: 10f64.powi(i32::from(clip.scale)), sums: vec![0; clip.dimension as usize], steps: Vec::new() }
    }

    /// The sums.
    pub(super) fn finish(self) -> Vec<i128> {
        self.sums
    }

    /// Adds a contribution, clipped; adds nothing where it is malformed (another length, coordinates that do not rise, a value that is
    /// no finite number) or nothing itself.
    pub(super) fn add(&mut self, contribution: &Contribution) {
        match contribution {
            Contribution::Nothing => {}
            Contribution::Dense(Floats(values)) => {
                if values.len() == self.sums.len() && self.clip(values) {
                    self.sums.iter_mut().zip(&self.steps).for_each(|(sum, steps)| *sum += i128::from(*steps));
                }
            }
            Contribution::Sparse(Indexes(at), Floats(values)) => {
                let rising = at.is_sorted_by(|a, b| a < b) && at.last().is_none_or(|last| *last < self.clip.dimension);
                if rising && at.len() == values.len() && self.clip(values) {
                    for (at, steps) in at.iter().zip(&self.steps) {
                        if let Some(sum) = self.sums.get_mut(*at as usize) {
                            *sum += i128::from(*steps);
                        }
                    }
                }
            }
        }
    }

    /// Writes `values`, clipped to the bound and cut toward zero, to `steps`. False where a value is not finite, or (which [`MARGIN`]
    /// prevents) the integers would exceed the bound: then nothing is added.
    fn clip(&mut self, values: &[f64]) -> bool {
        let largest = values.iter().fold(0f64, |m, v| m.max(v.abs()));
        if !values.iter().all(|v| v.is_finite()) {
            return false;
        }
        let bound = self.clip.bound as f64;
        let per_one = self.steps_per_one;
        // Norms of values scaled into [-1, 1]: squares of 1e308 would be infinite.
        let scaled = |v: &f64| if largest > 0.0 { v / largest } else { 0.0 };
        let norm = match self.clip.norm {
            Norm::L1 => values.iter().map(|v| scaled(v).abs()).sum::<f64>(),
            Norm::L2 => values.iter().map(|v| scaled(v) * scaled(v)).sum::<f64>().sqrt(),
            Norm::Max => {
                // Every coordinate for itself; the conversion cuts toward zero.
                self.cut(values.iter().map(|v| (v * per_one).clamp(-bound, bound)));
                return self.clip.holds(self.steps.iter().copied());
            }
        };
        if largest * per_one * norm <= bound {
            self.cut(values.iter().map(|v| v * per_one));
            if self.clip.holds(self.steps.iter().copied()) {
                return true;
            }
        }
        let factor = if norm > 0.0 { bound / norm * MARGIN } else { 0.0 };
        self.cut(values.iter().map(|v| scaled(v) * factor));
        self.clip.holds(self.steps.iter().copied())
    }

    fn cut(&mut self, steps: impl Iterator<Item = f64>) {
        self.steps.clear();
        self.steps.extend(steps.map(|s| s as i64));
    }
}
