//! The conversation: the state machine of a session's turns.
//!
//! The decisions are the machine's, a function from inputs to effects. This role hands it
//! what the mailbox brings and carries its effects out: it appends to the log through the recorder,
//! starts and stops model streams and tool execs, and answers those who submitted operations. What
//! must not happen before a record is written waits for the writer's answer.
//! Bounded: at most [`WINDOW`] lines are under way, then its bulk lane pauses.
//! When it dies nothing is lost: the next incarnation replays the log, finds out who is alive, and
//! goes on; only what was under way in an actor that is gone is `Lost`.

mod core;
mod effects;
mod fold;
mod project_docs;
mod prompt;
mod start;

pub use core::Work;
pub use fold::Fold;

use core::{Input, Machine};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::watch;
use troupe_kit::{Context, Life, Mailbox, Reply, Role, StartError, SupervisorMessage};
use troupe_messages::{
    ConversationMessage, Crew, RecorderMessage, SandboxMessage, StreamMessage, ToolMessage,
};
use troupe_types::{
    CallId, Failure, OpId, RequestId, SessionId, SessionSettings, ToolSpec, TurnId,
};

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
    /// The boot of the machine, as the log tells it; empty where it is not known.
    pub boot: Arc<str>,
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
    /// Told by the first incarnation what it found; shared by all.
    pub opened: Arc<watch::Sender<Option<Opened>>>,
    /// Told why nothing runs any more, while the log cannot be written; shared by all.
    pub rests: Arc<watch::Sender<Option<Failure>>>,
}

/// What the log held when the session was opened, read while no other process could write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The number of the first record that is new.
    pub first: u64,
    /// What there is to do.
    pub work: Work,
}

/// The role; see the crate's documentation.
pub struct Conversation {
    args: Args,
    machine: Machine,
    /// The model stream that is up, or about to be.
    stream: Option<(RequestId, Mailbox<StreamMessage>)>,
    /// The tool execs that are up, or about to be.
    tools: HashMap<CallId, Mailbox<ToolMessage>>,
    /// Operations that wait for their record.
    replies: HashMap<OpId, Vec<Reply<Result<u64, Failure>>>>,
    /// When the tick under way of the turn's deadline began.
    tick: Option<(TurnId, Instant)>,
}

impl Role for Conversation {
    type Message = ConversationMessage;
    type Args = Args;
    const IDEMPOTENT: bool = true;

    async fn start(args: Args, life: Life<ConversationMessage>) -> Result<Self, StartError> {
        start::start(args, life).await
    }

    fn started(&mut self, cx: &mut Context<ConversationMessage>) {
        self.machine.live.first = cx.incarnation() == 1;
        self.step(Input::Started, cx);
    }

    fn handle(&mut self, message: &ConversationMessage, cx: &mut Context<ConversationMessage>) {
        match message {
            ConversationMessage::Submit { submission, accepted } => {
                self.replies.entry(submission.id).or_default().push(accepted.clone());
                self.step(Input::Submit(submission), cx);
                self.args.held.store(self.machine.live.held, Ordering::Release);
            }
            ConversationMessage::Written(line) => self.step(Input::Written(*line), cx),
            ConversationMessage::NotWritten { seq, fault } => {
                self.step(Input::NotWritten(*seq, fault), cx);
            }
            ConversationMessage::Stream { request, fact } => {
                self.step(Input::Stream(*request, fact), cx);
            }
            ConversationMessage::StreamGone { request, exit } => {
                self.stream.take_if(|(id, _)| id == request);
                self.step(Input::StreamGone(*request, exit), cx);
            }
            ConversationMessage::Tool { call, fact } => self.step(Input::Tool(*call, fact), cx),
            ConversationMessage::ToolGone { call, exit } => {
                self.tools.remove(call);
                self.step(Input::ToolGone(*call, exit), cx);
            }
            ConversationMessage::MarkerCame { incarnation } => {
                if *incarnation == cx.incarnation() {
                    self.step(Input::MarkerCame, cx);
                }
            }
            ConversationMessage::WorkDue { turn } => {
                if let Some((_, began)) = self.tick.take_if(|(ticking, _)| ticking == turn) {
                    self.step(Input::Tick(*turn, began.elapsed()), cx);
                }
            }
            ConversationMessage::ContextRead(lines) => self.step(Input::ContextRead(lines), cx),
            ConversationMessage::Gathered(items) => self.step(Input::Gathered(items), cx),
        }
    }

    fn set_aside(&mut self, message: &ConversationMessage, cx: &mut Context<ConversationMessage>) {
        let what = match message {
            ConversationMessage::Written(_) | ConversationMessage::NotWritten { .. } => {
                return cx.fail("an answer of the log made the conversation fail twice");
            }
            ConversationMessage::Stream { .. } => "a part of the model's answer",
            ConversationMessage::Tool { .. } => "a report of a tool",
            _ => "a message",
        };
        self.step(Input::SetAside(what), cx);
    }

    /// Asked to stop: children have been stopped before; nothing is decided any more.
    fn stop(&mut self, cx: &mut Context<ConversationMessage>) {
        if let Some((_, stream)) = &self.stream {
            cx.send(stream, StreamMessage::Cancel);
        }
        for tool in self.tools.values() {
            cx.send(tool, ToolMessage::Cancel);
        }
        cx.stop();
    }
}

impl Conversation {
    fn step(&mut self, input: Input<'_>, cx: &mut Context<ConversationMessage>) {
        let mut effects = Vec::new();
        self.machine.step(input, &mut effects);
        for effect in effects {
            self.carry_out(effect, cx);
        }
    }
}
