//! The machine's own file system.
//!
//! A file is written under a temporary name in its own directory, flushed to the disk, given all
//! that the old one has (owner, permissions, attributes), and renamed. Where that is not possible, or
//! would part a file from its other names, it is written in place (see [`crate::in_place`]). A file
//! its user may not write is refused, although a rename would get round that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::anchor::Anchor;

use crate::file_system::{FileSystem, Kind, Staged};
use crate::in_place::{InPlace, Reason, is_mount_point};
use crate::keep;

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
        let found = fs::symlink_metadata(&place).ok().filter(fs::Metadata::is_file);
        let new = New { place: &place, anchor: &anchor, bytes, model: model(like)? };
        let moved = path != like;
        if moved
            && fs::symlink_metadata(like).is_ok_and(|data| data.is_file() && keep::links(&data) > 1)
        {
            return Err(io::Error::other(format!(
                "{} has several names (hard links), and only one of them would move: move it with \
                 `mv` first, then change it",
                like.display()
            )));
        }
        let reason = match &found {
            Some(found) if !moved && keep::links(found) > 1 => Reason::Names,
            Some(_) if is_mount_point(&place) && moved => {
                return Err(io::Error::other(
                    "it is a mount point, and no file can be moved there",
                ));
            }
            Some(_) if is_mount_point(&place) => Reason::Mounted,
            _ => match new.write()? {
                Written::Staged { temporary } => {
                    return Ok(Box::new(StagedFile {
                        temporary,
                        place,
                        directories,
                        _anchor: anchor,
                    }));
                }
                Written::Not(reason) if found.is_some() && !moved => reason,
                Written::Not(reason) => return Err(io::Error::other(reason.to_string())),
            },
        };
        let Some(found) = found else { return Err(ErrorKind::NotFound.into()) };
        let kept = |file: &File| new.can_be_kept(file);
        Ok(Box::new(InPlace::open(&place, &found, bytes, reason, kept)?))
    }

    #[cfg(unix)]
    fn identity(&self, path: &Path) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let data = fs::symlink_metadata(path).ok()?;
        (data.is_file() && data.nlink() > 1).then(|| (data.dev(), data.ino()))
    }

    fn check_remove(&self, path: &Path) -> io::Result<()> {
        if is_mount_point(path) {
            return Err(io::Error::other("it is a mount point, which cannot be removed"));
        }
        Ok(())
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
fn create_beside(path: &Path, parent: &Path, private: bool) -> io::Result<(File, Temporary)> {
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
            Ok(file) if temporary != path => return Ok((file, Temporary(Some(temporary)))),
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

/// A file to be made, and the one it is to be like.
struct New<'a> {
    place: &'a Path,
    anchor: &'a Anchor,
    bytes: &'a [u8],
    model: Option<File>,
}

/// What came of it.
enum Written {
    Staged { temporary: Temporary },
    Not(Reason),
}

impl New<'_> {
    /// Writes it beside its place, with all that its model has.
    fn write(&self) -> io::Result<Written> {
        let (mut file, temporary) =
            match create_beside(self.place, self.anchor.path(), self.model.is_some()) {
                Err(error) if self.model.is_some() && refused(&error) => {
                    return Ok(Written::Not(Reason::Folder));
                }
                made => made?,
            };
        file.write_all(self.bytes)?;
        if let Some(model) = &self.model
            && let Some(lost) = keep::give(&file, model)?
        {
            return Ok(Written::Not(Reason::Lost(lost)));
        }
        file.sync_data()?;
        Ok(Written::Staged { temporary })
    }

    /// Whether a file of this process can be given all that `file` has; names what cannot.
    fn can_be_kept(&self, file: &File) -> io::Result<Option<String>> {
        match create_beside(self.place, self.anchor.path(), true) {
            Err(error) if refused(&error) => Ok(Some("its set-id bits".to_owned())),
            Err(error) => Err(error),
            Ok((rehearsal, _temporary)) => keep::give(&rehearsal, file),
        }
    }
}

fn refused(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// The file that a new one is to be like, if there is one.
fn model(like: &Path) -> io::Result<Option<File>> {
    match RealFileSystem.kind(like)? {
        Kind::File | Kind::Symlink => {}
        _ => return Ok(None),
    }
    // A link is followed; what it leads to may be anything, or nothing.
    if !fs::metadata(like).is_ok_and(|data| data.is_file()) {
        return Ok(None);
    }
    File::open(like).map(Some)
}

/// A file with a name of its own, removed on drop unless it was renamed.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Best effort: the failure that brought us here is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}

/// A finished file beside its place.
struct StagedFile {
    temporary: Temporary,
    place: PathBuf,
    directories: NewDirectories,
    /// Both paths lead through it.
    _anchor: Anchor,
}

impl Staged for StagedFile {
    fn commit(&mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary.0 {
            fs::rename(temporary, &self.place)?;
        }
        self.temporary.0 = None;
        self.directories.0.clear();
        Ok(())
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
