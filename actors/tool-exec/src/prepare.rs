//! What a call comes to before anything is asked: its arguments read, its patch checked.

use crate::{
    Args,
    patching::{self, Patch},
    tools::{self, SandboxPermissions, ToolCall},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;
use troupe_messages::{BackgroundProcess, Question};
use troupe_types::{Access, CallDetail, ErrorClass, PlanUpdated, SessionSettings, start_of};

/// A call that is ready.
#[derive(Debug, Clone)]
pub(crate) enum Prepared {
    /// It cannot be done; the text is for the model.
    Refused(ErrorClass, String),
    /// A command that cannot be run, and why.
    Unable(CallDetail, String),
    /// A tool that only looks.
    Look(ToolCall),
    /// The plan changes.
    Plan(PlanUpdated),
    /// A command.
    Shell(Shell),
    /// A patch that fits.
    Patch(Patch),
    /// Something for a background process.
    Interact(Typing),
}

/// Something for a background process.
#[derive(Debug, Clone)]
pub(crate) struct Typing {
    pub(crate) process: BackgroundProcess,
    pub(crate) input: String,
    pub(crate) wait: Duration,
    /// The most tokens of output that the model wants.
    pub(crate) tokens: Option<usize>,
}

/// What lets a command go on in the background.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// When it does.
    pub(crate) wait: Duration,
    /// On a terminal of its own.
    pub(crate) terminal: bool,
    /// The most tokens of output that the model wants.
    pub(crate) tokens: Option<usize>,
}

/// What is shown of a script, and of what is typed into it, in bytes.
const SHOWN: usize = 60;
/// How many background processes a session may have.
const MOST_PROCESSES: usize = 16;

/// A command that is ready.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) timeout_ms: u64,
    /// The model asks to leave the sandbox, with its reason.
    pub(crate) escalate: Option<String>,
    /// It may go on in the background.
    pub(crate) keep: Option<Keep>,
}

/// Reads the call's arguments and checks its patch.
pub(crate) async fn prepare(args: &Args) -> Prepared {
    let call = match tools::parse(&args.call) {
        Ok(call) => call,
        Err(refusal) => return refused(refusal.to_string()),
    };
    if let ToolCall::Write(write) = &call {
        return typing(&args.background, write);
    }
    let keep = match &call {
        ToolCall::Exec(exec) => {
            if let Some(refusal) = too_many(&args.background) {
                return refused(refusal);
            }
            let wait = Duration::from_millis(exec.yield_ms);
            Some(Keep { wait, terminal: exec.tty, tokens: exec.max_tokens })
        }
        _ => None,
    };
    let (id, settings) = (args.call.call, Arc::clone(&args.settings));
    let shell_path = Arc::clone(&args.shell);
    // Files are looked at, so it may take its time.
    let work = move || match call {
        ToolCall::Plan(plan) => Prepared::Plan(tools::plan_updated(id, plan)),
        ToolCall::Patch(text) => patching::check(&text, &settings.cwd),
        ToolCall::Shell(shell) => prepare_shell(&settings, &shell_path, shell, None),
        ToolCall::Exec(exec) => prepare_shell(&settings, &shell_path, exec.shell, keep),
        look => Prepared::Look(look),
    };
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Prepared::Refused(ErrorClass::Internal, format!("the call could not be read: {error}"))
    })
}

/// Finds the process that something is for.
fn typing(all: &[BackgroundProcess], write: &tools::WriteArgs) -> Prepared {
    let Some(process) = all.iter().find(|known| known.process == write.process) else {
        let there = match all {
            [] => "No process runs in the background".to_owned(),
            all => format!("In the background: {}", list(all.iter())),
        };
        return refused(format!(
            "there is no process {}: it has ended and all of its output was read, or it ended with \
             its session. {there}",
            write.process
        ));
    };
    Prepared::Interact(Typing {
        process: process.clone(),
        input: write.chars.clone(),
        wait: Duration::from_millis(write.yield_ms),
        tokens: write.max_tokens,
    })
}

/// Why there cannot be one more.
fn too_many(all: &[BackgroundProcess]) -> Option<String> {
    let running = || all.iter().filter(|process| !process.ended);
    (running().count() >= MOST_PROCESSES).then(|| {
        format!(
            "{MOST_PROCESSES} processes run in the background already: {}. End one first \
             (write_stdin with \\u0003)",
            list(running())
        )
    })
}

fn list<'a>(all: impl Iterator<Item = &'a BackgroundProcess>) -> String {
    let one = |process: &BackgroundProcess| {
        format!("{} `{}`", process.process, start_of(&process.command, SHOWN))
    };
    all.map(one).collect::<Vec<_>>().join(", ")
}

fn refused(text: String) -> Prepared {
    Prepared::Refused(ErrorClass::Tool, text)
}

fn prepare_shell(
    settings: &SessionSettings,
    shell_path: &str,
    shell: tools::ShellArgs,
    keep: Option<Keep>,
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
        let why = format!("the directory {} {why}", cwd.display());
        if patch.is_some() {
            return refused(why);
        }
        let argv = argv(settings, shell_path, shell.command);
        return Prepared::Unable(CallDetail::Command { argv, cwd, outside: false }, why);
    }
    if let Some(found) = patch {
        return patching::check(&found.patch, &cwd);
    }
    let escalate = (shell.sandbox_permissions == SandboxPermissions::RequireEscalated)
        .then(|| shell.justification.unwrap_or_else(|| "no reason given".to_owned()));
    Prepared::Shell(Shell {
        argv: argv(settings, shell_path, shell.command),
        cwd,
        timeout_ms: shell.timeout_ms,
        escalate,
        keep,
    })
}

/// The shell with a script.
fn argv(settings: &SessionSettings, shell_path: &str, script: String) -> Vec<String> {
    let flag = if settings.login_shell { "-lc" } else { "-c" };
    vec![shell_path.to_owned(), flag.to_owned(), script]
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
            Self::Interact(typing) => {
                let BackgroundProcess { command, cwd, outside, .. } = typing.process.clone();
                Some(Question::Input { command, cwd, outside, input: typing.input.clone() })
            }
            Self::Refused(..) | Self::Unable(..) | Self::Look(_) | Self::Plan(_) => None,
        }
    }

    /// Whether a yes of the user's takes it out of the sandbox.
    pub(crate) fn leaves_sandbox(&self) -> bool {
        matches!(self, Self::Shell(shell) if shell.escalate.is_some())
    }

    /// What it may change, where policy says whether its command changes anything.
    pub(crate) fn access(&self, read_only: bool) -> Access {
        match self {
            Self::Shell(_) if read_only => Access::Read,
            Self::Shell(_) => Access::Command,
            Self::Look(_) => Access::Read,
            Self::Refused(..)
            | Self::Unable(..)
            | Self::Plan(_)
            | Self::Patch(_)
            | Self::Interact(_) => Access::Exclusive,
        }
    }

    /// What it does, for front ends.
    pub(crate) fn detail(&self, outside: bool) -> CallDetail {
        match self {
            Self::Shell(shell) => {
                CallDetail::Command { argv: shell.argv.clone(), cwd: shell.cwd.clone(), outside }
            }
            Self::Interact(Typing { process, input, .. }) => {
                let (number, command) = (process.process, start_of(&process.command, SHOWN));
                let (command, input) = (command.to_owned(), start_of(input, SHOWN).to_owned());
                CallDetail::Interact { process: number, command, input }
            }
            Self::Patch(patch) => patch.detail(),
            Self::Look(call) => CallDetail::Tool { summary: call.summary() },
            Self::Plan(_) => CallDetail::Plan,
            Self::Unable(detail, _) => detail.clone(),
            Self::Refused(_, text) => CallDetail::Tool { summary: text.clone() },
        }
    }
}
