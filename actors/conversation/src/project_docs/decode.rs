//! Bytes to text: what is text in UTF-8, as far as there is room; what is not is named.

use std::io::Read;

/// Read beyond the room: a byte order mark, a character's end, and blanks that do not count.
const SLACK: usize = 256;

/// A text, at most as long as there was room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Without blanks at its end.
    pub(super) text: String,
    /// The file goes on.
    pub(super) cut: bool,
    /// Where the first byte is (from 1) that is not UTF-8, if any.
    pub(super) replaced: Option<usize>,
}

/// Reads at most `room` bytes of text, cut at a character.
///
/// # Errors
/// Says of the file what it is, if not text, or why it cannot be read.
pub(super) fn decode(file: impl Read, room: usize) -> Result<Decoded, String> {
    let most = room.saturating_add(SLACK);
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let whole = bytes.len() < most;
    if let Some(what) = not_text(&bytes) {
        return Err(what.to_owned());
    }
    let mark = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let (mut text, replaced) = to_text(&bytes[mark..], whole)?;
    text.truncate(text.trim_end().len());
    let cut = !whole || text.len() > room;
    if text.len() > room {
        text.truncate(text.floor_char_boundary(room));
    }
    Ok(Decoded { text, cut, replaced: replaced.map(|at| at + mark + 1) })
}

/// What bytes are that are not text.
fn not_text(bytes: &[u8]) -> Option<&'static str> {
    const UTF_16: &str = "it is UTF-16 text: convert it with `iconv -f UTF-16 -t UTF-8`";
    const UTF_32: &str = "it is UTF-32 text: convert it with `iconv -f UTF-32 -t UTF-8`";
    const BINARY: &str = "it is binary data, not text";
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return Some(UTF_32),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => return Some(UTF_16),
        _ => {}
    }
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    // Without a mark: most letters of most languages' markup are ASCII, with a zero before or after.
    let (most, least) = (even.max(odd), even.min(odd));
    match (most, most * 8 >= bytes.len() && least * 8 <= most) {
        (0, _) => None,
        (_, true) => Some(UTF_16),
        (_, false) => Some(BINARY),
    }
}

/// The text, and where the first byte is that is none.
fn to_text(bytes: &[u8], whole: bool) -> Result<(String, Option<usize>), String> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((text.to_owned(), None)),
        Err(error) => error,
    };
    let good = error.valid_up_to();
    // A character that is cut by the end of what was read.
    if !whole && error.error_len().is_none() {
        return Ok((String::from_utf8_lossy(&bytes[..good]).into_owned(), None));
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let count = |wanted: fn(&char) -> bool| text.chars().filter(wanted).count();
    let odd = count(|c| *c == char::REPLACEMENT_CHARACTER);
    let controls = count(|c| c.is_control() && !c.is_whitespace() && *c != '\u{1b}');
    if controls > 0 || odd * 5 > count(|_| true) {
        return Err("it is not text in UTF-8".to_owned());
    }
    Ok((text, Some(good)))
}

#[cfg(test)]
mod tests {
    use super::{Decoded, decode};

    fn text(bytes: &[u8], room: usize) -> Decoded {
        decode(bytes, room).unwrap()
    }

    fn refused(bytes: &[u8]) -> String {
        decode(bytes, 1000).unwrap_err()
    }

    #[test]
    fn text_is_cut_at_a_character_and_only_where_something_is_missing() {
        let decoded = |text: &str, cut| Decoded { text: text.into(), cut, replaced: None };
        assert_eq!(text(b"abc\n\n", 3), decoded("abc", false));
        assert_eq!(text(b"\xEF\xBB\xBFabc", 3), decoded("abc", false));
        assert_eq!(text(b"abcd", 3), decoded("abc", true));
        assert_eq!(text("aä€🙂".as_bytes(), 2), decoded("a", true));
        assert_eq!(text("aä€🙂".as_bytes(), 3), decoded("aä", true));
        assert_eq!(text("aä€🙂".as_bytes(), 9), decoded("aä€", true));
        assert_eq!(text("aä€🙂".as_bytes(), 10), decoded("aä€🙂", false));
        assert_eq!(text(b"", 3), decoded("", false));
        assert_eq!(text(b"abc", 0), decoded("", true));
        // Wherever a long text is cut, reading it in part changes nothing.
        let long = "ä€🙂".repeat(300);
        for room in 0..40 {
            let found = text(long.as_bytes(), room);
            assert_eq!(found.text, long[..long.floor_char_boundary(room)], "{room}");
            assert!(found.cut && found.replaced.is_none());
        }
    }

    #[test]
    fn what_is_not_utf_8_is_named() {
        let utf_16 = |text: &str, mark: &[u8], order: fn(u16) -> [u8; 2]| {
            [mark, &text.encode_utf16().flat_map(order).collect::<Vec<_>>()].concat()
        };
        for bytes in [
            utf_16("use tabs\n", b"\xFF\xFE", u16::to_le_bytes),
            utf_16("use tabs\n", b"\xFE\xFF", u16::to_be_bytes),
            utf_16("use tabs\n", b"", u16::to_le_bytes),
            utf_16("use tabs, für über €\n", b"", u16::to_be_bytes),
        ] {
            assert!(refused(&bytes).starts_with("it is UTF-16"), "{bytes:?}");
        }
        assert!(refused(b"\xFF\xFE\0\0a\0\0\0").starts_with("it is UTF-32"));
        assert_eq!(refused(b"abc\0def, which is long enough"), "it is binary data, not text");
        assert_eq!(refused(b"\x1F\x8B\x08\x99\x88\xFF\xC3\xC3\xC3"), "it is not text in UTF-8");
    }

    #[test]
    fn a_few_bytes_of_another_encoding_are_replaced_and_named() {
        let found = text(b"na\xEFve, but long enough to be text", 1000);
        assert_eq!(found.text, "na\u{FFFD}ve, but long enough to be text");
        assert_eq!(found.replaced, Some(3));
    }
}
