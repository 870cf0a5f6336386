//! Parquet to rows, one row group at a time.
//!
//! Columns are decoded to Arrow arrays, below polars' own types: the file's embedded Arrow schema is not read, so a type is what
//! the Parquet schema says. A timestamp is taken as the clock it writes.

use std::io::Cursor;

use polars_arrow::array::{Array, BooleanArray, PrimitiveArray, StaticArray as _, Utf8ViewArray};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, TimeUnit};
use polars_arrow::types::NativeType;
use polars_buffer::Buffer as SharedBytes;
use polars_parquet::parquet::schema::types::PhysicalType;
use polars_parquet::read::schema::parquet_to_arrow_schema_with_options;
use polars_parquet::read::{BasicDecompressor, FileMetadata, PageReader, RowGroupMetadata, column_iter_to_arrays, read_metadata};
use protocol::limits::{LimitExceeded, Limits};
use protocol::message::IngestFailure;

use super::build::{Raw, Table};
use super::upload::Upload;
use super::{Stop, thrift};

/// Bytes of a page or a page header, before and after decompression.
const PAGE_BYTES_MAX: usize = 1 << 28;
/// Bytes of the footer: its decoder makes many times as much of it.
const FOOTER_BYTES_MAX: u64 = 16 << 20;
/// Elements of the file's schema: each column is one, the root another. Its decoder goes as deep as they claim to nest.
const SCHEMA_ELEMENTS_MAX: u64 = 1024;
/// Fields of a page header: bytes after and before decompression, values (data pages of both versions), entries of a dictionary.
const PAGE_PLAIN: u64 = thrift::path(&[2]);
const PAGE_SEALED: u64 = thrift::path(&[3]);
const PAGE_VALUES: u64 = thrift::path(&[5, 1]);
const PAGE_VALUES_V2: u64 = thrift::path(&[8, 1]);
const PAGE_DICTIONARY: u64 = thrift::path(&[7, 1]);

type Buffer = SharedBytes<u8>;

/// Reads an upload into the table.
pub(super) fn read(upload: Upload, limits: &Limits, table: &mut Table<'_, '_>) -> Result<(), Stop> {
    let file = Buffer::from_owner(upload.map()?);
    check_footer(&file)?;
    let metadata = read_metadata(&mut Cursor::new(file.as_slice())).map_err(|_| IngestFailure::Format)?;
    check_sizes(&metadata, limits, file.len() as u64)?;
    let fields = metadata.schema().fields();
    let names: Vec<&str> = fields.iter().map(|f| f.name()).collect();
    super::places(table.schema(), &names)?;
    let schema = parquet_to_arrow_schema_with_options(fields, &None);
    for group in &metadata.row_groups {
        if group.num_rows() == 0 {
            continue;
        }
        check_group(&file, group, limits)?;
        let columns = table.schema().iter().map(|c| decode(&file, group, &schema, &c.name)).collect::<Result<Vec<_>, _>>()?;
        if columns.iter().any(|c| c.rows != group.num_rows()) {
            return Err(IngestFailure::Format.into());
        }
        for row in 0..group.num_rows() {
            table.row(|column| columns.get(column).map_or(Raw::Missing, |c| c.get(row)))?;
        }
    }
    Ok(())
}

/// Walks the footer before its decoder does.
fn check_footer(file: &[u8]) -> Result<(), IngestFailure> {
    let (rest, [a, b, c, d, magic @ ..]) = file.split_last_chunk::<8>().ok_or(IngestFailure::Format)?;
    let length = u32::from_le_bytes([*a, *b, *c, *d]);
    if magic != b"PAR1" {
        return Err(IngestFailure::Format);
    }
    LimitExceeded::check("parquet_footer_bytes_max", FOOTER_BYTES_MAX, 0, length.into())?;
    let start = rest.len().checked_sub(length as usize).ok_or(IngestFailure::Format)?;
    let mut elements = 0;
    let walked = thrift::structure(rest.get(start..).unwrap_or(&[]), thrift::FILE, &mut |path, value| {
        if path == thrift::path(&[2]) {
            elements = u64::try_from(value).unwrap_or(u64::MAX);
        }
    });
    walked.ok_or(IngestFailure::Format)?;
    Ok(LimitExceeded::check("parquet_schema_elements_max", SCHEMA_ELEMENTS_MAX, 0, elements)?)
}

/// Walks the page headers of a row group before anything is reserved for it: what it claims to become must fit the memory.
fn check_group(file: &Buffer, group: &RowGroupMetadata, limits: &Limits) -> Result<(), IngestFailure> {
    let rows = group.num_rows() as u64;
    let mut bytes = 0u64;
    for column in group.parquet_columns() {
        // Flat columns have a value, or its absence, a row.
        if u64::try_from(column.num_values()) != Ok(rows) {
            return Err(IngestFailure::Format);
        }
        let range = column.byte_range();
        let (start, end) = (usize::try_from(range.start).ok(), usize::try_from(range.end).ok());
        let chunk = start.zip(end).and_then(|(start, end)| file.get(start..end)).ok_or(IngestFailure::Format)?;
        let pages = check_pages(chunk, rows)?;
        // Numbers are copied out of one page after the other, texts and their pages stay.
        let (width, pages) = match column.physical_type() {
            PhysicalType::ByteArray | PhysicalType::FixedLenByteArray(_) => (17, pages.all),
            _ => (9, pages.largest),
        };
        bytes = bytes.saturating_add(rows.saturating_mul(width)).saturating_add(pages);
    }
    Ok(LimitExceeded::check("row_group_bytes_max", limits.row_group_bytes_max, 0, bytes)?)
}

/// Bytes that pages claim to become.
struct Pages {
    all: u64,
    largest: u64,
}

fn check_pages(mut chunk: &[u8], rows: u64) -> Result<Pages, IngestFailure> {
    let (mut values, mut pages) = (0u64, Pages { all: 0, largest: 0 });
    while values < rows {
        let (mut plain, mut sealed, mut page_values, mut dictionary) = (-1, -1, 0, 0);
        let length = thrift::structure(chunk, thrift::PAGE, &mut |path, value| match path {
            PAGE_PLAIN => plain = value,
            PAGE_SEALED => sealed = value,
            PAGE_VALUES | PAGE_VALUES_V2 => page_values = value,
            PAGE_DICTIONARY => dictionary = value,
            _ => {}
        });
        let claims = [plain, sealed, page_values, dictionary].map(|claim| usize::try_from(claim).ok());
        let (Some(length), [Some(plain), Some(sealed), Some(page_values), Some(dictionary)]) = (length, claims) else {
            return Err(IngestFailure::Format);
        };
        LimitExceeded::check("parquet_page_bytes_max", PAGE_BYTES_MAX as u64, 0, plain.max(sealed) as u64)?;
        // An entry of a dictionary takes a byte at least.
        if dictionary > plain || (page_values as u64) > rows - values {
            return Err(IngestFailure::Format);
        }
        values += page_values as u64;
        pages = Pages { all: pages.all.saturating_add(plain as u64), largest: pages.largest.max(plain as u64) };
        chunk = length.checked_add(sealed).and_then(|used| chunk.get(used..)).ok_or(IngestFailure::Format)?;
    }
    Ok(pages)
}

/// Refuses what the metadata itself says is too much. What it hides, the memory limit of the process meets.
fn check_sizes(metadata: &FileMetadata, limits: &Limits, file_bytes: u64) -> Result<(), IngestFailure> {
    let mut rows = 0u64;
    let mut bytes = 0u64;
    for group in &metadata.row_groups {
        LimitExceeded::check("rows_max", limits.rows_max, rows, group.num_rows() as u64)?;
        rows += group.num_rows() as u64;
        for column in group.parquet_columns() {
            let range = column.byte_range();
            if range.start > range.end || range.end > file_bytes || column.num_values() < 0 {
                return Err(IngestFailure::Format);
            }
            let size = u64::try_from(column.uncompressed_size()).map_err(|_| IngestFailure::Format)?;
            LimitExceeded::check("upload_expanded_bytes_max", limits.upload_expanded_bytes_max, bytes, size)?;
            bytes += size;
        }
    }
    Ok(())
}

/// One column of one row group.
struct Chunks {
    /// Row at which each part starts.
    parts: Vec<(usize, Values)>,
    rows: usize,
}

impl Chunks {
    fn get(&self, row: usize) -> Raw<'_> {
        // There is nearly always one part.
        self.parts.iter().rev().find(|(start, _)| *start <= row).map_or(Raw::Missing, |(start, values)| values.get(row - start))
    }
}

fn decode(file: &Buffer, group: &RowGroupMetadata, schema: &ArrowSchema, name: &str) -> Result<Chunks, IngestFailure> {
    let field = schema.get(name).ok_or(IngestFailure::Format)?;
    let mut columns = group.columns_under_root_iter(name).ok_or(IngestFailure::Format)?;
    let (Some(column), None) = (columns.next(), columns.next()) else { return Err(IngestFailure::Format) };
    if !is_flat(&field.dtype) {
        return Err(IngestFailure::Format);
    }
    let range = column.byte_range();
    let start = usize::try_from(range.start).map_err(|_| IngestFailure::Format)?;
    let end = usize::try_from(range.end).map_err(|_| IngestFailure::Format)?;
    if start > end || end > file.len() {
        return Err(IngestFailure::Format);
    }
    let pages = PageReader::new(Cursor::new(file.clone().sliced(start..end)), column, Vec::new(), PAGE_BYTES_MAX);
    let ty = &column.descriptor().descriptor.primitive_type;
    let (arrays, _) = column_iter_to_arrays(vec![BasicDecompressor::new(pages, Vec::new())], vec![ty], field.clone(), None)
        .map_err(|_| IngestFailure::Format)?;
    let mut rows = 0;
    let mut parts = Vec::with_capacity(arrays.len());
    for array in arrays {
        parts.push((rows, Values::of(array.as_ref()).ok_or(IngestFailure::Format)?));
        rows += array.len();
    }
    Ok(Chunks { parts, rows })
}

/// The types that have a plain value; others are refused before their decoder runs.
fn is_flat(ty: &ArrowDataType) -> bool {
    use ArrowDataType as T;
    matches!(
        ty,
        T::Null
            | T::Boolean
            | T::Int8
            | T::Int16
            | T::Int32
            | T::Int64
            | T::UInt8
            | T::UInt16
            | T::UInt32
            | T::UInt64
            | T::Float32
            | T::Float64
            | T::Decimal(..)
            | T::Date32
            | T::Timestamp(..)
            | T::Utf8View
    )
}

/// A decoded array of a known type.
enum Values {
    Null,
    Bool(BooleanArray),
    I8(PrimitiveArray<i8>),
    I16(PrimitiveArray<i16>),
    I32(PrimitiveArray<i32>),
    I64(PrimitiveArray<i64>),
    U8(PrimitiveArray<u8>),
    U16(PrimitiveArray<u16>),
    U32(PrimitiveArray<u32>),
    U64(PrimitiveArray<u64>),
    F32(PrimitiveArray<f32>),
    F64(PrimitiveArray<f64>),
    Decimal(PrimitiveArray<i128>, u32),
    Day(PrimitiveArray<i32>),
    Instant(PrimitiveArray<i64>, i64),
    Text(Utf8ViewArray),
}

impl Values {
    fn of(array: &dyn Array) -> Option<Self> {
        use ArrowDataType as T;
        fn cut<A: Clone + 'static>(array: &dyn Array) -> Option<A> {
            array.as_any().downcast_ref::<A>().cloned()
        }
        Some(match array.dtype() {
            T::Null => Self::Null,
            T::Boolean => Self::Bool(cut(array)?),
            T::Int8 => Self::I8(cut(array)?),
            T::Int16 => Self::I16(cut(array)?),
            T::Int32 => Self::I32(cut(array)?),
            T::Int64 => Self::I64(cut(array)?),
            T::UInt8 => Self::U8(cut(array)?),
            T::UInt16 => Self::U16(cut(array)?),
            T::UInt32 => Self::U32(cut(array)?),
            T::UInt64 => Self::U64(cut(array)?),
            T::Float32 => Self::F32(cut(array)?),
            T::Float64 => Self::F64(cut(array)?),
            T::Decimal(_, scale) => Self::Decimal(cut(array)?, u32::try_from(*scale).ok()?),
            T::Date32 => Self::Day(cut(array)?),
            T::Timestamp(unit, _) => Self::Instant(
                cut(array)?,
                match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                },
            ),
            T::Utf8View => Self::Text(cut(array)?),
            _ => return None,
        })
    }

    fn get(&self, row: usize) -> Raw<'_> {
        fn at<'a, T: NativeType>(array: &PrimitiveArray<T>, row: usize, make: impl Fn(T) -> Raw<'a>) -> Raw<'a> {
            if row < array.len() { array.get(row).map_or(Raw::Missing, make) } else { Raw::Missing }
        }
        match self {
            Self::Null => Raw::Missing,
            Self::Bool(a) => match a.get(row) {
                Some(true) => Raw::Text("true"),
                Some(false) => Raw::Text("false"),
                None => Raw::Missing,
            },
            Self::I8(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::I16(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::I32(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::I64(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::U8(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::U16(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::U32(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::U64(a) => at(a, row, |v| Raw::Int(v.into())),
            Self::F32(a) => at(a, row, Raw::Single),
            Self::F64(a) => at(a, row, Raw::Float),
            Self::Decimal(a, scale) => at(a, row, |v| Raw::Decimal(v, *scale)),
            Self::Day(a) => at(a, row, |v| Raw::Day(v.into())),
            Self::Instant(a, second) => at(a, row, |v| Raw::Instant(v, *second)),
            Self::Text(a) => a.get(row).filter(|t| !t.is_empty()).map_or(Raw::Missing, Raw::Text),
        }
    }
}
