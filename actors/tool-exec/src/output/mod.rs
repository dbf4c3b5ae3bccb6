//! What is kept of an output: the first and the last part, within a budget.
//!
//! [`HeadTail`] keeps a bounded part of a byte stream of any length and gives it as text;
//! [`truncate_text`] cuts the text of a tool that runs nothing. Budgets are in tokens of
//! [`BYTES_PER_TOKEN`](troupe_types::BYTES_PER_TOKEN) bytes; marker and header lines come on top of
//! them.

mod cut;
mod head_tail;

#[cfg(test)]
mod tests;

pub use cut::truncate_text;
pub(crate) use cut::{orphaned, partial_char};
pub use head_tail::{CAPTURE_BYTES, HeadTail};

/// The tokens of one output where nothing else is configured.
pub const DEFAULT_OUTPUT_TOKENS: usize = 10_000;
