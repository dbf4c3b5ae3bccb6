//! Calls whose arguments have been read.

use std::fmt::Write as _;
use troupe_types::{PlanStep, Traits, start_of};

/// The time a command has unless the model says otherwise, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 120_000;
/// The most time the model can give a command, in milliseconds.
pub const MAX_TIMEOUT_MS: u64 = 3_600_000;

/// The longest script of a command, in bytes.
pub const MAX_SCRIPT: usize = 2 << 20;

/// How long `exec_command` waits, in milliseconds: at least, unless told otherwise, at most.
pub const EXEC_YIELD_MS: (u64, u64, u64) = (250, 10_000, 60_000);
/// The same of `write_stdin` that types something.
pub const TYPE_YIELD_MS: (u64, u64, u64) = (50, 250, 60_000);
/// The same of `write_stdin` that only waits.
pub const POLL_YIELD_MS: (u64, u64, u64) = (250, 5_000, 300_000);

/// A call whose arguments have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolCall {
    /// Run a command.
    Shell(ShellArgs),
    /// Run a command that may go on in the background.
    Exec(ExecArgs),
    /// Type into a background process, or see what it printed.
    Write(WriteArgs),
    /// Apply a patch: its text as the model wrote it.
    Patch(String),
    /// Replace the plan.
    Plan(PlanArgs),
    /// Read lines of a file.
    ReadFile(ReadFileArgs),
    /// List a folder.
    ListDir(ListDirArgs),
    /// Search files.
    GrepFiles(GrepFilesArgs),
    /// Look at an image.
    ViewImage(ViewImageArgs),
}

/// Whether a command may ask to leave the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SandboxPermissions {
    /// It runs inside.
    #[default]
    UseDefault,
    /// The model asks to run it outside.
    RequireEscalated,
}

/// Arguments of `shell`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellArgs {
    /// The script, for the user's shell. Not empty, at most [`MAX_SCRIPT`].
    pub command: String,
    /// Where it runs, as the model wrote it; see [`crate::tools::resolve`].
    pub workdir: Option<String>,
    /// The time it has, in milliseconds: 1 to [`MAX_TIMEOUT_MS`].
    pub timeout_ms: u64,
    /// Inside or outside of the sandbox.
    pub sandbox_permissions: SandboxPermissions,
    /// Why it has to run outside, for the person who is asked.
    pub justification: Option<String>,
}

/// Arguments of `exec_command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecArgs {
    /// The command; its time-out does not apply.
    pub shell: ShellArgs,
    /// On a terminal of its own.
    pub tty: bool,
    /// How long it is waited for, in milliseconds.
    pub yield_ms: u64,
    /// The most tokens of output; as for every command without it.
    pub max_tokens: Option<usize>,
}

/// Arguments of `write_stdin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteArgs {
    /// The number of the process.
    pub process: u64,
    /// What is typed; may be empty.
    pub chars: String,
    /// How long it is waited for what comes, in milliseconds.
    pub yield_ms: u64,
    /// The most tokens of output; as for every command without it.
    pub max_tokens: Option<usize>,
}

/// Arguments of `update_plan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanArgs {
    /// What the model says about the change.
    pub explanation: Option<String>,
    /// The whole plan.
    pub plan: Vec<PlanStep>,
}

/// Arguments of `read_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFileArgs {
    /// The file.
    pub path: String,
    /// The first line, from 1.
    pub offset: u64,
    /// The most lines, at least 1.
    pub limit: u64,
}

/// Arguments of `list_dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDirArgs {
    /// The folder.
    pub path: String,
    /// How many levels are shown, at least 1.
    pub depth: usize,
    /// The first entry, from 1.
    pub offset: usize,
    /// The most entries, at least 1.
    pub limit: usize,
}

/// Arguments of `grep_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrepFilesArgs {
    /// A Rust regex, matched line by line. Not empty.
    pub pattern: String,
    /// The file or folder that is searched.
    pub path: String,
    /// Globs of the files that are searched; `!` in front excludes. Empty: all.
    pub include: Vec<String>,
    /// The most matching lines, at least 1.
    pub limit: usize,
    /// Lines shown before and after each match.
    pub context: usize,
}

/// Arguments of `view_image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewImageArgs {
    /// The file.
    pub path: String,
}

impl ToolCall {
    /// The tool's own name, whatever the model called it.
    #[must_use]
    pub fn tool(&self) -> &'static str {
        match self {
            Self::Shell(_) => "shell",
            Self::Exec(_) => "exec_command",
            Self::Write(_) => "write_stdin",
            Self::Patch(_) => "apply_patch",
            Self::Plan(_) => "update_plan",
            Self::ReadFile(_) => "read_file",
            Self::ListDir(_) => "list_dir",
            Self::GrepFiles(_) => "grep_files",
            Self::ViewImage(_) => "view_image",
        }
    }

    /// What the tool promises.
    #[must_use]
    pub fn traits(&self) -> Traits {
        match self {
            Self::Shell(_) | Self::Exec(_) => Traits::Command,
            Self::Write(_) | Self::Patch(_) | Self::Plan(_) => Traits::Effects,
            Self::ReadFile(_) | Self::ListDir(_) | Self::GrepFiles(_) | Self::ViewImage(_) => {
                Traits::ReadOnly
            }
        }
    }

    /// What the call does, in one line for people (`read src/main.rs`).
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = match self {
            Self::Shell(args) => args.command.clone(),
            Self::Exec(args) => args.shell.command.clone(),
            Self::Write(args) if args.chars.is_empty() => format!("wait for {}", args.process),
            Self::Write(args) => format!("type {:?} into {}", args.chars, args.process),
            Self::Patch(_) => "apply a patch".to_owned(),
            Self::Plan(args) => format!("update the plan ({} steps)", args.plan.len()),
            Self::ReadFile(args) => format!("read {}", args.path),
            Self::ListDir(args) => format!("list {}", args.path),
            Self::GrepFiles(args) => format!("search {} for {}", args.path, args.pattern),
            Self::ViewImage(args) => format!("view {}", args.path),
        };
        if let Self::ReadFile(args) = self
            && args.offset > 1
        {
            let _ = write!(text, " from line {}", args.offset);
        }
        one_line(&text)
    }
}

fn one_line(text: &str) -> String {
    const MOST: usize = 160;
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > MOST {
        line.truncate(start_of(&line, MOST).len());
        line.push('…');
    }
    line
}
