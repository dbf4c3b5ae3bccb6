//! The request body of the Chat wire.
//!
//! Local servers put the messages through the model's own template, and templates are strict: one system
//! message, at the start; user and assistant in turn; tool messages right after their calls; the last
//! word not the assistant's. So neighbours are merged and outputs placed by their calls.

use crate::{
    ModelError,
    calls::{self, CallBook},
    json::Verbatim,
    lead::{GO_ON, leading_developer, with_leading},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};
use troupe_types::{CallItem, Content, Endpoint, ErrorClass, Item, ModelRequest, Wire};

/// The kind of an item with further members of the call after it.
const CALL_EXTRA: &str = "tool_call";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
    // The older name, which all servers know; OpenAI's newer models want the newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: Cow<'a, str>,
    parameters: Verbatim<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'static str,
    strict: bool,
    schema: &'a serde_json::Value,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Message<'a> {
    System { content: Cow<'a, str> },
    User { content: UserContent<'a> },
    Assistant(Assistant<'a>),
    Tool { tool_call_id: &'a str, content: Cow<'a, str> },
}

#[derive(Serialize)]
#[serde(untagged)]
enum UserContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize, Clone, Copy)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize, Clone, Copy)]
struct ImageUrl<'a> {
    url: &'a str,
}

#[derive(Serialize, Default)]
struct Assistant<'a> {
    content: Option<Cow<'a, str>>,
    #[serde(flatten, serialize_with = "extras")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
    #[serde(flatten, serialize_with = "extras")]
    extra: Option<&'a str>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

/// The members of a kept JSON object, into the object around them.
fn extras<S: Serializer>(kept: &Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> =
        kept.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let mut map = serializer.serialize_map(Some(members.len()))?;
    for (name, value) in members {
        map.serialize_entry(&name, value)?;
    }
    map.end()
}

/// The whole body.
pub(crate) fn body(endpoint: &Endpoint, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let book = CallBook::new(&request.items, Wire::Chat);
    let tools = request.tools.iter().map(|tool| {
        let (description, schema) = calls::as_function(tool);
        let parameters = Verbatim(schema);
        Tool::Function { function: Function { name: &tool.name, description, parameters } }
    });
    let tools = tools.collect::<Vec<_>>();
    let format = request.output_schema.as_ref().map(|schema| Format::JsonSchema {
        json_schema: Schema { name: "troupe_output_schema", strict: true, schema },
    });
    let body = Body {
        model: &request.model,
        messages: messages(request, &book),
        parallel_tool_calls: (!tools.is_empty()).then_some(true),
        tools: (!tools.is_empty()).then_some(tools),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        reasoning_effort: request.effort.as_deref(),
        verbosity: request.verbosity.as_deref(),
        max_tokens: request.max_output_tokens.filter(|_| !endpoint.is_openai()),
        max_completion_tokens: request.max_output_tokens.filter(|_| endpoint.is_openai()),
        response_format: format,
        // Strict servers refuse members they do not know.
        prompt_cache_key: endpoint.is_openai().then(|| request.session.to_string()),
    };
    serde_json::to_vec(&body).map_err(|error| {
        ModelError::never(ErrorClass::Internal, format!("the request cannot be written: {error}"))
    })
}

fn messages<'a>(request: &'a ModelRequest, book: &'a CallBook<'a>) -> Vec<Message<'a>> {
    let (leading, items) = leading_developer(&request.items, false);
    let mut writer =
        Writer { book, messages: Vec::new(), user: Vec::new(), answer: None, extra: None };
    let system = with_leading(&request.instructions, &leading);
    if !system.is_empty() {
        writer.messages.push(Message::System { content: system });
    }
    for item in items {
        writer.item(item);
    }
    writer.finish()
}

/// An answer of the model being put together.
#[derive(Default)]
struct Answer<'a> {
    texts: Vec<&'a str>,
    reasoning: Option<&'a str>,
    calls: Vec<(&'a CallItem, Option<&'a str>)>,
}

struct Writer<'a> {
    book: &'a CallBook<'a>,
    messages: Vec<Message<'a>>,
    user: Vec<Part<'a>>,
    answer: Option<Answer<'a>>,
    /// Further members of the next call.
    extra: Option<&'a str>,
}

impl<'a> Writer<'a> {
    fn item(&mut self, item: &'a Arc<Item>) {
        match &**item {
            Item::User(user) => {
                self.end_answer();
                self.user.extend(user.content.iter().map(part));
            }
            Item::Context(context) => self.user_text(&context.text),
            Item::Summary(summary) => self.user_text(&summary.text),
            Item::Assistant(said) if said.text.is_empty() => {}
            Item::Assistant(said) => self.words().texts.push(&said.text),
            Item::Reasoning(reasoning) => {
                let kept = reasoning.opaque.as_ref().filter(|part| part.wire == Wire::Chat);
                if let Some(part) = kept {
                    self.words().reasoning = Some(&part.json);
                }
            }
            Item::Call(call) => {
                self.end_user();
                let extra = self.book.opaque(call.call).or(self.extra.take());
                self.answer.get_or_insert_default().calls.push((call, extra));
            }
            // Outputs are written right after their calls.
            Item::Output(_) => self.end_answer(),
            // Logs of earlier versions have the further members of a call in an item before it.
            Item::Opaque(part) if part.opaque.wire == Wire::Chat && part.kind == CALL_EXTRA => {
                self.extra = Some(&part.opaque.json);
            }
            Item::Opaque(_) => {}
        }
    }

    fn user_text(&mut self, text: &'a str) {
        self.end_answer();
        self.user.push(Part::Text { text });
    }

    /// The answer that words belong to: words after calls begin the next one.
    fn words(&mut self) -> &mut Answer<'a> {
        self.end_user();
        if self.answer.as_ref().is_some_and(|answer| !answer.calls.is_empty()) {
            self.end_answer();
        }
        self.answer.get_or_insert_default()
    }

    fn end_user(&mut self) {
        if !self.user.is_empty() {
            let parts = std::mem::take(&mut self.user);
            self.messages.push(Message::User { content: user_content(parts) });
        }
    }

    fn end_answer(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        if answer.texts.is_empty() && answer.calls.is_empty() {
            return;
        }
        let content = match answer.texts.as_slice() {
            [] => None,
            [text] => Some(Cow::Borrowed(*text)),
            texts => Some(Cow::Owned(texts.join("\n\n"))),
        };
        let id = |call: &'a CallItem| self.book.id(call.call).unwrap_or(&call.wire_id);
        let tool_calls = answer.calls.iter().map(|&(call, extra)| ToolCall {
            id: id(call),
            r#type: "function",
            function: Called { name: &call.tool, arguments: calls::arguments(call) },
            extra,
        });
        let tool_calls = tool_calls.collect();
        let assistant = Assistant { content, reasoning: answer.reasoning, tool_calls };
        self.messages.push(Message::Assistant(assistant));
        let mut images = Vec::new();
        for (call, _) in answer.calls {
            let output = self.book.output(call.call).map_or(&[][..], |output| &output.content);
            let content = calls::joined(output);
            self.messages.push(Message::Tool { tool_call_id: id(call), content });
            images.extend(calls::images(output).map(image));
        }
        // Tool messages hold text only.
        if !images.is_empty() {
            self.user.push(Part::Text { text: "The images the tools returned:" });
            self.user.extend(images);
        }
    }

    fn finish(mut self) -> Vec<Message<'a>> {
        self.end_answer();
        self.end_user();
        if matches!(self.messages.last(), Some(Message::Assistant(_))) {
            let content = UserContent::Text(Cow::Borrowed(GO_ON));
            self.messages.push(Message::User { content });
        }
        self.messages
    }
}

fn part(content: &Content) -> Part<'_> {
    match content {
        Content::Text { text } => Part::Text { text },
        Content::Image { url } => image(url),
    }
}

fn image(url: &str) -> Part<'_> {
    Part::ImageUrl { image_url: ImageUrl { url } }
}

/// One string where there is only text: templates and older servers know nothing else.
fn user_content(parts: Vec<Part<'_>>) -> UserContent<'_> {
    let texts = parts.iter().map(|part| match part {
        Part::Text { text } => Some(*text),
        Part::ImageUrl { .. } => None,
    });
    match texts.collect::<Option<Vec<_>>>() {
        Some(texts) if texts.len() == 1 => UserContent::Text(Cow::Borrowed(texts[0])),
        Some(texts) => UserContent::Text(Cow::Owned(texts.join("\n\n"))),
        None => UserContent::Parts(parts),
    }
}
