//! Waits that servers name, and the shapes of their errors.

use super::{ServerError, retry_after};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, UNIX_EPOCH};

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
        ("retry-after", "1e300", None),
    ];
    for (name, value, expected) in cases {
        let found = retry_after::from_headers(&headers(name, value), now);
        assert_eq!(found, expected.map(Duration::from_secs_f64), "{name}: {value}");
    }
}

#[test]
fn a_wait_is_read_from_words() {
    let cases = [
        ("Please try again in 1.5s.", Some(1.5)),
        ("Rate limit. Try Again In 28ms", Some(0.028)),
        ("try again in 3 seconds", Some(3.0)),
        ("try again in 2 minutes", Some(120.0)),
        ("try again in a while", None),
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
        ("<html><title>502 Bad Gateway</title></html>", "502 Bad Gateway", ""),
        ("<html><p>x</p></html>", "", ""),
        ("", "", ""),
    ];
    for (body, message, codes) in cases {
        let error = ServerError::from_body(body.as_bytes());
        assert_eq!((error.message.as_str(), error.codes.as_str()), (message, codes), "{body}");
    }
    let long = ServerError::from_body("ä".repeat(4000).as_bytes());
    assert!(long.message.len() < 1100);
}
