//! Sessions: short ids, `--last` everywhere, taking away what is no longer wanted.

use super::{
    common::{all, any, completes, configured, go, none, playing, put, saying, shell},
    table::{row, skip, table},
};
use std::{collections::HashSet, fs, path::Path};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Signal, Stage},
};

/// A stage with so many completed sessions; their prompts are `prompt-0`, `prompt-1` …
fn with(count: usize) -> (ModelServer, Stage, Vec<String>) {
    let (server, stage) = saying("fine");
    for at in 0..count {
        completes(&go(stage.troupe(["exec", "--json", &format!("prompt-{at}")])));
    }
    let ids = stage.logs().iter().map(|log| log.session()).collect();
    (server, stage, ids)
}

/// The first words of the lines of `sessions list` that speak of a session.
fn listed(stage: &Stage) -> Vec<(String, String)> {
    let list = go(stage.troupe(["sessions", "list"]));
    list.assert_success();
    let text = list.stdout();
    let lines = text.lines().filter(|line| line.contains("prompt-"));
    lines
        .map(|line| {
            let id = line.split_whitespace().next().unwrap().to_owned();
            let at = line.find("prompt-").unwrap();
            (id, line[at..].split_whitespace().next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn ids() {
    let rows = vec![
        row("what list prints is unique and is taken by show", || {
            let (_server, stage, _ids) = with(4);
            let listed = listed(&stage);
            assert_eq!(listed.len(), 4);
            assert_eq!(listed.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), 4);
            for (id, prompt) in listed {
                let shown = go(stage.troupe(["sessions", "show", &id]));
                shown.assert_success();
                all(&shown.stdout(), &[&prompt]);
                assert!(id.len() <= 16, "short: {id}");
            }
        }),
        row("what list prints is taken by resume", || {
            let (server, stage, _ids) = with(3);
            for (id, prompt) in listed(&stage) {
                completes(&go(stage.troupe(["exec", "--json", "resume", &id, "more"])));
                assert!(server.requests().last().unwrap().asks(&prompt));
            }
        }),
        row("what list prints is taken by policy replay", || {
            let (_server, stage, _ids) = with(2);
            for (id, _) in listed(&stage) {
                go(stage.troupe(["policy", "replay", &id])).assert_success();
            }
        }),
        row("a whole id, in capitals too", || {
            let (_server, stage, ids) = with(1);
            go(stage.troupe(["sessions", "show", &ids[0]])).assert_success();
            go(stage.troupe(["sessions", "show", &ids[0].to_uppercase()])).assert_success();
        }),
        row("show --last", || {
            let (_server, stage, _ids) = with(2);
            let shown = go(stage.troupe(["sessions", "show", "--last"]));
            shown.assert_success();
            all(&shown.stdout(), &["prompt-1"]);
            none(&shown.stdout(), &["prompt-0"]);
        }),
        row("show --last --json", || {
            let (_server, stage, _ids) = with(2);
            let shown = go(stage.troupe(["sessions", "show", "--last", "--json"]));
            shown.assert_success();
            assert!(!shown.json_lines().is_empty());
        }),
        row("policy replay --last", || {
            let (_server, stage) = playing([shell("git push")]);
            completes(&go(stage.troupe(["exec", "--json", "go"])));
            let shown = go(stage.troupe(["policy", "replay", "--last"]));
            shown.assert_success();
            all(&shown.stdout(), &["git push"]);
        }),
        row("rm --last", || {
            let (_server, stage, ids) = with(2);
            go(stage.troupe(["sessions", "rm", "--last"])).assert_success();
            assert_eq!(stage.log().session(), ids[0]);
        }),
        row("--last where there is none", || {
            let (_server, stage, _ids) = with(0);
            for arguments in [
                &["sessions", "show", "--last"][..],
                &["policy", "replay", "--last"],
                &["sessions", "rm", "--last"],
            ] {
                let finished = go(stage.troupe(arguments));
                assert_ne!(finished.code(), Some(0));
                any(&finished.stderr(), &["no session"]);
            }
        }),
        row("an id beside --last", || {
            let (_server, stage, ids) = with(2);
            let finished = go(stage.troupe(["sessions", "rm", "--last", &ids[0]]));
            assert_ne!(finished.code(), Some(0));
            assert_eq!(stage.logs().len(), 2);
        }),
        row("a beginning that several have", || {
            let (_server, stage, ids) = with(3);
            for arguments in [["sessions", "show"], ["policy", "replay"], ["sessions", "rm"]] {
                let finished = go(stage.troupe(arguments).arg(&ids[0][..2]));
                assert_ne!(finished.code(), Some(0), "{arguments:?}");
            }
            assert_eq!(stage.logs().len(), 3);
        }),
        row("sizes in the list", || {
            let (_server, stage, _ids) = with(1);
            let list = go(stage.troupe(["sessions", "list"])).stdout();
            any(&list, &[" kB", " KiB", " B", " MB", "kB ", "KB", "KiB"]);
        }),
        row("sizes count what lies beside the log", || {
            let (_server, stage) = playing([shell("yes 0123456789abcdef | head -c 6000000")]);
            completes(&go(stage.troupe(["exec", "--json", "prompt-x"])));
            let list = go(stage.troupe(["sessions", "list"])).stdout();
            any(&list, &["MB", "MiB"]);
        }),
    ];
    table("sessions: ids", &[], rows);
}

/// All files of troupe's that have a session's id in their path.
fn of(stage: &Stage, id: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&path, found);
            }
            found.push(path.to_string_lossy().into_owned());
        }
    }
    let mut found = Vec::new();
    walk(&stage.troupe_home(), &mut found);
    found.retain(|path| path.contains(id));
    found
}

/// Whether the run was refused as it should, and no log has gone.
fn refused(stage: &Stage, finished: &Finished, count: usize) {
    assert_ne!(finished.code(), Some(0), "{}{}", finished.stdout(), finished.stderr());
    assert_ne!(finished.code(), Some(2), "{}", finished.stderr());
    assert_eq!(stage.logs().len(), count);
}

/// The arguments that make `prune` take whatever is old enough, at any age.
fn at_any_age(stage: &Stage) -> Vec<String> {
    let help = go(stage.troupe(["sessions", "prune", "--help"]));
    help.assert_success();
    let help = help.stdout();
    let mut arguments: Vec<String> = vec!["sessions".into(), "prune".into()];
    for option in ["--older-than", "--days", "--age"] {
        if help.contains(option) {
            arguments.extend([
                option.to_owned(),
                if option == "--days" { "0".into() } else { "0d".into() },
            ]);
            break;
        }
    }
    for option in ["--yes", "--force"] {
        if help.contains(option) {
            arguments.push(option.to_owned());
            break;
        }
    }
    arguments
}

#[test]
fn taken_away() {
    let rows = vec![
        row("rm takes the log and all beside it", || {
            let command = shell("yes 0123456789abcdef | head -c 6000000");
            let long = say("w".repeat(200_000));
            let server = ModelServer::start(Script::new().turn(command).otherwise(long));
            let stage = configured(&server);
            completes(&go(stage.troupe(["exec", "--json", &"p".repeat(100_000)])));
            let id = stage.log().session();
            assert!(of(&stage, &id).len() > 2, "{:?}", of(&stage, &id));
            go(stage.troupe(["sessions", "rm", &id])).assert_success();
            assert_eq!(of(&stage, &id), Vec::<String>::new());
        }),
        row("rm leaves the others", || {
            let (_server, stage, ids) = with(3);
            go(stage.troupe(["sessions", "rm", &ids[1]])).assert_success();
            let left: Vec<String> = stage.logs().iter().map(|log| log.session()).collect();
            assert_eq!(left, [ids[0].clone(), ids[2].clone()]);
            go(stage.troupe(["exec", "--json", "resume", &ids[0], "more"])).assert_success();
        }),
        row("rm of several", || {
            let (_server, stage, ids) = with(3);
            go(stage.troupe(["sessions", "rm", &ids[0], &ids[2]])).assert_success();
            assert_eq!(stage.log().session(), ids[1]);
        }),
        row("rm of several, one unknown: nothing goes without a word", || {
            let (_server, stage, ids) = with(2);
            let unknown = "00000000-0000-7000-8000-000000000000";
            let finished = go(stage.troupe(["sessions", "rm", &ids[0], unknown]));
            assert_ne!(finished.code(), Some(0));
            all(&finished.stderr(), &["00000000"]);
        }),
        row("rm by a short id", || {
            let (_server, stage, _ids) = with(3);
            let listed = listed(&stage);
            go(stage.troupe(["sessions", "rm", &listed[0].0])).assert_success();
            assert_eq!(stage.logs().len(), 2);
        }),
        row("rm of an unknown one", || {
            let (_server, stage, _ids) = with(1);
            refused(&stage, &go(stage.troupe(["sessions", "rm", "ffffffff"])), 1);
        }),
        row("rm of a path", || {
            let (_server, stage, _ids) = with(1);
            let log = stage.log();
            let path = log.path().to_str().unwrap().to_owned();
            put(stage.troupe_home().join("sessions/keep"), "x");
            for what in [path.as_str(), "../config.toml", "keep", "patches", "."] {
                let finished = go(stage.troupe(["sessions", "rm", what]));
                assert_ne!(finished.code(), Some(0), "{what}");
            }
            assert!(stage.troupe_home().join("sessions/keep").exists());
            assert!(stage.troupe_home().join("config.toml").exists());
            assert_eq!(stage.logs().len(), 1);
        }),
        row("rm of an open one", || {
            let gate = Gate::new();
            let server = ModelServer::start(Script::always(say("slow").wait(&gate)));
            let stage = configured(&server);
            let running = stage.troupe(["exec", "--json", "go"]).start();
            gate.wait_arrived(1);
            let id = stage.log().session();
            refused(&stage, &go(stage.troupe(["sessions", "rm", &id])), 1);
            gate.open();
            completes(&running.wait());
        }),
        row("prune keeps an open one", || {
            let gate = Gate::new();
            let server = ModelServer::start(Script::always(say("slow").wait(&gate)));
            let stage = configured(&server);
            let running = stage.troupe(["exec", "--json", "go"]).start();
            gate.wait_arrived(1);
            go(stage.troupe(at_any_age(&stage))).assert_success();
            assert_eq!(stage.logs().len(), 1);
            gate.open();
            completes(&running.wait());
        }),
        row("prune keeps an interrupted one", || {
            for signal in [Signal::Interrupt, Signal::HangUp, Signal::Kill] {
                let (server, stage) = playing([shell("sleep 300")]);
                let mut running = stage.troupe(["exec", "--json", "go"]).start();
                running.wait_json("the command", |line| line["type"] == "item.started");
                if signal == Signal::Kill {
                    running.kill_tree();
                } else {
                    running.signal(signal);
                }
                let _finished = running.wait();
                go(stage.troupe(at_any_age(&stage))).assert_success();
                assert_eq!(stage.logs().len(), 1, "{signal:?}");
                server.set_script(Script::always(say("went on")));
                completes(&go(stage.troupe(["exec", "--json", "resume", "--last"])));
            }
        }),
        row("rm of an interrupted one is refused", || {
            let (_server, stage) = playing([shell("sleep 300")]);
            let running = stage.troupe(["exec", "--json", "go"]).start();
            running.wait_json("the command", |line| line["type"] == "item.started");
            running.signal(Signal::Interrupt);
            let _finished = running.wait();
            let id = stage.log().session();
            refused(&stage, &go(stage.troupe(["sessions", "rm", &id])), 1);
        }),
        row("prune takes what is old enough, with all beside it", || {
            let (server, stage) = playing([shell("yes 0123456789abcdef | head -c 6000000")]);
            completes(&go(stage.troupe(["exec", "--json", "go"])));
            let id = stage.log().session();
            drop(server);
            go(stage.troupe(at_any_age(&stage))).assert_success();
            assert_eq!(of(&stage, &id), Vec::<String>::new());
        }),
        row("prune by itself keeps what was made just now", || {
            let (_server, stage, _ids) = with(2);
            let _finished = go(stage.troupe(["sessions", "prune"]));
            assert_eq!(stage.logs().len(), 2);
            let help = go(stage.troupe(["sessions", "prune", "--help"]));
            help.assert_success();
        }),
        row("prune with an age that is none", || {
            let (_server, stage, _ids) = with(2);
            let arguments = at_any_age(&stage);
            if arguments.len() < 4 {
                skip("prune takes no age");
            }
            for age in ["", "soon", "-1d", "0x", "1 day ago", "99999999999999999999d"] {
                let finished = go(stage.troupe(["sessions", "prune", &arguments[2], age]));
                assert_eq!(stage.logs().len(), 2, "{age}: {}", finished.stdout());
            }
        }),
        row("a session that was taken away cannot go on", || {
            let (server, stage, ids) = with(1);
            go(stage.troupe(["sessions", "rm", &ids[0]])).assert_success();
            let finished = go(stage.troupe(["exec", "--json", "resume", &ids[0], "more"]));
            assert_ne!(finished.code(), Some(0));
            assert_eq!(server.requests().len(), 1);
        }),
    ];
    table("sessions: taken away", &[], rows);
}
