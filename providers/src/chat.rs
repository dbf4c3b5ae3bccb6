//! OpenAI Chat Completions: `POST {base_url}/chat/completions`.

mod body;
mod decode;
mod partial;

use crate::{ModelError, events::Decode, wires::WireForm};
use std::{collections::HashSet, sync::Arc};
use troupe_types::{Endpoint, ModelRequest};

/// The form of this wire.
pub(crate) struct Chat;

impl WireForm for Chat {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn body(&self, endpoint: &Endpoint, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
        body::body(endpoint, request)
    }

    fn decoder(&self, endpoint: Arc<Endpoint>, custom: HashSet<String>) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(endpoint, custom))
    }
}
