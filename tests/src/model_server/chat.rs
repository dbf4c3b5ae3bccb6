//! Answers in the Chat Completions wire.

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
    let chunk = |delta: Value, finish: Option<&str>| {
        json!({"id": format!("chatcmpl_{name}"), "object": "chat.completion.chunk", "created": 1,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    events.add(&chunk(json!({"role": "assistant", "content": ""}), None), Mark::Other);
    let mut calls = 0;
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(pieces) => {
                for piece in pieces {
                    events.add(&chunk(json!({"content": piece}), None), Mark::Delta);
                }
            }
            Part::Reasoning { text, .. } => {
                events.add(&chunk(json!({"reasoning_content": text}), None), Mark::Delta);
            }
            Part::Call { id, name: tool, input } => {
                let (id, arguments) = (call_id(id.as_deref(), name, at), arguments(input));
                let start = json!({"index": calls, "id": id, "type": "function",
                    "function": {"name": tool, "arguments": ""}});
                events.add(&chunk(json!({"tool_calls": [start]}), None), Mark::Other);
                let rest = json!({"index": calls, "function": {"arguments": arguments}});
                events.add(&chunk(json!({"tool_calls": [rest]}), None), Mark::Item);
                calls += 1;
            }
            Part::Item(_) => {}
        }
    }
    let finish = if calls > 0 { "tool_calls" } else { "stop" };
    match &answer.end {
        End::Completed => events.add(&chunk(json!({}), Some(finish)), Mark::Other),
        End::Incomplete(reason) => events.add(&chunk(json!({}), Some(reason)), Mark::Other),
        End::Failed { code, message } => {
            events.add(&json!({"error": {"code": code, "message": message}}), Mark::Other);
            return;
        }
        End::Nothing => return,
    }
    let mut last = chunk(Value::Null, None);
    last["choices"] = json!([]);
    last["usage"] = usage(answer);
    events.add(&last, Mark::Other);
    events.line("[DONE]");
}

/// The whole answer as one JSON object, for a request that does not stream.
pub(crate) fn whole(answer: &Answer, parts: &[Part], name: &str, model: &str) -> Value {
    let (mut text, mut calls) = (String::new(), Vec::new());
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(pieces) => text.push_str(&pieces.concat()),
            Part::Call { id, name: tool, input } => {
                calls.push(json!({"id": call_id(id.as_deref(), name, at), "type": "function",
                    "function": {"name": tool, "arguments": arguments(input)}}));
            }
            Part::Reasoning { .. } | Part::Item(_) => {}
        }
    }
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let mut message = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    json!({"id": format!("chatcmpl_{name}"), "object": "chat.completion", "created": 1,
        "model": model, "usage": usage(answer),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
}

fn call_id(given: Option<&str>, name: &str, at: usize) -> String {
    given.map_or_else(|| format!("call_{name}_{at}"), ToOwned::to_owned)
}

fn arguments(input: &Input) -> String {
    match input {
        Input::Arguments(text) => text.clone(),
        Input::Custom(text) => json!({"input": text}).to_string(),
    }
}

fn usage(answer: &Answer) -> Value {
    let usage = answer.usage;
    json!({"prompt_tokens": usage.input, "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning}})
}
