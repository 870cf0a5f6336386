//! Guest modules: every crate under `examples/*/modules/`, `tests/guests/` and `benches/guests/`, built to core wasm modules
//! that carry their interface in a custom section.

use crate::cache::{self, Cache};
use crate::run;
use crate::toolchain::{self, TARGET};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The workspaces guests live in, relative to the checkout, and how deep below each the crates lie. They are apart from
/// the host's: another target, another compiler, another lock file.
const WORKSPACES: [(&str, &[&str]); 3] = [("examples", &["*", "modules", "*"]), ("tests/guests", &["*"]), ("benches/guests", &["*"])];

/// Builds all guests; returns the folder that holds `PACKAGE.wasm` for each.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    let started = Instant::now();
    let toolchain = toolchain::prepare(cache)?;
    let _lock = cache.lock("guests")?;
    let tree = cache::tree()?;
    let mut built = BTreeMap::new();
    for (folder, below) in WORKSPACES {
        let workspace = tree.join(folder);
        if crates(&workspace, below)?.is_empty() {
            continue;
        }
        let target_dir = cache.path("guests").join("target");
        let mut cargo = run::cargo_for_guests();
        toolchain.apply(&mut cargo);
        configure(&mut cargo, &tree, &workspace, &target_dir);
        let remedy = "read the compiler's words above; when a lock file is said to need an update, build once without CI set and commit it";
        let messages = run::output(&mut cargo, &format!("building the guests of {folder}"), remedy)?;
        for (name, path) in modules(&messages)? {
            if built.insert(name.clone(), path).is_some() {
                bail!("two guests are called `{name}`; remedy: rename one package");
            }
        }
    }
    if built.is_empty() {
        bail!("no guest was found; remedy: run inside a whole checkout");
    }
    let out = cache.path("guests").join("out");
    put(&built, &out)?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("xtask: {} guests in {seconds:.1} s (compiler: {})", built.len(), toolchain.name());
    Ok(out)
}

/// Form, lints and tests of the crates that modules are made of, on the machine's own target.
pub fn lint_and_test(cache: &Cache) -> Result<()> {
    let _lock = cache.lock("guests")?;
    let target_dir = cache.path("guests").join("target");
    let remedy = "read the words above; for a difference in form, `cargo fmt --all` in that folder";
    for folder in ["guest-sdk", "examples", "tests/guests", "benches/guests"] {
        let at = cache::tree()?.join(folder);
        let check = |arguments: &[&str]| {
            let mut cargo = run::cargo_for_guests();
            cargo.args(arguments).env("CARGO_TARGET_DIR", &target_dir).current_dir(&at);
            run::check(&mut cargo, &format!("checking {folder}"), remedy)
        };
        let locked: &[&str] = if strict() { &["--locked"] } else { &[] };
        check(&["fmt", "--all", "--check"])?;
        check(&[&["clippy", "--quiet", "--workspace", "--all-targets"], locked, &["--", "-D", "warnings"]].concat())?;
        if folder == "guest-sdk" {
            check(&[&["test", "--all-targets"], locked].concat())?;
        }
    }
    Ok(())
}

/// Folders below `at` that match the pattern and hold a manifest.
fn crates(at: &Path, pattern: &[&str]) -> Result<Vec<PathBuf>> {
    let Some((first, rest)) = pattern.split_first() else {
        return Ok(if at.join("Cargo.toml").is_file() { vec![at.to_path_buf()] } else { Vec::new() });
    };
    let mut found = Vec::new();
    if *first != "*" {
        let next = at.join(first);
        return if next.is_dir() { crates(&next, rest) } else { Ok(found) };
    }
    for entry in fs::read_dir(at).with_context(|| format!("cannot read {}", at.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(crates(&path, rest)?);
        }
    }
    Ok(found)
}

/// Paths of this machine are mapped to short names, so that no module holds one. (The same checkout gives the same bytes; another
/// folder does not: cargo hashes the path of `guest-sdk` into symbol names.)
fn configure(cargo: &mut Command, tree: &Path, workspace: &Path, target_dir: &Path) {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned(), format!("--remap-path-prefix={}=fusebox", tree.display())];
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    if let Some(home) = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"))) {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    cargo.args(["build", "--release", "--workspace", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    if strict() {
        cargo.arg("--locked");
    }
    // Host parts (macros, build scripts) take no flags when a target is given.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo.env("CARGO_TARGET_DIR", target_dir).current_dir(workspace);
}

/// Where `CI` is set, lock files must be whole and no module of an earlier run may stay.
fn strict() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// Package name → module, from cargo's messages.
fn modules(messages: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("cargo printed a message that is not JSON")?;
        if message.get("reason").and_then(Value::as_str) != Some("compiler-artifact") {
            continue;
        }
        let package = message.get("package_id").and_then(Value::as_str).and_then(package_name);
        let files = message.get("filenames").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for file in files.filter(|file| file.ends_with(".wasm")) {
            let package = package.context("cargo named a module without its package")?;
            found.insert(package.to_owned(), PathBuf::from(file));
        }
    }
    Ok(found)
}

/// `path+file:///somewhere/NAME#0.1.0` or `path+file:///somewhere/else#NAME@0.1.0`.
fn package_name(id: &str) -> Option<&str> {
    let (path, version) = id.rsplit_once('#')?;
    match version.split_once('@') {
        Some((name, _)) => Some(name),
        None => path.rsplit('/').next(),
    }
}

/// Copies modules to `out`, each whole or not at all. Those whose bytes are the same are left, with their time.
fn put(built: &BTreeMap<String, PathBuf>, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for (name, from) in built {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let to = out.join(format!("{name}.wasm"));
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let part = out.join(format!(".{name}.part"));
        fs::write(&part, &bytes)?;
        cache::place(&part, &to)?;
    }
    if strict() {
        for entry in fs::read_dir(out)? {
            let path = entry?.path();
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if !built.contains_key(&name) {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_in_both_forms_of_its_id() {
        assert_eq!(package_name("path+file:///a/b/credit-rate#0.1.0"), Some("credit-rate"));
        assert_eq!(package_name("path+file:///a/b/rate#credit-rate@0.1.0"), Some("credit-rate"));
        assert_eq!(package_name("nothing"), None);
    }

    #[test]
    fn modules_are_read_from_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","package_id":"path+file:///t/one#0.1.0","filenames":["/x/one.wasm","/x/one.d"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"path+file:///t/lib#0.1.0","filenames":["/x/lib.rlib"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = modules(messages).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("one".to_owned(), PathBuf::from("/x/one.wasm"))]);
        assert!(modules("{not json").is_err());
    }
}
