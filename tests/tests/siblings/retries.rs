//! One budget of retries that means something.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::json;
use troupe_tests::{
    model_server::*,
    stage::{Signal, Stage},
};

/// Ten steps; each fails so often, in these ways, before it is answered.
fn steps(faults: &[Turn]) -> Script {
    let steps = (0..10).map(|step| {
        let answer = shell(&format!("echo {step} >> ran")).call_id(format!("call_{step}"));
        let mut faults = faults.to_vec();
        faults.push(answer);
        faults.into_iter().reduce(Turn::then).unwrap()
    });
    Script::new().turns(steps).otherwise(say("done")).by(|request| request.outputs().len())
}

#[test]
fn budget() {
    let mut rows = Vec::new();
    let now = |code: u16| status(code).retry_after("0");
    let lists: Vec<(&str, Vec<Turn>)> = vec![
        ("two 503", vec![status(503), status(503)]),
        ("a 503 and a reset", vec![status(503), reset()]),
        ("a text that breaks", vec![say("half").drop_at(2)]),
        ("a 429 and an answer that ends early", vec![now(429), say("half").unfinished()]),
        ("an error in the stream", vec![say("half").failed("server_error", "busy")]),
        ("a stream that is nonsense", vec![stream("data: {{{\n\n")]),
    ];
    for (name, faults) in lists {
        for wire in WIRES {
            let faults = faults.clone();
            rows.push(row(
                format!("{wire:?}: every one of ten steps fails first: {name}"),
                move || {
                    let count = faults.len() as u64;
                    let server = ModelServer::start(steps(&faults));
                    let stage = Stage::new().with_wire(&server, wire);
                    let finished = exec(&stage).arg("go").run();
                    ends(&finished, 0);
                    assert_eq!(stage.read("ran"), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
                    let retries = retries(&finished);
                    assert_eq!(retries.len() as u64, 10 * count, "{retries:?}");
                    // Each step begins to count anew, and to wait anew.
                    for pair in retries.chunks(faults.len()) {
                        assert_eq!(pair[0].0, 1, "{retries:?}");
                        assert!(pair[0].1 <= 220, "{retries:?}");
                    }
                },
            ));
        }
    }
    for wire in WIRES {
        rows.push(row(
            format!("{wire:?}: faults of different kinds share one budget"),
            move || {
                let faults = [
                    status(503),
                    reset(),
                    say("half").drop_at(2),
                    say("half").unfinished(),
                    status(502),
                    status(503),
                    status(503),
                ];
                let turn = faults.into_iter().reduce(Turn::then).unwrap();
                let server = ModelServer::start(Script::always(turn));
                let stage = Stage::new().with_wire(&server, wire);
                let finished = exec(&stage).arg("go").limit(LIMIT).run();
                assert_ne!(finished.code(), Some(0));
                let numbers: Vec<u64> =
                    retries(&finished).iter().map(|(number, _)| *number).collect();
                assert_eq!(numbers, [1, 2, 3, 4, 5]);
                assert_eq!(server.requests().len(), 6);
            },
        ));
        rows.push(row(
            format!("{wire:?}: a text that breaks is no progress, whatever it said"),
            move || {
                let server = ModelServer::start(Script::always(
                    deltas(["one ", "two ", "three "]).drop_at(Point::Deltas(3)),
                ));
                let stage = Stage::new().with_wire(&server, wire);
                let finished = exec(&stage).arg("go").run();
                finished.assert_code(5);
                assert_eq!(server.requests().len(), 6);
            },
        ));
        rows.push(row(
            format!("{wire:?}: killed while it waits an hour, it asks at once"),
            move || {
                let server = ModelServer::start(Script::always(
                    status(503).retry_after("250").then(say("done")),
                ));
                let stage = Stage::new().with_wire(&server, wire);
                let running = exec(&stage).arg("go").start();
                drop(running.wait_json("the wait", |line| line["retry"].is_object()));
                running.signal(Signal::Kill);
                drop(running.wait());
                let resumed = resume(&stage, &[]);
                ends(&resumed, 0);
                assert!(retries(&resumed).is_empty(), "{}", resumed.stdout());
            },
        ));
        rows.push(row(
            format!("{wire:?}: killed eight times in the middle of a call's answer"),
            move || {
                let cut = || say("half").wait_at(Point::Deltas(1), &Gate::new());
                let mut turn = cut();
                for _ in 0..7 {
                    turn = turn.then(cut());
                }
                let server = ModelServer::start(
                    Script::always(turn.then(status(503)).then(say("done"))).by(|_| 0),
                );
                let stage = Stage::new().with_wire(&server, wire);
                for kill in 0..8 {
                    let run = exec(&stage);
                    let run =
                        if kill == 0 { run.arg("go") } else { run.args(["resume", "--last"]) };
                    let running = run.start();
                    server.wait_requests_blocking(kill + 1);
                    drop(running.wait_json("the words", |line| line["type"] == "turn.started"));
                    running.signal(Signal::Kill);
                    drop(running.wait());
                }
                let resumed = resume(&stage, &[]);
                ends(&resumed, 0);
                assert_eq!(retries(&resumed).len(), 1, "{}", resumed.stdout());
                assert!(retries(&resumed)[0].1 <= 220, "{}", resumed.stdout());
            },
        ));
    }
    rows.push(row("no retry is allowed: each fault is the end", || {
        for turn in
            [status(503), reset(), say("half").drop_at(2), say("half").unfinished(), status(429)]
        {
            let ran = only(Wire::Chat, turn);
            assert_ne!(ran.finished.code(), Some(0));
            assert_eq!(ran.server.requests().len(), 1, "{}", ran.told());
        }
    }));
    table("siblings: the budget of retries", &[], rows);
}

#[test]
fn silence_within_an_answer() {
    let mut rows = Vec::new();
    let head = || events([]).raw_at(0, "").stall_at(0);
    let list: Vec<(&str, Turn)> = vec![
        ("headers and nothing", head()),
        ("headers and half a line", events([]).raw_at(0, "data: {\"cho").stall_at(0)),
        ("a comment, once", events([]).raw_at(0, ": working\n\n").stall_at(0)),
        ("an event without words", events([said_chunk("")]).stall_at(1)),
        (
            "headers of a document",
            events([]).content_type("application/json").raw_at(0, "{\"id\":").stall_at(0),
        ),
        (
            "headers of a compressed stream",
            events([])
                .header("content-encoding", "gzip")
                .raw_at(0, b"\x1f\x8b\x08\x00".to_vec())
                .stall_at(0),
        ),
    ];
    for (name, turn) in list {
        rows.push(row(format!("only stream_idle_timeout_ms is set: {name}"), move || {
            let server = ModelServer::start(Script::always(turn));
            let stage = Stage::new().with_wire(&server, Wire::Chat);
            let set = |name: &str, value: u32| format!("model_providers.test.{name}={value}");
            let run = exec(&stage).args([
                "-c",
                &set("stream_idle_timeout_ms", 500),
                "-c",
                &set("stream_max_retries", 1),
            ]);
            let finished = run.arg("go").limit(LIMIT).run();
            finished.assert_code(12);
            assert_eq!(server.requests().len(), 2, "{}", told(&finished));
        }));
    }
    rows.push(row("only stream_idle_timeout_ms is set: half the body of an error", || {
        let (url, count) = holding(b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"error\":{\"mess");
        let stage = Stage::new().with_provider(&url, Wire::Chat);
        let set = |name: &str, value: u32| format!("model_providers.test.{name}={value}");
        let run = exec(&stage).args(["-c", &set("stream_idle_timeout_ms", 500), "-c", &set("stream_max_retries", 1)]);
        let finished = run.arg("go").limit(LIMIT).run();
        assert_ne!(finished.code(), Some(0));
        any(&told(&finished), &["503"]);
        assert_eq!(count(), 2, "{}", told(&finished));
    }));
    rows.push(row("no answer at all, and only stream_idle_timeout_ms is set", || {
        let server = ModelServer::start(Script::always(silence()));
        let stage = Stage::new().with_wire(&server, Wire::Responses);
        let set = |name: &str, value: u32| format!("model_providers.test.{name}={value}");
        let run = exec(&stage).args([
            "-c",
            &set("stream_idle_timeout_ms", 500),
            "-c",
            &set("stream_max_retries", 0),
        ]);
        run.arg("go").limit(LIMIT).run().assert_code(12);
    }));
    table("siblings: silence", &[], rows);
}

#[test]
fn summaries_that_fail() {
    let mut rows = Vec::new();
    let list: Vec<(&str, Turn)> = vec![
        ("503 for ever", status(503).retry_after("0")),
        ("401", status(401)),
        ("a page", fault(200, "text/html", "<html><title>Sign in</title></html>")),
        ("a day of waiting", status(429).retry_after("86400")),
        ("a call in its place", shell("echo never >> ran")),
        ("only reasoning", reasoning("hm", "xx")),
        ("white space", say(" \n\t ")),
        ("cut at the limit before its first word", calls([]).incomplete("max_output_tokens")),
        (
            "too long for the window as well",
            fault(
                400,
                "application/json",
                json!({ "error": { "code": "context_length_exceeded", "message": "too long" } })
                    .to_string(),
            ),
        ),
        ("it breaks each time", say("half a summary").drop_at(2)),
    ];
    for (name, turn) in list {
        for wire in WIRES {
            let turn = turn.clone();
            rows.push(row(format!("{wire:?}: {name}"), move || {
                let sum = |request: &Request| request.tools().is_empty();
                let answers = Script::new().when(sum, turn).otherwise(say("fine").usage(Usage {
                    input: 1000,
                    cached: 0,
                    output: 5,
                    reasoning: 0,
                }));
                let server = ModelServer::start(answers);
                let stage = Stage::new().with_wire(&server, wire);
                let set = ["-c", "model_auto_compact_token_limit=500"];
                ends(&exec(&stage).args(set).arg("first").limit(LIMIT).run(), 0);
                let run =
                    exec(&stage).args(set).args(["resume", "--last", "second"]).limit(LIMIT).run();
                let ended = end(&run)["type"] == "turn.completed";
                assert_eq!(ended, run.code() == Some(0), "{}", run.stdout());
                assert!(!stage.exists("ran"), "a summary runs no commands");
                let kinds = stage.log().kinds();
                let count = |kind: &str| kinds.iter().filter(|have| *have == kind).count();
                assert_eq!((count("TurnStarted"), count("TurnFinished")), (2, 2), "{kinds:?}");
                assert!(server.requests().len() <= 9, "{} requests", server.requests().len());
                assert!(server.requests().iter().any(|request| sum(request)));
            }));
        }
    }
    // A summary that comes at the second attempt is one: the turn goes on.
    rows.push(row("the summary comes at the third attempt", || {
        let sum = |request: &Request| request.tools().is_empty();
        let turn = status(503).then(say("half").drop_at(2)).then(say("the SUMMARY"));
        let server =
            ModelServer::start(Script::new().when(sum, turn).otherwise(say("fine").usage(Usage {
                input: 1000,
                cached: 0,
                output: 5,
                reasoning: 0,
            })));
        let stage = Stage::new().with_model(&server);
        let set = ["-c", "model_auto_compact_token_limit=500"];
        ends(&exec(&stage).args(set).arg("first").run(), 0);
        ends(&exec(&stage).args(set).args(["resume", "--last", "second"]).limit(LIMIT).run(), 0);
        let last = server.requests().pop().unwrap();
        assert!(last.body.to_string().contains("the SUMMARY") && last.asks("second"));
    }));
    table("siblings: summaries that fail", &[], rows);
}
