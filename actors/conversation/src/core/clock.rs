//! The turn's deadline: it counts the time in which a process worked on the turn.
//!
//! The role reports ticks; a countdown tells how much of each counts. While a person is asked nothing
//! is counted. What was counted is recorded now and then, so that a later process goes on where an
//! earlier one ended.

use super::{Effect, Effects, Machine, state::Call};
use std::time::Duration;
use troupe_kit::Countdown;
use troupe_types::{TurnId, TurnWorked};

/// The most time that a killed process loses.
const UNRECORDED: Duration = Duration::from_secs(10);

impl Machine {
    /// Has the work on the running turn counted, if the turn has a deadline.
    pub(crate) fn watch_turn(&mut self, out: &mut Effects) {
        let Some(limit) = self.turn_limit() else { return };
        let Some(turn) = &self.state.core.turn else { return };
        if self.live.watched.as_ref().is_some_and(|(watched, _)| *watched == turn.turn) {
            return;
        }
        let countdown = Countdown::new(limit).used(Duration::from_millis(turn.worked_ms));
        out.push(Effect::Watch(turn.turn, countdown.tick()));
        self.live.watched = Some((turn.turn, countdown));
        self.live.worked = Duration::ZERO;
    }

    pub(crate) fn on_tick(&mut self, id: TurnId, took: Duration, out: &mut Effects) {
        let Some(limit) = self.turn_limit() else { return };
        let Some(turn) = self.state.core.turn.as_ref().filter(|turn| turn.turn == id) else {
            return;
        };
        let Some((_, countdown)) = self.live.watched.as_mut().filter(|(turn, _)| *turn == id)
        else {
            return;
        };
        if !turn.calls.iter().any(Call::waits_for_person) {
            self.live.worked += countdown.count(took);
        }
        let (tick, timed_out) = (countdown.tick(), countdown.is_over());
        let unrecorded = self.live.worked >= (limit / 8).min(UNRECORDED);
        if turn.stop.is_none() && (timed_out || unrecorded) {
            let worked = std::mem::take(&mut self.live.worked).as_millis();
            let worked = u64::try_from(worked).unwrap_or(u64::MAX);
            let worked_ms = turn.worked_ms.saturating_add(worked);
            self.append(TurnWorked { turn: id, worked_ms, timed_out }, out);
            if timed_out {
                self.cancel_all(out);
            }
        }
        if !timed_out {
            out.push(Effect::Watch(id, tick));
        }
    }

    fn turn_limit(&self) -> Option<Duration> {
        self.setup.settings.turn_timeout_ms.map(Duration::from_millis)
    }
}
