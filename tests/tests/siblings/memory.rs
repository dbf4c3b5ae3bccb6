//! Memory: large things once, endless things never.

use super::{
    common::*,
    table::{row, skip, table},
};
use serde_json::json;
use std::time::Duration;
use troupe_tests::{
    model_server::*,
    stage::{Finished, Run, Stage},
};

/// Runs it behind a program that says at the end how much memory the largest process of it took.
fn measured(run: Run) -> (Finished, u64) {
    let code = "import resource,subprocess,sys\ncode=subprocess.call(sys.argv[1:])\nprint('PEAK',resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,file=sys.stderr)\nsys.exit(code)";
    let finished = run.behind("python3", ["-c", code]).limit(Duration::from_secs(180)).run();
    let peak =
        finished.stderr().lines().find_map(|line| line.strip_prefix("PEAK ")?.parse::<u64>().ok());
    let Some(peak) = peak else { skip(format!("needs python3: {}", finished.stderr())) };
    (finished, peak / 1024)
}

/// Of a build without optimisation, in which 50 MB are there from the start.
const LIMIT_MB: u64 = 160;

/// An answer that holds this text.
type Large = fn(String) -> Turn;

#[test]
fn large_and_endless() {
    let mut rows = Vec::new();
    let big = || "x".repeat(8 << 20);
    let large: Vec<(&str, Wire, Large, i32)> = vec![
        (
            "a text that comes only at the end",
            Wire::Responses,
            |big| stream(sse(&[completed(&[&message("m", &big)])])),
            0,
        ),
        (
            "arguments of a call",
            Wire::Chat,
            |big| call("shell", json!({ "command": "true", "justification": big })),
            0,
        ),
        (
            "arguments of a tool that is not there",
            Wire::Responses,
            |big| call("no_such_tool", json!({ "a": big })),
            0,
        ),
        ("reasoning", Wire::Responses, |big| reasoning(big, "x").and(say("done")), 0),
        ("reasoning", Wire::Chat, |big| reasoning(big, "x").and(say("done")), 0),
        (
            "a comment",
            Wire::Chat,
            |big| stream(format!(": {big}\n\n{}", answer(Wire::Chat, "done"))),
            0,
        ),
        (
            "an event that nobody knows",
            Wire::Responses,
            |big| {
                stream(
                    sse(&[json!({ "type": "response.noise", "noise": big })])
                        + &answer(Wire::Responses, "done"),
                )
            },
            0,
        ),
        (
            "a whole document",
            Wire::Chat,
            |big| {
                body("application/json", json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": big }, "finish_reason": "stop" }] }).to_string())
            },
            0,
        ),
        (
            "words of an error",
            Wire::Chat,
            |big| {
                fault(400, "application/json", json!({ "error": { "message": big } }).to_string())
            },
            8,
        ),
        (
            "a page",
            Wire::Responses,
            |big| fault(400, "text/html", format!("<html><title>Denied</title>{big}</html>")),
            8,
        ),
        (
            "an error in the stream",
            Wire::Responses,
            |big| say("hel").failed("invalid_prompt", big),
            8,
        ),
    ];
    for (name, wire, turn, code) in large {
        rows.push(row(format!("{wire:?}: 8 MB: {name}"), move || {
            let server = ModelServer::start(Script::new().turn(turn(big())).otherwise(say("done")));
            let stage = Stage::new().with_wire(&server, wire);
            let (finished, peak) = measured(exec(&stage).args([
                "-c",
                "model_providers.test.stream_max_retries=0",
                "go",
            ]));
            finished.assert_code(code);
            assert!(peak < LIMIT_MB, "{peak} MB");
            if code != 0 {
                assert!(
                    finished.stdout().len() < 100_000,
                    "{} bytes are shown",
                    finished.stdout().len()
                );
            }
        }));
    }
    for (name, piece) in [("a line", "x"), ("a comment", ": x"), ("arguments", "")] {
        rows.push(row(format!("{name} without end is cut somewhere"), move || {
            let piece = if piece.is_empty() {
                let text = "x".repeat(1 << 20);
                let part = tool(json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "shell", "arguments": text } }));
                sse(&[part])
            } else {
                piece.repeat(1 << 20)
            };
            let mut turn = events([]);
            for _ in 0..400 {
                turn = turn.raw_at(0, piece.clone());
            }
            let server = ModelServer::start(Script::always(turn));
            let stage = Stage::new().with_wire(&server, Wire::Chat);
            let (finished, peak) = measured(exec(&stage).args(["-c", "model_providers.test.stream_max_retries=0", "go"]));
            assert_ne!(finished.code(), Some(0));
            assert_eq!(end(&finished)["type"], "turn.failed");
            assert!(peak < 400, "{peak} MB");
            drop(server.expect_violations());
        }));
    }
    rows.push(row("five hundred calls in one answer", || {
        let list = (0..500).map(|n| {
            call(
                "update_plan",
                json!({ "plan": [{ "step": format!("s{n}"), "status": "pending" }] }),
            )
        });
        let server = ModelServer::start(Script::new().turn(calls(list)).otherwise(say("done")));
        let stage = Stage::new().with_model(&server);
        let (finished, peak) = measured(exec(&stage).arg("go"));
        ends(&finished, 0);
        assert_eq!(server.requests().pop().unwrap().outputs().len(), 500);
        assert!(peak < LIMIT_MB, "{peak} MB");
    }));
    rows.push(row("a command that prints 300 MB, and a file of 10 GB", || {
        let turns = [
            shell("head -c 300000000 /dev/zero | tr '\\0' x"),
            call("read_file", json!({ "path": "sparse" })),
            call("grep_files", json!({ "pattern": "needle" })),
        ];
        let server = ModelServer::start(
            Script::new().turns(turns).otherwise(say("done")).by(|request| request.outputs().len()),
        );
        let stage = Stage::new().with_model(&server);
        std::fs::File::create(stage.work().join("sparse")).unwrap().set_len(10 << 30).unwrap();
        let (finished, peak) = measured(exec(&stage).arg("go"));
        ends(&finished, 0);
        assert!(peak < LIMIT_MB, "{peak} MB");
    }));
    rows.push(row("a session with much text is opened again", || {
        let server = ModelServer::start(Script::always(say("x".repeat(2 << 20))));
        let stage = Stage::new().with_model(&server);
        for n in 0..4 {
            let run = exec(&stage);
            let run = if n == 0 { run.arg("go") } else { run.args(["resume", "--last", "more"]) };
            let (finished, peak) = measured(run);
            ends(&finished, 0);
            assert!(peak < LIMIT_MB, "{n}: {peak} MB");
        }
    }));
    table("siblings: memory", &[], rows);
}
