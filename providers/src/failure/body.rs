//! What a server says about an error, in any of the shapes servers use.

use super::retry_after;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use troupe_types::Endpoint;

/// The longest text of a server's that is shown, in bytes.
const MAX_TEXT: usize = 1000;

/// The members that hold what a server says, best first.
const SAYING: [&str; 10] = [
    "error",
    "errors",
    "message",
    "detail",
    "msg",
    "error_description",
    "error_message",
    "error_msg",
    "base_resp",
    "status_msg",
];

/// What is known of an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// The server's text; empty if there is none.
    pub(crate) message: String,
    /// Every code, type and status word, in lower case, separated by blanks.
    pub(crate) codes: String,
    /// When a used-up quota is renewed, in seconds since 1970.
    pub(crate) resets_at: Option<u64>,
    /// The wait it names in a member of its own.
    pub(crate) retry_after: Option<Duration>,
}

impl ServerError {
    /// Reads a response body.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Self::from_value(&value),
            Err(_) => Self { message: plain(&text, body), ..Self::default() },
        }
    }

    /// Reads a JSON error, or the object around it.
    pub(crate) fn from_value(value: &Value) -> Self {
        let mut error = Self::default();
        error.read(value, 0);
        if error.message.is_empty() && !value.is_null() {
            error.message = value.to_string();
        }
        error.codes.make_ascii_lowercase();
        error
    }

    /// Whether one of the codes is one of these.
    pub(crate) fn has_code(&self, wanted: &[&str]) -> bool {
        self.codes.split(' ').any(|code| wanted.contains(&code))
    }

    fn read(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.take_text(text),
            Value::Array(parts) => {
                if let Some(first) = parts.first().filter(|_| depth < 4) {
                    self.read(first, depth + 1);
                }
            }
            Value::Object(fields) => {
                for name in ["code", "type", "status", "status_code", "error_code"] {
                    match fields.get(name) {
                        Some(Value::String(code)) => self.add_code(code),
                        Some(Value::Number(code)) => self.add_code(&code.to_string()),
                        _ => {}
                    }
                }
                self.resets_at = self.resets_at.or(fields.get("resets_at").and_then(Value::as_u64));
                self.retry_after = self.retry_after.or_else(|| named_wait(fields));
                let words = |name: &str| fields.get(name).and_then(Value::as_str);
                for name in SAYING {
                    match fields.get(name).filter(|_| depth < 4) {
                        // OAuth's form: one word as the error, the words beside it.
                        Some(Value::String(code))
                            if name == "error"
                                && is_word(code)
                                && SAYING[1..].iter().any(|name| {
                                    words(name).is_some_and(|words| !words.is_empty())
                                }) =>
                        {
                            self.add_code(code);
                        }
                        Some(inner) => self.read(inner, depth + 1),
                        None => {}
                    }
                }
                self.add_upstream(fields);
            }
            _ => {}
        }
    }

    fn take_text(&mut self, text: &str) {
        if !self.message.is_empty() {
            return;
        }
        // Gateways put the JSON of the server behind them into their own message.
        match serde_json::from_str::<Value>(text) {
            Ok(inner @ Value::Object(_)) => self.read(&inner, 1),
            _ => text.trim().clone_into(&mut self.message),
        }
    }

    /// OpenRouter keeps the words of the server behind it apart.
    fn add_upstream(&mut self, fields: &Map<String, Value>) {
        let raw = fields.get("metadata").and_then(|metadata| metadata.get("raw"));
        let mut upstream = Self::default();
        match raw {
            Some(Value::String(text)) => upstream.take_text(text),
            Some(value) => upstream.read(value, 1),
            None => return,
        }
        self.retry_after = self.retry_after.or(upstream.retry_after);
        if self.message.is_empty() || !self.message.contains(&upstream.message) {
            let between = if self.message.is_empty() { "" } else { ": " };
            self.message = format!("{}{between}{}", self.message, upstream.message);
        }
    }

    fn add_code(&mut self, code: &str) {
        if code == "error" {
            // The type of the event, not of the error.
            return;
        }
        if !self.codes.is_empty() {
            self.codes.push(' ');
        }
        self.codes.push_str(code);
    }
}

/// Whether a JSON text without the members of an answer is an error.
pub(crate) fn is_error(text: &str) -> bool {
    const ALONE: [&str; 3] = ["error", "errors", "detail"];
    const BESIDE: [&str; 4] = ["code", "status_code", "statusCode", "error_code"];
    let fields = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => fields,
        // Google puts a list around it.
        Ok(Value::Array(parts)) => match parts.into_iter().next() {
            Some(Value::Object(fields)) => fields,
            _ => return false,
        },
        _ => return false,
    };
    let has = |names: &[&str]| names.iter().any(|name| fields.get(*name).is_some_and(is_set));
    let says = |name: &str| fields.get(name).and_then(Value::as_str) == Some("error");
    let refused = fields.get("base_resp").and_then(|base| base.get("status_code"));
    has(&ALONE)
        || refused.is_some_and(is_set)
        || (has(&["message", "msg"]) && (has(&BESIDE) || says("object") || says("type")))
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
    }
}

/// The members that name a wait, and how many seconds one of theirs is.
const WAITS: [(&str, f64); 6] = [
    ("retry_after_ms", 1e-3),
    ("retryAfterMs", 1e-3),
    ("retry_after", 1.0),
    ("retry_after_seconds", 1.0),
    ("retryAfter", 1.0),
    ("retry-after", 1.0),
];

/// The wait in a member of its own, in Google's `RetryInfo` among the details, or in the headers that
/// OpenRouter passes on among the metadata.
fn named_wait(fields: &Map<String, Value>) -> Option<Duration> {
    let member = |(name, unit): &(&str, f64)| {
        let named = fields.get(*name)?;
        retry_after::seconds(number(named)? * unit)
    };
    let details = || fields.get("details").and_then(Value::as_array)?.iter().find_map(retry_info);
    WAITS.iter().find_map(member).or_else(details).or_else(|| passed_on(fields.get("metadata")?))
}

fn passed_on(metadata: &Value) -> Option<Duration> {
    let headers = metadata.get("headers").and_then(Value::as_object)?.iter();
    let headers = headers.filter_map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(&text).ok()?))
    });
    retry_after::from_headers(&HeaderMap::from_iter(headers), SystemTime::now())
}

/// Google's delay: `1.5s`, or seconds and nanoseconds apart.
fn retry_info(detail: &Value) -> Option<Duration> {
    match detail.get("retryDelay")? {
        Value::String(delay) => retry_after::span(delay),
        Value::Object(delay) => {
            let part = |name: &str| delay.get(name).and_then(number);
            let nanos = part("nanos").unwrap_or_default();
            retry_after::seconds(part("seconds").unwrap_or_default() + nanos / 1e9)
        }
        _ => None,
    }
}

/// A number, also where it is written as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Whether a text is one word, as codes are.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// A body that is no JSON: its text, or what kind of page it is and its title, or that it is no text.
fn plain(text: &str, body: &[u8]) -> String {
    let binary =
        |c: char| c == '\u{fffd}' || (c.is_control() && !c.is_whitespace() && c != '\u{1b}');
    let text = text.trim_start_matches('\u{feff}');
    let marks = text.chars().filter(|c| binary(*c)).count();
    // A few come from another character set.
    if marks > 0 && (text.contains('\0') || marks * 10 > text.chars().count()) {
        let packed = if body.starts_with(&[0x1f, 0x8b]) { " (gzip)" } else { "" };
        return format!("{} bytes that are no text{packed}", body.trim_ascii().len());
    }
    if !text.trim_start().starts_with('<') {
        return text.trim().to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let page = lower.contains("<html") || lower.contains("<!doctype html");
    let kind = if page { "an HTML page" } else { "an XML document" };
    let within = |tag: &str| {
        let start = lower.find(&format!("<{tag}"))?;
        let start = start + lower[start..].find('>')? + 1;
        let end = start + lower[start..].find("</")?;
        Some(text[start..end].trim()).filter(|title| !title.is_empty())
    };
    match within("title").or_else(|| within("h1")).or_else(|| within("message")) {
        Some(title) => format!("{kind}, {title:?}"),
        None => kind.to_owned(),
    }
}

/// Whether a body is a page for people.
pub(super) fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// A server's words as they are shown: without secrets, and not longer than anyone reads. In this order, so
/// that no part of a key stays.
pub(crate) fn words(endpoint: &Endpoint, said: &str) -> String {
    clip(&endpoint.redact(said))
}

fn clip(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", &text[..end])
}
