//! A command that runs, as its parts: the same on every system.

use crate::Exit;
use std::{future::Future, net::TcpListener, pin::Pin, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// What is printed.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A command that runs. Its whole tree is killed when all parts that know it are dropped.
pub struct Started {
    /// Its output, of both streams, in the order of the writes.
    pub output: Output,
    /// Remarks of the sandbox about it: lines of text, none of them the command's.
    pub notes: Output,
    /// What is typed, on a terminal.
    pub input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Resolves when the leader ends.
    pub exit: Pin<Box<dyn Future<Output = Ended> + Send>>,
    /// Kills the whole tree at once and tells how many processes the leader left behind.
    pub kill: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// The listener in its own network, which does not block, where it was asked for.
    pub listener: Option<TcpListener>,
    /// Further listeners there ([`crate::Profile::doors`]), which do not block either.
    pub doors: Vec<TcpListener>,
    /// What is weaker here than its mode promises.
    pub weaker: Vec<String>,
    /// Interrupts what runs in the foreground, as Ctrl-C does.
    pub interrupt: Arc<dyn Fn() + Send + Sync>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How its leader ended.
    pub exit: Exit,
    /// The processor time that it and what it waited for took, where it is known.
    pub busy: Duration,
}
