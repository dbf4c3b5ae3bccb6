//! Events: what a front end sees.

use crate::{CallId, Failure, Line, LineError};
use serde::{Deserialize, Serialize};

/// Something that can be read again elsewhere and may therefore be dropped when the reader is slow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Progress {
    /// A running call printed something; the whole is in `<call id>.out` beside the log.
    CallOutput {
        /// The call.
        call: CallId,
        /// Where the text starts in the call's output, in bytes.
        offset: u64,
        /// The text, in whole characters; bytes that are no text are U+FFFD.
        text: String,
    },
    /// An actor of this session was started again after a failure.
    ActorRestarted {
        /// Its path in the tree.
        path: String,
        /// How it ended.
        reason: String,
    },
}

/// What a front end sees, in an unbroken sequence of durable events with progress between them.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A line of the log.
    Durable(Box<Line>),
    /// Progress of a durable event.
    Progress(Progress),
    /// A line of the log that cannot be used.
    Skipped {
        /// Where it starts in the log, in bytes.
        offset: u64,
        /// Why it cannot be used.
        reason: LineError,
    },
    /// The log cannot be written: nothing more is begun. Calls that run are let run to their end, and
    /// their results are recorded where there is room for them. [`Event::Halted`] follows.
    StorageFailed(Failure),
    /// The log cannot be written, and nothing runs any more. The next operation tries again.
    Halted(Failure),
    /// The session was closed. Nothing follows.
    Closed {
        /// Why, where it was not asked for.
        reason: Option<String>,
    },
}
