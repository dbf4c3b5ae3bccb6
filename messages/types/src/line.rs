//! Lines of a session's log: the one place that knows how a line is written and read.
//!
//! A line is `{"seq":7,"at":1764090000123,"v":1,"kind":"CallStarted","body":{…}}` and a newline:
//! its number from 0 without gaps, milliseconds since 1970, the version of the form, the kind and
//! the kind's own body. White space, the order of the keys, a carriage return before the newline
//! and a byte order mark do not matter to a reader.

use crate::Record;
use serde::{Deserialize, Serialize, de::IgnoredAny, ser::Error as _};
use serde_json::{
    Value,
    ser::{CompactFormatter, Formatter},
    value::RawValue,
};
use std::{borrow::Cow, io};

/// The version of the line's form that this program writes.
pub const FORMAT: u32 = 1;

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum LineError {
    /// It is not JSON of the expected form.
    #[error("not a line of a session log: {error}")]
    Form {
        /// What is wrong with it.
        error: String,
    },
    /// It was written by a later version.
    #[error("written in form {version}, this program reads up to {FORMAT}: use a newer troupe")]
    Version {
        /// The version of its form.
        version: u32,
    },
    /// Its kind is unknown.
    #[error("unknown kind of record `{kind}`")]
    Kind {
        /// The kind.
        kind: String,
    },
    /// A long text of it, which is kept in a file of its own, cannot be read.
    #[error("its text in {file} cannot be read: {error}")]
    LongText {
        /// The file.
        file: String,
        /// Why.
        error: String,
    },
}

impl From<serde_json::Error> for LineError {
    fn from(error: serde_json::Error) -> Self {
        Self::Form { error: error.to_string() }
    }
}

impl From<std::str::Utf8Error> for LineError {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::Form { error: error.to_string() }
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number, from 0, without gaps.
    pub seq: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// What it says.
    pub record: Record,
}

/// What can be told of a line without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineHead<'a> {
    /// Its number.
    pub seq: u64,
    /// The version of its form.
    pub version: u32,
    /// The name of its kind.
    pub kind: Cow<'a, str>,
}

impl<'a> LineHead<'a> {
    /// Reads the head of a line, of which the first 160 bytes are enough where this program wrote
    /// it ([`LineHead::written_by_us`]). `None` if it is no whole line of JSON with a head.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if let Some(head) = Self::written_by_us(line) {
            return Some(head);
        }
        let head: Head<'_, IgnoredAny> =
            serde_json::from_str(std::str::from_utf8(bare(line)).ok()?).ok()?;
        Some(Self { seq: head.seq, version: head.v, kind: head.kind })
    }

    /// The same for the bytes that this program writes, which need not be a whole line.
    #[must_use]
    pub fn written_by_us(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"seq\":")?;
        let (seq, rest) = number(rest)?;
        let (_, rest) = number(rest.strip_prefix(b",\"at\":")?)?;
        let (version, rest) = number(rest.strip_prefix(b",\"v\":")?)?;
        let rest = rest.strip_prefix(b",\"kind\":\"")?;
        let len = rest.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
        let (kind, rest) = rest.split_at(len);
        rest.starts_with(b"\",\"body\":").then_some(())?;
        let kind = Cow::Borrowed(std::str::from_utf8(kind).ok()?);
        Some(Self { seq, version: u32::try_from(version).ok()?, kind })
    }
}

/// The digits at the front, as JSON has them, and what follows.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let len = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(len);
    if len > 1 && digits[0] == b'0' {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// A line without a byte order mark and without the white space around it.
fn bare(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii()
}

/// The version of a line that a later program wrote, whatever else that line holds.
#[must_use]
pub fn later_version(line: &[u8]) -> Option<u32> {
    let version = match LineHead::written_by_us(line) {
        Some(head) => head.version,
        None => {
            let text = std::str::from_utf8(bare(line)).ok()?;
            serde_json::from_str::<Form>(text).ok()?.v
        }
    };
    (version > FORMAT).then_some(version)
}

/// Whether the bytes are a whole line of a log, but for its end.
#[must_use]
pub fn is_whole_line(line: &[u8]) -> bool {
    let text = std::str::from_utf8(bare(line)).ok();
    text.is_some_and(|text| serde_json::from_str::<Head<'_, IgnoredAny>>(text).is_ok())
}

/// Whether nothing stands in the line: it is no line of the log, and harms nothing.
#[must_use]
pub fn is_blank_line(line: &[u8]) -> bool {
    bare(line).is_empty()
}

/// A digest of a line's bytes, without its end: tells whether it is still the same line. The same
/// in every process and version; no guard against somebody who wants two lines to have the same.
#[must_use]
pub fn line_digest(line: &[u8]) -> u32 {
    // FNV-1a over words instead of bytes: a line of 2 KB takes a fifth of a microsecond.
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let line = line.trim_ascii_end();
    let (words, rest) = line.as_chunks::<8>();
    let add = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(PRIME);
        hash ^ (hash >> 29)
    };
    let mut hash = words.iter().fold(0xcbf2_9ce4_8422_2325 ^ line.len() as u64, |hash, word| {
        add(hash, u64::from_le_bytes(*word))
    });
    for byte in rest {
        hash = add(hash, u64::from(*byte));
    }
    let [a, b, c, d, e, f, g, h] = add(hash, 0).to_le_bytes();
    u32::from_le_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

#[derive(Deserialize)]
struct Head<'a, Body> {
    seq: u64,
    at: u64,
    v: u32,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    body: Body,
}

#[derive(Deserialize)]
struct HeadOnly {
    seq: u64,
    at: u64,
    kind: String,
}

/// What every version has.
#[derive(Deserialize)]
struct Form {
    v: u32,
}

impl Line {
    /// Reads a line (without or with its newline).
    ///
    /// # Errors
    /// When it is not JSON of the form, of a later version, or of an unknown kind.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let head: Head<'_, &RawValue> = match serde_json::from_str(text) {
            Ok(head) => head,
            // A later version need not have our other fields.
            Err(error) => {
                let later = serde_json::from_str::<Form>(text).ok().filter(|form| form.v > FORMAT);
                let form = LineError::from(error);
                return Err(later.map_or(form, |form| LineError::Version { version: form.v }));
            }
        };
        if head.v > FORMAT {
            return Err(LineError::Version { version: head.v });
        }
        let record = Record::parse(&head.kind, head.body.get())?;
        Ok(Self { seq: head.seq, at: head.at, record })
    }

    /// A line from its parsed form, without a copy of its texts.
    ///
    /// # Errors
    /// As [`Line::parse`].
    pub fn from_value(mut value: Value) -> Result<Self, LineError> {
        let version = value["v"].as_u64().and_then(|v| u32::try_from(v).ok());
        if let Some(later) = version.filter(|version| *version > FORMAT) {
            return Err(LineError::Version { version: later });
        }
        let body = value.get_mut("body").map(Value::take).unwrap_or_default();
        let head = HeadOnly::deserialize(value)?;
        let record = Record::from_body(&head.kind, body)?;
        Ok(Self { seq: head.seq, at: head.at, record })
    }

    /// Writes the line, with its newline.
    ///
    /// # Errors
    /// Only if a value cannot be written as JSON.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        self.render_within(usize::MAX).map(Option::unwrap_or_default)
    }

    /// The same; `None` if its body has more than `most` bytes.
    ///
    /// # Errors
    /// Only if a value cannot be written as JSON.
    pub fn render_within(&self, most: usize) -> Result<Option<String>, serde_json::Error> {
        let mut out = Bounded { text: self.head().into_bytes(), left: most };
        match self.record.write_body(&mut out, CompactFormatter) {
            Ok(()) => {}
            Err(error) if error.is_io() => return Ok(None),
            Err(error) => return Err(error),
        }
        out.text.extend_from_slice(b"}\n");
        String::from_utf8(out.text).map(Some).map_err(serde_json::Error::custom)
    }

    /// Writes the line, its body in the form of this formatter.
    ///
    /// # Errors
    /// Those of the formatter, and if a value cannot be written as JSON.
    pub fn render_as(&self, formatter: impl Formatter) -> Result<String, serde_json::Error> {
        let mut text = self.head().into_bytes();
        self.record.write_body(&mut text, formatter)?;
        text.extend_from_slice(b"}\n");
        String::from_utf8(text).map_err(serde_json::Error::custom)
    }

    /// Writes the line with another body.
    ///
    /// # Errors
    /// Only if a value cannot be written as JSON.
    pub fn render_with(&self, body: &Value) -> Result<String, serde_json::Error> {
        Ok(format!("{}{}}}\n", self.head(), serde_json::to_string(body)?))
    }

    /// Up to the body, as [`LineHead::written_by_us`] knows it.
    fn head(&self) -> String {
        let (seq, at, kind) = (self.seq, self.at, self.record.kind());
        format!("{{\"seq\":{seq},\"at\":{at},\"v\":{FORMAT},\"kind\":\"{kind}\",\"body\":")
    }
}

/// A text that takes so many bytes more.
struct Bounded {
    text: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
