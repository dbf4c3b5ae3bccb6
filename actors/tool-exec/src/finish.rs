//! How a call ends.

use crate::{
    output::{DEFAULT_OUTPUT_TOKENS, HeadTail},
    tools::{ToolCall, ToolError},
};
use tokio::{task::spawn_blocking, time::Instant};
use troupe_messages::Remarks;
use troupe_types::{
    CallDetail, CallFinished, CallId, Content, ErrorClass, Outcome, SessionSettings,
};

/// What the model is told of a call that was stopped.
pub(crate) const ABORTED: &str = "aborted by user";
/// What the model is told of a call whose effect is unknown.
pub(crate) const LOST: &str = "lost: the part of the host that ran this call failed while it was under \
     way. It may or may not have taken effect, and it was not repeated. Look before you go on.";

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
    text: String,
    detail: Option<CallDetail>,
    began: Instant,
) -> CallFinished {
    with_content(call, outcome, vec![Content::Text { text }], detail, began)
}

fn with_content(
    call: CallId,
    outcome: Outcome,
    content: Vec<Content>,
    detail: Option<CallDetail>,
    began: Instant,
) -> CallFinished {
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    CallFinished { call, outcome, content, detail, took_ms }
}

/// The end of a tool that only looks.
pub(crate) fn looked(
    id: CallId,
    call: &ToolCall,
    result: Result<Vec<Content>, ToolError>,
    began: Instant,
) -> CallFinished {
    let detail = Some(CallDetail::Tool { summary: call.summary() });
    let (outcome, content) = match result {
        Ok(content) => (Outcome::Completed, content),
        Err(error) if error.is_cancelled() => (Outcome::Cancelled, vec![Content::text(ABORTED)]),
        Err(error) => {
            let text = error.to_string();
            (Outcome::failed(ErrorClass::Tool, text.clone()), vec![Content::Text { text }])
        }
    };
    with_content(id, outcome, content, detail, began)
}

/// What there is to say of a process that has ended: what the sandbox refused it, what it made.
pub(crate) async fn remarks(
    remarks: Option<Remarks>,
    code: Option<i32>,
    output: &HeadTail,
) -> String {
    let Some(remarks) = remarks else { return String::new() };
    // What succeeded was refused nothing.
    let fine = code.is_none_or(|code| code == 0);
    let last = if fine { String::new() } else { output.render(REMARKED_TOKENS).text };
    let said = spawn_blocking(move || remarks(code, &last)).await.unwrap_or_default();
    said.into_iter().map(|one| format!("\nSandbox: {one}.")).collect()
}

/// Adds it to a text that ends with an output.
pub(crate) fn add(output: &mut String, remarks: &str) {
    if remarks.is_empty() {
        return;
    }
    if output.ends_with('\n') {
        output.pop();
    }
    output.push_str(remarks);
}

/// Adds it to the end of a call.
pub(crate) fn remark(finished: &mut CallFinished, remarks: &str) {
    if let Some(Content::Text { text }) = finished.content.last_mut() {
        add(text, remarks);
    }
}

/// Which hosts the command was refused: programs often say no more than that they failed.
pub(crate) fn refused_hosts(refused: &[String]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let hosts = refused.join("\n  ");
    format!(
        "\nHosts that it was refused:\n  {hosts}\nThe user allows hosts with sandbox_allow_hosts."
    )
}
