//! Systems that nobody has written a sandbox for: nothing is started here.

use crate::{
    Enforcement, Exit, LaunchError, Started,
    profile::{Command, Profile},
};
use std::{net::TcpListener, path::PathBuf};

const NONE: &str = "commands cannot be started on this system";

/// What holds a command of this profile on this machine.
#[must_use]
pub fn enforcement(_: &Profile) -> Enforcement {
    Enforcement { layers: Vec::new(), weaker: vec![NONE.to_owned()] }
}

/// There is no launcher here.
pub fn launcher_main() -> ! {
    std::process::exit(2)
}

/// Nothing to raise.
pub fn raise_fd_limit() {}

/// Starts nothing.
#[derive(Default)]
pub struct Launcher;

impl Launcher {
    /// Starts nothing.
    pub fn new(_: impl Into<PathBuf>) -> Self {
        Self
    }

    /// Nothing to prepare.
    ///
    /// # Errors
    /// Never.
    pub fn warm(&self) -> Result<(), LaunchError> {
        Ok(())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always.
    #[expect(clippy::unused_async, reason = "the same form as elsewhere")]
    pub async fn launch(&self, _: &Command, _: &Profile) -> Result<Started, LaunchError> {
        Err(LaunchError::Unenforceable(NONE.to_owned()))
    }
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn run_under(
    _: Command,
    _: Profile,
    _: impl FnOnce(TcpListener, Vec<TcpListener>),
) -> Result<Exit, LaunchError> {
    Err(LaunchError::Unenforceable(NONE.to_owned()))
}
