//! The log cannot be written: nothing more is begun, what runs is let run to its end, and its end is
//! recorded where that is possible.
//!
//! On a full disk the log keeps room for the ends of what runs. To use it the conversation is first
//! rebuilt from the log, since its state is ahead of it; the incarnation that follows *winds up*: it
//! records the ends of the calls and of the turn, and nothing else. After any other failure, and
//! where there is no such room, the tool execs keep the ends of their calls until the log can be
//! written again.

use super::{Effect, Effects, Input, Machine, append::After};
use troupe_messages::{FaultKind, StorageFault, ToolFact};
use troupe_types::{CallId, Channel, ErrorClass, Failure, Outcome, RequestOutcome};

impl Machine {
    pub(crate) fn on_not_written(&mut self, seq: u64, fault: &StorageFault, out: &mut Effects) {
        if seq < self.live.written {
            return;
        }
        // From here on nothing is decided: the state is ahead of the log.
        self.live.storage = Some(fault.clone());
        if fault.kind == FaultKind::Gap {
            // An append was lost on the way: what is in the log decides.
            return self.fail(format!("the log lacks a line: {fault}"), out);
        }
        tracing::error!(%fault, "the log cannot be written");
        self.refuse_waiting(fault, out);
        if let Some(stream) = self.live.stream {
            out.push(Effect::CancelStream(stream));
        }
        if fault.kind == FaultKind::Full && self.state.core.turn.is_some() {
            return self.fail(format!("the log cannot be written: {fault}"), out);
        }
        self.regulate(out);
        self.rest_if_nothing_runs(out);
    }

    /// One input while the log cannot be written. What is not taken in here is reported again.
    pub(crate) fn step_without_log(&mut self, input: Input<'_>, out: &mut Effects) {
        let winding = self.live.winding;
        match input {
            Input::Started => self.on_started(out),
            Input::Written(line) if winding => self.on_written(line, out),
            Input::NotWritten(seq, fault) if winding && self.is_under_way(seq) => {
                tracing::error!(%fault, "the log has no room for the end of what runs");
                self.live.winding = false;
                self.refuse_waiting(fault, out);
            }
            Input::Tool(call, fact) => self.on_tool_without_log(call, fact, out),
            Input::ToolGone(call, exit) if winding => self.on_tool_gone(call, exit, out),
            Input::ToolGone(call, _) => {
                self.live.tools.remove(&call);
                self.live.begun.remove(&call);
            }
            Input::StreamGone(request, _) => {
                self.live.stream.take_if(|stream| *stream == request);
            }
            Input::MarkerCame => {
                self.on_marker();
                if winding {
                    self.lose_begun_calls(out);
                }
                // An end that an earlier incarnation heard of is told again.
                self.ask_for_reports(out);
            }
            _ => {}
        }
        self.rest_if_nothing_runs(out);
    }

    /// Whether this incarnation waits for the line with this number.
    fn is_under_way(&self, seq: u64) -> bool {
        (self.live.written..self.state.core.next_seq).contains(&seq)
    }

    fn on_tool_without_log(&mut self, call: CallId, fact: &ToolFact, out: &mut Effects) {
        let begun = self.live.begun.contains(&call);
        let ending = match fact {
            // That of a call which only looked has no room; another one is told for the second time.
            ToolFact::Finished(_) => begun || self.state.core.open_call(call).is_none(),
            ToolFact::ProcessEnded(_) | ToolFact::HostDecided(_) | ToolFact::Weaker(_) => true,
            ToolFact::Asked { .. } | ToolFact::Starting { .. } | ToolFact::Planned(_) => false,
        };
        if self.live.winding && ending {
            self.on_tool(call, fact, out);
        } else if matches!(fact, ToolFact::Finished(_)) {
            // Its tool exec keeps it.
            self.live.begun.remove(&call);
        }
    }

    /// Once nothing runs any more, says so; before that, ends the turn if that can be recorded.
    fn rest_if_nothing_runs(&mut self, out: &mut Effects) {
        let Some(fault) = &self.live.storage else { return };
        if self.live.failed || self.live.rests || !self.live.begun.is_empty() {
            return;
        }
        let failure = storage_failure(fault);
        if self.live.winding {
            if !self.live.settled || self.under_way() > 0 {
                return;
            }
            if self.can_end_turn() {
                return self.end_turn_without_log(failure, out);
            }
        }
        self.live.rests = true;
        out.push(Effect::Rest(failure));
    }

    /// Whether the turn can be ended without a record that is more than an end: its prompt is in the
    /// context, and no text of an answer is left that would have to be kept as cut. Otherwise it
    /// stays open and goes on when the log can be written.
    fn can_end_turn(&self) -> bool {
        let core = &self.state.core;
        let Some(turn) = &core.turn else { return false };
        let Some(request) = &turn.request else { return false };
        let text = |channel: Channel| channel == Channel::Answer;
        core.inbox.iter().all(|waiting| waiting.id != turn.op)
            && !request.parts.iter().any(|part| text(part.channel))
    }

    fn end_turn_without_log(&mut self, failure: Failure, out: &mut Effects) {
        if let Some(request) = self.state.core.running_request().map(|open| open.request) {
            let result = RequestOutcome::Failed(failure.clone());
            self.close_request(request, result, None, None, 0, out);
        }
        let waiting: Vec<CallId> = self.state.core.open_calls().map(|call| call.call).collect();
        for call in waiting {
            let why = format!("not run: {}", failure.message);
            self.finish_call(call, Outcome::failed(ErrorClass::Storage, why), out);
            if self.live.tools.contains(&call) {
                // Not before that is in the log: otherwise the call is still to be run.
                let last = self.state.core.next_seq.saturating_sub(1);
                self.live.waiting.push_back((last, After::Dismiss(call)));
            }
        }
        self.finish_turn(Outcome::Failed(failure), out);
    }

    /// What waits for records that will not come is answered, or forgotten.
    fn refuse_waiting(&mut self, fault: &StorageFault, out: &mut Effects) {
        self.live.waiting.clear();
        out.push(Effect::Refuse(storage_failure(fault)));
    }
}

pub(crate) fn storage_failure(fault: &StorageFault) -> Failure {
    Failure { class: ErrorClass::Storage, message: fault.message.clone() }
}
