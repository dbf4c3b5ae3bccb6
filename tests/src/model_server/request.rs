//! A recorded request, and what its content says about the conversation.

use serde_json::Value;
use std::time::Instant;

/// Which protocol a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `POST …/responses`.
    Responses,
    /// `POST …/chat/completions`.
    Chat,
    /// `GET …/models`.
    Models,
    /// A scripted route, or a path that is not served.
    Other,
}

impl Wire {
    pub(crate) fn of(method: &str, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        match method {
            "POST" if path.ends_with("/responses") => Self::Responses,
            "POST" if path.ends_with("/chat/completions") => Self::Chat,
            "GET" if path.ends_with("/models") => Self::Models,
            _ => Self::Other,
        }
    }

    /// Whether an answer of the model is asked for.
    #[must_use]
    pub fn is_model(self) -> bool {
        matches!(self, Self::Responses | Self::Chat)
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number on this server, from 0, in order of arrival, whatever its path.
    pub index: usize,
    /// The connection it came on, numbered from 0: equal numbers mean the connection was reused.
    pub connection: usize,
    /// The protocol.
    pub wire: Wire,
    /// `GET`, `POST` …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Header names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body; null where it is not JSON.
    pub body: Value,
    /// The body's length in bytes.
    pub body_bytes: usize,
    /// When the whole request had been read.
    pub at: Instant,
}

impl Request {
    /// The first value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The `input` items, or the `messages`.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        let list = self.body.get("input").or_else(|| self.body.get("messages"));
        list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// How many answers of the model the body already holds: runs of items the model made.
    ///
    /// 0 is the first request of a conversation. Context and steering messages do not count, nor
    /// does the number of calls in an answer, and a request sent again has the same position.
    #[must_use]
    pub fn position(&self) -> usize {
        let made = || self.items().iter().map(by_model);
        made()
            .zip(std::iter::once(false).chain(made()))
            .filter(|&(now, before)| now && !before)
            .count()
    }

    /// The tool outputs in the body: call id and text.
    #[must_use]
    pub fn outputs(&self) -> Vec<(String, String)> {
        self.items().iter().filter_map(output).collect()
    }

    /// The text that was handed back for a call.
    #[must_use]
    pub fn output(&self, call_id: &str) -> Option<String> {
        self.outputs().into_iter().find(|(id, _)| id == call_id).map(|(_, text)| text)
    }

    /// The texts of a role's messages (`user`, `assistant`, `developer`, `system`), in order.
    #[must_use]
    pub fn texts(&self, role: &str) -> Vec<String> {
        let said = self.items().iter().filter(|item| item["role"] == role);
        said.map(|item| text(&item["content"])).collect()
    }

    /// Whether a text occurs in a user message.
    #[must_use]
    pub fn asks(&self, part: &str) -> bool {
        self.texts("user").iter().any(|text| text.contains(part))
    }

    /// The names of the offered tools, in order.
    #[must_use]
    pub fn tools(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().map_or(&[][..], Vec::as_slice);
        tools
            .iter()
            .filter_map(|tool| tool["name"].as_str().or_else(|| tool["function"]["name"].as_str()))
            .collect()
    }

    /// What tells conversations apart: the cache key, else the text before the first answer.
    pub(crate) fn conversation(&self) -> String {
        if let Some(key) = self.body["prompt_cache_key"].as_str() {
            return key.to_owned();
        }
        let said = self.items().iter().find(|item| item["role"] == "user");
        said.map(|item| text(&item["content"])).unwrap_or_default()
    }
}

/// Whether an item of either wire was made by the model.
pub(crate) fn by_model(item: &Value) -> bool {
    match item["type"].as_str() {
        None | Some("message") => item["role"] == "assistant",
        Some("mcp_approval_response") => false,
        Some(kind) => !kind.ends_with("_output"),
    }
}

fn output(item: &Value) -> Option<(String, String)> {
    if item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output")) {
        return Some((item["call_id"].as_str()?.to_owned(), text(&item["output"])));
    }
    let tool = item["role"] == "tool";
    tool.then(|| Some((item["tool_call_id"].as_str()?.to_owned(), text(&item["content"]))))?
}

/// The text of a string, or of a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
