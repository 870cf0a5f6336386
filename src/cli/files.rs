//! Files that the user names on the command line. They are reached through directories opened with the authority that `main` hands in.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::AmbientAuthority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};

use super::error::CliError;

/// Longest document read whole.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;

/// The user's own files.
#[derive(Clone, Copy)]
pub struct Files {
    authority: AmbientAuthority,
}

impl Files {
    /// Files by path, under the authority that only `main` makes.
    pub fn new(authority: AmbientAuthority) -> Self {
        Self { authority }
    }

    /// The authority itself, for what opens directories of its own.
    pub fn authority(self) -> AmbientAuthority {
        self.authority
    }

    /// Opens a directory.
    pub fn dir(self, path: &Path) -> Result<Dir, CliError> {
        Dir::open_ambient_dir(path, self.authority).map_err(|e| CliError::file("open", path, &e))
    }

    /// Makes a directory, with its parents, readable by its owner only, and opens it.
    pub fn make_dir(self, path: &Path) -> Result<Dir, CliError> {
        Dir::create_ambient_dir_all(path, self.authority).map_err(|e| CliError::file("make", path, &e))?;
        self.dir(path)
    }

    /// Opens a file for reading.
    pub fn open(self, path: &Path) -> Result<File, CliError> {
        let (dir, name) = self.parent(path)?;
        dir.open(name).map_err(|e| CliError::file("open", path, &e))
    }

    /// The bytes of a file.
    pub fn read(self, path: &Path) -> Result<Vec<u8>, CliError> {
        let mut bytes = Vec::new();
        let mut file = self.open(path)?.take(DOCUMENT_BYTES_MAX + 1);
        file.read_to_end(&mut bytes).map_err(|e| CliError::file("read", path, &e))?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(CliError::file("read", path, &io::Error::other("larger than 64 MiB")));
        }
        Ok(bytes)
    }

    /// The text of a file.
    pub fn read_text(self, path: &Path) -> Result<String, CliError> {
        String::from_utf8(self.read(path)?).map_err(|_| CliError::file("read", path, &io::Error::other("not UTF-8")))
    }

    /// Writes a file that must not exist yet, for its owner only.
    pub fn write_private(self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        let (dir, name) = self.parent(path)?;
        let written = dir.open_with(name, OpenOptions::new().write(true).create_new(true).mode(0o600));
        written.and_then(|mut file| file.write_all(bytes)).map_err(|e| CliError::file("write", path, &e))
    }

    /// Writes a file, in place of one that is there.
    pub fn write(self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        let (dir, name) = self.parent(path)?;
        dir.write(name, bytes).map_err(|e| CliError::file("write", path, &e))
    }

    fn parent(self, path: &Path) -> Result<(Dir, PathBuf), CliError> {
        let name = path.file_name().ok_or_else(|| CliError::file("open", path, &io::Error::other("names no file")))?;
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
            _ => Path::new("."),
        };
        Ok((self.dir(parent)?, PathBuf::from(name)))
    }
}
