//! How a call ends.

use crate::{
    output::{DEFAULT_OUTPUT_TOKENS, HeadTail},
    tools::{ToolCall, ToolError},
};
use std::time::Duration;
use tokio::{task::spawn_blocking, time::Instant};
use troupe_messages::{Remarked, Remarks};
use troupe_types::{
    CallDetail, CallFinished, CallId, CallResult, Content, ErrorClass, HostDecided, Outcome,
    RefusedHost, SessionSettings,
};

/// The part of an output in which refusals are looked for.
const REMARKED_TOKENS: usize = 2000;

/// Tokens of one output that the model is shown.
pub(crate) fn tokens(settings: &SessionSettings) -> usize {
    match settings.tool_output_tokens {
        0 => DEFAULT_OUTPUT_TOKENS,
        tokens => tokens,
    }
}

pub(crate) fn finished(
    call: CallId,
    outcome: Outcome,
    result: CallResult,
    detail: Option<CallDetail>,
    began: Instant,
) -> CallFinished {
    CallFinished { call, outcome, result, detail, took_ms: millis(began.elapsed()) }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The end of a tool that only looks.
pub(crate) fn looked(
    id: CallId,
    call: &ToolCall,
    result: Result<Vec<Content>, ToolError>,
    began: Instant,
) -> CallFinished {
    let detail = Some(CallDetail::Tool { summary: call.summary() });
    let (outcome, result) = match result {
        Ok(content) => (Outcome::Completed, CallResult::Content { content }),
        Err(error) if error.is_cancelled() => (Outcome::Cancelled, CallResult::Nothing),
        Err(error) => (Outcome::failed(ErrorClass::Tool, error.to_string()), CallResult::Nothing),
    };
    finished(id, outcome, result, detail, began)
}

/// What the sandbox has to say of a process that has ended: what it refused, what was made.
pub(crate) async fn remarks(
    remarks: Option<Remarks>,
    code: Option<i32>,
    output: &HeadTail,
) -> Remarked {
    let Some(remarks) = remarks else { return Remarked::default() };
    // What succeeded was refused nothing.
    let fine = code.is_none_or(|code| code == 0);
    let last = if fine { String::new() } else { output.printed(REMARKED_TOKENS).text() };
    spawn_blocking(move || remarks(code, &last)).await.unwrap_or_default()
}

/// A decision on a host, as part of a command's result.
pub(crate) fn refused_host(decided: &HostDecided) -> RefusedHost {
    let HostDecided { host, port, reason, .. } = decided.clone();
    RefusedHost { host, port, reason }
}
