//! The chunks of a Chat Completions stream.
//!
//! Items are complete only at the end of the answer: reasoning, text and calls then follow in the order
//! they began.

use super::{
    CALL_EXTRA,
    partial::{CallDelta, FunctionDelta, PartialCalls},
};
use crate::{
    ModelError,
    endpoint::Endpoint,
    events::{Decode, Events, Flow},
    failure::{self, ServerError},
    json,
    responses::decode::{silent_limit, stopped},
    usage::WireUsage,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet, sync::Arc};
use troupe_types::{
    AssistantItem, ErrorClass, Item, ModelEvent, Opaque, OpaqueItem, ReasoningItem, Usage, Wire,
    says_something,
};

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// In place of `delta` where a server does not stream.
    #[serde(borrow, default)]
    message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_details: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<FunctionDelta<'a>>,
}

/// A part of content that is a list.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
}

/// A text that grows, at the place it got when it began.
#[derive(Default)]
struct Growing {
    index: u32,
    text: String,
}

/// Reads one answer.
pub(crate) struct Decoder {
    endpoint: Arc<Endpoint>,
    custom: HashSet<String>,
    next_index: u32,
    text: Option<Growing>,
    reasoning: Option<Growing>,
    /// The member the reasoning came in, which is the one it is sent back in.
    reasoning_member: &'static str,
    /// Structured reasoning, element by element, comma between; sent back instead of the text.
    details: String,
    calls: PartialCalls,
    finish: Option<String>,
    usage: Option<Usage>,
    understood: bool,
}

impl Decoder {
    pub(crate) fn new(endpoint: Arc<Endpoint>, custom: HashSet<String>) -> Self {
        Self {
            endpoint,
            custom,
            next_index: 0,
            text: None,
            reasoning: None,
            reasoning_member: "reasoning_content",
            details: String::new(),
            calls: PartialCalls::default(),
            finish: None,
            usage: None,
            understood: false,
        }
    }

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Events) {
        self.understood = true;
        if out.is_unopened() {
            out.open(chunk.id.and_then(json::text).as_deref());
        }
        self.take_usage(chunk.usage);
        let choices = chunk.choices.unwrap_or_default();
        for choice in choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.take_usage(choice.usage);
            if let Some(delta) = choice.delta.or(choice.message) {
                self.delta(delta, out);
            }
            if let Some(reason) = choice.finish_reason.and_then(json::text) {
                self.finish = Some(reason).filter(|reason| !reason.is_empty());
            }
        }
    }

    fn take_usage(&mut self, raw: Option<&RawValue>) {
        let nothing = Usage::default();
        // Some servers send zeros before or after the figures.
        let usage = raw.and_then(WireUsage::read);
        self.usage = usage.filter(|usage| *usage != nothing || self.usage.is_none()).or(self.usage);
    }

    fn delta(&mut self, delta: Delta<'_>, out: &mut Events) {
        // Some servers send the same words in both members.
        for (member, raw) in
            [("reasoning_content", delta.reasoning_content), ("reasoning", delta.reasoning)]
        {
            let words = json::text_or_empty(raw);
            if !words.is_empty() {
                self.reasoning_member = member;
                self.think(words, out);
                break;
            }
        }
        for detail in delta.reasoning_details.into_iter().flatten() {
            if !self.details.is_empty() {
                self.details.push(',');
            }
            self.details.push_str(detail.get());
        }
        match delta.content {
            Some(raw) if raw.get().starts_with('[') => self.parts(raw, out),
            raw => self.say(json::text_or_empty(raw.or(delta.refusal)), out),
        }
        if let Some(calls) = delta.tool_calls {
            self.calls.add_all(&calls);
        }
        if let Some(function) = delta.function_call {
            self.calls.add_function(function);
        }
    }

    fn parts(&mut self, raw: &RawValue, out: &mut Events) {
        for part in serde_json::from_str::<Vec<Part<'_>>>(raw.get()).unwrap_or_default() {
            match part.thinking {
                Some(inner) if part.kind == "thinking" => match json::text(inner) {
                    Some(words) => self.think(words, out),
                    None => {
                        let inner = serde_json::from_str::<Vec<Part<'_>>>(inner.get());
                        for part in inner.unwrap_or_default() {
                            self.think(json::text_or_empty(part.text), out);
                        }
                    }
                },
                _ => self.say(json::text_or_empty(part.text), out),
            }
        }
    }

    fn say(&mut self, words: String, out: &mut Events) {
        if let Some(index) = grow(&mut self.text, &mut self.next_index, &words) {
            out.text(index, words);
        }
    }

    fn think(&mut self, words: String, out: &mut Events) {
        if let Some(index) = grow(&mut self.reasoning, &mut self.next_index, &words) {
            out.reasoning(index, words);
        }
    }

    fn complete(&mut self, out: &mut Events) -> Result<Flow, ModelError> {
        let reason = self.finish.take().unwrap_or_default();
        let stopped_early = matches!(reason.as_str(), "length" | "max_tokens" | "content_filter");
        let said = self.text.as_ref().is_some_and(|grown| says_something(&grown.text));
        self.close_texts(stopped_early, out);
        let calls = self.calls.finish(&self.custom);
        match reason.as_str() {
            // What was said stands, marked as cut.
            "length" | "max_tokens" if calls.as_ref().is_ok_and(Vec::is_empty) => {
                return if said {
                    let usage = self.usage;
                    Ok(Flow::Done(ModelEvent::Completed { usage, end_turn: None }))
                } else {
                    Err(silent_limit(&self.endpoint))
                };
            }
            // A call that was cut must not run.
            _ if stopped_early => return Err(stopped(&self.endpoint, &reason)),
            "error" | "abort" | "network_error" => {
                let text =
                    format!("{}: the server gave the answer up ({reason})", self.endpoint.name);
                return Err(ModelError::backoff(ErrorClass::Server, text));
            }
            _ => {}
        }
        for (call, extra) in calls.map_err(|name| self.ambiguous(&name))? {
            if let Some(json) = extra {
                let opaque = Opaque { wire: Wire::Chat, json };
                let item = Item::Opaque(OpaqueItem { kind: CALL_EXTRA.to_owned(), opaque });
                self.done(item, out);
            }
            self.done(Item::Call(call), out);
        }
        Ok(Flow::Done(ModelEvent::Completed { usage: self.usage, end_turn: None }))
    }

    fn done(&mut self, item: Item, out: &mut Events) {
        out.done(self.next_index, item);
        self.next_index += 1;
    }

    fn close_texts(&mut self, cut: bool, out: &mut Events) {
        if self.reasoning.is_none() && !self.details.is_empty() {
            // Encrypted reasoning without words.
            self.reasoning = Some(Growing { index: self.next_index, text: String::new() });
            self.next_index += 1;
        }
        let reasoning =
            self.reasoning.take().map(|grown| (grown.index, self.reasoning_item(grown.text)));
        let text = self.text.take().map(|grown| {
            let item = AssistantItem { text: grown.text, cut, ..AssistantItem::default() };
            (grown.index, Item::Assistant(item))
        });
        let mut items: Vec<_> = reasoning.into_iter().chain(text).collect();
        items.sort_by_key(|(index, _)| *index);
        for (index, item) in items {
            out.done(index, item);
        }
    }

    fn reasoning_item(&mut self, text: String) -> Item {
        let details = std::mem::take(&mut self.details);
        let json = if details.is_empty() {
            format!("{{\"{}\":{}}}", self.reasoning_member, json::to_text(&text))
        } else {
            format!("{{\"reasoning_details\":[{details}]}}")
        };
        Item::Reasoning(ReasoningItem {
            content: Some(text).filter(|text| !text.is_empty()).into_iter().collect(),
            opaque: Some(Opaque { wire: Wire::Chat, json }),
            ..ReasoningItem::default()
        })
    }

    fn ambiguous(&self, name: &str) -> ModelError {
        let what = format!(
            "arguments of `{name}` came after its call was whole, and neither id nor name tells whether they are another call's"
        );
        failure::unclear(&self.endpoint, &what)
    }

    fn failed(&self, text: &str) -> ModelError {
        let said = ServerError::from_body(text.as_bytes());
        failure::in_stream(&self.endpoint, &said)
    }
}

/// Adds words to a text, which gets its place with the first of them. `None` for no words.
fn grow(text: &mut Option<Growing>, next_index: &mut u32, words: &str) -> Option<u32> {
    if words.is_empty() {
        return None;
    }
    let text = text.get_or_insert_with(|| {
        let index = *next_index;
        *next_index += 1;
        Growing { index, text: String::new() }
    });
    text.text.push_str(words);
    Some(text.index)
}

impl Decode for Decoder {
    fn event(&mut self, name: &str, data: &[u8], out: &mut Events) -> Result<Flow, ModelError> {
        if data.trim_ascii() == b"[DONE]" {
            return if self.understood { self.complete(out) } else { Ok(Flow::More) };
        }
        let text = json::utf8(data);
        let chunk = serde_json::from_str::<Chunk<'_>>(&text);
        match chunk {
            _ if name == "error" => Err(self.failed(&text)),
            Ok(chunk) if chunk.error.is_some_and(|error| error.get() != "null") => {
                Err(self.failed(&text))
            }
            Ok(chunk) if chunk.choices.is_some() || chunk.usage.is_some() => {
                self.chunk(chunk, out);
                Ok(Flow::More)
            }
            Ok(_) => Ok(Flow::More),
            Err(error) => {
                tracing::debug!(%error, "a line of the stream that is no chunk was passed over");
                Ok(Flow::More)
            }
        }
    }

    fn document(&mut self, body: &[u8], out: &mut Events) -> Result<Flow, ModelError> {
        match self.event("", body, out)? {
            Flow::More if self.understood => self.complete(out),
            flow => Ok(flow),
        }
    }

    fn end(&mut self, out: &mut Events) -> Result<Flow, ModelError> {
        if self.finish.is_some() { self.complete(out) } else { Ok(Flow::More) }
    }

    fn nearly_done(&self) -> bool {
        self.finish.is_some()
    }

    fn understood(&self) -> bool {
        self.understood
    }
}
