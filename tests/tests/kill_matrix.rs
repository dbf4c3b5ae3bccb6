//! The process dies at every point of a session of twelve steps, and at random instants, or its user
//! interrupts it at every record; once with the steps one by one, once with several calls in an
//! answer that run side by side. It is opened again and goes on: nothing that was printed is missing,
//! nothing has run twice.

use serde_json::{Value, json};
use std::{collections::HashSet, sync::Mutex};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Signal, Stage},
};

const STEPS: usize = 12;

/// How the steps come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Steps {
    /// One in each answer.
    OneByOne,
    /// Three in each answer, with a call that only looks among them, side by side.
    SideBySide,
}

impl Steps {
    /// Each step appends a line of its own to a file.
    fn script(self) -> Script {
        match self {
            Self::OneByOne => one_by_one(),
            Self::SideBySide => Script::always(compute(next_calls)),
        }
    }

    /// Requests of a session that nothing disturbs.
    fn requests(self) -> usize {
        match self {
            Self::OneByOne => STEPS + 1,
            Self::SideBySide => STEPS / 3 + 1,
        }
    }
}

fn append(step: usize) -> Turn {
    let command = format!("echo step-{step} >> lines");
    call("shell", json!({ "command": command })).call_id(format!("call_{step}"))
}

/// The next calls of which the model has not been told the results, whatever broke off on the way.
fn next_calls(request: &Request) -> Turn {
    let told: HashSet<String> = request.outputs().into_iter().map(|(id, _)| id).collect();
    let new = |step: &usize| !told.contains(&format!("call_{step}"));
    let next: Vec<usize> = (0..STEPS).filter(new).take(3).collect();
    let Some(first) = next.first() else { return say("All steps are done.") };
    let look = call("shell", json!({ "command": "cat lines" })).call_id(format!("look_{first}"));
    let looks = next.iter().map(|step| append(*step)).chain([look]);
    say(format!("Now step {first}. ")).and(calls(looks))
}

fn one_by_one() -> Script {
    let steps = (0..STEPS).map(|step| say(format!("Now step {step}. ")).and(append(step)));
    // The step follows from what the model is told, whatever broke off on the way.
    Script::new()
        .turns(steps)
        .otherwise(say("All steps are done."))
        .by(|request| request.outputs().len())
}

fn settings(server: &ModelServer) -> Vec<String> {
    vec![
        // Of calls that come one by one it changes nothing.
        "parallel_commands=true".to_owned(),
        "model=\"m\"".to_owned(),
        "model_provider=\"test\"".to_owned(),
        format!("model_providers.test.base_url=\"{}\"", server.url()),
        "sandbox_mode=\"danger-full-access\"".to_owned(),
    ]
}

fn host(stage: &Stage, server: &ModelServer, more: &[&str]) -> troupe_tests::stage::Run {
    let program = binary::example("troupe-tests", "fault_host");
    stage.program(program).args(settings(server)).args(more)
}

fn resume(stage: &Stage, server: &ModelServer) -> Finished {
    let overrides = settings(server).into_iter().flat_map(|setting| ["-c".to_owned(), setting]);
    let run = stage.program(binary::troupe()).args(overrides);
    run.args(["exec", "--json", "resume", "--last"]).run()
}

/// What was printed: messages, and commands reported with the status they ended with.
struct Printed {
    messages: Vec<String>,
    finished: Vec<String>,
}

fn printed(stdout: &str) -> Printed {
    // The last line may be cut.
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let items: Vec<Value> = lines
        .filter(|line| line["type"] == "item.completed")
        .map(|line| line["item"].clone())
        .collect();
    let of = |kind: &str, field: &str| -> Vec<String> {
        // A command that was interrupted has no exit code.
        let ended = |item: &Value| kind == "agent_message" || item["exit_code"].is_number();
        let matching = items.iter().filter(|item| item["type"] == kind && ended(item));
        matching.map(|item| item[field].as_str().unwrap().to_owned()).collect()
    };
    Printed { messages: of("agent_message", "text"), finished: of("command_execution", "command") }
}

/// The session goes on, and everything that has to hold then does.
fn goes_on(stage: &Stage, server: &ModelServer, before: &Printed, what: &str) {
    let asked = server.all_requests().len();
    let resumed = resume(stage, server);
    assert_eq!(resumed.code(), Some(0), "{what}: {}\n{}", resumed.stdout(), resumed.stderr());
    let lines = if stage.exists("lines") { stage.read("lines") } else { String::new() };
    let all: Vec<&str> = lines.lines().collect();
    let unique: HashSet<&str> = all.iter().copied().collect();
    assert_eq!(all.len(), unique.len(), "{what}: run twice: {all:?}");
    let log = stage.log();
    log.assert_numbered();
    let requests = server.all_requests();
    let last = requests.last().unwrap_or_else(|| panic!("{what}: no request"));
    // If the answer was whole already, nothing is asked again: the log holds what was said.
    let text = if requests.len() > asked {
        last.body.to_string()
    } else {
        format!("{:?}", log.bodies("ItemCompleted"))
    };
    for message in &before.messages {
        assert!(text.contains(message.trim()), "{what}: {message:?} was printed and is missing");
    }
    for command in &before.finished {
        let Some(rest) = command.split("step-").nth(1) else { continue };
        let step = rest.split(' ').next().unwrap();
        assert_eq!(
            all.iter().filter(|line| **line == format!("step-{step}")).count(),
            1,
            "{what}: {command}"
        );
    }
    // Exactly one line for every call the log reports as finished.
    let requested = log.bodies("CallRequested");
    for body in
        log.bodies("CallFinished").iter().filter(|body| body["outcome"]["outcome"] == "completed")
    {
        let item =
            requested.iter().map(|body| &body["item"]).find(|item| item["call"] == body["call"]);
        let Some(step) = item.unwrap()["wire_id"].as_str().unwrap().strip_prefix("call_") else {
            continue;
        };
        assert!(
            unique.contains(format!("step-{step}").as_str()),
            "{what}: step {step} reported, not done"
        );
    }
    let unpaired = server.violations();
    assert!(unpaired.is_empty(), "{what}: {unpaired:?}");
}

/// How many lines the log of an undisturbed run has.
fn undisturbed(steps: Steps) -> u64 {
    let server = ModelServer::start(steps.script());
    let stage = Stage::new();
    host(&stage, &server, &["--", "go"]).run().assert_success();
    let lines = stage.log().lines().len();
    assert_eq!(stage.read("lines").lines().count(), STEPS);
    assert_eq!(server.requests().len(), steps.requests());
    lines as u64
}

#[test]
fn aborted_at_every_point_of_every_line() {
    aborted_everywhere(Steps::OneByOne, 6 * STEPS as u64);
}

#[test]
fn aborted_at_every_point_of_every_line_with_calls_side_by_side() {
    aborted_everywhere(Steps::SideBySide, 4 * STEPS as u64);
}

fn aborted_everywhere(steps: Steps, at_least: u64) {
    let lines = undisturbed(steps);
    assert!(lines > at_least, "{lines}");
    let points = ["before-write", "after-write", "after-publish"];
    at_each(lines, &points, |seq, point| aborted(steps, seq, point));
}

/// Tries each point of each of so many lines, two at a time.
fn at_each(lines: u64, points: &[&str], attempt: impl Fn(u64, &str) + Sync) {
    let cases = (0..lines).flat_map(|seq| points.iter().map(move |point| (seq, *point)));
    let cases = Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((seq, point)) = cases.lock().unwrap().next() else { return };
                    attempt(seq, point);
                }
            });
        }
    });
}

fn aborted(steps: Steps, seq: u64, point: &str) {
    let what = format!("{steps:?} {point} {seq}");
    let server = ModelServer::start(steps.script());
    let stage = Stage::new();
    let abort = format!("{point}:{seq}");
    let died = host(&stage, &server, &["--abort", &abort, "--", "go"]).run();
    assert!(died.stderr().contains("landed: "), "{what} did not land: {}", died.stderr());
    assert_eq!(died.signal(), Some(6), "{what}: {:?}", died.code());
    let before = printed(&died.stdout());
    if stage.logs().is_empty() || stage.log().bodies("OpAccepted").is_empty() {
        // It died before the prompt was accepted: nothing was promised.
        assert!(before.messages.is_empty() && before.finished.is_empty(), "{what}");
        return;
    }
    if stage.log().bodies("TurnFinished").is_empty() {
        goes_on(&stage, &server, &before, &what);
    }
    println!("landed and survived: {what}");
}

#[test]
fn interrupted_at_every_record() {
    interrupted_everywhere(Steps::OneByOne);
}

#[test]
fn interrupted_at_every_record_with_calls_side_by_side() {
    interrupted_everywhere(Steps::SideBySide);
}

fn interrupted_everywhere(steps: Steps) {
    let lines = undisturbed(steps);
    let points = ["before-write", "after-publish"];
    at_each(lines, &points, |seq, point| interrupted(steps, seq, point));
}

fn interrupted(steps: Steps, seq: u64, point: &str) {
    let what = format!("{steps:?}, interrupt {point} {seq}");
    let server = ModelServer::start(steps.script());
    let stage = Stage::new();
    let interrupt = format!("{point}:{seq}");
    let ended = host(&stage, &server, &["--interrupt", &interrupt, "--", "go"]).run();
    assert!(ended.stderr().contains("landed: "), "{what} did not land: {}", ended.stderr());
    stage.assert_no_process_left();
    let log = stage.log();
    log.assert_numbered();
    let last = ended.json_lines().pop().unwrap();
    let Some(turn) = log.bodies("TurnFinished").pop() else {
        // Before the prompt was accepted: there is no turn, and nothing to go on with.
        assert!(log.bodies("TurnStarted").is_empty(), "{what}: {}", log.text());
        assert_eq!((ended.code(), &last["type"]), (Some(130), &json!("turn.failed")), "{what}");
        return;
    };
    let outcome = turn["result"]["outcome"].as_str().unwrap();
    let (code, end) = match outcome {
        "cancelled" => (130, "turn.failed"),
        // It had its last word before the interrupt reached it.
        "completed" => (ended.code().unwrap(), "turn.completed"),
        other => panic!("{what}: the turn ended as {other}"),
    };
    assert!(outcome == "cancelled" || matches!(code, 0 | 130), "{what}: {code}");
    assert_eq!((ended.code(), &last["type"]), (Some(code), &json!(end)), "{what}");
    for (starts, ends, id) in [
        ("CallRequested", "CallFinished", "call"),
        ("RequestStarted", "RequestFinished", "request"),
        ("TurnStarted", "TurnFinished", "turn"),
    ] {
        let ids = |kind: &str| -> Vec<Value> {
            let id_of = |body: &Value| {
                if kind == "CallRequested" { body["item"][id].clone() } else { body[id].clone() }
            };
            let mut ids: Vec<Value> = log.bodies(kind).iter().map(id_of).collect();
            ids.sort_by_key(ToString::to_string);
            ids
        };
        assert_eq!(ids(starts), ids(ends), "{what}: {starts} and {ends}");
    }
    if outcome == "cancelled" {
        goes_on(&stage, &server, &printed(&ended.stdout()), &what);
    }
    println!("landed, ended as {outcome}: {what}");
}

/// Kills that must land within a turn.
const KILLS: usize = 100;

/// A fixed sequence, so that a failure can be repeated.
struct Instants {
    state: u64,
    tried: usize,
    landed: usize,
}

impl Instants {
    fn next(&mut self) -> Option<(usize, u64)> {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.tried += 1;
        assert!(self.tried <= 5 * KILLS, "only {} kills landed within a turn", self.landed);
        (self.landed < KILLS).then_some((self.tried, self.state))
    }
}

#[test]
fn killed_with_its_tree_at_random_instants() {
    killed_at_random(Steps::OneByOne);
}

#[test]
fn killed_with_its_tree_at_random_instants_with_calls_side_by_side() {
    killed_at_random(Steps::SideBySide);
}

fn killed_at_random(steps: Steps) {
    let instants = Mutex::new(Instants { state: 0x2545_f491_4f6c_dd1d, tried: 0, landed: 0 });
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, random)) = instants.lock().unwrap().next() else { return };
                    let landed = killed(steps, number, random);
                    instants.lock().unwrap().landed += usize::from(landed);
                }
            });
        }
    });
    let instants = instants.into_inner().unwrap();
    println!("{} of {} kills landed within a turn", instants.landed, instants.tried);
}

/// Whether the kill came while the turn ran.
fn killed(steps: Steps, number: usize, random: u64) -> bool {
    let server = ModelServer::start(steps.script());
    let stage = Stage::new();
    let mut running = host(&stage, &server, &["--", "go"]).start();
    // After so many requests, and then so many turns of a loop: an instant within a step.
    let requests = usize::try_from(random % steps.requests() as u64).unwrap();
    server.wait_requests_blocking(requests);
    for _ in 0..(random >> 8) % 3_000_000 {
        std::hint::spin_loop();
    }
    let ended = running.has_ended();
    running.kill_tree();
    let died = running.wait();
    let what = format!("{steps:?}, kill {number} after {requests} requests");
    let before = printed(&died.stdout());
    stage.assert_no_process_left();
    if stage.logs().is_empty() || stage.log().bodies("OpAccepted").is_empty() {
        assert!(before.messages.is_empty() && before.finished.is_empty(), "{what}");
        println!("{what}: before anything was promised");
        return false;
    }
    if stage.log().bodies("TurnFinished").is_empty() {
        goes_on(&stage, &server, &before, &what);
        println!("{what}: landed, went on");
        true
    } else {
        println!("{what}: had {}", if ended { "ended" } else { "finished its turn" });
        false
    }
}

#[test]
fn a_full_disk_stops_the_turn_and_says_so() {
    let server = ModelServer::start(Steps::OneByOne.script());
    let stage = Stage::new();
    let failed = host(&stage, &server, &["--full", "20", "--", "go"]).run();
    assert!(failed.stderr().contains("landed: "));
    failed.assert_code(9);
    let last = failed.json_lines().pop().unwrap();
    assert_eq!(last["type"], "turn.failed", "{}", failed.stdout());
    let before = printed(&failed.stdout());
    goes_on(&stage, &server, &before, "full disk");
}

#[test]
fn signals_of_the_harness_are_what_they_say() {
    // The kill above is a SIGKILL of the whole tree.
    let server = ModelServer::start(Steps::OneByOne.script());
    let stage = Stage::new();
    let running = host(&stage, &server, &["--", "go"]).start();
    server.wait_requests_blocking(1);
    running.signal(Signal::Kill);
    assert_eq!(running.wait().signal(), Some(9));
    stage.assert_no_process_left();
}
