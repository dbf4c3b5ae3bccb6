//! The server's own words reach the user, wherever they are.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::{Value, json};
use troupe_tests::model_server::*;

const JSON: &str = "application/json";

#[test]
fn bodies() {
    let mut rows = Vec::new();
    let wanted = "the vault is closed on Sundays";
    let raw = json!({ "error": { "message": wanted } }).to_string();
    for (name, value) in [
        ("a string", json!({ "error": wanted })),
        (
            "a list around it",
            json!([{ "error": { "code": 400, "message": wanted, "status": "INVALID_ARGUMENT" } }]),
        ),
        ("a list inside", json!({ "error": [{ "message": wanted }] })),
        ("flat", json!({ "message": wanted, "code": 4001 })),
        ("a detail", json!({ "detail": wanted })),
        (
            "details with places",
            json!({ "detail": [{ "loc": ["body", "tools", 0], "msg": wanted, "type": "value_error" }] }),
        ),
        ("an object as the message", json!({ "error": { "message": { "text": wanted } } })),
        (
            "several errors",
            json!({ "success": false, "errors": [{ "code": 7003, "message": wanted }], "result": null }),
        ),
        ("a type and a message", json!({ "__type": "ValidationException", "Message": wanted })),
        (
            "an empty message beside the reason",
            json!({ "error": { "message": "" }, "detail": wanted }),
        ),
        (
            "a problem document",
            json!({ "type": "about:blank", "title": "Bad Request", "status": 400, "detail": wanted }),
        ),
        (
            "the words of a server behind a router",
            json!({ "error": { "message": "Provider returned error", "code": 400, "metadata": { "raw": raw, "provider_name": "Q" } } }),
        ),
        ("JSON in the message", json!({ "error": { "message": raw, "type": "proxy" } })),
        (
            "an error description",
            json!({ "error": "invalid_request", "error_description": wanted }),
        ),
        ("only a text", json!(wanted)),
        ("a key that is called msg", json!({ "code": 1214, "msg": wanted, "success": false })),
    ] {
        for status in [400, 200] {
            let value = value.clone();
            rows.push(row(format!("{status}: {name}"), move || {
                for wire in WIRES {
                    let ran = only(wire, fault(status, JSON, value.to_string()));
                    ran.fails_telling(&[wanted]);
                }
            }));
        }
    }
    for (name, kind, bytes, words) in [
        ("plain words", "text/plain", wanted.to_owned().into_bytes(), vec![wanted]),
        ("words without a type", "", wanted.to_owned().into_bytes(), vec![wanted]),
        ("a page with a title", "text/html", b"<!DOCTYPE html>\n<html><head><title>Access\n denied</title></head><body><script>var a='x'</script>no</body></html>".to_vec(), vec!["HTML", "denied"]),
        ("a page in capitals, without a title", "text/html; charset=utf-8", b"<HTML><BODY><H1>Not Acceptable</H1></BODY></HTML>".to_vec(), vec!["HTML"]),
        ("a page that says that it is JSON", JSON, b"  \r\n<html><head><title>Sign in</title></head></html>".to_vec(), vec!["HTML", "Sign in"]),
        ("XML", "application/xml", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>the vault is closed on Sundays</Message></Error>".to_vec(), vec![wanted]),
        ("a byte order mark", JSON, [b"\xef\xbb\xbf".to_vec(), raw.clone().into_bytes()].concat(), vec![wanted]),
        ("cut in the middle", JSON, raw.as_bytes()[..raw.len() - 3].to_vec(), vec![wanted]),
        ("an event", "text/event-stream", format!("event: error\ndata: {raw}\n\n").into_bytes(), vec![wanted]),
        ("nothing", JSON, Vec::new(), vec!["400"]),
        ("null", JSON, b"null".to_vec(), vec!["400"]),
        ("an empty object", JSON, b"{}".to_vec(), vec!["400"]),
        ("a number as the error", JSON, b"{\"error\":4711}".to_vec(), vec!["4711"]),
        ("nothing but binary", "application/octet-stream", vec![0, 159, 146, 150, 0, 1, 2, 255], vec!["400"]),
    ] {
        rows.push(row(format!("400: {name}"), move || {
            let ran = only(Wire::Chat, fault(400, kind, bytes));
            ran.fails_telling(&words);
        }));
    }
    for (status, code) in [(502, 8), (401, 4), (429, 6), (500, 8), (418, 8), (302, 8)] {
        rows.push(row(format!("{status} with an empty body is named by its number"), move || {
            for wire in WIRES {
                let ran = only(wire, fault(status, "text/html", ""));
                ran.fails_telling(&[&status.to_string()]);
                ran.finished.assert_code(code);
            }
        }));
    }
    rows.push(row("400: latin 1", || {
        let bytes =
            b"{\"error\":{\"message\":\"the vault is closed on Sundays, se\xf1or\"}}".to_vec();
        let ran = only(Wire::Chat, fault(400, JSON, bytes));
        ran.finished.assert_code(8);
        any(&ran.told(), &["test: the vault is closed on Sundays, se\u{fffd}or (400"]);
    }));
    table("siblings: words in bodies", &[], rows);
}

#[test]
fn events_and_choices() {
    let mut rows = Vec::new();
    let wanted = "the vault is closed on Sundays";
    let error = json!({ "message": wanted, "code": 4711 });
    let mut beside = said_chunk("");
    beside["error"] = error.clone();
    let mut in_choice = said_chunk("");
    in_choice["choices"][0]["error"] = json!(wanted);
    let mut in_message = finish("error");
    in_message["choices"][0]["message"] = json!({ "error": error });
    let chat: Vec<(&str, String)> = vec![
        ("a string in the middle", sse(&[said_chunk("hel"), json!({ "error": wanted })])),
        ("a list in the middle", sse(&[said_chunk("hel"), json!([{ "error": error }])])),
        ("beside choices", sse(&[beside]) + DONE),
        ("a string in a choice, without a reason", sse(&[in_choice]) + DONE),
        ("in a delta", sse(&[chunk(json!({ "error": error }), json!("error"))]) + DONE),
        ("in the message of a choice", sse(&[in_message]) + DONE),
        ("an event of plain words", format!("event: error\ndata: {wanted}\n\n")),
        ("an object with a type", sse(&[json!({ "type": "error", "error": error })])),
        (
            "flat, with the object named",
            sse(&[
                json!({ "object": "error", "message": wanted, "type": "Internal", "code": 400 }),
            ]),
        ),
        ("a line that is no event at all", json!({ "error": error }).to_string()),
        (
            "lines of JSON without data",
            format!("{}\n{}\n", said_chunk("hel"), json!({ "error": error })),
        ),
        (
            "behind the reason of the end",
            sse(&[said_chunk("hel"), finish("stop"), json!({ "error": error })]),
        ),
    ];
    for (name, bytes) in chat {
        rows.push(row(format!("chat: {name}"), move || {
            only(Wire::Chat, stream(bytes)).fails_telling(&[wanted]);
        }));
    }
    let responses: Vec<(&str, Vec<Value>)> = vec![
        (
            "flat",
            vec![
                created(),
                json!({ "type": "error", "code": "server_error", "message": wanted, "param": null }),
            ],
        ),
        ("an object", vec![created(), json!({ "type": "error", "error": error })]),
        ("a string", vec![created(), json!({ "type": "error", "error": wanted })]),
        (
            "failed with a string",
            vec![created(), last("failed", json!({ "status": "failed", "error": wanted }))],
        ),
        (
            "failed, the error beside the response",
            vec![
                created(),
                json!({ "type": "response.failed", "response": { "status": "failed" }, "error": error }),
            ],
        ),
        (
            "failed, in the details of the status",
            vec![
                created(),
                last(
                    "failed",
                    json!({ "status": "failed", "error": null, "status_details": { "error": error } }),
                ),
            ],
        ),
        (
            "completed with an error in it",
            vec![created(), last("completed", json!({ "status": "failed", "error": error }))],
        ),
        ("no type, an error", vec![json!({ "error": error })]),
    ];
    for (name, list) in responses {
        rows.push(row(format!("responses: {name}"), move || {
            only(Wire::Responses, stream(sse(&list))).fails_telling(&[wanted]);
        }));
    }
    for wire in WIRES {
        for (kind, code) in [
            ("rate_limit_exceeded", 6),
            ("insufficient_quota", 6),
            ("invalid_api_key", 4),
            ("context_length_exceeded", 7),
            ("invalid_prompt", 8),
        ] {
            rows.push(row(
                format!("{wire:?}: an error in the stream has its class: {kind}"),
                move || {
                    let ran = only(wire, say("hel").failed(kind, wanted));
                    ran.fails_telling(&[wanted]);
                    ran.finished.assert_code(code);
                },
            ));
        }
        rows.push(row(
            format!("{wire:?}: words with terminal commands do not reach the terminal"),
            move || {
                let words = "the vault \u{1b}[31mis\u{1b}]0;title\u{7} closed\u{9b}2J";
                let value = json!({ "error": { "message": words } });
                let server =
                    ModelServer::start(Script::always(fault(400, JSON, value.to_string())));
                let stage = troupe_tests::stage::Stage::new().with_wire(&server, wire);
                let finished = stage.troupe(["exec", "go"]).run();
                finished.assert_code(8);
                any(&finished.stderr(), &["the vault"]);
                assert!(
                    !finished.stderr().contains(['\u{1b}', '\u{7}', '\u{9b}']),
                    "{:?}",
                    finished.stderr()
                );
            },
        ));
    }
    table("siblings: words in events", &[], rows);
}
