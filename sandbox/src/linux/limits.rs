//! Limits: that of open files is raised for the host and put back for commands; those of a command
//! are set for it.

use super::{confine::Level, sys::check};
use std::{fs, io, sync::OnceLock};
use troupe_types::CommandLimits;

static BEFORE: OnceLock<libc::rlimit> = OnceLock::new();

fn current() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for what the call writes.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

fn set(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is a live, initialised value.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }).map(|_| ())
}

/// Raises the limit of open files as far as it goes: one process may hold thousands of sessions.
/// Commands get the limit as it was.
pub fn raise_fd_limit() {
    if let Ok(before) = current() {
        BEFORE.get_or_init(|| before);
        let _refused = set(&libc::rlimit { rlim_cur: before.rlim_max, ..before });
    }
}

/// The limit that commands get, for the launcher's environment.
pub(crate) fn for_commands() -> Option<u64> {
    BEFORE.get().map(|limit| limit.rlim_cur)
}

/// Puts the limit back, in a command.
pub(crate) fn put_back(soft: u64) {
    if let Ok(now) = current() {
        let _refused = set(&libc::rlimit { rlim_cur: soft.min(now.rlim_max), ..now });
    }
}

/// Sets the limits of a command, in it.
pub(crate) fn apply(limits: &CommandLimits, level: Level) -> io::Result<()> {
    let all = [
        (libc::RLIMIT_AS, limits.memory),
        (libc::RLIMIT_FSIZE, limits.file_size),
        (libc::RLIMIT_NOFILE, limits.open_files),
        // Outside of namespaces of its own it would count all processes of the user.
        (libc::RLIMIT_NPROC, limits.processes.filter(|_| level == Level::Full)),
    ];
    for (kind, most) in all.into_iter().filter_map(|(kind, most)| Some((kind, most?))) {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `now` has room for what the call writes.
        check(unsafe { libc::getrlimit(kind, &raw mut now) })?;
        let most = most.min(now.rlim_max);
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: `limit` is a live, initialised value.
        check(unsafe { libc::setrlimit(kind, &raw const limit) })?;
    }
    Ok(())
}

/// Limits the processes of a namespace of our own, in its init: root heeds no other limit. Kernels
/// before 6.14 know it only for the whole machine, where it is left alone.
pub(crate) fn set_processes(limits: &CommandLimits) {
    const LEAST: u64 = 301;
    if let Some(most) = limits.processes
        && kernel() >= (6, 14)
    {
        let most = most.max(LEAST).to_string();
        let _refused = fs::write("/proc/sys/kernel/pid_max", most);
    }
}

fn kernel() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split(['.', '-']).map(|part| part.trim().parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
