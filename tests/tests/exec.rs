//! `troupe exec` against a scripted model: what is printed, what is asked, how it ends.

use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use troupe_tests::{
    machine,
    model_server::*,
    skip,
    stage::{Finished, Signal, Stage, Stdin},
};

/// The kinds of events, without the warning of a machine whose sandbox is weaker.
fn kinds(finished: &Finished) -> Vec<String> {
    let weaker = |line: &Value| {
        let message = line["item"]["message"].as_str().unwrap_or_default();
        !machine::user_namespaces() && message.contains("the sandbox is weaker here")
    };
    finished
        .json_lines()
        .iter()
        .filter(|line| !weaker(line))
        .map(|line| match line["item"]["type"].as_str() {
            Some(item) => format!("{} {item}", line["type"].as_str().unwrap()),
            None => line["type"].as_str().unwrap().to_owned(),
        })
        .collect()
}

fn last(finished: &Finished) -> Value {
    finished.json_lines().pop().expect("a last line")
}

const WRITE: [&str; 2] = ["-s", "workspace-write"];

#[test]
fn a_task_on_both_wires() {
    for wire in [Wire::Responses, Wire::Chat] {
        let server = ModelServer::start(
            Script::new()
                .turn(call("shell", json!({ "command": "echo made > file && echo printed" })))
                .turn(say("All done.")),
        );
        let stage = Stage::new().with_wire(&server, wire);
        let finished = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).run();
        finished.assert_success();
        assert_eq!(
            kinds(&finished),
            [
                "thread.started",
                "turn.started",
                "item.started command_execution",
                "item.completed command_execution",
                "item.completed agent_message",
                "turn.completed"
            ]
        );
        let completed = |line: &Value| line["item"]["exit_code"].is_number();
        let command = &finished.json_lines().into_iter().find(completed).unwrap()["item"];
        assert_eq!(command["aggregated_output"], "printed\n");
        assert_eq!(
            (command["exit_code"].as_i64(), &command["status"]),
            (Some(0), &json!("completed"))
        );
        assert_eq!(stage.read("file"), "made\n");
        assert!(server.requests()[1].outputs()[0].1.contains("printed"));
        stage.log().assert_numbered();
        stage.assert_no_process_left();
    }
}

#[test]
fn people_get_the_answer_on_stdout_and_the_rest_on_stderr() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "echo hello; exit 3" })))
            .turn(say("The answer.")),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "go"]).run();
    finished.assert_success();
    assert_eq!(finished.stdout(), "The answer.\n");
    let stderr = finished.stderr();
    for part in [
        "provider: test (model_provider says so)",
        "sandbox: read-only",
        "exec echo hello; exit 3",
        "exited 3",
        "hello",
        "tokens used",
    ] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    assert!(!stderr.contains('\x1b'), "no colour in a pipe");
}

#[test]
fn a_patch_a_plan_and_a_look_are_shown_as_what_they_are() {
    let patch = "*** Begin Patch\n*** Add File: new.txt\n+text\n*** End Patch\n";
    let plan = json!({ "plan": [{ "step": "look", "status": "completed" }, { "step": "write", "status": "pending" }] });
    let server = ModelServer::start(
        Script::new()
            .turn(call("update_plan", plan).and(call("read_file", json!({ "path": "a.txt" }))))
            .turn(custom("apply_patch", patch))
            .turn(say("ok")),
    );
    let stage = Stage::new().with_model(&server);
    stage.write("a.txt", "one\n");
    let finished = stage.troupe(["exec", "--json"].iter().chain(&WRITE).chain(&["go"])).run();
    finished.assert_success();
    assert_eq!(stage.read("new.txt"), "text\n");
    let kinds = kinds(&finished);
    for kind in [
        "item.started todo_list",
        "item.completed todo_list",
        "item.completed mcp_tool_call",
        "item.started file_change",
        "item.completed file_change",
    ] {
        assert!(kinds.contains(&kind.to_owned()), "{kind} in {kinds:?}");
    }
}

#[test]
fn failures_have_their_codes_and_a_last_line() {
    let cases: Vec<(Turn, i32)> = vec![(status(401), 4), (status(400), 8), (status(404), 8)];
    for (turn, code) in cases {
        let server = ModelServer::start(Script::always(turn));
        let stage = Stage::new().with_model(&server);
        let finished = stage.troupe(["exec", "--json", "go"]).run();
        finished.assert_code(code);
        assert_eq!(last(&finished)["type"], "turn.failed", "{}", finished.stdout());
    }
}

#[test]
fn what_passes_is_tried_again() {
    let faults: Vec<Turn> = vec![
        status(503),
        status(429).retry_after("0"),
        reset(),
        say("half of it").drop_at(2),
        say("half of it").malformed_at(2),
        say("half of it").invalid_utf8_at(2),
    ];
    for fault in faults {
        let server = ModelServer::start(Script::new().turn(fault.then(say("whole"))));
        let stage = Stage::new().with_model(&server);
        let finished = stage.troupe(["exec", "--json", "go"]).run();
        finished.assert_success();
        let lines = finished.json_lines();
        let said: Vec<_> =
            lines.iter().filter(|line| line["item"]["type"] == "agent_message").collect();
        assert!(!said.is_empty(), "{}", finished.stdout());
    }
}

#[test]
fn a_server_that_is_down_ends_with_the_network_code() {
    let stage = Stage::new()
        .with_provider("http://127.0.0.1:9/v1", Wire::Responses)
        .with_arguments(["-c", "model_providers.test.stream_max_retries=1"]);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(5);
    let types: Vec<String> = kinds(&finished);
    assert_eq!(types.last().unwrap(), "turn.failed");
    assert!(types.contains(&"error".to_owned()), "the retry is told: {types:?}");
}

#[test]
fn a_silent_server_is_given_up() {
    let server = ModelServer::start(Script::always(silence()));
    let stage = Stage::new().with_model(&server).with_arguments([
        "-c",
        "model_providers.test.first_byte_timeout_ms=200",
        "-c",
        "model_providers.test.stream_max_retries=1",
    ]);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    let code = finished.code().unwrap();
    assert!(matches!(code, 5 | 12), "{code}: {}", finished.stdout());
}

#[test]
fn one_huge_event_is_taken() {
    let server = ModelServer::start(Script::new().turn(huge(20 << 20)));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_success();
    let lines = finished.json_lines();
    let text = lines.iter().find(|line| line["item"]["type"] == "agent_message").unwrap();
    assert!(text["item"]["text"].as_str().unwrap().len() >= 20 << 20);
    // Parts, checkpoints of what has come, the whole: not a checkpoint of it for each MiB.
    let files = |folder: &Path| -> u64 {
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let log = stage.log();
    let kept =
        std::fs::metadata(log.path()).unwrap().len() + files(&log.path().with_extension("d"));
    assert!(kept < 96 << 20, "{kept}");
}

#[test]
fn calls_that_cannot_be_understood_are_told_to_the_model() {
    let bad_patch = "*** Begin Patch\n*** Update File: none.txt\n@@\n-a\n+b\n*** End Patch\n";
    let server = ModelServer::start(
        Script::new()
            .turn(call_text("shell", "{\"command\": \"echo"))
            .turn(call("no_such_tool", json!({})))
            .turn(custom("apply_patch", bad_patch))
            .turn(call("shell", json!({ "command": "true", "workdir": "gone" })))
            .turn(say("I see")),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json"].iter().chain(&WRITE).chain(&["go"])).run();
    finished.assert_success();
    let last = server.requests().pop().unwrap();
    let outputs: Vec<String> = last.outputs().into_iter().map(|(_, text)| text).collect();
    assert!(outputs[1].contains("unsupported call: no_such_tool"), "{outputs:#?}");
    assert!(outputs[2].contains("none.txt"), "{outputs:#?}");
    assert!(outputs[3].contains("does not exist"), "{outputs:#?}");
}

#[test]
fn commands_that_misbehave_are_held() {
    let server = ModelServer::start(
        Script::new()
            .turn(call(
                "shell",
                json!({ "command": "trap '' TERM INT; sleep 300", "timeout_ms": 300 }),
            ))
            .turn(call("shell", json!({ "command": "sleep 300 & setsid sleep 300 & echo left" })))
            .turn(call("shell", json!({ "command": "yes | head -c 5000000" })))
            .turn(call("shell", json!({ "command": "printf '\\377\\376 bytes'" })))
            .turn(call("shell", json!({ "command": "cat; echo no input" })))
            .turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_success();
    let last = server.requests().pop().unwrap();
    let outputs: Vec<String> = last.outputs().into_iter().map(|(_, text)| text).collect();
    assert!(outputs[0].contains("timed out after 300"), "{}", outputs[0]);
    assert!(
        outputs[1].contains("2 background processes") && outputs[1].contains("left"),
        "{}",
        outputs[1]
    );
    assert!(outputs[2].contains("truncated") && outputs[2].len() < 50_000, "{}", outputs[2].len());
    assert!(outputs[3].contains("bytes"), "{}", outputs[3]);
    assert!(outputs[4].contains("no input"), "{}", outputs[4]);
    stage.assert_no_process_left();
}

#[test]
fn a_signal_ends_with_a_terminal_event_and_leaves_no_process() {
    for (signal, number) in [(Signal::Interrupt, 2), (Signal::Terminate, 15), (Signal::HangUp, 1)] {
        let server = ModelServer::start(
            Script::new()
                .turn(call("shell", json!({ "command": "echo up; sleep 300" })))
                .turn(say("never")),
        );
        let stage = Stage::new().with_model(&server);
        let running = stage.troupe(["exec", "--json", "go"]).start();
        running.wait_json("the command runs", |line| line["type"] == "item.started");
        running.signal(signal);
        let finished = running.wait();
        finished.assert_code(128 + number);
        assert_eq!(last(&finished)["type"], "turn.failed", "{}", finished.stdout());
        assert!(finished.stdout().contains("item.completed"), "the command's end is told");
        stage.assert_no_process_left();
        // What was interrupted is in the log, and the session goes on.
        server.set_script(Script::always(say("here")));
        let resumed = stage.troupe(["exec", "--json", "resume", "--last", "and now?"]).run();
        resumed.assert_success();
    }
}

#[test]
fn standard_input_is_read_only_when_asked_for() {
    let server = ModelServer::start(Script::always(say("ok")));
    let stage = Stage::new().with_model(&server);
    // An open pipe that nobody closes does not hold it up.
    stage.troupe(["exec", "given"]).stdin(Stdin::Open).run().assert_success();
    stage.troupe(["exec"]).stdin(Stdin::Bytes(b"piped".to_vec())).run().assert_success();
    stage.troupe(["exec", "-"]).stdin(Stdin::Bytes(b"dashed".to_vec())).run().assert_success();
    stage
        .troupe(["exec", "--stdin", "more"])
        .stdin(Stdin::Bytes(b"appended".to_vec()))
        .run()
        .assert_success();
    let wanted = ["given", "piped", "dashed", "more\n\n<stdin>\nappended\n</stdin>"];
    for (request, wanted) in server.requests().iter().zip(wanted) {
        let prompt = request.texts("user").pop().unwrap();
        assert!(prompt.ends_with(wanted), "{prompt}");
    }
    assert_eq!(server.requests().len(), 4);
    let finished = stage.troupe(["exec", "-"]).stdin(Stdin::Bytes(Vec::new())).run();
    finished.assert_code(2);
    let finished = stage.troupe(["exec", "-"]).stdin(Stdin::Bytes(b"\xff\xfe\x00".to_vec())).run();
    finished.assert_code(2);
}

#[test]
fn oss_finds_a_local_server_where_the_configuration_says_it_is() {
    let server = ModelServer::start(Script::always(say("from here")).models(["local-model"]));
    let place = format!("model_providers.llamacpp.base_url={}", server.url());
    let finished = Stage::new().troupe(["exec", "--oss", "-c", &place, "go"]).run();
    finished.assert_success();
    assert!(finished.stderr().contains("llamacpp"), "{}", finished.stderr());
    assert_eq!(server.requests()[0].body["model"], "local-model");
}

#[test]
fn without_a_provider_it_says_what_to_do() {
    let stage = Stage::new();
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(3);
    for part in ["OPENAI_API_KEY", "model_providers", "--oss"] {
        assert!(finished.stderr().contains(part), "{}", finished.stderr());
    }
    assert_eq!(last(&finished)["type"], "turn.failed");
}

#[test]
fn a_broken_configuration_is_named_with_its_line() {
    let stage = Stage::new().with_config("model = \"m\"\nsandbox_mode = \"wide\"\n");
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(3);
    assert!(finished.stderr().contains("config.toml:2:16"), "{}", finished.stderr());
    assert_eq!(last(&finished)["type"], "turn.failed");
    let unknown = Stage::new().with_arguments(["-c", "model_provider=opanai"]);
    let finished = unknown.troupe(["exec", "go"]).run();
    finished.assert_code(3);
    assert!(finished.stderr().contains("did you mean `openai`?"), "{}", finished.stderr());
}

#[test]
fn a_session_goes_on_with_what_was_said() {
    let server = ModelServer::start(Script::new().turn(say("first answer")));
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec", "first question"]).run().assert_success();
    let id = stage.log().session();
    server.set_script(Script::always(say("second answer")));
    let finished = stage.troupe(["exec", "--json", "resume", &id, "second question"]).run();
    finished.assert_success();
    assert_eq!(finished.json_lines()[0]["thread_id"], id.as_str());
    let request = server.requests().pop().unwrap();
    assert_eq!(request.texts("assistant"), ["first answer"]);
    assert!(request.texts("user").last().unwrap().ends_with("second question"));
    // Its environment is not told twice.
    let told =
        request.texts("user").iter().filter(|text| text.contains("<environment_context>")).count();
    assert_eq!(told, 1);
    let unknown =
        stage.troupe(["exec", "resume", "00000000-0000-7000-8000-000000000000", "x"]).run();
    unknown.assert_code(3);
}

#[test]
fn two_processes_do_not_share_a_session() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::new().turn(say("slow").wait(&gate)));
    let stage = Stage::new().with_model(&server);
    let first = stage.troupe(["exec", "--json", "go"]).start();
    gate.wait_arrived(1);
    let id = stage.log().session();
    let second = stage.troupe(["exec", "--json", "resume", &id, "me too"]).run();
    second.assert_code(9);
    assert!(second.stderr().contains("open in another process"), "{}", second.stderr());
    assert_eq!(last(&second)["type"], "turn.failed");
    gate.open();
    first.wait().assert_success();
}

#[test]
fn the_last_message_goes_to_a_file_and_a_schema_to_the_model() {
    let server = ModelServer::start(Script::always(say("{\"ok\":true}")));
    let stage = Stage::new().with_model(&server);
    stage.write("schema.json", r#"{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}"#);
    let finished =
        stage.troupe(["exec", "-o", "out.txt", "--output-schema", "schema.json", "go"]).run();
    finished.assert_success();
    assert_eq!(stage.read("out.txt"), "{\"ok\":true}");
    let request = server.requests().pop().unwrap();
    assert_eq!(request.body["text"]["format"]["type"], "json_schema");
}

#[test]
fn secrets_reach_no_command_and_no_log() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "env; echo \"key: $THE_KEY\"" })))
            .turn(say("ok")),
    );
    let stage = Stage::new()
        .with_model(&server)
        .with_arguments(["-c", "model_providers.test.env_key=\"THE_KEY\""])
        .with_env("THE_KEY", "sk-very-secret")
        .with_env("AWS_SECRET_ACCESS_KEY", "aws-very-secret");
    let finished =
        stage.troupe(["exec", "--json", "-c", "shell_environment_policy.inherit=all", "go"]).run();
    finished.assert_success();
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-very-secret"));
    for text in [finished.stdout(), finished.stderr(), stage.log().text()] {
        assert!(!text.contains("very-secret"), "{text}");
    }
}

#[test]
fn the_live_tree_is_shown_while_it_runs() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::new().turn(say("slow").wait(&gate)));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "--json", "go"]).start();
    gate.wait_arrived(1);
    let top = stage.troupe(["top", "--once"]).run();
    top.assert_success();
    for part in
        ["policy", "sandbox", "sessions", "conversations", "recorder", "conversation", "stream:"]
    {
        assert!(top.stdout().contains(part), "{part} in {}", top.stdout());
    }
    let json = stage.troupe(["top", "--once", "--json"]).run();
    assert_eq!(json.json_lines()[0]["tree"]["name"], "troupe");
    gate.open();
    running.wait().assert_success();
    stage.troupe(["top", "--once"]).run().assert_code(1);
}

#[test]
fn sessions_are_listed_and_shown() {
    let server = ModelServer::start(Script::always(say("the answer")));
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec", "the question"]).run().assert_success();
    let list = stage.troupe(["sessions", "list"]).run();
    assert!(list.stdout().contains("the question"), "{}", list.stdout());
    let id = stage.log().session();
    let shown = stage.troupe(["sessions", "show", &id[..13]]).run();
    shown.assert_success();
    assert!(shown.stdout().contains("the question") && shown.stdout().contains("the answer"));
}

#[test]
fn the_demo_ends_well() {
    let stage = Stage::new();
    let finished = stage.troupe(["demo"]).limit(Duration::from_secs(60)).run();
    finished.assert_success();
    for part in ["FAILED: 100 less 20 is 80, not 120", "was started again", "ok: 100 less 20 is 80"]
    {
        assert!(finished.stdout().contains(part), "{part} in {}", finished.stdout());
    }
    // The end is what a newcomer wants to know: the change, and one sentence.
    let stdout = finished.stdout();
    let end: Vec<&str> = stdout.lines().rev().take(7).collect();
    assert!(end[0].contains("nothing was lost") && end[0].len() < 160, "{stdout}");
    assert!(end.contains(&"-echo $((price + discount))"), "{stdout}");
    assert!(end.contains(&"What changed in price.sh:"), "{stdout}");
    assert!(!stdout.contains("HANDLED"), "{stdout}");
    let verbose = stage.troupe(["demo", "--verbose"]).limit(Duration::from_secs(60)).run();
    verbose.assert_success();
    assert!(verbose.stdout().contains("HANDLED"), "{}", verbose.stdout());
    stage.assert_no_process_left();
}

/// What the model is told of a command, beside its output.
fn told(script: &str) -> String {
    let server = ModelServer::start(
        Script::new().turn(call("shell", json!({ "command": script }))).turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec"].iter().chain(&WRITE).chain(&["go"])).run().assert_success();
    server.requests()[1].outputs()[0].1.clone()
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_sandbox_refused_and_what_was_made_is_told() {
    // A folder that this user may write to, so that only the sandbox refuses.
    let outside = tempfile::Builder::new().prefix("outside-").tempdir_in("/var/tmp").unwrap();
    let path = std::fs::canonicalize(outside.path()).unwrap().join("new").display().to_string();
    let refused = told(&format!("echo x > {path}"));
    let reason = format!("\nSandbox: {path} is outside the folders that commands may write to");
    assert!(refused.contains(&reason), "{refused}");
    if !machine::user_namespaces() {
        skip!("protected names inside other writable folders need user namespaces");
    }
    for script in ["echo x >> .git/config", "mkdir .codex/x"] {
        let protected = told(script);
        assert!(protected.contains("is protected: commands cannot change it."), "{protected}");
        assert_eq!(protected.matches("Sandbox: ").count(), 1, "{protected}");
    }
    let words = told("echo 'Permission denied: ./x'; exit 1");
    assert!(!words.contains("Sandbox: "), "{words}");
    let made = told("git init -q sub && echo evil > sub/.git/hooks/pre-commit");
    assert!(made.contains("sub/.git, whose use runs programs: hooks/pre-commit;"), "{made}");
}
