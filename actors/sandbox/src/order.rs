//! Carrying out one order.

use crate::Args;
use std::{ffi::OsString, sync::Arc};
use tokio::task::spawn_blocking;
use troupe_messages::{LaunchAnswer, LaunchOrder, LaunchRefusal, Process, ProcessExit, Running};
use troupe_sandbox::{Command, Exit, LaunchError, child_env, resolve};
use troupe_types::{ErrorClass, OutputStream, SandboxMode};

pub(crate) async fn launch(args: &Args, order: &LaunchOrder) -> LaunchAnswer {
    let mode = match order.sandbox.mode {
        SandboxMode::ReadOnly => "read-only",
        SandboxMode::WorkspaceWrite => "workspace-write",
        SandboxMode::DangerFullAccess => "danger-full-access",
    };
    let cwd = order.cwd.display().to_string();
    let mut more = vec![
        ("TROUPE_SESSION_ID", order.session.as_str()),
        ("TROUPE_SANDBOX", mode),
        ("PWD", cwd.as_str()),
    ];
    if !order.sandbox.network && order.sandbox.mode != SandboxMode::DangerFullAccess {
        more.push(("TROUPE_SANDBOX_NETWORK_DISABLED", "1"));
    }
    let command = Command {
        argv: order.argv.iter().map(OsString::from).collect(),
        env: child_env(&args.environment, std::env::vars_os(), &more),
        cwd: order.cwd.clone(),
    };
    let (surveyor, of) = (Arc::clone(&args.surveyor), order.clone());
    // Reads folders: not for a thread that serves others.
    let resolved = spawn_blocking(move || resolve(&of.sandbox, &of.workspace, &surveyor)).await;
    let refused = |class, message| Err(LaunchRefusal::Refused { class, message });
    let mut profile = match resolved {
        Ok(Ok(profile)) => profile,
        Ok(Err(error)) => return refused(ErrorClass::Sandbox, error.to_string()),
        Err(_) => {
            return refused(ErrorClass::Sandbox, "the workspace could not be read".to_owned());
        }
    };
    if profile.sandboxed && order.folder.is_dir() {
        profile.reopened.push(order.folder.clone());
    }
    match args.launcher.launch(&command, &profile).await {
        Ok(started) => {
            let (outputs, exit, kill) = started.into_parts();
            let [stdout, stderr] = boxed(outputs);
            Ok(Process::new(Running {
                output: vec![(OutputStream::Stdout, stdout), (OutputStream::Stderr, stderr)],
                exit: Box::pin(async move { exit_of(exit.await) }),
                kill: std::sync::Arc::new(kill),
            }))
        }
        Err(LaunchError::Lost) => Err(LaunchRefusal::Lost),
        Err(error) => {
            let class = match error {
                LaunchError::Program(_) => ErrorClass::Tool,
                _ => ErrorClass::Sandbox,
            };
            Err(LaunchRefusal::Refused { class, message: error.to_string() })
        }
    }
}

type Output = Box<dyn tokio::io::AsyncRead + Send + Unpin>;

#[cfg(target_os = "linux")]
fn boxed<T: tokio::io::AsyncRead + Send + Unpin + 'static>([one, other]: [T; 2]) -> [Output; 2] {
    [Box::new(one), Box::new(other)]
}

#[cfg(not(target_os = "linux"))]
fn boxed<T, U>((one, other): (T, U)) -> [Output; 2]
where
    T: tokio::io::AsyncRead + Send + Unpin + 'static,
    U: tokio::io::AsyncRead + Send + Unpin + 'static,
{
    [Box::new(one), Box::new(other)]
}

fn exit_of(exit: Exit) -> ProcessExit {
    match exit {
        Exit::Code(code) => ProcessExit::Code(code),
        Exit::Signal(signal) => ProcessExit::Signal(signal),
        Exit::Lost => ProcessExit::Lost,
    }
}
