//! What ends a command early: a class, which decides the exit code, and a text for a person.

use std::{borrow::Cow, process::ExitCode};
use troupe_exec::Signals;
use troupe_types::{ErrorClass, Failure};

/// An error at the edge.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The command line cannot be used.
    Usage(String),
    /// Something failed.
    Failed(Failure),
    /// A signal came before anything began.
    Signalled(Signals),
}

impl CliError {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Failed(Failure { class: ErrorClass::Config, message: message.into() })
    }

    pub(crate) fn storage(message: impl Into<String>) -> Self {
        Self::Failed(Failure { class: ErrorClass::Storage, message: message.into() })
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Failed(Failure { class: ErrorClass::Internal, message: message.into() })
    }

    pub(crate) fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Usage(message) => message.into(),
            Self::Failed(failure) => failure.message.as_str().into(),
            Self::Signalled(signals) => signals.message().into(),
        }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(failure) => troupe_exec::exit_code(failure.class),
            Self::Signalled(signals) => signals.code(),
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// How a command ended.
pub(crate) type CliResult = Result<ExitCode, CliError>;
