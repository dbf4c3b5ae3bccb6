//! Deadlines count work: the time in which a process ran the turn.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use troupe_tests::{
    model_server::*,
    stage::{Running, Signal, Stage},
    wait::{DEADLINE, poll},
};

fn limit(ms: u32) -> String {
    format!("turn_timeout_ms={ms}")
}

/// Lets time pass: what these rows test is time.
fn pass(seconds: u64) {
    let _never = poll(Duration::from_secs(seconds), || None::<()>);
}

fn kill(mut running: Running) {
    running.signal(Signal::Kill);
    running.kill_tree();
    drop(running.wait());
}

/// Moves the times of the log's lines from number `from` on by some seconds.
fn move_times(stage: &Stage, from: usize, seconds: i64) {
    let log = stage.log();
    let mut text = String::new();
    for (number, mut line) in log.lines().into_iter().enumerate() {
        if number >= from {
            shift(&mut line, seconds);
        }
        text += &format!("{line}\n");
    }
    fs::write(log.path(), text).unwrap();
}

/// `at` is in milliseconds, or a text of RFC 3339.
fn shift(line: &mut Value, seconds: i64) {
    let at = line["at"].as_i64().unwrap_or_else(|| panic!("another form of time: {line}"));
    line["at"] = json!(at + seconds * 1000);
}

#[test]
fn deadlines() {
    let mut rows = Vec::new();
    for (name, seconds) in
        [("a day ago", -86_400), ("a day ahead", 86_400), ("in 1970", -1_764_000_000)]
    {
        rows.push(row(
            format!("the time between two processes does not count: the log is of {name}"),
            move || {
                let server = ModelServer::start(Script::always(silence().then(say("done"))));
                let stage = Stage::new().with_model(&server).with_arguments(["-c", &limit(20_000)]);
                let running = exec(&stage).arg("go").start();
                server.wait_requests_blocking(1);
                kill(running);
                move_times(&stage, 0, seconds);
                ends(&resume(&stage, &[]), 0);
            },
        ));
        rows.push(row(format!("it holds all the same: the log is of {name}"), move || {
            let server = ModelServer::start(Script::always(silence()));
            let stage = Stage::new().with_model(&server).with_arguments(["-c", &limit(3000)]);
            let running = exec(&stage).arg("go").start();
            server.wait_requests_blocking(1);
            kill(running);
            move_times(&stage, 0, seconds);
            ends(&resume(&stage, &[]), 12);
        }));
    }
    rows.push(row("a clock that was set between two lines of the turn does not count", || {
        for seconds in [86_400, -86_400] {
            let server = ModelServer::start(
                Script::new().turn(shell("true")).turn(silence().then(say("done"))),
            );
            let stage =
                Stage::new().with_model(&server).with_arguments(["-c", "turn_timeout_ms=20000"]);
            let running = exec(&stage).arg("go").start();
            server.wait_requests_blocking(2);
            kill(running);
            let kinds = stage.log().kinds();
            let from = kinds.iter().position(|kind| kind == "CallFinished").unwrap();
            move_times(&stage, from, seconds);
            ends(&resume(&stage, &[]), 0);
        }
    }));
    rows.push(row("the work of two processes is added up", || {
        let server = ModelServer::start(
            Script::new()
                .turn(shell("sleep 5; echo x >> ran; exec sleep 100"))
                .otherwise(silence()),
        );
        let stage = Stage::new().with_model(&server).with_arguments(["-c", "turn_timeout_ms=8000"]);
        let running = exec(&stage).arg("go").start();
        poll(DEADLINE, || stage.exists("ran").then_some(()))
            .expect("the command has worked for 5 s");
        kill(running);
        let resumed = resume(&stage, &[]);
        ends(&resumed, 12);
        // 3 of 8 s are left.
        assert!(resumed.took < Duration::from_secs(7), "{:?}", resumed.took);
    }));
    for (name, first) in [
        ("a command", shell("exec sleep 100")),
        ("a wait before a retry", status(503).retry_after("200")),
        ("an answer", say("hel").stall_at(4)),
    ] {
        rows.push(row(format!("it ends a resumed turn in {name}"), move || {
            let gate = silence();
            let server =
                ModelServer::start(Script::new().turn(gate.then(first.clone())).otherwise(first));
            let stage = Stage::new().with_model(&server).with_arguments(["-c", &limit(2500)]);
            let running = exec(&stage).arg("go").start();
            server.wait_requests_blocking(1);
            kill(running);
            ends(&resume(&stage, &[]), 12);
            stage.assert_no_process_left();
            drop(server.expect_violations());
        }));
    }
    rows.push(row("after a deadline, the turn that goes on has one of its own", || {
        let server = ModelServer::start(Script::always(silence().then(say("done"))));
        let stage = Stage::new().with_model(&server).with_arguments(["-c", &limit(1500)]);
        ends(&exec(&stage).arg("go").run(), 12);
        ends(&resume(&stage, &[]), 0);
    }));
    rows.push(row("a deadline of one millisecond is one", || {
        let server = ModelServer::start(Script::always(silence()));
        let stage = Stage::new().with_model(&server).with_arguments(["-c", &limit(1)]);
        ends(&exec(&stage).arg("go").limit(LIMIT).run(), 12);
        drop(server.expect_violations());
    }));
    rows.push(row("it ends a summary that does not come", || {
        let sum = |request: &Request| request.tools().is_empty();
        let server = ModelServer::start(Script::new().when(sum, silence()).otherwise(
            say("fine").usage(Usage { input: 1000, cached: 0, output: 5, reasoning: 0 }),
        ));
        let stage = Stage::new()
            .with_model(&server)
            .with_arguments(["-c", "model_auto_compact_token_limit=500"]);
        ends(&exec(&stage).arg("first").run(), 0);
        let finished = exec(&stage)
            .args(["-c", "turn_timeout_ms=2000", "resume", "--last", "second"])
            .limit(LIMIT)
            .run();
        ends(&finished, 12);
    }));
    rows.push(row("stopped for longer than the limit of the turn", || {
        let gate = Gate::new();
        let server = ModelServer::start(Script::always(say("done").wait(&gate)));
        let stage = Stage::new().with_model(&server).with_arguments(["-c", &limit(4000)]);
        let running = exec(&stage).arg("go").start();
        gate.wait_arrived(1);
        running.signal(Signal::Stop);
        pass(5);
        gate.open();
        running.signal(Signal::Continue);
        ends(&running.wait(), 0);
    }));
    rows.push(row("stopped for longer than the limit of the first byte", || {
        let gate = Gate::new();
        let server = ModelServer::start(Script::always(say("done").wait(&gate)));
        let stage = Stage::new()
            .with_model(&server)
            .with_arguments(["-c", "model_providers.test.first_byte_timeout_ms=3000"]);
        let running = exec(&stage).arg("go").start();
        gate.wait_arrived(1);
        running.signal(Signal::Stop);
        gate.open();
        pass(4);
        running.signal(Signal::Continue);
        let finished = running.wait();
        ends(&finished, 0);
        assert_eq!(server.requests().len(), 1, "{}", told(&finished));
    }));
    rows.push(row("stopped, with its group, for longer than the limit of a command", || {
        let server = ModelServer::start(
            Script::new()
                .turn(call(
                    "shell",
                    json!({ "command": "echo x > begun; cat go; echo fin", "timeout_ms": 3000 }),
                ))
                .otherwise(say("done")),
        );
        let stage = Stage::new().with_model(&server);
        let made = std::process::Command::new("mkfifo").arg(stage.work().join("go")).status();
        assert!(made.unwrap().success());
        let running = exec(&stage).arg("go").start();
        poll(DEADLINE, || stage.exists("begun").then_some(())).expect("it has begun");
        running.signal(Signal::Stop);
        // The command itself ends in time.
        fs::write(stage.work().join("go"), "words\n").unwrap();
        pass(4);
        running.signal(Signal::Continue);
        ends(&running.wait(), 0);
        let output = server.requests().pop().unwrap().outputs().remove(0).1;
        assert!(output.contains("fin") && !output.contains("timed out"), "{output}");
    }));
    table("siblings: deadlines", &[], rows);
}
