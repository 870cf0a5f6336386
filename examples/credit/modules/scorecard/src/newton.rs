//! One step of Newton's method for logistic regression with a small ridge.

/// Intercept, four grades, three numbers.
pub const FEATURES: usize = 8;
/// Keeps the step defined where a level is empty.
const RIDGE: f64 = 1e-3;

/// Gradient and curvature of the log likelihood at one point.
pub struct Normal {
    beta: [f64; FEATURES],
    gradient: [f64; FEATURES],
    curvature: [[f64; FEATURES]; FEATURES],
}

impl Normal {
    /// At `beta`, before any row.
    pub fn new(beta: [f64; FEATURES]) -> Self {
        let mut curvature = [[0.0; FEATURES]; FEATURES];
        for (i, row) in curvature.iter_mut().enumerate() {
            row[i] = RIDGE;
        }
        Self { beta, gradient: beta.map(|b| -RIDGE * b), curvature }
    }

    /// Adds a row with outcome 0 or 1.
    pub fn add(&mut self, x: &[f64; FEATURES], outcome: f64) {
        let score: f64 = x.iter().zip(&self.beta).map(|(a, b)| a * b).sum();
        let p = 1.0 / (1.0 + (-score).exp());
        let weight = p * (1.0 - p);
        for i in 0..FEATURES {
            self.gradient[i] += x[i] * (outcome - p);
            for j in 0..=i {
                self.curvature[i][j] += weight * x[i] * x[j];
            }
        }
    }

    /// The next point: `beta + curvature⁻¹ · gradient`, by Cholesky's decomposition. `None` where it has none.
    pub fn step(self) -> Option<[f64; FEATURES]> {
        let mut l = self.curvature;
        for i in 0..FEATURES {
            for j in 0..=i {
                let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
                let rest = l[i][j] - sum;
                l[i][j] = if i == j { (rest > 0.0).then(|| rest.sqrt())? } else { rest / l[j][j] };
            }
        }
        let mut y = self.gradient;
        for i in 0..FEATURES {
            let sum: f64 = (0..i).map(|k| l[i][k] * y[k]).sum();
            y[i] = (y[i] - sum) / l[i][i];
        }
        for i in (0..FEATURES).rev() {
            let sum: f64 = (i + 1..FEATURES).map(|k| l[k][i] * y[k]).sum();
            y[i] = (y[i] - sum) / l[i][i];
        }
        let mut beta = self.beta;
        for (b, d) in beta.iter_mut().zip(y) {
            *b += d;
        }
        beta.iter().all(|b| b.is_finite()).then_some(beta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With one level per row group the maximum is known: the log odds of each group.
    #[test]
    fn finds_the_log_odds_of_groups() {
        let mut beta = [0.0; FEATURES];
        for _ in 0..12 {
            let mut normal = Normal::new(beta);
            for (level, defaults) in [(0, 100), (1, 300)] {
                for i in 0..1000 {
                    let mut x = [0.0; FEATURES];
                    x[0] = 1.0;
                    x[1] = f64::from(level);
                    normal.add(&x, f64::from(i < defaults));
                }
            }
            beta = normal.step().unwrap();
        }
        let odds = |p: f64| (p / (1.0 - p)).ln();
        assert!((beta[0] - odds(0.1)).abs() < 1e-3, "{beta:?}");
        assert!((beta[0] + beta[1] - odds(0.3)).abs() < 1e-3, "{beta:?}");
    }
}
