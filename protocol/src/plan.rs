//! A fusion plan as the engine gets it: every name resolved, every constant fixed, nothing left to decide.

use serde::{Deserialize, Serialize};

use crate::schema::{ColumnSchema, ColumnType};

/// What the engine fuses. Members and columns are indexes, so that no text is looked up in a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FusePlan {
    /// The members; the first is the base, whose rows the others are joined to.
    pub members: Vec<PlanMember>,
    /// `joins[i]` attaches `members[i + 1]`.
    pub joins: Vec<PlanJoin>,
    /// The granted columns, in the order in which the guest sees them.
    pub outputs: Vec<PlanOutput>,
    /// The privacy unit: an identifier of one member.
    pub unit: ColumnRef,
    /// Purpose for which consent is looked up.
    pub purpose: String,
    /// Today, in days since 1970-01-01: consent that expired before is none.
    pub today: i64,
    /// What a base row is known by in every job.
    pub identity: RowIdentity,
    /// Worker threads of the engine.
    pub threads: u16,
}

/// The base rows of a view, for the audit across releases: those of the member that carries the privacy unit. A row is known by its
/// dataset and its whole content, so that it is the same in every plan and survives a re-import; a row whose content changed is
/// another one, of the same unit. Rows of a member that the operator owns are known by their unit alone and how many of it came
/// before: what the operator writes beside the unit must not make new rows of old ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowIdentity {
    /// Index of the member.
    pub member: u16,
    /// Its catalogue id.
    pub dataset: String,
    /// Every column that its catalogue entry has, sorted by name; none where the operator owns it.
    pub columns: Vec<IdentityColumn>,
}

/// A column of a row's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityColumn {
    /// Loaded for the plan: index into [`PlanMember::columns`].
    Loaded(u16),
    /// Read for the identity only, and forgotten before the guest starts.
    Extra(ColumnSchema),
}

impl FusePlan {
    /// Members of others that hold the unit's identifier in every row that they add: the unit's own member, and those joined on a
    /// column that equals it. The unit's own comes first.
    pub fn carriers(&self) -> Vec<u16> {
        let mut equal = vec![self.unit];
        // Joins may name the unit's member before or after it: twice around reaches every chain of two, and each round more.
        for _ in &self.members {
            for (member, join) in (1u16..).zip(&self.joins) {
                for (from, column) in &join.on {
                    let to = ColumnRef { member, column: *column };
                    match (equal.contains(from), equal.contains(&to)) {
                        (true, false) => equal.push(to),
                        (false, true) => equal.push(*from),
                        _ => {}
                    }
                }
            }
        }
        let mut carriers: Vec<u16> = equal.into_iter().map(|at| at.member).collect();
        let mut seen = std::collections::BTreeSet::new();
        carriers.retain(|m| seen.insert(*m) && self.members.get(usize::from(*m)).is_some_and(|member| !member.operator_owned));
        carriers
    }
}

/// Index of a member and of one of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnRef {
    /// Index into [`FusePlan::members`].
    pub member: u16,
    /// Index into [`PlanMember::columns`].
    pub column: u16,
}

/// One dataset version of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMember {
    /// The member's name in the plan.
    pub alias: String,
    /// The columns that are loaded (keys, filters, outputs, unit; no others).
    pub columns: Vec<ColumnSchema>,
    /// Rows.
    pub rows: u64,
    /// Set where the operator who runs the job owns it: its rows alone never count towards a minimum.
    pub operator_owned: bool,
    /// Set where it holds personal information: index of the column that a consent record names; rows without valid consent
    /// are dropped before the join.
    pub consent_unit: Option<u16>,
    /// Constant row filters, all of which must hold.
    pub filters: Vec<RowFilter>,
}

/// How a member is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanJoin {
    /// Kind of join.
    pub kind: JoinKind,
    /// Pairs (column of an earlier member, column index in the attached member). All must be equal; missing never matches.
    pub on: Vec<(ColumnRef, u16)>,
}

/// Kind of join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// Rows without a partner are dropped.
    Inner,
    /// Rows of the base without a partner stay, with missing values.
    Left,
}

/// `column op constant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFilter {
    /// Index of the member's column.
    pub column: u16,
    /// Comparison.
    pub op: FilterOp,
    /// Constants: one, or several for `in`. Numbers, dates and hours as stored integers.
    pub values: Vec<Literal>,
}

/// Comparison of a row filter. A missing value satisfies none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// One of.
    In,
}

/// A constant of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Literal {
    /// Stored integer.
    Int(i64),
    /// Label or text.
    Text(String),
}

/// One granted column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOutput {
    /// Its name in the view.
    pub name: String,
    /// Where it comes from.
    pub from: ColumnRef,
    /// What is done to it before anyone sees it.
    pub transform: Transform,
}

/// Per-column transform. Row-wise, with constants from the plan only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// As it is. Refused for direct identifiers.
    Keep,
    /// Project-scoped keyed pseudonym: the first 63 bits of HMAC-SHA-256(project key, linkage kind, canonical identifier).
    Pseudonym,
    /// The first `characters` characters of a text (geocode to district, ICD to three characters).
    Prefix {
        /// Characters kept.
        characters: u16,
    },
    /// Number to category: label `i` for `cuts[i-1] <= value < cuts[i]`, `labels.len() == cuts.len() + 1`.
    Bands {
        /// Rising cut points, stored integers.
        cuts: Vec<i64>,
        /// Label of each band.
        labels: Vec<String>,
    },
    /// Date or hour to the first day (hour) of its bucket.
    Bucket(DateBucket),
    /// Top and bottom coding with constants, stored integers.
    Clamp {
        /// Smallest value left.
        min: i64,
        /// Largest value left.
        max: i64,
    },
    /// All values missing.
    Mask,
}

/// Width of a date bucket. Weeks begin on Monday (ISO 8601).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateBucket {
    /// Day.
    Day,
    /// ISO week.
    Week,
    /// Month.
    Month,
    /// Quarter.
    Quarter,
    /// Year.
    Year,
}

/// A column of a fused view, as guests see it (granted) or as the engine alone sees it (hidden).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: ViewType,
    /// Who may have it.
    pub visibility: Visibility,
    /// `alias.column` it comes from, for provenance.
    pub provenance: String,
}

/// Who may have a view column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Granted to the guest.
    Granted,
    /// Namespace ordinal of the row's privacy unit (`i64`): engine and store only.
    UnitOrdinal,
    /// 1 where the row has a part in a member that the operator does not own (`i64` 0 / 1): engine only. Where members of others
    /// hold the unit's identifier ([`FusePlan::carriers`]), only a part in one of them counts: a unit that the operator invented
    /// may well have weather.
    Foreign,
    /// Keyed identity of the base row (`i64`, 63 bits; [`RowIdentity`]): engine and gate only.
    RowIdentity,
}

/// Type of a view column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewType {
    /// Fixed-point `i64`.
    Number {
        /// Decimal digits after the point.
        scale: u8,
        /// Smallest stored integer.
        min: i64,
        /// Largest stored integer.
        max: i64,
    },
    /// `u32` codes into the dictionary that travels with the column.
    Category {
        /// Whether the dictionary was declared (then cells of the whole domain exist) or found in the data (then only cells with
        /// enough units may be named).
        declared: bool,
    },
    /// `i64` days since 1970-01-01.
    Date,
    /// `i64` hours since 1970-01-01T00.
    Hour,
    /// `i64`, 63 random-looking bits: equal within a project where the identifier is equal. Not a key of a table.
    Pseudonym,
}

impl ViewType {
    /// The type that `transform` makes of `ty`; `None` where it does not apply.
    pub fn after(ty: &ColumnType, transform: &Transform) -> Option<Self> {
        match (transform, ty) {
            (Transform::Pseudonym, ColumnType::Text { .. }) => Some(Self::Pseudonym),
            (Transform::Prefix { .. } | Transform::Keep | Transform::Mask, ColumnType::Text { .. }) => {
                Some(Self::Category { declared: false })
            }
            (Transform::Keep | Transform::Mask, ColumnType::Category { .. }) => Some(Self::Category { declared: true }),
            (Transform::Bands { .. }, ColumnType::Number { .. }) => Some(Self::Category { declared: true }),
            (Transform::Keep | Transform::Mask, ColumnType::Number { scale, min, max }) => {
                Some(Self::Number { scale: *scale, min: *min, max: *max })
            }
            (Transform::Clamp { min: lo, max: hi }, ColumnType::Number { scale, min, max }) => {
                Some(Self::Number { scale: *scale, min: (*min).clamp(*lo, *hi), max: (*max).clamp(*lo, *hi) })
            }
            (Transform::Keep | Transform::Mask | Transform::Bucket(_), ColumnType::Date) => Some(Self::Date),
            (Transform::Keep | Transform::Mask, ColumnType::Hour) => Some(Self::Hour),
            (Transform::Bucket(_), ColumnType::Hour) => Some(Self::Date),
            _ => None,
        }
    }
}

/// What fusing did, in exact figures: for providers and checkers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FusionReport {
    /// One a member, in the plan's order.
    pub members: Vec<MemberReport>,
    /// Rows of the view.
    pub rows: u64,
    /// Distinct privacy units of the view.
    pub units: u64,
}

/// What fusing did with one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// The member's name in the plan.
    pub alias: String,
    /// Rows read.
    pub rows: u64,
    /// Rows left after consent.
    pub rows_consented: u64,
    /// Rows left after the constant filters.
    pub rows_filtered: u64,
    /// Base rows (before any filter) that have a partner in this member (before any filter); the base: its own rows.
    pub base_rows_matched: u64,
}
