//! Reading the JSON that models write, with the mistakes they make.
//!
//! Forgiven is only what has one meaning: a code fence around it, raw line breaks inside a string,
//! closing brackets too many, an object written as a string. Everything else is an error that names
//! line and column of the text as the model wrote it.

use serde_json::Value;

/// Reads `text`; empty text is an empty object.
pub(super) fn read(text: &str) -> Result<Value, serde_json::Error> {
    let bare = without_fence(text.trim());
    if bare.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_str(bare) {
        Ok(Value::String(inner)) => Ok(read_inner(inner)),
        Ok(value) => Ok(value),
        Err(_) => mended(bare).ok_or(()).or_else(|()| serde_json::from_str(text)),
    }
}

/// The text between a pair of code fences, or `text`.
pub(super) fn without_fence(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("```") else { return text };
    let Some((_language, body)) = rest.split_once('\n') else { return text };
    body.trim_end().strip_suffix("```").unwrap_or(body).trim()
}

/// An object or array that was written as a string; any other string stays one.
fn read_inner(inner: String) -> Value {
    match serde_json::from_str(inner.trim()) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::String(inner),
    }
}

fn mended(text: &str) -> Option<Value> {
    let text = escape_controls(text);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let rest = &text[values.byte_offset()..];
    let harmless = |c: char| c.is_whitespace() || matches!(c, '}' | ']' | '`' | ',' | ';');
    (value.is_object() && rest.chars().all(harmless)).then_some(value)
}

/// Writes raw control characters inside strings as escapes.
fn escape_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '\n' if in_string => out.push_str(if escaped { "n" } else { "\\n" }),
            '\r' if in_string => out.push_str(if escaped { "r" } else { "\\r" }),
            '\t' if in_string => out.push_str(if escaped { "t" } else { "\\t" }),
            _ => out.push(c),
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    out
}
