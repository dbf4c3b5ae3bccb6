//! Recorded answers of each server's dialect, whole and in any pieces.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use proptest::prelude::*;
use std::{fs, path::Path};
use support::{endpoint, lines, patch_tool};
use troupe_providers::{ModelError, Retry, Wire, read_recorded};
use troupe_types::ErrorClass;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn wire_of(name: &str) -> Wire {
    if name.starts_with("chat") { Wire::Chat } else { Wire::Responses }
}

fn read<'a>(
    wire: Wire,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Result<(), ModelError>) {
    let (events, result) = read_recorded(&endpoint(wire), &[patch_tool()], pieces);
    (lines(&events), result)
}

const RECORDED: &[(&str, &[&str])] = &[
    (
        "chat-llamacpp.sse",
        &[
            "opened chatcmpl-Q1w2E3r4",
            "reasoning 0 Let me ",
            "reasoning 0 look.",
            "text 1 Grüße 🦀",
            r#"done 0 reasoning [] ["Let me look."] {"reasoning_content":"Let me look."}"#,
            "done 1 assistant - Grüße 🦀",
            r#"done 2 call Zx81 shell json {"command":"ls"}"#,
            "completed in 100/80/0 out 20/0 total 120 None",
        ],
    ),
    (
        "chat-vllm.sse",
        &[
            "opened chatcmpl-7f3c",
            "reasoning 0 Hm",
            "text 1 Two calls.",
            r#"done 0 reasoning [] ["Hm"] {"reasoning_content":"Hm"}"#,
            "done 1 assistant - Two calls.",
            r#"done 2 call chatcmpl-tool-aa read json {"path": "a"}"#,
            r#"done 3 call chatcmpl-tool-bb read json {"path": "b"}"#,
            "completed in 7/0/0 out 3/0 total 10 None",
        ],
    ),
    (
        "chat-ollama.sse",
        &[
            "opened chatcmpl-551",
            "reasoning 0 thinking",
            r#"done 0 reasoning [] ["thinking"] {"reasoning":"thinking"}"#,
            r#"done 1 call call_a1 shell json {"command":"ls"}"#,
            r#"done 2 call call_b2 shell json {"command":"pwd"}"#,
            "completed in 5/0/0 out 6/0 total 11 None",
        ],
    ),
    (
        "chat-lmstudio.sse",
        &[
            "opened chatcmpl-lms",
            "text 0 One",
            "text 0  word",
            "done 0 assistant - One word",
            "completed - None",
        ],
    ),
    (
        "chat-bare.sse",
        &[
            "opened -",
            "text 0 a",
            "done 0 assistant - a",
            r#"done 1 call  read json {"path": "x"}"#,
            r#"done 2 call  read json {"path": "y"}"#,
            "completed - None",
        ],
    ),
    (
        "chat-openrouter.sse",
        &[
            "opened gen-17",
            "reasoning 0 Plan",
            "text 1 Hi",
            r#"done 0 reasoning [] ["Plan"] {"reasoning_details":[{"type": "reasoning.text", "text": "Plan", "format": "x", "index": 0},{"type": "reasoning.encrypted", "data": "AAA=", "index": 0}]}"#,
            "done 1 assistant - Hi",
            "completed in 10/0/0 out 4/2 total 14 None",
        ],
    ),
    (
        "chat-deepseek.sse",
        &[
            "opened ds-1",
            "reasoning 0 Because",
            "text 1 Yes",
            r#"done 0 reasoning [] ["Because"] {"reasoning_content":"Because"}"#,
            "done 1 assistant - Yes",
            "completed in 9/4/0 out 3/0 total 12 None",
        ],
    ),
    (
        "chat-gemini.sse",
        &[
            "opened gm",
            r#"done 0 call function-call-1 read json {"path":"a"} with {"extra_content":{"google": {"thought_signature": "SIG=="}}}"#,
            "completed in 3/0/0 out 2/0 total 5 None",
        ],
    ),
    (
        "chat-mistral.sse",
        &[
            "opened ms",
            "reasoning 0 hmm",
            "text 1 Bon",
            "text 1 jour",
            r#"done 0 reasoning [] ["hmm"] {"reasoning_content":"hmm"}"#,
            "done 1 assistant - Bonjour",
            "completed in 1/0/0 out 2/0 total 3 None",
        ],
    ),
    (
        "chat-multiline.sse",
        &["opened pp", "text 0 multi", "done 0 assistant - multi", "completed - None"],
    ),
    (
        "chat-legacy.sse",
        &["opened fc", r#"done 0 call  read json {"path":"a"}"#, "completed - None"],
    ),
    (
        "chat-document.json",
        &[
            "opened doc",
            "text 0 whole",
            "done 0 assistant - whole",
            "done 1 call c1 read json {}",
            "completed in 1/0/0 out 2/0 total 3 None",
        ],
    ),
    (
        "chat-surrogate.sse",
        &[
            "opened s",
            "text 0 x\u{FFFD}",
            "text 0 y\u{FFFD}",
            "done 0 assistant - x\u{FFFD}y\u{FFFD}",
            "completed - None",
        ],
    ),
    (
        "responses-openai.sse",
        &[
            "opened resp_1",
            "reasoning 0 Plan A",
            "reasoning 0 \n\n",
            "reasoning 0 Plan B",
            r#"done 0 reasoning ["Plan A", "Plan B"] [] {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Plan A"}, {"type": "summary_text", "text": "Plan B"}], "encrypted_content": "gAAAA="}"#,
            "text 1 Hello ",
            "text 1 world",
            "done 1 assistant msg_1 (commentary) Hello world",
            r#"done 2 call call_1 shell json {"command":"ls"}"#,
            r#"done 3 call call_2 apply_patch text "*** Begin Patch\n*** End Patch\n""#,
            r#"done 4 opaque web_search_call {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}"#,
            "completed in 100/64/8 out 30/12 total 130 None",
        ],
    ),
    (
        "responses-minimal.sse",
        &[
            "opened r",
            "text 0 o",
            "text 0 k",
            "done 0 assistant msg_1 ok",
            r#"done 1 call c1 shell json {"command": "ls"}"#,
            "completed in 10/0/0 out 5/0 total 15 Some(false)",
        ],
    ),
    (
        "responses-late.sse",
        &[
            "opened late",
            "text 0 abc",
            "done 0 assistant msg_1 (commentary) Hello world",
            "completed - None",
        ],
    ),
    (
        "responses-never.sse",
        &["opened never", "text 0 abc", "done 0 assistant - abc", "completed - None"],
    ),
    (
        "responses-document.json",
        &[
            "opened doc",
            "done 0 assistant msg_1 (commentary) Hello world",
            "completed in 1/0/0 out 2/0 total 3 None",
        ],
    ),
    (
        "responses-built-in.sse",
        &[
            "opened resp_1",
            r##"done 0 opaque web_search_call {"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"x"}}"##,
            r##"done 1 call a shell json {"command":["ls","-a"]} with {"id":"lsh_1","type":"local_shell_call","status":"completed","call_id":"a","action":{"type":"exec","command":["ls","-a"],"env":{},"timeout_ms":null}}"##,
            r##"done 2 call b apply_patch json {"input":"*** Begin Patch\n*** Add File: a.md\n+# A\n+\n*** End Patch"} with {"id":"apc_1","type":"apply_patch_call","status":"completed","call_id":"b","operation":{"type":"create_file","path":"a.md","diff":"+# A\n+\n"}}"##,
            r##"done 3 call c shell json {"command":"pwd"} with {"id":"sh_1","type":"shell_call","status":"completed","call_id":"c","action":{"commands":["pwd"],"max_output_length":99,"timeout_ms":null}}"##,
            r##"done 4 call mcpr_1 mcp_approval_request json {"to":"x"} with {"id":"mcpr_1","type":"mcp_approval_request","server_label":"s","name":"send","arguments":"{\"to\":\"x\"}"}"##,
            "completed in 9/0/0 out 4/0 total 13 None",
        ],
    ),
    (
        "chat-types.sse",
        &[
            "opened c1",
            r#"done 0 call a apply_patch text "*** Begin Patch\n*** End Patch""#,
            r#"done 1 call b coffee json {"cups":2}"#,
            "completed in 13/8/0 out 4/0 total 17 None",
        ],
    ),
];

#[test]
fn every_recording_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let mut listed: Vec<_> = RECORDED.iter().map(|(name, _)| (*name).to_owned()).collect();
    files.sort();
    listed.sort();
    assert_eq!(files, listed);
}

#[test]
fn every_dialect_reads_as_the_same_events() {
    for (name, expected) in RECORDED {
        let bytes = fixture(name);
        let (events, result) = read(wire_of(name), [&bytes[..]]);
        assert_eq!(events, *expected, "{name}");
        assert_eq!(result, Ok(()), "{name}");
    }
}

#[test]
fn one_byte_at_a_time_makes_no_difference() {
    for (name, expected) in RECORDED {
        let bytes = fixture(name);
        let (events, result) = read(wire_of(name), bytes.chunks(1));
        assert_eq!(events, *expected, "{name}");
        assert_eq!(result, Ok(()), "{name}");
    }
}

#[test]
fn a_stream_that_stops_early_is_cut_and_never_complete() {
    for (name, _) in RECORDED.iter().filter(|(name, _)| name.ends_with(".sse")) {
        let bytes = fixture(name);
        let first = bytes.windows(2).position(|pair| pair == b"\n\n" || pair == b"\r\n").unwrap();
        let (events, result) = read(wire_of(name), [&bytes[..first + 4]]);
        if result.is_ok() {
            // Their first event is already the whole answer.
            assert!(["chat-gemini.sse", "chat-multiline.sse"].contains(name), "{name}: {events:?}");
            continue;
        }
        let error = result.unwrap_err();
        assert_eq!(error.retry, Retry::Backoff, "{name}: {error}");
        assert_eq!(error.failure.class, ErrorClass::Network, "{name}: {error}");
        assert!(!events.iter().any(|event| event.starts_with("completed")), "{name}");
    }
}

#[test]
fn a_custom_tool_offered_as_a_function_comes_back_as_text() {
    for arguments in [r#"{"input":"*** Begin"}"#, r#"{"patch":"*** Begin"}"#, "*** Begin"] {
        let call = serde_json::json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a",
            "function": {"name": "apply_patch", "arguments": arguments}}]}, "finish_reason": "stop"}]});
        let (events, _) = read(Wire::Chat, [format!("data: {call}\n\n").as_bytes()]);
        assert_eq!(events[1], r#"done 0 call a apply_patch text "*** Begin""#, "{arguments}");
        let item = serde_json::json!({"type": "response.output_item.done", "item": {
            "type": "function_call", "call_id": "a", "name": "apply_patch", "arguments": arguments}});
        let (events, _) = read(Wire::Responses, [format!("data: {item}\n\n").as_bytes()]);
        assert_eq!(events[1], r#"done 0 call a apply_patch text "*** Begin""#, "{arguments}");
    }
}

#[test]
fn broken_arguments_are_passed_through() {
    let chunk = r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"read","arguments":"{\"path\": "}}]},"finish_reason":"tool_calls"}]}"#;
    let (events, result) = read(Wire::Chat, [chunk.as_bytes()]);
    assert_eq!(events[1], r#"done 0 call a read json {"path": "#);
    assert_eq!(result, Ok(()));
}

#[test]
fn errors_inside_a_stream_have_their_class() {
    use ErrorClass::*;
    let failed = |code: &str, message: &str| {
        let error = serde_json::json!({"code": code, "message": message});
        let event = serde_json::json!({"type": "response.failed", "response": {"id": "r", "status": "failed", "error": error}});
        format!("event: response.failed\ndata: {event}\n\n")
    };
    let chat = |error: &str| format!("data: {{\"error\":{error}}}\n\n");
    let seconds = |s: f64| Retry::After(std::time::Duration::from_secs_f64(s));
    let cases = [
        (Wire::Responses, failed("context_length_exceeded", "too long"), ContextWindow, Retry::Never),
        (Wire::Responses, failed("insufficient_quota", "pay"), Quota, Retry::Never),
        (Wire::Responses, failed("invalid_prompt", "no"), InvalidRequest, Retry::Never),
        (Wire::Responses, failed("server_is_overloaded", "busy"), Server, Retry::Backoff),
        (Wire::Responses, failed("rate_limit_exceeded", "Please try again in 1.5s."), RateLimit, seconds(1.5)),
        (Wire::Responses, failed("rate_limit_exceeded", "Try again in 28ms."), RateLimit, seconds(0.028)),
        (Wire::Responses, failed("rate_limit_exceeded", "slow"), RateLimit, Retry::Backoff),
        (Wire::Responses, failed("weird", "?"), Server, Retry::Backoff),
        (Wire::Responses, "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\"}\n\n".into(), Server, Retry::Backoff),
        (Wire::Responses, "data: {\"error\":{\"code\":500,\"message\":\"x\",\"type\":\"server_error\"}}\n\n".into(), Server, Retry::Doubtful { most: 2 }),
        (Wire::Chat, chat(r#"{"message":"boom","code":502}"#), Server, Retry::Backoff),
        (Wire::Chat, chat(r#""just text""#), Server, Retry::Backoff),
        (Wire::Chat, chat(r#"{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}"#), ContextWindow, Retry::Never),
        (Wire::Chat, "error: {\"code\":500,\"message\":\"old\",\"type\":\"server_error\"}\n\n".into(), Server, Retry::Doubtful { most: 2 }),
        (Wire::Chat, r#"{"error":{"message":"nope","type":"invalid_request_error"}}"#.into(), InvalidRequest, Retry::Never),
        (Wire::Chat, chat(r#"{"code":500,"message":"image input is not supported","type":"server_error"}"#), Server, Retry::Doubtful { most: 2 }),
        (Wire::Chat, chat(r#"{"code":500,"message":"no","type":"not_supported_error"}"#), InvalidRequest, Retry::Never),
        (Wire::Responses, failed("rate_limit_exceeded", "try again in 2 days"), RateLimit, seconds(172_800.0)),
        (Wire::Responses, failed("model_not_found", "no such thing"), InvalidRequest, Retry::Never),
        (Wire::Chat, r#"{"error":{"message":"bad key","code":"invalid_api_key"}}"#.into(), Auth, Retry::Never),
    ];
    for (wire, stream, class, retry) in cases {
        let (_, result) = read(wire, [stream.as_bytes()]);
        let error = result.expect_err(&stream);
        assert_eq!((error.failure.class, error.retry), (class, retry), "{stream}: {error}");
    }
}

#[test]
fn an_answer_that_reached_the_limit_of_tokens_keeps_its_text_as_cut() {
    let chat = r#"data: {"choices":[{"delta":{"content":"half"},"finish_reason":"length"}]}"#;
    let responses = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"half\"}\n\ndata: {\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}}\n\n";
    for (wire, stream) in [(Wire::Chat, chat), (Wire::Responses, responses)] {
        let (events, result) = read(wire, [stream.as_bytes()]);
        assert_eq!(events[1..3], ["text 0 half", "done 0 assistant - cut half"], "{wire:?}");
        result.unwrap();
    }
}

#[test]
fn an_answer_stopped_by_the_provider_fails_and_its_calls_are_not_run() {
    let call = r#"data: {"choices":[{"delta":{"content":"half","tool_calls":[{"index":0,"function":{"name":"read","arguments":"{}"}}]},"finish_reason":"length"}]}"#;
    let filter =
        r#"data: {"choices":[{"delta":{"content":"half"},"finish_reason":"content_filter"}]}"#;
    for (stream, why) in [(call, "limit of output tokens"), (filter, "content filter")] {
        let (events, result) = read(Wire::Chat, [stream.as_bytes()]);
        assert_eq!(events[1..], ["text 0 half", "done 0 assistant - cut half"], "{why}");
        let error = result.unwrap_err();
        assert_eq!(error.retry, Retry::Never);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn only_garbage_is_an_error_that_names_the_setting() {
    for body in ["<html><body>hi</body></html>", "data: x\n\ndata: y\n\n", "[1,2]", "{\"a\":1}"] {
        let (events, result) = read(Wire::Chat, [body.as_bytes()]);
        let error = result.unwrap_err().to_string();
        assert!(events.is_empty(), "{body}: {events:?}");
        assert!(error.contains("model_providers.mock.base_url"), "{error}");
    }
}

/// Cuts bytes at the places given, which may be any numbers.
fn cut_at(bytes: &[u8], mut places: Vec<usize>) -> Vec<&[u8]> {
    places.iter_mut().for_each(|place| *place %= bytes.len() + 1);
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_events(which in 0..RECORDED.len(), places in prop::collection::vec(any::<usize>(), 0..12)) {
        let (name, expected) = RECORDED[which];
        let bytes = fixture(name);
        let (events, result) = read(wire_of(name), cut_at(&bytes, places));
        prop_assert_eq!(events, expected, "{}", name);
        prop_assert!(result.is_ok());
    }

    #[test]
    fn any_bytes_are_survived(chat in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..400), places in prop::collection::vec(any::<usize>(), 0..4)) {
        let wire = if chat { Wire::Chat } else { Wire::Responses };
        prop_assert_eq!(read(wire, [&bytes[..]]), read(wire, cut_at(&bytes, places)));
    }

    #[test]
    fn a_damaged_recording_reads_the_same_in_any_pieces(which in 0..RECORDED.len(), at in any::<usize>(), byte in any::<u8>(), gone in 0usize..400, places in prop::collection::vec(any::<usize>(), 0..12)) {
        let (name, _) = RECORDED[which];
        let mut bytes = fixture(name);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.drain(at..(at + gone).min(bytes.len()));
        let whole = read(wire_of(name), [&bytes[..]]);
        prop_assert_eq!(&whole, &read(wire_of(name), cut_at(&bytes, places)), "{}", name);
        prop_assert_eq!(&whole, &read(wire_of(name), bytes.chunks(1)), "{}", name);
    }
}

#[test]
fn an_answer_that_reached_the_limit_of_tokens_before_its_first_word_is_none() {
    let chat = |delta: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":\"length\"}}]}}\n\n")
    };
    let incomplete = |output: &str| {
        format!(
            "data: {{\"type\":\"response.incomplete\",\"response\":{{\"output\":{output},\"incomplete_details\":{{\"reason\":\"max_output_tokens\"}}}}}}\n\n"
        )
    };
    let thought = "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[]}}\n\n";
    let began = "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"name\":\"read\"}}\n\n";
    for (wire, stream, class) in [
        (Wire::Chat, chat("{}"), ErrorClass::NoAnswer),
        (Wire::Chat, chat(r#"{"content":""}"#), ErrorClass::NoAnswer),
        (Wire::Chat, chat(r#"{"content":"\n"}"#), ErrorClass::NoAnswer),
        (Wire::Chat, chat(r#"{"reasoning_content":"hm"}"#), ErrorClass::NoAnswer),
        (Wire::Responses, incomplete("[]"), ErrorClass::NoAnswer),
        (Wire::Responses, format!("{thought}{}", incomplete("[]")), ErrorClass::NoAnswer),
        // A call that was cut is another matter.
        (Wire::Responses, format!("{began}{}", incomplete("[]")), ErrorClass::InvalidRequest),
        (
            Wire::Responses,
            incomplete(r#"[{"type":"function_call","name":"read"}]"#),
            ErrorClass::InvalidRequest,
        ),
    ] {
        let (_, result) = read(wire, [stream.as_bytes()]);
        let error = result.expect_err(&stream);
        assert_eq!((error.failure.class, error.retry), (class, Retry::Never), "{stream}: {error}");
    }
}
