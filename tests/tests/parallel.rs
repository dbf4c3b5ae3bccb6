//! Calls of one answer, end to end: which run side by side, in which order the model is told, and what
//! is left when they are stopped or killed.
//!
//! That two commands run at the same time is seen by named pipes: each command reads one, and the test
//! holds the other ends, which it can only open while something reads.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
};
use troupe_tests::{
    machine,
    model_server::*,
    skip,
    stage::{Finished, Signal, Stage},
    wait::{DEADLINE, poll},
};

/// `O_NONBLOCK`: opening a pipe for writing fails while nothing reads it.
const AT_ONCE: i32 = 0o4000;

/// A server whose model makes these calls in one answer, and a stage with as many pipes.
fn making(of: Vec<Turn>) -> (ModelServer, Stage) {
    let count = of.len();
    let answer = calls(of.into_iter().zip(1..).map(|(call, n)| call.call_id(format!("call_{n}"))));
    let script = Script::new().turn(answer).otherwise(say("done"));
    let server = ModelServer::start(script.by(|request| request.outputs().len().min(1)));
    let stage = Stage::without_git().with_model(&server);
    let pipes = (1..=count).map(|n| format!("pipe{n}"));
    stage.program("mkfifo").args(pipes).folder(stage.work()).run().assert_success();
    (server, stage)
}

fn shell(command: impl Into<String>) -> Turn {
    call("shell", json!({ "command": command.into() }))
}

/// Commands that read a pipe each, and change nothing.
fn readers(count: usize) -> Vec<Turn> {
    (1..=count).map(|n| shell(format!("cat pipe{n}"))).collect()
}

/// The other end of a pipe, if something reads it.
fn try_pipe(stage: &Stage, n: usize) -> Option<File> {
    let path = stage.work().join(format!("pipe{n}"));
    OpenOptions::new().write(true).custom_flags(AT_ONCE).open(path).ok()
}

/// The other end of a pipe, once something reads it.
fn pipe(stage: &Stage, n: usize) -> File {
    poll(DEADLINE, || try_pipe(stage, n)).unwrap_or_else(|| panic!("nothing reads pipe {n}"))
}

/// The starts and ends of calls in the log, by the numbers of the calls.
fn starts_and_ends(stage: &Stage) -> Vec<String> {
    let log = stage.log();
    let requested = log.bodies("CallRequested");
    let number = |body: &Value| {
        let items = requested.iter().map(|body| &body["item"]);
        let mut matching = items.filter(|item| item["call"] == body["call"]);
        matching.next().unwrap()["wire_id"].as_str().unwrap().replace("call_", "")
    };
    let lines = log.lines();
    let said = lines.iter().filter_map(|line| match line["kind"].as_str()? {
        "CallStarted" => Some(format!("{} starts", number(&line["body"]))),
        "CallFinished" => Some(format!("{} ends", number(&line["body"]))),
        _ => None,
    });
    said.collect()
}

/// The commands that were reported as completed: number of the file in them, and exit code.
fn exit_codes(finished: &Finished) -> Vec<Value> {
    let lines = finished.json_lines();
    let items = lines.iter().filter(|line| line["type"] == "item.completed");
    let commands = items.map(|line| &line["item"]).filter(|i| i["type"] == "command_execution");
    let mut all: Vec<_> =
        commands.map(|item| (item["command"].to_string(), item["exit_code"].clone())).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all.into_iter().map(|(_, code)| code).collect()
}

#[test]
fn three_commands_that_only_look_overlap_and_their_outputs_are_in_call_order() {
    for mode in ["workspace-write", "read-only", "danger-full-access"] {
        let (server, stage) = making(readers(3));
        let running = stage.troupe(["exec", "--json", "-s", mode, "go"]).start();
        // All three run: none has ended, since nothing was written.
        let mut pipes: Vec<_> = (1..=3).map(|n| (n, pipe(&stage, n))).collect();
        while let Some((n, mut pipe)) = pipes.pop() {
            pipe.write_all(format!("said {n}\n").as_bytes()).unwrap();
            drop(pipe);
            // The last one ends first.
            stage.log().wait_kind("CallFinished", 3 - pipes.len());
        }
        running.wait().assert_success();
        assert_eq!(
            starts_and_ends(&stage),
            ["1 starts", "2 starts", "3 starts", "3 ends", "2 ends", "1 ends"],
            "{mode}"
        );
        let told = server.requests()[1].outputs();
        assert_eq!(told.len(), 3);
        for ((id, output), n) in told.iter().zip(1..) {
            assert_eq!(*id, format!("call_{n}"));
            assert!(output.ends_with(&format!("Output:\nsaid {n}\n")), "{mode}: {output}");
        }
        stage.log().assert_numbered();
    }
}

#[test]
fn at_most_as_many_as_the_setting_says() {
    let (_server, stage) = making(readers(10));
    let running = stage.troupe(["exec", "--json", "-s", "danger-full-access", "go"]).start();
    let mut pipes: Vec<_> = (1..=8).map(|n| pipe(&stage, n)).collect();
    assert_eq!(stage.log().bodies("CallStarted").len(), 8);
    assert!(try_pipe(&stage, 9).is_none() && try_pipe(&stage, 10).is_none());
    // One ends, one more starts.
    drop(pipes.pop());
    pipes.push(pipe(&stage, 9));
    assert!(try_pipe(&stage, 10).is_none());
    drop(pipes.pop());
    drop((pipe(&stage, 10), pipes));
    running.wait().assert_success();

    let (_server, stage) = making(readers(3));
    let one = ["exec", "--json", "-s", "danger-full-access", "-c", "max_parallel_calls=1", "go"];
    let running = stage.troupe(one).start();
    (1..=3).for_each(|n| drop(pipe(&stage, n)));
    running.wait().assert_success();
    let alone = ["1 starts", "1 ends", "2 starts", "2 ends", "3 starts", "3 ends"];
    assert_eq!(starts_and_ends(&stage), alone);
}

#[test]
fn what_changes_something_is_alone_and_a_patch_is_so_in_every_setting() {
    let adds = "*** Begin Patch\n*** Add File: new\n+patched\n*** End Patch\n";
    for more in [&[][..], &["-c", "parallel_commands=true"]] {
        let (server, stage) = making(vec![
            shell("cat pipe1"),
            shell("cat pipe2; echo two > two"),
            custom("apply_patch", adds),
            shell("cat new"),
            call("read_file", json!({ "path": "new" })),
        ]);
        let run = stage.troupe(["exec", "--json", "-s", "danger-full-access"]).args(more);
        let running = run.args(["go"]).start();
        let first = pipe(&stage, 1);
        if more.is_empty() {
            assert!(try_pipe(&stage, 2).is_none(), "what writes waits for what reads");
            drop(first);
            drop(pipe(&stage, 2));
        } else {
            drop((pipe(&stage, 2), first));
        }
        running.wait().assert_success();
        let said = starts_and_ends(&stage);
        assert_eq!(said[4..6], ["3 starts", "3 ends"], "{said:?}");
        let outputs = server.requests()[1].outputs();
        assert!(outputs[3].1.ends_with("\npatched\n"), "{outputs:?}");
        assert_eq!(outputs[4].1, "L1: patched");
    }
}

/// A repository whose two commits are made in one answer; each command stays at its pipe after it.
fn two_commits(stay: bool) -> (ModelServer, Stage) {
    let commit = |n: usize| {
        let stay = if stay { format!("cat pipe{n};") } else { String::new() };
        shell(format!(
            "echo {n} > f{n}; git add f{n} && git commit -qm c{n}; s=$?; {stay} exit $s # f{n}"
        ))
    };
    let (server, stage) = making(vec![commit(1), commit(2)]);
    let script = "git init -q . && git config user.name n && git config user.email e@x && \
                  echo pipe* > .git/info/exclude && git commit -q --allow-empty -m c0";
    stage.program("sh").args(["-c", script]).folder(stage.work()).run().assert_success();
    (server, stage)
}

/// The subjects of the commits, the first one first.
fn commits(stage: &Stage) -> Vec<String> {
    let git = |arguments: &[&str]| {
        let run = stage.program("git").args(arguments).folder(stage.work()).run();
        run.assert_success();
        run.stdout()
    };
    git(&["fsck", "--strict"]);
    git(&["log", "--reverse", "--format=%s"]).lines().map(str::to_owned).collect()
}

#[test]
fn two_commits_in_one_answer_both_stand_one_after_the_other() {
    for mode in ["workspace-write", "danger-full-access"] {
        if mode == "workspace-write" && !machine::user_namespaces() {
            skip!("copies of .git need user namespaces");
        }
        let (_server, stage) = two_commits(false);
        let finished = stage.troupe(["exec", "--json", "-s", mode, "go"]).run();
        finished.assert_success();
        assert_eq!(commits(&stage), ["c0", "c1", "c2"], "{mode}");
        assert_eq!(exit_codes(&finished), [0, 0], "{mode}: {}", finished.stdout());
        let status = ["status", "--porcelain"];
        let clean = stage.program("git").args(status).folder(stage.work()).run();
        assert_eq!(clean.stdout(), "", "{mode}");
    }
}

#[test]
fn of_two_commits_side_by_side_each_stands_or_fails() {
    for mode in ["workspace-write", "danger-full-access"] {
        if mode == "workspace-write" && !machine::user_namespaces() {
            skip!("copies of .git need user namespaces");
        }
        let (server, stage) = two_commits(true);
        let run = stage.troupe(["exec", "--json", "-s", mode, "-c", "parallel_commands=true"]);
        let running = run.args(["go"]).start();
        // Both have made their commit, or failed to, before either ends.
        drop((pipe(&stage, 1), pipe(&stage, 2)));
        let finished = running.wait();
        finished.assert_success();
        let (commits, codes) = (commits(&stage), exit_codes(&finished));
        for n in 1..=2 {
            let code = &codes[n - 1];
            let stands = commits.contains(&format!("c{n}"));
            assert_eq!(stands, *code == 0, "{mode}: {n}: {code} {commits:?}");
            // Without copies, the first commit may have both files in it: then there is none to make.
            let fails = *code == 128 || mode == "danger-full-access" && *code == 1;
            assert!(stands || fails, "{mode}: as git fails: {code}");
            assert_eq!(stage.read(format!("f{n}")), format!("{n}\n"), "no file is lost");
            let told = &server.requests()[1].outputs()[n - 1].1;
            if mode == "workspace-write" && !stands {
                let why = "not taken over into .git: refs/heads/";
                assert!(told.contains(why), "{told}");
                assert!(told.contains("changed by somebody else meanwhile"), "{told}");
            }
        }
        assert!(commits.len() >= 2, "{mode}: one stands: {commits:?}");
        if mode == "workspace-write" {
            assert_eq!(commits.len(), 2, "both were made from the same");
        }
    }
}

#[test]
fn looking_at_a_repository_side_by_side_is_no_conflict() {
    if !machine::user_namespaces() {
        skip!("copies of .git need user namespaces");
    }
    let look = |n: usize| shell(format!("git status --short; git diff --stat; cat pipe{n}"));
    let (server, stage) = making((1..=3).map(look).collect());
    // Git finds the time of each file changed, and refreshes its index.
    let script = "git init -q . && git config user.name n && git config user.email e@x && \
                  echo pipe* > .git/info/exclude && echo a > a && echo b > b && git add a b && \
                  git commit -qm c0 && touch -d '2001-01-01' a b";
    stage.program("sh").args(["-c", script]).folder(stage.work()).run().assert_success();
    let running = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).start();
    drop([1, 2, 3].map(|n| pipe(&stage, n)));
    let finished = running.wait();
    finished.assert_success();
    assert_eq!(exit_codes(&finished), [0, 0, 0]);
    for (_, told) in server.requests()[1].outputs() {
        assert!(!told.contains("Sandbox:"), "{told}");
    }
}

#[test]
fn an_interrupt_ends_all_of_them() {
    let mut all = readers(3);
    all.push(shell("echo 4 > four"));
    let (_server, stage) = making(all);
    let running = stage.troupe(["exec", "--json", "-s", "danger-full-access", "go"]).start();
    let pipes: Vec<_> = (1..=3).map(|n| pipe(&stage, n)).collect();
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    drop(pipes);
    assert_ne!(finished.code(), Some(0));
    stage.assert_no_process_left();
    let mut ends = starts_and_ends(&stage)[3..].to_vec();
    ends.sort();
    assert_eq!(ends, ["1 ends", "2 ends", "3 ends", "4 ends"]);
    assert!(!stage.exists("four"));
    let outcomes = stage.log().bodies("CallFinished");
    assert!(outcomes.iter().all(|body| body["outcome"]["outcome"] == "cancelled"), "{outcomes:?}");
}

#[test]
fn killed_with_three_running_each_is_lost_or_done_and_none_runs_again() {
    let work = |n: usize| shell(format!("echo {n} >> marks; cat pipe{n}"));
    let (server, stage) = making((1..=3).map(work).collect());
    let run = |stage: &Stage, last: &[&str]| {
        let run = stage.troupe(["exec", "--json", "-s", "danger-full-access"]);
        run.args(["-c", "parallel_commands=true"]).args(last)
    };
    let mut running = run(&stage, &["go"]).start();
    let [first, second, third] = [1, 2, 3].map(|n| pipe(&stage, n));
    // One is done, two run.
    drop(second);
    stage.log().wait_kind("CallFinished", 1);
    running.signal(Signal::Kill);
    running.kill_tree();
    drop((running.wait(), first, third));
    run(&stage, &["resume", "--last"]).run().assert_success();
    let mut marks: Vec<_> = stage.read("marks").lines().map(str::to_owned).collect();
    marks.sort();
    assert_eq!(marks, ["1", "2", "3"]);
    let told = server.requests().last().unwrap().outputs();
    let starts: Vec<_> = told.iter().map(|(id, text)| (id.as_str(), &text[..4])).collect();
    assert_eq!(starts, [("call_1", "lost"), ("call_2", "Exit"), ("call_3", "lost")]);
    stage.log().assert_numbered();
}

#[test]
fn each_report_of_a_run_belongs_to_its_call() {
    let (_server, stage) = making(readers(3));
    let running = stage.troupe(["exec", "--json", "-s", "danger-full-access", "go"]).start();
    let mut pipes: Vec<_> = (1..=3).map(|n| pipe(&stage, n)).collect();
    for n in [2, 0, 1] {
        pipes[n].write_all(format!("said {}\n", n + 1).as_bytes()).unwrap();
    }
    drop(pipes);
    let finished = running.wait();
    finished.assert_success();
    let lines = finished.json_lines();
    let of = |n: usize| -> Vec<&Value> {
        let command = format!("cat pipe{n}");
        let named = |line: &&Value| {
            line["item"]["command"].as_str().is_some_and(|text| text.contains(&command))
        };
        lines.iter().filter(named).collect()
    };
    let mut ids = Vec::new();
    for n in 1..=3 {
        let (first, last) = (of(n)[0], *of(n).last().unwrap());
        assert_eq!(
            (&first["type"], &last["type"]),
            (&json!("item.started"), &json!("item.completed"))
        );
        assert!(of(n).iter().all(|line| line["item"]["id"] == first["item"]["id"]));
        assert_eq!(last["item"]["aggregated_output"], format!("said {n}\n"));
        ids.push(first["item"]["id"].to_string());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");

    let (_server, stage) = making(readers(3));
    let running = stage.troupe(["exec", "-s", "danger-full-access", "go"]).start();
    let mut pipes: Vec<_> = (1..=3).map(|n| (n, pipe(&stage, n))).collect();
    while let Some((n, mut pipe)) = pipes.pop() {
        pipe.write_all(format!("said {n}\nand {n}\n").as_bytes()).unwrap();
        drop(pipe);
        stage.log().wait_kind("CallFinished", 3 - pipes.len());
    }
    let finished = running.wait();
    let stderr = finished.stderr();
    for n in 1..=3 {
        // What is said of its end names the command, since others began after it.
        let at = stderr.find(&format!("said {n}\nand {n}\n")).unwrap_or_else(|| panic!("{stderr}"));
        let head = stderr[..at].lines().last().unwrap();
        assert!(head.contains(&format!("cat pipe{n}")), "{head:?} in {stderr}");
    }
}
