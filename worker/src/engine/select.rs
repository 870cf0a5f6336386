//! Which rows of a member take part: consent first, then the plan's constant filters.

use std::cmp::Ordering;

use polars::prelude::PlHashSet;
use protocol::message::EngineFailure;
use protocol::plan::{FilterOp, FusePlan, Literal, PlanMember, RowFilter};

use super::load::Field;

/// Row numbers of one member, rising.
pub(super) struct Selected {
    /// With valid consent.
    pub consented: Vec<u32>,
    /// Of these, the rows that every filter lets through.
    pub filtered: Vec<u32>,
}

/// Decides every row of `member`.
///
/// # Errors
/// [`EngineFailure::Plan`] for a filter that does not apply to its column.
pub(super) fn select(
    plan: &FusePlan,
    member: &PlanMember,
    fields: &[Field<'_>],
    consent: Option<&[Field<'_>; 3]>,
) -> Result<Selected, EngineFailure> {
    let rows = u32::try_from(member.rows).map_err(|_| EngineFailure::Plan)?;
    let consented: Vec<u32> = match (member.consent_unit, consent) {
        (None, None) => (0..rows).collect(),
        (Some(unit), Some(records)) => {
            let unit = fields.get(usize::from(unit)).ok_or(EngineFailure::Plan)?;
            let allowed = allowed_units(plan, records);
            let allowed = unit.by_code(|label| allowed.contains(label));
            // A row without a unit has nobody who could consent.
            (0..rows).filter(|row| holds(&allowed, unit.code(*row))).collect()
        }
        _ => return Err(EngineFailure::Plan),
    };
    let mut filtered = consented.clone();
    for filter in &member.filters {
        let field = fields.get(usize::from(filter.column)).ok_or(EngineFailure::Plan)?;
        apply(filter, field, &mut filtered)?;
    }
    Ok(Selected { consented, filtered })
}

fn allowed_units<'a>(plan: &FusePlan, [unit, purpose, expiry]: &[Field<'a>; 3]) -> PlHashSet<&'a str> {
    let purposes = purpose.by_code(|label| label == plan.purpose);
    let valid = |row: &u32| holds(&purposes, purpose.code(*row)) && expiry.int(*row).is_some_and(|day| day >= plan.today);
    // Records of unequal length cannot be paired: what is beyond the shortest reads as missing, and allows nothing.
    (0..unit.rows()).filter(valid).filter_map(|row| unit.code(row)).map(|code| unit.label(code as usize)).collect()
}

fn holds(by_code: &[bool], code: Option<u32>) -> bool {
    code.and_then(|c| by_code.get(c as usize).copied()).unwrap_or(false)
}

fn apply(filter: &RowFilter, field: &Field<'_>, rows: &mut Vec<u32>) -> Result<(), EngineFailure> {
    if filter.op != FilterOp::In && filter.values.len() != 1 {
        return Err(EngineFailure::Plan);
    }
    if field.is_text() {
        let literal = |l: &Literal| match l {
            Literal::Text(text) => Ok(text.clone()),
            Literal::Int(_) => Err(EngineFailure::Plan),
        };
        let values = filter.values.iter().map(literal).collect::<Result<Vec<String>, _>>()?;
        let by_code = field.by_code(|label| values.iter().any(|v| satisfied(filter.op, label.cmp(v.as_str()))));
        rows.retain(|row| holds(&by_code, field.code(*row)));
    } else {
        let literal = |l: &Literal| match l {
            Literal::Int(value) => Ok(*value),
            Literal::Text(_) => Err(EngineFailure::Plan),
        };
        let values = filter.values.iter().map(literal).collect::<Result<Vec<i64>, _>>()?;
        rows.retain(|row| field.int(*row).is_some_and(|x| values.iter().any(|v| satisfied(filter.op, x.cmp(v)))));
    }
    Ok(())
}

fn satisfied(op: FilterOp, ordering: Ordering) -> bool {
    match op {
        FilterOp::Eq | FilterOp::In => ordering.is_eq(),
        FilterOp::Ne => ordering.is_ne(),
        FilterOp::Lt => ordering.is_lt(),
        FilterOp::Le => ordering.is_le(),
        FilterOp::Gt => ordering.is_gt(),
        FilterOp::Ge => ordering.is_ge(),
    }
}
