//! The configuration as plain values.

use crate::{ConfigError, Places, file::read_settings, provider::ProviderTable};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use troupe_types::{
    ApprovalPolicy, CommandLimits, ProjectDocs, SandboxMode, SandboxSettings, SessionSettings,
    WithoutUserns,
};

/// Everything that can be configured, with defaults filled in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The model.
    pub model: Option<String>,
    /// The provider's id.
    pub model_provider: Option<String>,
    /// How hard the model thinks.
    pub model_reasoning_effort: Option<String>,
    /// Summaries of what it thinks.
    pub model_reasoning_summary: Option<String>,
    /// How long its answers are.
    pub model_verbosity: Option<String>,
    /// Where an answer is cut, in tokens.
    pub model_max_output_tokens: Option<u64>,
    /// The model's window in tokens.
    pub model_context_window: Option<u64>,
    /// From how many tokens on the context is summarised.
    pub model_auto_compact_token_limit: Option<u64>,
    /// A file that replaces the built-in instructions.
    #[serde(alias = "experimental_instructions_file")]
    pub model_instructions_file: Option<PathBuf>,
    /// Added after the instructions.
    pub developer_instructions: Option<String>,
    /// Asks for a summary.
    pub compact_prompt: Option<String>,
    /// When a person is asked.
    pub approval_policy: Option<ApprovalPolicy>,
    /// How far commands reach.
    pub sandbox_mode: Option<SandboxMode>,
    /// Details of `workspace-write`.
    pub sandbox_workspace_write: WorkspaceWrite,
    /// Run commands also where they cannot be held.
    pub sandbox_allow_unenforced: bool,
    /// What to do without user namespaces.
    pub sandbox_without_userns: WithoutUserns,
    /// What commands must not read, beside what is denied anyway.
    pub sandbox_deny_read: Vec<String>,
    /// Hosts that commands reach, through a proxy, and no others.
    pub sandbox_allow_hosts: Vec<String>,
    /// Hosts that the proxy refuses whatever is allowed.
    pub sandbox_deny_hosts: Vec<String>,
    /// Leave out what is denied anyway.
    pub sandbox_deny_read_only_listed: bool,
    /// What one command may use.
    pub sandbox_limits: Limits,
    /// Where `openai` is.
    pub openai_base_url: Option<String>,
    /// The server that `--oss` means.
    pub oss_provider: Option<String>,
    /// Providers of the user's.
    pub model_providers: BTreeMap<String, ProviderTable>,
    /// Deadline of a turn in milliseconds.
    pub turn_timeout_ms: Option<u64>,
    /// The most calls of one answer that run at once.
    pub max_parallel_calls: Option<u32>,
    /// Commands run side by side whatever they change.
    pub parallel_commands: bool,
    /// The longest wait before a retry, in milliseconds.
    pub max_retry_wait_ms: Option<u64>,
    /// Tokens of one tool output.
    pub tool_output_token_limit: Option<usize>,
    /// Bytes of `AGENTS.md` files.
    pub project_doc_max_bytes: Option<usize>,
    /// Names tried where there is none.
    pub project_doc_fallback_filenames: Vec<String>,
    /// What marks the root of a project.
    pub project_root_markers: Option<Vec<String>>,
    /// Tell the model where it is.
    pub include_environment_context: Option<bool>,
    /// Use a login shell.
    pub allow_login_shell: bool,
    /// What commands find in their environment.
    pub shell_environment_policy: ShellEnvironment,
    /// Do not show what the model thinks.
    pub hide_agent_reasoning: bool,
    /// Show it in full.
    pub show_raw_agent_reasoning: bool,
}

/// `[sandbox_workspace_write]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct WorkspaceWrite {
    /// Further folders that may be written to.
    pub writable_roots: Vec<PathBuf>,
    /// Whether commands may use the network.
    pub network_access: bool,
    /// Leave `$TMPDIR` read-only.
    pub exclude_tmpdir_env_var: bool,
    /// Leave `/tmp` read-only.
    pub exclude_slash_tmp: bool,
}

/// `[sandbox_limits]`; 0 is no limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Address space of a process in bytes.
    pub memory: Option<u64>,
    /// Size of a file in bytes.
    pub file_size: Option<u64>,
    /// Open files of a process.
    pub open_files: Option<u64>,
}

/// Processes and threads of one command, unless the user says otherwise.
const PROCESSES: u64 = 4096;

impl Limits {
    fn resolved(&self) -> CommandLimits {
        let given = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
        CommandLimits {
            processes: given(self.processes.or(Some(PROCESSES))),
            memory: given(self.memory),
            file_size: given(self.file_size),
            open_files: given(self.open_files),
        }
    }
}

/// `[shell_environment_policy]`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ShellEnvironment {
    /// `all`, `core` or `none`.
    pub inherit: Option<String>,
    /// Keep names that look like secrets.
    pub ignore_default_excludes: bool,
    /// Patterns to leave out.
    pub exclude: Vec<String>,
    /// Variables to set.
    pub set: BTreeMap<String, String>,
    /// Patterns of the only names to keep.
    pub include_only: Vec<String>,
}

// The variables that are set may hold secrets.
impl std::fmt::Debug for ShellEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellEnvironment").field("inherit", &self.inherit).finish_non_exhaustive()
    }
}

impl Config {
    /// The settings of a session in `cwd` (absolute) with this provider.
    ///
    /// # Errors
    /// When the instructions' file cannot be read.
    pub fn session_settings(
        &self,
        cwd: &Path,
        provider: &str,
        model: &str,
        stream_retries: u32,
        places: &Places,
    ) -> Result<SessionSettings, ConfigError> {
        let docs = ProjectDocs::default();
        let instructions = match &self.model_instructions_file {
            None => None,
            Some(path) => {
                let path = expand_home(path);
                let place = path.display();
                let cannot = |why: &dyn std::fmt::Display| {
                    ConfigError::of(format!("model_instructions_file: {place}: {why}"))
                };
                let text = read_settings(&path).map_err(|error| cannot(&error))?;
                Some(text.ok_or_else(|| cannot(&"there is no such file"))?)
            }
        };
        let write = &self.sandbox_workspace_write;
        let mode = self.sandbox_mode.unwrap_or_default();
        Ok(SessionSettings {
            cwd: cwd.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            approval: self.approval_policy.clone().unwrap_or_default(),
            sandbox: SandboxSettings {
                mode,
                writable_roots: write.writable_roots.iter().map(|path| expand_home(path)).collect(),
                network: write.network_access && mode != SandboxMode::ReadOnly,
                exclude_tmpdir_env_var: write.exclude_tmpdir_env_var,
                exclude_slash_tmp: write.exclude_slash_tmp,
                allow_unenforced: self.sandbox_allow_unenforced,
                without_userns: self.sandbox_without_userns,
                allow_hosts: self.sandbox_allow_hosts.clone(),
                deny_hosts: self.sandbox_deny_hosts.clone(),
                deny_read: self.deny_read(places),
                deny_read_only_listed: self.sandbox_deny_read_only_listed,
                limits: self.sandbox_limits.resolved(),
            },
            effort: self.model_reasoning_effort.clone(),
            summary: self.model_reasoning_summary.clone(),
            verbosity: self.model_verbosity.clone(),
            max_output_tokens: self.model_max_output_tokens,
            instructions,
            developer_instructions: self.developer_instructions.clone(),
            environment_context: self.include_environment_context.unwrap_or(true),
            project_docs: ProjectDocs {
                max_bytes: self.project_doc_max_bytes.unwrap_or(docs.max_bytes),
                fallback_names: self.project_doc_fallback_filenames.clone(),
                root_markers: self.project_root_markers.clone().unwrap_or(docs.root_markers),
                user_dir: Some(places.config_dir.clone()),
            },
            tool_output_tokens: self.tool_output_token_limit.unwrap_or(0),
            context_window: self.model_context_window,
            auto_compact_tokens: self.model_auto_compact_token_limit,
            compact_prompt: self.compact_prompt.clone(),
            turn_timeout_ms: self.turn_timeout_ms,
            max_retry_wait_ms: self.max_retry_wait_ms,
            stream_retries,
            login_shell: self.allow_login_shell,
            max_parallel_calls: self.max_parallel_calls,
            parallel_commands: self.parallel_commands,
        })
    }

    /// What commands must not read beside what is denied anyway: the user's list, and what this
    /// program keeps of sessions.
    fn deny_read(&self, places: &Places) -> Vec<String> {
        let listed = self.sandbox_deny_read.iter().map(|entry| expand_home(Path::new(entry)));
        let own = [places.sessions_dir.clone(), places.config_dir.join("auth.json")];
        listed.chain(own).map(|path| path.display().to_string()).collect()
    }
}

/// The path with a leading `~/` replaced.
pub(crate) fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
