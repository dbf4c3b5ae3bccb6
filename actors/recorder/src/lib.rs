//! The recorder: the log of a session, which is the session.
//!
//! The role passes appends and questions on to the writers ([`Scribes`]) and holds nothing itself,
//! so its restart is invisible: what a writer was handed it writes, and answers to mailboxes that
//! outlive every actor. The library beside it reads logs ([`LogReader`], [`Follower`],
//! [`list_sessions`]) and removes sessions ([`remove_session`]). A line is written before it is published, and published before anybody is
//! told; see `docs/architecture.md`, section 6.

mod blob;
mod follower;
mod hook;
mod list;
mod log_file;
mod names;
mod order;
mod path;
mod published;
mod reader;
mod remove;
mod reserve;
mod scribe;

pub use follower::{Followed, Follower};
pub use hook::{HookAction, LogHook, LogPoint};
pub use list::{SessionSummary, list_sessions};
pub use names::{ShortIds, matching, session_ids};
pub use path::LogPath;
pub use published::Published;
pub use reader::{LogReader, next_seq, parse_line};
pub use remove::{Removal, RemoveRules, finish_removals, remove_session, stored_bytes};
pub use scribe::Scribes;

use scribe::{Append, Extent, Target};
use std::{io, sync::Arc, thread};
use tokio::sync::watch;
use troupe_kit::{Context, Life, Mailbox, Reply, Role, StartError};
use troupe_messages::{
    ConversationMessage, FaultKind, RecorderMessage, Replay, ReplayError, StorageFault,
};
use troupe_types::LogFlaw;

/// What is read on the writer's own thread; more is read on a thread of its own, so that other
/// logs do not wait. In bytes.
const IN_PLACE: u64 = 1024 * 1024;

/// What each incarnation is started with.
#[derive(Clone)]
pub struct Args {
    /// The session's files.
    pub path: LogPath,
    /// Whether its log is there already. Such a log is never made anew: it was removed then.
    pub existing: bool,
    /// The writers.
    pub scribes: Arc<Scribes>,
    /// Told how far the log is written.
    pub published: Arc<watch::Sender<Published>>,
    /// Told of each line.
    pub conversation: Mailbox<ConversationMessage>,
}

/// The role; see the crate's documentation.
pub struct Recorder {
    scribes: Arc<Scribes>,
    target: Target,
}

impl Role for Recorder {
    type Message = RecorderMessage;
    type Args = Args;
    const IDEMPOTENT: bool = true;

    async fn start(args: Args, _: Life<RecorderMessage>) -> Result<Self, StartError> {
        let Args { path, existing, scribes, published, conversation } = args;
        Ok(Self { scribes, target: Target { path, existing, published, conversation } })
    }

    fn handle(&mut self, message: &RecorderMessage, cx: &mut Context<RecorderMessage>) {
        let (scribes, target) = (Arc::clone(&self.scribes), self.target.clone());
        match message {
            RecorderMessage::Append { seq, record, durability, notify } => {
                let append = Append {
                    seq: *seq,
                    record: record.clone(),
                    durability: *durability,
                    notify: notify.clone(),
                };
                cx.run(move || scribes.append(target, append));
            }
            RecorderMessage::Replay { before, reply } => {
                let before = *before;
                self.read(reply, cx, move |reader| reader.replay(before));
            }
            RecorderMessage::Read { offsets, reply } => {
                let offsets = offsets.clone();
                let read = move |reader: &LogReader| reader.lines_at(&offsets);
                self.read(reply, cx, read);
            }
            RecorderMessage::Retry => cx.run(move || scribes.retry(target)),
        }
    }

    fn set_aside(&mut self, message: &RecorderMessage, cx: &mut Context<RecorderMessage>) {
        if let RecorderMessage::Append { seq, .. } = message {
            let message = format!("line {seq} made the recorder fail twice");
            let fault = StorageFault { kind: FaultKind::Gap, message };
            cx.send(
                &self.target.conversation,
                ConversationMessage::NotWritten { seq: *seq, fault },
            );
        }
    }
}

/// What a read comes to; what was cut off when the log was opened is told with a replay.
trait Reading: Default + Send + 'static {
    const REPLAY: bool;
    /// `existing`: the log was there before.
    fn complete(self, extent: Extent, existing: bool) -> Self;
}

impl Reading for Replay {
    const REPLAY: bool = true;

    fn complete(mut self, extent: Extent, existing: bool) -> Self {
        if existing && self.checkpoint.is_none() && self.rest.is_empty() {
            self.flaws.push(LogFlaw::Empty);
        }
        let next_seq = extent.next_seq.max(self.next_seq);
        Self { next_seq, mended: extent.mended, fault: extent.fault, ..self }
    }
}

impl Reading for Vec<troupe_messages::ReplayLine> {
    const REPLAY: bool = false;

    fn complete(self, _: Extent, _: bool) -> Self {
        self
    }
}

impl Recorder {
    /// Reads when everything handed over before is written.
    fn read<T: Reading>(
        &self,
        reply: &Reply<Result<T, ReplayError>>,
        cx: &mut Context<RecorderMessage>,
        read: impl FnOnce(&LogReader) -> io::Result<T> + Send + 'static,
    ) {
        let (scribes, target) = (Arc::clone(&self.scribes), self.target.clone());
        let (reply, path) = (reply.clone(), self.target.path.clone());
        let existing = self.target.existing;
        let barrier = Box::new(move |extent: Result<Extent, StorageFault>| {
            let extent = match extent {
                Ok(extent) => extent,
                Err(fault) => return reply.send(Err(ReplayError(fault.message))),
            };
            let in_place = extent.end <= IN_PLACE;
            let answer = reply.clone();
            let work = move || {
                let found = LogReader::open(&path).and_then(|reader| match reader {
                    Some(reader) => read(&reader.until(extent.end)),
                    // One that was never written to holds nothing.
                    None if extent.end == 0 && !existing => Ok(T::default()),
                    None => Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "it was removed or moved while the session was open",
                    )),
                });
                let place = path.file();
                answer.send(found.map(|found| found.complete(extent, existing)).map_err(|error| {
                    ReplayError(format!("{} cannot be read: {error}", place.display()))
                }));
            };
            if in_place {
                work();
            } else if let Err(error) = thread::Builder::new().name("replay".to_owned()).spawn(work)
            {
                reply.send(Err(ReplayError(format!("no thread to read the log: {error}"))));
            }
        });
        cx.run(move || scribes.barrier(target, T::REPLAY, barrier));
    }
}
