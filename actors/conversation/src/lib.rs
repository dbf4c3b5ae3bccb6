//! The conversation: the state machine of a session's turns.
//!
//! It owns what happens next, and nothing else: its state is a fold of the log (`state`), each
//! decision is a record that it appends, and what must not happen before the record is written
//! (starting a stream, running a call, telling a front end) waits for the writer's answer. It is
//! told by front ends, the writer, streams and tool execs; it tells the recorder and its supervisor.
//! Bounded: at most [`WINDOW`] lines are under way, then its bulk lane pauses.
//! When it dies nothing is lost: the next incarnation replays the log, finds out who is alive, and
//! goes on; only what was under way in an actor that is gone is `Lost`.

mod append;
mod background;
mod checkpoint;
mod compact;
mod context;
mod drive;
mod facts;
mod fold;
mod ops;
mod project_docs;
mod prompt;
mod silence;
mod start;
mod state;
mod unfinished;

pub use fold::{Fold, work};
pub use unfinished::Work;

use append::After;
use state::State;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use troupe_kit::{Context, Life, Mailbox, Reply, Role, StartError, SupervisorMessage};
use troupe_messages::{
    ConversationMessage, Crew, Gathered, RecorderMessage, SandboxMessage, StorageFault,
    StreamMessage, ToolMessage,
};
use troupe_types::{CallId, Failure, OpId, RequestId, SessionId, SessionSettings, ToolSpec};

/// How many lines may be under way to the log before the bulk lane pauses.
pub const WINDOW: u64 = 64;

/// What each incarnation is started with.
#[derive(Clone)]
pub struct Args {
    /// The session.
    pub session: SessionId,
    /// The session that this one was made from.
    pub parent: Option<SessionId>,
    /// Its settings, resolved.
    pub settings: Arc<SessionSettings>,
    /// Which front end made it.
    pub source: Arc<str>,
    /// The program's version.
    pub version: &'static str,
    /// The session's recorder.
    pub recorder: Mailbox<RecorderMessage>,
    /// The session's supervisor, which starts streams and tool execs.
    pub supervisor: Mailbox<SupervisorMessage>,
    /// Told to be ready while a reply is awaited.
    pub sandbox: Mailbox<SandboxMessage>,
    /// The tools offered.
    pub tools: Arc<[ToolSpec]>,
    /// Makes streams and tool execs.
    pub crew: Arc<dyn Crew>,
    /// Whether an unfinished turn of an earlier process waits for an operation before it goes on.
    /// Cleared by the first operation; shared by all incarnations.
    pub held: Arc<AtomicBool>,
}

/// The role; see the crate's documentation.
pub struct Conversation {
    args: Args,
    state: State,
    /// Every line below this number is written.
    written: u64,
    /// What waits for a line to be written.
    waiting: VecDeque<(u64, After)>,
    /// Operations that wait for their record.
    accepted: HashMap<OpId, Vec<Reply<Result<u64, Failure>>>>,
    stream: Option<(RequestId, Mailbox<StreamMessage>)>,
    tools: HashMap<CallId, Live>,
    /// How often each open call's tool exec was started.
    attempts: HashMap<CallId, u32>,
    /// Lines and bytes since the last checkpoint.
    since_checkpoint: (u64, u64),
    paused: bool,
    /// Everything that actors of earlier incarnations said has been seen.
    settled: bool,
    /// What is open in the log without a live actor has been closed.
    reconciled: bool,
    storage: Option<StorageFault>,
    read_only: Option<String>,
    /// The context is being read again.
    reading: bool,
    gathering: bool,
    gathered: Option<Gathered>,
    /// What the user was told of files since this incarnation began.
    warned: HashSet<String>,
    /// Items left out at the front of a summarisation that did not fit.
    compact_skip: usize,
    found: start::Found,
}

/// A tool exec that is up, or about to be.
struct Live {
    mailbox: Mailbox<ToolMessage>,
}

impl Role for Conversation {
    type Message = ConversationMessage;
    type Args = Args;
    const IDEMPOTENT: bool = true;

    async fn start(args: Args, life: Life<ConversationMessage>) -> Result<Self, StartError> {
        start::start(args, life).await
    }

    fn started(&mut self, cx: &mut Context<ConversationMessage>) {
        self.on_started(cx);
    }

    fn handle(&mut self, message: &ConversationMessage, cx: &mut Context<ConversationMessage>) {
        match message {
            ConversationMessage::Submit { submission, accepted } => {
                self.on_submit(submission, accepted, cx);
            }
            ConversationMessage::Written(line) => self.on_written(*line, cx),
            ConversationMessage::NotWritten { seq, fault } => self.on_not_written(*seq, fault, cx),
            ConversationMessage::Stream { request, fact } => self.on_stream(*request, fact, cx),
            ConversationMessage::StreamGone { request, exit } => {
                self.on_stream_gone(*request, exit, cx);
            }
            ConversationMessage::Tool { call, fact } => self.on_tool(*call, fact, cx),
            ConversationMessage::ToolGone { call, exit } => self.on_tool_gone(*call, exit, cx),
            ConversationMessage::MarkerCame { incarnation } => self.on_marker(*incarnation, cx),
            ConversationMessage::TurnDue { turn } => self.on_turn_due(*turn, cx),
            ConversationMessage::ContextRead(lines) => self.on_context_read(lines, cx),
            ConversationMessage::Gathered(gathered) => self.on_gathered(gathered, cx),
        }
    }

    fn set_aside(&mut self, message: &ConversationMessage, cx: &mut Context<ConversationMessage>) {
        self.on_set_aside(message, cx);
    }

    fn stop(&mut self, cx: &mut Context<ConversationMessage>) {
        self.on_stop(cx);
    }
}

impl Conversation {
    fn is_held(&self) -> bool {
        self.args.held.load(Ordering::Acquire)
    }
}
