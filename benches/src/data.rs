//! The rows that are queried: a function of the row's number, so that every process makes the same.

use crate::kernels::shared::mix;
use anyhow::{Context, Result};
use fusebox::workers::View;
use protocol::column::{Parts, write_column};
use protocol::limits::Limits;
use protocol::memfd::{MemfdWriter, SealedFd};
use protocol::plan::{FusionReport, ViewColumn, ViewType, Visibility};

/// Rows of the view.
pub const ROWS: u64 = 10_000_000;
/// Labels of the first key.
pub const REGIONS: u64 = 8;
/// Labels of the second key.
pub const CLASSES: u64 = 12;
/// Rows of each privacy unit.
pub const ROWS_PER_UNIT: u64 = 10;
/// Largest value of the measure.
pub const VALUE_MAX: i64 = 99_999;

/// First key of a row.
pub fn region(row: u64) -> u32 {
    (mix(row) % REGIONS) as u32
}
/// Second key of a row.
pub fn class(row: u64) -> u32 {
    ((mix(row) >> 8) % CLASSES) as u32
}
/// Measure of a row.
pub fn value(row: u64) -> i64 {
    ((mix(row) >> 20) % (VALUE_MAX as u64 + 1)) as i64
}
/// Privacy unit of a row, as fusing numbers them: 63 bits, rows of a unit next to each other.
pub fn unit(row: u64) -> i64 {
    (mix(row / ROWS_PER_UNIT) >> 1) as i64
}

fn sealed(parts: Parts<'_>) -> Result<SealedFd> {
    let mut memory = MemfdWriter::create("bench")?;
    write_column(parts, None, &mut memory)?;
    SealedFd::verify(memory.seal()?, Limits::STANDARD.column_bytes_max).context("a column of our own is not sealed")
}

fn codes(rows: u64, labels: u64, code: impl Fn(u64) -> u32) -> Result<SealedFd> {
    let text: String = (0..labels).map(|i| format!("{i:02}")).collect();
    let offsets: Vec<u32> = (0..=labels as u32).map(|i| 2 * i).collect();
    sealed(Parts::Code(&(0..rows).map(code).collect::<Vec<_>>(), &offsets, text.as_bytes()))
}

fn integers(rows: u64, of: impl Fn(u64) -> i64) -> Result<SealedFd> {
    sealed(Parts::I64(&(0..rows).map(of).collect::<Vec<_>>()))
}

/// A fused view of `rows` rows, as an engine would hand it back.
pub fn view(rows: u64) -> Result<View> {
    let category = || ViewType::Category { declared: true };
    let column = |name: &str, ty, visibility| ViewColumn { name: name.to_owned(), ty, visibility, provenance: String::new() };
    let number = |max| ViewType::Number { scale: 0, min: 0, max };
    let columns = vec![
        (column("region", category(), Visibility::Granted), codes(rows, REGIONS, region)?),
        (column("class", category(), Visibility::Granted), codes(rows, CLASSES, class)?),
        (column("value", number(VALUE_MAX), Visibility::Granted), integers(rows, value)?),
        (column("unit_ordinal", ViewType::Pseudonym, Visibility::UnitOrdinal), integers(rows, unit)?),
        (column("foreign", number(1), Visibility::Foreign), integers(rows, |_| 1)?),
    ];
    Ok(View::new(columns, FusionReport { members: Vec::new(), rows, units: rows.div_ceil(ROWS_PER_UNIT) }))
}
