//! The directories of the store: made once in `main`, from one path. Whoever holds no `Roots` reaches no file.

use std::path::Path;

use cap_std::AmbientAuthority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, File, OpenOptions, OpenOptionsExt, PermissionsExt};

use super::StoreError;

/// The store's directories, each 0700.
pub struct Roots {
    state: Dir,
    segments: Dir,
    artefacts: Dir,
    log: Dir,
    work: Dir,
    remembered: Dir,
}

impl Roots {
    /// Opens, and makes where absent, the directories under `data_dir`.
    ///
    /// # Errors
    /// [`StoreError::DirectoryMode`] where one is open to other users of the machine.
    pub fn open(data_dir: &Path, authority: AmbientAuthority) -> Result<Self, StoreError> {
        Dir::create_ambient_dir_all(data_dir, authority)?;
        let data = Dir::open_ambient_dir(data_dir, authority)?;
        let open = |name: &'static str| private_dir(&data, name);
        Ok(Self {
            state: open("state")?,
            segments: open("segments")?,
            artefacts: open("artefacts")?,
            log: open("log")?,
            work: open("work")?,
            remembered: open("remembered")?,
        })
    }

    /// The same, with the remembered checkpoint in `folder`, made where absent: on another disk, a copy of everything else that is put
    /// back does not put it back.
    ///
    /// # Errors
    /// As [`Roots::open`].
    pub fn remembering_in(self, folder: &Path, authority: AmbientAuthority) -> Result<Self, StoreError> {
        let name = folder.file_name().and_then(|name| name.to_str()).ok_or(StoreError::Malformed("remembered_dir"))?;
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Dir::create_ambient_dir_all(parent, authority)?;
        let parent = Dir::open_ambient_dir(parent, authority)?;
        Ok(Self { remembered: private_dir_named(&parent, name, "remembered")?, ..self })
    }

    /// Database, lock and, by default, the master key.
    pub fn state(&self) -> &Dir {
        &self.state
    }
    /// Encrypted column segments.
    pub fn segments(&self) -> &Dir {
        &self.segments
    }
    /// Encrypted artefacts that are too large for a row.
    pub fn artefacts(&self) -> &Dir {
        &self.artefacts
    }
    /// The release log's tiles and checkpoints.
    pub fn log(&self) -> &Dir {
        &self.log
    }
    /// The newest checkpoint of the log, told apart from the database.
    pub fn remembered(&self) -> &Dir {
        &self.remembered
    }
    /// Scratch space. Never plaintext of a dataset.
    pub fn work(&self) -> &Dir {
        &self.work
    }
}

fn private_dir(parent: &Dir, name: &'static str) -> Result<Dir, StoreError> {
    private_dir_named(parent, name, name)
}

fn private_dir_named(parent: &Dir, name: &str, told: &'static str) -> Result<Dir, StoreError> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match parent.create_dir_with(name, &builder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e.into()),
        _ => {}
    }
    let dir = parent.open_dir(name)?;
    if dir.dir_metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(StoreError::DirectoryMode(told));
    }
    Ok(dir)
}

/// Creates a file that must not exist yet, readable and writable by its owner only.
pub(super) fn create_private(dir: &Dir, name: &str) -> std::io::Result<File> {
    dir.open_with(name, OpenOptions::new().write(true).create_new(true).mode(0o600))
}

/// Makes names created, renamed or removed in `dir` durable.
pub(super) fn sync_dir(dir: &Dir) -> std::io::Result<()> {
    // Opened anew for reading: the descriptor of a `Dir` may be of the kind that cannot be synced.
    dir.open(".")?.sync_all()
}

/// Writes a new file durably: temporary name, fsync, rename, fsync of the directory. `fill` gets the open file.
pub(crate) fn write_durably<T>(dir: &Dir, name: &str, fill: impl FnOnce(File) -> Result<(File, T), StoreError>) -> Result<T, StoreError> {
    let temporary = format!("{name}.tmp");
    let written = create_private(dir, &temporary).map_err(StoreError::from).and_then(fill).and_then(|(file, value)| {
        file.sync_all()?;
        dir.rename(&temporary, dir, name)?;
        sync_dir(dir)?;
        Ok(value)
    });
    if written.is_err() {
        // The sweep at the next start takes what cannot be removed now.
        let _ = dir.remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TempDir;

    #[test]
    fn directories_are_private_and_open_ones_refused() {
        let temp = TempDir::create();
        let roots = Roots::open(&temp.path().join("data"), cap_std::ambient_authority()).unwrap();
        assert_eq!(roots.segments().dir_metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(roots.state().open("../../x").is_err());
        drop(roots);
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o750);
        std::fs::set_permissions(temp.path().join("data/log"), open).unwrap();
        let refused = Roots::open(&temp.path().join("data"), cap_std::ambient_authority());
        assert!(matches!(refused, Err(StoreError::DirectoryMode("log"))));
    }

    #[test]
    fn a_write_that_fails_leaves_no_file_under_either_name() {
        let temp = TempDir::create();
        let roots = temp.roots();
        let failed = write_durably::<()>(roots.work(), "x", |file| {
            assert!(roots.work().exists("x.tmp") && !roots.work().exists("x"), "the name appears only when all is written");
            drop(file);
            Err(StoreError::Fault)
        });
        assert!(failed.is_err());
        assert_eq!(roots.work().entries().unwrap().count(), 0);
        write_durably(roots.work(), "x", |file| Ok((file, ()))).unwrap();
        assert!(roots.work().exists("x") && !roots.work().exists("x.tmp"));
    }
}
