//! Tool calls put together from pieces.
//!
//! By the rules a piece names its call by index, and the first piece alone has id and name. Servers
//! also send whole calls, all under index 0, under one id, or without any index or id; and give each
//! piece another id. So a piece belongs to the call with its id, else to the one at its index, and
//! starts another one where that call is whole, or where its name says so. A call that is named twice
//! under one id is one call; two that nothing tells apart are an error.

use crate::{
    calls,
    json::{is_object, text_or_empty, text_or_raw, value_or_text},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use troupe_types::{CallId, CallItem};

/// A piece of a call.
#[derive(Deserialize)]
pub(crate) struct CallDelta<'a> {
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<FunctionDelta<'a>>,
    /// Google's thought signatures.
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
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
        let function = Some(function);
        self.add_all(&[CallDelta { index: None, id: None, function, extra_content: None }]);
    }

    fn add(&mut self, delta: &CallDelta<'_>) {
        let function = delta.function.as_ref();
        let extra = delta.extra_content.filter(|raw| raw.get() != "null");
        let mut piece = Piece {
            index: delta.index.and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok()),
            id: text_or_raw(delta.id).into_owned(),
            name: text_or_empty(function.and_then(|function| function.name)).into_owned(),
            arguments: text_or_raw(function.and_then(|function| function.arguments)).into_owned(),
            extra: extra.map(|raw| format!("{{\"extra_content\":{}}}", raw.get())),
        };
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
        let Piece { index, id, name, arguments, extra } = piece;
        let (again, ids_vary) = (false, false);
        self.calls.push(PartialCall { index, id, name, arguments, extra, again, ids_vary });
    }

    /// The calls in their order, each with the further members to be sent back with it; or of which
    /// tool there are calls that cannot be told apart.
    pub(crate) fn finish(
        &mut self,
        custom: &HashSet<String>,
    ) -> Result<Vec<(CallItem, Option<String>)>, String> {
        if let Some(name) = self.unclear.take() {
            return Err(name);
        }
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain(|call| !(call.name.is_empty() && call.arguments.is_empty()));
        drop_empty_starts(&mut calls);
        drop_repeated(&mut calls);
        calls.sort_by_key(|call| call.index.unwrap_or_default());
        let item = |call: PartialCall| {
            let input = calls::input(custom.contains(&call.name), call.arguments);
            let id = CallId::new();
            let item = CallItem { call: id, wire_id: call.id, id: None, tool: call.name, input };
            (item, call.extra)
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
    }
}
