//! Waits that servers name, and what is said while one lasts.

use super::{
    common::{all, any, completes, configured, end, fails, go, settings, shell, told},
    table::{Row, row, table},
};
use serde_json::json;
use std::time::{Duration, SystemTime};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Signal, Stage},
};

fn limited(text: &str) -> Turn {
    let error = json!({ "error": { "message": text, "type": "rate_limit_error", "code": "rate_limit_exceeded" } });
    status(429).body(error.to_string())
}

/// An HTTP date so many seconds from now, by the system's own `date`.
fn date(seconds: u64) -> String {
    let then = SystemTime::now() + Duration::from_secs(seconds);
    let then = then.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let text = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{then}"), "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(text.stdout).unwrap().trim().to_owned()
}

/// It ends at once as rate-limited, and says for how long.
fn too_long(name: &str, turn: Turn, words: &'static [&'static str]) -> Row {
    let both = [Wire::Responses, Wire::Chat];
    row(format!("too long: {name}"), move || {
        for wire in both {
            let server = ModelServer::start(Script::always(turn.clone()));
            let stage = Stage::new().with_wire(&server, wire);
            let finished =
                go(stage.troupe(["exec", "--json", "go"]).limit(Duration::from_secs(15)));
            let message = fails(&finished, 6);
            assert_eq!(server.requests().len(), 1, "it is not asked again");
            assert!(finished.took < Duration::from_secs(8), "{:?}", finished.took);
            any(&message, words);
        }
    })
}

fn day() -> &'static [&'static str] {
    &["24 h", "24h", "1 day", "1 d", "86400", "23 h", "23h", "1440"]
}

#[test]
fn waits_that_are_too_long() {
    let hour: &[&str] =
        &["1 h", "1h", "60 min", "3600", "an hour", "one hour", "59 min", "60 m", "60m"];
    let six: &[&str] = &["6 min", "6m", "360", "5 min 59", "6 m"];
    let stream = |text: &str| calls([]).failed("rate_limit_exceeded", text.to_owned());
    let mut rows = vec![
        too_long("a date tomorrow", status(429).retry_after(date(86_400)), day()),
        too_long("a day in milliseconds", status(429).header("retry-after-ms", "86400000"), day()),
        too_long("a day with a fraction", status(429).retry_after("86400.5"), day()),
        too_long("an hour", status(429).retry_after("3600"), hour),
        too_long("just beyond", status(429).retry_after("360"), six),
        too_long(
            "a number beyond all",
            status(429).retry_after("99999999999999999999"),
            &["0", "9", "5 min", "long"],
        ),
        too_long(
            "a date far away",
            status(429).retry_after("Fri, 31 Dec 2199 23:59:59 GMT"),
            &["d", "h", "y"],
        ),
        too_long(
            "in words: hours",
            limited("Rate limit reached. Please try again in 24h0m0s."),
            day(),
        ),
        too_long("in words: an hour", limited("Rate limit reached. Please try again in 1h."), hour),
        too_long(
            "in words: minutes and seconds",
            limited("Please try again in 6m0s. Visit us."),
            six,
        ),
        too_long("in words: seconds", limited("Rate limit reached, try again in 3600s"), hour),
        too_long("in words: spelled out", limited("Too many requests, try again in 1 hour"), hour),
        too_long("503", status(503).retry_after("3600"), hour),
        too_long("529", status(529).retry_after("3600"), hour),
        too_long("500", status(500).retry_after("3600"), hour),
        too_long("in the stream", stream("Rate limit reached. Please try again in 1h0m0s."), hour),
    ];
    rows.push(row("a smaller limit of the configuration", || {
        let server = ModelServer::start(Script::always(status(429).retry_after("3")));
        let stage = configured(&server);
        // Wherever the setting stands, one of the two is it; the other one is a warning.
        let own = "model_providers.test.max_retry_wait_ms=1000";
        let run = stage.troupe(["exec", "--json", "-c", own, "-c", "max_retry_wait_ms=1000", "go"]);
        let message = fails(&go(run), 6);
        all(&message, &["3"]);
        assert_eq!(server.requests().len(), 1);
    }));
    rows.push(row("in the middle of a task", || {
        let script =
            Script::new().turn(shell("echo hi")).otherwise(status(429).retry_after("86400"));
        let server = ModelServer::start(script);
        let stage = configured(&server);
        let finished = go(stage.troupe(["exec", "--json", "go"]));
        any(&fails(&finished, 6), day());
        assert_eq!(server.requests().len(), 2);
    }));
    rows.push(row("for people", || {
        let server = ModelServer::start(Script::always(status(429).retry_after("86400")));
        let stage = configured(&server);
        let finished = go(stage.troupe(["exec", "go"]));
        assert_eq!(finished.code(), Some(6));
        any(&finished.stderr(), day());
    }));
    table("waits: too long", &[], rows);
}

fn errors(finished: &Finished) -> Vec<String> {
    let lines = finished.json_lines().into_iter().filter(|line| line["type"] == "error");
    lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn waits_that_are_told() {
    let mut rows = Vec::new();
    for (name, turn, words) in [
        ("seconds", status(429).retry_after("1"), &["1 s", "1s", "1.0 s", "1000 ms"][..]),
        ("milliseconds", status(429).header("retry-after-ms", "700"), &["0.7", "700"]),
        ("words", limited("try again in 1.2s"), &["1.2", "1200"]),
        ("503", status(503).retry_after("1"), &["1 s", "1s", "1.0 s", "1000 ms"]),
        ("a date that is past", status(429).retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), &["s"]),
        ("a number that is negative", status(429).retry_after("-5"), &["s"]),
        ("no number", status(429).retry_after("soon"), &["s"]),
        ("an empty header", status(429).retry_after(""), &["s"]),
        ("zero", status(429).retry_after("0"), &["s"]),
        ("none named", status(503), &["0.", "ms"]),
        ("a stream that breaks", say("half of it").drop_at(2), &["0.", "ms"]),
    ] {
        rows.push(row(format!("goes on after: {name}"), move || {
            let server = ModelServer::start(Script::always(turn.then(say("whole"))));
            let stage = configured(&server);
            let finished = go(stage.troupe(["exec", "--json", "go"]));
            completes(&finished);
            let errors = errors(&finished);
            assert!(!errors.is_empty(), "{}", finished.stdout());
            any(&errors[0], words);
            any(&errors[0], &["1/", "1 of "]);
            assert!(!errors[0].contains("ago"), "{errors:?}");
        }));
    }
    for (name, seconds) in [("five minutes are within", "300"), ("a minute", "60")] {
        rows.push(row(format!("told, and ended by a signal: {name}"), move || {
            let server = ModelServer::start(Script::always(status(429).retry_after(seconds)));
            let stage = configured(&server);
            let running = stage.troupe(["exec", "--json", "go"]).start();
            let line = running.wait_json("the wait", |line| line["type"] == "error");
            any(line["message"].as_str().unwrap(), &[seconds, "5 min", "5m", "1 min", "1m"]);
            running.signal(Signal::Interrupt);
            let sent = std::time::Instant::now();
            assert_eq!(running.wait().code(), Some(130));
            assert!(sent.elapsed() < Duration::from_secs(3));
        }));
    }
    rows.push(row("the attempts are counted", || {
        let server = ModelServer::start(Script::always(status(503).retry_after("0")));
        let stage = configured(&server);
        let finished = go(stage.troupe(["exec", "--json", "go"]));
        assert_ne!(finished.code(), Some(0));
        let errors = errors(&finished);
        for (at, error) in errors.iter().enumerate() {
            let (now, all) = (at + 1, errors.len());
            any(error, &[&format!("{now}/{all}"), &format!("{now} of {all}")]);
        }
    }));
    rows.push(row("a server that is down: every line tells its wait", || {
        let stage = Stage::new().with_config(&settings("http://127.0.0.1:9/v1", "responses"));
        let finished = go(stage.troupe(["exec", "go"]));
        assert_eq!(finished.code(), Some(5));
        let stderr = finished.stderr();
        let tries: Vec<&str> = stderr.lines().filter(|line| line.contains("of 5")).collect();
        assert_eq!(tries.len(), 5, "{stderr}");
        assert!(tries.iter().all(|line| line.contains(" s")), "each says how long: {stderr}");
        let long = tries.iter().filter(|line| line.len() > 120).count();
        assert!(long <= 1, "the reason stands once: {stderr}");
    }));
    rows.push(row("a deadline that is nearer ends it", || {
        let server = ModelServer::start(Script::always(status(429).retry_after("60")));
        let stage = configured(&server);
        let finished = go(stage.troupe(["exec", "--json", "-c", "turn_timeout_ms=1000", "go"]));
        assert_eq!(finished.code(), Some(12), "{}", told(&finished));
        assert!(finished.took < Duration::from_secs(6));
        assert_eq!(end(&finished)["type"], "turn.failed");
    }));
    rows.push(row("a quota that is used up is not waited for", || {
        let error = json!({ "error": { "message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota" } });
        let turn = status(429).body(error.to_string()).retry_after("1");
        let server = ModelServer::start(Script::always(turn));
        let stage = configured(&server);
        fails(&go(stage.troupe(["exec", "--json", "go"])), 6);
        assert_eq!(server.requests().len(), 1);
    }));
    table("waits: told", &[], rows);
}
