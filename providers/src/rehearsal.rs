//! A model that plays a script: for demonstrations, tests and trying out a set-up without a server.
//!
//! The step that answers is found from the request alone, so a repeated request gets the same
//! step, also in a new process. Faults are the exception: they hit the first attempts at a step
//! and are counted in memory, at most [`MAX_COUNTED`] steps.

mod script;
#[cfg(test)]
mod tests;

use crate::{ConnectError, EventStream, ModelError, Provider, Retry, exchange::failed};
use futures_util::{StreamExt, stream};
use script::{Fault, Script, Step};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use troupe_types::{
    AssistantItem, CallId, CallItem, Endpoint, ErrorClass, Item, ModelEvent, ModelRequest,
    ReasoningItem, SessionId, Usage, Wire,
};

/// The script that is played when none is named.
const DEMO: &str = include_str!("rehearsal/demo.json");

/// Steps whose attempts are counted; beyond that counting starts over.
const MAX_COUNTED: usize = 10_000;

/// Plays one script.
pub(crate) struct Rehearsal {
    endpoint: Endpoint,
    script: Arc<Script>,
    attempts: Mutex<HashMap<(SessionId, usize), usize>>,
}

impl Rehearsal {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let script = match &endpoint.script {
            Some(path) => Script::read(path)?,
            None => Script::parse(DEMO)
                .map_err(|cause| ConnectError::Script { path: "(built in)".to_owned(), cause })?,
        };
        let (endpoint, script) = (endpoint.clone(), Arc::new(script));
        Ok(Self { endpoint, script, attempts: Mutex::default() })
    }

    /// The fault of this attempt at a step, if it has one.
    fn fault(&self, session: SessionId, step: usize) -> Option<Fault> {
        let faults = &self.script.steps[step].faults;
        if faults.is_empty() {
            return None;
        }
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() >= MAX_COUNTED {
            attempts.clear();
        }
        let attempt = attempts.entry((session, step)).or_default();
        *attempt += 1;
        faults.get(*attempt - 1).cloned()
    }
}

impl Provider for Rehearsal {
    fn stream(&self, request: ModelRequest) -> EventStream {
        let Some(at) = self.script.position(&request.items) else {
            let steps = self.script.steps.len();
            return failed(ModelError::never(
                ErrorClass::InvalidRequest,
                format!("{}: the script is over after its {steps} steps", self.endpoint.name),
            ));
        };
        let step = &self.script.steps[at];
        let mut events = self.script.events(at);
        let mut pauses = vec![step.pace(); events.len()];
        let mut error = None;
        match self.fault(request.session, at) {
            None => {}
            Some(Fault::Delay { ms, after }) => {
                if let Some(pause) = pauses.get_mut(after) {
                    *pause += Duration::from_millis(ms);
                }
            }
            Some(Fault::Cut { after }) => {
                events.truncate(after);
                error = Some(ModelError::cut(&self.endpoint, Some("as the script says")));
            }
            Some(Fault::Error { class, message, retry_after_ms, status }) => {
                events.clear();
                error = Some(refusal(class, message, retry_after_ms, status));
            }
        }
        let played =
            stream::iter(events.into_iter().zip(pauses)).then(|(event, pause)| async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Ok(event)
            });
        Box::pin(played.chain(stream::iter(error.map(Err))))
    }

    fn wire(&self) -> Wire {
        Wire::Rehearsal
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

fn refusal(
    class: ErrorClass,
    message: Option<String>,
    retry_after_ms: Option<u64>,
    status: Option<u16>,
) -> ModelError {
    let again = matches!(
        class,
        ErrorClass::Network | ErrorClass::Server | ErrorClass::RateLimit | ErrorClass::Timeout
    );
    let retry = match retry_after_ms {
        Some(ms) => Retry::After(Duration::from_millis(ms)),
        None if again => Retry::Backoff,
        None => Retry::Never,
    };
    let message = message.unwrap_or_else(|| "a failure, as the script says".to_owned());
    ModelError { status, ..ModelError::new(class, retry, message) }
}

impl Script {
    /// The events of a step. Indices, ids and usage depend on the step alone, call ids aside.
    fn events(&self, at: usize) -> Vec<ModelEvent> {
        let step = &self.steps[at];
        let mut events = vec![ModelEvent::Opened { response: Some(format!("step_{}", at + 1)) }];
        let mut index = 0;
        if !step.reasoning.is_empty() {
            let deltas = step.reasoning.iter().cloned();
            events.extend(deltas.map(|delta| ModelEvent::Reasoning { index, delta }));
            let content = vec![step.reasoning.concat()];
            let item = Item::Reasoning(ReasoningItem { content, ..ReasoningItem::default() });
            events.push(ModelEvent::ItemDone { index, item });
            index += 1;
        }
        if !step.text.is_empty() {
            let deltas = step.text.iter().cloned();
            events.extend(deltas.map(|delta| ModelEvent::Text { index, delta }));
            let text = step.text.concat();
            let item = Item::Assistant(AssistantItem { text, ..AssistantItem::default() });
            events.push(ModelEvent::ItemDone { index, item });
            index += 1;
        }
        for (number, call) in step.calls.iter().enumerate() {
            let item = Item::Call(CallItem {
                call: CallId::new(),
                wire_id: format!("call_{}_{}", at + 1, number + 1),
                id: None,
                tool: call.tool.clone(),
                input: call.input(),
                opaque: None,
            });
            events.push(ModelEvent::ItemDone { index, item });
            index += 1;
        }
        events.push(ModelEvent::Completed { usage: Some(usage(step)), end_turn: step.end_turn });
        events
    }
}

fn usage(step: &Step) -> Usage {
    let input_tokens = step.input_tokens.unwrap_or(100);
    let output_tokens = step.output_tokens.unwrap_or(10);
    let total_tokens = input_tokens + output_tokens;
    Usage { input_tokens, output_tokens, total_tokens, ..Usage::default() }
}
