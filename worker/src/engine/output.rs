//! The view's columns: transforms applied, written to sealed memory. Nothing leaves here but what a transform made.

use std::os::fd::OwnedFd;

use polars::prelude::PlHashMap;
use protocol::column::{Parts, write_column};
use protocol::limits::{LimitExceeded, Limits};
use protocol::memfd::MemfdWriter;
use protocol::message::EngineFailure;
use protocol::plan::{DateBucket, FusePlan, PlanMember, PlanOutput, Transform, ViewColumn, ViewType, Visibility};
use protocol::schema::{ColumnSchema, ColumnType, Role};

use super::join::NONE;
use super::load::{Field, Loaded};
use super::parallel::parallel;

/// The view type that `transform` makes of a column.
///
/// # Errors
/// [`EngineFailure::Plan`] where it does not apply, its constants are not in order, or it would show a direct identifier.
pub(super) fn view_type(schema: &ColumnSchema, transform: &Transform) -> Result<ViewType, EngineFailure> {
    let in_order = match transform {
        Transform::Clamp { min, max } => min <= max,
        Transform::Bands { cuts, labels } => {
            let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
            cuts.is_sorted_by(|a, b| a < b) && labels.len() == cuts.len() + 1 && distinct.len() == labels.len()
        }
        _ => true,
    };
    // A prefix of an identifier can be all of it.
    let shown = !matches!(transform, Transform::Pseudonym | Transform::Mask);
    if !in_order || (schema.role == Role::DirectIdentifier && shown) {
        return Err(EngineFailure::Plan);
    }
    ViewType::after(&schema.ty, transform).ok_or(EngineFailure::Plan)
}

/// Writes the granted columns in the plan's order, then the hidden ones. `rows` holds, for each
/// member, the row that each row of the view takes from it.
///
/// # Errors
/// [`EngineFailure::Limit`] for a dictionary that is too large; [`EngineFailure::Internal`] where memory runs out.
pub(super) fn write(
    plan: &FusePlan,
    loaded: &Loaded,
    fields: &[Vec<Field<'_>>],
    rows: &[Vec<u32>],
) -> Result<Vec<(ViewColumn, OwnedFd)>, EngineFailure> {
    let count = plan.outputs.len();
    parallel(usize::from(plan.threads), count + 3, |i| match plan.outputs.get(i) {
        Some(output) => granted(plan, output, loaded, fields, rows),
        None if i == count => ordinals(plan, loaded, fields, rows),
        None if i == count + 1 => foreign(plan, rows),
        None => identities(plan, loaded, fields, rows),
    })
}

/// Values and, where one is missing, the validity bitmap.
pub(super) type Values<T> = (Vec<T>, Option<Vec<u8>>);

/// The values of `rows`.
pub(super) fn gather<T: Default>(rows: &[u32], value: impl Fn(u32) -> Option<T>) -> Values<T> {
    let mut validity = vec![0u8; rows.len().div_ceil(8)];
    let mut missing = false;
    let mut values = Vec::with_capacity(rows.len());
    for (bits, rows) in validity.iter_mut().zip(rows.chunks(8)) {
        for (bit, row) in rows.iter().enumerate() {
            let found = value(*row);
            missing |= found.is_none();
            *bits |= u8::from(found.is_some()) << bit;
            values.push(found.unwrap_or_default());
        }
    }
    (values, missing.then_some(validity))
}

/// A column about to be written.
pub(super) enum Content {
    /// Integers.
    Ints(Values<i64>),
    /// Codes, and the labels that they stand for.
    Codes(Values<u32>, Vec<String>),
}

fn granted(
    plan: &FusePlan,
    output: &PlanOutput,
    loaded: &Loaded,
    fields: &[Vec<Field<'_>>],
    rows: &[Vec<u32>],
) -> Result<(ViewColumn, OwnedFd), EngineFailure> {
    let (m, c) = (usize::from(output.from.member), usize::from(output.from.column));
    let member = plan.members.get(m).ok_or(EngineFailure::Plan)?;
    let schema = member.columns.get(c).ok_or(EngineFailure::Plan)?;
    let field = fields.get(m).and_then(|f| f.get(c)).ok_or(EngineFailure::Plan)?;
    let rows = rows.get(m).ok_or(EngineFailure::Plan)?;
    let ty = view_type(schema, &output.transform)?;
    let int = |f: &dyn Fn(i64) -> i64| Content::Ints(gather(rows, |row| field.int(row).map(f)));
    let content = match (&output.transform, &schema.ty) {
        (Transform::Mask, ColumnType::Category { domain }) => Content::Codes(gather(rows, |_| None), domain.clone()),
        (Transform::Mask, ColumnType::Text { .. }) => Content::Codes(gather(rows, |_| None), Vec::new()),
        (Transform::Mask, _) => Content::Ints(gather(rows, |_| None)),
        (Transform::Pseudonym, _) => {
            let (_, names) = loaded.pseudonyms.iter().find(|(at, _)| *at == output.from).ok_or(EngineFailure::Internal)?;
            Content::Ints(gather(rows, |row| field.code(row).and_then(|code| names.get(code as usize).copied())))
        }
        (Transform::Keep, ColumnType::Category { domain }) => Content::Codes(gather(rows, |row| field.code(row)), domain.clone()),
        (Transform::Keep, ColumnType::Text { .. }) => found(field, rows, usize::MAX)?,
        (Transform::Prefix { characters }, _) => found(field, rows, usize::from(*characters))?,
        (Transform::Bands { cuts, labels }, _) => {
            let band = |value: i64| cuts.partition_point(|cut| *cut <= value) as u32;
            Content::Codes(gather(rows, |row| field.int(row).map(band)), labels.clone())
        }
        (Transform::Clamp { min, max }, _) => int(&|value| value.clamp(*min, *max)),
        (Transform::Bucket(bucket), ColumnType::Hour) => int(&|hour| first_day(hour.div_euclid(24), *bucket)),
        (Transform::Bucket(bucket), _) => int(&|day| first_day(day, *bucket)),
        (Transform::Keep, _) => int(&|value| value),
    };
    let provenance = format!("{}.{}", member.alias, schema.name);
    let column = ViewColumn { name: output.name.clone(), ty, visibility: Visibility::Granted, provenance };
    Ok((column, seal(&content)?))
}

/// A text, cut to `characters`, as a category of the labels that occur, sorted.
fn found(field: &Field<'_>, rows: &[u32], characters: usize) -> Result<Content, EngineFailure> {
    let mut used = vec![false; field.distinct()];
    for code in rows.iter().filter_map(|row| field.code(*row)) {
        if let Some(flag) = used.get_mut(code as usize) {
            *flag = true;
        }
    }
    let cut = |code: usize| {
        let label = field.label(code);
        label.char_indices().nth(characters).and_then(|(end, _)| label.get(..end)).unwrap_or(label)
    };
    let mut labels: Vec<&str> = used.iter().enumerate().filter(|(_, used)| **used).map(|(code, _)| cut(code)).collect();
    labels.sort_unstable();
    labels.dedup();
    let entries_max = Limits::STANDARD.dictionary_entries_max.into();
    LimitExceeded::check("dictionary_entries_max", entries_max, 0, labels.len() as u64)?;
    let places: PlHashMap<&str, u32> = labels.iter().copied().zip(0u32..).collect();
    let recoded: Vec<u32> = (0..used.len()).map(|code| places.get(cut(code)).copied().unwrap_or(0)).collect();
    let codes = gather(rows, |row| field.code(row).and_then(|code| recoded.get(code as usize).copied()));
    Ok(Content::Codes(codes, labels.into_iter().map(str::to_owned).collect()))
}

fn unit_ordinals(plan: &FusePlan, loaded: &Loaded, fields: &[Vec<Field<'_>>], rows: &[Vec<u32>]) -> Result<Values<i64>, EngineFailure> {
    let m = usize::from(plan.unit.member);
    let field = fields.get(m).and_then(|f| f.get(usize::from(plan.unit.column))).ok_or(EngineFailure::Plan)?;
    let rows = rows.get(m).ok_or(EngineFailure::Plan)?;
    let values = gather(rows, |row| field.code(row).and_then(|code| loaded.ordinals.get(code as usize).copied()));
    // Rows without a unit were left out before.
    if values.1.is_some() { Err(EngineFailure::Internal) } else { Ok(values) }
}

fn hidden(name: &str, ty: ViewType, visibility: Visibility) -> ViewColumn {
    ViewColumn { name: name.to_owned(), ty, visibility, provenance: String::new() }
}

fn ordinals(
    plan: &FusePlan,
    loaded: &Loaded,
    fields: &[Vec<Field<'_>>],
    rows: &[Vec<u32>],
) -> Result<(ViewColumn, OwnedFd), EngineFailure> {
    let values = unit_ordinals(plan, loaded, fields, rows)?;
    Ok((hidden("unit_ordinal", ViewType::Pseudonym, Visibility::UnitOrdinal), seal(&Content::Ints(values))?))
}

/// Identities of the base rows; a row of the view that has none of them is known by its unit.
fn identities(
    plan: &FusePlan,
    loaded: &Loaded,
    fields: &[Vec<Field<'_>>],
    rows: &[Vec<u32>],
) -> Result<(ViewColumn, OwnedFd), EngineFailure> {
    let (mut values, _) = unit_ordinals(plan, loaded, fields, rows)?;
    let base = rows.get(usize::from(plan.identity.member)).ok_or(EngineFailure::Plan)?;
    for (value, row) in values.iter_mut().zip(base) {
        // Ordinals are keyed hashes: turned over, they are none of another row.
        *value = loaded.identities.get(*row as usize).copied().unwrap_or(*value ^ i64::MAX);
    }
    Ok((hidden("row_identity", ViewType::Pseudonym, Visibility::RowIdentity), seal(&Content::Ints((values, None)))?))
}

fn foreign(plan: &FusePlan, rows: &[Vec<u32>]) -> Result<(ViewColumn, OwnedFd), EngineFailure> {
    let mut flags = vec![0i64; rows.first().map_or(0, Vec::len)];
    let carriers = plan.carriers();
    let counts = |m: u16, member: &PlanMember| if carriers.is_empty() { !member.operator_owned } else { carriers.contains(&m) };
    for ((_, member), rows) in (0u16..).zip(&plan.members).zip(rows).filter(|((m, member), _)| counts(*m, member)) {
        debug_assert_eq!(rows.len(), flags.len(), "{}", member.alias);
        for (flag, row) in flags.iter_mut().zip(rows) {
            *flag |= i64::from(*row != NONE);
        }
    }
    Ok((hidden("foreign", ViewType::Number { scale: 0, min: 0, max: 1 }, Visibility::Foreign), seal(&Content::Ints((flags, None)))?))
}

/// The column in sealed memory.
///
/// # Errors
/// [`EngineFailure::Internal`] where memory runs out.
pub(super) fn seal(content: &Content) -> Result<OwnedFd, EngineFailure> {
    let mut memory = MemfdWriter::create("view").map_err(|_| EngineFailure::Internal)?;
    let written = match content {
        Content::Ints((values, validity)) => write_column(Parts::I64(values), validity.as_deref(), &mut memory),
        Content::Codes((codes, validity), labels) => {
            let ends = labels.iter().scan(0usize, |end, label| {
                *end += label.len();
                Some(u32::try_from(*end).unwrap_or(u32::MAX))
            });
            let offsets: Vec<u32> = std::iter::once(0).chain(ends).collect();
            write_column(Parts::Code(codes, &offsets, labels.concat().as_bytes()), validity.as_deref(), &mut memory)
        }
    };
    written.and_then(|_| memory.seal()).map_err(|_| EngineFailure::Internal)
}

/// First day of the bucket that `day` (since 1970-01-01, a Thursday) lies in; Gregorian, proleptic.
pub(super) fn first_day(day: i64, bucket: DateBucket) -> i64 {
    let months = match bucket {
        DateBucket::Day => return day,
        DateBucket::Week => return day.saturating_sub(day.saturating_add(3).rem_euclid(7)),
        DateBucket::Month => 1,
        DateBucket::Quarter => 3,
        DateBucket::Year => 12,
    };
    let (year, month) = year_month(day);
    day_of(year, month - (month - 1) % months)
}

/// Year and month (1 to 12) of a day. After H. Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days).
fn year_month(day: i64) -> (i64, i64) {
    let day = day.clamp(-1 << 40, 1 << 40) + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let month = (5 * (day - (365 * year + year / 4 - year / 100)) + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month)
}

/// Day number of the first of a month (days_from_civil).
fn day_of(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468
}
