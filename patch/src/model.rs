//! A parsed patch as plain data. Nothing here has looked at a file yet.

/// A whole patch: hunks in the order they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// The `*** Environment ID:` line, if there was one. It names a machine for hosts that have
    /// several; planning does not use it.
    pub environment: Option<String>,
    /// What to do, one hunk per file header. May be empty, which [`crate::plan`] refuses.
    pub hunks: Vec<Hunk>,
}

/// What happens to one file. Paths are as written: relative to the working directory, or absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hunk {
    /// Create a file, or replace one that is there.
    Add {
        /// The file.
        path: String,
        /// All of it; every line ends in LF. Empty for an empty file.
        contents: String,
    },
    /// Remove a file.
    Delete {
        /// The file.
        path: String,
    },
    /// Change lines of a file, and perhaps its place.
    Update {
        /// The file as it is called now.
        path: String,
        /// Its new name, if it moves.
        move_to: Option<String>,
        /// At least one, in the order of the file.
        chunks: Vec<Chunk>,
    },
}

/// One place of a file and what to do there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// The text after `@@ `: a line to find first. The chunk is looked for below it.
    pub context: Option<String>,
    /// At least one line.
    pub lines: Vec<ChunkLine>,
    /// Whether `*** End of File` closes the chunk: it must then match the last lines.
    pub at_end: bool,
}

/// A line of a chunk, without its leading sign and its end of line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkLine {
    /// In the file, and stays as the file has it.
    Context(String),
    /// In the file, and goes.
    Removed(String),
    /// New.
    Added(String),
}

impl ChunkLine {
    /// The text the file must have here, or nothing for a new line.
    #[must_use]
    pub fn old(&self) -> Option<&str> {
        match self {
            Self::Context(text) | Self::Removed(text) => Some(text),
            Self::Added(_) => None,
        }
    }
}
