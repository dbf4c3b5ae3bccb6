//! Operations: what a front end asks of a conversation.

use crate::{CallId, Content, Decision, OpId};
use serde::{Deserialize, Serialize};

/// An operation with its id. Sending it again changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Chosen by the sender.
    pub id: OpId,
    /// What is asked.
    pub op: Op,
}

impl Submission {
    /// The operation under a new id.
    #[must_use]
    pub fn new(op: Op) -> Self {
        Self { id: OpId::new(), op }
    }
}

/// What a front end can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Op {
    /// Starts a turn; while one runs, steers it: the text is delivered at the next model boundary.
    Prompt {
        /// What the user says.
        content: Vec<Content>,
        /// A JSON Schema that the final answer has to follow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_schema: Option<serde_json::Value>,
    },
    /// Stops the running turn; nothing if none runs.
    Interrupt,
    /// Answers a question about a call.
    Answer {
        /// The call that was asked about.
        call: CallId,
        /// The answer.
        decision: Decision,
    },
    /// Goes on with the last turn: one that the end of an earlier process broke off, or that was
    /// interrupted or failed. Nothing if it has ended well.
    Continue,
    /// Replaces the earlier context by a summary.
    Compact,
    /// Ends background processes.
    EndProcess {
        /// The one with this number; all without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<u64>,
    },
}

impl Op {
    /// A prompt of plain text.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self::Prompt { content: vec![Content::text(text)], output_schema: None }
    }
}
