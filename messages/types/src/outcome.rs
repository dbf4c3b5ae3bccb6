//! How things end. Every `…Started` has exactly one `…Finished` with one of these.

use serde::{Deserialize, Serialize};

/// How a turn or a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It did what was asked. A command that exits with a non-zero status has completed.
    Completed,
    /// It could not.
    Failed(Failure),
    /// The user stopped it.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
    /// The part that ran it died: whether it took effect is unknown, and it is not repeated.
    Lost,
}

impl Outcome {
    /// A failure.
    pub fn failed(class: ErrorClass, message: impl Into<String>) -> Self {
        Self::Failed(Failure { class, message: message.into() })
    }

    /// Whether it is [`Outcome::Completed`].
    #[must_use]
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed)
    }
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure; decides the exit code.
    pub class: ErrorClass,
    /// What happened and what helps, for a person. Holds no secret.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The configuration cannot be used.
    Config,
    /// The provider refused the credentials, or there are none.
    Auth,
    /// The provider cannot be reached, or its stream keeps breaking.
    Network,
    /// The provider limits the rate.
    RateLimit,
    /// The account's quota or credit is used up.
    Quota,
    /// The context does not fit the model's window.
    ContextWindow,
    /// The provider refused the request as malformed or not allowed.
    InvalidRequest,
    /// The provider reports an error of its own.
    Server,
    /// The model ended its answer and said nothing.
    NoAnswer,
    /// The log cannot be written or read.
    Storage,
    /// A process could not be started, or the sandbox cannot hold it.
    Sandbox,
    /// The policy said no.
    Denied,
    /// The model's call cannot be understood, or the tool failed.
    Tool,
    /// A deadline passed.
    Timeout,
    /// An actor kept failing, or another fault of ours.
    Internal,
}
