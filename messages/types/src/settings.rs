//! The settings of one session, resolved: plain values, no look-ups left.

use crate::ApprovalPolicy;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// How far a command may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Reads everywhere, writes nowhere.
    #[default]
    ReadOnly,
    /// Writes in the workspace and the temporary folders.
    WorkspaceWrite,
    /// No sandbox.
    DangerFullAccess,
}

/// What to do where the kernel offers no user namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutUserns {
    /// Refuse new entries at the top of a writable root, so that protected names hold.
    #[default]
    RefuseNewTopLevel,
    /// Leave the protected names unprotected.
    UnprotectedNames,
}

/// How far commands of a session may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxSettings {
    /// The mode.
    pub mode: SandboxMode,
    /// Writable folders beside the working directory (absolute).
    pub writable_roots: Vec<PathBuf>,
    /// Whether commands may use the network.
    pub network: bool,
    /// Hosts that commands reach through a proxy, and nothing else; with any of them `network`
    /// does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Hosts that the proxy refuses whatever is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny_hosts: Vec<String>,
    /// Whether `$TMPDIR` is left out of the writable folders.
    pub exclude_tmpdir_env_var: bool,
    /// Whether `/tmp` is left out of the writable folders.
    pub exclude_slash_tmp: bool,
    /// Run all the same where the kernel cannot enforce the mode.
    pub allow_unenforced: bool,
    /// What to do without user namespaces.
    pub without_userns: WithoutUserns,
    /// Paths (absolute) and patterns (`**/.env`) that commands cannot read, in every mode but full
    /// access. Patterns are looked for below the workspace and the writable folders.
    pub deny_read: Vec<String>,
    /// Nothing else: not what is denied by default (`~/.ssh`, `**/.env` …).
    pub deny_read_only_listed: bool,
    /// What one command may use.
    pub limits: CommandLimits,
}

/// What one command, with all that it starts, may use. `None` is no limit of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandLimits {
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Address space of each process, in bytes.
    pub memory: Option<u64>,
    /// Size of a file that is written, in bytes.
    pub file_size: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
}

/// Which instruction files of a project are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDocs {
    /// Budget in bytes over all project files; 0 reads none.
    pub max_bytes: usize,
    /// File names tried after `AGENTS.override.md` and `AGENTS.md`.
    pub fallback_names: Vec<String>,
    /// Entries that mark a project's root.
    pub root_markers: Vec<String>,
    /// The user's own folder, whose `AGENTS.md` comes first.
    pub user_dir: Option<PathBuf>,
}

impl Default for ProjectDocs {
    fn default() -> Self {
        Self {
            max_bytes: 32 * 1024,
            fallback_names: Vec::new(),
            root_markers: vec![".git".to_owned()],
            user_dir: None,
        }
    }
}

/// Everything a session needs to know, resolved from the configuration when it is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionSettings {
    /// The working directory (absolute).
    pub cwd: PathBuf,
    /// The provider's id in the configuration.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// When a person is asked.
    pub approval: ApprovalPolicy,
    /// How far commands reach.
    pub sandbox: SandboxSettings,
    /// Reasoning effort (`low`, `medium`, `high` …), where the model has it.
    pub effort: Option<String>,
    /// Reasoning summaries (`auto`, `concise`, `detailed`, `none`).
    pub summary: Option<String>,
    /// Verbosity of answers (`low`, `medium`, `high`).
    pub verbosity: Option<String>,
    /// Where the server is to cut an answer, in tokens; by default, where it does so itself.
    pub max_output_tokens: Option<u64>,
    /// Replaces the built-in instructions.
    pub instructions: Option<String>,
    /// Added after the instructions.
    pub developer_instructions: Option<String>,
    /// Whether the model is told directory, shell and date.
    pub environment_context: bool,
    /// Instruction files.
    pub project_docs: ProjectDocs,
    /// Tokens (4 bytes each) of one tool output that the model is shown.
    pub tool_output_tokens: usize,
    /// The model's window in tokens, where known.
    pub context_window: Option<u64>,
    /// Total tokens at which the context is summarised; by default 90 % of the window.
    pub auto_compact_tokens: Option<u64>,
    /// Replaces the built-in summarisation prompt.
    pub compact_prompt: Option<String>,
    /// Deadline of a whole turn, in milliseconds.
    pub turn_timeout_ms: Option<u64>,
    /// How often a broken stream is taken up again within one turn.
    pub stream_retries: u32,
    /// The longest wait before a retry, in milliseconds; see [`SessionSettings::max_retry_wait`].
    pub max_retry_wait_ms: Option<u64>,
    /// Use a login shell (slow: it reads start-up files at every step).
    pub login_shell: bool,
    /// The most calls of one answer that run at once; see [`SessionSettings::parallel_calls`].
    pub max_parallel_calls: Option<u32>,
    /// Commands run side by side whatever they change.
    pub parallel_commands: bool,
}

impl SessionSettings {
    /// The longest wait before a retry: five minutes unless set. A server that asks for more ends
    /// the turn.
    #[must_use]
    pub fn max_retry_wait(&self) -> Duration {
        self.max_retry_wait_ms.map_or(Duration::from_secs(300), Duration::from_millis)
    }

    /// The most calls of one answer that run at once: eight unless set, at least one.
    #[must_use]
    pub fn parallel_calls(&self) -> usize {
        let most = self.max_parallel_calls.unwrap_or(8).max(1);
        usize::try_from(most).unwrap_or(usize::MAX)
    }
}
