//! Raw values against the schema, row by row, into columns.
//!
//! A row is taken whole or not at all: what earlier columns took of a rejected row is cut off again. Numbers become fixed-point
//! integers exactly; nothing is rounded but a binary floating-point number that stands for a decimal of the declared resolution.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use protocol::column::{Parts, write_column};
use protocol::limits::{LimitExceeded, Limits};
use protocol::linkage::canonical;
use protocol::memfd::MemfdWriter;
use protocol::message::{IngestFailure, IngestReply, IngestRequest, RejectedRow, RowRule};
use protocol::schema::{ColumnSchema, ColumnType};
use protocol::value::{parse_date, parse_decimal, parse_hour};

use super::{Sink, Stop};

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 1 << 16;
/// Rows between two looks at the memory that the columns take. A record is bounded, so is what comes in between.
const MEMORY_ROWS: usize = 1 << 8;
/// Bytes that the memory of one row's uniqueness takes.
const SEEN_BYTES: u64 = 40;
/// Days of the years 0 to 9999.
const DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;
/// How far, relatively, a floating-point number may lie from the decimal it stands for.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// A value as the upload states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    /// No value.
    Missing,
    /// Text of a CSV field or a Parquet string.
    Text(&'a str),
    /// Whole number.
    Int(i128),
    /// Whole number and digits after the point.
    Decimal(i128, u32),
    /// Binary floating-point number.
    Float(f64),
    /// Binary floating-point number of 32 bits.
    Single(f32),
    /// Days since 1970-01-01.
    Day(i64),
    /// Ticks since 1970-01-01T00, and ticks of a second.
    Instant(i64, i64),
}

/// Why a value is not taken.
enum Refuse {
    Rule(RowRule),
    Full,
}

/// Presence bits, least significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        let at = self.len % 8;
        match self.bytes.last_mut() {
            Some(byte) if at > 0 => *byte |= u8::from(bit) << at,
            _ => self.bytes.push(u8::from(bit)),
        }
        self.len += 1;
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.bytes.truncate(self.len.div_ceil(8));
        if let (Some(byte), tail @ 1..) = (self.bytes.last_mut(), self.len % 8) {
            *byte &= (1 << tail) - 1;
        }
    }
}

enum Data {
    Int(Vec<i64>),
    Code(Vec<u32>, HashMap<String, u32>),
    Text(Vec<u32>, Vec<u8>),
}

struct Builder {
    schema: ColumnSchema,
    data: Data,
    present: Bits,
}

impl Builder {
    fn new(schema: &ColumnSchema) -> Self {
        let data = match &schema.ty {
            ColumnType::Number { .. } | ColumnType::Date | ColumnType::Hour => Data::Int(Vec::new()),
            ColumnType::Category { domain } => Data::Code(Vec::new(), domain.iter().cloned().zip(0..).collect()),
            ColumnType::Text { .. } => Data::Text(vec![0], Vec::new()),
        };
        Self { schema: schema.clone(), data, present: Bits::default() }
    }

    fn push(&mut self, raw: Raw<'_>) -> Result<(), Refuse> {
        let missing = raw == Raw::Missing;
        if missing && !self.schema.nullable {
            return Err(Refuse::Rule(RowRule::Missing));
        }
        match &mut self.data {
            Data::Int(values) => values.push(if missing { 0 } else { integer(&self.schema.ty, raw).map_err(Refuse::Rule)? }),
            Data::Code(codes, lookup) => {
                let code = if missing { Some(0) } else { label(&raw).and_then(|l| lookup.get(l.as_ref()).copied()) };
                codes.push(code.ok_or(Refuse::Rule(RowRule::Domain))?);
            }
            Data::Text(offsets, bytes) => {
                if !missing {
                    bytes.extend_from_slice(text(&self.schema, &raw).map_err(Refuse::Rule)?.as_bytes());
                }
                offsets.push(u32::try_from(bytes.len()).map_err(|_| Refuse::Full)?);
            }
        }
        self.present.push(!missing);
        Ok(())
    }

    /// The memory that it takes.
    fn bytes(&self) -> u64 {
        let values = match &self.data {
            Data::Int(values) => values.capacity() * 8,
            Data::Code(codes, _) => codes.capacity() * 4,
            Data::Text(offsets, bytes) => offsets.capacity() * 4 + bytes.capacity(),
        };
        (values + self.present.bytes.capacity()) as u64
    }

    fn truncate(&mut self, rows: usize) {
        match &mut self.data {
            Data::Int(values) => values.truncate(rows),
            Data::Code(codes, _) => codes.truncate(rows),
            Data::Text(offsets, bytes) => {
                offsets.truncate(rows + 1);
                bytes.truncate(offsets.last().map_or(0, |o| *o as usize));
            }
        }
        self.present.truncate(rows);
    }

    /// Adds row `row`'s value to a digest, length first, so that no two rows read alike.
    fn digest(&self, row: usize, context: &mut ring::digest::Context) {
        let present = self.present.bytes.get(row / 8).is_some_and(|b| b >> (row % 8) & 1 == 1);
        context.update(&[u8::from(present)]);
        match &self.data {
            Data::Int(values) => context.update(&values.get(row).copied().unwrap_or(0).to_le_bytes()),
            Data::Code(codes, _) => context.update(&codes.get(row).copied().unwrap_or(0).to_le_bytes()),
            Data::Text(offsets, bytes) => {
                let (from, to) = (offsets.get(row).map_or(0, |o| *o as usize), offsets.get(row + 1).map_or(0, |o| *o as usize));
                let text = bytes.get(from..to).unwrap_or(&[]);
                context.update(&(text.len() as u64).to_le_bytes());
                context.update(text);
            }
        }
    }

    /// The column as sealed memory.
    fn seal(self) -> std::io::Result<std::os::fd::OwnedFd> {
        let missing = self.present.bytes.iter().map(|b| b.count_ones() as usize).sum::<usize>() < self.present.len;
        let validity = missing.then_some(self.present.bytes.as_slice());
        let mut memory = MemfdWriter::create("column")?;
        match &self.data {
            Data::Int(values) => write_column(Parts::I64(values), validity, &mut memory)?,
            Data::Text(offsets, bytes) => write_column(Parts::Text(offsets, bytes), validity, &mut memory)?,
            Data::Code(codes, _) => {
                let ColumnType::Category { domain } = &self.schema.ty else { return Err(std::io::ErrorKind::InvalidData.into()) };
                let ends = domain.iter().scan(0u32, |end, label| {
                    *end = end.saturating_add(u32::try_from(label.len()).unwrap_or(u32::MAX));
                    Some(*end)
                });
                let offsets: Vec<u32> = std::iter::once(0).chain(ends).collect();
                write_column(Parts::Code(codes, &offsets, domain.concat().as_bytes()), validity, &mut memory)?
            }
        };
        memory.seal()
    }
}

/// The stored integer of a value.
fn integer(ty: &ColumnType, raw: Raw<'_>) -> Result<i64, RowRule> {
    match ty {
        ColumnType::Number { scale, min, max } => {
            let value = fixed_point(raw, *scale).ok_or(RowRule::Number)?;
            i64::try_from(value).ok().filter(|v| (*min..=*max).contains(v)).ok_or(RowRule::Bounds)
        }
        ColumnType::Hour => {
            let hour = match raw {
                Raw::Text(text) => parse_hour(text.trim_ascii()),
                Raw::Instant(ticks, second) => whole(ticks, second.saturating_mul(3_600)),
                _ => None,
            };
            hour.filter(|h| DAYS.contains(&h.div_euclid(24))).ok_or(RowRule::Hour)
        }
        // A date; other types are not stored as integers.
        _ => {
            let day = match raw {
                Raw::Text(text) => parse_date(text.trim_ascii()),
                Raw::Day(day) => Some(day),
                Raw::Instant(ticks, second) => whole(ticks, second.saturating_mul(86_400)),
                _ => None,
            };
            day.filter(|d| DAYS.contains(d)).ok_or(RowRule::Date)
        }
    }
}

/// `ticks / width`, where nothing is left over.
fn whole(ticks: i64, width: i64) -> Option<i64> {
    (ticks.checked_rem_euclid(width)? == 0).then(|| ticks.div_euclid(width))
}

/// The value times 10^scale, exactly; `None` where it is no number of that resolution.
fn fixed_point(raw: Raw<'_>, scale: u8) -> Option<i128> {
    let ten = |power: u32| 10i128.checked_pow(power);
    match raw {
        Raw::Text(text) => parse_decimal(text.trim_ascii(), scale).map(i128::from),
        Raw::Int(n) => n.checked_mul(ten(scale.into())?),
        Raw::Decimal(n, digits) => match u32::from(scale).checked_sub(digits) {
            Some(more) => n.checked_mul(ten(more)?),
            None => {
                let unit = ten(digits - u32::from(scale))?;
                (n % unit == 0).then(|| n / unit)
            }
        },
        Raw::Float(f) => {
            let unit = 10f64.powi(i32::from(scale));
            let scaled = (f * unit).round();
            // Beyond this no integer is told from its neighbours at the tolerance; the bounds of any column lie within.
            let sound = f.is_finite() && scaled.abs() < 9.3e18 && (f - scaled / unit).abs() <= FLOAT_TOLERANCE * f.abs();
            // Truncation cannot happen: the number is whole and within range.
            sound.then_some(scaled as i128)
        }
        // The shortest decimal that reads back as this number: 32 bits are too few for the tolerance.
        Raw::Single(f) => parse_decimal(&f.to_string(), scale).map(i128::from),
        Raw::Missing | Raw::Day(_) | Raw::Instant(..) => None,
    }
}

/// The value as text, where it has a plain one.
fn label<'a>(raw: &Raw<'a>) -> Option<Cow<'a, str>> {
    match raw {
        Raw::Text(text) => Some(Cow::Borrowed(text)),
        Raw::Int(n) => Some(Cow::Owned(n.to_string())),
        _ => None,
    }
}

fn text<'a>(schema: &ColumnSchema, raw: &Raw<'a>) -> Result<Cow<'a, str>, RowRule> {
    let ColumnType::Text { bytes_max } = schema.ty else { return Err(RowRule::Text) };
    let mut text = label(raw).ok_or(RowRule::Text)?;
    if let Some(kind) = schema.linkage {
        text = match text {
            Cow::Borrowed(t) => canonical(kind, t),
            Cow::Owned(t) => canonical(kind, &t).map(|c| Cow::Owned(c.into_owned())),
        }
        .ok_or(RowRule::LinkageKey)?;
    }
    if text.len() > bytes_max as usize || text.chars().any(char::is_control) { Err(RowRule::Text) } else { Ok(text) }
}

/// The columns being built.
pub(super) struct Table<'a, 's> {
    request: &'a IngestRequest,
    limits: &'a Limits,
    sink: &'a mut Sink<'s>,
    columns: Vec<Builder>,
    /// First half of SHA-256 over the unique columns of each row taken.
    seen: HashSet<[u8; 16]>,
    rows: usize,
    read: u64,
    rejected: u64,
}

impl<'a, 's> Table<'a, 's> {
    pub(super) fn new(request: &'a IngestRequest, limits: &'a Limits, sink: &'a mut Sink<'s>) -> Self {
        let columns = request.schema.iter().map(Builder::new).collect();
        Self { request, limits, sink, columns, seen: HashSet::new(), rows: 0, read: 0, rejected: 0 }
    }

    pub(super) fn schema(&self) -> &'a [ColumnSchema] {
        &self.request.schema
    }

    /// Takes or rejects one row; `value` gives the value of each schema column.
    pub(super) fn row<'v>(&mut self, mut value: impl FnMut(usize) -> Raw<'v>) -> Result<(), Stop> {
        let mut refused = None;
        for (index, column) in (0u16..).zip(&mut self.columns) {
            if let Err(why) = column.push(value(usize::from(index))) {
                refused = Some((index, why));
                break;
            }
        }
        let outcome = match refused {
            None if self.is_new() => None,
            None => Some((None, RowRule::Unique)),
            Some((index, Refuse::Rule(rule))) => Some((Some(index), rule)),
            Some((_, Refuse::Full)) => {
                LimitExceeded::check("column_bytes_max", u64::from(u32::MAX), u64::from(u32::MAX), 1)?;
                return Err(IngestFailure::Internal.into());
            }
        };
        if let Some((column, rule)) = outcome {
            let rows = self.rows;
            self.columns.iter_mut().for_each(|c| c.truncate(rows));
            return self.reject(column, rule);
        }
        self.rows += 1;
        LimitExceeded::check("rows_max", self.limits.rows_max, 0, self.rows as u64)?;
        if self.rows.is_multiple_of(MEMORY_ROWS) {
            let bytes = self.columns.iter().map(Builder::bytes).sum::<u64>() + self.seen.len() as u64 * SEEN_BYTES;
            LimitExceeded::check("import_bytes_max", self.limits.import_bytes_max, 0, bytes)?;
        }
        self.count()
    }

    /// Whether the unique columns of the row just pushed repeat no earlier row.
    fn is_new(&mut self) -> bool {
        if self.request.unique.is_empty() {
            return true;
        }
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for index in &self.request.unique {
            if let Some(column) = self.columns.get(usize::from(*index)) {
                column.digest(self.rows, &mut context);
            }
        }
        context.finish().as_ref().first_chunk().is_none_or(|half| self.seen.insert(*half))
    }

    /// Counts a row that is left out, and reports it while there is room.
    pub(super) fn reject(&mut self, column: Option<u16>, rule: RowRule) -> Result<(), Stop> {
        self.rejected += 1;
        if self.rejected <= u64::from(self.limits.rejected_rows_reported_max) {
            let row = RejectedRow { row: self.read + 1, column, rule };
            (self.sink)(IngestReply::Rejected(row), None).map_err(Stop::Channel)?;
        }
        self.count()
    }

    fn count(&mut self) -> Result<(), Stop> {
        self.read += 1;
        if self.read.is_multiple_of(PROGRESS_ROWS) {
            // A file of bad rows ends too, and the frames of progress stay within what one job may send.
            LimitExceeded::check("rows_max", self.limits.rows_max, 0, self.read)?;
            (self.sink)(IngestReply::Progress { rows: self.read }, None).map_err(Stop::Channel)?;
        }
        Ok(())
    }

    /// Hands the columns over.
    pub(super) fn finish(self) -> Result<(), Stop> {
        if self.rows == 0 {
            return Err(IngestFailure::Empty.into());
        }
        for (index, column) in (0u16..).zip(self.columns) {
            let memory = column.seal().map_err(|e| match e.kind() {
                std::io::ErrorKind::InvalidInput => {
                    let limit = self.limits.column_bytes_max;
                    IngestFailure::Limit(LimitExceeded { name: "column_bytes_max".to_owned(), limit, current: limit, requested: 1 })
                }
                _ => IngestFailure::Internal,
            })?;
            (self.sink)(IngestReply::Column { index }, Some(memory)).map_err(Stop::Channel)?;
        }
        (self.sink)(IngestReply::Done { rows: self.rows as u64, rejected: self.rejected }, None).map_err(Stop::Channel)
    }
}
