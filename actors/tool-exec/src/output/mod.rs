//! What the model is shown of an output: the first and the last part, within a budget.
//!
//! [`HeadTail`] keeps a bounded part of a byte stream of any length, [`shell_text`] makes the text
//! of a finished command from it, [`truncate_text`] cuts the text of any other tool. Budgets are in
//! tokens of [`BYTES_PER_TOKEN`] bytes; marker and header lines come on top of them.

mod cut;
mod head_tail;
mod shell;

#[cfg(test)]
mod tests;

pub use cut::{BYTES_PER_TOKEN, truncate_text};
pub(crate) use cut::{orphaned, partial_char, start_of};
pub use head_tail::{CAPTURE_BYTES, HeadTail, Rendered};
pub use shell::{CommandEnd, Kept, ShellReport, shell_text};

/// The tokens of one output where nothing else is configured.
pub const DEFAULT_OUTPUT_TOKENS: usize = 10_000;
