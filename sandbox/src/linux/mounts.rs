//! The command's view of the file system: everything read-only but the writable roots, devices and
//! shared memory of its own, nothing where it must not read.

use super::{
    git::{self, Repository},
    overlay::mount_overlay,
    sys::{c_path, check},
};
use crate::profile::Profile;
use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// Devices that programs need; there are no others.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Sockets behind which somebody runs programs for whoever asks.
const DAEMONS: [&str; 4] = [
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
];
/// Where the parts are made, before the processes' own view is mounted over it.
const STAGE: &str = "/proc";

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;

/// What the launcher found before the fork.
pub(crate) struct Around<'a> {
    /// Empty folders that keep names free; protected like what is there.
    pub(crate) placeholders: &'a [PathBuf],
    /// Sockets outside that somebody listens at.
    pub(crate) sockets: &'a [PathBuf],
}

/// Sets the view up, in a mount namespace of our own. Gives the git folders that are copies.
pub(crate) fn set_up(profile: &Profile, around: &Around<'_>) -> io::Result<Vec<Repository>> {
    let (root, stage) = (Path::new("/"), Path::new(STAGE));
    mount(None, root, None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    let originals: Vec<_> =
        profile.repositories.iter().map(|path| (path, git::open_original(path))).collect();
    for writable in &profile.roots {
        bind(&writable.path, &writable.path)?;
    }
    let protected = || profile.roots.iter().flat_map(|root| &root.protected);
    for link in protected().filter(|path| path.is_symlink()) {
        // Kernels that do not mount on links leave it replaceable; what it leads to is protected.
        let _replaceable = bind_link(link);
    }
    mount(Some(c"tmpfs"), stage, Some(c"tmpfs"), libc::MS_NOSUID, Some(c"mode=0755"))?;
    make_devices(stage)?;
    set_attributes(root, RDONLY | NOSUID | NODEV, 0, true)?;
    let terminals = Path::new("/dev/pts");
    let own_terminals = mount_terminals(&stage.join("dev/pts")).is_ok();
    for device in DEVICES {
        let device = stage.join("dev").join(device);
        if device.exists() {
            set_attributes(&device, 0, NODEV, false)?;
        }
    }
    if terminals.exists() && !own_terminals {
        // A terminal can do without it where it is no mount of its own.
        let _absent = set_attributes(terminals, 0, NODEV | RDONLY, false);
    }
    for writable in &profile.roots {
        set_attributes(&writable.path, 0, RDONLY, false)?;
        // Mounts below it that were read-only before stay so.
        let _locked = set_attributes(&writable.path, 0, RDONLY, true);
    }
    // The stage itself is still to be written to.
    set_attributes(stage, 0, RDONLY, false)?;
    let nothing = Nothing::make(stage)?;
    let there = protected().filter(|path| !path.is_symlink());
    for path in there.chain(around.placeholders) {
        bind(path, path)?;
        set_attributes(path, RDONLY, 0, true)?;
    }
    let copies = originals
        .into_iter()
        .enumerate()
        .filter_map(|(number, (path, original))| {
            // Where a copy cannot be made, the folder is read-only.
            let store = stage.join(format!("git{number}"));
            git::mount_copy(path, original.ok()?, &store).ok()
        })
        .collect();
    for (number, path) in profile.caches.iter().enumerate() {
        // Without one, the cache is read-only: most programs can do with that.
        let _as_it_is = mount_overlay(path, &stage.join(format!("cache{number}")));
    }
    let reopened: Vec<_> = profile
        .reopened
        .iter()
        .enumerate()
        .map(|(number, path)| (path, stage.join(format!("reopened{number}"))))
        .collect();
    for (path, kept) in &reopened {
        fs::create_dir(kept)?;
        bind(path, kept)?;
    }
    for path in &profile.denied {
        let inside = reopened.iter().map(|(path, kept)| (path.as_path(), kept.as_path()));
        nothing.mount_over(path, inside.filter(|(below, _)| below.starts_with(path)))?;
    }
    let daemons = DAEMONS.iter().map(Path::new).filter(|path| path.exists());
    for socket in daemons.chain(around.sockets.iter().map(PathBuf::as_path)) {
        // One that is gone since reaches nobody.
        match nothing.mount_over(socket, std::iter::empty()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    put_devices(stage)?;
    Ok(copies)
}

/// A view of the processes of our own namespace, over the stage.
pub(crate) fn mount_proc() -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(Some(c"proc"), Path::new("/proc"), Some(c"proc"), flags, None)
}

/// What concerns the whole machine cannot be changed through it.
pub(crate) fn protect_proc() -> io::Result<()> {
    for part in ["sys", "irq", "bus", "fs", "sysrq-trigger", "kcore", "kmsg"] {
        let path = Path::new("/proc").join(part);
        if path.exists() {
            bind(&path, &path)?;
            set_attributes(&path, RDONLY | NOSUID | NODEV, 0, true)?;
        }
    }
    Ok(())
}

fn make_devices(stage: &Path) -> io::Result<()> {
    let dev = stage.join("dev");
    for folder in [dev.clone(), dev.join("pts"), dev.join("shm"), stage.join("shm")] {
        fs::create_dir(folder)?;
    }
    fs::set_permissions(stage.join("shm"), fs::Permissions::from_mode(0o1777))?;
    for device in DEVICES {
        let (there, here) = (Path::new("/dev").join(device), dev.join(device));
        if there.exists() {
            fs::File::create(&here)?;
            bind(&there, &here)?;
        }
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    links.iter().try_for_each(|(name, target)| symlink(target, dev.join(name)))
}

/// Terminals that this command makes, and no others.
fn mount_terminals(place: &Path) -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    let data = c"newinstance,ptmxmode=0666,mode=620";
    mount(Some(c"devpts"), place, Some(c"devpts"), flags, Some(data))
}

fn put_devices(stage: &Path) -> io::Result<()> {
    let dev = Path::new("/dev");
    if !dev.is_dir() {
        return Ok(());
    }
    let own_terminals = stage.join("dev/pts/ptmx").exists();
    if !own_terminals && dev.join("pts").exists() {
        bind(&dev.join("pts"), &stage.join("dev/pts"))?;
    }
    bind(&stage.join("dev"), dev)?;
    set_attributes(dev, RDONLY | NOSUID, 0, false)?;
    bind(&stage.join("shm"), &dev.join("shm"))?;
    set_attributes(&dev.join("shm"), NOSUID | NODEV, RDONLY, false)
}

/// What stands where something must not be reached: it can be neither opened nor listed.
struct Nothing {
    folder: PathBuf,
    file: PathBuf,
}

impl Nothing {
    fn make(stage: &Path) -> io::Result<Self> {
        let nothing = Self { folder: stage.join("no-folder"), file: stage.join("no-file") };
        fs::DirBuilder::new().mode(0o000).create(&nothing.folder)?;
        // A device on a mount without devices: also root cannot open it.
        fs::File::create(&nothing.file)?;
        bind(&stage.join("dev/null"), &nothing.file)?;
        set_attributes(&nothing.file, RDONLY | NODEV, 0, false)?;
        Ok(nothing)
    }

    /// Hides `path`, but for folders below it that stay: each with where it is kept.
    fn mount_over<'a>(
        &self,
        path: &Path,
        inside: impl Iterator<Item = (&'a Path, &'a Path)>,
    ) -> io::Result<()> {
        if !fs::symlink_metadata(path)?.is_dir() {
            return bind(&self.file, path);
        }
        let mut inside = inside.peekable();
        if inside.peek().is_none() {
            bind(&self.folder, path)?;
            return set_attributes(path, RDONLY | NOSUID | NODEV, 0, false);
        }
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        mount(Some(c"tmpfs"), path, Some(c"tmpfs"), flags, Some(c"mode=0711,size=64k"))?;
        for (below, kept) in inside {
            fs::create_dir_all(below)?;
            bind(kept, below)?;
        }
        set_attributes(path, RDONLY, 0, false)
    }
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let from = c_path(from)?;
    mount(Some(&from), to, None, libc::MS_BIND | libc::MS_REC, None)
}

/// Mounts a link on itself: it leads where it did, and can be neither removed nor renamed.
fn bind_link(link: &Path) -> io::Result<()> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let link = fs::OpenOptions::new().read(true).custom_flags(flags).open(link)?;
    let itself = PathBuf::from(format!("/proc/self/fd/{}", link.as_raw_fd()));
    bind(&itself, &itself)
}

pub(super) fn mount(
    source: Option<&CStr>,
    target: &Path,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> io::Result<()> {
    let target = c_path(target)?;
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: all texts live for the time of the call.
    let result = unsafe {
        libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(data).cast())
    };
    check(result).map(|_| ())
}

pub(super) fn set_attributes(path: &Path, set: u64, clear: u64, recursive: bool) -> io::Result<()> {
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
