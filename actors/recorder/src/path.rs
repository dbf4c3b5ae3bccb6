//! Where a session's files are.

use std::path::{Path, PathBuf};
use troupe_types::SessionId;

/// The files of one session: `<id>.jsonl`, `<id>.d/` beside it, `<id>.torn` if a tail was cut, and
/// `<id>.removing` in place of the log while the session is being removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogPath {
    dir: PathBuf,
    session: SessionId,
}

impl LogPath {
    /// The files of a session in this folder.
    #[must_use]
    pub fn new(dir: &Path, session: SessionId) -> Self {
        Self { dir: dir.to_owned(), session }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The folder of all sessions.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The log.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.join(format!("{}.jsonl", self.session))
    }

    /// The folder for long strings and the outputs of calls. Made when it is needed.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.dir.join(format!("{}.d", self.session))
    }

    /// The file that keeps incomplete last lines that were cut off.
    #[must_use]
    pub fn torn(&self) -> PathBuf {
        self.dir.join(format!("{}.torn", self.session))
    }

    /// The name of the log while the session is being removed.
    #[must_use]
    pub fn removing(&self) -> PathBuf {
        self.dir.join(format!("{}.removing", self.session))
    }
}
