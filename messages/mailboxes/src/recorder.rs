//! What a recorder is told.

use crate::ToolMessage;
use troupe_kit::{Mailbox, Reply};
use troupe_types::{CallId, Checkpoint, Line, LineError, LogFlaw, Record};

/// What the recorder is told.
#[derive(Debug)]
pub enum RecorderMessage {
    /// Control, from the conversation: write this line. It is handed to the writer and answered by
    /// [`crate::ConversationMessage::Written`] or `NotWritten`. At most as many are under way as
    /// the conversation's window. If the recorder dies first, the message is given again; what the
    /// writer was handed it writes all the same.
    Append {
        /// The line's number: exactly the next one. An older one is acknowledged again.
        seq: u64,
        /// What it says.
        record: Box<Record>,
        /// How sure it has to be.
        durability: Durability,
        /// Who is told beside the conversation.
        notify: Option<Notify>,
    },
    /// A call, from a conversation that starts: everything needed to rebuild its state. Goes
    /// through the same queue as the appends, so it shows every line sent before it.
    Replay {
        /// Look for a checkpoint before this place; by default the last one.
        before: Option<u64>,
        /// The way back.
        reply: Reply<Result<Replay, ReplayError>>,
    },
    /// A call, from a task of the conversation: the lines that start at these places.
    Read {
        /// Where the lines start, in bytes, in order.
        offsets: Vec<u64>,
        /// The way back.
        reply: Reply<Result<Vec<ReplayLine>, ReplayError>>,
    },
    /// Control, from the conversation: try to write again after a failure.
    Retry,
}

/// How sure a line has to be before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the file: it survives the process.
    Written,
    /// On the disk, with everything before it: it survives the machine.
    Synced,
}

/// A tool exec that waits for a record of its call: the start, before anything runs, or the end.
#[derive(Debug, Clone)]
pub struct Notify {
    /// The call.
    pub call: CallId,
    /// Its tool exec, told [`Notify::message`].
    pub tool: Mailbox<ToolMessage>,
}

impl Notify {
    /// What the tool exec is told once this record of its call is in the log.
    #[must_use]
    pub fn message(record: &Record) -> ToolMessage {
        match record {
            Record::CallFinished(_) => ToolMessage::FinishRecorded,
            _ => ToolMessage::StartRecorded,
        }
    }
}

/// A line that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub seq: u64,
    /// Where it starts in the file, in bytes; `None` where an older line was acknowledged again.
    pub offset: Option<u64>,
    /// Its length in bytes.
    pub len: u64,
    /// Its digest ([`troupe_types::line_digest`]).
    pub digest: u32,
}

/// Why a line is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The disk is full, or a quota reached.
    Full,
    /// The file system is read-only, or an earlier sync failed: nothing more is written.
    ReadOnly,
    /// Another process holds the session, or has written to it.
    Busy,
    /// The number is not the next one.
    Gap,
    /// Something else.
    Io,
}

/// A failure to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StorageFault {
    /// Its kind.
    pub kind: FaultKind,
    /// What happened and what helps.
    pub message: String,
}

/// One entry of a replay.
#[derive(Debug)]
pub enum ReplayLine {
    /// A line.
    Line {
        /// Where it starts, in bytes.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// Its digest ([`troupe_types::line_digest`]).
        digest: u32,
        /// The number it goes by. It differs from the line's own where that cannot be right;
        /// `None` where another line has it and none is vacant.
        seq: Option<u64>,
        /// The line.
        line: Box<Line>,
    },
    /// A line that cannot be used.
    Skipped {
        /// Where it starts, in bytes.
        offset: u64,
        /// Its number, where that can be told.
        seq: Option<u64>,
        /// Why.
        reason: LineError,
    },
}

/// What a conversation rebuilds its state from.
#[derive(Debug, Default)]
pub struct Replay {
    /// The last checkpoint that can be used, and where it starts.
    pub checkpoint: Option<(u64, Checkpoint)>,
    /// Every line after the checkpoint, in the order of their numbers.
    pub rest: Vec<ReplayLine>,
    /// What is wrong with those lines.
    pub flaws: Vec<LogFlaw>,
    /// The form of a later program that some line has: nothing may be written to the log.
    pub later: Option<u32>,
    /// The next number.
    pub next_seq: u64,
    /// Bytes of an incomplete last line that were cut, and the file that keeps them.
    pub mended: Option<(u64, String)>,
    /// Why nothing can be written, while that is so. Where the disk is full ([`FaultKind::Full`]),
    /// the ends of what runs may still be, in room that is kept for them.
    pub fault: Option<StorageFault>,
}

/// Why there is no replay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReplayError(pub String);
