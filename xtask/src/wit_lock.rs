//! `guest-sdk/wit.lock`: of each package of the interface its version and the digest of its text, so that no change of the text keeps
//! its version. `tests/tidy` reads the same file in the same way.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Writes the lock for the texts as they are; refuses a changed text under a version that was not raised.
pub fn refresh(tree: &Path) -> Result<()> {
    let now = read_wit(&tree.join("guest-sdk/wit"))?;
    let path = tree.join("guest-sdk/wit.lock");
    let before = match fs::read_to_string(&path) {
        Ok(text) => parse_lock(&text).with_context(|| format!("{} is not of its form", path.display()))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Packages::new(),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    for (package, before) in &before {
        let Some(now) = now.get(package) else { bail!("package {package} is gone; remedy: take it out of guest-sdk/wit.lock by hand") };
        validate(package, before, now)?;
    }
    fs::write(&path, lock_text(&now)).with_context(|| format!("cannot write {}", path.display()))?;
    for (package, wit) in &now {
        println!("guest-sdk/wit.lock: {package} {}", wit.version);
    }
    Ok(())
}

/// The text of a package: its version and digest.
#[derive(Debug, PartialEq, Eq)]
struct Wit {
    version: String,
    sha256: String,
}

/// Packages by name.
type Packages = BTreeMap<String, Wit>;

fn validate(package: &str, before: &Wit, now: &Wit) -> Result<()> {
    if before.sha256 == now.sha256 && before.version == now.version {
        return Ok(());
    }
    let (Some(was), Some(is)) = (numbers(&before.version), numbers(&now.version)) else {
        bail!("the version of {package} is not three numbers; remedy: write `package NAME@1.2.3;`");
    };
    if is <= was {
        bail!(
            "{package} changed and its version {} was not raised above {}; remedy: raise it in the package line",
            now.version,
            before.version
        );
    }
    Ok(())
}

fn numbers(version: &str) -> Option<[u32; 3]> {
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// All `.wit` files below `folder`, each part of the package that its package line names, in the order of their paths: a digest is over
/// path, length and bytes of each file.
fn read_wit(folder: &Path) -> Result<Packages> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files)?;
    files.sort();
    let mut open: BTreeMap<String, (String, ring::digest::Context)> = BTreeMap::new();
    for (name, text) in &files {
        let Some((package, version)) = package_line(text) else { bail!("{name} has no package line; remedy: `package NAME@1.2.3;`") };
        let fresh = || (version.clone(), ring::digest::Context::new(&ring::digest::SHA256));
        let (first, digest) = open.entry(package.clone()).or_insert_with(fresh);
        if *first != version {
            bail!("{package} has two versions, {first} and {version}; remedy: one");
        }
        digest.update(format!("{name}\n{}\n", text.len()).as_bytes());
        digest.update(text.as_bytes());
    }
    let hex = |digest: ring::digest::Context| digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(open.into_iter().map(|(package, (version, digest))| (package, Wit { version, sha256: hex(digest) })).collect())
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "wit") {
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push((name, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// `package a:b@1.2.3;` → `a:b`, `1.2.3`.
fn package_line(text: &str) -> Option<(String, String)> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("package "))?;
    let (name, version) = line.split_once('@')?;
    Some((name.trim().to_owned(), version.trim_end_matches(|c: char| c == ';' || c == '{' || c.is_whitespace()).to_owned()))
}

fn lock_text(packages: &Packages) -> String {
    let entry =
        |(package, wit): (&String, &Wit)| format!("\n[\"{package}\"]\nversion = \"{}\"\nsha256 = \"{}\"\n", wit.version, wit.sha256);
    format!("# Written by `cargo xtask wit-lock`.\n{}", packages.iter().map(entry).collect::<String>())
}

fn parse_lock(text: &str) -> Result<Packages> {
    let table: toml::Table = text.parse()?;
    let wit = |(package, entry): (String, toml::Value)| {
        let field = |name: &str| entry.get(name).and_then(toml::Value::as_str).map(str::to_owned).with_context(|| format!("no `{name}`"));
        Ok((package, Wit { version: field("version")?, sha256: field("sha256")? }))
    };
    table.into_iter().map(wit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wit(version: &str, sha256: &str) -> Wit {
        Wit { version: version.to_owned(), sha256: sha256.to_owned() }
    }

    #[test]
    fn a_change_needs_a_higher_version() {
        let validate = |before: Wit, now: Wit| validate("a:b", &before, &now);
        assert!(validate(wit("0.1.0", "a"), wit("0.1.0", "a")).is_ok());
        assert!(validate(wit("0.1.0", "a"), wit("0.1.0", "b")).is_err());
        assert!(validate(wit("0.9.0", "a"), wit("0.10.0", "b")).is_ok());
        assert!(validate(wit("0.2.0", "a"), wit("0.1.9", "b")).is_err());
        assert!(validate(wit("0.1.0", "a"), wit("x", "b")).is_err());
    }

    #[test]
    fn the_lock_is_read_as_it_was_written() {
        let packages = Packages::from([("a:b".to_owned(), wit("1.2.3", "ab")), ("a:c".to_owned(), wit("0.1.0", "cd"))]);
        assert_eq!(parse_lock(&lock_text(&packages)).unwrap(), packages);
        assert_eq!(package_line("// x\npackage a:b@1.2.3;\n"), Some(("a:b".to_owned(), "1.2.3".to_owned())));
        assert_eq!(package_line("interface a {}"), None);
    }
}
