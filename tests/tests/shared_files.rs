//! Files in the home that several processes write at the same time: eight writers each, killed at
//! random instants. A reader finds a whole file at every moment, and nothing that a writer said to be
//! kept is missing.

#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use troupe::policy::RuleBook;
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Signal, Stage},
};

const WRITERS: usize = 8;

/// Every file in a home that is not written by one process alone, with what protects it. One that is
/// missing here has no test: give it one.
const SHARED: [(&str, &str); 3] = [
    ("rules/approved.toml", "a lock file beside it; replaced in one step"),
    ("bin/apply_patch", "a link, replaced in one step"),
    ("sessions/*.jsonl", "its own lock; lines are appended"),
];

/// Files that one process writes, by names of its own or under the lock of the session's log.
const OWN: [&str; 4] = ["sessions/*/*", "sessions/*.torn", "sessions/patches/*", "run/*"];
/// What goes with a shared file.
const BESIDE: [&str; 3] =
    ["rules/.approved.toml.lock", "rules/.approved.toml.new", "bin/.apply_patch-*"];

fn is_like(path: &str, pattern: &str) -> bool {
    let (path, pattern) = (path.split('/'), pattern.split('/'));
    path.clone().count() == pattern.clone().count()
        && path.zip(pattern).all(|(name, pattern)| match pattern.split_once('*') {
            Some((before, after)) => name.starts_with(before) && name.ends_with(after),
            None => name == pattern,
        })
}

fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_in(&entry.path(), found),
            _ => found.push(entry.path()),
        }
    }
}

/// Fails if the home holds a file of which nobody said how it is protected.
fn check_names(stage: &Stage) {
    let mut found = Vec::new();
    files_in(&stage.troupe_home(), &mut found);
    for path in found {
        let name = path.strip_prefix(stage.troupe_home()).unwrap().to_str().unwrap().to_owned();
        let mut known = SHARED.iter().map(|(name, _)| name).chain(&OWN).chain(&BESIDE);
        assert!(known.any(|pattern| is_like(&name, pattern)), "{name}: who writes it, and how?");
    }
}

/// Runs the writers, and the reader as long as they run.
fn while_reading(writers: impl Fn(usize) + Sync, read: impl Fn() + Sync) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !over.load(Ordering::Acquire) {
                read();
                reads += 1;
            }
            assert!(reads > 0);
        });
        let running: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let w = &writers;
                    move || w(writer)
                })
            })
            .collect();
        let ended: Vec<_> = running.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Release);
        reader.join().unwrap();
        ended.into_iter().for_each(|end| end.unwrap());
    });
}

#[test]
fn approved_rules() {
    let stage = Stage::new();
    let rules = stage.troupe_home().join("rules");
    let file = rules.join("approved.toml");
    let program = binary::example("troupe-tests", "shared_writer");
    let kept = std::sync::Mutex::new(BTreeSet::new());
    let write = |writer: usize| {
        let mut next = 0;
        for life in 0..6 {
            let name = format!("tool{writer}");
            let mut child = Command::new(&program)
                .arg(&file)
                .args([&name, &next.to_string()])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // Killed after a number of rules of its own, in the middle of whatever it does then.
            for line in lines.take(1 + (writer + life) % 4) {
                let number: u64 = line.unwrap().parse().unwrap();
                kept.lock().unwrap().insert(format!("{name}-{number}"));
                next = number + 1;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    };
    let folder = [rules];
    let names = || -> BTreeSet<String> {
        let book = RuleBook::load(&folder).expect("a whole file");
        book.rules().iter().map(|rule| rule.prefix[0][0].clone()).collect()
    };
    let seen = std::sync::Mutex::new(0);
    while_reading(write, || {
        let before: BTreeSet<String> = kept.lock().unwrap().clone();
        let now = names();
        assert!(before.is_subset(&now), "missing: {:?}", before.difference(&now));
        let mut seen = seen.lock().unwrap();
        assert!(now.len() >= *seen, "rules went");
        *seen = now.len();
    });
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() > WRITERS && kept.is_subset(&names()), "{kept:?}");
    check_names(&stage);
}

#[test]
fn the_link_to_apply_patch() {
    let server = ModelServer::start(Script::always(say("done")));
    let stage = Stage::new().with_model(&server);
    // Two programs that want the link for themselves.
    let programs = ["one", "two"].map(|name| stage.root().join(name));
    for program in &programs {
        fs::copy(binary::troupe(), program).unwrap();
    }
    let link = stage.troupe_home().join("bin/apply_patch");
    let run = |program: &Path| {
        let arguments = ["exec", "--json", "-s", "danger-full-access", "go"];
        let settings = format!("model_providers.test.base_url=\"{}\"", server.url());
        let model = ["-c", "model=\"m\"", "-c", "model_provider=\"test\"", "-c", &settings];
        stage.program(program).args(model).args(arguments)
    };
    run(&programs[0]).run().assert_success();
    let write = |writer: usize| {
        for life in 0..3 {
            let running = run(&programs[(writer + life) % 2]).start();
            running.wait_json("it begins", |line| line["type"] == "thread.started");
            running.signal(Signal::Kill);
            drop(running.wait());
        }
    };
    while_reading(write, || {
        let target = fs::read_link(&link).expect("it is there at every moment");
        assert!(programs.contains(&target), "{}", target.display());
    });
    check_names(&stage);
}

#[test]
fn a_session() {
    let server = ModelServer::start(Script::always(say("done")));
    let stage = Stage::new().with_model(&server);
    let run = |more: &[&str]| stage.troupe(["exec", "--json"]).args(more);
    run(&["first"]).run().assert_success();
    let log = stage.log().path().to_owned();
    let accepted = std::sync::Mutex::new(Vec::new());
    let write = |writer: usize| {
        for life in 0..3 {
            let prompt = format!("prompt {writer}-{life}");
            let running = run(&["resume", "--last", &prompt]).start();
            if (writer + life).is_multiple_of(2) {
                running.wait_stdout("\n");
                running.signal(Signal::Kill);
                drop(running.wait());
            } else if running.wait().code() == Some(0) {
                accepted.lock().unwrap().push(prompt);
            }
        }
    };
    while_reading(write, || {
        let text = fs::read_to_string(&log).expect("a whole log");
        // Only the last line may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    });
    run(&["resume", "--last", "the last"]).run().assert_success();
    let text = fs::read_to_string(&log).unwrap();
    let accepted = accepted.into_inner().unwrap();
    assert!(!accepted.is_empty());
    for prompt in accepted {
        assert!(text.contains(&prompt), "{prompt}");
    }
    check_names(&stage);
}
