//! What is sent: read off a real socket, so that it is what a server sees.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod support;

use futures_util::StreamExt;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use support::{
    patch_tool, request,
    server::{answer, serve},
};
use troupe_providers::{Endpoint, Http, connect};
use troupe_types::{
    AssistantItem, CallId, CallInput, CallItem, Content, ContextItem, ContextKind, Item,
    ModelRequest, Opaque, OpaqueItem, Outcome, OutputItem, ReasoningItem, Role, SummaryItem,
    ToolKind, ToolSpec, Traits, UserItem, Wire,
};

/// The body a server gets.
async fn sent(wire: Wire, name: &str, request: ModelRequest) -> Value {
    let (address, requests) = serve(|stream, _| {
        answer(stream, "400 Bad", "", "{}");
        true
    });
    let mut endpoint = Endpoint::new(name, wire, format!("http://{address}/v1"));
    endpoint.azure = name == "azure";
    connect(&endpoint, &Http::default()).unwrap().stream(request).collect::<Vec<_>>().await;
    let (_, request) = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    serde_json::from_str(&request.body).unwrap()
}

fn user(text: &str) -> Item {
    Item::User(UserItem { content: vec![Content::text(text)] })
}

fn context(role: Role, text: &str) -> Item {
    Item::Context(ContextItem {
        kind: ContextKind::Note,
        role,
        text: text.to_owned(),
        files: Vec::new(),
    })
}

fn said(text: &str, id: &str) -> Item {
    Item::Assistant(AssistantItem {
        text: text.to_owned(),
        id: Some(id.to_owned()),
        ..AssistantItem::default()
    })
}

fn call(wire_id: &str, id: Option<&str>, tool: &str, input: CallInput) -> CallItem {
    let (wire_id, tool) = (wire_id.to_owned(), tool.to_owned());
    CallItem { call: CallId::new(), wire_id, id: id.map(str::to_owned), tool, input, opaque: None }
}

fn output(call: &CallItem, content: Vec<Content>) -> Item {
    let outcome = Outcome::Completed;
    Item::Output(OutputItem { call: call.call, outcome, content, exit_code: None })
}

fn thought(wire: Wire, json: &str) -> Item {
    let opaque = Some(Opaque { wire, json: json.to_owned() });
    Item::Reasoning(ReasoningItem { opaque, ..ReasoningItem::default() })
}

fn with(items: Vec<Item>) -> ModelRequest {
    ModelRequest { items: items.into_iter().map(Arc::new).collect(), ..request("m", "") }
}

fn read_tool() -> ToolSpec {
    ToolSpec {
        name: "read".to_owned(),
        description: "Reads.".to_owned(),
        kind: ToolKind::Function { schema: r#"{"type":"object","z":1,"a":2}"#.to_owned() },
        traits: Traits::ReadOnly,
    }
}

const ENCRYPTED: &str = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}"#;
const IMAGE: &str = "data:image/png;base64,AAAA";

/// A turn with everything in it, and its three calls.
fn conversation() -> (Vec<Item>, [CallItem; 3]) {
    let calls = [
        call("", Some("fc_1"), "read", CallInput::Json("{\"p\":1}".to_owned())),
        call("c", None, "read", CallInput::Json("{broken".to_owned())),
        call("c", Some("ctc_3"), "apply_patch", CallInput::Text("*** Begin".to_owned())),
    ];
    let mut items = vec![
        context(Role::Developer, "dev one"),
        context(Role::User, "docs"),
        user("go"),
        thought(Wire::Responses, ENCRYPTED),
        thought(Wire::Chat, r#"{"reasoning_content":"why"}"#),
        said("I go", "msg_1"),
    ];
    items.extend(calls.iter().cloned().map(Item::Call));
    let image = Content::Image { url: IMAGE.to_owned() };
    items.push(output(&calls[0], vec![Content::text("a"), Content::text("b")]));
    items.push(output(&calls[2], vec![Content::text("patched")]));
    items.push(output(&calls[1], vec![Content::text("see"), image]));
    items.push(context(Role::Developer, "dev two"));
    (items, calls)
}

#[tokio::test]
async fn openai_gets_each_item_as_it_defines_it() {
    let (items, calls) = conversation();
    let ids = calls.each_ref().map(|call| call.call.to_string());
    let mut request = with(items);
    request.tools = Arc::from([read_tool(), patch_tool()]);
    request.effort = Some("high".to_owned());
    request.summary = Some("none".to_owned());
    let session = request.session.to_string();
    let body = sent(Wire::Responses, "OpenAI", request).await;
    let text = |text: &str| json!([{"type": "input_text", "text": text}]);
    assert_eq!(
        body["input"],
        json!([
            {"type": "message", "role": "developer", "content": text("dev one")},
            {"type": "message", "role": "user", "content": text("docs")},
            {"type": "message", "role": "user", "content": text("go")},
            serde_json::from_str::<Value>(ENCRYPTED).unwrap(),
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "I go"}]},
            {"type": "function_call", "id": "fc_1", "call_id": ids[0], "name": "read", "arguments": "{\"p\":1}"},
            {"type": "function_call", "call_id": "c", "name": "read", "arguments": "{broken"},
            {"type": "custom_tool_call", "id": "ctc_3", "call_id": ids[2], "name": "apply_patch", "input": "*** Begin"},
            {"type": "function_call_output", "call_id": ids[0], "output": "a\nb"},
            {"type": "custom_tool_call_output", "call_id": ids[2], "output": "patched"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": IMAGE}]},
            {"type": "message", "role": "developer", "content": text("dev two")},
        ])
    );
    let mut rest = body;
    rest.as_object_mut().unwrap().remove("input");
    assert_eq!(
        rest,
        json!({
            "model": "m", "instructions": "Be brief.", "tool_choice": "auto", "parallel_tool_calls": true,
            "reasoning": {"effort": "high"}, "store": false, "stream": true,
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": session,
            "tools": [
                {"type": "function", "name": "read", "description": "Reads.", "strict": false, "parameters": {"type": "object", "z": 1, "a": 2}},
                {"type": "custom", "name": "apply_patch", "description": "Edit files.", "format": {"type": "text"}},
            ],
        })
    );
}

#[tokio::test]
async fn other_servers_get_the_plain_form() {
    let (mut items, calls) = conversation();
    items.push(Item::Assistant(AssistantItem {
        text: "cut he".to_owned(),
        cut: true,
        ..AssistantItem::default()
    }));
    let body = sent(Wire::Responses, "mock", with(items)).await;
    assert_eq!(body["instructions"], "Be brief.\n\ndev one");
    let input = body["input"].as_array().unwrap();
    assert_eq!(
        input[0]["content"],
        json!([{"type": "input_text", "text": "docs"}, {"type": "input_text", "text": "go"}])
    );
    assert_eq!(input[1], serde_json::from_str::<Value>(ENCRYPTED).unwrap());
    assert_eq!(input[4]["arguments"], "{\"invalid_arguments\":\"{broken\"}");
    assert_eq!(
        input[5],
        json!({"type": "function_call", "call_id": calls[2].call.to_string(), "name": "apply_patch", "arguments": "{\"input\":\"*** Begin\"}"})
    );
    assert_eq!(input[7]["type"], "function_call_output");
    assert_eq!(input[9]["role"], "user");
    assert_eq!(input[10]["content"][0]["text"], "cut he");
    assert_eq!(input[11]["role"], "user");
    assert_eq!(input.len(), 12);
}

#[tokio::test]
async fn chat_templates_get_roles_in_turn_and_outputs_after_their_calls() {
    let (items, calls) = conversation();
    let ids = calls.each_ref().map(|call| call.call.to_string());
    let body = sent(Wire::Chat, "mock", with(items)).await;
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Be brief.\n\ndev one"},
            {"role": "user", "content": "docs\n\ngo"},
            {"role": "assistant", "content": "I go", "reasoning_content": "why", "tool_calls": [
                {"id": ids[0], "type": "function", "function": {"name": "read", "arguments": "{\"p\":1}"}},
                {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{\"invalid_arguments\":\"{broken\"}"}},
                {"id": ids[2], "type": "function", "function": {"name": "apply_patch", "arguments": "{\"input\":\"*** Begin\"}"}},
            ]},
            {"role": "tool", "tool_call_id": ids[0], "content": "a\nb"},
            {"role": "tool", "tool_call_id": "c", "content": "see"},
            {"role": "tool", "tool_call_id": ids[2], "content": "patched"},
            {"role": "user", "content": [
                {"type": "text", "text": "The images the tools returned:"},
                {"type": "image_url", "image_url": {"url": IMAGE}},
                {"type": "text", "text": "dev two"},
            ]},
        ])
    );
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert!(body.get("tools").is_none() && body.get("prompt_cache_key").is_none());
}

#[tokio::test]
async fn words_and_calls_of_two_answers_stay_apart_and_cut_words_are_joined() {
    let extra = |sig: &str| {
        let json = format!("{{\"extra_content\":{{\"sig\":\"{sig}\"}}}}");
        Opaque { wire: Wire::Chat, json }
    };
    let first = call("1", None, "read", CallInput::Json(String::new()));
    let mut second = call("2", None, "read", CallInput::Json(String::new()));
    second.opaque = Some(extra("T"));
    let items = vec![
        Item::Summary(SummaryItem { text: "so far".to_owned() }),
        // As logs of earlier versions have it.
        Item::Opaque(OpaqueItem { kind: "tool_call".to_owned(), opaque: extra("S") }),
        Item::Call(first.clone()),
        Item::Call(second.clone()),
        output(&first, vec![]),
        output(&second, vec![]),
        said("one", "x"),
        said("two", "y"),
    ];
    let body = sent(Wire::Chat, "mock", with(items)).await;
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "assistant", "user"]);
    assert_eq!(messages[2]["content"], Value::Null);
    assert_eq!(messages[2]["tool_calls"][0]["function"]["arguments"], "{}");
    assert_eq!(messages[2]["tool_calls"][0]["extra_content"], json!({"sig": "S"}));
    assert_eq!(messages[2]["tool_calls"][1]["extra_content"], json!({"sig": "T"}));
    assert_eq!(messages[5]["content"], "one\n\ntwo");
}

#[tokio::test]
async fn a_schema_verbosity_and_effort_find_their_place_on_each_wire() {
    let mut request = with(vec![user("x")]);
    request.output_schema = Some(json!({"type": "object"}));
    request.verbosity = Some("low".to_owned());
    request.max_output_tokens = Some(64);
    request.effort = Some("low".to_owned());
    request.tools = Arc::from([patch_tool()]);
    let chat = sent(Wire::Chat, "mock", request.clone()).await;
    assert_eq!(chat["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    assert_eq!((&chat["reasoning_effort"], &chat["verbosity"]), (&json!("low"), &json!("low")));
    assert_eq!(chat["max_tokens"], 64);
    let function = &chat["tools"][0]["function"];
    assert_eq!(function["parameters"]["required"], json!(["input"]));
    let azure = sent(Wire::Responses, "azure", request).await;
    assert_eq!(azure["store"], true);
    assert_eq!(azure["max_output_tokens"], 64);
    assert_eq!(azure["text"]["verbosity"], "low");
    assert_eq!(azure["text"]["format"]["type"], "json_schema");
}

#[tokio::test]
async fn opaque_parts_go_back_on_their_own_wire_only() {
    let kept = |wire, json: &str| {
        let opaque = Opaque { wire, json: json.to_owned() };
        Item::Opaque(OpaqueItem { kind: "x".to_owned(), opaque })
    };
    let items = || {
        vec![
            user("a"),
            kept(Wire::Responses, "{\"type\":\"x\", \"n\":1.50}"),
            kept(Wire::Chat, "{}"),
            user("b"),
        ]
    };
    let body = sent(Wire::Responses, "OpenAI", with(items())).await;
    assert_eq!(body["input"].as_array().unwrap().len(), 3);
    assert_eq!(body["input"][1]["type"], "x");
    let body = sent(Wire::Chat, "mock", with(items())).await;
    assert_eq!(body["messages"][1]["content"], "a\n\nb");
}
