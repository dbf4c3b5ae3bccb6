//! The checker accepts every well-formed history and refuses each way to spoil it.

use super::check_request;
use proptest::prelude::*;
use serde_json::{Value, json};

fn call(id: usize) -> Value {
    json!({"type": "function_call", "call_id": format!("c{id}"), "name": "x", "arguments": "{}"})
}

fn output(id: usize) -> Value {
    json!({"type": "function_call_output", "call_id": format!("c{id}"), "output": "ok"})
}

fn user() -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]})
}

/// One answer for each number: that many calls, after reasoning, then their outputs.
fn history(groups: &[usize]) -> Vec<Value> {
    let mut items = vec![user()];
    let mut next = 0;
    for &count in groups {
        items.push(json!({"type": "reasoning", "summary": []}));
        items.extend((next..next + count).map(call));
        items.extend((next..next + count).rev().map(output));
        next += count;
    }
    items
}

/// The same in the other wire.
fn chat(groups: &[usize]) -> Vec<Value> {
    let mut items = vec![json!({"role": "user", "content": "go"})];
    let mut next = 0;
    for &count in groups {
        let ids = (next..next + count).map(|id| format!("c{id}"));
        let calls: Vec<_> = ids.clone().map(|id| json!({"id": id, "type": "function"})).collect();
        items.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        items.extend(ids.map(|id| json!({"role": "tool", "tool_call_id": id, "content": "ok"})));
        next += count;
    }
    items
}

fn check(items: Vec<Value>) -> Result<(), String> {
    check_request(&json!({"input": items}))
}

proptest! {
    #[test]
    fn whole_histories_pass_and_spoiled_ones_do_not(
        groups in prop::collection::vec(1_usize..4, 1..5),
        at in any::<prop::sample::Index>(),
    ) {
        for (key, items) in [("input", history(&groups)), ("messages", chat(&groups))] {
            let body = |items: &[Value]| json!({key: items});
            prop_assert_eq!(check_request(&body(&items)), Ok(()));
            let outputs: Vec<_> = (0..items.len())
                .filter(|&at| items[at].get("output").is_some() || items[at]["role"] == "tool")
                .collect();
            let at = outputs[at.index(outputs.len())];
            let mut without = items.clone();
            let output = without.remove(at);
            prop_assert!(check_request(&body(&without)).is_err());
            let mut twice = items.clone();
            twice.insert(at, output.clone());
            prop_assert!(check_request(&body(&twice)).is_err());
            let mut early = without.clone();
            early.insert(0, output);
            prop_assert!(check_request(&body(&early)).is_err());
            let mut between = items.clone();
            between.insert(at, json!({"role": "user", "content": "now"}));
            prop_assert!(check_request(&body(&between)).is_err());
        }
    }
}

#[test]
fn ids_are_unique_over_the_whole_history() {
    let items = vec![user(), call(1), output(1), user(), call(1), output(1)];
    assert!(check(items).unwrap_err().contains("occurs twice"));
}

#[test]
fn an_output_has_the_kind_of_its_call() {
    let custom = json!({"type": "custom_tool_call", "call_id": "c1", "name": "x", "input": "y"});
    assert!(
        check(vec![custom.clone(), output(1)]).unwrap_err().contains("custom_tool_call_output")
    );
    let right = json!({"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"});
    assert_eq!(check(vec![custom, right]), Ok(()));
}

#[test]
fn what_the_server_runs_itself_has_no_output() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    assert_eq!(check(vec![user(), search, user()]), Ok(()));
}

#[test]
fn a_body_without_items_is_refused() {
    assert!(check_request(&json!({"model": "m"})).is_err());
}
