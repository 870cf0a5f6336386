//! The cache outside the tree: what was fetched or built once, shared by every checkout on the machine.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The cache folder. Its layout is told in `docs/development.md`.
pub struct Cache {
    root: PathBuf,
}

/// Held while one process works on a part of the cache; let go when dropped, or when the process dies.
pub struct Lock(#[expect(dead_code, reason = "holding the file is the lock")] File);

impl Cache {
    /// `$FUSEBOX_CACHE`, else `$XDG_CACHE_HOME/fusebox`, else `~/.cache/fusebox`; made if it is missing.
    pub fn open() -> Result<Self> {
        let root = root_from(std::env::var_os("FUSEBOX_CACHE"), std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))?;
        fs::create_dir_all(&root).with_context(|| {
            format!("cannot make the cache folder {}; remedy: set FUSEBOX_CACHE to a folder you may write", root.display())
        })?;
        Ok(Self { root })
    }

    /// A path inside the cache.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// Waits until no other process holds the part `name`, and holds it.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.root.join(format!("{name}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open the lock file {}; remedy: check who owns the cache folder", path.display()))?;
        if file.try_lock().is_err() {
            eprintln!("xtask: waiting for another run that holds {}", path.display());
            let waited = Instant::now();
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            eprintln!("xtask: waited {} s", waited.elapsed().as_secs());
        }
        Ok(Lock(file))
    }

    /// A new empty folder inside the cache, for work that is renamed into place when it is whole. What an earlier run of
    /// the same name left is removed: the caller holds the lock.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(format!("{name}.tmp"));
        remove(&path)?;
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

/// Renames a finished folder or file to its place, which is replaced.
pub fn place(finished: &Path, at: &Path) -> Result<()> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    if at.is_dir() {
        remove(at)?;
    }
    fs::rename(finished, at).with_context(|| format!("cannot move {} to {}", finished.display(), at.display()))
}

/// Removes a folder with what is in it; one that is not there is well.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).with_context(|| format!("cannot remove {}", path.display())),
        _ => Ok(()),
    }
}

/// SHA-256 of a file, in lower-case hex.
pub fn sha256_hex(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The folder of this checkout: the one above `xtask/`.
pub fn tree() -> Result<PathBuf> {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = xtask.parent().context("xtask lies at the top of a file system")?;
    if !tree.join("Cargo.toml").is_file() {
        bail!("{} holds no Cargo.toml; remedy: the checkout was moved, run `cargo xtask` again inside it", tree.display());
    }
    Ok(tree.to_path_buf())
}

fn root_from(own: Option<OsString>, xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    let set = |value: Option<OsString>| value.filter(|text| !text.is_empty()).map(PathBuf::from);
    let root = match (set(own), set(xdg), set(home)) {
        (Some(own), _, _) => own,
        (None, Some(xdg), _) => xdg.join("fusebox"),
        (None, None, Some(home)) => home.join(".cache").join("fusebox"),
        (None, None, None) => bail!("no place for the cache; remedy: set FUSEBOX_CACHE to a folder"),
    };
    if root.is_relative() {
        bail!("the cache folder {} is not absolute; remedy: set FUSEBOX_CACHE to a full path", root.display());
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_first_variable_that_is_set_says() {
        let os = |text: &str| Some(OsString::from(text));
        assert_eq!(root_from(os("/a"), os("/b"), os("/c")).unwrap(), Path::new("/a"));
        assert_eq!(root_from(os(""), os("/b"), os("/c")).unwrap(), Path::new("/b/fusebox"));
        assert_eq!(root_from(None, None, os("/c")).unwrap(), Path::new("/c/.cache/fusebox"));
        assert!(root_from(None, None, None).is_err());
        assert!(root_from(os("a"), None, None).is_err());
    }
}
