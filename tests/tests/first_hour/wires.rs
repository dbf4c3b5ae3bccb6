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

/// Runs a task whose first answer is this item, and gives what the model got back.
fn sent_back(item: &Value) -> (Stage, Finished, Vec<Value>) {
    let first = events([done(0, item), completed(&[item])]);
    let server = ModelServer::start(Script::new().turn(first).otherwise(say("done")));
    let stage = Stage::new().with_wire(&server, Wire::Responses);
    let finished = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).run();
    let requests = server.requests();
    let items = requests[1].items();
    let at = items.iter().position(|sent| sent == item).expect("the item goes back as it came");
    (stage, finished, items[at + 1..].to_vec())
}

#[test]
fn calls_of_built_in_tools_run_and_are_answered_in_their_own_form() {
    let call = |kind: &str, member: &str, value: Value| json!({ "type": kind, "id": "x_1", "call_id": "a", "status": "completed", member: value });
    let exec = json!({ "type": "exec", "command": ["bash", "-lc", "pwd >> ran; exit 3"],
        "working_directory": "sub", "env": {} });
    let (stage, finished, back) = sent_back(&call("local_shell_call", "action", exec));
    assert!(!stage.exists("sub/ran"), "there is no such folder");
    assert!(back[0]["output"].as_str().unwrap().contains("does not exist"), "{back:?}");
    finished.assert_success();

    let exec = json!({ "type": "exec", "command": ["bash", "-lc", "echo $W >> ran; exit 3"],
        "env": { "W": "a b" } });
    let (stage, finished, back) = sent_back(&call("local_shell_call", "action", exec));
    finished.assert_success();
    assert_eq!(stage.read("ran"), "a b\n");
    assert_eq!(
        (&back[0]["type"], &back[0]["call_id"]),
        (&json!("local_shell_call_output"), &json!("a"))
    );
    assert!(back[0]["output"].as_str().unwrap().starts_with("Exit code: 3"), "{back:?}");
    assert!(finished.stdout().contains("\"exit_code\":3"), "{}", finished.stdout());

    let scripts = json!({ "commands": ["cd / && exit 2", "echo x >> ran; cat ran; exit 4"] });
    let (stage, finished, back) = sent_back(&call("shell_call", "action", scripts));
    finished.assert_success();
    assert_eq!(stage.read("ran"), "x\n");
    assert_eq!(back[0]["output"][0]["outcome"], json!({ "type": "exit", "exit_code": 4 }));

    let create = json!({ "type": "create_file", "path": "new.txt", "diff": "+one\n+two\n" });
    let (stage, finished, back) = sent_back(&call("apply_patch_call", "operation", create));
    finished.assert_success();
    assert_eq!(stage.read("new.txt"), "one\ntwo\n");
    assert_eq!(
        (&back[0]["type"], &back[0]["status"]),
        (&json!("apply_patch_call_output"), &json!("completed"))
    );

    let update = json!({ "type": "update_file", "path": "none", "diff": "@@\n-a\n+b\n" });
    let (_, _, back) = sent_back(&call("apply_patch_call", "operation", update));
    assert_eq!(back[0]["status"], "failed");

    // Outside of the folder: the guards are those of every call.
    let outside = json!({ "type": "create_file", "path": "/etc/troupe-test", "diff": "+x\n" });
    let (_, finished, back) = sent_back(&call("apply_patch_call", "operation", outside));
    assert_eq!(back[0]["status"], "failed");
    assert!(
        finished.stdout().contains("\"status\":\"failed\"")
            || finished.stdout().contains("declined")
    );
}

#[test]
fn what_waits_for_an_answer_is_refused_by_name_and_the_rest_is_kept() {
    let approval = json!({ "type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s",
        "name": "send", "arguments": "{}" });
    let (_, finished, back) = sent_back(&approval);
    finished.assert_success();
    assert_eq!(
        (&back[0]["approve"], &back[0]["approval_request_id"]),
        (&json!(false), &json!("mcpr_1"))
    );
    assert!(finished.stdout().contains("mcp_approval_request"), "{}", finished.stdout());

    let unheard = json!({ "type": "brew_call", "id": "b_1", "call_id": "a" });
    let (_, finished, back) = sent_back(&unheard);
    finished.assert_success();
    assert_eq!(back[0]["type"], "brew_call_output");
    assert!(
        back[0]["output"].as_str().unwrap().contains("unsupported call: brew_call"),
        "{back:?}"
    );
    assert!(finished.stdout().contains("brew_call"), "{}", finished.stdout());

    let search = json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" });
    let (_, finished, _) = sent_back(&search);
    finished.assert_success();
    assert!(finished.stdout().contains("web_search_call"), "{}", finished.stdout());
}

#[test]
fn a_chat_call_of_another_type_is_answered() {
    let item = |calls: Value| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": calls } }] });
        let end =
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
        let (stage, finished) = run(Wire::Chat, events([chunk, end]));
        finished.assert_success();
        (stage, finished.stdout())
    };
    let (stage, _) = item(json!([{ "index": 0, "id": "a", "type": "custom",
        "custom": { "name": "shell", "input": "echo x > ran" } }]));
    assert_eq!(stage.read("ran"), "x\n");
    let (_, out) = item(json!([{ "index": 0, "id": "a", "type": "brew", "brew": {} }]));
    assert!(out.contains("unsupported call: brew"), "{out}");
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
