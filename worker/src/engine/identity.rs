//! Keyed identities of base rows: 63 bits of HMAC-SHA-256 over the dataset and all that the row holds, and how many rows of the same
//! content came before. The key is the namespace's, so that all operators and all versions share them.
//!
//! What is guaranteed: two rows of one dataset have the same identity in any two jobs exactly where every present value of every
//! column of the catalogue entry is the same (but for 2^-63); a column that a later entry adds changes nothing while it is missing.
//! What is not: a row whose content was corrected is another row. It is of the same unit, so that the difference between before
//! and after still counts as that unit's; but a re-import that changes every row leaves nothing to compare by row.

use protocol::message::EngineFailure;
use protocol::plan::{FusePlan, IdentityColumn};
use protocol::schema::{ColumnSchema, ColumnType};
use ring::hmac;

use super::load::Field;
use super::parallel::parallel;

const BATCH: u32 = 1 << 14;

/// One column of a row's content, and the bytes that stand before each of its values.
struct Part<'a, 'b> {
    field: &'b Field<'a>,
    head: Vec<u8>,
}

/// One identity a row of the member that the plan names. `extra` holds the columns read for this alone, in the order of the
/// identity's columns.
///
/// # Errors
/// [`EngineFailure::Plan`].
pub(super) fn identities(
    plan: &FusePlan,
    fields: &[Vec<Field<'_>>],
    extra: &[Option<Field<'_>>],
    key: &hmac::Key,
) -> Result<Vec<i64>, EngineFailure> {
    let m = usize::from(plan.identity.member);
    let (member, loaded) = (plan.members.get(m).ok_or(EngineFailure::Plan)?, fields.get(m).ok_or(EngineFailure::Plan)?);
    let rows = u32::try_from(member.rows).map_err(|_| EngineFailure::Plan)?;
    if plan.identity.columns.is_empty() {
        let unit = loaded.get(usize::from(plan.unit.column)).filter(|_| plan.unit.member == plan.identity.member);
        return Ok(by_unit(unit.ok_or(EngineFailure::Plan)?, rows, key));
    }
    let mut parts = Vec::with_capacity(plan.identity.columns.len());
    for (column, extra) in plan.identity.columns.iter().zip(extra) {
        let (field, schema) = match (column, extra) {
            (IdentityColumn::Loaded(i), None) => {
                let i = usize::from(*i);
                loaded.get(i).zip(member.columns.get(i)).ok_or(EngineFailure::Plan)?
            }
            (IdentityColumn::Extra(schema), Some(field)) => (field, schema),
            _ => return Err(EngineFailure::Plan),
        };
        parts.push(Part { field, head: head(schema) });
    }
    let dataset = plan.identity.dataset.as_bytes();
    let batches = parallel(usize::from(plan.threads), rows.div_ceil(BATCH) as usize, |batch| {
        let start = batch as u32 * BATCH;
        Ok((start..rows.min(start.saturating_add(BATCH))).map(|row| content(dataset, &parts, row, key)).collect::<Vec<i64>>())
    })?;
    let mut all = batches.concat();
    number_equal(&mut all, key);
    Ok(all)
}

/// Name and type of a column, so that no two columns' values are read as one another's.
fn head(schema: &ColumnSchema) -> Vec<u8> {
    let (ty, scale) = match &schema.ty {
        ColumnType::Number { scale, .. } => (0u8, *scale),
        ColumnType::Date => (1, 0),
        ColumnType::Hour => (2, 0),
        // A text that becomes a category stays the same text.
        ColumnType::Text { .. } | ColumnType::Category { .. } => (3, 0),
    };
    let mut head = (schema.name.len() as u32).to_le_bytes().to_vec();
    head.extend(schema.name.as_bytes());
    head.extend([ty, scale]);
    head
}

fn content(dataset: &[u8], parts: &[Part<'_, '_>], row: u32, key: &hmac::Key) -> i64 {
    let mut context = hmac::Context::with_key(key);
    context.update(b"row");
    context.update(&(dataset.len() as u32).to_le_bytes());
    context.update(dataset);
    for part in parts {
        if part.field.is_text() {
            let Some(code) = part.field.code(row) else { continue };
            let label = part.field.label(code as usize).as_bytes();
            context.update(&part.head);
            context.update(&(label.len() as u32).to_le_bytes());
            context.update(label);
        } else if let Some(value) = part.field.int(row) {
            context.update(&part.head);
            context.update(&value.to_le_bytes());
        }
    }
    first63(&context.sign())
}

/// The second and later rows of equal content get identities of their own. Equal rows go the same way through every filter and join,
/// so that it does not matter which of them is the second.
fn number_equal(identities: &mut [i64], key: &hmac::Key) {
    let mut order: Vec<u32> = (0u32..).zip(identities.iter()).map(|(row, _)| row).collect();
    let of = |identities: &[i64], row: u32| identities.get(row as usize).copied().unwrap_or(0);
    order.sort_unstable_by_key(|row| (of(identities, *row), *row));
    let (mut last, mut before) = (None, 0u64);
    for row in order {
        let identity = of(identities, row);
        before = if last == Some(identity) { before + 1 } else { 0 };
        last = Some(identity);
        if let Some(slot) = identities.get_mut(row as usize).filter(|_| before > 0) {
            *slot = again(b"again", &identity.to_le_bytes(), before, key);
        }
    }
}

/// Rows of a member that the operator owns: the unit, and how many of its rows came before.
fn by_unit(unit: &Field<'_>, rows: u32, key: &hmac::Key) -> Vec<i64> {
    let mut seen = vec![0u64; unit.distinct()];
    let mut next = |code: u32| {
        let before = seen.get_mut(code as usize)?;
        *before += 1;
        Some(again(b"unit", unit.label(code as usize).as_bytes(), *before, key))
    };
    // A row without a unit stands in no view.
    (0..rows).map(|row| unit.code(row).and_then(&mut next).unwrap_or(0)).collect()
}

fn again(what: &[u8], of: &[u8], before: u64, key: &hmac::Key) -> i64 {
    let mut context = hmac::Context::with_key(key);
    context.update(what);
    context.update(&before.to_le_bytes());
    context.update(of);
    first63(&context.sign())
}

fn first63(tag: &hmac::Tag) -> i64 {
    let first = tag.as_ref().first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
    i64::try_from(first >> 1).unwrap_or(0)
}
