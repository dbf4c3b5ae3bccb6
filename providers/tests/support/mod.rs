//! What the tests of this package share.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod server;

use std::sync::Arc;
use troupe_providers::{Endpoint, Wire};
use troupe_types::{
    CallInput, Content, Item, ModelEvent, ModelRequest, RequestId, SessionId, ToolKind, ToolSpec,
    Traits, UserItem,
};

pub fn request(model: &str, text: &str) -> ModelRequest {
    ModelRequest {
        session: SessionId::new(),
        request: RequestId::new(),
        model: model.to_owned(),
        instructions: Arc::from("Be brief."),
        items: vec![Arc::new(Item::User(UserItem { content: vec![Content::text(text)] }))],
        tools: Arc::from([]),
        effort: None,
        summary: None,
        verbosity: None,
        max_output_tokens: None,
        output_schema: None,
    }
}

pub fn patch_tool() -> ToolSpec {
    ToolSpec {
        name: "apply_patch".to_owned(),
        description: "Edit files.".to_owned(),
        kind: ToolKind::Custom { grammar: String::new() },
        traits: Traits::Effects,
    }
}

pub fn endpoint(wire: Wire) -> Endpoint {
    Endpoint::new("mock", wire, "http://127.0.0.1:9/v1")
}

/// An event in one line, without the ids that differ in every run.
pub fn line(event: &ModelEvent) -> String {
    match event {
        ModelEvent::Opened { response } => format!("opened {}", response.as_deref().unwrap_or("-")),
        ModelEvent::Text { index, delta } => format!("text {index} {delta}"),
        ModelEvent::Reasoning { index, delta } => format!("reasoning {index} {delta}"),
        ModelEvent::ItemDone { index, item } => format!("done {index} {}", item_line(item)),
        ModelEvent::Completed { usage: None, end_turn } => format!("completed - {end_turn:?}"),
        ModelEvent::Completed { usage: Some(usage), end_turn } => format!(
            "completed in {}/{}/{} out {}/{} total {} {end_turn:?}",
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.cache_write_input_tokens,
            usage.output_tokens,
            usage.reasoning_output_tokens,
            usage.total_tokens
        ),
    }
}

fn item_line(item: &Item) -> String {
    match item {
        Item::Assistant(said) => format!(
            "assistant {}{}{} {}",
            said.id.as_deref().unwrap_or("-"),
            said.phase.as_deref().map(|phase| format!(" ({phase})")).unwrap_or_default(),
            if said.cut { " cut" } else { "" },
            said.text
        ),
        Item::Reasoning(thought) => format!(
            "reasoning {:?} {:?} {}",
            thought.summary,
            thought.content,
            thought.opaque.as_ref().map_or("-", |part| &part.json)
        ),
        Item::Call(call) => {
            let input = match &call.input {
                CallInput::Json(json) => format!("json {json}"),
                CallInput::Text(text) => format!("text {text:?}"),
            };
            let opaque = call.opaque.as_ref().map(|part| format!(" with {}", part.json));
            format!("call {} {} {input}{}", call.wire_id, call.tool, opaque.unwrap_or_default())
        }
        Item::Opaque(part) => format!("opaque {} {}", part.kind, part.opaque.json),
        other => format!("{other:?}"),
    }
}

pub fn lines(events: &[ModelEvent]) -> Vec<String> {
    events.iter().map(line).collect()
}
