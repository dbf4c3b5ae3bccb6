//! Records: what the lines of a session's log say. They are also its durable events.

use crate::{
    Access, ApprovalAsk, CallId, CallItem, CallResult, Content, Decision, Failure, Item, LineError,
    OpId, Outcome, RequestId, SessionId, SessionSettings, Submission, TurnId, Usage,
    item::is_false, line_digest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, ser::Formatter};
use std::{io, path::PathBuf, sync::Arc};

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a line says.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Record {
            $($(#[$doc])* $name($name),)*
        }

        impl Record {
            /// The kind's name, as it stands in the log.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            /// Every kind's name.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($name)),*];

            pub(crate) fn parse(kind: &str, body: &str) -> Result<Self, LineError> {
                match kind {
                    $(stringify!($name) => Ok(Self::$name(serde_json::from_str(body)?)),)*
                    other => Err(LineError::Kind { kind: other.to_owned() }),
                }
            }

            pub(crate) fn from_body(kind: &str, body: Value) -> Result<Self, LineError> {
                match kind {
                    $(stringify!($name) => Ok(Self::$name(serde_json::from_value(body)?)),)*
                    other => Err(LineError::Kind { kind: other.to_owned() }),
                }
            }

            pub(crate) fn write_body(
                &self,
                out: impl io::Write,
                formatter: impl Formatter,
            ) -> Result<(), serde_json::Error> {
                let mut serializer = serde_json::Serializer::with_formatter(out, formatter);
                match self {
                    $(Self::$name(body) => body.serialize(&mut serializer),)*
                }
            }

            /// Its body, parsed.
            ///
            /// # Errors
            /// Only if a value cannot be written as JSON.
            pub fn body(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$name(body) => serde_json::to_value(body),)*
                }
            }
        }

        $(impl From<$name> for Record {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        })*
    };
}

records! {
    /// The first line.
    SessionCreated,
    /// A process opened the session, or its settings changed.
    SessionOpened,
    /// An operation was accepted.
    OpAccepted,
    /// A turn began.
    TurnStarted,
    /// The host or the user added an item to the context.
    ItemAdded,
    /// A request to the model began.
    RequestStarted,
    /// Some text of an answer that is still coming; the completed item replaces it.
    TextPart,
    /// The model completed an item that is not a call.
    ItemCompleted,
    /// The model completed a call.
    CallRequested,
    /// A person is asked about a call.
    ApprovalAsked,
    /// The question was answered.
    ApprovalAnswered,
    /// A call is about to take effect.
    CallStarted,
    /// A call ended.
    CallFinished,
    /// A background process ended.
    ProcessEnded,
    /// A command asked for a host, through the proxy.
    HostDecided,
    /// The plan changed.
    PlanUpdated,
    /// A request to the model ended.
    RequestFinished,
    /// A request will be sent again after a wait.
    RequestRetried,
    /// Something the user should know.
    Notice,
    /// Commands are held less firmly than the session's mode promises.
    SandboxWeaker,
    /// A summary replaced the earlier context.
    Compacted,
    /// A process worked on a turn that has a deadline.
    TurnWorked,
    /// A turn ended.
    TurnFinished,
    /// Where the context stands in the log.
    Checkpoint,
    /// An incomplete last line was cut off.
    Mended,
    /// Lines of the log are missing, damaged or not where they belong.
    LogFlaws,
}

/// Body of [`Record::SessionCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCreated {
    /// The session.
    pub session: SessionId,
    /// The session it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
    /// The front end that made it (`exec`, `tui`, `library` …).
    pub source: String,
    /// The working directory.
    pub cwd: PathBuf,
    /// The version of the program.
    pub version: String,
}

/// Body of [`Record::SessionOpened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// The settings from here on.
    pub settings: Box<SessionSettings>,
}

/// Body of [`Record::OpAccepted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpAccepted {
    /// The operation.
    pub submission: Submission,
}

/// Body of [`Record::TurnStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnStarted {
    /// The turn.
    pub turn: TurnId,
    /// The operation that began it.
    pub op: OpId,
    /// The provider's id.
    pub provider: String,
    /// The model.
    pub model: String,
}

/// Body of [`Record::ItemAdded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemAdded {
    /// The operation whose text it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
    /// The item.
    pub item: Item,
}

/// Body of [`Record::RequestStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStarted {
    /// The request.
    pub request: RequestId,
    /// Its turn.
    pub turn: TurnId,
    /// Whether it asks for a summary of the context.
    #[serde(default, skip_serializing_if = "is_false")]
    pub compaction: bool,
    /// The boot of the machine in which the record was written. Lines of an earlier boot may have
    /// been lost with the power, so a call of this request that seems not to have begun may have.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
}

/// What a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The answer.
    Answer,
    /// The reasoning.
    Reasoning,
}

/// Body of [`Record::TextPart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPart {
    /// The request.
    pub request: RequestId,
    /// The item's place in the answer.
    pub index: u32,
    /// What it belongs to.
    pub channel: Channel,
    /// The text that follows the earlier parts.
    pub text: String,
}

/// Body of [`Record::ItemCompleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCompleted {
    /// The request.
    pub request: RequestId,
    /// The item's place in the answer.
    pub index: u32,
    /// The item; shared, since it may have many megabytes.
    pub item: Arc<Item>,
}

/// Body of [`Record::CallRequested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRequested {
    /// The request.
    pub request: RequestId,
    /// The call's place in the answer.
    pub index: u32,
    /// The call.
    pub item: CallItem,
}

/// Body of [`Record::ApprovalAsked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAsked {
    /// The call.
    pub call: CallId,
    /// What is asked.
    pub ask: ApprovalAsk,
}

/// Body of [`Record::ApprovalAnswered`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAnswered {
    /// The call.
    pub call: CallId,
    /// The answer.
    pub decision: Decision,
}

/// What a call does, for front ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallDetail {
    /// A command.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Where it runs.
        cwd: PathBuf,
        /// It runs without the sandbox.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        outside: bool,
    },
    /// A background process is read, and may be typed into.
    Interact {
        /// Its number in the session.
        process: u64,
        /// The start of the script that it runs.
        command: String,
        /// The start of the text that is typed; empty if it is only read.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        input: String,
    },
    /// A patch.
    Patch {
        /// The files.
        changes: Vec<FileChanged>,
    },
    /// The plan is replaced.
    Plan,
    /// Any other tool.
    Tool {
        /// What it does, in one line (`read src/main.rs`).
        summary: String,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A kind of change to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChangeKind {
    /// It is made.
    Add,
    /// It is removed.
    Delete,
    /// Its text changes, or its place.
    Update,
}

/// One file of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanged {
    /// The file.
    pub path: PathBuf,
    /// The kind of change.
    pub kind: FileChangeKind,
    /// Where it was moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<PathBuf>,
    /// The change as a unified diff.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub diff: String,
}

/// Body of [`Record::CallStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStarted {
    /// The call.
    pub call: CallId,
    /// What it does.
    pub detail: CallDetail,
    /// What it may change. Logs of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Access::is_exclusive")]
    pub access: Access,
}

/// Body of [`Record::CallFinished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CallFinishedForm")]
pub struct CallFinished {
    /// The call.
    pub call: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// Its result.
    pub result: CallResult,
    /// What it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<CallDetail>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The same as it is read: earlier lines have the text that the model was shown in place of the
/// result.
#[derive(Deserialize)]
struct CallFinishedForm {
    call: CallId,
    outcome: Outcome,
    result: Option<CallResult>,
    #[serde(default)]
    content: Vec<Content>,
    detail: Option<CallDetail>,
    took_ms: u64,
}

impl From<CallFinishedForm> for CallFinished {
    fn from(form: CallFinishedForm) -> Self {
        let CallFinishedForm { call, outcome, result, content, detail, took_ms } = form;
        let earlier = match content.is_empty() {
            true => CallResult::Nothing,
            false => CallResult::Content { content },
        };
        Self { call, outcome, result: result.unwrap_or(earlier), detail, took_ms }
    }
}

/// Body of [`Record::ProcessEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnded {
    /// The call that started it.
    pub call: CallId,
    /// Its number in the session.
    pub process: u64,
    /// How it ended: `Completed` by itself, `Cancelled` when it was ended on request, `Lost` with
    /// whoever held it.
    pub outcome: Outcome,
    /// Its exit status, where it is known; 128 + n after signal n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it ran, in milliseconds.
    pub took_ms: u64,
    /// The processor time it took, in milliseconds, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ms: Option<u64>,
}

/// Body of [`Record::HostDecided`]. A call's first 64 different ones are recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDecided {
    /// The call whose command asked.
    pub call: CallId,
    /// The host, as it was asked for.
    pub host: String,
    /// The port; 0 if the request could not be read.
    pub port: u16,
    /// Whether it was let through.
    pub allowed: bool,
    /// The rule that allows it, or why it is refused.
    pub reason: String,
}

/// How far a step of the plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Under way.
    InProgress,
    /// Done.
    Completed,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What is to be done.
    pub step: String,
    /// How far it is.
    pub status: StepStatus,
}

/// Body of [`Record::PlanUpdated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanUpdated {
    /// The call that changed it.
    pub call: CallId,
    /// What the model says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// The whole plan.
    pub plan: Vec<PlanStep>,
}

/// How a request to the model ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RequestOutcome {
    /// The whole answer is there.
    Completed,
    /// The stream broke; what had arrived counts, and the turn goes on with a new request.
    Cut {
        /// Why.
        reason: String,
        /// How long is waited before the new request, in milliseconds, where that is decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_ms: Option<u64>,
    },
    /// It cannot be had.
    Failed(Failure),
    /// The user stopped it.
    Cancelled,
}

/// Body of [`Record::RequestFinished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFinished {
    /// The request.
    pub request: RequestId,
    /// How it ended.
    pub result: RequestOutcome,
    /// Tokens, where the provider tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// `Some(false)`: the model wants to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_turn: Option<bool>,
    /// How many attempts were broken off and taken up again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
}

/// Why a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RetryCause {
    /// The attempt failed before anything was completed. The parts of its text so far are void.
    Failed(Failure),
    /// The request before it broke off; what had arrived counts.
    Cut {
        /// Why.
        reason: String,
    },
    /// The answer was complete and held neither text nor a call.
    Silent,
}

/// Body of [`Record::RequestRetried`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRetried {
    /// The request: the one that is sent again, or, after a complete answer without a word, the
    /// one that had it.
    pub request: RequestId,
    /// Why.
    pub cause: RetryCause,
    /// Which retry this is, from 1.
    pub retry: u32,
    /// How many there may be.
    pub most: u32,
    /// How long is waited before it, in milliseconds.
    pub wait_ms: u64,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Warning,
    /// Something went wrong.
    Error,
}

/// Body of [`Record::Notice`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub text: String,
}

/// Body of [`Record::SandboxWeaker`]: recorded when it is not what was said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxWeaker {
    /// In which ways, in sentences without a full stop.
    pub ways: Vec<String>,
}

/// Body of [`Record::Compacted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// The items that are the context from here on.
    pub replacement: Vec<Item>,
}

/// Body of [`Record::TurnWorked`]: the deadline counts time of work, summed over processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnWorked {
    /// The turn.
    pub turn: TurnId,
    /// How long processes have worked on it so far, in milliseconds.
    pub worked_ms: u64,
    /// The deadline has passed: the turn ends as timed out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timed_out: bool,
}

/// Body of [`Record::TurnFinished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnFinished {
    /// The turn.
    pub turn: TurnId,
    /// How it ended.
    pub result: Outcome,
    /// It was completed by its calls: the model ended it without a word.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_final_message: bool,
    /// Tokens of the whole session so far; `None` while the provider has told none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Answers of the session, whole or in part, whose tokens the provider did not tell: the
    /// session used more than `usage`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncounted: u32,
}

/// Body of [`Record::Checkpoint`]: enough to rebuild the state without the lines before it. It
/// counts only while it and every line it points at are where it says, unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// Where its own line starts, in bytes.
    pub at: u64,
    /// The lines that make the context, in order.
    pub lines: Vec<LinePlace>,
    /// The rest of the state, as the conversation wrote it (JSON).
    pub state: String,
    /// A digest of the others: a damaged one is of no use.
    pub digest: u32,
}

impl Checkpoint {
    /// A checkpoint whose line will start at `at`.
    #[must_use]
    pub fn new(at: u64, lines: Vec<LinePlace>, state: String) -> Self {
        let mut checkpoint = Self { at, lines, state, digest: 0 };
        checkpoint.digest = checkpoint.digest_of_content();
        checkpoint
    }

    /// Whether it is as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.digest == self.digest_of_content()
    }

    fn digest_of_content(&self) -> u32 {
        let mut bytes = Vec::with_capacity(8 + 20 * self.lines.len() + self.state.len());
        bytes.extend_from_slice(&self.at.to_le_bytes());
        for line in &self.lines {
            bytes.extend_from_slice(&line.offset.to_le_bytes());
            bytes.extend_from_slice(&line.seq.to_le_bytes());
            bytes.extend_from_slice(&line.digest.to_le_bytes());
        }
        bytes.extend_from_slice(self.state.as_bytes());
        line_digest(&bytes)
    }
}

/// A line that a checkpoint points at; written as `[offset, number, digest]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u32)", into = "(u64, u64, u32)")]
pub struct LinePlace {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its number.
    pub seq: u64,
    /// Its digest ([`crate::line_digest`]).
    pub digest: u32,
}

impl From<(u64, u64, u32)> for LinePlace {
    fn from((offset, seq, digest): (u64, u64, u32)) -> Self {
        Self { offset, seq, digest }
    }
}

impl From<LinePlace> for (u64, u64, u32) {
    fn from(place: LinePlace) -> Self {
        (place.offset, place.seq, place.digest)
    }
}

/// Body of [`Record::Mended`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// How many bytes were cut.
    pub bytes: u64,
    /// The file beside the log that keeps them.
    pub kept_in: String,
}

/// Body of [`Record::LogFlaws`]: told once, by the process that finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFlaws {
    /// What is wrong; the first ones, if there are many.
    pub flaws: Vec<LogFlaw>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_none_more")]
    pub more: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none_more(value: &u64) -> bool {
    *value == 0
}

/// Something that is wrong with a log. Numbers are those of lines, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "flaw", rename_all = "snake_case")]
pub enum LogFlaw {
    /// Lines are not there.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Lines stand more than once; they count once.
    Repeated {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Different lines have these numbers.
    Ambiguous {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Lines stand behind ones with higher numbers; they were put in order.
    Moved {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// There is no line at all.
    Empty,
    /// A line cannot be used.
    Unusable {
        /// Where it starts, in bytes.
        offset: u64,
        /// Why.
        reason: LineError,
    },
}
