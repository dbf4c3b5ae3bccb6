//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A coding agent that does not lose your work.
#[derive(Debug, Parser)]
#[command(name = "troupe", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Override a setting, e.g. -c model=gpt-5.5 (the value is TOML, else a string)
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Fail on unknown settings instead of warning
    #[arg(long)]
    pub(crate) strict_config: bool,
    /// Leave the user's configuration file out
    #[arg(long)]
    pub(crate) ignore_user_config: bool,
    /// Use this profile of the configuration
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Accepted for compatibility: troupe has none of Codex's features to switch on
    #[arg(long, value_name = "FEATURE", hide = true)]
    pub(crate) enable: Vec<String>,
    /// Accepted for compatibility: troupe has none of Codex's features to switch off
    #[arg(long, value_name = "FEATURE", hide = true)]
    pub(crate) disable: Vec<String>,
}

impl ConfigArgs {
    /// What stands before the command, then what stands behind it.
    pub(crate) fn and(mut self, behind: Self) -> Self {
        self.overrides.extend(behind.overrides);
        self.enable.extend(behind.enable);
        self.disable.extend(behind.disable);
        Self {
            overrides: self.overrides,
            strict_config: self.strict_config || behind.strict_config,
            ignore_user_config: self.ignore_user_config || behind.ignore_user_config,
            profile: behind.profile.or(self.profile),
            enable: self.enable,
            disable: self.disable,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one task without a terminal: troupe exec "fix the failing test"
    #[command(visible_alias = "e")]
    Exec(Box<ExecArgs>),
    /// List, show and remove sessions
    Sessions {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Print the live tree of actors of running troupe processes, once
    Top(TopArgs),
    /// Watch the agent fix a failing test, with a built-in model and a real sandbox
    Demo(DemoArgs),
    /// Show the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// What may run, and why: check a command, import rules, replay a session
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Run a command in the sandbox: troupe sandbox -- make test
    Sandbox(SandboxArgs),
    /// Apply a patch from the argument or from standard input
    #[command(name = "apply-patch")]
    ApplyPatch {
        /// The patch; standard input if absent
        patch: Option<String>,
    },
    /// Undo patches that a crash interrupted. Each start does this as well
    Recover {
        #[command(flatten)]
        config: ConfigArgs,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Say what works here, what does not, and what helps; asks the provider's server
    #[command(after_help = "Exit codes: 0 nothing needs attention; 3 something does; 2 usage.")]
    Doctor {
        #[command(flatten)]
        config: ConfigArgs,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Print a page of the manual; without a topic, which there are
    Docs {
        /// The page, for instance exec
        topic: Option<String>,
    },
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Tools for those who work on troupe itself
    #[command(subcommand)]
    Debug(DebugCommand),
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    /// Always
    Always,
    /// Never
    Never,
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
}

/// How far commands may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxArg {
    /// Read everywhere, write nowhere
    ReadOnly,
    /// Write in the working directory and temporary folders
    WorkspaceWrite,
    /// No sandbox
    DangerFullAccess,
}

/// Programs of OpenAI's servers that Codex can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum CyberAccessArg {
    /// The usual one
    Standard,
    /// For defenders
    DaybreakBlue,
    /// For testers
    DaybreakRed,
}

#[derive(Debug, Args)]
#[command(after_help = "\
To go on with a session:  troupe exec resume SESSION_ID|--last [PROMPT]
Without a prompt it goes on with a turn that was interrupted or failed.

Standard input is the prompt if that is absent or `-`. Beside a prompt, what a file or a pipe brings
is appended to it; a pipe that brings nothing within 5 s is left alone (--stdin waits for ever,
</dev/null skips it).

Commands may only read unless -s workspace-write is given or configured.

Exit codes: 0 done; 2 usage; 3 configuration, or something that was named is not there;
130 interrupted; the others tell the class of failure: `troupe docs exec`.")]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// What to do; `-` reads it from standard input. `resume ID|--last [PROMPT]` goes on with a session
    #[arg(value_name = "PROMPT")]
    pub(crate) words: Vec<String>,
    /// With resume: the latest session of this directory
    #[arg(long)]
    pub(crate) last: bool,
    /// With resume --last: of any directory
    #[arg(long)]
    pub(crate) all: bool,
    /// The model
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Attach an image (may be given several times, or with commas); looked for here, then in DIR
    /// of --cd
    #[arg(short, long = "image", value_name = "FILE", value_delimiter = ',', num_args = 1)]
    pub(crate) images: Vec<PathBuf>,
    /// Use a model server on this machine (Ollama, LM Studio, llama.cpp, vLLM)
    #[arg(long)]
    pub(crate) oss: bool,
    /// With --oss: which server
    #[arg(long, value_name = "ID")]
    pub(crate) local_provider: Option<String>,
    /// How far commands may reach
    #[arg(short, long, value_name = "MODE")]
    pub(crate) sandbox: Option<SandboxArg>,
    /// No sandbox and no questions. For machines that are a sandbox themselves
    #[arg(long, alias = "yolo", conflicts_with = "sandbox")]
    pub(crate) dangerously_bypass_approvals_and_sandbox: bool,
    /// The working directory
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(crate) cd: Option<PathBuf>,
    /// A further writable directory
    #[arg(long, value_name = "DIR")]
    pub(crate) add_dir: Vec<PathBuf>,
    /// Accepted for compatibility: troupe does not ask for a repository
    #[arg(long)]
    pub(crate) skip_git_repo_check: bool,
    /// Keep no log: the session cannot be resumed
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// A JSON Schema file that the final answer has to follow
    #[arg(long, value_name = "FILE")]
    pub(crate) output_schema: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorArg,
    /// Print events as JSON lines
    #[arg(long)]
    pub(crate) json: bool,
    /// As --json, in the way OpenAI's SDK expects: a run that a signal ended tells no event of it
    #[arg(long)]
    pub(crate) experimental_json: bool,
    /// Write the final message to this file as well
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output_last_message: Option<PathBuf>,
    /// Append standard input to the prompt, however long it takes to come
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Who started the session, for its log and `sessions list`
    #[arg(long, value_name = "SOURCE")]
    pub(crate) thread_source: Option<String>,
    /// Accepted for compatibility, without effect
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) cyber_access_program: Option<CyberAccessArg>,
}

impl ExecArgs {
    /// Whether events are printed as JSON lines.
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.experimental_json
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List sessions, the latest first
    List {
        /// As JSON lines
        #[arg(long)]
        json: bool,
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: usize,
        /// Only those of this directory
        #[arg(long)]
        here: bool,
    },
    /// Show what happened in a session
    Show {
        #[command(flatten)]
        which: WhichSession,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Remove sessions: their logs, outputs and all that is kept of them
    #[command(aliases = ["remove", "delete"], after_help = "\
A session that a process has open is never removed; one whose last turn was interrupted only with
--force. Exit codes: 0 all are removed; 2 usage; 3 no such session; 9 not all are removed.")]
    Rm(SessionsRmArgs),
    /// Remove old sessions: troupe sessions prune --older-than 30d
    #[command(after_help = "\
With both --older-than and --keep, a session is removed only if both say so. Sessions that are open
or whose last turn was interrupted stay. Exit codes: 0 done; 2 usage; 9 a file cannot be removed.")]
    Prune(SessionsPruneArgs),
}

/// The session that a command is about.
#[derive(Debug, Args)]
pub(crate) struct WhichSession {
    /// The session: its id, or a piece of it that no other session has
    #[arg(value_name = "SESSION", required_unless_present = "last")]
    pub(crate) session: Option<String>,
    #[command(flatten)]
    pub(crate) last: LastSession,
}

/// The latest session.
#[derive(Debug, Args)]
pub(crate) struct LastSession {
    /// The latest session of this directory
    #[arg(long)]
    pub(crate) last: bool,
    /// With --last: of any directory
    #[arg(long, requires = "last")]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsRmArgs {
    /// The sessions: their ids, or pieces that no other session has
    #[arg(value_name = "SESSION", required_unless_present = "last")]
    pub(crate) sessions: Vec<String>,
    #[command(flatten)]
    pub(crate) last: LastSession,
    /// Also one whose last turn was interrupted
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// As JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsPruneArgs {
    /// Those that were not used for so long: a number with min, h, d or w
    #[arg(long, value_name = "AGE", value_parser = age, required_unless_present = "keep")]
    pub(crate) older_than: Option<std::time::Duration>,
    /// All but the latest so many
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<usize>,
    /// Only those of this directory
    #[arg(long)]
    pub(crate) here: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// As JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// An age such as `30d`.
fn age(text: &str) -> Result<std::time::Duration, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit.trim() {
        "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("give a number with a unit: 90min, 12h, 30d or 8w".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "give a number, such as 30d".to_owned())?;
    let seconds = number.checked_mul(seconds).ok_or("that is too long")?;
    Ok(std::time::Duration::from_secs(seconds))
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 printed; 1 no such process runs; 2 usage.")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print once and end, which it does in any case so far
    #[arg(long)]
    pub(crate) once: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only this process
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the throw-away project
    #[arg(long)]
    pub(crate) keep: bool,
    /// Show at the end what each actor did
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what you have set and where each value comes from, as TOML
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Also what is built in
        #[arg(long)]
        all: bool,
    },
    /// Print every setting there is, as Markdown
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// How far the command may reach
    #[arg(short, long, value_name = "MODE", default_value = "workspace-write")]
    pub(crate) sandbox: SandboxArg,
    /// Where it runs; its writable root
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(crate) cd: Option<PathBuf>,
    /// Say which layers hold the command, and run nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DebugCommand {
    /// Write a large session log, to measure how it opens
    GrowLog {
        #[command(flatten)]
        config: ConfigArgs,
        /// Its size in megabytes
        #[arg(long, value_name = "N")]
        mb: u64,
    },
}

/// `troupe policy …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what would become of a command: troupe policy check -- git push
    Check(PolicyCheckArgs),
    /// Translate a file of Codex's rules (`*.rules`) into ours, on standard output
    Import {
        /// The file
        file: PathBuf,
    },
    /// Say what the commands of a session would get now, and with further rules
    Replay(PolicyReplayArgs),
}

/// The front end that a policy's answer is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FrontEnd {
    /// `troupe exec`: nobody can be asked
    #[default]
    Exec,
    /// One that asks a person, by `approval_policy`
    Interactive,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 it may run (allow); 11 it may not (deny); 13 a person is asked (ask); 3 the rules or
the configuration cannot be used, so nothing may run; 2 usage.")]
pub(crate) struct PolicyCheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Answer as this front end would decide
    #[arg(long = "for", value_enum, value_name = "FRONT_END", default_value = "exec")]
    pub(crate) front_end: FrontEnd,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Say it of each part of the command
    #[arg(long)]
    pub(crate) explain: bool,
    /// How far commands may reach
    #[arg(short, long, value_enum, value_name = "MODE")]
    pub(crate) sandbox: Option<SandboxArg>,
    /// The working directory
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(crate) cd: Option<PathBuf>,
    /// The model asks to run it outside the sandbox
    #[arg(long)]
    pub(crate) escalate: bool,
    /// The command; one word is a script of the shell
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyReplayArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Answer as this front end would decide
    #[arg(long = "for", value_enum, value_name = "FRONT_END", default_value = "exec")]
    pub(crate) front_end: FrontEnd,
    #[command(flatten)]
    pub(crate) which: WhichSession,
    /// A further rule: a file, or the text of a rule such as `prefix = ["git"]; decision = "allow"`
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
