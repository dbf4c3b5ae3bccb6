//! Opening a file whose text goes to a model without anybody having asked for it.
//!
//! What was opened is judged, not what was named: the file behind links and mounts, by the path the
//! kernel knows it by, and by its identity where it has several names. Nothing but a regular file is
//! ever opened for reading, so that a pipe or a device cannot hold anybody up.

use crate::deny::DenyRead;
use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
};

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its text may be a secret.
    #[error("it leads to {0}, which may hold secrets and is not read (sandbox_deny_read)")]
    Denied(PathBuf),
    /// It is another name of a file that is denied.
    #[error(
        "it is another name of a file that may hold secrets and is not read (sandbox_deny_read)"
    )]
    OtherName,
    /// It has several names, and too many files are denied to compare it with each.
    #[error(
        "it has several names (hard links or mounts), and whether one of them is denied cannot be told"
    )]
    Unknown,
    /// It shows the state of the system or of a process.
    #[error("it leads to {0}, which is no file on a disk")]
    System(PathBuf),
    /// It is a folder, a pipe, a device, a socket.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// The system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Opens the file at `path` if it is a regular file that `deny` does not refuse. Never waits for the
/// other end of a pipe.
///
/// # Errors
/// See [`OpenError`].
pub fn open_regular(path: &Path, deny: &DenyRead) -> Result<File, OpenError> {
    let handle = place(path)?;
    let data = handle.metadata()?;
    if !data.is_file() {
        return Err(OpenError::NotAFile(kind_of(&data)));
    }
    let (file, real) = reopen(&handle, path)?;
    judge(&real, &file.metadata()?, deny)?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn place(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // A handle of the place: nothing is opened in the sense of a pipe or a device.
    fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)
}

#[cfg(target_os = "linux")]
fn reopen(handle: &File, _: &Path) -> io::Result<(File, PathBuf)> {
    use std::os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    };
    let own = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&own)?;
    let (one, other) = (handle.metadata()?, file.metadata()?);
    if (one.dev(), one.ino()) != (other.dev(), other.ino()) {
        return Err(io::Error::other("it was replaced while it was opened"));
    }
    Ok((file, fs::read_link(own)?))
}

#[cfg(not(target_os = "linux"))]
fn place(path: &Path) -> io::Result<File> {
    let data = fs::metadata(path)?;
    if !data.is_file() {
        return Err(io::Error::other(format!("it is {}, not a file", kind_of(&data))));
    }
    File::open(path)
}

#[cfg(not(target_os = "linux"))]
fn reopen(handle: &File, path: &Path) -> io::Result<(File, PathBuf)> {
    Ok((handle.try_clone()?, path.canonicalize()?))
}

fn kind_of(data: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = data.file_type();
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if data.is_dir() { "a folder" } else { "something else" }
}

fn judge(real: &Path, data: &Metadata, deny: &DenyRead) -> Result<(), OpenError> {
    if deny.refuses(real) {
        return Err(OpenError::Denied(real.to_owned()));
    }
    #[cfg(unix)]
    {
        if is_of_the_system(real, data) {
            return Err(OpenError::System(real.to_owned()));
        }
        identity::judge(real, data, deny)?;
    }
    #[cfg(not(unix))]
    let _ = data;
    Ok(())
}

/// Whether a file is made up by the kernel: these tell of processes, this one's environment included.
#[cfg(unix)]
fn is_of_the_system(real: &Path, data: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let places = ["/proc", "/sys"].map(Path::new);
    let same_device = |place: &Path| {
        let device = |path: &Path| fs::metadata(path).ok().map(|data| data.dev());
        // Where none is mounted, it is a folder of the root like any other.
        device(place) == Some(data.dev()) && device(place) != device(Path::new("/"))
    };
    places.iter().any(|place| real.starts_with(place) || same_device(place))
}

/// Judging by what a file is, whatever it is called.
#[cfg(unix)]
mod identity {
    use super::{DenyRead, Metadata, OpenError, Path, PathBuf, fs, io};
    use std::{collections::HashSet, os::unix::fs::MetadataExt};

    /// How many entries below denied folders are compared with a file of several names.
    const MOST_COMPARED: usize = 20_000;

    type Identity = (u64, u64);

    fn of(data: &Metadata) -> Identity {
        (data.dev(), data.ino())
    }

    fn at(path: &Path) -> Option<Identity> {
        fs::symlink_metadata(path).ok().map(|data| of(&data))
    }

    /// Refuses another name of a denied file: a hard link to it, or a place where it, or a folder
    /// that it is in, is mounted.
    pub(super) fn judge(real: &Path, data: &Metadata, deny: &DenyRead) -> Result<(), OpenError> {
        let denied: Vec<PathBuf> = deny.existing().collect();
        let tops: HashSet<Identity> = denied.iter().filter_map(|path| at(path)).collect();
        let mut own: HashSet<Identity> = real.ancestors().skip(1).filter_map(at).collect();
        own.insert(of(data));
        if !own.is_disjoint(&tops) {
            return Err(OpenError::OtherName);
        }
        if data.nlink() < 2 && !is_mounted_inside(real, data, &denied) {
            return Ok(());
        }
        let beside = real.parent().into_iter().flat_map(|folder| pattern_matches(folder, deny));
        let mut left = MOST_COMPARED;
        for path in denied.into_iter().chain(beside) {
            if holds(&path, &own, &mut left)? {
                return Err(OpenError::OtherName);
            }
        }
        Ok(())
    }

    /// Whether the file, or a folder on the way to it, is a mount of something on the file system of
    /// a denied path, and so may be a part of it.
    fn is_mounted_inside(real: &Path, data: &Metadata, denied: &[PathBuf]) -> bool {
        let devices: HashSet<u64> =
            denied.iter().filter_map(|path| at(path)).map(|(device, _)| device).collect();
        // What a denied path is in cannot be in it.
        let above: HashSet<Identity> =
            denied.iter().flat_map(|path| path.ancestors().skip(1)).filter_map(at).collect();
        devices.contains(&data.dev())
            && real.ancestors().any(|part| {
                is_mount_point(part) && at(part).is_some_and(|identity| !above.contains(&identity))
            })
    }

    #[cfg(target_os = "linux")]
    fn is_mount_point(path: &Path) -> bool {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        let flags = AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
        statx(CWD, path, flags, StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    #[cfg(not(target_os = "linux"))]
    fn is_mount_point(_: &Path) -> bool {
        false
    }

    /// What a pattern (`**/.env`) denies in a folder and those above it: where a file's other name is
    /// likeliest to be.
    fn pattern_matches(folder: &Path, deny: &DenyRead) -> Vec<PathBuf> {
        let entries = folder.ancestors().filter_map(|folder| fs::read_dir(folder).ok());
        let paths = entries.flatten().flatten().map(|entry| entry.path());
        paths.take(MOST_COMPARED).filter(|path| deny.is_match(path)).collect()
    }

    /// Whether `path`, or something below it, is one of `wanted`.
    fn holds(path: &Path, wanted: &HashSet<Identity>, left: &mut usize) -> Result<bool, OpenError> {
        let mut open = vec![path.to_owned()];
        while let Some(path) = open.pop() {
            *left = left.checked_sub(1).ok_or(OpenError::Unknown)?;
            let Ok(data) = fs::symlink_metadata(&path) else { continue };
            if wanted.contains(&of(&data)) {
                return Ok(true);
            }
            if !data.is_dir() {
                continue;
            }
            match fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.flatten().map(|entry| entry.path())),
                // What this user cannot list, this user cannot have linked to.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}
