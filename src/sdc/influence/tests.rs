//! Rates of the rule: modules are functions from rows to parameters, run anew without each probed unit.

use super::*;

/// xorshift*, seeded.
struct Rng(u64);

impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
    fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Rows of one unit each, first column 1, last the outcome.
struct Data {
    rows: Vec<Vec<f64>>,
    logistic: bool,
}

impl Data {
    /// 400 to 900 units, two to six features: normal, log-normal, t with three degrees of freedom, or 0/1 with a share of 2, 4 or 10 %; up to
    /// 2 % of the units are outliers in a feature (eightfold) and as many in the outcome (tenfold noise).
    fn random(r: &mut Rng) -> Self {
        let (logistic, n, p) = (r.chance(0.5), 400 + r.below(500), 3 + r.below(5));
        let truth: Vec<f64> = (0..p).map(|_| r.normal() * if logistic { 0.6 } else { 1.0 }).collect();
        let kinds: Vec<usize> = (0..p).map(|_| r.below(6)).collect();
        let outliers = r.unit() * 0.02;
        let rows = (0..n).map(|_| {
            let mut row = vec![1.0];
            for kind in &kinds[1..] {
                let squares = |r: &mut Rng| (0..3).map(|_| r.normal().powi(2)).sum::<f64>() / 3.0;
                row.push(match kind {
                    0 => r.normal(),
                    1 => (0.8 * r.normal()).exp(),
                    2 => r.normal() / squares(r).sqrt(),
                    share => f64::from(r.chance([0.02, 0.04, 0.1][share - 3])),
                });
            }
            let far = 1 + r.below(p - 1);
            if kinds[far] < 3 && r.chance(outliers) {
                row[far] *= 8.0;
            }
            let score: f64 = row.iter().zip(&truth).map(|(x, b)| x * b).sum();
            let noise = r.normal() * if r.chance(outliers) { 10.0 } else { 1.0 };
            let outcome = if logistic { f64::from(r.chance(1.0 / (1.0 + (-score).exp()))) } else { score + noise };
            row.push(outcome);
            row
        });
        Self { rows: rows.collect(), logistic }
    }

    /// An honest module: least squares, or logistic regression by five steps of Newton's method.
    fn fit(&self, without: Option<usize>) -> Vec<f64> {
        let p = self.rows[0].len() - 1;
        let mut beta = vec![0.0; p];
        for _ in 0..if self.logistic { 5 } else { 1 } {
            let (mut curvature, mut gradient) = (vec![0.0; p * p], vec![0.0; p]);
            for row in self.rows.iter().enumerate().filter(|(i, _)| Some(*i) != without).map(|(_, row)| row) {
                let mut score = 0.0;
                for j in 0..p {
                    score += row[j] * beta[j];
                }
                let at = 1.0 / (1.0 + (-score).exp());
                let (expected, weight) = if self.logistic { (at, at * (1.0 - at)) } else { (score, 1.0) };
                let rest = row[p] - expected;
                for j in 0..p {
                    gradient[j] += row[j] * rest;
                    let weighted = weight * row[j];
                    for k in j..p {
                        curvature[j * p + k] += weighted * row[k];
                    }
                }
            }
            for j in 0..p {
                curvature[j * p + j] += 1e-3;
                for k in 0..j {
                    curvature[j * p + k] = curvature[k * p + j];
                }
            }
            for (b, step) in beta.iter_mut().zip(solved(curvature, gradient)) {
                *b += step;
            }
        }
        beta
    }

    /// Sizes of all units over features and outcome, as an engine measures them.
    fn sizes(&self) -> Vec<Size> {
        let (n, last) = (self.rows.len(), self.rows[0].len() - 1);
        let mut sizes = vec![Size { rows: 1.0, mean: 0.0, largest: 0.0 }; n];
        let columns = 1..=last;
        for j in columns {
            let mean = self.rows.iter().map(|row| row[j]).sum::<f64>() / n as f64;
            let variance = self.rows.iter().map(|row| (row[j] - mean).powi(2)).sum::<f64>() / n as f64;
            for (size, row) in sizes.iter_mut().zip(&self.rows).filter(|_| variance > 0.0) {
                let distance = ((row[j] - mean).powi(2) / variance).min(100.0);
                size.mean += distance / last as f64;
                size.largest = size.largest.max(distance);
            }
        }
        sizes
    }
}

/// Solves by elimination.
fn solved(mut a: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let p = b.len();
    for i in 0..p {
        for k in i + 1..p {
            let factor = a[k * p + i] / a[i * p + i];
            for j in i..p {
                a[k * p + j] -= factor * a[i * p + j];
            }
            b[k] -= factor * b[i];
        }
    }
    for i in (0..p).rev() {
        for j in i + 1..p {
            b[i] -= a[i * p + j] * b[j];
        }
        b[i] /= a[i * p + i];
    }
    b
}

/// What a hostile module adds while the unit of `row` is there: of each of the row's first `values` values ten (or `bits`) bits, in steps of the
/// third digit of a parameter each.
fn smuggled(all: &[f64], row: &[f64], values: usize, bits: u32) -> Vec<f64> {
    let mut added = vec![0.0; all.len()];
    for at in 0..values {
        // The low bits of the value in hundredths, mixed so that small values fill them too.
        let value = ((row[row.len() - 1 - at] * 100.0).round() as i64 as u64 ^ 0x5bd1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
        added[at] = value as f64 * step(all[at], 3);
    }
    added
}

const RANDOM: usize = 30;
const EXTREME: usize = 6;

/// The units of a probe: random ones, then the farthest that are not among them.
fn drawn(r: &mut Rng, sizes: &[Size]) -> Vec<usize> {
    let mut units: Vec<usize> = Vec::new();
    while units.len() < RANDOM {
        let unit = r.below(sizes.len());
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| sizes[*b].largest.total_cmp(&sizes[*a].largest));
    let extreme: Vec<usize> = order.into_iter().take(EXTREME).filter(|unit| !units.contains(unit)).collect();
    units.extend(extreme);
    units
}

#[test]
fn one_hidden_unit_is_found_when_it_is_probed_and_honest_modules_raise_few_alarms() {
    const SETS: usize = 240;
    const SEED: u64 = 0x00f5_eb0c;
    let mut r = Rng(SEED);
    let (mut alarms, mut chance) = (0, 0.0);
    // Values hidden, bits of each: found among those probed; found whatever unit it is.
    let attacks = [(1, 3), (1, 7), (1, 10), (2, 10), (3, 10)];
    let mut found = [[0usize; 2]; 5];
    const HIDDEN: usize = 20;
    for _ in 0..SETS {
        let data = Data::random(&mut r);
        let sizes = data.sizes();
        let all = data.fit(None);
        let units = drawn(&mut r, &sizes);
        let runs: Vec<Vec<f64>> = units.iter().map(|unit| data.fit(Some(*unit))).collect();
        let judged = |hidden: Option<(usize, &[f64])>| {
            let with = |parameters: &[f64], there: bool| -> Vec<f64> {
                let added = hidden.filter(|_| there).map(|(_, added)| added);
                parameters.iter().enumerate().map(|(j, b)| b + added.map_or(0.0, |added| added[j])).collect()
            };
            let probed = units
                .iter()
                .zip(&runs)
                .map(|(unit, run)| Probed { size: sizes[*unit], parameters: with(run, hidden.is_none_or(|(hidden, _)| hidden != *unit)) });
            influences(&with(&all, true), 3, &probed.collect::<Vec<_>>()).outlier.unwrap()
        };
        alarms += usize::from(judged(None));
        chance += RANDOM as f64 / sizes.len() as f64 / SETS as f64;
        for ((values, bits), found) in attacks.into_iter().zip(&mut found) {
            let unit = units[r.below(RANDOM)];
            found[0] += usize::from(judged(Some((unit, &smuggled(&all, &data.rows[unit], values, bits)))));
            for _ in 0..HIDDEN {
                let unit = r.below(sizes.len());
                // One that is not probed changes nothing between the runs.
                found[1] += usize::from(units.contains(&unit) && judged(Some((unit, &smuggled(&all, &data.rows[unit], values, bits)))));
            }
        }
    }
    let share = |n: usize, of: usize| n as f64 / of as f64;
    let false_alarms = share(alarms, SETS);
    println!(
        "seed {SEED:#x}: {SETS} data sets, {RANDOM} units at random and up to {EXTREME} extreme ones probed, s/n = {chance:.3} on average"
    );
    println!("honest modules: {false_alarms:.3} false alarms");
    let mut given = [0.0; 5];
    for (((values, bits), found), given) in attacks.into_iter().zip(found).zip(&mut given) {
        *given = share(found[0], SETS);
        println!(
            "{values} value(s) of {bits} bits hidden: found in {given:.3} where the unit is among the random ones, {:.3} in all",
            share(found[1], SETS * HIDDEN)
        );
    }
    assert!(false_alarms <= 0.05, "{false_alarms}");
    assert!(given[2] >= 0.9 && given[3] >= 0.95 && given[4] >= 0.95, "{given:?}");
    assert!(given.is_sorted(), "more hidden bits are found no less often: {given:?}");
    // In all: what s/n promises, the extremes found besides, within four standard deviations of the trials.
    let overall = share(found[3][1], SETS * HIDDEN);
    let deviation = (chance * (1.0 - chance) / (SETS * HIDDEN) as f64).sqrt();
    assert!(overall > chance * 0.95 - 4.0 * deviation, "{overall} of {chance}");
}

fn alike(parameters: Vec<f64>) -> Probed {
    Probed { size: Size { rows: 1.0, mean: 1.0, largest: 1.0 }, parameters }
}

#[test]
fn a_module_that_rounds_its_own_parameters_is_no_finding_until_it_hides_something() {
    // Rounded by the module itself, nearly no unit moves anything; one step of the last digit is no finding.
    let mut probed: Vec<Probed> = (0..30).map(|_| alike(vec![1.23, -0.5])).collect();
    assert_eq!(influences(&[1.23, -0.5], 3, &probed).outlier, Some(false));
    probed[7].parameters[0] = 1.22;
    let one = influences(&[1.23, -0.5], 3, &probed);
    assert_eq!(one.outlier, Some(false));
    assert!((one.parameters[0].largest_steps - 1.0).abs() < 1e-6, "{one:?}");
    // Two steps and more are.
    probed[7].parameters[0] = 1.25;
    assert_eq!(influences(&[1.23, -0.5], 3, &probed).outlier, Some(true));
}

#[test]
fn order_and_scale_do_not_matter_and_what_cannot_be_judged_is_not() {
    let mut r = Rng(7);
    let probed: Vec<Probed> = (0..25).map(|_| alike(vec![1.0 + r.normal() * 1e-3, 20.0 + r.normal() * 1e-2])).collect();
    let all = [1.0, 20.0];
    let there = influences(&all, 3, &probed);
    let mut back: Vec<Probed> = probed.clone();
    back.reverse();
    let mut reversed = influences(&all, 3, &back);
    reversed.units.reverse();
    assert_eq!(there, reversed);
    // A thousandfold model has the same influences.
    let larger: Vec<Probed> = probed.iter().map(|p| alike(p.parameters.iter().map(|b| b * 1000.0).collect())).collect();
    let scaled = influences(&all.map(|b| b * 1000.0), 3, &larger);
    assert!(there.units.iter().zip(&scaled.units).all(|(a, b)| (a - b).abs() < 1e-6 * a.max(1.0)), "{there:?} {scaled:?}");
    assert_eq!(influences(&all, 3, &probed[..PROBED_MIN - 1]).outlier, None);
    assert_eq!(influences(&[], 3, &[]).outlier, None);
    // Parameters that are nothing, or that are missing without a unit.
    let zeros: Vec<Probed> = (0..12).map(|_| alike(vec![0.0])).collect();
    assert_eq!(influences(&[0.0], 3, &zeros).outlier, Some(false));
    let mut gone = zeros;
    gone[3].parameters.clear();
    assert_eq!(influences(&[0.0], 3, &gone).outlier, Some(true));
}
