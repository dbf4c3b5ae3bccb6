//! Waits that bodies name, and usage in vendors' own fields.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use troupe_tests::model_server::*;

#[test]
fn waits() {
    let mut rows = Vec::new();
    let info = |delay: Value| json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay });
    let google = |details: Value| json!({ "error": { "code": 429, "message": "You exceeded the rate", "status": "RESOURCE_EXHAUSTED", "details": details } });
    let words = |words: &str| json!({ "error": { "message": words, "type": "rate_limit_error" } });
    let bodies = vec![
        ("in a list around the error", json!([google(json!([info(json!("1s"))]))]), 1000),
        ("a fraction", google(json!([info(json!("1.25s"))])), 1250),
        (
            "behind other details",
            google(
                json!([{ "@type": "type.googleapis.com/google.rpc.Help", "links": [] }, { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [] }, info(json!("1s"))]),
            ),
            1000,
        ),
        (
            "seconds and nanos",
            google(json!([info(json!({ "seconds": 1, "nanos": 500000000 }))])),
            1500,
        ),
        ("seconds as a text", google(json!([info(json!({ "seconds": "1" }))])), 1000),
        (
            "in the words of a server behind a router",
            json!({ "error": { "code": 429, "message": "Provider returned error", "metadata": { "raw": google(json!([info(json!("1s"))])).to_string() } } }),
            1000,
        ),
        (
            "retry_after in the error",
            json!({ "error": { "message": "slow", "retry_after": 1 } }),
            1000,
        ),
        ("retry_after as a text", json!({ "message": "slow", "retry_after": "1.5" }), 1500),
        ("retry_after_ms", json!({ "error": { "message": "slow", "retry_after_ms": 1200 } }), 1200),
        ("retryAfter", json!({ "error": { "message": "slow", "retryAfter": 1 } }), 1000),
        (
            "words: after 1 second",
            words("Requests have exceeded the call rate limit. Please retry after 1 second."),
            1000,
        ),
        (
            "words: in 700ms",
            words("Rate limit reached. Please try again in 700ms. Visit our site"),
            700,
        ),
        (
            "words: retry in 1.2s",
            words("Quota exceeded for metric: x, limit: 20\nPlease retry in 1.2s."),
            1200,
        ),
        (
            "words: wait 1 second",
            words("Too many requests, please wait 1 second before trying again"),
            1000,
        ),
        ("words: in 0m1.5s", words("Limit 6000, used 5800. Please try again in 0m1.5s."), 1500),
        ("words: in a text alone", json!("Rate limited. Try again in 1 seconds."), 1000),
    ];
    for (name, value, wait) in bodies {
        rows.push(row(format!("429: {name}"), move || {
            let turn = fault(429, "application/json", value.to_string()).then(say("done"));
            let ran = first(Wire::Chat, turn);
            ends(&ran.finished, 0);
            assert_eq!(retries(&ran.finished), [(1, wait)], "{}", ran.told());
        }));
    }
    for (name, header, value, wait) in [
        ("a fraction of a second", "retry-after", "1.5", 1500),
        ("with blanks", "retry-after", " 1 ", 1000),
        ("requests that are used up", "x-ratelimit-reset-requests", "1s", 1000),
        ("minutes and seconds", "x-ratelimit-reset-requests", "0m1.2s", 1200),
        ("milliseconds", "x-ratelimit-reset-requests", "900ms", 900),
    ] {
        rows.push(row(format!("429: header: {name}"), move || {
            let turn =
                status(429).header(header, value).header("x-ratelimit-remaining-requests", "0");
            let ran = first(Wire::Responses, turn.then(say("done")));
            ends(&ran.finished, 0);
            assert_eq!(retries(&ran.finished), [(1, wait)], "{}", ran.told());
        }));
    }
    for wire in WIRES {
        rows.push(row(format!("{wire:?}: in an error of the stream"), move || {
            let turn = say("hel")
                .failed("rate_limit_exceeded", "Rate limit reached. Please try again in 1.1s.");
            let ran = first(wire, turn.then(say("done")));
            ends(&ran.finished, 0);
            assert_eq!(retries(&ran.finished), [(1, 1100)], "{}", ran.told());
        }));
        for (name, value) in [
            ("Google's", google(json!([info(json!("86400s"))]))),
            ("in words", words("Please try again in 24h0m0s.")),
            ("in a field", json!({ "error": { "message": "slow", "retry_after": 86400 } })),
        ] {
            rows.push(row(
                format!("{wire:?}: a day ends the turn and is told: {name}"),
                move || {
                    let ran = first(wire, fault(429, "application/json", value.to_string()));
                    ran.finished.assert_code(6);
                    any(&ran.told(), &["24 h", "24h", "1 day", "1440 min", "86400"]);
                    assert_eq!(ran.server.requests().len(), 1);
                },
            ));
        }
        rows.push(row(format!("{wire:?}: no wait is read out of other numbers"), move || {
            let value = words("Limit 6000 in 5 minutes windows reached by key 123s");
            let ran =
                first(wire, fault(429, "application/json", value.to_string()).then(say("done")));
            ends(&ran.finished, 0);
            let waits = retries(&ran.finished);
            assert!(waits.len() == 1 && waits[0].1 <= 250, "{waits:?}");
        }));
    }
    table("siblings: waits", &[], rows);
}

#[test]
fn tokens() {
    let mut rows = Vec::new();
    let usage = || json!({ "prompt_tokens": 21, "completion_tokens": 4, "total_tokens": 25 });
    let put = |place: &[&str], value: Value| {
        let mut last = finish("stop");
        let mut at = &mut last;
        for key in place {
            at = match key.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[*key],
            };
        }
        *at = value;
        sse(&[said_chunk("hello world"), last]) + DONE
    };
    let growing = |n: u64| {
        let mut chunk = said_chunk(if n == 1 { "hello " } else { "world" });
        chunk["usage"] = json!({ "prompt_tokens": 21, "completion_tokens": n * 2 });
        chunk
    };
    let separate = |usage: Value| {
        sse(&[
            said_chunk("hello world"),
            finish("stop"),
            json!({ "id": "c", "choices": [], "usage": usage }),
        ]) + DONE
    };
    let list = vec![
        ("in the choice", put(&["choices", "0", "usage"], usage()), 0),
        ("in a vendor's object", put(&["x_groq"], json!({ "id": "r", "usage": usage() })), 0),
        (
            "in a vendor's object, the usual field null",
            put(&["x_groq"], json!({ "usage": usage() }))
                .replace("\"created\":1", "\"created\":1,\"usage\":null"),
            0,
        ),
        ("growing, on every chunk", sse(&[growing(1), growing(2), finish("stop")]) + DONE, 0),
        ("behind the end's reason, without choices", separate(usage()), 0),
        (
            "whole numbers with a point",
            separate(json!({ "prompt_tokens": 21.0, "completion_tokens": 4.0 })),
            0,
        ),
        (
            "numbers as texts",
            separate(json!({ "prompt_tokens": "21", "completion_tokens": "4" })),
            0,
        ),
        ("names of the other wire", separate(json!({ "input_tokens": 21, "output_tokens": 4 })), 0),
        (
            "hits of a cache",
            separate(
                json!({ "prompt_tokens": 21, "completion_tokens": 4, "prompt_cache_hit_tokens": 16, "prompt_cache_miss_tokens": 5 }),
            ),
            16,
        ),
        (
            "cached tokens beside the others",
            separate(json!({ "prompt_tokens": 21, "completion_tokens": 4, "cached_tokens": 16 })),
            16,
        ),
        (
            "cached tokens in details that are null elsewhere",
            separate(
                json!({ "prompt_tokens": 21, "completion_tokens": 4, "prompt_tokens_details": { "cached_tokens": 16, "audio_tokens": null }, "completion_tokens_details": null }),
            ),
            16,
        ),
        (
            "first a null, then the figures",
            sse(&[
                said_chunk("hello world"),
                finish("stop"),
                json!({ "choices": [], "usage": null }),
                json!({ "choices": [], "usage": usage() }),
            ]) + DONE,
            0,
        ),
        (
            "figures, then a null",
            sse(&[
                said_chunk("hello world"),
                finish("stop"),
                json!({ "choices": [], "usage": usage() }),
                json!({ "choices": [], "usage": null }),
            ]) + DONE,
            0,
        ),
        (
            "behind the last event",
            sse(&[
                said_chunk("hello world"),
                finish("stop"),
                json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": null }], "usage": usage() }),
            ]) + DONE,
            0,
        ),
    ];
    for (name, bytes, cached) in list {
        rows.push(row(format!("chat: {name}"), move || {
            let ran = first(Wire::Chat, stream(bytes));
            ran.completes_saying("hello world");
            let end = end(&ran.finished);
            let usage = &end["usage"];
            let got = ["input_tokens", "output_tokens", "cached_input_tokens"]
                .map(|name| usage[name].as_u64().unwrap_or(999));
            assert_eq!(got, [21, 4, cached], "{end}");
            assert!(end.get("usage_incomplete").is_none(), "{end}");
        }));
    }
    for (name, value) in [
        ("none", Value::Null),
        ("negative", json!({ "prompt_tokens": -1, "completion_tokens": -4 })),
        (
            "too large",
            json!({ "prompt_tokens": 1e30, "completion_tokens": 99999999999999999999999.0 }),
        ),
        ("a list", json!([1, 2])),
    ] {
        rows.push(row(
            format!("chat: figures that are none are told as incomplete: {name}"),
            move || {
                let ran = first(
                    Wire::Chat,
                    stream(
                        sse(&[
                            said_chunk("hello world"),
                            finish("stop"),
                            json!({ "choices": [], "usage": value }),
                        ]) + DONE,
                    ),
                );
                ran.completes_saying("hello world");
                assert_eq!(
                    end(&ran.finished)["usage_incomplete"],
                    true,
                    "{}",
                    ran.finished.stdout()
                );
            },
        ));
    }
    rows.push(row("responses: names of the other wire", || {
        let mut event = last("completed", json!({ "status": "completed" }));
        event["response"]["usage"] = json!({ "prompt_tokens": 21, "completion_tokens": 4 });
        let ran = first(Wire::Responses, events([done(0, &message("m", "hello world")), event]));
        ran.completes_saying("hello world");
        let end = end(&ran.finished);
        assert_eq!(end["usage"]["input_tokens"], 21, "{end}");
    }));
    table("siblings: usage", &[], rows);
}
