//! The turn's deadline: it counts the time in which a process worked on the turn.
//!
//! The role reports that time in short spans; a span in which the process stood still (stopped,
//! asleep) counts as one short span. While a person is asked nothing is counted. What was counted
//! is recorded now and then, so that a later process goes on where an earlier one ended.

use super::{Effect, Effects, Machine, state::Call};
use troupe_types::{TurnId, TurnWorked};

/// The longest span of time between two reports, in milliseconds.
const SPAN: u64 = 250;
/// The most time that a killed process loses, in milliseconds.
const UNRECORDED: u64 = 10_000;

impl Machine {
    /// Has the work on the running turn reported, if the turn has a deadline.
    pub(crate) fn watch_turn(&mut self, out: &mut Effects) {
        let Some(limit) = self.setup.settings.turn_timeout_ms else { return };
        let Some(turn) = &self.state.core.turn else { return };
        if self.live.watched != Some(turn.turn) {
            self.live.watched = Some(turn.turn);
            self.live.worked = 0;
            out.push(Effect::Watch(turn.turn, span(limit)));
        }
    }

    pub(crate) fn on_worked(&mut self, id: TurnId, ms: u64, out: &mut Effects) {
        let Some(limit) = self.setup.settings.turn_timeout_ms else { return };
        let Some(turn) = self.state.core.turn.as_ref().filter(|turn| turn.turn == id) else {
            return;
        };
        if self.live.watched != Some(id) {
            return;
        }
        if !turn.calls.iter().any(Call::waits_for_person) {
            self.live.worked += ms;
        }
        let worked = turn.worked_ms + self.live.worked;
        let unrecorded = (limit / 8).min(UNRECORDED);
        if turn.stop.is_none() && (worked >= limit || self.live.worked >= unrecorded.max(1)) {
            self.live.worked = 0;
            let timed_out = worked >= limit;
            self.append(TurnWorked { turn: id, worked_ms: worked, timed_out }, out);
            if timed_out {
                self.cancel_all(out);
            }
        }
        out.push(Effect::Watch(id, span(limit)));
    }
}

fn span(limit: u64) -> u64 {
    (limit / 8).clamp(1, SPAN)
}
