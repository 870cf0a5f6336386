//! Nothing that can be attacked is without a case: every limit, import, kind of refusal, failure and reply. (The features that are off
//! are checked where they are known: in the worker's tests, over the same table.)

use std::collections::BTreeSet;

use protocol::limits::{Limits, Scope};
use protocol::message::GuestReply;

use crate::cases::{self, Covers, Expect};
use crate::run::{FAILURES, REFUSALS};

/// Limits that no module and no guest worker can reach: who keeps them is said beside each.
const OF_OTHERS: [(&str, &str); 26] = [
    ("fold_rounds_max", "the server, of a job as it is asked for"),
    ("fold_blocks_max", "the server, of a job as it is asked for"),
    ("fold_process_blocks_max", "the server, of a job as it is asked for"),
    ("fold_unit_rows_max", "the server, of a job as it is asked for"),
    ("fold_fuel_max", "the server, of a job as it is asked for; a block that spends its fuel is among the worker's tests of folds"),
    ("fold_block_rows_max", "the engine"),
    ("fold_frame_bytes_max", "both ends of the socket between engine and guest"),
    ("fold_restarts_max", "the server and the engine"),
    ("frames_max", "the channel: nobody sends as many without being too fast before"),
    ("frames_bytes_max", "the channel, of an engine and an import"),
    ("rows_max", "the engine and the import"),
    ("subject_rows_max", "the engine, of what it hands to a verification"),
    ("columns_max", "the catalogue and the engine"),
    ("dictionary_entries_max", "the import and the engine"),
    ("text_bytes_max", "the import"),
    ("upload_bytes_max", "the interface and the import"),
    ("upload_expanded_bytes_max", "the import"),
    ("rejected_rows_reported_max", "the server, of an import"),
    ("import_bytes_max", "the import"),
    ("row_group_bytes_max", "the import"),
    ("ingest_memory_bytes_max", "the kernel, of an import"),
    ("engine_memory_bytes_max", "the kernel, of an engine"),
    ("guest_memory_overhead_bytes_max", "the kernel, of what the host holds beside a guest"),
    ("compile_memory_bytes_max", "the kernel; the counts keep every bomb that is known below it"),
    ("compile_cpu_seconds_max", "the kernel; the bomb of two minutes is among the long tests"),
    ("cpu_seconds_max", "the kernel, after ten minutes of wall time have ended the worker already"),
];

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names.into_iter().collect()
}

/// What has to be covered and is not; what is said to be covered and is not there.
fn compare(what: &str, needed: &BTreeSet<&str>, covered: &BTreeSet<&str>) {
    let missing: Vec<_> = needed.difference(covered).collect();
    let unknown: Vec<_> = covered.difference(needed).collect();
    assert!(missing.is_empty(), "{what} without a hostile case: {missing:?}");
    assert!(unknown.is_empty(), "cases of a {what} that is not there: {unknown:?}");
}

#[test]
fn names_are_there_once() {
    let all = cases::all();
    assert_eq!(set(all.iter().map(|c| c.name)).len(), all.len());
    assert!(all.len() >= 150, "{} cases", all.len());
}

#[test]
fn every_limit_has_a_case() {
    let others = set(OF_OTHERS.map(|(name, _)| name));
    let all = set(Limits::STANDARD.all().map(|(_, name, _)| name));
    assert!(others.is_subset(&all), "{others:?}");
    let of_modules: BTreeSet<&str> = Limits::STANDARD
        .all()
        .filter(|(scope, name, _)| matches!(scope, Scope::Module | Scope::Run | Scope::Output) || !others.contains(name))
        .map(|(_, name, _)| name)
        .collect();
    let cases = cases::all();
    compare("limit", &of_modules, &cases.iter().flat_map(|c| c.limits()).collect());
}

/// `interface#function` of every import, read from the interface's source.
fn imports() -> BTreeSet<String> {
    let wit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/guest-sdk/wit/fusebox.wit")).unwrap();
    let (mut interface, mut found) = (String::new(), BTreeSet::new());
    for line in wit.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = name.trim_end_matches([' ', '{']).to_owned();
        } else if let Some((name, _)) = line.split_once(": func(")
            && !line.starts_with("export")
        {
            found.insert(format!("{interface}#{name}"));
        }
    }
    found
}

#[test]
fn every_import_has_a_case() {
    let imports = imports();
    assert_eq!(imports.len(), 13, "the interface was read: {imports:?}");
    let cases = cases::all();
    let covered = cases.iter().flat_map(|c| c.covers).filter_map(|c| if let Covers::Import(name) = c { Some(*name) } else { None });
    compare("import", &imports.iter().map(String::as_str).collect(), &covered.collect());
}

#[test]
fn every_refusal_and_failure_has_a_case() {
    let cases = cases::all();
    let refusal = |e: &Expect| match e {
        Expect::Refused(kind) => Some(*kind),
        Expect::RefusedImport(_) => Some("UndeclaredImport"),
        Expect::RefusedLimit(_) => Some("Limit"),
        _ => None,
    };
    compare("refusal", &set(REFUSALS), &cases.iter().filter_map(|c| refusal(&c.expect)).collect());
    let failure = |e: &Expect| match e {
        Expect::Failed(kind) => Some(*kind),
        Expect::FailedLimit(_) => Some("Limit"),
        Expect::FailedText(_) => Some("Error"),
        _ => None,
    };
    compare("failure", &set(FAILURES), &cases.iter().filter_map(|c| failure(&c.expect)).collect());
}

/// The kind of a reply: a new one does not build without a name, and has no case then.
fn reply(reply: &GuestReply) -> &'static str {
    match reply {
        GuestReply::Derived { .. } => "Derived",
        GuestReply::Table(_) => "Table",
        GuestReply::Model(_) => "Model",
        GuestReply::Log(_) => "Log",
        GuestReply::Finished => "Finished",
        GuestReply::Failed(_) => "Failed",
    }
}

#[test]
fn every_reply_has_a_case() {
    assert_eq!(reply(&GuestReply::Finished), "Finished");
    let replies = ["Derived", "Table", "Model", "Log", "Finished", "Failed"];
    let cases = cases::all();
    let covered = cases.iter().flat_map(|c| c.covers).filter_map(|c| if let Covers::Reply(name) = c { Some(*name) } else { None });
    compare("reply", &set(replies), &covered.collect());
}
