//! What a role is.

use crate::{Context, Life};
use std::{fmt::Debug, future::Future};

/// Why a role could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// A part in the company: state, and plain functions that change it.
///
/// A handler changes the state, and orders sends, tasks and timers from its context. It never
/// waits. What it ordered is carried out when it returns; if it panics, nothing of it is, the
/// state is dropped and the supervisor starts the next incarnation.
pub trait Role: Send + Sized + 'static {
    /// What it is told.
    type Message: Debug + Send + 'static;
    /// What each incarnation is started with.
    type Args: Clone + Send + Sync + 'static;
    /// Whether the message in hand may be given again after a panic, once.
    const IDEMPOTENT: bool = false;

    /// Whether a stop ordered before the state is built ends the role at once, without
    /// [`Role::stop`]. Not for roles with something to wind up that outlives them.
    const STOPS_BEFORE_START: bool = true;

    /// Builds the state. An edge: it may wait, and runs as an owned task.
    ///
    /// # Errors
    /// When it cannot start; counts as a crash.
    fn start(
        args: Self::Args,
        life: Life<Self::Message>,
    ) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// Called once, before the first message.
    fn started(&mut self, _cx: &mut Context<Self::Message>) {}

    /// Handles one message.
    fn handle(&mut self, message: &Self::Message, cx: &mut Context<Self::Message>);

    /// Called instead of [`Role::handle`] for a message that two incarnations panicked on.
    fn set_aside(&mut self, _message: &Self::Message, _cx: &mut Context<Self::Message>) {}

    /// Asked to stop, after the control lane is empty. By default it stops.
    fn stop(&mut self, cx: &mut Context<Self::Message>) {
        cx.stop();
    }
}
