//! Synthetic views: rows that have the declared types and domains of a plan and nothing else of the data.
//!
//! They are made from the catalogue's declarations alone, never from rows, so they need no agreement and leak nothing. Columns are
//! independent of each other; where a whole member is missing (left join), all its columns are. The same plan, number of rows
//! and seed give the same bytes.

use protocol::column::{Parts, write_column};
use protocol::plan::{ColumnRef, DateBucket, FusePlan, JoinKind, PlanOutput, Transform, ViewColumn, ViewType, Visibility};
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey};

use crate::clock::Date;

/// Rows of a synthetic view.
pub const SYNTHETIC_ROWS_MAX: u32 = 1_000_000;
/// Labels of a text that has no declared domain.
const TEXT_LABELS: u64 = 40;
/// Days before today from which dates are drawn.
const DATE_DAYS: u64 = 730;
/// One row in so many lacks a member that is joined left.
const MEMBER_MISSING: u64 = 10;
/// One value in so many of a nullable column is missing.
const VALUE_MISSING: u64 = 16;
/// Rows of one unit, on average.
const ROWS_PER_UNIT: u64 = 3;

/// Why no view is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntheticError {
    /// The plan names a column that it does not have, or a transform that does not apply.
    #[error("the plan is not valid")]
    Plan,
    /// No rows, or more than [`SYNTHETIC_ROWS_MAX`].
    #[error("a synthetic view has 1 to 1,000,000 rows")]
    Rows,
    /// A column does not fit its layout.
    #[error("a synthetic column is larger than allowed")]
    TooLarge,
}

/// A synthetic view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticView {
    /// The granted columns in the plan's order, then the hidden ones.
    pub columns: Vec<ViewColumn>,
    /// The bytes of each, in the layout of `protocol::column`.
    pub bytes: Vec<Vec<u8>>,
    /// Rows.
    pub rows: u64,
    /// Distinct privacy units.
    pub units: u64,
}

/// The columns of the view that the engine makes of this plan: the granted ones in order, then the unit's ordinal, whether a
/// row counts, and the base row's identity.
///
/// # Errors
/// [`SyntheticError::Plan`].
pub fn view_columns(plan: &FusePlan) -> Result<Vec<ViewColumn>, SyntheticError> {
    let granted = plan.outputs.iter().map(|output| {
        let (alias, schema) = column(plan, output.from)?;
        let ty = ViewType::after(&schema.ty, &output.transform).ok_or(SyntheticError::Plan)?;
        let provenance = format!("{alias}.{}", schema.name);
        Ok(ViewColumn { name: output.name.clone(), ty, visibility: Visibility::Granted, provenance })
    });
    let hidden = |name: &str, ty, visibility| Ok(ViewColumn { name: name.to_owned(), ty, visibility, provenance: String::new() });
    granted
        .chain([
            hidden("unit_ordinal", ViewType::Pseudonym, Visibility::UnitOrdinal),
            hidden("foreign", ViewType::Number { scale: 0, min: 0, max: 1 }, Visibility::Foreign),
            hidden("row_identity", ViewType::Pseudonym, Visibility::RowIdentity),
        ])
        .collect()
}

/// A synthetic view of `rows` rows.
///
/// # Errors
/// A plan that is not valid, or a number of rows outside 1 to [`SYNTHETIC_ROWS_MAX`].
pub fn synthetic_view(plan: &FusePlan, rows: u32, seed: u64) -> Result<SyntheticView, SyntheticError> {
    if !(1..=SYNTHETIC_ROWS_MAX).contains(&rows) {
        return Err(SyntheticError::Rows);
    }
    let columns = view_columns(plan)?;
    let maker = Maker { plan, rows: u64::from(rows), seed, units: units(rows, seed) };
    let mut bytes = plan.outputs.iter().zip(0..).map(|(output, at)| maker.granted(output, at)).collect::<Result<Vec<_>, _>>()?;
    let units: Vec<i64> = (0..maker.rows).map(|row| pseudonym(seed, maker.unit(row))).collect();
    bytes.push(write(Parts::I64(&units), None)?);
    let foreign: Vec<i64> = (0..maker.rows).map(|row| i64::from(maker.counts(row))).collect();
    bytes.push(write(Parts::I64(&foreign), None)?);
    let identities: Vec<i64> = (0..).take(units.len()).collect();
    bytes.push(write(Parts::I64(&identities), None)?);
    let distinct: std::collections::BTreeSet<_> = units.iter().collect();
    Ok(SyntheticView { columns, bytes, rows: maker.rows, units: distinct.len() as u64 })
}

fn column(plan: &FusePlan, at: ColumnRef) -> Result<(&str, &ColumnSchema), SyntheticError> {
    let member = plan.members.get(usize::from(at.member)).ok_or(SyntheticError::Plan)?;
    Ok((&member.alias, member.columns.get(usize::from(at.column)).ok_or(SyntheticError::Plan)?))
}

/// splitmix64 of Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014, over a tuple. Not cryptographic, and
/// need not be: what is drawn stands for nothing.
fn mix(parts: [u64; 4]) -> u64 {
    parts.into_iter().fold(0, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// 63 bits that stand for an identifier.
fn pseudonym(salt: u64, of: u64) -> i64 {
    // Cannot truncate: the top bit is shifted out.
    (mix([salt, 0x7073, of, 0]) >> 1) as i64
}

/// The unit of each row, counted from 0. Rows of a unit lie side by side, as fusing leaves them; a unit ends after each row with
/// chance one in [`ROWS_PER_UNIT`].
fn units(rows: u32, seed: u64) -> Vec<u64> {
    let last = |row: u64| mix([seed, 0x756e, row, 0]).is_multiple_of(ROWS_PER_UNIT);
    let next = |unit: &mut u64, row: u64| {
        let own = *unit;
        *unit += u64::from(last(row));
        Some(own)
    };
    (0..u64::from(rows)).scan(0, next).collect()
}

struct Maker<'a> {
    plan: &'a FusePlan,
    rows: u64,
    seed: u64,
    units: Vec<u64>,
}

impl Maker<'_> {
    /// The privacy unit of a row.
    fn unit(&self, row: u64) -> u64 {
        usize::try_from(row).ok().and_then(|row| self.units.get(row)).copied().unwrap_or(0)
    }

    /// Whether a row has a part in this member.
    fn has(&self, row: u64, member: usize) -> bool {
        let left = member.checked_sub(1).and_then(|j| self.plan.joins.get(j)).is_some_and(|j| j.kind == JoinKind::Left);
        !left || !mix([self.seed, 0x6d65, row, member as u64]).is_multiple_of(MEMBER_MISSING)
    }

    /// Whether a row has a part in a member that the operator does not own.
    fn counts(&self, row: u64) -> bool {
        self.plan.members.iter().enumerate().any(|(at, m)| !m.operator_owned && self.has(row, at))
    }

    fn granted(&self, output: &PlanOutput, at: u64) -> Result<Vec<u8>, SyntheticError> {
        let (_, schema) = column(self.plan, output.from)?;
        let draw = |row: u64| mix([self.seed, 0x636f, at, row]);
        let there = |row: u64| {
            let missing = schema.nullable && mix([self.seed, 0x6e75, at, row]).is_multiple_of(VALUE_MISSING);
            output.transform != Transform::Mask && !missing && self.has(row, usize::from(output.from.member))
        };
        let ints = |value: &dyn Fn(u64) -> i64| {
            let values: Vec<i64> = (0..self.rows).map(|row| if there(row) { value(row) } else { 0 }).collect();
            write(Parts::I64(&values), self.validity(&there).as_deref())
        };
        if let Some(labels) = labels(schema, &output.transform) {
            let count = labels.len().max(1) as u64;
            let code = |row| if there(row) { u32::try_from(draw(row) % count).unwrap_or(0) } else { 0 };
            let codes: Vec<u32> = (0..self.rows).map(code).collect();
            let ends = labels.iter().scan(0u32, |end, label| {
                *end = end.saturating_add(u32::try_from(label.len()).unwrap_or(u32::MAX));
                Some(*end)
            });
            let offsets: Vec<u32> = std::iter::once(0).chain(ends).collect();
            return write(Parts::Code(&codes, &offsets, labels.concat().as_bytes()), self.validity(&there).as_deref());
        }
        let day = |row| self.plan.today.saturating_sub(i64::try_from(draw(row) % DATE_DAYS).unwrap_or(0));
        match (&output.transform, &schema.ty) {
            // The unit's pseudonym follows the unit, so that counting distinct ones means something.
            (Transform::Pseudonym, _) if output.from == self.plan.unit => ints(&|row| pseudonym(!self.seed, self.unit(row))),
            (Transform::Pseudonym, _) => ints(&|row| pseudonym(at, draw(row) % self.rows.div_ceil(ROWS_PER_UNIT))),
            (Transform::Bucket(bucket), _) => ints(&|row| first_day(day(row), *bucket)),
            (_, ColumnType::Hour) => {
                ints(&|row| day(row).saturating_mul(24).saturating_add(i64::try_from(draw(row) >> 40).unwrap_or(0) % 24))
            }
            (_, ColumnType::Date) => ints(&day),
            (transform, ColumnType::Number { min, max, .. }) => {
                let clamp = |v: i64| if let Transform::Clamp { min, max } = transform { v.clamp(*min, *max) } else { v };
                let width = max.abs_diff(*min);
                let value = |row| min.wrapping_add_unsigned(if width == u64::MAX { draw(row) } else { draw(row) % (width + 1) });
                ints(&|row| clamp(value(row)))
            }
            _ => Err(SyntheticError::Plan),
        }
    }

    /// The validity bitmap, where a value is missing.
    fn validity(&self, there: &dyn Fn(u64) -> bool) -> Option<Vec<u8>> {
        let mut bits = vec![0u8; usize::try_from(self.rows.div_ceil(8)).unwrap_or(0)];
        let mut missing = false;
        for (byte, first) in bits.iter_mut().zip((0..self.rows).step_by(8)) {
            for (bit, row) in (first..self.rows.min(first + 8)).enumerate() {
                let there = there(row);
                missing |= !there;
                *byte |= u8::from(there) << bit;
            }
        }
        missing.then_some(bits)
    }
}

/// The dictionary of a column that is a category after the transform; `None` for the others.
fn labels(schema: &ColumnSchema, transform: &Transform) -> Option<Vec<String>> {
    match (transform, &schema.ty) {
        (Transform::Bands { labels, .. }, _) => Some(labels.clone()),
        (Transform::Mask, ColumnType::Text { .. }) => Some(Vec::new()),
        (Transform::Keep | Transform::Mask, ColumnType::Category { domain }) => Some(domain.clone()),
        (Transform::Keep | Transform::Prefix { .. }, ColumnType::Text { bytes_max }) => {
            let characters = if let Transform::Prefix { characters } = transform { usize::from(*characters) } else { usize::MAX };
            let geocode = schema.linkage == Some(LinkageKey::Geocode);
            let label = |n: u64| if geocode { format!("{:02}0100", 11 + n) } else { format!("{n:02}-synthetic") };
            // All of it is ASCII, so characters are bytes.
            let cut = |text: String| text.chars().take(characters.min(*bytes_max as usize)).collect::<String>();
            let labels: std::collections::BTreeSet<String> = (0..TEXT_LABELS).map(|n| cut(label(n))).collect();
            Some(labels.into_iter().collect())
        }
        _ => None,
    }
}

/// The first day of the bucket that `day` lies in.
fn first_day(day: i64, bucket: DateBucket) -> i64 {
    let (year, month, _) = Date::from_days(day).year_month_day();
    let first = |month| Date::new(year, month, 1).map_or(day, Date::days);
    match bucket {
        DateBucket::Day => day,
        // 1970-01-01 was a Thursday.
        DateBucket::Week => day - (day + 3).rem_euclid(7),
        DateBucket::Month => first(month),
        DateBucket::Quarter => first((month - 1) / 3 * 3 + 1),
        DateBucket::Year => first(1),
    }
}

fn write(parts: Parts<'_>, validity: Option<&[u8]>) -> Result<Vec<u8>, SyntheticError> {
    let mut bytes = Vec::new();
    write_column(parts, validity, &mut bytes).map_err(|_| SyntheticError::TooLarge)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::resolve::tests::{PLAN, entries};
    use crate::catalog::{FusionPlan, ResolvedPlan};
    use protocol::column::{AlignedBytes, Column};
    use std::collections::BTreeSet;

    fn resolved(plan: &str) -> ResolvedPlan {
        let (tax, bank) = entries();
        let mut r = FusionPlan::parse(plan).unwrap().validate(&[(tax.id.clone(), &tax), (bank.id.clone(), &bank)].into()).unwrap();
        r.fuse.today = 20_000;
        r
    }

    #[test]
    fn a_synthetic_view_has_the_declared_domains_and_nothing_else() {
        let plan = resolved(&PLAN.replace("inner", "left")).fuse;
        let view = synthetic_view(&plan, 3000, 7).unwrap();
        assert_eq!(view, synthetic_view(&plan, 3000, 7).unwrap());
        assert_ne!(view.bytes, synthetic_view(&plan, 3000, 8).unwrap().bytes);
        let names: Vec<_> = view.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["firm", "vat_band", "default_12m", "district", "month", "unit_ordinal", "foreign", "row_identity"]);
        assert_eq!((view.columns[3].provenance.as_str(), &view.columns[3].ty), ("bank.branch", &ViewType::Category { declared: false }));
        let aligned: Vec<AlignedBytes> = view.bytes.iter().map(|b| b.as_slice().into()).collect();
        let columns: Vec<Column<'_>> = aligned.iter().map(|b| Column::parse(b.as_slice()).unwrap()).collect();
        for column in &columns {
            column.validate().unwrap();
            assert_eq!(column.rows(), 3000);
        }
        assert_eq!(columns[1].labels(), ["refund", "small", "large"]);
        assert_eq!(columns[1].codes().unwrap().iter().collect::<BTreeSet<_>>().len(), 3);
        assert!(columns[3].labels().iter().all(|l| l.len() == 6 && l.bytes().all(|b| b.is_ascii_digit())));
        let months: BTreeSet<_> =
            columns[4].i64s().unwrap().iter().enumerate().filter(|(i, _)| columns[4].is_valid(*i)).map(|(_, d)| *d).collect();
        assert!(months.len() > 20 && months.iter().all(|d| Date::from_days(*d).year_month_day().2 == 1 && *d <= 20_000));
        // Unit and pseudonym go together; a left member is missing as a whole.
        let (firms, units) = (columns[0].i64s().unwrap(), columns[5].i64s().unwrap());
        let pairs: BTreeSet<_> = firms.iter().zip(units).collect();
        assert_eq!(pairs.len() as u64, view.units);
        assert_eq!(units.iter().collect::<BTreeSet<_>>().len() as u64, view.units);
        // Rows of a unit lie side by side: what the engine's counting rests on.
        assert_eq!(units.chunk_by(|a, b| a == b).count() as u64, view.units);
        assert!((800..1200).contains(&view.units), "{}", view.units);
        let gone = (0..3000).filter(|i| !columns[2].is_valid(*i)).count();
        assert!((200..400).contains(&gone), "{gone}");
        assert!((0..3000).all(|i| columns[2].is_valid(i) || !columns[3].is_valid(i)));
        assert!(columns[6].i64s().unwrap().iter().all(|f| *f == 1));
    }

    #[test]
    fn clamped_masked_and_plain_columns_stay_within_their_types() {
        let outputs = r#"
[[outputs]]
name = "paid"
from = "tax.vat_paid"
transform = { clamp = { min = "0", max = "10.00" } }
[[outputs]]
name = "raw"
from = "tax.vat_paid"
transform = "keep"
[[outputs]]
name = "gone"
from = "bank.branch"
transform = "mask"
[[outputs]]
name = "at"
from = "bank.at"
transform = "keep"
"#;
        let plan = resolved(&format!("{PLAN}{outputs}")).fuse;
        let view = synthetic_view(&plan, 500, 1).unwrap();
        let of = |name: &str| {
            let at = view.columns.iter().position(|c| c.name == name).unwrap();
            AlignedBytes::from(view.bytes[at].as_slice())
        };
        let (paid, raw, gone, at) = (of("paid"), of("raw"), of("gone"), of("at"));
        let ints = |b: &AlignedBytes| Column::parse(b.as_slice()).unwrap().i64s().unwrap().to_vec();
        assert!(ints(&paid).iter().all(|v| (0..=1000).contains(v)) && ints(&paid).contains(&1000));
        assert!(ints(&raw).iter().all(|v| (-100_050..=10_000_000_000).contains(v)));
        assert!(ints(&at).iter().all(|h| (19_270 * 24..20_001 * 24).contains(h)));
        let gone = Column::parse(gone.as_slice()).unwrap();
        gone.validate().unwrap();
        assert!((0..500).all(|i| !gone.is_valid(i)));
        for rows in [0, SYNTHETIC_ROWS_MAX + 1] {
            assert_eq!(synthetic_view(&plan, rows, 1), Err(SyntheticError::Rows));
        }
        let mut broken = plan;
        broken.outputs[0].from.column = 99;
        assert_eq!(synthetic_view(&broken, 1, 1), Err(SyntheticError::Plan));
    }

    #[test]
    fn buckets_begin_where_the_calendar_says() {
        // 2024-02-29, a Thursday.
        let firsts =
            [DateBucket::Day, DateBucket::Week, DateBucket::Month, DateBucket::Quarter, DateBucket::Year].map(|b| first_day(19_782, b));
        assert_eq!(firsts, [19_782, 19_779, 19_754, 19_723, 19_723]);
    }
}
