//! A file's text cut into lines that remember how they ended, so that untouched lines come out
//! byte for byte.

/// The mark some editors put in front of UTF-8 text. It is not part of the first line.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Without the end of line.
    pub(crate) text: &'a str,
    /// `\n`, `\r\n`, or nothing for a last line that was never ended.
    pub(crate) ending: &'a str,
}

/// Cuts text at LF and CRLF. A lone CR is text, not an end of line.
pub(crate) fn split(text: &str) -> Vec<Line<'_>> {
    text.split_inclusive('\n').map(line).collect()
}

/// The end of line for new lines: the file's first, or LF where it has none.
pub(crate) fn preferred_ending<'a>(lines: &[Line<'a>]) -> &'a str {
    lines.first().map(|line| line.ending).filter(|ending| !ending.is_empty()).unwrap_or("\n")
}

fn line(whole: &str) -> Line<'_> {
    let text = match whole.strip_suffix('\n') {
        Some(text) => text.strip_suffix('\r').unwrap_or(text),
        None => whole,
    };
    Line { text, ending: &whole[text.len()..] }
}
