//! Waits that servers name, and the shapes of their errors.

use super::{ServerError, retry_after};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, UNIX_EPOCH};
use troupe_types::{Endpoint, Secret, Wire};

fn headers(name: &'static str, value: &'static str) -> HeaderMap {
    let name = HeaderName::from_static(name);
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

#[test]
fn a_wait_is_read_from_seconds_milliseconds_and_dates() {
    // Tue, 29 Feb 2028 23:59:50 GMT
    let now = UNIX_EPOCH + Duration::from_secs(1_835_481_590);
    let cases = [
        ("retry-after", "3", Some(3.0)),
        ("retry-after", " 0.5 ", Some(0.5)),
        ("retry-after", "-1", Some(0.0)),
        ("retry-after-ms", "1500", Some(1.5)),
        ("retry-after", "Wed, 01 Mar 2028 00:00:05 GMT", Some(15.0)),
        ("retry-after", "Tue, 29 Feb 2028 23:59:49 GMT", Some(0.0)),
        ("retry-after", "soon", None),
        ("retry-after", "Wed, 01 Nix 2028 00:00:05 GMT", None),
        ("retry-after", "NaN", None),
        ("retry-after", "", None),
        ("retry-after", "-1e300", Some(0.0)),
        ("retry-after-ms", "-5", Some(0.0)),
        ("retry-after-ms", "NaN", None),
        ("retry-after", "Mon, 01 Jan 0001 00:00:00 GMT", None),
        ("ratelimit-reset", "30", Some(30.0)),
        ("x-ratelimit-reset", "1835481650", Some(60.0)),
        ("x-ratelimit-reset", "1835481650000", Some(60.0)),
        ("x-ratelimit-reset", "1700000000", Some(0.0)),
        ("x-ratelimit-reset", "6m0s", Some(360.0)),
        // Which limit was reached is not said.
        ("x-ratelimit-reset-tokens", "6m0s", None),
    ];
    for (name, value, expected) in cases {
        let found = retry_after::from_headers(&headers(name, value), now);
        assert_eq!(found, expected.map(Duration::from_secs_f64), "{name}: {value}");
    }
}

#[test]
fn a_wait_beyond_every_clock_is_the_longest_there_is() {
    for (name, value) in [
        ("retry-after", "1e300"),
        ("retry-after", "1e999"),
        ("retry-after", "99999999999999999999999999999999"),
        ("retry-after-ms", "1e300"),
        ("x-ratelimit-reset", "99999999999999999999999999999999h"),
    ] {
        let found = retry_after::from_headers(&headers(name, value), UNIX_EPOCH);
        assert_eq!(found, Some(Duration::MAX), "{name}: {value}");
    }
}

#[test]
fn of_several_limits_the_ones_that_were_reached_count() {
    let map =
        |pairs: &[(&'static str, &'static str)]| {
            HeaderMap::from_iter(pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            }))
        };
    let wait = |pairs: &[_]| retry_after::from_headers(&map(pairs), UNIX_EPOCH);
    let requests = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "20s")];
    let tokens = [("x-ratelimit-remaining-tokens", "40"), ("x-ratelimit-reset-tokens", "6m0s")];
    assert_eq!(wait(&[requests, tokens].concat()), Some(Duration::from_secs(20)));
    assert_eq!(wait(&tokens), None);
    let both = [&requests[..], &[("x-ratelimit-remaining-tokens", "0"), tokens[1]]].concat();
    assert_eq!(wait(&both), Some(Duration::from_secs(360)));
    // What is said of the retry itself comes first; what is garbage there does not hide the rest.
    assert_eq!(wait(&[&both[..], &[("retry-after", "3")]].concat()), Some(Duration::from_secs(3)));
    assert_eq!(
        wait(&[("retry-after-ms", "soon"), ("retry-after", "3")]),
        Some(Duration::from_secs(3))
    );
}

#[test]
fn a_wait_is_read_from_words() {
    let cases = [
        ("Please try again in 1.5s.", Some(1.5)),
        ("Rate limit. Try Again In 28ms", Some(0.028)),
        ("try again in 3 seconds", Some(3.0)),
        ("try again in 2 minutes", Some(120.0)),
        ("try again in 1h2m3s", Some(3723.0)),
        ("try again in 6m0s.", Some(360.0)),
        ("Please retry in 34.5s.", Some(34.5)),
        ("retry after 2 days", Some(172_800.0)),
        ("try again in a while", None),
        ("try again in 5 parsecs", None),
        ("nothing", None),
    ];
    for (text, expected) in cases {
        assert_eq!(retry_after::from_text(text), expected.map(Duration::from_secs_f64), "{text}");
    }
}

#[test]
fn the_text_of_an_error_is_found_in_every_shape() {
    let cases = [
        (r#"{"error":{"message":"a","code":"X_Code"}}"#, "a", "x_code"),
        (r#"{"error":"b"}"#, "b", ""),
        (r#"{"message":"c","type":"t"}"#, "c", "t"),
        (r#"{"detail":"d"}"#, "d", ""),
        (r#"{"detail":[{"msg":"e"}]}"#, "e", ""),
        (r#"[{"error":{"code":400,"message":"f","status":"INVALID"}}]"#, "f", "400 invalid"),
        (
            r#"{"error":{"message":"{\"error\":{\"message\":\"g\",\"code\":\"inner\"}}"}}"#,
            "g",
            "inner",
        ),
        (r#"{"odd":1}"#, r#"{"odd":1}"#, ""),
        ("plain words\n", "plain words", ""),
        ("<html><title>502 Bad Gateway</title></html>", "an HTML page, \"502 Bad Gateway\"", ""),
        ("<!DOCTYPE html><body><h1 class=x>Sign in</h1>", "an HTML page, \"Sign in\"", ""),
        ("<html><p>x</p></html>", "an HTML page", ""),
        (
            "<?xml version=\"1.0\"?><Error><Message>Denied</Message></Error>",
            "an XML document, \"Denied\"",
            "",
        ),
        (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, "login fail", "1004"),
        (r#"{"error_code":336003,"error_msg":"too long"}"#, "too long", "336003"),
        (
            r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"slow down\"}}"}}}"#,
            "Provider returned error: slow down",
            "429",
        ),
        ("", "", ""),
    ];
    for (body, message, codes) in cases {
        let error = ServerError::from_body(body.as_bytes());
        assert_eq!((error.message.as_str(), error.codes.as_str()), (message, codes), "{body}");
    }
}

#[test]
fn words_are_shown_without_secrets_and_no_longer_than_anyone_reads() {
    let mut endpoint = Endpoint::new("x", Wire::Chat, "http://h/v1");
    endpoint.key = Some(Secret::new("sk-0123456789-abcdefghij"));
    let shown = |said: &str| super::words(&endpoint, said);
    assert!(shown(&"ä".repeat(4000)).len() < 1100);
    for before in 970..1000 {
        let shown = shown(&format!("{}sk-0123456789-abcdefghij is wrong", " ".repeat(before)));
        assert!(!shown.contains("sk-"), "{before}: {}", shown.trim());
    }
}

#[test]
fn unknown_names_are_told_from_other_trouble() {
    for (cause, unknown) in [
        ("dns error: failed to lookup address information: Name or service not known", true),
        ("failed to lookup address information: Name does not resolve", true),
        ("failed to lookup address information: Temporary failure in name resolution", false),
        ("tcp connect error: Connection refused (os error 111)", false),
    ] {
        assert_eq!(super::is_unknown_name(cause), unknown, "{cause}");
    }
}

#[test]
fn only_what_is_near_can_be_started() {
    for (url, near) in [
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost:8080", true),
        ("http://192.168.1.7:8080", true),
        ("http://10.0.0.1", true),
        ("http://[fd00::1]:1", true),
        ("http://ollama:11434", true),
        ("http://box.local:11434", true),
        ("http://host.docker.internal:11434", true),
        ("https://api.openai.com/v1", false),
        ("http://8.8.8.8", false),
        ("http://[2606:4700::1]", false),
        ("http://localhost.example.com", false),
    ] {
        assert_eq!(super::is_near(&reqwest::Url::parse(url).unwrap()), near, "{url}");
    }
}
