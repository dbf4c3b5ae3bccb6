//! Every setting there is: its name, its form, its meaning. Validation, suggestions and the
//! reference come from this one table.

/// The form of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// A path; `~/` is the home directory.
    Path,
    Flag,
    Number {
        min: i64,
        max: i64,
    },
    Choice(&'static [&'static str]),
    Texts,
    Paths,
    /// Patterns of names of environment variables: `*` and `?`.
    Names,
    /// A table of texts.
    Map,
    /// The name of an environment variable.
    Variable,
    /// A table of names of environment variables.
    Variables,
    /// One of the policies, or a table `granular`.
    Approval,
    /// Kept as it is.
    Any,
}

/// Who may set a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Every source.
    All,
    /// Not a project: it could send credentials elsewhere or run commands.
    User,
}

/// One setting. A `*` stands for a name of the user's.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) from: Who,
    pub(crate) default: &'static str,
    /// Empty: accepted, without effect so far.
    pub(crate) meaning: &'static str,
}

const MS: Form = Form::Number { min: 1, max: 86_400_000 };
const COUNT: Form = Form::Number { min: 0, max: i64::MAX };
const EFFORTS: Form = Form::Choice(&[
    "none",
    "minimal",
    "low",
    "medium",
    "high",
    "xhigh",
    "max",
    "ultra",
    "persistent",
]);

const fn key(
    name: &'static str,
    form: Form,
    from: Who,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, form, from, default, meaning }
}

use self::Who::{All, User};
use Form::{
    Any, Approval, Choice, Flag, Map, Names, Number, Path, Paths, Text, Texts, Variable, Variables,
};

/// The table.
pub(crate) const KEYS: &[Key] = &[
    key("model", Text, All, "the provider's own", "The model."),
    key(
        "model_provider",
        Text,
        User,
        "found from the keys in the environment",
        "The provider: `openai`, `ollama`, `lmstudio`, `llamacpp`, `vllm`, `rehearsal`, or one of `model_providers`.",
    ),
    key(
        "model_reasoning_effort",
        EFFORTS,
        All,
        "the model's own",
        "How hard the model thinks. It is sent as it is; what a model does not know, its server refuses.",
    ),
    key(
        "model_reasoning_summary",
        Choice(&["auto", "concise", "detailed", "none"]),
        All,
        "the model's own",
        "Summaries of what it thinks.",
    ),
    key(
        "model_verbosity",
        Choice(&["low", "medium", "high"]),
        All,
        "the model's own",
        "How long its answers are.",
    ),
    key(
        "model_max_output_tokens",
        Number { min: 1, max: i64::MAX },
        All,
        "the server's own",
        "Where the server cuts an answer, in tokens. What was said stands; it helps with models that do not stop by themselves.",
    ),
    key("model_context_window", COUNT, All, "unknown", "The model's window, in tokens."),
    key(
        "model_auto_compact_token_limit",
        COUNT,
        All,
        "90 % of the window",
        "The context is summarised from this many tokens on.",
    ),
    key(
        "model_instructions_file",
        Path,
        User,
        "",
        "A file that replaces the built-in instructions.",
    ),
    key("experimental_instructions_file", Path, User, "", "The same, under an older name."),
    key("developer_instructions", Text, All, "", "Added after the instructions."),
    key(
        "compact_prompt",
        Text,
        All,
        "built in",
        "What asks the model for a summary of the context.",
    ),
    key(
        "approval_policy",
        Approval,
        All,
        "on-request",
        "When a person is asked: `untrusted`, `on-request`, `never`, or a table `granular`. `troupe exec` asks nobody: what would be asked is refused.",
    ),
    key(
        "sandbox_mode",
        Choice(&["read-only", "workspace-write", "danger-full-access"]),
        User,
        "read-only",
        "How far commands reach.",
    ),
    key(
        "sandbox_workspace_write.writable_roots",
        Paths,
        User,
        "[]",
        "Further folders that may be written to.",
    ),
    key(
        "sandbox_workspace_write.network_access",
        Flag,
        User,
        "false",
        "Whether commands may use the network.",
    ),
    key(
        "sandbox_workspace_write.exclude_tmpdir_env_var",
        Flag,
        User,
        "false",
        "Leave `$TMPDIR` read-only.",
    ),
    key(
        "sandbox_workspace_write.exclude_slash_tmp",
        Flag,
        User,
        "false",
        "Leave `/tmp` read-only.",
    ),
    key(
        "sandbox_allow_hosts",
        Texts,
        User,
        "[]",
        "Hosts that commands reach, through a proxy, and no others: `example.com`, `*.example.com`, `10.0.0.0/8:5432`, `*`; ports 80 and 443 unless given: see [sandbox.md](sandbox.md), or `troupe docs sandbox`.",
    ),
    key(
        "sandbox_deny_hosts",
        Texts,
        User,
        "[]",
        "Hosts that the proxy refuses whatever `sandbox_allow_hosts` says.",
    ),
    key(
        "sandbox_deny_read",
        Texts,
        User,
        "[]",
        "Paths (absolute or `~/…`) and patterns (`**/*.pem`) that commands and tools must not read, beside those that are denied anyway: see [sandbox.md](sandbox.md), or `troupe docs sandbox`.",
    ),
    key(
        "sandbox_deny_read_only_listed",
        Flag,
        User,
        "false",
        "Deny nothing but what `sandbox_deny_read` lists.",
    ),
    key(
        "sandbox_limits.processes",
        COUNT,
        User,
        "4096",
        "Processes and threads of one command; 0 is no limit.",
    ),
    key(
        "sandbox_limits.memory",
        COUNT,
        User,
        "none",
        "Address space of each process of a command, in bytes.",
    ),
    key("sandbox_limits.file_size", COUNT, User, "none", "Size of a file it writes, in bytes."),
    key("sandbox_limits.open_files", COUNT, User, "none", "Open files of each of its processes."),
    key(
        "sandbox_allow_unenforced",
        Flag,
        User,
        "false",
        "Run commands also where the kernel cannot hold them.",
    ),
    key(
        "sandbox_without_userns",
        Choice(&["refuse-new-top-level", "unprotected-names"]),
        User,
        "refuse-new-top-level",
        "Without user namespaces: refuse new entries at the top of a writable folder, or leave `.git` and `.troupe` unprotected.",
    ),
    key("openai_base_url", Text, User, "https://api.openai.com/v1", "Where `openai` is."),
    key("oss_provider", Text, User, "the first that answers", "The server that `--oss` means."),
    key("model_providers.*.name", Text, User, "its id", "Its name for people."),
    key(
        "model_providers.*.base_url",
        Text,
        User,
        "",
        "Its URL up to the version, for instance `http://127.0.0.1:8080/v1`.",
    ),
    key(
        "model_providers.*.wire_api",
        Choice(&["responses", "chat", "rehearsal"]),
        User,
        "responses",
        "What it speaks.",
    ),
    key(
        "model_providers.*.env_key",
        Variable,
        User,
        "",
        "The environment variable with its key; never the key itself.",
    ),
    key(
        "model_providers.*.env_key_instructions",
        Text,
        User,
        "",
        "Said when that variable is not set.",
    ),
    key(
        "model_providers.*.experimental_bearer_token",
        Text,
        User,
        "",
        "The key itself. A variable is safer.",
    ),
    key(
        "model_providers.*.query_params",
        Map,
        User,
        "{}",
        "Added to each URL (Azure's `api-version`).",
    ),
    key("model_providers.*.http_headers", Map, User, "{}", "Further headers."),
    key(
        "model_providers.*.env_http_headers",
        Variables,
        User,
        "{}",
        "Further headers whose values are in these environment variables.",
    ),
    key(
        "model_providers.*.request_max_retries",
        Number { min: 0, max: 100 },
        User,
        "4",
        "How often a request without an answer is sent again.",
    ),
    key(
        "model_providers.*.stream_max_retries",
        Number { min: 0, max: 100 },
        User,
        "5",
        "How often a broken answer is taken up again within one turn.",
    ),
    key("model_providers.*.connect_timeout_ms", MS, User, "10000", "For the connection."),
    key(
        "model_providers.*.first_byte_timeout_ms",
        MS,
        User,
        "300000, or `stream_idle_timeout_ms` if that is less",
        "From the request to the first byte of the answer.",
    ),
    key(
        "model_providers.*.stream_idle_timeout_ms",
        MS,
        User,
        "300000",
        "Silence within an answer.",
    ),
    key("model_providers.*.script", Path, User, "built in", "For `rehearsal`: the file it plays."),
    key("model_providers.*.requires_openai_auth", Flag, User, "false", ""),
    key("model_providers.*.supports_websockets", Flag, User, "false", ""),
    key(
        "turn_timeout_ms",
        MS,
        All,
        "none",
        "Deadline of a whole turn. Time in which nothing ran (stopped, asleep, waiting for a person) does not count.",
    ),
    key(
        "max_parallel_calls",
        Number { min: 1, max: 64 },
        All,
        "8",
        "The most calls of one answer that run at once: reads, and commands that change nothing. With 1, they run one after another.",
    ),
    key(
        "parallel_commands",
        Flag,
        User,
        "false",
        "Let commands of one answer run side by side whatever they change ([tools.md](tools.md) says what can go wrong then). Patches run alone all the same.",
    ),
    key(
        "max_retry_wait_ms",
        MS,
        All,
        "300000",
        "The longest wait before a request is sent again. A server that asks for more ends the turn (`troupe exec`: code 6).",
    ),
    key(
        "tool_output_token_limit",
        COUNT,
        All,
        "10000",
        "Tokens of one tool output that the model is shown.",
    ),
    key(
        "project_doc_max_bytes",
        COUNT,
        All,
        "32768",
        "Bytes of a project's `AGENTS.md` files that the model is shown, the nearest file first; 0 reads none.",
    ),
    key(
        "project_doc_fallback_filenames",
        Texts,
        All,
        "[]",
        "Names tried where a folder has no `AGENTS.md`, before `CLAUDE.md`.",
    ),
    key("project_root_markers", Texts, All, "[\".git\"]", "What marks the root of a project."),
    key(
        "include_environment_context",
        Flag,
        All,
        "true",
        "Tell the model directory, shell and date.",
    ),
    key(
        "allow_login_shell",
        Flag,
        User,
        "false",
        "Run commands in a login shell, which reads start-up files each time.",
    ),
    key(
        "shell_environment_policy.inherit",
        Choice(&["all", "core", "none"]),
        User,
        "core",
        "Which variables commands begin with: what programs need, all but secrets, or none.",
    ),
    key(
        "shell_environment_policy.ignore_default_excludes",
        Flag,
        User,
        "false",
        "Keep variables whose names look like secrets.",
    ),
    key(
        "shell_environment_policy.exclude",
        Names,
        User,
        "[]",
        "Patterns of names to leave out, with `*` and `?`.",
    ),
    key("shell_environment_policy.set", Map, User, "{}", "Variables to set."),
    key(
        "shell_environment_policy.include_only",
        Names,
        User,
        "[]",
        "Patterns of the only names to keep, with `*` and `?`.",
    ),
    key("hide_agent_reasoning", Flag, All, "false", "Do not show what the model thinks."),
    key("show_raw_agent_reasoning", Flag, All, "false", "Show it in full where the model tells."),
    key("profile", Text, User, "", "The profile to use."),
    key("profiles.*.**", Any, User, "", "Settings under a name, chosen by `profile` or `-p`."),
    key(
        "projects.*.trust_level",
        Choice(&["trusted", "untrusted"]),
        User,
        "",
        "Whether the settings of the project in this folder are used.",
    ),
    // Known elsewhere, without effect here so far.
    key("mcp_servers.*.**", Any, User, "", ""),
    key("history.**", Any, User, "", ""),
    key("tui.**", Any, User, "", ""),
    key("otel.**", Any, User, "", ""),
    key("features.**", Any, User, "", ""),
    key("tools.**", Any, User, "", ""),
    key("hooks.**", Any, User, "", ""),
    key("analytics.**", Any, User, "", ""),
    key("agents.**", Any, User, "", ""),
    key("skills.**", Any, User, "", ""),
    key("permissions.**", Any, User, "", ""),
    key("notice.**", Any, User, "", ""),
    key("notify", Texts, User, "", ""),
    key("web_search", Text, All, "", ""),
    key("review_model", Text, All, "", ""),
    key("file_opener", Text, All, "", ""),
    key("personality", Text, All, "", ""),
    key("model_catalog_json", Path, User, "", ""),
    key("model_supports_reasoning_summaries", Flag, All, "", ""),
    key("chatgpt_base_url", Text, User, "", ""),
    key("cli_auth_credentials_store", Text, User, "", ""),
    key("forced_login_method", Text, User, "", ""),
    key("background_terminal_max_timeout", COUNT, All, "", ""),
    key("disable_response_storage", Flag, User, "", ""),
    key("check_for_update_on_startup", Flag, User, "", ""),
    key("suppress_unstable_features_warning", Flag, User, "", ""),
    key("default_permissions", Text, User, "", ""),
    key("approvals_reviewer", Text, User, "", ""),
    key("service_tier", Text, User, "", ""),
];

/// What a path of names is.
pub(crate) enum Known {
    /// This setting, or something in it.
    Key(&'static Key),
    /// A table with settings below it.
    Table,
    /// Nothing.
    Unknown,
}

/// Looks a path up.
pub(crate) fn look_up(path: &[&str]) -> Known {
    let mut table = false;
    for key in KEYS {
        match matches(key.name, path) {
            Match::Whole => return Known::Key(key),
            Match::Beginning => table = true,
            Match::None => {}
        }
    }
    if table { Known::Table } else { Known::Unknown }
}

enum Match {
    Whole,
    Beginning,
    None,
}

fn matches(pattern: &str, path: &[&str]) -> Match {
    let mut names = path.iter();
    for part in pattern.split('.') {
        match (part, names.next()) {
            // Anything below; the table itself is just a table.
            ("**", Some(_)) => return Match::Whole,
            (_, None) => return Match::Beginning,
            ("*", Some(_)) => {}
            (part, Some(name)) if part == *name => {}
            _ => return Match::None,
        }
    }
    // A map or an approval table holds names of its own.
    match names.next() {
        None => Match::Whole,
        Some(_) => match KEYS.iter().find(|key| key.name == pattern).map(|key| key.form) {
            Some(Map | Variables | Approval) => Match::Whole,
            _ => Match::None,
        },
    }
}
