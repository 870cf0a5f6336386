//! `guest-sdk/wit.lock`: the interface's version and the digest of its text, so that no change of the text keeps its version.
//! `tests/tidy.rs` reads the same file in the same way.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Writes the lock for the text as it is; refuses a changed text under a version that was not raised.
pub fn refresh(tree: &Path) -> Result<()> {
    let now = read_wit(&tree.join("guest-sdk/wit"))?;
    let path = tree.join("guest-sdk/wit.lock");
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(parse_lock(&text).with_context(|| format!("{} is not of its form", path.display()))?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    if let Some(before) = &before {
        validate(before, &now)?;
    }
    fs::write(&path, lock_text(&now)).with_context(|| format!("cannot write {}", path.display()))?;
    println!("guest-sdk/wit.lock: version {}", now.version);
    Ok(())
}

/// An interface text: its version and digest.
#[derive(Debug, PartialEq, Eq)]
struct Wit {
    version: String,
    sha256: String,
}

fn validate(before: &Wit, now: &Wit) -> Result<()> {
    if before.sha256 == now.sha256 && before.version == now.version {
        return Ok(());
    }
    let (Some(was), Some(is)) = (numbers(&before.version), numbers(&now.version)) else {
        bail!("a version of guest-sdk/wit is not three numbers; remedy: write `package NAME@1.2.3;`");
    };
    if is <= was {
        bail!(
            "the interface changed and its version {} was not raised above {}; remedy: raise it in the package line",
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

/// All `.wit` files below `folder`, in the order of their paths: the digest is over path, length and bytes of each.
fn read_wit(folder: &Path) -> Result<Wit> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files)?;
    files.sort();
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let mut versions = Vec::new();
    for (name, text) in &files {
        digest.update(format!("{name}\n{}\n", text.len()).as_bytes());
        digest.update(text.as_bytes());
        versions.extend(package_version(text));
    }
    versions.dedup();
    let [version] = versions.as_slice() else {
        bail!("{} has {} versions in its package lines; remedy: one", folder.display(), versions.len());
    };
    let sha256 = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Wit { version: version.clone(), sha256 })
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

/// `package a:b@1.2.3;` → `1.2.3`.
fn package_version(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("package "))?;
    let (_, version) = line.split_once('@')?;
    Some(version.trim_end_matches(|c: char| c == ';' || c == '{' || c.is_whitespace()).to_owned())
}

fn lock_text(wit: &Wit) -> String {
    format!("# Written by `cargo xtask wit-lock`.\nversion = \"{}\"\nsha256 = \"{}\"\n", wit.version, wit.sha256)
}

fn parse_lock(text: &str) -> Result<Wit> {
    let table: toml::Table = text.parse()?;
    let field = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned).with_context(|| format!("no `{name}`"));
    Ok(Wit { version: field("version")?, sha256: field("sha256")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wit(version: &str, sha256: &str) -> Wit {
        Wit { version: version.to_owned(), sha256: sha256.to_owned() }
    }

    #[test]
    fn a_change_needs_a_higher_version() {
        assert!(validate(&wit("0.1.0", "a"), &wit("0.1.0", "a")).is_ok());
        assert!(validate(&wit("0.1.0", "a"), &wit("0.1.0", "b")).is_err());
        assert!(validate(&wit("0.9.0", "a"), &wit("0.10.0", "b")).is_ok());
        assert!(validate(&wit("0.2.0", "a"), &wit("0.1.9", "b")).is_err());
        assert!(validate(&wit("0.1.0", "a"), &wit("x", "b")).is_err());
    }

    #[test]
    fn the_lock_is_read_as_it_was_written() {
        let one = wit("1.2.3", "ab");
        assert_eq!(parse_lock(&lock_text(&one)).unwrap(), one);
        assert_eq!(package_version("// x\npackage a:b@1.2.3;\n").as_deref(), Some("1.2.3"));
        assert_eq!(package_version("interface a {}"), None);
    }
}
