//! The kinds of items in a Responses answer: what each means to us, and how the calls among them are
//! answered. [`KINDS`] is the one list of them.
//!
//! Calls of tools that a server has built in mean tools of ours where the mapping is exact; all others are
//! requested under their kind's name, so that they are refused by name like every tool that there is not.
//! Each is sent back as it came, with the output that belongs to its kind.

use super::wire::read;
use crate::{
    calls,
    json::{self, Name},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use std::collections::BTreeMap;
use troupe_types::{Outcome, OutputItem};

/// What an item is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    /// A call of a function.
    Function,
    /// A call of a tool that takes free text.
    Custom,
    /// A program with its arguments, to be run here.
    LocalShell,
    /// Scripts, to be run here or in a container of the server's.
    Shell,
    /// One file to be created, changed or removed.
    Patch,
    /// The server asks whether it may call a tool itself.
    Approval,
    /// A mouse or a keyboard is to be used.
    Computer,
    /// Tools are searched for, here or by the server.
    ToolSearch,
    /// A call of a kind that is not listed.
    Foreign,
    /// The server's own work, or an item of a kind that is not listed and waits for nothing.
    Other,
}

/// Every kind that is known.
const KINDS: [(&str, Kind); 21] = [
    ("message", Kind::Message),
    ("reasoning", Kind::Reasoning),
    ("function_call", Kind::Function),
    ("custom_tool_call", Kind::Custom),
    ("local_shell_call", Kind::LocalShell),
    ("shell_call", Kind::Shell),
    ("apply_patch_call", Kind::Patch),
    ("mcp_approval_request", Kind::Approval),
    ("computer_call", Kind::Computer),
    ("tool_search_call", Kind::ToolSearch),
    ("web_search_call", Kind::Other),
    ("file_search_call", Kind::Other),
    ("code_interpreter_call", Kind::Other),
    ("image_generation_call", Kind::Other),
    ("mcp_call", Kind::Other),
    ("mcp_list_tools", Kind::Other),
    ("program", Kind::Other),
    ("program_output", Kind::Other),
    ("tool_search_output", Kind::Other),
    ("additional_tools", Kind::Other),
    ("compaction", Kind::Other),
];

/// The end of a kind that answers the kind before it: `shell_call_output`.
const OUTPUT: &str = "_output";

/// A picture of one white dot: a computer call takes nothing else for an answer.
const BLANK: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEANl9ngAAAAABJRU5ErkJggg==";

impl Kind {
    /// The kind of an item with this name of a kind. One that is not listed and has a call's id waits for
    /// an answer, unless it is one.
    pub(super) fn of(name: &str, has_call_id: bool) -> Self {
        match KINDS.iter().find(|(known, _)| *known == name) {
            Some((_, kind)) => *kind,
            None if has_call_id && !name.ends_with(OUTPUT) => Self::Foreign,
            None => Self::Other,
        }
    }

    /// Whether it may wait for an answer of ours.
    pub(super) fn is_call(self) -> bool {
        !matches!(self, Self::Message | Self::Reasoning | Self::Other)
    }

    /// Whether its arguments may come in pieces.
    pub(super) fn is_streamed(self) -> bool {
        matches!(self, Self::Function | Self::Custom)
    }
}

/// The tool of ours that a call of this kind means, with its arguments as JSON text. `None` where there is
/// none, or where a part of the call has no counterpart.
pub(super) fn tool(kind: Kind, arguments: &str) -> Option<(&'static str, String)> {
    match kind {
        Kind::LocalShell => Some(("shell", local_shell(arguments)?)),
        Kind::Shell => Some(("shell", shell(arguments)?)),
        Kind::Patch => Some(("apply_patch", patch(arguments)?)),
        _ => None,
    }
}

/// Arguments of our `shell`.
#[derive(Serialize)]
struct Command<T> {
    command: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    workdir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

fn local_shell(action: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Exec<'a> {
        #[serde(rename = "type", borrow)]
        kind: Name<'a>,
        command: Vec<String>,
        #[serde(default)]
        working_directory: Option<String>,
        #[serde(default)]
        timeout_ms: Option<u64>,
        #[serde(default)]
        env: Option<BTreeMap<String, String>>,
        #[serde(borrow, default)]
        user: Name<'a>,
    }
    let exec: Exec<'_> = serde_json::from_str(action).ok()?;
    // Commands run as the user of this program and no other.
    if exec.kind.0 != "exec" || !exec.user.0.is_empty() {
        return None;
    }
    let mut command = exec.command;
    if let Some(env) = exec.env.filter(|env| !env.is_empty() && !command.is_empty()) {
        if !env.keys().all(|name| is_variable(name)) {
            return None;
        }
        let set = env.into_iter().map(|(name, value)| format!("{name}={value}"));
        command = std::iter::once("env".to_owned()).chain(set).chain(command).collect();
    }
    let (workdir, timeout_ms) = (exec.working_directory, exec.timeout_ms);
    Some(json::to_text(&Command { command, workdir, timeout_ms }))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn shell(action: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Scripts {
        commands: Vec<String>,
        #[serde(default)]
        timeout_ms: Option<u64>,
    }
    let Scripts { commands, timeout_ms } = serde_json::from_str(action).ok()?;
    let command = match commands.as_slice() {
        [script] => script.clone(),
        // Each has a shell of its own: none sees another's directory, and none ends the next.
        scripts => scripts.iter().map(|script| format!("(\n{script}\n)\n")).collect(),
    };
    Some(json::to_text(&Command { command, workdir: None, timeout_ms }))
}

fn patch(operation: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Operation<'a> {
        #[serde(rename = "type", borrow)]
        kind: Name<'a>,
        path: String,
        /// Absent or null where a file is deleted.
        #[serde(default)]
        diff: Option<String>,
    }
    let Operation { kind, path, diff } = serde_json::from_str(operation).ok()?;
    let diff = diff.unwrap_or_default();
    let head = match &*kind.0 {
        "create_file" => "Add",
        "update_file" => "Update",
        "delete_file" => "Delete",
        _ => return None,
    };
    // Neither may name a second file.
    let is_head = |line: &str| line.starts_with("*** ") && line.trim_end() != "*** End of File";
    if path.contains(['\n', '\r']) || diff.lines().any(is_head) {
        return None;
    }
    let end = if diff.is_empty() || diff.ends_with('\n') { "" } else { "\n" };
    let patch = format!("*** Begin Patch\n*** {head} File: {path}\n{diff}{end}*** End Patch");
    Some(json::to_text(&json!({ "input": patch })))
}

/// Whether the server makes the call itself: it has a container for it, or its own list of tools. `None`
/// where that shows only when the call's output comes with the answer, or does not.
pub(super) fn is_servers(
    kind: Kind,
    environment: Option<&RawValue>,
    execution: &str,
    call_id: &str,
) -> Option<bool> {
    #[derive(Deserialize)]
    struct Environment<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Name<'a>,
    }
    match kind {
        Kind::Shell => {
            let environment = environment.and_then(read::<Option<Environment<'_>>>).flatten();
            environment.map(|environment| environment.kind.0 != "local")
        }
        Kind::ToolSearch => Some(execution != "client" && call_id.is_empty()),
        Kind::Foreign => None,
        _ => Some(false),
    }
}

/// Whether an item of this kind is the output of a call.
pub(super) fn is_output(name: &str) -> bool {
    name.ends_with(OUTPUT)
}

/// A call as it came, under this id, which may be another than its own.
pub(super) fn under_id(json: &str, call_id: &str) -> Option<Value> {
    let mut item: Map<String, Value> = serde_json::from_str(json).ok()?;
    let member = if kind_of(&item) == Kind::Approval { "id" } else { "call_id" };
    if item.get(member).and_then(Value::as_str) == Some(call_id) {
        return None;
    }
    item.insert(member.to_owned(), call_id.into());
    Some(Value::Object(item))
}

/// The items that answer a call, which came as `json`, under this id. `role` is that of the host's words.
pub(super) fn answer(
    json: &str,
    call_id: &str,
    output: &OutputItem,
    role: &str,
) -> Option<Vec<Value>> {
    let item: Map<String, Value> = serde_json::from_str(json).ok()?;
    let text = calls::joined(&output.content);
    let answer = match kind_of(&item) {
        Kind::LocalShell => {
            json!({ "type": "local_shell_call_output", "call_id": call_id, "output": text })
        }
        Kind::Shell => {
            let outcome = match output.exit_code {
                None if output.outcome == Outcome::TimedOut => json!({ "type": "timeout" }),
                code => json!({ "type": "exit", "exit_code": code.unwrap_or(1) }),
            };
            let mut answer = json!({ "type": "shell_call_output", "call_id": call_id,
                "output": [{ "stdout": text, "stderr": "", "outcome": outcome }] });
            let most = item.get("action").and_then(|action| action.get("max_output_length"));
            if let Some(most) = most.filter(|most| most.is_u64()) {
                answer["max_output_length"] = most.clone();
            }
            answer
        }
        Kind::Patch => {
            let status = if output.outcome == Outcome::Completed { "completed" } else { "failed" };
            json!({ "type": "apply_patch_call_output", "call_id": call_id, "status": status,
                "output": text })
        }
        Kind::Approval => json!({ "type": "mcp_approval_response",
            "approval_request_id": call_id, "approve": false, "reason": text }),
        Kind::ToolSearch => json!({ "type": "tool_search_output", "call_id": call_id,
            "execution": "client", "status": "completed", "tools": [] }),
        Kind::Computer => {
            let checks = item.get("pending_safety_checks").cloned().unwrap_or_else(|| json!([]));
            let answer = json!({ "type": "computer_call_output", "call_id": call_id,
                "acknowledged_safety_checks": checks,
                "output": { "type": "computer_screenshot", "image_url": BLANK } });
            let words = json!({ "type": "message", "role": role,
                "content": [{ "type": "input_text", "text": text }] });
            return Some(vec![answer, words]);
        }
        _ => {
            let kind = item.get("type").and_then(Value::as_str)?;
            json!({ "type": format!("{kind}{OUTPUT}"), "call_id": call_id, "output": text })
        }
    };
    Some(vec![answer])
}

/// The name of an item's kind.
pub(super) fn name_of(json: &str) -> String {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Name<'a>,
    }
    serde_json::from_str::<Named<'_>>(json)
        .map_or_else(|_| String::new(), |item| item.kind.0.into_owned())
}

fn kind_of(item: &Map<String, Value>) -> Kind {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    Kind::of(text("type"), !text("call_id").is_empty())
}
