//! Items of every kind: run where they mean a tool of ours, refused by name where they wait for an answer,
//! else kept; and answered in the form that belongs to them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod support;

use futures_util::StreamExt;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use support::{
    endpoint, request,
    server::{answer, serve},
};
use troupe_providers::{Endpoint, Http, Wire, connect, read_recorded};
use troupe_types::{
    CallInput, CallItem, Content, ErrorClass, Item, ModelEvent, ModelRequest, Outcome, OutputItem,
};

/// The items of an answer, which must be the same one byte at a time.
fn items(wire: Wire, events: &[Value]) -> Vec<Item> {
    let mut body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    body.push_str("data: [DONE]\n\n");
    let (whole, result) = read_recorded(&endpoint(wire), &[], [body.as_bytes()]);
    let (pieced, _) = read_recorded(&endpoint(wire), &[], body.as_bytes().chunks(1));
    assert_eq!(support::lines(&whole), support::lines(&pieced), "{body}");
    assert_eq!(result, Ok(()), "{body}");
    let item = |event| match event {
        ModelEvent::ItemDone { item, .. } => Some(item),
        _ => None,
    };
    whole.into_iter().filter_map(item).collect()
}

fn done(item: &Value) -> Value {
    json!({ "type": "response.output_item.done", "item": item })
}

fn end(output: &[&Value]) -> Value {
    json!({ "type": "response.completed",
        "response": { "id": "r", "status": "completed", "output": output } })
}

/// The items of an answer with these: they come as events and again in the last event, or only there.
fn answered(output: &[&Value]) -> Vec<Item> {
    let mut events: Vec<Value> = output.iter().copied().map(done).collect();
    events.push(end(output));
    let items_of = items(Wire::Responses, &events);
    let listed = items(Wire::Responses, &[end(output)]);
    let kinds = |items: &[Item]| items.iter().map(brief).collect::<Vec<_>>();
    assert_eq!(kinds(&items_of), kinds(&listed), "{output:?}");
    items_of
}

fn brief(item: &Item) -> String {
    match item {
        Item::Call(call) => format!("{} {} {}", call.wire_id, call.tool, call.input.as_str()),
        Item::Opaque(part) => format!("opaque {}", part.kind),
        Item::Assistant(said) => format!("says {}", said.text),
        other => format!("{other:?}"),
    }
}

fn local_shell(action: Value) -> Value {
    json!({ "type": "local_shell_call", "id": "lsh_1", "call_id": "a", "status": "completed",
        "action": action })
}

fn shell(call_id: &str, action: Value, environment: Value) -> Value {
    json!({ "type": "shell_call", "id": format!("sh_{call_id}"), "call_id": call_id,
        "status": "completed", "action": action, "environment": environment })
}

fn patch(operation: Value) -> Value {
    json!({ "type": "apply_patch_call", "id": "apc_1", "call_id": "a", "status": "completed",
        "operation": operation })
}

#[test]
fn what_means_a_tool_of_ours_is_a_call_of_it() {
    let exec = |members: Value| {
        let mut action = json!({ "type": "exec", "command": ["ls", "-a"], "env": {} });
        action.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        local_shell(action)
    };
    let local = json!({ "type": "local" });
    let lines = |text: &str| json!({ "input": text }).to_string();
    for (item, expected) in [
        (exec(json!({})), r#"a shell {"command":["ls","-a"]}"#.to_owned()),
        (
            exec(json!({ "working_directory": "sub", "timeout_ms": 5, "user": null })),
            r#"a shell {"command":["ls","-a"],"workdir":"sub","timeout_ms":5}"#.to_owned(),
        ),
        (
            exec(json!({ "env": { "A": "b c", "D": "" } })),
            r#"a shell {"command":["env","A=b c","D=","ls","-a"]}"#.to_owned(),
        ),
        (
            shell("a", json!({ "commands": ["ls | wc"], "timeout_ms": 7 }), local.clone()),
            r#"a shell {"command":"ls | wc","timeout_ms":7}"#.to_owned(),
        ),
        (
            shell("a", json!({ "commands": ["cd x", "exit 1 # no"] }), Value::Null),
            r#"a shell {"command":"(\ncd x\n)\n(\nexit 1 # no\n)\n"}"#.to_owned(),
        ),
        (
            patch(json!({ "type": "create_file", "path": "new", "diff": "+one\n+two" })),
            format!(
                "a apply_patch {}",
                lines("*** Begin Patch\n*** Add File: new\n+one\n+two\n*** End Patch")
            ),
        ),
        (
            patch(
                json!({ "type": "update_file", "path": "a b", "diff": "@@\n-one\n+two\n*** End of File\n" }),
            ),
            format!(
                "a apply_patch {}",
                lines(
                    "*** Begin Patch\n*** Update File: a b\n@@\n-one\n+two\n*** End of File\n*** End Patch"
                )
            ),
        ),
        (
            patch(json!({ "type": "delete_file", "path": "old" })),
            format!(
                "a apply_patch {}",
                lines("*** Begin Patch\n*** Delete File: old\n*** End Patch")
            ),
        ),
    ] {
        let found = answered(&[&item]);
        assert_eq!(found.iter().map(brief).collect::<Vec<_>>(), [expected]);
        let Item::Call(call) = &found[0] else { panic!("{found:?}") };
        let kept: Value = serde_json::from_str(&call.opaque.as_ref().unwrap().json).unwrap();
        assert_eq!(kept, item);
    }
}

#[test]
fn what_has_no_exact_counterpart_is_refused_by_name() {
    let exec = json!({ "type": "exec", "command": ["id"], "user": "root" });
    let smuggled = "@@\n-a\n*** Delete File: b\n";
    for (item, expected) in [
        (local_shell(exec), "a local_shell_call "),
        (local_shell(json!({ "type": "other", "command": ["id"] })), "a local_shell_call "),
        (
            local_shell(json!({ "type": "exec", "command": ["id"], "env": { "A B": "c" } })),
            "a local_shell_call ",
        ),
        (
            patch(json!({ "type": "update_file", "path": "a", "diff": smuggled })),
            "a apply_patch_call ",
        ),
        (
            patch(json!({ "type": "delete_file", "path": "a\n*** Delete File: b" })),
            "a apply_patch_call ",
        ),
        (patch(json!({ "type": "rename_file", "path": "a" })), "a apply_patch_call "),
        (
            json!({ "type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s",
                "name": "send", "arguments": "{}" }),
            "mcpr_1 mcp_approval_request ",
        ),
        (
            json!({ "type": "computer_call", "id": "cu_1", "call_id": "a",
                "action": { "type": "screenshot" }, "pending_safety_checks": [] }),
            "a computer_call ",
        ),
        (
            json!({ "type": "tool_search_call", "id": "tsc_1", "call_id": "a",
                "execution": "client", "arguments": { "goal": "x" } }),
            "a tool_search_call ",
        ),
        (json!({ "type": "brew_coffee_call", "id": "b_1", "call_id": "a" }), "a brew_coffee_call "),
    ] {
        let found = answered(&[&item]);
        let [Item::Call(call)] = found.as_slice() else { panic!("{item}: {found:?}") };
        assert!(brief(&found[0]).starts_with(expected), "{}", brief(&found[0]));
        assert!(call.opaque.is_some());
    }
}

#[test]
fn what_the_server_did_itself_is_kept_and_runs_nothing() {
    for kind in [
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "compaction",
        "never_heard_of",
    ] {
        let item = json!({ "type": kind, "id": "x_1", "status": "completed" });
        let found = answered(&[&item]);
        let [Item::Opaque(part)] = found.as_slice() else { panic!("{kind}: {found:?}") };
        assert_eq!(part.kind, kind);
        assert_eq!(serde_json::from_str::<Value>(&part.opaque.json).unwrap(), item);
    }
    let words = json!({ "type": "message", "id": "m_1", "role": "assistant",
        "content": [{ "type": "output_text", "text": "hi" }] });
    let action = json!({ "commands": ["id"] });
    let container = json!({ "type": "container_reference", "container_id": "c" });
    let output = |kind: &str| json!({ "type": kind, "id": "o_1", "call_id": "a", "output": [] });
    for (call, result) in [
        (shell("a", action.clone(), container), "shell_call_output"),
        (shell("a", action, Value::Null), "shell_call_output"),
        (json!({ "type": "odd_call", "id": "b_1", "call_id": "a" }), "odd_call_output"),
        (
            json!({ "type": "tool_search_call", "id": "t_1", "call_id": null,
                "execution": "server", "arguments": {} }),
            "tool_search_output",
        ),
    ] {
        let kind = call["type"].as_str().unwrap().to_owned();
        let found: Vec<_> = answered(&[&call, &output(result), &words]).iter().map(brief).collect();
        assert_eq!(found, [format!("opaque {kind}"), format!("opaque {result}"), "says hi".into()]);
    }
}

#[test]
fn a_call_of_a_built_in_tool_is_one_call_however_often_it_comes() {
    let item = local_shell(json!({ "type": "exec", "command": ["date"] }));
    let begun = json!({ "type": "response.output_item.added",
        "item": local_shell(json!({ "type": "exec", "command": [] })) });
    let events = [begun.clone(), done(&item), done(&item), end(&[&item, &item])];
    let found = items(Wire::Responses, &events);
    assert_eq!(found.iter().map(brief).collect::<Vec<_>>(), [r#"a shell {"command":["date"]}"#]);
    // The call's id may change when it is complete; the item's does not.
    let search = |call_id: &str, goal: &str| {
        json!({ "type": "tool_search_call", "id": "tsc_1", "call_id": call_id,
            "execution": "client", "arguments": { "goal": goal } })
    };
    let added = json!({ "type": "response.output_item.added", "item": search("early", "") });
    let found =
        items(Wire::Responses, &[added, done(&search("a", "x")), end(&[&search("a", "x")])]);
    let expected = r#"a tool_search_call {"goal":"x"}"#;
    assert_eq!(found.iter().map(brief).collect::<Vec<_>>(), [expected]);
    // One that only began is missed.
    let body = format!("data: {begun}\n\ndata: {}\n\n", end(&[]));
    let (_, result) = read_recorded(&endpoint(Wire::Responses), &[], [body.as_bytes()]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("local_shell_call") && error.contains("not all of it came"), "{error}");
}

fn chat(deltas: &[Value]) -> Vec<Item> {
    let chunk = |delta: &Value| json!({ "choices": [{ "index": 0, "delta": delta }] });
    let mut events: Vec<Value> = deltas.iter().map(chunk).collect();
    events.push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }));
    items(Wire::Chat, &events)
}

#[test]
fn chat_calls_of_other_types_are_calls() {
    let calls = |calls: Value| json!({ "tool_calls": calls });
    for (deltas, expected) in [
        (
            vec![
                calls(json!([{ "index": 0, "id": "a", "type": "custom",
                    "custom": { "name": "apply_patch", "input": "*** Begin" } }])),
                calls(json!([{ "index": 0, "custom": { "input": " Patch\n" } }])),
            ],
            vec!["a apply_patch *** Begin Patch\n"],
        ),
        (
            vec![
                calls(json!([{ "index": 0, "id": "a", "type": "custom",
                    "custom": { "name": "p", "input": "one" } }])),
                calls(json!([{ "index": 0, "id": "b", "type": "custom",
                    "custom": { "name": "p", "input": "two" } }])),
            ],
            vec!["a p one", "b p two"],
        ),
        (
            vec![calls(json!([{ "index": 0, "id": "a", "type": "coffee",
                "coffee": { "cups": 2 } }]))],
            vec![r#"a coffee {"cups":2}"#],
        ),
        (vec![calls(json!([{ "index": 0, "id": "a", "type": "coffee" }]))], vec!["a coffee "]),
        (vec![json!({ "function_call": { "name": "sh", "arguments": "{}" } })], vec![" sh {}"]),
        (
            vec![calls(json!([{ "index": 0, "id": "a", "type": "builtin_function",
                "function": { "name": "$web_search", "arguments": "{}" } }]))],
            vec!["a $web_search {}"],
        ),
    ] {
        let found = chat(&deltas);
        assert_eq!(found.iter().map(brief).collect::<Vec<_>>(), expected, "{deltas:?}");
    }
    let found = chat(&[calls(json!([{ "index": 0, "id": "a", "type": "custom",
        "custom": { "name": "p", "input": "{}" } }]))]);
    assert!(matches!(&found[0], Item::Call(CallItem { input: CallInput::Text(_), .. })));
}

/// The items that a server gets back, where the answer was this item and this came of it.
fn sent_back(wire: Wire, item: &Value, outcome: Outcome, exit_code: Option<i32>) -> Vec<Value> {
    let Some(Item::Call(call)) = answered(&[item]).pop() else { panic!("{item}") };
    let output = Item::Output(OutputItem {
        call: call.call,
        outcome,
        content: vec![Content::text("what came")],
        exit_code,
    });
    let items = [Item::Call(call), output].map(Arc::new).to_vec();
    let request = ModelRequest { items, ..request("m", "") };
    let (address, requests) = serve(|stream, _| {
        answer(stream, "400 Bad", "", "{}");
        true
    });
    let endpoint = Endpoint::new("openai", wire, format!("http://{address}/v1"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let provider = connect(&endpoint, &Http::default()).unwrap();
    runtime.block_on(provider.stream(request).collect::<Vec<_>>());
    let (_, request) = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let member = if wire == Wire::Chat { "messages" } else { "input" };
    body[member].as_array().unwrap().clone()
}

#[test]
fn each_call_goes_back_as_it_came_with_the_output_of_its_kind() {
    let failed = || Outcome::failed(ErrorClass::Tool, "no");
    let limited = json!({ "commands": ["id"], "max_output_length": 9 });
    let local = json!({ "type": "local" });
    let foreign = json!({ "type": "brew_call", "id": "b_1", "call_id": "a", "cups": 2 });
    let cases = [
        (
            local_shell(json!({ "type": "exec", "command": ["id"] })),
            (Outcome::Completed, Some(3)),
            json!({ "type": "local_shell_call_output", "call_id": "a", "output": "what came" }),
        ),
        (
            shell("a", limited.clone(), local.clone()),
            (Outcome::Completed, Some(3)),
            json!({ "type": "shell_call_output", "call_id": "a", "max_output_length": 9,
                "output": [{ "stdout": "what came", "stderr": "",
                    "outcome": { "type": "exit", "exit_code": 3 } }] }),
        ),
        (
            shell("a", json!({ "commands": ["id"] }), local.clone()),
            (Outcome::TimedOut, None),
            json!({ "type": "shell_call_output", "call_id": "a",
                "output": [{ "stdout": "what came", "stderr": "",
                    "outcome": { "type": "timeout" } }] }),
        ),
        (
            patch(json!({ "type": "delete_file", "path": "x" })),
            (Outcome::Completed, None),
            json!({ "type": "apply_patch_call_output", "call_id": "a", "status": "completed",
                "output": "what came" }),
        ),
        (
            patch(json!({ "type": "delete_file", "path": "x" })),
            (failed(), None),
            json!({ "type": "apply_patch_call_output", "call_id": "a", "status": "failed",
                "output": "what came" }),
        ),
        (
            json!({ "type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s",
                "name": "send", "arguments": "{}" }),
            (failed(), None),
            json!({ "type": "mcp_approval_response", "approval_request_id": "mcpr_1",
                "approve": false, "reason": "what came" }),
        ),
        (
            json!({ "type": "tool_search_call", "id": "t_1", "call_id": "a",
                "execution": "client", "arguments": {} }),
            (failed(), None),
            json!({ "type": "tool_search_output", "call_id": "a", "execution": "client",
                "status": "completed", "tools": [] }),
        ),
        (
            foreign,
            (failed(), None),
            json!({ "type": "brew_call_output", "call_id": "a", "output": "what came" }),
        ),
    ];
    for (item, (outcome, exit_code), expected) in cases {
        let back = sent_back(Wire::Responses, &item, outcome, exit_code);
        assert_eq!(back, [item, expected]);
    }
    let item = json!({ "type": "computer_call", "id": "cu_1", "call_id": "a",
        "action": { "type": "wait" }, "pending_safety_checks": [{ "id": "s" }] });
    let back = sent_back(Wire::Responses, &item, failed(), None);
    let [call, answer, words] = back.as_slice() else { panic!("{back:?}") };
    assert_eq!(call, &item);
    assert_eq!(answer["type"], "computer_call_output");
    assert_eq!(answer["acknowledged_safety_checks"], item["pending_safety_checks"]);
    assert!(answer["output"]["image_url"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert_eq!(words["content"][0]["text"], "what came");
    // Another wire gets it as a call of the tool.
    let item = local_shell(json!({ "type": "exec", "command": ["id"] }));
    let back = sent_back(Wire::Chat, &item, Outcome::Completed, Some(0));
    assert_eq!(back[1]["tool_calls"][0]["function"]["name"], "shell");
    assert_eq!(back[2]["content"], "what came");
}
