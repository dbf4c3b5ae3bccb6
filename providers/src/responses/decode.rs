//! The events of a Responses stream.

use super::{
    event::Event,
    kinds::{self, Kind},
    numbers::Numbers,
    slots::{Owner, Place, Slots, differ},
    wire::{Listed, Said, WireItem, call, owned, read},
};
use crate::{
    ModelError,
    events::{Decode, Events, Flow, Rest},
    failure::{self, ServerError},
    json::{self, Name},
    usage::WireUsage,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet, sync::Arc};
use troupe_types::{
    AssistantItem, CallItem, Endpoint, Item, ModelEvent, OpaqueItem, says_something,
};

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    id: Name<'a>,
    #[serde(borrow, default)]
    status: Name<'a>,
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

/// Whose pieces an event brings.
const MESSAGE: fn(Kind) -> bool = |kind| kind == Kind::Message;
const THOUGHT: fn(Kind) -> bool = |kind| kind == Kind::Reasoning;

/// Reads one answer.
pub(crate) struct Decoder {
    endpoint: Arc<Endpoint>,
    /// Tools whose arguments are text although they were offered as functions.
    custom: HashSet<String>,
    slots: Slots,
    /// Complete items that wait for the end, because a call before them came without arguments, which
    /// the last event may bring, or without a word on who is to make it.
    held: Vec<(usize, Item)>,
    /// The ids of calls whose output came with the answer: the server made them.
    answered: HashSet<String>,
    /// Pieces of arguments came that may be any of several calls'.
    unclear: bool,
    /// A complete item said something.
    said: bool,
    /// The answer was cut: a message that comes from now on is marked so.
    cut: bool,
    numbers: Numbers,
    understood: bool,
}

impl Decoder {
    pub(crate) fn new(endpoint: Arc<Endpoint>, custom: HashSet<String>) -> Self {
        Self {
            endpoint,
            custom,
            slots: Slots::default(),
            held: Vec::new(),
            answered: HashSet::new(),
            unclear: false,
            said: false,
            cut: false,
            numbers: Numbers::default(),
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
        let kind = if event.kind.0.is_empty() { name } else { &event.kind.0 };
        match kind {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.say(event, event.piece(), out);
            }
            "response.output_text.done"
            | "response.refusal.done"
            | "response.content_part.done"
                if self.slots.has_heard(&event.item_id.0, event.part()) => {}
            "response.output_text.done" | "response.refusal.done" => {
                self.say_whole(event, json::text_or_empty(event.text.or(event.refusal)), out);
            }
            "response.content_part.done" => {
                let part = event.part.and_then(|part| Event::read(part.get()).ok());
                if let Some(part) = part.filter(|part| part.kind.0 != "reasoning_text") {
                    let text = json::text_or_empty(part.text.or(part.refusal));
                    self.say_whole(event, text, out);
                }
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.think(event, event.piece(), false, out);
            }
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                self.think(event, json::text_or_empty(event.text), true, out);
            }
            "response.reasoning_summary_part.added" => self.paragraph(event, out),
            "response.function_call_arguments.delta" => self.argue(event, Kind::Function, false),
            "response.function_call_arguments.done" => self.argue(event, Kind::Function, true),
            "response.custom_tool_call_input.delta" => self.argue(event, Kind::Custom, false),
            "response.custom_tool_call_input.done" => self.argue(event, Kind::Custom, true),
            "response.output_item.added" => {
                if let Some(item) = event.item.and_then(read::<WireItem<'_>>) {
                    self.slots.begin(&item, event.place());
                }
            }
            "response.output_item.done" => {
                if let Some(raw) = event.item {
                    self.understood = true;
                    self.item(event.place(), raw, out)?;
                }
            }
            "response.created" | "response.in_progress" => {
                let response = event.response.and_then(read::<Response<'_>>);
                out.open(response.as_ref().map(|response| &*response.id.0));
            }
            "response.completed" | "response.done" => {
                let response = event.response.and_then(read::<Response<'_>>);
                return self.complete(response.as_ref(), data, out);
            }
            "response.failed" | "response.cancelled" | "error" => {
                let response = event.response.and_then(read::<Response<'_>>);
                return Err(self.failed(response.as_ref(), data));
            }
            "response.incomplete" => {
                let response = event.response.and_then(read::<Response<'_>>);
                return self.incomplete(response.as_ref(), out);
            }
            "" if failure::is_error(data) => return Err(self.failed(None, data)),
            "" => return Ok(Flow::More),
            _ => {}
        }
        self.understood = true;
        Ok(Flow::More)
    }

    fn say(&mut self, event: &Event<'_>, words: Cow<'_, str>, out: &mut Events) {
        match self.slots.owner(MESSAGE, Kind::Message, event.named()) {
            Owner::Slot(at) => {
                self.slots.0[at].add(event.part(), &words);
                out.text(index(at), words.into_owned());
            }
            Owner::Complete(at) => self.slots.0[at].late.push_str(&words),
            Owner::Unknown => {}
        }
    }

    /// Words that may have come in pieces already.
    fn say_whole(&mut self, event: &Event<'_>, words: Cow<'_, str>, out: &mut Events) {
        if let Owner::Slot(at) = self.slots.owner(MESSAGE, Kind::Message, event.named())
            && self.slots.0[at].add_whole(event.part(), &words)
        {
            out.text(index(at), words.into_owned());
        }
    }

    fn think(&mut self, event: &Event<'_>, words: Cow<'_, str>, whole: bool, out: &mut Events) {
        if let Owner::Slot(at) = self.slots.owner(THOUGHT, Kind::Reasoning, event.named()) {
            let new = self.slots.0[at].hear(event.part());
            if new || !whole {
                out.reasoning(index(at), words.into_owned());
            }
        }
    }

    /// Paragraphs after the first start a new line.
    fn paragraph(&mut self, event: &Event<'_>, out: &mut Events) {
        if let Owner::Slot(at) = self.slots.owner(THOUGHT, Kind::Reasoning, event.named()) {
            self.slots.0[at].paragraphs += 1;
            if self.slots.0[at].paragraphs > 1 {
                out.reasoning(index(at), "\n\n".to_owned());
            }
        }
    }

    fn argue(&mut self, event: &Event<'_>, kind: Kind, whole: bool) {
        let text = match (whole, kind) {
            (false, _) => event.piece(),
            (true, Kind::Custom) => json::text_or_empty(event.input),
            (true, _) => json::text_or_raw(event.arguments),
        };
        match self.slots.owner(Kind::is_streamed, kind, event.named()) {
            Owner::Slot(at) if whole && !text.is_empty() => {
                self.slots.0[at].hear(0);
                self.slots.0[at].text = text.into_owned();
            }
            Owner::Slot(_) if whole => {}
            Owner::Slot(at) => self.slots.0[at].text.push_str(&text),
            Owner::Complete(_) => {}
            Owner::Unknown => self.unclear = true,
        }
    }

    /// An item that an event says is complete.
    fn item(
        &mut self,
        place: Option<u32>,
        raw: &RawValue,
        out: &mut Events,
    ) -> Result<(), ModelError> {
        let Some(item) = read::<WireItem<'_>>(raw) else {
            tracing::debug!("an output item that cannot be read was passed over");
            return Ok(());
        };
        // What has come already is not copied again: it may be long.
        let come = self.slots.come(&item);
        let text = if come.is_some() { Cow::Borrowed("") } else { item.text() };
        let words = come.map_or(&*text, |at| self.slots.0[at].gathered());
        let said = Said::of(item.kind(), item.name(), words, Some(raw));
        match self.slots.place(&item, &said, place) {
            Place::Slot(at) => {
                let text = if come.is_some_and(|come| come != at) { item.text() } else { text };
                self.settle(at, &item, raw, (text, said), true, out)
            }
            Place::Known => Ok(()),
            Place::Ambiguous => Err(self.ambiguous(item.name())),
        }
    }

    /// Completes an item, whose own words are given. `early`: the last event is still to come.
    fn settle(
        &mut self,
        at: usize,
        item: &WireItem<'_>,
        raw: &RawValue,
        (own, mut said): (Cow<'_, str>, Said),
        early: bool,
        out: &mut Events,
    ) -> Result<(), ModelError> {
        let slot = &mut self.slots.0[at];
        let lacking = own.is_empty() || (item.kind().is_call() && item.name().is_empty());
        let gathered = slot.take_gathered();
        // Some servers leave the finished item empty. What has come is taken where it is the same:
        // it may be long, and needs no copy.
        let text = if own.is_empty() || own == gathered { gathered } else { own.into_owned() };
        for (known, own) in [
            (&mut slot.id, item.id()),
            (&mut slot.call_id, item.call_id()),
            (&mut slot.name, item.name()),
        ] {
            if known.is_empty() {
                known.push_str(own);
            }
        }
        if differ(&slot.call_id, item.call_id()) {
            item.call_id().clone_into(&mut slot.call_id);
        }
        let silent = item.kind().is_call() && text.is_empty();
        if silent && self.unclear {
            return Err(self.lost(item.name()));
        }
        let slot = &mut self.slots.0[at];
        if lacking {
            said = Said::of(item.kind(), &slot.name, &text, Some(raw));
        }
        slot.said = (!(silent && early)).then_some(said);
        let known = (&*slot.call_id, &*slot.id, &*slot.name);
        let done = item.item(raw, text, known, &self.custom);
        self.answered.extend(item.answers().map(str::to_owned));
        let unclear = silent || item.is_servers().is_none();
        self.done(at, done, unclear && early, out);
        Ok(())
    }

    fn done(&mut self, at: usize, mut item: Item, hold: bool, out: &mut Events) {
        if let Item::Assistant(item) = &mut item {
            self.said |= item.says_something();
            item.cut |= self.cut;
        }
        if let Some((_, held)) = self.held.iter_mut().find(|(held, _)| *held == at) {
            *held = item;
        } else if hold || !self.held.is_empty() {
            self.held.push((at, item));
        } else {
            out.done(index(at), self.unless_answered(item));
        }
    }

    fn complete(
        &mut self,
        response: Option<&Response<'_>>,
        data: &str,
        out: &mut Events,
    ) -> Result<Flow, ModelError> {
        self.understood = true;
        let status = response.map_or("", |response| &*response.status.0);
        let error = response.and_then(|response| response.error).is_some_and(json::is_set);
        if error || matches!(status, "failed" | "cancelled") {
            return Err(self.failed(response, data));
        }
        if status == "incomplete" {
            return self.incomplete(response, out);
        }
        out.open(response.map(|response| &*response.id.0));
        self.list(response, |_| true, out)?;
        self.close(out, false)?;
        let usage = response.and_then(|response| response.usage).and_then(WireUsage::read);
        let end_turn = response.and_then(|response| response.end_turn);
        Ok(Flow::Done(ModelEvent::Completed { usage, end_turn }))
    }

    /// Takes those items of the list in the last event that have not come yet.
    fn list(
        &mut self,
        response: Option<&Response<'_>>,
        wanted: fn(Kind) -> bool,
        out: &mut Events,
    ) -> Result<(), ModelError> {
        let output = response.and_then(|response| response.output.as_deref()).unwrap_or_default();
        let items: Vec<_> = output.iter().filter_map(|raw| Listed::read(raw)).collect();
        let answered = items.iter().filter_map(|listed| listed.item.answers());
        self.answered.extend(answered.map(str::to_owned));
        let places = self.slots.listed(&items);
        for (listed, place) in items.iter().zip(places) {
            let item = &listed.item;
            match place {
                _ if !wanted(item.kind()) => {}
                Place::Slot(at) => {
                    let words = (item.text(), listed.said().clone());
                    self.settle(at, item, listed.raw, words, false, out)?;
                }
                Place::Known => {}
                Place::Ambiguous => return Err(self.ambiguous(item.name())),
            }
        }
        Ok(())
    }

    /// Completes what began and never was completed, and lets go what was held.
    fn close(&mut self, out: &mut Events, cut: bool) -> Result<(), ModelError> {
        for (at, item) in std::mem::take(&mut self.held) {
            let item = self.unless_answered(item);
            if !(cut && matches!(item, Item::Call(_))) {
                self.slots.0[at].said.get_or_insert(Said::Other(serde_json::Value::Null));
                out.done(index(at), item);
            }
        }
        for at in 0..self.slots.0.len() {
            let slot = &mut self.slots.0[at];
            let late = std::mem::take(&mut slot.late);
            if !late.is_empty() && slot.said != Some(Said::of(Kind::Message, "", &late, None)) {
                out.done(index(at), spoken(late, cut));
            }
            let text = slot.gathered().to_owned();
            match slot.kind {
                _ if slot.said.is_some() => {}
                Kind::Message if !text.is_empty() => out.done(index(at), spoken(text, cut)),
                kind @ (Kind::Function | Kind::Custom) if !cut => {
                    let whole = kind == Kind::Custom || slot.is_heard() || json::is_object(&text);
                    if text.is_empty() || slot.name.is_empty() || !whole {
                        let name = slot.name.clone();
                        return Err(self.lost(&name));
                    }
                    let ids = (slot.call_id.clone(), owned(&slot.id));
                    let item = call(kind, ids, slot.name.clone(), text, &self.custom);
                    out.done(index(at), Item::Call(item));
                }
                kind if kind.is_call() && !cut => {
                    let name = slot.name.clone();
                    return Err(self.lost(&name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A call as the server's own work, if it made the call itself.
    fn unless_answered(&self, item: Item) -> Item {
        match item {
            Item::Call(CallItem { wire_id, opaque: Some(opaque), .. })
                if self.answered.contains(&wire_id) =>
            {
                let kind = kinds::name_of(&opaque.json);
                Item::Opaque(OpaqueItem { kind, opaque })
            }
            item => item,
        }
    }

    fn ambiguous(&self, name: &str) -> ModelError {
        let what = format!(
            "two calls of `{name}` cannot be told apart by their ids: they may be one that was sent twice"
        );
        failure::unclear(&self.endpoint, &what)
    }

    fn lost(&self, name: &str) -> ModelError {
        let what = format!("a call of `{name}` began, and not all of it came");
        failure::unclear(&self.endpoint, &what)
    }

    fn failed(&mut self, response: Option<&Response<'_>>, data: &str) -> ModelError {
        self.understood = true;
        let error =
            response.and_then(|response| response.error).filter(|error| json::is_set(error));
        let value = serde_json::from_str(error.map_or(data, RawValue::get)).unwrap_or_default();
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
            #[serde(borrow, default)]
            reason: Name<'a>,
        }
        self.understood = true;
        self.cut = true;
        // A call that was cut must not run.
        self.list(response, MESSAGE, out)?;
        let open = |text: &str| says_something(text);
        let said = self.said
            || self.slots.0.iter().any(|slot| slot.kind == Kind::Message && open(slot.gathered()));
        let called = self.slots.0.iter().any(|slot| slot.kind.is_call());
        self.close(out, true)?;
        let details = response.and_then(|response| response.incomplete_details);
        let reason = details.and_then(read::<Details<'_>>).map(|details| details.reason.0);
        let reason = reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("unknown");
        let limit = matches!(reason, "max_output_tokens" | "length" | "max_tokens");
        if limit && said {
            let usage = response.and_then(|response| response.usage).and_then(WireUsage::read);
            return Ok(Flow::Done(ModelEvent::Completed { usage, end_turn: None }));
        }
        if limit && !called {
            return Err(failure::silent_limit(&self.endpoint));
        }
        Err(failure::stopped(&self.endpoint, reason))
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn spoken(text: String, cut: bool) -> Item {
    Item::Assistant(AssistantItem { text, cut, ..AssistantItem::default() })
}

impl Decode for Decoder {
    fn event(&mut self, name: &str, data: &[u8], out: &mut Events) -> Result<Flow, ModelError> {
        if data == b"[DONE]" {
            return Ok(Flow::More);
        }
        let text = json::utf8(data);
        match Event::read(&text) {
            Ok(event) if self.numbers.is_repeated(event.sequence_number.0, &text) => Ok(Flow::More),
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
        if response.output.is_none() {
            // The status of an error may be that of HTTP.
            if failure::is_error(&text) {
                return Err(self.failed(None, &text));
            }
            if response.status.0.is_empty() {
                return Ok(Flow::More);
            }
        }
        self.complete(Some(&response), &text, out)
    }

    fn end(&mut self, _: &mut Events) -> Result<Flow, ModelError> {
        Ok(Flow::More)
    }

    fn rest(&self) -> Rest {
        Rest::More
    }

    fn understood(&self) -> bool {
        self.understood
    }
}
