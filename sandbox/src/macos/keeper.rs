//! The keeper of one command: starts it, tells how it ended by ending in the same way, and ends it
//! when the host lets go.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::{
        fd::AsRawFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// The argument for a command on a terminal, which is its standard output.
pub(super) const ON_TERMINAL: &str = "terminal";
/// The argument for a command on pipes.
pub(super) const ON_PIPES: &str = "pipes";
/// How long what a dead leader's children still print may take.
const DRAIN: Duration = Duration::from_millis(50);

/// Keeps the command that the arguments name. Does not return.
pub fn launcher_main() -> ! {
    let mut arguments = std::env::args_os().skip(2);
    let on_terminal = arguments.next().is_some_and(|kind| kind == ON_TERMINAL);
    let limits = arguments.next().unwrap_or_default();
    let code = match keep(on_terminal, &limits, arguments.collect()) {
        Ok(status) => end_like(status),
        Err(_) => 127,
    };
    std::process::exit(code)
}

#[allow(clippy::disallowed_methods, reason = "nothing tells when children have printed all")]
fn keep(on_terminal: bool, limits: &OsString, argv: Vec<OsString>) -> io::Result<ExitStatus> {
    let mut child = start(on_terminal, limits, argv)?;
    let group = i32::try_from(child.id()).map_err(io::Error::other)?;
    let listener = std::thread::Builder::new().name("host".to_owned());
    listener.spawn(move || {
        let mut byte = [0];
        // A byte is a signal for the group; the end is the host's.
        while let Ok(1) = io::stdin().read(&mut byte) {
            signal(group, i32::from(byte[0]));
        }
        signal(group, libc::SIGKILL);
    })?;
    let status = child.wait()?;
    std::thread::sleep(DRAIN);
    signal(group, libc::SIGKILL);
    Ok(status)
}

#[allow(clippy::disallowed_methods, reason = "this package starts processes")]
fn start(on_terminal: bool, limits: &OsString, argv: Vec<OsString>) -> io::Result<Child> {
    let mut argv = argv.into_iter();
    let program = argv.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(argv).stdin(Stdio::null());
    let limits: Vec<(libc::c_int, u64)> = limits
        .to_string_lossy()
        .split(',')
        .filter_map(|pair| {
            let (resource, most) = pair.split_once('=')?;
            Some((resource.parse().ok()?, most.parse().ok()?))
        })
        .collect();
    if on_terminal {
        command.stdin(Stdio::from(io::stdout().as_fd_owned()?));
    }
    let prepare = move || {
        // SAFETY: no arguments; it fails only for a leader, which a fresh child is not.
        if unsafe { libc::setsid() } == -1 {
            return Err(io::Error::last_os_error());
        }
        if on_terminal {
            // SAFETY: an integer argument, on the terminal that is standard input by now.
            let taken = unsafe { libc::ioctl(0, libc::TIOCSCTTY.into(), 0) };
            if taken == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        for (resource, most) in &limits {
            let limit = libc::rlimit { rlim_cur: *most, rlim_max: *most };
            // SAFETY: the structure lives for the time of the call.
            if unsafe { libc::setrlimit(*resource, &raw const limit) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

trait OwnedCopy {
    fn as_fd_owned(&self) -> io::Result<std::os::fd::OwnedFd>;
}

impl OwnedCopy for io::Stdout {
    fn as_fd_owned(&self) -> io::Result<std::os::fd::OwnedFd> {
        std::os::fd::AsFd::as_fd(self).try_clone_to_owned()
    }
}

fn signal(group: i32, signal: i32) {
    // SAFETY: plain integers; a group that is gone gets nothing.
    let _gone = unsafe { libc::kill(-group, signal) };
}

/// Ends by the same signal, or gives the same status.
fn end_like(status: ExitStatus) -> i32 {
    if let Some(signal) = status.signal() {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: plain integers; no core is written a second time.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return 128 + signal;
    }
    debug_assert!(io::stdin().as_raw_fd() == 0, "standard input is the host's socket");
    status.code().unwrap_or(255)
}
