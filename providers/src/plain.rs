//! Plain JSON objects, which pieces of text are: their members are strings, whole numbers, `null` and
//! `[]`. What is not plain is left to the full reader; what is plain means the same to both.

/// A plain object, and where the next thing to read stands in it.
pub(crate) struct Plain<'a> {
    json: &'a str,
    at: usize,
}

/// A value, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainValue<'a> {
    /// A string with its quotation marks, and whether it has escapes.
    Text(&'a str, bool),
    /// A whole number.
    Number(u64),
    /// `null` or `[]`.
    Empty,
}

impl<'a> PlainValue<'a> {
    /// A string without its quotation marks, unless it has escapes.
    pub(crate) fn simple(self) -> Option<&'a str> {
        let Self::Text(text, false) = self else { return None };
        text.get(1..text.len() - 1)
    }
}

impl<'a> Plain<'a> {
    /// Begins an object.
    pub(crate) fn open(json: &'a str) -> Option<Self> {
        let mut all = Self { json, at: 0 };
        (all.next() == Some(b'{')).then_some(all)
    }

    /// The name of the next member.
    pub(crate) fn name(&mut self) -> Option<&'a str> {
        if self.next()? != b'"' {
            return None;
        }
        let name = self.string()?.simple()?;
        (self.next()? == b':').then_some(name)
    }

    /// Its value.
    pub(crate) fn value(&mut self) -> Option<PlainValue<'a>> {
        match self.next()? {
            b'"' => self.string(),
            digit @ b'0'..=b'9' => self.number(digit).map(PlainValue::Number),
            b'n' => self.empty("ull"),
            b'[' => self.empty("]"),
            _ => None,
        }
    }

    /// Whether another member follows; `Some(false)` at the end of the object, if nothing else follows.
    pub(crate) fn more(&mut self) -> Option<bool> {
        match self.next()? {
            b',' => Some(true),
            b'}' => self.next().is_none().then_some(false),
            _ => None,
        }
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.json.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
        }
    }

    fn empty(&mut self, rest: &str) -> Option<PlainValue<'a>> {
        let end = self.at + rest.len();
        let found = self.json.get(self.at..end)? == rest;
        self.at = end;
        found.then_some(PlainValue::Empty)
    }

    /// A number whose first digit has been read. The caller looks at what follows it.
    fn number(&mut self, first: u8) -> Option<u64> {
        let mut number = u64::from(first - b'0');
        while let Some(digit @ b'0'..=b'9') = self.json.as_bytes().get(self.at) {
            if number == 0 {
                return None;
            }
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        Some(number)
    }

    /// A string whose first quotation mark has been read; its escapes are whole.
    fn string(&mut self) -> Option<PlainValue<'a>> {
        let bytes = self.json.as_bytes();
        let (start, mut escaped) = (self.at - 1, false);
        loop {
            self.at += special(bytes.get(self.at..)?)?;
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += escape_len(bytes.get(self.at + 1..)?)?,
                _ => return None,
            }
            escaped = true;
        }
        self.at += 1;
        Some(PlainValue::Text(self.json.get(start..self.at)?, escaped))
    }
}

/// Where the first byte stands that does not stand for itself in a string.
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        // The high bit of each byte that is below `than`. A byte behind such a one may be marked too,
        // never one before it.
        let below = |word: u64, than: u64| word.wrapping_sub(than * ONES) & !word & (ONES << 7);
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u8| below(word ^ (u64::from(byte) * ONES), 1);
        let found = below(word, 0x20) | equal(b'"') | equal(b'\\');
        if found != 0 {
            return Some(8 * at + found.trailing_zeros() as usize / 8);
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    Some(8 * words.len() + rest.iter().position(is_special)?)
}

/// How long an escape is, if it is one; what follows its backslash is given.
fn escape_len(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => rest.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Plain, PlainValue};
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// The members of a plain object, the last of each name.
    fn members(json: &str) -> Option<BTreeMap<String, PlainValue<'_>>> {
        let (mut plain, mut members) = (Plain::open(json)?, BTreeMap::new());
        loop {
            let name = plain.name()?;
            members.insert(name.to_owned(), plain.value()?);
            if !plain.more()? {
                return Some(members);
            }
        }
    }

    /// Whether it is plain, in which case the full reader must read the same.
    fn is_plain(json: &str) -> bool {
        let Some(members) = members(json) else { return false };
        // A surrogate alone is no text to serde, but the spelling is right.
        let lone = json.contains("\\u");
        let Ok(Value::Object(full)) = serde_json::from_str(json) else {
            assert!(lone, "{json}");
            return true;
        };
        assert_eq!(full.len(), members.len(), "{json}");
        for (name, value) in members {
            match value {
                PlainValue::Text(text, _) => {
                    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), full[&name], "{json}");
                    let simple = value.simple();
                    assert!(simple.is_none_or(|simple| full[&name] == simple), "{json}");
                }
                PlainValue::Number(number) => assert_eq!(full[&name], number, "{json}"),
                PlainValue::Empty => {
                    let empty = full[&name].is_null() || full[&name] == Value::Array(Vec::new());
                    assert!(empty, "{json}");
                }
            }
        }
        true
    }

    #[test]
    fn what_is_plain_is_read_and_the_rest_is_left() {
        for json in [
            r#"{"type":"x","n":0,"m":18446744073709551615,"a":[],"z":null}"#,
            "\t{ \"a\" :\r\n \"b\" , \"c\" : 12 } \n",
            r#"{"delta":"quote \" slash \/ \\ line \n \u00e9 \ud83d\ude00 é 🦀"}"#,
            r#"{"delta":"sixteen bytes and more than that, then an escape \\"}"#,
            r#"{"a":1,"a":2}"#,
        ] {
            assert!(is_plain(json), "{json}");
        }
        for json in [
            "",
            "{",
            "{}",
            "[]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":\"b",
            "{\"a\":\"b\\",
            r#"{"a":01}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-1}"#,
            r#"{"a":18446744073709551616}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{}}"#,
            r#"{"a":true}"#,
            r#"{"a":nul}"#,
            r#"{"a":nullx}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{"b":2}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 2}"#,
            r#"{"\u0061":1}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\u12"}"#,
            "{\"a\":\"\n\"}",
            "{\"a\u{1}\":1}",
        ] {
            assert!(!is_plain(json), "{json}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_plain_means_the_same_to_the_full_reader(json in "\\{( ?\"(a|b|\\\\u0061)\" ?: ?(\"[a\"\\\\\n\u{1}ué/]{0,20}\"|[0-9]{1,2}|null|\\[\\]|\\{\\}),?){0,3}\\}? ?") {
            is_plain(&json);
        }
    }
}
