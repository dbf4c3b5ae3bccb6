//! Processes that calls left in the background: who holds them, and when they are gone.

use crate::Conversation;
use troupe_kit::Context;
use troupe_messages::{BackgroundProcess, ConversationMessage, ToolMessage};
use troupe_types::{CallId, Outcome, ProcessEnded};

type Cx = Context<ConversationMessage>;

impl Conversation {
    /// Those that somebody holds, for a tool exec that may want one.
    pub(crate) fn background_processes(&self) -> Vec<BackgroundProcess> {
        let held = |process: &crate::state::Background| {
            let live = self.tools.get(&process.call)?;
            Some(BackgroundProcess {
                process: process.process,
                command: process.command.clone(),
                cwd: process.cwd.clone(),
                outside: process.outside,
                ended: process.ended,
                tool: live.mailbox.clone(),
            })
        };
        self.state.core.background.iter().filter_map(held).collect()
    }

    /// Ends the one with this number, or all.
    pub(crate) fn end_processes(&self, process: Option<u64>, cx: &mut Cx) {
        for held in self.background_processes() {
            if !held.ended && process.is_none_or(|wanted| wanted == held.process) {
                cx.send(&held.tool, ToolMessage::Cancel);
            }
        }
    }

    /// Lets those go that are not remembered any more: they ended long ago and nobody asked.
    pub(crate) fn forget_processes(&self, cx: &mut Cx) {
        for (call, live) in &self.tools {
            let core = &self.state.core;
            if core.open_call(*call).is_none() && core.background(*call).is_none() {
                cx.send(&live.mailbox, ToolMessage::Cancel);
            }
        }
    }

    /// Whoever held this call's process is gone, and the process with it: ended in good order with
    /// the session, or lost.
    pub(crate) fn lose_process(&mut self, call: CallId, outcome: Outcome, cx: &mut Cx) {
        let Some(process) = self.state.core.background(call).filter(|process| !process.ended)
        else {
            return;
        };
        let record = ProcessEnded {
            call,
            process: process.process,
            outcome,
            exit_code: None,
            took_ms: 0,
            busy_ms: None,
        };
        self.append(record, cx);
    }

    /// Closes those in the log that nobody holds.
    pub(crate) fn lose_processes(&mut self, cx: &mut Cx) {
        let all = self.state.core.background.iter();
        let gone: Vec<CallId> =
            all.map(|process| process.call).filter(|call| !self.tools.contains_key(call)).collect();
        for call in gone {
            self.lose_process(call, Outcome::Lost, cx);
        }
    }
}
