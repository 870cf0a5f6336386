//! The three papers as they are written, in TOML or JSON, and what makes one complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::{CHINA_UTC_OFFSET_S, Date, Timestamp};
use crate::dp::Epsilon;
use crate::id::{AgreementId, DatasetId, ModuleDigest, Name, OrgId, PlanId};
use crate::refusal::{self, Refused, Rule};

/// Bytes of one paper.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Characters of one text in it.
const TEXT_CHARS_MAX: usize = 4000;

/// Longest window for objections.
const VETO_WORKING_DAYS_MAX: u16 = 60;

/// Columns by dataset. What is not named is not granted.
pub type Columns = BTreeMap<DatasetId, BTreeSet<String>>;

/// A SHA-256 digest. Written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The same spelling as a module's digest.
        let text: ModuleDigest = String::deserialize(d)?.parse().map_err(D::Error::custom)?;
        Ok(Self(text.bytes()))
    }
}

impl utoipa::PartialSchema for Digest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        ModuleDigest::schema()
    }
}

impl utoipa::ToSchema for Digest {}

/// First and last day, both included, in China Standard Time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// First day.
    pub from: Date,
    /// Last day.
    pub until: Date,
}

impl Term {
    /// Whether the first day has come.
    pub fn begun(&self, now: Timestamp) -> bool {
        now >= self.from.start(CHINA_UTC_OFFSET_S)
    }
    /// Whether the last day is over.
    pub fn over(&self, now: Timestamp) -> bool {
        now >= self.end()
    }
    /// The first second after the last day.
    pub fn end(&self) -> Timestamp {
        self.until.end(CHINA_UTC_OFFSET_S)
    }
}

/// A kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Aggregate tables that the host computes.
    Table,
    /// Typed models, always held.
    Artefact,
    /// Noised sums within a privacy budget.
    Private,
    /// One answer about one consenting subject.
    Verification,
}

impl Door {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Artefact => "artefact",
            Self::Private => "private",
            Self::Verification => "verification",
        }
    }
}

/// An operator's authorisation as it is written (X31, H18).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an authorisation")]
pub struct AuthorisationDocument {
    /// Identifier.
    pub id: Name,
    /// Who is authorised.
    pub operator: OrgId,
    /// For what.
    #[serde(default)]
    pub scope: String,
    /// For which datasets of others.
    pub datasets: BTreeSet<DatasetId>,
    /// How long.
    pub term: Term,
}

/// An application as it is written (X27, C16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an application")]
pub struct ApplicationDocument {
    /// Identifier.
    pub id: Name,
    /// Who applies.
    pub operator: OrgId,
    /// What for, as names that consent and jobs refer to.
    #[serde(default)]
    pub purposes: BTreeSet<Name>,
    /// On which legal basis (依据).
    #[serde(default)]
    pub legal_basis: String,
    /// In which scope (范围).
    #[serde(default)]
    pub scope: String,
    /// In which way (方式).
    #[serde(default)]
    pub method: String,
    /// In which use case (应用场景).
    #[serde(default)]
    pub use_case: String,
    /// The columns asked for, by dataset (最小够用).
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, BTreeSet<String>>)]
    pub columns: Columns,
    /// What the operator promises.
    #[serde(default)]
    pub commitments: Commitments,
}

/// The three commitments; one that is not written is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Commitments {
    /// What was stated is true (真实).
    #[serde(rename = "true")]
    pub truthful: bool,
    /// Use complies with law and agreement (合规).
    pub compliant: bool,
    /// Data is kept secure (安全).
    pub secure: bool,
}

/// A data use agreement as it is written (C19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an agreement")]
pub struct AgreementDocument {
    /// Identifier.
    pub id: AgreementId,
    /// The operator. It cannot pass the agreement on.
    pub operator: OrgId,
    /// The authorisation it rests on.
    pub authorisation: Name,
    /// The application it follows.
    pub application: Name,
    /// How the data is fused; the plan's digest is pinned when the agreement is drafted.
    pub plan: PlanId,
    /// For which purposes.
    pub purposes: BTreeSet<Name>,
    /// Who may receive releases (不得提供第三方).
    pub recipients: BTreeSet<OrgId>,
    /// Which kinds of output.
    pub doors: BTreeSet<Door>,
    /// Which columns, by dataset.
    #[schema(value_type = BTreeMap<String, BTreeSet<String>>)]
    pub columns: Columns,
    /// How long.
    pub term: Term,
    /// How much.
    pub budgets: Budgets,
    /// For how many working days after two reviewers approved an output providers may still object, by kind of output. 0: they may not
    /// object at all. Not named: they may while it is under review, and not afterwards.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, u16>)]
    pub veto_working_days: BTreeMap<Door, u16>,
    /// How the operator keeps it safe (安全保障措施).
    #[serde(default)]
    pub safeguards: String,
    /// What happens at the end (期满处置).
    #[serde(default)]
    pub disposal: String,
}

/// How much may be done under an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Jobs on real data in all.
    pub jobs_max: u32,
    /// Privacy loss ε of all folds together, at the release policy's δ: a decimal. Zero: the private door stays shut.
    #[serde(default = "nothing", skip_serializing_if = "is_nothing")]
    pub privacy_epsilon: Epsilon,
}

fn nothing() -> Epsilon {
    Epsilon::ZERO
}

fn is_nothing(epsilon: &Epsilon) -> bool {
    *epsilon == Epsilon::ZERO
}

/// What is counter-signed: the agreement as written, the plan's digest and who must sign. Never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgreementTerms {
    /// As written.
    pub agreement: AgreementDocument,
    /// Digest of the fusion plan.
    pub plan_digest: Digest,
    /// The owners of its data, the operator left out.
    pub providers: BTreeSet<OrgId>,
}

impl AgreementTerms {
    /// Digest of the terms: what a counter-signature is over.
    pub fn digest(&self) -> Digest {
        Digest(crate::policy::release::digest_of(self))
    }
}

fn from_toml<T: DeserializeOwned>(text: &str, rule: &'static Rule) -> Result<T, Refused> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(Refused::new(rule).subject("the paper is larger than 256 KiB"));
    }
    toml::from_str(text).map_err(|e| Refused::new(rule).subject(e.message()))
}

/// Names every element that is missing, blank or too long.
fn complete<'a>(elements: impl IntoIterator<Item = (&'a str, bool)>, rule: &'static Rule) -> Result<(), Refused> {
    let missing: Vec<_> = elements.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect();
    if missing.is_empty() { Ok(()) } else { Err(Refused::new(rule).subject(&missing.join(", "))) }
}

pub(super) fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= TEXT_CHARS_MAX
}

/// Every dataset with at least one column, every column a name.
fn is_columns(columns: &Columns) -> bool {
    !columns.is_empty() && columns.values().all(|c| !c.is_empty() && c.iter().all(|n| protocol::schema::is_name(n)))
}

/// The first column that `within` does not have, as `dataset.column`.
pub(super) fn first_beyond(columns: &Columns, within: &Columns) -> Option<String> {
    columns.iter().find_map(|(dataset, names)| {
        let beyond = names.iter().find(|n| !within.get(dataset).is_some_and(|w| w.contains(*n)))?;
        Some(format!("{dataset}.{beyond}"))
    })
}

impl AuthorisationDocument {
    /// Parses and validates TOML.
    ///
    /// # Errors
    /// `request.malformed` naming what is missing or wrong.
    pub fn parse(toml: &str) -> Result<Self, Refused> {
        let document: Self = from_toml(toml, &refusal::MALFORMED)?;
        document.validate().map(|()| document)
    }

    /// Checks it, however it came.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn validate(&self) -> Result<(), Refused> {
        let term = self.term.from <= self.term.until;
        complete([("scope", is_text(&self.scope)), ("datasets", !self.datasets.is_empty()), ("term", term)], &refusal::MALFORMED)
    }
}

impl ApplicationDocument {
    /// Parses and validates TOML.
    ///
    /// # Errors
    /// `application.incomplete` naming what is missing, `application.commitments`.
    pub fn parse(toml: &str) -> Result<Self, Refused> {
        let document: Self = from_toml(toml, &refusal::APPLICATION_INCOMPLETE)?;
        document.validate().map(|()| document)
    }

    /// Checks it, however it came.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn validate(&self) -> Result<(), Refused> {
        let elements = [
            ("purposes", !self.purposes.is_empty()),
            ("legal_basis", is_text(&self.legal_basis)),
            ("scope", is_text(&self.scope)),
            ("method", is_text(&self.method)),
            ("use_case", is_text(&self.use_case)),
            ("columns", is_columns(&self.columns)),
        ];
        complete(elements, &refusal::APPLICATION_INCOMPLETE)?;
        let c = self.commitments;
        complete([("true", c.truthful), ("compliant", c.compliant), ("secure", c.secure)], &refusal::APPLICATION_COMMITMENTS)
    }
}

impl AgreementDocument {
    /// Parses and validates TOML.
    ///
    /// # Errors
    /// `agreement.incomplete` naming what is missing or wrong.
    pub fn parse(toml: &str) -> Result<Self, Refused> {
        let document: Self = from_toml(toml, &refusal::AGREEMENT_INCOMPLETE)?;
        document.validate().map(|()| document)
    }

    /// Checks it, however it came.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn validate(&self) -> Result<(), Refused> {
        let epsilon = self.budgets.privacy_epsilon;
        let privacy_budget = self.doors.contains(&Door::Private) != is_nothing(&epsilon) && epsilon <= Epsilon::ASKED_MAX;
        let elements = [
            ("purposes", !self.purposes.is_empty()),
            ("recipients", !self.recipients.is_empty()),
            ("doors", !self.doors.is_empty()),
            ("budgets.privacy_epsilon", privacy_budget),
            ("columns", is_columns(&self.columns)),
            ("veto_working_days", self.veto_working_days.iter().all(|(door, n)| self.doors.contains(door) && *n <= VETO_WORKING_DAYS_MAX)),
            ("term", self.term.from <= self.term.until),
            ("safeguards", is_text(&self.safeguards)),
            ("disposal", is_text(&self.disposal)),
        ];
        complete(elements, &refusal::AGREEMENT_INCOMPLETE)
    }

    /// Checks that it stays within the application: same operator, no further purpose, no further column.
    ///
    /// # Errors
    /// `agreement.operator`, `agreement.purpose`, `agreement.column`, each naming what goes beyond.
    pub fn within(&self, application: &ApplicationDocument) -> Result<(), Refused> {
        if self.operator != application.operator {
            return Err(Refused::new(&refusal::AGREEMENT_OPERATOR));
        }
        if let Some(purpose) = self.purposes.difference(&application.purposes).next() {
            return Err(Refused::new(&refusal::AGREEMENT_PURPOSE).subject(purpose.as_str()));
        }
        match first_beyond(&self.columns, &application.columns) {
            Some(column) => Err(Refused::new(&refusal::AGREEMENT_COLUMN).subject(&column)),
            None => Ok(()),
        }
    }
}
