//! The way back for a call's answer.

use crate::lock;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// Where the answer of a call goes. Cloneable, since handlers take messages by reference; the
/// first answer counts.
pub struct Reply<T>(Arc<Mutex<Option<oneshot::Sender<T>>>>);

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

impl<T> Reply<T> {
    /// A reply and the end it arrives at.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Answers. Handlers use [`crate::Context::reply`], so that a handler that fails says nothing.
    pub fn send(&self, value: T) {
        if let Some(sender) = lock(&self.0).take() {
            drop(sender.send(value));
        }
    }
}
