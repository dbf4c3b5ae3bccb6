//! Texts that both forms of output need.

use std::time::Duration;
use troupe_types::{
    CallDetail, CallFinished, CallResult, CommandEnd, Content, LogFlaw, LogFlaws, Mended,
    OpaqueItem, Outcome, RequestRetried, RetryCause, Span, TurnFinished, Wire, start_of,
};

/// A command line as one would type it.
pub(crate) fn command_line(argv: &[String]) -> String {
    argv.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" ")
}

fn quoted(part: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !part.is_empty() && part.chars().all(plain) {
        return part.to_owned();
    }
    format!("'{}'", part.replace('\'', "'\\''"))
}

/// The call's own text: a command's output and nothing else, or all text of another tool.
pub(crate) fn given(finished: &CallFinished) -> String {
    match &finished.result {
        CallResult::Command(result) => result.output.text(),
        CallResult::Content { content } => {
            content.iter().filter_map(Content::as_text).collect::<Vec<_>>().join("\n")
        }
        CallResult::Nothing | CallResult::NotWritten { .. } => String::new(),
    }
}

/// A line on a part of an answer that is neither words nor a call of ours. None for what says nothing to
/// people: on the Chat wire such parts are members of the call after them.
pub(crate) fn servers_own(item: &OpaqueItem) -> Option<String> {
    let name = start_of(&item.kind, 64);
    match item.opaque.wire {
        Wire::Responses => {
            Some(format!("the server's own work, or an item of an unknown kind: {name}"))
        }
        Wire::Chat | Wire::Rehearsal => None,
    }
}

/// A command's exit status, where it ended by itself.
pub(crate) fn exit_code(finished: &CallFinished) -> Option<i32> {
    finished.result.command().and_then(|result| result.end.exit_code())
}

/// Why the call did not complete; none for one that did.
pub(crate) fn why(finished: &CallFinished) -> Option<String> {
    let limit = finished.result.command().map(|result| result.end);
    Some(match &finished.outcome {
        Outcome::Completed => return None,
        Outcome::Failed(failure) => failure.message.clone(),
        Outcome::Cancelled => "stopped by the user".to_owned(),
        Outcome::TimedOut => match limit {
            Some(CommandEnd::TimedOut { limit_ms }) => {
                format!("timed out after {limit_ms} milliseconds")
            }
            _ => "the turn's time was up before it began".to_owned(),
        },
        Outcome::Lost => {
            "lost: the part of the host that ran it failed, so its effect is unknown".to_owned()
        }
    })
}

/// One line for people on what a call does; a command's is its own line.
pub(crate) fn summary(detail: &CallDetail) -> String {
    match detail {
        CallDetail::Command { argv, .. } => script(argv),
        CallDetail::Patch { .. } => "apply patch".to_owned(),
        CallDetail::Plan => "update the plan".to_owned(),
        CallDetail::Interact { process, command, input } if input.is_empty() => {
            format!("wait for {process} `{command}`")
        }
        CallDetail::Interact { process, command, input } => {
            format!("type {input:?} into {process} `{command}`")
        }
        CallDetail::Tool { summary } => summary.clone(),
    }
}

/// A shell's script without the shell.
pub(crate) fn script(argv: &[String]) -> String {
    match argv {
        [_, flag, script] if flag.starts_with('-') => script.clone(),
        argv => command_line(argv),
    }
}

/// A warning that the sandbox is weaker than its mode promises.
pub(crate) fn weaker(ways: &[String]) -> String {
    format!("the sandbox is weaker here than its mode promises: {}", ways.join("; "))
}

/// An incomplete last line that was cut off.
pub(crate) fn mended(body: &Mended) -> String {
    format!(
        "the session's log ended in an incomplete line: its {} bytes were cut off and kept in {}",
        body.bytes, body.kept_in
    )
}

/// What is wrong with the lines of a log.
pub(crate) fn flaws(body: &LogFlaws) -> String {
    let mut all: Vec<String> = body.flaws.iter().map(flaw).collect();
    if body.more > 0 {
        all.push(format!("{} more", body.more));
    }
    let all = all.join("; ");
    format!("the session's log is damaged; what can be read of it is used: {all}")
}

fn flaw(flaw: &LogFlaw) -> String {
    let lines = |from: u64, to: u64, one: &str, all: &str| match from == to {
        true => format!("line {from} {one}"),
        false => format!("lines {from} to {to} {all}"),
    };
    match flaw {
        LogFlaw::Missing { from, to } => lines(*from, *to, "is missing", "are missing"),
        LogFlaw::Repeated { from, to } => {
            lines(*from, *to, "stands there more than once", "stand there more than once")
        }
        LogFlaw::Ambiguous { from, to } => {
            lines(*from, *to, "is there in two forms", "are there in two forms")
        }
        LogFlaw::Moved { from, to } => {
            lines(*from, *to, "is not in its place", "are not in their places")
        }
        LogFlaw::Empty => "there is no line in it".to_owned(),
        LogFlaw::Unusable { offset, reason } => {
            format!("the line at byte {offset} cannot be used ({reason})")
        }
    }
}

/// The text without what a terminal would obey: models and commands may say anything.
#[must_use]
pub fn clean(text: &str) -> String {
    let plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    anstream::adapter::strip_str(text).flat_map(str::chars).filter(plain).collect()
}

/// Retries in words. The cause is said once, then only when it is another.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    said: Option<RetryCause>,
}

impl Retries {
    /// The line for one retry.
    pub(crate) fn line(&mut self, body: &RequestRetried) -> String {
        let RequestRetried { cause, retry, most, wait_ms, .. } = body;
        let wait = Span(Duration::from_millis(*wait_ms));
        let what = match cause {
            RetryCause::Silent => {
                return "the answer held neither text nor a call; the model is asked once more"
                    .to_owned();
            }
            RetryCause::Failed(failure) => format!("retry {retry} of {most} in {wait}: {failure}"),
            RetryCause::Cut { reason } => {
                format!("retry {retry} of {most} in {wait}, with what has come so far: {reason}")
            }
        };
        if self.said.as_ref() == Some(cause) {
            return format!("retry {retry} of {most} in {wait}");
        }
        self.said = Some(cause.clone());
        what
    }

    /// The next request is another matter: its cause is said again.
    pub(crate) fn forget(&mut self) {
        self.said = None;
    }
}

/// What is said of a turn that was completed without a last message.
pub(crate) const NO_FINAL_MESSAGE: &str =
    "the model's calls were run, but it ended the turn without a final message";

/// The tokens used, as far as they are known.
pub(crate) fn tokens(body: &TurnFinished) -> String {
    let answers = match body.uncounted {
        1 => "1 answer".to_owned(),
        more => format!("{more} answers"),
    };
    match (body.usage, body.uncounted) {
        (usage, 0) => format!("tokens used: {}", grouped(usage.unwrap_or_default().blended())),
        (Some(usage), _) => format!(
            "tokens used: at least {} (the provider gave no figures for {answers})",
            grouped(usage.blended())
        ),
        (None, _) => "tokens used: unknown (the provider gave no figures)".to_owned(),
    }
}

pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
