//! Items: what the model's context is made of.

use crate::{CallId, Outcome};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A piece of content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image, as a `data:` URL or an `https:` URL.
    Image {
        /// The URL.
        url: String,
    },
}

impl Content {
    /// Text content.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The text, if this is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            Self::Image { .. } => None,
        }
    }
}

/// What a provider speaks, and the form of the opaque parts that came from it; these are sent back on the
/// same wire only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// OpenAI Responses (`POST {base_url}/responses`).
    #[default]
    Responses,
    /// OpenAI Chat Completions (`POST {base_url}/chat/completions`).
    Chat,
    /// A script file, played by the program itself; no network.
    Rehearsal,
}

/// A part of a provider's answer that is kept to the byte and sent back unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    /// Where it came from.
    pub wire: Wire,
    /// The JSON text as received.
    pub json: String,
}

/// Who an injected context message speaks as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The host's own instructions.
    Developer,
    /// The user.
    User,
}

/// What an injected context message is about; front ends hide these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextKind {
    /// What the model may do, and who is asked.
    Permissions,
    /// The user's configured developer instructions.
    Developer,
    /// `AGENTS.md` files.
    ProjectDocs,
    /// Directory, shell, date.
    Environment,
    /// The user stopped a turn.
    Interrupted,
    /// Something else the host has to say.
    Note,
}

/// One element of the model's context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// What the user said.
    User(UserItem),
    /// What the host adds.
    Context(ContextItem),
    /// What the model said.
    Assistant(AssistantItem),
    /// What the model thought.
    Reasoning(ReasoningItem),
    /// A tool the model wants run.
    Call(CallItem),
    /// What came of a call.
    Output(OutputItem),
    /// The summary that replaced earlier items.
    Summary(SummaryItem),
    /// A part of an answer that is not understood, kept verbatim.
    Opaque(OpaqueItem),
}

/// What the user said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserItem {
    /// Text and images, in order.
    pub content: Vec<Content>,
}

/// A message the host adds to the context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextItem {
    /// What it is about.
    pub kind: ContextKind,
    /// Who it speaks as.
    pub role: Role,
    /// Its text.
    pub text: String,
    /// The files it was made of (absolute), in the order of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
}

/// What the model said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssistantItem {
    /// The provider's id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The text.
    pub text: String,
    /// `commentary` or `final_answer`, where the provider tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The stream broke here: the text is what had arrived.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

impl AssistantItem {
    /// Whether a reader would see anything: white space, control and zero-width characters alone
    /// say nothing.
    #[must_use]
    pub fn says_something(&self) -> bool {
        says_something(&self.text)
    }
}

/// Whether a reader would see anything of this text.
#[must_use]
pub fn says_something(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(c))
}

/// Characters of no width that are neither white space nor control characters to Unicode.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What the model thought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasoningItem {
    /// The provider's id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Summary parts, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summary: Vec<String>,
    /// Raw reasoning parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<String>,
    /// The provider's whole part, to be sent back verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Opaque>,
}

/// The arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallInput {
    /// JSON text as the model wrote it, possibly broken.
    Json(String),
    /// Free text (a custom tool).
    Text(String),
}

impl CallInput {
    /// The text as the model wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Json(text) | Self::Text(text) => text,
        }
    }
}

/// A tool the model wants run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallItem {
    /// Our id.
    pub call: CallId,
    /// The id the model gave; outputs are sent back under it. May be empty or repeated.
    pub wire_id: String,
    /// The provider's item id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool's name as the model wrote it.
    pub tool: String,
    /// The arguments.
    pub input: CallInput,
    /// The provider's part that this call is, or the members of it that have no place here: sent back
    /// verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Opaque>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputItem {
    /// The call it answers.
    pub call: CallId,
    /// How the call ended.
    pub outcome: Outcome,
    /// What the model is shown.
    pub content: Vec<Content>,
    /// The exit status of a command that ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The summary that replaced earlier items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryItem {
    /// The summary, as the model is shown it.
    pub text: String,
}

/// A part of an answer that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpaqueItem {
    /// The provider's name for its kind.
    pub kind: String,
    /// The part, to be sent back verbatim.
    pub opaque: Opaque,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
