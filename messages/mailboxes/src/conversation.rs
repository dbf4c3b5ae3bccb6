//! What a conversation is told.

use crate::{Appended, ReplayError, ReplayLine, StorageFault};
use std::{sync::Arc, time::Duration};
use troupe_kit::{Exit, Reply};
use troupe_types::{
    Access, ApprovalAsk, CallDetail, CallFinished, CallId, Channel, Failure, HostDecided, Item,
    PlanUpdated, ProcessEnded, RequestId, RetryCause, Submission, TurnId, Usage,
};

/// What the conversation is told.
#[derive(Debug)]
pub enum ConversationMessage {
    /// A call, from the library: do this. Answered with the record's number when it is written.
    /// If the conversation dies first, the library sends it again; a known id changes nothing.
    Submit {
        /// What to do.
        submission: Box<Submission>,
        /// Answered when it is accepted, or cannot be.
        accepted: Reply<Result<u64, Failure>>,
    },
    /// Control, from the writer: the line is in the log. What waited for it goes on.
    /// If the conversation dies first, the replay has the line.
    Written(Appended),
    /// Control, from the writer: the line is not in the log, nor any later one. The turn stops
    /// with a storage failure.
    NotWritten {
        /// The line's number.
        seq: u64,
        /// Why.
        fault: StorageFault,
    },
    /// Bulk, by permit, from a stream's reading task: something of the answer. Stale facts are
    /// dropped. If the conversation dies first, it waits.
    Stream {
        /// The request it answers.
        request: RequestId,
        /// What happened.
        fact: StreamFact,
    },
    /// Tail of bulk, from the drop that ended a model stream: behind all its facts.
    StreamGone {
        /// The request.
        request: RequestId,
        /// How the actor ended.
        exit: Exit,
    },
    /// Tail of bulk, from a tool exec: a step of a call. Few per call, so without permits.
    Tool {
        /// The call.
        call: CallId,
        /// What happened.
        fact: ToolFact,
    },
    /// Tail of bulk, from the drop that ended a tool exec: behind all its facts.
    ToolGone {
        /// The call.
        call: CallId,
        /// How the actor ended.
        exit: Exit,
    },
    /// Tail of bulk, from the conversation to itself at its start: what stood before it has been
    /// seen, so what is still open without a live actor is lost.
    MarkerCame {
        /// The incarnation that sent it; another one's is ignored.
        incarnation: u64,
    },
    /// Own timer: time to count the work on the turn, which has a deadline.
    WorkDue {
        /// The turn.
        turn: TurnId,
    },
    /// Control, from its own task: the context was read again from the log.
    ContextRead(Box<Result<Vec<ReplayLine>, ReplayError>>),
    /// Control, from its own task: what the session's directory says to the model.
    Gathered(Gathered),
}

/// What a session's directory says to the model.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// The items of the context.
    pub items: Vec<Item>,
    /// What the user has to know about the files they were made of.
    pub warnings: Vec<String>,
}

/// What a model stream reports, in order.
#[derive(Debug)]
pub enum StreamFact {
    /// More text of the item at `index`; parts follow each other.
    Part {
        /// The item's place in the answer.
        index: u32,
        /// What it belongs to.
        channel: Channel,
        /// The text.
        text: String,
    },
    /// The item at `index` is complete.
    ItemDone {
        /// The item's place in the answer.
        index: u32,
        /// The item.
        item: Arc<Item>,
    },
    /// The request is sent again after a wait. Nothing of it had been completed.
    Retrying {
        /// Why.
        cause: RetryCause,
        /// Which retry of the turn this is, from 1.
        retry: u32,
        /// How many there may be.
        most: u32,
        /// How long is waited.
        wait: Duration,
    },
    /// The answer is complete.
    Completed {
        /// Tokens, where the provider tells.
        usage: Option<Usage>,
        /// `Some(false)`: the model wants to go on.
        end_turn: Option<bool>,
        /// Attempts that were broken off.
        retries: u32,
    },
    /// The stream broke after something was completed; what came counts.
    Cut {
        /// Why.
        reason: String,
        /// How long to wait before the next request.
        wait: Duration,
        /// Attempts that were broken off, this one included.
        retries: u32,
    },
    /// The answer cannot be had.
    Failed {
        /// Why.
        failure: Failure,
        /// Attempts that were broken off.
        retries: u32,
    },
}

/// What a tool exec reports, in order.
#[derive(Debug)]
pub enum ToolFact {
    /// A person has to decide.
    Asked {
        /// What is asked.
        ask: ApprovalAsk,
        /// What the call may change.
        access: Access,
    },
    /// It is ready to take effect, and waits for the record: that is written when what runs beside
    /// it allows it.
    Starting {
        /// What it does.
        detail: CallDetail,
        /// What it may change.
        access: Access,
    },
    /// The model changed its plan.
    Planned(PlanUpdated),
    /// It has ended.
    Finished(Box<CallFinished>),
    /// Its process is held less firmly than the session's mode promises.
    Weaker(Vec<String>),
    /// Its command asked for a host.
    HostDecided(HostDecided),
    /// The background process that it left has ended; the call had finished before.
    ProcessEnded(ProcessEnded),
}
