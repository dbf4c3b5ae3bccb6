//! What owned tasks and threads hold of their role.

use crate::{
    Mailbox, Refused,
    place::{Mute, Place},
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
        self.0.mute.unless_muted(|| other.tell(message)).unwrap_or(Err(Refused))
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
        self.0.mute.unless_muted(|| other.push_bulk(message, permit)).unwrap_or(Err(Refused))
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
        self.mute.unless_muted(|| self.mailbox.tell(message)).unwrap_or(Err(Refused))
    }
}
