//! What policy is told.

use crate::ToolMessage;
use std::path::PathBuf;
use troupe_kit::Mailbox;
use troupe_types::{ApprovalAsk, ApprovalPolicy, CallId, NotWritten, SandboxSettings};

/// What policy is told. It decides and changes nothing, so a question may be given again.
#[derive(Debug)]
pub enum PolicyMessage {
    /// Control, from a tool exec: may this be done? Answered by [`ToolMessage::Judged`]. Silence
    /// is a no: the tool exec has a deadline.
    Judge {
        /// The call.
        call: CallId,
        /// What is to be done.
        question: Question,
        /// The session's approval policy.
        approval: ApprovalPolicy,
        /// The session's sandbox settings.
        sandbox: Box<SandboxSettings>,
        /// The session's directory.
        cwd: PathBuf,
        /// Keys of what was approved for the session ([`ApprovalAsk::key`]).
        approved: Vec<String>,
        /// Who asks.
        tool: Mailbox<ToolMessage>,
    },
    /// Control, from a tool exec whose question was answered so: keep this rule. What may not be
    /// allowed for good is not kept; keeping it twice changes nothing.
    Keep {
        /// The words that commands begin with.
        prefix: Vec<String>,
        /// A command that it has to allow: the one that was asked about.
        argv: Vec<String>,
        /// Where that runs.
        cwd: PathBuf,
    },
    /// Own timer: time to count how long questions have waited for their answer.
    PatienceDue,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Run a command.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Where.
        cwd: PathBuf,
        /// The model asks to leave the sandbox, with its reason.
        escalate: Option<String>,
    },
    /// Change files.
    Patch {
        /// Every file that is touched (absolute).
        paths: Vec<PathBuf>,
    },
    /// Type something into a background process.
    Input {
        /// The shell's script that the process runs.
        command: String,
        /// Where it was started.
        cwd: PathBuf,
        /// It runs without the sandbox.
        outside: bool,
        /// What is typed.
        input: String,
    },
    /// Read something or change nothing outside the session.
    Harmless,
}

/// What policy says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whether it may be done.
    pub verdict: Verdict,
    /// It is a command that changes nothing.
    pub read_only: bool,
}

/// Whether something may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Do it, inside the sandbox.
    Allow,
    /// Do it, without the sandbox.
    AllowOutside,
    /// A person decides.
    Ask(ApprovalAsk),
    /// Do not do it; the model is told why.
    Deny(String),
    /// Do not do it, because of the files that it is to write.
    DenyWrite {
        /// The kind of reason.
        why: NotWritten,
        /// What the model is told.
        reason: String,
    },
}
