//! OpenAI Chat Completions: `POST {base_url}/chat/completions`.

pub(crate) mod body;
pub(crate) mod decode;
mod partial;

/// The kind of an opaque item that holds further members of the tool call after it (Google's thought
/// signatures).
pub(crate) const CALL_EXTRA: &str = "tool_call";
