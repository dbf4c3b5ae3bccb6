//! The events of a Responses stream.

use crate::{
    ModelError, calls,
    endpoint::Endpoint,
    events::{Decode, Events, Flow},
    failure::{self, ServerError},
    json,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::Arc,
};
use troupe_types::{
    AssistantItem, CallId, CallInput, CallItem, ErrorClass, Item, ModelEvent, Opaque, OpaqueItem,
    ReasoningItem, Usage, Wire, says_something,
};

/// The members of all events that matter; others are passed over unread.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    output_index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    output: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    end_turn: Option<bool>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    incomplete_details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    call_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    phase: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    summary: Option<&'a RawValue>,
}

impl WireItem<'_> {
    fn is_call(&self) -> bool {
        matches!(&*self.kind, "function_call" | "custom_tool_call")
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireUsage {
    input_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
    output_tokens_details: Option<OutputDetails>,
    total_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

/// Reads one answer.
pub(crate) struct Decoder {
    endpoint: Arc<Endpoint>,
    /// Tools whose arguments are text although they were offered as functions.
    custom: HashSet<String>,
    /// The place of the item that deltas without a place belong to.
    active: u32,
    /// How many items are complete.
    done: u32,
    /// Texts whose item is not complete, in case the server never completes it.
    open: BTreeMap<u32, String>,
    summary_begun: HashSet<u32>,
    /// A complete item said something.
    said: bool,
    /// A call has begun.
    called: bool,
    understood: bool,
}

impl Decoder {
    pub(crate) fn new(endpoint: Arc<Endpoint>, custom: HashSet<String>) -> Self {
        Self {
            endpoint,
            custom,
            active: 0,
            done: 0,
            open: BTreeMap::new(),
            summary_begun: HashSet::new(),
            said: false,
            called: false,
            understood: false,
        }
    }

    fn handle(
        &mut self,
        name: &str,
        event: &Event<'_>,
        data: &str,
        out: &mut Events,
    ) -> Result<Flow, ModelError> {
        let kind = if event.kind.is_empty() { name } else { &event.kind };
        let index = event.output_index.unwrap_or(self.active);
        match kind {
            "response.output_text.delta" | "response.refusal.delta" => {
                let delta = json::text_or_empty(event.delta);
                self.open.entry(index).or_default().push_str(&delta);
                out.text(index, delta);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                out.reasoning(index, json::text_or_empty(event.delta));
            }
            // Parts after the first start a new paragraph.
            "response.reasoning_summary_part.added" if !self.summary_begun.insert(index) => {
                out.reasoning(index, "\n\n".to_owned());
            }
            "response.output_item.added" => {
                self.active = event.output_index.unwrap_or(self.done);
                let item = event.item.and_then(read::<WireItem<'_>>);
                self.called |= item.is_some_and(|item| item.is_call());
            }
            "response.output_item.done" => {
                if let Some(raw) = event.item {
                    self.item(event.output_index.unwrap_or(self.active), raw, out);
                }
            }
            "response.created" | "response.in_progress" => {
                let response = event.response.and_then(read::<Response<'_>>);
                out.open(response.and_then(|response| response.id).as_deref());
            }
            "response.completed" | "response.done" => {
                let response = event.response.and_then(read::<Response<'_>>);
                return self.complete(response, out);
            }
            "response.failed" | "error" => return Err(self.failed(event, data)),
            "response.incomplete" => {
                let response = event.response.and_then(read::<Response<'_>>);
                return self.incomplete(response.as_ref(), out);
            }
            "" if data.contains("\"error\"") => return Err(self.failed(event, data)),
            "" => return Ok(Flow::More),
            _ => {}
        }
        self.understood = true;
        Ok(Flow::More)
    }

    fn item(&mut self, index: u32, raw: &RawValue, out: &mut Events) {
        let Some(item) = read::<WireItem<'_>>(raw) else {
            tracing::debug!("an output item that cannot be read was passed over");
            return;
        };
        let streamed = self.open.remove(&index);
        let item = match &*item.kind {
            "message" => message(&item, streamed),
            "reasoning" => reasoning(&item, raw),
            _ if item.is_call() => self.call(&item),
            kind => opaque(kind, raw),
        };
        match &item {
            Item::Assistant(item) => self.said |= item.says_something(),
            Item::Call(_) => self.called = true,
            _ => {}
        }
        self.done = self.done.max(index + 1);
        self.active = self.done;
        out.done(index, item);
    }

    fn call(&self, item: &WireItem<'_>) -> Item {
        let tool = owned(item.name.as_ref()).unwrap_or_default();
        let input = if item.kind == "custom_tool_call" {
            CallInput::Text(json::text_or_empty(item.input))
        } else {
            calls::input(self.custom.contains(&tool), arguments(item.arguments))
        };
        Item::Call(CallItem {
            call: CallId::new(),
            wire_id: owned(item.call_id.as_ref()).unwrap_or_default(),
            id: owned(item.id.as_ref()),
            tool,
            input,
        })
    }

    fn complete(
        &mut self,
        response: Option<Response<'_>>,
        out: &mut Events,
    ) -> Result<Flow, ModelError> {
        self.understood = true;
        let Some(response) = response else {
            self.close_open(out, false);
            return Ok(Flow::Done(ModelEvent::Completed { usage: None, end_turn: None }));
        };
        out.open(response.id.as_deref());
        // Items of a server that names them only here.
        let output = response.output.unwrap_or_default();
        for (index, raw) in (0u32..).zip(output).skip(self.done as usize) {
            self.item(index, raw, out);
        }
        self.close_open(out, false);
        let usage = response.usage.and_then(read::<WireUsage>).map(usage_of);
        Ok(Flow::Done(ModelEvent::Completed { usage, end_turn: response.end_turn }))
    }

    /// Completes texts whose item never was.
    fn close_open(&mut self, out: &mut Events, cut: bool) {
        for (index, text) in std::mem::take(&mut self.open) {
            if !text.is_empty() {
                let item = AssistantItem { text, cut, ..AssistantItem::default() };
                out.done(index, Item::Assistant(item));
            }
        }
    }

    fn failed(&mut self, event: &Event<'_>, data: &str) -> ModelError {
        self.understood = true;
        let response = event.response.and_then(read::<Response<'_>>);
        let error = response.and_then(|response| response.error).map_or(data, RawValue::get);
        let value = serde_json::from_str(error).unwrap_or_default();
        failure::in_stream(&self.endpoint, &ServerError::from_value(&value))
    }

    /// The provider stopped the answer by a rule of its own; asking again would end in the same way.
    /// What was said up to a limit of tokens stands, marked as cut.
    fn incomplete(
        &mut self,
        response: Option<&Response<'_>>,
        out: &mut Events,
    ) -> Result<Flow, ModelError> {
        #[derive(Deserialize)]
        struct Details<'a> {
            #[serde(borrow)]
            reason: Cow<'a, str>,
        }
        let output = response.and_then(|response| response.output.as_deref()).unwrap_or_default();
        for (index, raw) in (0u32..).zip(output).skip(self.done as usize) {
            // A call that was cut must not run.
            if read::<WireItem<'_>>(raw).is_some_and(|item| item.kind == "message") {
                self.item(index, raw, out);
            }
        }
        let said = self.said || self.open.values().any(|text| says_something(text));
        self.close_open(out, true);
        let details = response.and_then(|response| response.incomplete_details);
        let reason = details.and_then(read::<Details<'_>>).map(|details| details.reason);
        let reason = reason.as_deref().unwrap_or("unknown");
        let limit = matches!(reason, "max_output_tokens" | "length" | "max_tokens");
        if limit && said {
            let usage = response.and_then(|response| response.usage);
            let usage = usage.and_then(read::<WireUsage>).map(usage_of);
            return Ok(Flow::Done(ModelEvent::Completed { usage, end_turn: None }));
        }
        let call = |raw: &&RawValue| read::<WireItem<'_>>(raw).is_some_and(|item| item.is_call());
        if limit && !self.called && !output.iter().any(call) {
            return Err(silent_limit(&self.endpoint));
        }
        Err(stopped(&self.endpoint, reason))
    }
}

/// The error of an answer that reached a limit of tokens before its first word, in thoughts or
/// nothing at all. Asking again would end in the same way.
pub(crate) fn silent_limit(endpoint: &Endpoint) -> ModelError {
    let text = format!(
        "{}: the answer reached the limit of output tokens or of the model's window before its first word; raise the limit (`model_max_output_tokens`, or the server's own), or let the model think less (`model_reasoning_effort`)",
        endpoint.name
    );
    ModelError::never(ErrorClass::NoAnswer, text)
}

/// The error of an answer that a rule of the provider stopped.
pub(crate) fn stopped(endpoint: &Endpoint, reason: &str) -> ModelError {
    let name = &endpoint.name;
    let text = match reason {
        "max_output_tokens" | "length" | "max_tokens" => format!(
            "{name}: the answer reached the limit of output tokens or of the model's window and is incomplete; ask for less at a time, or raise the server's limit"
        ),
        "content_filter" => format!("{name}: the provider's content filter stopped the answer"),
        reason => format!("{name}: the answer is incomplete, reason: {reason}"),
    };
    ModelError::never(ErrorClass::InvalidRequest, text)
}

impl Decode for Decoder {
    fn event(&mut self, name: &str, data: &[u8], out: &mut Events) -> Result<Flow, ModelError> {
        if data == b"[DONE]" {
            return Ok(Flow::More);
        }
        let text = json::utf8(data);
        match serde_json::from_str::<Event<'_>>(&text) {
            Ok(event) => self.handle(name, &event, &text, out),
            Err(error) => {
                tracing::debug!(%error, "a line of the stream that is no event was passed over");
                Ok(Flow::More)
            }
        }
    }

    fn document(&mut self, body: &[u8], out: &mut Events) -> Result<Flow, ModelError> {
        let text = json::utf8(body);
        let Ok(response) = serde_json::from_str::<Response<'_>>(&text) else {
            return Ok(Flow::More);
        };
        if response.error.is_some_and(|error| error.get() != "null") {
            let value = serde_json::from_str(&text).unwrap_or_default();
            return Err(failure::in_stream(&self.endpoint, &ServerError::from_value(&value)));
        }
        if response.output.is_none() {
            return Ok(Flow::More);
        }
        if response.status.as_deref() == Some("incomplete") {
            return self.incomplete(Some(&response), out);
        }
        self.complete(Some(response), out)
    }

    fn end(&mut self, _: &mut Events) -> Result<Flow, ModelError> {
        Ok(Flow::More)
    }

    fn nearly_done(&self) -> bool {
        false
    }

    fn understood(&self) -> bool {
        self.understood
    }
}

/// Reads a part; `None` if it is not of that form.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn owned(text: Option<&Cow<'_, str>>) -> Option<String> {
    text.map(|text| text.clone().into_owned())
}

/// JSON text, whether it came as a string or (against the rules) as an object.
pub(crate) fn arguments(raw: Option<&RawValue>) -> String {
    match raw {
        None => String::new(),
        Some(raw) if raw.get() == "null" => String::new(),
        Some(raw) => json::text(raw).unwrap_or_else(|| raw.get().to_owned()),
    }
}

/// The texts of a list of parts, of one string, or of nothing.
fn texts(raw: Option<&RawValue>) -> Vec<String> {
    let Some(raw) = raw else { return Vec::new() };
    if let Some(text) = json::text(raw) {
        return vec![text];
    }
    let parts = read::<Vec<Part<'_>>>(raw).unwrap_or_default();
    parts.iter().filter_map(|part| part.text.or(part.refusal)).filter_map(json::text).collect()
}

fn message(item: &WireItem<'_>, streamed: Option<String>) -> Item {
    let mut parts = texts(item.content);
    let whole = if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat() };
    Item::Assistant(AssistantItem {
        id: owned(item.id.as_ref()),
        // Some servers leave the finished item empty.
        text: if whole.is_empty() { streamed.unwrap_or_default() } else { whole },
        phase: owned(item.phase.as_ref()),
        cut: item.status.as_deref() == Some("incomplete"),
    })
}

fn reasoning(item: &WireItem<'_>, raw: &RawValue) -> Item {
    Item::Reasoning(ReasoningItem {
        id: owned(item.id.as_ref()),
        summary: texts(item.summary),
        content: texts(item.content),
        opaque: Some(Opaque { wire: Wire::Responses, json: raw.get().to_owned() }),
    })
}

fn opaque(kind: &str, raw: &RawValue) -> Item {
    let opaque = Opaque { wire: Wire::Responses, json: raw.get().to_owned() };
    Item::Opaque(OpaqueItem { kind: kind.to_owned(), opaque })
}

fn usage_of(wire: WireUsage) -> Usage {
    let input = wire.input_tokens_details.unwrap_or_default();
    let output = wire.output_tokens_details.unwrap_or_default();
    Usage {
        input_tokens: wire.input_tokens,
        cached_input_tokens: input.cached_tokens.unwrap_or_default(),
        cache_write_input_tokens: input.cache_write_tokens.unwrap_or_default(),
        output_tokens: wire.output_tokens,
        reasoning_output_tokens: output.reasoning_tokens.unwrap_or_default(),
        total_tokens: wire.total_tokens.unwrap_or(wire.input_tokens + wire.output_tokens),
    }
}
