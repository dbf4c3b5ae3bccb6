//! What all sessions of a company share.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use troupe_kit::{Kit, Mailbox};
use troupe_messages::{PolicyMessage, SandboxMessage, SessionsMessage};
use troupe_recorder::Scribes;
use troupe_sandbox::Launcher;
use troupe_types::ToolSpec;

/// What all sessions of a company share.
pub(crate) struct Parts {
    pub(crate) kit: Kit,
    pub(crate) sessions_dir: PathBuf,
    pub(crate) scribes: Arc<Scribes>,
    pub(crate) policy: Mailbox<PolicyMessage>,
    pub(crate) sandbox: Mailbox<SandboxMessage>,
    pub(crate) sessions: Mailbox<SessionsMessage>,
    pub(crate) tools: Arc<[ToolSpec]>,
    /// The path of the user's shell.
    pub(crate) shell: Arc<str>,
    /// Kept until the company has stopped: dropping the last handle waits for the launcher's end,
    /// which a supervisor's handler must not do.
    pub(crate) launcher: Mutex<Option<Arc<Launcher>>>,
}
