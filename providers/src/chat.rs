//! OpenAI Chat Completions: `POST {base_url}/chat/completions`.

pub(crate) mod body;
pub(crate) mod decode;
mod partial;
