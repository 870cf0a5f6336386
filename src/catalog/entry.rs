//! A catalogue entry: what a provider declares about a dataset before any row of it is seen.
//!
//! Written in TOML. Missing elements are refused by name, all at once; unknown ones too. Decimal texts become stored integers
//! of the declared resolution here, so nothing later has to know how a bound was written.

use std::collections::BTreeSet;

use protocol::limits::Limits;
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey, Role, is_name};
use protocol::value::{SCALE_MAX, format_decimal, parse_decimal};
use serde::{Deserialize, Serialize};

use crate::clock::Date;
use crate::id::{DatasetId, Name, OrgId};
use crate::refusal::{DATASET_INCOMPLETE, DATASET_INVALID, DATASET_LEGAL_BASIS, Refused};

use super::document::{ColumnDocument, EntryDocument};

/// Characters of a title, a source or a legal basis.
const PROSE_CHARS_MAX: usize = 400;
/// Bytes of a purpose in a consent record.
const PURPOSE_BYTES_MAX: u32 = 63;

/// Security level of data, rising (X59): a fused view has the highest of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecurityLevel {
    /// 一般数据.
    General,
    /// 重要数据.
    Important,
    /// 核心数据: never an input.
    Core,
}

/// Sharing or opening class (X26, X28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessClass {
    /// 无条件.
    Unconditional,
    /// 有条件.
    Conditional,
    /// 不予; needs a legal basis.
    None,
}

/// A class and, where it is `none`, its legal basis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The class.
    pub class: AccessClass,
    /// Legal basis; needed where the class is `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
}

/// Kind of public data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicKind {
    /// 政务数据.
    Government,
    /// 公共服务数据.
    PublicService,
}

/// Whether data is public, and whose it is if not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataOrigin {
    /// 公共数据.
    Public(PublicKind),
    /// 非公共数据, with the organisation that owns it.
    NonPublic {
        /// The owner.
        owner: OrgId,
    },
}

/// How often the source is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateFrequency {
    /// Never again.
    Once,
    /// Every day, or more often.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Every three months.
    Quarterly,
    /// Every year.
    Yearly,
}

impl UpdateFrequency {
    /// The first day on which data of `updated` is stale; `None` where it never is.
    pub fn stale_on(self, updated: Date) -> Option<Date> {
        let months = match self {
            Self::Once => return None,
            Self::Daily => return Some(Date::from_days(updated.days() + 2)),
            Self::Weekly => return Some(Date::from_days(updated.days() + 8)),
            Self::Monthly => 1,
            Self::Quarterly => 3,
            Self::Yearly => 12,
        };
        let (year, month, day) = updated.year_month_day();
        let month0 = i32::from(month) - 1 + months;
        let (year, month) = (year + month0 / 12, u8::try_from(month0 % 12 + 1).ok()?);
        // A month without such a day ends before it.
        let due = (0..4).find_map(|less| Date::new(year, month, day.saturating_sub(less)))?;
        Some(Date::from_days(due.days() + 1))
    }
}

/// One column of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEntry {
    /// Title.
    pub title: String,
    /// Kind of identifier that it holds (person, firm): set for every direct identifier.
    pub namespace: Option<Name>,
    /// What ingest enforces and the engine reads.
    pub schema: ColumnSchema,
}

/// A validated entry. Its JSON and TOML are the documented form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "EntryDocument")]
pub struct CatalogueEntry {
    /// Identifier.
    pub id: DatasetId,
    /// Title.
    pub title: String,
    /// The organisation that answers for it (数源部门, or the supplier of non-public data).
    pub provider: OrgId,
    /// Public or not.
    pub origin: DataOrigin,
    /// Where it comes from.
    pub source: String,
    /// How often it is brought up to date.
    pub update_frequency: UpdateFrequency,
    /// Its grade.
    pub security_level: SecurityLevel,
    /// Sharing class.
    pub sharing: Access,
    /// Opening class.
    pub opening: Access,
    /// Whether it holds personal information: then rows need consent.
    pub personal_information: bool,
    /// Whether no row is about a person or a firm (weather, stations): then it may stand in a plan of the private door without the
    /// unit. What is not said is not so.
    pub unit_free: bool,
    /// The emergency it was collected for.
    pub emergency: Option<Name>,
    /// Rows that the provider declares.
    pub declared_rows: u64,
    /// The columns.
    pub columns: Vec<ColumnEntry>,
    /// Indexes of the columns that together are unique; empty: no rule.
    pub unique: Vec<u16>,
    /// Index of the column whose subject consents; set exactly where `personal_information` is.
    pub consent_unit: Option<u16>,
}

impl CatalogueEntry {
    /// Parses and validates TOML.
    ///
    /// # Errors
    /// `dataset.incomplete` naming every missing element, `dataset.legal_basis`, or `dataset.invalid` naming the first bad one.
    pub fn parse(toml: &str) -> Result<Self, Refused> {
        Self::validate(super::document::from_toml(toml, &DATASET_INVALID)?)
    }

    /// Validates a document however it came.
    ///
    /// # Errors
    /// As [`CatalogueEntry::parse`].
    pub fn validate(document: EntryDocument) -> Result<Self, Refused> {
        let missing = document.missing();
        if !missing.is_empty() {
            return Err(Refused::new(&DATASET_INCOMPLETE).subject(&missing.join(", ")));
        }
        build(document)
    }

    /// The documented TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(&EntryDocument::from(self.clone())).unwrap_or_default()
    }

    /// The organisation whose word an agreement needs: the provider of public data, the owner of other data.
    pub fn owner(&self) -> &OrgId {
        match &self.origin {
            DataOrigin::Public(_) => &self.provider,
            DataOrigin::NonPublic { owner } => owner,
        }
    }

    /// The columns as ingest gets them.
    pub fn schema(&self) -> Vec<ColumnSchema> {
        self.columns.iter().map(|c| c.schema.clone()).collect()
    }

    /// Index and declaration of a column.
    pub fn column(&self, name: &str) -> Option<(u16, &ColumnEntry)> {
        (0u16..).zip(&self.columns).find(|(_, c)| c.schema.name == name)
    }

    /// Schema of its consent table, unit, purpose and expiry (inclusive) in this order; `None` where none is needed.
    pub fn consent_schema(&self) -> Option<Vec<ColumnSchema>> {
        let unit = &self.columns.get(usize::from(self.consent_unit?))?.schema;
        let column = |name: &str, role, ty, linkage| ColumnSchema { name: name.to_owned(), role, ty, linkage, nullable: false };
        Some(vec![
            column("unit", Role::DirectIdentifier, unit.ty.clone(), unit.linkage),
            column("purpose", Role::Category, ColumnType::Text { bytes_max: PURPOSE_BYTES_MAX }, None),
            column("expiry", Role::Category, ColumnType::Date, None),
        ])
    }
}

/// The namespace that identifiers of this kind always belong to, so that no entry can open a second budget for them.
fn fixed_namespace(kind: LinkageKey) -> Option<&'static str> {
    match kind {
        LinkageKey::ResidentId => Some("person"),
        LinkageKey::Uscc => Some("firm"),
        LinkageKey::Plate => Some("vehicle"),
        LinkageKey::Geocode | LinkageKey::Opaque => None,
    }
}

fn invalid(element: &str, why: &str) -> Refused {
    Refused::new(&DATASET_INVALID).subject(&format!("{element}: {why}"))
}

fn build(d: EntryDocument) -> Result<CatalogueEntry, Refused> {
    // Every `?` on an option below was checked by `missing`; the message is the same if it were not.
    let need = |element: &'static str| move || Refused::new(&DATASET_INCOMPLETE).subject(element);
    let prose = |element: &'static str, text: Option<String>| -> Result<String, Refused> {
        let text = text.ok_or_else(need(element))?;
        if is_prose(&text) { Ok(text) } else { Err(invalid(element, "empty, too long or with control characters")) }
    };
    let parsed = |element: &'static str, text: Option<String>| -> Result<Name, Refused> {
        text.ok_or_else(need(element))?.parse().map_err(|_| invalid(element, "not a name"))
    };
    let public = d.origin == Some(super::document::OriginWord::Public);
    let origin = if public {
        if d.owner.is_some() {
            return Err(invalid("owner", "public data has a provider, no owner"));
        }
        DataOrigin::Public(d.public_kind.ok_or_else(need("public_kind"))?)
    } else {
        if d.public_kind.is_some() {
            return Err(invalid("public_kind", "for public data only"));
        }
        DataOrigin::NonPublic { owner: parsed("owner", d.owner)?.into() }
    };
    let columns = columns(d.columns.ok_or_else(need("columns"))?)?;
    let index = |element: &str, name: &str| -> Result<u16, Refused> {
        let found = (0u16..).zip(&columns).find(|(_, c)| c.schema.name == name);
        found.map(|(i, _)| i).ok_or_else(|| invalid(element, "no such column"))
    };
    let personal_information = d.personal_information.ok_or_else(need("personal_information"))?;
    if d.unit_free && (personal_information || columns.iter().any(|c| c.schema.role == Role::DirectIdentifier)) {
        return Err(invalid("unit_free", "it holds personal information or direct identifiers"));
    }
    let consent_unit = d.consent_unit.as_deref().map(|n| index("consent_unit", n)).transpose()?;
    if consent_unit.is_some() && !personal_information {
        return Err(invalid("consent_unit", "for personal information only"));
    }
    if let Some(unit) = consent_unit.and_then(|i| columns.get(usize::from(i)))
        && (unit.schema.role != Role::DirectIdentifier || unit.schema.nullable)
    {
        return Err(invalid("consent_unit", "not a direct identifier that is always there"));
    }
    let unique = d.unique.iter().map(|n| index("unique", n)).collect::<Result<Vec<_>, _>>()?;
    if unique.iter().collect::<BTreeSet<_>>().len() != unique.len() {
        return Err(invalid("unique", "a column stands twice"));
    }
    Ok(CatalogueEntry {
        id: parsed("id", d.id)?.into(),
        title: prose("title", d.title)?,
        provider: parsed("provider", d.provider)?.into(),
        origin,
        source: prose("source", d.source)?,
        update_frequency: d.update_frequency.ok_or_else(need("update_frequency"))?,
        security_level: d.security_level.ok_or_else(need("security_level"))?,
        sharing: access("sharing", d.sharing.ok_or_else(need("sharing"))?)?,
        opening: access("opening", d.opening.ok_or_else(need("opening"))?)?,
        personal_information,
        unit_free: d.unit_free,
        emergency: d.emergency.map(|t| parsed("emergency", Some(t))).transpose()?,
        declared_rows: d.declared_rows.filter(|r| *r <= Limits::STANDARD.rows_max).ok_or_else(|| invalid("declared_rows", "too many"))?,
        columns,
        unique,
        consent_unit,
    })
}

fn is_prose(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= PROSE_CHARS_MAX && !text.chars().any(char::is_control)
}

fn access(element: &'static str, access: Access) -> Result<Access, Refused> {
    match &access.legal_basis {
        None if access.class == AccessClass::None => Err(Refused::new(&DATASET_LEGAL_BASIS).subject(element)),
        Some(basis) if !is_prose(basis) => Err(Refused::new(&DATASET_LEGAL_BASIS).subject(element)),
        _ => Ok(access),
    }
}

fn columns(documents: Vec<ColumnDocument>) -> Result<Vec<ColumnEntry>, Refused> {
    if documents.is_empty() || documents.len() > Limits::STANDARD.columns_max as usize {
        return Err(invalid("columns", "none, or more than allowed"));
    }
    let mut seen = BTreeSet::new();
    documents
        .into_iter()
        .map(|d| {
            let name = d.name.clone().unwrap_or_default();
            if !is_name(&name) || !seen.insert(name.clone()) {
                return Err(invalid(&format!("columns.{name}"), "not a name of a-z, 0-9 and _, or there twice"));
            }
            column(name, d)
        })
        .collect()
}

fn column(name: String, d: ColumnDocument) -> Result<ColumnEntry, Refused> {
    let bad = |element: &str, why: &str| invalid(&format!("columns.{name}.{element}"), why);
    let ty = d.column_type().map_err(|(element, why)| bad(element, why))?;
    let (Some(role), Some(title), Some(nullable)) = (d.role, d.title, d.nullable) else {
        return Err(Refused::new(&DATASET_INCOMPLETE).subject(&format!("columns.{name}")));
    };
    if !is_prose(&title) {
        return Err(bad("title", "empty, too long or with control characters"));
    }
    let is_text = matches!(ty, ColumnType::Text { .. });
    match role {
        Role::DirectIdentifier if !is_text || d.linkage.is_none() => {
            return Err(bad("role", "a direct identifier is a text with a linkage key"));
        }
        Role::Measure if !matches!(ty, ColumnType::Number { .. }) => return Err(bad("role", "a measure is a number")),
        Role::Category if is_text => {
            return Err(bad("role", "a category has a declared domain; a text is a quasi-identifier or sensitive"));
        }
        _ => {}
    }
    if !is_text && d.linkage.is_some_and(|k| k != LinkageKey::Opaque) {
        return Err(bad("linkage", "only texts have this form; `opaque` lets other types be joined on"));
    }
    // A check digit makes the column name its subject, whatever else is declared.
    if d.linkage.is_some_and(|k| fixed_namespace(k).is_some()) && role != Role::DirectIdentifier {
        return Err(bad("role", "resident ID numbers, USCCs and plates are direct identifiers"));
    }
    let namespace: Option<Name> = d.namespace.map(|n| n.parse().map_err(|_| bad("namespace", "not a name"))).transpose()?;
    let namespace = match (role, d.linkage.and_then(fixed_namespace), namespace) {
        (Role::DirectIdentifier, Some(fixed), None) => fixed.parse().ok(),
        (Role::DirectIdentifier, Some(fixed), Some(n)) if n.as_str() != fixed => {
            return Err(bad("namespace", "identifiers of this kind have a fixed namespace"));
        }
        (Role::DirectIdentifier, None, None) => return Err(Refused::new(&DATASET_INCOMPLETE).subject(&format!("columns.{name}.namespace"))),
        (Role::DirectIdentifier, None, Some(n)) if matches!(n.as_str(), "person" | "firm" | "vehicle") => {
            return Err(bad("namespace", "kept for identifiers with a check of their own"));
        }
        (Role::DirectIdentifier, _, n) => n,
        (_, _, Some(_)) => return Err(bad("namespace", "for direct identifiers only")),
        (_, _, None) => None,
    };
    Ok(ColumnEntry { title, namespace, schema: ColumnSchema { name, role, ty, linkage: d.linkage, nullable } })
}

/// The scale of a resolution: `"0.01"` is 2, `"1"` is 0.
pub(super) fn parse_resolution(text: &str) -> Option<u8> {
    (0..=SCALE_MAX).find(|scale| parse_decimal(text, *scale) == Some(1) && (*scale == 0 || parse_decimal(text, scale - 1).is_none()))
}

/// The resolution of a scale.
pub(super) fn format_resolution(scale: u8) -> String {
    format_decimal(1, scale)
}

#[cfg(test)]
#[path = "entry_tests.rs"]
pub(super) mod tests;
