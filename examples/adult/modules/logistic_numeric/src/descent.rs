//! Logistic regression by gradient descent with momentum. The noise is the host's: each person's gradient is cut to a norm, summed and
//! noised, and a step is all that is left to do (Abadi et al., *Deep learning with differential privacy*, CCS 2016, over all rows).
//!
//! State: the weights, then their velocities.

/// Rows that the provider declares: a public number, so a step may be divided by it.
const ROWS: f64 = 32_561.0;

/// Length of a step and what is kept of the last one.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// What a mean gradient is multiplied by.
    pub rate: f64,
    /// The part of the last step that is taken once more.
    pub momentum: f64,
}

/// Log odds: features as (coordinate, value).
pub fn score(weights: &[f64], features: &[(usize, f64)]) -> f64 {
    features.iter().filter_map(|(at, value)| Some(weights.get(*at)? * value)).sum()
}

/// Gradient of the log loss of one row, one value a feature.
pub fn gradient(weights: &[f64], features: &[(usize, f64)], outcome: bool) -> Vec<f64> {
    let error = 1.0 / (1.0 + (-score(weights, features)).exp()) - f64::from(u8::from(outcome));
    features.iter().map(|(_, value)| error * value).collect()
}

/// The next state.
pub fn step(pace: Pace, state: &[f64], noised: &[f64]) -> Vec<f64> {
    let (weights, velocities) = state.split_at(state.len() / 2);
    let next: Vec<f64> = velocities.iter().zip(noised).map(|(velocity, sum)| pace.momentum * velocity + sum / ROWS).collect();
    weights.iter().zip(&next).map(|(weight, velocity)| weight - pace.rate * velocity).chain(next.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_is_the_slope_of_the_loss() {
        let (weights, features) = ([0.3, -0.2, 0.7], [(0, 1.0), (2, -0.5)]);
        let loss = |weights: &[f64], outcome: bool| {
            let score = score(weights, &features);
            (1.0 + (if outcome { -score } else { score }).exp()).ln()
        };
        for outcome in [false, true] {
            for ((at, _), slope) in features.iter().zip(gradient(&weights, &features, outcome)) {
                let mut moved = weights;
                moved[*at] += 1e-6;
                assert!(((loss(&moved, outcome) - loss(&weights, outcome)) / 1e-6 - slope).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_step_goes_against_the_sum_and_remembers_the_last() {
        let pace = Pace { rate: 2.0, momentum: 0.5 };
        assert_eq!(step(pace, &[1.0, 1.0, 0.0, 4.0], &[ROWS, 0.0]), [-1.0, -3.0, 1.0, 2.0]);
    }
}
