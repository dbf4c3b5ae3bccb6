//! JSON helpers both wires need: forgiving text, verbatim parts.

use serde::{
    Serialize, Serializer,
    de::{Deserializer, Visitor},
    ser::Error as _,
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The text of a JSON string; `None` for anything else. Half a surrogate pair and broken UTF-8 become
/// U+FFFD, because servers cut texts anywhere.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str(json).ok().or_else(|| {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer.deserialize_bytes(Lossy).ok()
    })
}

/// The text of an optional JSON string, empty if there is none.
pub(crate) fn text_or_empty(raw: Option<&RawValue>) -> String {
    raw.and_then(text).unwrap_or_default()
}

struct Lossy;

impl Visitor<'_> for Lossy {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        // Each of the three bytes of a lone surrogate is replaced; one mark is enough.
        Ok(String::from_utf8_lossy(bytes).replace("\u{FFFD}\u{FFFD}\u{FFFD}", "\u{FFFD}"))
    }
}

/// The data of an event as text.
pub(crate) fn utf8(data: &[u8]) -> Cow<'_, str> {
    // The lossy conversion alone goes byte by byte.
    std::str::from_utf8(data).map_or_else(|_| String::from_utf8_lossy(data), Cow::Borrowed)
}

/// A JSON text written out as it is.
pub(crate) struct Verbatim<'a>(pub(crate) &'a str);

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Whether a text is one JSON object.
pub(crate) fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(json).is_ok()
}

/// A value as JSON text. Plain values cannot fail.
pub(crate) fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
