//! However `troupe exec` ends, it says so: a terminal event as the last line, a code, no process left.

use serde_json::{Value, json};
use std::{fs, io::Read, path::Path, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Running, Signal, Stage, Stdin},
};

/// The only terminal event there may be: the last line.
fn end(finished: &Finished) -> Value {
    let lines = finished.json_lines();
    let terminal = |line: &&Value| {
        line["type"].as_str().is_some_and(|kind| ["turn.completed", "turn.failed"].contains(&kind))
    };
    assert_eq!(lines.iter().filter(terminal).count(), 1, "{}", finished.stdout());
    let last = lines.last().unwrap();
    assert!(terminal(&last), "{}", finished.stdout());
    last.clone()
}

/// Waits until the process handles TERM.
fn wait_for_handlers(running: &Running) {
    let status = format!("/proc/{}/status", running.id());
    loop {
        let text = fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0 {
            return;
        }
        std::thread::yield_now();
    }
}

/// A stage whose runs find the provider in the configuration, so that a shell can start them.
fn configured(server: &ModelServer) -> Stage {
    Stage::new().with_config(&format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nbase_url = \"{}\"\n",
        server.url()
    ))
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_while_standard_input_is_read() {
    let server = ModelServer::start(Script::always(say("never")));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "--json", "-"]).stdin(Stdin::Open).start();
    wait_for_handlers(&running);
    running.signal(Signal::Terminate);
    let finished = running.wait();
    finished.assert_code(128 + 15);
    assert!(end(&finished)["error"]["message"].as_str().unwrap().contains("signal 15"));
    assert!(server.requests().is_empty());
}

#[test]
fn a_command_line_that_cannot_be_used() {
    let stage = Stage::new();
    let finished =
        stage.program(binary::troupe()).args(["exec", "--json", "--no-such", "go"]).run();
    finished.assert_code(2);
    assert!(end(&finished)["error"]["message"].as_str().unwrap().contains("--no-such"));
    let help = stage.program(binary::troupe()).args(["exec", "--json", "--help"]).run();
    help.assert_success();
    assert!(!help.stdout().contains("turn.failed"));
}

#[test]
fn a_last_message_that_cannot_be_kept_is_told_before_anything_is_done() {
    let server = ModelServer::start(Script::always(say("never")));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "-o", "no/such/folder/last.txt", "go"]).run();
    finished.assert_code(9);
    assert!(end(&finished)["error"]["message"].as_str().unwrap().contains("no/such/folder"));
    assert!(server.requests().is_empty());
}

#[test]
fn a_last_message_that_cannot_be_kept_any_more_is_told_after_the_end() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "rm -f out/last.txt; rmdir out" })))
            .turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    fs::create_dir(stage.work().join("out")).unwrap();
    let arguments = ["exec", "--json", "-s", "danger-full-access", "-o", "out/last.txt", "go"];
    let finished = stage.troupe(arguments).run();
    finished.assert_code(9);
    assert_eq!(end(&finished)["type"], "turn.completed");
    assert!(finished.stderr().contains("out/last.txt"), "{}", finished.stderr());
}

#[test]
#[cfg(unix)]
fn a_signal_is_heeded_while_nobody_reads_the_output() {
    // More than a pipe and the lines on their way hold.
    let answer = "x".repeat(300_000);
    let server = ModelServer::start(
        Script::new()
            .turn(calls([say(answer), call("shell", json!({ "command": "sleep 300" }))]))
            .turn(say("never")),
    );
    let stage = configured(&server);
    let fifo = stage.root().join("fifo");
    stage.program("mkfifo").args([&fifo]).run().assert_success();
    let script = "exec \"$0\" exec --json -s danger-full-access go > \"$1\"";
    let running = stage
        .program("sh")
        .args(["-c".as_ref(), script.as_ref(), binary::troupe().as_os_str(), fifo.as_os_str()])
        .limit(Duration::from_secs(60))
        .start();
    // Opened, and one byte read: from here on it stalls.
    let mut reader = fs::File::open(&fifo).unwrap();
    reader.read_exact(&mut [0]).unwrap();
    wait_for_process(&stage, "sleep 300");
    running.signal(Signal::Terminate);
    let finished = running.wait();
    finished.assert_code(128 + 15);
    stage.assert_no_process_left();
}

/// Waits until the stage runs such a command.
fn wait_for_process(stage: &Stage, command: &str) {
    while !stage.processes().iter().any(|process| process.command.contains(command)) {
        std::thread::yield_now();
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_does_not_end_the_task() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "echo done > done" })))
            .turn(say("the end")),
    );
    let stage = configured(&server);
    // The reader has gone before the first line is written.
    let script = "{ until [ -e gone ]; do :; done; \"$0\" exec --json -s danger-full-access go; \
                  echo $? > code; } | { exec <&-; : > gone; }";
    let run =
        stage.program("sh").args(["-c".as_ref(), script.as_ref(), binary::troupe().as_os_str()]);
    let finished = run.run();
    assert_eq!(stage.read("code").trim(), "0", "{}", finished.stderr());
    assert!(stage.exists("done") && server.requests().len() == 2);
    assert!(finished.stderr().contains("not all of the output was written"));
}

#[test]
fn more_than_a_prompt_can_be_is_refused() {
    let stage = Stage::new().with_provider("http://127.0.0.1:9/v1", Wire::Responses);
    let much = Stdin::Bytes(vec![b'x'; 17 << 20]);
    let finished = stage.troupe(["exec", "--json", "-"]).stdin(much).run();
    finished.assert_code(2);
    assert!(end(&finished)["error"]["message"].as_str().unwrap().contains("16 MiB"));
    let image = stage.work().join("large.png");
    fs::File::create(&image).unwrap().set_len(21 << 20).unwrap();
    let finished = stage.troupe(["exec", "--json", "-i", "large.png", "--", "go"]).run();
    finished.assert_code(3);
    assert!(end(&finished)["error"]["message"].as_str().unwrap().contains("20 MiB"));
    assert!(Path::new(&image).exists());
}

#[test]
fn nothing_a_model_or_a_command_says_is_obeyed_by_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2Jafter";
    let command = "printf '\\033]0;owned\\007\\033[2Jprinted'";
    let server = ModelServer::start(
        Script::new().turn(call("shell", json!({ "command": command }))).turn(say(evil)),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "-s", "danger-full-access", "go"]).run();
    finished.assert_success();
    let shown = finished.stderr();
    assert!(shown.contains("printed") && shown.contains("after"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}
