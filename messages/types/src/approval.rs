//! Approvals: who is asked, what is asked, and the answers.

use crate::item::is_false;
use serde::{Deserialize, Serialize};

/// When a person is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalPolicy {
    /// Everything but known-safe reads is asked about.
    Untrusted,
    /// The sandbox holds; leaving it is asked about.
    #[default]
    #[serde(alias = "on-failure")]
    OnRequest,
    /// As [`ApprovalPolicy::OnRequest`], but whole classes of questions are refused unasked.
    Granular(Granular),
    /// Nobody is asked: what would need an answer is refused.
    Never,
}

impl ApprovalPolicy {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::OnRequest => "on-request",
            Self::Granular(_) => "granular",
            Self::Never => "never",
        }
    }
}

/// Which classes of questions are asked; a class that is `false` is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Granular {
    /// Leaving the sandbox.
    pub sandbox_approval: bool,
    /// Commands a rule wants asked about.
    pub rules: bool,
    /// Requests for wider permissions.
    pub request_permissions: bool,
    /// Questions of MCP servers.
    pub mcp_elicitations: bool,
    /// Skills that want to run scripts.
    pub skill_approval: bool,
}

/// What a person is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAsk {
    /// What would be done: a command line, or a list of files.
    pub action: String,
    /// Why it has to be asked, or what the model says it is for.
    pub reason: String,
    /// Whether it would run without the sandbox.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leaves_sandbox: bool,
    /// What an approval for the session is remembered by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The words of a rule that would answer this and the like for good, where one may be offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// Yes, this time.
    Approved,
    /// Yes, and for the same action in this session.
    ApprovedForSession,
    /// Yes, and for good: the rule that was offered ([`ApprovalAsk::rule`]) is kept. Another one is
    /// a yes this time only.
    ApprovedWithRule {
        /// The words that commands begin with.
        prefix: Vec<String>,
    },
    /// No; the turn goes on.
    Denied {
        /// What the model is told.
        reason: String,
    },
    /// No, and stop the turn.
    Abort,
}
