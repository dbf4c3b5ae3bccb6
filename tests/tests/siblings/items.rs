//! Items of kinds that are not known: run where they mean a tool of ours, else named and answered.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use troupe_tests::model_server::*;

fn item_then(item: Value) -> Turn {
    events([created(), done(0, &item), completed(&[&item])])
}

#[test]
fn items_of_unknown_kinds() {
    let mut rows = Vec::new();
    let run = |words: &str| format!("echo {words} >> ran");
    let action = |action: Value, more: Value| {
        let mut item = json!({ "type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "status": "completed", "action": action });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let exec = |command: &str| json!({ "type": "exec", "command": ["bash", "-c", run(command)], "env": {}, "timeout_ms": null, "working_directory": null });
    let shell_call = |commands: Value| {
        json!({ "type": "shell_call", "id": "sh_1", "call_id": "call_1", "status": "completed",
        "action": { "commands": commands, "timeout_ms": 10000, "max_output_length": 4096 } })
    };
    let operation = |kind: &str, diff: Value| {
        json!({ "type": "apply_patch_call", "id": "apc_1", "call_id": "call_1", "status": "completed",
        "operation": { "type": kind, "path": "ran", "diff": diff } })
    };
    let list = vec![
        ("a shell call without a call id", action(exec("a"), json!({ "call_id": null })), "a"),
        (
            "a shell call that comes as in progress",
            action(exec("a"), json!({ "status": "in_progress" })),
            "a",
        ),
        (
            "a shell call in a folder and with a variable",
            action(
                json!({ "type": "exec", "command": ["sh", "-c", "echo $WORD >> ../ran"], "env": { "WORD": "a" }, "working_directory": "inner" }),
                json!({}),
            ),
            "a",
        ),
        ("two commands in one call", shell_call(json!([run("a"), run("b")])), "a b"),
        ("a patch operation that makes a file", operation("create_file", json!("+a\n")), "a"),
        (
            "a patch operation that changes a file",
            operation("update_file", json!("@@\n-old\n+a\n")),
            "a",
        ),
        ("a patch operation that deletes a file", operation("delete_file", Value::Null), ""),
        (
            "a custom call of the shell with bare words",
            json!({ "type": "custom_tool_call", "id": "c", "call_id": "call_1", "name": "shell", "input": run("a") }),
            "a",
        ),
        (
            "a function with the namespace before its name",
            json!({ "type": "function_call", "id": "f", "call_id": "call_1", "name": "functions.shell", "arguments": writes("a") }),
            "a",
        ),
        (
            "a function whose arguments are an object",
            json!({ "type": "function_call", "id": "f", "call_id": "call_1", "name": "shell", "arguments": { "command": run("a") } }),
            "a",
        ),
    ];
    for (name, item, ran) in list {
        rows.push(row(format!("responses: runs once: {name}"), move || {
            let server =
                ModelServer::start(Script::new().turn(item_then(item)).otherwise(say("done")));
            let stage = troupe_tests::stage::Stage::new().with_wire(&server, Wire::Responses);
            std::fs::create_dir(stage.work().join("inner")).unwrap();
            if name.contains("changes a file") || name.contains("deletes a file") {
                stage.write("ran", "old\n");
            }
            let finished = exec_in(&stage);
            let ran_now = Ran { stage, server, finished };
            ran_now.completes_with(ran);
            assert_eq!(
                ran_now.server.requests().len(),
                2,
                "the model is answered: {}",
                ran_now.told()
            );
            assert!(!ran_now.stage.exists("ran") || !ran.is_empty(), "the file is still there");
        }));
    }
    for (name, item) in [
        (
            "computer_call",
            json!({ "type": "computer_call", "id": "cu_1", "call_id": "call_1", "action": { "type": "screenshot" }, "pending_safety_checks": [], "status": "completed" }),
        ),
        (
            "mcp_approval_request",
            json!({ "type": "mcp_approval_request", "id": "mcpr_1", "name": "drop_table", "server_label": "db", "arguments": "{}" }),
        ),
        (
            "quantum_call",
            json!({ "type": "quantum_call", "id": "q_1", "call_id": "call_1", "arguments": "{}" }),
        ),
        ("quantum_call", json!({ "type": "quantum_call", "id": "q_1" })),
        (
            "tool_search_call",
            json!({ "type": "tool_search_call", "id": "t_1", "call_id": "call_1", "execution": "client", "arguments": {} }),
        ),
        ("program_output_request", json!({ "type": "program_output_request" })),
    ] {
        let fields = item.as_object().unwrap().len();
        rows.push(row(
            format!("responses: named and answered: {name} of {fields} fields"),
            move || {
                let ran = first(Wire::Responses, item_then(item));
                ends(&ran.finished, 0);
                any(&ran.told(), &[name]);
                assert_eq!(ran.server.requests().len(), 2, "the model is answered: {}", ran.told());
                any(&ran.context(), &[name]);
            },
        ));
    }
    rows.push(row(
        "responses: an unknown item beside a call: the call runs, the item is named",
        || {
            let (a, odd) = (
                function("f", "call_1", "a"),
                json!({ "type": "quantum_call", "id": "q", "call_id": "call_2" }),
            );
            let ran = first(
                Wire::Responses,
                events([created(), done(0, &odd), done(1, &a), completed(&[&odd, &a])]),
            );
            ran.completes_with("a");
            any(&ran.told(), &["quantum_call"]);
        },
    ));
    for kind in [
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "mcp_call",
        "mcp_list_tools",
        "image_generation_call",
    ] {
        rows.push(row(
            format!("responses: what the server did by itself is no call of ours: {kind}"),
            move || {
                let odd =
                    json!({ "type": kind, "id": "ws_1", "status": "completed", "result": null });
                let words = message("m", "hello world");
                let ran = first(
                    Wire::Responses,
                    events([created(), done(0, &odd), done(1, &words), completed(&[&odd, &words])]),
                );
                ran.completes_saying("hello world");
                assert_eq!(ran.server.requests().len(), 1, "{}", ran.told());
                // The session goes on.
                ends(&resume(&ran.stage, &["again"]), 0);
            },
        ));
    }
    rows.push(row("chat: a call in the old form of one function", || {
        let old = chunk(
            json!({ "function_call": { "name": "shell", "arguments": writes("a") } }),
            Value::Null,
        );
        first(Wire::Chat, events([old, finish("function_call")])).completes_with("a");
    }));
    rows.push(row("chat: a custom call", || {
        let patch = "*** Begin Patch\n*** Add File: ran\n+a\n*** End Patch\n";
        let custom = tool(json!({ "index": 0, "id": "c", "type": "custom", "custom": { "name": "apply_patch", "input": patch } }));
        first(Wire::Chat, events([custom, finish("tool_calls")])).completes_with("a");
    }));
    rows.push(row("chat: a call of a type that nobody knows is answered and named", || {
        let odd = tool(
            json!({ "index": 0, "id": "c", "type": "quantum", "quantum": { "name": "leap" } }),
        );
        let ran = first(Wire::Chat, events([odd, finish("tool_calls")]));
        assert_ne!(
            (ran.finished.code(), ran.server.requests().len()),
            (Some(0), 1),
            "dropped without a word"
        );
        any(&ran.told(), &["quantum", "call", "name"]);
    }));
    table("siblings: items", &[], rows);
}

fn exec_in(stage: &troupe_tests::stage::Stage) -> troupe_tests::stage::Finished {
    exec(stage).arg("go").limit(LIMIT).run()
}
