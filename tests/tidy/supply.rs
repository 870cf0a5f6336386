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
    clarified: Vec<Clarified>,
}

/// A package without a licence expression: what its licence file comes to.
struct Clarified {
    name: String,
    expression: String,
    /// Path in the package, and XXH32 of what is there.
    files: Vec<(String, i64)>,
}

impl Clarified {
    fn of(entry: &toml::Value) -> Self {
        let text = |value: &toml::Value| value.as_str().expect("a text").to_owned();
        let files = entry["license-files"].as_array().expect("a list").iter();
        let files = files.map(|file| (text(&file["path"]), file["hash"].as_integer().expect("a hash")));
        Self { name: text(&entry["crate"]), expression: text(&entry["expression"]), files: files.collect() }
    }

    /// Whether every licence file of the package is the one that was read.
    fn holds(&self, package: &Value) -> bool {
        let folder = package["manifest_path"].as_str().and_then(|path| std::path::Path::new(path).parent());
        let same = |(path, hash): &(String, i64)| {
            folder.and_then(|folder| std::fs::read(folder.join(path)).ok()).is_some_and(|bytes| i64::from(xxh32(&bytes)) == *hash)
        };
        !self.files.is_empty() && self.files.iter().all(same)
    }
}

/// XXH32 with seed 0 (<https://github.com/Cyan4973/xxHash>, doc/xxhash_spec.md): cargo-deny's hash of licence files.
fn xxh32(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1];
    let [p1, p2, p3, p4, p5] = PRIMES;
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let stripes = bytes.chunks_exact(16);
    let rest = stripes.remainder();
    let mut lanes = [p1.wrapping_add(p2), p2, 0, p1.wrapping_neg()];
    for stripe in stripes {
        for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
            *lane = lane.wrapping_add(word(bytes).wrapping_mul(p2)).rotate_left(13).wrapping_mul(p1);
        }
    }
    let whole = lanes.iter().zip([1, 7, 12, 18]).fold(0u32, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
    let mut hash = if bytes.len() >= 16 { whole } else { p5 }.wrapping_add(bytes.len() as u32);
    let words = rest.chunks_exact(4);
    let last = words.remainder();
    for bytes in words {
        hash = hash.wrapping_add(word(bytes).wrapping_mul(p3)).rotate_left(17).wrapping_mul(p4);
    }
    for byte in last {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(p3);
    hash ^ (hash >> 16)
}

impl Deny {
    pub fn parse(text: &str) -> Self {
        let table: toml::Table = text.parse().expect("deny.toml is TOML");
        let list = |section: &str, name: &str| table[section][name].as_array().expect("a list").clone();
        let licenses = list("licenses", "allow").iter().filter_map(toml::Value::as_str).map(str::to_owned).collect();
        let bans = list("bans", "deny").iter().filter_map(|ban| ban["crate"].as_str()).map(str::to_owned).collect();
        assert_eq!(table["sources"]["unknown-registry"].as_str(), Some("deny"));
        assert_eq!(table["sources"]["unknown-git"].as_str(), Some("deny"));
        let clarified = table["licenses"].get("clarify").and_then(toml::Value::as_array).into_iter().flatten();
        Self { licenses, bans, clarified: clarified.map(Clarified::of).collect() }
    }

    /// Packages of `cargo metadata` whose licence, or whose source, is not allowed.
    pub fn packages(&self, metadata: &Value) -> Vec<String> {
        let used: BTreeSet<&str> = items(&metadata["resolve"]["nodes"]).filter_map(|node| node["id"].as_str()).collect();
        let mut wrong = Vec::new();
        for package in items(&metadata["packages"]).filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))) {
            let name = format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
            let clarified =
                || self.clarified.iter().find(|c| package["name"] == *c.name && c.holds(package)).map(|c| c.expression.as_str());
            match package["license"].as_str().or_else(clarified) {
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
fn a_clarified_licence_holds_for_the_file_that_was_read_only() {
    for (text, hash) in [("", 0x02CC_5D05), ("abc", 0x32D1_53FF), ("Nobody inspects the spammish repetition", 0xE229_3B2F)] {
        assert_eq!(xxh32(text.as_bytes()), hash, "{text}");
    }
    let folder = env!("CARGO_MANIFEST_DIR");
    let package = |name: &str| {
        serde_json::json!({
            "packages": [{"id": "a", "name": name, "version": "1.0.0", "license": null, "source": null, "manifest_path": format!("{folder}/Cargo.toml")}],
            "resolve": {"nodes": [{"id": "a"}]},
        })
    };
    let with = |expression: &str, hash: u32| {
        let mut deny = deny();
        let files = vec![("rustfmt.toml".to_owned(), i64::from(hash))];
        deny.clarified.push(Clarified { name: "a".to_owned(), expression: expression.to_owned(), files });
        deny
    };
    let hash = xxh32(&std::fs::read(format!("{folder}/rustfmt.toml")).unwrap());
    assert!(with("MIT", hash).packages(&package("a")).is_empty());
    assert_eq!(with("MIT", hash ^ 1).packages(&package("a")).len(), 1);
    assert_eq!(with("GPL-3.0", hash).packages(&package("a")).len(), 1);
    assert_eq!(with("MIT", hash).packages(&package("b")).len(), 1);
}

#[test]
fn a_package_that_rests_on_what_it_must_not_is_found() {
    assert_eq!(apart("fusebox", "fusebox v0.1.0\npolars-core v0.55.0\nwasmtime v48.0.0\n", APART[0].1).len(), 2);
    assert!(apart("fusebox", "fusebox v0.1.0\npolarsome v1.0.0\n", APART[0].1).is_empty());
}
