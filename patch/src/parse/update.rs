//! The inside of an `*** Update File:` hunk: an optional move and at least one chunk.
//!
//! Markers are compared after trimming the right side only: with a blank in front they are text
//! of the file. A fully empty line counts as an empty context line.

use super::{ADD, Cursor, DELETE, END, END_OF_FILE, MOVE, ParseError, UPDATE};
use crate::model::{Chunk, ChunkLine, Hunk};

/// Reads the rest of an update hunk whose header is the line before the cursor.
pub(super) fn hunk(cursor: &mut Cursor, header: usize, path: &str) -> Result<Hunk, ParseError> {
    let move_to = cursor.take_if(|line| line.trim_end().strip_prefix(MOVE)).map(str::to_owned);
    let mut chunks: Vec<Chunk> = Vec::new();
    while let Some(line) = cursor.peek() {
        let closed = chunks.last().is_some_and(|chunk| chunk.at_end);
        if closed && line.trim().is_empty() {
            cursor.at += 1;
        } else if ends_hunk(line) {
            break;
        } else {
            chunks.push(chunk(cursor, chunks.is_empty())?);
        }
    }
    if chunks.is_empty() {
        let reason = format!("Update file hunk for path '{path}' is empty");
        return Err(ParseError::at(header, reason));
    }
    Ok(Hunk::Update { path: path.to_owned(), move_to, chunks })
}

/// Whether a line that is not part of a chunk begins something else.
fn ends_hunk(line: &str) -> bool {
    let line = line.trim_end();
    [ADD, DELETE, UPDATE].iter().any(|marker| line.starts_with(marker))
        || [END, END_OF_FILE].contains(&line)
}

fn chunk(cursor: &mut Cursor, first: bool) -> Result<Chunk, ParseError> {
    let mut chunk = Chunk::default();
    match cursor.take_if(place) {
        Some(context) => chunk.context = context.map(str::to_owned),
        None if first => {}
        None => return Err(no_place(cursor)),
    }
    while let Some(line) = cursor.take_if(chunk_line) {
        chunk.lines.push(line);
    }
    if chunk.lines.is_empty() {
        return Err(no_lines(cursor));
    }
    chunk.at_end = cursor.take_if(|line| (line.trim_end() == END_OF_FILE).then_some(())).is_some();
    Ok(chunk)
}

/// Reads `@@` or `@@ text`; the inner option is the text.
fn place(line: &str) -> Option<Option<&str>> {
    let line = line.trim_end();
    if line == "@@" { Some(None) } else { line.strip_prefix("@@ ").map(Some) }
}

fn chunk_line(line: &str) -> Option<ChunkLine> {
    if line.is_empty() {
        return Some(ChunkLine::Context(String::new()));
    }
    let text = |sign: char| line.strip_prefix(sign).map(str::to_owned);
    text(' ')
        .map(ChunkLine::Context)
        .or_else(|| text('-').map(ChunkLine::Removed))
        .or_else(|| text('+').map(ChunkLine::Added))
}

fn no_place(cursor: &Cursor) -> ParseError {
    let line = cursor.peek().unwrap_or_default();
    ParseError::at(
        cursor.at,
        format!("Expected update hunk to start with a @@ context marker, got: '{line}'"),
    )
}

fn no_lines(cursor: &Cursor) -> ParseError {
    match cursor.peek() {
        Some(line) if ![END, END_OF_FILE].contains(&line.trim_end()) => ParseError::at(
            cursor.at,
            format!(
                "Unexpected line found in update hunk: '{line}'. Every line should start with ' ' \
                 (context line), '+' (added line), or '-' (removed line)"
            ),
        ),
        _ => ParseError::at(cursor.at, "Update hunk does not contain any lines"),
    }
}
