//! How an incarnation of a role ended.

use std::{any::Any, fmt};

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It stopped, as ordered or because its work was done.
    Normal,
    /// It was killed, or its runtime went away.
    Killed,
    /// A handler, or a task that it owned, panicked.
    Panicked(String),
    /// It could not start, or said that it cannot go on.
    Failed(String),
    /// A supervisor whose child failed too often.
    GaveUp(String),
}

impl Exit {
    /// Whether it ended by itself or by an order.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("stopped"),
            Self::Killed => f.write_str("killed"),
            Self::Panicked(why) => write!(f, "panicked: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::GaveUp(why) => write!(f, "gave up: {why}"),
        }
    }
}

/// The text of a caught panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "unknown panic".to_owned()
    }
}
