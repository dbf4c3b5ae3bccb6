//! Fields of JSON items beside a call's output.

use serde_json::{Map, Value, json};
use troupe_types::{CallFinished, CommandEnd, CommandResult, ErrorClass, Kept, Outcome};

/// How far a call is, in the words of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    InProgress,
    Completed,
    Failed,
    Declined,
}

impl Status {
    /// Of a call that may have ended. A command that fails is a failed item.
    pub(crate) fn of(finished: Option<&CallFinished>) -> Self {
        let Some(finished) = finished else { return Self::InProgress };
        match &finished.outcome {
            Outcome::Completed => match crate::text::exit_code(finished) {
                None | Some(0) => Self::Completed,
                Some(_) => Self::Failed,
            },
            Outcome::Failed(failure) if failure.class == ErrorClass::Denied => Self::Declined,
            Outcome::Failed(_) | Outcome::Cancelled | Outcome::TimedOut | Outcome::Lost => {
                Self::Failed
            }
        }
    }

    /// For kinds of items that know no word for a refusal.
    pub(crate) fn without_declined(self) -> Self {
        if self == Self::Declined { Self::Failed } else { self }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Declined => "declined",
        }
    }
}

/// Fields of a command beside its output, its status and why it did not complete; each of them only
/// where there is something to say.
pub(crate) fn command_facts(result: &CommandResult) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut put = |name: &str, value: Value| {
        facts.insert(name.to_owned(), value);
    };
    if let Some(process) = result.read_from {
        put("process", process.into());
        put("exit_code", result.end.exit_code().into());
    }
    match result.end {
        CommandEnd::Signalled { signal } => put("signal", signal.into()),
        CommandEnd::Running { process } => {
            put("process", process.into());
            put("running", true.into());
        }
        CommandEnd::Lost => put("lost", true.into()),
        CommandEnd::Exited { .. } | CommandEnd::TimedOut { .. } | CommandEnd::Cancelled => {}
    }
    if result.output.omitted > 0 {
        put("omitted_bytes", result.output.omitted.into());
        put("omitted_at", result.output.head.len().into());
        match &result.kept {
            Some(Kept::Whole { path } | Kept::Start { path, reason: None, .. }) => {
                put("output_file", path.display().to_string().into());
            }
            Some(Kept::Start { path, reason: Some(reason), .. }) => {
                put("output_file", path.display().to_string().into());
                put("output_not_kept", reason.as_str().into());
            }
            Some(Kept::Failed { reason }) => put("output_not_kept", reason.as_str().into()),
            None => {}
        }
    }
    if result.strays > 0 {
        put("strays_ended", result.strays.into());
    }
    if !result.sandbox.is_empty() {
        put("sandbox", json!(result.sandbox));
    }
    if !result.refused_hosts.is_empty() {
        put("refused_hosts", json!(result.refused_hosts));
    }
    facts
}
