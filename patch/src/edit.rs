//! The chunks of an update hunk applied to a file's text.
//!
//! Chunks are found from top to bottom, each below the one before; then the new text is written
//! in one go. Context lines and untouched lines stay as the file has them, with their own ends of
//! line; new lines get the file's first. The result always ends in an end of line, unless empty.

use crate::lines::{self, BYTE_ORDER_MARK, Line};
use crate::model::{Chunk, ChunkLine};
use crate::seek;

/// What could not be found in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The line after `@@ `.
    Context(String),
    /// The old lines of a chunk, joined by LF.
    Lines(String),
}

/// What to do at one place of the file, line by line.
struct Edit<'a> {
    at: usize,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Keep,
    Drop,
    Put(&'a str),
}

/// The text of a file after all chunks.
pub(crate) fn rewrite(old: &str, chunks: &[Chunk]) -> Result<String, Mismatch> {
    let (mark, body) = split_mark(old, chunks);
    let file = lines::split(body);
    let mut edits = Vec::with_capacity(chunks.len());
    let mut cursor = 0;
    for chunk in chunks {
        edits.push(locate(chunk, &file, &mut cursor)?);
    }
    // Only a pure insertion, which goes to the end, can stand out of order.
    edits.sort_by_key(|edit| edit.at);
    let mut new = String::with_capacity(old.len() + old.len() / 8);
    new.push_str(mark);
    write(&mut new, &file, &edits);
    Ok(new)
}

/// Keeps a byte order mark out of the first line, unless the patch itself speaks of it.
fn split_mark<'a>(old: &'a str, chunks: &[Chunk]) -> (&'a str, &'a str) {
    let spoken_of = || {
        let mut old_lines = chunks.iter().flat_map(|chunk| &chunk.lines).filter_map(ChunkLine::old);
        old_lines.any(|line| line.starts_with(BYTE_ORDER_MARK))
    };
    match old.strip_prefix(BYTE_ORDER_MARK) {
        Some(body) if !spoken_of() => (BYTE_ORDER_MARK, body),
        _ => ("", old),
    }
}

/// Finds a chunk below `cursor` and moves the cursor behind it.
fn locate<'a>(
    chunk: &'a Chunk,
    file: &[Line<'_>],
    cursor: &mut usize,
) -> Result<Edit<'a>, Mismatch> {
    if let Some(context) = &chunk.context {
        let at = seek::find(file, &[context], *cursor, false)
            .ok_or_else(|| Mismatch::Context(context.clone()))?;
        *cursor = at + 1;
    }
    let old: Vec<&str> = chunk.lines.iter().filter_map(ChunkLine::old).collect();
    if old.is_empty() {
        return Ok(Edit { at: file.len(), steps: steps(&chunk.lines) });
    }
    if let Some(at) = seek::find(file, &old, *cursor, chunk.at_end) {
        *cursor = at + old.len();
        return Ok(Edit { at, steps: steps(&chunk.lines) });
    }
    // A last empty line may stand for the end of the file, which is not a line there.
    if let Some(("", rest)) = old.split_last().map(|(last, rest)| (*last, rest))
        && let Some(at) = seek::find(file, rest, *cursor, chunk.at_end)
    {
        *cursor = at + rest.len();
        return Ok(Edit { at, steps: steps_without_last_empty(&chunk.lines) });
    }
    Err(Mismatch::Lines(old.join("\n")))
}

fn steps(lines: &[ChunkLine]) -> Vec<Step<'_>> {
    lines
        .iter()
        .map(|line| match line {
            ChunkLine::Context(_) => Step::Keep,
            ChunkLine::Removed(_) => Step::Drop,
            ChunkLine::Added(text) => Step::Put(text),
        })
        .collect()
}

/// The steps where the last old line, an empty one, is not in the file: nothing is there to keep
/// or drop, and if the new text ends in an empty line too, that one goes with it.
fn steps_without_last_empty(lines: &[ChunkLine]) -> Vec<Step<'_>> {
    let mut steps: Vec<Option<Step<'_>>> = steps(lines).into_iter().map(Some).collect();
    if let Some(gone) = lines.iter().rposition(|line| line.old().is_some()) {
        let kept = matches!(steps[gone], Some(Step::Keep));
        steps[gone] = kept.then_some(Step::Put(""));
    }
    let last_new = lines.iter().rposition(|line| !matches!(line, ChunkLine::Removed(_)));
    if let Some(last) = last_new {
        match (&lines[last], &steps[last]) {
            (_, Some(Step::Put(""))) => steps[last] = None,
            (ChunkLine::Context(text), _) if text.is_empty() => steps[last] = Some(Step::Drop),
            _ => {}
        }
    }
    steps.into_iter().flatten().collect()
}

fn write(new: &mut String, file: &[Line<'_>], edits: &[Edit<'_>]) {
    let ending = lines::preferred_ending(file);
    let keep = |new: &mut String, line: &Line<'_>| {
        new.push_str(line.text);
        new.push_str(if line.ending.is_empty() { ending } else { line.ending });
    };
    let mut next = 0;
    for edit in edits {
        file[next..edit.at].iter().for_each(|line| keep(new, line));
        next = edit.at;
        for step in &edit.steps {
            match step {
                Step::Keep => keep(new, &file[next]),
                Step::Drop => {}
                Step::Put(text) => {
                    new.push_str(text);
                    new.push_str(ending);
                    continue;
                }
            }
            next += 1;
        }
    }
    file[next..].iter().for_each(|line| keep(new, line));
}
