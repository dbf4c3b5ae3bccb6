//! OpenAI Responses: `POST {base_url}/responses`.

pub(crate) mod body;
pub(crate) mod decode;
mod slots;
mod wire;
