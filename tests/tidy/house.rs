//! Rules about our own sources: order of modules, `unsafe`, files, sizes.

use crate::rust_text::{self, File};
use std::collections::{BTreeMap, BTreeSet};

/// Modules of `src/` from left to right; a module imports what stands left of it or beside it, never in a circle.
const ORDER: [&[&str]; 10] = [
    &["id", "limits", "clock", "refusal"],
    &["store"],
    &["tlog", "policy", "catalog", "agreement", "sdc", "dp"],
    &["gate"],
    &["workers"],
    &["jobs"],
    &["supervision"],
    &["api"],
    &["console"],
    &["config", "cli"],
];
/// Modules that are mathematics: no files, no clock, no state. What such a module keeps in the store lies in its `records/`. Dates
/// and times are values; asking for the present one is not.
const PURE: [&str; 3] = ["sdc", "dp", "policy"];
const RECORDS: &str = "/records/";
const IMPURE: [&str; 8] = ["crate::store", "Clock", "SystemClock", "cap_std", "rusqlite", "tokio", "std::time", "static mut"];
/// Where `unsafe` may stand: the jail's system calls, the mapping of shared memory, the loading of code we compiled;
/// and the payload that plays an attacker's native code in tests.
const UNSAFE: [&str; 4] = ["worker/src/jail/", "worker/src/map.rs", "worker/src/guest/load.rs", "worker/examples/escape.rs"];
/// The one place where directories are opened by path.
const AMBIENT: [&str; 1] = ["src/main.rs"];
const LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
/// Files that may be longer, with the reason beside each.
const LONG_FILES: [&str; 0] = [];
/// Functions that may be longer, as `path::name`, with the reason beside each.
const LONG_FUNCTIONS: [&str; 0] = [];

/// The module of `src/` a file belongs to; none for `lib.rs` and `main.rs`.
fn module(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then_some(name)
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|group| group.contains(&module))
}

/// First names after `crate::`, groups in braces included.
fn imports(product: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in product.match_indices("crate::") {
        let rest = &product[at + "crate::".len()..];
        let names: Vec<String> = if rest.starts_with('{') {
            let inner = &rest[1..rust_text::block_end(rest, 0).saturating_sub(1)];
            top_level(inner).iter().map(|entry| first_name(entry)).collect()
        } else {
            vec![first_name(rest)]
        };
        found.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (name, rust_text::line_of(product, at))));
    }
    found
}

fn first_name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Entries between commas that are in no inner brace.
fn top_level(text: &str) -> Vec<String> {
    let (mut depth, mut entries) = (0_i32, vec![String::new()]);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                entries.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(entry) = entries.last_mut() {
            entry.push(c);
        }
    }
    entries
}

/// Imports that go right, unknown modules, circles among neighbours.
pub fn order(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut beside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/") && !rust_text::is_test_file(&file.path)) {
        let Some(own) = module(&file.path) else { continue };
        let Some(own_rank) = rank(own) else {
            wrong.push(format!("{}: `{own}` has no place in the order of modules", file.path));
            continue;
        };
        let product = rust_text::product(&file.text);
        for (name, line) in imports(&product) {
            match rank(&name) {
                Some(other) if other > own_rank => {
                    wrong.push(format!("{}:{line}: `{own}` imports `{name}`, which stands to its right", file.path))
                }
                Some(other) if other == own_rank && name != own => {
                    beside.entry(own.to_owned()).or_default().insert(name);
                }
                _ => {}
            }
        }
        wrong.extend(supers(&file.path, &product));
    }
    wrong.extend(circles(&beside));
    wrong
}

/// `super::` that climbs to the crate's root would hide an import from [`order`].
fn supers(path: &str, product: &str) -> Vec<String> {
    let below: Vec<&str> = path.trim_start_matches("src/").trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let blocks: Vec<(usize, usize)> = rust_text::words(product, "mod")
        .into_iter()
        .filter_map(|at| {
            let rest = &product[at..];
            let open = rest.find('{').filter(|open| rest.find(';').is_none_or(|semicolon| *open < semicolon))?;
            Some((at, rust_text::block_end(product, at + open)))
        })
        .collect();
    let mut wrong = Vec::new();
    for (at, _) in product.match_indices("super::") {
        if product[..at].ends_with("super::") {
            continue;
        }
        let climbs = product[at..].split("super::").skip(1).take_while(|rest| rest.is_empty()).count() + 1;
        let depth = below.len() + blocks.iter().filter(|(from, to)| (*from..*to).contains(&at)).count();
        if climbs >= depth {
            wrong.push(format!("{path}:{}: `super::` climbs to the root; write `crate::`", rust_text::line_of(product, at)));
        }
    }
    wrong
}

fn circles(beside: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let reaches = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(name) = next.pop() {
            for other in beside.get(&name).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        seen
    };
    let circular = |name: &&String| reaches(name).contains(*name);
    beside.keys().filter(circular).map(|name| format!("src/{name}: imports itself through its neighbours")).collect()
}

/// What the pure modules must not name.
pub fn purity(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !rust_text::is_test_file(&file.path) && !file.path.contains(RECORDS)) {
        let Some(own) = module(&file.path).filter(|own| PURE.contains(own)) else { continue };
        let product = rust_text::product(&file.text);
        for word in IMPURE {
            for at in rust_text::words(&product, word) {
                wrong.push(format!("{}:{}: `{own}` is pure and names `{word}`", file.path, rust_text::line_of(&product, at)));
            }
        }
    }
    wrong
}

/// Only what answers over HTTP knows its status codes: `api`, and the pages of `console`.
pub fn status_codes(files: &[File]) -> Vec<String> {
    let outside =
        |file: &&File| module(&file.path).is_some_and(|own| !matches!(own, "api" | "console")) && !rust_text::is_test_file(&file.path);
    named(files, outside, &["StatusCode"], "names status codes outside src/api and src/console")
}

/// `unsafe` outside the named files.
pub fn unsafe_code(files: &[File]) -> Vec<String> {
    let roots = ["src/", "protocol/", "worker/", "xtask/", "benches/", "examples/"];
    let checked =
        |file: &&File| roots.iter().any(|root| file.path.starts_with(root)) && !UNSAFE.iter().any(|place| file.path.starts_with(place));
    named(files, checked, &["unsafe"], "is `unsafe` outside the named files")
}

fn named(files: &[File], checked: impl Fn(&&File) -> bool, names: &[&str], what: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(checked) {
        let blanked = rust_text::blank(&file.text);
        for name in names {
            for at in rust_text::words(&blanked, name) {
                wrong.push(format!("{}:{}: {what}", file.path, rust_text::line_of(&blanked, at)));
            }
        }
    }
    wrong
}

/// Files reached by path in product code. `std::fs::File` as the type of an inherited descriptor is well.
pub fn ambient_files(files: &[File]) -> Vec<String> {
    let roots = ["src/", "protocol/src/", "worker/src/"];
    let mut wrong = Vec::new();
    for file in files {
        let checked = roots.iter().any(|root| file.path.starts_with(root)) && !rust_text::is_test_file(&file.path);
        if !checked || AMBIENT.contains(&file.path.as_str()) {
            continue;
        }
        let product = rust_text::product(&file.text);
        let mut note = |at: usize, what: &str| wrong.push(format!("{}:{}: {what}", file.path, rust_text::line_of(&product, at)));
        for at in rust_text::words(&product, "fs") {
            if ambient_owner(&product[..at]) && !only_the_type(&product[at + 2..]) {
                note(at, "reaches files by path");
            }
        }
        for name in ["File::open", "File::create", "File::create_new", "File::options", "temp_dir", "ambient_authority"] {
            for at in rust_text::words(&product, name) {
                note(at, &format!("names `{name}`"));
            }
        }
    }
    wrong
}

/// Whether the text before `fs` makes it that of `std` or `tokio`.
fn ambient_owner(before: &str) -> bool {
    let owner: String = before.chars().rev().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
    let owner: String = owner.chars().rev().collect();
    let in_use = before.rsplit_once("use ").map(|(_, item)| item.trim_start());
    let grouped = in_use.is_some_and(|item| !item.contains(';') && (item.starts_with("std::{") || item.starts_with("tokio::{")));
    matches!(owner.trim_start_matches("::"), "std::" | "tokio::") || (grouped && owner.is_empty())
}

/// Whether what follows `fs` names nothing but the type `File`.
fn only_the_type(after: &str) -> bool {
    let Some(rest) = after.strip_prefix("::") else { return false };
    match rest.strip_prefix('{') {
        Some(group) => group.split('}').next().is_some_and(|group| group.split(',').all(|name| matches!(name.trim(), "File" | ""))),
        None => first_name(rest) == "File",
    }
}

/// Files and functions that are too long to read.
pub fn sizes(files: &[File]) -> Vec<String> {
    let roots = ["src/", "protocol/src/", "worker/src/", "guest-sdk/src/", "xtask/src/", "benches/", "examples/"];
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| roots.iter().any(|root| file.path.starts_with(root)) && !rust_text::is_test_file(&file.path)) {
        let lines = file.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        if lines > LINES_MAX && !LONG_FILES.contains(&file.path.as_str()) {
            wrong.push(format!("{}: {lines} lines without tests, at most {LINES_MAX}", file.path));
        }
        for (name, line, lines) in rust_text::functions(&rust_text::product(&file.text)) {
            if lines > FUNCTION_LINES_MAX && !LONG_FUNCTIONS.contains(&format!("{}::{name}", file.path).as_str()) {
                wrong.push(format!("{}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}", file.path));
            }
        }
    }
    wrong
}

#[test]
fn imports_to_the_right_are_found() {
    let wrong = |path: &str, text: &str| order(&[File::new(path, text)]);
    assert_eq!(wrong("src/store/a.rs", "use crate::gate::Released;").len(), 1);
    assert_eq!(wrong("src/store.rs", "use crate::{id::Id, api};").len(), 1);
    assert_eq!(wrong("src/gate/mod.rs", "fn f() { crate::jobs::run(); }").len(), 1);
    assert_eq!(wrong("src/new.rs", "").len(), 1);
    assert_eq!(wrong("src/store/a.rs", "pub(crate) use super::super::gate::X;").len(), 1);
    assert_eq!(wrong("src/store/mod.rs", "use super::gate;").len(), 1);
    assert!(wrong("src/gate/a.rs", "use crate::store::Db; use super::Gate; // crate::api").is_empty());
    assert!(wrong("src/gate/a.rs", "#[cfg(test)]\nmod tests {\n use crate::api::X;\n}\n").is_empty());
    assert!(wrong("src/gate/mod.rs", "mod inner { use super::X; }").is_empty());
    assert!(wrong("src/main.rs", "use crate::api;").is_empty());
}

#[test]
fn a_circle_of_neighbours_is_found() {
    let one = File::new("src/policy/mod.rs", "use crate::catalog::X;");
    let two = File::new("src/catalog/mod.rs", "use crate::policy::Y;");
    assert!(order(std::slice::from_ref(&one)).is_empty());
    assert_eq!(order(&[one, two]).len(), 2);
}

#[test]
fn impure_mathematics_and_stray_status_codes_are_found() {
    assert_eq!(purity(&[File::new("src/dp/a.rs", "use crate::store::Db;")]).len(), 1);
    assert_eq!(purity(&[File::new("src/sdc.rs", "use std::time::Instant;")]).len(), 1);
    assert!(purity(&[File::new("src/gate/a.rs", "use crate::store::Db;")]).is_empty());
    assert_eq!(status_codes(&[File::new("src/gate/a.rs", "StatusCode::OK")]).len(), 1);
    assert!(status_codes(&[File::new("src/api/a.rs", "StatusCode::OK")]).is_empty());
}

#[test]
fn unsafe_is_found() {
    assert_eq!(unsafe_code(&[File::new("protocol/src/a.rs", "fn f() { unsafe { g() } }")]).len(), 1);
    assert_eq!(unsafe_code(&[File::new("worker/src/jail2.rs", "unsafe fn f() {}")]).len(), 1);
    assert!(unsafe_code(&[File::new("worker/src/map.rs", "unsafe {}")]).is_empty());
    assert!(unsafe_code(&[File::new("src/a.rs", "#![deny(unsafe_code)] // unsafe\n\"unsafe\"")]).is_empty());
}

#[test]
fn files_reached_by_path_are_found() {
    let wrong = |text: &str| ambient_files(&[File::new("worker/src/a.rs", text)]).len();
    let planted = ["std::fs::read(p)", "use std::fs;", "use std::{fs, io};", "use tokio::fs::read;", "::std::fs::OpenOptions::new()"];
    for text in
        planted.into_iter().chain(["use std::fs::{File, remove_file};", "File::open(p)", "std::env::temp_dir()", "ambient_authority()"])
    {
        assert_eq!(wrong(text), 1, "{text}");
    }
    assert_eq!(wrong("use std::fs::File; File::from(descriptor)"), 0);
    assert_eq!(wrong("use std::{fs::File, io::Read};"), 0);
    assert_eq!(wrong("use cap_std::fs::Dir; use std::os::unix::fs::FileExt;"), 0);
    assert_eq!(wrong("use rustix::fs::fstat;"), 0);
    assert_eq!(ambient_files(&[File::new("tests/a.rs", "std::fs::read(p)")]).len(), 0);
}

#[test]
fn long_files_and_functions_are_found() {
    let lines = |count: usize| "// x\n".repeat(count);
    assert_eq!(sizes(&[File::new("src/a.rs", &lines(401))]).len(), 1);
    assert!(sizes(&[File::new("src/a.rs", &format!("{}#[cfg(test)]\nmod tests {{}}\n{}", lines(399), lines(99)))]).is_empty());
    let function = |count: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(count));
    assert_eq!(sizes(&[File::new("src/a.rs", &function(69))]).len(), 1);
    assert!(sizes(&[File::new("src/a.rs", &function(68))]).is_empty());
}
