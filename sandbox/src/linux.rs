//! Linux: namespaces, Landlock and seccomp, set up by a launcher beside the host.

#![allow(
    unsafe_code,
    reason = "system calls that no library wraps; each block says why it is sound"
)]

mod alone;
mod confine;
mod filter;
mod git;
mod groups;
mod host;
mod init;
mod launcher;
mod limits;
mod mounts;
mod outside;
mod overlay;
mod placeholders;
mod rules;
mod script;
mod sys;
mod terminal;
mod wire;

pub use alone::run_under;
pub use host::Launcher;
pub use launcher::launcher_main;
pub use limits::raise_fd_limit;
pub(crate) use placeholders::is_placeholder;
pub use rules::enforcement;
