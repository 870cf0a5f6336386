//! Everything that decodes bytes from outside, as plain functions. Each checks more than that nothing panics: what is taken is
//! written again and must be read the same.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fusebox::agreement::{AgreementDocument, ApplicationDocument, AuthorisationDocument};
use fusebox::catalog::{CatalogueEntry, FusionPlan};
use fusebox::clock::{Date, Timestamp};
use fusebox::id::{DatasetId, ModuleDigest, Name};
use fusebox::policy::{ReleasePolicy, city::CityProfile};
use fusebox::tlog::{Checkpoint, Leaf, Signer, Source, Tile};
use protocol::canonical::to_canonical_json;
use protocol::column::{AlignedBytes, Column, Parts, write_column};
use protocol::frame::Channel;
use protocol::limits::Limits;
use protocol::linkage::canonical;
use protocol::manifest::Manifest;
use protocol::memfd::SealedFd;
use protocol::message::{self, GuestReply, IngestReply, IngestRequest, UploadFormat};
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey, Role};
use protocol::seal::{SealKey, open_all, seal};
use protocol::table::TableRequest;
use protocol::value::{format_decimal, parse_date, parse_decimal, parse_hour};
use serde::{Serialize, de::DeserializeOwned};

/// A target: its name, itself.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("frame", frame),
    ("message", message),
    ("column", column),
    ("sealed", sealed),
    ("json", json),
    ("manifest", manifest),
    ("note", note),
    ("tile", tile),
    ("log", log),
    ("plan", plan),
    ("entry", entry),
    ("policy", policy),
    ("paper", paper),
    ("module", module),
    ("upload", upload),
    ("value", value),
];

/// Columns that [`upload`] declares.
pub fn upload_schema() -> Vec<ColumnSchema> {
    let column = |name: &str, ty, linkage| ColumnSchema { name: name.into(), role: Role::QuasiIdentifier, ty, linkage, nullable: true };
    vec![
        column("a", ColumnType::Number { scale: 2, min: -1_000_000, max: 1_000_000 }, None),
        column("b", ColumnType::Text { bytes_max: 30 }, Some(LinkageKey::Opaque)),
        column("c", ColumnType::Category { domain: vec!["x".into(), "乙".into()] }, None),
        column("d", ColumnType::Date, None),
    ]
}

/// The key of everything sealed and signed here.
pub const KEY: [u8; 32] = [5; 32];
/// The context of what is sealed here.
pub const CONTEXT: &[u8] = b"fuzz";

/// The signer of logs.
pub fn signer() -> Signer {
    Signer::from_seed("log.example/test", &KEY).expect("a name")
}

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// Frames as they come from a worker.
pub fn frame(data: &[u8]) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let mut channel = Channel::new(theirs);
    channel.set_deadline(Some(Instant::now() + Duration::from_secs(5)));
    // What a socket takes without a reader.
    ours.write_all(data.get(..data.len().min(100_000)).unwrap_or_default()).expect("room");
    drop(ours);
    while let Ok((reply, descriptors)) = channel.receive::<GuestReply>() {
        assert!(descriptors.is_empty());
        if let GuestReply::Table(table) = reply {
            let _ = table.validate();
        }
    }
}

/// One kind of message: what was read, written again, is read as the same.
fn crosses<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let (message, _) = postcard::take_from_bytes::<T>(data).ok()?;
    let written = postcard::to_stdvec(&message).expect("it was read");
    let again: T = postcard::from_bytes(&written).expect("it was written");
    assert_eq!(postcard::to_stdvec(&again).expect("it was read"), written);
    Some(message)
}

/// Every message of every role; the first byte chooses.
pub fn message(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 8 {
        0 => match crosses::<GuestReply>(data) {
            Some(GuestReply::Table(table)) => drop(table.validate()),
            Some(GuestReply::Model(model)) => drop(model.validate()),
            _ => {}
        },
        1 => drop(crosses::<message::EngineReply>(data)),
        2 => drop(crosses::<IngestReply>(data)),
        3 => {
            if let Some(message::CompileReply::Compiled { manifest, .. }) = crosses(data) {
                let _ = manifest.validate();
            }
        }
        4 => drop(crosses::<message::EngineRequest>(data)),
        5 => drop(crosses::<message::GuestOpening>(data)),
        6 => drop(crosses::<IngestRequest>(data)),
        _ => drop(crosses::<message::CompileRequest>(data)),
    }
}

/// A column in shared memory.
pub fn column(data: &[u8]) {
    let mut bytes = AlignedBytes::zeroed(data.len());
    bytes.as_mut_slice().copy_from_slice(data);
    let Ok(column) = Column::parse(bytes.as_slice()) else { return };
    let (rows, _) = (usize::try_from(column.rows()).unwrap_or(usize::MAX), column.labels());
    for i in [0, rows / 2, rows.saturating_sub(1), rows, usize::MAX - 8] {
        let _ = (column.is_valid(i), column.text(i));
    }
    if column.validate().is_err() {
        return;
    }
    let parts = match (column.i64s(), column.codes().zip(column.dictionary()), column.texts()) {
        (Some(values), ..) => Parts::I64(values),
        (_, Some((codes, (offsets, labels))), _) => Parts::Code(codes, offsets, labels),
        (.., Some((offsets, texts))) => Parts::Text(offsets, texts),
        _ => unreachable!("a column is one of these"),
    };
    let mut again = Vec::new();
    write_column(parts, column.validity(), &mut again).expect("it was read");
    // Padding is the one thing that a reader does not look at.
    assert_eq!(again.len(), data.len());
}

/// A sealed file: opened in one way only.
pub fn sealed(data: &[u8]) {
    let key = SealKey::from_bytes(&KEY);
    if let Ok(plain) = open_all(&key, CONTEXT, data, 1) {
        assert!(open_all(&key, b"other", data, 1).is_err());
        assert_eq!(seal(&key, CONTEXT, &plain).expect("it was opened").len(), data.len());
    }
}

/// Canonical JSON: one spelling.
pub fn json(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let Ok(once) = to_canonical_json(&value) else { return };
    let again: serde_json::Value = serde_json::from_slice(&once).expect("it was written");
    assert_eq!(to_canonical_json(&again).expect("it was canonical"), once);
}

/// What a module declares of itself, and what it asks for.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(data)
        && manifest.validate().is_ok()
    {
        let again = serde_json::to_vec(&manifest).expect("it was read");
        assert_eq!(serde_json::from_slice::<Manifest>(&again).expect("it was written"), manifest);
        crosses::<Manifest>(&postcard::to_stdvec(&manifest).expect("it was read")).expect("it was written");
    }
    if let Ok(table) = serde_json::from_slice::<TableRequest>(data) {
        let _ = table.validate();
    }
}

/// A signed checkpoint, from a log or from a witness.
pub fn note(data: &[u8]) {
    let signer = signer();
    if let Ok(verified) = Checkpoint::verify(data, signer.verifier()) {
        assert_eq!(Checkpoint::parse(&verified.checkpoint.text()).expect("it was read"), verified.checkpoint);
    }
    if let Ok(checkpoint) = Checkpoint::parse(text(data)) {
        assert_eq!(Checkpoint::parse(&checkpoint.text()).expect("it was written"), checkpoint);
    }
    let _ = fusebox::tlog::Verifier::parse(text(data));
}

/// Paths and contents of a log's files.
pub fn tile(data: &[u8]) {
    if let Some(tile) = Tile::parse(text(data)) {
        assert_eq!(tile.to_string().as_bytes(), data);
    }
    for entry in fusebox::tlog::tile::parse_bundle(data).unwrap_or_default() {
        let _ = Leaf::parse(entry);
    }
    if let Ok(leaf) = Leaf::parse(data) {
        assert_eq!(leaf.to_bytes().as_slice(), data);
    }
}

/// A log as files: for each a byte of length, the path, four bytes of length, the content.
struct Files(std::collections::BTreeMap<String, Vec<u8>>);

impl Files {
    fn read(mut data: &[u8]) -> Option<Self> {
        let mut files = std::collections::BTreeMap::new();
        while let Some((length, rest)) = data.split_first() {
            let (path, rest) = rest.split_at_checked(usize::from(*length))?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            files.insert(String::from_utf8(path.to_vec()).ok()?, content.to_vec());
            data = rest;
        }
        Some(Self(files))
    }
}

impl Source for Files {
    fn read(&self, path: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).cloned())
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }
}

/// A whole log, checked offline; the file `remembered` is a checkpoint from before.
pub fn log(data: &[u8]) {
    let Some(mut files) = Files::read(data) else { return };
    let (remembered, signer) = (files.0.remove("remembered"), signer());
    let report = fusebox::tlog::verify(&files, signer.verifier(), remembered.as_deref());
    let _ = (report.to_string(), report.zh());
    // A sound log loses its soundness with any of its files.
    if report.is_sound() && report.leaves > 0 {
        let last = files.0.pop_last();
        assert!(last.is_some() && !fusebox::tlog::verify(&files, signer.verifier(), None).is_sound());
    }
}

/// A fusion plan.
pub fn plan(data: &[u8]) {
    if let Ok(plan) = FusionPlan::parse(text(data)) {
        let again = FusionPlan::parse(&plan.to_toml()).expect("it was written");
        assert_eq!((again.digest(), &again), (plan.digest(), &plan));
    }
}

/// A catalogue entry: what is taken can be asked of a worker in one frame.
pub fn entry(data: &[u8]) {
    if data.len() <= 1 << 20
        && let Ok(entry) = CatalogueEntry::parse(text(data))
    {
        assert_eq!(CatalogueEntry::parse(&entry.to_toml()).expect("it was written"), entry);
        let request = IngestRequest { format: UploadFormat::Csv, schema: entry.schema(), unique: entry.unique.clone() };
        let bytes = postcard::to_stdvec(&request).expect("a message").len();
        assert!(bytes <= Limits::STANDARD.frame_bytes_max as usize, "{bytes}");
    }
}

/// A release policy, a city's profile.
pub fn policy(data: &[u8]) {
    if let Ok(policy) = ReleasePolicy::parse(text(data)) {
        assert!(policy.strictest(&policy).at_least_as_strict_as(&policy));
    }
    if let Ok(city) = CityProfile::parse(text(data)) {
        let day = Date::from_days(20_000);
        let _ = (city.calendar.is_working_day(day), city.calendar.after(day, 30));
    }
}

/// Authorisation, application, agreement.
pub fn paper(data: &[u8]) {
    let text = text(data);
    let _ = AuthorisationDocument::parse(text);
    let application = ApplicationDocument::parse(text);
    if let Ok(agreement) = AgreementDocument::parse(text) {
        let json = serde_json::to_vec(&agreement).expect("it was read");
        assert_eq!(serde_json::from_slice::<AgreementDocument>(&json).expect("it was written"), agreement);
        let _ = application.map(|application| agreement.within(&application));
    }
}

/// A module, up to the compiler.
pub fn module(data: &[u8]) {
    if let Ok(examined) = fusebox_worker::compile::examine(data) {
        examined.manifest.validate().expect("it was examined");
        let again = fusebox_worker::compile::examine(&examined.component);
        // A component made of a core module keeps the module's manifest inside.
        assert_eq!(again.map(|a| a.imports), Ok(examined.imports));
    }
}

/// An upload of data; the first byte chooses the format.
pub fn upload(data: &[u8]) {
    use UploadFormat::{Csv, CsvGb18030, CsvGb18030Gz, CsvGz, Parquet};
    let Some((kind, data)) = data.split_first() else { return };
    let format = [Csv, CsvGb18030, CsvGz, CsvGb18030Gz, Parquet][usize::from(kind % 5)];
    let unique = if kind & 0x80 == 0 { Vec::new() } else { vec![0, 3] };
    let request = IngestRequest { format, schema: upload_schema(), unique };
    // Little of everything: a fuzzer's process is small.
    let limits =
        Limits { import_bytes_max: 64 << 20, row_group_bytes_max: 64 << 20, upload_expanded_bytes_max: 64 << 20, ..Limits::STANDARD };
    let file = protocol::memfd::sealed("upload", data).expect("memory");
    let (mut columns, mut done) = (Vec::new(), None);
    let ended = fusebox_worker::ingest::ingest(&request, file, &limits, &mut |reply, column| {
        match reply {
            IngestReply::Column { .. } => columns.push(SealedFd::verify(column.expect("a column"), 1 << 30).expect("sealed")),
            IngestReply::Done { rows, .. } => done = Some(rows),
            _ => {}
        }
        Ok(())
    });
    assert_eq!(ended.is_ok(), done.is_some());
    for column in columns.iter().filter(|_| ended.is_ok()) {
        let bytes = column.read().expect("a column");
        let column = Column::parse(bytes.as_slice()).expect("a column");
        column.validate().expect("a sound column");
        assert_eq!(Some(column.rows()), done);
    }
}

/// Single values: names, digests, times, numbers, identifiers.
pub fn value(data: &[u8]) {
    let text = text(data);
    fn same<T: std::str::FromStr + std::fmt::Display>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert!(value.to_string().parse::<T>().is_ok_and(|again| again.to_string() == value.to_string()), "{text}");
        }
    }
    same::<Name>(text);
    same::<DatasetId>(text);
    same::<ModuleDigest>(text);
    same::<Date>(text);
    same::<Timestamp>(text);
    for scale in [0, 2, 9] {
        if let Some(number) = parse_decimal(text, scale) {
            assert_eq!(parse_decimal(&format_decimal(number, scale), scale), Some(number), "{text}");
        }
    }
    let _ = (parse_date(text), parse_hour(text));
    for kind in [LinkageKey::ResidentId, LinkageKey::Uscc, LinkageKey::Geocode, LinkageKey::Plate, LinkageKey::Opaque] {
        if let Some(once) = canonical(kind, text) {
            assert_eq!(canonical(kind, &once).as_deref(), Some(once.as_ref()), "{text}");
        }
    }
}
