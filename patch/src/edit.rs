//! The chunks of an update hunk applied to a file's text.
//!
//! Chunks are found from top to bottom, each below the one before; then the new text is written
//! in one go. Context lines and untouched lines stay as the file has them, with their own ends of
//! line, or none; a new line ends like the line it replaces, or like its neighbour.

use crate::lines::{self, BYTE_ORDER_MARK, Ends, Line};
use crate::model::{Chunk, ChunkLine};
use crate::seek;
use std::collections::VecDeque;

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
    let mut outcomes = lines::ways(body).iter().map(|&ends| cut_and_rewrite(body, ends, chunks));
    let first = outcomes.next().unwrap_or_else(|| cut_and_rewrite(body, Ends::Lf, chunks));
    // What is said of a patch that fits in no way is said of the likeliest.
    let new = first.or_else(|mismatch| outcomes.find_map(Result::ok).ok_or(mismatch))?;
    Ok(format!("{mark}{new}"))
}

fn cut_and_rewrite(body: &str, ends: Ends, chunks: &[Chunk]) -> Result<String, Mismatch> {
    let file = lines::split(body, ends);
    let mut edits = Vec::with_capacity(chunks.len());
    let mut cursor = 0;
    for chunk in chunks {
        edits.push(locate(chunk, &file, &mut cursor)?);
    }
    // Only a pure insertion, which goes to the end, can stand out of order.
    edits.sort_by_key(|edit| edit.at);
    let mut writer = Writer::new(&file, body.len() + body.len() / 8);
    edits.iter().for_each(|edit| writer.edit(edit));
    writer.keep_until(file.len());
    Ok(writer.new)
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

/// The new text as it grows.
struct Writer<'a> {
    new: String,
    file: &'a [Line<'a>],
    /// The next line of the file.
    next: usize,
    /// The ends of the lines that were dropped just before, and not replaced yet.
    dropped: VecDeque<&'a str>,
    /// The last line written has no end.
    open: bool,
}

impl<'a> Writer<'a> {
    fn new(file: &'a [Line<'a>], room: usize) -> Self {
        let new = String::with_capacity(room);
        Self { new, file, next: 0, dropped: VecDeque::new(), open: false }
    }

    fn edit(&mut self, edit: &Edit<'_>) {
        self.keep_until(edit.at);
        self.dropped.clear();
        for step in &edit.steps {
            match step {
                Step::Keep => self.keep_until(self.next + 1),
                Step::Drop => {
                    self.dropped.push_back(self.file[self.next].ending);
                    self.next += 1;
                }
                Step::Put(text) => {
                    let ending = self.new_ending();
                    self.put(text, ending);
                }
            }
        }
    }

    fn keep_until(&mut self, end: usize) {
        for line in &self.file[self.next..end] {
            self.put(line.text, line.ending);
            self.dropped.clear();
        }
        self.next = end;
    }

    fn put(&mut self, text: &str, ending: &str) {
        if self.open {
            self.new.push_str(self.near_ending());
        }
        self.new.push_str(text);
        self.new.push_str(ending);
        self.open = ending.is_empty();
    }

    /// The end for a new line: of the line it replaces, or of the nearest.
    fn new_ending(&mut self) -> &'a str {
        let replaced = self.dropped.pop_front().filter(|ending| !ending.is_empty());
        replaced.unwrap_or_else(|| self.near_ending())
    }

    /// The end of the nearest line that has one: above, else below, else LF.
    fn near_ending(&self) -> &'a str {
        let (above, below) = self.file.split_at(self.next);
        let mut near = above.iter().rev().chain(below).map(|line| line.ending);
        near.find(|ending| !ending.is_empty()).unwrap_or("\n")
    }
}
