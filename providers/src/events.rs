//! What a decoder is and what it writes to.

use crate::ModelError;
use std::collections::VecDeque;
use troupe_types::{Item, ModelEvent};

/// The events decoded but not yet taken, in order. `Opened` comes first, and once.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<ModelEvent>,
    opened: bool,
}

impl Events {
    /// Whether the first event is still to come.
    pub(crate) fn is_unopened(&self) -> bool {
        !self.opened
    }

    /// The server answers, under this id.
    pub(crate) fn open(&mut self, response: Option<&str>) {
        if !self.opened {
            self.opened = true;
            let response = response.filter(|id| !id.is_empty()).map(str::to_owned);
            self.queue.push_back(ModelEvent::Opened { response });
        }
    }

    /// The next event.
    pub(crate) fn push(&mut self, event: ModelEvent) {
        self.open(None);
        self.queue.push_back(event);
    }

    /// More text; nothing if it is empty.
    pub(crate) fn text(&mut self, index: u32, delta: String) {
        if !delta.is_empty() {
            self.push(ModelEvent::Text { index, delta });
        }
    }

    /// More reasoning; nothing if it is empty.
    pub(crate) fn reasoning(&mut self, index: u32, delta: String) {
        if !delta.is_empty() {
            self.push(ModelEvent::Reasoning { index, delta });
        }
    }

    /// A complete item.
    pub(crate) fn done(&mut self, index: u32, item: Item) {
        self.push(ModelEvent::ItemDone { index, item });
    }

    /// Takes the oldest event.
    pub(crate) fn pop(&mut self) -> Option<ModelEvent> {
        self.queue.pop_front()
    }
}

/// What a decoder knows after an event.
#[derive(Debug)]
pub(crate) enum Flow {
    /// More has to come.
    More,
    /// The answer is complete; this is its last event.
    Done(ModelEvent),
}

/// What may be missing of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Words: silence is a failure.
    More,
    /// Words, although the server says that they are over: it says so all the time.
    Unsure,
    /// Figures at most: silence is as good as the end.
    Figures,
}

/// Reads the events of one answer.
pub(crate) trait Decode: Send {
    /// One server-sent event. What cannot be read is skipped.
    fn event(&mut self, name: &str, data: &[u8], out: &mut Events) -> Result<Flow, ModelError>;

    /// A whole answer in one JSON document, from a server that does not stream.
    fn document(&mut self, body: &[u8], out: &mut Events) -> Result<Flow, ModelError>;

    /// The stream is over without a last event. [`Flow::Done`] if the answer is complete all the same.
    fn end(&mut self, out: &mut Events) -> Result<Flow, ModelError>;

    /// What may be missing.
    fn rest(&self) -> Rest;

    /// Whether any event could be read.
    fn understood(&self) -> bool;
}
