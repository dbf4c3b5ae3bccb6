//! OpenAI Responses: `POST {base_url}/responses`.

mod body;
mod decode;
mod event;
mod kinds;
mod numbers;
mod slots;
mod wire;

use crate::{ModelError, events::Decode, wires::WireForm};
use std::{collections::HashSet, sync::Arc};
use troupe_types::{Endpoint, ModelRequest};

/// The form of this wire.
pub(crate) struct Responses;

impl WireForm for Responses {
    fn path(&self) -> &'static str {
        "responses"
    }

    fn body(&self, endpoint: &Endpoint, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
        body::body(endpoint, request)
    }

    fn decoder(&self, endpoint: Arc<Endpoint>, custom: HashSet<String>) -> Box<dyn Decode> {
        Box::new(decode::Decoder::new(endpoint, custom))
    }
}
