//! The conversation's decisions, as a function: [`Machine::step`] takes one input, changes the
//! state and returns the effects. It knows no mailbox, clock, task or file, so a test can play any
//! sequence of inputs against it.
//!
//! `State` follows from the log alone. `Live` is what this process knows beside it: who is up, and
//! which lines are still under way to the log.

mod append;
mod background;
pub(crate) mod checkpoint;
mod clock;
mod compact;
pub(crate) mod context;
mod drive;
mod facts;
mod live;
mod ops;
mod pieces;
mod schedule;
mod silence;
mod started;
pub(crate) mod state;
mod storage;
#[cfg(test)]
mod tests;
mod unfinished;

pub(crate) use live::{Found, Live};
pub use unfinished::Work;

use state::State;
use std::{path::PathBuf, sync::Arc, time::Duration};
use troupe_kit::Exit;
use troupe_messages::{
    Appended, Cut, Durability, Gathered, ReplayError, ReplayLine, StorageFault, StreamFact,
    ToolFact,
};
use troupe_types::{
    CallId, CallItem, Decision, Failure, ModelRequest, OpId, Record, RequestId, SessionId,
    SessionSettings, Submission, ToolSpec, TurnId,
};

/// What does not change while a conversation lives.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The session.
    pub(crate) session: SessionId,
    /// The session that this one was made from.
    pub(crate) parent: Option<SessionId>,
    /// Its settings, resolved.
    pub(crate) settings: Arc<SessionSettings>,
    /// Which front end made it.
    pub(crate) source: Arc<str>,
    /// The program's version.
    pub(crate) version: &'static str,
    /// The boot of the machine; empty where it is not known.
    pub(crate) boot: Arc<str>,
    /// The tools offered.
    pub(crate) tools: Arc<[ToolSpec]>,
}

/// The state machine of a session's turns.
pub(crate) struct Machine {
    pub(crate) setup: Setup,
    pub(crate) state: State,
    pub(crate) live: Live,
}

/// What the machine is told.
pub(crate) enum Input<'a> {
    /// The incarnation begins.
    Started,
    /// An operation.
    Submit(&'a Submission),
    /// A line is in the log.
    Written(Appended),
    /// A line is not in the log, nor any later one.
    NotWritten(u64, &'a StorageFault),
    /// A model stream reports.
    Stream(RequestId, &'a StreamFact),
    /// A model stream has ended.
    StreamGone(RequestId, &'a Exit),
    /// A tool exec reports.
    Tool(CallId, &'a ToolFact),
    /// A tool exec has ended.
    ToolGone(CallId, &'a Exit),
    /// Everything that stood in the mailbox when this incarnation began has been seen.
    MarkerCame,
    /// A tick of the turn's deadline is over; it took so long.
    Tick(TurnId, Duration),
    /// The context was read again.
    ContextRead(&'a Result<Vec<ReplayLine>, ReplayError>),
    /// What the session's directory says to the model.
    Gathered(&'a Gathered),
    /// An input failed every time it was handled; `what` names it.
    SetAside(&'static str),
}

/// What the machine wants done, in this order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Write this line; tell this call's tool exec too when it is written.
    Append { seq: u64, record: Box<Record>, durability: Durability, notify: Option<CallId> },
    /// Start a model stream.
    StartStream(Box<StreamPlan>),
    /// Stop a model stream.
    CancelStream(RequestId),
    /// Start a tool exec.
    StartTool(Box<ToolPlan>),
    /// Stop a tool exec and what it runs.
    CancelTool(CallId),
    /// Have a tool exec report again what it waits for.
    Report(CallId),
    /// Tell a tool exec that nobody waits for the end of its call any more.
    Release(CallId),
    /// Tell a tool exec what the person decided.
    Answer(CallId, Decision),
    /// Answer the caller that submitted the operation.
    Reply(OpId, Result<u64, Failure>),
    /// Answer everyone who waits for an operation's record.
    Refuse(Failure),
    /// Send [`Input::MarkerCame`] behind everything that waits.
    Mark,
    /// Send [`Input::Tick`] for this turn after so long.
    Watch(TurnId, Duration),
    /// Read the lines at these offsets.
    ReadContext(Vec<u64>),
    /// Read what the session's directory says to the model.
    Gather,
    /// Have a process ready: a command may follow.
    Warm,
    /// Take in no more of what streams and tools say, or take it in again.
    Pause(bool),
    /// Say that nothing runs any more, since the log cannot be written for this reason.
    Rest(Failure),
    /// Try to write again after a failure.
    RetryLog,
    /// End the incarnation: the next one rebuilds the state from the log.
    Fail(String),
}

/// The effects of a step, in order.
pub(crate) type Effects = Vec<Effect>;

/// A request to the model.
#[derive(Debug)]
pub(crate) struct StreamPlan {
    pub(crate) request: ModelRequest,
    /// How the request before it broke off, if this one takes it up again.
    pub(crate) after_cut: Option<Cut>,
    /// How many retries there were since there was progress.
    pub(crate) retries: u32,
}

/// A call to be run.
#[derive(Debug)]
pub(crate) struct ToolPlan {
    pub(crate) call: CallItem,
    /// Keys of what was approved for the session.
    pub(crate) approved: Vec<String>,
    /// The number of its process, if that goes on in the background.
    pub(crate) process: u64,
    pub(crate) background: Vec<HeldProcess>,
    /// The person's decision, if it was made before.
    pub(crate) answer: Option<Decision>,
}

/// A background process that a live tool exec holds.
#[derive(Debug, Clone)]
pub(crate) struct HeldProcess {
    /// The call whose tool exec holds it.
    pub(crate) holder: CallId,
    pub(crate) process: u64,
    pub(crate) command: String,
    pub(crate) cwd: PathBuf,
    pub(crate) outside: bool,
    pub(crate) ended: bool,
}

impl Machine {
    /// Takes one input; pushes what is to be done.
    pub(crate) fn step(&mut self, input: Input<'_>, out: &mut Effects) {
        if !matches!(input, Input::Submit(_)) {
            if self.live.failed {
                // The next incarnation decides.
                return;
            }
            if self.live.storage.is_some() {
                return self.step_without_log(input, out);
            }
        }
        match input {
            Input::Started => self.on_started(out),
            Input::Submit(submission) => self.on_submit(submission, out),
            Input::Written(line) => self.on_written(line, out),
            Input::NotWritten(seq, fault) => self.on_not_written(seq, fault, out),
            Input::Stream(request, fact) => self.on_stream(request, fact, out),
            Input::StreamGone(request, exit) => self.on_stream_gone(request, exit, out),
            Input::Tool(call, fact) => self.on_tool(call, fact, out),
            Input::ToolGone(call, exit) => self.on_tool_gone(call, exit, out),
            Input::MarkerCame => self.on_marker(),
            Input::Tick(turn, took) => self.on_tick(turn, took, out),
            Input::ContextRead(lines) => self.on_context_read(lines, out),
            Input::Gathered(gathered) => self.on_gathered(gathered),
            Input::SetAside(what) => self.on_set_aside(what, out),
        }
        self.advance(out);
    }
}
