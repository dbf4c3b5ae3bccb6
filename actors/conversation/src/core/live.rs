//! What a process knows beside the log: who is up, and what is under way.

use super::append::After;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use troupe_kit::Countdown;
use troupe_messages::{Gathered, StorageFault};
use troupe_types::{Access, CallDetail, CallId, LogFlaw, RequestId, TurnId};

/// Holds what a replay found and no record tells yet.
#[derive(Default)]
pub(crate) struct Found {
    /// What is wrong with the lines.
    pub(crate) flaws: Vec<LogFlaw>,
    /// Bytes of an incomplete last line that were cut off, and the file that keeps them.
    pub(crate) mended: Option<(u64, String)>,
}

/// Holds the findings of a tool exec about its call, before the call starts.
pub(crate) struct Looked {
    /// The most that the call may change.
    pub(crate) access: Access,
    /// The call's description, once it is ready to start: its start is to be recorded.
    pub(crate) ready: Option<CallDetail>,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Live {
    /// The first incarnation of this process, which opened the session.
    pub(crate) first: bool,
    /// Every line below this number is written.
    pub(crate) written: u64,
    /// Where the next line will start, once a line was written.
    pub(crate) end: Option<u64>,
    /// Steps that wait for a line to be written, with the line's number.
    pub(crate) waiting: VecDeque<(u64, After)>,
    /// The request whose model stream is up.
    pub(crate) stream: Option<RequestId>,
    /// Model streams that ended without a word since there was progress.
    pub(crate) streams_lost: u32,
    /// Calls whose tool exec is up.
    pub(crate) tools: HashSet<CallId>,
    /// Calls that take effect: their start is in the log, and their tool exec is up and has not told
    /// their end.
    pub(crate) begun: HashSet<CallId>,
    /// Counts the starts of each open call's tool exec.
    pub(crate) attempts: HashMap<CallId, u32>,
    /// The findings of tool execs about open calls.
    pub(crate) looked: HashMap<CallId, Looked>,
    /// Lines and bytes since the last checkpoint.
    pub(crate) since_checkpoint: (u64, u64),
    /// Nothing more is taken in from streams and tools.
    pub(crate) paused: bool,
    /// Everything that actors of earlier incarnations said has been seen.
    pub(crate) settled: bool,
    /// What is open in the log without a live actor has been closed.
    pub(crate) reconciled: bool,
    /// An unfinished turn of an earlier process waits for an operation.
    pub(crate) held: bool,
    /// The turn whose deadline is counted down.
    pub(crate) watched: Option<(TurnId, Countdown)>,
    /// Work on that turn that no record tells yet.
    pub(crate) worked: Duration,
    /// The log cannot be written: the state is ahead of it, unless this incarnation winds up.
    pub(crate) storage: Option<StorageFault>,
    /// The state is the log's, and the ends of what runs are recorded, though nothing else can be.
    pub(crate) winding: bool,
    /// The log cannot be written, and nothing runs any more.
    pub(crate) rests: bool,
    /// The incarnation ends: nothing more is decided.
    pub(crate) failed: bool,
    /// Why nothing can be written to this session.
    pub(crate) read_only: Option<String>,
    /// The context is being read again.
    pub(crate) reading: bool,
    pub(crate) gathering: bool,
    pub(crate) gathered: Option<Gathered>,
    /// What the user was told of files since this incarnation began.
    pub(crate) warned: HashSet<String>,
    /// Items left out at the front of a summary that did not fit.
    pub(crate) compact_skip: usize,
    pub(crate) found: Found,
}
