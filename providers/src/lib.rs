//! Models as streams: one trait, two wires (OpenAI Responses and Chat Completions), and a script player.
//!
//! A [`Provider`] turns a [`ModelRequest`] into a stream of [`ModelEvent`]s: one attempt a call,
//! no retries inside, and dropping the stream ends the HTTP request at once. The wires read what
//! real servers send, not only what the specification says. No task is spawned and nothing is
//! kept between requests but connections. Bounds: one event of a stream is at most 64 MiB.

mod endpoint;
mod error;
mod http;

pub use endpoint::{Endpoint, Secret, WireApi};
pub use error::{ConnectError, ModelError, Retry, backoff, random};
pub use http::{Http, HttpOptions};

use futures_util::stream::BoxStream;
use std::sync::Arc;
use troupe_types::{ModelEvent, ModelRequest, Wire};

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
