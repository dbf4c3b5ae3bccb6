//! The file system as a patch needs it: look, read, replace, remove. Tests and hosts with other
//! kinds of storage give their own.

use std::io;
use std::path::{Path, PathBuf};

/// What is at a path, not following a link in its last component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, whatever it points to.
    Symlink,
    /// Something that can neither be read to its end nor replaced: a pipe, a device, a socket.
    Other,
    /// Nothing.
    Missing,
}

/// What [`crate::plan`] and [`crate::apply`] need of a file system. All paths are absolute.
pub trait FileSystem {
    /// What is at `path`. Nothing there, or a file where a directory should be, is
    /// [`Kind::Missing`], not an error.
    ///
    /// # Errors
    /// If the place cannot be looked at.
    fn kind(&self, path: &Path) -> io::Result<Kind>;

    /// The bytes of a file, following links.
    ///
    /// # Errors
    /// If there is no such file or it cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The path without links and dots.
    ///
    /// # Errors
    /// `NotFound` or `NotADirectory` if nothing is there.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Where a symbolic link points, as it is stored.
    ///
    /// # Errors
    /// If there is no link at `path`.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// Writes `bytes` beside `path`, so that [`Staged::commit`] has only to put them in place.
    /// Creates missing parent directories. The new file gets the owner, permissions and attributes of
    /// the file at `like`, if there is one. A link at `path` is replaced, not followed.
    ///
    /// # Errors
    /// If the file could not be written in full, or something it has could not be kept; then nothing
    /// is left behind.
    fn stage<'a>(
        &'a self,
        path: &Path,
        bytes: &[u8],
        like: &Path,
    ) -> io::Result<Box<dyn Staged + 'a>>;

    /// Replaces or creates the file at `path` in one step: a reader sees the old bytes or the new.
    /// Creates missing parent directories and keeps the permissions of a file that is there.
    ///
    /// # Errors
    /// If the file could not be written; then it is as it was.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut staged = self.stage(path, bytes, path)?;
        staged.commit()
    }

    /// Removes a file, or a symbolic link itself.
    ///
    /// # Errors
    /// If it is not there, is a directory, or cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Asks whether [`FileSystem::remove`] is bound to fail, before anything is written.
    ///
    /// # Errors
    /// If it is known to.
    fn check_remove(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// What tells a file from all others, where it may have several names; `None` if it has one.
    fn identity(&self, path: &Path) -> Option<(u64, u64)> {
        let _ = path;
        None
    }
}

/// A file written beside its place. Dropping it removes it again, with the directories made for it,
/// unless it was committed. Drop several in the reverse of the order they were staged.
pub trait Staged {
    /// Puts the file in its place, atomically unless it [is in place](Staged::is_in_place).
    ///
    /// # Errors
    /// If that fails; then the place is as it was.
    fn commit(&mut self) -> io::Result<()>;

    /// Whether the file cannot be replaced and is written where it is: a kill may leave it
    /// half-written.
    fn is_in_place(&self) -> bool {
        false
    }
}
