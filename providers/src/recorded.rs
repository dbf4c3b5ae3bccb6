//! Reading what a server sent from a recording: for fixtures, fuzzing and reports of odd servers.

use crate::{
    ModelError,
    events::Flow,
    failure::{self, ServerError},
    sse::SseParser,
    unpacked::Unpacker,
    wires,
};
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use std::sync::Arc;
use troupe_types::{Endpoint, ErrorClass, ModelEvent, ToolSpec};

/// Decodes the bytes of an answer's body as they would be from a server, in these pieces. Returns the events
/// and, where the answer fails, the error.
pub fn read_recorded<'a>(
    endpoint: &Endpoint,
    tools: &[ToolSpec],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<ModelEvent>, Result<(), ModelError>) {
    let Some(form) = wires::form(endpoint.wire) else {
        let text = "a script has no answers that could be recorded";
        return (Vec::new(), Err(ModelError::never(ErrorClass::Config, text)));
    };
    let mut reader = wires::reader(form, &Arc::new(endpoint.clone()), tools);
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

/// Splits the bytes of an event stream, in these pieces, into events: the name of each, often empty, and its
/// data. `Err` with the events so far when one is too large.
pub fn split_recorded<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<RecordedEvent>, Vec<RecordedEvent>> {
    let (mut parser, mut events) = (SseParser::default(), Vec::new());
    let mut sink = |name: &str, data: &[u8]| events.push((name.to_owned(), data.to_vec()));
    let fed = pieces.into_iter().try_for_each(|piece| parser.feed(piece, &mut sink));
    match fed.and_then(|()| parser.finish(&mut sink)) {
        Ok(()) => Ok(events),
        Err(_) => Err(events),
    }
}

/// The name of an event and its data.
pub type RecordedEvent = (String, Vec<u8>);

/// Unpacks a body with this `Content-Encoding`, in these pieces. Returns its bytes as far as they can be read
/// and, where they cannot all be read, why.
pub fn unpack_recorded<'a>(
    encoding: &str,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Result<(), String>) {
    let (mut unpacker, mut bytes) = (Unpacker::new(encoding), Vec::new());
    let mut add = |unpacked: Result<Vec<u8>, _>| {
        unpacked.map(|more| {
            bytes.extend_from_slice(&more);
            more.len()
        })
    };
    let fed = pieces.into_iter().try_for_each(|piece| add(unpacker.feed(piece)).map(|_| ()));
    let done = fed.and_then(|()| {
        while add(unpacker.finish())? > 0 {}
        Ok(())
    });
    (bytes, done.map_err(|error| error.to_string()))
}

/// The error of an answer with this status, these headers and this body, which is no success. Headers that
/// cannot be sent are left out.
#[must_use]
pub fn refuse_recorded(
    endpoint: &Endpoint,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> ModelError {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    let headers = HeaderMap::from_iter(headers);
    failure::refusal(endpoint, status, &headers, &ServerError::from_body(body))
}
