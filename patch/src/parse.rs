//! Patch text to [`Patch`]: the frame, the wrapper, and one hunk after another.
//!
//! Lenient where models slip: blanks around the text and its markers, CR at line ends, a
//! here-document wrapper, a byte order mark. Bound: memory is proportional to the text.

mod update;

use crate::model::{Hunk, Patch};

pub(crate) const BEGIN: &str = "*** Begin Patch";
pub(crate) const END: &str = "*** End Patch";
pub(crate) const ADD: &str = "*** Add File: ";
pub(crate) const DELETE: &str = "*** Delete File: ";
pub(crate) const UPDATE: &str = "*** Update File: ";
pub(crate) const MOVE: &str = "*** Move to: ";
pub(crate) const END_OF_FILE: &str = "*** End of File";
const ENVIRONMENT: &str = "*** Environment ID:";

/// Why a text is not a patch. The texts are those the language's users and models know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The frame is wrong: the first or last line, or the environment.
    #[error("Invalid patch: {0}")]
    Frame(String),
    /// A line within the frame does not fit.
    #[error("Invalid patch hunk on line {line}: {reason}")]
    Hunk {
        /// Counted from 1 at the begin marker.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl ParseError {
    /// An error at the line with this index (from 0).
    fn at(index: usize, reason: impl Into<String>) -> Self {
        Self::Hunk { line: index + 1, reason: reason.into() }
    }
}

/// Reads a patch. Never touches a file and never panics, whatever the text.
///
/// # Errors
/// [`ParseError`] names the first line that does not fit.
pub fn parse(text: &str) -> Result<Patch, ParseError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let lines = without_wrapper(&lines);
    check_frame(lines)?;

    let mut cursor = Cursor { lines, at: 1, end: end(lines) };
    let environment = environment(&mut cursor)?;
    let mut hunks = Vec::new();
    while let Some(line) = cursor.peek() {
        hunks.push(hunk(&mut cursor, line.trim())?);
    }
    Ok(Patch { environment, hunks })
}

/// The lines of the patch and where the reader stands. `end` is the index of the end marker.
pub(crate) struct Cursor<'a> {
    lines: &'a [&'a str],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// The next line before the end marker, left where it is.
    pub(crate) fn peek(&self) -> Option<&'a str> {
        if self.at < self.end { self.lines.get(self.at).copied() } else { None }
    }

    /// The next line, taken, if `wanted` accepts it.
    fn take_if<T>(&mut self, wanted: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        let found = wanted(self.peek()?)?;
        self.at += 1;
        Some(found)
    }
}

/// The lines inside `<<EOF` … `EOF`, or all of them where there is no such wrapper.
fn without_wrapper<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    match lines {
        ["<<EOF" | "<<'EOF'" | "<<\"EOF\"", inner @ .., "EOF"] if inner.len() >= 2 => {
            let full = |line: &&str| !line.trim().is_empty();
            let first = inner.iter().position(full).unwrap_or(0);
            let last = inner.iter().rposition(full).unwrap_or(0);
            &inner[first..=last]
        }
        _ => lines,
    }
}

fn check_frame(lines: &[&str]) -> Result<(), ParseError> {
    let is = |line: Option<&&str>, marker| line.is_some_and(|line| line.trim() == marker);
    let blank = lines.len() == 1 && lines[0].is_empty();
    if !blank && !is(lines.first(), BEGIN) {
        return Err(ParseError::Frame(format!("The first line of the patch must be '{BEGIN}'")));
    }
    if lines.len() < 2 || !is(lines.last(), END) {
        return Err(ParseError::Frame(format!("The last line of the patch must be '{END}'")));
    }
    Ok(())
}

/// The index of the end marker. Some models write it twice; the first of such a run counts.
fn end(lines: &[&str]) -> usize {
    let inside = &lines[1..lines.len() - 1];
    let repeated = inside.iter().rev().take_while(|line| line.trim_end() == END).count();
    lines.len() - 1 - repeated
}

fn environment(cursor: &mut Cursor) -> Result<Option<String>, ParseError> {
    match cursor.take_if(|line| line.trim().strip_prefix(ENVIRONMENT)).map(str::trim) {
        None => Ok(None),
        Some("") => Err(ParseError::Frame("apply_patch environment_id cannot be empty".to_owned())),
        Some(id) => Ok(Some(id.to_owned())),
    }
}

fn hunk(cursor: &mut Cursor, header: &str) -> Result<Hunk, ParseError> {
    let header_at = cursor.at;
    cursor.at += 1;
    if let Some(path) = header.strip_prefix(ADD) {
        return Ok(Hunk::Add { path: path.to_owned(), contents: added_lines(cursor) });
    }
    if let Some(path) = header.strip_prefix(DELETE) {
        return Ok(Hunk::Delete { path: path.to_owned() });
    }
    if let Some(path) = header.strip_prefix(UPDATE) {
        return update::hunk(cursor, header_at, path);
    }
    if header == END {
        return Err(ParseError::Frame(format!("The last line of the patch must be '{END}'")));
    }
    Err(ParseError::at(
        header_at,
        format!(
            "'{header}' is not a valid hunk header. Valid hunk headers: '{ADD}{{path}}', \
             '{DELETE}{{path}}', '{UPDATE}{{path}}'"
        ),
    ))
}

fn added_lines(cursor: &mut Cursor) -> String {
    let mut contents = String::new();
    while let Some(line) = cursor.take_if(|line| line.strip_prefix('+')) {
        contents.push_str(line);
        contents.push('\n');
    }
    contents
}
