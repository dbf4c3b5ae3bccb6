//! OpenAI's public TypeScript SDK drives `troupe`, unmodified, as if it were its own program.
//!
//! Needs Node and `npm` with its registry: the SDK is installed into a folder that goes with the
//! test.

use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, time::Duration};
use troupe_tests::{
    binary, machine,
    model_server::*,
    skip,
    stage::{Finished, Stage},
};

/// Runs one of the programs in `tests/sdk` with the SDK.
fn drive(stage: &Stage, server: &ModelServer, program: &str) -> Finished {
    let source = binary::workspace_root().join("tests/sdk");
    let folder = stage.root().join("sdk");
    fs::create_dir(&folder).unwrap();
    for file in ["package.json", program] {
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
        .arg(program)
        .arg(binary::troupe())
        .arg(server.url())
        .arg(stage.troupe_home())
        .arg(stage.work())
        .limit(Duration::from_secs(180))
        .run();
    finished.assert_success();
    finished
}

fn kinds(line: &Value) -> Vec<&str> {
    let mut kinds: Vec<&str> =
        line["kinds"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    if !machine::user_namespaces() {
        // The warning that the sandbox is weaker here.
        kinds.retain(|kind| *kind != "item.completed error");
    }
    kinds
}

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
    let lines = drive(&stage, &server, "thread.mjs").json_lines();
    assert_eq!(
        kinds(&lines[0]),
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

#[test]
fn every_option_and_every_value_of_the_types_is_accepted() {
    if let Some(missing) = ["node", "npm"].iter().find(|program| !machine::has(program)) {
        skip!(format!("needs {missing}"));
    }
    let server = ModelServer::start(Script::always(say("ok")));
    let stage = Stage::new();
    let mut lines = drive(&stage, &server, "options.mjs").json_lines();
    let facts = lines.pop().unwrap();
    assert_eq!(facts["untold"], json!([]), "options of the SDK that are not driven");
    assert!(lines.len() > 40, "{lines:?}");
    for line in &lines {
        let what = line["what"].as_str().unwrap();
        if what == "input \"\"" {
            assert!(line["last"].as_str().unwrap().contains("standard input is empty"), "{line}");
        } else {
            assert_eq!(line["last"], "ok", "{what}");
        }
    }
    let requests = server.requests();
    // The key of the caller, not the one that the machine has.
    for request in &requests {
        assert_eq!(request.header("authorization"), Some("Bearer sk-sdk"));
    }
    let sent: BTreeSet<&str> =
        requests.iter().filter_map(|one| one.body["reasoning"]["effort"].as_str()).collect();
    let known: BTreeSet<&str> =
        facts["efforts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(sent, known, "efforts are sent as they are");
    let list = stage.troupe(["sessions", "list", "--json", "-n", "200"]).run();
    let sources: BTreeSet<String> =
        list.json_lines().iter().map(|one| one["source"].as_str().unwrap().to_owned()).collect();
    assert!(sources.contains("a-program") && sources.contains("exec"), "{sources:?}");
}

#[test]
fn no_caller_dies_of_an_early_error() {
    if let Some(missing) = ["node", "npm"].iter().find(|program| !machine::has(program)) {
        skip!(format!("needs {missing}"));
    }
    let server = ModelServer::start(Script::always(say("never")));
    let stage = Stage::new();
    let finished = drive(&stage, &server, "early.mjs");
    let line = &finished.json_lines()[0];
    assert_eq!(line["caught"], 200, "{line}");
    assert_eq!(line["messages"].as_object().unwrap().len(), 10, "{line}");
    assert!(server.requests().is_empty());
}

#[test]
#[cfg(unix)]
fn a_turn_that_is_aborted_is_an_abort_error() {
    if let Some(missing) = ["node", "npm"].iter().find(|program| !machine::has(program)) {
        skip!(format!("needs {missing}"));
    }
    let long = || call("shell", json!({ "command": "touch begun; sleep 300" }));
    let server = ModelServer::start(
        Script::new()
            .when(|request| request.asks("streamed"), long().then(say("after the abort")))
            .otherwise(long()),
    );
    let stage = Stage::new();
    let lines = drive(&stage, &server, "abort.mjs").json_lines();
    let abort = json!({ "name": "AbortError", "code": "ABORT_ERR" });
    assert_eq!(lines[0]["error"], abort);
    let streamed = kinds(&lines[0]);
    assert!(streamed.contains(&"item.started command_execution"), "{streamed:?}");
    assert!(!streamed.iter().any(|kind| kind.starts_with("turn.failed")), "{streamed:?}");
    assert_eq!(lines[1]["error"], abort);
    assert_eq!(lines[2]["final"], "after the abort");
    assert_eq!(lines[3]["errors"], json!(["AbortError", "AbortError"]));
    stage.assert_no_process_left();
}
