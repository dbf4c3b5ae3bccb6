//! A file's text cut into lines that remember how they ended, so that untouched lines come out
//! byte for byte.

/// The mark some editors put in front of UTF-8 text. It is not part of the first line.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Without the end of line.
    pub(crate) text: &'a str,
    /// `\n`, `\r\n`, `\r` (see [`Ends`]), or nothing for a last line that was never ended.
    pub(crate) ending: &'a str,
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// LF and CRLF; a lone CR is text.
    Lf,
    /// A lone CR too.
    LfAndCr,
}

/// The ways to cut a text, the likeliest first. A lone CR is text in a file that has LFs, unless a
/// patch fits only otherwise; in a file without any it is the end of line.
pub(crate) fn ways(text: &str) -> &'static [Ends] {
    let lone = || {
        let mut rest = text.split('\r').skip(1);
        rest.any(|after| !after.starts_with('\n'))
    };
    match (text.contains('\n'), lone()) {
        (_, false) => &[Ends::Lf],
        (true, true) => &[Ends::Lf, Ends::LfAndCr],
        (false, true) => &[Ends::LfAndCr, Ends::Lf],
    }
}

/// Cuts a text into its lines.
pub(crate) fn split(text: &str, ends: Ends) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, below) = first(rest, ends);
        lines.push(line);
        rest = below;
    }
    lines
}

/// The first line and what is below it.
fn first(text: &str, ends: Ends) -> (Line<'_>, &str) {
    let end = match ends {
        Ends::Lf => text.find('\n'),
        Ends::LfAndCr => text.find(['\n', '\r']),
    };
    let Some(end) = end else { return (Line { text, ending: "" }, "") };
    let (inside, from_end) = text.split_at(end);
    let length = if from_end.starts_with("\r\n") { 2 } else { 1 };
    let carriage_return = from_end.starts_with('\n') && inside.ends_with('\r');
    let end = if carriage_return { end - 1 } else { end };
    let length = if carriage_return { 2 } else { length };
    (Line { text: &text[..end], ending: &text[end..end + length] }, &text[end + length..])
}
