//! The protocols over HTTP. A new one is a module with its form and a row of [`WIRES`].

use crate::{ModelError, calls, chat::Chat, events::Decode, reader::Reader, responses::Responses};
use std::{collections::HashSet, sync::Arc};
use troupe_types::{Endpoint, ModelRequest, ToolSpec, Wire};

/// How requests are written on a wire and answers are read.
pub(crate) trait WireForm: Send + Sync {
    /// The last part of the URL.
    fn path(&self) -> &'static str;

    /// The body of a request.
    ///
    /// # Errors
    /// It cannot be written.
    fn body(&self, endpoint: &Endpoint, request: &ModelRequest) -> Result<Vec<u8>, ModelError>;

    /// What reads an answer. `custom`: tools whose arguments are text although they are offered as
    /// functions.
    fn decoder(&self, endpoint: Arc<Endpoint>, custom: HashSet<String>) -> Box<dyn Decode>;
}

/// Every wire that goes over HTTP.
const WIRES: [(Wire, &dyn WireForm); 2] = [(Wire::Responses, &Responses), (Wire::Chat, &Chat)];

/// The form of a wire; `None` for one that does not go over HTTP.
pub(crate) fn form(wire: Wire) -> Option<&'static dyn WireForm> {
    WIRES.iter().find(|(known, _)| *known == wire).map(|(_, form)| *form)
}

/// Reads an answer of this form.
pub(crate) fn reader(form: &dyn WireForm, endpoint: &Arc<Endpoint>, tools: &[ToolSpec]) -> Reader {
    let custom = calls::custom_names(tools);
    Reader::new(endpoint.clone(), form.decoder(endpoint.clone(), custom))
}
