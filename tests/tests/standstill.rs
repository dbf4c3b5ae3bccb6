//! Time in which the process stood still (stopped, asleep with its machine) is no silence of a server
//! and no run time of a command; what arrived meanwhile is read before a deadline passes.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use std::time::Duration;
use troupe_tests::{
    model_server::*,
    stage::{Finished, Running, Stage},
    wait::{DEADLINE, poll},
};

/// Longer than every limit here.
const STANDSTILL: Duration = Duration::from_millis(2500);
/// A limit in milliseconds that a slow machine keeps.
const LIMIT: u64 = 1200;

fn stage(server: &ModelServer, settings: &[String]) -> Stage {
    let settings = settings.iter().flat_map(|one| ["-c".to_owned(), one.clone()]);
    Stage::new().with_model(server).with_arguments(settings)
}

fn provider(setting: &str) -> String {
    format!("model_providers.test.{setting}={LIMIT}")
}

fn start(stage: &Stage) -> Running {
    stage.troupe(["exec", "--json", "-s", "danger-full-access", "go"]).start()
}

fn wait_for(stage: &Stage, file: &str) {
    poll(DEADLINE, || stage.exists(file).then_some(())).expect(file);
}

/// Waits until this part of an answer was read.
fn wait_read(stage: &Stage, part: &str) {
    let read = || {
        let log = stage.logs().into_iter().next()?;
        log.text().contains(&format!("\"{part}\"")).then_some(())
    };
    poll(DEADLINE, read).expect(part);
}

fn assert_answered(finished: &Finished, text: &str) {
    finished.assert_success();
    let lines = finished.json_lines();
    let said = |line: &Value| line["type"] == "item.completed" && line["item"]["text"] == text;
    assert!(lines.iter().any(said), "{}", finished.stdout());
}

#[test]
fn text_that_came_meanwhile_is_no_silence() {
    let gate = Gate::new();
    let answer = deltas(["one ", "two ", "three"]).wait_at(Point::Deltas(1), &gate);
    let server = ModelServer::start(Script::always(answer));
    let stage = stage(&server, &[provider("stream_idle_timeout_ms")]);
    let running = start(&stage);
    wait_read(&stage, "one ");
    running.stand_still(STANDSTILL, || gate.open());
    assert_answered(&running.wait(), "one two three");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn text_that_comes_soon_after_is_no_silence_either() {
    let gate = Gate::new();
    let answer = deltas(["one ", "two"]).wait_at(Point::Deltas(1), &gate);
    let server = ModelServer::start(Script::always(answer));
    let stage = stage(&server, &[provider("stream_idle_timeout_ms")]);
    let running = start(&stage);
    wait_read(&stage, "one ");
    running.stand_still(STANDSTILL, || ());
    gate.open();
    assert_answered(&running.wait(), "one two");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_head_that_came_meanwhile_is_in_time() {
    for setting in ["first_byte_timeout_ms", "stream_idle_timeout_ms"] {
        let gate = Gate::new();
        let server = ModelServer::start(Script::always(say("here").wait(&gate)));
        let stage = stage(&server, &[provider(setting)]);
        let running = start(&stage);
        gate.wait_arrived(1);
        running.stand_still(STANDSTILL, || gate.open());
        assert_answered(&running.wait(), "here");
        assert_eq!(server.requests().len(), 1, "{setting}");
    }
}

/// A server whose model calls one command, and the output that it is told.
fn one_command(script: &str, timeout_ms: u64) -> ModelServer {
    let arguments = json!({ "command": script, "timeout_ms": timeout_ms });
    ModelServer::start(Script::new().turn(call("shell", arguments)).otherwise(say("done")))
}

fn output(server: &ModelServer) -> String {
    server.requests().last().unwrap().outputs().remove(0).1
}

#[test]
fn a_command_that_ended_meanwhile_ended_in_time() {
    let server = one_command("echo x > begun; sleep 0.3; echo fin", LIMIT);
    let stage = stage(&server, &[]);
    let running = start(&stage);
    wait_for(&stage, "begun");
    running.stand_still(STANDSTILL, || ());
    assert_answered(&running.wait(), "done");
    assert!(output(&server).starts_with("Exit code: 0\n"), "{}", output(&server));
    assert!(output(&server).contains("fin"), "{}", output(&server));
}

#[test]
fn a_command_that_goes_on_has_the_rest_of_its_time() {
    for with_tree in [false, true] {
        let script = "echo x > begun; until [ -e go ]; do sleep 0.02; done; echo fin";
        let server = one_command(script, 2 * LIMIT);
        let stage = stage(&server, &[]);
        let running = start(&stage);
        wait_for(&stage, "begun");
        match with_tree {
            true => running.stand_still_with_tree(2 * STANDSTILL, || ()),
            false => running.stand_still(2 * STANDSTILL, || ()),
        }
        stage.write("go", "");
        assert_answered(&running.wait(), "done");
        assert!(output(&server).starts_with("Exit code: 0\n"), "{}", output(&server));
    }
}

#[test]
fn a_command_that_stopped_itself_uses_its_time_up() {
    let server = one_command("echo x > begun; kill -STOP $$", LIMIT);
    let stage = stage(&server, &[]);
    assert_answered(&start(&stage).wait(), "done");
    assert!(output(&server).contains("timed out after"), "{}", output(&server));
}

#[test]
fn what_a_background_process_printed_meanwhile_is_read() {
    let script = "echo x > begun; until [ -e go ]; do sleep 0.02; done; echo late; exec sleep 100";
    let polled = compute(|request| {
        let told = request.outputs().remove(0).1;
        let digits = told.split_once("session ID ").unwrap().1;
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        let process: u64 = digits.parse().unwrap();
        call("write_stdin", json!({ "session_id": process, "yield_time_ms": LIMIT }))
    });
    let started = call("exec_command", json!({ "cmd": script, "yield_time_ms": 250 }));
    let server =
        ModelServer::start(Script::new().turn(started).turn(polled).otherwise(say("done")));
    let stage = stage(&server, &[]);
    let running = start(&stage);
    wait_for(&stage, "begun");
    let polls =
        |line: &Value| line["type"] == "item.started" && line["item"]["tool"] == "write_stdin";
    running.wait_json("the poll", polls);
    running.stand_still(STANDSTILL, || stage.write("go", ""));
    assert_answered(&running.wait(), "done");
    let told = server.requests().last().unwrap().outputs().pop().unwrap().1;
    assert!(told.contains("late"), "{told}");
}

#[test]
fn the_limit_of_a_turn_does_not_count_it() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::always(say("here").wait(&gate)));
    let stage = stage(&server, &[format!("turn_timeout_ms={LIMIT}")]);
    let running = start(&stage);
    gate.wait_arrived(1);
    running.stand_still(STANDSTILL, || gate.open());
    assert_answered(&running.wait(), "here");
}
