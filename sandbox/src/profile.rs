//! What a command may do, as plain values.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};
use troupe_types::CommandLimits;

/// A process to start.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Program and arguments. A program without a slash is looked up in the environment's `PATH`.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// The program is a shell and its last argument a script, which on Linux may be as long as
    /// [`crate::MAX_SCRIPT`]: one that does not fit an argument is read by the shell from a descriptor.
    pub script: bool,
    /// On a terminal of its own instead of pipes, with nothing as its input.
    pub terminal: bool,
}

/// A folder that may be written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    /// The folder (real path).
    pub path: PathBuf,
    /// What below it stays read-only (existing; the last part may be a link, which stays itself).
    pub protected: Vec<PathBuf>,
    /// What must not be made in it.
    pub absent: Vec<PathBuf>,
    /// Everybody's, such as `/tmp`.
    pub shared: bool,
}

/// What a command may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Whether it is held at all.
    pub sandboxed: bool,
    /// Where it may write. Outer folders come before those in them.
    pub roots: Vec<Root>,
    /// Git folders (real paths) that a command changes in a copy; what is sound in it is taken over
    /// when it ends.
    pub repositories: Vec<PathBuf>,
    /// Caches of programs (real paths): what is written to them is gone when it ends.
    pub caches: Vec<PathBuf>,
    /// What it cannot read (real paths, existing).
    pub denied: Vec<PathBuf>,
    /// Folders below those that it can read all the same.
    pub reopened: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: bool,
    /// Whether its own network has a listener ([`crate::PROXY_PORT`]) for a way out.
    pub proxied: bool,
    /// Addresses of its own loopback that lead to the host's, where it has that listener: one more each.
    /// Those that cannot be had are left out.
    pub doors: Vec<SocketAddr>,
    /// What it may use.
    pub limits: CommandLimits,
    /// Run it all the same where it cannot be held.
    pub allow_unenforced: bool,
    /// Without user namespaces: leave the protected names unprotected.
    pub unprotected_names: bool,
}
