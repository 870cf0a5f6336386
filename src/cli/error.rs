//! What a command says when it fails: cause and remedy; a refusal with its rule, clauses and both languages.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::refusal::Refused;

/// A refusal as the interface writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusalText {
    /// Identifier of the rule.
    pub rule: String,
    /// Articles.
    pub clauses: Vec<String>,
    /// What the policy demands.
    pub threshold: Option<String>,
    /// The caller's own name for what was refused.
    pub subject: Option<String>,
    /// What happened.
    pub en: String,
    /// What happened.
    pub zh: String,
    /// What to do.
    pub remedy_en: String,
    /// What to do.
    pub remedy_zh: String,
}

impl RefusalText {
    /// Reads a refusal, the rule's parts beside the rest or in an object of their own.
    pub fn read(value: &Value) -> Option<Self> {
        let mut flat = value.as_object()?.clone();
        if let Some(Value::Object(rule)) = flat.remove("rule") {
            for (name, part) in rule {
                flat.insert(if name == "id" { "rule".to_owned() } else { name }, part);
            }
        } else {
            flat.insert("rule".to_owned(), value.get("rule")?.clone());
        }
        serde_json::from_value(Value::Object(flat)).ok()
    }
}

impl From<&Refused> for RefusalText {
    fn from(refused: &Refused) -> Self {
        let rule = refused.rule();
        Self {
            rule: rule.id.to_owned(),
            clauses: rule.clauses.iter().map(|c| (*c).to_owned()).collect(),
            threshold: refused.threshold_text().map(str::to_owned),
            subject: refused.subject_text().map(str::to_owned),
            en: rule.en.to_owned(),
            zh: rule.zh.to_owned(),
            remedy_en: rule.remedy_en.to_owned(),
            remedy_zh: rule.remedy_zh.to_owned(),
        }
    }
}

impl fmt::Display for RefusalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        if !self.clauses.is_empty() {
            write!(f, " [{}]", self.clauses.join(", "))?;
        }
        if let Some(subject) = &self.subject {
            write!(f, " `{subject}`")?;
        }
        if let Some(threshold) = &self.threshold {
            write!(f, " (threshold: {threshold})")?;
        }
        write!(f, "\n  {}\n  {}", self.en, self.zh)?;
        write!(f, "\n  remedy: {}\n  办法：{}", self.remedy_en, self.remedy_zh)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum CliError {
    /// Refused by a rule; the status of the answer where it came over HTTP.
    Refused(Option<u16>, Box<RefusalText>),
    /// Anything else, with what to do about it.
    Failed {
        /// The cause.
        cause: String,
        /// The remedy.
        remedy: String,
    },
}

impl CliError {
    /// A failure.
    pub fn failed(cause: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self::Failed { cause: cause.to_string(), remedy: remedy.into() }
    }

    /// A file that could not be used.
    pub fn file(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::failed(format!("cannot {verb} {}: {error}", path.display()), "check the path and its permissions")
    }

    /// The rule, where one refused.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Refused(_, refusal) => Some(&refusal.rule),
            Self::Failed { .. } => None,
        }
    }

    /// For `--json`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Refused(status, refusal) => json!({ "error": refusal, "status": status }),
            Self::Failed { cause, remedy } => json!({ "error": { "cause": cause, "remedy": remedy } }),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_, refusal) => write!(f, "refused: {refusal}"),
            Self::Failed { cause, remedy } => write!(f, "error: {cause}\n  remedy: {remedy}"),
        }
    }
}

impl std::error::Error for CliError {}

impl From<Refused> for CliError {
    fn from(refused: Refused) -> Self {
        Self::Refused(None, Box::new(RefusalText::from(&refused)))
    }
}
