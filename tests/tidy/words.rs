//! Rules about text: the interface's lock, guests named in tests, the two commands, and what the text speaks of.

use std::collections::BTreeMap;

use crate::rust_text::File;
use ring::digest;

/// Paths of one machine and hosts of registries, in halves so that this file does not hold them.
const FOREIGN: [(&str, &str); 12] = [
    ("/ro", "ot/"),
    ("/wo", "rk/"),
    ("/ho", "me/"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("static.rust", "-lang.org"),
    ("py", "pi.org"),
    ("python", "hosted.org"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("registry.npm", "js.org"),
    ("proxy.golang", ".org"),
];

/// Text that holds a path of one machine or a registry's host.
pub fn foreign(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        for (number, line) in file.text.lines().enumerate() {
            for (first, second) in FOREIGN {
                let word = format!("{first}{second}");
                // A longer path such as a/b/work/c is no machine's.
                let at_start =
                    |at: usize| !word.starts_with('/') || !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c));
                if line.match_indices(&word).any(|(at, _)| at_start(at)) {
                    wrong.push(format!("{}:{}: holds `{word}`", file.path, number + 1));
                }
            }
        }
    }
    wrong
}

/// The README tells the two commands, and the script that CI runs ends with the second.
pub fn two_commands(readme: &str, script: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        if !readme.lines().any(|line| line.trim() == command || line.trim().starts_with(&format!("{command} "))) {
            wrong.push(format!("README.md has no line `{command}`"));
        }
    }
    let commands: Vec<&str> = script.lines().map(str::trim).filter(|line| line.contains("cargo ")).collect();
    if commands != ["cargo xtask test"] || script.trim_end().lines().last() != Some("cargo xtask test") {
        wrong.push(".ci/run does not end with `cargo xtask test`, the one call of cargo".to_owned());
    }
    wrong
}

/// Guests (packages below `tests/guests/`) whose name stands in no host test.
pub fn unused_guests(files: &[File]) -> Vec<String> {
    let package = |file: &File| -> Option<String> {
        let folder = file.path.strip_prefix("tests/guests/")?.strip_suffix("/Cargo.toml")?;
        let table: toml::Table = file.text.parse().ok()?;
        Some(table.get("package").and_then(|package| package.get("name")?.as_str()).unwrap_or(folder).to_owned())
    };
    let guests: Vec<String> = files.iter().filter_map(package).collect();
    let host = |file: &&File| {
        file.path.ends_with(".rs") && !file.path.starts_with("tests/guests/") && !file.path.starts_with("tests/tidy/") && has_tests(file)
    };
    let tests: Vec<&File> = files.iter().filter(host).collect();
    let named = |name: &String| {
        tests.iter().any(|test| test.text.contains(&format!("\"{name}\"")) || test.text.contains(&format!("\"{name}.wasm\"")))
    };
    guests.into_iter().filter(|name| !named(name)).map(|name| format!("tests/guests/{name}: named in no host test")).collect()
}

fn has_tests(file: &File) -> bool {
    file.text.contains("#[test]") || file.text.contains("#[tokio::test") || file.path.starts_with("tests/")
}

/// `guest-sdk/wit.lock` against the texts it locks: of each package version and digest. A digest is over path, length and bytes of each
/// file of the package in order of paths, as `cargo xtask wit-lock` writes it.
pub fn wit_lock(files: &[File]) -> Vec<String> {
    let mut wit: Vec<(&str, &str)> = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix("guest-sdk/wit/")?, file.text.as_str())))
        .filter(|(path, _)| path.ends_with(".wit"))
        .collect();
    wit.sort_unstable();
    let Some(lock) = files.iter().find(|file| file.path == "guest-sdk/wit.lock") else {
        return vec!["guest-sdk/wit.lock is missing; remedy: `cargo xtask wit-lock`".to_owned()];
    };
    let table: toml::Table = lock.text.parse().unwrap_or_default();
    let mut wrong = Vec::new();
    if wit.is_empty() {
        wrong.push("guest-sdk/wit/ holds no interface".to_owned());
    }
    let package = |text: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("package "))?;
        let (name, version) = line.trim_end().strip_suffix(';')?.split_once('@')?;
        Some((name.to_owned(), version.to_owned()))
    };
    let mut found: BTreeMap<String, (String, digest::Context)> = BTreeMap::new();
    for (path, text) in &wit {
        let Some((name, version)) = package(text) else {
            wrong.push(format!("guest-sdk/wit/{path} has no package line"));
            continue;
        };
        let (first, context) = found.entry(name).or_insert_with(|| (version.clone(), digest::Context::new(&digest::SHA256)));
        if *first != version {
            wrong.push(format!("guest-sdk/wit/{path}: its package has another version elsewhere"));
        }
        context.update(format!("{path}\n{}\n", text.len()).as_bytes());
        context.update(text.as_bytes());
    }
    wrong.extend(table.keys().filter(|name| !found.contains_key(*name)).map(|name| format!("guest-sdk/wit.lock: no package {name}")));
    for (name, (version, context)) in found {
        let sha256: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let field = |field: &str| table.get(&name).and_then(|entry| entry.get(field)).and_then(toml::Value::as_str).unwrap_or_default();
        if field("sha256") != sha256 {
            wrong.push(format!("{name} changed; remedy: raise the version in its package line, then `cargo xtask wit-lock`"));
        }
        if field("version") != version {
            wrong.push(format!("guest-sdk/wit.lock says version {} of {name}, the package line {version}", field("version")));
        }
    }
    wrong
}

#[test]
fn foreign_text_is_found() {
    for (first, second) in FOREIGN {
        let text = format!("see {first}{second}x");
        assert_eq!(foreign(&[File::new("docs/a.md", &text)]).len(), 1, "{text}");
        assert!(foreign(&[File::new("Cargo.lock", &text)]).is_empty());
    }
    assert!(foreign(&[File::new("a.md", &format!("target{}{}x and crates.io", "/wo", "rk/"))]).is_empty());
}

#[test]
fn missing_commands_are_found() {
    let readme = "# x\n\n    cargo xtask demo\n    cargo xtask test\n";
    let script = "set -e\ncargo xtask test\n";
    assert!(two_commands(readme, script).is_empty());
    assert_eq!(two_commands("cargo xtask demo", script).len(), 1);
    assert_eq!(two_commands(readme, "cargo xtask test\nexit 0\n").len(), 1);
    assert_eq!(two_commands(readme, "cargo build\ncargo xtask test\n").len(), 1);
}

#[test]
fn a_guest_that_no_test_runs_is_found() {
    let guest = File::new("tests/guests/a/Cargo.toml", "[package]\nname = \"spin\"\n");
    assert_eq!(unused_guests(&[guest.clone(), File::new("tests/jobs.rs", "\"spinner\"")]).len(), 1);
    assert!(unused_guests(&[guest, File::new("tests/jobs.rs", "run(\"spin\")")]).is_empty());
}

#[test]
fn a_changed_interface_is_found() {
    let a = File::new("guest-sdk/wit/a.wit", "package a:b@1.0.0;\n");
    let c = File::new("guest-sdk/wit/c/c.wit", "package a:c@0.1.0;\n");
    let entry = |file: &File, name: &str, version: &str| {
        let path = file.path.strip_prefix("guest-sdk/wit/").unwrap();
        let sha = digest::digest(&digest::SHA256, format!("{path}\n{}\n{}", file.text.len(), file.text).as_bytes());
        let sha: String = sha.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[\"{name}\"]\nversion = \"{version}\"\nsha256 = \"{sha}\"\n")
    };
    let lock = |text: &str| File::new("guest-sdk/wit.lock", text);
    let (one, two) = (entry(&a, "a:b", "1.0.0"), entry(&c, "a:c", "0.1.0"));
    let both = lock(&format!("{one}{two}"));
    assert!(wit_lock(&[a.clone(), c.clone(), both.clone()]).is_empty());
    // A version that is not the line's, a text that changed, one of two that is not locked, one that is gone, no lock at all.
    assert_eq!(wit_lock(&[a.clone(), lock(&entry(&a, "a:b", "1.0.1"))]).len(), 1);
    assert_eq!(wit_lock(&[File::new("guest-sdk/wit/a.wit", "package a:b@1.0.0;\n\n"), lock(&one)]).len(), 1);
    assert_eq!(wit_lock(&[a.clone(), File::new(&c.path, "package a:c@0.1.0;\n\n"), both.clone()]).len(), 1);
    assert_eq!(wit_lock(&[a.clone(), c, lock(&one)]).len(), 2);
    assert_eq!(wit_lock(&[a.clone(), both]).len(), 1);
    assert_eq!(wit_lock(&[a]).len(), 1);
}
