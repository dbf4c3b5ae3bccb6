//! Processes: how they are started, held and ended.
//!
//! The only package that starts processes and the only one with `unsafe`. On Linux every command is
//! forked by one small launcher that lives as long as the process (the host itself is never forked),
//! below an init of its own that ends the whole tree: see `docs/sandbox.md`. Elsewhere commands run
//! without a sandbox, and a mode that needs one is refused.

mod aftermath;
mod check;
mod deny;
mod enforcement;
mod environment;
mod exit;
#[cfg(unix)]
mod inherited;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod names;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod other;
mod profile;
mod reading;
mod resolve;
#[cfg(any(target_os = "macos", test))]
mod seatbelt;
mod started;
mod survey;
#[cfg(unix)]
mod terminal;
#[cfg(windows)]
mod windows;

pub use aftermath::{AfterRun, Aftermath, FURTHER_FOLDERS};
pub use check::{Unusable, check};
pub use deny::DenyRead;
pub use enforcement::Enforcement;
pub use environment::{Credentials, EnvInherit, EnvPolicy, child_env, which_shell};
pub use exit::{Exit, LaunchError};
#[cfg(unix)]
pub use inherited::{is_ignored, let_signals_in, put_in_order, with_enough_stack};
#[cfg(target_os = "linux")]
pub use linux::{Launcher, enforcement, launcher_main, raise_fd_limit, run_under};
#[cfg(target_os = "macos")]
pub use macos::{Launcher, enforcement, launcher_main, raise_fd_limit, run_under};
pub use names::is_protected_name;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub use other::{Launcher, enforcement, launcher_main, raise_fd_limit, run_under};
pub use profile::{Command, Profile, Root};
pub use reading::{OpenError, open_regular};
pub use resolve::{ResolveError, deny_read, deny_read_always, resolve, resolve_with};
pub use started::{Ended, Output, Started};
pub use survey::Surveyor;
#[cfg(windows)]
pub use windows::{Launcher, enforcement, launcher_main, raise_fd_limit, run_under};

/// Nothing of the kind is inherited here.
#[cfg(not(unix))]
pub fn put_in_order() {}

/// Signals are not held back here.
#[cfg(not(unix))]
pub fn let_signals_in() {}

/// Does the work of `main`.
#[cfg(not(unix))]
pub fn with_enough_stack<T: Send + 'static>(work: fn() -> T) -> T {
    work()
}

/// Where a command finds its way out, on its own loopback.
pub const PROXY_PORT: u16 = 3128;

/// The longest script of a shell's, in bytes: with its environment it fits one request to the launcher.
pub const MAX_SCRIPT: usize = 2 << 20;

/// The variables that send programs there.
pub const PROXY_ENV: [(&str, &str); 8] = [
    ("HTTP_PROXY", "http://127.0.0.1:3128"),
    ("http_proxy", "http://127.0.0.1:3128"),
    ("HTTPS_PROXY", "http://127.0.0.1:3128"),
    ("https_proxy", "http://127.0.0.1:3128"),
    ("ALL_PROXY", "http://127.0.0.1:3128"),
    ("all_proxy", "http://127.0.0.1:3128"),
    ("NO_PROXY", "localhost,127.0.0.1,::1"),
    ("no_proxy", "localhost,127.0.0.1,::1"),
];

/// The first argument that makes a program the launcher; handled before anything else by
/// [`run_if_launcher`].
pub const LAUNCHER_ARG: &str = "__troupe-launcher";

/// Turns this process into the launcher if it was started as one. Programs that embed the library
/// call it first in `main`: commands are started through a second process of theirs.
pub fn run_if_launcher() {
    if std::env::args_os().nth(1).is_some_and(|first| first == LAUNCHER_ARG) {
        launcher_main();
    }
}
