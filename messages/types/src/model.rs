//! What is asked of a model and what comes back, in no provider's own form.

use crate::{Item, RequestId, SessionId, Usage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a tool's arguments are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToolKind {
    /// JSON after a schema.
    Function {
        /// The JSON Schema, as text.
        schema: String,
    },
    /// Free text; on wires without custom tools, a function with one string `input`.
    Custom {
        /// A Lark grammar of the text.
        grammar: String,
    },
}

/// What a tool promises of each of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traits {
    /// Changes nothing.
    ReadOnly,
    /// Runs a command: what it may change is known once the call has been looked at.
    Command,
    /// May change something.
    Effects,
}

/// What a call may change, which decides what runs beside it. The order is from less to more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nothing: it runs beside others that change nothing.
    Read,
    /// Whatever its command changes: it runs alone, unless the user lets commands run side by side.
    Command,
    /// Files, by a patch, or something that cannot be told: it runs alone.
    #[default]
    Exclusive,
}

impl Access {
    /// The default, which records leave out.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn is_exclusive(&self) -> bool {
        *self == Self::Exclusive
    }
}

/// A tool as the model is told about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does and how to use it.
    pub description: String,
    /// How its arguments are written.
    pub kind: ToolKind,
    /// What it promises.
    pub traits: Traits,
}

/// One request to a model.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The session; also the prompt-cache key.
    pub session: SessionId,
    /// This request.
    pub request: RequestId,
    /// The model's name.
    pub model: String,
    /// The base instructions.
    pub instructions: Arc<str>,
    /// The context, normalised: every call has its output right in it.
    pub items: Vec<Arc<Item>>,
    /// The tools offered; empty offers none.
    pub tools: Arc<[ToolSpec]>,
    /// Reasoning effort.
    pub effort: Option<String>,
    /// Reasoning summaries.
    pub summary: Option<String>,
    /// Verbosity.
    pub verbosity: Option<String>,
    /// Where the server is to cut the answer, in tokens.
    pub max_output_tokens: Option<u64>,
    /// A JSON Schema for the final answer.
    pub output_schema: Option<serde_json::Value>,
}

/// What a model's stream says, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// The server accepted the request and answers.
    Opened {
        /// The provider's id of the response.
        response: Option<String>,
    },
    /// More text of the item at `index` (its place in the answer, from 0).
    Text {
        /// The item's place in the answer.
        index: u32,
        /// The text.
        delta: String,
    },
    /// More reasoning of the item at `index`.
    Reasoning {
        /// The item's place in the answer.
        index: u32,
        /// The text.
        delta: String,
    },
    /// The item at `index` is complete: an assistant, reasoning, call or opaque item.
    ItemDone {
        /// The item's place in the answer.
        index: u32,
        /// The item.
        item: Item,
    },
    /// The answer is complete. Nothing follows.
    Completed {
        /// Tokens, where the provider tells.
        usage: Option<Usage>,
        /// `Some(false)`: the model wants to go on although it called no tool.
        end_turn: Option<bool>,
    },
}
