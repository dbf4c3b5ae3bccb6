//! Facts: what streams and tool execs report. A fact is stale when its request or call is no longer
//! open; stale facts are dropped.

use crate::{Conversation, append::After, context::cut_text};
use troupe_kit::{Context, Exit};
use troupe_messages::{
    ConversationMessage, Durability, Notify, StreamFact, StreamMessage, ToolFact, ToolMessage,
};
use troupe_types::{
    ApprovalAsked, CallFinished, CallId, CallRequested, CallResult, CallStarted, Channel,
    ErrorClass, Item, ItemCompleted, Level, Notice, Outcome, RequestFinished, RequestId,
    RequestOutcome, RequestRetried, SandboxWeaker, TextPart, Usage,
};

type Cx = Context<ConversationMessage>;

/// How often a call's tool exec is started before the call fails; only while nothing has run.
const CALL_ATTEMPTS: u32 = 2;

impl Conversation {
    pub(crate) fn on_stream(&mut self, request: RequestId, fact: &StreamFact, cx: &mut Cx) {
        if self.state.core.open_request(request).is_none() {
            tracing::debug!(%request, "stale fact of a stream dropped");
            return;
        }
        match fact {
            StreamFact::Part { index, channel, text } => {
                let part =
                    TextPart { request, index: *index, channel: *channel, text: text.clone() };
                self.append(part, cx);
            }
            StreamFact::ItemDone { index, item } => self.on_item(request, *index, item, cx),
            StreamFact::Retrying { cause, retry, most, wait } => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let cause = cause.clone();
                let (retry, most) = (*retry, *most);
                self.append(RequestRetried { request, cause, retry, most, wait_ms }, cx);
            }
            StreamFact::Completed { usage, end_turn, retries } => {
                self.close_request(
                    request,
                    RequestOutcome::Completed,
                    *usage,
                    *end_turn,
                    *retries,
                    cx,
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
                self.close_request(request, result, None, None, *retries, cx);
            }
            StreamFact::Failed { failure, retries } => {
                let result = RequestOutcome::Failed(failure.clone());
                self.close_request(request, result, None, None, *retries, cx);
            }
        }
        self.advance(cx);
    }

    fn on_item(&mut self, request: RequestId, index: u32, item: &Item, cx: &mut Cx) {
        match item {
            Item::Call(call) => {
                self.append(CallRequested { request, index, item: call.clone() }, cx);
            }
            _ => self.append(ItemCompleted { request, index, item: item.clone() }, cx),
        }
        if matches!(item, Item::Assistant(item) if item.cut) {
            let text = "the answer reached a limit of the provider and is incomplete".to_owned();
            self.append(Notice { level: Level::Warning, text }, cx);
        }
    }

    /// Ends a request. Text that had come and was not completed is kept, marked as cut.
    fn close_request(
        &mut self,
        request: RequestId,
        result: RequestOutcome,
        usage: Option<Usage>,
        end_turn: Option<bool>,
        retries: u32,
        cx: &mut Cx,
    ) {
        let Some(open) = self.state.core.open_request(request) else { return };
        if !open.compaction {
            let parts = open.parts.iter().filter(|part| part.channel == Channel::Answer);
            let cut: Vec<_> = parts.map(|part| (part.index, part.text.clone())).collect();
            for (index, text) in cut {
                let item = cut_text(text);
                self.append(ItemCompleted { request, index, item }, cx);
            }
        }
        self.append(RequestFinished { request, result, usage, end_turn, retries }, cx);
        if self.stream.as_ref().is_some_and(|(id, _)| *id == request) {
            self.stream = None;
        }
    }

    pub(crate) fn on_stream_gone(&mut self, request: RequestId, exit: &Exit, cx: &mut Cx) {
        if self.stream.as_ref().is_some_and(|(id, _)| *id == request) {
            self.stream = None;
        }
        self.lose_request(request, &format!("the model stream ended without an end: {exit}"), cx);
        self.advance(cx);
    }

    /// Closes an open request whose stream is gone.
    fn lose_request(&mut self, request: RequestId, reason: &str, cx: &mut Cx) {
        if self.state.core.open_request(request).is_none() {
            return;
        }
        let stopped = self.state.core.turn.as_ref().is_some_and(|turn| turn.stop.is_some());
        let (result, retries) = if stopped {
            (RequestOutcome::Cancelled, 0)
        } else {
            (RequestOutcome::Cut { reason: reason.to_owned(), wait_ms: None }, 1)
        };
        self.close_request(request, result, None, None, retries, cx);
    }

    pub(crate) fn on_tool(&mut self, call: CallId, fact: &ToolFact, cx: &mut Cx) {
        if let ToolFact::ProcessEnded(ended) = fact {
            if self.state.core.background(call).is_some_and(|process| !process.ended) {
                self.append(ended.clone(), cx);
            }
            return self.advance(cx);
        }
        if let ToolFact::Weaker(weaker) = fact {
            if !self.state.core.is_warned(weaker) {
                self.append(SandboxWeaker { ways: weaker.clone() }, cx);
            }
            return self.advance(cx);
        }
        if let ToolFact::HostDecided(decided) = fact {
            // Also of what runs in the background.
            if self.tools.contains_key(&call) {
                self.append(decided.clone(), cx);
            }
            return self.advance(cx);
        }
        let Some(open) = self.state.core.open_call(call) else {
            tracing::debug!(%call, "stale fact of a tool dropped");
            return;
        };
        let (started, asked) = (open.started, open.asked.is_some());
        match fact {
            ToolFact::Asked(ask) => {
                if !asked {
                    self.append(ApprovalAsked { call, ask: ask.clone() }, cx);
                }
            }
            ToolFact::Starting(detail) => {
                let notify =
                    self.tools.get(&call).map(|live| Notify { call, tool: live.mailbox.clone() });
                // Without a live tool exec the record would claim what cannot happen.
                if let (false, Some(notify)) = (started, notify) {
                    let record = CallStarted { call, detail: detail.clone() };
                    let written = Durability::Written;
                    self.append_with(record.into(), written, Some(notify), None, cx);
                }
            }
            ToolFact::Planned(plan) => self.append(plan.clone(), cx),
            ToolFact::Finished(finished) => {
                self.attempts.remove(&call);
                self.append(finished.as_ref().clone(), cx);
                self.forget_processes(cx);
            }
            ToolFact::ProcessEnded(_) | ToolFact::HostDecided(_) | ToolFact::Weaker(_) => {}
        }
        self.advance(cx);
    }

    pub(crate) fn on_tool_gone(&mut self, call: CallId, exit: &Exit, cx: &mut Cx) {
        self.tools.remove(&call);
        self.lose_call(call, &exit.to_string(), cx);
        let outcome = if exit.is_normal() { Outcome::Cancelled } else { Outcome::Lost };
        self.lose_process(call, outcome, cx);
        self.advance(cx);
    }

    /// Closes an open call whose tool exec is gone, if it had begun to take effect; otherwise it
    /// is started again, a few times.
    fn lose_call(&mut self, call: CallId, exit: &str, cx: &mut Cx) {
        let Some(open) = self.state.core.open_call(call) else { return };
        let outcome = if open.started {
            Outcome::Lost
        } else if self.attempts.get(&call).is_some_and(|attempts| *attempts >= CALL_ATTEMPTS) {
            Outcome::failed(ErrorClass::Internal, format!("the tool's actor keeps failing: {exit}"))
        } else {
            return;
        };
        self.finish_call(call, outcome, cx);
    }

    /// Finishes a call that no tool exec will finish.
    pub(crate) fn finish_call(&mut self, call: CallId, outcome: Outcome, cx: &mut Cx) {
        self.attempts.remove(&call);
        let result = CallResult::Nothing;
        self.append(CallFinished { call, outcome, result, detail: None, took_ms: 0 }, cx);
    }

    /// The marker came round: everything that actors of earlier incarnations said has been seen.
    pub(crate) fn on_marker(&mut self, incarnation: u64, cx: &mut Cx) {
        if incarnation == cx.incarnation() {
            self.settled = true;
            self.advance(cx);
        }
    }

    /// Closes what is open in the log without a live actor.
    pub(crate) fn reconcile(&mut self, cx: &mut Cx) {
        if let Some(open) = self.state.core.running_request()
            && self.stream.is_none()
            && !self.stream_waits(open.request)
        {
            let request = open.request;
            self.lose_request(request, "its model stream is gone", cx);
        }
        let gone: Vec<CallId> = self
            .state
            .core
            .open_calls()
            .filter(|call| call.started && !self.tools.contains_key(&call.call))
            .map(|call| call.call)
            .collect();
        for call in gone {
            self.lose_call(call, "its tool exec is gone", cx);
        }
        self.lose_processes(cx);
        self.pass_on_answers(cx);
    }

    /// Whether the request's stream will be started when its record is written.
    fn stream_waits(&self, request: RequestId) -> bool {
        self.waiting.iter().any(|(_, after)| matches!(after, After::Stream(id) if *id == request))
    }

    /// Answers that a tool exec may not have heard, since the conversation was started again.
    fn pass_on_answers(&self, cx: &mut Cx) {
        for call in self.state.core.open_calls() {
            if let (Some(decision), false) = (&call.answer, call.started) {
                self.pass_answer(call.call, decision.clone(), cx);
            }
        }
    }

    /// Ends the turn as failed, whatever is under way.
    pub(crate) fn abandon_turn(&mut self, failure: troupe_types::Failure, cx: &mut Cx) {
        self.append(Notice { level: Level::Error, text: failure.message.clone() }, cx);
        self.cancel_all(cx);
        if let Some(open) = self.state.core.running_request() {
            let request = open.request;
            let result = RequestOutcome::Failed(failure.clone());
            self.close_request(request, result, None, None, 0, cx);
        }
        let open: Vec<_> =
            self.state.core.open_calls().map(|call| (call.call, call.started)).collect();
        for (call, started) in open {
            let outcome = if started { Outcome::Lost } else { Outcome::Cancelled };
            self.finish_call(call, outcome, cx);
        }
        if self.state.core.turn.is_some() {
            self.finish_turn(Outcome::Failed(failure), cx);
        }
        self.advance(cx);
    }

    /// Asked to stop: children have been stopped before; nothing is decided any more.
    pub(crate) fn on_stop(&mut self, cx: &mut Cx) {
        if let Some((_, stream)) = &self.stream {
            cx.send(stream, StreamMessage::Cancel);
        }
        for live in self.tools.values() {
            cx.send(&live.mailbox, ToolMessage::Cancel);
        }
        cx.stop();
    }
}
