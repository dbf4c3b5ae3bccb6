//! The text that the model is shown of a call: the only place where it is made.

use crate::{
    BYTES_PER_TOKEN, CallFinished, CallResult, CommandEnd, CommandResult, Content, Kept, Outcome,
    Printed, end_of, start_of, truncation_marker,
};
use std::{fmt::Write as _, time::Duration};

/// The text for a call that was stopped.
const ABORTED: &str = "aborted by user";
/// The text for a call whose effect is unknown.
const LOST: &str = "lost: the part of the host that ran this call failed while it was under way. It \
     may or may not have taken effect, and it was not repeated. Look before you go on.";

impl CallFinished {
    /// The content that the model is shown.
    #[must_use]
    pub fn for_model(&self) -> Vec<Content> {
        match (&self.result, &self.outcome) {
            (CallResult::Content { content }, _) => content.clone(),
            (CallResult::Command(result), Outcome::Lost) => {
                let mut text = LOST.to_owned();
                if !result.output.is_empty() {
                    text.push_str("\nOutput so far:\n");
                    text.push_str(&result.output.within(result.most_tokens).text);
                }
                vec![Content::Text { text }]
            }
            (CallResult::Command(result), _) => vec![Content::text(result.for_model())],
            (CallResult::Nothing | CallResult::NotWritten { .. }, outcome) => {
                vec![Content::text(outcome_text(outcome))]
            }
        }
    }
}

/// The text of a call of which nothing came.
fn outcome_text(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(failure) => &failure.message,
        Outcome::Lost => LOST,
        Outcome::TimedOut => "aborted: the turn's time was up before it began",
        Outcome::Completed | Outcome::Cancelled => ABORTED,
    }
}

impl CommandResult {
    /// The text that the model is shown:
    ///
    /// ```text
    /// Exit code: 0                      (or: Process running with session ID 12)
    /// Wall time: 1.2 seconds
    /// Total output lines: 5000          (when something is left out)
    /// Whole output: /tmp/…              (when something is left out and a file keeps it)
    /// 2 background processes of the command were ended      (when there were some)
    /// Output:
    /// …
    /// Sandbox: …                        (when it has something to say)
    /// ```
    fn for_model(&self) -> String {
        let shown = self.output.within(self.most_tokens);
        let mut text = String::with_capacity(shown.text.len() + 256);
        // Writing into a `String` cannot fail.
        let _ = match self.end {
            CommandEnd::Exited { code } => writeln!(text, "Exit code: {code}"),
            CommandEnd::Signalled { signal } => writeln!(text, "Exit code: {}", 128 + signal),
            // As the shells' own tools give it.
            CommandEnd::TimedOut { .. } => writeln!(text, "Exit code: 124"),
            CommandEnd::Cancelled => writeln!(text, "Exit code: 130"),
            CommandEnd::Running { process } => {
                writeln!(text, "Process running with session ID {process}")
            }
            CommandEnd::Lost => {
                writeln!(text, "Process lost: it was ended, its exit code is unknown")
            }
        };
        let wall = Duration::from_millis(self.wall_ms).as_secs_f64();
        let _ = writeln!(text, "Wall time: {wall:.1} seconds");
        if shown.truncated {
            let _ = writeln!(text, "Total output lines: {}", self.output.lines);
            if let Some(kept) = &self.kept {
                let _ = writeln!(text, "{}", kept.sentence());
            }
        }
        if let Some(strays) = self.strays_ended() {
            let _ = writeln!(text, "{strays}");
        }
        text.push_str("Output:\n");
        match self.end {
            CommandEnd::TimedOut { limit_ms } => {
                let _ = writeln!(text, "command timed out after {limit_ms} milliseconds");
            }
            CommandEnd::Cancelled => text.push_str("command stopped by the user\n"),
            CommandEnd::Exited { .. }
            | CommandEnd::Signalled { .. }
            | CommandEnd::Running { .. }
            | CommandEnd::Lost => {}
        }
        text.push_str(&shown.text);
        self.add_remarks(&mut text);
        text
    }

    /// Adds the lines that follow the output.
    fn add_remarks(&self, text: &mut String) {
        if self.sandbox.is_empty() && self.refused_hosts.is_empty() {
            return;
        }
        if text.ends_with('\n') {
            text.pop();
        }
        for one in &self.sandbox {
            let _ = write!(text, "\nSandbox: {one}.");
        }
        if !self.refused_hosts.is_empty() {
            text.push_str("\nHosts that it was refused:");
            for one in &self.refused_hosts {
                let _ = write!(text, "\n  {}:{} ({})", one.host, one.port, one.reason);
            }
            text.push_str("\nThe user allows hosts with sandbox_allow_hosts.");
        }
    }

    /// A sentence without a full stop on the processes that it left behind, if any were ended.
    #[must_use]
    pub fn strays_ended(&self) -> Option<String> {
        match self.strays {
            0 => None,
            1 => Some("1 background process of the command was ended".to_owned()),
            n => Some(format!("{n} background processes of the command were ended")),
        }
    }
}

impl Kept {
    /// A sentence without a full stop on where it is.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Whole { path } => format!("Whole output: {}", path.display()),
            Self::Start { path, bytes, reason } => {
                let size = match bytes >> 20 {
                    0 => format!("{} KiB", bytes >> 10),
                    mib => format!("{mib} MiB"),
                };
                let start = format!("First {size} of the output: {}", path.display());
                match reason {
                    Some(why) => format!("{start} (the rest could not be kept: {why})"),
                    None => start,
                }
            }
            Self::Failed { reason } => format!("The whole output could not be kept: {reason}"),
        }
    }
}

/// An output within a budget.
struct Shown {
    text: String,
    truncated: bool,
}

impl Printed {
    /// Whether nothing was printed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.omitted == 0
    }

    /// The text for people and programs. A line of its own, `[1234 bytes of output left out]`,
    /// stands for the bytes left out; [`Printed::omitted`] says so as data.
    #[must_use]
    pub fn text(&self) -> String {
        if self.omitted == 0 {
            return self.head.clone();
        }
        let line_end = if self.head.is_empty() || self.head.ends_with('\n') { "" } else { "\n" };
        let (head, omitted, tail) = (&self.head, self.omitted, &self.tail);
        format!("{head}{line_end}[{omitted} bytes of output left out]\n{tail}")
    }

    /// The text for the model, of so many tokens at most and the marker.
    fn within(&self, tokens: Option<usize>) -> Shown {
        let budget = tokens.map_or(usize::MAX, |tokens| tokens.saturating_mul(BYTES_PER_TOKEN));
        let (first, last) = match self.omitted {
            0 if self.head.len() <= budget => {
                return Shown { text: self.head.clone(), truncated: false };
            }
            0 => (&self.head, &self.head),
            _ => (&self.head, &self.tail),
        };
        let head = start_of(first, budget / 2);
        let tail = end_of(last, budget - budget / 2);
        let there = self.head.len() + self.tail.len();
        let removed = self.omitted + there.saturating_sub(head.len() + tail.len()) as u64;
        Shown { text: format!("{head}{}{tail}", truncation_marker(removed)), truncated: true }
    }
}
