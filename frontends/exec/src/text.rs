//! Texts that both forms of output need.

use troupe_types::{CallDetail, CallFinished, Content, Outcome};

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

/// All text of a call's result.
pub(crate) fn result_text(finished: &CallFinished) -> String {
    finished.content.iter().filter_map(Content::as_text).collect::<Vec<_>>().join("\n")
}

/// What a command printed: the result without the lines that the model is told before it.
pub(crate) fn printed(finished: &CallFinished) -> String {
    let text = result_text(finished);
    let is_report = text.starts_with("Exit code: ");
    match text.split_once("\nOutput:\n") {
        Some((_, output)) if is_report => output.to_owned(),
        _ => text,
    }
}

/// A command's exit status, once it is known.
pub(crate) fn exit_code(detail: Option<&CallDetail>) -> Option<i32> {
    match detail {
        Some(CallDetail::Command { exit_code, .. }) => *exit_code,
        _ => None,
    }
}

/// How a call ended, in the words of the events.
pub(crate) fn status(finished: &CallFinished) -> &'static str {
    match &finished.outcome {
        Outcome::Completed => match exit_code(finished.detail.as_ref()) {
            None | Some(0) => "completed",
            Some(_) => "failed",
        },
        Outcome::Failed(failure) if failure.class == troupe_types::ErrorClass::Denied => "declined",
        Outcome::Failed(_) | Outcome::Cancelled | Outcome::TimedOut | Outcome::Lost => "failed",
    }
}

/// The text without what a terminal would obey: models and commands may say anything.
#[must_use]
pub fn clean(text: &str) -> String {
    let plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    anstream::adapter::strip_str(text).flat_map(str::chars).filter(plain).collect()
}
