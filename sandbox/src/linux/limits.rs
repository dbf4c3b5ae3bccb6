//! The limit of open files: raised for the host, put back for commands.

use super::sys::check;
use std::{io, sync::OnceLock};

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
