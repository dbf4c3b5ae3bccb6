//! Cutting text: at character boundaries, invalid UTF-8 replaced, with a marker for the hole.

use std::str::Utf8Chunk;
use troupe_types::{BYTES_PER_TOKEN, end_of, start_of, truncation_marker};

/// Shortens `text` to `tokens` tokens: half of them from its start, half from its end.
///
/// A shortened text begins with `Total output lines: N` and an empty line, and has the marker
/// `…N tokens truncated…` in its middle; both come on top of the budget.
#[must_use]
pub fn truncate_text(text: &str, tokens: usize) -> String {
    let budget = tokens.saturating_mul(BYTES_PER_TOKEN);
    if text.len() <= budget {
        return text.to_owned();
    }
    let head = start_of(text, budget / 2);
    let tail = end_of(text, budget - budget / 2);
    let removed = (text.len() - head.len() - tail.len()) as u64;
    let lines = text.lines().count();
    format!("Total output lines: {lines}\n\n{head}{}{tail}", truncation_marker(removed))
}

/// How many bytes at the end of `bytes` are the start of a character that is not complete.
pub(crate) fn partial_char(bytes: &[u8]) -> usize {
    for (back, byte) in (1..).zip(bytes.iter().rev().take(3)) {
        let need = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 0,
        };
        return if need > back { back } else { 0 };
    }
    0
}

/// How many bytes at the start of `bytes` belong to a character that began before them.
pub(crate) fn orphaned(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| matches!(byte, 0x80..=0xBF)).count()
}

/// The start of `bytes` as text of at most `cap` bytes, and how many of `bytes` it stands for.
pub(super) fn lossy_start(bytes: &[u8], cap: usize) -> (String, usize) {
    let mut text = String::with_capacity(cap.min(bytes.len()));
    let mut used = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let fits = start_of(valid, cap - text.len());
        text.push_str(fits);
        used += fits.len();
        if fits.len() < valid.len() {
            break;
        }
        if chunk.invalid().is_empty() {
            continue;
        }
        if text.len() + REPLACEMENT.len() > cap {
            break;
        }
        text.push_str(REPLACEMENT);
        used += chunk.invalid().len();
    }
    (text, used)
}

/// The end of `bytes` as text of at most `cap` bytes, and how many of `bytes` it stands for.
pub(super) fn lossy_end(bytes: &[u8], cap: usize) -> (String, usize) {
    // A character of text needs at least one byte, so nothing before this can be part of it.
    let near = bytes.len().saturating_sub(cap);
    let near = near + if near > 0 { orphaned(&bytes[near..]) } else { 0 };
    let chunks: Vec<Utf8Chunk<'_>> = bytes[near..].utf8_chunks().collect();
    let mut pieces: Vec<&str> = Vec::new();
    let (mut size, mut used) = (0, 0);
    for chunk in chunks.iter().rev() {
        if !chunk.invalid().is_empty() {
            if size + REPLACEMENT.len() > cap {
                break;
            }
            pieces.push(REPLACEMENT);
            size += REPLACEMENT.len();
            used += chunk.invalid().len();
        }
        let fits = end_of(chunk.valid(), cap - size);
        pieces.push(fits);
        size += fits.len();
        used += fits.len();
        if fits.len() < chunk.valid().len() {
            break;
        }
    }
    (pieces.into_iter().rev().collect(), used)
}

const REPLACEMENT: &str = "\u{FFFD}";
