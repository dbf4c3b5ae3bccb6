//! Thin wrappers of system calls, with `io::Result`.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
};

/// The error of the last call if it returned -1.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// A pair of connected sockets, closed on exec.
pub(crate) fn socket_pair(kind: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors that the call writes.
    check(unsafe {
        libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr())
    })?;
    // SAFETY: both were just made, and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// A pipe, closed on exec: the reading end, the writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors that the call writes.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were just made, and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// A file in memory with these bytes, to be read from its beginning.
pub(crate) fn memory_file(name: &CStr, bytes: &[u8], flags: libc::c_uint) -> io::Result<OwnedFd> {
    let make = |flags| -> io::Result<OwnedFd> {
        // SAFETY: the name lives for the time of the call.
        let fd = check(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
        // SAFETY: it was just made, and nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // Some systems want it said that it is no program; kernels before 6.3 do not know the flag.
    let fd = make(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| make(flags))?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Makes reads and writes of a descriptor return at once.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: fcntl on a descriptor that is open for the borrow's time, with integer arguments.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// The same end of a pipe to write to, opened once more: what is written through both stays in order,
/// and what a program sets on one (ssh makes its standard error return at once) is not set on the
/// other.
pub(crate) fn second_writer(pipe: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // Without a reader the call would wait for one.
    let again = fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))?;
    // SAFETY: fcntl on a descriptor that was just opened, to be as the first one.
    check(unsafe { libc::fcntl(again.as_raw_fd(), libc::F_SETFL, 0) })?;
    Ok(again.into())
}

/// Makes room in a pipe, where the system allows it.
pub(crate) fn widen_pipe(fd: BorrowedFd<'_>, bytes: libc::c_int) {
    // SAFETY: fcntl on a descriptor that is open for the borrow's time; a refusal changes nothing.
    let _refused = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    Child,
    Parent(libc::pid_t),
}

/// clone(2): the child is born in the group that is named. The library's constant is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks with the given namespace flags, into a control group. Only for processes with a single
/// thread.
pub(crate) fn fork_into(flags: libc::c_int, group: BorrowedFd<'_>) -> io::Result<Fork> {
    // SAFETY: plain integers, for which zero is nothing.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP;
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    // SAFETY: without a stack it is a fork into a copy of this single-threaded process; the structure
    // lives for the call, and the size is its own.
    let pid = check_long(unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
    })?;
    Ok(match pid {
        0 => Fork::Child,
        pid => Fork::Parent(libc::pid_t::try_from(pid).unwrap_or(-1)),
    })
}

/// Forks with the given namespace flags. Only for processes with a single thread.
pub(crate) fn fork_with(flags: libc::c_int) -> io::Result<Fork> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: with a null stack, clone is a fork into a copy of this single-threaded process; the
    // remaining arguments are unused with these flags, on every architecture null.
    let pid = check_long(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(match pid {
        0 => Fork::Child,
        pid => Fork::Parent(libc::pid_t::try_from(pid).unwrap_or(-1)),
    })
}

/// Waits for a child; `None` if none has ended and `block` is false.
pub(crate) fn wait(block: bool) -> io::Result<Option<(libc::pid_t, libc::c_int)>> {
    let mut status = 0;
    let options = if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `status` has room for what the call writes.
        match check(unsafe { libc::waitpid(-1, &raw mut status, options | libc::__WALL) }) {
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some((pid, status))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends a signal; nothing if the process is gone.
pub(crate) fn kill(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: plain integers.
    let _gone = unsafe { libc::kill(pid, signal) };
}

/// `prctl` with integer arguments.
pub(crate) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take integers only.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }).map(|_| ())
}

/// Waits until one of the descriptors can be read or was closed; tells which.
pub(crate) fn poll<const N: usize>(fds: [RawFd; N]) -> io::Result<[bool; N]> {
    let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    loop {
        // SAFETY: `polls` is an array of N entries.
        match check(unsafe { libc::poll(polls.as_mut_ptr(), N as libc::nfds_t, -1) }) {
            Ok(_) => return Ok(polls.map(|poll| poll.revents != 0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A descriptor that can be read when a child has ended. Blocks the signal itself.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(-1, &raw const set, flags))?))
    }
}

/// Takes what a signal descriptor holds.
pub(crate) fn drain_signals(fd: BorrowedFd<'_>) {
    let mut buffer = [0u8; 128 * 8];
    // SAFETY: reads into a buffer of that length; it does not wait.
    while unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

/// Ends the process without running anything on the way.
pub(crate) fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: does not return; nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from `from` on but these.
pub(crate) fn close_others(kept: impl Iterator<Item = RawFd>, mut from: u32) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.filter_map(|fd| u32::try_from(fd).ok()).collect();
    kept.push(u32::MAX);
    kept.sort_unstable();
    for fd in kept {
        if fd > from {
            // SAFETY: closes descriptors that nothing in this process uses from here on.
            let result = unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
            check(i32::try_from(result).unwrap_or(-1))?;
        }
        from = from.max(fd.saturating_add(1));
    }
    Ok(())
}

/// The name of this process in lists of them.
pub(crate) fn name(text: &CStr) -> io::Result<()> {
    // SAFETY: the text lives for the time of the call; the kernel copies it.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, text.as_ptr()) }).map(|_| ())
}
