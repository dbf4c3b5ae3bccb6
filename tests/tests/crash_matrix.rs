//! Every role and every supervisor of the running company, crashed at random messages: the
//! transcript is that of an undisturbed run, or names what is lost, and the session goes on.

use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Stage},
};

const RUNS: usize = 200;
const STEPS: usize = 4;

fn script() -> Script {
    let steps = (0..STEPS).map(|step| {
        let write = call(
            "shell",
            json!({ "command": format!("echo step-{step} >> lines; echo out-{step}") }),
        );
        say(format!("Now step {step}. "))
            .and(call("read_file", json!({ "path": "given.txt" })))
            .and(call("shell", json!({ "command": "cat given.txt" })))
            .and(call("shell", json!({ "command": "wc given.txt" })))
            .and(write)
    });
    Script::new()
        .turns(steps)
        .otherwise(say("All steps are done."))
        .by(|request| request.outputs().len() / 4)
}

fn run(server: &ModelServer, stage: &Stage, more: &[String]) -> Finished {
    stage.write("given.txt", "given\n");
    let program = binary::example("troupe-tests", "fault_host");
    let settings = [
        "model=\"m\"".to_owned(),
        "model_provider=\"test\"".to_owned(),
        format!("model_providers.test.base_url=\"{}\"", server.url()),
        "sandbox_mode=\"danger-full-access\"".to_owned(),
    ];
    stage.program(program).args(settings).args(more).args(["--", "go"]).run()
}

/// What was said and done, without what a second attempt adds.
fn essence(finished: &Finished) -> Vec<String> {
    let mut all: Vec<String> = finished
        .json_lines()
        .iter()
        .filter(|line| line["type"] == "item.completed")
        .map(|line| &line["item"])
        .filter_map(|item| match item["type"].as_str()? {
            "agent_message" => Some(format!("says {}", item["text"].as_str()?.trim())),
            "command_execution" => Some(format!("ran {} {}", item["command"], item["status"])),
            "mcp_tool_call" => Some(format!("looked {}", item["status"])),
            _ => None,
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

struct Undisturbed {
    essence: Vec<String>,
    /// Each role with how many messages it handles.
    roles: Vec<(String, u64)>,
}

fn undisturbed() -> Undisturbed {
    let server = ModelServer::start(script());
    let stage = Stage::new();
    let finished = run(&server, &stage, &["--count".to_owned()]);
    finished.assert_success();
    let mut roles: Vec<(String, u64)> = Vec::new();
    for line in finished.stderr().lines() {
        let Some((count, path)) =
            line.strip_prefix("count: ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let count: u64 = count.parse().unwrap();
        // Ids differ from run to run: a temporary role goes by its kind, others by their last name.
        let last = path.rsplit('/').next().unwrap();
        let name = match last.split_once(':') {
            Some((kind, _)) if kind != "conversation" => kind.to_owned(),
            Some(_) => "conversation-supervisor".to_owned(),
            None => path.rsplit('/').next().unwrap().to_owned(),
        };
        match roles.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = known.1.max(count),
            None => roles.push((name, count)),
        }
    }
    Undisturbed { essence: essence(&finished), roles }
}

#[test]
fn two_hundred_crashes() {
    let expected = undisturbed();
    for role in [
        "conversation",
        "recorder",
        "stream",
        "tool",
        "policy",
        "sandbox",
        "sessions",
        "conversations",
        "conversation-supervisor",
    ] {
        assert!(
            expected.roles.iter().any(|(name, _)| name == role),
            "{role} in {:?}",
            expected.roles
        );
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut cases = Vec::new();
    for number in 0..RUNS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (role, count) = &expected.roles[number % expected.roles.len()];
        let at = state % count + 1;
        let moment = ["before", "within", "after", "kill"][(state >> 20) as usize % 4];
        cases.push((number, role.clone(), at, moment));
    }
    let cases = Arc::new(std::sync::Mutex::new(cases.into_iter()));
    let landed = Arc::new(std::sync::Mutex::new(0usize));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, role, at, moment)) = cases.lock().unwrap().next() else {
                        return;
                    };
                    if crashed(&expected.essence, number, &role, at, moment) {
                        *landed.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    let landed = *landed.lock().unwrap();
    println!("{landed} of {RUNS} faults landed");
    assert!(landed > RUNS * 9 / 10, "only {landed} landed");
}

fn crashed(expected: &[String], number: usize, role: &str, at: u64, moment: &str) -> bool {
    let server = ModelServer::start(script());
    let stage = Stage::new();
    // By its kind, which only names with an id have.
    let pattern = if role == "conversation-supervisor" { "conversation:" } else { role };
    let what = format!("{number}: {role} at {at}, {moment}");
    let finished =
        run(&server, &stage, &["--crash".to_owned(), format!("{pattern}:{at}:{moment}")]);
    let stderr = finished.stderr();
    assert_eq!(finished.code(), Some(0), "{what}: {}\n{stderr}", finished.stdout());
    let lines = stage.read("lines");
    let all: Vec<&str> = lines.lines().collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "{what}: run twice: {all:?}");
    stage.log().assert_numbered();
    let lost =
        stage.log().bodies("CallFinished").iter().any(|body| body["outcome"]["outcome"] == "lost");
    if !lost {
        assert_eq!(essence(&finished), expected, "{what}\n{stderr}");
        assert_eq!(all.len(), STEPS, "{what}");
    }
    assert!(server.violations().is_empty(), "{what}: {:?}", server.violations());
    let last: Value = finished.json_lines().pop().unwrap();
    assert_eq!(last["type"], "turn.completed", "{what}");
    let landed = stderr.contains("landed: ");
    let temporary = matches!(role, "stream" | "tool");
    if landed && !temporary && role != "troupe" {
        assert!(stderr.contains("restarted: "), "{what}: the tree shows no restart: {stderr}");
    }
    stage.assert_no_process_left();
    println!(
        "{what}: {}{}",
        if landed { "landed" } else { "did not land" },
        if lost { ", a call is lost" } else { "" }
    );
    landed
}
