//! The chunks of a Chat Completions stream.
//!
//! Items are complete only at the end of the answer: reasoning, text and calls then follow in the order
//! they began.

use super::partial::{CallDelta, FunctionDelta, PartialCalls};
use crate::{
    ModelError,
    events::{Decode, Events, Flow, Rest},
    failure::{self, ServerError, is_error},
    json::{self, Count},
    usage::WireUsage,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet, sync::Arc};
use troupe_types::{
    AssistantItem, Endpoint, ErrorClass, Item, ModelEvent, Opaque, ReasoningItem, Usage, Wire,
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
    #[serde(borrow, default)]
    x_groq: Option<Groq<'a>>,
}

/// What Groq keeps to itself.
#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// In place of `delta` where a server does not stream.
    #[serde(borrow, default)]
    message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// The error it tells of, wherever it is put. The whole chunk where the error is its own member,
    /// because its other members may say more.
    fn failure<'t>(&self, text: &'t str) -> Option<&'t str>
    where
        'a: 't,
    {
        let set = |raw: &Option<&'a RawValue>| raw.filter(|raw| json::is_set(raw));
        let groq = self.x_groq.as_ref().and_then(|groq| set(&groq.error));
        let mut choices = self.choices.iter().flatten();
        let within = |choice: &Choice<'a>| {
            let words = |delta: &Option<Delta<'a>>| set(&delta.as_ref()?.error);
            set(&choice.error).or_else(|| words(&choice.delta)).or_else(|| words(&choice.message))
        };
        match groq.or_else(|| choices.find_map(within)) {
            Some(error) => Some(error.get()),
            None => {
                let bare = self.choices.is_none() && self.usage.is_none() && self.x_groq.is_none();
                (set(&self.error).is_some() || (bare && is_error(text))).then_some(text)
            }
        }
    }
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
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
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

/// Why a filter of the provider stops an answer, in the words of OpenAI and Google.
const FILTERED: [&str; 6] =
    ["content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii"];

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
    ends: Ends,
    /// The last choice brought words or calls.
    grew: bool,
    usage: Option<Usage>,
    understood: bool,
}

/// What the finish reasons of an answer are worth: some servers write one on every chunk.
#[derive(Default)]
struct Ends {
    /// Words came without one.
    words_without: bool,
    last: Last,
}

#[derive(Default, PartialEq)]
enum Last {
    /// No reason has come.
    #[default]
    Words,
    /// A reason, on a chunk with words.
    WordsAndReason,
    /// A reason by itself.
    Reason,
    /// Words, after a reason.
    WordsAfter,
}

impl Ends {
    fn note(&mut self, words: bool, reason: bool) {
        self.last = match (words, reason) {
            (false, true) => Last::Reason,
            (true, true) => Last::WordsAndReason,
            (true, false) => {
                self.words_without = true;
                if self.last == Last::Words { Last::Words } else { Last::WordsAfter }
            }
            (false, false) => return,
        };
    }

    fn rest(&self) -> Rest {
        match self.last {
            Last::Words => Rest::More,
            Last::Reason => Rest::Figures,
            Last::WordsAndReason if self.words_without => Rest::Figures,
            Last::WordsAndReason | Last::WordsAfter => Rest::Unsure,
        }
    }
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
            ends: Ends::default(),
            grew: false,
            usage: None,
            understood: false,
        }
    }

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Events) {
        self.understood = true;
        if out.is_unopened() {
            out.open(chunk.id.and_then(json::text).as_deref());
        }
        self.take_usage(chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage)));
        let choices = chunk.choices.unwrap_or_default();
        for choice in choices.into_iter().filter(|choice| choice.index.0.unwrap_or(0) == 0) {
            self.take_usage(choice.usage);
            let reason =
                choice.finish_reason.and_then(json::text).filter(|reason| is_reason(reason));
            let whole = reason.is_some();
            self.grew = false;
            for (delta, whole) in [(choice.delta, false), (choice.message, whole)] {
                if let Some(delta) = delta {
                    self.delta(delta, whole, out);
                }
            }
            self.ends.note(self.grew, reason.is_some());
            self.finish = reason.map(Cow::into_owned).or(self.finish.take());
        }
    }

    fn take_usage(&mut self, raw: Option<&RawValue>) {
        let nothing = Usage::default();
        // Some servers send zeros before or after the figures.
        let usage = raw.and_then(WireUsage::read);
        self.usage = usage.filter(|usage| *usage != nothing || self.usage.is_none()).or(self.usage);
    }

    /// Takes more of the answer; `whole`: what came before may be in it once more.
    fn delta(&mut self, delta: Delta<'_>, whole: bool, out: &mut Events) {
        // Some servers send the same words in both members.
        for (member, raw) in
            [("reasoning_content", delta.reasoning_content), ("reasoning", delta.reasoning)]
        {
            let words = json::text_or_empty(raw);
            if !words.is_empty() {
                let words = if whole { rest(self.reasoning.as_ref(), &words) } else { &words };
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
            raw => {
                let raw = raw.filter(|raw| raw.get() != "\"\"").or(delta.refusal);
                let words = json::text_or_empty(raw);
                let words = if whole { rest(self.text.as_ref(), &words) } else { &words };
                self.say(words, out);
            }
        }
        if let Some(calls) = delta.tool_calls {
            self.grew |= !calls.is_empty();
            self.calls.add_all(&calls);
        }
        if let Some(function) = delta.function_call {
            self.grew = true;
            self.calls.add_function(function);
        }
    }

    fn parts(&mut self, raw: &RawValue, out: &mut Events) {
        for part in serde_json::from_str::<Vec<Part<'_>>>(raw.get()).unwrap_or_default() {
            match part.thinking {
                Some(inner) if part.kind == "thinking" => match json::text(inner) {
                    Some(words) => self.think(&words, out),
                    None => {
                        let inner = serde_json::from_str::<Vec<Part<'_>>>(inner.get());
                        for part in inner.unwrap_or_default() {
                            self.think(&json::text_or_empty(part.text), out);
                        }
                    }
                },
                _ => self.say(&json::text_or_empty(part.text), out),
            }
        }
    }

    fn say(&mut self, words: &str, out: &mut Events) {
        self.grew |= !words.is_empty();
        if let Some(index) = grow(&mut self.text, &mut self.next_index, words) {
            out.text(index, words.to_owned());
        }
    }

    fn think(&mut self, words: &str, out: &mut Events) {
        self.grew |= !words.is_empty();
        if let Some(index) = grow(&mut self.reasoning, &mut self.next_index, words) {
            out.reasoning(index, words.to_owned());
        }
    }

    fn complete(&mut self, out: &mut Events) -> Result<Flow, ModelError> {
        let reason = self.finish.take().unwrap_or_default().trim().to_ascii_lowercase();
        let filtered = FILTERED.contains(&reason.as_str());
        let stopped_early = filtered || matches!(reason.as_str(), "length" | "max_tokens");
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
                    Err(failure::silent_limit(&self.endpoint))
                };
            }
            // A call that was cut must not run.
            _ if stopped_early => return Err(failure::stopped(&self.endpoint, &reason)),
            "error" | "abort" | "network_error" => {
                let text =
                    format!("{}: the server gave the answer up ({reason})", self.endpoint.name);
                return Err(ModelError::backoff(ErrorClass::Server, text));
            }
            _ => {}
        }
        for call in calls.map_err(|name| self.ambiguous(&name))? {
            out.done(self.next_index, Item::Call(call));
            self.next_index += 1;
        }
        Ok(Flow::Done(ModelEvent::Completed { usage: self.usage, end_turn: None }))
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

/// Whether it is a reason: some servers write what is none as text.
fn is_reason(text: &str) -> bool {
    !matches!(text, "" | "null" | "None" | "none")
}

/// What is new in a text that is whole.
fn rest<'a>(grown: Option<&Growing>, whole: &'a str) -> &'a str {
    let known = grown.map_or("", |grown| &grown.text);
    if known.trim() == whole.trim() {
        return "";
    }
    whole.strip_prefix(known).unwrap_or(whole)
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
            Ok(chunk) => match chunk.failure(&text) {
                Some(error) => Err(self.failed(error)),
                None if chunk.choices.is_some()
                    || chunk.usage.is_some()
                    || chunk.x_groq.is_some() =>
                {
                    self.chunk(chunk, out);
                    Ok(Flow::More)
                }
                None => Ok(Flow::More),
            },
            Err(_) if failure::is_error(&text) => Err(self.failed(&text)),
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

    fn rest(&self) -> Rest {
        self.ends.rest()
    }

    fn understood(&self) -> bool {
        self.understood
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
