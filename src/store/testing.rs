//! A throw-away data directory for tests.

use std::path::{Path, PathBuf};

use super::{MasterKey, Roots, Store};

/// A directory that is removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new directory under the system's temporary one.
    pub fn create() -> Self {
        let name = crate::id::JobId::random().unwrap();
        let path = std::env::temp_dir().join(format!("fusebox-test-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// The store's directories in it.
    pub fn roots(&self) -> Roots {
        Roots::open(&self.0.join("data"), cap_std::ambient_authority()).unwrap()
    }
    /// A store in it, always with the same master key (kept outside the data directory).
    pub fn store(&self) -> Store {
        let key = MasterKey::parse(&"5a".repeat(32)).unwrap();
        Store::open(&self.roots(), std::sync::Arc::new(key), &[], 2).unwrap()
    }
    /// The bytes of every file in it, with its path.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut dirs = vec![self.0.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
                }
            }
        }
        found
    }
    /// How many files hold `needle`.
    pub fn files_with(&self, needle: &[u8]) -> usize {
        self.files().iter().filter(|(_, bytes)| bytes.windows(needle.len()).any(|w| w == needle)).count()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
