//! The host's side: the launcher as a child process, and the commands it starts.

use super::{
    alone::{exit_of, explain},
    sys,
    wire::{self, Report},
};
use crate::{
    Ended, Exit, LAUNCHER_ARG, LaunchError, Started,
    profile::{Command, Profile},
    terminal::TerminalEnd,
};
use std::{
    io,
    io::Write,
    net::{Shutdown, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::{UnixStream, unix::pipe},
};

/// Room in a command's pipes, in bytes: fewer wake-ups for one that floods.
const PIPE: libc::c_int = 256 * 1024;
/// What the init is told to send to its leader.
const INTERRUPT: u8 = libc::SIGINT as u8;

/// The launcher of a host's commands. Started when it is first needed, and again if it died.
pub struct Launcher {
    program: PathBuf,
    link: Mutex<Option<Link>>,
}

struct Link {
    /// Dropped first: its end ends the launcher.
    socket: Option<OwnedFd>,
    child: Child,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket = None;
        // It takes down what lives and ends; then nothing is left behind.
        let _ended = self.child.wait();
    }
}

impl Default for Launcher {
    fn default() -> Self {
        Self::new("/proc/self/exe")
    }
}

impl Launcher {
    /// A launcher that is this program, which calls [`crate::run_if_launcher`] first.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), link: Mutex::new(None) }
    }

    /// Starts the launcher if it does not run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn warm(&self) -> Result<(), LaunchError> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        self.running(&mut link).map(|_| ())
    }

    fn running<'a>(&self, link: &'a mut Option<Link>) -> Result<&'a Link, LaunchError> {
        let ended = |link: &mut Link| !matches!(link.child.try_wait(), Ok(None));
        if link.as_mut().is_some_and(ended) {
            *link = None;
        }
        match link {
            Some(link) => Ok(link),
            None => Ok(link.insert(self.spawn()?)),
        }
    }

    fn spawn(&self) -> Result<Link, LaunchError> {
        let failed = |error: io::Error| LaunchError::Launcher(error.to_string());
        let (ours, theirs) = sys::socket_pair(libc::SOCK_SEQPACKET).map_err(failed)?;
        #[expect(clippy::disallowed_methods, reason = "this package starts processes")]
        let mut command = std::process::Command::new(&self.program);
        command.arg(LAUNCHER_ARG).env_clear().stdin(Stdio::from(theirs));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(soft) = super::limits::for_commands() {
            command.arg(soft.to_string());
        }
        let child = command.spawn().map_err(failed)?;
        Ok(Link { socket: Some(ours), child })
    }

    /// The launcher's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.as_ref().map(|link| link.child.id())
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When it cannot be held or run, or the launcher died with it in hand.
    pub async fn launch(
        &self,
        command: &Command,
        profile: &Profile,
    ) -> Result<Started, LaunchError> {
        let failed = |error: io::Error| LaunchError::Launcher(error.to_string());
        let bytes = wire::encode(command, profile);
        let (control, theirs) = sys::socket_pair(libc::SOCK_STREAM).map_err(failed)?;
        // One pipe for both streams: only so is what was written first also read first.
        let (output, to_output) = sys::pipe().map_err(failed)?;
        let (notes, to_notes) = sys::pipe().map_err(failed)?;
        sys::widen_pipe(output.as_fd(), PIPE);
        for end in [&output, &notes] {
            sys::set_nonblocking(end.as_fd()).map_err(failed)?;
        }
        self.send(&bytes, [theirs.as_fd(), to_output.as_fd(), to_notes.as_fd()])?;
        drop((theirs, to_output, to_notes));
        let control = StdStream::from(control);
        control.set_nonblocking(true).map_err(failed)?;
        let killer = Arc::new(control.try_clone().map_err(failed)?);
        let control = UnixStream::from_std(control).map_err(failed)?;
        let (report, fds) = first_report(&control).await.map_err(|_| LaunchError::Lost)?;
        let mut fds = fds.into_iter();
        let (terminal, listener, weaker) = match report {
            Report::Started(terminal, listener, level) => (
                if terminal { fds.next() } else { None },
                if listener { fds.next() } else { None },
                level.weaker(profile),
            ),
            _ => (None, None, Vec::new()),
        };
        if let Report::Failed(step, errno) = report {
            return Err(explain(command, (step, io::Error::from_raw_os_error(errno))));
        }
        let strays = Arc::new(AtomicU32::new(1));
        let exit = Box::pin(ended(control, Arc::clone(&strays)));
        let interrupt = interrupter(&killer);
        let kill = move || {
            // Its init sees the end and takes the tree down.
            let _gone = killer.shutdown(Shutdown::Both);
            strays.load(Ordering::Acquire)
        };
        let mut started = Started {
            output: Box::new(pipe::Receiver::from_owned_fd(output).map_err(failed)?),
            notes: Box::new(pipe::Receiver::from_owned_fd(notes).map_err(failed)?),
            input: None,
            exit,
            kill: Arc::new(kill),
            interrupt,
            listener: listener.map(TcpListener::from),
            doors: fds.map(TcpListener::from).collect(),
            weaker,
        };
        for listener in started.listener.iter().chain(&started.doors) {
            listener.set_nonblocking(true).map_err(failed)?;
        }
        if let Some(master) = terminal {
            let terminal = TerminalEnd::new(master).map_err(failed)?;
            started.input = Some(Box::new(terminal.try_clone().map_err(failed)?));
            started.output = Box::new(terminal);
        }
        Ok(started)
    }

    /// Hands a request over; once more if the launcher was dead before it got it.
    fn send(&self, bytes: &[u8], fds: [std::os::fd::BorrowedFd<'_>; 3]) -> Result<(), LaunchError> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = LaunchError::Lost;
        for _ in 0..2 {
            let running = self.running(&mut link)?;
            let Some(socket) = &running.socket else { continue };
            match wire::request(socket.as_fd(), bytes, fds) {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    return Err(LaunchError::Program(format!(
                        "the command, its environment and the paths of its sandbox have {} KiB; {} \
                         KiB is the most that can be started",
                        bytes.len() / 1024,
                        wire::MAX_REQUEST / 1024
                    )));
                }
                Err(error) => last = LaunchError::Launcher(error.to_string()),
            }
            *link = None;
        }
        Err(last)
    }
}

/// The first report of an init, with the descriptors that came along.
async fn first_report(control: &UnixStream) -> io::Result<(Report, Vec<OwnedFd>)> {
    let mut bytes = [0; Report::BYTES];
    loop {
        control.readable().await?;
        let received =
            control.try_io(Interest::READABLE, || wire::receive_some(control.as_fd(), &mut bytes));
        match received {
            Ok((Report::BYTES, fds)) => return Ok((Report::read(bytes), fds)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Reports are written as a whole.
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error),
        }
    }
}

/// How the leader ends.
async fn ended(mut control: UnixStream, strays: Arc<AtomicU32>) -> Ended {
    let mut bytes = [0; Report::BYTES];
    let report = control.read_exact(&mut bytes).await.map(|_| Report::read(bytes));
    match report {
        Ok(Report::Ended(status, left, busy)) => {
            strays.store(left.unsigned_abs(), Ordering::Release);
            let busy = Duration::from_millis(u64::from(busy.unsigned_abs()));
            Ended { exit: exit_of(status), busy }
        }
        _ => Ended { exit: Exit::Lost, busy: Duration::ZERO },
    }
}

fn interrupter(control: &Arc<StdStream>) -> Arc<dyn Fn() + Send + Sync> {
    let control = Arc::downgrade(control);
    Arc::new(move || {
        if let Some(control) = control.upgrade() {
            // A command that is gone needs none.
            let _gone = (&*control).write_all(&[INTERRUPT]);
        }
    })
}
