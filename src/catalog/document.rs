//! The written form of catalogue entries: every element optional, so that all missing ones can be named at once.

use protocol::limits::Limits;
use protocol::schema::{ColumnType, LinkageKey, Role};
use protocol::value::{format_decimal, parse_decimal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::entry::{
    Access, CatalogueEntry, ColumnEntry, DataOrigin, PublicKind, SecurityLevel, UpdateFrequency, format_resolution, parse_resolution,
};
use crate::refusal::{Refused, Rule};

/// Bytes of a document.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Labels of a declared domain.
const DOMAIN_LABELS_MAX: usize = 4096;
/// Bytes of one label.
const LABEL_BYTES_MAX: usize = 256;

/// Parses TOML strictly; the refusal names line and reason.
pub(super) fn from_toml<T: DeserializeOwned>(text: &str, rule: &'static Rule) -> Result<T, Refused> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(Refused::new(rule).subject("the document is larger than 1 MiB"));
    }
    toml::from_str(text).map_err(|e| {
        let line = e.span().and_then(|s| text.get(..s.start)).map_or(1, |before| before.matches('\n').count() + 1);
        Refused::new(rule).subject(&format!("line {line}: {}", e.message()))
    })
}

/// The word for an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginWord {
    /// 公共数据.
    Public,
    /// 非公共数据.
    NonPublic,
}

/// A catalogue entry as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default, expecting = "a catalogue entry")]
#[allow(missing_docs, reason = "the elements are described at CatalogueEntry")]
pub struct EntryDocument {
    pub id: Option<String>,
    pub title: Option<String>,
    pub provider: Option<String>,
    pub origin: Option<OriginWord>,
    pub public_kind: Option<PublicKind>,
    pub owner: Option<String>,
    pub source: Option<String>,
    pub update_frequency: Option<UpdateFrequency>,
    pub security_level: Option<SecurityLevel>,
    pub personal_information: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unit_free: bool,
    pub consent_unit: Option<String>,
    pub emergency: Option<String>,
    pub declared_rows: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<String>,
    pub sharing: Option<Access>,
    pub opening: Option<Access>,
    pub columns: Option<Vec<ColumnDocument>>,
}

/// The word for a column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeWord {
    /// Fixed-point number: `resolution`, `min`, `max`.
    Number,
    /// Label of `domain`.
    Category,
    /// Day.
    Date,
    /// Hour.
    Hour,
    /// Text up to `bytes_max` bytes.
    Text,
}

/// A column as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default, expecting = "a column")]
pub struct ColumnDocument {
    /// Name.
    pub name: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Disclosure role.
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// Type.
    #[serde(rename = "type")]
    pub ty: Option<TypeWord>,
    /// Numbers: a power of ten from `"1"` to `"0.000000001"`.
    pub resolution: Option<String>,
    /// Numbers: smallest value, a decimal.
    pub min: Option<String>,
    /// Numbers: largest value, a decimal.
    pub max: Option<String>,
    /// Categories: the labels.
    pub domain: Option<Vec<String>>,
    /// Texts: longest value in bytes.
    pub bytes_max: Option<u32>,
    /// Set where it may be joined on.
    #[schema(value_type = Option<String>)]
    pub linkage: Option<LinkageKey>,
    /// Direct identifiers: kind of identifier.
    pub namespace: Option<String>,
    /// Whether values may be missing.
    pub nullable: Option<bool>,
}

impl EntryDocument {
    /// The names of all elements that are not there.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = [
            ("id", self.id.is_none()),
            ("title", self.title.is_none()),
            ("provider", self.provider.is_none()),
            ("origin", self.origin.is_none()),
            ("public_kind", self.origin == Some(OriginWord::Public) && self.public_kind.is_none()),
            ("owner", self.origin == Some(OriginWord::NonPublic) && self.owner.is_none()),
            ("source", self.source.is_none()),
            ("update_frequency", self.update_frequency.is_none()),
            ("security_level", self.security_level.is_none()),
            ("personal_information", self.personal_information.is_none()),
            ("consent_unit", self.personal_information == Some(true) && self.consent_unit.is_none()),
            ("declared_rows", self.declared_rows.is_none()),
            ("sharing", self.sharing.is_none()),
            ("opening", self.opening.is_none()),
            ("columns", self.columns.is_none()),
        ]
        .into_iter()
        .filter(|(_, gone)| *gone)
        .map(|(name, _)| name.to_owned())
        .collect();
        for (i, column) in self.columns.iter().flatten().enumerate() {
            let label = column.name.clone().unwrap_or_else(|| (i + 1).to_string());
            missing.extend(column.missing().into_iter().map(|element| format!("columns.{label}.{element}")));
        }
        missing
    }
}

impl ColumnDocument {
    fn missing(&self) -> Vec<&'static str> {
        let of = |ty| self.ty == Some(ty);
        [
            ("name", self.name.is_none()),
            ("title", self.title.is_none()),
            ("role", self.role.is_none()),
            ("type", self.ty.is_none()),
            ("nullable", self.nullable.is_none()),
            ("resolution", of(TypeWord::Number) && self.resolution.is_none()),
            ("min", of(TypeWord::Number) && self.min.is_none()),
            ("max", of(TypeWord::Number) && self.max.is_none()),
            ("domain", of(TypeWord::Category) && self.domain.is_none()),
            ("bytes_max", of(TypeWord::Text) && self.bytes_max.is_none()),
        ]
        .into_iter()
        .filter(|(_, gone)| *gone)
        .map(|(name, _)| name)
        .collect()
    }

    /// The typed column, or the element that is wrong and why.
    pub(super) fn column_type(&self) -> Result<ColumnType, (&'static str, &'static str)> {
        let ty = self.ty.ok_or(("type", "missing"))?;
        let only = |element, set: bool, owner| if set && ty != owner { Err((element, "not an element of this type")) } else { Ok(()) };
        only("resolution", self.resolution.is_some(), TypeWord::Number)?;
        only("min", self.min.is_some(), TypeWord::Number)?;
        only("max", self.max.is_some(), TypeWord::Number)?;
        only("domain", self.domain.is_some(), TypeWord::Category)?;
        only("bytes_max", self.bytes_max.is_some(), TypeWord::Text)?;
        match ty {
            TypeWord::Number => {
                let scale = self
                    .resolution
                    .as_deref()
                    .and_then(parse_resolution)
                    .ok_or(("resolution", "not a power of ten from 1 to 0.000000001"))?;
                let bound = |element, text: &Option<String>| {
                    text.as_deref().and_then(|t| parse_decimal(t, scale)).ok_or((element, "not a decimal of the declared resolution"))
                };
                let (min, max) = (bound("min", &self.min)?, bound("max", &self.max)?);
                if min > max { Err(("max", "below `min`")) } else { Ok(ColumnType::Number { scale, min, max }) }
            }
            TypeWord::Category => {
                let domain = self.domain.clone().unwrap_or_default();
                if are_labels(&domain) {
                    Ok(ColumnType::Category { domain })
                } else {
                    Err(("domain", "empty, too long, with control characters or twice the same"))
                }
            }
            TypeWord::Date => Ok(ColumnType::Date),
            TypeWord::Hour => Ok(ColumnType::Hour),
            TypeWord::Text => match self.bytes_max {
                Some(bytes_max) if (1..=Limits::STANDARD.text_bytes_max).contains(&bytes_max) => Ok(ColumnType::Text { bytes_max }),
                _ => Err(("bytes_max", "outside 1 to 4096")),
            },
        }
    }
}

/// Whether these can be the labels of a category: some, distinct, short, trimmed, without control characters.
pub(super) fn are_labels(labels: &[String]) -> bool {
    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
    (1..=DOMAIN_LABELS_MAX).contains(&labels.len())
        && distinct.len() == labels.len()
        && labels.iter().all(|l| !l.is_empty() && l.len() <= LABEL_BYTES_MAX && l.trim() == l && !l.chars().any(char::is_control))
}

impl From<CatalogueEntry> for EntryDocument {
    fn from(e: CatalogueEntry) -> Self {
        let name = |i: u16| e.columns.get(usize::from(i)).map(|c| c.schema.name.clone());
        let (origin, public_kind, owner) = match &e.origin {
            DataOrigin::Public(kind) => (OriginWord::Public, Some(*kind), None),
            DataOrigin::NonPublic { owner } => (OriginWord::NonPublic, None, Some(owner.to_string())),
        };
        Self {
            unique: e.unique.iter().filter_map(|i| name(*i)).collect(),
            consent_unit: e.consent_unit.and_then(name),
            id: Some(e.id.to_string()),
            title: Some(e.title),
            provider: Some(e.provider.to_string()),
            origin: Some(origin),
            public_kind,
            owner,
            source: Some(e.source),
            update_frequency: Some(e.update_frequency),
            security_level: Some(e.security_level),
            personal_information: Some(e.personal_information),
            unit_free: e.unit_free,
            emergency: e.emergency.map(|n| n.to_string()),
            declared_rows: Some(e.declared_rows),
            sharing: Some(e.sharing),
            opening: Some(e.opening),
            columns: Some(e.columns.into_iter().map(ColumnDocument::from).collect()),
        }
    }
}

impl From<ColumnEntry> for ColumnDocument {
    fn from(c: ColumnEntry) -> Self {
        let mut d = Self {
            name: Some(c.schema.name),
            title: Some(c.title),
            role: Some(c.schema.role),
            linkage: c.schema.linkage,
            namespace: c.namespace.map(|n| n.to_string()),
            nullable: Some(c.schema.nullable),
            ..Self::default()
        };
        d.ty = Some(match c.schema.ty {
            ColumnType::Number { scale, min, max } => {
                d.resolution = Some(format_resolution(scale));
                d.min = Some(format_decimal(min, scale));
                d.max = Some(format_decimal(max, scale));
                TypeWord::Number
            }
            ColumnType::Category { domain } => {
                d.domain = Some(domain);
                TypeWord::Category
            }
            ColumnType::Date => TypeWord::Date,
            ColumnType::Hour => TypeWord::Hour,
            ColumnType::Text { bytes_max } => {
                d.bytes_max = Some(bytes_max);
                TypeWord::Text
            }
        });
        d
    }
}
