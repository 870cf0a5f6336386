//! Audit of differential privacy from samples: a lower bound on ε that holds with a stated confidence.
//!
//! A mechanism is (ε, δ)-differentially private only if P(A ∈ S) ≤ e^ε P(B ∈ S) + δ for every event S, A and B its answers on two
//! neighbouring inputs. So one event with p = P(A ∈ S) and q = P(B ∈ S) shows ε ≥ ln((p − δ)/q). The event (a threshold on a score,
//! from above or below, A against B or B against A) is chosen on the first half of the samples; p is bounded from below and q from
//! above on the second half, which the choice did not see (Clopper, Pearson 1934), each with half of what may go wrong.

/// Thresholds that are tried.
const THRESHOLDS: usize = 400;

/// A lower bound on ε at `delta`, true with probability `confidence`. `a` and `b` are scores of as many independent answers on two
/// neighbouring inputs; for the strongest audit the score is the likelihood ratio of both. Zero where nothing is shown.
pub fn epsilon_lower_bound(a: &[f64], b: &[f64], delta: f64, confidence: f64) -> f64 {
    assert!(a.len() >= 4 && b.len() >= 4 && a.iter().chain(b).all(|x| !x.is_nan()));
    let error = (1.0 - confidence) / 2.0;
    let sorted = |half: &[f64]| {
        let mut half = half.to_vec();
        half.sort_by(f64::total_cmp);
        half
    };
    let (a_first, a_second) = a.split_at(a.len() / 2);
    let (b_first, b_second) = b.split_at(b.len() / 2);
    let first = [sorted(a_first), sorted(b_first)];
    let second = [sorted(a_second), sorted(b_second)];
    let mut pooled = sorted(&[a_first, b_first].concat());
    pooled.dedup();
    // Evenly over what occurs, and finely in both tails, where events are rare and telling.
    let last = pooled.len() - 1;
    let spread = (0..THRESHOLDS / 2).map(|i| pooled[i * last / (THRESHOLDS / 2)]);
    let tails = (0..THRESHOLDS / 4).flat_map(|i| {
        let far = ((last as f64).powf(i as f64 / (THRESHOLDS / 4) as f64) as usize).min(last);
        [pooled[far], pooled[last - far]]
    });
    let mut best = (0.0, None);
    for threshold in spread.chain(tails) {
        for above in [false, true] {
            for swap in [false, true] {
                let event = Event { threshold, above, swap };
                let shown = event.bound(&first, delta, error);
                if shown > best.0 {
                    best = (shown, Some(event));
                }
            }
        }
    }
    best.1.map_or(0.0, |event| event.bound(&second, delta, error))
}

#[derive(Clone, Copy)]
struct Event {
    threshold: f64,
    above: bool,
    swap: bool,
}

impl Event {
    fn count(&self, sorted: &[f64]) -> usize {
        if self.above {
            sorted.len() - sorted.partition_point(|x| *x < self.threshold)
        } else {
            sorted.partition_point(|x| *x <= self.threshold)
        }
    }
    fn bound(&self, samples: &[Vec<f64>; 2], delta: f64, error: f64) -> f64 {
        let [a, b] = samples;
        let (often, rarely) = if self.swap { (b, a) } else { (a, b) };
        let p = at_least(self.count(often), often.len(), error);
        let q = at_most(self.count(rarely), rarely.len(), error);
        if p > delta { ((p - delta) / q).ln().max(0.0) } else { 0.0 }
    }
}

/// Lower Clopper–Pearson bound of a probability of which `k` of `n` trials told: true but with probability `error`.
pub fn at_least(k: usize, n: usize, error: f64) -> f64 {
    if k == 0 { 0.0 } else { invert(k as f64, (n - k + 1) as f64, error) }
}

/// Upper Clopper–Pearson bound.
pub fn at_most(k: usize, n: usize, error: f64) -> f64 {
    if k == n { 1.0 } else { invert((k + 1) as f64, (n - k) as f64, 1.0 - error) }
}

/// The x at which the regularised incomplete beta function of (a, b) is `target`.
fn invert(a: f64, b: f64, target: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if incomplete_beta(a, b, middle) < target { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Regularised incomplete beta function by its continued fraction (Numerical Recipes, 6.4; Lentz).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let away = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        for numerator in
            [m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)), -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))]
        {
            d = 1.0 / away(1.0 + numerator * d);
            c = away(1.0 + numerator / c);
            h *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * h
}

/// Stirling's series; below 10 by the recurrence.
fn ln_gamma(x: f64) -> f64 {
    if x < 10.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let i = 1.0 / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + i / 12.0 - i.powi(3) / 360.0 + i.powi(5) / 1260.0
        - i.powi(7) / 1680.0
}
