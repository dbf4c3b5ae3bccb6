//! Sessions: short ids, `--last`, sizes, and removing them.

use serde_json::{Value, json};
use std::{fs, time::SystemTime};
use troupe_tests::{
    model_server::*,
    stage::{SessionLog, Signal, Stage},
};

/// A stage with so many sessions of one turn.
fn with_sessions(server: &ModelServer, count: usize) -> Stage {
    let stage = Stage::new().with_model(server);
    for number in 0..count {
        stage.troupe(["exec", &format!("task {number}")]).run().assert_success();
    }
    stage
}

fn server() -> ModelServer {
    ModelServer::start(Script::always(say("hi")))
}

fn listed(stage: &Stage) -> Vec<Value> {
    stage.troupe(["sessions", "list", "--json"]).run().json_lines()
}

/// Everything that is kept of sessions.
fn kept(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.troupe_home().join("sessions")).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Takes the end of the turn off the log, as a kill does.
fn interrupt(log: &SessionLog) {
    let text = log.text();
    let end = text.find(",\"kind\":\"TurnFinished\"").unwrap();
    log.truncate(text[..end].rfind('\n').unwrap() as u64 + 1);
}

fn age(log: &SessionLog, days: u64) {
    let file = fs::OpenOptions::new().write(true).open(log.path()).unwrap();
    let ago = std::time::Duration::from_secs(days * 86_400);
    file.set_modified(SystemTime::now() - ago).unwrap();
}

#[test]
fn a_short_id_is_shown_and_any_piece_is_accepted() {
    let server = server();
    let stage = with_sessions(&server, 3);
    let text = stage.troupe(["sessions", "list"]).run().stdout();
    for session in listed(&stage) {
        let (id, short) = (session["id"].as_str().unwrap(), session["short_id"].as_str().unwrap());
        assert!(short.len() <= 12 && text.lines().any(|line| line.starts_with(short)), "{text}");
        let prompt = session["first_prompt"].as_str().unwrap();
        let plain = id.replace('-', "");
        for piece in [id, short, &id[24..], &short.to_uppercase(), &plain, &plain[10..]] {
            let shown = stage.troupe(["sessions", "show", piece]).run();
            shown.assert_success();
            assert!(shown.stdout().contains(prompt), "{piece}: {}", shown.stdout());
            stage.troupe(["policy", "replay", piece]).run().assert_success();
        }
    }
    // The time is common to all: the candidates are named, with what tells them apart.
    let id = listed(&stage)[0]["id"].as_str().unwrap()[..6].to_owned();
    for command in [["sessions", "show"], ["policy", "replay"], ["sessions", "rm"]] {
        let ambiguous = stage.troupe(command.into_iter().chain([id.as_str()])).run();
        ambiguous.assert_code(3);
        for session in listed(&stage) {
            for part in ["short_id", "first_prompt"] {
                let part = session[part].as_str().unwrap();
                assert!(ambiguous.stderr().contains(part), "{}", ambiguous.stderr());
            }
        }
        for (blank, code) in [("", 2), (" ", 2), ("-", 3), ("zzz", 3), ("../x", 3)] {
            let refused = stage.troupe(command.into_iter().chain(["--", blank])).run();
            refused.assert_code(code);
        }
        let unknown = "0199c0de-0000-7000-8000-000000000000";
        stage.troupe(command.into_iter().chain([unknown])).run().assert_code(3);
    }
    assert_eq!(listed(&stage).len(), 3);
}

#[test]
fn last_means_the_latest_session_of_the_directory() {
    let server = server();
    let stage = with_sessions(&server, 2);
    let other = stage.root().join("home");
    stage.troupe(["exec", "elsewhere"]).folder(&other).run().assert_success();
    for command in [&["sessions", "show"][..], &["policy", "replay"], &["sessions", "rm"]] {
        let run = |more: &[&str]| stage.troupe(command.iter().chain(more)).run();
        run(&[]).assert_code(2);
        run(&["--last", "abcdef"]).assert_code(2);
        run(&["--all"]).assert_code(2);
    }
    let show = |more: &[&str]| {
        let shown = stage.troupe(["sessions", "show"].iter().chain(more)).run();
        shown.assert_success();
        shown.stdout()
    };
    assert!(show(&["--last"]).contains("task 1"));
    assert!(show(&["--last", "--all"]).contains("elsewhere"));
    stage.troupe(["policy", "replay", "--last"]).run().assert_success();
    stage.troupe(["sessions", "rm", "--last"]).run().assert_success();
    assert!(show(&["--last"]).contains("task 0"));
    let nothing = stage.troupe(["sessions", "show", "--last"]).folder(stage.root()).run();
    nothing.assert_code(3);
    assert!(nothing.stderr().contains("--all"), "{}", nothing.stderr());
}

#[test]
fn a_session_is_removed_with_all_that_is_kept_of_it() {
    let long = call("shell", json!({ "command": "seq 100000" }));
    let script = Script::new().turn(long).turn(say("x".repeat(100_000)));
    let server = ModelServer::start(script);
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec", "the first"]).run().assert_success();
    let id = stage.log().session();
    let folder = stage.troupe_home().join("sessions").join(format!("{id}.d"));
    let kinds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(kinds.len() >= 2, "an output and a long text: {kinds:?}");
    fs::write(folder.with_extension("torn"), "cut").unwrap();
    fs::write(folder.with_extension("note"), "the user's own").unwrap();
    let stored: u64 = kinds.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let log = fs::metadata(stage.log().path()).unwrap().len();
    let session = &listed(&stage)[0];
    assert_eq!(session["bytes"], stored + log + 3);
    assert_eq!(session["log_bytes"], log);
    let size = format!("{} kB", (stored + log) / 1000);
    let list = stage.troupe(["sessions", "list"]).run().stdout();
    assert!(list.contains(&size), "{size}: {list}");
    let dry = stage.troupe(["sessions", "rm", "--dry-run", &id]).run();
    dry.assert_success();
    assert!(dry.stdout().contains("would remove") && listed(&stage).len() == 1);
    let removed = stage.troupe(["sessions", "rm", &id[30..]]).run();
    removed.assert_success();
    assert!(removed.stdout().contains("the first"), "{}", removed.stdout());
    assert_eq!(kept(&stage), [format!("{id}.note")]);
    stage.troupe(["sessions", "rm", &id]).run().assert_code(3);
}

#[test]
fn an_open_session_is_never_removed() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::always(say("hi").wait(&gate)));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "go"]).start();
    server.wait_requests_blocking(1);
    let before = kept(&stage);
    let id = stage.log().session();
    for options in [&["rm", "--json", &id][..], &["rm", "--json", "--force", &id]] {
        let refused = stage.troupe(["sessions"].iter().chain(options)).run();
        refused.assert_code(9);
        assert_eq!(refused.json_lines()[0]["outcome"], "open");
    }
    age(&stage.log(), 100);
    let prune = stage.troupe(["sessions", "prune", "--older-than", "1d", "--json"]).run();
    prune.assert_success();
    assert_eq!(prune.json_lines()[0]["outcome"], "open");
    assert_eq!(kept(&stage), before);
    gate.open();
    running.wait().assert_success();
    stage.troupe(["sessions", "rm", &id]).run().assert_success();
}

#[test]
fn an_interrupted_session_is_removed_only_if_that_is_wanted() {
    let server = server();
    let stage = with_sessions(&server, 2);
    let logs = stage.logs();
    interrupt(&logs[0]);
    let gate = Gate::new();
    server.set_script(Script::always(say("hi").wait(&gate)));
    let running = stage.troupe(["exec", "third"]).start();
    server.wait_requests_blocking(3);
    running.signal(Signal::Interrupt);
    running.wait().assert_code(130);
    gate.open();
    let logs = stage.logs();
    logs.iter().for_each(|log| age(log, 60));
    let dry = stage.troupe(["sessions", "prune", "--older-than", "30d", "--dry-run"]).run();
    dry.assert_success();
    assert_eq!(kept(&stage).len(), 3, "{}", dry.stdout());
    let prune = stage.troupe(["sessions", "prune", "--older-than", "30d"]).run();
    prune.assert_success();
    assert!(prune.stdout().contains("removed") && prune.stdout().contains("task 1"));
    assert_eq!(prune.stderr().matches("was interrupted").count(), 2, "{}", prune.stderr());
    for log in [&logs[0], &logs[2]] {
        let id = log.session();
        let refused = stage.troupe(["sessions", "rm", &id]).run();
        refused.assert_code(9);
        assert!(refused.stderr().contains("--force"), "{}", refused.stderr());
        stage.troupe(["sessions", "rm", "--force", &id]).run().assert_success();
    }
    assert!(kept(&stage).is_empty());
}

#[test]
fn pruning_goes_by_age_and_by_number() {
    let server = server();
    let stage = with_sessions(&server, 4);
    for (days, log) in stage.logs().iter().rev().enumerate() {
        age(log, days as u64 * 10);
    }
    let prompts = || -> Vec<String> {
        let of = |session: &Value| session["first_prompt"].as_str().unwrap().to_owned();
        listed(&stage).iter().map(of).collect()
    };
    let prune = |options: &[&str]| stage.troupe(["sessions", "prune"].iter().chain(options)).run();
    for wrong in [&[][..], &["--older-than", "30"], &["--older-than", "d"], &["--keep", "-1"]] {
        prune(wrong).assert_code(2);
    }
    assert_eq!(prompts(), ["task 3", "task 2", "task 1", "task 0"]);
    // Both have to say so.
    prune(&["--older-than", "15d", "--keep", "3"]).assert_success();
    assert_eq!(prompts(), ["task 3", "task 2", "task 1"]);
    prune(&["--older-than", "15d"]).assert_success();
    assert_eq!(prompts(), ["task 3", "task 2"]);
    prune(&["--older-than", "4w"]).assert_success();
    prune(&["--keep", "5"]).assert_success();
    assert_eq!(prompts(), ["task 3", "task 2"]);
    let none = stage.troupe(["sessions", "prune", "--keep", "0", "--here"]);
    none.folder(stage.root()).run().assert_success();
    assert_eq!(prompts().len(), 2);
    prune(&["--keep", "0"]).assert_success();
    assert!(kept(&stage).is_empty());
}

#[test]
fn what_a_crash_left_half_removed_is_no_session_and_goes_with_the_next_removal() {
    let server = server();
    let stage = with_sessions(&server, 2);
    let half = &stage.logs()[0];
    fs::rename(half.path(), half.path().with_extension("removing")).unwrap();
    fs::create_dir_all(half.path().with_extension("d")).unwrap();
    let list = stage.troupe(["sessions", "list"]).run();
    list.assert_success();
    assert_eq!(list.stdout().lines().count(), 1, "{}", list.stdout());
    stage.troupe(["sessions", "show", &half.session()]).run().assert_code(3);
    stage.troupe(["exec", "resume", &half.session(), "x"]).run().assert_code(3);
    stage.troupe(["sessions", "prune", "--keep", "1"]).run().assert_success();
    assert_eq!(kept(&stage).len(), 1);
}
