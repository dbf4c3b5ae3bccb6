//! The request body of the Responses wire, written in one go.
//!
//! OpenAI and Azure get developer messages, custom tools and item ids as they define them. Other servers
//! put the items through a chat template, so they get a plainer form of the same: leading developer
//! messages become part of the instructions, later ones user messages, neighbouring user messages
//! one message, and custom tools functions.

use super::kinds;
use crate::{
    ModelError,
    calls::{self, CallBook},
    json::Verbatim,
    lead::{GO_ON, leading_developer, with_leading},
};
use serde::{Deserialize, Serialize, Serializer, de::IgnoredAny, ser::SerializeSeq};
use std::{borrow::Cow, sync::Arc};
use troupe_types::{
    AssistantItem, CallInput, CallItem, Content, Endpoint, ErrorClass, Item, ModelRequest,
    OutputItem, ReasoningItem, Role, ToolKind, ToolSpec, Wire,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: Cow<'a, str>,
    input: Input<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool<'a>>>,
    tool_choice: &'static str,
    parallel_tool_calls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    store: bool,
    stream: bool,
    include: [&'static str; 1],
    prompt_cache_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    strict: bool,
    name: &'static str,
    schema: &'a serde_json::Value,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function { name: &'a str, description: Cow<'a, str>, strict: bool, parameters: Verbatim<'a> },
    Custom { name: &'a str, description: &'a str, format: Grammar<'a> },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Grammar<'a> {
    Text,
    Grammar { syntax: &'static str, definition: &'a str },
}

/// The whole body.
pub(crate) fn body(endpoint: &Endpoint, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
    let openai = endpoint.is_openai();
    let (leading, items) = leading_developer(&request.items, openai);
    let summary = request.summary.as_deref().filter(|&summary| summary != "none");
    let effort = request.effort.as_deref();
    let verbosity = request.verbosity.as_deref();
    let format = request.output_schema.as_ref().map(|schema| Format {
        r#type: "json_schema",
        strict: true,
        name: "troupe_output_schema",
        schema,
    });
    let tools = request.tools.iter().map(|tool| describe(tool, openai)).collect::<Vec<_>>();
    let body = Body {
        model: &request.model,
        instructions: with_leading(&request.instructions, &leading),
        input: Input {
            items,
            book: CallBook::new(items, Wire::Responses),
            openai,
            stored: endpoint.azure,
        },
        tools: (!tools.is_empty()).then_some(tools),
        tool_choice: "auto",
        parallel_tool_calls: true,
        reasoning: (effort.is_some() || summary.is_some()).then_some(Reasoning { effort, summary }),
        max_output_tokens: request.max_output_tokens,
        store: endpoint.azure,
        stream: true,
        include: ["reasoning.encrypted_content"],
        prompt_cache_key: request.session.to_string(),
        text: (verbosity.is_some() || format.is_some()).then_some(Text { verbosity, format }),
    };
    serde_json::to_vec(&body).map_err(|error| {
        ModelError::never(ErrorClass::Internal, format!("the request cannot be written: {error}"))
    })
}

fn describe(tool: &ToolSpec, openai: bool) -> Tool<'_> {
    match &tool.kind {
        ToolKind::Custom { grammar } if openai => Tool::Custom {
            name: &tool.name,
            description: &tool.description,
            format: match grammar.as_str() {
                "" => Grammar::Text,
                definition => Grammar::Grammar { syntax: "lark", definition },
            },
        },
        _ => {
            let (description, schema) = calls::as_function(tool);
            let parameters = Verbatim(schema);
            Tool::Function { name: &tool.name, description, strict: false, parameters }
        }
    }
}

/// The items as the wire has them.
struct Input<'a> {
    items: &'a [Arc<Item>],
    book: CallBook<'a>,
    openai: bool,
    stored: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wired<'a> {
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        role: &'static str,
        content: Vec<Part<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'a str>,
    },
    FunctionCall {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        call_id: &'a str,
        name: &'a str,
        arguments: Cow<'a, str>,
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: Output<'a>,
    },
    CustomToolCall {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        call_id: &'a str,
        name: &'a str,
        input: &'a str,
    },
    CustomToolCallOutput {
        call_id: &'a str,
        output: Output<'a>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText { text: &'a str },
    InputImage { image_url: &'a str },
    OutputText { text: &'a str },
}

/// An item that answers a call.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Wired(Wired<'a>),
    /// Of a kind of its own.
    Own(serde_json::Value),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut at = 0;
        while let Some(item) = self.items.get(at) {
            at += 1;
            match &**item {
                Item::Reasoning(reasoning) => {
                    if let Some(json) = self.reasoning(reasoning) {
                        list.serialize_element(&Verbatim(json))?;
                    }
                }
                Item::Opaque(part) if part.opaque.wire == Wire::Responses => {
                    list.serialize_element(&Verbatim(&part.opaque.json))?;
                }
                Item::Opaque(_) => {}
                Item::Assistant(said) if said.text.is_empty() => {}
                Item::Assistant(said) => list.serialize_element(&assistant(said))?,
                Item::Call(call) => match self.book.opaque(call.call) {
                    Some(json) => match kinds::under_id(json, self.id(call)) {
                        Some(item) => list.serialize_element(&item)?,
                        None => list.serialize_element(&Verbatim(json))?,
                    },
                    None => list.serialize_element(&self.call(call))?,
                },
                Item::Output(output) => {
                    for answer in self.answer(output) {
                        list.serialize_element(&answer)?;
                    }
                }
                Item::User(_) | Item::Context(_) | Item::Summary(_) => {
                    let mut content = Vec::new();
                    add_parts(&mut content, item);
                    let role = self.role(item);
                    while let Some(next) = self
                        .items
                        .get(at)
                        .filter(|next| !self.openai && is_message(next) && self.role(next) == role)
                    {
                        add_parts(&mut content, next);
                        at += 1;
                    }
                    list.serialize_element(&Wired::Message {
                        id: None,
                        role,
                        content,
                        phase: None,
                    })?;
                }
            }
        }
        if !self.openai && matches!(self.items.last().map(|item| &**item), Some(Item::Assistant(_)))
        {
            let content = vec![Part::InputText { text: GO_ON }];
            list.serialize_element(&Wired::Message {
                id: None,
                role: "user",
                content,
                phase: None,
            })?;
        }
        list.end()
    }
}

impl<'a> Input<'a> {
    fn role(&self, item: &Item) -> &'static str {
        match item {
            Item::Context(context) if context.role == Role::Developer && self.openai => "developer",
            _ => "user",
        }
    }

    /// The part as received. OpenAI refuses one that is neither encrypted nor stored.
    fn reasoning(&self, item: &'a ReasoningItem) -> Option<&'a str> {
        #[derive(Deserialize)]
        struct Encrypted {
            encrypted_content: Option<IgnoredAny>,
        }
        let json = &item.opaque.as_ref().filter(|part| part.wire == Wire::Responses)?.json;
        if self.openai && !self.stored {
            serde_json::from_str::<Encrypted>(json).ok()?.encrypted_content?;
        }
        Some(json)
    }

    fn id(&'a self, call: &'a CallItem) -> &'a str {
        self.book.id(call.call).unwrap_or(&call.wire_id)
    }

    fn call(&'a self, call: &'a CallItem) -> Wired<'a> {
        let call_id = self.id(call);
        let (id, name) = (wire_id(call.id.as_deref()), call.tool.as_str());
        match &call.input {
            CallInput::Text(input) if self.openai => {
                Wired::CustomToolCall { id, call_id, name, input }
            }
            // OpenAI takes the model's words back as they were.
            CallInput::Json(text) if self.openai => {
                Wired::FunctionCall { id, call_id, name, arguments: Cow::Borrowed(text) }
            }
            // An id of another kind of item would be refused.
            input => Wired::FunctionCall {
                id: id.filter(|_| matches!(input, CallInput::Json(_))),
                call_id,
                name,
                arguments: calls::arguments(call),
            },
        }
    }

    /// What answers a call: the output that belongs to its kind.
    fn answer(&'a self, item: &'a OutputItem) -> Vec<Answer<'a>> {
        let role = if self.openai { "developer" } else { "user" };
        let own = self.book.opaque(item.call).zip(self.book.id(item.call));
        match own.and_then(|(json, id)| kinds::answer(json, id, item, role)) {
            Some(items) => items.into_iter().map(Answer::Own).collect(),
            None => self.output(item).map(Answer::Wired).into_iter().collect(),
        }
    }

    fn output(&'a self, item: &'a OutputItem) -> Option<Wired<'a>> {
        let call_id = self.book.id(item.call)?;
        let has_image = calls::images(&item.content).next().is_some();
        let output = if has_image {
            Output::Parts(item.content.iter().map(part).collect())
        } else {
            Output::Text(calls::joined(&item.content))
        };
        Some(if self.openai && self.book.is_text(item.call) {
            Wired::CustomToolCallOutput { call_id, output }
        } else {
            Wired::FunctionCallOutput { call_id, output }
        })
    }
}

/// Only ids of the form `prefix_suffix` are known to a provider.
fn wire_id(id: Option<&str>) -> Option<&str> {
    id.filter(|id| {
        id.split_once('_').is_some_and(|(prefix, suffix)| !prefix.is_empty() && !suffix.is_empty())
    })
}

fn assistant(said: &AssistantItem) -> Wired<'_> {
    Wired::Message {
        id: wire_id(said.id.as_deref()),
        role: "assistant",
        content: vec![Part::OutputText { text: &said.text }],
        phase: said.phase.as_deref(),
    }
}

fn is_message(item: &Item) -> bool {
    matches!(item, Item::User(_) | Item::Context(_) | Item::Summary(_))
}

fn add_parts<'a>(parts: &mut Vec<Part<'a>>, item: &'a Item) {
    match item {
        Item::User(user) => parts.extend(user.content.iter().map(part)),
        Item::Context(context) => parts.push(Part::InputText { text: &context.text }),
        Item::Summary(summary) => parts.push(Part::InputText { text: &summary.text }),
        _ => {}
    }
}

fn part(content: &Content) -> Part<'_> {
    match content {
        Content::Text { text } => Part::InputText { text },
        Content::Image { url } => Part::InputImage { image_url: url },
    }
}
