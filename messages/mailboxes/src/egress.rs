//! What the egress is told.

use crate::ToolMessage;
use std::{
    net::TcpListener,
    sync::{Mutex, PoisonError},
};
use tokio::sync::oneshot;
use troupe_kit::Mailbox;
use troupe_types::CallId;

/// What the egress is told.
#[derive(Debug)]
pub enum EgressMessage {
    /// Control, from sandbox: serve this command's network. Every decision is told to the tool exec
    /// ([`ToolMessage::HostDecided`]). If the egress dies, its connections and listeners go with it:
    /// the commands that run have no network any more, later ones have.
    Serve {
        /// The listener in the command's network, and when it ends; taken once.
        way: Way,
        /// The call whose command it is.
        call: CallId,
        /// Hosts that are allowed.
        allow: Vec<String>,
        /// Hosts that are refused whatever is allowed.
        deny: Vec<String>,
        /// Who is told.
        tool: Mailbox<ToolMessage>,
    },
}

/// A way out: where a command asks, and a promise that is broken when it has ended.
#[derive(Debug)]
pub struct Way(Mutex<Option<(TcpListener, oneshot::Receiver<()>)>>);

impl Way {
    /// From a listener that does not block, and what is dropped with the command.
    #[must_use]
    pub fn new(listener: TcpListener, ended: oneshot::Receiver<()>) -> Self {
        Self(Mutex::new(Some((listener, ended))))
    }

    /// Takes it out, the first time.
    #[must_use]
    pub fn take(&self) -> Option<(TcpListener, oneshot::Receiver<()>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
