//! Tool calls put together from pieces.
//!
//! By the rules a piece names its call by index, and the first piece alone has id and name. Servers also
//! send whole calls, all under index 0, or without any index or id.

use crate::{
    calls,
    json::{is_object, text_or_empty},
    responses::decode::arguments,
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
}

/// The calls of one answer so far.
#[derive(Default)]
pub(crate) struct PartialCalls(Vec<PartialCall>);

impl PartialCalls {
    /// Takes a piece.
    pub(crate) fn add(&mut self, delta: &CallDelta<'_>) {
        let index = delta.index.and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok());
        let id = text_or_empty(delta.id);
        let function = delta.function.as_ref();
        let name = text_or_empty(function.and_then(|function| function.name));
        let more = arguments(function.and_then(|function| function.arguments));
        let extra = delta.extra_content.filter(|raw| raw.get() != "null");
        let extra = extra.map(|raw| format!("{{\"extra_content\":{}}}", raw.get()));
        let known = self.0.iter_mut().rev().find(|call| index.is_none() || call.index == index);
        match known.filter(|call| !call.is_over(index, &id, &name, &more)) {
            Some(call) => {
                if call.id.is_empty() {
                    call.id = id;
                }
                if call.name.is_empty() {
                    call.name = name;
                }
                call.arguments.push_str(&more);
                call.extra = extra.or(call.extra.take());
            }
            None => self.0.push(PartialCall { index, id, name, arguments: more, extra }),
        }
    }

    /// A piece in the form that came before tool calls.
    pub(crate) fn add_function(&mut self, function: FunctionDelta<'_>) {
        self.add(&CallDelta {
            index: None,
            id: None,
            function: Some(function),
            extra_content: None,
        });
    }

    /// The calls in their order, each with the further members to be sent back with it.
    pub(crate) fn finish(&mut self, custom: &HashSet<String>) -> Vec<(CallItem, Option<String>)> {
        let mut calls = std::mem::take(&mut self.0);
        calls.retain(|call| !(call.name.is_empty() && call.arguments.is_empty()));
        calls.sort_by_key(|call| call.index.unwrap_or_default());
        let item = |call: PartialCall| {
            let input = calls::input(custom.contains(&call.name), call.arguments);
            let id = CallId::new();
            let item = CallItem { call: id, wire_id: call.id, id: None, tool: call.name, input };
            (item, call.extra)
        };
        calls.into_iter().map(item).collect()
    }
}

impl PartialCall {
    /// Whether a piece that seems to belong here is the start of another call.
    fn is_over(&self, index: Option<u64>, id: &str, name: &str, more: &str) -> bool {
        if !id.is_empty() && !self.id.is_empty() {
            return id != self.id;
        }
        if name.is_empty() || self.name.is_empty() {
            return false;
        }
        let unnamed = index.is_none() && id.is_empty();
        (unnamed && name != self.name) || (!more.is_empty() && is_object(&self.arguments))
    }
}
