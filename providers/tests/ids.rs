//! A call that the model made once is one call, however the answer names it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use support::{endpoint, lines};
use troupe_providers::{ModelError, Wire, read_recorded};

const ONE: &str = "a sh json {\"c\":1}";
const TWO: &str = "b sh json {\"c\":2}";

/// The lines of an answer, which must be the same one byte at a time.
fn read(wire: Wire, body: &str) -> (Vec<String>, Result<(), ModelError>) {
    let (events, whole) = read_recorded(&endpoint(wire), &[], [body.as_bytes()]);
    let (pieced, result) = read_recorded(&endpoint(wire), &[], body.as_bytes().chunks(1));
    assert_eq!(lines(&events), lines(&pieced), "{body}");
    assert_eq!(whole, result, "{body}");
    (lines(&events), result)
}

/// The calls of an answer, or why it is none.
fn calls(wire: Wire, events: &[Value]) -> Result<Vec<String>, String> {
    let mut body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    body.push_str("data: [DONE]\n\n");
    let (lines, result) = read(wire, &body);
    let calls = lines.iter().filter_map(|line| line.split_once(" call "));
    let calls = calls.map(|(_, call)| call.to_owned()).collect();
    result.map(|()| calls).map_err(|error| error.to_string())
}

fn added(place: u32, item: Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": place, "item": item})
}

fn done(place: u32, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": place, "item": item})
}

fn end(output: &[Value]) -> Value {
    json!({"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}})
}

fn fc(id: &str, call_id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": id, "call_id": call_id, "name": "sh", "arguments": arguments})
}

fn thought(id: &str) -> Value {
    json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": "x"})
}

fn pieces(id: &str, place: Option<u32>, texts: &[&str]) -> Vec<Value> {
    let piece = |text: &&str| json!({"type": "response.function_call_arguments.delta", "item_id": id, "output_index": place, "delta": text});
    texts.iter().map(piece).collect()
}

#[test]
fn a_call_of_a_responses_answer_is_known_by_its_ids() {
    let (a, b) = (|| fc("fa", "a", "{\"c\":1}"), || fc("fb", "b", "{\"c\":2}"));
    let bare =
        |arguments: &str| json!({"type": "function_call", "name": "sh", "arguments": arguments});
    let cases: Vec<(&str, Vec<Value>, &[&str])> = vec![
        ("places in order", vec![done(0, a()), done(1, b()), end(&[a(), b()])], &[ONE, TWO]),
        ("one place for two", vec![done(0, a()), done(0, b()), end(&[a(), b()])], &[ONE, TWO]),
        (
            "a thought at the place",
            vec![done(0, thought("t")), done(0, a()), end(&[thought("t"), a()])],
            &[ONE],
        ),
        ("a thought only in the list", vec![done(0, a()), end(&[thought("t"), a()])], &[ONE]),
        ("a call only in the list", vec![done(0, a()), end(&[a(), b()])], &[ONE, TWO]),
        ("the list first names another", vec![done(0, b()), end(&[a(), b()])], &[TWO, ONE]),
        ("all only in the list", vec![end(&[a(), b()])], &[ONE, TWO]),
        ("twice in the list", vec![end(&[a(), a(), b(), b()])], &[ONE, TWO]),
        ("an event twice", vec![done(0, a()), done(0, a()), end(&[a()])], &[ONE]),
        ("an event twice, elsewhere", vec![done(0, a()), done(3, a()), end(&[])], &[ONE]),
        (
            "other ids of the item each time",
            vec![
                added(0, fc("x", "a", "")),
                done(0, fc("y", "a", "{\"c\":1}")),
                end(&[fc("z", "a", "{\"c\":1}")]),
            ],
            &[ONE],
        ),
        (
            "another spelling in the list",
            vec![done(0, a()), end(&[fc("fa", "a", "{ \"c\": 1 }")])],
            &[ONE],
        ),
        (
            "an object in the list",
            vec![
                done(0, a()),
                end(&[
                    json!({"type": "function_call", "id": "fa", "call_id": "a", "name": "sh", "arguments": {"c": 1}}),
                ]),
            ],
            &[ONE],
        ),
        (
            "one id for two calls",
            vec![
                done(0, fc("f", "a", "{\"c\":1}")),
                done(1, fc("g", "a", "{\"c\":2}")),
                end(&[fc("f", "a", "{\"c\":1}"), fc("g", "a", "{\"c\":2}")]),
            ],
            &[ONE, "a sh json {\"c\":2}"],
        ),
        (
            "the same call twice, with two ids",
            vec![done(0, a()), done(1, fc("fb", "b", "{\"c\":1}")), end(&[])],
            &[ONE, "b sh json {\"c\":1}"],
        ),
        (
            "no id, in the list again",
            vec![
                done(0, bare("{\"c\":1}")),
                done(1, bare("{\"c\":2}")),
                end(&[bare("{\"c\":1}"), bare("{\"c\":2}")]),
            ],
            &[" sh json {\"c\":1}", " sh json {\"c\":2}"],
        ),
        (
            "no id, two places",
            vec![done(0, bare("{}")), done(1, bare("{}")), end(&[bare("{}"), bare("{}")])],
            &[" sh json {}", " sh json {}"],
        ),
        (
            "arguments only in pieces",
            [
                vec![added(0, fc("fa", "a", ""))],
                pieces("fa", Some(0), &["{\"c\"", ":1}"]),
                vec![done(0, fc("fa", "a", "")), end(&[fc("fa", "a", "")])],
            ]
            .concat(),
            &[ONE],
        ),
        (
            "pieces, and no item is ever complete",
            [
                vec![added(0, fc("fa", "a", ""))],
                pieces("fa", Some(0), &["{\"c\"", ":1}"]),
                vec![end(&[])],
            ]
            .concat(),
            &[ONE],
        ),
        (
            "pieces of two at one place",
            [
                vec![added(0, fc("fa", "a", "")), added(0, fc("fb", "b", ""))],
                pieces("fb", Some(0), &["{\"c\":2}"]),
                pieces("fa", Some(0), &["{\"c\":1}"]),
                vec![done(0, fc("fa", "a", "")), done(0, fc("fb", "b", "")), end(&[])],
            ]
            .concat(),
            &[ONE, TWO],
        ),
        (
            "pieces under ids that change",
            [
                vec![added(0, fc("fa", "a", "")), added(1, fc("fb", "b", ""))],
                pieces("q", Some(0), &["{\"c\":1}"]),
                pieces("p", Some(1), &["{\"c\":2}"]),
                vec![end(&[])],
            ]
            .concat(),
            &[ONE, TWO],
        ),
        (
            "arguments only in the list",
            vec![done(0, fc("fa", "a", "")), done(1, b()), end(&[a(), b()])],
            &[ONE, TWO],
        ),
        (
            "arguments only in a done event",
            vec![
                added(0, fc("fa", "a", "")),
                json!({"type": "response.function_call_arguments.done", "item_id": "fa", "arguments": "{\"c\":1}"}),
                done(0, fc("fa", "a", "")),
                end(&[]),
            ],
            &[ONE],
        ),
        (
            "no arguments at all",
            vec![done(0, fc("fa", "a", "")), end(&[fc("fa", "a", "")])],
            &["a sh json "],
        ),
        (
            "begun twice",
            vec![added(0, fc("fa", "a", "")), added(0, fc("fa", "a", "")), done(0, a()), end(&[])],
            &[ONE],
        ),
    ];
    for (name, events, expected) in cases {
        assert_eq!(
            calls(Wire::Responses, &events).as_deref(),
            Ok(&expected.iter().map(|call| (*call).to_owned()).collect::<Vec<_>>()[..]),
            "{name}"
        );
    }
}

#[test]
fn an_event_sent_twice_counts_once() {
    let numbered = |number: u64, mut event: Value| {
        event["sequence_number"] = json!(number);
        event
    };
    let delta = || json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": "ha"});
    let created = json!({"type": "response.created", "response": {"id": "r"}});
    let all =
        [numbered(0, created), numbered(1, delta()), numbered(2, delta()), numbered(3, end(&[]))];
    let twice: Vec<Value> = all.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
    let again: Vec<Value> = all[..3].iter().chain(&all).cloned().collect();
    for events in [&all[..], &twice, &again] {
        let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let (lines, _) = read(Wire::Responses, &body);
        assert_eq!(
            lines,
            ["opened r", "text 0 ha", "text 0 ha", "done 0 assistant - haha", "completed - None"],
            "{body}"
        );
    }
    // A server that numbers all alike counts nothing.
    let alike = [numbered(0, delta()), numbered(0, delta()), numbered(0, end(&[]))];
    let body: String = alike.iter().map(|event| format!("data: {event}\n\n")).collect();
    assert!(read(Wire::Responses, &body).0.contains(&"done 0 assistant - haha".to_owned()));
}

#[test]
fn messages_at_one_place_and_in_the_list_again_are_said_once() {
    let msg = |id: &str, text: &str| json!({"type": "message", "id": id, "role": "assistant", "content": [{"type": "output_text", "text": text}]});
    for (name, events, expected) in [
        (
            "one place",
            vec![
                done(0, msg("a", "x")),
                done(0, msg("b", "y")),
                end(&[msg("a", "x"), msg("b", "y")]),
            ],
            &["a x", "b y"][..],
        ),
        (
            "one id",
            vec![
                done(0, msg("m", "x")),
                done(1, msg("m", "y")),
                end(&[msg("m", "x"), msg("m", "y")]),
            ],
            &["m x", "m y"],
        ),
        ("other ids in the list", vec![done(0, msg("a", "x")), end(&[msg("z", "x")])], &["a x"]),
        (
            "another text in the list",
            vec![done(0, msg("a", "x ")), end(&[msg("a", "x")])],
            &["a x "],
        ),
        (
            "twice",
            vec![
                done(0, msg("a", "x")),
                done(0, msg("a", "x")),
                end(&[msg("a", "x"), msg("a", "x")]),
            ],
            &["a x"],
        ),
        ("no ids", vec![done(0, msg("", "x")), end(&[msg("", "x")])], &["- x"]),
    ] {
        let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let (lines, result) = read(Wire::Responses, &body);
        let said: Vec<_> =
            lines.iter().filter_map(|line| Some(line.split_once(" assistant ")?.1)).collect();
        assert_eq!(said, expected, "{name}: {lines:?}");
        result.unwrap();
    }
}

#[test]
fn calls_that_cannot_be_told_apart_are_a_fault_of_the_answer() {
    let bare = || json!({"type": "response.output_item.done", "item": {"type": "function_call", "name": "sh", "arguments": "{}"}});
    let delta = |index: Value, id: &str, name: &str, arguments: &str| json!({"choices": [{"delta": {"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}}]});
    for (wire, events) in [
        (Wire::Responses, vec![bare(), bare(), end(&[])]),
        (
            Wire::Responses,
            vec![done(0, fc("f", "a", "{\"c\":1}")), end(&[fc("f", "a", "{\"c\":2}")])],
        ),
        (
            Wire::Responses,
            vec![
                added(0, fc("f", "a", "")),
                json!({"type": "response.function_call_arguments.delta", "item_id": "f", "delta": "{\"c"}),
                end(&[]),
            ],
        ),
        (
            Wire::Responses,
            [
                vec![added(0, fc("fa", "a", "")), added(0, fc("fb", "b", ""))],
                pieces("", Some(0), &["{\"c\":2}"]),
                vec![end(&[])],
            ]
            .concat(),
        ),
        (
            Wire::Chat,
            vec![
                delta(Value::Null, "", "sh", "{\"c\":1}"),
                delta(Value::Null, "", "sh", "{\"c\":1}"),
            ],
        ),
        (
            Wire::Chat,
            vec![delta(json!(0), "a", "sh", "{\"c\":1}"), delta(json!(0), "a", "", "{\"c\":2}")],
        ),
        (
            Wire::Chat,
            vec![delta(json!(0), "a", "sh", "{\"c\":1}"), delta(json!(0), "b", "", "{\"c\":2}")],
        ),
    ] {
        let error = calls(wire, &events).expect_err(&format!("{events:?}"));
        assert!(error.contains("cannot be understood") && error.contains("`sh`"), "{error}");
    }
}

#[test]
fn a_call_of_a_chat_answer_is_known_by_its_id_and_by_being_whole() {
    type Piece = (Option<u64>, &'static str, &'static str, &'static str);
    type Case = (&'static str, &'static [&'static [Piece]], &'static [&'static str]);
    let chunk = |pieces: &[Piece]| {
        let call = |(index, id, name, arguments): &Piece| {
            let mut call = json!({"type": "function", "function": {"arguments": arguments}});
            if let Some(index) = index {
                call["index"] = json!(index);
            }
            if !id.is_empty() {
                call["id"] = json!(id);
            }
            if !name.is_empty() {
                call["function"]["name"] = json!(name);
            }
            call
        };
        json!({"choices": [{"index": 0, "delta": {"tool_calls": pieces.iter().map(call).collect::<Vec<_>>()}}]})
    };
    const A: &str = "{\"c\":1}";
    const B: &str = "{\"c\":2}";
    let cases: [Case; 22] = [
        (
            "by the rules",
            &[
                &[(Some(0), "a", "sh", "")],
                &[(Some(0), "", "", "{\"c\"")],
                &[(Some(0), "", "", ":1}")],
                &[(Some(1), "b", "sh", B)],
            ],
            &[ONE, TWO],
        ),
        (
            "whole, one index, two ids",
            &[&[(Some(0), "a", "sh", A)], &[(Some(0), "b", "sh", B)]],
            &[ONE, TWO],
        ),
        (
            "whole, one index, one id",
            &[&[(Some(0), "a", "sh", A)], &[(Some(0), "a", "sh", B)]],
            &[ONE, "a sh json {\"c\":2}"],
        ),
        (
            "whole, one index, one id, one chunk",
            &[&[(Some(0), "a", "sh", A), (Some(0), "a", "sh", B)]],
            &[ONE, "a sh json {\"c\":2}"],
        ),
        (
            "the second in pieces",
            &[
                &[(Some(0), "a", "sh", A)],
                &[(Some(0), "a", "sh", "")],
                &[(Some(0), "a", "", "{\"c\"")],
                &[(Some(0), "a", "", ":2}")],
            ],
            &[ONE, "a sh json {\"c\":2}"],
        ),
        (
            "another name",
            &[&[(Some(0), "a", "sh", A)], &[(Some(0), "a", "ls", "{}")]],
            &[ONE, "a ls json {}"],
        ),
        ("sent twice", &[&[(Some(0), "a", "sh", A)], &[(Some(0), "a", "sh", A)]], &[ONE]),
        (
            "sent twice, under another index",
            &[&[(Some(0), "a", "sh", A)], &[(Some(1), "a", "sh", A)]],
            &[ONE],
        ),
        (
            "sent twice, arguments alone",
            &[&[(Some(0), "a", "sh", "")], &[(Some(0), "", "", A)], &[(Some(0), "", "", A)]],
            &[ONE],
        ),
        (
            "one id, two indexes",
            &[&[(Some(0), "a", "sh", A)], &[(Some(1), "a", "sh", B)]],
            &[ONE, "a sh json {\"c\":2}"],
        ),
        (
            "one id, two indexes, in pieces",
            &[
                &[(Some(0), "a", "sh", ""), (Some(1), "a", "sh", "")],
                &[(Some(0), "", "", A)],
                &[(Some(1), "", "", B)],
            ],
            &[ONE, "a sh json {\"c\":2}"],
        ),
        (
            "a new id with each piece",
            &[
                &[(Some(0), "a", "sh", "")],
                &[(Some(0), "x", "", "{\"c\"")],
                &[(Some(0), "y", "", ":1}")],
            ],
            &[ONE],
        ),
        (
            "a new id and the name with each piece",
            &[
                &[(Some(0), "x", "sh", "")],
                &[(Some(0), "a", "sh", "{\"c\"")],
                &[(Some(0), "y", "sh", ":1}")],
            ],
            &[ONE],
        ),
        (
            "a new id with each piece, no index",
            &[&[(None, "a", "sh", "{")], &[(None, "x", "", "\"c\"")], &[(None, "y", "", ":1}")]],
            &[ONE],
        ),
        (
            "no index, by id",
            &[
                &[(None, "a", "sh", "")],
                &[(None, "b", "sh", "")],
                &[(None, "a", "", A)],
                &[(None, "b", "", B)],
            ],
            &[ONE, TWO],
        ),
        (
            "no index and no id",
            &[&[(None, "", "sh", A)], &[(None, "", "sh", B)]],
            &[" sh json {\"c\":1}", " sh json {\"c\":2}"],
        ),
        (
            "no index and no id, twice in one chunk",
            &[&[(None, "", "sh", A), (None, "", "sh", A)]],
            &[" sh json {\"c\":1}", " sh json {\"c\":1}"],
        ),
        (
            "no id, two indexes, the same",
            &[&[(Some(0), "", "sh", A)], &[(Some(1), "", "sh", A)]],
            &[" sh json {\"c\":1}", " sh json {\"c\":1}"],
        ),
        (
            "the name with each piece",
            &[
                &[(Some(0), "a", "sh", "{\"c\"")],
                &[(Some(0), "a", "sh", ":1}")],
                &[(Some(0), "a", "sh", "")],
            ],
            &[ONE],
        ),
        (
            "arguments only at the end",
            &[
                &[(Some(0), "a", "sh", "")],
                &[(Some(1), "b", "sh", "")],
                &[(Some(0), "a", "sh", A), (Some(1), "b", "sh", B)],
            ],
            &[ONE, TWO],
        ),
        (
            "pieces under another index by id",
            &[
                &[(Some(0), "a", "sh", "")],
                &[(Some(1), "b", "sh", "")],
                &[(Some(7), "a", "", A)],
                &[(Some(7), "b", "", B)],
            ],
            &[ONE, TWO],
        ),
        (
            "no arguments",
            &[&[(Some(0), "a", "sh", "")], &[(Some(0), "b", "sh", B)]],
            &["a sh json ", TWO],
        ),
    ];
    for (name, chunks, expected) in cases {
        let events: Vec<Value> = chunks.iter().map(|pieces| chunk(pieces)).collect();
        let expected: Vec<String> = expected.iter().map(|call| (*call).to_owned()).collect();
        assert_eq!(calls(Wire::Chat, &events), Ok(expected), "{name}");
    }
}
