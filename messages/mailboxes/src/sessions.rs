//! What sessions is told.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};
use troupe_kit::{ChildSpec, Reply};
use troupe_types::SessionId;

/// What sessions is told.
#[derive(Debug)]
pub enum SessionsMessage {
    /// A call, from the library: open this session; if it is open here already, its holder's
    /// handle is the answer. If sessions dies first, the caller asks again.
    Open {
        /// The session.
        session: SessionId,
        /// What is started, unless the session is open.
        ready: Arc<Ready>,
        /// The handle of whoever holds the session now.
        reply: Reply<Handle>,
    },
    /// A call, from the library: close this session; answered when all its actors are gone.
    Close {
        /// The session.
        session: SessionId,
        /// Answered when it is closed.
        reply: Reply<()>,
    },
    /// Control, from the drop that closed a session's supervisor for good.
    Ended {
        /// The session.
        session: SessionId,
        /// Which opening of it: another one's end is not the session's.
        opening: u64,
        /// Why, where it was not asked for.
        reason: Option<String>,
    },
    /// A call: the sessions that are open in this process.
    List(Reply<Vec<SessionId>>),
}

/// What everybody who opens a session is given; the library knows its type.
pub type Handle = Arc<dyn Any + Send + Sync>;

/// A session's supervisor, ready to be started.
#[derive(Debug)]
pub struct Ready {
    spec: Mutex<Option<ChildSpec>>,
    /// The number of this opening, different for each.
    pub opening: u64,
    /// What whoever opens the session is given.
    pub handle: Handle,
}

impl Ready {
    /// A supervisor that has not been started, and the handle to what it will look after.
    #[must_use]
    pub fn new(spec: ChildSpec, opening: u64, handle: Handle) -> Self {
        Self { spec: Mutex::new(Some(spec)), opening, handle }
    }

    /// Takes the spec, the first time.
    #[must_use]
    pub fn take(&self) -> Option<ChildSpec> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
