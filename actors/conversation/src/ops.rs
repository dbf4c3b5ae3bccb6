//! Operations: what front ends ask.

use crate::{
    Conversation,
    append::{After, storage_failure},
};
use std::sync::atomic::Ordering;
use troupe_kit::{Context, Reply};
use troupe_messages::{Answered, ConversationMessage, RecorderMessage, StreamMessage, ToolMessage};
use troupe_types::{
    ApprovalAnswered, CallId, Decision, ErrorClass, Failure, Op, OpAccepted, SessionCreated,
    SessionOpened, Submission, TurnId,
};

type Cx = Context<ConversationMessage>;

impl Conversation {
    pub(crate) fn on_submit(
        &mut self,
        submission: &Submission,
        accepted: &Reply<Result<u64, Failure>>,
        cx: &mut Cx,
    ) {
        if let Some(why) = &self.read_only {
            let message = format!("the session is read-only: {why}");
            return cx.reply(accepted, Err(Failure { class: ErrorClass::Storage, message }));
        }
        if let Some(fault) = self.storage.take() {
            // The log decides what the state is; the library sends the operation again.
            tracing::info!(%fault, "trying to write again");
            cx.send(&self.args.recorder, RecorderMessage::Retry);
            return cx
                .fail(format!("rebuilding after a storage failure: {}", storage_failure(&fault)));
        }
        if let Some(seq) = self.state.core.accepted(submission.id) {
            if seq < self.written {
                cx.reply(accepted, Ok(seq));
            } else {
                self.accepted.entry(submission.id).or_default().push(accepted.clone());
            }
            return;
        }
        self.args.held.store(false, Ordering::Release);
        self.open_log(cx);
        self.accepted.entry(submission.id).or_default().push(accepted.clone());
        self.append_then(
            OpAccepted { submission: submission.clone() },
            After::Accepted(submission.id),
            cx,
        );
        match &submission.op {
            Op::Interrupt => self.cancel_all(cx),
            Op::Answer { call, decision } => self.on_answer(*call, decision, cx),
            Op::EndProcess { process } => self.end_processes(*process, cx),
            Op::Prompt { .. } | Op::Compact | Op::Continue => {}
        }
        self.advance(cx);
    }

    /// Writes who made the session, and its settings where they are new.
    fn open_log(&mut self, cx: &mut Cx) {
        if self.state.core.next_seq == 0 {
            let created = SessionCreated {
                session: self.args.session,
                parent: self.args.parent,
                source: self.args.source.to_string(),
                cwd: self.args.settings.cwd.clone(),
                version: self.args.version.to_owned(),
            };
            self.append(created, cx);
        }
        let settings = &self.args.settings;
        if self.state.core.settings.as_deref() != Some(settings) {
            let opened = SessionOpened { settings: Box::new(settings.as_ref().clone()) };
            self.append(opened, cx);
        }
    }

    fn on_answer(&mut self, call: CallId, decision: &Decision, cx: &mut Cx) {
        let asked = |call: &&crate::state::Call| call.asked.is_some() && call.answer.is_none();
        if self.state.core.open_call(call).as_ref().is_some_and(asked) {
            self.append_then(
                ApprovalAnswered { call, decision: decision.clone() },
                After::Answer(call, decision.clone()),
                cx,
            );
            if *decision == Decision::Abort {
                self.cancel_all(cx);
            }
        }
    }

    pub(crate) fn pass_answer(&self, call: CallId, decision: Decision, cx: &mut Cx) {
        if let Some(live) = self.tools.get(&call) {
            cx.send(&live.mailbox, ToolMessage::Answered(Answered { decision }));
        }
    }

    /// Stops the stream and every open call at once; their last facts close what is open. What runs
    /// in the background goes on.
    pub(crate) fn cancel_all(&self, cx: &mut Cx) {
        if let Some((_, stream)) = &self.stream {
            cx.send(stream, StreamMessage::Cancel);
        }
        for (call, live) in &self.tools {
            if self.state.core.background(*call).is_none() {
                cx.send(&live.mailbox, ToolMessage::Cancel);
            }
        }
    }

    pub(crate) fn on_turn_due(&mut self, turn: TurnId, cx: &mut Cx) {
        let Some(running) = self.state.core.turn.as_ref().filter(|t| t.turn == turn) else {
            return;
        };
        let asked = |call: &crate::state::Call| call.asked.is_some() && call.answer.is_none();
        if running.calls.iter().any(|call| !call.finished && asked(call)) {
            // Deadlines stand still while a person is asked.
            return self.arm_deadline(turn, cx);
        }
        self.state.core.time_out();
        self.cancel_all(cx);
        self.advance(cx);
    }

    pub(crate) fn arm_deadline(&self, turn: TurnId, cx: &mut Cx) {
        if let Some(ms) = self.args.settings.turn_timeout_ms {
            let due = ConversationMessage::TurnDue { turn };
            cx.after(std::time::Duration::from_millis(ms), due);
        }
    }

    /// Two incarnations panicked on this message: the turn fails and says so; the session goes on.
    pub(crate) fn on_set_aside(&mut self, message: &ConversationMessage, cx: &mut Cx) {
        let what = match message {
            ConversationMessage::Submit { accepted, .. } => {
                let message =
                    "the operation cannot be handled: it made the conversation fail twice";
                let failure = Failure { class: ErrorClass::Internal, message: message.to_owned() };
                cx.reply(accepted, Err(failure));
                return;
            }
            ConversationMessage::Stream { .. } => "a part of the model's answer",
            ConversationMessage::Tool { .. } => "a report of a tool",
            ConversationMessage::Written(_) | ConversationMessage::NotWritten { .. } => {
                return cx.fail("an answer of the log made the conversation fail twice");
            }
            _ => "a message",
        };
        self.abandon_turn(
            Failure {
                class: ErrorClass::Internal,
                message: format!("{what} made the conversation fail twice and was set aside"),
            },
            cx,
        );
    }
}
