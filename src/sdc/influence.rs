//! The influence of one unit on each parameter of a model, and whether one stands out against the others. Pure.
//!
//! The influence of unit i on parameter θ is θ − θ₍₋ᵢ₎: the module ran once more without the unit's rows, everything else being the same
//! (DFBETA: Belsley, Kuh, Welsch, *Regression Diagnostics*, 1980, §2.1; for models fitted otherwise: Koh, Liang, *Understanding
//! Black-box Predictions via Influence Functions*, ICML 2017, which approximates what is computed here by running again).
//!
//! # The rule
//!
//! 1. *Size.* An honest unit moves a parameter the more, the more rows it has and the farther they lie from the mean. Each influence is
//!    divided by the unit's [`size`](Size): a quarter of its rows, three eighths each of its mean and its largest distance, all three over
//!    their medians among the probed units.
//! 2. *Scale.* It is then divided by 1.4826 × the median absolute influence on that parameter (the median absolute deviation about zero,
//!    for influences add up to nearly nothing), and at least by a quarter of one step of the last digit that is released. A unit's influence is its
//!    largest over the parameters.
//! 3. *Jump.* Sorted, the largest ratio between neighbours in the upper half is sought. A ratio above [`JUMP_MIN`] to a value
//!    above [`LARGEST_MIN`] is a finding: one unit (or a few) moves the model as no other does.
//!
//! # What it finds, and what not
//!
//! A module that puts values of a few units' rows into digits of its parameters changes those digits when one of these units is left
//! out, and not otherwise. Found only where such a unit is among the probed: for one hidden unit among n with s probed at random, with
//! probability s/n at most. Not found: bits that move a parameter no farther than its honest units do (their number is what
//! [`Parameter::jump_steps`] bounds); values of many units at once, so that every unit's influence is large (the table of
//! parameters shows that: a median influence of many steps); what does not change when a unit is left out. The tests print rates.

/// Least ratio between neighbouring influences at a finding.
pub const JUMP_MIN: f64 = 2.5;
/// Least influence at a finding, in scales.
pub const LARGEST_MIN: f64 = 5.0;
/// Probed units below which nothing is judged: a jump among few means nothing.
pub const PROBED_MIN: usize = 10;
/// Least scale, in steps of the last digit released.
const STEPS_MIN: f64 = 0.25;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD: f64 = 1.4826;
/// Largest influence told.
const INFLUENCE_MAX: f64 = 1e9;

/// How much of the data a unit is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Its rows.
    pub rows: f64,
    /// Sum over its rows of the mean distance over the columns.
    pub mean: f64,
    /// Sum over its rows of the largest distance in any column.
    pub largest: f64,
}

/// A probed unit: its size, and the model's parameters without it, as many and in the same order.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Its size.
    pub size: Size,
    /// Parameters without it.
    pub parameters: Vec<f64>,
}

/// What the probed units do to one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// One step of the last digit that is released.
    pub step: f64,
    /// Median absolute influence of a probed unit, in steps.
    pub median_steps: f64,
    /// Largest absolute influence, in steps.
    pub largest_steps: f64,
    /// Steps by which a unit of median size may move the parameter without a finding by itself.
    pub jump_steps: f64,
}

/// Influences and what the rule says of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Influences {
    /// One a probed unit, in its order: the largest over the parameters, in scales.
    pub units: Vec<f64>,
    /// One a parameter.
    pub parameters: Vec<Parameter>,
    /// The largest ratio between neighbours in the upper half.
    pub jump: f64,
    /// The influence above that ratio.
    pub above: f64,
    /// Whether that is a finding; `None` where too few units were probed.
    pub outlier: Option<bool>,
}

/// Influences of the `probed` units on the parameters `all`, which were found with every unit, released at `digits` significant digits.
pub fn influences(all: &[f64], digits: u8, probed: &[Probed]) -> Influences {
    let sizes = relative(probed);
    let mut units = vec![0.0f64; probed.len()];
    let mut scales = Vec::with_capacity(all.len());
    for (at, value) in all.iter().enumerate() {
        let moved: Vec<f64> =
            probed.iter().map(|p| p.parameters.get(at).map_or(f64::INFINITY, |without| (value - without).abs())).collect();
        let by_size: Vec<f64> = moved.iter().zip(&sizes).map(|(moved, size)| moved / size).collect();
        let step = step(*value, digits);
        let scale = (MAD * median(&by_size)).max(STEPS_MIN * step).max(f64::MIN_POSITIVE);
        for (unit, influence) in units.iter_mut().zip(&by_size) {
            *unit = unit.max((influence / scale).min(INFLUENCE_MAX));
        }
        scales.push((step, scale, moved));
    }
    let (jump, above) = largest_jump(&units);
    let outlier = (probed.len() >= PROBED_MIN).then_some(jump > JUMP_MIN && above > LARGEST_MIN);
    let rest = median(&units);
    let parameters = scales.into_iter().map(|(step, scale, moved)| {
        let in_steps = |value: f64| if step > 0.0 { (value / step).min(INFLUENCE_MAX) } else { 0.0 };
        Parameter {
            step,
            median_steps: in_steps(median(&moved)),
            largest_steps: in_steps(moved.iter().copied().fold(0.0, f64::max)),
            jump_steps: in_steps(scale * LARGEST_MIN.max(JUMP_MIN * rest)),
        }
    });
    let parameters = parameters.collect();
    Influences { units, parameters, jump, above, outlier }
}

/// Sizes, about one each.
fn relative(probed: &[Probed]) -> Vec<f64> {
    let over = |of: fn(&Size) -> f64| {
        let all: Vec<f64> = probed.iter().map(|p| of(&p.size)).collect();
        let middle = median(&all);
        // Where the median is nothing, nearly all are alike in this.
        all.into_iter().map(move |value| if middle > 0.0 { value / middle } else { 1.0 }).collect::<Vec<f64>>()
    };
    let (rows, mean, largest) = (over(|s| s.rows), over(|s| s.mean), over(|s| s.largest));
    rows.iter()
        .zip(mean)
        .zip(largest)
        .map(|((rows, mean), largest)| 0.25 * rows + 0.375 * mean + 0.375 * largest)
        .map(|size| size.max(0.05))
        .collect()
}

/// One step of the last of `digits` significant decimal digits of `value`.
fn step(value: f64, digits: u8) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    10f64.powi(value.abs().log10().floor() as i32 + 1 - i32::from(digits))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(0.0);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) }
}

/// The largest ratio between neighbours in the upper half, and the value above it.
fn largest_jump(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    let upper = sorted.get(sorted.len() / 2..).unwrap_or_default();
    let ratio = |pair: &[f64]| match pair {
        [below, above] if *above > 0.0 => Some(((above / below.max(f64::MIN_POSITIVE)).min(INFLUENCE_MAX), *above)),
        _ => None,
    };
    upper.windows(2).filter_map(ratio).fold((0.0, 0.0), |best, found| if found.0 > best.0 { found } else { best })
}

#[cfg(test)]
mod tests;
