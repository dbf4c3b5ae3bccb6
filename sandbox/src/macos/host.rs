//! The host's side: a keeper for each command.

use super::keeper::{ON_PIPES, ON_TERMINAL};
use crate::{
    Ended, Exit, LAUNCHER_ARG, LaunchError, PROXY_PORT, Started,
    profile::{Command, Profile},
    seatbelt::Seatbelt,
    terminal::TerminalEnd,
};
use std::{
    ffi::OsString,
    io::{self, Write},
    net::{Ipv4Addr, Shutdown, TcpListener},
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::net::unix::pipe;

/// Starts commands.
pub struct Launcher {
    program: PathBuf,
}

impl Default for Launcher {
    fn default() -> Self {
        Self::new(std::env::current_exe().unwrap_or_default())
    }
}

impl Launcher {
    /// Keepers are this program, which calls [`crate::run_if_launcher`] first.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
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
        let (listener, port) = way_out(profile).map_err(failed)?;
        let (control, theirs) = UnixStream::pair().map_err(failed)?;
        let terminal = command.terminal.then(open_terminal).transpose().map_err(failed)?;
        let mut keeper = tokio::process::Command::from(self.keeper(command, profile, port));
        keeper.stdin(Stdio::from(OwnedFd::from(theirs))).kill_on_drop(true);
        let mut piped = None;
        let master = match terminal {
            Some((master, slave)) => {
                keeper.stdout(Stdio::from(slave.try_clone().map_err(failed)?));
                keeper.stderr(Stdio::from(slave));
                Some(master)
            }
            None => {
                // One pipe for both streams: only so is what was written first also read first.
                let (reader, writer) = io::pipe().map_err(failed)?;
                keeper.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
                piped = Some(OwnedFd::from(reader));
                None
            }
        };
        let mut child = keeper.spawn().map_err(failed)?;
        // Its copies of the terminal's other end are the keeper's alone from here on.
        drop(keeper);
        let lost = || LaunchError::Launcher("the command has no output".to_owned());
        let (output, input): (crate::Output, _) = match master {
            Some(master) => {
                let end = TerminalEnd::new(master).map_err(failed)?;
                let input = end.try_clone().map_err(failed)?;
                let input: Box<dyn tokio::io::AsyncWrite + Send + Unpin> = Box::new(input);
                (Box::new(end), Some(input))
            }
            None => {
                let piped = piped.ok_or_else(lost)?;
                (Box::new(pipe::Receiver::from_owned_fd(piped).map_err(failed)?), None)
            }
        };
        let exit = Box::pin(async move {
            let exit = child.wait().await.map_or(Exit::Lost, exit_of);
            Ended { exit, busy: Duration::ZERO }
        });
        let control = Arc::new(control);
        let asked = Arc::clone(&control);
        let interrupt = Arc::new(move || {
            // A keeper that is gone needs none.
            let _gone = (&*asked).write_all(&[u8::try_from(libc::SIGINT).unwrap_or(2)]);
        });
        let kill = Arc::new(move || {
            let _gone = control.shutdown(Shutdown::Both);
            0
        });
        let weaker = super::enforcement(profile).weaker;
        let weaker = if profile.sandboxed { weaker } else { Vec::new() };
        let notes = Box::new(tokio::io::empty());
        Ok(Started {
            output,
            notes,
            input,
            exit,
            kill,
            interrupt,
            listener,
            doors: Vec::new(),
            weaker,
        })
    }

    #[allow(clippy::disallowed_methods, reason = "this package starts processes")]
    fn keeper(
        &self,
        command: &Command,
        profile: &Profile,
        port: Option<u16>,
    ) -> std::process::Command {
        let mut keeper = std::process::Command::new(&self.program);
        keeper.arg(LAUNCHER_ARG);
        keeper.arg(if command.terminal { ON_TERMINAL } else { ON_PIPES });
        keeper.arg(limits(profile)).args(held(command, profile, port));
        keeper.env_clear().envs(environment(command, port)).current_dir(&command.cwd);
        keeper
    }
}

/// The command line, held as the profile says.
fn held(command: &Command, profile: &Profile, port: Option<u16>) -> Vec<OsString> {
    if profile.sandboxed {
        return Seatbelt::new(profile, port).command_line(&command.argv);
    }
    command.argv.clone()
}

/// The port of the way out differs, since all commands share one loopback here.
fn environment(command: &Command, port: Option<u16>) -> Vec<(OsString, OsString)> {
    let told = format!("127.0.0.1:{PROXY_PORT}");
    let mut env = command.env.clone();
    for (_, value) in env.iter_mut().filter(|_| port.is_some()) {
        if let (Some(text), Some(port)) = (value.to_str(), port) {
            *value = text.replace(&told, &format!("127.0.0.1:{port}")).into();
        }
    }
    env
}

fn limits(profile: &Profile) -> String {
    let limits = &profile.limits;
    let known = [
        (libc::RLIMIT_FSIZE, limits.file_size),
        (libc::RLIMIT_NOFILE, limits.open_files),
        (libc::RLIMIT_AS, limits.memory),
    ];
    let set = known.iter().filter_map(|(name, most)| Some(format!("{name}={}", (*most)?)));
    set.collect::<Vec<_>>().join(",")
}

/// A listener for the way out, on the loopback that all share; only this command's profile lets it
/// connect there.
fn way_out(profile: &Profile) -> io::Result<(Option<TcpListener>, Option<u16>)> {
    if !profile.proxied || !profile.sandboxed {
        return Ok((None, None));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((Some(listener), Some(port)))
}

/// Both ends of a terminal of 24 lines and 80 columns.
fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (0, 0);
    let mut size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let none = std::ptr::null_mut();
    // SAFETY: the first two have room for a descriptor each, a name and settings are not asked for,
    // the size lives for the time of the call; both descriptors are owned here and nowhere else.
    unsafe {
        if libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), &raw mut size) == -1 {
            return Err(io::Error::last_os_error());
        }
        let ends = (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave));
        for fd in [master, slave] {
            if libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(ends)
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Lost,
    }
}

/// Runs a command with this process's own descriptors, and waits for its end; `serve` is handed the
/// listener of a command whose network has a way out. There are no doors here.
///
/// # Errors
/// When the program cannot be run.
#[allow(clippy::disallowed_methods, reason = "this package starts processes")]
pub fn run_under(
    command: Command,
    profile: Profile,
    serve: impl FnOnce(TcpListener, Vec<TcpListener>),
) -> Result<Exit, LaunchError> {
    let (listener, port) =
        way_out(&profile).map_err(|error| LaunchError::Launcher(error.to_string()))?;
    let line = held(&command, &profile, port);
    let Some((program, arguments)) = line.split_first() else {
        return Err(LaunchError::Program("no program".to_owned()));
    };
    let mut process = std::process::Command::new(program);
    process.args(arguments).env_clear().envs(environment(&command, port));
    process.current_dir(&command.cwd);
    let cannot = |error: io::Error| {
        LaunchError::Program(format!("{} cannot be run: {error}", program.display()))
    };
    let mut child = process.spawn().map_err(cannot)?;
    if let Some(listener) = listener {
        serve(listener, Vec::new());
    }
    child.wait().map(exit_of).map_err(cannot)
}
