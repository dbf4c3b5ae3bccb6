//! The bytes of one answer, in order, into events: no network, no clock.
//!
//! The first byte that is not white space tells a JSON document (from a server that does not
//! stream) from a stream of events.

use crate::{
    ModelError,
    events::{Decode, Events, Flow, Rest},
    failure,
    sse::{MAX_EVENT, SseParser, TooLarge},
};
use std::sync::Arc;
use troupe_types::{Endpoint, ModelEvent};

/// The longest answer, in bytes: what comes in ever more pieces is held until its end.
pub(crate) const MAX_ANSWER: usize = 256 << 20;

/// How much is kept of the start of a stream, in bytes.
const MAX_START: usize = 4 << 10;

#[derive(Debug, PartialEq)]
enum Form {
    Unknown,
    Stream,
    Document,
}

/// Reads one answer.
pub(crate) struct Reader {
    /// What has been read but not taken.
    pub(crate) events: Events,
    endpoint: Arc<Endpoint>,
    decoder: Box<dyn Decode>,
    parser: SseParser,
    form: Form,
    document: Vec<u8>,
    /// The start of what is no document, for the error text where nothing of it can be understood.
    start: Vec<u8>,
    /// How many bytes have come.
    taken: usize,
}

impl Reader {
    pub(crate) fn new(endpoint: Arc<Endpoint>, decoder: Box<dyn Decode>) -> Self {
        Self {
            events: Events::default(),
            endpoint,
            decoder,
            parser: SseParser::default(),
            form: Form::Unknown,
            document: Vec::new(),
            start: Vec::new(),
            taken: 0,
        }
    }

    /// What may be missing.
    pub(crate) fn rest(&self) -> Rest {
        self.decoder.rest()
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Flow, ModelError> {
        self.taken = self.taken.saturating_add(piece.len());
        if self.taken > MAX_ANSWER {
            return Err(failure::endless(&self.endpoint));
        }
        if self.form == Form::Unknown {
            self.form = match piece.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{' | b'[') => Form::Document,
                Some(_) => Form::Stream,
                // It belongs to whatever follows.
                None => Form::Unknown,
            };
        }
        if self.form == Form::Stream {
            if self.start.len() < MAX_START {
                let room = (MAX_START - self.start.len()).min(piece.len());
                self.start.extend_from_slice(&piece[..room]);
            }
            if !self.document.is_empty() {
                // The white space before it; nothing of it is an event.
                let before = std::mem::take(&mut self.document);
                self.decode(|parser, sink| parser.feed(&before, sink))?;
            }
            return self.decode(|parser, sink| parser.feed(piece, sink));
        }
        if self.document.len() + piece.len() > MAX_EVENT {
            return Err(failure::too_large(&self.endpoint));
        }
        self.document.extend_from_slice(piece);
        Ok(Flow::More)
    }

    /// The bytes are over. `content_type` is for the error text.
    pub(crate) fn end(&mut self, content_type: &str) -> Result<ModelEvent, ModelError> {
        let flow = if self.form == Form::Document {
            self.decoder.document(&self.document, &mut self.events)?
        } else {
            match self.decode(SseParser::finish)? {
                Flow::More => self.decoder.end(&mut self.events)?,
                done @ Flow::Done(_) => done,
            }
        };
        match flow {
            Flow::Done(last) => Ok(last),
            Flow::More if self.form == Form::Unknown || self.decoder.understood() => {
                Err(ModelError::cut(&self.endpoint, None))
            }
            Flow::More => {
                let body = if self.form == Form::Document { &self.document } else { &self.start };
                Err(failure::not_events(&self.endpoint, content_type, body))
            }
        }
    }

    /// Runs the parser over its input and the decoder over every event of it, up to the last one.
    fn decode(
        &mut self,
        parse: impl FnOnce(&mut SseParser, &mut dyn FnMut(&str, &[u8])) -> Result<(), TooLarge>,
    ) -> Result<Flow, ModelError> {
        let mut flow = Ok(Flow::More);
        let (decoder, events) = (&mut self.decoder, &mut self.events);
        let parsed = parse(&mut self.parser, &mut |name, data| {
            if matches!(flow, Ok(Flow::More)) {
                flow = decoder.event(name, data, events);
            }
        });
        match (flow, parsed) {
            (Ok(Flow::More), Err(TooLarge)) => Err(failure::too_large(&self.endpoint)),
            (flow, _) => flow,
        }
    }
}
