//! Events as JSON lines, in the form that `codex exec --json` made common.

use crate::{
    exit::message_of,
    text::{command_line, exit_code, printed, result_text, status},
};
use serde_json::{Value, json};
use std::collections::HashMap;
use troupe_types::{
    CallDetail, CallFinished, CallId, CallInput, CallItem, Event, Item, Level, Outcome,
    PlanUpdated, Record, Usage,
};

/// Turns a session's events into lines.
#[derive(Debug, Default)]
pub struct JsonEvents {
    items: u64,
    /// Items that began and have not ended, and what they are.
    open: HashMap<CallId, (String, CallDetail)>,
    calls: HashMap<CallId, CallItem>,
    plan: Option<(String, Vec<Value>)>,
    /// Whether a terminal event was given.
    over: bool,
}

impl JsonEvents {
    /// The first line.
    #[must_use]
    pub fn thread_started(session: &str) -> Value {
        json!({ "type": "thread.started", "thread_id": session })
    }

    /// The line for a turn that goes on from an earlier process.
    #[must_use]
    pub fn turn_started() -> Value {
        json!({ "type": "turn.started" })
    }

    /// The last line of a run that never began.
    #[must_use]
    pub fn failed(message: &str) -> Value {
        json!({ "type": "turn.failed", "error": { "message": message } })
    }

    /// The last line where no turn's end comes any more; none if there was one already.
    pub fn fail(&mut self, message: &str) -> Option<Value> {
        let first = !std::mem::replace(&mut self.over, true);
        first.then(|| Self::failed(message))
    }

    fn next_id(&mut self) -> String {
        let id = format!("item_{}", self.items);
        self.items += 1;
        id
    }

    fn item(&mut self, kind: &str, fields: Value) -> Value {
        let id = self.next_id();
        event("item.completed", &id, kind, fields)
    }

    /// The lines of one event.
    pub fn on(&mut self, event: Event) -> Vec<Value> {
        match event {
            Event::Durable(line) => self.on_record(line.record),
            Event::Progress(_) => Vec::new(),
            Event::Skipped { offset, reason } => {
                let message = format!("the log's line at byte {offset} cannot be used: {reason}");
                vec![self.item("error", json!({ "message": message }))]
            }
            Event::StorageFailed(failure) => vec![error(&failure.message)],
            Event::Closed { .. } => Vec::new(),
        }
    }

    fn on_record(&mut self, record: Record) -> Vec<Value> {
        match &record {
            Record::TurnStarted(_) => vec![Self::turn_started()],
            Record::CallRequested(body) => {
                self.calls.insert(body.item.call, body.item.clone());
                Vec::new()
            }
            Record::CallStarted(body) => {
                let id = self.next_id();
                let line = self.call_event("item.started", &id, body.call, &body.detail, None);
                self.open.insert(body.call, (id, body.detail.clone()));
                vec![line]
            }
            Record::CallFinished(body) => self.on_call_finished(body),
            Record::PlanUpdated(body) => self.on_plan(body),
            Record::Notice(body) => match body.level {
                Level::Retry => vec![error(&body.text)],
                Level::Warning | Level::Error => {
                    vec![self.item("error", json!({ "message": body.text }))]
                }
            },
            Record::HostDecided(body) if !body.allowed => {
                let message = format!("{}:{} is refused: {}", body.host, body.port, body.reason);
                vec![self.item("error", json!({ "message": message }))]
            }
            Record::TurnFinished(body) => self.on_turn_finished(&body.result, body.usage),
            _ => match record {
                // Its text may be long: it is moved.
                Record::ItemCompleted(body) => self.on_item(body.item),
                _ => Vec::new(),
            },
        }
    }

    fn on_item(&mut self, item: Item) -> Vec<Value> {
        match item {
            Item::Assistant(item) if !item.text.is_empty() => {
                let mut fields = json!({ "text": null });
                fields["text"] = Value::String(item.text);
                vec![self.item("agent_message", fields)]
            }
            Item::Reasoning(item) => {
                let text = if item.summary.is_empty() { &item.content } else { &item.summary };
                let text = text.join("\n\n");
                if text.trim().is_empty() {
                    return Vec::new();
                }
                vec![self.item("reasoning", json!({ "text": text }))]
            }
            _ => Vec::new(),
        }
    }

    fn on_call_finished(&mut self, body: &CallFinished) -> Vec<Value> {
        let item = self.calls.remove(&body.call);
        let began = self.open.remove(&body.call);
        if began.is_none() && item.as_ref().is_some_and(|item| item.tool == "update_plan") {
            return Vec::new();
        }
        if let Some(item) = &item {
            self.calls.insert(body.call, item.clone());
        }
        let (id, began_as) = match began {
            Some((id, detail)) => (id, detail),
            None => (self.next_id(), CallDetail::Tool { summary: String::new() }),
        };
        // A lost call has no detail of its own: it stays what it was.
        let detail = body.detail.as_ref().unwrap_or(&began_as);
        let line = self.call_event("item.completed", &id, body.call, detail, Some(body));
        self.calls.remove(&body.call);
        vec![line]
    }

    fn call_event(
        &self,
        kind: &str,
        id: &str,
        call: CallId,
        detail: &CallDetail,
        finished: Option<&CallFinished>,
    ) -> Value {
        let state = finished.map_or("in_progress", status);
        match detail {
            CallDetail::Command { argv, .. } => event(
                kind,
                id,
                "command_execution",
                json!({
                    "command": command_line(argv),
                    "aggregated_output": finished.map(printed).unwrap_or_default(),
                    "exit_code": exit_code(finished.and_then(|finished| finished.detail.as_ref())),
                    "status": state,
                }),
            ),
            CallDetail::Patch { changes } => {
                let changes = changes.iter().map(|change| {
                    json!({ "path": change.path.display().to_string(), "kind": change.kind })
                });
                // This kind of item knows no other word for it.
                let state = if state == "declined" { "failed" } else { state };
                let changes = changes.collect::<Vec<_>>();
                event(kind, id, "file_change", json!({ "changes": changes, "status": state }))
            }
            CallDetail::Tool { .. } => self.tool_event(kind, id, call, finished),
        }
    }

    fn tool_event(
        &self,
        kind: &str,
        id: &str,
        call: CallId,
        finished: Option<&CallFinished>,
    ) -> Value {
        let item = self.calls.get(&call);
        let arguments = item.map_or(Value::Null, |item| match &item.input {
            CallInput::Json(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            CallInput::Text(text) => Value::String(text.clone()),
        });
        let text = finished.map(result_text).unwrap_or_default();
        let fine = finished.is_some_and(|finished| finished.outcome.is_completed());
        let result =
            json!({ "content": [{ "type": "text", "text": text }], "structured_content": null });
        event(
            kind,
            id,
            "mcp_tool_call",
            json!({
                "server": "troupe",
                "tool": item.map_or("", |item| item.tool.as_str()),
                "arguments": arguments,
                "result": if fine { result } else { Value::Null },
                "error": if fine || finished.is_none() { Value::Null } else { json!({ "message": text }) },
                "status": if fine { "completed" } else if finished.is_some() { "failed" } else { "in_progress" },
            }),
        )
    }

    fn on_plan(&mut self, body: &PlanUpdated) -> Vec<Value> {
        let done =
            |step: &troupe_types::PlanStep| step.status == troupe_types::StepStatus::Completed;
        let steps: Vec<Value> = body
            .plan
            .iter()
            .map(|step| json!({ "text": step.step, "completed": done(step) }))
            .collect();
        let (kind, id) = match self.plan.take() {
            Some((id, _)) => ("item.updated", id),
            None => ("item.started", self.next_id()),
        };
        let line = event(kind, &id, "todo_list", json!({ "items": steps }));
        self.plan = Some((id, steps));
        vec![line]
    }

    fn on_turn_finished(&mut self, outcome: &Outcome, usage: Usage) -> Vec<Value> {
        let mut lines = Vec::new();
        if let Some((id, steps)) = self.plan.take() {
            lines.push(event("item.completed", &id, "todo_list", json!({ "items": steps })));
        }
        self.over = true;
        lines.push(match outcome {
            Outcome::Completed => json!({
                "type": "turn.completed",
                "usage": {
                    "input_tokens": usage.input_tokens,
                    "cached_input_tokens": usage.cached_input_tokens,
                    "cache_write_input_tokens": usage.cache_write_input_tokens,
                    "output_tokens": usage.output_tokens,
                    "reasoning_output_tokens": usage.reasoning_output_tokens,
                },
            }),
            outcome => Self::failed(&message_of(outcome)),
        });
        lines
    }
}

fn error(message: &str) -> Value {
    json!({ "type": "error", "message": message })
}

fn event(kind: &str, id: &str, item: &str, fields: Value) -> Value {
    let mut body = json!({ "id": id, "type": item });
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    json!({ "type": kind, "item": body })
}
