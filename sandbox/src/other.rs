//! Systems without a sandbox so far: commands run as they are, and a mode that needs one is
//! refused. Written and type-checked; not yet seen running.

#![allow(clippy::disallowed_methods, reason = "this package starts processes")]

use crate::{
    Exit, LaunchError,
    profile::{Command, Profile},
};
use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::process::{Child, ChildStderr, ChildStdout};

/// What holds a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforcement {
    /// The layers, from the outside in.
    pub layers: Vec<String>,
    /// What is weaker than the mode promises.
    pub weaker: Vec<String>,
}

const NONE: &str = "there is no sandbox on this system yet";

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

/// Starts commands.
#[derive(Default)]
pub struct Launcher;

impl Launcher {
    /// Starts commands; there is no second process here.
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

    /// Starts a command.
    ///
    /// # Errors
    /// When a sandbox is asked for, or the program cannot be run.
    #[expect(clippy::unused_async, reason = "the same form as elsewhere")]
    pub async fn launch(
        &self,
        command: &Command,
        profile: &Profile,
    ) -> Result<Started, LaunchError> {
        held(profile)?;
        let Some((program, arguments)) = command.argv.split_first() else {
            return Err(LaunchError::Program("no program".to_owned()));
        };
        let mut process = tokio::process::Command::new(program);
        process.args(arguments).env_clear().envs(command.env.iter().cloned());
        process.current_dir(&command.cwd).kill_on_drop(true).stdin(Stdio::null());
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().map_err(|error| {
            LaunchError::Program(format!("{} cannot be run: {error}", program.display()))
        })?;
        let lost = || LaunchError::Launcher("the command has no output".to_owned());
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let stderr = child.stderr.take().ok_or_else(lost)?;
        Ok(Started { stdout, stderr, child })
    }
}

fn held(profile: &Profile) -> Result<(), LaunchError> {
    if profile.sandboxed && !profile.allow_unenforced {
        return Err(LaunchError::Unenforceable(NONE.to_owned()));
    }
    Ok(())
}

/// A command that runs. Dropping it kills it.
pub struct Started {
    /// What it prints.
    pub stdout: ChildStdout,
    /// What it prints about errors.
    pub stderr: ChildStderr,
    child: Child,
}

impl Started {
    /// Its outputs, a future of its end, and a function that kills it.
    pub fn into_parts(
        self,
    ) -> (
        (ChildStdout, ChildStderr),
        impl Future<Output = Exit> + Send + use<>,
        impl Fn() -> u32 + Send + Sync + use<>,
    ) {
        let Self { stdout, stderr, mut child } = self;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stop = Arc::new(Mutex::new(Some(stop)));
        let exit = async move {
            tokio::select! {
                status = child.wait() => {
                    status.ok().and_then(|s| s.code()).map_or(Exit::Lost, Exit::Code)
                }
                _ = stopped => {
                    let _gone = child.start_kill();
                    Exit::Lost
                }
            }
        };
        let kill = move || {
            drop(stop.lock().unwrap_or_else(PoisonError::into_inner).take());
            1
        };
        ((stdout, stderr), exit, kill)
    }
}

/// Runs a command with this process's own descriptors, and waits for its end.
///
/// # Errors
/// When a sandbox is asked for, or the program cannot be run.
pub fn run_under(command: Command, profile: Profile) -> Result<Exit, LaunchError> {
    held(&profile)?;
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err(LaunchError::Program("no program".to_owned()));
    };
    let mut process = std::process::Command::new(program);
    process.args(arguments).env_clear().envs(command.env).current_dir(&command.cwd);
    let status = process.status().map_err(|error| {
        LaunchError::Program(format!("{} cannot be run: {error}", program.display()))
    })?;
    Ok(status.code().map_or(Exit::Lost, Exit::Code))
}
