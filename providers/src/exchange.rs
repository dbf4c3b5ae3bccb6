//! One attempt: the request, its deadlines, and the answer fed through a reader.
//!
//! No task is spawned: the stream owns the connection, and dropping it closes the connection.
//! Everything in a piece of the answer is decoded at once and then handed out without waiting.

use crate::{
    EventStream, ModelError,
    events::{Flow, Rest},
    failure,
    http::Http,
    reader::Reader,
    unpacked::Body,
};
use reqwest::{Url, header::HeaderMap};
use std::{sync::Arc, time::Duration};
use troupe_timer::{Deadline, within};
use troupe_types::{Endpoint, ErrorClass, ModelEvent};

/// How long the end of a complete answer is awaited, so that its connection can be used again.
const DRAIN: Duration = Duration::from_millis(20);

/// How long usage figures are awaited after the last word of an answer.
const TRAILER: Duration = Duration::from_secs(10);

/// How long more words are awaited of a server that calls every word the last one.
const UNSURE: Duration = Duration::from_secs(30);

/// A request ready to be sent.
pub(crate) struct Unsent {
    pub(crate) http: Http,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The events of one attempt.
pub(crate) fn exchange(endpoint: Arc<Endpoint>, unsent: Unsent, reader: Reader) -> EventStream {
    let phase = Phase::Unsent(Box::new(unsent));
    let exchange = Exchange { endpoint, reader, phase, failed: None };
    Box::pin(futures_util::stream::unfold(exchange, |mut exchange| async move {
        exchange.next().await.map(|event| (event, exchange))
    }))
}

/// A stream that only fails.
pub(crate) fn failed(error: ModelError) -> EventStream {
    Box::pin(futures_util::stream::iter([Err(error)]))
}

enum Phase {
    Unsent(Box<Unsent>),
    /// The server accepted; the deadline is that of the first byte.
    Opening(Body, Deadline),
    Reading(Body),
    /// Complete: the rest of the body is read away, then this is said.
    Closing(Body, ModelEvent),
    Over,
}

struct Exchange {
    endpoint: Arc<Endpoint>,
    reader: Reader,
    phase: Phase,
    failed: Option<ModelError>,
}

impl Exchange {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.reader.events.pop() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            let stepped = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Unsent(unsent) => self.send(*unsent).await,
                Phase::Opening(body, deadline) => {
                    // The server has taken the request: its silence is that of an answer, too.
                    match self.endpoint.idle_timeout {
                        idle if idle < self.endpoint.first_byte_timeout => {
                            self.read(body, Deadline::after(idle), failure::idle).await
                        }
                        _ => self.read(body, deadline, failure::late_first_byte).await,
                    }
                }
                Phase::Reading(body) => {
                    let idle = self.endpoint.idle_timeout;
                    let limit = match self.reader.rest() {
                        Rest::More => idle,
                        Rest::Unsure => idle.min(UNSURE),
                        Rest::Figures => idle.min(TRAILER),
                    };
                    self.read(body, Deadline::after(limit), failure::idle).await
                }
                Phase::Closing(body, last) => {
                    drain(body).await;
                    return Some(Ok(last));
                }
                Phase::Over => return None,
            };
            match stepped {
                Ok(phase) => self.phase = phase,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    async fn send(&mut self, unsent: Unsent) -> Result<Phase, ModelError> {
        let endpoint = &self.endpoint;
        let client = unsent
            .http
            .client(&unsent.url, endpoint.connect_timeout)
            .await
            .map_err(|error| ModelError::never(ErrorClass::Config, error.to_string()))?;
        let proxy = unsent.http.proxy(&unsent.url);
        let mut deadline = Deadline::after(endpoint.first_byte_timeout);
        let request = client.post(unsent.url.clone()).headers(unsent.headers).body(unsent.body);
        let response = deadline
            .bound(request.send())
            .await
            .map_err(|_| failure::late_first_byte(endpoint))?
            .map_err(|error| failure::unreachable(endpoint, &unsent.url, proxy, error))?;
        if !response.status().is_success() {
            let refused = failure::refused(endpoint, response).await;
            return Err(failure::behind(proxy, refused));
        }
        Ok(Phase::Opening(Body::new(response), deadline))
    }

    async fn read(
        &mut self,
        mut body: Body,
        mut deadline: Deadline,
        late: fn(&Endpoint) -> ModelError,
    ) -> Result<Phase, ModelError> {
        let piece = match deadline.bound(body.chunk()).await {
            Ok(Ok(piece)) => piece,
            // Nothing but figures was missing: that is as good as the end.
            _ if self.reader.rest() == Rest::Figures => None,
            Err(_) if self.reader.rest() == Rest::Unsure => None,
            Ok(Err(error)) => return Err(failure::unreadable(&self.endpoint, &error)),
            Err(_) => return Err(late(&self.endpoint)),
        };
        let Some(piece) = piece else {
            let last = self.reader.end(failure::content_type(body.response().headers()))?;
            return Ok(Phase::Closing(body, last));
        };
        Ok(match self.reader.feed(piece.as_ref())? {
            Flow::More => Phase::Reading(body),
            Flow::Done(last) => Phase::Closing(body, last),
        })
    }
}

/// Reads the rest of a complete answer, which is almost always here already.
async fn drain(mut body: Body) {
    let rest = async { while let Ok(Some(_)) = body.chunk().await {} };
    // A server that holds the connection open only costs its reuse.
    let _ = within(DRAIN, rest).await;
}
