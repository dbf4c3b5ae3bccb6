//! Tool calls as both wires see them: ids, custom tools as functions, arguments a server accepts.

use crate::json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};
use troupe_types::{
    CallId, CallInput, CallItem, Content, Item, OutputItem, ToolKind, ToolSpec, Wire,
};

/// The longest call id OpenAI accepts.
const MAX_ID: usize = 64;

/// The calls and outputs of a context, by call.
pub(crate) struct CallBook<'a> {
    ids: HashMap<CallId, Cow<'a, str>>,
    text_calls: HashSet<CallId>,
    opaque: HashMap<CallId, &'a str>,
    outputs: HashMap<CallId, &'a OutputItem>,
}

impl<'a> CallBook<'a> {
    /// Reads a context for this wire.
    pub(crate) fn new(items: &'a [Arc<Item>], wire: Wire) -> Self {
        let mut book = Self {
            ids: HashMap::new(),
            text_calls: HashSet::new(),
            opaque: HashMap::new(),
            outputs: HashMap::new(),
        };
        let mut seen = HashSet::new();
        for item in items {
            match &**item {
                Item::Call(call) => {
                    let own = call.wire_id.as_str();
                    let usable = !own.is_empty() && own.len() <= MAX_ID && seen.insert(own);
                    let id = if usable { own.into() } else { call.call.to_string().into() };
                    book.ids.insert(call.call, id);
                    if matches!(call.input, CallInput::Text(_)) {
                        book.text_calls.insert(call.call);
                    }
                    if let Some(part) = call.opaque.as_ref().filter(|part| part.wire == wire) {
                        book.opaque.insert(call.call, &part.json);
                    }
                }
                Item::Output(output) => {
                    book.outputs.insert(output.call, output);
                }
                _ => {}
            }
        }
        book
    }

    /// The id a call and its output go by on the wire: the model's own, or ours where that is empty,
    /// too long or taken. `None` for a call that is not in the context.
    pub(crate) fn id(&self, call: CallId) -> Option<&str> {
        self.ids.get(&call).map(AsRef::as_ref)
    }

    /// Whether the call's arguments were free text.
    pub(crate) fn is_text(&self, call: CallId) -> bool {
        self.text_calls.contains(&call)
    }

    /// What this wire had of the call beside its ids, its tool and its arguments.
    pub(crate) fn opaque(&self, call: CallId) -> Option<&'a str> {
        self.opaque.get(&call).copied()
    }

    /// The output of a call.
    pub(crate) fn output(&self, call: CallId) -> Option<&'a OutputItem> {
        self.outputs.get(&call).copied()
    }
}

/// The names of the tools whose arguments are free text.
pub(crate) fn custom_names(tools: &[ToolSpec]) -> HashSet<String> {
    let custom = |tool: &&ToolSpec| matches!(tool.kind, ToolKind::Custom { .. });
    tools.iter().filter(custom).map(|tool| tool.name.clone()).collect()
}

/// What a function that stands for a custom tool takes.
pub(crate) const INPUT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as text"}},"required":["input"],"additionalProperties":false}"#;

/// The description and schema of a tool offered as a function.
pub(crate) fn as_function(tool: &ToolSpec) -> (Cow<'_, str>, &str) {
    match &tool.kind {
        ToolKind::Function { schema } => (Cow::Borrowed(&tool.description), schema),
        ToolKind::Custom { grammar } if grammar.is_empty() => {
            (Cow::Borrowed(&tool.description), INPUT_SCHEMA)
        }
        ToolKind::Custom { grammar } => {
            let text =
                format!("{}\n\n`input` follows this Lark grammar:\n{grammar}", tool.description);
            (Cow::Owned(text), INPUT_SCHEMA)
        }
    }
}

#[derive(Serialize)]
struct InputArguments<'a> {
    input: &'a str,
}

#[derive(Serialize)]
struct BrokenArguments<'a> {
    invalid_arguments: &'a str,
}

/// The arguments of a call as one JSON object, which many servers insist on even for calls the model got
/// wrong.
pub(crate) fn arguments(call: &CallItem) -> Cow<'_, str> {
    match &call.input {
        CallInput::Text(input) => Cow::Owned(json::to_text(&InputArguments { input })),
        CallInput::Json(text) if json::is_object(text) => Cow::Borrowed(text),
        CallInput::Json(text) if text.trim().is_empty() => Cow::Borrowed("{}"),
        CallInput::Json(text) => {
            Cow::Owned(json::to_text(&BrokenArguments { invalid_arguments: text }))
        }
    }
}

/// The arguments of a function call as the tool takes them: for a custom tool the text in `input`, or in
/// the only member, or all of it if the model wrote no JSON.
pub(crate) fn input(custom: bool, arguments: String) -> CallInput {
    #[derive(Deserialize)]
    struct Input<'a> {
        #[serde(borrow)]
        input: &'a RawValue,
    }
    if !custom {
        return CallInput::Json(arguments);
    }
    let named = serde_json::from_str::<Input<'_>>(&arguments).ok();
    if let Some(text) = named.and_then(|found| json::text(found.input)) {
        return CallInput::Text(text.into_owned());
    }
    match serde_json::from_str::<HashMap<String, String>>(&arguments) {
        Ok(members) if members.len() == 1 => {
            CallInput::Text(members.into_values().next().unwrap_or_default())
        }
        _ => CallInput::Text(arguments),
    }
}

/// The texts of some content, one after the other.
pub(crate) fn joined(content: &[Content]) -> Cow<'_, str> {
    match content {
        [Content::Text { text }] => Cow::Borrowed(text),
        parts => {
            Cow::Owned(parts.iter().filter_map(Content::as_text).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// The images of some content.
pub(crate) fn images(content: &[Content]) -> impl Iterator<Item = &str> {
    content.iter().filter_map(|part| match part {
        Content::Image { url } => Some(url.as_str()),
        Content::Text { .. } => None,
    })
}
