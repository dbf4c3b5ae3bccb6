//! Operations: what front ends ask.

use super::{Effect, Effects, Machine, append::After, state::Call};
use troupe_types::{
    ApprovalAnswered, CallId, Decision, ErrorClass, Failure, Op, OpAccepted, SessionCreated,
    SessionOpened, Submission,
};

impl Machine {
    pub(crate) fn on_submit(&mut self, submission: &Submission, out: &mut Effects) {
        let op = submission.id;
        if let Some(why) = &self.live.read_only {
            let message = format!("the session is read-only: {why}");
            let failure = Failure { class: ErrorClass::Storage, message };
            return out.push(Effect::Reply(op, Err(failure)));
        }
        let stops = submission.op == Op::Interrupt && !self.live.failed;
        if self.live.winding && !self.live.rests && stops {
            // What runs is stopped; the turn ends with it.
            if self.state.core.accepted(op).is_none() {
                let record = OpAccepted { submission: submission.clone() };
                self.append_then(record, After::Accepted(op), out);
            }
            return self.cancel_all(out);
        }
        if let Some(fault) = &self.live.storage {
            if stops {
                self.cancel_all(out);
            }
            // The log decides what the state is; the library sends the operation again.
            tracing::info!(%fault, "trying to write again");
            out.push(Effect::RetryLog);
            let why = format!("rebuilding after a storage failure: {}", fault.message);
            return out.push(Effect::Fail(why));
        }
        if let Some(seq) = self.state.core.accepted(op) {
            // Where the record is still under way, its writing answers.
            if seq < self.live.written {
                out.push(Effect::Reply(op, Ok(seq)));
            }
            return;
        }
        self.live.held = false;
        self.open_log(out);
        let record = OpAccepted { submission: submission.clone() };
        self.append_then(record, After::Accepted(op), out);
        match &submission.op {
            Op::Interrupt => self.cancel_all(out),
            Op::Answer { call, decision } => self.on_answer(*call, decision, out),
            Op::EndProcess { process } => self.end_processes(*process, out),
            Op::Prompt { .. } | Op::Compact | Op::Continue => {}
        }
    }

    /// Writes who made the session, and its settings where they are new.
    fn open_log(&mut self, out: &mut Effects) {
        if self.state.core.next_seq == 0 {
            let created = SessionCreated {
                session: self.setup.session,
                parent: self.setup.parent,
                source: self.setup.source.to_string(),
                cwd: self.setup.settings.cwd.clone(),
                version: self.setup.version.to_owned(),
            };
            self.append(created, out);
        }
        let settings = &self.setup.settings;
        if self.state.core.settings.as_deref() != Some(settings) {
            let opened = SessionOpened { settings: Box::new(settings.as_ref().clone()) };
            self.append(opened, out);
        }
    }

    fn on_answer(&mut self, call: CallId, decision: &Decision, out: &mut Effects) {
        if self.state.core.open_call(call).is_some_and(Call::waits_for_person) {
            let record = ApprovalAnswered { call, decision: decision.clone() };
            self.append_then(record, After::Answer(call, decision.clone()), out);
            if *decision == Decision::Abort {
                self.cancel_all(out);
            }
        }
    }

    pub(crate) fn pass_answer(&self, call: CallId, decision: Decision, out: &mut Effects) {
        if self.live.tools.contains(&call) {
            out.push(Effect::Answer(call, decision));
        }
    }

    /// Stops the stream and every open call at once; their last facts close what is open. What runs
    /// in the background goes on.
    pub(crate) fn cancel_all(&self, out: &mut Effects) {
        if let Some(stream) = self.live.stream {
            out.push(Effect::CancelStream(stream));
        }
        let mut calls: Vec<CallId> = self.live.tools.iter().copied().collect();
        calls.retain(|call| self.state.core.background(*call).is_none());
        calls.sort_unstable();
        out.extend(calls.into_iter().map(Effect::CancelTool));
    }

    /// An input failed every time it was handled: the turn fails and says so; the session goes on.
    pub(crate) fn on_set_aside(&mut self, what: &str, out: &mut Effects) {
        let message = format!("{what} made the conversation fail twice and was set aside");
        self.abandon_turn(Failure { class: ErrorClass::Internal, message }, out);
    }
}
