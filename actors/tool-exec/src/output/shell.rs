//! The text of a finished command.

use super::HeadTail;
use std::{
    fmt::{self, Write as _},
    path::Path,
    time::Duration,
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEnd {
    /// By itself, with this status; 128 + n after signal n.
    Exited(i32),
    /// Its time was up; it was ended.
    TimedOut {
        /// The time it had, in milliseconds.
        limit_ms: u64,
    },
    /// The user stopped it.
    Cancelled,
    /// It goes on in the background, under this number.
    GoesOn(u64),
    /// It is gone, nobody knows how.
    Gone,
}

impl CommandEnd {
    /// The status the model is told: 124 after a time-out, 130 after a stop.
    #[must_use]
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            Self::TimedOut { .. } => Some(124),
            Self::Cancelled => Some(130),
            Self::GoesOn(_) | Self::Gone => None,
        }
    }
}

/// What there is to say about a finished command.
#[derive(Debug, Clone, Copy)]
pub struct ShellReport<'a> {
    /// How it ended.
    pub end: CommandEnd,
    /// How long it took.
    pub wall: Duration,
    /// Processes it left behind, which were ended.
    pub strays: u32,
    /// What it wrote.
    pub output: &'a HeadTail,
    /// What became of everything it wrote, if that was much; told when text is left out.
    pub kept: Option<Kept<'a>>,
}

/// Where everything that a command wrote is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept<'a> {
    /// In this file.
    Whole(&'a Path),
    /// In this file, as far as its first so many bytes.
    Start(&'a Path, u64),
    /// Nowhere, for this reason.
    Failed(&'a str),
}

impl fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(path) => write!(f, "Whole output: {}", path.display()),
            Self::Start(path, bytes) => {
                write!(f, "First {} MiB of the output: {}", bytes >> 20, path.display())
            }
            Self::Failed(reason) => write!(f, "The whole output could not be kept: {reason}"),
        }
    }
}

/// The text the model is shown, with at most `tokens` tokens of output:
///
/// ```text
/// Exit code: 0                      (or: Process running with session ID 12)
/// Wall time: 1.2 seconds
/// Total output lines: 5000          (when something is left out)
/// Whole output: /tmp/…              (when something is left out and a file keeps it)
/// 2 background processes of the command were ended      (when there were some)
/// Output:
/// …
/// ```
#[must_use]
pub fn shell_text(report: &ShellReport<'_>, tokens: usize) -> String {
    let rendered = report.output.render(tokens);
    let mut text = String::with_capacity(rendered.text.len() + 256);
    // Writing into a `String` cannot fail.
    let _ = match (report.end, report.end.exit_code()) {
        (CommandEnd::GoesOn(process), _) => {
            writeln!(text, "Process running with session ID {process}")
        }
        (_, Some(code)) => writeln!(text, "Exit code: {code}"),
        (_, None) => writeln!(text, "Process lost: it was ended, its exit code is unknown"),
    };
    let _ = writeln!(text, "Wall time: {:.1} seconds", report.wall.as_secs_f64());
    if rendered.truncated {
        let _ = writeln!(text, "Total output lines: {}", rendered.total_lines);
        if let Some(kept) = report.kept {
            let _ = writeln!(text, "{kept}");
        }
    }
    match report.strays {
        0 => {}
        1 => text.push_str("1 background process of the command was ended\n"),
        n => {
            let _ = writeln!(text, "{n} background processes of the command were ended");
        }
    }
    text.push_str("Output:\n");
    match report.end {
        CommandEnd::Exited(_) | CommandEnd::GoesOn(_) | CommandEnd::Gone => {}
        CommandEnd::TimedOut { limit_ms } => {
            let _ = writeln!(text, "command timed out after {limit_ms} milliseconds");
        }
        CommandEnd::Cancelled => text.push_str("command stopped by the user\n"),
    }
    text.push_str(&rendered.text);
    text
}
