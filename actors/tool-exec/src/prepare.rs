//! What a call comes to before anything is asked: its arguments read, its patch checked.

use crate::{
    Args,
    patching::{self, Patch},
    tools::{self, SandboxPermissions, ToolCall},
};
use std::{path::PathBuf, sync::Arc};
use tokio::task::spawn_blocking;
use troupe_messages::Question;
use troupe_types::{CallDetail, ErrorClass, PlanUpdated, SessionSettings};

/// A call that is ready.
#[derive(Debug, Clone)]
pub(crate) enum Prepared {
    /// It cannot be done; the text is for the model.
    Refused(ErrorClass, String),
    /// A tool that only looks.
    Look(ToolCall),
    /// The plan changes.
    Plan(PlanUpdated),
    /// A command.
    Shell(Shell),
    /// A patch that fits.
    Patch(Patch),
}

/// A command that is ready.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) timeout_ms: u64,
    /// The model asks to leave the sandbox, with its reason.
    pub(crate) escalate: Option<String>,
}

/// Reads the call's arguments and checks its patch.
pub(crate) async fn prepare(args: &Args) -> Prepared {
    let call = match tools::parse(&args.call) {
        Ok(call) => call,
        Err(refusal) => return refused(refusal.to_string()),
    };
    let (id, settings) = (args.call.call, Arc::clone(&args.settings));
    let shell_path = Arc::clone(&args.shell);
    // Files are looked at, so it may take its time.
    let work = move || match call {
        ToolCall::Plan(plan) => Prepared::Plan(tools::plan_updated(id, plan)),
        ToolCall::Patch(text) => patching::check(&text, &settings.cwd),
        ToolCall::Shell(shell) => prepare_shell(&settings, &shell_path, shell),
        look => Prepared::Look(look),
    };
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Prepared::Refused(ErrorClass::Internal, format!("the call could not be read: {error}"))
    })
}

fn refused(text: String) -> Prepared {
    Prepared::Refused(ErrorClass::Tool, text)
}

fn prepare_shell(
    settings: &SessionSettings,
    shell_path: &str,
    shell: tools::ShellArgs,
) -> Prepared {
    let base = &settings.cwd;
    let mut cwd =
        shell.workdir.as_deref().map_or_else(|| base.clone(), |dir| tools::resolve(base, dir));
    if troupe_patch::is_bare_patch(&shell.command) {
        return refused("this is a patch, not a command: call apply_patch with it".to_owned());
    }
    let patch = troupe_patch::intercept(&shell.command);
    if let Some(cd) = patch.as_ref().and_then(|patch| patch.cd.as_ref()) {
        cwd.push(cd);
    }
    if !cwd.is_dir() {
        let why = if cwd.exists() { "is not a directory" } else { "does not exist" };
        return refused(format!("the directory {} {why}", cwd.display()));
    }
    if let Some(found) = patch {
        return patching::check(&found.patch, &cwd);
    }
    let flag = if settings.login_shell { "-lc" } else { "-c" };
    let escalate = (shell.sandbox_permissions == SandboxPermissions::RequireEscalated)
        .then(|| shell.justification.unwrap_or_else(|| "no reason given".to_owned()));
    Prepared::Shell(Shell {
        argv: vec![shell_path.to_owned(), flag.to_owned(), shell.command],
        cwd,
        timeout_ms: shell.timeout_ms,
        escalate,
    })
}

impl Prepared {
    /// What policy is asked.
    pub(crate) fn question(&self) -> Option<Question> {
        match self {
            Self::Shell(shell) => Some(Question::Command {
                argv: shell.argv.clone(),
                cwd: shell.cwd.clone(),
                escalate: shell.escalate.clone(),
            }),
            Self::Patch(patch) => Some(Question::Patch { paths: patch.plan.touched_paths() }),
            Self::Refused(..) | Self::Look(_) | Self::Plan(_) => None,
        }
    }

    /// Whether a yes of the user's takes it out of the sandbox.
    pub(crate) fn leaves_sandbox(&self) -> bool {
        matches!(self, Self::Shell(shell) if shell.escalate.is_some())
    }

    /// What it does, for front ends.
    pub(crate) fn detail(&self) -> CallDetail {
        match self {
            Self::Shell(shell) => CallDetail::Command {
                argv: shell.argv.clone(),
                cwd: shell.cwd.clone(),
                exit_code: None,
                strays: 0,
            },
            Self::Patch(patch) => patch.detail(),
            Self::Look(call) => CallDetail::Tool { summary: call.summary() },
            Self::Plan(_) => CallDetail::Tool { summary: "update the plan".to_owned() },
            Self::Refused(_, text) => CallDetail::Tool { summary: text.clone() },
        }
    }
}
