//! Tables of rows that all run, whatever becomes of the others.

use std::{
    any::Any,
    collections::VecDeque,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Mutex,
    time::{Duration, Instant},
};

/// How many rows of a table run at once: most of them wait.
const AT_ONCE: usize = 3;

/// One input, and what must come of it.
pub(crate) struct Row {
    name: String,
    run: Box<dyn FnOnce() + Send>,
}

/// A row: it fails by a panic.
pub(crate) fn row(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Row {
    Row { name: name.into(), run: Box::new(run) }
}

struct Skipped(String);

/// Ends a row that cannot be tried on this machine.
pub(crate) fn skip(why: impl Into<String>) -> ! {
    resume_unwind(Box::new(Skipped(why.into())))
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

fn outcome(result: Result<(), Box<dyn Any + Send>>) -> Outcome {
    let Err(payload) = result else { return Outcome::Passed };
    let payload = match payload.downcast::<Skipped>() {
        Ok(skipped) => return Outcome::Skipped(skipped.0),
        Err(payload) => payload,
    };
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Outcome::Failed(text.unwrap_or_else(|| "a panic without words".to_owned()))
}

/// Runs every row. Fails naming those that failed, but for those in `open`, whose faults are known
/// and not closed yet; each of them is named on standard error.
pub(crate) fn table(section: &str, open: &[&str], rows: Vec<Row>) {
    let wanted = std::env::var("KINDS_ROW").unwrap_or_default();
    let rows: VecDeque<Row> = rows.into_iter().filter(|row| row.name.contains(&wanted)).collect();
    let (rows, done) = (Mutex::new(rows), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(row) = rows.lock().unwrap().pop_front() else { break };
                    let started = Instant::now();
                    let result = catch_unwind(AssertUnwindSafe(row.run));
                    let took = started.elapsed();
                    done.lock().unwrap().push((row.name, outcome(result), took));
                }
            });
        }
    });
    report(section, open, done.into_inner().unwrap());
}

fn report(section: &str, open: &[&str], mut done: Vec<(String, Outcome, Duration)>) {
    done.sort_by(|one, other| one.0.cmp(&other.0));
    record(section, &done);
    let (mut failed, mut skipped) = (Vec::new(), 0);
    let count = done.len();
    for (name, outcome, _) in done {
        let known = open.contains(&name.as_str());
        match outcome {
            Outcome::Passed if known => say(&format!("{section}: passes, take it off: {name}\n")),
            Outcome::Passed => {}
            Outcome::Skipped(why) => {
                skipped += 1;
                troupe_tests::skip::skipped(&format!("{section}: {name}"), &why);
            }
            Outcome::Failed(_) if known => say(&format!("{section}: known to fail: {name}\n")),
            Outcome::Failed(why) => failed.push(format!("{name}: {why}")),
        }
    }
    say(&format!("{section}: {count} rows, {} failed, {skipped} not tested\n", failed.len()));
    assert!(
        failed.is_empty(),
        "{} of {count} rows failed\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}

/// Past the capture of the test runner: what was not tested is seen.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn record(section: &str, done: &[(String, Outcome, Duration)]) {
    let Some(path) = std::env::var_os("KINDS_RECORD") else { return };
    let mut text = String::new();
    for (name, outcome, took) in done {
        let seen = match outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Skipped(why) => format!("skipped: {why}"),
            Outcome::Failed(why) => {
                let why: String = why.chars().take(900).collect();
                format!("FAIL: {}", why.replace('\n', " ⏎ ").replace('|', "¦"))
            }
        };
        text.push_str(&format!("| {section} | {name} | {:.1} s | {seen} |\n", took.as_secs_f64()));
    }
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the record is written");
}
