//! JSON helpers both wires need: forgiving text, verbatim parts.

use memchr::memchr;
use serde::{
    Deserialize, Serialize, Serializer,
    de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::Error as _,
};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, fmt};

/// The text of a JSON string; `None` for anything else. Half a surrogate pair and broken UTF-8 become
/// U+FFFD, because servers cut texts anywhere.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    string(raw.get())
}

/// The same, of JSON that is known to be right.
pub(crate) fn string(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    Some(match memchr(b'\\', inside.as_bytes()) {
        None => Cow::Borrowed(inside),
        Some(_) => Cow::Owned(unescaped(inside)),
    })
}

/// The inside of a JSON string without its escapes, which are known to be whole.
fn unescaped(mut rest: &str) -> String {
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let (character, len) = escape(&rest[at..]);
        text.push(character);
        rest = rest.get(at + len..).unwrap_or_default();
    }
    text.push_str(rest);
    // Texts in which every letter is escaped become much shorter.
    if text.len() < text.capacity() / 2 {
        text.shrink_to_fit();
    }
    text
}

/// What is left of a text when a JSON string is taken off its front; `None` if it does not begin so.
/// Needs no copy of the string, which may be long.
pub(crate) fn without_text<'t>(mut text: &'t str, raw: &RawValue) -> Option<&'t str> {
    let mut rest = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        text = text.strip_prefix(&rest[..at])?;
        let (character, len) = escape(&rest[at..]);
        text = text.strip_prefix(character)?;
        rest = rest.get(at + len..).unwrap_or_default();
    }
    text.strip_prefix(rest)
}

/// The character of an escape, and how many bytes the escape has.
fn escape(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let character = match escape.as_bytes().get(1) {
        Some(b'u') => {
            let units = unit(0).into_iter().chain(unit(6));
            let read = char::decode_utf16(units).next();
            let character = read.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER);
            return (character, 6 * character.len_utf16());
        }
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        // A quotation mark or a slash of either kind stands for itself.
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

/// The text of an optional JSON string, empty if there is none.
pub(crate) fn text_or_empty(raw: Option<&RawValue>) -> Cow<'_, str> {
    raw.and_then(text).unwrap_or_default()
}

/// Text of a JSON string, or what was written in its place (against the rules); empty for nothing.
pub(crate) fn text_or_raw(raw: Option<&RawValue>) -> Cow<'_, str> {
    match raw {
        None => Cow::Borrowed(""),
        Some(raw) if raw.get() == "null" => Cow::Borrowed(""),
        Some(raw) => text(raw).unwrap_or(Cow::Borrowed(raw.get())),
    }
}

/// Whether a member says something: not `null`, `false`, or empty.
pub(crate) fn is_set(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "0" | "\"\"" | "{}" | "[]")
}

/// A text as the JSON it holds, so that spelling makes no difference; else as it is.
pub(crate) fn value_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// A name or id: a string, or a number in place of one. Anything else counts as none.
#[derive(Debug, Default)]
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(number.to_string())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Name::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Name::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(parts).map(|_| Name::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(members).map(|_| Name::default())
    }
}

/// A count or place: a number, however it is spelled. Anything else counts as none.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl CountVisitor {
    fn of_float(number: f64) -> Count {
        // Beyond the last whole number of a float it is no count.
        let known = |number: &f64| (0.0..=9_007_199_254_740_992.0).contains(number);
        Count(Some(number).filter(known).map(|number| number as u64))
    }
}

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(Count(Some(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(number).ok()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Count, E> {
        Ok(Self::of_float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Count, E> {
        let float = || text.parse().map_or(Count(None), Self::of_float);
        Ok(text.parse().map_or_else(|_| float(), |number| Count(Some(number))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Count, A::Error> {
        IgnoredAny.visit_seq(parts).map(|_| Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Count, A::Error> {
        IgnoredAny.visit_map(members).map(|_| Count(None))
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

#[cfg(test)]
mod tests {
    use super::{text, without_text};
    use serde_json::value::RawValue;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn half_a_surrogate_pair_is_one_replaced_character() {
        for (json, expected) in [
            (r#""a\ud83db""#, "a\u{FFFD}b"),
            (r#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{FFFD}\u{1F600}"),
            (r#""\ud83d\u00e9""#, "\u{FFFD}é"),
            (r#""\ud83d\n""#, "\u{FFFD}\n"),
        ] {
            assert_eq!(text(raw(json)).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(text(raw("12")), None);
    }

    proptest::proptest! {
        #[test]
        fn a_text_is_what_serde_reads(words in "(\\PC|[\"\\\\/\u{8}\u{c}\n\r\t\u{1}🦀]){0,40}", ascii: bool) {
            let mut json = serde_json::to_string(&words).unwrap();
            if ascii {
                let unit = |unit: u16| format!("\\u{unit:04x}");
                let escaped = words.encode_utf16().map(unit).collect::<String>();
                json = format!("\"{escaped}\"");
            }
            let read = text(raw(&json));
            proptest::prop_assert_eq!(read.as_deref(), Some(&*words));
            let longer = format!("{words}more");
            proptest::prop_assert_eq!(without_text(&longer, raw(&json)), Some("more"));
            let other = format!("{words}x");
            let other = serde_json::to_string(&other).unwrap();
            proptest::prop_assert_eq!(without_text(&words, raw(&other)), None);
        }
    }
}
