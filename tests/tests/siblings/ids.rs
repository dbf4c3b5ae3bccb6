//! A call is known by its id and by what it says, never by its place.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use troupe_tests::model_server::*;

fn with(mut item: Value, key: &str, value: Value) -> Value {
    item[key] = value;
    item
}

fn numbered(mut event: Value, number: u64) -> Value {
    event["sequence_number"] = json!(number);
    event
}

fn arguments(event: &str, item: &str, place: usize, field: &str, text: &str) -> Value {
    let mut event = json!({ "type": format!("response.function_call_arguments.{event}"),
        "item_id": item, "output_index": place });
    event[field] = json!(text);
    event
}

/// Streams of the responses wire, and what runs.
fn responses() -> Vec<(&'static str, Vec<Value>, &'static str)> {
    let (a, b) = (function("fc_a", "call_a", "a"), function("fc_b", "call_b", "b"));
    let begun = with(a.clone(), "arguments", json!(""));
    let text = writes("a");
    let (head, tail) = text.split_at(12);
    let (head, tail) = (head.to_owned(), tail.to_owned());
    let thought = json!({ "type": "reasoning", "id": "rs_1", "summary": [] });
    let custom = json!({ "type": "custom_tool_call", "id": "ctc_1", "call_id": "call_c", "name": "apply_patch", "input": "" });
    let patch = "*** Begin Patch\n*** Add File: ran\n+patched\n*** End Patch\n";
    vec![
        (
            "listed at the end under another place and another item id",
            vec![done(3, &a), completed(&[&thought, &with(a.clone(), "id", json!("fc_zz"))])],
            "a",
        ),
        (
            "the event comes again with another number and another item id",
            vec![
                numbered(done(0, &a), 4),
                numbered(done(0, &with(a.clone(), "id", json!("fc_again"))), 9),
                completed(&[&a]),
            ],
            "a",
        ),
        (
            "the whole stream comes twice before its end",
            vec![
                created(),
                done(0, &a),
                done(1, &b),
                created(),
                done(0, &a),
                done(1, &b),
                completed(&[&a, &b]),
            ],
            "a b",
        ),
        (
            "the same command under two ids",
            vec![done(0, &a), done(1, &function("fc_2", "call_2", "a")), completed(&[])],
            "a a",
        ),
        (
            "one item id for two calls",
            vec![done(0, &a), done(1, &function("fc_a", "call_b", "b")), completed(&[])],
            "a b",
        ),
        (
            "an item id and no call id",
            vec![
                done(0, &with(a.clone(), "call_id", Value::Null)),
                completed(&[&with(a.clone(), "call_id", Value::Null)]),
            ],
            "a",
        ),
        (
            "an empty call id",
            vec![done(0, &with(a.clone(), "call_id", json!(""))), completed(&[])],
            "a",
        ),
        (
            "each piece of the arguments comes twice, the whole comes last",
            vec![
                added(0, &begun),
                numbered(arguments("delta", "fc_a", 0, "delta", &head), 2),
                numbered(arguments("delta", "fc_a", 0, "delta", &head), 2),
                numbered(arguments("delta", "fc_a", 0, "delta", &tail), 3),
                numbered(arguments("delta", "fc_a", 0, "delta", &tail), 3),
                done(0, &a),
                completed(&[&a]),
            ],
            "a",
        ),
        (
            "the pieces name a place and no item, the item is done without arguments",
            vec![
                added(0, &begun),
                with(arguments("delta", "", 0, "delta", &head), "item_id", Value::Null),
                with(arguments("delta", "", 0, "delta", &tail), "item_id", Value::Null),
                done(0, &begun),
                completed(&[]),
            ],
            "a",
        ),
        (
            "two calls whose pieces alternate under one place",
            vec![
                added(0, &begun),
                added(0, &with(b.clone(), "arguments", json!(""))),
                arguments("delta", "fc_a", 0, "delta", &head),
                arguments("delta", "fc_b", 0, "delta", &writes("b")),
                arguments("delta", "fc_a", 0, "delta", &tail),
                arguments("done", "fc_b", 0, "arguments", &writes("b")),
                arguments("done", "fc_a", 0, "arguments", &writes("a")),
                completed(&[]),
            ],
            "a b",
        ),
        (
            "a patch of which only the pieces came",
            vec![
                added(0, &custom),
                json!({ "type": "response.custom_tool_call_input.delta", "item_id": "ctc_1", "output_index": 0, "delta": patch }),
                json!({ "type": "response.custom_tool_call_input.done", "item_id": "ctc_1", "output_index": 0, "input": patch }),
                completed(&[]),
            ],
            "patched",
        ),
        (
            "the places count from one and are texts",
            vec![
                with(done(1, &a), "output_index", json!("1")),
                with(done(2, &b), "output_index", json!("2")),
                completed(&[&a, &b]),
            ],
            "a b",
        ),
        (
            "the item of the last event is still marked as in progress",
            vec![done(0, &a), completed(&[&with(a.clone(), "status", json!("in_progress")), &b])],
            "a b",
        ),
    ]
}

/// Chunks of the chat wire, and what runs.
fn chat() -> Vec<(&'static str, Vec<Value>, &'static str)> {
    let part = |index: Value, id: Value, name: Value, text: &str| {
        tool(
            json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": text } }),
        )
    };
    let a = writes("a");
    let b = writes("b");
    let ((a1, a2), (b1, b2)) = (a.split_at(14), b.split_at(9));
    let null = Value::Null;
    let end = finish("tool_calls");
    let message = json!({ "role": "assistant", "content": "", "tool_calls": [{ "index": 0, "id": "call_1", "type": "function", "function": { "name": "shell", "arguments": a } }] });
    let mut both = end.clone();
    both["choices"][0]["message"] = message;
    vec![
        (
            "the same command under two ids",
            vec![whole(0, "call_1", "a"), whole(1, "call_2", "a"), end.clone()],
            "a a",
        ),
        ("an empty id", vec![whole(0, "", "a"), end.clone()], "a"),
        (
            "two calls with empty ids and their own indices",
            vec![whole(0, "", "a"), whole(1, "", "b"), end.clone()],
            "a b",
        ),
        (
            "no id and no index at all",
            vec![tool(json!({ "function": { "name": "shell", "arguments": a } })), end.clone()],
            "a",
        ),
        (
            "later pieces with an empty id and an empty name",
            vec![
                part(json!(0), json!("call_1"), json!("shell"), a1),
                part(json!(0), json!(""), json!(""), a2),
                end.clone(),
            ],
            "a",
        ),
        (
            "the name comes again with each piece",
            vec![
                part(json!(0), json!("call_1"), json!("shell"), a1),
                part(json!(0), json!("call_1"), json!("shell"), a2),
                end.clone(),
            ],
            "a",
        ),
        (
            "pieces of two calls alternate",
            vec![
                part(json!(0), json!("call_1"), json!("shell"), a1),
                part(json!(1), json!("call_2"), json!("shell"), b1),
                part(json!(0), null.clone(), null.clone(), a2),
                part(json!(1), null.clone(), null.clone(), b2),
                end.clone(),
            ],
            "a b",
        ),
        (
            "pieces of two calls alternate, known by ids alone",
            vec![
                part(null.clone(), json!("call_1"), json!("shell"), a1),
                part(null.clone(), json!("call_2"), json!("shell"), b1),
                part(null.clone(), json!("call_1"), null.clone(), a2),
                part(null.clone(), json!("call_2"), null.clone(), b2),
                end.clone(),
            ],
            "a b",
        ),
        (
            "indices that begin at one and leave some out",
            vec![whole(1, "call_1", "a"), whole(5, "call_2", "b"), end.clone()],
            "a b",
        ),
        (
            "an index that is a text and an id that is a number",
            vec![
                part(json!("0"), json!(7), json!("shell"), a1),
                part(json!("0"), null.clone(), null.clone(), a2),
                end.clone(),
            ],
            "a",
        ),
        (
            "the whole message again beside the reason of the end",
            vec![whole(0, "call_1", "a"), both],
            "a",
        ),
        (
            "both calls in one chunk, then the chunk again",
            {
                let call = |index: usize, id: &str, word: &str| json!({ "index": index, "id": id, "type": "function", "function": { "name": "shell", "arguments": writes(word) } });
                let two = chunk(
                    json!({ "tool_calls": [call(0, "call_1", "a"), call(1, "call_2", "b")] }),
                    Value::Null,
                );
                vec![two.clone(), two, end]
            },
            "a b",
        ),
    ]
}

#[test]
fn calls() {
    let mut rows = Vec::new();
    for (name, list, ran) in responses() {
        rows.push(row(format!("responses: {name}"), move || {
            first(Wire::Responses, events(list)).completes_with(ran);
        }));
    }
    for (name, list, ran) in chat() {
        rows.push(row(format!("chat: {name}"), move || {
            first(Wire::Chat, events(list)).completes_with(ran);
        }));
    }
    for wire in WIRES {
        rows.push(row(
            format!("{wire:?}: an id that an earlier answer had, for another command"),
            move || {
                let turn = |word: &str| call_text("shell", writes(word)).call_id("call_0");
                run(wire, [turn("a"), turn("b"), turn("c")], &[]).completes_with("a b c");
            },
        ));
        rows.push(row(
            format!("{wire:?}: an id that an earlier answer had, for the same command"),
            move || {
                let turn = || call_text("shell", writes("a")).call_id("call_0");
                run(wire, [turn(), turn()], &[]).completes_with("a a");
            },
        ));
        rows.push(row(
            format!("{wire:?}: an answer that breaks after a call; the next one has the same id"),
            move || {
                let one = call_text("shell", writes("a"))
                    .call_id("call_0")
                    .and(say("more"))
                    .drop_at(Point::Items(1));
                let two = || call_text("shell", writes("b")).call_id("call_0");
                // In the chat wire a call is whole only at the end of its answer.
                let ran = if wire == Wire::Chat { "b b" } else { "a b" };
                run(wire, [one.then(two()), two()], &[]).completes_with(ran);
            },
        ));
        rows.push(row(format!("{wire:?}: one whole document with two calls of one id"), move || {
            let document = match wire {
                Wire::Chat => {
                    let call = |word: &str| json!({ "id": "call_0", "type": "function", "function": { "name": "shell", "arguments": writes(word) } });
                    json!({ "id": "c", "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "tool_calls",
                        "message": { "role": "assistant", "content": null, "tool_calls": [call("a"), call("b")] } }] })
                }
                _ => json!({ "id": "r", "object": "response", "status": "completed",
                    "output": [function("fc_1", "call_0", "a"), function("fc_2", "call_0", "b")] }),
            };
            first(wire, body("application/json", document.to_string())).completes_with("a b");
        }));
    }
    table("siblings: ids", &[], rows);
}
