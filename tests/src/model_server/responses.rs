//! Answers in the Responses wire.

use super::{
    answer::{Answer, End, Input, Part},
    events::{Events, Mark},
};
use serde_json::{Value, json};

/// Adds the events of a whole answer.
pub(crate) fn stream(
    events: &mut Events,
    answer: &Answer,
    parts: &[Part],
    name: &str,
    model: &str,
) {
    let mut writer = Writer { events, name };
    writer.add("response.created", json!({"response": response(name, model, "in_progress")}));
    let mut items = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let item = item(part, name, at);
        writer.item(at, part, &item);
        items.push(item);
    }
    writer.end(answer, model, items);
}

/// The whole answer as one JSON object, for a request that does not stream.
pub(crate) fn whole(answer: &Answer, parts: &[Part], name: &str, model: &str) -> Value {
    let items = parts.iter().enumerate().map(|(at, part)| item(part, name, at)).collect();
    completed(answer, name, model, items)
}

fn response(name: &str, model: &str, status: &str) -> Value {
    json!({"id": format!("resp_{name}"), "object": "response", "created_at": 1, "model": model,
        "status": status, "output": [], "error": null, "incomplete_details": null, "usage": null})
}

fn completed(answer: &Answer, name: &str, model: &str, items: Vec<Value>) -> Value {
    let usage = answer.usage;
    let mut response = response(name, model, "completed");
    response["output"] = Value::Array(items);
    response["usage"] = json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    });
    if let Some(end) = answer.end_turn {
        response["end_turn"] = json!(end);
    }
    response
}

/// The item a part completes to.
fn item(part: &Part, name: &str, at: usize) -> Value {
    match part {
        Part::Text(pieces) => {
            let content =
                json!([{"type": "output_text", "text": pieces.concat(), "annotations": []}]);
            json!({"type": "message", "id": format!("msg_{name}_{at}"), "role": "assistant",
                "status": "completed", "content": content})
        }
        Part::Reasoning { text, encrypted } => {
            json!({"type": "reasoning", "id": format!("rs_{name}_{at}"),
                "summary": [{"type": "summary_text", "text": text}],
                "encrypted_content": encrypted})
        }
        Part::Call { id, name: tool, input } => {
            let call = id.clone().unwrap_or_else(|| format!("call_{name}_{at}"));
            match input {
                Input::Arguments(arguments) => {
                    json!({"type": "function_call", "id": format!("fc_{name}_{at}"),
                        "call_id": call, "name": tool, "arguments": arguments,
                        "status": "completed"})
                }
                Input::Custom(input) => {
                    json!({"type": "custom_tool_call", "id": format!("ctc_{name}_{at}"),
                        "call_id": call, "name": tool, "input": input, "status": "completed"})
                }
            }
        }
        Part::Item(item) => item.clone(),
    }
}

struct Writer<'a> {
    events: &'a mut Events,
    name: &'a str,
}

impl Writer<'_> {
    fn add(&mut self, kind: &str, fields: Value) {
        self.marked(kind, fields, Mark::Other);
    }

    fn marked(&mut self, kind: &str, mut fields: Value, mark: Mark) {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.events.len());
        self.events.add(&fields, mark);
    }

    fn item(&mut self, at: usize, part: &Part, item: &Value) {
        let mut started = item.clone();
        for (key, empty) in [
            ("content", json!([])),
            ("arguments", json!("")),
            ("input", json!("")),
            ("summary", json!([])),
            ("status", json!("in_progress")),
        ] {
            if started.get(key).is_some() {
                started[key] = empty;
            }
        }
        if let Some(encrypted) = started.get_mut("encrypted_content") {
            *encrypted = Value::Null;
        }
        self.add("response.output_item.added", json!({"output_index": at, "item": started}));
        self.pieces(at, part, &item["id"]);
        let done = json!({"output_index": at, "item": item});
        self.marked("response.output_item.done", done, Mark::Item);
    }

    fn pieces(&mut self, at: usize, part: &Part, id: &Value) {
        let base = json!({"item_id": id, "output_index": at});
        match part {
            Part::Text(pieces) => self.text(&base, pieces),
            Part::Reasoning { text, .. } => {
                let part = json!({"type": "summary_text", "text": ""});
                let added = with(&base, json!({"summary_index": 0, "part": part}));
                self.add("response.reasoning_summary_part.added", added);
                let delta = with(&base, json!({"summary_index": 0, "delta": text}));
                self.marked("response.reasoning_summary_text.delta", delta, Mark::Delta);
                let done = with(&base, json!({"summary_index": 0, "text": text}));
                self.add("response.reasoning_summary_text.done", done);
            }
            Part::Call { input: Input::Arguments(text), .. } => {
                let delta = with(&base, json!({"delta": text}));
                self.add("response.function_call_arguments.delta", delta);
                let done = with(&base, json!({"arguments": text}));
                self.add("response.function_call_arguments.done", done);
            }
            Part::Call { input: Input::Custom(text), .. } => {
                let delta = with(&base, json!({"delta": text}));
                self.add("response.custom_tool_call_input.delta", delta);
                let done = with(&base, json!({"input": text}));
                self.add("response.custom_tool_call_input.done", done);
            }
            Part::Item(_) => {}
        }
    }

    fn text(&mut self, base: &Value, pieces: &[String]) {
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
        let base = with(base, json!({"content_index": 0}));
        self.add("response.content_part.added", with(&base, json!({"part": part("")})));
        for piece in pieces {
            let delta = with(&base, json!({"delta": piece}));
            self.marked("response.output_text.delta", delta, Mark::Delta);
        }
        let full = pieces.concat();
        self.add("response.output_text.done", with(&base, json!({"text": full})));
        self.add("response.content_part.done", with(&base, json!({"part": part(&full)})));
    }

    fn end(&mut self, answer: &Answer, model: &str, items: Vec<Value>) {
        let name = self.name;
        match &answer.end {
            End::Completed => {
                let response = completed(answer, name, model, items);
                self.add("response.completed", json!({"response": response}));
            }
            End::Failed { code, message } => {
                let mut response = response(name, model, "failed");
                response["error"] = json!({"code": code, "message": message});
                self.add("response.failed", json!({"response": response}));
            }
            End::Incomplete(reason) => {
                let mut response = completed(answer, name, model, items);
                response["status"] = json!("incomplete");
                response["incomplete_details"] = json!({"reason": reason});
                self.add("response.incomplete", json!({"response": response}));
            }
            End::Nothing => {}
        }
    }
}

fn with(base: &Value, more: Value) -> Value {
    let mut all = base.clone();
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}
