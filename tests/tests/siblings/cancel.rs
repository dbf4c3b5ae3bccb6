//! A signal reaches everything, whatever is going on.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::json;
use std::{
    process::Command,
    time::{Duration, Instant},
};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Running, Signal, Stage},
    wait::{DEADLINE, poll},
};

/// Generous: a machine with two busy cores.
const SOON: Duration = Duration::from_secs(3);

/// Sends the signal and waits for the end, which has its code, its event, and leaves nothing.
fn ends_by(running: Running, signal: Signal, stage: &Stage) -> Finished {
    let sent = Instant::now();
    running.signal(signal);
    let finished = running.wait();
    assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
    let code = match signal {
        Signal::Terminate => 143,
        Signal::HangUp => 129,
        _ => 130,
    };
    ends(&finished, code);
    stage.assert_no_process_left();
    finished
}

/// The turn goes on at the next run, with whole pairs of calls and outputs.
fn goes_on(server: &ModelServer, stage: &Stage) {
    server.set_script(Script::always(say("done")));
    ends(&resume(stage, &["go on"]), 0);
}

fn fifo(stage: &Stage, name: &str) {
    assert!(Command::new("mkfifo").arg(stage.work().join(name)).status().unwrap().success());
}

#[test]
fn signals() {
    let mut rows = Vec::new();
    for (signal, wire) in [
        (Signal::Interrupt, Wire::Responses),
        (Signal::Terminate, Wire::Chat),
        (Signal::HangUp, Wire::Responses),
    ] {
        for (name, turn) in [
            ("before the headers", silence()),
            ("behind the headers", events([]).raw_at(0, "").stall_at(0)),
            ("in the middle of a line", events([]).raw_at(0, "data: {\"ch").stall_at(0)),
        ] {
            rows.push(row(format!("{signal:?}: {name}"), move || {
                let server = ModelServer::start(Script::always(turn));
                let stage = Stage::new().with_wire(&server, wire);
                let running = exec(&stage).arg("go").start();
                server.wait_requests_blocking(1);
                ends_by(running, signal, &stage);
                goes_on(&server, &stage);
            }));
        }
        rows.push(row(format!("{signal:?}: a command that ignores signals and has left its group"), move || {
            let command = "trap '' INT TERM HUP; (setsid sh -c 'trap \"\" INT TERM HUP; sleep 101' &) ; echo x > begun; while :; do sleep 102; done";
            let server = ModelServer::start(Script::always(shell(command)));
            let stage = Stage::new().with_wire(&server, wire);
            let running = exec(&stage).arg("go").start();
            poll(DEADLINE, || stage.exists("begun").then_some(())).expect("it has begun");
            ends_by(running, signal, &stage);
            goes_on(&server, &stage);
        }));
        rows.push(row(format!("{signal:?}: a process in the background and the answer that follows"), move || {
            let turn = call("exec_command", json!({ "cmd": "trap '' INT TERM; echo up; sleep 103; sleep 104", "yield_time_ms": 250 }));
            let server = ModelServer::start(Script::new().turn(turn).otherwise(silence()));
            let stage = Stage::new().with_wire(&server, wire);
            let running = exec(&stage).arg("go").start();
            server.wait_requests_blocking(2);
            ends_by(running, signal, &stage);
            goes_on(&server, &stage);
        }));
        rows.push(row(
            format!("{signal:?}: while a background process is waited for"),
            move || {
                let turn = call(
                    "exec_command",
                    json!({ "cmd": "echo x > begun; sleep 105", "yield_time_ms": 60_000 }),
                );
                let server = ModelServer::start(Script::always(turn));
                let stage = Stage::new().with_wire(&server, wire);
                let running = exec(&stage).arg("go").start();
                poll(DEADLINE, || stage.exists("begun").then_some(())).expect("it has begun");
                ends_by(running, signal, &stage);
                goes_on(&server, &stage);
            },
        ));
    }
    for wire in WIRES {
        rows.push(row(
            format!("{wire:?}: at the first of twenty calls; no other one begins"),
            move || {
                let list = (0..20).map(|n| shell(&format!("echo {n} >> ran; exec sleep 106")));
                let server = ModelServer::start(Script::always(calls(list)));
                let stage = Stage::new().with_wire(&server, wire);
                let running = exec(&stage).arg("go").start();
                wait_written(&stage, "ran");
                ends_by(running, Signal::Interrupt, &stage);
                assert_eq!(stage.read("ran"), "0\n");
                goes_on(&server, &stage);
                assert_eq!(server.requests().pop().unwrap().outputs().len(), 20);
            },
        ));
        rows.push(row(format!("{wire:?}: while a summary is asked for"), move || {
            let sum = |request: &Request| request.tools().is_empty();
            let answer =
                say("fine").usage(Usage { input: 1000, cached: 0, output: 5, reasoning: 0 });
            let server = ModelServer::start(Script::new().when(sum, silence()).otherwise(answer));
            let stage = Stage::new().with_wire(&server, wire);
            let set = ["-c", "model_auto_compact_token_limit=500"];
            ends(&exec(&stage).args(set).arg("first").run(), 0);
            let running = exec(&stage).args(set).args(["resume", "--last", "second"]).start();
            server.wait_requests_blocking(2);
            ends_by(running, Signal::Interrupt, &stage);
            goes_on(&server, &stage);
        }));
        rows.push(row(format!("{wire:?}: while a script of two megabytes is judged"), move || {
            let script = format!(
                "{} echo x > begun; sleep 107",
                "if true; then echo $((1+2)); fi; ".repeat(60_000)
            );
            let server = ModelServer::start(Script::always(shell(&script)));
            let stage = Stage::new().with_wire(&server, wire);
            let running = stage.troupe(["exec", "--json", "go"]).start();
            let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
            log.wait_kind("CallRequested", 1);
            ends_by(running, Signal::Interrupt, &stage);
            goes_on(&server, &stage);
        }));
        for (tool, arguments) in [
            ("read_file", json!({ "path": "pipe" })),
            ("grep_files", json!({ "pattern": "x", "path": "." })),
            ("view_image", json!({ "path": "pipe" })),
            ("list_dir", json!({ "path": ".", "depth": 10 })),
        ] {
            rows.push(row(
                format!("{wire:?}: a named pipe in the way of {tool} holds up nothing"),
                move || {
                    let server = ModelServer::start(
                        Script::new().turn(call(tool, arguments)).otherwise(silence()),
                    );
                    let stage = Stage::new().with_wire(&server, wire);
                    fifo(&stage, "pipe");
                    let running = exec(&stage).arg("go").start();
                    let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                    log.wait_kind("CallRequested", 1);
                    ends_by(running, Signal::Interrupt, &stage);
                    goes_on(&server, &stage);
                },
            ));
        }
    }
    rows.push(row("while a patch is to change a named pipe", || {
        let patch = "*** Begin Patch\n*** Update File: pipe\n@@\n-a\n+b\n*** End Patch\n";
        let server = ModelServer::start(
            Script::new().turn(custom("apply_patch", patch)).otherwise(silence()),
        );
        let stage = Stage::new().with_model(&server);
        fifo(&stage, "pipe");
        let running = exec(&stage).arg("go").start();
        let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
        log.wait_kind("CallRequested", 1);
        ends_by(running, Signal::Interrupt, &stage);
        goes_on(&server, &stage);
    }));
    for scheme in ["http", "socks5h", "socks4a"] {
        rows.push(row(format!("while a proxy keeps silent: {scheme}"), move || {
            let (url, count) = holding(b"");
            let proxy = url.replace("http://", &format!("{scheme}://")).replace("/v1", "");
            let stage = Stage::new().with_provider("http://models.example.invalid/v1", Wire::Chat);
            let running = exec(&stage).arg("go").env("ALL_PROXY", proxy).start();
            poll(DEADLINE, || (count() > 0).then_some(())).expect("the proxy is asked");
            ends_by(running, Signal::Interrupt, &stage);
        }));
    }
    rows.push(row("while another process holds the session", || {
        let server = ModelServer::start(Script::always(say("done").then(silence())));
        let stage = Stage::new().with_model(&server);
        ends(&exec(&stage).arg("go").run(), 0);
        let log = stage.log();
        let mut holder = Command::new("flock")
            .arg(log.path())
            .args(["sh", "-c", "echo held; exec sleep 30"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
        let running = exec(&stage).args(["resume", "--last", "more"]).start();
        poll(DEADLINE, || has_a_writer(running.id()).then_some(())).expect("it opens the log");
        let sent = Instant::now();
        running.signal(Signal::Interrupt);
        let finished = running.wait();
        assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
        assert!(
            matches!(finished.code(), Some(130 | 9)),
            "{:?} {}",
            finished.code(),
            told(&finished)
        );
        drop(holder.kill());
        drop(holder.wait());
    }));
    rows.push(row("twice in a row", || {
        let server = ModelServer::start(Script::always(shell(
            "trap '' INT; echo x > begun; sleep 108; sleep 109",
        )));
        let stage = Stage::new().with_model(&server);
        let running = exec(&stage).arg("go").start();
        poll(DEADLINE, || stage.exists("begun").then_some(())).expect("it has begun");
        running.signal(Signal::Interrupt);
        let sent = Instant::now();
        running.signal(Signal::Interrupt);
        let finished = running.wait();
        assert!(sent.elapsed() < SOON);
        assert_eq!(finished.code(), Some(130));
        stage.assert_no_process_left();
        goes_on(&server, &stage);
    }));
    table("siblings: cancel", &[], rows);
}
