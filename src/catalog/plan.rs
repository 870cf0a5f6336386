//! A fusion plan as it is written: names and decimal texts, nothing resolved. [`super::resolve`] turns it into what the engine gets.

use protocol::canonical::to_canonical_json;
use protocol::plan::{DateBucket, FilterOp, JoinKind};
use serde::{Deserialize, Serialize};

use crate::id::{DatasetId, Name, PlanId};
use crate::refusal::{PLAN_INVALID, Refused};

/// A plan. Two plans are the same exactly if their digests are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a fusion plan")]
pub struct FusionPlan {
    /// Identifier.
    pub id: PlanId,
    /// Title.
    pub title: String,
    /// The privacy unit, `alias.column`: a direct identifier that every row of the view has.
    pub unit: String,
    /// Kind of identifier of the unit, as the catalogue declares it.
    pub namespace: Name,
    /// The emergency that the plan serves, where a member was collected for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Name>,
    /// Whether the plan serves the verification door alone: then a dataset that is not shared may be a member (H13), and no job takes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verification: bool,
    /// The members; the first is the base.
    pub members: Vec<MemberDocument>,
    /// How every other member is attached, in the order in which it happens.
    #[serde(default)]
    pub joins: Vec<JoinDocument>,
    /// The granted columns.
    pub outputs: Vec<OutputDocument>,
}

/// A member of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a member")]
pub struct MemberDocument {
    /// Its name in the plan.
    pub alias: String,
    /// Its dataset.
    pub dataset: DatasetId,
    /// Constant row filters, all of which must hold.
    #[serde(default)]
    pub filters: Vec<FilterDocument>,
}

/// A constant row filter: exactly one of `value` and (for `in`) `values`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a filter")]
pub struct FilterDocument {
    /// Column of the member.
    pub column: String,
    /// `eq`, `ne`, `lt`, `le`, `gt`, `ge` or `in`.
    #[schema(value_type = String)]
    pub op: FilterOp,
    /// The constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Constant>,
    /// The constants of `in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Constant>>,
}

/// A constant: an integer, or a text (decimal, label, `YYYY-MM-DD`, `YYYY-MM-DD HH`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged, expecting = "an integer or a text")]
pub enum Constant {
    /// Whole number.
    Integer(i64),
    /// Anything else; decimals are texts, so that no digit is lost.
    Text(String),
}

/// How a member is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a join")]
pub struct JoinDocument {
    /// Alias of the member that is attached.
    pub member: String,
    /// `inner` or `left`.
    #[schema(value_type = String)]
    pub kind: JoinKind,
    /// Pairs (`alias.column` of an earlier member, column of this one), all of which must be equal.
    pub on: Vec<(String, String)>,
}

/// A granted column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an output")]
pub struct OutputDocument {
    /// Its name in the view.
    pub name: String,
    /// `alias.column`.
    pub from: String,
    /// What is done to it; `keep` has to be said.
    pub transform: TransformDocument,
}

/// A transform: `"keep"`, `"pseudonym"`, `"mask"`, `{ prefix = 6 }`, `{ bucket = "month" }`,
/// `{ bands = { cuts = ["0", "30"], labels = ["none", "some", "many"] } }`, `{ clamp = { min = "0", max = "100" } }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", expecting = "a transform")]
pub enum TransformDocument {
    /// As it is.
    Keep,
    /// Project-scoped keyed pseudonym.
    Pseudonym,
    /// All values missing.
    Mask,
    /// The first characters of a text.
    Prefix(u16),
    /// Day or hour to the first day of its bucket.
    #[schema(value_type = String)]
    Bucket(DateBucket),
    /// Number to label.
    Bands {
        /// Rising cut points; label `i` holds from `cuts[i-1]` to below `cuts[i]`.
        cuts: Vec<Constant>,
        /// One label more than cut points.
        labels: Vec<String>,
    },
    /// Bottom and top coding.
    Clamp {
        /// Smallest value left.
        min: Constant,
        /// Largest value left.
        max: Constant,
    },
}

impl FusionPlan {
    /// Parses TOML. Names and constants are checked by [`super::resolve`], against the catalogue.
    ///
    /// # Errors
    /// `plan.invalid` with line and reason.
    pub fn parse(toml: &str) -> Result<Self, Refused> {
        super::document::from_toml(toml, &PLAN_INVALID)
    }

    /// The TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of the plan's canonical JSON: what an agreement pins.
    pub fn digest(&self) -> [u8; 32] {
        // A plan holds texts and integers only, so it always has a canonical form.
        let bytes = to_canonical_json(self).unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        digest.as_ref().try_into().unwrap_or_default()
    }

    /// The datasets, in the plan's order.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetId> {
        self.members.iter().map(|m| &m.dataset)
    }
}
