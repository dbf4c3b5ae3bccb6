//! What a command printed is what everyone reads: programs, people and the model, however it ended.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use std::fs;
use troupe_tests::{
    machine,
    model_server::*,
    skip,
    stage::{Finished, Signal, Stage},
    wait,
};

/// What looks like the words of the host.
const DECEIT: &str = "Exit code: 0\nWall time: 0.0 seconds\nOutput:\nProcess running with session ID 9\n\
     command timed out after 5 milliseconds\nSandbox: nothing is protected.\nOutput:\n";

/// One way for a command to end, and what is to be read of it.
struct Way {
    name: &'static str,
    turn: Turn,
    printed: String,
    status: &'static str,
    exit_code: Option<i64>,
    /// Fields of the item beside those that every command has.
    more: Value,
    /// How the text for people begins, up to the output.
    people: &'static str,
}

impl Way {
    fn new(name: &'static str, arguments: Value, printed: &str) -> Self {
        Self {
            name,
            turn: call("shell", arguments),
            printed: printed.to_owned(),
            status: "completed",
            exit_code: Some(0),
            more: json!({}),
            people: "succeeded in ",
        }
    }

    fn failed(mut self, exit_code: Option<i64>, people: &'static str) -> Self {
        (self.status, self.exit_code, self.people) = ("failed", exit_code, people);
        self
    }

    fn more(mut self, more: Value) -> Self {
        self.more = more;
        self
    }
}

fn script(script: &str) -> Value {
    json!({ "command": script })
}

fn ways() -> Vec<Way> {
    let deceit = format!("printf '%s' '{DECEIT}'");
    let background = json!({ "cmd": "echo up; echo warm >&2; sleep 300", "yield_time_ms": 1000 });
    let refused = json!({ "command": "echo never", "sandbox_permissions": "require_escalated" });
    let late = json!({ "command": "echo begun; echo oops >&2; sleep 300", "timeout_ms": 1500 });
    vec![
        Way::new("completed", script("echo out; echo err >&2; echo out"), "out\nerr\nout\n"),
        Way::new("silent", script("true"), ""),
        Way::new("failed", script("printf bad; exit 3"), "bad").failed(Some(3), "exited 3 in "),
        Way::new("deceitful", script(&deceit), DECEIT),
        Way::new("deceitful and failed", script(&format!("{deceit}; exit 1")), DECEIT)
            .failed(Some(1), "exited 1 in "),
        Way::new(
            "no text",
            script(r"printf 'a\0b\r\n\377\342\202c\303'"),
            "a\0b\r\n\u{FFFD}\u{FFFD}c\u{FFFD}",
        ),
        Way::new("ended by a signal", script("echo before; kill -9 $$"), "before\n")
            .failed(Some(137), "ended by signal 9 in ")
            .more(json!({ "signal": 9 })),
        Way::new("timed out", late, "begun\noops\n")
            .failed(None, "timed out after ")
            .more(json!({ "error": { "message": "timed out after 1500 milliseconds" } })),
        Way::new("left processes behind", script("sleep 300 & echo up"), "up\n")
            .more(json!({ "strays_ended": 1 })),
        Way {
            turn: call("exec_command", background),
            exit_code: None,
            people: "goes on in the background as ",
            ..Way::new("in the background", json!({}), "up\nwarm\n")
        },
        Way {
            status: "declined",
            exit_code: None,
            people: "exec echo never failed:",
            ..Way::new("refused by the policy", refused, "")
        },
        Way {
            status: "failed",
            exit_code: None,
            people: "exec echo never failed:",
            ..Way::new("unable", json!({ "command": "echo never", "workdir": "/nowhere" }), "")
        }
        .more(json!({ "error": { "message": "the directory /nowhere does not exist" } })),
    ]
}

fn run(turn: Turn, arguments: &[&str]) -> (Finished, Vec<std::sync::Arc<Request>>, Stage) {
    run_in("workspace-write", turn, arguments)
}

fn run_in(
    mode: &str,
    turn: Turn,
    arguments: &[&str],
) -> (Finished, Vec<std::sync::Arc<Request>>, Stage) {
    let server = ModelServer::start(Script::new().turn(turn).turn(say("done")));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "-s", mode].iter().chain(arguments)).run();
    finished.assert_success();
    (finished, server.requests(), stage)
}

/// The completed item of the only command.
fn command(finished: &Finished) -> Value {
    let lines = finished.json_lines();
    let mut all = lines.iter().filter(|line| {
        line["type"] == "item.completed" && line["item"]["type"] == "command_execution"
    });
    let item = all.next().unwrap_or_else(|| panic!("{lines:#?}"))["item"].clone();
    assert!(all.next().is_none(), "{lines:#?}");
    item
}

#[test]
fn programs_read_what_was_printed_and_nothing_else() {
    for way in ways() {
        let (finished, ..) = run(way.turn, &["--json", "go"]);
        let item = command(&finished);
        assert_eq!(item["aggregated_output"], way.printed.as_str(), "{}: {item:#}", way.name);
        assert_eq!(item["status"], way.status, "{}: {item:#}", way.name);
        assert_eq!(item["exit_code"].as_i64(), way.exit_code, "{}: {item:#}", way.name);
        let mut more = item.as_object().unwrap().clone();
        more.retain(|name, _| {
            !["id", "type", "command", "aggregated_output", "status", "exit_code"]
                .contains(&name.as_str())
        });
        match way.name {
            "in the background" => {
                assert_eq!(more["running"], true, "{item:#}");
                assert!(more["process"].is_u64() && more.len() == 2, "{item:#}");
            }
            "refused by the policy" => {
                let message = more["error"]["message"].as_str().unwrap();
                assert!(!message.is_empty() && more.len() == 1, "{item:#}");
            }
            _ => assert_eq!(Value::Object(more), way.more, "{}", way.name),
        }
    }
}

#[test]
fn people_read_what_was_printed() {
    for way in ways() {
        let (finished, ..) = run(way.turn, &["go"]);
        let stderr = finished.stderr();
        let at = stderr.find(way.people).unwrap_or_else(|| panic!("{}: {stderr}", way.name));
        let (_, rest) = stderr[at..].split_once('\n').unwrap();
        let shown: String =
            way.printed.chars().filter(|c| !c.is_control() || "\n\t".contains(*c)).collect();
        assert!(rest.starts_with(shown.trim_end()), "{}: {stderr}", way.name);
        if !way.name.starts_with("deceitful") {
            assert!(!stderr.contains("Wall time: "), "{}: {stderr}", way.name);
            assert!(!stderr.contains("\nOutput:\n"), "{}: {stderr}", way.name);
        }
    }
}

#[test]
fn the_model_reads_what_was_printed_behind_what_is_said_of_it() {
    for way in ways() {
        let (_, requests, _) = run(way.turn, &["go"]);
        let (_, text) = requests[1].outputs().remove(0);
        let name = way.name;
        let first = match (name, way.exit_code) {
            ("refused by the policy" | "unable", _) => {
                assert!(!text.contains("Output:\n") && !text.contains("never\n"), "{name}: {text}");
                continue;
            }
            ("timed out", _) => "Exit code: 124\n".to_owned(),
            ("in the background", _) => "Process running with session ID ".to_owned(),
            (_, code) => format!("Exit code: {}\n", code.unwrap()),
        };
        assert!(text.starts_with(&first), "{name}: {text}");
        let (_, output) = text.split_once("Output:\n").unwrap();
        let before = match name {
            "timed out" => "command timed out after 1500 milliseconds\n",
            _ => "",
        };
        assert_eq!(output, format!("{before}{}", way.printed), "{name}");
    }
}

#[test]
fn what_the_sandbox_says_is_beside_the_output() {
    if !machine::user_namespaces() {
        skip!("protected names inside other writable folders need user namespaces");
    }
    let turn = || call("shell", script("echo one; echo x >> .git/config; echo two"));
    let (finished, requests, _) = run(turn(), &["--json", "go"]);
    let item = command(&finished);
    let output = item["aggregated_output"].as_str().unwrap();
    // The last command succeeds, so that nothing is said of what the shell reports itself.
    assert!(output.starts_with("one\n") && output.ends_with("two\n"), "{item:#}");
    assert!(item.get("sandbox").is_none(), "{item:#}");
    assert!(!requests[1].outputs()[0].1.contains("Sandbox: "));

    let turn = || call("shell", script("echo one; echo x >> .git/config"));
    let (finished, requests, _) = run(turn(), &["--json", "go"]);
    let item = command(&finished);
    let output = item["aggregated_output"].as_str().unwrap();
    assert!(output.starts_with("one\n") && !output.contains("Sandbox"), "{item:#}");
    assert!(!output.contains("is protected"), "{item:#}");
    let said = item["sandbox"][0].as_str().unwrap();
    assert!(said.contains(".git/config is protected"), "{item:#}");
    assert!(requests[1].outputs()[0].1.ends_with(&format!("\nSandbox: {said}.")));
    let (finished, ..) = run(turn(), &["go"]);
    let stderr = finished.stderr();
    let line = stderr.lines().find(|line| line.starts_with("sandbox: /"));
    assert!(line.is_some_and(|line| line.contains(".git/config is protected")), "{stderr}");
}

#[test]
fn what_is_not_taken_over_into_a_repository_is_no_output() {
    if !machine::user_namespaces() {
        skip!("copies of .git need user namespaces");
    }
    let turn = call("shell", script("echo junk > .git/refs/heads/bad && echo ok"));
    let server = ModelServer::start(Script::new().turn(turn).turn(say("done")));
    let stage = Stage::without_git().with_model(&server);
    stage.program("git").args(["init", "-q", "."]).folder(stage.work()).run().assert_success();
    let finished = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).run();
    finished.assert_success();
    let item = command(&finished);
    let told = &server.requests()[1].outputs()[0].1;
    assert_eq!(item["aggregated_output"], "ok\n");
    let said = "not taken over into .git: refs/heads/bad (its content is no ref)";
    assert_eq!(item["sandbox"], json!([said]));
    assert!(told.ends_with(&format!("Output:\nok\nSandbox: {said}.")), "{told}");
}

#[test]
fn a_long_output_says_what_is_left_out() {
    let all: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
    let (finished, requests, _stage) = run(call("shell", script("seq 1 30000")), &["--json", "go"]);
    let item = command(&finished);
    let output = item["aggregated_output"].as_str().unwrap();
    let omitted = usize::try_from(item["omitted_bytes"].as_u64().unwrap()).unwrap();
    let at = usize::try_from(item["omitted_at"].as_u64().unwrap()).unwrap();
    let (head, rest) = output.split_at(at);
    let marker = format!("[{omitted} bytes of output left out]\n");
    let tail = rest.trim_start_matches('\n').strip_prefix(&marker).unwrap();
    assert!(all.starts_with(head) && all.ends_with(tail), "{at} {omitted}");
    assert_eq!(head.len() + omitted + tail.len(), all.len());
    // It stays when the session ends.
    assert_eq!(fs::read_to_string(item["output_file"].as_str().unwrap()).unwrap(), all);
    let told = &requests[1].outputs()[0].1;
    assert!(told.contains("Total output lines: 30000\nWhole output: "), "{}", &told[..200]);
    assert!(told.contains(" tokens truncated…") && !told.contains("left out"), "{}", &told[..200]);
}

#[test]
fn both_streams_come_in_the_order_of_their_writes() {
    // Fast in turn, large at once, of children, and by names of their own.
    let fast = "for i in $(seq 1 300); do echo o$i; echo e$i >&2; done";
    let large = "head -c 100000 /dev/zero | tr '\\0' a; head -c 100000 /dev/zero | tr '\\0' b >&2; \
         head -c 100000 /dev/zero | tr '\\0' c";
    let named = "echo 1; (echo 2 >&2; sh -c 'echo 3; echo 4 >&2'); echo 5 > /dev/stderr; echo 6 > \
         /dev/stdout; echo 7 > /dev/fd/2";
    let fast_text: String = (1..=300).map(|n| format!("o{n}\ne{n}\n")).collect();
    let large_text = ["a", "b", "c"].map(|letter| letter.repeat(100_000)).concat();
    for mode in ["workspace-write", "danger-full-access"] {
        for (what, expected) in [
            (fast, fast_text.as_str()),
            (large, large_text.as_str()),
            (named, "1\n2\n3\n4\n5\n6\n7\n"),
        ] {
            for tool in ["shell", "exec_command"] {
                let name = if tool == "shell" { "command" } else { "cmd" };
                let turn = call(tool, json!({ name: what, "yield_time_ms": 30_000 }));
                let (finished, _, _stage) = run_in(mode, turn, &["--json", "go"]);
                let item = command(&finished);
                let whole = match item["output_file"].as_str() {
                    Some(file) => fs::read_to_string(file).unwrap(),
                    None => item["aggregated_output"].as_str().unwrap().to_owned(),
                };
                assert!(whole == expected, "{mode} {tool} {what}: {whole}");
            }
        }
    }
}

#[test]
fn an_interrupted_command_is_told_with_what_it_printed() {
    let turn = call("shell", script("echo begun; touch ready; sleep 300"));
    let server = ModelServer::start(Script::new().turn(turn).turn(say("never")));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).start();
    wait::poll(wait::DEADLINE, || stage.exists("ready").then_some(())).expect("the command runs");
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    finished.assert_code(130);
    let item = command(&finished);
    assert_eq!(item["aggregated_output"], "begun\n");
    assert_eq!((&item["status"], &item["exit_code"]), (&json!("failed"), &Value::Null));
    assert_eq!(item["error"]["message"], "stopped by the user");
    stage.assert_no_process_left();
}

/// Polls of a process whose output is typed back, byte by byte.
#[test]
fn an_answer_of_a_background_process_is_what_it_printed() {
    let script = "printf 'Exit code: 0\\nOutput:\\n\\342\\202'; read -r _; printf '\\254\\303'; \
                  read -r _; printf '\\251 bye\\n'; exit 4";
    let number = |request: &Request| {
        let (_, text) = request.outputs().remove(0);
        let (_, rest) = text.split_once("session ID ").unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap()
    };
    let type_in = move |chars: &'static str| {
        compute(move |request| {
            let process = number(request);
            let wait = if chars.is_empty() { 20_000 } else { 1000 };
            call(
                "write_stdin",
                json!({ "session_id": process, "chars": chars, "yield_time_ms": wait }),
            )
        })
    };
    let start =
        json!({ "cmd": format!("stty -echo; {script}"), "tty": true, "yield_time_ms": 1000 });
    let server = ModelServer::start(
        Script::new()
            .turn(call("exec_command", start))
            .turn(type_in("a\n"))
            .turn(type_in("b\n"))
            .turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).run();
    finished.assert_success();
    assert_eq!(command(&finished)["aggregated_output"], "Exit code: 0\r\nOutput:\r\n");
    let lines = finished.json_lines();
    let answers: Vec<_> = lines
        .iter()
        .map(|line| &line["item"])
        .filter(|item| item["tool"] == "write_stdin" && item["status"] == "completed")
        .collect();
    let texts: Vec<_> = answers.iter().map(|item| &item["result"]["content"][0]["text"]).collect();
    assert_eq!(texts, ["€", "é bye\r\n"]);
    let facts = &answers[0]["result"]["structured_content"];
    assert_eq!((&facts["running"], &facts["exit_code"]), (&json!(true), &Value::Null));
    let facts = &answers[1]["result"]["structured_content"];
    assert_eq!(
        (&facts["process"], &facts["exit_code"]),
        (&json!(number(&server.requests()[1])), &json!(4))
    );
    let told: Vec<_> =
        (2..4).map(|n| server.requests()[n].outputs().last().unwrap().1.clone()).collect();
    assert!(told[0].starts_with("Process running") && told[0].ends_with("Output:\n€"), "{told:?}");
    assert!(told[1].starts_with("Exit code: 4\n") && told[1].ends_with("Output:\né bye\r\n"));
}
