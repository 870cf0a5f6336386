//! From a written plan and the catalogue to what the engine gets: every name an index, every constant a stored integer, only the
//! columns that are needed (最小够用), and a refusal with its rule wherever the catalogue forbids it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::limits::Limits;
use protocol::plan::{
    ColumnRef, FilterOp, FusePlan, JoinKind, PlanJoin, PlanMember, PlanOutput, RowFilter, RowIdentity, Transform, ViewType,
};
use protocol::schema::{ColumnSchema, ColumnType, Role, is_name};

use super::constants::{literal, refuse, resolve_transform};
use super::entry::{AccessClass, CatalogueEntry, ColumnEntry, SecurityLevel};
use super::identity::row_identity;
use super::plan::{FilterDocument, FusionPlan, JoinDocument, OutputDocument};
use crate::clock::Date;
use crate::id::{DatasetId, Name, OrgId};
use crate::refusal::{
    DATASET_CORE, DATASET_NO_CONSENT, DATASET_NO_VERSION, DATASET_SHARING_NONE, NOT_FOUND, PLAN_DIRECT_IDENTIFIER, PLAN_INVALID,
    PLAN_SENSITIVE_FILTER, PLAN_TRANSFORM, PLAN_UNIT, Refused,
};

/// Members of a plan.
pub const MEMBERS_MAX: usize = 16;
/// Filters of a member, and constants of one filter.
const FILTERS_MAX: usize = 16;
const CONSTANTS_MAX: usize = 1000;

/// What the catalogue holds of one dataset.
#[derive(Debug, Clone, Copy)]
pub struct MemberInput<'a> {
    /// Its entry.
    pub entry: &'a CatalogueEntry,
    /// The imported version that is pinned; `None` while a plan is only validated.
    pub version: Option<PinnedVersion>,
}

/// A pinned dataset version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedVersion {
    /// Its number.
    pub version: u32,
    /// Its rows.
    pub rows: u64,
    /// Number of the consent table's version, where the dataset needs one.
    pub consent_version: Option<u32>,
}

/// For whom and when a plan is resolved.
#[derive(Debug, Clone)]
pub struct RunContext<'a> {
    /// The operator who runs the job.
    pub operator: &'a OrgId,
    /// The purpose for which consent is looked up.
    pub purpose: &'a str,
    /// Today in civil time.
    pub today: Date,
    /// Worker threads of the engine.
    pub threads: u16,
}

/// A plan that the catalogue allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPlan {
    /// What the engine gets.
    pub fuse: FusePlan,
    /// One a member, in the order of `fuse.members`.
    pub members: Vec<ResolvedMember>,
    /// Highest level of the members (就高从严).
    pub level: SecurityLevel,
    /// Kind of identifier of the privacy unit.
    pub namespace: Name,
    /// Whether a member holds personal information.
    pub personal_information: bool,
    /// The granted columns' sources, in the order of `fuse.outputs`.
    pub provenance: Vec<Provenance>,
}

/// One member of a resolved plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedMember {
    /// Its dataset: the catalogue id that a release names.
    pub dataset: DatasetId,
    /// The pinned version.
    pub version: Option<PinnedVersion>,
    /// Whose word an agreement needs.
    pub owner: OrgId,
    /// Its level.
    pub level: SecurityLevel,
    /// The loaded columns, in the order of `PlanMember::columns`: indexes into the entry.
    pub columns: Vec<u16>,
    /// Indexes of the entry's columns that together are unique; empty: none are.
    pub unique: Vec<u16>,
}

/// Where a granted column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Its name in the view.
    pub output: String,
    /// Its dataset.
    pub dataset: DatasetId,
    /// Its column there.
    pub column: String,
}

impl ResolvedPlan {
    /// Of each dataset the organisation whose word an agreement needs.
    pub fn owners(&self) -> BTreeMap<DatasetId, OrgId> {
        self.members.iter().map(|m| (m.dataset.clone(), m.owner.clone())).collect()
    }

    /// Of each dataset every column that is loaded, whether granted, joined on, filtered by, the unit or what consent is for.
    pub fn columns(&self) -> BTreeMap<DatasetId, BTreeSet<String>> {
        let names = |m: &PlanMember| m.columns.iter().map(|c| c.name.clone()).collect();
        self.members.iter().zip(&self.fuse.members).map(|(m, loaded)| (m.dataset.clone(), names(loaded))).collect()
    }
}

impl FusionPlan {
    /// Checks the plan against the catalogue, without pinned versions.
    ///
    /// # Errors
    /// The first rule that forbids it.
    pub fn validate(&self, catalogue: &BTreeMap<DatasetId, &CatalogueEntry>) -> Result<ResolvedPlan, Refused> {
        self.validate_for(catalogue, &self.id.name().clone().into())
    }

    /// The same for an operator, so that the plan knows which members are its own.
    ///
    /// # Errors
    /// As there.
    pub fn validate_for(&self, catalogue: &BTreeMap<DatasetId, &CatalogueEntry>, operator: &OrgId) -> Result<ResolvedPlan, Refused> {
        let inputs = catalogue.iter().map(|(id, entry)| (id.clone(), MemberInput { entry, version: None })).collect();
        Resolver::new(self, &inputs, &RunContext { operator, purpose: "", today: Date::from_days(0), threads: 1 })?.finish()
    }

    /// Resolves the plan over pinned versions for a run.
    ///
    /// # Errors
    /// The first rule that forbids it.
    pub fn resolve(&self, inputs: &BTreeMap<DatasetId, MemberInput<'_>>, run: &RunContext<'_>) -> Result<ResolvedPlan, Refused> {
        for dataset in self.datasets() {
            let Some(input) = inputs.get(dataset) else { return Err(Refused::new(&NOT_FOUND).subject(dataset.as_str())) };
            let version = input.version.ok_or_else(|| Refused::new(&DATASET_NO_VERSION).subject(dataset.as_str()))?;
            if input.entry.consent_unit.is_some() && version.consent_version.is_none() {
                return Err(Refused::new(&DATASET_NO_CONSENT).subject(dataset.as_str()));
            }
        }
        Resolver::new(self, inputs, run)?.finish()
    }
}

struct Member<'a> {
    alias: &'a str,
    entry: &'a CatalogueEntry,
    version: Option<PinnedVersion>,
    filters: &'a [FilterDocument],
    /// Indexes into the entry, in the order in which they were needed.
    columns: Vec<u16>,
    /// Whether every row of the view has a row of it.
    always: bool,
}

impl<'a> Member<'a> {
    /// Index among the loaded columns, loading it if need be.
    fn load(&mut self, in_entry: u16) -> u16 {
        let at = self.columns.iter().position(|c| *c == in_entry).unwrap_or_else(|| {
            self.columns.push(in_entry);
            self.columns.len() - 1
        });
        // An entry has at most `columns_max` columns.
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn find(&self, column: &str) -> Result<(u16, &'a ColumnEntry), Refused> {
        self.entry.column(column).ok_or_else(|| refuse(&PLAN_INVALID, &format!("{}.{column}", self.alias), "no such column"))
    }
}

struct Resolver<'a> {
    plan: &'a FusionPlan,
    run: &'a RunContext<'a>,
    /// Base first, then in the order of the joins.
    members: Vec<Member<'a>>,
}

impl<'a> Resolver<'a> {
    fn new(plan: &'a FusionPlan, inputs: &BTreeMap<DatasetId, MemberInput<'a>>, run: &'a RunContext<'a>) -> Result<Self, Refused> {
        if plan.members.is_empty() || plan.members.len() > MEMBERS_MAX {
            return Err(refuse(&PLAN_INVALID, "members", "none, or more than 16"));
        }
        let mut by_alias = BTreeMap::new();
        let mut datasets = BTreeSet::new();
        for (i, document) in plan.members.iter().enumerate() {
            let alias = document.alias.as_str();
            let input = inputs.get(&document.dataset).ok_or_else(|| Refused::new(&NOT_FOUND).subject(document.dataset.as_str()))?;
            allowed(plan, input.entry)?;
            let member = Member {
                alias,
                entry: input.entry,
                version: input.version,
                filters: &document.filters,
                columns: Vec::new(),
                always: i == 0,
            };
            if !is_name(alias) || by_alias.insert(alias, member).is_some() || !datasets.insert(&document.dataset) {
                return Err(refuse(&PLAN_INVALID, &format!("members.{alias}"), "not a name, or alias or dataset stand twice"));
            }
        }
        let base = plan.members.first().map_or("", |m| m.alias.as_str());
        let mut members: Vec<Member<'a>> = by_alias.remove(base).into_iter().collect();
        for join in &plan.joins {
            let mut member = by_alias
                .remove(join.member.as_str())
                .ok_or_else(|| refuse(&PLAN_INVALID, &format!("joins.{}", join.member), "no such member, or attached before"))?;
            member.always = join.kind == JoinKind::Inner;
            members.push(member);
        }
        if let Some(alias) = by_alias.keys().next() {
            return Err(refuse(&PLAN_INVALID, &format!("members.{alias}"), "not attached by a join"));
        }
        Ok(Self { plan, run, members })
    }

    fn finish(mut self) -> Result<ResolvedPlan, Refused> {
        let plan = self.plan;
        let unit = self.unit()?;
        let joins = (1..).zip(&plan.joins).map(|(at, join)| self.join(at, join)).collect::<Result<Vec<_>, _>>()?;
        let filters = (0..self.members.len()).map(|at| self.filters(at)).collect::<Result<Vec<_>, _>>()?;
        let (outputs, provenance) = self.outputs()?;
        let mut members = Vec::new();
        let mut resolved = Vec::new();
        for (member, filters) in self.members.iter_mut().zip(filters) {
            let entry = member.entry;
            let consent_unit = entry.consent_unit.map(|c| member.load(c));
            members.push(PlanMember {
                alias: member.alias.to_owned(),
                columns: member.columns.iter().filter_map(|c| entry.columns.get(usize::from(*c))).map(|c| c.schema.clone()).collect(),
                rows: member.version.map_or(0, |v| v.rows),
                operator_owned: entry.owner() == self.run.operator,
                consent_unit,
                filters,
            });
            resolved.push(ResolvedMember {
                dataset: entry.id.clone(),
                version: member.version,
                owner: entry.owner().clone(),
                level: entry.security_level,
                columns: member.columns.clone(),
                unique: entry.unique.clone(),
            });
        }
        let purpose = self.run.purpose.to_owned();
        let (today, threads) = (self.run.today.days(), self.run.threads.max(1));
        let identity = RowIdentity { member: unit.member, dataset: String::new(), columns: Vec::new() };
        let mut fuse = FusePlan { members, joins, outputs, unit, purpose, today, identity, threads };
        let loaded: Vec<_> = self.members.iter().map(|m| (m.entry, m.columns.as_slice())).collect();
        fuse.identity = row_identity(&fuse, &loaded);
        Ok(ResolvedPlan {
            fuse,
            level: resolved.iter().map(|m| m.level).max().unwrap_or(SecurityLevel::Core),
            namespace: plan.namespace.clone(),
            personal_information: self.members.iter().any(|m| m.entry.personal_information),
            members: resolved,
            provenance,
        })
    }

    /// Member and column of `alias.column`, among the first `before` members.
    fn locate(&self, path: &str, before: usize) -> Result<(usize, u16, &'a ColumnEntry), Refused> {
        let (alias, column) = path.split_once('.').ok_or_else(|| refuse(&PLAN_INVALID, path, "not of the form alias.column"))?;
        let at = self.members.iter().take(before).position(|m| m.alias == alias);
        let (at, member) =
            at.and_then(|i| Some((i, self.members.get(i)?))).ok_or_else(|| refuse(&PLAN_INVALID, path, "no such member before it"))?;
        let (index, column) = member.find(column)?;
        Ok((at, index, column))
    }

    fn load(&mut self, at: usize, in_entry: u16) -> ColumnRef {
        let column = self.members.get_mut(at).map_or(u16::MAX, |m| m.load(in_entry));
        ColumnRef { member: u16::try_from(at).unwrap_or(u16::MAX), column }
    }

    fn unit(&mut self) -> Result<ColumnRef, Refused> {
        let path = &self.plan.unit;
        let (at, index, column) = self.locate(path, usize::MAX)?;
        if column.schema.role != Role::DirectIdentifier || column.schema.linkage.is_none() {
            return Err(Refused::new(&PLAN_UNIT).subject(path));
        }
        if column.namespace.as_ref() != Some(&self.plan.namespace) {
            return Err(refuse(&PLAN_UNIT, path, "not of the plan's namespace"));
        }
        if column.schema.nullable || !self.members.get(at).is_some_and(|m| m.always) {
            return Err(refuse(&PLAN_UNIT, path, "a row of the view could lack it"));
        }
        Ok(self.load(at, index))
    }

    fn join(&mut self, at: usize, join: &JoinDocument) -> Result<PlanJoin, Refused> {
        let element = format!("joins.{}", join.member);
        if join.on.is_empty() || join.on.len() > FILTERS_MAX {
            return Err(refuse(&PLAN_INVALID, &element, "no key, or more than 16"));
        }
        let mut on = Vec::with_capacity(join.on.len());
        for (left, right) in &join.on {
            let (left_at, left_index, left_column) = self.locate(left, at)?;
            let Some(member) = self.members.get(at) else { return Err(refuse(&PLAN_INVALID, &element, "no such member")) };
            let (right_index, right_column) = member.find(right)?;
            if !joinable(&left_column.schema, &right_column.schema) || left_column.namespace != right_column.namespace {
                return Err(refuse(&PLAN_INVALID, &element, &format!("`{left}` and `{right}` are not keys of one kind")));
            }
            let left = self.load(left_at, left_index);
            on.push((left, self.load(at, right_index).column));
        }
        Ok(PlanJoin { kind: join.kind, on })
    }

    fn filters(&mut self, at: usize) -> Result<Vec<RowFilter>, Refused> {
        let Some(member) = self.members.get_mut(at) else { return Ok(Vec::new()) };
        if member.filters.len() > FILTERS_MAX {
            return Err(refuse(&PLAN_INVALID, &format!("members.{}.filters", member.alias), "more than 16"));
        }
        let documents = member.filters;
        documents.iter().map(|document| filter(member, document)).collect()
    }

    fn outputs(&mut self) -> Result<(Vec<PlanOutput>, Vec<Provenance>), Refused> {
        let plan = self.plan;
        // Three hidden columns travel with the granted ones.
        if plan.outputs.is_empty() || plan.outputs.len() + 3 > Limits::STANDARD.columns_max as usize {
            return Err(refuse(&PLAN_INVALID, "outputs", "none, or more than allowed"));
        }
        let mut seen = BTreeSet::new();
        let mut outputs = Vec::with_capacity(plan.outputs.len());
        let mut provenance = Vec::with_capacity(plan.outputs.len());
        for OutputDocument { name, from, transform } in &plan.outputs {
            if !is_name(name) || !seen.insert(name) {
                return Err(refuse(&PLAN_INVALID, &format!("outputs.{name}"), "not a name, or there twice"));
            }
            let (at, index, column) = self.locate(from, usize::MAX)?;
            let transform = resolve_transform(name, &column.schema, transform)?;
            if column.schema.role == Role::DirectIdentifier && !matches!(transform, Transform::Pseudonym | Transform::Mask) {
                return Err(Refused::new(&PLAN_DIRECT_IDENTIFIER).subject(&format!("outputs.{name}")));
            }
            if ViewType::after(&column.schema.ty, &transform).is_none() {
                return Err(Refused::new(&PLAN_TRANSFORM).subject(&format!("outputs.{name}")));
            }
            let dataset = self.members.get(at).map(|m| m.entry.id.clone()).ok_or_else(|| refuse(&PLAN_INVALID, from, "no such member"))?;
            provenance.push(Provenance { output: name.clone(), dataset, column: column.schema.name.clone() });
            outputs.push(PlanOutput { name: name.clone(), from: self.load(at, index), transform });
        }
        Ok((outputs, provenance))
    }
}

/// Whether the catalogue lets a dataset be an input of this plan at all.
fn allowed(plan: &FusionPlan, entry: &CatalogueEntry) -> Result<(), Refused> {
    if entry.security_level == SecurityLevel::Core {
        return Err(Refused::new(&DATASET_CORE).subject(entry.id.as_str()));
    }
    // What is not shared can be asked about, one consenting subject at a time.
    if entry.sharing.class == AccessClass::None && !plan.verification {
        return Err(Refused::new(&DATASET_SHARING_NONE).subject(entry.id.as_str()));
    }
    if entry.emergency.is_some() && entry.emergency != plan.emergency {
        return Err(refuse(&PLAN_INVALID, "emergency", "a member was collected for an emergency that the plan does not serve"));
    }
    Ok(())
}

fn joinable(a: &ColumnSchema, b: &ColumnSchema) -> bool {
    let types = match (&a.ty, &b.ty) {
        (ColumnType::Number { scale: x, .. }, ColumnType::Number { scale: y, .. }) => x == y,
        (x, y) => std::mem::discriminant(x) == std::mem::discriminant(y),
    };
    types && a.linkage.is_some() && a.linkage == b.linkage
}

fn filter(member: &mut Member<'_>, document: &FilterDocument) -> Result<RowFilter, Refused> {
    let (index, column) = member.find(&document.column)?;
    let element = format!("members.{}.filters.{}", member.alias, document.column);
    match column.schema.role {
        Role::Sensitive => return Err(Refused::new(&PLAN_SENSITIVE_FILTER).subject(&element)),
        Role::DirectIdentifier => return Err(refuse(&PLAN_SENSITIVE_FILTER, &element, "a direct identifier")),
        Role::QuasiIdentifier | Role::Measure | Role::Category => {}
    }
    let ordered = matches!(column.schema.ty, ColumnType::Number { .. } | ColumnType::Date | ColumnType::Hour);
    if !ordered && !matches!(document.op, FilterOp::Eq | FilterOp::Ne | FilterOp::In) {
        return Err(refuse(&PLAN_INVALID, &element, "labels and texts have no order"));
    }
    let constants = match (document.op, &document.value, &document.values) {
        (FilterOp::In, None, Some(values)) if (1..=CONSTANTS_MAX).contains(&values.len()) => values.as_slice(),
        (op, Some(value), None) if op != FilterOp::In => std::slice::from_ref(value),
        _ => return Err(refuse(&PLAN_INVALID, &element, "needs `value`, or for `in` `values`")),
    };
    let values = constants.iter().map(|c| literal(&element, &column.schema, c)).collect::<Result<Vec<_>, _>>()?;
    Ok(RowFilter { column: member.load(index), op: document.op, values })
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
pub(super) mod tests;
