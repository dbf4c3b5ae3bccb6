//! What sandbox is told.

use crate::ToolMessage;
use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use troupe_kit::Mailbox;
use troupe_types::{CallId, ErrorClass, NotWritten, SandboxSettings};

/// What sandbox is told.
#[derive(Debug)]
pub enum SandboxMessage {
    /// Control, from a tool exec: start this process. Answered by [`ToolMessage::Launched`]. The
    /// launch is a task that begins when the handler commits: a crash before that launches
    /// nothing, so the order may be given again; a crash after it answers `Lost`.
    Launch {
        /// What to start.
        order: Box<LaunchOrder>,
        /// Who gets the process.
        tool: Mailbox<ToolMessage>,
    },
    /// Control, from a conversation: be ready to launch, a reply is awaited.
    Warm,
}

/// A process to start.
#[derive(Debug, Clone)]
pub struct LaunchOrder {
    /// The call it is for.
    pub call: CallId,
    /// A shell, its options, and the script.
    pub argv: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// The session's workspace: what is writable, and what protected names are looked up under.
    pub workspace: PathBuf,
    /// How far it may reach.
    pub sandbox: SandboxSettings,
    /// The session's own folder for long outputs: readable, where other sessions' are not.
    pub folder: PathBuf,
    /// The session, told to the process as `TROUPE_SESSION_ID`.
    pub session: String,
    /// On a terminal of its own.
    pub terminal: bool,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessEnd {
    /// How its leader ended.
    pub exit: ProcessExit,
    /// The processor time that it and what it waited for took, where it is known.
    pub busy: Duration,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessExit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The launcher died: it was killed, its status is unknown.
    Lost,
}

/// A running process. Dropping it kills the whole tree.
pub struct Running {
    /// Its output, of both streams, in the order of the writes.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Remarks of the sandbox about it: lines of text, none of them the command's.
    pub notes: Box<dyn AsyncRead + Send + Unpin>,
    /// What is typed, on a terminal.
    pub input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Resolves when the leader exits.
    pub exit: Pin<Box<dyn Future<Output = ProcessEnd> + Send>>,
    /// Kills the whole tree at once; never waits. Returns how many processes there were.
    pub kill: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Interrupts it, as Ctrl-C does; never waits.
    pub interrupt: Arc<dyn Fn() + Send + Sync>,
    /// What there is to say when it has ended, of its status and the last of its output: what the
    /// sandbox refused, what it made. Reads files: for a thread that may wait. None for one that is
    /// not held.
    pub aftermath: Option<Remarks>,
    /// What is weaker here than its session's mode promises.
    pub weaker: Vec<String>,
}

/// Tells what there is to say of a process that has ended, by its status and its last output.
pub type Remarks = Arc<dyn Fn(Option<i32>, &str) -> Remarked + Send + Sync>;

/// What there is to say of a process that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarked {
    /// Sentences without a full stop.
    pub sentences: Vec<String>,
    /// Why it could not write a file, where the sandbox kept it from that.
    pub not_written: Option<NotWritten>,
}

/// A process on its way to the tool exec; taken once. Nobody who does not take it leaves it
/// running.
pub struct Process(Mutex<Option<Running>>);

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

impl Process {
    /// Wraps a process.
    #[must_use]
    pub fn new(running: Running) -> Self {
        Self(Mutex::new(Some(running)))
    }

    /// Takes it out, the first time.
    #[must_use]
    pub fn take(&self) -> Option<Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The answer to a launch.
pub type LaunchAnswer = Result<Process, LaunchRefusal>;

/// Why there is no process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchRefusal {
    /// It could not be started, and did not run.
    Refused {
        /// The kind of failure.
        class: ErrorClass,
        /// What happened and what helps.
        message: String,
    },
    /// Sandbox died while it started it: it may have run.
    Lost,
}
