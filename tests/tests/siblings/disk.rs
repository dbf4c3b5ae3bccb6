//! Disks and files that fail under a session.

use super::{
    common::*,
    table::{row, skip, table},
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use troupe_tests::{
    binary, machine,
    model_server::*,
    stage::{Finished, Stage},
    wait::{DEADLINE, poll},
};

/// Runs a script in a mount namespace of its own. `$HOME_DISK` is an empty file system of `size`
/// at Troupe's home, `run` starts a run of it; 77 means that it cannot be had.
fn on_disk(server: &ModelServer, size: &str, script: &str) -> (Stage, Finished) {
    if !machine::user_namespaces() {
        skip("needs user namespaces");
    }
    let stage = Stage::new();
    let settings = format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nbase_url = \"{}\"\nstream_max_retries = 0\n",
        server.url()
    );
    stage.write("settings.toml", settings);
    let script = format!(
        "mount -t tmpfs -o size={size} none \"$TROUPE_HOME\" && cp settings.toml \"$TROUPE_HOME/config.toml\" || exit 77\n\
         troupe=$0; run() {{ name=$1; shift; \"$troupe\" exec --json -s danger-full-access \"$@\" > $name 2> $name.err </dev/null; echo $? >> codes; }}\n\
         room() {{ mount -t tmpfs -o remount,size=40M none \"$TROUPE_HOME\"; }}\n\
         fill() {{ cat /dev/zero > \"$TROUPE_HOME/fill\" 2>/dev/null; }}\n{script}"
    );
    let run =
        stage.program("unshare").args(["-rm", "--", "sh", "-c", &script]).arg(binary::troupe());
    let finished = run.run();
    if finished.code() == Some(77) {
        skip(format!("no file system of its own: {}", finished.stderr()));
    }
    (stage, finished)
}

/// An answer that is longer than what a full disk has left for ends.
fn flood() -> Turn {
    deltas((0..100).map(|part| format!("part {part}: {}\n", "more text ".repeat(400))))
}

fn last(stage: &Stage, name: &str) -> Value {
    let text = stage.read(name);
    serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap_or(Value::Null)
}

/// A run that is held at its second request, while something is done to its log.
fn meanwhile(first: Turn, act: impl FnOnce(&Path)) -> (ModelServer, Stage, Finished) {
    let gate = Gate::new();
    let script = Script::new()
        .turn(first)
        .turn(say("the words after it").wait(&gate))
        .otherwise(say("done"));
    let server = ModelServer::start(script.by(|request| request.outputs().len()));
    let stage = Stage::new().with_model(&server);
    let running = exec(&stage).arg("go").start();
    server.wait_requests_blocking(2);
    act(stage.log().path());
    gate.open();
    let finished = running.wait();
    (server, stage, finished)
}

/// What somebody else does to a folder while the program runs.
type Act = fn(&Path);

#[test]
fn full_disks() {
    let mut rows = Vec::new();
    rows.push(row("full from the beginning", || {
        let server = ModelServer::start(Script::always(say("never")));
        let (stage, _) =
            on_disk(&server, "64k", "fill; run one go; rm \"$TROUPE_HOME/fill\"; run two go");
        assert_eq!(stage.read("codes"), "9\n0\n", "{}", stage.read("one"));
        assert_eq!(last(&stage, "one")["type"], "turn.failed");
    }));
    for (name, kept) in [("fits a line", 9000), ("is too long for a line", 90_000)] {
        rows.push(row(format!("full when a command ends whose output {name}: it is known later"), move || {
            let command = format!("echo RAN >> marks; cat /dev/zero > fill 2>/dev/null; head -c {kept} /dev/zero | tr '\\0' x; echo; echo RESULT-TEXT");
            let server = ModelServer::start(Script::new().turn(shell(&command)).turn(flood()).otherwise(say("done")));
            let (stage, _) = on_disk(&server, "900k", "ln -s \"$TROUPE_HOME/fill\" fill; run one go; rm \"$TROUPE_HOME/fill\"; room; run two resume --last");
            assert_eq!(stage.read("marks"), "RAN\n");
            assert_eq!(stage.read("codes"), "9\n0\n", "{}\n{}", stage.read("one"), stage.read("two"));
            let output = server.requests().pop().unwrap().outputs().remove(0).1;
            assert!(output.contains("RESULT-TEXT"), "{output}");
        }));
    }
    rows.push(row("full while two calls of one answer run: both end, both are known", || {
        let first = "echo one >> marks; cat /dev/zero > fill 2>/dev/null; echo FIRST-TEXT";
        let script = Script::new().turn(calls([shell(first), shell("echo two >> marks; echo SECOND-TEXT")])).turn(flood()).otherwise(say("done"));
        let server = ModelServer::start(script);
        let (stage, _) = on_disk(&server, "900k", "ln -s \"$TROUPE_HOME/fill\" fill; run one go; rm \"$TROUPE_HOME/fill\"; room; run two resume --last");
        assert_eq!(stage.read("codes"), "9\n0\n", "{}\n{}", stage.read("one"), stage.read("two"));
        let outputs = server.requests().pop().unwrap().outputs();
        assert_eq!(outputs.len(), 2);
        assert!(outputs[0].1.contains("FIRST-TEXT"), "{outputs:?}");
        let marks = stage.read("marks");
        assert_eq!(marks.matches("one").count(), 1);
        assert!(marks.matches("two").count() <= 1, "{marks}");
    }));
    rows.push(row("full when a patch is applied: it is known, and not applied twice", || {
        let patch = custom("apply_patch", "*** Begin Patch\n*** Update File: list\n@@\n-a\n+a\n+b\n*** End Patch\n");
        let script = Script::new().turn(shell("cat /dev/zero > fill 2>/dev/null; head -c 4096 /dev/zero | tr '\\0' y")).turn(patch).otherwise(say("done"));
        let server = ModelServer::start(script.by(|request| request.outputs().len()));
        let (stage, _) = on_disk(&server, "900k", "printf 'a\\n' > list; ln -s \"$TROUPE_HOME/fill\" fill; run one go; rm \"$TROUPE_HOME/fill\"; room; run two resume --last");
        // Without room for its journal a patch is refused; the model learns it.
        let (codes, list) = (stage.read("codes"), stage.read("list"));
        let ended = [("9\n0\n", "a\nb\n"), ("0\n3\n", "a\n")];
        assert!(ended.contains(&(codes.as_str(), list.as_str())), "{codes} {list} {}", stage.read("one"));
        let told = server.requests().pop().unwrap().outputs().remove(1).1;
        assert_eq!(told.contains("Success"), list == "a\nb\n", "{told}");
    }));
    rows.push(row("still full at the resume, then room", || {
        let script = Script::new().turn(shell("echo RAN >> marks; cat /dev/zero > fill 2>/dev/null; echo RESULT-TEXT")).turn(flood()).otherwise(say("done"));
        let server = ModelServer::start(script);
        let (stage, _) = on_disk(&server, "900k", "ln -s \"$TROUPE_HOME/fill\" fill; run one go; fill; run two resume --last; run three resume --last more; rm \"$TROUPE_HOME/fill\"; room; run four resume --last; run five resume --last again");
        assert_eq!(stage.read("codes"), "9\n9\n9\n0\n0\n", "{}", stage.read("four"));
        assert_eq!(stage.read("marks"), "RAN\n");
        for name in ["one", "two", "three"] {
            assert_eq!(last(&stage, name)["type"], "turn.failed", "{name}");
        }
    }));
    rows.push(row("no more files, but room", || {
        let script = Script::new().turn(shell("echo RAN >> marks; i=0; while : > files/$i; do i=$((i+1)); done 2>/dev/null; seq 30000; echo RESULT-TEXT")).otherwise(say("done"));
        let server = ModelServer::start(script);
        let body = "mount -t tmpfs -o remount,nr_inodes=60 none \"$TROUPE_HOME\"; mkdir \"$TROUPE_HOME/files\"; ln -s \"$TROUPE_HOME/files\" files; run one go; rm -r \"$TROUPE_HOME/files\"; run two resume --last more";
        let (stage, _) = on_disk(&server, "30M", body);
        let codes = stage.read("codes");
        assert!(["0\n0\n", "9\n0\n"].contains(&codes.as_str()), "{codes} {}", stage.read("one"));
        assert_eq!(stage.read("marks"), "RAN\n");
        assert!(server.requests().pop().unwrap().outputs()[0].1.contains("RESULT-TEXT"));
    }));
    rows.push(row("a limit on the size of files is a full disk, not a signal", || {
        let server = ModelServer::start(
            Script::new()
                .turns((0..40).map(|_| shell("head -c 9000 /dev/zero | tr '\\0' x")))
                .otherwise(say("done")),
        );
        let stage = Stage::new().with_model(&server);
        let run = exec(&stage).arg("go").through_shell("ulimit -f 60; exec \"$@\"");
        let finished = run.run();
        ends(&finished, 9);
        let resumed = resume(&stage, &[]);
        ends(&resumed, 0);
        stage.log().assert_numbered();
    }));
    rows.push(row("a torn tail, a full disk, and a folder in the place of what is kept", || {
        let server = ModelServer::start(Script::always(say("fine")));
        let body = "run one go; log=$(ls \"$TROUPE_HOME\"/sessions/*.jsonl); mkdir \"${log%.jsonl}.torn\"; printf '{\"seq\":' >> $log; fill; run two resume --last more; rm \"$TROUPE_HOME/fill\"; run three resume --last more";
        let (stage, _) = on_disk(&server, "900k", body);
        let codes = stage.read("codes");
        assert!(codes.starts_with("0\n9\n"), "{codes} {}", stage.read("two"));
        assert!(["0\n9\n0\n", "0\n9\n9\n"].contains(&codes.as_str()), "{codes} {}", stage.read("three"));
        assert!(stage.read("two").contains("thread.started"));
    }));
    table("siblings: full disks", &[], rows);
}

#[test]
fn files() {
    let mut rows = Vec::new();
    let acts: Vec<(&str, Act)> = vec![
        ("an editor saved it: another file has its name", |log| {
            let text = fs::read(log).unwrap();
            fs::write(log.with_extension("new"), text).unwrap();
            fs::rename(log.with_extension("new"), log).unwrap();
        }),
        ("it was emptied", |log| fs::write(log, "").unwrap()),
        ("it was cut in the middle of a line", |log| {
            let length = fs::metadata(log).unwrap().len();
            fs::OpenOptions::new().write(true).open(log).unwrap().set_len(length - 40).unwrap();
        }),
        ("somebody added a line", |log| {
            let mut text = fs::read(log).unwrap();
            text.extend(b"# looked at\n");
            fs::write(log, text).unwrap();
        }),
        ("its name was given to a folder", |log| {
            fs::remove_file(log).unwrap();
            fs::create_dir(log).unwrap();
        }),
        ("the folder above was moved and made anew", |log| {
            let folder = log.parent().unwrap();
            fs::rename(folder, folder.with_extension("old")).unwrap();
            fs::create_dir(folder).unwrap();
        }),
    ];
    for (name, act) in acts {
        rows.push(row(format!("in the middle of a turn: {name}"), move || {
            let (_server, _stage, finished) = meanwhile(shell("echo one"), act);
            ends(&finished, 9);
            assert!(!told(&finished).trim().is_empty());
        }));
    }
    rows.push(row(
        "what is beside the log is removed in the middle of a turn: the outputs are known",
        || {
            let (server, stage, finished) = meanwhile(shell("seq 40000"), |log| {
                fs::remove_dir_all(log.with_extension("d")).unwrap();
            });
            let code = finished.code().unwrap();
            assert!(code == 0 || code == 9, "{}", told(&finished));
            let resumed = resume(&stage, &["more"]);
            ends(&resumed, 0);
            let output = server.requests().pop().unwrap().outputs().remove(0).1;
            assert!(output.contains("39999") && output.contains("Whole output"), "{output}");
        },
    ));
    rows.push(row("a second name of the log changes nothing", || {
        let (_server, stage, finished) = meanwhile(shell("echo one"), |log| {
            fs::hard_link(log, log.with_extension("copy")).unwrap();
        });
        ends(&finished, 0);
        ends(&resume(&stage, &["more"]), 0);
    }));
    rows.push(row("a log that was renamed to another id is that session, or told", || {
        let (_server, stage, finished) = meanwhile(shell("echo one"), |_| {});
        ends(&finished, 0);
        let log = stage.log();
        let id = log.session();
        let other = format!("{}{}", &id[..id.len() - 1], if id.ends_with('0') { '1' } else { '0' });
        fs::rename(log.path(), log.path().with_file_name(format!("{other}.jsonl"))).unwrap();
        let resumed = exec(&stage).args(["resume", &other, "more"]).run();
        let code = resumed.code().unwrap();
        assert!([0, 3, 9].contains(&code), "{}", told(&resumed));
        assert_eq!(end(&resumed)["type"] == "turn.completed", code == 0);
    }));
    rows.push(row("background output that grows while the log's folder goes", || {
        let server = ModelServer::start(Script::new().turn(call("exec_command", json!({ "cmd": "echo x > begun; while :; do echo words; done", "yield_time_ms": 60_000 }))).otherwise(say("done")));
        let stage = Stage::new().with_model(&server);
        let running = exec(&stage).arg("go").start();
        poll(DEADLINE, || stage.exists("begun").then_some(())).expect("it has begun");
        fs::remove_dir_all(stage.log().path().parent().unwrap()).unwrap();
        running.signal(troupe_tests::stage::Signal::Interrupt);
        let finished = running.wait();
        assert!(matches!(finished.code(), Some(130 | 9)), "{:?}", finished.code());
        assert_eq!(end(&finished)["type"], "turn.failed");
        stage.assert_no_process_left();
    }));
    table("siblings: files", &[], rows);
}
