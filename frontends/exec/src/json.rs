//! Events as JSON lines, in the form that `codex exec --json` made common.

use crate::{
    exit::message_of,
    item::{Status, command_facts},
    text::{
        NO_FINAL_MESSAGE, Retries, command_line, exit_code, flaws, given, mended, servers_own,
        weaker, why,
    },
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use troupe_types::{
    CallDetail, CallFinished, CallId, CallInput, CallItem, Event, Item, Level, Outcome,
    PlanUpdated, Record, RequestOutcome, RequestRetried, TurnFinished,
};

/// Turns a session's events into lines.
#[derive(Debug, Default)]
pub struct JsonEvents {
    items: u64,
    /// Items that began and have not ended, and what they are.
    open: HashMap<CallId, (String, CallDetail)>,
    calls: HashMap<CallId, CallItem>,
    plan: Option<(String, Vec<Value>)>,
    retries: Retries,
    /// Whether a terminal event was given.
    over: bool,
    /// The caller tells its own signals from failures, and wants no event for them.
    knows_its_signals: bool,
    /// A signal came that is not to be told.
    hushed: bool,
}

impl JsonEvents {
    /// No line yet. Where the caller `knows_its_signals`, a run that one ended has no terminal
    /// event, as OpenAI's SDK expects of a turn that it aborted.
    #[must_use]
    pub fn new(knows_its_signals: bool) -> Self {
        Self { knows_its_signals, ..Self::default() }
    }

    /// A signal came: what ends now ends because of it.
    pub fn signalled(&mut self) {
        self.hushed = self.knows_its_signals;
    }

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
        (first && !self.hushed).then(|| Self::failed(message))
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

    /// The line of something that has to be known, but failed nothing.
    pub(crate) fn remark(&mut self, message: &str) -> Value {
        self.item("error", json!({ "message": message }))
    }

    /// A warning that is no part of the session, as a line.
    #[must_use]
    pub fn aside(message: &str) -> String {
        format!("{}\n", error(message))
    }

    /// The lines of one event.
    pub fn on(&mut self, event: Event) -> Vec<Value> {
        match event {
            Event::Durable(line) => self.on_record(line.record),
            Event::Progress(_) => Vec::new(),
            Event::Skipped { offset, reason } => {
                let message = format!("the log's line at byte {offset} cannot be used: {reason}");
                vec![self.warning(&message)]
            }
            Event::StorageFailed(failure) => vec![error(&failure.message)],
            // Told as the run's end.
            Event::Halted(_) | Event::Closed { .. } => Vec::new(),
        }
    }

    // Every kind is named: a new one has to be thought of here.
    fn on_record(&mut self, record: Record) -> Vec<Value> {
        match record {
            Record::TurnStarted(_) => vec![Self::turn_started()],
            Record::ItemCompleted(body) => self.on_item(Arc::unwrap_or_clone(body.item)),
            Record::CallRequested(body) => {
                self.calls.insert(body.item.call, body.item);
                Vec::new()
            }
            Record::CallStarted(body) => {
                let id = self.next_id();
                let line = self.call_event("item.started", &id, body.call, &body.detail, None);
                self.open.insert(body.call, (id, body.detail));
                vec![line]
            }
            Record::CallFinished(body) => self.on_call_finished(&body),
            Record::PlanUpdated(body) => self.on_plan(&body),
            Record::RequestRetried(body) => vec![self.retried(&body)],
            Record::RequestFinished(body) => {
                if body.result == RequestOutcome::Completed {
                    self.retries.forget();
                }
                Vec::new()
            }
            Record::Notice(body) => match body.level {
                Level::Warning | Level::Error => vec![self.warning(&body.text)],
            },
            Record::Mended(body) => vec![self.warning(&mended(&body))],
            Record::LogFlaws(body) => vec![self.warning(&flaws(&body))],
            Record::SandboxWeaker(body) => vec![self.warning(&weaker(&body.ways))],
            Record::HostDecided(body) if body.allowed => Vec::new(),
            Record::HostDecided(body) => {
                let message = format!("{}:{} is refused: {}", body.host, body.port, body.reason);
                vec![self.warning(&message)]
            }
            Record::TurnFinished(body) => self.on_turn_finished(&body),
            Record::SessionCreated(_)
            | Record::SessionOpened(_)
            | Record::OpAccepted(_)
            | Record::ItemAdded(_)
            | Record::RequestStarted(_)
            | Record::TextPart(_)
            | Record::ApprovalAsked(_)
            | Record::ApprovalAnswered(_)
            | Record::ProcessEnded(_)
            | Record::Compacted(_)
            | Record::TurnWorked(_)
            | Record::Checkpoint(_) => Vec::new(),
        }
    }

    fn warning(&mut self, message: &str) -> Value {
        self.item("error", json!({ "message": message }))
    }

    fn on_item(&mut self, item: Item) -> Vec<Value> {
        match item {
            Item::Assistant(item) if item.says_something() => {
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
            Item::Opaque(item) => {
                servers_own(&item).map(|text| self.warning(&text)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn on_call_finished(&mut self, body: &CallFinished) -> Vec<Value> {
        let began = self.open.remove(&body.call);
        // The plan itself is shown.
        if began.is_none() && matches!(body.detail, Some(CallDetail::Plan)) {
            self.calls.remove(&body.call);
            return Vec::new();
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
        match detail {
            CallDetail::Command { argv, .. } => {
                let mut fields = json!({
                    "command": command_line(argv),
                    "aggregated_output": finished.map(given).unwrap_or_default(),
                    "exit_code": finished.and_then(exit_code),
                    "status": Status::of(finished).word(),
                });
                if let (Value::Object(fields), Some(finished)) = (&mut fields, finished) {
                    if let Some(message) = why(finished) {
                        fields.insert("error".to_owned(), json!({ "message": message }));
                    }
                    fields.extend(finished.result.command().map(command_facts).unwrap_or_default());
                }
                event(kind, id, "command_execution", fields)
            }
            CallDetail::Patch { changes } => {
                let changes = changes.iter().map(|change| {
                    json!({ "path": change.path.display().to_string(), "kind": change.kind })
                });
                let state = Status::of(finished).without_declined().word();
                let changes = changes.collect::<Vec<_>>();
                event(kind, id, "file_change", json!({ "changes": changes, "status": state }))
            }
            CallDetail::Interact { .. } | CallDetail::Plan | CallDetail::Tool { .. } => {
                self.tool_event(kind, id, call, finished)
            }
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
        let result = finished.filter(|finished| finished.outcome.is_completed()).map(|finished| {
            let facts = finished.result.command().map(command_facts);
            json!({
                "content": [{ "type": "text", "text": given(finished) }],
                "structured_content": facts,
            })
        });
        let error = finished.and_then(why).map(|message| json!({ "message": message }));
        let state = match finished {
            None => Status::InProgress,
            Some(finished) if finished.outcome.is_completed() => Status::Completed,
            Some(_) => Status::Failed,
        };
        event(
            kind,
            id,
            "mcp_tool_call",
            json!({
                "server": "troupe",
                "tool": item.map_or("", |item| item.tool.as_str()),
                "arguments": arguments,
                "result": result,
                "error": error,
                "status": state.word(),
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

    fn retried(&mut self, body: &RequestRetried) -> Value {
        let mut line = error(&self.retries.line(body));
        line["retry"] = json!({ "attempt": body.retry, "of": body.most, "wait_ms": body.wait_ms });
        line
    }

    fn on_turn_finished(&mut self, body: &TurnFinished) -> Vec<Value> {
        let mut lines = Vec::new();
        if let Some((id, steps)) = self.plan.take() {
            lines.push(event("item.completed", &id, "todo_list", json!({ "items": steps })));
        }
        self.over = true;
        if self.hushed && !body.result.is_completed() {
            return lines;
        }
        if body.no_final_message {
            lines.push(self.item("error", json!({ "message": NO_FINAL_MESSAGE })));
        }
        lines.push(match &body.result {
            Outcome::Completed => completed(body),
            outcome => Self::failed(&message_of(outcome)),
        });
        lines
    }
}

/// The last line of a completed turn. Readers count on every figure of `usage`, so where the
/// provider told none they are 0 and `usage_incomplete` says so.
fn completed(body: &TurnFinished) -> Value {
    let usage = body.usage.unwrap_or_default();
    let mut line = json!({
        "type": "turn.completed",
        "usage": {
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "cache_write_input_tokens": usage.cache_write_input_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_output_tokens": usage.reasoning_output_tokens,
        },
    });
    if body.uncounted > 0 {
        line["usage_incomplete"] = true.into();
    }
    if body.no_final_message {
        line["no_final_message"] = true.into();
    }
    line
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
