//! What owned tasks and threads hold of their role.

use crate::{
    Mailbox, Refused,
    place::{Mute, Place},
    queue::{Envelope, Lane},
};
use std::{any::Any, sync::Arc};

/// Held by a role's tasks: they speak through it, and the place is taken while one of them lives.
pub struct Life<M: Send + 'static>(pub(crate) Arc<Place<M>>);

impl<M: Send + 'static> Clone for Life<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static> Life<M> {
    /// The role's own mailbox, to be handed on.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox<M> {
        Mailbox(Arc::clone(self.0.shared()))
    }

    /// Whether the role still listens to this task.
    #[must_use]
    pub fn alive(&self) -> bool {
        !self.0.mute.is_muted()
    }

    /// Tells the role, in its control lane.
    ///
    /// # Errors
    /// When the role has ended or is closed.
    pub fn tell(&self, message: M) -> Result<(), Refused> {
        self.tell_to(&self.mailbox(), message)
    }

    /// Tells another role, in its control lane.
    ///
    /// # Errors
    /// When this role has ended, or the other is closed.
    pub fn tell_to<N: Send + 'static>(
        &self,
        other: &Mailbox<N>,
        message: N,
    ) -> Result<(), Refused> {
        speak(&self.0.mute, other, Lane::Control, Mailbox::envelope(message))
    }

    /// Offers to another role's bulk lane, waiting for a permit.
    ///
    /// # Errors
    /// When this role has ended, or the other is closed.
    pub async fn offer_to<N: Send + 'static>(
        &self,
        other: &Mailbox<N>,
        message: N,
    ) -> Result<(), Refused> {
        let permit = other.permit().await?;
        let envelope = Envelope { permit: Some(permit), ..Mailbox::envelope(message) };
        speak(&self.0.mute, other, Lane::Bulk, envelope)
    }

    /// Keeps a resource until the role and all its tasks are gone.
    pub fn keep(&self, resource: impl Any + Send) {
        self.0.keep(Box::new(resource));
    }
}

/// Held by a role's threads. A thread cannot be ended, only muted: what it holds needs its own
/// lock, and the place does not wait for it.
pub struct ThreadLife<M: Send + 'static> {
    pub(crate) mailbox: Mailbox<M>,
    pub(crate) mute: Arc<Mute>,
}

impl<M: Send + 'static> ThreadLife<M> {
    /// Whether the role still listens to this thread.
    #[must_use]
    pub fn alive(&self) -> bool {
        !self.mute.is_muted()
    }

    /// Tells the role, in its control lane.
    ///
    /// # Errors
    /// When the role has ended or is closed.
    pub fn tell(&self, message: M) -> Result<(), Refused> {
        speak(&self.mute, &self.mailbox, Lane::Control, Mailbox::envelope(message))
    }
}

/// Sends unless muted. A message that is refused is dropped when the mute is free again: its drop
/// may speak as well.
fn speak<M: Send + 'static>(
    mute: &Mute,
    to: &Mailbox<M>,
    lane: Lane,
    envelope: Envelope<M>,
) -> Result<(), Refused> {
    match mute.unless_muted(|| to.try_push(lane, envelope)) {
        Some(None) => Ok(()),
        Some(Some(_)) | None => Err(Refused),
    }
}
