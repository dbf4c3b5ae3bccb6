//! Processes: one whose strings the test pulls, and a real one.

use std::{
    io::PipeWriter,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::unix::pipe::Receiver,
    process::{Child, Command},
    sync::{oneshot, watch},
};
use troupe_messages::{LaunchOrder, ProcessEnd, ProcessExit, Running};

/// A process whose strings the test pulls.
pub(crate) struct Puppet {
    pub(crate) output: Option<DuplexStream>,
    pub(crate) notes: Option<DuplexStream>,
    exit: Option<oneshot::Sender<ProcessExit>>,
    /// How often it was killed.
    pub(crate) kills: Arc<AtomicU32>,
    killed: watch::Receiver<bool>,
    dropped: watch::Receiver<bool>,
    /// What is typed, where it has a terminal.
    pub(crate) typed: Option<DuplexStream>,
    /// How often it was interrupted.
    pub(crate) interrupts: Arc<AtomicU32>,
}

/// Says when the last part of a process is dropped.
struct Guard(watch::Sender<bool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Puppet {
    /// A process that will leave `strays` others behind.
    pub(crate) fn new(strays: u32) -> (Self, Running) {
        let (output, printed) = duplex(64 * 1024);
        let (notes, said) = duplex(64 * 1024);
        let (exit, exited) = oneshot::channel();
        let (tell_killed, killed) = watch::channel(false);
        let (tell_dropped, dropped) = watch::channel(false);
        let kills = Arc::new(AtomicU32::new(0));
        let interrupts = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&interrupts);
        let guard = Arc::new(Guard(tell_dropped));
        let (counted, held) = (Arc::clone(&kills), Arc::clone(&guard));
        let running = Running {
            output: Box::new(printed),
            notes: Box::new(said),
            input: None,
            exit: Box::pin(async move {
                let _held = guard;
                end_of(exited.await.unwrap_or(ProcessExit::Lost))
            }),
            interrupt: Arc::new(move || {
                counting.fetch_add(1, Ordering::SeqCst);
            }),
            aftermath: None,
            weaker: Vec::new(),
            kill: Arc::new(move || {
                let _held = &held;
                counted.fetch_add(1, Ordering::SeqCst);
                tell_killed.send_replace(true);
                strays
            }),
        };
        let (output, notes) = (Some(output), Some(notes));
        let exit = Some(exit);
        let typed = None;
        (Self { output, notes, exit, kills, killed, dropped, typed, interrupts }, running)
    }

    /// The same on a terminal.
    pub(crate) fn on_terminal() -> (Self, Running) {
        let (mut puppet, mut running) = Self::new(0);
        let (typed, input) = duplex(1024);
        puppet.typed = Some(typed);
        running.input = Some(Box::new(input));
        (puppet, running)
    }

    pub(crate) async fn read_typed(&mut self, bytes: usize) -> String {
        let mut text = vec![0; bytes];
        let typed = self.typed.as_mut().unwrap();
        super::stage::within(typed.read_exact(&mut text)).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    pub(crate) async fn print(&mut self, bytes: &[u8]) {
        super::stage::within(self.output.as_mut().unwrap().write_all(bytes)).await.unwrap();
    }

    /// What the sandbox says about it.
    pub(crate) async fn note(&mut self, bytes: &[u8]) {
        super::stage::within(self.notes.as_mut().unwrap().write_all(bytes)).await.unwrap();
    }

    /// Its leader ends; its outputs stay open, as they do while children live.
    pub(crate) fn exit(&mut self, exit: ProcessExit) {
        let _gone = self.exit.take().unwrap().send(exit);
    }

    /// Everything of it ends.
    pub(crate) fn end(&mut self, exit: ProcessExit) {
        (self.output, self.notes) = (None, None);
        self.exit(exit);
    }

    /// Waits until it is killed.
    pub(crate) async fn killed(&mut self) {
        super::stage::within(self.killed.wait_for(|killed| *killed)).await.unwrap();
    }

    /// Waits until nobody holds it any more.
    pub(crate) async fn dropped(&mut self) {
        super::stage::within(self.dropped.wait_for(|dropped| *dropped)).await.unwrap();
    }
}

fn end_of(exit: ProcessExit) -> ProcessEnd {
    ProcessEnd { exit, busy: std::time::Duration::ZERO }
}

/// Starts what was ordered, for real.
#[expect(clippy::disallowed_methods, reason = "a test that stands in for sandbox")]
pub(crate) fn real(order: &LaunchOrder) -> Running {
    let (output, to_output) = pipe();
    let child = Command::new(&order.argv[0])
        .args(&order.argv[1..])
        .current_dir(&order.cwd)
        .stdin(Stdio::null())
        .stdout(to_output.try_clone().unwrap())
        .stderr(to_output)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (kill, order_to_kill) = watch::channel(false);
    Running {
        output: Box::new(output),
        notes: Box::new(tokio::io::empty()),
        input: None,
        exit: Box::pin(async move { end_of(exit_of(child, order_to_kill).await) }),
        interrupt: Arc::new(|| {}),
        aftermath: None,
        weaker: Vec::new(),
        kill: Arc::new(move || {
            kill.send_replace(true);
            0
        }),
    }
}

/// A pipe: its end to read from, and the one that a command gets for both streams.
fn pipe() -> (Receiver, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Receiver::from_owned_fd(reader.into()).unwrap(), writer)
}

async fn exit_of(mut child: Child, mut order_to_kill: watch::Receiver<bool>) -> ProcessExit {
    tokio::select! {
        status = child.wait() => ProcessExit::Code(status.unwrap().code().unwrap()),
        _ = order_to_kill.wait_for(|kill| *kill) => ProcessExit::Lost,
    }
}
