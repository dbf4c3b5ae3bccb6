//! Control groups of commands, where the system has delegated ours to us (cgroups(7), version 2).
//!
//! Each command is born in a group of its own: it is ended as one, whatever its processes did, and
//! where the kernel lets us hand out controllers, its processes and its memory are limited as a whole.
//! That takes a group in which nothing but the host runs, since a group with processes cannot hand any
//! out; so the host is moved into one below it. Nothing of this is needed for the sandbox to hold:
//! what cannot be done is left out.

use super::sys::c_path;
use std::{
    fs, io,
    io::{Read, Seek},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};
use troupe_types::CommandLimits;

/// What the names of our groups begin with.
const NAME: &str = "troupe-";
/// How long what was ended may take to be gone, in milliseconds.
const MOMENT: libc::c_int = 100;
/// Controllers that limit a command.
const CONTROLLERS: [&str; 2] = ["pids", "memory"];

/// Makes groups of commands.
pub(crate) struct Groups {
    base: PathBuf,
    made: u64,
}

impl Groups {
    /// Those of this process, if its group is delegated. `own` are the processes that may be moved.
    pub(crate) fn new(own: &[u32]) -> Option<Self> {
        let base = delegated()?;
        clear(&base);
        let groups = Self { base, made: 0 };
        // Without controllers the groups are of use all the same.
        let _without = groups.hand_out(own);
        Some(groups)
    }

    /// Makes controllers available to groups below ours, if nobody else's processes are in it.
    fn hand_out(&self, own: &[u32]) -> io::Result<()> {
        let there = fs::read_to_string(self.base.join("cgroup.controllers"))?;
        let wanted: Vec<_> = CONTROLLERS
            .iter()
            .filter(|name| there.split_whitespace().any(|one| one == **name))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let members = fs::read_to_string(self.base.join("cgroup.procs"))?;
        let ours = |pid: &str| pid.parse().is_ok_and(|pid: u32| own.contains(&pid));
        if !members.lines().all(ours) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let host = self.base.join(format!("{NAME}host-{}", std::process::id()));
        fs::create_dir(&host)?;
        for pid in members.lines() {
            fs::write(host.join("cgroup.procs"), pid)?;
        }
        for name in wanted {
            fs::write(self.base.join("cgroup.subtree_control"), format!("+{name}"))?;
        }
        Ok(())
    }

    /// A group for one command.
    pub(crate) fn make(&mut self, limits: &CommandLimits) -> io::Result<Group> {
        self.made += 1;
        let path = self.base.join(format!("{NAME}{}-{}", std::process::id(), self.made));
        fs::create_dir(&path)?;
        // From here on it is removed when it is dropped.
        let flags = libc::O_DIRECTORY | libc::O_CLOEXEC;
        let opened = fs::OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let group = match opened {
            Ok(folder) => Group { path, folder: folder.into() },
            Err(error) => {
                let _left = fs::remove_dir(&path);
                return Err(error);
            }
        };
        for (file, most) in [("pids.max", limits.processes), ("memory.max", limits.memory)] {
            let file = group.path.join(file);
            if let Some(most) = most
                && file.exists()
            {
                fs::write(file, most.to_string())?;
            }
        }
        Ok(group)
    }
}

/// The group of one command. Dropping it ends everything in it.
pub(crate) struct Group {
    path: PathBuf,
    folder: OwnedFd,
}

impl Group {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Kernels before 5.14 have no such file; the command's init has ended its tree by then.
        let _none = fs::write(self.path.join("cgroup.kill"), "1");
        // One that is not empty in time is removed by the next launcher.
        let _late = self.wait_until_empty();
        let _in_use = fs::remove_dir(&self.path);
    }
}

impl Group {
    /// Waits for the kernel to say that nothing lives in it any more.
    fn wait_until_empty(&self) -> io::Result<()> {
        let mut events = fs::File::open(self.path.join("cgroup.events"))?;
        loop {
            let mut text = String::new();
            events.rewind()?;
            events.read_to_string(&mut text)?;
            if text.contains("populated 0") {
                return Ok(());
            }
            let mut poll =
                libc::pollfd { fd: events.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
            // SAFETY: one entry, which lives for the call.
            let changed = super::sys::check(unsafe { libc::poll(&raw mut poll, 1, MOMENT) })?;
            if changed == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Whether commands get groups here.
pub(crate) fn are_there() -> bool {
    delegated().is_some()
}

/// The folder of this process's group, if it is ours to divide: the service manager says so, or it
/// belongs to the user, who is not root.
fn delegated() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        tail.starts_with("cgroup2 ").then(|| head.split(' ').nth(4)).flatten()
    })?;
    let base = Path::new(mount).join(path);
    // SAFETY: no arguments.
    let user = unsafe { libc::geteuid() };
    let owner = base.join("cgroup.procs").metadata().ok()?.uid();
    ((user != 0 && owner == user) || is_marked(&base)).then_some(base)
}

/// Whether the service manager has marked it as delegated (systemd's `Delegate=`).
fn is_marked(folder: &Path) -> bool {
    let Ok(folder) = c_path(folder) else { return false };
    [c"trusted.delegate", c"user.delegate"].iter().any(|name| {
        let mut value = [0u8; 4];
        // SAFETY: both texts end with a zero, the buffer has room for as many bytes as are named.
        let count = unsafe {
            let buffer = value.as_mut_ptr().cast();
            libc::getxattr(folder.as_ptr(), name.as_ptr(), buffer, value.len())
        };
        count == 1 && value[0] == b'1'
    })
}

/// Removes what launchers left behind that were killed: groups without processes.
fn clear(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(NAME) {
            // One with processes is somebody's.
            let _in_use = fs::remove_dir(entry.path());
        }
    }
}
