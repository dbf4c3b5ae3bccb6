//! The `apply_patch` language: text in, changed files out, in four steps.
//!
//! [`parse`] reads the text, [`plan`] checks every hunk against the file system and computes the
//! results without writing, [`apply`] writes them, and the [`Summary`] says what was done. A plan
//! also carries a diff for each file and every path it touches, so that a person or a policy can
//! judge it before the first byte is written. [`run_cli`] is the command around the four steps;
//! [`intercept`] finds a patch inside a shell command.
//!
//! Everything works over the small [`FileSystem`] trait and holds the old and new contents of the
//! touched files in memory; nothing else is kept, and no global state exists.

mod anchor;
mod apply;
mod change;
mod cli;
mod edit;
mod file_system;
mod in_place;
mod intercept;
mod journal;
mod keep;
mod lines;
mod model;
mod parse;
mod paths;
mod plan;
mod real;
mod recover;
mod seek;
mod spec;
mod summary;

#[cfg(test)]
mod tests;

pub use apply::{ApplyError, Failure, apply};
pub use change::{ChangeKind, FileChange};
pub use cli::run_cli;
pub use file_system::{FileSystem, Kind, Staged};
pub use intercept::{Intercepted, intercept, intercept_argv, is_bare_patch};
pub use journal::{apply_journaled, journals};
pub use model::{Chunk, ChunkLine, Hunk, Patch};
pub use parse::{ParseError, parse};
pub use plan::{Plan, PlanError, plan};
pub use real::RealFileSystem;
pub use recover::{Recovered, recover};
pub use spec::{LARK_GRAMMAR, TOOL_DESCRIPTION};
pub use summary::Summary;
