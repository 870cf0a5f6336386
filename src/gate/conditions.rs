//! What the rows of a cell have in common: the plan's filters, its inner joins, and the cell's labels, as conditions on columns of the
//! catalogue. Two cells of the same rows under different conditions tell that nobody is in one and not in the other.
//!
//! A value of an operator's own column is one of its version: the same rows with the same value in a version that changed another unit's value
//! would tell that this unit is not among them. Likewise who is in a view that an operator's own dataset chooses, and how often: the same rows
//! under two versions tell that none whom one of them left out, or counted twice, is among them. So a version is a condition of its own, also
//! where it is the same rows imported again, of which an equal cell tells nothing: that waits too.
//!
//! Conditions are compared by form, not by meaning. Ranges of a number, a date or an hour are the exception: however many filters, bands
//! and labels say it, and whatever goes without saying by the column's declared bounds. What is the same in another form counts as
//! different, and the table waits: more than needed, never less.

use std::collections::{BTreeMap, BTreeSet};

use protocol::plan::{ColumnRef, FilterOp, JoinKind, Literal, RowFilter, Transform, ViewType};
use protocol::schema::{ColumnSchema, ColumnType};
use protocol::table::{Cell, KeyDomain, TableHeader, TableRequest};
use serde::Serialize;

use crate::catalog::ResolvedPlan;
use crate::id::ModuleDigest;
use crate::policy::ActivePolicy;
use crate::refusal::{self, Refused};

/// Possible values of an operator's own column up to which made-up ones are judged: then some thousand rows have enough of each.
const OWN_VALUES_MAX: u64 = 100;

/// A granted column: where it comes from.
struct Source {
    column: ColumnSchema,
    path: String,
    transform: Transform,
}

/// What cells of one job are described by.
#[derive(Default)]
pub struct Conditions {
    plan: Set,
    columns: BTreeMap<String, Source>,
    own: BTreeSet<String>,
    module: String,
}

/// Conditions, all of which hold.
#[derive(Clone, Default, Serialize)]
struct Set {
    /// Column of a dataset: smallest and largest stored integer.
    ranges: BTreeMap<String, (i64, i64)>,
    /// Everything else.
    texts: BTreeSet<String>,
}

impl Set {
    fn within(&mut self, path: &str, column: &ColumnSchema, (low, high): (i64, i64)) {
        let bounds = match column.ty {
            ColumnType::Number { min, max, .. } => (min, max),
            _ => (i64::MIN, i64::MAX),
        };
        let range = self.ranges.entry(path.to_owned()).or_insert(bounds);
        *range = (range.0.max(low), range.1.min(high));
        if *range == bounds {
            self.ranges.remove(path);
        }
        if column.nullable {
            self.texts.insert(format!("{path} is there"));
        }
    }

    fn filter(&mut self, path: &str, column: &ColumnSchema, filter: &RowFilter) {
        let value = match filter.values.as_slice() {
            [Literal::Int(value)] => Some(*value),
            _ => None,
        };
        let range = value.and_then(|v| match filter.op {
            FilterOp::Eq | FilterOp::In => Some((v, v)),
            FilterOp::Lt => Some((i64::MIN, v.saturating_sub(1))),
            FilterOp::Le => Some((i64::MIN, v)),
            FilterOp::Gt => Some((v.saturating_add(1), i64::MAX)),
            FilterOp::Ge => Some((v, i64::MAX)),
            FilterOp::Ne => None,
        });
        match (range, filter.values.as_slice(), filter.op) {
            (Some(range), ..) => self.within(path, column, range),
            (None, [Literal::Text(label)], FilterOp::Eq | FilterOp::In) => {
                self.texts.insert(format!("{path} = {label}"));
            }
            (None, values, op) => {
                let mut values: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
                values.sort();
                self.texts.insert(format!("{path} {op:?} {}", values.join(", ")));
            }
        }
    }

    /// That a granted column has this value; `label` is its text where it is a category.
    fn value(&mut self, source: &Source, value: i64, label: Option<&str>) {
        let Source { column, path, transform } = source;
        let range = match transform {
            Transform::Keep if label.is_none() => Some((value, value)),
            Transform::Clamp { min, max } => {
                Some((if value <= *min { i64::MIN } else { value }, if value >= *max { i64::MAX } else { value }))
            }
            Transform::Bands { cuts, .. } => usize::try_from(value).ok().map(|i| {
                let low = i.checked_sub(1).and_then(|i| cuts.get(i)).copied().unwrap_or(i64::MIN);
                (low, cuts.get(i).map_or(i64::MAX, |cut| cut.saturating_sub(1)))
            }),
            _ => None,
        };
        match (range, transform, label) {
            (Some(range), ..) => self.within(path, column, range),
            (None, Transform::Keep, Some(label)) => {
                self.texts.insert(format!("{path} = {label}"));
            }
            (None, transform, label) => {
                self.texts.insert(format!("{path} by {transform:?} = {value} {}", label.unwrap_or_default()));
            }
        }
    }

    /// 128 bits of SHA-256: equal for equal conditions.
    fn digest(&self) -> u128 {
        let bytes = protocol::canonical::to_canonical_json(&self.texts).unwrap_or_default();
        let ranges: Vec<u8> = self
            .ranges
            .iter()
            .flat_map(|(path, (low, high))| [path.as_bytes(), b"\0", &low.to_le_bytes(), &high.to_le_bytes()].concat())
            .collect();
        let digest = ring::digest::digest(&ring::digest::SHA256, &[bytes, ranges].concat());
        digest.as_ref().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
    }
}

/// What the author of a module is told of tables that measure one of the `unjudged` columns: the rule as it would refuse, with the table's and
/// the measure's name.
pub fn own_notices(tables: &[TableRequest], unjudged: &BTreeSet<String>, policy: &ActivePolicy) -> Vec<(String, Refused)> {
    let threshold = format!("{} units", policy.rules().table.min_frequency);
    let of = |table: &TableRequest| {
        let measured = table.measures.iter().find(|m| m.column.as_ref().is_some_and(|column| unjudged.contains(column)))?;
        let refused = Refused::new(&refusal::TABLE_OWN_MEASURE).threshold(threshold.clone()).subject(&measured.name);
        Some((table.name.clone(), refused))
    };
    tables.iter().filter_map(of).collect()
}

/// Whether a member has a part in which rows a view has, and how often. One that is attached by columns that are unique in it, to rows that
/// stay without it, and that no other is attached to, has none.
fn chooses(plan: &ResolvedPlan, index: u16) -> bool {
    let joined = index.checked_sub(1).and_then(|i| plan.fuse.joins.get(usize::from(i)));
    let (Some(join), Some(member)) = (joined.filter(|join| join.kind == JoinKind::Left), plan.members.get(usize::from(index))) else {
        return true;
    };
    let on: BTreeSet<u16> = join.on.iter().filter_map(|(_, column)| member.columns.get(usize::from(*column)).copied()).collect();
    let once = !member.unique.is_empty() && member.unique.iter().all(|column| on.contains(column));
    !once || plan.fuse.joins.iter().any(|other| other.on.iter().any(|(from, _)| from.member == index))
}

impl Conditions {
    /// Those of a plan's rows, and where its granted columns come from. `module` derived what else there is.
    pub fn of(plan: &ResolvedPlan, module: Option<&ModuleDigest>) -> Self {
        let mut all = Self { module: module.map(ToString::to_string).unwrap_or_default(), ..Self::default() };
        let found = |at: ColumnRef| {
            let member = plan.fuse.members.get(usize::from(at.member))?;
            let column = member.columns.get(usize::from(at.column))?;
            let resolved = plan.members.get(usize::from(at.member))?;
            // What the operator wrote into one version says nothing of another: the same rows under both would tell who is not among them.
            let version = resolved.version.filter(|_| member.operator_owned).map_or_else(String::new, |v| format!("@{}", v.version));
            Some((column.clone(), format!("{}{version}.{}", resolved.dataset, column.name)))
        };
        for (member, index) in plan.fuse.members.iter().zip(0u16..) {
            if member.operator_owned && chooses(plan, index) {
                let version = plan.members.get(usize::from(index)).map(|m| (&m.dataset, m.version.map_or(0, |v| v.version)));
                all.plan.texts.extend(version.map(|(dataset, version)| format!("by {dataset}@{version}")));
            }
            let join = index.checked_sub(1).and_then(|i| plan.fuse.joins.get(usize::from(i)));
            if join.is_some_and(|join| join.kind != JoinKind::Inner) {
                continue;
            }
            if let Some(joined) = join.and_then(|_| plan.members.get(usize::from(index))) {
                all.plan.texts.insert(format!("in {}", joined.dataset));
            }
            for filter in &member.filters {
                if let Some((column, path)) = found(ColumnRef { member: index, column: filter.column }) {
                    all.plan.filter(&path, &column, filter);
                }
            }
        }
        for output in &plan.fuse.outputs {
            let Some((column, path)) = found(output.from) else { continue };
            if plan.fuse.members.get(usize::from(output.from.member)).is_some_and(|m| m.operator_owned) {
                all.own.insert(output.name.clone());
            }
            all.columns.insert(output.name.clone(), Source { column, path, transform: output.transform.clone() });
        }
        all
    }

    /// Those of a plan over made-up rows, and the operator's own columns of which figures are not judged there. Made-up values of one
    /// that can have many are as good as all different, whatever the real ones are: its author is told the rule instead ([`own_notices`]).
    pub fn on_synthetic(plan: &ResolvedPlan, module: Option<&ModuleDigest>) -> (Self, BTreeSet<String>) {
        let mut all = Self::of(plan, module);
        let few = |source: &Source| match ViewType::after(&source.column.ty, &source.transform) {
            Some(ViewType::Number { min, max, .. }) => max.abs_diff(min) < OWN_VALUES_MAX,
            Some(ViewType::Category { .. }) => true,
            _ => false,
        };
        let (judged, many) = std::mem::take(&mut all.own).into_iter().partition(|name| all.columns.get(name).is_some_and(few));
        all.own = judged;
        (all, many)
    }

    /// Granted columns that the operator owns.
    pub fn own(&self) -> &BTreeSet<String> {
        &self.own
    }

    /// Where a granted column's values come from, whatever the plan does to them; `None` for one that the module derived.
    pub(super) fn origin(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(|source| source.path.as_str())
    }

    /// What the rows of a cell have in common, and of a part of it the value of one of the operator's own columns.
    pub(super) fn digest(&self, header: &TableHeader, cell: &Cell, part: Option<(&str, Option<i64>)>) -> u128 {
        let mut set = self.plan.clone();
        for (at, ((key, value), domain)) in header.request.keys.iter().zip(&cell.keys).zip(&header.domains).enumerate() {
            if cell.is_total(at) {
                continue;
            }
            let label = match (domain, value) {
                (KeyDomain::Declared(labels) | KeyDomain::Found(labels), Some(code)) => {
                    usize::try_from(*code).ok().and_then(|i| labels.get(i)).map(String::as_str)
                }
                _ => None,
            };
            self.add(&mut set, key, *value, label);
        }
        if let Some((column, value)) = part {
            self.add(&mut set, column, value, None);
        }
        set.digest()
    }

    fn add(&self, set: &mut Set, column: &str, value: Option<i64>, label: Option<&str>) {
        match (self.columns.get(column), value) {
            (Some(source), Some(value)) => set.value(source, value, label),
            (Some(source), None) => {
                set.texts.insert(format!("{} is missing", source.path));
            }
            (None, value) => {
                set.texts.insert(format!("{column} of {} = {value:?}", self.module));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::schema::Role;

    use super::*;

    fn column(nullable: bool) -> ColumnSchema {
        let ty = ColumnType::Number { scale: 0, min: 0, max: 120 };
        ColumnSchema { name: "age".into(), role: Role::Measure, ty, linkage: None, nullable }
    }

    fn filtered(filters: &[(FilterOp, i64)], nullable: bool) -> u128 {
        let mut set = Set::default();
        for (op, value) in filters {
            set.filter("visits.age", &column(nullable), &RowFilter { column: 0, op: *op, values: vec![Literal::Int(*value)] });
        }
        set.digest()
    }

    #[test]
    fn a_range_is_the_same_however_it_is_said() {
        use FilterOp::{Eq, Ge, Gt, Le, Lt};
        let nothing = filtered(&[], false);
        assert_eq!(filtered(&[(Ge, 0)], false), nothing);
        assert_eq!(filtered(&[(Le, 120), (Gt, -1)], false), nothing);
        assert_ne!(filtered(&[(Ge, 0)], true), nothing, "who has no age is left out");
        assert_ne!(filtered(&[(Le, 119)], false), nothing);
        assert_eq!(filtered(&[(Ge, 42), (Lt, 54)], false), filtered(&[(Le, 53), (Ge, 20), (Gt, 41)], false));
        let source = |transform| Source { column: column(false), path: "visits.age".into(), transform };
        let value = |transform, value, label| {
            let mut set = Set::default();
            set.value(&source(transform), value, label);
            set.digest()
        };
        let bands = Transform::Bands { cuts: vec![42, 54], labels: ["a", "b", "c"].map(str::to_owned).to_vec() };
        assert_eq!(value(bands.clone(), 1, Some("b")), filtered(&[(Ge, 42), (Lt, 54)], false));
        assert_eq!(value(bands, 0, Some("a")), filtered(&[(Lt, 42)], false));
        assert_eq!(value(Transform::Keep, 42, None), filtered(&[(Eq, 42)], false));
        assert_eq!(value(Transform::Clamp { min: 20, max: 60 }, 60, None), filtered(&[(Ge, 60)], false));
        assert_ne!(value(Transform::Keep, 42, None), value(Transform::Keep, 43, None));
    }
}
