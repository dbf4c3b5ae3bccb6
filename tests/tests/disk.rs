//! Disks that fill up, on real file systems of a few hundred KiB: what runs is let run to its end, a
//! known result is never thrown away, and nothing is run twice.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use troupe_tests::{
    binary, machine,
    model_server::*,
    skip,
    stage::{Finished, Run, Signal, Stage},
    wait::{DEADLINE, poll},
};

/// What the shell scripts of the tests begin with: the home is a small disk, `host` a run on it.
const BEGIN: &str = r#"
    mount -t tmpfs -o size=$ROOM none "$TROUPE_HOME" || exit 77
    troupe=("$@")
    host() { "${troupe[@]}" exec --json -s danger-full-access "$@"; }
    log() { cp "$TROUPE_HOME"/sessions/*.jsonl "$1"; }
    room() { rm -f "$TROUPE_HOME/fill"; mount -o remount,size=30M none "$TROUPE_HOME"; }
"#;

/// A run that fills the disk, the log as it is then, room, and a resume.
const FULL_THEN_ROOM: &str =
    "host go > first; echo $? > code; log log; room; host resume --last > second; echo $? >> code";

fn on_a_disk(stage: &Stage, room: &str, script: &str) -> Run {
    let run = stage.troupe::<&str>([]).through_shell(&format!("{BEGIN}{script}"));
    run.under("unshare", ["-Urm"]).env("ROOM", room)
}

fn run(stage: &Stage, room: &str, script: &str) -> Finished {
    let finished = on_a_disk(stage, room, script).run();
    assert_ne!(finished.code(), Some(77), "{}", finished.stderr());
    finished
}

/// The part of a command that fills the disk.
fn fill(stage: &Stage) -> String {
    format!("cat /dev/zero > {}/fill 2> /dev/null", stage.troupe_home().display())
}

fn shell(command: &str) -> Turn {
    call("shell", json!({ "command": command }))
}

/// More text than a log on a full disk has room for.
fn flood() -> Turn {
    deltas((0..100).map(|part| format!("part {part}: {}\n", "more text ".repeat(400))))
}

/// The bodies of the records of a kind in the copy of a log.
fn bodies(stage: &Stage, kind: &str) -> Vec<Value> {
    let log = stage.read("log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).map(|line| line["body"].clone()).collect()
}

fn outputs(server: &ModelServer) -> Vec<String> {
    let last = server.requests().pop().unwrap();
    last.outputs().into_iter().map(|(_, text)| text).collect()
}

fn last_line(stage: &Stage, file: &str) -> Value {
    serde_json::from_str(stage.read(file).lines().last().unwrap_or_default()).unwrap_or_default()
}

/// A stage, and a server that says these turns in order, by how many outputs it was given.
fn playing(turns: impl FnOnce(&Stage) -> Vec<Turn>) -> (ModelServer, Stage) {
    let stage = Stage::new();
    let script = Script::new().turns(turns(&stage)).otherwise(say("done"));
    let server = ModelServer::start(script.by(|request| request.outputs().len()));
    let stage = stage.with_model(&server);
    (server, stage)
}

#[test]
fn the_result_of_a_call_that_fills_the_disk_is_kept() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    // As long as a result usually may be; and longer than a line of the log may be.
    for (size, tokens) in [(36_000, "10000"), (300_000, "100000")] {
        let (server, stage) = playing(|stage| {
            let (fill, print) = (fill(stage), format!("seq 100000 | head -c {size}"));
            let command = format!("echo RAN >> marks; {fill}; {print}; echo; echo RESULT");
            vec![shell(&command), flood()]
        });
        let stage = stage.with_arguments(["-c", &format!("tool_output_token_limit={tokens}")]);
        let finished = run(&stage, "400k", FULL_THEN_ROOM);
        let said = format!("{}{}", stage.read("first"), finished.stderr());
        assert_eq!(stage.read("code"), "9\n0\n", "{said}");
        assert_eq!(last_line(&stage, "first")["type"], "turn.failed", "{said}");
        assert_eq!(stage.read("marks"), "RAN\n");
        let recorded = bodies(&stage, "CallFinished").remove(0);
        assert_eq!(recorded["outcome"]["outcome"], "completed", "{recorded}");
        let output = outputs(&server).remove(0);
        assert!(output.starts_with("Exit code: 0\n") && output.contains("\n2\n3\n"), "{output}");
        assert!(output.trim_end().ends_with("RESULT"), "{output}");
    }
}

#[test]
fn a_call_whose_result_would_have_no_room_is_not_begun() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    const CALLS: usize = 8;
    let (server, stage) = playing(|stage| {
        let fill = fill(stage);
        let command =
            |n| format!("echo {n} >> marks; {fill}; seq 100000 | head -c 30000; echo {n}");
        vec![calls((0..CALLS).map(|n| shell(&command(n))))]
    });
    let finished = run(&stage, "500k", FULL_THEN_ROOM);
    let said = format!("{}{}", stage.read("first"), finished.stderr());
    assert_eq!(stage.read("code"), "9\n0\n", "{said}");
    let begun = stage.read("marks").lines().count();
    assert!((1..CALLS).contains(&begun), "{begun} have begun: {said}");
    // The turn is over, in the log too.
    let ended = bodies(&stage, "TurnFinished").remove(0);
    assert_eq!(ended["result"]["class"], "storage", "{ended}");
    assert_eq!(last_line(&stage, "first")["type"], "turn.failed", "{said}");
    // Afterwards each has its own result, and none is run again.
    for (n, output) in outputs(&server).iter().enumerate() {
        if n < begun {
            assert!(output.ends_with(&format!("{n}\n")), "{n}: {output}");
        } else {
            assert!(output.contains("not run: ") && output.contains("make room"), "{n}: {output}");
        }
    }
    assert_eq!(outputs(&server).len(), CALLS);
    assert_eq!(stage.read("marks").lines().count(), begun);
}

/// A call that has filled the disk and waits for a word, while an answer comes for which there is no
/// room.
fn a_call_runs_while_the_disk_is_full(
    script: &str,
) -> (ModelServer, Stage, troupe_tests::stage::Running) {
    let gate = Gate::new();
    let (server, stage) = playing(|stage| {
        let fill = fill(stage);
        let command = format!(
            "echo begun >> marks; {fill}; echo full >> marks; read x < go; echo ended >> marks; echo RESULT"
        );
        vec![shell(&command).and(flood()).wait_at(Point::Items(1), &gate)]
    });
    let made = std::process::Command::new("mkfifo").arg(stage.work().join("go")).status().unwrap();
    assert!(made.success());
    let running = on_a_disk(&stage, "400k", script).start();
    poll(DEADLINE, || {
        (stage.exists("marks") && stage.read("marks").contains("full")).then_some(())
    })
    .expect("the command runs");
    gate.open();
    running.wait_json("the disk is full", |line| line["type"] == "error");
    (server, stage, running)
}

#[test]
fn a_call_that_runs_when_the_disk_is_full_is_let_run_to_its_end() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    let script =
        "host go; echo $? > code; log log; room; host resume --last > second; echo $? >> code";
    let (server, stage, running) = a_call_runs_while_the_disk_is_full(script);
    stage.write("go", "on\n");
    let finished = running.wait();
    let said = format!("{}{}", finished.stdout(), finished.stderr());
    assert_eq!(stage.read("code"), "9\n0\n", "{said}");
    assert_eq!(stage.read("marks"), "begun\nfull\nended\n", "{said}");
    assert!(finished.stdout().lines().last().unwrap().contains("turn.failed"), "{said}");
    assert_eq!(bodies(&stage, "CallFinished").remove(0)["outcome"]["outcome"], "completed");
    assert!(outputs(&server).remove(0).ends_with("RESULT\n"), "{:?}", outputs(&server));
}

#[test]
fn an_interrupt_ends_what_runs_when_the_disk_is_full() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    let script = "echo $$ > id; exec \"${troupe[@]}\" exec --json -s danger-full-access go";
    let (_server, stage, running) = a_call_runs_while_the_disk_is_full(script);
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    finished.assert_code(130);
    assert_eq!(stage.read("marks"), "begun\nfull\n", "{}", finished.stdout());
    stage.assert_no_process_left();
}

#[test]
fn a_patch_that_finds_no_room_changes_nothing_and_says_so() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    let (server, stage) = playing(|stage| {
        let patch = "*** Begin Patch\n*** Update File: a\n-one\n+two\n*** Add File: b\n+new\n*** End Patch\n";
        vec![
            shell(&format!("{} ; true", fill(stage))),
            call("apply_patch", json!({ "input": patch })),
            flood(),
        ]
    });
    stage.write("a", "one\n");
    run(&stage, "400k", FULL_THEN_ROOM);
    assert_eq!(stage.read("code"), "9\n0\n", "{}", stage.read("first"));
    let output = outputs(&server).remove(1);
    assert!(output.contains("Nothing was written"), "{output}");
    assert_eq!((stage.read("a"), stage.exists("b")), ("one\n".to_owned(), false));
}

#[test]
fn an_output_that_outgrows_the_disk_is_cut_and_its_call_goes_on() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    let (server, stage) = playing(|_| vec![shell("seq 300000; echo RESULT"), flood()]);
    run(&stage, "600k", FULL_THEN_ROOM);
    assert_eq!(stage.read("code"), "9\n0\n", "{}", stage.read("first"));
    let output = outputs(&server).remove(0);
    assert!(output.starts_with("Exit code: 0\n") && output.ends_with("RESULT\n"), "{output}");
    let kept = output.lines().find(|line| line.starts_with("First ")).expect("its start is kept");
    assert!(kept.contains("the rest could not be kept: No space left"), "{kept}");
}

/// A broken rule refuses everything, so half of one would be worse than none.
#[test]
fn approved_rules_that_find_no_room_leave_the_file_whole() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    let (_server, stage) = playing(|_| Vec::new());
    let writer = binary::example("troupe-tests", "shared_writer");
    let script = "\"$WRITER\" \"$TROUPE_HOME/rules/approved.toml\" tool 0 > kept; echo $? > code\n\
                  cp \"$TROUPE_HOME/rules/approved.toml\" rules; room; host go > first; echo $? >> code";
    let finished = on_a_disk(&stage, "40k", script).env("WRITER", writer).run();
    assert_ne!(finished.code(), Some(77), "{}", finished.stderr());
    assert_eq!(stage.read("code"), "1\n0\n", "{}{}", stage.read("first"), finished.stderr());
    let kept = stage.read("kept").lines().count();
    assert!(kept > 10, "{kept} rules were kept");
    assert_eq!(stage.read("rules").matches("[[rule]]").count(), kept);
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let calls = 30;
    let (server, stage) = playing(|_| {
        let command = |n| format!("echo {n} >> marks; seq 100000 | head -c 30000; echo {n}");
        (0..calls).map(|n| shell(&command(n))).collect()
    });
    let run = |script: &str| stage.troupe::<&str>([]).through_shell(script).run();
    let host = "\"$@\" exec --json -s danger-full-access";
    let first = run(&format!("ulimit -f 300; {host} go"));
    first.assert_code(9);
    let last = first.json_lines().pop().unwrap();
    assert!(last["error"]["message"].as_str().unwrap().contains("ulimit -f"), "{last}");
    run(&format!("{host} resume --last")).assert_success();
    // Each has run once, and every result is its own.
    let marks: Vec<usize> = stage.read("marks").lines().map(|n| n.parse().unwrap()).collect();
    let outputs = outputs(&server);
    for (n, output) in outputs.iter().enumerate() {
        assert!(
            output.ends_with(&format!("{n}\n")) || output.contains("not run: "),
            "{n}: {output}"
        );
    }
    assert!(marks.is_sorted_by(|a, b| a < b), "{marks:?}");
    assert!(outputs.iter().all(|output| !output.contains("lost")), "{outputs:?}");
}
