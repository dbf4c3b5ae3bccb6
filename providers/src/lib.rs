//! Models as streams: one trait, two wires (OpenAI Responses and Chat Completions), and a script player.
//!
//! A [`Provider`] turns a [`ModelRequest`] into a stream of [`ModelEvent`]s: one attempt a call,
//! no retries inside, and dropping the stream ends the HTTP request at once. The wires read what
//! real servers send, not only what the specification says. No task is spawned and nothing is
//! kept between requests but connections. Bounds: one event of a stream is at most 64 MiB.

mod asked;
mod calls;
mod chat;
mod client;
mod digest;
mod discovery;
mod error;
mod events;
mod exchange;
mod failure;
mod file;
mod http;
mod json;
mod lead;
mod plain;
mod proxy;
mod reader;
mod recorded;
mod rehearsal;
mod responses;
mod sse;
#[cfg(test)]
mod tests;
mod unpacked;
mod usage;
mod wires;

pub use asked::{Asked, ask_for_models};
pub use discovery::{Found, LOCAL_SERVERS, discover};
pub use error::{ConnectError, ModelError, Retry, backoff, random};
pub use http::{Http, HttpOptions};
pub use proxy::Proxies;
pub use recorded::{
    RecordedEvent, read_recorded, refuse_recorded, split_recorded, unpack_recorded,
};

use client::Client;
use futures_util::stream::BoxStream;
use rehearsal::Rehearsal;
use std::sync::Arc;
pub use troupe_types::{Endpoint, Secret, Wire};
use troupe_types::{ModelEvent, ModelRequest};

/// The events of one attempt. After an error or [`ModelEvent::Completed`] nothing follows.
pub type EventStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// A server of models.
pub trait Provider: Send + Sync {
    /// One attempt at a request. Nothing happens before the stream is first polled; dropping it
    /// closes the connection. Events that have arrived are returned without waiting in between.
    fn stream(&self, request: ModelRequest) -> EventStream;

    /// The wire it speaks, which is the wire of the opaque parts it understands.
    fn wire(&self) -> Wire;

    /// What it was made from.
    fn endpoint(&self) -> &Endpoint;
}

/// The provider behind an endpoint. Opens no connection, and for `http://` takes well under a millisecond.
///
/// # Errors
/// The endpoint cannot be used as it is: its URL, a header, or its script.
pub fn connect(endpoint: &Endpoint, http: &Http) -> Result<Arc<dyn Provider>, ConnectError> {
    Ok(match wires::form(endpoint.wire) {
        Some(form) => Arc::new(Client::new(endpoint, http, form)?),
        None => Arc::new(Rehearsal::new(endpoint)?),
    })
}
