//! What must hold for every request, whatever happened before it.
//!
//! A model server refuses a history whose calls and outputs do not pair, and a session that
//! once produced such a request cannot go on. So every request is checked as it arrives.

use super::request::by_model;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Checks the body of a request of either wire.
///
/// Every call has exactly one output, of its kind, directly after the group of items the call came in; no output is
/// without its call; no call id occurs twice; no item comes between a group and its outputs.
///
/// # Errors
/// The first thing that does not hold, with the place of the item.
pub fn check_request(body: &Value) -> Result<(), String> {
    let list = body.get("input").or_else(|| body.get("messages"));
    let Some(items) = list.and_then(Value::as_array) else {
        return Err("no `input` and no `messages`".to_owned());
    };
    let mut pairs = Pairs::default();
    for (at, item) in items.iter().enumerate() {
        pairs.item(item).map_err(|error| format!("item {at}: {error}"))?;
    }
    pairs.group_ends().map_err(|error| format!("at the end: {error}"))
}

#[derive(Default)]
struct Pairs {
    seen: HashSet<String>,
    /// Calls of the present group that have no output yet, with the kind of output they need.
    open: HashMap<String, String>,
    answering: bool,
}

impl Pairs {
    fn item(&mut self, item: &Value) -> Result<(), String> {
        if let Some((id, kind)) = output_of(item)? {
            return self.output(&id, &kind);
        }
        if self.answering || !by_model(item) {
            self.group_ends()?;
        }
        for (id, kind) in calls_of(item)? {
            if !self.seen.insert(id.clone()) {
                return Err(format!("the call id `{id}` occurs twice"));
            }
            self.open.insert(id, kind);
        }
        Ok(())
    }

    fn output(&mut self, id: &str, kind: &str) -> Result<(), String> {
        self.answering = true;
        match self.open.remove(id) {
            Some(wanted) if wanted == kind => Ok(()),
            Some(wanted) => Err(format!("the call `{id}` needs a {wanted}, not a {kind}")),
            None if self.seen.contains(id) => {
                Err(format!("a second output for `{id}`, or one far from its call"))
            }
            None => Err(format!("an output for `{id}`, which no call before it has")),
        }
    }

    fn group_ends(&mut self) -> Result<(), String> {
        self.answering = false;
        match self.open.keys().min() {
            None => Ok(()),
            Some(id) => Err(format!("the call `{id}` has no output after its group")),
        }
    }
}

fn output_of(item: &Value) -> Result<Option<(String, String)>, String> {
    if item["role"] == "tool" {
        return Ok(Some((string(item, "tool_call_id")?, "tool message".to_owned())));
    }
    match item["type"].as_str() {
        Some("tool_search_output") => {
            Ok(Some((string(item, "call_id")?, "tool_search_call_output".to_owned())))
        }
        Some(kind) if kind.ends_with("_call_output") => {
            Ok(Some((string(item, "call_id")?, kind.to_owned())))
        }
        _ => Ok(None),
    }
}

/// Kinds of calls that always have an id.
const ANSWERED: [&str; 7] = [
    "function_call",
    "custom_tool_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
    "tool_search_call",
];

fn calls_of(item: &Value) -> Result<Vec<(String, String)>, String> {
    if let Some(calls) = item["tool_calls"].as_array() {
        let ids = calls.iter().map(|call| string(call, "id"));
        return ids.map(|id| Ok((id?, "tool message".to_owned()))).collect();
    }
    match item["type"].as_str() {
        // What the server does by itself has no output of ours.
        Some(
            "web_search_call"
            | "file_search_call"
            | "code_interpreter_call"
            | "image_generation_call"
            | "mcp_call",
        )
        | None => Ok(Vec::new()),
        // A kind that nobody knows need not have an id to answer to.
        Some(kind) if !ANSWERED.contains(&kind) && item.get("call_id").is_none() => Ok(Vec::new()),
        Some(kind) if kind.ends_with("_call") => {
            Ok(vec![(string(item, "call_id")?, format!("{kind}_output"))])
        }
        Some(_) => Ok(Vec::new()),
    }
}

fn string(item: &Value, key: &str) -> Result<String, String> {
    match item[key].as_str() {
        Some("") | None => Err(format!("no `{key}`")),
        Some(text) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
