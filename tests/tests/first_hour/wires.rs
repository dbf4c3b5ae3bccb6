//! What servers and the gateways before them really send.

use serde_json::{Value, json};
use std::net::TcpListener;
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

/// Runs a task whose first answer is this one; the next says that it is done.
fn run(wire: Wire, first: Turn) -> (Stage, Finished) {
    let server = ModelServer::start(Script::new().turn(first).otherwise(say("done")));
    let stage = Stage::new().with_wire(&server, wire);
    let finished = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).run();
    (stage, finished)
}

fn append(id: &str, word: &str) -> Value {
    let arguments = json!({ "command": format!("echo {word} >> ran") }).to_string();
    json!({ "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "shell",
        "arguments": arguments, "status": "completed" })
}

fn done(place: u32, item: &Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": place, "item": item })
}

fn completed(output: &[&Value]) -> Value {
    json!({ "type": "response.completed",
        "response": { "id": "r", "status": "completed", "output": output } })
}

#[test]
fn a_call_runs_once_however_often_it_is_named() {
    let (a, b) = (append("a", "a"), append("b", "b"));
    let thought = json!({ "type": "reasoning", "id": "rs", "summary": [] });
    for (events_of, ran) in [
        (vec![done(0, &a), done(0, &b), completed(&[&a, &b])], "a\nb\n"),
        (vec![done(0, &thought), done(0, &a), completed(&[&thought, &a])], "a\n"),
        (vec![done(0, &a), completed(&[&thought, &a])], "a\n"),
        (vec![done(0, &a), done(0, &a), completed(&[&a, &a])], "a\n"),
        (vec![completed(&[&a, &b])], "a\nb\n"),
    ] {
        let (stage, finished) = run(Wire::Responses, events(events_of.clone()));
        finished.assert_success();
        assert_eq!(stage.read("ran"), ran, "{events_of:?}");
    }
}

#[test]
fn two_whole_chat_calls_under_one_index_and_id_are_two() {
    let call = |word: &str| {
        let arguments = json!({ "command": format!("echo {word} >> ran") }).to_string();
        json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [{ "index": 0, "id": "call_0",
            "type": "function", "function": { "name": "shell", "arguments": arguments } }] } }] })
    };
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    let (stage, finished) = run(Wire::Chat, events([call("one"), call("two"), end]));
    finished.assert_success();
    assert_eq!(stage.read("ran"), "one\ntwo\n");
}

#[test]
fn the_words_of_a_failing_upstream_reach_the_user() {
    let failing = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "error",
        "error": { "code": 401, "message": "the upstream key is stale" } }] });
    let (_, finished) = run(Wire::Chat, events([failing]));
    assert_ne!(finished.code(), Some(0));
    let out = finished.stdout();
    assert!(out.contains("the upstream key is stale") && out.contains("401"), "{out}");
}

#[test]
fn a_proxy_that_is_not_there_is_named_by_its_variable() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stage = Stage::new().with_provider("http://models.example.invalid/v1", Wire::Chat);
    let run = stage.troupe(["exec", "--json", "go"]).env("ALL_PROXY", format!("socks5h://{dead}"));
    let finished = run
        .args(["-c", "model_providers.test.request_max_retries=0"])
        .args(["-c", "model_providers.test.stream_max_retries=0"])
        .run();
    assert_ne!(finished.code(), Some(0));
    let out = finished.stdout();
    assert!(out.contains("ALL_PROXY") && out.contains(&dead.to_string()), "{out}");
    assert!(!out.contains("is it running"), "{out}");
}
