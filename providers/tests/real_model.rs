//! Both wires against a real server. Runs only where `TROUPE_REAL_MODEL` names one
//! (`http://127.0.0.1:8080`); see docs/providers.md.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code, unreachable_pub, clippy::disallowed_methods)]
#[path = "../../tests/src/skip.rs"]
mod skip;
mod support;

use futures_util::{StreamExt, TryStreamExt};
use std::sync::Arc;
use support::{lines, patch_tool, request};
use troupe_providers::{Endpoint, Http, Provider, Wire, connect, discover};
use troupe_types::{
    AssistantItem, CallId, CallInput, CallItem, Content, ContextItem, ContextKind, ErrorClass,
    Item, ModelEvent, ModelRequest, Outcome, OutputItem, Role, ToolKind, ToolSpec, Traits,
    UserItem,
};

/// A provider for each wire, or nothing where no server is named.
fn providers() -> Vec<Arc<dyn Provider>> {
    let Ok(url) = std::env::var("TROUPE_REAL_MODEL") else {
        skip::skipped(
            std::thread::current().name().unwrap_or_default(),
            "needs a model server, named by TROUPE_REAL_MODEL",
        );
        return Vec::new();
    };
    let wires = [Wire::Chat, Wire::Responses];
    let connect = |wire| {
        let base = format!("{}/v1", url.trim_end_matches('/').trim_end_matches("/v1"));
        connect(&Endpoint::new("real", wire, base), &Http::default()).unwrap()
    };
    wires.into_iter().map(connect).collect()
}

/// A request whose answer is short whatever the model is.
fn short(text: &str) -> ModelRequest {
    let mut request = request("default", text);
    request.output_schema = Some(serde_json::json!({
        "type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}},
        "required": ["n"], "additionalProperties": false}));
    request
}

#[tokio::test]
async fn an_answer_streams_and_completes_with_usage() {
    for provider in providers() {
        // Not every server keeps to the schema, and a base model never stops: 200 events are enough.
        let stream = provider.stream(short("A number?"));
        let events: Vec<_> = stream.take(200).try_collect().await.unwrap();
        let seen = lines(&events);
        println!("{:?}: {:?} … {:?}", provider.wire(), &seen[..3], seen.last());
        assert!(matches!(events[0], ModelEvent::Opened { response: Some(_) }));
        let text: String = events
            .iter()
            .filter_map(|event| match event {
                ModelEvent::Text { delta, .. } => Some(delta.as_str()),
                _ => None,
            })
            .collect();
        assert!(!text.is_empty());
        let Some(ModelEvent::Completed { usage, .. }) = events.last() else { continue };
        let said = events.iter().find_map(|event| match event {
            ModelEvent::ItemDone { item: Item::Assistant(said), .. } => Some(said.text.clone()),
            _ => None,
        });
        assert_eq!(said, Some(text));
        let usage = usage.expect("usage");
        assert!(usage.input_tokens > 0 && usage.output_tokens > 0, "{usage:?}");
    }
}

#[tokio::test]
async fn a_whole_conversation_is_accepted() {
    for provider in providers() {
        let call = |wire_id: &str, tool: &str, input| CallItem {
            call: CallId::new(),
            wire_id: wire_id.to_owned(),
            id: None,
            tool: tool.to_owned(),
            input,
            opaque: None,
        };
        let calls = [
            call("", "read", CallInput::Json("{\"path\":\"a\"}".to_owned())),
            call("same", "read", CallInput::Json("{\"path\": ".to_owned())),
            call("same", "apply_patch", CallInput::Text("*** Begin Patch".to_owned())),
        ];
        let context = |role, text: &str| {
            Item::Context(ContextItem {
                kind: ContextKind::Note,
                role,
                text: text.to_owned(),
                files: Vec::new(),
            })
        };
        let user = |text: &str| Item::User(UserItem { content: vec![Content::text(text)] });
        let mut items = vec![
            context(Role::Developer, "You may read."),
            context(Role::User, "The date is today."),
            user("Read it."),
            Item::Assistant(AssistantItem {
                text: "I read.".to_owned(),
                id: Some("msg_1".to_owned()),
                ..AssistantItem::default()
            }),
        ];
        items.extend(calls.iter().cloned().map(Item::Call));
        items.extend(calls.iter().map(|call| {
            Item::Output(OutputItem {
                call: call.call,
                outcome: Outcome::Completed,
                content: vec![Content::text("done")],
                exit_code: None,
            })
        }));
        items.push(context(Role::Developer, "A later word of the host."));
        items.push(Item::Assistant(AssistantItem {
            text: "It is".to_owned(),
            cut: true,
            ..AssistantItem::default()
        }));
        let mut request = short("unused");
        request.items = items.into_iter().map(Arc::new).collect();
        if std::env::var("TROUPE_REAL_TOOLS").is_ok() {
            request.output_schema = None;
            request.tools = Arc::from([patch_tool(), ToolSpec {
                name: "read".to_owned(), description: "Reads a file".to_owned(), traits: Traits::ReadOnly,
                kind: ToolKind::Function { schema: r#"{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}"#.to_owned() } }]);
        }
        let mut stream = provider.stream(request);
        // A base model may go on for long: its first words prove that everything was taken.
        for _ in 0..3 {
            let event = stream.next().await.expect("an event").unwrap();
            println!("{:?}: {event:?}", provider.wire());
        }
    }
}

#[tokio::test]
async fn a_prompt_beyond_the_window_has_its_class() {
    for provider in providers() {
        let request = request("default", &"many words ".repeat(200_000));
        let error = provider.stream(request).try_collect::<Vec<_>>().await.unwrap_err();
        println!("{:?}: {error}", provider.wire());
        assert_eq!(error.failure.class, ErrorClass::ContextWindow, "{error}");
    }
}

#[tokio::test]
async fn a_dropped_answer_leaves_the_server_free() {
    for provider in providers() {
        // More than the server's slots: each must have been given up when it was dropped.
        for _ in 0..6 {
            let mut stream = provider.stream(request("default", "Once upon a time"));
            for _ in 0..3 {
                stream.next().await.expect("an event").unwrap();
            }
        }
        let events = provider.stream(short("A number?")).take(3).try_collect::<Vec<_>>();
        assert_eq!(events.await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn it_is_found() {
    for provider in providers().into_iter().take(1) {
        let found = discover(&[("real", &provider.endpoint().base_url)], &Http::default()).await;
        println!("{found:?}");
        assert!(!found[0].models.is_empty());
    }
}
