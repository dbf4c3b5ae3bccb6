//! Reading a recorded answer, without a server: for fixtures, fuzzing and reports of odd servers.

use crate::{
    Endpoint, ModelError, WireApi,
    client::{HttpWire, reader},
    events::Flow,
};
use std::sync::Arc;
use troupe_types::{ModelEvent, ToolSpec};

/// Decodes the bytes of an answer's body as they would be from a server, in these pieces. Returns the events
/// and, where the answer fails, the error.
pub fn read_recorded<'a>(
    endpoint: &Endpoint,
    tools: &[ToolSpec],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<ModelEvent>, Result<(), ModelError>) {
    let wire = match endpoint.wire {
        WireApi::Responses => HttpWire::Responses,
        WireApi::Chat | WireApi::Rehearsal => HttpWire::Chat,
    };
    let mut reader = reader(&Arc::new(endpoint.clone()), wire, tools);
    let mut events = Vec::new();
    let mut last = None;
    for piece in pieces {
        let flow = reader.feed(piece);
        events.extend(std::iter::from_fn(|| reader.events.pop()));
        match flow {
            Ok(Flow::More) => {}
            Ok(Flow::Done(event)) => {
                last = Some(Ok(event));
                break;
            }
            Err(error) => {
                last = Some(Err(error));
                break;
            }
        }
    }
    let last = last.unwrap_or_else(|| reader.end("a recording"));
    events.extend(std::iter::from_fn(|| reader.events.pop()));
    match last {
        Ok(event) => {
            events.push(event);
            (events, Ok(()))
        }
        Err(error) => (events, Err(error)),
    }
}
