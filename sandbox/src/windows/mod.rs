//! Windows: a restricted token holds a command, a job object ends it.
//!
//! The token may write only where an entry for a made-up identity allows it, and such entries are put
//! on the writable roots, with denials on what stays as it is. The job's handle is the host's: when
//! that goes, for whatever reason, the kernel ends everything in the job. Written, type-checked, and
//! started under Wine; its security has not been seen running.

#![allow(
    unsafe_code,
    reason = "system calls that no library wraps; each block says why it is sound"
)]

mod acl;
mod job;
mod spawn;
mod terminal;
mod text;
mod token;

use crate::{
    Ended, Enforcement, Exit, LaunchError, Started,
    profile::{Command, Profile},
};
use job::Job;
use spawn::{Held, Process, Streams};
use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use terminal::Terminal;
use token::{Sid, Token};

const NETWORK: &str = "the network of a command cannot be held on Windows";

/// What holds a command of this profile on this machine.
#[must_use]
pub fn enforcement(profile: &Profile) -> Enforcement {
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    if !profile.sandboxed {
        return Enforcement {
            layers: text(&["job object; the whole tree ends with it"]),
            weaker: text(&["no sandbox: all the user's rights"]),
        };
    }
    let mut weaker: Vec<String> = text(&[
        "what must not be read can be read",
        ".git is read-only: commands cannot commit",
        "protected names that do not exist yet can be made",
        "folders that everybody may write to can be written to",
    ]);
    if !profile.network {
        weaker.push(NETWORK.to_owned());
    }
    Enforcement {
        layers: text(&[
            "restricted token: writes beneath the writable roots only, no privileges",
            "job object; the whole tree ends with it",
        ]),
        weaker,
    }
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
    /// When it cannot be held or run.
    #[expect(clippy::unused_async, reason = "the same form as elsewhere")]
    pub async fn launch(
        &self,
        command: &Command,
        profile: &Profile,
    ) -> Result<Started, LaunchError> {
        let failed = |error: io::Error| LaunchError::Launcher(error.to_string());
        let held = hold(profile)?;
        let weaker = if profile.sandboxed { enforcement(profile).weaker } else { Vec::new() };
        let listener = way_out(profile).map_err(failed)?;
        let (output, to_output) = terminal::pipe_from_command().map_err(failed)?;
        let job = Job::new(&profile.limits).map_err(failed)?;
        if command.terminal {
            let (input, from_input) = terminal::pipe_to_command().map_err(failed)?;
            let terminal = Terminal::new(&from_input, &to_output).map_err(failed)?;
            drop((from_input, to_output));
            let streams = Streams::Terminal(&terminal);
            let process = spawn::start(command, held.as_ref(), &streams, &job)?;
            let started = running(process, job, Some(terminal));
            return Ok(Started {
                output: Box::new(output),
                input: Some(Box::new(input)),
                listener,
                weaker,
                ..started
            });
        }
        let streams = Streams::Pipes { output: &to_output };
        let process = spawn::start(command, held.as_ref(), &streams, &job)?;
        drop(to_output);
        let started = running(process, job, None);
        Ok(Started { output: Box::new(output), listener, weaker, ..started })
    }
}

/// What every running command has; its outputs are put in.
fn running(process: Process, job: Job, terminal: Option<Terminal>) -> Started {
    let job = Arc::new(job);
    let (watched, ended) = (Arc::clone(&job), Arc::clone(&job));
    let terminal = Arc::new(Mutex::new(terminal));
    let closed = Arc::clone(&terminal);
    let exit = Box::pin(async move {
        let waited = tokio::task::spawn_blocking(move || process.wait()).await;
        let exit = waited.ok().and_then(Result::ok).map_or(Exit::Lost, Exit::Code);
        // Its output ends with the terminal.
        drop(closed.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ended { exit, busy: watched.busy() }
    });
    let kill = Arc::new(move || {
        let left = ended.living();
        ended.end();
        drop(terminal.lock().unwrap_or_else(PoisonError::into_inner).take());
        left
    });
    // A console of its own hears no Ctrl-C of ours: without a terminal an interrupt is the end.
    let interrupt = Arc::new(move || job.end());
    let nothing = || Box::new(tokio::io::empty());
    Started {
        output: nothing(),
        notes: nothing(),
        input: None,
        exit,
        kill,
        interrupt,
        listener: None,
        doors: Vec::new(),
        weaker: Vec::new(),
    }
}

/// The token and the entries that hold a command; nothing for one that is not held.
fn hold(profile: &Profile) -> Result<Option<Held>, LaunchError> {
    if !profile.sandboxed {
        return Ok(None);
    }
    if !profile.network && !profile.allow_unenforced {
        return Err(LaunchError::Unenforceable(format!(
            "{NETWORK}; with network_access = true in [sandbox_workspace_write] nothing is promised \
             about it"
        )));
    }
    let refused = |error: io::Error| LaunchError::Unenforceable(error.to_string());
    let mut identities = Vec::new();
    for root in &profile.roots {
        let sid = Sid::of_folder(&root.path).map_err(refused)?;
        acl::allow_writing(&root.path, &sid).map_err(refused)?;
        for kept in root.protected.iter().filter(|path| path.exists()) {
            acl::deny_writing(kept, &sid).map_err(refused)?;
        }
        identities.push(sid);
    }
    Token::restricted(&identities).map(|token| Some(Held { token })).map_err(refused)
}

/// A listener for the way out. Nothing keeps a command from other ways: it is a help, not a wall.
fn way_out(profile: &Profile) -> io::Result<Option<TcpListener>> {
    if !profile.proxied {
        return Ok(None);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::PROXY_PORT))?;
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

/// Runs a command with this process's own handles, and waits for its end; `serve` is handed the
/// listener of a command whose network has a way out. There are no doors here.
///
/// # Errors
/// When it cannot be held or run.
pub fn run_under(
    command: Command,
    profile: Profile,
    serve: impl FnOnce(TcpListener, Vec<TcpListener>),
) -> Result<Exit, LaunchError> {
    let failed = |error: io::Error| LaunchError::Launcher(error.to_string());
    let held = hold(&profile)?;
    let listener = way_out(&profile).map_err(failed)?;
    let job = Job::new(&profile.limits).map_err(failed)?;
    let process = spawn::start(&command, held.as_ref(), &Streams::Own, &job)?;
    if let Some(listener) = listener {
        serve(listener, Vec::new());
    }
    let exit = process.wait().map(Exit::Code).map_err(failed);
    // The rest of its tree goes with it, as elsewhere.
    let _rest: Duration = job.busy();
    job.end();
    exit
}
