//! What a tool exec is told.

use crate::{Judged, LaunchAnswer};
use std::{path::PathBuf, time::Duration};
use troupe_kit::Mailbox;
use troupe_types::{CallFinished, CommandResult, Decision, HostDecided, ProcessEnded};

/// What a tool exec is told. It is temporary: if it dies, its effect is lost and said to be.
#[derive(Debug)]
pub enum ToolMessage {
    /// Control, from policy: the answer to its question.
    Judged(Judged),
    /// Control, from the conversation: what the person decided.
    Answered(Answered),
    /// Control, from the writer: the call's start is in the log. A second one runs nothing.
    StartRecorded,
    /// Control, from the writer or the conversation: the call's end is in the log, or nobody waits
    /// for it. Until then the tool exec keeps it, and stays to report it again.
    FinishRecorded,
    /// Control, from sandbox: the process, or why there is none.
    Launched(LaunchAnswer),
    /// Control, from its own task: the tool has done its work. If its process goes on in the
    /// background, so does the tool exec, which holds it.
    Done(Box<CallFinished>),
    /// Control, from its own task: what became of its background process.
    Process(ProcessNews),
    /// Control, from the egress: its command asked for a host.
    HostDecided(HostDecided),
    /// Control, from another tool exec of the session: type this into the background process, and
    /// say what it prints. Answered by [`ToolMessage::Interacted`], also if the process is gone.
    Interact(Interact),
    /// Control, from the tool exec that holds a process: what it printed; none if it is gone.
    Interacted(Option<Interaction>),
    /// Control, from the conversation: stop at once. The process tree is killed and the call, if it
    /// has not finished, finishes as cancelled.
    Cancel,
    /// Control, from a conversation that was started again: report again what waits for a record,
    /// the call's end too. A record that was under way may not have reached the log.
    Report,
    /// Own timer: policy, sandbox or another tool exec did not answer this question of its own; an
    /// earlier one's is ignored.
    AnswerDue {
        /// The number of the question.
        question: u64,
    },
}

/// The answer to a question about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The decision.
    pub decision: Decision,
}

/// What became of a background process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessNews {
    /// It ended; the rest of what it printed is kept until it is asked for.
    Ended(ProcessEnded),
    /// It ended and everything was asked for: nobody needs its tool exec any more.
    Read,
}

/// What another tool exec wants of a background process.
#[derive(Debug, Clone)]
pub struct Interact {
    /// What is typed; nothing to see only what came.
    pub input: String,
    /// How long it is waited for what comes.
    pub wait: Duration,
    /// The most tokens of output that the model wants.
    pub tokens: Option<usize>,
    /// Who is answered.
    pub asker: Mailbox<ToolMessage>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interaction {
    /// The process was read.
    Read(Box<CommandResult>),
    /// It could not be typed, for this reason.
    Refused(String),
}

/// A background process of a session.
#[derive(Debug, Clone)]
pub struct BackgroundProcess {
    /// Its number in the session.
    pub process: u64,
    /// The shell's script that it runs.
    pub command: String,
    /// Where it was started.
    pub cwd: PathBuf,
    /// It runs without the sandbox.
    pub outside: bool,
    /// It has ended, and what it printed was not read to the end.
    pub ended: bool,
    /// Who holds it.
    pub tool: Mailbox<ToolMessage>,
}
