//! What a tool exec is told.

use crate::{LaunchAnswer, Verdict};
use troupe_types::{CallFinished, Decision};

/// What a tool exec is told. It is temporary: if it dies, its effect is lost and said to be.
#[derive(Debug)]
pub enum ToolMessage {
    /// Control, from policy: the answer to its question.
    Judged(Verdict),
    /// Control, from the conversation: what the person decided.
    Answered(Answered),
    /// Control, from the writer: the call's start is in the log. A second one runs nothing.
    StartRecorded,
    /// Control, from sandbox: the process, or why there is none.
    Launched(LaunchAnswer),
    /// Control, from its own task: the tool has done its work.
    Done(Box<CallFinished>),
    /// Control, from the conversation: stop at once. The process tree is killed and the call
    /// finishes as cancelled.
    Cancel,
    /// Own timer: policy or sandbox did not answer.
    AnswerDue,
}

/// The answer to a question about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The decision.
    pub decision: Decision,
}
