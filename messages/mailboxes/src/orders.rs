//! What a conversation orders when it needs a stream or a tool exec. The tree fills in the rest.

use crate::{BackgroundProcess, ConversationMessage, StreamMessage, ToolMessage};
use std::{fs::File, path::Path, sync::Arc, time::Duration};
use troupe_kit::{ChildSpec, Mailbox};
use troupe_types::{CallItem, ModelRequest, SessionId, SessionSettings};

/// How a request broke off.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Why.
    pub reason: String,
    /// How long to wait before the next one, where that is decided.
    pub wait: Option<Duration>,
}

/// A model stream to be started.
pub struct StreamOrder {
    /// What to ask the model.
    pub request: ModelRequest,
    /// The session's settings.
    pub settings: Arc<SessionSettings>,
    /// How the request before this one broke off, if this one takes it up again: it waits first.
    pub after_cut: Option<Cut>,
    /// How many retries there were since the last complete answer, this one included if it takes
    /// a broken answer up again.
    pub retries: u32,
    /// Who is told.
    pub conversation: Mailbox<ConversationMessage>,
}

/// A tool exec to be started.
pub struct ToolOrder {
    /// The session.
    pub session: SessionId,
    /// The call.
    pub call: CallItem,
    /// The session's settings.
    pub settings: Arc<SessionSettings>,
    /// Keys of what was approved for the session.
    pub approved: Vec<String>,
    /// The number of the process if it goes on in the background.
    pub process: u64,
    /// The background processes there are.
    pub background: Vec<BackgroundProcess>,
    /// Who is told.
    pub conversation: Mailbox<ConversationMessage>,
}

/// Opens a regular file that may be shown to the model; the error is a sentence about the file that
/// says why it may not, without its name. Blocks, but never for the other end of a pipe.
pub type Opener = Box<dyn Fn(&Path) -> Result<File, String> + Send>;

/// Makes specs for the temporary actors of a session. Each spec tells its exit to the tail of the
/// conversation's bulk lane.
pub trait Crew: Send + Sync {
    /// A model stream, named `stream:<request>`.
    fn stream(&self, order: StreamOrder) -> (ChildSpec, Mailbox<StreamMessage>);
    /// A tool exec, named `tool:<call>`.
    fn tool(&self, order: ToolOrder) -> (ChildSpec, Mailbox<ToolMessage>);
    /// Opens files whose text the model is shown without having asked for it. Cheap until it is used.
    fn opener(&self, settings: &SessionSettings) -> Opener;
    /// The shell that commands run in, and today's date, for the environment context.
    fn surroundings(&self) -> (String, String);
}
