//! The rows that are queried: a function of the row's number, so that every process makes the same.

use crate::shared::mix;
use anyhow::{Context, Result};
use fusebox::workers::View;
use protocol::column::{Parts, write_column};
use protocol::limits::Limits;
use protocol::memfd::{MemfdWriter, SealedFd};
use protocol::plan::{FusionReport, ViewColumn, ViewType, Visibility};

/// Rows of the view.
pub const ROWS: u64 = 10_000_000;
/// Rows of the view that jobs query: an engine tells the contributors of four million, and the audit reads forty million memberships of what
/// was released before; beyond either a table waits for a checker.
pub const QUERY_ROWS: u64 = 2_000_000;
/// Labels of the first key.
pub const REGIONS: u64 = 8;
/// Labels of the second key.
pub const CLASSES: u64 = 12;
/// Sites; each is of one class.
pub const SITES: u64 = 96;
/// Rows of each privacy unit.
pub const ROWS_PER_UNIT: u64 = 10;
/// Smallest value of the measure.
pub const VALUE_MIN: i64 = 10_000;
/// Largest value of the measure.
pub const VALUE_MAX: i64 = 99_999;

/// First key of a row.
pub fn region(row: u64) -> u32 {
    (mix(row) % REGIONS) as u32
}
/// What joins a row to its second key.
pub fn site(row: u64) -> u32 {
    ((mix(row) >> 8) % SITES) as u32
}
/// Second key of a row.
pub fn class(row: u64) -> u32 {
    site(row) % CLASSES as u32
}
/// Measure of a row.
pub fn value(row: u64) -> i64 {
    VALUE_MIN + ((mix(row) >> 20) % (VALUE_MAX - VALUE_MIN + 1) as u64) as i64
}
/// Privacy unit of a row, as fusing numbers them: 63 bits, rows of a unit next to each other.
pub fn unit(row: u64) -> i64 {
    (mix(row / ROWS_PER_UNIT) >> 1) as i64
}

/// The rows as an upload: CSV whose lines are all of one length.
pub struct Csv {
    rows: u64,
    next: u64,
    left: std::io::Cursor<Vec<u8>>,
}

impl Csv {
    const HEADING: &str = "meter,site,region,value\n";

    /// An upload of `rows` rows.
    pub fn new(rows: u64) -> Self {
        Self { rows, next: 0, left: std::io::Cursor::new(Self::HEADING.as_bytes().to_vec()) }
    }

    /// Its length.
    pub fn length(&self) -> u64 {
        Self::HEADING.len() as u64 + self.rows * Self::line(0).len() as u64
    }

    fn line(row: u64) -> String {
        format!("m{:07},{:02},{:02},{:05}\n", row / ROWS_PER_UNIT, site(row), region(row), value(row))
    }
}

impl std::io::Read for Csv {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left.position() == self.left.get_ref().len() as u64 {
            let end = self.rows.min(self.next + 4096);
            self.left = std::io::Cursor::new((self.next..end).flat_map(|row| Self::line(row).into_bytes()).collect());
            self.next = end;
        }
        self.left.read(buffer)
    }
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
    let number = |min, max| ViewType::Number { scale: 0, min, max };
    let columns = vec![
        (column("region", category(), Visibility::Granted), codes(rows, REGIONS, region)?),
        (column("class", category(), Visibility::Granted), codes(rows, CLASSES, class)?),
        (column("value", number(VALUE_MIN, VALUE_MAX), Visibility::Granted), integers(rows, value)?),
        (column("unit_ordinal", ViewType::Pseudonym, Visibility::UnitOrdinal), integers(rows, unit)?),
        (column("foreign", number(0, 1), Visibility::Foreign), integers(rows, |_| 1)?),
        (column("row_identity", ViewType::Pseudonym, Visibility::RowIdentity), integers(rows, |row| row as i64)?),
    ];
    Ok(View::new(columns, FusionReport { members: Vec::new(), rows, units: rows.div_ceil(ROWS_PER_UNIT) }))
}

/// A view of `people` units of one row each: numbers as a regression needs them, and what is to be predicted.
pub fn people(people: u64) -> Result<View> {
    let column = |name: &str, ty, visibility| ViewColumn { name: name.to_owned(), ty, visibility, provenance: String::new() };
    let number = |min, max| ViewType::Number { scale: 0, min, max };
    let granted = |name: &str, max: i64| column(name, number(0, max), Visibility::Granted);
    let up_to = |max: u64, salt: u64| integers(people, move |row| (mix(row ^ salt) % (max + 1)) as i64);
    let income = {
        let codes: Vec<u32> = (0..people).map(|row| u32::from(mix(row).is_multiple_of(4))).collect();
        sealed(Parts::Code(&codes, &[0, 5, 9], b"<=50K>50K"))?
    };
    let columns = vec![
        (column("value", number(VALUE_MIN, VALUE_MAX), Visibility::Granted), integers(people, value)?),
        (granted("age", 90), up_to(90, 1)?),
        (granted("education_num", 16), up_to(16, 2)?),
        (granted("capital_gain", 99_999), up_to(99_999, 3)?),
        (granted("capital_loss", 4_356), up_to(4_356, 4)?),
        (granted("hours_per_week", 99), up_to(99, 5)?),
        (column("income", ViewType::Category { declared: true }, Visibility::Granted), income),
        (column("unit_ordinal", ViewType::Pseudonym, Visibility::UnitOrdinal), integers(people, |row| row as i64 + 1)?),
        (column("foreign", number(0, 1), Visibility::Foreign), integers(people, |_| 1)?),
        (column("row_identity", ViewType::Pseudonym, Visibility::RowIdentity), integers(people, |row| row as i64)?),
    ];
    Ok(View::new(columns, FusionReport { members: Vec::new(), rows: people, units: people }))
}
