//! The context: which items the model is shown, in an order every provider accepts.
//!
//! [`assemble`] is total: whatever the entries are, each call in its result has exactly one output
//! behind it, and each output a call before it.

use super::state::State;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use troupe_types::{
    AssistantItem, CallId, CallItem, Content, Item, LinePlace, Outcome, OutputItem, Record,
    RequestId,
};

/// Who an entry is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The user or the host.
    Host,
    /// The model, in this request.
    Model(RequestId),
    /// A call's end.
    Output,
}

/// Where a line is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where it starts, in bytes.
    pub(crate) offset: u64,
    /// Its digest.
    pub(crate) digest: u32,
}

/// One record that is part of the context. Its items can be let go and read again.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// Where its line is in the log, once it is written.
    pub(crate) place: Option<Place>,
    pub(crate) source: Source,
    /// `None` while they are let go.
    pub(crate) items: Option<Vec<Arc<Item>>>,
}

impl Entry {
    /// What a record adds to the context, if anything.
    pub(crate) fn content(record: &Record) -> Option<(Source, Vec<Arc<Item>>)> {
        Some(match record {
            Record::ItemAdded(body) => (Source::Host, vec![Arc::new(body.item.clone())]),
            Record::ItemCompleted(body) => {
                (Source::Model(body.request), vec![Arc::clone(&body.item)])
            }
            Record::CallRequested(body) => {
                (Source::Model(body.request), vec![Arc::new(Item::Call(body.item.clone()))])
            }
            Record::CallFinished(body) => {
                (Source::Output, vec![Arc::new(Item::Output(State::output(body)))])
            }
            Record::Compacted(body) => {
                (Source::Host, body.replacement.iter().cloned().map(Arc::new).collect())
            }
            _ => return None,
        })
    }

    /// An entry whose items are to be read from the log.
    pub(crate) fn at(line: LinePlace) -> Self {
        let place = Place { offset: line.offset, digest: line.digest };
        Self { seq: line.seq, place: Some(place), source: Source::Host, items: None }
    }
}

/// The items of the context, with every call answered right behind its group.
pub(crate) fn assemble(entries: &[Entry]) -> Vec<Arc<Item>> {
    let mut outputs: HashMap<CallId, Arc<Item>> = HashMap::new();
    for item in entries.iter().flat_map(|entry| entry.items.iter().flatten()) {
        if let Item::Output(output) = &**item {
            outputs.entry(output.call).or_insert_with(|| Arc::clone(item));
        }
    }
    let mut out = Assembly { outputs, open: Vec::new(), seen: HashSet::new(), result: Vec::new() };
    let mut group = None;
    for entry in entries {
        for item in entry.items.iter().flatten() {
            let of_model = match &**item {
                Item::Output(_) => continue,
                Item::Call(call) if !out.seen.insert(call.call) => continue,
                // Servers refuse a message without content.
                Item::Assistant(item) if !item.says_something() => continue,
                Item::Call(_) | Item::Assistant(_) | Item::Reasoning(_) | Item::Opaque(_) => true,
                Item::User(_) | Item::Context(_) | Item::Summary(_) => false,
            };
            if !of_model || group != Some(entry.source) {
                out.end_group();
            }
            group = of_model.then_some(entry.source);
            if let Item::Call(call) = &**item {
                out.open.push(call.call);
            }
            out.result.push(Arc::clone(item));
        }
    }
    out.end_group();
    distinct_wire_ids(&mut out.result);
    out.result
}

struct Assembly {
    outputs: HashMap<CallId, Arc<Item>>,
    /// Calls of the group at hand, in order.
    open: Vec<CallId>,
    seen: HashSet<CallId>,
    result: Vec<Arc<Item>>,
}

impl Assembly {
    /// Ends the model's group: reasoning that nothing follows goes, since providers refuse it; the
    /// calls are answered, in their order.
    fn end_group(&mut self) {
        while self.result.last().is_some_and(|item| matches!(**item, Item::Reasoning(_))) {
            self.result.pop();
        }
        for call in self.open.drain(..) {
            let output = self.outputs.remove(&call);
            self.result.push(output.unwrap_or_else(|| Arc::new(unanswered(call))));
        }
    }
}

fn unanswered(call: CallId) -> Item {
    Item::Output(OutputItem {
        call,
        outcome: Outcome::Cancelled,
        content: vec![Content::text("aborted")],
        exit_code: None,
    })
}

/// Models leave the id out or use one twice; such calls go under our own.
fn distinct_wire_ids(items: &mut [Arc<Item>]) {
    let mut seen = HashSet::new();
    for slot in items.iter_mut() {
        let Item::Call(call) = &**slot else { continue };
        if call.wire_id.is_empty() || !seen.insert(call.wire_id.clone()) {
            let own = CallItem { wire_id: call.call.to_string(), ..call.clone() };
            *slot = Arc::new(Item::Call(own));
        }
    }
}

/// The call with this id, where its items are at hand.
pub(crate) fn find_call(entries: &[Entry], id: CallId) -> Option<&CallItem> {
    entries.iter().rev().flat_map(|entry| entry.items.iter().flatten()).find_map(|item| {
        match &**item {
            Item::Call(call) if call.call == id => Some(call),
            _ => None,
        }
    })
}

/// The text the model had written when its stream broke.
pub(crate) fn cut_text(text: String) -> Item {
    Item::Assistant(AssistantItem { text, cut: true, ..AssistantItem::default() })
}
