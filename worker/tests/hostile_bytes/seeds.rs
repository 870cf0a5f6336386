//! Sound uploads: what is mutated.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use polars_arrow::array::{Array, BooleanArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, TimeUnit};
use polars_arrow::record_batch::RecordBatchT;
use polars_parquet::write::{CompressionOptions, Encoding, FileWriter, RowGroupIterator, StatisticsOptions, Version, WriteOptions};
use protocol::message::UploadFormat;
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey, Role};

pub const USCC: [&str; 4] = ["91350100M000100Y43", "914403001922038216", "9144030071526726XG", "91330100799655058B"];
pub const ROWS: usize = 60;

pub fn column(name: &str, ty: ColumnType, linkage: Option<LinkageKey>, nullable: bool) -> ColumnSchema {
    ColumnSchema { name: name.into(), role: Role::QuasiIdentifier, ty, linkage, nullable }
}

/// A column of every type.
pub fn schema() -> Vec<ColumnSchema> {
    vec![
        column("firm", ColumnType::Text { bytes_max: 18 }, Some(LinkageKey::Uscc), false),
        column("amount", ColumnType::Number { scale: 2, min: -100_000, max: 100_000 }, None, true),
        column("ratio", ColumnType::Number { scale: 9, min: i64::MIN, max: i64::MAX }, None, true),
        column("grade", ColumnType::Category { domain: ["A", "乙", "C", "true", "false"].map(str::to_owned).to_vec() }, None, true),
        column("day", ColumnType::Date, None, false),
        column("hour", ColumnType::Hour, None, true),
        column("note", ColumnType::Text { bytes_max: 24 }, None, true),
    ]
}

pub fn row(i: usize) -> String {
    let day = format!("20{:02}-{:02}-{:02}", i % 90 + 10, i % 12 + 1, i % 28 + 1);
    let note = ["", "plain", "\"a, \"\"b\"\"\"", "上海", "é"][i % 5];
    let grade = ["A", "乙", "", "C"][i % 4];
    format!("{},{},{}.{},{}.5,{grade},{day} {:02},{note}", day, USCC[i % 4], i, i % 100, i as i64 - 30, i % 24)
}

pub fn csv() -> Vec<u8> {
    let rows = (0..ROWS).map(row).collect::<Vec<_>>().join("\n");
    format!("day,firm,amount,ratio,grade,hour,note\n{rows}\n").into_bytes()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gb18030(bytes: &[u8]) -> Vec<u8> {
    encoding_rs::GB18030.encode(std::str::from_utf8(bytes).unwrap()).0.into_owned()
}

/// The same table, in types of Parquet's that are not all the same from file to file.
fn arrays(variant: usize) -> Vec<(&'static str, Box<dyn Array>)> {
    let days = |i: usize| 14_610 + 37 * i32::try_from(i).unwrap();
    let day: Box<dyn Array> = match variant % 2 {
        0 => PrimitiveArray::<i32>::from_vec((0..ROWS).map(days).collect()).to(ArrowDataType::Date32).boxed(),
        _ => Utf8ViewArray::from_slice((0..ROWS).map(|i| Some(format!("2020-01-{:02}", i % 28 + 1))).collect::<Vec<_>>()).boxed(),
    };
    let amount: Box<dyn Array> = match variant % 4 {
        0 => PrimitiveArray::<f64>::from_vec((0..ROWS).map(|i| i as f64 / 4.0).collect()).boxed(),
        1 => PrimitiveArray::<i32>::from((0..ROWS).map(|i| (i % 7 > 0).then_some(i as i32)).collect::<Vec<_>>()).boxed(),
        2 => PrimitiveArray::<i128>::from_vec((0..ROWS as i128).collect()).to(ArrowDataType::Decimal(20, 2)).boxed(),
        _ => PrimitiveArray::<f32>::from_vec((0..ROWS).map(|i| i as f32 / 2.0).collect()).boxed(),
    };
    let ratio: Box<dyn Array> = match variant % 3 {
        0 => PrimitiveArray::<i64>::from_vec((0..ROWS as i64).collect()).boxed(),
        1 => PrimitiveArray::<u16>::from_vec((0..ROWS).map(|i| i as u16).collect()).boxed(),
        _ => PrimitiveArray::<i8>::from_vec((0..ROWS).map(|i| i as i8 - 30).collect()).boxed(),
    };
    let hours = (0..ROWS as i64).map(|i| (i % 9 > 0).then_some((400_000 + i) * 3_600_000_000)).collect::<Vec<_>>();
    let text = |f: &dyn Fn(usize) -> Option<&'static str>| Utf8ViewArray::from_slice((0..ROWS).map(f).collect::<Vec<_>>()).boxed();
    // Where the labels are `true` and `false`, a boolean is one.
    let grade: Box<dyn Array> = match variant % 6 {
        5 => BooleanArray::from((0..ROWS).map(|i| (i % 4 > 0).then_some(i % 2 == 0)).collect::<Vec<_>>()).boxed(),
        _ => text(&|i| [Some("A"), Some("乙"), None, Some("C")][i % 4]),
    };
    vec![
        ("day", day),
        ("firm", text(&|i| Some(USCC[i % 4]))),
        ("amount", amount),
        ("ratio", ratio),
        ("grade", grade),
        ("hour", PrimitiveArray::<i64>::from(hours).to(ArrowDataType::Timestamp(TimeUnit::Microsecond, None)).boxed()),
        ("note", text(&|i| (i % 5 > 0).then_some("a note of some length"))),
    ]
}

pub const COMPRESSIONS: [CompressionOptions; 6] = [
    CompressionOptions::Uncompressed,
    CompressionOptions::Snappy,
    CompressionOptions::Gzip(None),
    CompressionOptions::Brotli(None),
    CompressionOptions::Zstd(None),
    CompressionOptions::Lz4Raw,
];

/// One file of `columns`, cut into two row groups.
pub fn parquet_of(columns: &[(&str, Box<dyn Array>)], compression: CompressionOptions, version: Version, dictionary: bool) -> Vec<u8> {
    let field = |(name, a): &(&str, Box<dyn Array>)| ((*name).into(), Field::new((*name).into(), a.dtype().clone(), true));
    let schema: ArrowSchema = columns.iter().map(field).collect();
    let options = WriteOptions { statistics: StatisticsOptions::full(), version, compression, data_page_size: Some(256) };
    let rows = columns[0].1.len();
    let batches = [(0, rows / 2), (rows / 2, rows - rows / 2)].map(|(from, length)| {
        let arrays = columns.iter().map(|(_, a)| a.sliced(from, length)).collect::<Vec<_>>();
        Ok(RecordBatchT::new(length, Arc::new(schema.clone()), arrays))
    });
    let encode = |a: &dyn Array| if dictionary && a.dtype() != &ArrowDataType::Boolean { Encoding::RleDictionary } else { Encoding::Plain };
    let encodings: Vec<_> = columns.iter().map(|(_, a)| vec![encode(a.as_ref())]).collect();
    let mut writer = FileWriter::try_new(Vec::new(), schema.clone(), options).unwrap();
    for group in RowGroupIterator::try_new(batches.into_iter(), &schema, options, encodings.into()).unwrap() {
        writer.write(rows as u64 / 2, group.unwrap()).unwrap();
    }
    writer.end(None).unwrap();
    writer.into_inner()
}

pub fn parquet(variant: usize) -> Vec<u8> {
    let version = if variant % 4 < 2 { Version::V1 } else { Version::V2 };
    parquet_of(&arrays(variant), COMPRESSIONS[variant % 6], version, variant % 5 > 2)
}

/// A file of the columns that the fuzz target declares.
pub fn small_parquet(variant: usize) -> Vec<u8> {
    let text = |f: &dyn Fn(usize) -> Option<&'static str>| Utf8ViewArray::from_slice((0..20).map(f).collect::<Vec<_>>()).boxed();
    let columns: Vec<(&str, Box<dyn Array>)> = vec![
        ("a", PrimitiveArray::<i64>::from((0..20).map(|i| (i % 3 > 0).then_some(i)).collect::<Vec<_>>()).boxed()),
        ("b", text(&|i| (i % 4 > 0).then_some("an identifier"))),
        ("c", text(&|i| Some(["x", "乙"][i % 2]))),
        ("d", PrimitiveArray::<i32>::from_vec((0..20).map(|i| 19_000 + i).collect()).to(ArrowDataType::Date32).boxed()),
    ];
    let version = if variant.is_multiple_of(2) { Version::V1 } else { Version::V2 };
    parquet_of(&columns, COMPRESSIONS[variant % 6], version, variant.is_multiple_of(3))
}

/// All seeds, each of which is taken as it is.
pub fn all() -> Vec<(UploadFormat, Vec<u8>)> {
    let csv = csv();
    let windows = String::from_utf8(csv.clone()).unwrap().replace('\n', "\r\n");
    let mut all = vec![
        (UploadFormat::Csv, csv.clone()),
        (UploadFormat::Csv, format!("\u{feff}{windows}").into_bytes()),
        (UploadFormat::CsvGz, gz(&csv)),
        (UploadFormat::CsvGz, [gz(&csv[..700]), gz(&csv[700..])].concat()),
        (UploadFormat::CsvGb18030, gb18030(&csv)),
        (UploadFormat::CsvGb18030Gz, gz(&gb18030(&csv))),
    ];
    all.extend((0..12).map(|variant| (UploadFormat::Parquet, parquet(variant))));
    all
}
