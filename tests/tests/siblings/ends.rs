//! Ends mean what they mean.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use troupe_tests::model_server::*;

/// Bytes of the chat wire that are one whole answer "hello world".
fn whole_answers() -> Vec<(&'static str, String)> {
    let (hello, world) = (said_chunk("hello "), said_chunk("world"));
    let stop = || finish("stop");
    let usage = json!({ "id": "c", "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 2 } });
    let mut bare = usage.clone();
    bare.as_object_mut().unwrap().remove("choices");
    let mut none = usage.clone();
    none["choices"] = Value::Null;
    let reason = |reason: &str| sse(&[hello.clone(), world.clone(), finish(reason)]) + DONE;
    let all = [hello.clone(), world.clone(), stop()];
    let empty = |words: &str| chunk(json!({ "content": words }), json!(""));
    vec![
        (
            "the reason comes before the last words",
            sse(&[hello.clone(), stop(), world.clone(), usage.clone()]) + DONE,
        ),
        (
            "the reason comes with the role, before any word",
            sse(&[
                chunk(json!({ "role": "assistant" }), json!("stop")),
                hello.clone(),
                world.clone(),
            ]) + DONE,
        ),
        ("a last chunk with usage and without choices", sse(&[&all[..], &[bare]].concat()) + DONE),
        ("a last chunk with usage and null choices", sse(&[&all[..], &[none]].concat()) + DONE),
        ("an empty reason on every chunk", sse(&[empty("hello "), empty("world")]) + DONE),
        ("a reason in capitals", reason("STOP")),
        ("a reason of another vendor: end_turn", reason("end_turn")),
        ("a reason of another vendor: eos", reason("eos")),
        ("a reason of another vendor: stop_sequence", reason("stop_sequence")),
        ("line ends of one carriage return", (sse(&all) + DONE).replace('\n', "\r")),
        ("line ends of two characters", (sse(&all) + DONE).replace('\n', "\r\n")),
        (
            "line ends that change from line to line",
            sse(&all[..1]).replace('\n', "\r\n")
                + &sse(&all[1..2]).replace('\n', "\r")
                + &sse(&all[2..])
                + DONE,
        ),
        ("a byte order mark before the first event", format!("\u{feff}{}{DONE}", sse(&all))),
        ("no blank after the colon", (sse(&all) + DONE).replace("data: ", "data:")),
        ("the last line has no end", (sse(&all) + DONE).trim_end().to_owned()),
        ("the reason is the last line, without a blank line", sse(&all).trim_end().to_owned()),
        (
            "one event over three data lines",
            sse(&all).replace(",\"choices\"", "\ndata: ,\ndata: \"choices\"") + DONE,
        ),
        ("words behind the end", sse(&all) + DONE + &sse(&[said_chunk(" and more"), stop()])),
        ("blanks behind the end", sse(&all) + "data: [DONE]  \n\n"),
        (
            "events with names, ids and retry times",
            sse(&all).replace("data: ", "id: 7\nretry: 1\nevent: chunk\ndata: ") + DONE,
        ),
        (
            "comments between the events",
            sse(&all).replace("\n\n", "\n\n: OPENROUTER PROCESSING\n\n") + DONE,
        ),
    ]
}

#[test]
fn ends_mean_what_they_mean() {
    let mut rows = Vec::new();
    for (name, bytes) in whole_answers() {
        rows.push(row(format!("chat: {name}"), move || {
            let ran = first(Wire::Chat, stream(bytes));
            ran.completes_saying("hello world");
            assert_eq!(ran.server.requests().len(), 1, "{}", ran.told());
        }));
    }
    for reason in ["stop", "tool_use", "TOOL_CALLS", "function_call"] {
        rows.push(row(format!("chat: a whole call that ends with {reason:?}"), move || {
            first(Wire::Chat, stream(sse(&[whole(0, "call_1", "a"), finish(reason)]) + DONE))
                .completes_with("a");
        }));
    }
    rows.push(row("chat: the reason comes before the last arguments", || {
        let text = writes("a");
        let (one, two) = text.split_at(15);
        let begin = tool(json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "shell", "arguments": one } }));
        let rest = tool(json!({ "index": 0, "function": { "arguments": two } }));
        first(Wire::Chat, stream(sse(&[begin, finish("tool_calls"), rest]) + DONE)).completes_with("a");
    }));
    rows.push(row("chat: a call that was cut at the limit is not run", || {
        let half = tool(json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "shell", "arguments": "{\"command\":\"echo a >> ran\"" } }));
        let ran = only(Wire::Chat, stream(sse(&[half, finish("length")]) + DONE));
        assert_ne!(ran.finished.code(), Some(0));
        assert_eq!(ran.ran(), "");
    }));
    rows.push(row("chat: the body ends without a reason", || {
        let cut = stream(sse(&[said_chunk("hel")])).then(say("done"));
        let ran = first(Wire::Chat, cut);
        ends(&ran.finished, 0);
        assert!(ran.said().concat().ends_with("done"), "{:?}", ran.said());
        assert_eq!(retries(&ran.finished).len(), 1, "{}", ran.told());
    }));
    for wire in WIRES {
        rows.push(row(format!("{wire:?}: the connection stays open behind the end"), move || {
            let turn = say("hello world");
            // The last event of each wire.
            let last = match wire {
                Wire::Chat => 5,
                _ => 8,
            };
            let ran = first(wire, turn.stall_at(Point::Events(last)));
            drop(ran.server.expect_violations());
            ran.completes_saying("hello world");
        }));
    }
    let item = message("m", "hello world");
    let at_end = |fields: Value| vec![created(), done(0, &item), last("completed", fields)];
    let part = |event: &str, field: &str, value: Value| {
        let mut event = json!({ "type": format!("response.{event}"), "item_id": "m", "output_index": 0, "content_index": 0 });
        event[field] = value;
        vec![created(), added(0, &message("m", "")), event, completed(&[])]
    };
    let text = json!({ "type": "output_text", "text": "hello world" });
    let mut no_usage = completed(&[&item]);
    no_usage["response"].as_object_mut().unwrap().remove("usage");
    let wholes = vec![
        (
            "only in the done event of its text",
            part("output_text.done", "text", json!("hello world")),
        ),
        ("only in the done event of its part", part("content_part.done", "part", text)),
        ("only in the last event", vec![created(), completed(&[&item])]),
        (
            "null output and null usage",
            at_end(json!({ "status": "completed", "output": null, "usage": null })),
        ),
        ("no status at all", at_end(json!({ "output": [] }))),
        (
            "a null error and null details",
            at_end(json!({ "status": "completed", "error": null, "incomplete_details": null })),
        ),
        ("no usage", vec![done(0, &item), no_usage]),
        (
            "the last event comes twice",
            vec![done(0, &item), completed(&[&item]), completed(&[&item])],
        ),
        (
            "the item of the last event has a string as its content",
            vec![completed(&[
                &json!({ "type": "message", "role": "assistant", "id": "m", "content": "hello world" }),
            ])],
        ),
    ];
    for (name, list) in wholes {
        rows.push(row(format!("responses: {name}"), move || {
            let ran = first(Wire::Responses, events(list));
            ran.completes_saying("hello world");
            assert_eq!(ran.server.requests().len(), 1, "{}", ran.told());
        }));
    }
    rows.push(row("responses: [DONE] behind the last event", || {
        first(Wire::Responses, stream(answer(Wire::Responses, "hello world") + DONE))
            .completes_saying("hello world");
    }));
    let cut = || json!({ "status": "incomplete", "incomplete_details": { "reason": "max_output_tokens" }, "output": [message("m", "hello world")] });
    for kind in ["completed", "incomplete"] {
        rows.push(row(
            format!("responses: cut at the limit, said by response.{kind}, words only at the end"),
            move || {
                let ran = first(Wire::Responses, events([created(), last(kind, cut())]));
                ran.completes_saying("hello world");
                any(&ran.told(), &["cut", "limit"]);
            },
        ));
        rows.push(row(format!("responses: a content filter, said by response.{kind}"), move || {
            let fields = json!({ "status": "incomplete", "incomplete_details": { "reason": "content_filter" } });
            let ran = first(Wire::Responses, events([created(), done(0, &message("m", "hello")), last(kind, fields)]));
            ran.fails_telling(&["filter"]);
            assert_eq!(ran.server.requests().len(), 1);
        }));
        rows.push(row(
            format!("responses: failed without words, said by response.{kind}"),
            move || {
                let fields = json!({ "status": "failed", "error": null });
                let ran = only(
                    Wire::Responses,
                    events([created(), done(0, &message("m", "hello")), last(kind, fields)]),
                );
                assert_ne!(ran.finished.code(), Some(0), "{}", ran.finished.stdout());
            },
        ));
    }
    rows.push(row("responses: cancelled inside response.completed", || {
        let fields = json!({ "status": "cancelled", "output": [] });
        let ran = only(
            Wire::Responses,
            events([created(), done(0, &message("m", "hel")), last("completed", fields)]),
        );
        assert_ne!(ran.finished.code(), Some(0), "{}", ran.finished.stdout());
    }));
    rows.push(row("chat: a content filter in another vendor's word", || {
        let ran = first(Wire::Chat, stream(sse(&[said_chunk("hel"), finish("SAFETY")]) + DONE));
        ran.fails_telling(&["SAFETY"]);
    }));
    table("siblings: ends", &[], rows);
}
