//! The machine's own file system.
//!
//! A file is written under a temporary name in its own directory, flushed to the disk, given the
//! permissions it should have, and renamed. A hard link to a replaced file therefore keeps the
//! old contents. A file its user may not write is refused, although a rename would get round that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::anchor::Anchor;

use crate::file_system::{FileSystem, Kind, Staged};

/// [`FileSystem`] over `std::fs`. Has no state: the working directory of the process is not used,
/// since all paths are absolute.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn kind(&self, path: &Path) -> io::Result<Kind> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => Ok(Kind::Symlink),
            Ok(found) if found.is_dir() => Ok(Kind::Directory),
            Ok(found) if found.is_file() => Ok(Kind::File),
            Ok(_) => Ok(Kind::Other),
            Err(error) if absent(&error) => Ok(Kind::Missing),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    fn stage<'a>(
        &'a self,
        path: &Path,
        bytes: &[u8],
        like: &Path,
    ) -> io::Result<Box<dyn Staged + 'a>> {
        let (parent, name) = split(path)?;
        let directories = NewDirectories::create(parent)?;
        // From here on the directory is the one that was opened, whatever its name leads to later.
        let anchor = Anchor::open(parent)?;
        let place = anchor.path().join(name);
        check_writable(&place)?;
        let model = fs::metadata(like).ok().filter(fs::Metadata::is_file);
        let (file, temporary) = create_beside(&place, anchor.path(), model.is_some())?;
        let staged = StagedFile { temporary, place, done: false, directories, _anchor: anchor };
        fill(file, bytes, model.as_ref())?;
        Ok(Box::new(staged))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let anchor = Anchor::open(parent)?;
        fs::remove_file(anchor.path().join(name))
    }
}

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let parts = path.parent().zip(path.file_name());
    parts.ok_or_else(|| io::Error::other("it has no directory"))
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Refuses what an editor could not save: a read-only file.
fn check_writable(path: &Path) -> io::Result<()> {
    if RealFileSystem.kind(path)? != Kind::File {
        return Ok(());
    }
    match OpenOptions::new().write(true).open(path) {
        // A program that is running may be replaced, though not written.
        Err(error) if error.kind() != ErrorKind::ExecutableFileBusy => Err(error),
        _ => Ok(()),
    }
}

/// Creates an empty file with a name of its own beside `path`. A `private` one is its owner's alone
/// until it gets the permissions it should have.
fn create_beside(path: &Path, parent: &Path, private: bool) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short, whatever the length of the name: a directory may allow 255 bytes and no more.
        let temporary = parent.join(format!("{}{count}.tmp", temporary_prefix()));
        match options.open(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) if temporary != path => return Ok((file, temporary)),
            Ok(_) => fs::remove_file(&temporary)?,
        }
    }
}

/// What the names of temporary files begin with; of this process alone.
pub(crate) fn temporary_prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!(".troupe-{}-{:x}-", std::process::id(), now.as_micros())
    })
}

fn fill(mut file: File, bytes: &[u8], model: Option<&fs::Metadata>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(model) = model {
        keep_owner(&file, model);
        file.set_permissions(kept_permissions(model))?;
    }
    file.sync_data()
}

/// Read, write and execute bits. Writing a file takes the special ones away, here as elsewhere.
#[cfg(unix)]
fn kept_permissions(model: &fs::Metadata) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(model.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn kept_permissions(model: &fs::Metadata) -> fs::Permissions {
    model.permissions()
}

/// Gives the file its owner and group back where we may: root editing a user's file must not take
/// it away from them.
#[cfg(unix)]
fn keep_owner(file: &File, model: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(own) = file.metadata() else { return };
    if own.uid() != model.uid() || own.gid() != model.gid() {
        // Not being allowed to is usual for ordinary users, and no reason to refuse the edit.
        let _ = fchown(file, Some(model.uid()), Some(model.gid()))
            .or_else(|_| fchown(file, None, Some(model.gid())));
    }
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _model: &fs::Metadata) {}

/// A finished temporary file, removed on drop unless it was renamed.
struct StagedFile {
    temporary: PathBuf,
    place: PathBuf,
    done: bool,
    directories: NewDirectories,
    /// Both paths lead through it.
    _anchor: Anchor,
}

impl Staged for StagedFile {
    fn commit(&mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.place)?;
        self.done = true;
        self.directories.0.clear();
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.done {
            // Best effort: the failure that brought us here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Directories made for a staged file, outermost first; removed on drop while still empty.
struct NewDirectories(Vec<PathBuf>);

impl NewDirectories {
    fn create(parent: &Path) -> io::Result<Self> {
        let mut missing = Vec::new();
        for directory in parent.ancestors() {
            if RealFileSystem.kind(directory)? != Kind::Missing {
                break;
            }
            missing.push(directory.to_path_buf());
        }
        missing.reverse();
        let mut made = Self(Vec::with_capacity(missing.len()));
        for directory in missing {
            match fs::create_dir(&directory) {
                Ok(()) => made.0.push(directory),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }
}

impl Drop for NewDirectories {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            // Not empty any more means somebody uses it.
            let _ = fs::remove_dir(directory);
        }
    }
}
