//! The model's tools: what they are called, how their arguments are read, and those that only look.
//!
//! [`specs`] is what the model is told, [`parse`] makes a [`ToolCall`] of what it wrote. The tools
//! that only look at files are plain functions here, for a blocking thread; `shell` and
//! `apply_patch` take effect elsewhere. Each result is bounded by [`Scope::budget`], each long
//! search stops soon after [`Scope::cancelled`] says so, and memory does not grow with the files.

mod argv;
mod call;
mod fields;
mod grep_files;
mod json;
mod list_dir;
mod parse;
mod path;
mod plan;
mod read_file;
mod run;
mod sniff;
mod specs;
mod view_image;

#[cfg(test)]
mod tests;

pub use call::{
    DEFAULT_TIMEOUT_MS, EXEC_YIELD_MS, ExecArgs, GrepFilesArgs, ListDirArgs, MAX_SCRIPT,
    MAX_TIMEOUT_MS, POLL_YIELD_MS, PlanArgs, ReadFileArgs, SandboxPermissions, ShellArgs,
    TYPE_YIELD_MS, ToolCall, ViewImageArgs, WriteArgs,
};
pub use grep_files::{GrepFilesError, grep_files};
pub use list_dir::{ListDirError, list_dir};
pub use parse::{ToolRefusal, parse};
pub use path::resolve;
pub use plan::{PLAN_REPLY, plan_updated};
pub use read_file::{ReadFileError, read_file};
pub use run::{ToolError, run_read_only};
pub use specs::{specs, traits};
pub use view_image::{MAX_IMAGE_BYTES, ViewImageError, view_image};

use std::path::Path;

/// Where a tool looks, how much it may say, and when it has to stop.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The session's working directory (absolute); relative paths start here.
    pub cwd: &'a Path,
    /// The most bytes of text in a result.
    pub budget: usize,
    /// Whether the user has stopped the call; asked often, so it has to be cheap.
    pub cancelled: &'a dyn Fn() -> bool,
    /// Whether a file or folder (a real path) must not be read.
    pub denied: &'a dyn Fn(&Path) -> bool,
}

impl<'a> Scope<'a> {
    /// A scope whose results fit into `tokens` tokens.
    #[must_use]
    pub fn new(cwd: &'a Path, tokens: usize, cancelled: &'a dyn Fn() -> bool) -> Self {
        let budget = tokens.saturating_mul(troupe_types::BYTES_PER_TOKEN);
        Self { cwd, budget, cancelled, denied: &|_| false }
    }

    /// Whether what `path` leads to must not be read.
    fn denies(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| (self.denied)(&real))
    }

    /// The budget without what the last note of a result may take.
    fn room(&self) -> usize {
        self.budget.saturating_sub(NOTE_BYTES)
    }
}

/// What is set aside for the notes at the end of a result.
const NOTE_BYTES: usize = 400;
