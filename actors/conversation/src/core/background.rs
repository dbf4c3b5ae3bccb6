//! Processes that calls left in the background: who holds them, and when they are gone.

use super::{Effect, Effects, HeldProcess, Machine, state::Background};
use troupe_types::{CallId, Outcome, ProcessEnded};

impl Machine {
    /// Those that somebody holds, for a tool exec that may want one.
    pub(crate) fn background_processes(&self) -> Vec<HeldProcess> {
        let held = |process: &Background| {
            self.live.tools.contains(&process.call).then(|| HeldProcess {
                holder: process.call,
                process: process.process,
                command: process.command.clone(),
                cwd: process.cwd.clone(),
                outside: process.outside,
                ended: process.ended,
            })
        };
        self.state.core.background.iter().filter_map(held).collect()
    }

    /// Ends the one with this number, or all.
    pub(crate) fn end_processes(&self, process: Option<u64>, out: &mut Effects) {
        for held in &self.state.core.background {
            if !held.ended
                && process.is_none_or(|wanted| wanted == held.process)
                && self.live.tools.contains(&held.call)
            {
                out.push(Effect::CancelTool(held.call));
            }
        }
    }

    /// Lets those go that are not remembered any more: they ended long ago and nobody asked.
    pub(crate) fn forget_processes(&self, out: &mut Effects) {
        let core = &self.state.core;
        let forgotten =
            |call: &&CallId| core.open_call(**call).is_none() && core.background(**call).is_none();
        out.extend(self.live.tools.iter().filter(forgotten).copied().map(Effect::CancelTool));
    }

    /// Records that the tool exec which held this call's process has ended, and the process with it:
    /// stopped with the session, or lost.
    pub(crate) fn lose_process(&mut self, call: CallId, outcome: Outcome, out: &mut Effects) {
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
        self.append(record, out);
    }

    /// Closes those in the log that nobody holds.
    pub(crate) fn lose_processes(&mut self, out: &mut Effects) {
        let all = self.state.core.background.iter();
        let gone: Vec<CallId> = all
            .map(|process| process.call)
            .filter(|call| !self.live.tools.contains(call))
            .collect();
        for call in gone {
            self.lose_process(call, Outcome::Lost, out);
        }
    }
}
