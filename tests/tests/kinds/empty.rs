//! Answers that say nothing.

use super::{
    common::{adds, all, any, completes, end, go, outputs, shell, told},
    table::{Row, row, table},
};
use serde_json::{Value, json};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

/// Codes that mean something else.
const TAKEN: [i32; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 130];

fn chunk(delta: Value, finish: Value) -> Value {
    json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn chat(deltas: Vec<Value>) -> Turn {
    let mut all: Vec<Value> = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    all.push(chunk(json!({}), json!("stop")));
    events(all)
}

fn message(content: Value) -> Turn {
    item(
        json!({ "type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content }),
    )
}

fn whole(message: Value) -> Turn {
    let body = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1 } });
    status(200).body(body.to_string())
}

/// Answers with neither text nor call: the name, the wire, the answer.
fn empties() -> Vec<(&'static str, Wire, Turn)> {
    let thought = json!({ "type": "reasoning", "id": "rs", "summary": [{ "type": "summary_text", "text": "hm" }] });
    vec![
        ("chat: no content", Wire::Chat, calls([])),
        ("chat: an empty text", Wire::Chat, say("")),
        ("chat: blanks", Wire::Chat, say(" \n\t ")),
        ("chat: null", Wire::Chat, chat(vec![json!({ "role": "assistant", "content": null })])),
        ("chat: a role alone", Wire::Chat, chat(vec![json!({ "role": "assistant" })])),
        ("chat: thoughts alone", Wire::Chat, reasoning("hm", "x")),
        (
            "chat: an empty list of calls",
            Wire::Chat,
            chat(vec![json!({ "role": "assistant", "content": "", "tool_calls": [] })]),
        ),
        ("chat: a finish alone", Wire::Chat, chat(vec![])),
        (
            "chat: one document, null",
            Wire::Chat,
            whole(json!({ "role": "assistant", "content": null })),
        ),
        (
            "chat: one document, empty",
            Wire::Chat,
            whole(json!({ "role": "assistant", "content": "" })),
        ),
        ("responses: no items", Wire::Responses, calls([])),
        ("responses: an empty text", Wire::Responses, say("")),
        ("responses: blanks", Wire::Responses, say("\n\n")),
        ("responses: a message without parts", Wire::Responses, message(json!([]))),
        (
            "responses: a part that is empty",
            Wire::Responses,
            message(json!([{ "type": "output_text", "text": "", "annotations": [] }])),
        ),
        ("responses: thoughts alone", Wire::Responses, item(thought)),
        ("responses: thoughts and blanks", Wire::Responses, reasoning("hm", "x").and(say(" "))),
    ]
}

/// A run against a model that answers so from the first step on, or from the second one.
fn run(
    wire: Wire,
    first: Option<Turn>,
    rest: Turn,
    arguments: &[&str],
) -> (ModelServer, Stage, Finished) {
    let script = Script::new().turns(first.clone());
    // What the history holds of an empty answer is not asked here: steps go by arrival.
    let script = script.otherwise(rest).by_arrival();
    let server = ModelServer::start(script);
    let stage = Stage::new().with_wire(&server, wire);
    stage.write("schema.json", r#"{"type":"object","properties":{},"additionalProperties":false}"#);
    let finished =
        go(stage.troupe(["exec", "--json", "-s", "workspace-write"]).args(arguments).arg("go"));
    (server, stage, finished)
}

fn own_failure(finished: &Finished) {
    let code = finished.code().expect("a code");
    assert!(!TAKEN.contains(&code), "code {code}: {}", told(finished));
    assert_eq!(end(finished)["type"], "turn.failed");
}

#[test]
fn without_any_call() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, wire, turn) in empties() {
        let again = turn.clone();
        rows.push(row(format!("asked once more, then failed: {name}"), move || {
            let (server, _stage, finished) = run(wire, None, turn, &[]);
            own_failure(&finished);
            assert_eq!(server.requests().len(), 2);
        }));
        rows.push(row(format!("the second answer stands: {name}"), move || {
            let (server, _stage, finished) = run(wire, Some(again), say("here"), &[]);
            let end = completes(&finished);
            assert_ne!(end["no_final_message"], true, "{end}");
            assert_eq!(server.requests().len(), 2);
            assert!(finished.stdout().contains("here"));
        }));
    }
    rows.push(row("for people", || {
        let server = ModelServer::start(Script::always(say("")));
        let stage = Stage::new().with_model(&server);
        let finished = go(stage.troupe(["exec", "-o", "last.txt", "go"]));
        assert!(!TAKEN.contains(&finished.code().unwrap()), "{}", finished.stderr());
        assert_eq!(finished.stdout().trim(), "");
        any(&finished.stderr(), &["empty", "said nothing", "no text", "neither"]);
    }));
    rows.push(row("the code is documented", || {
        let (_server, _stage, finished) = run(Wire::Responses, None, say(""), &[]);
        let page =
            std::fs::read_to_string(troupe_tests::binary::workspace_root().join("docs/exec.md"))
                .unwrap();
        let code = finished.code().unwrap();
        assert!(page.contains(&format!("| {code} | ")) && code != 0, "{code}");
    }));
    rows.push(row("calls of an earlier turn do not count", || {
        let script = Script::new().turn(shell("echo hi")).turn(say("first")).otherwise(say(""));
        let server = ModelServer::start(script.by_arrival());
        let stage = Stage::new().with_model(&server);
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        own_failure(&go(stage.troupe(["exec", "--json", "resume", "--last", "more"])));
    }));
    rows.push(row("the session goes on afterwards", || {
        let server = ModelServer::start(Script::always(say("")));
        let stage = Stage::new().with_model(&server);
        own_failure(&go(stage.troupe(["exec", "--json", "go"])));
        server.set_script(Script::always(say("here")));
        completes(&go(stage.troupe(["exec", "--json", "resume", "--last", "more"])));
    }));
    rows.push(row("with a schema", || {
        let (_server, _stage, finished) =
            run(Wire::Responses, None, say(""), &["--output-schema", "schema.json"]);
        own_failure(&finished);
    }));
    table("empty: without a call", &[], rows);
}

#[test]
fn after_calls() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, wire, turn) in empties() {
        rows.push(row(format!("completed with a warning: {name}"), move || {
            let (server, _stage, finished) = run(wire, Some(shell("echo hi")), turn, &[]);
            let end = completes(&finished);
            assert_eq!(end["no_final_message"], true, "{end}");
            assert_eq!(server.requests().len(), 3, "asked once more");
            let warned = finished.json_lines().iter().any(|line| line["item"]["type"] == "error");
            assert!(warned || !finished.stderr().is_empty(), "{}", finished.stdout());
        }));
    }
    for (name, first) in [
        ("a patch", adds("f")),
        (
            "a plan",
            call("update_plan", json!({ "plan": [{ "step": "x", "status": "completed" }] })),
        ),
        ("a look", call("list_dir", json!({}))),
        ("a command with words", say("I look.").and(shell("echo hi"))),
        ("two commands", calls([shell("echo a"), shell("echo b")])),
    ] {
        let (schema, people) = (first.clone(), first.clone());
        rows.push(row(format!("after {name}"), move || {
            let (_server, _stage, finished) = run(Wire::Responses, Some(first), say(""), &[]);
            assert_eq!(completes(&finished)["no_final_message"], true);
        }));
        rows.push(row(format!("with a schema, after {name}"), move || {
            let (_server, _stage, finished) =
                run(Wire::Responses, Some(schema), say(""), &["--output-schema", "schema.json"]);
            assert_ne!(finished.code(), Some(0));
            assert_eq!(end(&finished)["type"], "turn.failed");
        }));
        rows.push(row(format!("for people, after {name}"), move || {
            let server =
                ModelServer::start(Script::new().turn(people).otherwise(say("")).by_arrival());
            let stage = Stage::new().with_model(&server);
            let finished = go(stage.troupe(["exec", "-s", "workspace-write", "go"]));
            finished.assert_success();
            any(
                &finished.stderr(),
                &[
                    "no final",
                    "without a final",
                    "last message",
                    "final message",
                    "said nothing",
                    "no last",
                ],
            );
        }));
    }
    rows.push(row("a whole answer has no such mark", || {
        let (_server, _stage, finished) = run(Wire::Responses, Some(shell("true")), say("ok"), &[]);
        assert_ne!(completes(&finished)["no_final_message"], true);
    }));
    rows.push(row("the second answer goes on with calls", || {
        let script = Script::new().turn(shell("echo a")).turn(say("")).turn(shell("echo b"));
        let server = ModelServer::start(script.otherwise(say("end")).by_arrival());
        let stage = Stage::new().with_model(&server);
        let finished = go(stage.troupe(["exec", "--json", "go"]));
        assert_ne!(completes(&finished)["no_final_message"], true);
        assert_eq!(outputs(&server).len(), 2);
        all(&finished.stdout(), &["end"]);
    }));
    rows.push(row("the file of the last message", || {
        let (_server, stage, finished) =
            run(Wire::Responses, Some(shell("true")), say(""), &["-o", "last.txt"]);
        completes(&finished);
        let kept = std::fs::read_to_string(stage.work().join("last.txt")).unwrap_or_default();
        assert_eq!(kept.trim(), "", "nothing is made up");
    }));
    table("empty: after calls", &[], rows);
}
