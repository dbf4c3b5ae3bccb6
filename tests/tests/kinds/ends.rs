//! How a run ends: what could not be written, how to go on, and that going on works.

use super::{
    common::{
        adds, all, any, completes, configured, end, go, none, outputs, playing, saying, settings,
        shell, told,
    },
    table::{row, table},
};
use serde_json::json;
use std::{fs, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Signal, Stage, Stdin},
};

const SWITCH: [&str; 2] = ["workspace-write", "sandbox_mode"];

/// The words after the model's last ones: where a run says what became of it.
fn said(finished: &Finished) -> String {
    finished.stderr()
}

#[test]
fn what_could_not_be_written() {
    let mut rows = Vec::new();
    let patch = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: f\n+x\n*** End Patch\nEOF\n";
    let mkdirs = "mkdir -p a/b && touch a/b/c";
    for (name, turn) in [
        ("a patch", adds("f")),
        (
            "a patch of an existing file",
            custom(
                "apply_patch",
                "*** Begin Patch\n*** Update File: have\n@@\n-one\n+two\n*** End Patch\n",
            ),
        ),
        (
            "a patch that deletes",
            custom("apply_patch", "*** Begin Patch\n*** Delete File: have\n*** End Patch\n"),
        ),
        ("a patch through the shell", shell(patch)),
        ("a redirection", shell("echo x > f")),
        ("touch", shell("touch f")),
        ("folders", shell(mkdirs)),
        ("sed in place", shell("sed -i s/one/two/ have")),
        ("rm", shell("rm have")),
        ("a command in the background", call("exec_command", json!({ "cmd": "echo x > f" }))),
        ("a program of python", shell("python3 -c \"open('f','w').write('x')\"")),
    ] {
        for json in [false, true] {
            let turn = turn.clone();
            let form = if json { "JSON" } else { "text" };
            rows.push(row(format!("read-only, {form}: {name}"), move || {
                let (_server, stage) = playing([turn]);
                stage.write("have", "one\n");
                let form: &[&str] = if json { &["exec", "--json", "go"] } else { &["exec", "go"] };
                let finished = go(stage.troupe(form));
                finished.assert_success();
                assert!(!stage.exists("f") && stage.read("have") == "one\n");
                any(&told(&finished), &["-s workspace-write", "--sandbox workspace-write"]);
            }));
        }
    }
    for (name, script) in [
        ("touch", "touch f"),
        ("a folder", mkdirs),
        ("a redirection", "echo x > f"),
        ("a name with a dot", "echo x > new.txt"),
        ("in a folder", "cd sub && touch f"),
        ("by tee", "echo x | tee f; exit ${PIPESTATUS[1]}"),
        ("a copy", "cp have f"),
        ("a name that changes", "mv have f"),
        ("a link", "ln -s have f"),
        ("another shell", "sh -c 'echo x > f'"),
        ("python", "python3 -c \"open('f','w').write('x')\""),
    ] {
        for mode in ["read-only", "workspace-write"] {
            rows.push(row(format!("without user namespaces, {mode}: {name}"), move || {
                let (server, stage) = playing([shell(script)]);
                super::common::need_namespaces(&stage);
                stage.write("have", "one\n");
                stage.write("sub/x", "");
                let none = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
                let run = stage.program("unshare").args(["-Ur", "sh", "-c", none, "sh"]);
                // The stage is below the folder of temporary files, which would be writable.
                let narrow = ["tmpdir_env_var", "slash_tmp"]
                    .map(|folder| format!("sandbox_workspace_write.exclude_{folder}=true"));
                let run = run.arg(binary::troupe()).args(["exec", "-s", mode]);
                let finished = go(run.args(["-c", &narrow[0], "-c", &narrow[1], "go"]));
                finished.assert_success();
                assert!(!stage.exists("f") && stage.read("have") == "one\n");
                if mode == "read-only" {
                    any(&told(&finished), &["-s workspace-write", "--sandbox workspace-write"]);
                } else if name != "in a folder" {
                    all(&outputs(&server)[0], &["sandbox_without_userns"]);
                }
            }));
        }
    }
    rows.push(row("read-only from the configuration", || {
        let server = ModelServer::start(Script::new().turn(adds("f")).otherwise(say("done")));
        let file = format!("sandbox_mode = \"read-only\"\n{}", settings(&server.url(), "chat"));
        let stage = Stage::new().with_config(&file);
        let finished = go(stage.troupe(["exec", "go"]));
        finished.assert_success();
        any(&said(&finished), &["workspace-write"]);
    }));
    rows.push(row("read-only, and the turn fails afterwards", || {
        let script = Script::new().turn(adds("f")).otherwise(status(400));
        let server = ModelServer::start(script);
        let stage = configured(&server);
        let finished = go(stage.troupe(["exec", "go"]));
        assert_eq!(finished.code(), Some(8));
        any(&said(&finished), &["workspace-write"]);
    }));
    rows.push(row("a commit in read-only", || {
        let (_server, stage) = playing([shell(
            "git -c user.name=a -c user.email=a@example.com commit --allow-empty -qm x",
        )]);
        let _made = stage.program("git").args(["init", "-q"]).run();
        let finished = go(stage.troupe(["exec", "go"]));
        finished.assert_success();
        any(&said(&finished), &["workspace-write"]);
    }));
    rows.push(row("outside of the workspace: the remedy is a writable root", || {
        let (_server, stage) = playing([adds("../elsewhere/f")]);
        fs::create_dir(stage.root().join("elsewhere")).unwrap();
        let deny = ["-c", "sandbox_workspace_write.exclude_slash_tmp=true", "-c"];
        let other = "sandbox_workspace_write.exclude_tmpdir_env_var=true";
        let run = stage.troupe(["exec", "-s", "workspace-write"]).args(deny).arg(other);
        let finished = go(run.arg("go"));
        finished.assert_success();
        assert!(!stage.root().join("elsewhere/f").exists());
        any(&said(&finished), &["writable_roots", "--add-dir"]);
    }));
    rows.push(row("nothing was tried: nothing is claimed", || {
        let (_server, stage) = playing([shell("cat have")]);
        stage.write("have", "one\n");
        let finished = go(stage.troupe(["exec", "go"]));
        finished.assert_success();
        none(&said(&finished), &["-s workspace-write", "was changed"]);
    }));
    rows.push(row("a command fails for its own reason: nothing is claimed", || {
        let (_server, stage) = playing([shell("echo 'Permission denied: no'; exit 1")]);
        let finished = go(stage.troupe(["exec", "go"]));
        finished.assert_success();
        none(&said(&finished), &["-s workspace-write"]);
    }));
    rows.push(row("all was written: nothing is claimed", || {
        let (_server, stage) = playing([adds("f"), shell("echo x > g")]);
        let finished = go(stage.troupe(["exec", "-s", "workspace-write", "go"]));
        finished.assert_success();
        assert!(stage.exists("f") && stage.exists("g"));
        none(&said(&finished), &["-s workspace-write", "nothing was changed"]);
    }));
    rows.push(row("the model is told in words it can pass on", || {
        let (server, stage) = playing([adds("f")]);
        go(stage.troupe(["exec", "go"])).assert_success();
        any(&outputs(&server)[0], &SWITCH);
    }));
    table("ends: not written", &[], rows);
}

/// The line that says how to go on, as it can be pasted.
fn hint(finished: &Finished) -> String {
    let stderr = finished.stderr();
    let at = stderr.rfind("troupe exec").filter(|at| stderr[*at..].contains("resume"));
    let at = at.unwrap_or_else(|| panic!("no hint how to go on: {stderr}"));
    let line = stderr[at..].lines().next().unwrap();
    line.split(['`', '(']).next().unwrap().trim().trim_end_matches('.').to_owned()
}

/// Pastes a hint into a shell that finds the binary as `troupe`.
fn paste(stage: &Stage, hint: &str) -> Finished {
    let folder = stage.root().join("bin");
    if !folder.exists() {
        super::common::link(binary::troupe(), folder.join("troupe"));
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    go(stage.program("sh").args(["-c", hint]).env("PATH", path).stdin(Stdin::Null))
}

#[test]
fn how_to_go_on() {
    let mut rows = Vec::new();
    for (name, first, code) in [
        ("completed", say("fine"), 0),
        ("credentials", status(401), 4),
        ("quota", status(402), 6),
        ("refused", status(400), 8),
        ("server's fault", status(500), 8),
    ] {
        rows.push(row(format!("after: {name}"), move || {
            let server = ModelServer::start(Script::always(first));
            let stage = configured(&server);
            let retries = ["-c", "model_providers.test.request_max_retries=0"];
            let more = ["-c", "model_providers.test.stream_max_retries=0", "the first prompt"];
            let finished = go(stage.troupe(["exec"]).args(retries).args(more));
            let seen = finished.code().unwrap();
            assert!(seen == code || (code == 8 && seen == 5), "{seen}: {}", finished.stderr());
            let hint = hint(&finished);
            server.set_script(Script::always(say("went on")));
            let hint = if seen == 0 && !hint.contains('"') { format!("{hint} more") } else { hint };
            let next = paste(&stage, &hint);
            next.assert_success();
            assert!(next.stdout().contains("went on"), "{hint}: {}", next.stderr());
            let request = server.requests().pop().unwrap();
            assert!(request.asks("the first prompt"), "the same session goes on");
        }));
    }
    rows.push(row("after: a server that is down", || {
        let stage = Stage::new().with_config(&settings("http://127.0.0.1:9/v1", "responses"));
        let retries = "model_providers.test.stream_max_retries=0";
        let more = "model_providers.test.request_max_retries=0";
        let run = stage.troupe(["exec", "-c", retries, "-c", more, "the first prompt"]);
        let finished = go(run);
        assert_eq!(finished.code(), Some(5));
        let hint = hint(&finished);
        let server = ModelServer::start(Script::always(say("went on")));
        fs::write(stage.troupe_home().join("config.toml"), settings(&server.url(), "responses"))
            .unwrap();
        paste(&stage, &hint).assert_success();
        assert!(server.requests()[0].asks("the first prompt"));
    }));
    rows.push(row("after: an interrupt", || {
        let (server, stage) = playing([shell("sleep 300")]);
        let running = stage.troupe(["exec", "the first prompt"]).start();
        running.wait_stderr("sleep 300");
        running.signal(Signal::Interrupt);
        let finished = running.wait();
        finished.assert_code(130);
        paste(&stage, &hint(&finished)).assert_success();
        assert!(server.requests().pop().unwrap().asks("the first prompt"));
    }));
    rows.push(row("the hint is of this session, not of the latest", || {
        let (server, stage) = playing([shell("sleep 300")]);
        let running = stage.troupe(["exec", "the first prompt"]).start();
        running.wait_stderr("sleep 300");
        server.set_script(Script::always(say("other")));
        go(stage.troupe(["exec", "another session"])).assert_success();
        running.signal(Signal::Interrupt);
        let finished = running.wait();
        let next = paste(&stage, &hint(&finished));
        next.assert_success();
        let request = server.requests().pop().unwrap();
        assert!(request.asks("the first prompt") && !request.asks("another session"));
    }));
    rows.push(row("from another folder", || {
        let (server, stage) = saying("fine");
        let folder = stage.root().join("an other");
        fs::create_dir(&folder).unwrap();
        let place = folder.to_str().unwrap();
        let finished = go(stage.troupe(["exec", "-C", place, "the first prompt"]));
        finished.assert_success();
        let mut hint = hint(&finished);
        if !hint.contains("PROMPT") && !hint.contains("\"…\"") {
            hint.push_str(" more");
        }
        paste(&stage, &hint).assert_success();
        let request = server.requests().pop().unwrap();
        assert!(request.asks("the first prompt"), "{hint}");
        assert!(request.asks(place), "it goes on where it was: {hint}");
    }));
    rows.push(row("a session without a log has no hint", || {
        let (_server, stage) = saying("fine");
        let finished = go(stage.troupe(["exec", "--ephemeral", "go"]));
        finished.assert_success();
        none(&finished.stderr(), &["exec resume"]);
    }));
    rows.push(row("a run that never was a session has no hint", || {
        let (_server, stage) = saying("fine");
        let finished = go(stage.troupe(["exec", "-c", "sandbox_mode=wide", "go"]));
        finished.assert_code(3);
        none(&finished.stderr(), &["exec resume"]);
    }));
    rows.push(row("standard output holds nothing of it", || {
        let (_server, stage) = saying("fine");
        let finished = go(stage.troupe(["exec", "go"]));
        assert_eq!(finished.stdout(), "fine\n");
    }));
    table("ends: how to go on", &[], rows);
}

/// Interrupts a run at a moment and goes on with bare `resume --last`.
fn goes_on(moment: &str, signals: &[Signal]) {
    let gate = Gate::new();
    let script = match moment {
        "silent model" => Script::new().turn(say("x").wait(&gate)),
        "half an answer" => {
            Script::new().turn(deltas(["half ", "rest"]).wait_at(Point::Deltas(1), &gate))
        }
        "between steps" => Script::new().turn(shell("echo one")).turn(say("x").wait(&gate)),
        "retry" => Script::always(status(429).retry_after("60")),
        "background" => Script::new()
            .turn(call("exec_command", json!({ "cmd": "sleep 300", "yield_time_ms": 250 })))
            .turn(say("x").wait(&gate)),
        _ => Script::new().turn(shell("sleep 300")),
    };
    let server = ModelServer::start(script);
    let stage = configured(&server);
    let running = stage.troupe(["exec", "--json", "the first prompt"]).start();
    match moment {
        "command" => drop(running.wait_json("the command", |line| line["type"] == "item.started")),
        "retry" => drop(running.wait_json("the wait", |line| line["type"] == "error")),
        _ => gate.wait_arrived(1),
    }
    for signal in signals {
        running.signal(*signal);
    }
    let _finished = running.wait();
    server.set_script(Script::always(say("went on")));
    let next = go(stage.troupe(["exec", "--json", "resume", "--last"]));
    completes(&next);
    let request = server.requests().pop().unwrap();
    let asked =
        request.texts("user").iter().filter(|text| text.contains("the first prompt")).count();
    assert_eq!(asked, 1, "the prompt stands once: {:?}", request.texts("user"));
    stage.assert_no_process_left();
}

#[test]
fn bare_resume() {
    let mut rows = Vec::new();
    for moment in
        ["silent model", "half an answer", "command", "between steps", "retry", "background"]
    {
        for (name, signals) in [
            ("INT", vec![Signal::Interrupt]),
            ("HUP", vec![Signal::HangUp]),
            ("TERM", vec![Signal::Terminate]),
            ("INT twice", vec![Signal::Interrupt, Signal::Interrupt]),
            ("KILL", vec![Signal::Kill]),
        ] {
            rows.push(row(format!("{name}, {moment}"), move || goes_on(moment, &signals)));
        }
    }
    rows.push(row("twice in a row", || {
        let gate = Gate::new();
        let server = ModelServer::start(Script::always(say("x").wait(&gate)));
        let stage = configured(&server);
        let first = stage.troupe(["exec", "--json", "the first prompt"]).start();
        gate.wait_arrived(1);
        first.signal(Signal::Interrupt);
        first.wait().assert_code(130);
        let second = stage.troupe(["exec", "--json", "resume", "--last"]).start();
        second.wait_json("a turn", |line| line["type"] == "turn.started");
        gate.wait_arrived(2);
        second.signal(Signal::Interrupt);
        second.wait().assert_code(130);
        server.set_script(Script::always(say("went on")));
        completes(&go(stage.troupe(["exec", "--json", "resume", "--last"])));
        assert!(server.requests().pop().unwrap().asks("the first prompt"));
    }));
    rows.push(row("by its id", || {
        let (server, stage) = playing([shell("sleep 300")]);
        let running = stage.troupe(["exec", "--json", "the first prompt"]).start();
        running.wait_json("the command", |line| line["type"] == "item.started");
        running.signal(Signal::Interrupt);
        running.wait().assert_code(130);
        let id = stage.log().session();
        completes(&go(stage.troupe(["exec", "--json", "resume", &id])));
        assert!(server.requests().pop().unwrap().asks("the first prompt"));
    }));
    rows.push(row("a deadline ended it", || {
        let server = ModelServer::start(Script::always(silence()));
        let stage = configured(&server);
        let run = stage.troupe(["exec", "--json", "-c", "turn_timeout_ms=500", "the first prompt"]);
        assert_eq!(go(run).code(), Some(12));
        server.set_script(Script::always(say("went on")));
        completes(&go(stage.troupe(["exec", "--json", "resume", "--last"])));
        assert!(server.requests().pop().unwrap().asks("the first prompt"));
    }));
    rows.push(row("a completed turn says that a prompt is wanted", || {
        let (server, stage) = saying("fine");
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        let finished = go(stage.troupe(["exec", "--json", "resume", "--last"]));
        assert_ne!(finished.code(), Some(0));
        all(&told(&finished), &["prompt"]);
        assert_eq!(server.requests().len(), 1);
    }));
    rows.push(row("interrupted, and then a prompt", || {
        let (server, stage) = playing([shell("sleep 300")]);
        let running = stage.troupe(["exec", "--json", "the first prompt"]).start();
        running.wait_json("the command", |line| line["type"] == "item.started");
        running.signal(Signal::HangUp);
        let _finished = running.wait();
        completes(&go(stage.troupe(["exec", "--json", "resume", "--last", "something else"])));
        let request = server.requests().pop().unwrap();
        assert!(request.asks("the first prompt") && request.asks("something else"));
    }));
    table("ends: bare resume", &[], rows);
}

#[test]
fn ids_that_are_none() {
    let mut rows = Vec::new();
    let ways: Vec<Vec<&'static str>> = vec![
        vec!["exec", "--json", "resume", "", "more"],
        vec!["exec", "--json", "resume", " ", "more"],
        vec!["exec", "--json", "resume", "\t", "more"],
        vec!["exec", "--json", "resume", "\n"],
        vec!["exec", "--json", "resume", ""],
        vec!["exec", "--json", "resume"],
        vec!["exec", "--json", "resume", "*", "more"],
        vec!["exec", "--json", "resume", ".", "more"],
        vec!["exec", "--json", "resume", "..", "more"],
        vec!["exec", "--json", "resume", "/", "more"],
        vec!["exec", "--json", "resume", "../sessions", "more"],
        vec!["exec", "--json", "resume", "--", "", "more"],
        vec!["exec", "--json", "resume", "zz", "more"],
        vec!["exec", "--json", "resume", "null", "more"],
        vec!["exec", "--json", ""],
        vec!["exec", "--json", "  "],
        vec!["exec", "--json", "--", ""],
        vec!["exec", "--json", "resume", "--last", ""],
    ];
    for arguments in ways {
        rows.push(row(format!("{arguments:?}"), move || {
            let (server, stage) = saying("fine");
            completes(&go(stage.troupe(["exec", "--json", "go"])));
            let finished = go(stage.troupe(&arguments));
            assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
            assert_eq!(end(&finished)["type"], "turn.failed");
            assert_eq!(server.requests().len(), 1, "nothing is asked");
        }));
    }
    let others: Vec<Vec<&'static str>> = vec![
        vec!["sessions", "show", ""],
        vec!["sessions", "show", " "],
        vec!["sessions", "show", "*"],
        vec!["sessions", "show", "-"],
        vec!["policy", "replay", ""],
        vec!["policy", "replay", "*"],
        vec!["sessions", "rm", ""],
    ];
    for arguments in others {
        rows.push(row(format!("{arguments:?}"), move || {
            let (_server, stage) = saying("fine");
            completes(&go(stage.troupe(["exec", "--json", "go"])));
            let finished = go(stage.troupe(&arguments));
            assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
            assert_eq!(stage.logs().len(), 1);
        }));
    }
    rows.push(row("no session at all", || {
        let (server, stage) = saying("fine");
        for arguments in [&["exec", "resume", "--last"][..], &["exec", "resume", "--last", "x"]] {
            let finished = go(stage.troupe(arguments).limit(Duration::from_secs(10)));
            assert_ne!(finished.code(), Some(0));
        }
        assert!(server.requests().is_empty());
    }));
    table("ends: ids", &[], rows);
}
