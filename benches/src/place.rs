//! Where things are, as `cargo xtask bench` tells.

use anyhow::{Context, Result};
use std::path::PathBuf;

fn told(name: &str) -> Result<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set; remedy: `cargo xtask bench`"))
}

/// The worker's binary.
pub fn worker() -> Result<PathBuf> {
    told("FUSEBOX_WORKER")
}

/// The server's binary.
pub fn server() -> Result<PathBuf> {
    told("FUSEBOX_BIN")
}

/// The bytes of a module.
pub fn module(name: &str) -> Result<Vec<u8>> {
    let path = told("FUSEBOX_GUESTS")?.join(format!("{name}.wasm"));
    std::fs::read(&path).with_context(|| format!("{}; remedy: `cargo xtask guests`", path.display()))
}

/// A folder that is removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A fresh folder where temporary files go.
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fusebox-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
