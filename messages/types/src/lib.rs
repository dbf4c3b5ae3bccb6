//! The words the whole company speaks: ids, items, operations, records and events.
//!
//! Plain data with pinned JSON forms and nothing else: no actor, no clock beyond the ids, no I/O.
//! The log, the wire to a front end and the mailboxes all use these types, so each thing has one
//! form. Forms are versioned ([`FORMAT`]); readers ignore fields they do not know and turn a
//! record they cannot use into a visible [`Event::Skipped`].

mod approval;
mod cut;
mod cut_result;
mod endpoint;
mod event;
mod for_model;
mod ids;
mod item;
mod line;
mod model;
mod op;
mod outcome;
mod record;
mod result;
mod secret;
mod settings;
mod span;
mod usage;

#[cfg(test)]
mod tests;

pub use approval::{ApprovalAsk, ApprovalPolicy, Decision, Granular};
pub use cut::{BYTES_PER_TOKEN, end_of, start_of, tokens_of, truncation_marker};
pub use endpoint::Endpoint;
pub use event::{Event, Progress};
pub use ids::{CallId, IdError, OpId, RequestId, SessionId, TurnId};
pub use item::{
    AssistantItem, CallInput, CallItem, Content, ContextItem, ContextKind, Item, Opaque,
    OpaqueItem, OutputItem, ReasoningItem, Role, SummaryItem, UserItem, Wire, says_something,
};
pub use line::{
    FORMAT, Line, LineError, LineHead, is_blank_line, is_whole_line, later_version, line_digest,
};
pub use model::{Access, ModelEvent, ModelRequest, ToolKind, ToolSpec, Traits};
pub use op::{Op, Submission};
pub use outcome::{ErrorClass, Failure, Outcome};
pub use record::{
    ApprovalAnswered, ApprovalAsked, CallDetail, CallFinished, CallRequested, CallStarted, Channel,
    Checkpoint, Compacted, FileChangeKind, FileChanged, HostDecided, ItemAdded, ItemCompleted,
    Level, LinePlace, LogFlaw, LogFlaws, Mended, Notice, OpAccepted, PlanStep, PlanUpdated,
    ProcessEnded, Record, RequestFinished, RequestOutcome, RequestRetried, RequestStarted,
    RetryCause, SandboxWeaker, SessionCreated, SessionOpened, StepStatus, TextPart, TurnFinished,
    TurnStarted, TurnWorked,
};
pub use result::{CallResult, CommandEnd, CommandResult, Kept, NotWritten, Printed, RefusedHost};
pub use secret::Secret;
pub use settings::{
    CommandLimits, ProjectDocs, SandboxMode, SandboxSettings, SessionSettings, WithoutUserns,
};
pub use span::Span;
pub use usage::Usage;
