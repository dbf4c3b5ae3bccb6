//! Sessions: which sessions are open in this process, and who holds them.
//!
//! The library asks it to open and close; the end of a session's supervisor is told by the drop
//! that closed it. Its register outlives it, as a supervisor's table does: when sessions dies the
//! sessions go on, and the next incarnation finds the register as it was. Bounded by the number of
//! open sessions.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use troupe_kit::{Context, Life, Mailbox, Role, StartError, SupervisorMessage};
use troupe_messages::{Handle, Ready, SessionsMessage};
use troupe_types::SessionId;

/// The sessions that are open, with the handles of their holders.
#[derive(Clone, Default)]
pub struct Register(Arc<Mutex<HashMap<SessionId, (u64, Handle)>>>);

impl Register {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, (u64, Handle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, session: SessionId, opening: u64) {
        let mut open = self.lock();
        if open.get(&session).is_some_and(|(known, _)| *known == opening) {
            let ended = open.remove(&session);
            drop(open);
            drop(ended);
        }
    }

    /// The handle of an open session.
    #[must_use]
    pub fn find(&self, session: SessionId) -> Option<Handle> {
        self.lock().get(&session).map(|(_, handle)| Arc::clone(handle))
    }
}

/// What each incarnation is started with.
#[derive(Clone)]
pub struct Args {
    /// The supervisor of all conversations.
    pub conversations: Mailbox<SupervisorMessage>,
    /// Outlives the role.
    pub register: Register,
}

/// The role; see the crate's documentation.
pub struct Sessions {
    args: Args,
}

impl Role for Sessions {
    type Message = SessionsMessage;
    type Args = Args;
    const IDEMPOTENT: bool = true;

    async fn start(args: Args, _: Life<SessionsMessage>) -> Result<Self, StartError> {
        Ok(Self { args })
    }

    fn handle(&mut self, message: &SessionsMessage, cx: &mut Context<SessionsMessage>) {
        match message {
            SessionsMessage::Open { session, ready, reply } => {
                let known = self.args.register.find(*session);
                let handle = known.unwrap_or_else(|| self.open(*session, ready, cx));
                cx.reply(reply, handle);
            }
            SessionsMessage::Close { session, reply } => {
                let name = child_name(*session).into();
                let message = SupervisorMessage::Remove { name, done: Some(reply.clone()) };
                cx.send(&self.args.conversations, message);
            }
            SessionsMessage::Ended { session, opening, reason } => {
                if let Some(reason) = reason {
                    tracing::error!(%session, reason, "session closed");
                }
                let (register, session, opening) = (self.args.register.clone(), *session, *opening);
                cx.run(move || register.forget(session, opening));
            }
            SessionsMessage::List(reply) => {
                let mut open: Vec<SessionId> = self.args.register.lock().keys().copied().collect();
                open.sort_unstable();
                cx.reply(reply, open);
            }
        }
    }
}

impl Sessions {
    fn open(
        &self,
        session: SessionId,
        ready: &Arc<Ready>,
        cx: &mut Context<SessionsMessage>,
    ) -> Handle {
        let handle = Arc::clone(&ready.handle);
        let (register, conversations) =
            (self.args.register.clone(), self.args.conversations.clone());
        let (ready, known) = (Arc::clone(ready), Arc::clone(&handle));
        cx.run(move || {
            let Some(spec) = ready.take() else { return };
            drop(register.lock().insert(session, (ready.opening, known)));
            // Refused: the spec is dropped, which tells that the session has ended.
            let _refused = conversations.tell(SupervisorMessage::add(spec));
        });
        handle
    }
}

/// The name of a session's supervisor below `conversations`.
#[must_use]
pub fn child_name(session: SessionId) -> String {
    format!("conversation:{session}")
}
