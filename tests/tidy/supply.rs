//! Rules about other people's code: licences, banned crates, sources, and which package may rest on what.

use serde_json::Value;
use std::collections::BTreeSet;

/// Crates that a package must not reach through normal dependencies, by the start of their name.
pub const APART: [(&str, &[&str]); 3] = [
    ("fusebox", &["polars", "wasmtime", "cranelift", "wit-component"]),
    ("fusebox-worker", &["hyper", "h2", "reqwest", "ureq", "rustls", "axum", "tower", "object_store", "rusqlite", "sqlx"]),
    ("fusebox-protocol", &["polars", "wasmtime", "tokio", "hyper", "rusqlite"]),
];

/// What `deny.toml` says.
pub struct Deny {
    licenses: BTreeSet<String>,
    bans: BTreeSet<String>,
}

impl Deny {
    pub fn parse(text: &str) -> Self {
        let table: toml::Table = text.parse().expect("deny.toml is TOML");
        let list = |section: &str, name: &str| table[section][name].as_array().expect("a list").clone();
        let licenses = list("licenses", "allow").iter().filter_map(toml::Value::as_str).map(str::to_owned).collect();
        let bans = list("bans", "deny").iter().filter_map(|ban| ban["crate"].as_str()).map(str::to_owned).collect();
        assert_eq!(table["sources"]["unknown-registry"].as_str(), Some("deny"));
        assert_eq!(table["sources"]["unknown-git"].as_str(), Some("deny"));
        Self { licenses, bans }
    }

    /// Packages of `cargo metadata` whose licence, or whose source, is not allowed.
    pub fn packages(&self, metadata: &Value) -> Vec<String> {
        let used: BTreeSet<&str> = items(&metadata["resolve"]["nodes"]).filter_map(|node| node["id"].as_str()).collect();
        let mut wrong = Vec::new();
        for package in items(&metadata["packages"]).filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))) {
            let name = format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
            match package["license"].as_str() {
                Some(license) if self.allows(license) => {}
                other => wrong.push(format!("{name}: licence {} is not allowed", other.unwrap_or("(none)"))),
            }
            if !package["source"].is_null() && !package["source"].as_str().is_some_and(is_public_registry) {
                wrong.push(format!("{name}: comes from {}", package["source"]));
            }
        }
        wrong
    }

    /// Crates of `cargo tree` (one `name v1.2.3` a line) that are banned.
    pub fn banned(&self, tree: &str) -> Vec<String> {
        names(tree).into_iter().filter(|name| self.bans.contains(*name)).map(|name| format!("{name}: banned")).collect()
    }

    /// An SPDX expression: `OR` (old: `/`), `AND`, `WITH`, brackets.
    fn allows(&self, expression: &str) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut at = 0;
        let allowed = self.any_of(&words, &mut at);
        allowed && at == words.len()
    }

    fn any_of(&self, words: &[&str], at: &mut usize) -> bool {
        let mut allowed = self.all_of(words, at);
        while words.get(*at) == Some(&"OR") {
            *at += 1;
            allowed |= self.all_of(words, at);
        }
        allowed
    }

    fn all_of(&self, words: &[&str], at: &mut usize) -> bool {
        let mut allowed = self.one(words, at);
        while words.get(*at) == Some(&"AND") {
            *at += 1;
            allowed &= self.one(words, at);
        }
        allowed
    }

    fn one(&self, words: &[&str], at: &mut usize) -> bool {
        let Some(word) = words.get(*at) else { return false };
        *at += 1;
        if *word == "(" {
            let allowed = self.any_of(words, at);
            *at += 1;
            return allowed && words.get(*at - 1) == Some(&")");
        }
        let mut license = (*word).to_owned();
        if let (Some(&"WITH"), Some(exception)) = (words.get(*at), words.get(*at + 1)) {
            license = format!("{license} WITH {exception}");
            *at += 2;
        }
        self.licenses.contains(&license)
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_public_registry(source: &str) -> bool {
    source.starts_with("registry+") && source.ends_with("/crates.io-index")
}

/// Names in the output of `cargo tree --prefix none`.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

/// Crates in `tree` (one package's normal dependencies) that start as one in `kept_out`.
pub fn apart(package: &str, tree: &str, kept_out: &[&str]) -> Vec<String> {
    let rests = |name: &&str| kept_out.iter().any(|out| *name == *out || name.starts_with(&format!("{out}-")));
    names(tree).into_iter().filter(rests).map(|name| format!("{package} rests on {name}")).collect()
}

/// Entries of a lock file that come from elsewhere than the public registry.
pub fn lock_sources(path: &str, lock: &str) -> Vec<String> {
    let table: toml::Table = lock.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    let packages = table.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let sources = packages.iter().filter_map(|package| package.get("source")?.as_str());
    sources.filter(|source| !is_public_registry(source)).map(|source| format!("{path}: a package comes from {source}")).collect()
}

#[cfg(test)]
fn deny() -> Deny {
    let text = r#"
        licenses = { allow = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"] }
        bans = { deny = [{ crate = "openssl-sys" }] }
        sources = { unknown-registry = "deny", unknown-git = "deny" }
    "#;
    Deny::parse(text)
}

#[test]
fn licences_are_weighed() {
    let deny = deny();
    for allowed in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception"] {
        assert!(deny.allows(allowed), "{allowed}");
    }
    for refused in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "", "(MIT", "MIT)", "GPL-3.0 OR (MIT AND GPL-2.0)", "MIT WITH X", "MIT MIT"]
    {
        assert!(!deny.allows(refused), "{refused}");
    }
}

#[test]
fn planted_packages_are_found() {
    let package = |license: Value, source: &str| {
        serde_json::json!({
            "packages": [{"id": "a", "name": "a", "version": "1.0.0", "license": license, "source": source}],
            "resolve": {"nodes": [{"id": "a"}]},
        })
    };
    let home = "registry+https://example/crates.io-index";
    assert!(deny().packages(&package("MIT".into(), home)).is_empty());
    assert_eq!(deny().packages(&package("GPL-3.0".into(), home)).len(), 1);
    assert_eq!(deny().packages(&package(Value::Null, home)).len(), 1);
    assert_eq!(deny().packages(&package("MIT".into(), "git+https://example/a")).len(), 1);
    assert_eq!(deny().banned("a v1.0.0\nopenssl-sys v0.9.0 (*)\n").len(), 1);
    assert_eq!(lock_sources("Cargo.lock", "[[package]]\nname = \"a\"\nsource = \"git+https://example/a\"\n").len(), 1);
}

#[test]
fn a_package_that_rests_on_what_it_must_not_is_found() {
    assert_eq!(apart("fusebox", "fusebox v0.1.0\npolars-core v0.55.0\nwasmtime v48.0.0\n", APART[0].1).len(), 2);
    assert!(apart("fusebox", "fusebox v0.1.0\npolarsome v1.0.0\n", APART[0].1).is_empty());
}
