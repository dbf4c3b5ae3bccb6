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

/// What a way out is made of.
#[derive(Debug)]
pub struct WayParts {
    /// Where a command asks for hosts.
    pub proxy: TcpListener,
    /// Addresses of its own loopback that lead to the host's.
    pub doors: Vec<TcpListener>,
    /// Broken when the command has ended.
    pub ended: oneshot::Receiver<()>,
}

/// A way out of a command's network; its listeners do not block.
#[derive(Debug)]
pub struct Way(Mutex<Option<WayParts>>);

impl Way {
    /// From its parts.
    #[must_use]
    pub fn new(parts: WayParts) -> Self {
        Self(Mutex::new(Some(parts)))
    }

    /// Takes it out, the first time.
    #[must_use]
    pub fn take(&self) -> Option<WayParts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
