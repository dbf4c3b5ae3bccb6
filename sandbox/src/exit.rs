//! How a process ended, or why there is none.

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Whoever watched it died: it was killed, its status is unknown.
    Lost,
}

impl Exit {
    /// As a shell would tell it: 128 + n after signal n.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::Lost => 255,
        }
    }
}

/// Why there is no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The kernel cannot hold it as the mode asks.
    #[error(
        "the sandbox cannot be set up: {0}. Use sandbox_mode = \"danger-full-access\", or set \
         sandbox_allow_unenforced = true to run commands without it"
    )]
    Unenforceable(String),
    /// The program cannot be run.
    #[error("{0}")]
    Program(String),
    /// The launcher cannot be started.
    #[error("the launcher of commands cannot be started: {0}")]
    Launcher(String),
    /// The launcher died while it started the process: it may have run.
    #[error("the launcher of commands died while it started the command")]
    Lost,
}
