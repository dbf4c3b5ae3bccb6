//! The tools that only look, behind one function.

use super::{
    GrepFilesError, ListDirError, ReadFileError, Scope, ToolCall, ViewImageError, grep_files,
    list_dir, read_file, view_image,
};
use troupe_types::Content;

/// Why a tool that only looks gave nothing; its text is for the model.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// From `read_file`.
    #[error(transparent)]
    ReadFile(#[from] ReadFileError),
    /// From `list_dir`.
    #[error(transparent)]
    ListDir(#[from] ListDirError),
    /// From `grep_files`.
    #[error(transparent)]
    GrepFiles(#[from] GrepFilesError),
    /// From `view_image`.
    #[error(transparent)]
    ViewImage(#[from] ViewImageError),
    /// It is not known what must not be read.
    #[error("nothing is read: {0}")]
    Unguarded(String),
    /// The call takes effect; it is not run here.
    #[error("{0} is not a tool that only looks")]
    NotReadOnly(&'static str),
}

impl ToolError {
    /// Whether the user stopped it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::ReadFile(ReadFileError::Cancelled)
                | Self::ListDir(ListDirError::Cancelled)
                | Self::GrepFiles(GrepFilesError::Cancelled)
        )
    }
}

/// Runs a call of a tool that only looks. Blocks; meant for a blocking thread.
///
/// # Errors
/// When the tool fails, is stopped, or takes effect ([`ToolError::NotReadOnly`]).
pub fn run_read_only(call: &ToolCall, scope: Scope<'_>) -> Result<Vec<Content>, ToolError> {
    match call {
        ToolCall::ReadFile(args) => Ok(vec![Content::text(read_file(args, scope)?)]),
        ToolCall::ListDir(args) => Ok(vec![Content::text(list_dir(args, scope)?)]),
        ToolCall::GrepFiles(args) => Ok(vec![Content::text(grep_files(args, scope)?)]),
        ToolCall::ViewImage(args) => Ok(view_image(args, scope)?),
        ToolCall::Shell(_)
        | ToolCall::Exec(_)
        | ToolCall::Write(_)
        | ToolCall::Patch(_)
        | ToolCall::Plan(_) => Err(ToolError::NotReadOnly(call.tool())),
    }
}
