//! Two sides measured in turns, and what is said of them.

use anyhow::Result;
use serde_json::{Map, Value, json};
use std::time::Instant;

/// Heading of the rows that [`Outcome::row`] makes.
pub const HEADING: &str = "measure          ratio   quartiles        target               met   runs  medians";

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// The first side at most this many times the second, and so many milliseconds on top.
    AtMostPlusMs(f64, f64),
    /// None was set.
    None,
}

/// Milliseconds of both sides, in turns.
pub struct Pairs {
    /// Of the product.
    pub ours: Vec<f64>,
    /// Of the plain thing.
    pub plain: Vec<f64>,
}

/// One measure's result.
pub struct Outcome {
    /// Median of ours by median of the plain thing, or what else `target` is about.
    pub ratio: f64,
    /// What it should be.
    pub target: Target,
    /// Pairs measured.
    pub runs: usize,
    /// Quartiles of the pairs' ratios.
    pub spread: [f64; 2],
    /// Median milliseconds: ours, the plain thing's.
    pub median_ms: [f64; 2],
    /// Anything else worth telling.
    pub more: Map<String, Value>,
}

/// Milliseconds that `work` takes.
pub fn time_ms(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// The value below which `share` of `values` lies, by linear interpolation.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = share * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

impl Pairs {
    /// Runs both sides in turns, after one turn that is not counted. Each side tells its own milliseconds.
    pub fn take(runs: usize, mut ours: impl FnMut() -> Result<f64>, mut plain: impl FnMut() -> Result<f64>) -> Result<Self> {
        let mut pairs = Self { ours: Vec::new(), plain: Vec::new() };
        for run in 0..=runs {
            let (a, b) = (ours()?, plain()?);
            if run > 0 {
                pairs.ours.push(a);
                pairs.plain.push(b);
            }
        }
        Ok(pairs)
    }

    /// Median of ours by median of the plain thing.
    pub fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.plain)
    }

    /// Each pair's ratio.
    pub fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.plain).map(|(a, b)| a / b).collect()
    }

    /// The outcome whose ratio is time by time.
    pub fn outcome(&self, target: Target) -> Outcome {
        let ratios = self.ratios();
        Outcome {
            ratio: self.ratio(),
            target,
            runs: self.ours.len(),
            spread: [quantile(&ratios, 0.25), quantile(&ratios, 0.75)],
            median_ms: [median(&self.ours), median(&self.plain)],
            more: Map::new(),
        }
    }
}

impl Outcome {
    /// Adds something worth telling.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The outcome of a bandwidth: the plain thing's time by ours.
    #[must_use]
    pub fn inverted(mut self) -> Self {
        let [low, high] = self.spread;
        (self.ratio, self.spread) = (1.0 / self.ratio, [1.0 / high, 1.0 / low]);
        self
    }

    fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(most) => Some(self.ratio <= most),
            Target::AtLeast(least) => Some(self.ratio >= least),
            Target::AtMostPlusMs(most, ms) => Some(self.median_ms[0] <= most * self.median_ms[1] + ms),
            Target::None => None,
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("<= {most}"),
            Target::AtLeast(least) => format!(">= {least}"),
            Target::AtMostPlusMs(most, ms) => format!("<= {most} x + {ms} ms"),
            Target::None => "none".to_owned(),
        }
    }

    /// One line of JSON.
    pub fn json(&self, name: &str) -> String {
        let mut line = Map::new();
        line.insert("name".to_owned(), name.into());
        line.insert("ratio".to_owned(), rounded(self.ratio));
        line.insert("target".to_owned(), self.target().into());
        line.insert("met".to_owned(), json!(self.met()));
        line.insert("runs".to_owned(), self.runs.into());
        line.insert("spread".to_owned(), self.spread.map(rounded).to_vec().into());
        line.insert("median_ms".to_owned(), self.median_ms.map(rounded).to_vec().into());
        line.extend(self.more.clone());
        Value::Object(line).to_string()
    }

    /// One row of a table.
    pub fn row(&self, name: &str) -> String {
        let met = self.met().map_or("", |met| if met { "yes" } else { "no" });
        let [[low, high], [ours, plain]] = [self.spread, self.median_ms];
        let more: Vec<String> = self.more.iter().map(|(name, value)| format!("\n    {name}: {value}")).collect();
        let target = self.target();
        let ratio = self.ratio;
        let runs = self.runs;
        let more = more.concat();
        format!("{name:<15} {ratio:>6.3}   {low:>6.3} - {high:<6.3}  {target:<19}  {met:<4}  {runs:>4}  {ours:.2} ms, {plain:.2} ms{more}")
    }
}

/// Four decimals are more than the noise allows.
pub fn rounded(value: f64) -> Value {
    json!((value * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0], 0.25), 0.75);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_first_turn_is_not_counted_and_targets_are_judged() {
        let (mut a, mut b) = (0.0, 0.0);
        let turn = |n: &mut f64, by: f64| {
            *n += by;
            Ok(*n)
        };
        let pairs = Pairs::take(3, || turn(&mut a, 2.0), || turn(&mut b, 1.0)).unwrap();
        assert_eq!((pairs.ours.as_slice(), pairs.plain.as_slice()), ([4.0, 6.0, 8.0].as_slice(), [2.0, 3.0, 4.0].as_slice()));
        let met = |target| pairs.outcome(target).met();
        assert_eq!((met(Target::AtMost(2.0)), met(Target::AtMost(1.9)), met(Target::None)), (Some(true), Some(false), None));
        assert_eq!((met(Target::AtMostPlusMs(1.0, 3.0)), met(Target::AtMostPlusMs(1.0, 2.0))), (Some(true), Some(false)));
        let inverted = pairs.outcome(Target::AtLeast(0.5)).inverted();
        assert_eq!((inverted.ratio, inverted.met()), (0.5, Some(true)));
        let line: Value = serde_json::from_str(&inverted.json("x")).unwrap();
        assert_eq!((line["name"].as_str(), line["target"].as_str(), line["runs"].as_u64()), (Some("x"), Some(">= 0.5"), Some(3)));
    }
}
