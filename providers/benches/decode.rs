//! An answer of 20,000 deltas on each wire, whole and one byte at a time, and one event of 20 MB.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use troupe_providers::{Endpoint, Wire, read_recorded};

/// As it comes from a connection, in bytes.
const PIECE: usize = 16 * 1024;

fn line(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// So many words of this size, in bytes; every eighth ends a line.
fn words(count: usize, size: usize) -> Vec<String> {
    let end = |at: usize| if at.is_multiple_of(8) { '\n' } else { ' ' };
    (0..count).map(|at| format!("{:x<width$}{}", "w", end(at), width = size - 1)).collect()
}

fn responses(words: &[String]) -> String {
    let mut number = 0;
    let mut event = |kind: &str, members: Value| {
        let mut event = json!({ "type": kind, "sequence_number": number });
        number += 1;
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        line(&event)
    };
    let here = |name: &str, value: Value| json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0, name: value, "logprobs": [] });
    let text = words.concat();
    let part = json!({ "type": "output_text", "text": text, "annotations": [] });
    let item =
        json!({ "type": "message", "id": "msg_1", "status": "completed", "content": [part] });
    let begun = json!({ "type": "message", "id": "msg_1", "content": [] });
    let response = json!({ "id": "resp_1", "status": "completed", "output": [item] });
    let mut body = event("response.created", json!({ "response": { "id": "resp_1" } }));
    body += &event("response.output_item.added", json!({ "output_index": 0, "item": begun }));
    for word in words {
        body += &event("response.output_text.delta", here("delta", json!(word)));
    }
    body += &event("response.output_text.done", here("text", json!(text)));
    body += &event("response.content_part.done", here("part", part));
    body += &event("response.output_item.done", json!({ "output_index": 0, "item": item }));
    body + &event("response.completed", json!({ "response": response }))
}

fn chat(words: &[String]) -> String {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        line(
            &json!({ "id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice] }),
        )
    };
    let mut body = String::new();
    for word in words {
        body += &chunk(json!({ "content": word }), Value::Null);
    }
    body + &chunk(json!({}), json!("stop")) + "data: [DONE]\n\n"
}

fn read(wire: Wire, body: &str, piece: usize) -> usize {
    let endpoint = Endpoint::new("bench", wire, "http://127.0.0.1/v1");
    let (events, result) = read_recorded(&endpoint, &[], body.as_bytes().chunks(piece));
    result.unwrap();
    events.len()
}

fn decode(criterion: &mut Criterion) {
    let deltas = words(20_000, 20);
    for (name, wire, body) in
        [("responses", Wire::Responses, responses(&deltas)), ("chat", Wire::Chat, chat(&deltas))]
    {
        for (how, piece) in [("whole", PIECE), ("one byte at a time", 1)] {
            criterion.bench_function(&format!("20,000 deltas, {name}, {how}"), |bench| {
                bench.iter(|| read(wire, &body, piece));
            });
        }
    }
    let big = responses(&words(1, 20_000_000));
    criterion.bench_function("an event of 20 MB", |bench| {
        bench.iter(|| read(Wire::Responses, &big, 4 * PIECE));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = decode
}
criterion_main!(benches);
