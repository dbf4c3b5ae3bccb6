//! Nothing is run twice and nothing readable is lost, whatever was done to the log.

use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Signal, Stage},
    wait::{DEADLINE, poll},
};

/// The model calls one command, then says "done".
fn one_command(command: &str) -> (ModelServer, Stage) {
    let script = Script::new()
        .turn(call("shell", json!({ "command": command })))
        .otherwise(say("done"))
        .by(|request| request.outputs().len());
    let server = ModelServer::start(script);
    let stage = Stage::new().with_model(&server);
    (server, stage)
}

fn exec(stage: &Stage, more: &[&str]) -> troupe_tests::stage::Run {
    stage.troupe(["exec", "--json", "-s", "danger-full-access"]).args(more)
}

fn resume(stage: &Stage, more: &[&str]) -> Finished {
    exec(stage, &["resume", "--last"]).args(more).run()
}

/// The messages of the `error` items.
fn told(finished: &Finished) -> Vec<String> {
    let lines = finished.json_lines();
    let items = lines.iter().filter(|line| line["item"]["type"] == "error");
    items.map(|line| line["item"]["message"].as_str().unwrap_or_default().to_owned()).collect()
}

fn lines(stage: &Stage) -> Vec<String> {
    stage.log().text().lines().map(str::to_owned).collect()
}

fn save(stage: &Stage, lines: &[String], end: &str) {
    let text: String = lines.iter().map(|line| format!("{line}{end}")).collect();
    fs::write(stage.log().path(), text).unwrap();
}

fn place(lines: &[String], kind: &str) -> usize {
    let wanted = format!("\"kind\":\"{kind}\"");
    lines.iter().position(|line| line.contains(&wanted)).unwrap()
}

/// A session whose process was killed while its one command ran.
fn broken_off() -> (ModelServer, Stage) {
    let (server, stage) = one_command("echo RAN >> marks; exec sleep 100");
    let mut running = exec(&stage, &["go"]).start();
    poll(DEADLINE, || stage.exists("marks").then_some(())).expect("the command runs");
    running.signal(Signal::Kill);
    running.kill_tree();
    drop(running.wait());
    (server, stage)
}

#[test]
fn a_call_whose_start_cannot_be_read_is_not_run_again() {
    for damage in ["damaged", "spaced and damaged", "damaged number"] {
        let (server, stage) = broken_off();
        let mut all = lines(&stage);
        let at = place(&all, "CallStarted");
        all[at] = match damage {
            "damaged" => all[at].replace("\"detail\":", "\"detail\0:"),
            "spaced and damaged" => all[at].replace(':', " : ").replace("detail", "\0"),
            _ => all[at].replacen("\"seq\":", "\"seq\":9", 1),
        };
        save(&stage, &all, "\n");
        let resumed = resume(&stage, &[]);
        assert_eq!(stage.read("marks"), "RAN\n", "{damage}");
        resumed.assert_success();
        let output = server.requests().last().unwrap().outputs().remove(0).1;
        assert!(output.starts_with("lost"), "{damage}: {output}");
    }
}

#[test]
fn a_log_of_a_later_program_stays_as_it_is() {
    for kind in ["CallStarted", "SessionCreated"] {
        let (server, stage) = broken_off();
        let mut all = lines(&stage);
        let at = place(&all, kind);
        all[at] = all[at].replacen("\"v\":1", "\"v\":2", 1);
        save(&stage, &all, "\n");
        // Also an incomplete line is left.
        let mut bytes = fs::read(stage.log().path()).unwrap();
        bytes.extend_from_slice(b"{\"seq\":");
        fs::write(stage.log().path(), &bytes).unwrap();
        let requests = server.requests().len();
        let resumed = resume(&stage, &["go on"]);
        resumed.assert_code(9);
        assert!(resumed.stdout().contains("use a newer troupe"), "{}", resumed.stdout());
        assert_eq!(fs::read(stage.log().path()).unwrap(), bytes, "{kind}");
        assert_eq!((server.requests().len(), &*stage.read("marks")), (requests, "RAN\n"));
    }
}

#[test]
fn a_log_that_a_json_tool_wrote_anew_goes_on() {
    let (server, stage) = broken_off();
    let all: Vec<String> = lines(&stage)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string().replace("\":", "\": "))
        .collect();
    save(&stage, &all, "\r\n");
    resume(&stage, &[]).assert_success();
    stage.log().assert_numbered();
    assert_eq!(stage.log().bodies("SessionCreated").len(), 1);
    assert_eq!(server.requests().last().unwrap().outputs().len(), 1);
    assert_eq!(stage.read("marks"), "RAN\n");
}

/// A log with a checkpoint: many steps, each with an output of its own.
fn long_session() -> (ModelServer, Stage) {
    const STEPS: usize = 55;
    let steps = (0..STEPS).map(|step| {
        call("shell", json!({ "command": format!("echo out-{step}-end") }))
            .call_id(format!("call_{step}"))
    });
    let script = Script::new().turns(steps).otherwise(say("done"));
    let server = ModelServer::start(script.by(|request| request.outputs().len()));
    let stage = Stage::new().with_model(&server);
    exec(&stage, &["the PROMPT"]).run().assert_success();
    assert!(!stage.log().bodies("Checkpoint").is_empty());
    (server, stage)
}

#[test]
fn every_line_of_an_edited_log_stays_in_the_context() {
    let (server, stage) = long_session();
    let before = fs::read(stage.log().path()).unwrap();
    for edit in ["a word", "line ends", "a line more"] {
        fs::write(stage.log().path(), &before).unwrap();
        let mut all = lines(&stage);
        match edit {
            "a word" => all.iter_mut().for_each(|line| *line = line.replace("PROMPT", "PR0MPT")),
            "line ends" => {}
            _ => all.insert(3, "# looked at on Monday".to_owned()),
        }
        save(&stage, &all, if edit == "line ends" { "\r\n" } else { "\n" });
        let resumed = resume(&stage, &["AGAIN"]);
        resumed.assert_success();
        let request = server.requests().last().unwrap().clone();
        assert!(request.asks("the PR"), "{edit}");
        assert_eq!(request.outputs().len(), 55, "{edit}");
        let damaged = told(&resumed).iter().filter(|text| text.contains("is damaged")).count();
        assert_eq!(damaged, usize::from(edit == "a line more"), "{edit}: {:?}", told(&resumed));
    }
}

#[test]
fn what_is_wrong_with_a_log_is_told_once() {
    let (_server, stage) = one_command("echo out");
    exec(&stage, &["go"]).run().assert_success();
    let before = fs::read(stage.log().path()).unwrap();
    for kind in ["ItemCompleted", "CallRequested", "CallFinished", "TurnStarted", "torn", "twice"] {
        fs::write(stage.log().path(), &before).unwrap();
        let mut all = lines(&stage);
        let expected = match kind {
            "torn" => {
                let torn = [&before[..], b"{\"seq\":99,\"at\":1,\"ki\xc3"].concat();
                fs::write(stage.log().path(), torn).unwrap();
                "ended in an incomplete line"
            }
            "twice" => {
                all.insert(4, all[3].clone());
                save(&stage, &all, "\n");
                "line 3 stands there more than once"
            }
            kind => {
                all.remove(place(&all, kind));
                save(&stage, &all, "\n");
                "is missing"
            }
        };
        let resumed = resume(&stage, &["AGAIN"]);
        resumed.assert_success();
        let times = |run: &Finished| told(run).iter().filter(|t| t.contains(expected)).count();
        assert_eq!(times(&resumed), 1, "{kind}: {:?}", told(&resumed));
        let again = resume(&stage, &["AGAIN"]);
        again.assert_success();
        assert_eq!(times(&again), 0, "{kind}: told once");
    }
}

#[test]
fn a_second_process_reports_its_own_turn() {
    for prompt in [Some("second"), None] {
        let gate = Gate::new();
        let script = Script::new()
            .turn(say("from the first"))
            .turn(say("from A").wait(&gate))
            .otherwise(say("from B"))
            .by_arrival();
        let server = ModelServer::start(script);
        let stage = Stage::new().with_model(&server);
        exec(&stage, &["first"]).run().assert_success();
        let a = exec(&stage, &["resume", "--last", "prompt of A"]).start();
        server.wait_requests_blocking(2);
        let mut b = exec(&stage, &["resume", "--last"]);
        if let Some(prompt) = prompt {
            b = b.arg(prompt);
        }
        let b = b.start();
        // What it looks at before that is looked at by then; it waits for the lock.
        poll(DEADLINE, || has_a_writer(b.id()).then_some(())).expect("it opens the log");
        gate.open();
        a.wait().assert_success();
        let b = b.wait();
        let completed = b.stdout().matches("turn.completed").count();
        assert!(!b.stdout().contains("from A"), "{}", b.stdout());
        match prompt {
            Some(_) => assert_eq!((b.code(), completed), (Some(0), 1), "{}", b.stdout()),
            None => assert_eq!((b.code(), completed), (Some(3), 0), "{}", b.stdout()),
        }
    }
}

/// Whether the process has come as far as the log: its writer's thread is up.
fn has_a_writer(process: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    tasks
        .map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default())
        .any(|name| name.starts_with("scribe"))
}

#[test]
fn a_log_that_is_removed_or_moved_ends_the_run() {
    for moved in [false, true] {
        let gate = Gate::new();
        let script = Script::new()
            .turn(call("shell", json!({ "command": "echo one" })))
            .otherwise(say("done").wait(&gate))
            .by(|request| request.outputs().len());
        let server = ModelServer::start(script);
        let stage = Stage::new().with_model(&server);
        let running = exec(&stage, &["go"]).start();
        server.wait_requests_blocking(2);
        let log: PathBuf = stage.log().path().to_owned();
        let sessions = log.parent().unwrap();
        if moved {
            fs::rename(sessions, stage.root().join("moved")).unwrap();
        } else {
            fs::remove_dir_all(sessions).unwrap();
        }
        gate.open();
        let ended = running.wait();
        ended.assert_code(9);
        assert!(ended.stdout().contains("removed or moved"), "{}", ended.stdout());
        assert!(!ended.stdout().contains("turn.completed"));
        assert!(!log.exists());
    }
}
