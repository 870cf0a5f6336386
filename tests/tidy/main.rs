//! Rules about the tree itself. Each rule is a function over texts, has a test of its own with a planted violation, and one
//! here over the real tree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code, on the developer's own files"
)]

mod house;
mod rust_text;
mod supply;
mod words;

use rust_text::File;
use std::path::Path;
use std::process::Command;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 3] = [".git", "target", "test-output"];
const TEXT: [&str; 14] = ["rs", "md", "toml", "lock", "wit", "cedar", "json", "html", "css", "js", "yml", "sh", "py", "csv"];

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<File> {
    let mut files = Vec::new();
    collect(tree(), "", &mut files);
    assert!(files.iter().any(|file| file.path == "src/lib.rs") && files.len() > 40, "the tree was not read");
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&entry.path(), &format!("{path}/"), files);
            }
        } else if path == ".ci/run" || Path::new(&name).extension().is_some_and(|ext| TEXT.iter().any(|text| ext == *text)) {
            let text = std::fs::read(entry.path()).unwrap();
            files.push(File { path, text: String::from_utf8_lossy(&text).into_owned() });
        }
    }
}

/// Rust that is compiled outside of tests.
fn rust(files: &[File]) -> Vec<File> {
    let tests = rust_text::test_only(files);
    files.iter().filter(|file| file.path.ends_with(".rs") && !tests.contains(&file.path)).cloned().collect()
}

fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str()).unwrap_or_default()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).arg("--locked").current_dir(tree()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn holds(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn modules_import_only_what_stands_left() {
    holds(house::order(&rust(&files())));
}

#[test]
fn mathematics_is_pure() {
    holds(house::purity(&rust(&files())));
}

#[test]
fn status_codes_stay_in_the_interface() {
    holds(house::status_codes(&rust(&files())));
}

#[test]
fn unsafe_stays_in_the_named_files() {
    holds(house::unsafe_code(&rust(&files())));
}

#[test]
fn no_file_is_reached_by_path() {
    holds(house::ambient_files(&rust(&files())));
}

#[test]
fn files_and_functions_can_be_read() {
    holds(house::sizes(&rust(&files())));
}

#[test]
fn licences_sources_and_bans_hold() {
    let files = files();
    let deny = supply::Deny::parse(text(&files, "deny.toml"));
    let metadata = cargo(&["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata = serde_json::from_str(&metadata).unwrap();
    holds(deny.packages(&metadata));
    holds(deny.banned(&cargo(&["tree", "--workspace", "--prefix", "none", "--edges", "normal,build,dev"])));
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.lock")) {
        holds(supply::lock_sources(&file.path, &file.text));
    }
}

#[test]
fn packages_stay_apart() {
    for (package, kept_out) in supply::APART {
        let tree = cargo(&["tree", "--package", package, "--prefix", "none", "--edges", "normal"]);
        assert!(tree.starts_with(package), "cargo tree said nothing of {package}");
        holds(supply::apart(package, &tree, kept_out));
    }
}

#[test]
fn the_text_speaks_of_the_product_alone() {
    holds(words::foreign(&files()));
}

#[test]
fn readme_and_ci_tell_the_same_two_commands() {
    let files = files();
    holds(words::two_commands(text(&files, "README.md"), text(&files, ".ci/run")));
}

#[test]
fn every_guest_is_used_by_a_test() {
    holds(words::unused_guests(&files()));
}

#[test]
fn the_interface_keeps_its_version_only_unchanged() {
    holds(words::wit_lock(&files()));
}
