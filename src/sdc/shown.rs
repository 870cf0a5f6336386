//! What of a cell is shown: labels and figures as texts.

use protocol::table::{Cell, KeyDomain, MeasureEvidence, MeasureOp, TableOutput};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::attack::Place;
use super::exact;
use super::rounding::RoundingKey;
use super::table::NotReleased;
use crate::clock::Date;
use crate::policy::release::TableRules;

/// A cell's label for one key. In JSON a text, `null` where the value is missing, `{"total": true}` where the key is totalled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, utoipa::ToSchema)]
pub enum ShownKey {
    /// The value is missing.
    Missing,
    /// The value.
    Label(String),
    /// All values together.
    Total,
}

impl ShownKey {
    /// The label, where there is one.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Label(label) => Some(label),
            Self::Missing | Self::Total => None,
        }
    }
}

/// How a total is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Total {
    total: bool,
}

impl Serialize for ShownKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Missing => serializer.serialize_none(),
            Self::Label(label) => serializer.serialize_str(label),
            Self::Total => Total { total: true }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ShownKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Label(String),
            Total(Total),
            Missing(()),
        }
        match Form::deserialize(deserializer)? {
            Form::Label(label) => Ok(Self::Label(label)),
            Form::Total(Total { total: true }) => Ok(Self::Total),
            Form::Total(_) => Err(serde::de::Error::custom("a total that is none")),
            Form::Missing(()) => Ok(Self::Missing),
        }
    }
}

/// The cell among all cells of a job: its labels by key, totalled keys left out.
pub(super) fn place(keys: &[String], labels: &[ShownKey]) -> Place {
    let kept = keys.iter().zip(labels).filter(|(_, label)| **label != ShownKey::Total);
    kept.map(|(key, label)| (key.clone(), label.label().map(str::to_owned))).collect()
}

/// Whether a label of the cell was found in the data rather than declared: then the cell's existence tells something.
pub(super) fn is_open(cell: &Cell, domains: &[KeyDomain]) -> bool {
    let mut keys = cell.keys.iter().zip(domains).enumerate();
    keys.any(|(i, (key, domain))| !cell.is_total(i) && (key.is_none() || !matches!(domain, KeyDomain::Declared(_))))
}

/// The labels of a cell.
pub(super) fn labels(cell: &Cell, domains: &[KeyDomain]) -> Result<Vec<ShownKey>, NotReleased> {
    let label = |(i, (key, domain)): (usize, (&Option<i64>, &KeyDomain))| {
        if cell.is_total(i) {
            return Ok(ShownKey::Total);
        }
        let Some(key) = *key else { return Ok(ShownKey::Missing) };
        Ok(ShownKey::Label(match domain {
            KeyDomain::Declared(labels) | KeyDomain::Found(labels) => {
                let label = usize::try_from(key).ok().and_then(|i| labels.get(i));
                label.ok_or(NotReleased::Malformed("a key's code lies outside its domain"))?.clone()
            }
            KeyDomain::Date => Date::from_days(key).to_string(),
            KeyDomain::Hour => format!("{} {:02}", Date::from_days(key.div_euclid(24)), key.rem_euclid(24)),
            KeyDomain::Number(scale) => exact::decimal(key.into(), *scale),
        }))
    };
    cell.keys.iter().zip(domains).enumerate().map(label).collect()
}

/// The cell's figures; `None` where one cannot be computed exactly.
pub(super) fn values(cell: &Cell, output: &TableOutput, rules: &TableRules, rounding: &RoundingKey) -> Option<Vec<Option<String>>> {
    let header = &output.header;
    let measures = header.request.measures.iter().zip(&header.columns).zip(&cell.measures);
    measures
        .map(|((request, column), evidence)| {
            let scale = column.as_ref().map_or(0, |c| c.scale);
            let zero = MeasureEvidence {
                n: 0,
                units: 0,
                sum: 0,
                sum_of_squares: 0,
                order: None,
                largest: 0,
                second: 0,
                total: 0,
                top: Vec::new(),
                own: None,
            };
            let e = evidence.as_ref().unwrap_or(&zero);
            Some(match request.op {
                MeasureOp::Count => Some(exact::decimal(rounding.round(cell.rows, cell.contributors, rules), 0)),
                MeasureOp::Units => Some(exact::decimal(rounding.round(cell.units, cell.contributors, rules), 0)),
                MeasureOp::Sum => Some(exact::decimal(e.sum, scale)),
                _ if e.n == 0 => None,
                MeasureOp::Mean => Some(exact::decimal(exact::mean(e.sum, e.n)?, scale)),
                MeasureOp::Variance => Some(exact::decimal(exact::variance(e.sum, e.sum_of_squares, e.n)?, scale.checked_mul(2)?)),
                MeasureOp::Quantile { .. } | MeasureOp::Min | MeasureOp::Max => Some(exact::decimal(e.order?.into(), scale)),
            })
        })
        .collect()
}
