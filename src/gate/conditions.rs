//! What the rows of a cell have in common: the plan's filters, its inner joins, and the cell's labels, as conditions on columns of the
//! catalogue. Two cells of the same rows under different conditions tell that nobody is in one and not in the other.
//!
//! What an operator wrote into one version of its own data says nothing of another: neither that a row has a partner in it, nor how many, nor
//! which value it has. The same rows under both versions tell that whoever was added, taken out or changed between them is not among them. So
//! the version is a condition, also where it is the same rows imported again, of which an equal cell tells nothing: that waits too. A label
//! that a module derived is one of all that the module read, own versions included; what it makes of its seed is for whoever reviews it.
//!
//! Conditions are compared by form, not by meaning. Ranges of a number, a date or an hour are the exception: however many filters, bands
//! and labels say it, and whatever goes without saying by the column's declared bounds. What is the same in another form counts as
//! different, and the table waits: more than needed, never less.

use std::collections::{BTreeMap, BTreeSet};

use protocol::plan::{ColumnRef, FilterOp, JoinKind, Literal, PlanMember, RowFilter, Transform, ViewType};
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
    /// Of a member whose rows may be missing: what holds where one is there.
    joined: Option<Set>,
}

/// What cells of one job are described by.
#[derive(Default)]
pub struct Conditions {
    plan: Set,
    columns: BTreeMap<String, Source>,
    own: BTreeSet<String>,
    /// The module, and a digest of all that it read.
    derived: String,
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
    fn and(&mut self, other: &Self) {
        for (path, (low, high)) in &other.ranges {
            let range = self.ranges.entry(path.clone()).or_insert((*low, *high));
            *range = (range.0.max(*low), range.1.min(*high));
        }
        self.texts.extend(other.texts.iter().cloned());
    }

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
        let Source { column, path, transform, joined } = source;
        if let Some(joined) = joined {
            self.and(joined);
        }
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
                // A code is one of its table, its label is not.
                let value = label.map_or_else(|| value.to_string(), str::to_owned);
                self.texts.insert(format!("{path} by {transform:?} = {value}"));
            }
        }
    }

    /// That a granted column has none: in a row that is there, or because none is.
    fn missing(&mut self, Source { path, joined, .. }: &Source) {
        let of = joined.as_ref().map_or_else(String::new, |joined| format!(" of {:032x}", joined.digest()));
        self.texts.insert(format!("{path} is missing{of}"));
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

/// The dataset of a member; where the operator owns it, which version.
fn dataset(plan: &ResolvedPlan, index: u16) -> Option<String> {
    let (member, resolved) = (plan.fuse.members.get(usize::from(index))?, plan.members.get(usize::from(index))?);
    let version = resolved.version.filter(|_| member.operator_owned).map_or_else(String::new, |v| format!("@{}", v.version));
    Some(format!("{}{version}", resolved.dataset))
}

/// A member's column, and its name in the catalogue.
fn found(plan: &ResolvedPlan, at: ColumnRef) -> Option<(&ColumnSchema, String)> {
    let column = plan.fuse.members.get(usize::from(at.member))?.columns.get(usize::from(at.column))?;
    Some((column, format!("{}.{}", dataset(plan, at.member)?, column.name)))
}

/// What holds of a row that has one of a member's: that it is there, joined in this way, and the member's filters.
fn of_member(plan: &ResolvedPlan, index: u16, member: &PlanMember) -> Set {
    let mut set = Set::default();
    let join = index.checked_sub(1).and_then(|i| plan.fuse.joins.get(usize::from(i)));
    if member.operator_owned || join.is_some() {
        let name = |at| found(plan, at).map_or_else(String::new, |(_, path)| path);
        let on = join.into_iter().flat_map(|join| &join.on);
        let mut on: Vec<String> =
            on.map(|(from, to)| format!("{} = {}", name(*from), name(ColumnRef { member: index, column: *to }))).collect();
        on.sort();
        set.texts.insert(format!("in {} by {}", dataset(plan, index).unwrap_or_default(), on.join(", ")));
    }
    for filter in &member.filters {
        if let Some((column, path)) = found(plan, ColumnRef { member: index, column: filter.column }) {
            set.filter(&path, column, filter);
        }
    }
    set
}

impl Conditions {
    /// Those of a plan's rows, and where its granted columns come from. `module` derived what else there is.
    pub fn of(plan: &ResolvedPlan, module: Option<&ModuleDigest>) -> Self {
        let mut all = Self::default();
        let mut joined: BTreeMap<u16, Set> = BTreeMap::new();
        for (member, index) in plan.fuse.members.iter().zip(0u16..) {
            if member.operator_owned && chooses(plan, index) {
                let version = plan.members.get(usize::from(index)).map(|m| (&m.dataset, m.version.map_or(0, |v| v.version)));
                all.plan.texts.extend(version.map(|(dataset, version)| format!("by {dataset}@{version}")));
            }
            let set = of_member(plan, index, member);
            let join = index.checked_sub(1).and_then(|i| plan.fuse.joins.get(usize::from(i)));
            if join.is_some_and(|join| join.kind != JoinKind::Inner) {
                joined.insert(index, set);
            } else {
                all.plan.and(&set);
            }
        }
        let mut read: BTreeSet<String> = joined.values().map(|set| format!("{:032x}", set.digest())).collect();
        for output in &plan.fuse.outputs {
            let Some((column, path)) = found(plan, output.from) else { continue };
            if plan.fuse.members.get(usize::from(output.from.member)).is_some_and(|m| m.operator_owned) {
                all.own.insert(output.name.clone());
            }
            read.insert(format!("{} from {path} by {:?}", output.name, output.transform));
            let joined = joined.get(&output.from.member).cloned();
            all.columns.insert(output.name.clone(), Source { column: column.clone(), path, transform: output.transform.clone(), joined });
        }
        let module = module.map(ToString::to_string).unwrap_or_default();
        all.derived = format!("{module} over {:032x}", Set { texts: read, ..Set::default() }.digest());
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

    /// Where a granted column's values come from, and what the plan makes of them: nothing, where they are as they are. `None` for one that
    /// the module derived.
    pub(super) fn origin(&self, column: &str) -> Option<(&str, Option<String>)> {
        let Source { path, transform, .. } = self.columns.get(column)?;
        Some((path, (*transform != Transform::Keep).then(|| format!("{transform:?}"))))
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
            (Some(source), None) => set.missing(source),
            (None, value) => {
                let value = label.map_or_else(|| format!("{value:?}"), |label| format!("label {label}"));
                set.texts.insert(format!("{column} of {} = {value}", self.derived));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::plan::{FusePlan, PlanJoin, PlanOutput, RowIdentity};
    use protocol::schema::Role;
    use protocol::table::{Margins, TableRequest};

    use super::*;
    use crate::catalog::{PinnedVersion, ResolvedMember, SecurityLevel};

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
        let source = |transform| Source { column: column(false), path: "visits.age".into(), transform, joined: None };
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

    /// Visits, and another's table joined to them by age, whose number `w` is granted.
    struct Case {
        kind: JoinKind,
        /// The operator's own, in this version.
        own: Option<u32>,
        least: i64,
    }

    const CASE: Case = Case { kind: JoinKind::Inner, own: None, least: 0 };

    fn plan(case: &Case) -> ResolvedPlan {
        let member = |dataset: &str, own: Option<u32>, filters| {
            let columns = vec![column(false), ColumnSchema { name: "w".into(), ..column(false) }];
            let fuse = PlanMember { alias: dataset.into(), columns, rows: 9, operator_owned: own.is_some(), consent_unit: None, filters };
            let version = Some(PinnedVersion { version: own.unwrap_or(1), rows: 9, consent_version: None });
            let (dataset, owner) = (dataset.parse().unwrap(), "somebody".parse().unwrap());
            (fuse, ResolvedMember { dataset, version, owner, level: SecurityLevel::General, columns: vec![0, 1], unique: Vec::new() })
        };
        let filter = RowFilter { column: 1, op: FilterOp::Ge, values: vec![Literal::Int(case.least)] };
        let (members, resolved) = [member("visits", None, Vec::new()), member("other", case.own, vec![filter])].into_iter().unzip();
        let at = |member, column| ColumnRef { member, column };
        let output = |name: &str, from| PlanOutput { name: name.into(), from, transform: Transform::Keep };
        ResolvedPlan {
            fuse: FusePlan {
                members,
                joins: vec![PlanJoin { kind: case.kind, on: vec![(at(0, 0), 0)] }],
                outputs: vec![output("age", at(0, 0)), output("w", at(1, 1))],
                unit: at(0, 0),
                purpose: "p".into(),
                today: 0,
                identity: RowIdentity { member: 0, dataset: "visits".into(), columns: Vec::new() },
                threads: 1,
            },
            members: resolved,
            level: SecurityLevel::General,
            namespace: "person".parse().unwrap(),
            personal_information: false,
            provenance: Vec::new(),
        }
    }

    /// Conditions of the cell in which `key` is `value`, in a job with this plan.
    fn cell(case: &Case, key: &str, value: Option<i64>) -> u128 {
        let conditions = Conditions::of(&plan(case), None);
        let (name, keys, measures, margins) = ("t".into(), vec![key.to_owned()], Vec::new(), Margins::None);
        let request = TableRequest { name, keys, measures, margins };
        let header = TableHeader { request, domains: vec![KeyDomain::Number(0)], columns: Vec::new(), cells: 1 };
        let cell = Cell { totals: 0, keys: vec![value], rows: 9, units: 9, units_counting: 9, contributors: 0, measures: Vec::new() };
        conditions.digest(&header, &cell, None)
    }

    #[test]
    fn to_have_a_partner_in_one_version_of_ones_own_is_not_to_have_one_in_another() {
        for kind in [JoinKind::Inner, JoinKind::Left] {
            let own = |version| Case { kind, own: Some(version), ..CASE };
            for (key, value) in [("w", Some(7)), ("w", None), ("made", Some(1))] {
                assert_eq!(cell(&own(1), key, value), cell(&own(1), key, value));
                assert_ne!(cell(&own(1), key, value), cell(&own(2), key, value), "{kind:?} {key} {value:?}");
            }
        }
        // By an inner join every row has one, whatever the key.
        let own = |version| Case { own: Some(version), ..CASE };
        assert_ne!(cell(&own(1), "age", Some(7)), cell(&own(2), "age", Some(7)));
        // What is not the operator's is the same in every version.
        assert_eq!(cell(&Case { own: None, ..CASE }, "age", Some(7)), cell(&CASE, "age", Some(7)));
    }

    #[test]
    fn what_a_plan_makes_of_a_column_is_another_column_of_the_same_origin() {
        let mut cut = plan(&CASE);
        cut.fuse.outputs[1].transform = Transform::Clamp { min: 0, max: 9 };
        let origin = |plan: &ResolvedPlan| Conditions::of(plan, None).origin("w").map(|(path, made)| (path.to_owned(), made.is_some()));
        assert_eq!(origin(&plan(&CASE)), Some(("other.w".to_owned(), false)));
        assert_eq!(origin(&cut), Some(("other.w".to_owned(), true)));
        assert_eq!(Conditions::of(&cut, None).origin("made"), None);
    }

    #[test]
    fn a_filter_of_a_member_that_may_be_missing_says_who_is_missing() {
        let left = |least| Case { kind: JoinKind::Left, least, ..CASE };
        for (key, value) in [("w", None), ("made", Some(1))] {
            assert_ne!(cell(&left(5), key, value), cell(&left(6), key, value), "{key}");
        }
        // A value that both filters let through is the same value, and so is the rest of the visits.
        assert_eq!(cell(&left(5), "w", Some(7)), cell(&left(6), "w", Some(7)));
        assert_eq!(cell(&left(5), "age", Some(7)), cell(&left(6), "age", Some(7)));
        // A partner that is there is one, however it was joined.
        assert_eq!(cell(&left(5), "w", Some(7)), cell(&Case { least: 5, ..CASE }, "w", Some(7)));
    }
}
