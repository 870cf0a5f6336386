//! Noised sums read as an answer: post-processing, which costs nothing. Numbers are decimal texts, exact where they are sums.

use protocol::value::format_decimal;
use serde::Serialize;

use super::calibration::Calibration;
use super::resolve::{BinType, Reading};

/// A value with the half width of its 95% interval, which noise alone makes: what clipping takes away is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The value, a decimal.
    pub value: String,
    /// Half the width of its 95% interval, a decimal; nothing where the value is too far from the sums for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_width_95: Option<String>,
}

/// A value of a label, a bin or a quantile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its label; its bin as `from cut ≤ x < next`, its quantile in permille.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub value: Value,
}

/// What leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A module's last state, decimals.
    State(Vec<String>),
    /// One number.
    Number(Value),
    /// A mean, and the count that it was divided by.
    Mean {
        /// The mean.
        mean: Value,
        /// The count.
        count: Value,
    },
    /// One a label, bin or quantile.
    List(Vec<Named>),
}

/// Steps as a decimal. Noise can carry a sum beyond 64 bits in theory: then its last digits go.
fn decimal(steps: i128, scale: u8) -> String {
    i64::try_from(steps).map_or_else(|_| number(steps as f64 / 10f64.powi(i32::from(scale))), |s| format_decimal(s, scale))
}

/// A floating-point number as the shortest decimal that reads back the same.
pub fn number(value: f64) -> String {
    value.to_string()
}

/// Steps as numbers, as a module's update gets them.
pub fn numbers(noised: &[i128], calibration: &Calibration) -> Vec<f64> {
    let one = 10f64.powi(i32::from(calibration.clip().scale));
    noised.iter().map(|steps| *steps as f64 / one).collect()
}

impl Reading {
    /// Reads the noised sums of the only round; `None` for a module, whose state is the answer.
    pub fn read(&self, noised: &[i128], calibration: &Calibration) -> Option<Answer> {
        let scale = calibration.clip().scale;
        let half = calibration.half_width_95_steps();
        let sum = |steps: i128| Value { value: decimal(steps, scale), half_width_95: Some(decimal(half as i128, scale)) };
        Some(match self {
            Self::State { .. } => return None,
            Self::Number => Answer::Number(sum(*noised.first()?)),
            Self::Mean { centre, weight } => mean(*noised.first()?, *noised.get(1)?, *centre, *weight, scale, half),
            Self::Labels(labels) => {
                let named = labels.iter().zip(noised).map(|(label, steps)| Named { name: label.clone(), value: sum(*steps) });
                Answer::List(named.collect())
            }
            Self::Bins { scale: digits, cuts, ty } => {
                let text = |cut: i64| match ty {
                    BinType::Number => format_decimal(cut, *digits),
                    BinType::Date => crate::clock::Date::from_days(cut).to_string(),
                    BinType::Hour => format!("{} {:02}", crate::clock::Date::from_days(cut.div_euclid(24)), cut.rem_euclid(24)),
                };
                let first = cuts.first().map(|cut| format!("below {}", text(*cut)));
                let names = first.into_iter().chain(cuts.iter().map(|cut| format!("from {}", text(*cut))));
                Answer::List(names.zip(noised).map(|(name, steps)| Named { name, value: sum(*steps) }).collect())
            }
            Self::Quantiles { scale, min, max, cuts, permille } => {
                let edges: Vec<f64> =
                    std::iter::once(*min).chain(cuts.iter().copied()).chain([max.saturating_add(1)]).map(|e| e as f64).collect();
                let named = permille.iter().map(|p| {
                    let steps = quantile(&edges, noised, f64::from(*p) / 1000.0);
                    let value = decimal(steps.clamp(*min as f64, *max as f64).round() as i128, *scale);
                    Named { name: p.to_string(), value: Value { value, half_width_95: None } }
                });
                Answer::List(named.collect())
            }
        })
    }
}

/// `centre + sum / count`; where fewer than one row seems to be there, the centre, which is public.
fn mean(sum: i128, weighted: i128, centre: i64, weight: i64, scale: u8, half: f64) -> Answer {
    let one = 10f64.powi(i32::from(scale));
    let weight = weight as f64;
    let count = weighted as f64 / weight;
    let away = if count >= 1.0 { sum as f64 / count } else { 0.0 };
    // |d(s/n)| ≤ |ds|/n + |s|/n² |dn|, both at their half widths.
    let width = (count >= 1.0).then(|| number((half + away.abs() * half / weight) / count / one));
    let mean = Value { value: number((centre as f64 + away) / one), half_width_95: width };
    let count = Value { value: number(count), half_width_95: Some(number(half / weight)) };
    Answer::Mean { mean, count }
}

/// Where the counts, none below zero, reach the share `p` of their total: linear inside a bin.
fn quantile(edges: &[f64], counts: &[i128], p: f64) -> f64 {
    let counts: Vec<f64> = counts.iter().map(|c| (*c).max(0) as f64).collect();
    let mut left = counts.iter().sum::<f64>() * p;
    for (edge, count) in edges.windows(2).zip(&counts) {
        let (Some(from), Some(to)) = (edge.first(), edge.last()) else { break };
        if left <= *count && *count > 0.0 {
            return from + (to - from) * left / count;
        }
        left -= count;
    }
    edges.last().copied().unwrap_or(0.0)
}
