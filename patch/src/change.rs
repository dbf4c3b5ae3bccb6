//! What a plan does to each file, for people and policies to look at.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use similar::{Algorithm, TextDiff};

/// Lines shown around a change.
const CONTEXT: usize = 1;
/// After this the diff is finished coarsely: right, but longer than need be.
const DIFF_TIME: Duration = Duration::from_millis(500);

/// The whole effect of a patch on one file; several hunks on one file make one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The file, absolute, without `.` and `..`. For a move, its old place.
    pub path: PathBuf,
    /// The same as the patch wrote it.
    pub display: String,
    /// What happens to it.
    pub kind: ChangeKind,
    /// The change as hunks of a unified diff (`@@ -1,2 +1,2 @@` …) with one line of context and
    /// without the two header lines. Empty if the text stays as it is.
    pub unified_diff: String,
    /// Whether an add, or the target of a move, replaces a file that is there.
    pub overwrites: bool,
    /// The bytes of the file now; `None` if there is none.
    pub before: Option<Arc<[u8]>>,
    /// The bytes after the patch, for a move those at the new place; `None` if it goes.
    pub after: Option<Arc<[u8]>>,
}

/// What happens to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is created, or replaced as a whole.
    Add,
    /// It is removed.
    Delete,
    /// Its text changes.
    Update,
    /// It gets a new place, and perhaps new text.
    Move {
        /// The new place, absolute, without `.` and `..`.
        to: PathBuf,
        /// The same as the patch wrote it.
        to_display: String,
    },
}

impl FileChange {
    /// The diff with its `---` and `+++` lines, names as the patch wrote them.
    #[must_use]
    pub fn diff_with_header(&self) -> String {
        let (old, new) = match &self.kind {
            ChangeKind::Add if !self.overwrites => ("/dev/null", self.display.as_str()),
            ChangeKind::Add | ChangeKind::Update => (self.display.as_str(), self.display.as_str()),
            ChangeKind::Delete => (self.display.as_str(), "/dev/null"),
            ChangeKind::Move { to_display, .. } => (self.display.as_str(), to_display.as_str()),
        };
        format!("--- {old}\n+++ {new}\n{}", self.unified_diff)
    }
}

/// The hunks of a unified diff, or a remark if one side is not text.
pub(crate) fn unified_diff(before: &[u8], after: &[u8]) -> String {
    if before == after {
        return String::new();
    }
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return "Binary files differ\n".to_owned();
    };
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .timeout(DIFF_TIME)
        .newline_terminated(true)
        .diff_slices(&old, &new)
        .unified_diff()
        .context_radius(CONTEXT)
        .to_string()
}
