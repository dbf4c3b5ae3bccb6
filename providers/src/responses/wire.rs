//! The items of a Responses answer as servers write them, and as ours.

use super::kinds::{self, Kind};
use crate::{
    calls,
    digest::digest,
    json::{self, Name},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, cell::OnceCell, collections::HashSet};
use troupe_types::{
    AssistantItem, CallId, CallInput, CallItem, Item, Opaque, OpaqueItem, ReasoningItem, Wire,
};

#[derive(Deserialize)]
pub(super) struct WireItem<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Name<'a>,
    #[serde(borrow, default)]
    id: Name<'a>,
    #[serde(borrow, default)]
    call_id: Name<'a>,
    #[serde(borrow, default)]
    name: Name<'a>,
    #[serde(borrow, default)]
    phase: Name<'a>,
    #[serde(borrow, default)]
    status: Name<'a>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    summary: Option<&'a RawValue>,
    /// The arguments of calls of built-in tools.
    #[serde(borrow, default)]
    action: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation: Option<&'a RawValue>,
    /// Where such a call is made.
    #[serde(borrow, default)]
    environment: Option<&'a RawValue>,
    #[serde(borrow, default)]
    execution: Name<'a>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
}

impl WireItem<'_> {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(&self.kind.0, !self.call_id.0.is_empty())
    }

    /// The item's id; empty if it has none.
    pub(super) fn id(&self) -> &str {
        &self.id.0
    }

    /// The call's id; empty if it has none.
    pub(super) fn call_id(&self) -> &str {
        if self.kind() == Kind::Approval { &self.id.0 } else { &self.call_id.0 }
    }

    /// The name of the tool; empty if there is none. A built-in tool goes by the kind of its calls.
    pub(super) fn name(&self) -> &str {
        let kind = self.kind();
        if kind.is_call() && !kind.is_streamed() { &self.kind.0 } else { &self.name.0 }
    }

    /// The id of the call whose output this is.
    pub(super) fn answers(&self) -> Option<&str> {
        let output = kinds::is_output(&self.kind.0) && !self.call_id.0.is_empty();
        output.then_some(&*self.call_id.0)
    }

    /// Whether it is a call that the server makes itself; `None` where the rest of the answer tells.
    pub(super) fn is_servers(&self) -> Option<bool> {
        kinds::is_servers(self.kind(), self.environment, &self.execution.0, &self.call_id.0)
    }

    /// The words of a message or the arguments of a call, as far as they are written here.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self.kind() {
            Kind::Message => {
                let mut parts = texts(self.content);
                if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat().into() }
            }
            Kind::Function => json::text_or_raw(self.arguments),
            Kind::Custom => json::text_or_empty(self.input),
            Kind::Reasoning | Kind::Other => Cow::Borrowed(""),
            _ => {
                let arguments = self.action.or(self.operation).or(self.arguments).or(self.input);
                let text = json::text_or_raw(arguments);
                if text.is_empty() { Cow::Borrowed("{}") } else { text }
            }
        }
    }

    /// Whether it is a message that says just this. The message is not copied: it may be long.
    pub(super) fn is_message_of(&self, text: &str) -> bool {
        let parts = self.content.and_then(read::<Vec<Part<'_>>>).unwrap_or_default();
        let mut texts = parts.iter().filter_map(|part| part.text.or(part.refusal));
        self.kind() == Kind::Message
            && texts.try_fold(text, |rest, part| json::without_text(rest, part)) == Some("")
    }

    /// The item as ours, with these words or arguments. A call has its ids and its name from `known`
    /// (the call's id, the item's, the name) where it lacks its own.
    pub(super) fn item(
        &self,
        raw: &RawValue,
        text: String,
        known: (&str, &str, &str),
        custom: &HashSet<String>,
    ) -> Item {
        let or = |own: &str, known: &str| (if own.is_empty() { known } else { own }).to_owned();
        let own = |texts: Vec<Cow<'_, str>>| texts.into_iter().map(Cow::into_owned).collect();
        let opaque = || Opaque { wire: Wire::Responses, json: raw.get().to_owned() };
        match self.kind() {
            Kind::Message => Item::Assistant(AssistantItem {
                id: owned(self.id()),
                text,
                phase: owned(&self.phase.0),
                cut: self.status.0 == "incomplete",
            }),
            Kind::Reasoning => Item::Reasoning(ReasoningItem {
                id: owned(self.id()),
                summary: own(texts(self.summary)),
                content: own(texts(self.content)),
                opaque: Some(opaque()),
            }),
            kind @ (Kind::Function | Kind::Custom) => {
                let ids = (or(self.call_id(), known.0), owned(&or(self.id(), known.1)));
                Item::Call(call(kind, ids, or(self.name(), known.2), text, custom))
            }
            kind if kind.is_call() && self.is_servers() != Some(true) => {
                let (tool, arguments) = match kinds::tool(kind, &text) {
                    Some((tool, arguments)) => (tool.to_owned(), arguments),
                    None => (self.kind.0.clone().into_owned(), text),
                };
                Item::Call(CallItem {
                    call: CallId::new(),
                    wire_id: or(self.call_id(), known.0),
                    id: owned(self.id()),
                    tool,
                    input: CallInput::Json(arguments),
                    opaque: Some(opaque()),
                })
            }
            _ => Item::Opaque(OpaqueItem {
                kind: self.kind.0.clone().into_owned(),
                opaque: opaque(),
            }),
        }
    }
}

/// A call with these ids (the call's own, and the item's).
pub(super) fn call(
    kind: Kind,
    (wire_id, id): (String, Option<String>),
    tool: String,
    text: String,
    custom: &HashSet<String>,
) -> CallItem {
    let input = match kind {
        Kind::Custom => CallInput::Text(text),
        _ => calls::input(custom.contains(&tool), text),
    };
    CallItem { call: CallId::new(), wire_id, id, tool, input, opaque: None }
}

/// What an item says, apart from its ids: to tell an item that is named again from another one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// The words of a message: how many bytes, and their digest. Answers can have many megabytes.
    Message(usize, u64),
    Call {
        name: String,
        arguments: Value,
    },
    Other(Value),
}

impl Said {
    /// Whether nothing is missing: a call has arguments.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Call { arguments: Value::String(text), .. } if text.is_empty())
    }

    /// What an item of this kind, name and text says.
    pub(super) fn of(kind: Kind, name: &str, text: &str, raw: Option<&RawValue>) -> Self {
        match kind {
            Kind::Message => Self::Message(text.len(), digest(text.as_bytes())),
            kind if kind.is_call() => {
                Self::Call { name: name.to_owned(), arguments: json::value_or_text(text) }
            }
            _ => {
                let raw = raw.map_or("null", RawValue::get);
                let mut value: Value = serde_json::from_str(raw).unwrap_or_default();
                if let Some(members) = value.as_object_mut() {
                    members.remove("id");
                }
                Self::Other(value)
            }
        }
    }
}

/// An item of the list in the last event. Most have come before and are known by their ids: they may
/// be long, and are not read again.
pub(super) struct Listed<'a> {
    pub(super) item: WireItem<'a>,
    pub(super) raw: &'a RawValue,
    said: OnceCell<Said>,
}

impl<'a> Listed<'a> {
    /// `None` if it is not of that form.
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        Some(Self { item: read(raw)?, raw, said: OnceCell::new() })
    }

    /// What it says.
    pub(super) fn said(&self) -> &Said {
        let item = &self.item;
        self.said.get_or_init(|| Said::of(item.kind(), item.name(), &item.text(), Some(self.raw)))
    }
}

/// Reads a part; `None` if it is not of that form.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A text, unless it is empty.
pub(super) fn owned(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The texts of a list of parts, of one string, or of nothing.
fn texts(raw: Option<&RawValue>) -> Vec<Cow<'_, str>> {
    let Some(raw) = raw else { return Vec::new() };
    if let Some(text) = json::text(raw) {
        return vec![text];
    }
    let parts = read::<Vec<Part<'_>>>(raw).unwrap_or_default();
    parts.iter().filter_map(|part| part.text.or(part.refusal)).filter_map(json::text).collect()
}
