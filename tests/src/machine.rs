//! What this machine allows, found by trying, without the program under test.

pub use crate::skip::user_namespaces;

use std::{fs, path::Path};

/// Ends a test that this machine does not allow: it is said and counted (see [`crate::skip!`]).
///
/// ```no_run
/// # use troupe_tests::{machine, skip};
/// # fn test() {
/// if !machine::user_namespaces() {
///     skip!("needs user namespaces");
/// }
/// # }
/// ```
#[macro_export]
macro_rules! skip {
    ($needs:expr) => {
        return $crate::skip::skipped(
            std::thread::current().name().unwrap_or("a test"),
            ::core::convert::AsRef::<str>::as_ref(&$needs),
        )
    };
}

/// Whether this process is root and may become any other user: root of the machine, not of a user
/// namespace with itself alone.
#[must_use]
pub fn root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = ids.and_then(|ids| ids.split_whitespace().nth(1));
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let count = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    effective == Some("0") && map.lines().filter_map(count).sum::<u64>() > 65_534
}

/// Whether a program is on the path.
#[must_use]
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.with_extension("exe").is_file() || path.with_extension("cmd").is_file()
}
