//! OpenAI Responses: `POST {base_url}/responses`.

pub(crate) mod body;
pub(crate) mod decode;
mod event;
mod kinds;
mod numbers;
mod slots;
mod wire;
