//! Writing a file where it is, for files that another cannot take the place of: those with several
//! names, mount points, and those whose owner or attributes a new file cannot be given.
//!
//! A reader may see it half-written, and so may whoever looks after a kill: such a write needs the
//! journal, which takes it back.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::file_system::Staged;
use crate::keep;

/// Why a file is not replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It has several names (hard links), which all are to lead to the new text.
    Names,
    /// Something is mounted there.
    Mounted,
    /// Its folder takes no new file.
    Folder,
    /// A new file cannot be given this.
    Lost(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names => write!(out, "it has several names (hard links)"),
            Self::Mounted => write!(out, "it is a mount point"),
            Self::Folder => write!(out, "no file can be made in its folder"),
            Self::Lost(what) => write!(out, "{what} cannot be given to a new file"),
        }
    }
}

/// A file that is open and waits for its new bytes.
pub(crate) struct InPlace {
    file: File,
    permissions: fs::Permissions,
    before: Vec<u8>,
    after: Vec<u8>,
    reason: Reason,
}

impl InPlace {
    /// Opens the file at `place`, which must be `found`. `kept` says whether this process could give
    /// a file all that this one has.
    pub(crate) fn open(
        place: &Path,
        found: &fs::Metadata,
        after: &[u8],
        reason: Reason,
        kept: impl FnOnce(&File) -> io::Result<Option<String>>,
    ) -> io::Result<Self> {
        let failed = |error: io::Error| cannot(&reason, &error);
        let file = open(place).map_err(failed)?;
        let data = file.metadata()?;
        if !same(&data, found) {
            return Err(io::Error::other("it was replaced after the patch was checked"));
        }
        if keep::is_special(&file)? && kept(&file)?.is_some() {
            return Err(io::Error::other(format!(
                "{reason}, and writing it in place would take its set-id bits or capabilities away, \
                 which this user cannot give back"
            )));
        }
        let before = fs::read(place)?;
        Ok(Self { file, permissions: data.permissions(), before, after: after.to_vec(), reason })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        // Writing takes the special bits away.
        if self.file.metadata()?.permissions() != self.permissions {
            file.set_permissions(self.permissions.clone())?;
        }
        file.sync_data()
    }
}

impl Staged for InPlace {
    fn commit(&mut self) -> io::Result<()> {
        let Err(error) = self.write(&self.after) else { return Ok(()) };
        match self.write(&self.before) {
            Ok(()) => Err(cannot(&self.reason, &error)),
            Err(again) => Err(io::Error::other(format!(
                "{error}; it was written in place and its old text could not be put back: {again}"
            ))),
        }
    }

    fn is_in_place(&self) -> bool {
        true
    }
}

fn cannot(reason: &Reason, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("{reason}, so it is written in place, which failed: {error}"),
    )
}

fn open(place: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::OFlags;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.cast_signed());
    }
    options.open(place)
}

#[cfg(unix)]
fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same(one: &fs::Metadata, _: &fs::Metadata) -> bool {
    one.is_file()
}

/// Whether something is mounted at `path`; a file can be one as well.
#[cfg(target_os = "linux")]
pub(crate) fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_mount_point(_: &Path) -> bool {
    false
}
