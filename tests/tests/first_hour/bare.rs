//! Machines that lack something: user namespaces, a home, tools.

use serde_json::{Value, json};
use std::{fs, process::Command, time::Duration};
use troupe_tests::{
    binary, machine, skip,
    stage::{Finished, Stage},
};

fn assert_good_end(finished: &Finished, what: &str) {
    let (out, err) = (finished.stdout(), finished.stderr());
    assert_eq!(finished.code(), Some(0), "{what}: {out}{err}");
    assert!(out.contains("nothing was lost"), "{what}: {out}");
}

#[test]
fn the_demo_needs_nothing_but_the_program() {
    let stage = Stage::new();
    let demo = || stage.troupe(["demo"]).limit(Duration::from_secs(60));
    fs::create_dir(stage.work().join("relative")).unwrap();
    assert_good_end(&demo().env("TMPDIR", "relative").run(), "a relative folder");
    assert_eq!(fs::read_dir(stage.work().join("relative")).unwrap().count(), 0, "it cleans up");
    assert_good_end(&demo().env("HOME", "").env("TROUPE_HOME", "").run(), "no home");
    assert_good_end(&demo().env("HOME", "/nonexistent/home").run(), "a home that is not there");
    assert_good_end(&demo().env("SHELL", "/nonexistent/shell").run(), "a shell that is not there");
    stage.assert_no_process_left();
}

#[cfg(target_os = "linux")]
#[test]
fn the_demo_works_without_user_namespaces() {
    if !machine::user_namespaces() {
        skip!("the demo's own test does this where there are none; needs user namespaces");
    }
    let stage = Stage::new();
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let run = stage.program("unshare").args(["-Ur", "sh", "-c", script, "sh"]);
    let run = run.arg(troupe_tests::binary::troupe()).arg("demo").limit(Duration::from_secs(60));
    assert_good_end(&run.run(), "no user namespaces");
}

#[test]
fn what_is_left_out_is_said_and_counted_over_processes() {
    if std::env::var_os("TROUPE_SKIPPED").is_some() {
        // One of the processes that are started below.
        skip!("needs nothing: it is counted");
    }
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("skipped.txt");
    fs::write(&list, "# another run\nold: needs this\n").unwrap();
    for number in 1..=3 {
        let test = "bare::what_is_left_out_is_said_and_counted_over_processes";
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--exact", test]).env("TROUPE_SKIPPED", &list);
        let output = run.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Past the harness, which keeps what a passing test prints to itself.
        let line = format!("SKIPPED {number}: first_hour::{test}: needs nothing: it is counted\n");
        assert_eq!(said, line, "{}", String::from_utf8_lossy(&output.stdout));
    }
    let kept = fs::read_to_string(&list).unwrap();
    assert!(!kept.contains("old: needs this"), "an earlier run is not counted: {kept}");
    assert_eq!(kept.lines().filter(|line| !line.starts_with('#')).count(), 3, "{kept}");
}

/// The sample of `--json` on the page of recipes is what a run prints.
#[test]
fn the_sample_of_events_is_what_is_printed() {
    let page = fs::read_to_string(binary::workspace_root().join("docs/recipes.md")).unwrap();
    let sample = page.split_once("\"fix the greeting\"\n").unwrap().1.split_once("```").unwrap().0;
    let sample: Vec<Value> =
        sample.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stage = Stage::new();
    stage.write("main.rs", "fn main() { println!(\"helo\"); }\n");
    let patch = "*** Begin Patch\n*** Update File: main.rs\n@@\n-fn main() { println!(\"helo\"); }\n\
        +fn main() { println!(\"hello\"); }\n*** End Patch\n";
    let script = json!({ "steps": [
        {
            "text": "I read the file first.\n",
            "calls": [{ "tool": "shell", "input": { "command": "cat main.rs" } }]
        },
        { "calls": [{ "tool": "apply_patch", "text": patch }] },
        { "text": "The greeting is spelled right now.\n" }
    ] });
    let file = stage.root().join("script.json");
    fs::write(&file, script.to_string()).unwrap();
    let script = format!("model_providers.r.script={:?}", file.to_str().unwrap());
    let settings = ["model_providers.r.wire_api=rehearsal", &script, "model_provider=r", "model=x"];
    let settings = settings.into_iter().flat_map(|setting| ["-c", setting]);
    let arguments = ["exec", "--json", "-s", "workspace-write"].into_iter().chain(settings);
    let run = stage.troupe(arguments.chain(["fix the greeting"])).env("SHELL", "/bin/bash").run();
    run.assert_success();
    let place = |mut line: Value| {
        // What differs from run to run: ids and folders.
        if line.get("thread_id").is_some() {
            line["thread_id"] = Value::Null;
        }
        if let Some(path) = line.pointer_mut("/item/changes/0/path") {
            *path = Value::Null;
        }
        line
    };
    let weaker = |line: &Value| {
        let message = line["item"]["message"].as_str().unwrap_or_default();
        !machine::user_namespaces() && message.contains("the sandbox is weaker here")
    };
    let printed = run.json_lines().into_iter().filter(|line| !weaker(line)).map(place);
    let mut printed: Vec<Value> = printed.collect();
    let mut sample: Vec<Value> = sample.into_iter().map(place).collect();
    if !machine::user_namespaces() {
        // The warning took a number.
        for line in printed.iter_mut().chain(&mut sample) {
            line["item"]["id"] = Value::Null;
        }
    }
    assert_eq!(printed, sample);
}
