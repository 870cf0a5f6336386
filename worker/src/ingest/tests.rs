use std::io::Write;
use std::sync::Arc;

use super::*;
use flate2::{Compression, write::GzEncoder};
use polars_arrow::array::{Array, BooleanArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, TimeUnit};
use polars_arrow::record_batch::RecordBatchT;
use polars_parquet::write::{CompressionOptions, Encoding, FileWriter, RowGroupIterator, StatisticsOptions, Version, WriteOptions};
use proptest::prelude::*;
use protocol::column::{AlignedBytes, Column};
use protocol::memfd::{SealedFd, sealed};
use protocol::message::{RejectedRow, RowRule};
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey, Role};
use protocol::value::format_decimal;

const USCC: &str = "91350100M000100Y43";

fn column(name: &str, ty: ColumnType, linkage: Option<LinkageKey>, nullable: bool) -> ColumnSchema {
    ColumnSchema { name: name.into(), role: Role::QuasiIdentifier, ty, linkage, nullable }
}

fn schema() -> Vec<ColumnSchema> {
    vec![
        column("firm", ColumnType::Text { bytes_max: 18 }, Some(LinkageKey::Uscc), false),
        column("amount", ColumnType::Number { scale: 2, min: -100_000, max: 100_000 }, None, true),
        column("grade", ColumnType::Category { domain: vec!["A".into(), "乙".into(), "C".into()] }, None, true),
        column("day", ColumnType::Date, None, false),
        column("hour", ColumnType::Hour, None, true),
        column("note", ColumnType::Text { bytes_max: 8 }, None, true),
    ]
}

#[derive(Default)]
struct Outcome {
    columns: Vec<AlignedBytes>,
    rejected: Vec<RejectedRow>,
    progress: Vec<u64>,
    done: Option<(u64, u64)>,
    failure: Option<IngestFailure>,
}

impl Outcome {
    fn column(&self, i: usize) -> Column<'_> {
        let c = Column::parse(self.columns[i].as_slice()).unwrap();
        c.validate().unwrap();
        c
    }
    fn ints(&self, i: usize) -> Vec<Option<i64>> {
        let c = self.column(i);
        c.i64s().unwrap().iter().enumerate().map(|(r, v)| c.is_valid(r).then_some(*v)).collect()
    }
    fn texts(&self, i: usize) -> Vec<Option<String>> {
        let c = self.column(i);
        let text = |r: usize| match c.codes() {
            Some(codes) => c.labels()[codes[r] as usize].to_owned(),
            None => c.text(r).unwrap().to_owned(),
        };
        (0..usize::try_from(c.rows()).unwrap()).map(|r| c.is_valid(r).then(|| text(r))).collect()
    }
}

fn ingest(format: UploadFormat, schema: &[ColumnSchema], unique: &[u16], bytes: &[u8], limits: &Limits) -> Outcome {
    let request = IngestRequest { format, schema: schema.to_vec(), unique: unique.to_vec() };
    let mut out = Outcome::default();
    let mut sink = |reply: IngestReply, fd: Option<OwnedFd>| {
        match reply {
            IngestReply::Progress { rows } => out.progress.push(rows),
            IngestReply::Rejected(r) => out.rejected.push(r),
            IngestReply::Column { index } => {
                assert_eq!(usize::from(index), out.columns.len());
                out.columns.push(SealedFd::verify(fd.unwrap(), u64::MAX).unwrap().read().unwrap());
            }
            IngestReply::Done { rows, rejected } => out.done = Some((rows, rejected)),
            IngestReply::Failed(_) => unreachable!(),
        }
        Ok(())
    };
    match guarded(&request, sealed("upload", bytes).unwrap(), limits, &mut sink) {
        Ok(()) => {}
        Err(Stop::Failed(f)) => out.failure = Some(f),
        Err(Stop::Channel(e)) => panic!("{e}"),
    }
    out
}

fn csv(text: &str) -> Outcome {
    ingest(UploadFormat::Csv, &schema(), &[], text.as_bytes(), &Limits::STANDARD)
}

fn failure(format: UploadFormat, bytes: &[u8]) -> IngestFailure {
    ingest(format, &schema(), &[], bytes, &Limits::STANDARD).failure.unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::fast());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

const HEADER: &str = "day,firm,amount,grade,hour,note\n";

#[test]
fn a_csv_becomes_columns() {
    let lower = USCC.to_lowercase();
    let text = format!("\u{feff}{HEADER}2024-02-29,{USCC},1.5,乙,2024-02-29 23,\"a,\"\"b\"\r\n1970-01-01, {lower} ,-0.010,,,\n");
    let out = csv(&text);
    assert_eq!((out.failure.clone(), out.done, out.rejected.len()), (None, Some((2, 0)), 0));
    assert_eq!(out.texts(0), [Some(USCC.into()), Some(USCC.into())]);
    assert_eq!(out.ints(1), [Some(150), Some(-1)]);
    assert_eq!(out.texts(2), [Some("乙".into()), None]);
    assert_eq!(out.ints(3), [Some(19_782), Some(0)]);
    assert_eq!(out.ints(4), [Some(19_782 * 24 + 23), None]);
    assert_eq!(out.texts(5), [Some("a,\"b".into()), None]);
    // Validity is there only where something is missing.
    assert_eq!((0..6).map(|i| out.column(i).validity().is_some()).collect::<Vec<_>>(), [false, false, true, false, true, true]);
}

#[test]
fn every_rule_rejects_its_row_and_repeats_nothing() {
    let row =
        |day: &str, firm: &str, amount: &str, grade: &str, hour: &str, note: &str| format!("{day},{firm},{amount},{grade},{hour},{note}\n");
    let bad = [
        (row("", USCC, "1", "A", "", ""), Some(3), RowRule::Missing),
        (row("2024-01-01", USCC, "1.005", "A", "", ""), Some(1), RowRule::Number),
        (row("2024-01-01", USCC, "x", "A", "", ""), Some(1), RowRule::Number),
        (row("2024-01-01", USCC, "1000.01", "A", "", ""), Some(1), RowRule::Bounds),
        (row("2024-01-01", USCC, "1", "B", "", ""), Some(2), RowRule::Domain),
        (row("2024-02-30", USCC, "1", "A", "", ""), Some(3), RowRule::Date),
        (row("2024-01-01", USCC, "1", "A", "2024-01-01 24", ""), Some(4), RowRule::Hour),
        (row("2024-01-01", USCC, "1", "A", "", "123456789"), Some(5), RowRule::Text),
        (row("2024-01-01", USCC, "1", "A", "", "\"a\nb\""), Some(5), RowRule::Text),
        (row("2024-01-01", "91350100M000100Y44", "1", "A", "", ""), Some(0), RowRule::LinkageKey),
        ("2024-01-01,x\n".into(), None, RowRule::Fields),
    ];
    let good = row("2024-01-01", USCC, "1", "A", "", "ok");
    let mut text = format!("{HEADER}{good}");
    for (row, ..) in &bad {
        text.push_str(row);
    }
    text.push_str(&row("2024-01-02", USCC, "2", "C", "", ""));
    text.push_str(&good);
    let out = ingest(UploadFormat::Csv, &schema(), &[0, 3], text.as_bytes(), &Limits::STANDARD);
    let mut expected: Vec<_> =
        (2u64..).zip(&bad).map(|(row, (_, column, rule))| RejectedRow { row, column: *column, rule: *rule }).collect();
    expected.push(RejectedRow { row: bad.len() as u64 + 3, column: None, rule: RowRule::Unique });
    assert_eq!(out.rejected, expected);
    assert_eq!(out.done, Some((2, expected.len() as u64)));
    // Nothing of a rejected row is left behind.
    assert_eq!(out.ints(1), [Some(100), Some(200)]);
    assert_eq!(out.texts(5), [Some("ok".into()), None]);
}

#[test]
fn rejected_rows_are_counted_beyond_those_reported() {
    let limits = Limits { rejected_rows_reported_max: 3, ..Limits::STANDARD };
    let one = [column("n", ColumnType::Number { scale: 0, min: 0, max: 9 }, None, false)];
    let text: String = std::iter::once("n\n".to_owned()).chain((0..200_000).map(|i| format!("{}\n", i % 20))).collect();
    let out = ingest(UploadFormat::Csv, &one, &[], text.as_bytes(), &limits);
    assert_eq!((out.rejected.len(), out.done), (3, Some((100_000, 100_000))));
    assert_eq!(out.progress, [1 << 16, 2 << 16, 3 << 16]);
    let limits = Limits { rows_max: 1000, ..Limits::STANDARD };
    assert!(
        matches!(ingest(UploadFormat::Csv, &one, &[], text.as_bytes(), &limits).failure, Some(IngestFailure::Limit(l)) if l.name == "rows_max")
    );
}

#[test]
fn encodings_and_gzip_members_give_the_same_columns() {
    let rows: String = (0..5000).map(|i| format!("2024-01-{:02},{USCC},{i}.{},乙,,注{}\n", i % 28 + 1, i % 10, i % 9)).collect();
    let rows = rows.replace(",1000.", ",999.");
    let text = format!("{HEADER}{rows}");
    let wide = encoding_rs::GB18030.encode(&text).0.into_owned();
    assert_ne!(wide, text.as_bytes());
    let (a, b) = text.as_bytes().split_at(1234);
    let (c, d) = wide.split_at(4321);
    let one = csv(&text);
    assert!(one.done.unwrap().0 > 900);
    for (format, bytes) in [
        (UploadFormat::CsvGz, [gz(a), gz(b)].concat()),
        (UploadFormat::CsvGb18030, wide.clone()),
        (UploadFormat::CsvGb18030Gz, [gz(c), gz(d)].concat()),
    ] {
        let other = ingest(format, &schema(), &[], &bytes, &Limits::STANDARD);
        assert_eq!((other.failure.clone(), other.done, &other.rejected), (None, one.done, &one.rejected), "{format:?}");
        for i in 0..6 {
            assert_eq!(other.columns[i].as_slice(), one.columns[i].as_slice(), "{format:?} column {i}");
        }
    }
    assert_eq!(failure(UploadFormat::Csv, &wide), IngestFailure::Encoding);
    let mut broken = wide.clone();
    broken[200] = 0xff;
    assert_eq!(failure(UploadFormat::CsvGb18030, &broken), IngestFailure::Encoding);
    // A character cut in half at the very end.
    let cut = [HEADER.as_bytes(), b"2024-01-01,x,1,A,,", &[0x81]].concat();
    assert_eq!(failure(UploadFormat::CsvGb18030, &cut), IngestFailure::Encoding);
    // Characters that the decoder holds back until the input ends.
    let whole = [HEADER.as_bytes(), &[0x81; 1 << 17]].concat();
    assert_eq!(failure(UploadFormat::CsvGb18030, &whole), IngestFailure::Empty);
    // The other end of it: a file that ends inside a field, without a line's end.
    let open = [HEADER.as_bytes(), b"2024-01-01,\"", &[0xc9, 0xcf]].concat();
    assert_eq!(failure(UploadFormat::CsvGb18030, &open), IngestFailure::Empty);
}

#[test]
fn hostile_uploads_are_typed_failures() {
    assert_eq!(failure(UploadFormat::Csv, b""), IngestFailure::Format);
    assert_eq!(failure(UploadFormat::Csv, HEADER.as_bytes()), IngestFailure::Empty);
    assert_eq!(failure(UploadFormat::Csv, b"day,firm,amount,hour,note\n"), IngestFailure::MissingColumn(2));
    assert_eq!(failure(UploadFormat::Csv, HEADER.replace("note", "note,extra").as_bytes()), IngestFailure::UndeclaredColumn(7));
    assert_eq!(failure(UploadFormat::Csv, HEADER.replace("note", "note,day").as_bytes()), IngestFailure::UndeclaredColumn(7));
    let whole = gz(format!("{HEADER}{}", format!("2024-01-01,{USCC},1,A,,\n").repeat(3000)).as_bytes());
    assert!(ingest(UploadFormat::CsvGz, &schema(), &[], &whole, &Limits::STANDARD).failure.is_none());
    for cut in [1, 9, whole.len() / 2, whole.len() - 1] {
        assert_eq!(failure(UploadFormat::CsvGz, &whole[..cut]), IngestFailure::Format, "{cut}");
    }
    assert_eq!(failure(UploadFormat::CsvGz, &[whole.as_slice(), b"rest"].concat()), IngestFailure::Format);
    assert_eq!(failure(UploadFormat::CsvGz, b"no gzip at all"), IngestFailure::Format);
    // 100 MB in one record, and in many.
    let bomb = gz(&vec![b'"'; 100 << 20]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(failure(UploadFormat::CsvGz, &bomb), IngestFailure::Format);
    let limits = Limits { upload_expanded_bytes_max: 1 << 20, ..Limits::STANDARD };
    let many = gz(&[HEADER.as_bytes(), &b"\n,,,,,".repeat(1 << 20)].concat());
    let out = ingest(UploadFormat::CsvGz, &schema(), &[], &many, &limits);
    assert!(matches!(out.failure, Some(IngestFailure::Limit(l)) if l.name == "upload_expanded_bytes_max"));
    let limits = Limits { upload_bytes_max: 10, ..Limits::STANDARD };
    let out = ingest(UploadFormat::Csv, &schema(), &[], HEADER.as_bytes(), &limits);
    assert!(matches!(out.failure, Some(IngestFailure::Limit(l)) if l.name == "upload_bytes_max"));
}

fn parquet(groups: &[Vec<(&str, Box<dyn Array>)>]) -> Vec<u8> {
    let schema: ArrowSchema =
        groups[0].iter().map(|(name, a)| ((*name).into(), Field::new((*name).into(), a.dtype().clone(), true))).collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::full(),
        version: Version::V1,
        compression: CompressionOptions::Snappy,
        data_page_size: None,
    };
    let batches: Vec<_> = groups
        .iter()
        .map(|g| Ok(RecordBatchT::new(g[0].1.len(), Arc::new(schema.clone()), g.iter().map(|(_, a)| a.clone()).collect::<Vec<_>>())))
        .collect();
    let rows: Vec<_> = groups.iter().map(|g| g[0].1.len() as u64).collect();
    let encodings: Vec<Vec<Encoding>> = groups[0].iter().map(|_| vec![Encoding::Plain]).collect();
    let mut writer = FileWriter::try_new(Vec::new(), schema.clone(), options).unwrap();
    for (rows, group) in rows.into_iter().zip(RowGroupIterator::try_new(batches.into_iter(), &schema, options, encodings.into()).unwrap()) {
        writer.write(rows, group.unwrap()).unwrap();
    }
    writer.end(None).unwrap();
    writer.into_inner()
}

fn number(name: &str, scale: u8, max: i64) -> ColumnSchema {
    column(name, ColumnType::Number { scale, min: -max, max }, None, true)
}

#[test]
fn parquet_types_are_read_exactly() {
    let schema = [
        number("whole", 2, i64::MAX),
        number("double", 2, 1 << 60),
        number("single", 1, 1000),
        number("decimal", 2, 1 << 60),
        number("text", 2, 1000),
        column("day", ColumnType::Date, None, true),
        column("hour", ColumnType::Hour, None, true),
        column("label", ColumnType::Category { domain: vec!["false".into(), "true".into()] }, None, true),
        column("code", ColumnType::Category { domain: vec!["7".into(), "8".into()] }, None, true),
    ];
    let decimal = PrimitiveArray::<i128>::from_slice([12_300, 12_345, -100]).to(ArrowDataType::Decimal(20, 3));
    let hour = 1_700_002_800_000_000i64;
    let file = parquet(&[vec![
        ("hour", PrimitiveArray::from_slice([hour, hour + 1, 0]).to(ArrowDataType::Timestamp(TimeUnit::Microsecond, None)).boxed()),
        ("whole", PrimitiveArray::<i32>::from([Some(-3), Some(4), None]).boxed()),
        ("double", PrimitiveArray::<f64>::from_slice([0.1 + 0.2, 0.30000001, 1e300]).boxed()),
        ("single", PrimitiveArray::<f32>::from_slice([0.1, 0.25, f32::NAN]).boxed()),
        ("decimal", decimal.boxed()),
        ("text", Utf8ViewArray::from_slice([Some("1.25"), Some(""), None]).boxed()),
        ("day", PrimitiveArray::<i32>::from_slice([19_782, -1, 0]).to(ArrowDataType::Date32).boxed()),
        ("label", BooleanArray::from([Some(true), Some(false), None]).boxed()),
        ("code", PrimitiveArray::<u8>::from_slice([7, 8, 9]).boxed()),
    ]]);
    let out = ingest(UploadFormat::Parquet, &schema, &[], &file, &Limits::STANDARD);
    assert_eq!(out.failure, None);
    assert_eq!(out.done, Some((1, 2)));
    assert_eq!(
        out.rejected.iter().map(|r| (r.row, r.column, r.rule)).collect::<Vec<_>>(),
        [(2, Some(1), RowRule::Number), (3, Some(1), RowRule::Number)]
    );
    assert_eq!((0..7).filter(|i| *i != 6).map(|i| out.ints(i)[0].unwrap()).collect::<Vec<_>>(), [-300, 30, 1, 1230, 125, 19_782]);
    assert_eq!(out.ints(6), [Some(hour / 3_600_000_000)]);
    assert_eq!((out.texts(7), out.texts(8)), (vec![Some("true".into())], vec![Some("7".into())]));
}

#[test]
fn parquet_values_off_their_type_are_rejected_one_by_one() {
    let one = |name: &str, ty: ColumnType, array: Box<dyn Array>| {
        let out = ingest(UploadFormat::Parquet, &[column(name, ty, None, false)], &[], &parquet(&[vec![(name, array)]]), &Limits::STANDARD);
        (out.done, out.failure.clone(), out.rejected.iter().map(|r| (r.row, r.rule)).collect::<Vec<_>>())
    };
    let n = |scale| ColumnType::Number { scale, min: -1000, max: 1000 };
    let (done, _, rejected) = one("x", n(2), PrimitiveArray::<f32>::from_slice([0.1, 0.125, f32::NAN, -7.5]).boxed());
    assert_eq!((done, rejected), (Some((2, 2)), vec![(2, RowRule::Number), (3, RowRule::Number)]));
    let (done, _, rejected) = one("x", n(0), PrimitiveArray::<u64>::from_slice([1000, 1001, u64::MAX]).boxed());
    assert_eq!((done, rejected), (Some((1, 2)), vec![(2, RowRule::Bounds), (3, RowRule::Bounds)]));
    let decimals = PrimitiveArray::<i128>::from_slice([1_000, 1_001]).to(ArrowDataType::Decimal(9, 3)).boxed();
    assert_eq!(one("x", n(0), decimals).2, [(2, RowRule::Number)]);
    let days = PrimitiveArray::<i32>::from_slice([0, i32::MAX]).to(ArrowDataType::Date32).boxed();
    assert_eq!(one("x", ColumnType::Date, days.clone()).2, [(2, RowRule::Date)]);
    assert_eq!(one("x", n(0), days).1, Some(IngestFailure::Empty));
    let instants =
        PrimitiveArray::from_slice([3_600_000i64, 3_600_001, 86_400_000]).to(ArrowDataType::Timestamp(TimeUnit::Millisecond, None)).boxed();
    assert_eq!(one("x", ColumnType::Hour, instants.clone()).2, [(2, RowRule::Hour)]);
    assert_eq!(one("x", ColumnType::Date, instants).2, [(1, RowRule::Date), (2, RowRule::Date)]);
    let texts = Utf8ViewArray::from_slice([Some("ok"), None, Some("too long")]).boxed();
    assert_eq!(one("x", ColumnType::Text { bytes_max: 4 }, texts).2, [(2, RowRule::Missing), (3, RowRule::Text)]);
}

#[test]
fn parquet_of_hostile_bytes_is_a_typed_failure() {
    let schema = [number("n", 0, 1 << 40), column("t", ColumnType::Text { bytes_max: 20 }, None, true)];
    let group = |from: i64| -> Vec<(&str, Box<dyn Array>)> {
        let texts: Vec<_> = (from..from + 500).map(|i| (i % 7 > 0).then(|| format!("text {}", i % 50))).collect();
        vec![("n", PrimitiveArray::<i64>::from_vec((from..from + 500).collect()).boxed()), ("t", Utf8ViewArray::from_slice(texts).boxed())]
    };
    let file = parquet(&[group(0), group(500)]);
    let whole = ingest(UploadFormat::Parquet, &schema, &[], &file, &Limits::STANDARD);
    assert_eq!(whole.done, Some((1000, 0)));
    assert_eq!(whole.ints(0), (0..1000).map(Some).collect::<Vec<_>>());
    assert_eq!(
        ingest(UploadFormat::Parquet, &schema[..1], &[], &file, &Limits::STANDARD).failure,
        Some(IngestFailure::UndeclaredColumn(2))
    );
    let small = Limits { rows_max: 999, ..Limits::STANDARD };
    assert!(matches!(ingest(UploadFormat::Parquet, &schema, &[], &file, &small).failure, Some(IngestFailure::Limit(_))));
    for cut in (0..file.len()).step_by(file.len() / 40) {
        assert!(ingest(UploadFormat::Parquet, &schema, &[], &file[..cut], &Limits::STANDARD).failure.is_some(), "{cut}");
    }
    // Seeded, so that a failure can be repeated. Whatever comes out is either a failure or sound columns of its own row count.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let footer = file.len().saturating_sub(700);
    let mut failures = 0;
    for i in 0..400 {
        let mut bytes = file.clone();
        for _ in 0..=i % 4 {
            // Half of the changes hit the metadata.
            let at = if i % 2 == 0 { random(bytes.len()) } else { footer + random(bytes.len() - footer) };
            bytes[at] = random(256) as u8;
        }
        let out = ingest(UploadFormat::Parquet, &schema, &[], &bytes, &Limits::STANDARD);
        match (out.done, &out.failure) {
            (Some((rows, _)), None) => assert!((0..2).all(|c| out.column(c).rows() == rows)),
            (None, Some(_)) => failures += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(failures > 40, "{failures}");
}

#[test]
fn a_conversation_hands_over_sealed_columns() {
    let (mut server, socket) = Channel::pair().unwrap();
    let worker = std::thread::spawn(move || converse(&mut Channel::new(socket)));
    let request = IngestRequest { format: UploadFormat::Csv, schema: schema(), unique: vec![] };
    let upload = sealed("upload", format!("{HEADER}2024-01-01,{USCC},1,A,,\nx\n").as_bytes()).unwrap();
    server.send(&request, &[upload.as_fd()]).unwrap();
    let mut kinds = Vec::new();
    loop {
        let (reply, fds) = server.receive::<IngestReply>().unwrap();
        assert_eq!(fds.len(), usize::from(matches!(reply, IngestReply::Column { .. })));
        for fd in fds {
            SealedFd::verify(fd, 1 << 20).unwrap();
        }
        kinds.push(reply);
        if let Some(IngestReply::Done { .. } | IngestReply::Failed(_)) = kinds.last() {
            break;
        }
    }
    assert_eq!(kinds[0], IngestReply::Rejected(RejectedRow { row: 2, column: None, rule: RowRule::Fields }));
    assert_eq!((kinds.len(), kinds.last()), (8, Some(&IngestReply::Done { rows: 1, rejected: 1 })));
    worker.join().unwrap().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_written_is_what_is_read(
        rows in prop::collection::vec((
            prop::option::of(-100_000i64..=100_000), prop::option::of(0usize..3), 0i64..40_000, prop::option::of(0i64..900_000),
            prop::option::of("[a-z中 ,\"']{1,4}".prop_filter("bytes", |t| t.len() <= 8)),
        ), 1..40),
        pad in 0usize..3,
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["note", "hour", "day", "grade", "amount", "firm"]).unwrap();
        let day = |d: i64| {
            // Counted from 1970 year by year: another way than the product's.
            let (mut year, mut left) = (1970, d);
            let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            while left >= 365 + i64::from(leap(year)) {
                left -= 365 + i64::from(leap(year));
                year += 1;
            }
            let mut month = 1;
            for n in [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                if left < n {
                    break;
                }
                left -= n;
                month += 1;
            }
            format!("{year:04}-{month:02}-{:02}", left + 1)
        };
        for (amount, grade, d, hour, note) in &rows {
            writer.write_record([
                note.clone().unwrap_or_default(),
                hour.map(|h| format!("{} {:02}", day(h / 24), h % 24)).unwrap_or_default(),
                day(*d),
                grade.map(|g| ["A", "乙", "C"][g].to_owned()).unwrap_or_default(),
                amount.map(|a| format_decimal(a, 2) + &"0".repeat(pad)).unwrap_or_default(),
                USCC.into(),
            ]).unwrap();
        }
        let out = ingest(UploadFormat::Csv, &schema(), &[], &writer.into_inner().unwrap(), &Limits::STANDARD);
        prop_assert_eq!(out.done, Some((rows.len() as u64, 0)));
        prop_assert_eq!(out.ints(1), rows.iter().map(|r| r.0).collect::<Vec<_>>());
        prop_assert_eq!(out.texts(2), rows.iter().map(|r| r.1.map(|g| ["A", "乙", "C"][g].to_owned())).collect::<Vec<_>>());
        prop_assert_eq!(out.ints(3), rows.iter().map(|r| Some(r.2)).collect::<Vec<_>>());
        prop_assert_eq!(out.ints(4), rows.iter().map(|r| r.3).collect::<Vec<_>>());
        prop_assert_eq!(out.texts(5), rows.iter().map(|r| r.4.clone()).collect::<Vec<_>>());
    }
}
