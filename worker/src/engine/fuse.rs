//! Fusing: the plan checked, segments loaded, rows selected, joined, ordered by unit, and written out.

use std::os::fd::OwnedFd;

use protocol::limits::{LimitExceeded, Limits};
use protocol::message::{EngineFailure, Source};
use protocol::plan::{ColumnRef, FusePlan, FusionReport, MemberReport, ViewColumn};
use protocol::schema::{ColumnSchema, ColumnType};

use super::join::{NONE, base_rows_matched, join_all};
use super::load::{Field, Keys, Loaded, load};
use super::output;
use super::select::select;

/// A fused view in sealed memory.
pub(super) struct Fused {
    /// One a descriptor.
    pub columns: Vec<ViewColumn>,
    /// One a column.
    pub descriptors: Vec<OwnedFd>,
    /// What fusing did.
    pub report: FusionReport,
    /// Worker threads of the plan.
    pub threads: u16,
}

/// Fuses; at most `rows_max` rows.
///
/// # Errors
/// [`EngineFailure`].
pub(super) fn fuse(plan: &FusePlan, sources: Vec<Source>, fds: Vec<OwnedFd>, keys: Keys, rows_max: u64) -> Result<Fused, EngineFailure> {
    check_plan(plan)?;
    let loaded = load(plan, sources, fds, keys)?;
    let fields = loaded.fields()?;
    let consents = loaded.consents()?;
    let mut selected = Vec::with_capacity(plan.members.len());
    for ((member, fields), consent) in plan.members.iter().zip(&fields).zip(&consents) {
        selected.push(select(plan, member, fields, consent.as_ref())?);
    }
    let base = selected.first().map_or(0, |s| s.consented.len() as u64);
    let matched = std::iter::once(base).chain(base_rows_matched(plan, &fields, &selected, rows_max)?);
    let members = plan.members.iter().zip(&selected).zip(matched).map(|((member, selected), base_rows_matched)| MemberReport {
        alias: member.alias.clone(),
        rows: member.rows,
        rows_consented: selected.consented.len() as u64,
        rows_filtered: selected.filtered.len() as u64,
        base_rows_matched,
    });
    let members = members.collect();
    let joined = join_all(plan, &fields, &selected, rows_max)?;
    drop(selected);
    let unit = field(&fields, plan.unit)?;
    let unit_rows = joined.rows.get(usize::from(plan.unit.member)).ok_or(EngineFailure::Plan)?;
    let (order, units) = order_by_unit(unit, unit_rows, &loaded);
    let rows: Vec<Vec<u32>> =
        joined.rows.iter().map(|r| order.iter().map(|i| r.get(*i as usize).copied().unwrap_or(NONE)).collect()).collect();
    drop((joined, order));
    let report = FusionReport { members, rows: rows.first().map_or(0, Vec::len) as u64, units };
    let (columns, descriptors) = output::write(plan, &loaded, &fields, &rows)?.into_iter().unzip();
    Ok(Fused { columns, descriptors, report, threads: plan.threads })
}

fn field<'a, 'b>(fields: &'b [Vec<Field<'a>>], at: ColumnRef) -> Result<&'b Field<'a>, EngineFailure> {
    fields.get(usize::from(at.member)).and_then(|m| m.get(usize::from(at.column))).ok_or(EngineFailure::Plan)
}

/// The order in which joined rows are told, and the number of distinct units: rows of a unit next to each other, units in an
/// order that only the project's key knows, rows of a unit in their joined order. Rows without a unit are left out.
fn order_by_unit(unit: &Field<'_>, rows: &[u32], loaded: &Loaded) -> (Vec<u32>, u64) {
    let [offset, factor] = loaded.order;
    // Adding and multiplying by an odd number are one-to-one, so two units never fall together unless their ordinals do.
    let place = |ordinal: i64| (ordinal as u64).wrapping_add(offset).wrapping_mul(factor).rotate_left(32).wrapping_mul(factor);
    let mut counts = vec![0u32; unit.distinct()];
    for code in rows.iter().filter_map(|row| unit.code(*row)) {
        if let Some(count) = counts.get_mut(code as usize) {
            *count += 1;
        }
    }
    let ordinal = |code: usize| loaded.ordinals.get(code).copied().unwrap_or(0);
    let mut present: Vec<usize> = (0..counts.len()).filter(|c| counts.get(*c).is_some_and(|n| *n > 0)).collect();
    present.sort_unstable_by_key(|code| (place(ordinal(*code)), *code));
    let mut next = 0u32;
    for code in &present {
        if let Some(count) = counts.get_mut(*code) {
            next += std::mem::replace(count, next);
        }
    }
    let mut order = vec![0u32; next as usize];
    for (i, row) in (0u32..).zip(rows) {
        let Some(at) = unit.code(*row).and_then(|code| counts.get_mut(code as usize)) else { continue };
        if let Some(slot) = order.get_mut(*at as usize) {
            *slot = i;
        }
        *at += 1;
    }
    present.dedup_by_key(|code| ordinal(*code));
    (order, present.len() as u64)
}

/// Everything about a plan that can be wrong before a byte is read.
fn check_plan(plan: &FusePlan) -> Result<(), EngineFailure> {
    let l = &Limits::STANDARD;
    LimitExceeded::check("columns_max", l.columns_max.into(), 0, plan.outputs.len() as u64)?;
    let column = |at: ColumnRef| schema(plan, usize::from(at.member), at.column);
    if plan.members.is_empty() || plan.joins.len() + 1 != plan.members.len() {
        return Err(EngineFailure::Plan);
    }
    for member in &plan.members {
        LimitExceeded::check("rows_max", l.rows_max, 0, member.rows)?;
    }
    for (j, join) in plan.joins.iter().enumerate() {
        let fits = |(from, to): &(ColumnRef, u16)| -> Result<bool, EngineFailure> {
            Ok(usize::from(from.member) <= j && comparable(&column(*from)?.ty, &schema(plan, j + 1, *to)?.ty))
        };
        for on in &join.on {
            if !fits(on)? {
                return Err(EngineFailure::Plan);
            }
        }
        if join.on.is_empty() {
            return Err(EngineFailure::Plan);
        }
    }
    let mut names = std::collections::BTreeSet::new();
    for out in &plan.outputs {
        output::view_type(column(out.from)?, &out.transform)?;
        if !names.insert(&out.name) {
            return Err(EngineFailure::Plan);
        }
    }
    for (m, member) in plan.members.iter().enumerate() {
        if let Some(unit) = member.consent_unit {
            text(schema(plan, m, unit)?)?;
        }
    }
    text(column(plan.unit)?)
}

fn schema(plan: &FusePlan, member: usize, column: u16) -> Result<&ColumnSchema, EngineFailure> {
    plan.members.get(member).and_then(|m| m.columns.get(usize::from(column))).ok_or(EngineFailure::Plan)
}

fn text(schema: &ColumnSchema) -> Result<(), EngineFailure> {
    let is = matches!(schema.ty, ColumnType::Text { .. } | ColumnType::Category { .. });
    if is { Ok(()) } else { Err(EngineFailure::Plan) }
}

/// Whether equal stored values mean equal values.
fn comparable(a: &ColumnType, b: &ColumnType) -> bool {
    use ColumnType::{Category, Date, Hour, Number, Text};
    match (a, b) {
        (Text { .. } | Category { .. }, Text { .. } | Category { .. }) | (Date, Date) | (Hour, Hour) => true,
        (Number { scale: a, .. }, Number { scale: b, .. }) => a == b,
        _ => false,
    }
}
