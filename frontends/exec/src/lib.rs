//! The headless front end: one task, from its prompt to its exit code.
//!
//! It holds the library's handle and an event stream, and turns events into JSON lines or text. It
//! tells the truth: the last JSON line is always a terminal event, and the exit code names the class
//! of a failure (see `docs/exec.md`).

mod closing;
mod drive;
mod exit;
mod human;
mod item;
mod json;
mod named;
mod patient;
mod prompt;
mod pulse;
mod sessions;
mod signal;
mod sink;
mod stdin;
mod text;

#[cfg(test)]
mod tests;

pub use closing::GoingOn;
pub use drive::{ExecEnd, Output, Session, Task, drive};
pub use exit::{EXIT_CODES, code_of, exit_code, message_of};
pub use human::{HumanEvents, HumanOptions};
pub use json::JsonEvents;
pub use named::{open_named, read_named};
pub use patient::{Awaited, Patient};
pub use prompt::{Asked, PromptError, images, prompt_text};
pub use sessions::{Listed, Transcript, age, first_words, row, size, summary_json, table};
pub use signal::{Signals, signalled};
pub use sink::{SideDoor, Sink};
pub use stdin::{Source, StandardInput};
pub use text::clean;
