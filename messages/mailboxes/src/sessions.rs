//! What sessions is told.

use std::{any::Any, sync::Arc};
use troupe_kit::{ChildSpec, Reply};
use troupe_types::SessionId;

/// What sessions is told.
#[derive(Debug)]
pub enum SessionsMessage {
    /// A call, from the library: open this session; if it is open here already, its holder is
    /// told instead.
    Open {
        /// The session.
        session: SessionId,
        /// Its supervisor's spec and the handle that others get, until it is taken.
        company: Box<Found>,
        /// The handle of whoever holds it now.
        reply: Reply<Result<Arc<dyn Any + Send + Sync>, OpenError>>,
    },
    /// A call, from the library: close this session; answered when all its actors are gone.
    Close {
        /// The session.
        session: SessionId,
        /// Answered when it is closed.
        reply: Reply<()>,
    },
    /// Control, from the drop that ended a session's supervisor.
    Ended {
        /// The session.
        session: SessionId,
        /// How it ended, unless as ordered.
        reason: Option<String>,
    },
    /// A call: the sessions that are open in this process.
    List(Reply<Vec<SessionId>>),
}

/// A session's supervisor, ready to be started.
#[derive(Debug, Clone)]
pub struct Found {
    /// The spec; taken once.
    pub spec: Arc<std::sync::Mutex<Option<ChildSpec>>>,
    /// What others are given who open the same session.
    pub handle: Arc<dyn Any + Send + Sync>,
}

/// Why a session is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sessions is gone.
    #[error("no session can be opened: {0}")]
    Closed(String),
}
