//! A session's state is read only while its lock is held.

use super::{
    common::*,
    table::{row, table},
};
use std::{collections::HashSet, process::Command};
use troupe_tests::{
    model_server::*,
    stage::{Signal, Stage},
    wait::{DEADLINE, poll},
};

/// A session with one turn, and a server that then says what it is asked.
fn session() -> (ModelServer, Stage) {
    let answer = compute(|request| {
        let asked = request.texts("user").pop().unwrap_or_default();
        say(format!("answer to {}", asked.lines().last().unwrap_or_default()))
    });
    let server = ModelServer::start(Script::always(answer));
    let stage = Stage::new().with_model(&server);
    ends(&exec(&stage).arg("first").run(), 0);
    (server, stage)
}

#[test]
fn one_at_a_time() {
    let mut rows = Vec::new();
    for count in [2, 5] {
        rows.push(row(
            format!("{count} prompts at once: each is said and answered once"),
            move || {
                let (server, stage) = session();
                let runs: Vec<_> = (0..count)
                    .map(|n| {
                        exec(&stage).args(["resume", "--last", &format!("prompt-{n}.")]).start()
                    })
                    .collect();
                let mut done = HashSet::new();
                for (n, run) in runs.into_iter().enumerate() {
                    let finished = run.wait();
                    let code = finished.code().unwrap();
                    assert!(code == 0 || code == 9, "{}", told(&finished));
                    ends(&finished, code);
                    if code == 0 {
                        assert_eq!(said(&finished), [format!("answer to prompt-{n}.")]);
                        done.insert(n);
                    } else {
                        assert!(said(&finished).is_empty());
                    }
                }
                assert!(!done.is_empty());
                stage.log().assert_numbered();
                let finished = resume(&stage, &["at the end"]);
                ends(&finished, 0);
                let prompts = server.requests().pop().unwrap().texts("user").join("\n");
                for n in 0..count {
                    let times = prompts.matches(&format!("prompt-{n}.")).count();
                    assert_eq!(times, usize::from(done.contains(&n)), "{n} of {done:?}: {prompts}");
                }
            },
        ));
    }
    for (name, prompt) in [("with a prompt", Some("second")), ("without a prompt", None)] {
        rows.push(row(
            format!("the first process is killed while the second waits: {name}"),
            move || {
                let (server, stage) = session();
                server.set_script(Script::always(silence().then(say("from the second"))));
                let first = exec(&stage).args(["resume", "--last", "the question"]).start();
                server.wait_requests_blocking(2);
                let run = exec(&stage).args(["resume", "--last"]);
                let second = match prompt {
                    Some(prompt) => run.arg(prompt),
                    None => run,
                };
                let second = second.start();
                poll(DEADLINE, || has_a_writer(second.id()).then_some(()))
                    .expect("it opens the log");
                first.signal(Signal::Kill);
                drop(first.wait());
                let finished = second.wait();
                // It waits for two seconds at least: the kill comes in time, or it is refused.
                let code = finished.code().unwrap();
                assert!(code == 0 || code == 9, "{}", told(&finished));
                ends(&finished, code);
                if code == 0 {
                    assert_eq!(said(&finished), ["from the second"]);
                    let request = server.requests().pop().unwrap();
                    assert_eq!(request.texts("user").join("\n").matches("the question").count(), 1);
                }
            },
        ));
        rows.push(row(
            format!("another program holds the lock: refused, the log as it was: {name}"),
            move || {
                let (server, stage) = session();
                let log = stage.log();
                let before = log.text();
                let mut holder = Command::new("flock")
                    .arg(log.path())
                    .args(["sh", "-c", "echo held; exec sleep 30"])
                    .stdout(std::process::Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut held = [0; 5];
                std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
                let run = exec(&stage).args(["resume", "--last"]);
                let finished = match prompt {
                    Some(prompt) => run.arg(prompt),
                    None => run,
                }
                .limit(LIMIT)
                .run();
                drop(holder.kill());
                drop(holder.wait());
                let code = finished.code().unwrap();
                assert!(code == 9 || (prompt.is_none() && code == 3), "{code} {}", told(&finished));
                ends(&finished, code);
                assert_eq!(log.text(), before);
                assert_eq!(server.requests().len(), 1);
            },
        ));
    }
    rows.push(row(
        "the first process fails while the second waits: the second goes on with its turn",
        || {
            let (server, stage) = session();
            let gate = Gate::new();
            server.set_script(Script::always(status(401).wait(&gate).then(say("from the second"))));
            let first = exec(&stage).args(["resume", "--last", "the question"]).start();
            gate.wait_arrived(1);
            let second = exec(&stage).args(["resume", "--last"]).start();
            poll(DEADLINE, || has_a_writer(second.id()).then_some(())).expect("it opens the log");
            gate.open();
            ends(&first.wait(), 4);
            let finished = second.wait();
            let code = finished.code().unwrap();
            assert!(code == 0 || code == 9, "{}", told(&finished));
            ends(&finished, code);
            if code == 0 {
                assert_eq!(said(&finished), ["from the second"]);
            }
        },
    ));
    rows.push(row(
        "the holder is stopped: the second is refused, and the first goes on unharmed",
        || {
            let (server, stage) = session();
            let gate = Gate::new();
            server.set_script(Script::always(say("from the first").wait(&gate)));
            let first = exec(&stage).args(["resume", "--last", "the question"]).start();
            gate.wait_arrived(1);
            first.signal(Signal::Stop);
            let before = stage.log().text();
            let second = exec(&stage).args(["resume", "--last", "second"]).limit(LIMIT).run();
            ends(&second, 9);
            assert_eq!(stage.log().text(), before);
            gate.open();
            first.signal(Signal::Continue);
            let finished = first.wait();
            ends(&finished, 0);
            assert_eq!(said(&finished), ["from the first"]);
        },
    ));
    rows.push(row("a session that is removed while one waits for it", || {
        let (server, stage) = session();
        let id = stage.log().session();
        let gate = Gate::new();
        server.set_script(Script::always(say("from the first").wait(&gate)));
        let first = exec(&stage).args(["resume", &id, "the question"]).start();
        gate.wait_arrived(1);
        let refused = stage.troupe(["sessions", "rm", "--force", &id]).run();
        refused.assert_code(9);
        assert!(stage.log().path().exists());
        gate.open();
        ends(&first.wait(), 0);
        let all: Vec<_> = (0..3)
            .map(|n| {
                if n == 1 {
                    stage.troupe(["sessions", "rm", "--force", &id]).start()
                } else {
                    exec(&stage).args(["resume", &id, "more"]).start()
                }
            })
            .collect();
        for run in all {
            let finished = run.wait();
            assert!(
                matches!(finished.code(), Some(0 | 3 | 9)),
                "{:?} {}",
                finished.code(),
                finished.stderr()
            );
        }
        for log in stage.logs() {
            log.assert_numbered();
        }
    }));
    rows.push(row("it is listed and shown while it runs, and by halves of a line", || {
        let (server, stage) = session();
        let gate = Gate::new();
        server.set_script(Script::always(deltas(["one ", "two"]).wait_at(Point::Deltas(1), &gate)));
        let running = exec(&stage).args(["resume", "--last", "the question"]).start();
        gate.wait_arrived(1);
        stage.troupe(["sessions", "list", "--json"]).run().assert_success();
        let shown = stage.troupe(["sessions", "show", "--last"]).run();
        shown.assert_success();
        any(&shown.stdout(), &["the question"]);
        gate.open();
        ends(&running.wait(), 0);
        stage.log().append("{\"seq\":99");
        stage.troupe(["sessions", "show", "--last"]).run().assert_success();
    }));
    rows.push(row(
        "a new session while an old one is held: --last names the latest that is used",
        || {
            let (server, stage) = session();
            let first = stage.log().session();
            let other = exec(&stage).arg("other").run();
            ends(&other, 0);
            ends(&exec(&stage).args(["resume", &first, "more"]).run(), 0);
            let last = resume(&stage, &["again"]);
            let id = last.json_lines()[0]["thread_id"].as_str().unwrap().to_owned();
            assert_eq!(id, first);
            drop(server);
        },
    ));
    table("siblings: one at a time", &[], rows);
}
