//! What is opened.

use std::sync::Arc;
use troupe_types::{SessionId, SessionSettings};

/// Which session to open, and how.
#[derive(Debug, Clone)]
pub struct Opening {
    pub(crate) resume: Option<SessionId>,
    pub(crate) parent: Option<SessionId>,
    pub(crate) settings: SessionSettings,
    pub(crate) source: Arc<str>,
}

impl Opening {
    /// A new session. Its log begins with the first operation.
    #[must_use]
    pub fn new(settings: SessionSettings) -> Self {
        Self { resume: None, parent: None, settings, source: "library".into() }
    }

    /// A session that was opened before, with these settings from here on. A turn that the end of
    /// an earlier process broke off is held until the first operation.
    #[must_use]
    pub fn resume(session: SessionId, settings: SessionSettings) -> Self {
        Self { resume: Some(session), ..Self::new(settings) }
    }

    /// Names the front end that opens it, for the log.
    #[must_use]
    pub fn from_source(mut self, source: &str) -> Self {
        self.source = source.into();
        self
    }

    /// Links it to the session it was made from.
    #[must_use]
    pub fn child_of(mut self, parent: SessionId) -> Self {
        self.parent = Some(parent);
        self
    }
}

/// Why a session is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no such session.
    #[error("there is no session {session} in {dir}: `troupe sessions list` names those there are")]
    Unknown {
        /// The session.
        session: SessionId,
        /// Where it was looked for.
        dir: String,
    },
    /// The settings cannot be used.
    #[error("{0}")]
    Config(String),
    /// Its log cannot be read, or is open in another process.
    #[error("{0}")]
    Storage(String),
    /// The company has ended.
    #[error("no session can be opened: {0}")]
    Closed(String),
}
