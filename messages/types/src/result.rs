//! Results of calls, as data. Each reader makes its own text of it, at the end: the model's is
//! [`CallFinished::for_model`](crate::CallFinished::for_model), those for people and for programs
//! are the front ends'.

use crate::Content;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The result of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallResult {
    /// Nothing: the outcome says all there is to say.
    #[default]
    Nothing,
    /// The content that a tool made for the model.
    Content {
        /// Text and images, in order.
        content: Vec<Content>,
    },
    /// A command ran, or was read again.
    Command(Box<CommandResult>),
    /// It was to write files, and was refused.
    NotWritten {
        /// Why.
        why: NotWritten,
    },
}

/// Why a file could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotWritten {
    /// It is outside the folders that the session may write to.
    Outside,
    /// The session's mode is read-only.
    ReadOnly,
}

impl CallResult {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Content { content: vec![Content::text(text)] }
    }

    /// The command's part, if it is one.
    #[must_use]
    pub fn command(&self) -> Option<&CommandResult> {
        match self {
            Self::Command(result) => Some(result),
            Self::Nothing | Self::Content { .. } | Self::NotWritten { .. } => None,
        }
    }

    /// Why the call could not write a file, where it could not.
    #[must_use]
    pub fn not_written(&self) -> Option<NotWritten> {
        match self {
            Self::Command(result) => result.not_written,
            Self::NotWritten { why } => Some(*why),
            Self::Nothing | Self::Content { .. } => None,
        }
    }
}

/// The result of a command, or of reading one that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// How it ended, or that it has not.
    pub end: CommandEnd,
    /// How long it was waited for, in milliseconds.
    pub wall_ms: u64,
    /// Its output since it was last read.
    pub output: Printed,
    /// The process in the background that was read; none for a call that started one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_from: Option<u64>,
    /// The place of a long output as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Processes it left behind, which were ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strays: u32,
    /// Remarks of the sandbox: refusals, and things the command made that other programs obey.
    /// Each is a sentence without a full stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sandbox: Vec<String>,
    /// Why the sandbox kept it from writing a file, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_written: Option<NotWritten>,
    /// Hosts that it was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_hosts: Vec<RefusedHost>,
    /// The most tokens of output that the model wants, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_tokens: Option<usize>,
}

impl CommandResult {
    /// With nothing more to say than how it ended and what it printed.
    #[must_use]
    pub fn new(end: CommandEnd, wall_ms: u64, output: Printed) -> Self {
        Self {
            end,
            wall_ms,
            output,
            read_from: None,
            kept: None,
            strays: 0,
            sandbox: Vec::new(),
            not_written: None,
            refused_hosts: Vec::new(),
            most_tokens: None,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum CommandEnd {
    /// By itself, with this status.
    Exited {
        /// The status.
        code: i32,
    },
    /// By a signal.
    Signalled {
        /// Its number.
        signal: i32,
    },
    /// Its time was up; it was ended.
    TimedOut {
        /// The time it had, in milliseconds.
        limit_ms: u64,
    },
    /// The user stopped it.
    Cancelled,
    /// It goes on in the background.
    Running {
        /// Its number in the session.
        process: u64,
    },
    /// It is gone, nobody knows how.
    Lost,
}

impl CommandEnd {
    /// Its own exit status, as a shell gives it: 128 + n after signal n. None for one that did not
    /// end by itself.
    #[must_use]
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(code),
            Self::Signalled { signal } => Some(128 + signal),
            Self::TimedOut { .. } | Self::Cancelled | Self::Running { .. } | Self::Lost => None,
        }
    }
}

/// An output as text: all of it, or its start and its end. Characters are whole; bytes that are no
/// text are U+FFFD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Printed {
    /// All of it, or its start.
    pub head: String,
    /// The bytes left out behind the start.
    #[serde(skip_serializing_if = "is_nothing")]
    pub omitted: u64,
    /// Its end, where something is left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// The lines of the whole; an incomplete last line counts.
    pub lines: u64,
}

/// The place of a command's whole output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
pub enum Kept {
    /// All of it, in this file.
    Whole {
        /// The file.
        path: PathBuf,
    },
    /// Its start, in this file.
    Start {
        /// The file.
        path: PathBuf,
        /// So much of it, in bytes: the most that is kept, or less where the rest could not be.
        bytes: u64,
        /// Why the rest could not be kept; none where there was more than is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nowhere.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A host that a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedHost {
    /// The host, as it was asked for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Why.
    pub reason: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_nothing(value: &u64) -> bool {
    *value == 0
}
