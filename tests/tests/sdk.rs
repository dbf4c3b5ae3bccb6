//! OpenAI's public TypeScript SDK drives `troupe`, unmodified, as if it were its own program.
//!
//! Needs Node and `npm` with its registry: the SDK is installed into a folder that goes with the
//! test.

use serde_json::{Value, json};
use std::fs;
use troupe_tests::{binary, machine, model_server::*, skip, stage::Stage};

#[test]
fn a_streamed_thread_of_several_turns() {
    if let Some(missing) = ["node", "npm"].iter().find(|program| !machine::has(program)) {
        skip!(format!("needs {missing}"));
    }
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "echo from the sdk > file" })))
            .turn(say("first answer"))
            .turn(say("second answer"))
            .turn(say("third answer")),
    );
    let stage = Stage::new();
    let source = binary::workspace_root().join("tests/sdk");
    let folder = stage.root().join("sdk");
    fs::create_dir(&folder).unwrap();
    for file in ["package.json", "thread.mjs"] {
        fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let arguments = [
        "install",
        "--omit=optional",
        "--ignore-scripts",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
    ];
    stage.program("npm").folder(&folder).args(arguments).run().assert_success();
    let finished = stage
        .program("node")
        .folder(&folder)
        .arg("thread.mjs")
        .arg(binary::troupe())
        .arg(server.url())
        .arg(stage.troupe_home())
        .arg(stage.work())
        .run();
    finished.assert_success();
    let lines = finished.json_lines();
    let mut kinds: Vec<&str> =
        lines[0]["kinds"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    if !machine::user_namespaces() {
        // The warning that the sandbox is weaker here.
        kinds.retain(|kind| *kind != "item.completed error");
    }
    assert_eq!(
        kinds,
        [
            "thread.started",
            "turn.started",
            "item.started command_execution",
            "item.completed command_execution",
            "item.completed agent_message",
            "turn.completed"
        ]
    );
    assert_eq!(lines[1]["final"], "second answer");
    assert_eq!(lines[1]["id"], lines[0]["id"]);
    assert_ne!(lines[1]["usage"], Value::Null);
    assert_eq!(lines[2]["final"], "third answer");
    assert_eq!(stage.read("file"), "from the sdk\n");
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-test"));
    assert!(server.violations().is_empty());
}
