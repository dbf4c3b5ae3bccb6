//! The SSE events of an answer, with marks that say which points of the stream they complete.

use super::{
    Wire,
    answer::{Answer, Body},
    chat, responses,
};
use serde_json::Value;

/// One event as it goes over the wire.
pub(crate) struct Event {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mark: Mark,
}

/// What an event completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Other,
    Delta,
    Item,
}

/// Collects events of one answer.
#[derive(Default)]
pub(crate) struct Events(Vec<Event>);

impl Events {
    /// An event with its `event:` line, if it has a type.
    pub(crate) fn add(&mut self, json: &Value, mark: Mark) {
        let line = match json["type"].as_str() {
            Some(kind) => format!("event: {kind}\ndata: {json}\n\n"),
            None => format!("data: {json}\n\n"),
        };
        self.0.push(Event { bytes: line.into_bytes(), mark });
    }

    /// A `data:` line with this text.
    pub(crate) fn line(&mut self, text: &str) {
        self.0.push(Event { bytes: format!("data: {text}\n\n").into_bytes(), mark: Mark::Other });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Renders the stream of an answer. `name` is what its ids are made from.
pub(crate) fn render(answer: &Answer, wire: Wire, name: &str, model: &str) -> Vec<Event> {
    let mut events = Events::default();
    match (&answer.body, wire) {
        (Body::Events(list), _) => {
            for event in list {
                let done = event["type"] == "response.output_item.done";
                let delta = event["type"].as_str().is_some_and(|kind| kind.ends_with("text.delta"));
                let mark = if done {
                    Mark::Item
                } else if delta {
                    Mark::Delta
                } else {
                    Mark::Other
                };
                events.add(event, mark);
            }
        }
        (Body::Parts(parts), Wire::Chat) => chat::stream(&mut events, answer, parts, name, model),
        (Body::Parts(parts), _) => responses::stream(&mut events, answer, parts, name, model),
        (Body::Plain(_) | Body::Silence | Body::Reset, _) => {}
    }
    events.0
}
