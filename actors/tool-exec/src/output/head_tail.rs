//! The first and the last bytes of a stream of any length, in bounded memory.
//!
//! Half of the budget goes to the start; the rest is a ring over the end. All bytes and lines are
//! counted, but only what may be kept is copied.

use super::cut::{lossy_end, lossy_start, orphaned, partial_char};
use troupe_types::{BYTES_PER_TOKEN, Printed};

/// What is kept of one command's output unless told otherwise, in bytes.
pub const CAPTURE_BYTES: usize = 1024 * 1024;

/// The first and the last bytes of a stream.
#[derive(Debug, Clone)]
pub struct HeadTail {
    head: Vec<u8>,
    head_cap: usize,
    /// Grows to `tail_cap`, then is a ring whose oldest byte is at `oldest`.
    tail: Vec<u8>,
    tail_cap: usize,
    oldest: usize,
    bytes: u64,
    newlines: u64,
    ends_with_newline: bool,
}

impl Default for HeadTail {
    fn default() -> Self {
        Self::new(CAPTURE_BYTES)
    }
}

impl HeadTail {
    /// An empty one that keeps `budget` bytes: the first half and the last half.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        let head_cap = budget / 2;
        Self {
            head: Vec::new(),
            head_cap,
            tail: Vec::new(),
            tail_cap: budget - head_cap,
            oldest: 0,
            bytes: 0,
            newlines: 0,
            ends_with_newline: true,
        }
    }

    /// Takes the next part of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        let Some(last) = chunk.last() else { return };
        self.bytes += chunk.len() as u64;
        self.newlines += memchr::memchr_iter(b'\n', chunk).count() as u64;
        self.ends_with_newline = *last == b'\n';
        let (first, rest) = chunk.split_at(chunk.len().min(self.head_cap - self.head.len()));
        self.head.extend_from_slice(first);
        self.push_tail(rest);
    }

    fn push_tail(&mut self, rest: &[u8]) {
        let rest = &rest[rest.len().saturating_sub(self.tail_cap)..];
        let (grow, rest) = rest.split_at(rest.len().min(self.tail_cap - self.tail.len()));
        self.tail.extend_from_slice(grow);
        if rest.is_empty() {
            return;
        }
        let (to_end, wrapped) = rest.split_at(rest.len().min(self.tail_cap - self.oldest));
        self.tail[self.oldest..self.oldest + to_end.len()].copy_from_slice(to_end);
        self.tail[..wrapped.len()].copy_from_slice(wrapped);
        self.oldest = (self.oldest + rest.len()) % self.tail_cap;
    }

    /// The bytes of the whole stream so far.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.bytes
    }

    /// The lines of the whole stream so far; an incomplete last line counts.
    #[must_use]
    pub fn total_lines(&self) -> u64 {
        self.newlines + u64::from(!self.ends_with_newline)
    }

    /// The bytes that are no longer kept, between the head and the tail.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.bytes - (self.head.len() + self.tail.len()) as u64
    }

    /// Whether nothing has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What is kept: the start of the stream and its end. Nothing is missing between them while
    /// [`HeadTail::dropped_bytes`] is 0.
    #[must_use]
    pub fn parts(&self) -> (Vec<u8>, Vec<u8>) {
        let (newer, older) = self.tail.split_at(self.oldest);
        (self.head.clone(), [older, newer].concat())
    }

    /// The output as text of at most `tokens` tokens: all of it, or half from the start and half from
    /// the end. Cuts never split a character; invalid UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn printed(&self, tokens: usize) -> Printed {
        let budget = tokens.saturating_mul(BYTES_PER_TOKEN);
        let (mut start, end) = self.parts();
        if self.dropped_bytes() == 0 {
            start.extend_from_slice(&end);
            let (head, used) = lossy_start(&start, budget);
            if used == start.len() {
                return Printed { head, lines: self.total_lines(), ..Printed::default() };
            }
            return self.cut(&start, &start, budget);
        }
        let start = &start[..start.len() - partial_char(&start)];
        let end = &end[orphaned(&end)..];
        self.cut(start, end, budget)
    }

    fn cut(&self, start: &[u8], end: &[u8], budget: usize) -> Printed {
        let (head, from_start) = lossy_start(start, budget / 2);
        let (tail, from_end) = lossy_end(end, budget - budget / 2);
        let omitted = self.bytes.saturating_sub((from_start + from_end) as u64);
        Printed { head, omitted, tail, lines: self.total_lines() }
    }
}
