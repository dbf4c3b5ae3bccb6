//! A message that cannot be used is set aside: no part crashes for it, and the session goes on.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage, Stdin},
};

/// No part was started again, and the run has an honest end.
fn calm(finished: &Finished) {
    let code = finished.code().unwrap_or(-1);
    assert!(code == 0 || (2..14).contains(&code), "{code}\n{}", told(finished));
    ends(finished, code);
    let told = told(finished);
    for word in ["started again", "panick", "keeps failing", "set aside"] {
        assert!(!told.contains(word), "{told}");
    }
}

#[test]
fn messages() {
    let mut rows = Vec::new();
    let deep = |count: usize| "[".repeat(count) + &"]".repeat(count);
    let arguments: Vec<(&str, &str, String)> = vec![
        ("ten thousand brackets", "shell", format!("{{\"command\":{}}}", deep(10_000))),
        ("brackets without end", "shell", "{\"a\":".repeat(100_000)),
        ("a NUL in the command", "shell", json!({ "command": "echo \u{0} a" }).to_string()),
        ("half a surrogate", "shell", "{\"command\":\"echo \\ud800 a\"}".to_owned()),
        ("no words", "shell", json!({ "command": [] }).to_string()),
        ("a time below zero", "shell", json!({ "command": "true", "timeout_ms": -1 }).to_string()),
        (
            "a time beyond all numbers",
            "shell",
            "{\"command\":\"true\",\"timeout_ms\":1e999}".to_owned(),
        ),
        (
            "the largest time",
            "shell",
            json!({ "command": "true", "timeout_ms": u64::MAX }).to_string(),
        ),
        (
            "a folder with a NUL",
            "shell",
            json!({ "command": "true", "workdir": "a\u{0}b" }).to_string(),
        ),
        ("null", "shell", "null".to_owned()),
        ("nothing", "shell", String::new()),
        (
            "a wait beyond all numbers",
            "exec_command",
            json!({ "cmd": "true", "yield_time_ms": u64::MAX, "max_output_tokens": u64::MAX })
                .to_string(),
        ),
        (
            "a process beyond all numbers",
            "write_stdin",
            json!({ "session_id": u64::MAX, "chars": "\u{0}" }).to_string(),
        ),
        (
            "a line beyond all numbers",
            "read_file",
            json!({ "path": "file", "offset": u64::MAX, "limit": u64::MAX }).to_string(),
        ),
        ("line zero", "read_file", json!({ "path": "file", "offset": 0, "limit": 0 }).to_string()),
        (
            "a path of 100 000 letters",
            "read_file",
            json!({ "path": "x".repeat(100_000) }).to_string(),
        ),
        (
            "a pattern that explodes",
            "grep_files",
            json!({ "pattern": "((a{1,1000}){1,1000}){1,1000}" }).to_string(),
        ),
        (
            "a pattern that nests",
            "grep_files",
            json!({ "pattern": "(".repeat(20_000) }).to_string(),
        ),
        (
            "a depth beyond all numbers",
            "list_dir",
            json!({ "path": "/", "depth": u64::MAX, "offset": u64::MAX }).to_string(),
        ),
        ("an empty picture", "view_image", json!({ "path": "file" }).to_string()),
        (
            "a patch that is none",
            "apply_patch",
            json!({ "input": "*** Begin Patch\n*** Update File: \u{0}\n@@\n" }).to_string(),
        ),
        (
            "a plan of nothing",
            "update_plan",
            json!({ "plan": [{ "step": null, "status": 3 }] }).to_string(),
        ),
        ("a name of 100 000 letters", "", "{}".to_owned()),
    ];
    for (number, (name, tool, text)) in arguments.into_iter().enumerate() {
        let wire = WIRES[number % 2];
        rows.push(row(format!("arguments: {name}, for {tool}"), move || {
            let long = "n".repeat(100_000);
            let tool = if tool.is_empty() { long.as_str() } else { tool };
            let server = ModelServer::start(
                Script::new().turn(call_text(tool, text)).otherwise(say("done")),
            );
            let stage = Stage::new().with_wire(&server, wire);
            stage.write("file", "");
            let finished = exec(&stage).arg("go").limit(LIMIT).run();
            calm(&finished);
            ends(&finished, 0);
            ends(&resume(&stage, &["again"]), 0);
        }));
    }
    let usage = |value: Value| {
        let mut event = last(
            "completed",
            json!({ "status": "completed", "output": [message("m", "hello world")] }),
        );
        event["response"]["usage"] = value;
        sse(&[event])
    };
    let placed = |place: Value| {
        let mut event = done(0, &message("m", "hello world"));
        event["output_index"] = place;
        sse(&[event, completed(&[])])
    };
    let texts: Vec<(&str, Wire, String)> = vec![
        (
            "an event of 10 000 brackets, then the answer",
            Wire::Chat,
            format!("data: {}\n\n{}", deep(10_000), answer(Wire::Chat, "hello world")),
        ),
        (
            "an event of 10 000 brackets, then the answer",
            Wire::Responses,
            format!(
                "data: {{\"type\":\"x\",\"a\":{}}}\n\n{}",
                deep(10_000),
                answer(Wire::Responses, "hello world")
            ),
        ),
        (
            "tokens below zero",
            Wire::Responses,
            usage(json!({ "input_tokens": -5, "output_tokens": -1 })),
        ),
        (
            "tokens beyond all numbers",
            Wire::Responses,
            usage(
                json!({ "input_tokens": u64::MAX, "output_tokens": u64::MAX, "total_tokens": u64::MAX }),
            ),
        ),
        ("a place below zero", Wire::Responses, placed(json!(-1))),
        ("a place beyond all numbers", Wire::Responses, placed(json!(u64::MAX))),
        ("a place that is an object", Wire::Responses, placed(json!({}))),
        (
            "an index beyond all numbers",
            Wire::Chat,
            sse(&[
                said_chunk("hello world"),
                tool(
                    json!({ "index": u64::MAX, "id": "c", "function": { "name": "shell", "arguments": writes("a") } }),
                ),
                finish("tool_calls"),
            ]) + DONE,
        ),
        ("NULs in the words", Wire::Chat, answer(Wire::Chat, "hello\u{0}world")),
        (
            "a choice that is null",
            Wire::Chat,
            "data: {\"choices\":[null]}\n\n".to_owned() + &answer(Wire::Chat, "hello world"),
        ),
        (
            "choices that are no list",
            Wire::Chat,
            "data: {\"choices\":{\"0\":1}}\n\n".to_owned() + &answer(Wire::Chat, "hello world"),
        ),
        (
            "calls that are no list",
            Wire::Chat,
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":\"none\"}}]}\n\n".to_owned()
                + &answer(Wire::Chat, "hello world"),
        ),
        (
            "an item that is null",
            Wire::Responses,
            sse(&[
                done(0, &Value::Null),
                done(1, &message("m", "hello world")),
                completed(&[&Value::Null]),
            ]),
        ),
    ];
    for (name, wire, text) in texts {
        rows.push(row(format!("{wire:?}: stream: {name}"), move || {
            let ran = first(wire, stream(text));
            calm(&ran.finished);
            ends(&resume(&ran.stage, &["again"]), 0);
        }));
    }
    for (name, prompt) in [
        ("NULs", "a\u{0}b".to_owned()),
        ("the last character of all", "\u{10ffff}\u{feff}\u{202e}".to_owned()),
        ("a line of the log", "{\"seq\":0,\"kind\":\"TurnFinished\",\"v\":1}\n".to_owned()),
        ("four megabytes", "x ".repeat(2 << 20)),
    ] {
        rows.push(row(format!("prompt: {name}"), move || {
            let server = ModelServer::start(Script::always(say("done")));
            let stage = Stage::new().with_model(&server);
            let finished = exec(&stage)
                .arg("-")
                .stdin(Stdin::Bytes(prompt.clone().into_bytes()))
                .limit(LIMIT)
                .run();
            calm(&finished);
            ends(&finished, 0);
            assert!(server.requests()[0].asks(prompt.trim_end()));
            ends(&resume(&stage, &["again"]), 0);
        }));
    }
    table("siblings: poison", &[], rows);
}
