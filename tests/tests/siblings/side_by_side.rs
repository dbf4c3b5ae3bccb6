//! Calls of one answer: what may run side by side does, and what may not keeps its order.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::json;
use std::{fs, process::Command};
use troupe_tests::{
    model_server::*,
    stage::{Signal, Stage},
    wait::{DEADLINE, poll},
};

/// A model that makes these calls in one answer.
fn model(wire: Wire, list: impl IntoIterator<Item = Turn>) -> (ModelServer, Stage) {
    let server = ModelServer::start(Script::new().turn(calls(list)).otherwise(say("done")));
    let stage = Stage::new().with_wire(&server, wire);
    (server, stage)
}

fn fifo(stage: &Stage, name: &str) {
    assert!(Command::new("mkfifo").arg(stage.work().join(name)).status().unwrap().success());
}

/// Reads a named pipe: it ends when somebody has written to it.
fn reads(name: &str) -> Turn {
    call("shell", json!({ "command": format!("cat {name}"), "timeout_ms": 15_000 }))
}

/// Writes to the pipe once its reader is there.
fn write(stage: &Stage, name: &str) {
    let path = stage.work().join(name);
    let (told, heard) = std::sync::mpsc::channel();
    let text = format!("from-{name}\n");
    std::thread::spawn(move || told.send(fs::write(path, text)));
    let wrote = heard.recv_timeout(std::time::Duration::from_secs(20));
    wrote.expect("nobody reads the pipe").unwrap();
}

fn sandboxed(stage: &Stage) -> troupe_tests::stage::Run {
    stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).limit(LIMIT * 2)
}

fn outputs(server: &ModelServer) -> Vec<String> {
    server.requests().pop().unwrap().outputs().into_iter().map(|(_, text)| text).collect()
}

#[test]
fn calls_of_one_answer() {
    let mut rows = Vec::new();
    for wire in WIRES {
        rows.push(row(
            format!("{wire:?}: reads end in any order, their outputs are in call order"),
            move || {
                let names = ["p0", "p1", "p2", "p3"];
                let (server, stage) = model(wire, names.map(reads));
                names.iter().for_each(|name| fifo(&stage, name));
                let running = sandboxed(&stage).start();
                for name in ["p2", "p0", "p3", "p1"] {
                    write(&stage, name);
                }
                ends(&running.wait(), 0);
                for (name, output) in names.iter().zip(outputs(&server)) {
                    assert!(output.contains(&format!("from-{name}")), "{output}");
                }
            },
        ));
        rows.push(row(format!("{wire:?}: eight at once and no more"), move || {
            let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
            let (server, stage) = model(wire, names.iter().map(|name| reads(name)));
            names.iter().for_each(|name| fifo(&stage, name));
            let running = sandboxed(&stage).start();
            let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
            log.wait_kind("CallStarted", 8);
            log.wait_kind("CallRequested", 10);
            assert_eq!(log.bodies("CallStarted").len(), 8);
            write(&stage, "p5");
            log.wait_kind("CallStarted", 9);
            for name in names.iter().filter(|name| *name != "p5") {
                write(&stage, name);
            }
            ends(&running.wait(), 0);
            assert_eq!(outputs(&server).len(), 10);
        }));
        rows.push(row(
            format!("{wire:?}: three reads and a patch: the patch waits for all of them"),
            move || {
                let patch = custom(
                    "apply_patch",
                    "*** Begin Patch\n*** Update File: file\n@@\n-old\n+new\n*** End Patch\n",
                );
                let (server, stage) = model(
                    wire,
                    [reads("p0"), reads("p1"), shell("cat file"), patch, shell("cat file")],
                );
                stage.write("file", "old\n");
                fifo(&stage, "p0");
                fifo(&stage, "p1");
                let running = sandboxed(&stage).start();
                let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                log.wait_kind("CallRequested", 5);
                write(&stage, "p1");
                assert_eq!(
                    stage.read("file"),
                    "old\n",
                    "the patch is made before a read has ended"
                );
                write(&stage, "p0");
                ends(&running.wait(), 0);
                let outputs = outputs(&server);
                assert!(outputs[2].contains("old") && outputs[4].contains("new"), "{outputs:?}");
            },
        ));
        rows.push(row(
            format!("{wire:?}: commands that write one file keep their order"),
            move || {
                let list = (0..12).map(|n| {
                    shell(&format!(
                        "{}echo {n} >> ran",
                        if n % 3 == 0 { "sleep 0.1; " } else { "" }
                    ))
                });
                let (_server, stage) = model(wire, list);
                ends(&sandboxed(&stage).run(), 0);
                let wanted: String = (0..12).map(|n| format!("{n}\n")).collect();
                assert_eq!(stage.read("ran"), wanted);
            },
        ));
        rows.push(row(
            format!("{wire:?}: a read before a write sees the old, one behind it the new"),
            move || {
                let (server, stage) = model(
                    wire,
                    [
                        shell("cat p0 file"),
                        shell("echo new > file"),
                        shell("cat file"),
                        shell("echo newer > file"),
                        shell("cat file"),
                    ],
                );
                stage.write("file", "old\n");
                fifo(&stage, "p0");
                let running = sandboxed(&stage).start();
                let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                log.wait_kind("CallRequested", 5);
                write(&stage, "p0");
                ends(&running.wait(), 0);
                let outputs = outputs(&server);
                for (output, word) in outputs.iter().zip(["old", "", "new\n", "", "newer"]) {
                    assert!(output.contains(word), "{word}: {outputs:?}");
                }
            },
        ));
        rows.push(row(format!("{wire:?}: one that fails, one that is refused and one that is not there disturb no other"), move || {
            let list = [shell("cat no-such-file"), call("no_such_tool", json!({})), shell("rm -rf *"), reads("p0"), call("read_file", json!({ "path": "missing" })), call_text("shell", "{"), shell("echo here")];
            let (server, stage) = model(wire, list);
            fifo(&stage, "p0");
            let running = sandboxed(&stage).start();
            write(&stage, "p0");
            ends(&running.wait(), 0);
            let outputs = outputs(&server);
            assert_eq!(outputs.len(), 7);
            assert!(outputs[3].contains("from-p0") && outputs[6].contains("here"), "{outputs:?}");
            assert!(stage.exists("p0"));
        }));
        rows.push(row(
            format!("{wire:?}: an interrupt ends all that run side by side"),
            move || {
                let (server, stage) = model(
                    wire,
                    ["p0", "p1", "p2"].map(reads).into_iter().chain([shell("echo never >> ran")]),
                );
                ["p0", "p1", "p2"].iter().for_each(|name| fifo(&stage, name));
                let running = sandboxed(&stage).start();
                let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                log.wait_kind("CallStarted", 3);
                running.signal(Signal::Interrupt);
                ends(&running.wait(), 130);
                stage.assert_no_process_left();
                assert!(!stage.exists("ran"));
                ends(&resume(&stage, &["again"]), 0);
                assert_eq!(outputs(&server).len(), 4);
            },
        ));
        rows.push(row(
            format!("{wire:?}: killed with three that run: each is lost, none runs again"),
            move || {
                let (server, stage) = model(wire, ["p0", "p1", "p2"].map(reads));
                ["p0", "p1", "p2"].iter().for_each(|name| fifo(&stage, name));
                let mut running = sandboxed(&stage).start();
                let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                log.wait_kind("CallStarted", 3);
                running.signal(Signal::Kill);
                running.kill_tree();
                drop(running.wait());
                ends(&resume(&stage, &[]), 0);
                let outputs = outputs(&server);
                assert_eq!(outputs.len(), 3);
                assert!(outputs.iter().all(|output| output.starts_with("lost")), "{outputs:?}");
            },
        ));
        rows.push(row(format!("{wire:?}: two commits in one answer stand, or the second fails as git fails"), move || {
            let commit = |n: u32| shell(&format!("echo {n} > file-{n}; git add file-{n} && git -c user.name=a -c user.email=a@b commit -q -m commit-{n}"));
            let (server, stage) = model(wire, [commit(1), commit(2)]);
            let git = |arguments: &[&str]| stage.program("git").args(arguments).run();
            std::fs::remove_dir_all(stage.work().join(".git")).unwrap();
            git(&["init", "-q"]).assert_success();
            ends(&sandboxed(&stage).run(), 0);
            let log = git(&["log", "--format=%s"]).stdout();
            for (n, output) in outputs(&server).iter().enumerate() {
                let there = log.contains(&format!("commit-{}", n + 1));
                assert_eq!(there, output.starts_with("Exit code: 0"), "{log}\n{output}");
            }
            assert!(log.contains("commit-1"), "{log}");
        }));
        rows.push(row(format!("{wire:?}: forty reads in one answer"), move || {
            let list = (0..40).map(|n| call("read_file", json!({ "path": format!("file-{n}") })));
            let (server, stage) = model(wire, list);
            for n in 0..40 {
                stage.write(format!("file-{n}"), format!("text-{n}-end\n"));
            }
            ends(&sandboxed(&stage).run(), 0);
            for (n, output) in outputs(&server).iter().enumerate() {
                assert!(output.contains(&format!("text-{n}-end")), "{n}: {output}");
            }
        }));
    }
    rows.push(row(
        "a read that starts while the answer still comes, and a write that comes later in it",
        || {
            let gate = Gate::new();
            let turn =
                shell("cat p0 file").and(shell("echo new > file")).wait_at(Point::Items(1), &gate);
            let server = ModelServer::start(Script::new().turn(turn).otherwise(say("done")));
            let stage = Stage::new().with_model(&server);
            stage.write("file", "old\n");
            fifo(&stage, "p0");
            let running = sandboxed(&stage).start();
            gate.wait_arrived(1);
            write(&stage, "p0");
            gate.open();
            ends(&running.wait(), 0);
            assert!(outputs(&server)[0].contains("old"));
        },
    ));
    rows.push(row("a process in the background is typed into in the same answer", || {
        let begin = call("exec_command", json!({ "cmd": "cat", "tty": true, "yield_time_ms": 250 }));
        let server = ModelServer::start(Script::new().turn(begin).turn(compute(|request| {
            let text = request.outputs().pop().unwrap().1;
            let digits: String = text.split_once("session ID ").unwrap().1.chars().take_while(char::is_ascii_digit).collect();
            let id: u64 = digits.parse().unwrap();
            calls((0..5).map(|n| call("write_stdin", json!({ "session_id": id, "chars": format!("word-{n}\n"), "yield_time_ms": 300 }))))
        })).otherwise(say("done")));
        let stage = Stage::new().with_model(&server);
        ends(&sandboxed(&stage).run(), 0);
        let text = outputs(&server).concat();
        let places: Vec<_> = (0..5).map(|n| text.find(&format!("word-{n}"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    }));
    table("siblings: side by side", &[], rows);
}
