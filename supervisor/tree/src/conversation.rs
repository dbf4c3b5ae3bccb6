//! The handle of an open session.

use crate::{Events, session::Session};
use std::{sync::Arc, time::Duration};
use troupe_conversation::Work;
use troupe_kit::{CallError, Mailbox};
use troupe_messages::{ConversationMessage, SessionsMessage};
use troupe_types::{ErrorClass, Failure, Op, OpId, SessionId, Submission};

/// How long one attempt at an operation may take before it is sent again.
const DEADLINE: Duration = Duration::from_secs(60);

/// An operation that is in the log: it survives whatever happens from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The operation.
    pub op: OpId,
    /// The number of its record.
    pub seq: u64,
}

/// An open session. Clones share it; the session stays open until it is closed.
#[derive(Clone)]
pub struct Conversation {
    pub(crate) session: Arc<Session>,
    pub(crate) sessions: Mailbox<SessionsMessage>,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conversation({})", self.id())
    }
}

/// An operation that made the conversation panic twice.
fn set_aside() -> Failure {
    let message = "the operation made the conversation fail twice and was set aside; it is not in \
                   the session, which goes on";
    Failure { class: ErrorClass::Internal, message: message.to_owned() }
}

impl Conversation {
    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.session.id
    }

    /// Submits an operation, under a new id; returns once it is in the log.
    ///
    /// # Errors
    /// When the log cannot be written, or the session was closed.
    pub async fn submit(&self, op: Op) -> Result<Accepted, Failure> {
        self.submit_as(&Submission::new(op)).await
    }

    /// Submits an operation under an id of the caller's. Sending it again changes nothing.
    ///
    /// # Errors
    /// When the log cannot be written, or the session was closed.
    pub async fn submit_as(&self, submission: &Submission) -> Result<Accepted, Failure> {
        loop {
            let submit = |accepted| ConversationMessage::Submit {
                submission: Box::new(submission.clone()),
                accepted,
            };
            // Given again when the conversation was started again meanwhile: it knows the id if the
            // operation got through.
            match self.session.mailbox.ask(DEADLINE, submit).await {
                Ok(Ok(seq)) => return Ok(Accepted { op: submission.id, seq }),
                Ok(Err(failure)) => return Err(failure),
                Err(CallError::Restarted | CallError::TimedOut) => {}
                Err(CallError::Crashed) => return Err(set_aside()),
                Err(CallError::Closed) => return Err(self.closed()),
            }
        }
    }

    fn closed(&self) -> Failure {
        let why = self.session.why_closed().unwrap_or_else(|| "it was closed".to_owned());
        let message = format!("the session takes no more operations: {why}");
        Failure { class: ErrorClass::Internal, message }
    }

    /// What was left to do when it was opened. A turn that was broken off and a prompt that has
    /// not begun are held until the first operation, and then go on; one that was interrupted or
    /// failed goes on with [`Op::Continue`].
    #[must_use]
    pub fn work(&self) -> Work {
        self.session.opened().work
    }

    /// What happens from the opening of the session on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events_from(self.session.opened().first)
    }

    /// What happened from the record with this number on.
    #[must_use]
    pub fn events_from(&self, seq: u64) -> Events {
        Events::new(&self.session, seq)
    }

    /// Closes the session and waits until all its actors are gone. The log stays, and can be
    /// opened again; a running turn is interrupted there and held.
    pub async fn close(&self) {
        loop {
            let session = self.session.id;
            let close = |reply| SessionsMessage::Close { session, reply };
            match self.sessions.ask(DEADLINE, close).await {
                Ok(()) | Err(CallError::Closed | CallError::Crashed) => return,
                Err(CallError::Restarted | CallError::TimedOut) => {}
            }
        }
    }
}
