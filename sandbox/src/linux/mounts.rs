//! The command's view of the file system: everything read-only but the writable roots.

use super::sys::{c_path, check};
use crate::profile::Profile;
use std::{
    ffi::CStr,
    io,
    path::{Path, PathBuf},
};

/// Devices that programs need; all others cannot be opened.
const DEVICES: [&str; 6] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// Sockets behind which somebody runs programs for whoever asks.
const DAEMONS: [&str; 4] = [
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
];

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;

/// Sets the view up, in a mount namespace of our own. The placeholders are protected like what is
/// there.
pub(crate) fn set_up(profile: &Profile, placeholders: &[PathBuf]) -> io::Result<()> {
    let root = Path::new("/");
    mount(None, root, None, libc::MS_REC | libc::MS_PRIVATE)?;
    for writable in &profile.roots {
        bind(&writable.path)?;
    }
    let devices: Vec<&Path> = DEVICES.iter().map(Path::new).filter(|path| path.exists()).collect();
    for device in &devices {
        bind(device)?;
    }
    set_attributes(root, RDONLY | NOSUID | NODEV, 0, true)?;
    for device in &devices {
        set_attributes(device, 0, NODEV, false)?;
    }
    let terminals = Path::new("/dev/pts");
    if terminals.exists() {
        // A terminal can do without it where it is no mount of its own.
        let _absent = set_attributes(terminals, 0, NODEV | RDONLY, false);
    }
    if Path::new("/dev/shm").is_dir() {
        mount(
            Some(c"tmpfs"),
            Path::new("/dev/shm"),
            Some(c"tmpfs"),
            libc::MS_NOSUID | libc::MS_NODEV,
        )?;
    }
    for writable in &profile.roots {
        set_attributes(&writable.path, 0, RDONLY, false)?;
        // Mounts below it that were read-only before stay so.
        let _locked = set_attributes(&writable.path, 0, RDONLY, true);
    }
    let protected = profile.roots.iter().flat_map(|root| &root.protected);
    for path in protected.chain(placeholders) {
        bind(path)?;
        set_attributes(path, RDONLY, 0, true)?;
    }
    for daemon in DAEMONS.iter().map(Path::new).filter(|path| path.exists()) {
        bind_to(Path::new("/dev/null"), daemon)?;
    }
    Ok(())
}

/// A view of the processes of our own namespace.
pub(crate) fn mount_proc() -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(Some(c"proc"), Path::new("/proc"), Some(c"proc"), flags)
}

fn bind(path: &Path) -> io::Result<()> {
    bind_to(path, path)
}

fn bind_to(from: &Path, to: &Path) -> io::Result<()> {
    let from = c_path(from)?;
    mount(Some(&from), to, None, libc::MS_BIND | libc::MS_REC)
}

fn mount(
    source: Option<&CStr>,
    target: &Path,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let target = c_path(target)?;
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: all texts live for the time of the call; there is no data.
    let result = unsafe {
        libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, std::ptr::null())
    };
    check(result).map(|_| ())
}

fn set_attributes(path: &Path, set: u64, clear: u64, recursive: bool) -> io::Result<()> {
    let path = c_path(path)?;
    let attributes =
        libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and attributes live for the time of the call, and the size is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
