//! Carrying out one order.

use crate::Args;
use std::{ffi::OsString, sync::Arc};
use tokio::{sync::oneshot, task::spawn_blocking};
use troupe_kit::Mailbox;
use troupe_messages::{
    EgressMessage, LaunchAnswer, LaunchOrder, LaunchRefusal, Process, ProcessEnd, ProcessExit,
    Remarked, Remarks, Running, ToolMessage, Way, WayParts,
};
use troupe_sandbox::{
    AfterRun, Aftermath, Command, DenyRead, Ended, Exit, LaunchError, PROXY_ENV, Profile,
    ResolveError, Started, child_env, resolve_with,
};
use troupe_types::{ErrorClass, SandboxMode};

/// On a terminal of the model's: nothing that only a person could read, nothing that waits for one.
const PLAIN: [(&str, &str); 5] = [
    ("TERM", "dumb"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GH_PAGER", "cat"),
];

pub(crate) async fn launch(
    args: &Args,
    order: &LaunchOrder,
    tool: &Mailbox<ToolMessage>,
) -> LaunchAnswer {
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
    let proxied = !order.sandbox.allow_hosts.is_empty()
        && order.sandbox.mode != SandboxMode::DangerFullAccess;
    if proxied {
        more.extend(PROXY_ENV);
    } else if !order.sandbox.network && order.sandbox.mode != SandboxMode::DangerFullAccess {
        more.push(("TROUPE_SANDBOX_NETWORK_DISABLED", "1"));
    }
    if order.terminal {
        more.extend(PLAIN);
    }
    let command = Command {
        argv: order.argv.iter().map(OsString::from).collect(),
        env: child_env(&args.environment, std::env::vars_os(), &more),
        cwd: order.cwd.clone(),
        script: true,
        terminal: order.terminal,
    };
    let (surveyor, of) = (Arc::clone(&args.surveyor), order.clone());
    let doors = Arc::clone(&args.doors);
    // Reads folders: not for a thread that serves others.
    let work = move || {
        let (mut profile, deny) = resolve_with(&of.sandbox, &of.workspace, &surveyor)?;
        if profile.proxied && profile.sandboxed {
            profile.doors = doors(&of.sandbox);
        }
        if profile.sandboxed && of.folder.is_dir() {
            profile.reopened.push(of.folder);
        }
        Ok::<_, ResolveError>((profile, deny))
    };
    let resolved = spawn_blocking(work).await;
    let refused = |class, message| Err(LaunchRefusal::Refused { class, message });
    let (profile, deny) = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return refused(ErrorClass::Sandbox, error.to_string()),
        Err(_) => {
            return refused(ErrorClass::Sandbox, "the workspace could not be read".to_owned());
        }
    };
    match args.launcher.launch(&command, &profile).await {
        Ok(started) => {
            let Started {
                output,
                notes,
                input,
                exit,
                mut kill,
                interrupt,
                listener,
                doors,
                weaker,
            } = started;
            if let Some(proxy) = listener {
                let (alive, ended) = oneshot::channel::<()>();
                let inner = kill;
                // It goes when nobody can end the process any more.
                kill = Arc::new(move || {
                    let _held = &alive;
                    inner()
                });
                // Whom nobody serves reaches nobody: a refusal drops the listener.
                let _refused = args.egress.tell(EgressMessage::Serve {
                    way: Way::new(WayParts { proxy, doors, ended }),
                    call: order.call,
                    allow: order.sandbox.allow_hosts.clone(),
                    deny: order.sandbox.deny_hosts.clone(),
                    tool: tool.clone(),
                });
            }
            Ok(Process::new(Running {
                output,
                notes,
                input,
                exit: Box::pin(async move {
                    let Ended { exit, busy } = exit.await;
                    ProcessEnd { exit: exit_of(exit), busy }
                }),
                kill,
                interrupt,
                aftermath: profile
                    .sandboxed
                    .then(|| remarks(args, order, profile, deny, !weaker.is_empty())),
                weaker,
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

/// What there is to say of a command that was held, once it has ended.
fn remarks(
    args: &Args,
    order: &LaunchOrder,
    profile: Profile,
    deny: DenyRead,
    weaker: bool,
) -> Remarks {
    let aftermath =
        Aftermath::new(profile, &order.cwd, &args.surveyor, deny).without_namespaces(weaker);
    Arc::new(move |code, output| {
        let AfterRun { sentences, not_written } = aftermath.remarks(code, output);
        Remarked { sentences, not_written }
    })
}

fn exit_of(exit: Exit) -> ProcessExit {
    match exit {
        Exit::Code(code) => ProcessExit::Code(code),
        Exit::Signal(signal) => ProcessExit::Signal(signal),
        Exit::Lost => ProcessExit::Lost,
    }
}
