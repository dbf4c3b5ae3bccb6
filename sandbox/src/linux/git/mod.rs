//! Git folders that a command changes in a copy.
//!
//! `git add` and `git commit` write all over `.git`; so would whoever wants to break a repository or
//! have git run programs. So the command gets an overlay: what it writes stays in memory, and when
//! it has ended, its init takes over what is sound (see [`take_over`]) into the real folder,
//! which the command itself never reaches.

mod index;
mod objects;
mod refs;
mod take_over;

pub(crate) use take_over::{is_changed, take_over};

use super::{
    mounts::{mount, set_attributes},
    overlay::mount_overlay,
    sys::c_path,
};
use std::{
    fs::File,
    io,
    os::fd::{FromRawFd, OwnedFd},
    path::Path,
    time::{Duration, SystemTime},
};

/// Entries of the copy that are read-only all the same, so that it is said at once that writing
/// them is in vain.
const READ_ONLY: [&str; 8] = [
    "config",
    "config.worktree",
    "hooks",
    "info",
    "modules",
    "commondir",
    "description",
    "objects/info",
];

/// A git folder and the copy of it.
pub(crate) struct Repository {
    /// The real folder, writable: out of the command's reach.
    pub(crate) original: OwnedFd,
    /// What the command changed.
    pub(crate) upper: File,
    /// When the copy was made, by the clock of the kernel's that stamps files.
    pub(crate) since: SystemTime,
}

/// Holds the folder as it is now: what is mounted later does not concern this handle.
pub(crate) fn open_original(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path lives for the time of the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    match libc::c_int::try_from(fd) {
        // SAFETY: just opened, and nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Mounts the copy over the folder. `store` is where its changes are kept.
pub(crate) fn mount_copy(path: &Path, original: OwnedFd, store: &Path) -> io::Result<Repository> {
    let since = coarse_now();
    let upper = mount_overlay(path, store)?;
    for name in READ_ONLY {
        let entry = path.join(name);
        if entry.exists() {
            let entry_text = c_path(&entry)?;
            mount(Some(&entry_text), &entry, None, libc::MS_BIND | libc::MS_REC, None)?;
            set_attributes(&entry, libc::MOUNT_ATTR_RDONLY, 0, true)?;
        }
    }
    Ok(Repository { original, upper: File::open(&upper)?, since })
}

/// The time that a file has which is changed now, or a time before: what was changed earlier may have
/// the same within a tick, what is changed later has no earlier one.
fn coarse_now() -> SystemTime {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for what the call writes.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    let secs = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(secs, nanos)
}
