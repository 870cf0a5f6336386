//! The verification: one closed question about one subject.
//!
//! What is here passes between server, engine and the guest process that runs a module's `answer`. The engine finds the subject's rows and
//! hands them to the guest over a socket of their own, so that no row passes through the server; what the guest answers goes back the same
//! way, and the engine tells the server one number.

use serde::{Deserialize, Serialize};

use crate::fold::{Integers, Octets};
use crate::limits::{LimitExceeded, Limits};
use crate::manifest::{FoldColumn, ManifestError};
use crate::message::GuestFailure;
use crate::schema::LinkageKey;
use crate::secret::{SecretKey, SecretText};

/// What a verification declares: fixed before any data is seen, so that neither a column nor a label can depend on any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyManifest {
    /// Columns of the view that it reads, in its order.
    pub columns: Vec<FoldColumn>,
    /// What it can answer.
    pub answer: AnswerType,
}

/// The closed type of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerType {
    /// `no` (0) or `yes` (1).
    YesNo,
    /// One of these labels, the lowest first: it is also what is said of whoever is not known.
    Band(Vec<String>),
}

impl AnswerType {
    /// The labels, by number.
    pub fn labels(&self) -> Vec<&str> {
        match self {
            Self::YesNo => vec!["no", "yes"],
            Self::Band(labels) => labels.iter().map(String::as_str).collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        match self {
            Self::YesNo => 2,
            Self::Band(labels) => u32::try_from(labels.len()).unwrap_or(u32::MAX),
        }
    }

    /// What an answer can tell at most, in thousandths of a bit, rounded up: 1000 × log2 of the number of labels.
    pub fn millibits(&self) -> u32 {
        let labels = self.count().max(1);
        if labels.is_power_of_two() {
            return labels.trailing_zeros() * 1000;
        }
        // No power of two, so never a whole number: rounding up cannot be off by rounding errors of 10^-12.
        (f64::from(labels).log2() * 1000.0).ceil() as u32
    }
}

impl VerifyManifest {
    /// Checks names, columns and labels.
    ///
    /// # Errors
    /// The limit, or the first name or label that is not one.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let l = &Limits::STANDARD;
        crate::fold::validate_columns(&self.columns)?;
        let AnswerType::Band(labels) = &self.answer else { return Ok(()) };
        LimitExceeded::check("answer_labels_max", l.answer_labels_max.into(), 0, labels.len() as u64)?;
        let longest = labels.iter().map(String::len).max().unwrap_or(0) as u64;
        LimitExceeded::check("derived_label_bytes_max", l.derived_label_bytes_max.into(), 0, longest)?;
        let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
        let good = labels.len() >= 2
            && distinct.len() == labels.len()
            && labels.iter().all(|label| !label.trim().is_empty() && !label.chars().any(char::is_control));
        if good { Ok(()) } else { Err(ManifestError::Column("answer".to_owned())) }
    }
}

/// First message to a guest process that answers. Descriptors: the compiled code (sealed memfd) and its socket to the engine. Answer, once
/// nothing but the rows is missing: [`VerifyReady`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyStart {
    /// What the module declared.
    pub manifest: VerifyManifest,
    /// Fuel of the run.
    pub fuel: u64,
    /// Linear memory.
    pub memory_bytes_max: u64,
}

/// The code is loaded, the last stage of the jail entered; nothing of the module has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReady {}

/// Whose rows the engine hands over, and how it reads the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectPlan {
    /// The view's columns in the module's order.
    pub columns: Vec<FoldColumn>,
    /// Answers are below this.
    pub labels: u32,
    /// The canonical identifier.
    pub subject: SecretText,
    /// What kind of identifier it is.
    pub linkage: Option<LinkageKey>,
    /// Key of the namespace's ordinals.
    pub key: SecretKey,
}

/// To a guest that answers, from the engine: the rows of one subject, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectRows {
    /// Rows.
    pub rows: u32,
    /// Values column by column: stored integers, label numbers (-1: none of the declared). Zero where missing.
    pub values: Integers,
    /// One byte a value, 1 where it is missing; empty where none is.
    pub missing: Octets,
}

/// From a guest that answers. Every byte is hostile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectReply(pub Result<u32, GuestFailure>);

#[cfg(test)]
mod tests {
    use super::*;

    fn band(labels: &[&str]) -> AnswerType {
        AnswerType::Band(labels.iter().map(|l| (*l).to_owned()).collect())
    }

    #[test]
    fn an_answer_costs_the_logarithm_of_its_labels_rounded_up() {
        assert_eq!(AnswerType::YesNo.millibits(), 1000);
        for (count, millibits) in [(2, 1000), (3, 1585), (4, 2000), (5, 2322), (6, 2585), (8, 3000), (32, 5000)] {
            let labels: Vec<String> = (0..count).map(|i| format!("l{i}")).collect();
            assert_eq!(AnswerType::Band(labels).millibits(), millibits, "{count}");
        }
    }

    #[test]
    fn json_is_plain_and_labels_are_labels() {
        let text = r#"{"columns":[{"name":"month","type":"date"}],"answer":{"band":["none","A","B"]}}"#;
        let manifest: VerifyManifest = serde_json::from_str(text).unwrap();
        manifest.validate().unwrap();
        assert_eq!(manifest.answer.labels(), ["none", "A", "B"]);
        let yes_no: VerifyManifest = serde_json::from_str(r#"{"columns":[],"answer":"yes_no"}"#).unwrap();
        assert_eq!((yes_no.validate(), yes_no.answer.labels()), (Ok(()), vec!["no", "yes"]));
        let long = "x".repeat(65);
        for labels in [vec![], vec!["a"], vec!["a", "a"], vec!["a", ""], vec!["a", " "], vec!["a", "b\n"], vec!["a", long.as_str()]] {
            let manifest = VerifyManifest { columns: Vec::new(), answer: band(&labels) };
            assert!(manifest.validate().is_err(), "{labels:?}");
        }
    }
}
