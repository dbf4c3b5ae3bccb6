//! Cutting text within a budget, at character boundaries.

/// What one token counts for, in bytes.
pub const BYTES_PER_TOKEN: usize = 4;

/// The tokens that `bytes` count for, rounded up.
#[must_use]
pub const fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN as u64)
}

/// The marker that the model sees in place of `bytes` removed bytes.
#[must_use]
pub fn truncation_marker(bytes: u64) -> String {
    format!("…{} tokens truncated…", tokens_of(bytes))
}

/// The start of `text`: at most `cap` bytes, whole characters.
#[must_use]
pub fn start_of(text: &str, cap: usize) -> &str {
    let mut at = cap.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    &text[..at]
}

/// The end of `text`: at most `cap` bytes, whole characters.
#[must_use]
pub fn end_of(text: &str, cap: usize) -> &str {
    let mut at = text.len().saturating_sub(cap);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    &text[at..]
}
