//! The fields of a call's arguments, read leniently: numbers as strings, strings as numbers,
//! `null` as absent, fields nobody asked for ignored.

use serde_json::{Map, Value};
use troupe_types::start_of;

/// What is wrong with a field, as the end of a sentence to the model.
pub(super) type Problem = String;

/// The fields of an object.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    /// The first of `names` that is there and not null.
    pub(super) fn value(&self, names: &[&str]) -> Option<&Value> {
        names.iter().find_map(|name| self.0.get(*name).filter(|value| !value.is_null()))
    }

    /// A text, if it is there.
    pub(super) fn text(&self, names: &[&str]) -> Result<Option<String>, Problem> {
        let Some(value) = self.value(names) else { return Ok(None) };
        match as_text(value) {
            Some(text) => Ok(Some(text)),
            None => Err(format!("`{}` must be a string, not {}", names[0], kind(value))),
        }
    }

    /// A text that is neither absent nor blank, or nothing.
    pub(super) fn some_text(&self, names: &[&str]) -> Result<Option<String>, Problem> {
        Ok(self.text(names)?.filter(|text| !text.trim().is_empty()))
    }

    /// A text that has to be there.
    pub(super) fn required(&self, names: &[&str]) -> Result<String, Problem> {
        self.some_text(names)?.ok_or_else(|| format!("missing field `{}`", names[0]))
    }

    /// A whole number, if it is there; a negative one counts as 0.
    pub(super) fn number(&self, names: &[&str]) -> Result<Option<u64>, Problem> {
        let Some(value) = self.value(names) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().replace(['_', ','], "").parse::<f64>().ok(),
            _ => None,
        };
        match number {
            Some(number) if number.is_finite() => Ok(Some(whole(number))),
            _ => Err(format!("`{}` must be a whole number, not {}", names[0], kind(value))),
        }
    }

    /// Whether a flag is set.
    pub(super) fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}

/// Floats saturate: what is below 0 is 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// A string, number or flag as text.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// What a value is, with a short look at a text.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", start_of(text, 40)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
