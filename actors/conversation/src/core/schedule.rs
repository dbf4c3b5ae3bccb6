//! Which calls of an answer may run now: a function of the calls, in their order.
//!
//! A call is handed to a tool exec, which finds out what the call may change and says when it is
//! ready. The record of its start, which lets it run, is written when the calls before it allow it:
//!
//! - what changes nothing runs beside what changes nothing;
//! - a command that may change something runs alone: after all earlier calls, before all later ones.
//!   Where the user allows it, commands run beside each other and beside reads;
//! - everything else, patches above all, runs alone.
//!
//! So no call sees less, or more, than it would if the calls ran one after another; what a command
//! does that was taken for harmless is the exception. A call is looked at while only such calls run
//! that leave things as they are: what is found out then still holds when it starts.

use super::{
    Effect, Effects, Machine, ToolPlan,
    append::After,
    context::find_call,
    state::{Call, Stop},
};
use troupe_messages::Durability;
use troupe_types::{Access, CallId, CallStarted, ErrorClass, Outcome, Traits};

impl Machine {
    /// Starts the calls that may run now, or closes them if the turn has to stop.
    pub(crate) fn schedule(&mut self, stop: Option<Stop>, out: &mut Effects) -> bool {
        if !self.live.settled {
            return false;
        }
        let up = |call: &Call| self.live.tools.contains(&call.call);
        let most = self.setup.settings.parallel_calls();
        let mut busy = self.state.core.open_calls().filter(|call| up(call)).count();
        // What the calls before one may change, and what later ones change that run already: those
        // are there where the end of an earlier call was not written.
        let mut before = None;
        let mut running: Vec<Option<Access>> = self
            .state
            .core
            .open_calls()
            .map(|call| self.access(call).filter(|access| self.runs(call, *access)))
            .collect();
        for place in (1..running.len()).rev() {
            running[place - 1] = running[place - 1].max(running[place]);
        }
        let (mut begin, mut start, mut close) = (Vec::new(), Vec::new(), Vec::new());
        for (place, call) in self.state.core.open_calls().enumerate() {
            let access = self.access(call);
            let beside = self.beside(access.unwrap_or(Access::Read));
            let later = running.get(place + 1).copied().flatten();
            let allowed = before <= beside && later <= beside;
            match stop {
                Some(stop) if !call.started && !up(call) => close.push((call.call, stop)),
                None if up(call) && !call.started && allowed && self.is_ready(call.call) => {
                    start.push(call.call);
                }
                None if !up(call) && allowed && busy < most && call.seq < self.live.written => {
                    busy += 1;
                    begin.push(call.clone());
                }
                _ => {}
            }
            before = before.max(Some(access.unwrap_or_default()));
        }
        let closed = !close.is_empty();
        for (call, stop) in close {
            let outcome = match stop {
                Stop::Cancelled => Outcome::Cancelled,
                Stop::TimedOut => Outcome::TimedOut,
            };
            self.finish_call(call, outcome, out);
        }
        for call in start {
            self.record_start(call, out);
        }
        for call in begin {
            self.start_tool(&call, out);
        }
        closed
    }

    /// Returns the most that a call may change, or none if that is not known yet.
    fn access(&self, call: &Call) -> Option<Access> {
        let looked = || self.live.looked.get(&call.call).map(|looked| looked.access);
        let promised = || {
            let spec = self.setup.tools.iter().find(|spec| spec.name == call.tool);
            match spec.map(|spec| spec.traits) {
                Some(Traits::ReadOnly) => Some(Access::Read),
                Some(Traits::Command) => None,
                Some(Traits::Effects) | None => Some(Access::Exclusive),
            }
        };
        call.access.or_else(looked).or_else(promised)
    }

    /// The most that earlier calls may change which have not ended when such a call starts; none:
    /// there may be no such call.
    fn beside(&self, access: Access) -> Option<Access> {
        match access {
            Access::Read | Access::Command if self.setup.settings.parallel_commands => {
                Some(Access::Command)
            }
            Access::Read => Some(Access::Read),
            Access::Command | Access::Exclusive => None,
        }
    }

    /// Returns true if the call takes effect now, or may do so at any moment.
    fn runs(&self, call: &Call, access: Access) -> bool {
        let looks = self.live.tools.contains(&call.call) && !self.is_ready(call.call);
        call.started || looks && access == Access::Read
    }

    /// Returns true if the call's tool exec waits for the record of its start.
    fn is_ready(&self, call: CallId) -> bool {
        self.live.looked.get(&call).is_some_and(|looked| looked.ready.is_some())
    }

    /// Records the start of a call that is ready; its tool exec is told when that is written.
    fn record_start(&mut self, call: CallId, out: &mut Effects) {
        let Some(looked) = self.live.looked.get_mut(&call) else { return };
        let access = looked.access;
        if let Some(detail) = looked.ready.take() {
            let record = CallStarted { call, detail, access };
            let after = Some(After::Begun(call));
            self.append_with(record.into(), Durability::Written, Some(call), after, out);
        }
    }

    fn start_tool(&mut self, call: &Call, out: &mut Effects) {
        let Some(item) = find_call(&self.state.context, call.call).cloned() else {
            // Its line is not at hand: after a resume the context is read first.
            if self.context_at_hand(out) {
                let why = "the call's record cannot be read".to_owned();
                self.finish_call(call.call, Outcome::failed(ErrorClass::Storage, why), out);
            }
            return;
        };
        *self.live.attempts.entry(call.call).or_default() += 1;
        self.live.tools.insert(call.call);
        out.push(Effect::StartTool(Box::new(ToolPlan {
            call: item,
            approved: self.state.core.approved.iter().cloned().collect(),
            process: call.seq,
            background: self.background_processes(),
            answer: call.answer.clone(),
        })));
    }
}
