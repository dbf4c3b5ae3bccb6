//! One command below this process, without a launcher: with this process's own descriptors, or to find
//! out what holds one here.

use super::{
    confine::Level,
    groups,
    init::{Failure, Notes, Request, start},
    placeholders::Placeholders,
    sys,
    wire::{self, Report, Step},
};
use crate::{
    Enforcement, Exit, LaunchError,
    profile::{Command, Profile},
};
use std::{
    fs, io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// Runs a command below this process, with its own descriptors, and waits for its end. For
/// programs with a single thread; `serve` may start more once the command runs, and is handed the
/// listener of a command whose network has a way out, and its doors.
///
/// # Errors
/// When it cannot be started.
pub fn run_under(
    command: Command,
    profile: Profile,
    serve: impl FnOnce(TcpListener, Vec<TcpListener>),
) -> Result<Exit, LaunchError> {
    let io_failed = |error: io::Error| LaunchError::Launcher(error.to_string());
    let (ours, theirs) = sys::socket_pair(libc::SOCK_STREAM).map_err(io_failed)?;
    let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map_err(io_failed);
    let terminal = io::IsTerminal::is_terminal(&io::stdin());
    let request = Request {
        command,
        profile,
        control: theirs,
        stdout: copy(io::stdout().as_fd())?,
        stderr: copy(io::stderr().as_fd())?,
        notes: Notes { to: copy(io::stderr().as_fd())?, prefix: "troupe: " },
        stdin: Some(copy(io::stdin().as_fd())?),
        own_session: !terminal,
        soft_files: super::limits::for_commands(),
        group: None,
    };
    let mut best = Level::Full;
    let mut placeholders = Placeholders::default();
    let init = start(&request, &mut best, &mut placeholders)
        .map_err(|failure| explain(&request.command, failure))?;
    let (command, control) = (request.command.clone(), UnixStream::from(ours));
    drop(request);
    let exit = follow(&command, control, serve);
    // SAFETY: waits for the init just made, so that nothing of it is left.
    let _ended = unsafe { libc::waitpid(init.pid, std::ptr::null_mut(), libc::__WALL) };
    placeholders.release(&init.placeholders);
    exit
}

/// Reads reports until the leader has ended; then lets go.
fn follow(
    command: &Command,
    control: UnixStream,
    serve: impl FnOnce(TcpListener, Vec<TcpListener>),
) -> Result<Exit, LaunchError> {
    let mut serve = Some(serve);
    loop {
        let mut bytes = [0; Report::BYTES];
        let received = wire::receive_some(control.as_fd(), &mut bytes);
        let Ok((Report::BYTES, fds)) = received else { return Ok(Exit::Lost) };
        match Report::read(bytes) {
            Report::Started(..) => {
                let mut listeners = fds.into_iter().map(TcpListener::from);
                if let (Some(listener), Some(serve)) = (listeners.next(), serve.take()) {
                    serve(listener, listeners.collect());
                }
            }
            Report::Failed(step, errno) => {
                return Err(explain(command, (step, io::Error::from_raw_os_error(errno))));
            }
            Report::Ended(status, ..) => return Ok(exit_of(status)),
        }
    }
}

pub(crate) fn exit_of(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

pub(crate) fn explain(command: &Command, (step, error): Failure) -> LaunchError {
    let name = command.argv.first().map(|name| name.display().to_string()).unwrap_or_default();
    match step {
        Step::Program if error.raw_os_error() == Some(libc::E2BIG) => {
            LaunchError::Program(format!("{name} cannot be run: {}", too_long(command)))
        }
        Step::Program => LaunchError::Program(format!("{name} cannot be run: {error}")),
        Step::Directory => {
            let cwd = command.cwd.display();
            LaunchError::Program(format!("the directory {cwd} cannot be entered: {error}"))
        }
        Step::Fork | Step::Descriptors => {
            LaunchError::Launcher(format!("{}: {error}", step.text()))
        }
        _ => LaunchError::Unenforceable(format!("{} ({error})", step.text())),
    }
}

/// What is too long for the system, and what can be done.
fn too_long(command: &Command) -> String {
    /// The longest argument or variable of Linux, in bytes, with the zero at its end.
    const LONGEST: usize = 128 << 10;
    let long = command.env.iter().find(|(name, value)| name.len() + value.len() + 2 > LONGEST);
    if let Some((name, value)) = long {
        return format!(
            "the environment variable {} has {} KiB, and Linux takes 128 KiB of one. Leave it out \
             ([shell_environment_policy] exclude)",
            name.display(),
            value.len() / 1024
        );
    }
    if command.argv.iter().any(|part| !command.script && part.len() >= LONGEST) {
        return "an argument has more than the 128 KiB that Linux takes of one".to_owned();
    }
    let env: usize = command.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    format!(
        "its environment of {} KiB and its arguments are more than the system takes (a quarter of \
         the stack's limit, `ulimit -s`). Leave variables out ([shell_environment_policy])",
        env / 1024
    )
}

/// Commands of a session also get a group of their own, where groups are ours to make.
fn with_group(mut layers: Vec<String>) -> Vec<String> {
    if groups::are_there() {
        layers.push("a control group of its own, for commands of sessions".to_owned());
    }
    layers
}

/// Finds out what holds a command here, by starting one. For programs with a single thread.
pub(crate) fn try_out(profile: &Profile) -> Enforcement {
    let attempt = || -> io::Result<Result<Level, Failure>> {
        let null =
            || fs::OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        let (ours, theirs) = sys::socket_pair(libc::SOCK_STREAM)?;
        let command = Command { argv: vec!["true".into()], cwd: "/".into(), ..Command::default() };
        let request = Request {
            command,
            profile: profile.clone(),
            control: theirs,
            stdout: null()?,
            stderr: null()?,
            notes: Notes { to: null()?, prefix: "" },
            stdin: None,
            own_session: true,
            soft_files: None,
            group: None,
        };
        let mut best = Level::Full;
        let mut placeholders = Placeholders::default();
        let init = match start(&request, &mut best, &mut placeholders) {
            Ok(init) => init,
            Err(failure) => return Ok(Err(failure)),
        };
        let command = request.command.clone();
        drop(request);
        let _ended = follow(&command, UnixStream::from(ours), |_, _| {});
        // SAFETY: waits for the init just made.
        unsafe { libc::waitpid(init.pid, std::ptr::null_mut(), libc::__WALL) };
        placeholders.release(&init.placeholders);
        Ok(Ok(init.level))
    };
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let network = match profile {
        Profile { network: true, .. } => "network: on",
        Profile { proxied: true, .. } => "network: its own; hosts that are allowed, by a proxy",
        _ => "network: off",
    };
    match attempt() {
        Ok(Ok(Level::Full)) => Enforcement {
            layers: with_group(text(&[
                "user, mount, process and IPC namespaces",
                "mounts: everything read-only but the writable roots; protected names read-only",
                "Landlock: writes beneath the writable roots only",
                "seccomp: calls that reach other processes, the kernel or the mounts",
                "no new privileges, no capabilities beyond files, own session",
                network,
            ])),
            weaker: Vec::new(),
        },
        Ok(Ok(level @ Level::Rules)) => Enforcement {
            layers: text(&["Landlock", "seccomp", "no new privileges, own session"]),
            weaker: level.weaker(profile),
        },
        Ok(Ok(level @ Level::Open)) => {
            Enforcement { layers: Vec::new(), weaker: level.weaker(profile) }
        }
        Ok(Err((step, error))) => Enforcement {
            layers: Vec::new(),
            weaker: vec![format!("commands are refused: {} ({error})", step.text())],
        },
        Err(error) => Enforcement { layers: Vec::new(), weaker: vec![error.to_string()] },
    }
}
