//! Tool calls put together from pieces.
//!
//! By the rules a piece names its call by index, and the first piece alone has id and name. Servers
//! also send whole calls, all under index 0, under one id, or without any index or id; and give each
//! piece another id. So a piece belongs to the call with its id, else to the one at its index, and
//! starts another one where that call is whole, or where its name says so. A call that is named twice
//! under one id is one call; two that nothing tells apart are an error.

use crate::{
    calls,
    json::{Name, is_object, text_or_empty, text_or_raw, value_or_text},
};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, fmt};
use troupe_types::{CallId, CallInput, CallItem, Opaque, Wire};

/// A piece of a call.
#[derive(Default)]
pub(crate) struct CallDelta<'a> {
    index: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    function: Option<FunctionDelta<'a>>,
    /// A tool that takes free text.
    custom: Option<CustomDelta<'a>>,
    /// Google's thought signatures.
    extra_content: Option<&'a RawValue>,
    /// The type, and the last of the other members: a call of another type has its own words there.
    kind: Option<&'a RawValue>,
    other: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for CallDelta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CallVisitor)
    }
}

struct CallVisitor;

impl<'de> Visitor<'de> for CallVisitor {
    type Value = CallDelta<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a piece of a call")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut delta = CallDelta::default();
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "index" => delta.index = members.next_value()?,
                "id" => delta.id = members.next_value()?,
                "function" => delta.function = members.next_value()?,
                "custom" => delta.custom = members.next_value()?,
                "extra_content" => delta.extra_content = members.next_value()?,
                "type" => delta.kind = members.next_value()?,
                _ => delta.other = members.next_value::<Option<&RawValue>>()?.or(delta.other),
            }
        }
        Ok(delta)
    }
}

/// The text of a piece for a tool that takes free text.
#[derive(Deserialize)]
pub(crate) struct CustomDelta<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

/// The function of a piece.
#[derive(Deserialize)]
pub(crate) struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    extra: Option<String>,
    /// Its arguments are free text.
    custom: bool,
    /// It was named again after it was whole: what comes next may be another call of this name.
    again: bool,
    /// Its arguments came under several ids.
    ids_vary: bool,
}

/// A piece, read.
struct Piece {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    extra: Option<String>,
    custom: bool,
}

impl Piece {
    fn read(delta: &CallDelta<'_>) -> Self {
        let extra = delta.extra_content.filter(|raw| raw.get() != "null");
        let (name, arguments) = match (&delta.function, &delta.custom) {
            (Some(function), _) => (text_or_empty(function.name), text_or_raw(function.arguments)),
            (None, Some(custom)) => (text_or_empty(custom.name), text_or_raw(custom.input)),
            // Of a type that is not known: its name is all that can be said.
            (None, None) => {
                let kind = text_or_empty(delta.kind);
                let known = matches!(&*kind, "" | "function" | "custom");
                if known { Default::default() } else { (kind, text_or_raw(delta.other)) }
            }
        };
        Self {
            index: delta.index.and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok()),
            id: text_or_raw(delta.id).into_owned(),
            name: name.into_owned(),
            arguments: arguments.into_owned(),
            extra: extra.map(|raw| format!("{{\"extra_content\":{}}}", raw.get())),
            custom: delta.function.is_none() && delta.custom.is_some(),
        }
    }
}

/// What a piece is to a call.
enum Bond {
    /// More of it.
    More,
    /// The whole of it, sent again.
    Again,
    /// The start of another call, of this name.
    Another(String),
    /// One or the other, and there is no telling.
    Unclear,
}

/// The calls of one answer so far.
#[derive(Default)]
pub(crate) struct PartialCalls {
    calls: Vec<PartialCall>,
    /// The calls of the chunk that is being read begin here: those of one chunk are never the same.
    chunk: usize,
    /// Of which tool there are calls that cannot be told apart.
    unclear: Option<String>,
}

impl PartialCalls {
    /// Takes the pieces of a chunk.
    pub(crate) fn add_all(&mut self, deltas: &[CallDelta<'_>]) {
        self.chunk = self.calls.len();
        deltas.iter().for_each(|delta| self.add(delta));
    }

    /// A piece in the form that came before tool calls.
    pub(crate) fn add_function(&mut self, function: FunctionDelta<'_>) {
        self.add_all(&[CallDelta { function: Some(function), ..CallDelta::default() }]);
    }

    fn add(&mut self, delta: &CallDelta<'_>) {
        let mut piece = Piece::read(delta);
        let Some(at) = self.owner(&piece) else { return self.start(piece) };
        let call = &mut self.calls[at];
        match call.bond(&piece, at >= self.chunk) {
            Bond::More => call.take(piece),
            Bond::Again => {}
            Bond::Another(name) => {
                piece.name = name;
                self.start(piece);
            }
            Bond::Unclear => self.unclear = Some(call.name.clone()),
        }
    }

    /// The call that a piece may belong to.
    fn owner(&self, piece: &Piece) -> Option<usize> {
        let last = |wanted: &dyn Fn(&PartialCall) -> bool| self.calls.iter().rposition(wanted);
        let with_id = |call: &PartialCall| !piece.id.is_empty() && call.id == piece.id;
        let here = |call: &PartialCall| call.index == piece.index;
        if piece.index.is_none() {
            return last(&with_id).or_else(|| last(&|_| true));
        }
        last(&|call| here(call) && with_id(call))
            .or_else(|| last(&here))
            // A name under another index begins a call, whatever the id.
            .or_else(|| last(&|call| piece.name.is_empty() && with_id(call)))
    }

    fn start(&mut self, piece: Piece) {
        let Piece { index, id, name, arguments, extra, custom } = piece;
        let (again, ids_vary) = (false, false);
        let call = PartialCall { index, id, name, arguments, extra, custom, again, ids_vary };
        self.calls.push(call);
    }

    /// The calls in their order, or of which tool there are calls that cannot be told apart.
    pub(crate) fn finish(&mut self, custom: &HashSet<String>) -> Result<Vec<CallItem>, String> {
        if let Some(name) = self.unclear.take() {
            return Err(name);
        }
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain(|call| !(call.name.is_empty() && call.arguments.is_empty()));
        drop_empty_starts(&mut calls);
        drop_repeated(&mut calls);
        calls.sort_by_key(|call| call.index.unwrap_or_default());
        let item = |call: PartialCall| CallItem {
            call: CallId::new(),
            wire_id: call.id,
            id: None,
            input: match call.custom {
                true => CallInput::Text(call.arguments),
                false => calls::input(custom.contains(&call.name), call.arguments),
            },
            tool: call.name,
            opaque: call.extra.map(|json| Opaque { wire: Wire::Chat, json }),
        };
        Ok(calls.into_iter().map(item).collect())
    }
}

/// Where each piece has another id and the name, the first pieces of a call look like calls of their own.
fn drop_empty_starts(calls: &mut Vec<PartialCall>) {
    let mut at = 0;
    while at + 1 < calls.len() {
        let (call, next) = (&calls[at], &calls[at + 1]);
        let start = call.arguments.is_empty() && call.index == next.index && call.name == next.name;
        if start && next.ids_vary {
            calls.remove(at);
        } else {
            at += 1;
        }
    }
}

/// Under one id, a call that says the same is the same, whatever its index.
fn drop_repeated(calls: &mut Vec<PartialCall>) {
    let mut kept: Vec<PartialCall> = Vec::with_capacity(calls.len());
    for call in calls.drain(..) {
        let same = |known: &PartialCall| {
            !call.id.is_empty()
                && known.id == call.id
                && known.name == call.name
                && same_json(&known.arguments, &call.arguments)
        };
        if !kept.iter().any(same) {
            kept.push(call);
        }
    }
    *calls = kept;
}

fn same_json(a: &str, b: &str) -> bool {
    a == b || value_or_text(a) == value_or_text(b)
}

impl PartialCall {
    /// What a piece is to this call, which has its id, or else its index.
    fn bond(&self, piece: &Piece, same_chunk: bool) -> Bond {
        let other_id = !piece.id.is_empty() && !self.id.is_empty() && piece.id != self.id;
        let same_id = !piece.id.is_empty() && piece.id == self.id;
        let named = !piece.name.is_empty();
        let other_name = named && !self.name.is_empty() && piece.name != self.name;
        let whole = || self.arguments.trim_end().ends_with('}') && is_object(&self.arguments);
        let another = || Bond::Another(piece.name.clone());
        if other_name && (other_id || !self.arguments.is_empty() || same_chunk) {
            return another();
        }
        if other_name && piece.index.is_none() && piece.id.is_empty() {
            return another();
        }
        // Free text shows no end: a name under another id begins another call.
        if other_id && named && piece.custom {
            return another();
        }
        // Without indices, where ids alone tell calls apart, their pieces may alternate.
        if other_id && named && piece.index.is_none() && Self::may_start(piece) {
            return another();
        }
        if other_id {
            // Another id is another call, unless the arguments are in the middle.
            return match (named, self.arguments.is_empty()) {
                (false, _) if piece.arguments.trim().is_empty() => Bond::More,
                (true, true) => another(),
                _ if !whole() => Bond::More,
                (true, false) => another(),
                (false, _) => Bond::Unclear,
            };
        }
        if self.arguments.is_empty() || piece.arguments.trim().is_empty() || !Self::may_start(piece)
        {
            return Bond::More;
        }
        if !whole() {
            return Bond::More;
        }
        let repeated = same_json(&self.arguments, &piece.arguments);
        match (named, repeated) {
            (false, true) => Bond::Again,
            (true, true) if same_id => Bond::Again,
            (true, true) if same_chunk => another(),
            (true, false) => another(),
            (false, false) if self.again => Bond::Another(self.name.clone()),
            _ => Bond::Unclear,
        }
    }

    /// Whether the arguments of a piece may be the start of some.
    fn may_start(piece: &Piece) -> bool {
        piece.arguments.trim_start().starts_with('{')
    }

    fn take(&mut self, piece: Piece) {
        let named = !piece.name.is_empty() && !self.name.is_empty();
        self.again |= named && piece.arguments.is_empty() && is_object(&self.arguments);
        self.ids_vary |= !piece.id.is_empty() && !self.id.is_empty() && piece.id != self.id;
        if self.id.is_empty() {
            self.id = piece.id;
        }
        if self.name.is_empty() {
            self.name = piece.name;
        }
        self.arguments.push_str(&piece.arguments);
        self.extra = piece.extra.or(self.extra.take());
        self.custom |= piece.custom;
    }
}
