//! How an answer ends, what it says of its failure, and what it counts, wherever a server writes it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use support::{endpoint, lines};
use troupe_providers::{ModelError, Retry, Wire, read_recorded};
use troupe_types::ErrorClass;

/// The lines of an answer, which must be the same one byte at a time.
fn read(wire: Wire, body: &str) -> (Vec<String>, Result<(), ModelError>) {
    let (events, whole) = read_recorded(&endpoint(wire), &[], [body.as_bytes()]);
    let (pieced, result) = read_recorded(&endpoint(wire), &[], body.as_bytes().chunks(1));
    assert_eq!(lines(&events), lines(&pieced), "{body}");
    assert_eq!(whole, result, "{body}");
    (lines(&events), result)
}

fn stream(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

#[test]
fn a_chat_answer_ends_at_its_own_end() {
    let say = |text: &str, finish: &str| chunk(json!({"content": text}), json!(finish));
    let message = |text: &str| json!({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]});
    for (name, events) in [
        ("a reason on every chunk", vec![say("a", "stop"), say("b", "stop")]),
        ("a reason that is none", vec![say("a", "null"), say("b", "None"), say("", "stop")]),
        ("words after the reason", vec![say("a", "stop"), say("b", "")]),
        ("the whole again", vec![say("a", ""), say("b", ""), message("ab")]),
        ("the rest in the whole", vec![say("a", ""), message("ab")]),
        ("only the whole", vec![message("ab")]),
    ] {
        for end in ["data: [DONE]\n\n", ""] {
            let (seen, result) = read(Wire::Chat, &(stream(&events) + end));
            assert_eq!(result, Ok(()), "{name}");
            assert_eq!(
                seen[seen.len() - 2..],
                ["done 0 assistant - ab", "completed - None"],
                "{name}"
            );
        }
    }
    let cut = stream(&[say("a", "null")]);
    assert!(read(Wire::Chat, &cut).1.is_err(), "a reason that is none is no end");
}

#[test]
fn words_that_come_only_as_a_whole_are_said_once() {
    let event = |kind: &str, part: u32, more: Value| {
        let mut event =
            json!({"type": kind, "item_id": "m", "output_index": 0, "content_index": part});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let done = |part, text: &str| event("response.output_text.done", part, json!({"text": text}));
    let delta =
        |part, text: &str| event("response.output_text.delta", part, json!({"delta": text}));
    let part = |part, text: &str| {
        event(
            "response.content_part.done",
            part,
            json!({"part": {"type": "output_text", "text": text}}),
        )
    };
    let end =
        json!({"type": "response.completed", "response": {"status": "completed", "output": []}});
    let empty = json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "id": "m", "content": []}});
    for events in [
        vec![done(0, "ab")],
        vec![part(0, "ab")],
        vec![delta(0, "a"), delta(0, "b"), done(0, "ab"), part(0, "ab")],
        vec![done(0, "a"), part(0, "a"), done(1, "b"), part(1, "b")],
        vec![event("response.refusal.done", 0, json!({"refusal": "ab"}))],
        vec![done(0, "ab"), empty],
    ] {
        let (seen, result) =
            read(Wire::Responses, &stream(&[&events[..], std::slice::from_ref(&end)].concat()));
        assert_eq!(result, Ok(()));
        let said = &seen[seen.len() - 2];
        assert!(said.starts_with("done 0 assistant") && said.ends_with(" ab"), "{seen:?}");
    }
}

#[test]
fn a_response_that_failed_is_not_complete_whatever_the_event_is_called() {
    let completed =
        |more: Value| stream(&[json!({"type": "response.completed", "response": more})]);
    let call = json!({"type": "function_call", "call_id": "a", "name": "sh", "arguments": "{}"});
    let message = json!({"type": "message", "content": [{"type": "output_text", "text": "half"}]});
    let error = json!({"code": "rate_limit_exceeded", "message": "slow down"});
    let cut = json!({"reason": "max_output_tokens"});
    for (response, class, part) in [
        (
            json!({"status": "failed", "output": [call], "error": error}),
            ErrorClass::RateLimit,
            "slow down",
        ),
        (
            json!({"status": "completed", "output": [], "error": error}),
            ErrorClass::RateLimit,
            "slow down",
        ),
        (json!({"status": "failed", "output": []}), ErrorClass::Server, "failed"),
        (json!({"status": "cancelled", "output": [call]}), ErrorClass::Server, "cancelled"),
        (
            json!({"status": "incomplete", "output": [call], "incomplete_details": cut}),
            ErrorClass::InvalidRequest,
            "limit",
        ),
        (
            json!({"status": "incomplete", "output": [], "incomplete_details": {"reason": "content_filter"}}),
            ErrorClass::InvalidRequest,
            "filter",
        ),
    ] {
        let (seen, result) = read(Wire::Responses, &completed(response));
        let error = result.expect_err(part);
        assert_eq!(error.failure.class, class, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!seen.iter().any(|line| line.contains(" call ")), "{seen:?}");
    }
    let half = json!({"status": "incomplete", "output": [message], "incomplete_details": cut});
    let (seen, result) = read(Wire::Responses, &completed(half));
    assert_eq!((seen[1].as_str(), result), ("done 0 assistant - cut half", Ok(())));
}

#[test]
fn the_words_of_a_server_are_found_wherever_it_puts_them() {
    use ErrorClass::{Auth, InvalidRequest, Network, Quota, RateLimit, Server};
    let in_choice = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "idle upstream"}}]});
    let groq = json!({"id": "g", "choices": [], "x_groq": {"error": "over capacity"}});
    let routed = json!({"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "busy just now", "provider_name": "Q"}}, "choices": [{"delta": {}, "finish_reason": "error"}]});
    for (wire, body, class, parts) in [
        (Wire::Chat, stream(&[in_choice]), Server, &["idle upstream", "502"][..]),
        (
            Wire::Chat,
            stream(&[json!({"choices": [{"error": {"code": 401, "message": "bad key"}}]})]),
            Auth,
            &["bad key", "401"],
        ),
        (Wire::Chat, stream(&[groq]), Server, &["over capacity"]),
        (Wire::Chat, stream(&[routed]), RateLimit, &["busy just now", "429"]),
        (Wire::Chat, stream(&[json!({"error": "only words"})]), Server, &["only words"]),
        (Wire::Chat, stream(&[json!({"error": {"message": "x"}, "detail": "y"})]), Server, &["x"]),
        (Wire::Chat, stream(&[json!({"detail": "not allowed"})]), Server, &["not allowed"]),
        (
            Wire::Chat,
            stream(&[json!({"object": "error", "message": "vllm says", "code": 400})]),
            InvalidRequest,
            &["vllm says", "400"],
        ),
        (
            Wire::Chat,
            stream(&[json!({"code": "402", "message": "no credit"})]),
            Quota,
            &["no credit"],
        ),
        (
            Wire::Chat,
            stream(&[json!({"base_resp": {"status_code": 1004, "status_msg": "login fail"}})]),
            Server,
            &["login fail", "1004"],
        ),
        (Wire::Chat, "event: error\ndata: gone away\n\n".to_owned(), Server, &["gone away"]),
        (Wire::Chat, "{\"detail\": \"as a document\"}".to_owned(), Server, &["as a document"]),
        (
            Wire::Responses,
            stream(&[json!({"error": {"message": "top level", "code": 503}})]),
            Server,
            &["top level", "503"],
        ),
        (Wire::Responses, stream(&[json!({"detail": "not allowed"})]), Server, &["not allowed"]),
        (
            Wire::Responses,
            stream(&[
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
            ]),
            Server,
            &["busy", "overloaded_error"],
        ),
        (Wire::Responses, "{\"detail\": \"as a document\"}".to_owned(), Server, &["as a document"]),
        (
            Wire::Chat,
            "upstream connect error or disconnect".to_owned(),
            Network,
            &["upstream connect error"],
        ),
        (
            Wire::Chat,
            "<!DOCTYPE html><title>Sign in</title>".to_owned(),
            InvalidRequest,
            &["an HTML page", "Sign in", "base_url"],
        ),
        (
            Wire::Responses,
            "\n<html><body><h1>It works</h1>".to_owned(),
            InvalidRequest,
            &["an HTML page", "It works"],
        ),
    ] {
        let (_, result) = read(wire, &body);
        let error = result.expect_err(&body);
        assert_eq!(error.failure.class, class, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    let wait = json!({"error": {"code": 429, "message": "quota", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}});
    let (_, result) = read(Wire::Chat, &stream(&[wait]));
    assert_eq!(result.unwrap_err().retry, Retry::After(std::time::Duration::from_millis(34_500)));
}

#[test]
fn what_is_no_error_is_not_taken_for_one() {
    for odd in [
        json!({"error": null, "choices": [{"delta": {"content": ""}, "error": null}]}),
        json!({"error": {}, "choices": []}),
        json!({"error": "", "choices": []}),
        json!({"choices": [], "base_resp": {"status_code": 0, "status_msg": ""}}),
        json!({"base_resp": {"status_code": 0}}),
        json!({"type": "ping"}),
        json!({"message": "loading the model"}),
    ] {
        let (_, result) = read(
            Wire::Chat,
            &stream(&[odd.clone(), chunk(json!({"content": "ok"}), json!("stop"))]),
        );
        assert_eq!(result, Ok(()), "{odd}");
    }
}

#[test]
fn tokens_are_counted_in_the_members_of_every_vendor() {
    let figures = |more: Value| {
        let mut last = json!({"choices": []});
        last.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stream(&[chunk(json!({"content": "x"}), json!("stop")), last])
    };
    for (more, expected) in [
        (
            json!({"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}),
            "in 3/0/0 out 2/0 total 5",
        ),
        (
            json!({"x_groq": {"id": "r", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_time": 0.1}}}),
            "in 3/0/0 out 2/0 total 5",
        ),
        (json!({"usage": {"input_tokens": 3, "output_tokens": 2}}), "in 3/0/0 out 2/0 total 5"),
        (
            json!({"usage": {"prompt_tokens": 3.0, "completion_tokens": null, "total_tokens": "3"}}),
            "in 3/0/0 out 0/0 total 3",
        ),
        (
            json!({"usage": {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 1}}),
            "in 3/1/0 out 2/0 total 5",
        ),
        (
            json!({"usage": {"prompt_tokens": 9, "completion_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1}}),
            "in 9/4/1 out 2/0 total 11",
        ),
        (
            json!({"usage": {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}}),
            "in 3/0/0 out 2/1 total 5",
        ),
        (
            json!({"usage": {"prompt_tokens": 13, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 5}}),
            "in 13/8/0 out 4/0 total 17",
        ),
        (
            json!({"usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": [], "completion_tokens_details": "none"}}),
            "in 3/0/0 out 2/0 total 5",
        ),
        (
            json!({"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}]}),
            "in 3/0/0 out 2/0 total 5",
        ),
    ] {
        let (seen, _) = read(Wire::Chat, &figures(more.clone()));
        assert_eq!(seen.last().unwrap(), &format!("completed {expected} None"), "{more}");
    }
    // Before the end, without choices, and figures that grow.
    let usage = |n: u64| json!({"usage": {"prompt_tokens": 3, "completion_tokens": n}});
    let early = [usage(1), usage(2), chunk(json!({"content": "x"}), json!("stop"))];
    assert!(read(Wire::Chat, &stream(&early)).0.last().unwrap().contains("in 3/0/0 out 2/0"));
    let zeros = json!({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}});
    let body =
        figures(json!({"usage": {"prompt_tokens": 3, "completion_tokens": 2}})) + &stream(&[zeros]);
    assert!(read(Wire::Chat, &body).0.last().unwrap().contains("in 3/0/0"));
}
