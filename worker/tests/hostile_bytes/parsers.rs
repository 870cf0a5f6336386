//! Uploads through real `ingest` processes: each ends in a closed reason or in columns that hold, in time, within a cap of memory, and
//! this process, which stands for the server, keeps nothing of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fusebox::workers::{IngestError, Ingested, KillSwitch, WorkerSettings, Workers};
use polars_arrow::array::{Array, BinaryViewArray, PrimitiveArray, Utf8ViewArray};
use polars_parquet::write::Version;
use protocol::column::Column;
use protocol::linkage::canonical;
use protocol::message::{IngestFailure, IngestRequest, UploadFormat};
use protocol::schema::{ColumnSchema, ColumnType};

use crate::forged::{Forged, absent};
use crate::processes::{Peak, descendants, descriptors, memory, worker};
use crate::random::Random;
use crate::{mutate, seeds};

/// Inputs of the quick run, and of the nightly one.
const CASES: usize = 2_000;
const CASES_NIGHTLY: usize = 100_000;
/// No input of a few kilobytes takes longer, on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);
/// Peak memory of a process over a mutated input, and over a bomb.
const MEMORY_BYTES: u64 = 512 << 20;
const BOMB_MEMORY_BYTES: u64 = 1 << 30;
/// What this process may hold more at the end: the allocator's slack.
const GROWTH_BYTES: u64 = 64 << 20;

/// Memory, children and descriptors are the process's: one test at a time looks at them.
static ALONE: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How an input ended, for counting.
fn outcome(result: &Result<Ingested, IngestError>) -> String {
    match result {
        Ok(taken) if taken.rejected == 0 => "taken".into(),
        Ok(_) => "taken in part".into(),
        Err(IngestError::Refused { failure: IngestFailure::Limit(limit), .. }) => format!("refused: {}", limit.name),
        Err(IngestError::Refused { failure, .. }) => format!("refused: {failure}"),
        Err(IngestError::Worker(error)) => format!("the worker: {error}"),
        Err(IngestError::Column(error)) => format!("a column: {error}"),
    }
}

fn ingest(workers: &Workers, schema: &[ColumnSchema], unique: &[u16], format: UploadFormat, bytes: &[u8]) -> Result<Ingested, IngestError> {
    let request = IngestRequest { format, schema: schema.to_vec(), unique: unique.to_vec() };
    let upload = protocol::memfd::sealed("upload", bytes).unwrap();
    let result = workers.ingest(&request, &upload, &KillSwitch::default(), |_| {});
    if let Ok(taken) = &result {
        holds(taken, schema);
    }
    result
}

/// Looks at every value again, by the schema's words and not by the product's checks.
fn holds(taken: &Ingested, schema: &[ColumnSchema]) {
    assert_eq!(taken.columns.len(), schema.len());
    assert!(taken.rows > 0);
    for (bytes, declared) in taken.columns.iter().zip(schema) {
        let column = Column::parse(bytes.as_slice()).unwrap();
        column.validate().unwrap();
        assert_eq!(column.rows(), taken.rows);
        for i in 0..usize::try_from(taken.rows).unwrap() {
            if !column.is_valid(i) {
                assert!(declared.nullable, "{}", declared.name);
                continue;
            }
            match &declared.ty {
                ColumnType::Number { min, max, .. } => assert!((*min..=*max).contains(&column.i64s().unwrap()[i])),
                ColumnType::Date => assert!((-719_528..=2_932_896).contains(&column.i64s().unwrap()[i])),
                ColumnType::Hour => assert!((-719_528..=2_932_896).contains(&column.i64s().unwrap()[i].div_euclid(24))),
                ColumnType::Category { domain } => assert!((column.codes().unwrap()[i] as usize) < domain.len()),
                ColumnType::Text { bytes_max } => {
                    let text = column.text(i).unwrap();
                    assert!(text.len() <= *bytes_max as usize && !text.chars().any(char::is_control));
                    assert!(declared.linkage.is_none_or(|kind| canonical(kind, text).is_some_and(|c| c == text)), "{text}");
                }
            }
        }
    }
    assert!(taken.rejected_rows.windows(2).all(|w| w[0].row < w[1].row));
    assert!(taken.rejected_rows.last().is_none_or(|last| last.row <= taken.rows + taken.rejected));
}

/// Runs `cases` inputs on as many processes at a time as there are cores; how each of them ended, by kind.
fn mutated(cases: usize) -> BTreeMap<String, usize> {
    let _alone = alone();
    let (workers, schema, seeds) = (Workers::new(WorkerSettings::alone(worker(), 1, 0)), seeds::schema(), seeds::all());
    for (format, bytes) in &seeds {
        let ended = outcome(&ingest(&workers, &schema, &[], *format, bytes));
        assert!(ended == "taken" || ended == "taken in part", "a seed of {format:?}: {ended}");
    }
    let random = Random::seeded("mutated uploads");
    let (before, held, peak) = (descriptors(), memory("self", "VmRSS").unwrap(), Peak::watch());
    let (next, ends, started) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Instant::now());
    let work = || {
        loop {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases {
                return;
            }
            let mut random = random.fork(case as u64);
            let (done, format, bytes) = mutate::case(&seeds, &mut random);
            let unique: &[u16] = if random.below(3) == 0 { &[0, 4] } else { &[] };
            let begun = Instant::now();
            let ended = outcome(&ingest(&workers, &schema, unique, format, &bytes));
            assert!(begun.elapsed() < LONGEST, "case {case} ({done}) took {:?}", begun.elapsed());
            // A closed reason of the worker's own: it did not die of the input, fall silent or answer out of turn.
            assert!(ended.starts_with("taken") || ended.starts_with("refused"), "case {case} ({done}): {ended}");
            if ended.ends_with("the import failed") {
                eprintln!("  a parser's panic was caught: case {case} ({done})");
            }
            *ends.lock().unwrap().entry(ended).or_default() += 1;
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let (took, peak) = (started.elapsed(), peak.bytes());
    drop(workers);
    unaffected(before, held);
    assert!(peak > 0 && peak < MEMORY_BYTES, "a process held {} MB", peak >> 20);
    let ends = ends.into_inner().unwrap();
    eprintln!("{cases} mutated uploads in {:.1} s, at most {} MB a process:", took.as_secs_f64(), peak >> 20);
    ends.iter().for_each(|(end, count)| eprintln!("  {count:6} {end}"));
    ends
}

/// No child, descriptor or memory is left.
fn unaffected(descriptors_before: usize, memory_before: u64) {
    crate::processes::until(|| descendants().is_empty());
    // The watcher of memory may be reading a file.
    crate::processes::until(|| descriptors() <= descriptors_before);
    let grown = memory("self", "VmRSS").unwrap().saturating_sub(memory_before);
    assert!(grown < GROWTH_BYTES, "the server's side holds {} MB more", grown >> 20);
}

#[test]
fn mutated_uploads_end_in_a_closed_reason_or_in_sound_columns() {
    let ends = mutated(CASES);
    // The mutations reach what they are to reach: all kinds of ends, none of them nearly always.
    for kind in ["taken", "taken in part", "refused: the upload is not of the announced format", "refused: no row is valid"] {
        let count = ends.get(kind).copied().unwrap_or(0);
        assert!(count > CASES / 100 && count < CASES * 3 / 4, "{kind}: {count}");
    }
    assert!(ends.keys().any(|end| end.contains("encoding")) && ends.keys().any(|end| end.contains("not declared")), "{ends:?}");
}

#[test]
#[ignore = "takes about half an hour"]
fn mutated_uploads_in_bulk() {
    mutated(CASES_NIGHTLY);
}

/// Inputs that would take much more than they are: what each is, and the beginning of how it must end.
fn bombs() -> Vec<(&'static str, UploadFormat, Vec<u8>, &'static str)> {
    use UploadFormat::{Csv, CsvGb18030Gz, CsvGz, Parquet};
    let format = "refused: the upload is not of the announced format";
    let names = |n: usize| vec!["n"; n].join(",") + "\n";
    let mut all = vec![
        ("100 MB of quotes", CsvGz, seeds::gz(&vec![b'"'; 100 << 20]), format),
        ("100 MB of zero bytes", CsvGz, seeds::gz(&vec![0; 100 << 20]), format),
        ("gzip in gzip", CsvGz, seeds::gz(&seeds::gz(&vec![b'\n'; 50 << 20])), "refused"),
        ("10,000 empty gzip members", CsvGz, [seeds::gz(b"").repeat(10_000), seeds::gz(b"n\n1\n")].concat(), "taken"),
        ("a character in two halves", CsvGb18030Gz, seeds::gz(&[b"n\n".as_slice(), &[0x81; 1 << 20]].concat()), "refused"),
        ("a million columns", Csv, names(1_000_000).into_bytes(), format),
        ("a row of a million fields", Csv, format!("n\n1\n{}", names(1_000_000)).into_bytes(), format),
        ("300,000 columns of one name", Csv, names(300_000).into_bytes(), "refused: a column was not declared"),
        ("a field of 64 MB", Csv, [b"n\n\"".as_slice(), &vec![b'a'; 64 << 20]].concat(), format),
        ("a quote that is never closed", Csv, format!("n\n\"{}", "1\n".repeat(2 << 20)).into_bytes(), format),
        ("a million empty lines", Csv, format!("n\n{}1\n", "\n".repeat(1 << 20)).into_bytes(), "taken"),
    ];
    all.extend(forged().into_iter().map(|(file, end)| (file.name, Parquet, file.bytes(), end)));
    all
}

/// Parquet files whose numbers lie.
fn forged() -> Vec<(Forged, &'static str)> {
    let of = Forged::of;
    let format = "refused: the upload is not of the announced format";
    let two_gigabytes = i64::from(i32::MAX);
    let mut all = vec![
        (of("sound", 1000), "taken"),
        (of("two million absent rows in 5 bytes", 2 << 20), "taken"),
        (of("two thousand million rows", i64::from(i32::MAX)), "refused: row_group_bytes_max"),
        (of("rows of the next size", 1 << 40), "refused: rows_max"),
        (of("rows below none", -5), format),
        (of("no rows", 0), "refused: no row is valid"),
        (Forged { page_values: 1 << 30, ..of("more values than rows", 10) }, format),
        (Forged { page_values: -1, ..of("values below none", 10) }, format),
        (Forged { page: absent(1 << 40), ..of("a run beyond the rows", 10) }, "taken"),
        (Forged { chunk_values: 1 << 40, ..of("a chunk of more values", 10) }, format),
        (Forged { plain_bytes: Some(two_gigabytes), codec: 1, ..of("a page that claims 2 GB", 10) }, "refused: parquet_page_bytes_max"),
        (Forged { plain_bytes: Some(-1), codec: 1, ..of("a page of less than nothing", 10) }, format),
        // Readers that skip by the written type would take the length for a text's and read on elsewhere.
        (Forged { plain_bytes: Some(two_gigabytes), plain_type: 8, codec: 1, ..of("a length of another type", 10) }, format),
        (Forged { stored_bytes: Some(two_gigabytes), ..of("a page beyond the file", 10) }, "refused: parquet_page_bytes_max"),
        (Forged { dictionary: Some((two_gigabytes, 8)), ..of("a dictionary of 2^31 entries", 10) }, format),
        (Forged { dictionary: Some((1, two_gigabytes)), codec: 6, ..of("a dictionary of 2 GB", 10) }, "refused: parquet_page_bytes_max"),
        (Forged { more_elements: 1 << 31, ..of("a schema of 2^31 elements", 10) }, format),
        (Forged { more_elements: 1, ..of("an element too few", 10) }, format),
        (Forged { nesting: 100, ..of("100 groups within groups", 10) }, format),
        (Forged { nesting: 100_000, ..of("100,000 groups within groups", 10) }, "refused: parquet_schema_elements_max"),
        (Forged { groups: 20_000, ..of("20,000 row groups", 1) }, "taken"),
        (Forged { groups: 520_000, ..of("a footer of 17 MB", 1) }, "refused: parquet_footer_bytes_max"),
    ];
    for (codec, name) in
        [(1, "Snappy"), (2, "gzip"), (3, "LZO"), (4, "Brotli"), (5, "LZ4 of old"), (6, "Zstandard"), (7, "LZ4"), (99, "none known")]
    {
        all.push((Forged { codec, plain_bytes: Some(64 << 20), ..of(name, 10) }, "refused"));
    }
    all
}

/// One value of 32 MB and a thousand equal ones, by every compression.
fn expanding() -> Vec<(String, Vec<u8>)> {
    let long = "a".repeat(32 << 20);
    let of = |texts: &[Option<&str>]| -> Vec<(&str, Box<dyn Array>)> { vec![("t", Utf8ViewArray::from_slice(texts).boxed())] };
    let mut all = Vec::new();
    for compression in seeds::COMPRESSIONS.into_iter().skip(1) {
        let bytes = seeds::parquet_of(&of(&[Some("b"), Some(&long)]), compression, Version::V1, false);
        assert!(bytes.len() < 4 << 20, "{compression:?}: {}", bytes.len());
        all.push((format!("32 MB by {compression:?}"), bytes));
    }
    all
}

#[test]
fn bombs_end_in_a_closed_reason_within_their_memory() {
    let _alone = alone();
    let workers = Workers::new(WorkerSettings::alone(worker(), 1, 0));
    let number = [seeds::column("n", ColumnType::Number { scale: 0, min: 0, max: 9 }, None, true)];
    let text = [seeds::column("t", ColumnType::Text { bytes_max: 8 }, None, true)];
    let (before, held) = (descriptors(), memory("self", "VmRSS").unwrap());
    let expanding = expanding().into_iter().map(|(name, bytes)| (name, UploadFormat::Parquet, bytes, "taken in part", &text));
    let all = bombs().into_iter().map(|(name, format, bytes, end)| (name.to_owned(), format, bytes, end, &number)).chain(expanding);
    let mut wrong = Vec::new();
    for (name, format, bytes, end, schema) in all {
        let (peak, begun) = (Peak::watch(), Instant::now());
        let ended = outcome(&ingest(&workers, schema, &[], format, &bytes));
        let (took, peak) = (begun.elapsed(), peak.bytes());
        eprintln!("{:>9} bytes, {:>5} ms, {:>4} MB: {name}: {ended}", bytes.len(), took.as_millis(), peak >> 20);
        if !ended.starts_with(end) || took > LONGEST || peak > BOMB_MEMORY_BYTES {
            wrong.push(format!("{name}: {ended}, {took:?}, {} MB; expected {end}", peak >> 20));
        }
    }
    drop(workers);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    unaffected(before, held + GROWTH_BYTES);
}

/// What the product does not take is refused by name; Arrow's own files are one of them.
#[test]
fn formats_that_are_not_taken_are_refused() {
    let _alone = alone();
    for name in ["arrow", "arrow_ipc", "feather", "ipc", "orc", "json", "xlsx", "CSV", ""] {
        assert!(fusebox::jobs::Jobs::upload_format(name).is_none(), "{name}");
    }
    let workers = Workers::new(WorkerSettings::alone(worker(), 1, 0));
    let arrow = [b"ARROW1\0\0".as_slice(), &[0xff; 4], &16u32.to_le_bytes(), &[0; 64], b"ARROW1"].concat();
    for format in [UploadFormat::Csv, UploadFormat::CsvGb18030, UploadFormat::CsvGz, UploadFormat::Parquet] {
        let ended = outcome(&ingest(&workers, &seeds::schema(), &[], format, &arrow));
        assert!(ended.starts_with("refused"), "{format:?}: {ended}");
    }
    // Columns of types that have no plain value.
    let binary: Vec<(&str, Box<dyn Array>)> = vec![("n", BinaryViewArray::from_slice([Some(b"x"), None]).boxed())];
    let floats: Vec<(&str, Box<dyn Array>)> =
        vec![("n", PrimitiveArray::<f64>::from_slice([f64::NAN, f64::INFINITY, -0.0, 1e308, 5e-324, 9.0]).boxed())];
    let schema = [seeds::column("n", ColumnType::Number { scale: 0, min: 0, max: 9 }, None, true)];
    let run = |columns| {
        let file = seeds::parquet_of(columns, seeds::COMPRESSIONS[0], Version::V1, false);
        ingest(&workers, &schema, &[], UploadFormat::Parquet, &file)
    };
    assert_eq!(outcome(&run(&binary)), "refused: the upload is not of the announced format");
    let taken = run(&floats).unwrap();
    assert_eq!((taken.rows, taken.rejected), (2, 4), "-0 and 9 are numbers of the declared resolution");
    assert_eq!(Column::parse(taken.columns[0].as_slice()).unwrap().i64s().unwrap(), [0, 9]);
}

/// A schema that no frame holds is an error before anything is sent, and the worker is not waited for.
#[test]
fn a_request_larger_than_a_frame_is_an_error() {
    let _alone = alone();
    let workers = Workers::new(WorkerSettings::alone(worker(), 1, 0));
    let domain: Vec<String> = (0..200_000).map(|i| format!("label {i}")).collect();
    let schema = [seeds::column("n", ColumnType::Category { domain }, None, true)];
    let begun = Instant::now();
    let ended = outcome(&ingest(&workers, &schema, &[], UploadFormat::Csv, b"n\nlabel 1\n"));
    assert!(ended.contains("larger than allowed"), "{ended}");
    assert!(begun.elapsed() < LONGEST);
}
