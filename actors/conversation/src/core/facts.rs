//! Facts: what streams and tool execs report. A fact is stale when its request or call is no longer
//! open; stale facts are dropped.

use super::{Effect, Effects, Machine, append::After, context::cut_text, live::Looked};
use std::sync::Arc;
use troupe_kit::Exit;
use troupe_messages::{Durability, StreamFact, ToolFact};
use troupe_types::{
    ApprovalAsked, CallFinished, CallId, CallRequested, CallResult, Channel, ErrorClass, Failure,
    Item, ItemCompleted, Level, Notice, Outcome, RequestFinished, RequestId, RequestOutcome,
    RequestRetried, SandboxWeaker, TextPart, Usage,
};

/// A model stream that ended without reporting an end is restarted so many times before the turn
/// fails.
const STREAM_ATTEMPTS: u32 = 3;

/// How often a call's tool exec is started before the call fails; only while nothing has run.
const CALL_ATTEMPTS: u32 = 2;

impl Machine {
    pub(crate) fn on_stream(&mut self, request: RequestId, fact: &StreamFact, out: &mut Effects) {
        if self.state.core.open_request(request).is_none() {
            tracing::debug!(%request, "stale fact of a stream dropped");
            return;
        }
        match fact {
            StreamFact::Part { index, channel, text } => {
                let part =
                    TextPart { request, index: *index, channel: *channel, text: text.clone() };
                self.append(part, out);
            }
            StreamFact::ItemDone { index, item } => self.on_item(request, *index, item, out),
            StreamFact::Retrying { cause, retry, most, wait } => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let cause = cause.clone();
                let (retry, most) = (*retry, *most);
                self.append(RequestRetried { request, cause, retry, most, wait_ms }, out);
            }
            StreamFact::Completed { usage, end_turn, retries } => {
                self.live.streams_lost = 0;
                self.close_request(
                    request,
                    RequestOutcome::Completed,
                    *usage,
                    *end_turn,
                    *retries,
                    out,
                );
            }
            StreamFact::Cut { reason, wait, retries } => {
                let result = match self.state.core.turn.as_ref().and_then(|turn| turn.stop) {
                    Some(_) => RequestOutcome::Cancelled,
                    None => RequestOutcome::Cut {
                        reason: reason.clone(),
                        wait_ms: u64::try_from(wait.as_millis()).ok(),
                    },
                };
                self.close_request(request, result, None, None, *retries, out);
            }
            StreamFact::Failed { failure, retries } => {
                let result = RequestOutcome::Failed(failure.clone());
                self.close_request(request, result, None, None, *retries, out);
            }
        }
    }

    fn on_item(&mut self, request: RequestId, index: u32, item: &Arc<Item>, out: &mut Effects) {
        match &**item {
            Item::Call(call) => {
                self.live.streams_lost = 0;
                self.append(CallRequested { request, index, item: call.clone() }, out);
            }
            _ => self.append(ItemCompleted { request, index, item: Arc::clone(item) }, out),
        }
        if matches!(&**item, Item::Assistant(item) if item.cut) {
            let text = "the answer reached a limit of the provider and is incomplete".to_owned();
            self.append(Notice { level: Level::Warning, text }, out);
        }
    }

    /// Ends a request. Text that had come and was not completed is kept, marked as cut.
    pub(crate) fn close_request(
        &mut self,
        request: RequestId,
        result: RequestOutcome,
        usage: Option<Usage>,
        end_turn: Option<bool>,
        retries: u32,
        out: &mut Effects,
    ) {
        let Some(open) = self.state.core.open_request(request) else { return };
        if !open.compaction {
            let parts = open.parts.iter().filter(|part| part.channel == Channel::Answer);
            let cut: Vec<_> = parts.map(|part| (part.index, part.text.to_string())).collect();
            for (index, text) in cut {
                let item = Arc::new(cut_text(text));
                self.append(ItemCompleted { request, index, item }, out);
            }
        }
        self.append(RequestFinished { request, result, usage, end_turn, retries }, out);
        if self.live.stream == Some(request) {
            self.live.stream = None;
        }
    }

    pub(crate) fn on_stream_gone(&mut self, request: RequestId, exit: &Exit, out: &mut Effects) {
        if self.live.stream == Some(request) {
            self.live.stream = None;
        }
        if self.state.core.open_request(request).is_none() {
            return;
        }
        self.live.streams_lost += 1;
        let reason = format!("the model stream ended without an end: {exit}");
        if self.live.streams_lost > STREAM_ATTEMPTS {
            let message = format!("{reason} (given up after {STREAM_ATTEMPTS} more tries)");
            let failure = Failure { class: ErrorClass::Internal, message };
            let failed = RequestOutcome::Failed(failure);
            return self.close_request(request, failed, None, None, 0, out);
        }
        self.lose_request(request, reason, out);
    }

    /// Closes an open request whose stream is gone with an actor or a process: no failure of the
    /// network, so it uses up no retry.
    fn lose_request(&mut self, request: RequestId, reason: String, out: &mut Effects) {
        let stopped = self.state.core.turn.as_ref().is_some_and(|turn| turn.stop.is_some());
        let result = if stopped {
            RequestOutcome::Cancelled
        } else {
            RequestOutcome::Cut { reason, wait_ms: None }
        };
        self.close_request(request, result, None, None, 0, out);
    }

    pub(crate) fn on_tool(&mut self, call: CallId, fact: &ToolFact, out: &mut Effects) {
        if let ToolFact::ProcessEnded(ended) = fact {
            if self.state.core.background(call).is_some_and(|process| !process.ended) {
                self.append(ended.clone(), out);
            }
            return;
        }
        if let ToolFact::Weaker(weaker) = fact {
            if !self.state.core.is_warned(weaker) {
                self.append(SandboxWeaker { ways: weaker.clone() }, out);
            }
            return;
        }
        if let ToolFact::HostDecided(decided) = fact {
            // Also of what runs in the background.
            if self.live.tools.contains(&call) {
                self.append(decided.clone(), out);
            }
            return;
        }
        let Some(open) = self.state.core.open_call(call) else {
            tracing::debug!(%call, "stale fact of a tool dropped");
            if matches!(fact, ToolFact::Finished(_)) {
                self.release(call, out);
            }
            return;
        };
        let (started, asked) = (open.started, open.asked.is_some());
        match fact {
            ToolFact::Asked { ask, access } => {
                self.live.looked.insert(call, Looked { access: *access, ready: None });
                if !asked {
                    self.append(ApprovalAsked { call, ask: ask.clone() }, out);
                }
            }
            ToolFact::Starting { detail, access } => {
                // Without a live tool exec the record would claim what cannot happen.
                if !started && self.live.tools.contains(&call) {
                    let ready = Some(detail.clone());
                    self.live.looked.insert(call, Looked { access: *access, ready });
                }
            }
            ToolFact::Planned(plan) => self.append(plan.clone(), out),
            ToolFact::Finished(finished) => {
                self.live.attempts.remove(&call);
                self.live.looked.remove(&call);
                self.live.begun.remove(&call);
                // Its tool exec keeps it until it is in the log.
                let record = finished.as_ref().clone().into();
                self.append_with(record, Durability::Written, Some(call), None, out);
                self.forget_processes(out);
            }
            ToolFact::ProcessEnded(_) | ToolFact::HostDecided(_) | ToolFact::Weaker(_) => {}
        }
    }

    /// The call is over without this end: its tool exec goes, once the end that counts is in the log.
    pub(crate) fn release(&mut self, call: CallId, out: &mut Effects) {
        if self.under_way() == 0 {
            return out.push(Effect::Release(call));
        }
        let last = self.state.core.next_seq.saturating_sub(1);
        self.live.waiting.push_back((last, After::Release(call)));
    }

    pub(crate) fn on_tool_gone(&mut self, call: CallId, exit: &Exit, out: &mut Effects) {
        self.live.tools.remove(&call);
        self.live.looked.remove(&call);
        self.live.begun.remove(&call);
        self.lose_call(call, &exit.to_string(), out);
        let outcome = if exit.is_normal() { Outcome::Cancelled } else { Outcome::Lost };
        self.lose_process(call, outcome, out);
    }

    /// Closes an open call whose tool exec is gone, if it had begun to take effect; otherwise it
    /// is started again, a few times.
    fn lose_call(&mut self, call: CallId, exit: &str, out: &mut Effects) {
        let Some(open) = self.state.core.open_call(call) else { return };
        let outcome = if open.started {
            Outcome::Lost
        } else if self.live.attempts.get(&call).is_some_and(|attempts| *attempts >= CALL_ATTEMPTS) {
            Outcome::failed(ErrorClass::Internal, format!("the tool's actor keeps failing: {exit}"))
        } else {
            return;
        };
        self.finish_call(call, outcome, out);
    }

    /// Finishes a call that no tool exec will finish.
    pub(crate) fn finish_call(&mut self, call: CallId, outcome: Outcome, out: &mut Effects) {
        self.live.attempts.remove(&call);
        self.live.looked.remove(&call);
        let result = CallResult::Nothing;
        self.append(CallFinished { call, outcome, result, detail: None, took_ms: 0 }, out);
    }

    /// The marker came round: everything that actors of earlier incarnations said has been seen.
    pub(crate) fn on_marker(&mut self) {
        self.live.settled = true;
    }

    /// Closes what is open in the log without a live actor.
    pub(crate) fn reconcile(&mut self, out: &mut Effects) {
        if let Some(open) = self.state.core.running_request()
            && self.live.stream.is_none()
            && !self.stream_waits(open.request)
        {
            let request = open.request;
            self.lose_request(request, "its model stream is gone".to_owned(), out);
        }
        self.lose_begun_calls(out);
        self.lose_processes(out);
        self.pass_on_answers(out);
        self.ask_for_reports(out);
        self.release_closed_calls(out);
    }

    /// Lets the tool execs go whose calls are closed, once that is in the log.
    fn release_closed_calls(&mut self, out: &mut Effects) {
        let core = &self.state.core;
        let closed =
            |call: &&CallId| core.open_call(**call).is_none() && core.background(**call).is_none();
        for call in self.live.tools.iter().filter(closed).copied().collect::<Vec<_>>() {
            out.push(Effect::CancelTool(call));
            self.release(call, out);
        }
    }

    /// Closes the calls that have begun and whose tool exec is gone.
    pub(crate) fn lose_begun_calls(&mut self, out: &mut Effects) {
        let begun = self.state.core.open_calls().filter(|call| call.started);
        let gone = begun.map(|call| call.call).filter(|call| !self.live.tools.contains(call));
        for call in gone.collect::<Vec<CallId>>() {
            self.lose_call(call, "its tool exec is gone", out);
        }
    }

    /// Asks tool execs to report again: their last report may have been lost with a failed append.
    pub(crate) fn ask_for_reports(&self, out: &mut Effects) {
        let open = self.state.core.open_calls().map(|call| call.call);
        let running = self.state.core.background.iter().filter(|process| !process.ended);
        let all = open.chain(running.map(|process| process.call));
        out.extend(all.filter(|call| self.live.tools.contains(call)).map(Effect::Report));
    }

    /// Whether the request's stream will be started when its record is written.
    fn stream_waits(&self, request: RequestId) -> bool {
        self.live
            .waiting
            .iter()
            .any(|(_, after)| matches!(after, After::Stream(id) if *id == request))
    }

    /// Answers that a tool exec may not have heard, since the conversation was started again.
    fn pass_on_answers(&self, out: &mut Effects) {
        for call in self.state.core.open_calls() {
            if let (Some(decision), false) = (&call.answer, call.started) {
                self.pass_answer(call.call, decision.clone(), out);
            }
        }
    }

    /// Ends the turn as failed, whatever is under way.
    pub(crate) fn abandon_turn(&mut self, failure: Failure, out: &mut Effects) {
        self.append(Notice { level: Level::Error, text: failure.message.clone() }, out);
        self.cancel_all(out);
        if let Some(open) = self.state.core.running_request() {
            let request = open.request;
            let result = RequestOutcome::Failed(failure.clone());
            self.close_request(request, result, None, None, 0, out);
        }
        let open: Vec<_> =
            self.state.core.open_calls().map(|call| (call.call, call.started)).collect();
        for (call, started) in open {
            let outcome = if started { Outcome::Lost } else { Outcome::Cancelled };
            self.finish_call(call, outcome, out);
        }
        if self.state.core.turn.is_some() {
            self.finish_turn(Outcome::Failed(failure), out);
        }
    }
}
