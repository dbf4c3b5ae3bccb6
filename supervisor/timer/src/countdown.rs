//! The count of one deadline, without a clock of its own.

use std::time::Duration;

/// The longest tick: what a time in which the process stood still counts at most.
pub const LONGEST_TICK: Duration = Duration::from_millis(250);
/// The shortest tick, unless less is left.
const SHORTEST_TICK: Duration = Duration::from_millis(25);
/// A limit is measured in at least so many ticks.
const PARTS: u32 = 8;
/// A tick is late once it took this much more than its length, and at least twice its length.
const SLACK: Duration = Duration::from_millis(100);
/// The least that is left after a late tick: what arrived while the process stood still is heard in
/// that time.
pub const GRACE: Duration = Duration::from_millis(100);
/// How often that is granted: a machine on which every tick is late still has deadlines.
const GRACES: u8 = 16;

/// Counts a limit down, tick by tick. The caller waits for the length of each tick and tells how
/// long the wait took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Countdown {
    length: Duration,
    left: Duration,
    graces: u8,
}

impl Countdown {
    /// A countdown of this limit.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let length = (limit / PARTS).clamp(SHORTEST_TICK, LONGEST_TICK);
        Self { length, left: limit, graces: GRACES }
    }

    /// The same countdown after this much of it was used up, for one that goes on after a restart.
    #[must_use]
    pub fn used(mut self, used: Duration) -> Self {
        self.left = self.left.saturating_sub(used);
        self
    }

    /// The length of the next tick; zero once the countdown is over.
    #[must_use]
    pub fn tick(&self) -> Duration {
        self.length.min(self.left)
    }

    /// Whether the limit is reached.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left.is_zero()
    }

    /// Counts a tick that took so long, and returns how much of that counts.
    pub fn count(&mut self, took: Duration) -> Duration {
        let length = self.tick();
        let late = took > length + length.max(SLACK);
        let counted = if late { length } else { took.min(self.left) };
        self.left -= counted;
        if late && self.left < GRACE && self.graces > 0 {
            self.graces -= 1;
            self.left = GRACE;
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_tick_in_time_counts_what_it_took() {
        let mut countdown = Countdown::new(Duration::from_secs(2));
        assert_eq!(countdown.tick(), 250 * MS);
        for _ in 0..7 {
            assert_eq!(countdown.count(252 * MS), 252 * MS);
        }
        assert_eq!(countdown.tick(), 236 * MS);
        assert!(!countdown.is_over());
        countdown.count(237 * MS);
        assert!(countdown.is_over());
        assert!(countdown.tick().is_zero());
    }

    #[test]
    fn a_late_tick_counts_its_length_and_is_never_the_last() {
        let mut countdown = Countdown::new(Duration::from_secs(1));
        for _ in 0..7 {
            assert_eq!(countdown.count(Duration::from_secs(3600)), 125 * MS);
        }
        countdown.count(Duration::from_secs(3600));
        assert!(!countdown.is_over());
        assert_eq!(countdown.tick(), GRACE);
        countdown.count(101 * MS);
        assert!(countdown.is_over());
    }

    #[test]
    fn what_was_used_before_is_gone() {
        let countdown = Countdown::new(Duration::from_secs(2)).used(1900 * MS);
        assert_eq!(countdown.tick(), 100 * MS);
        assert!(Countdown::new(Duration::from_secs(2)).used(Duration::from_secs(9)).is_over());
    }

    proptest! {
        #[test]
        fn every_countdown_ends(
            limit in 0_u64..600_000,
            late in prop::collection::vec(0_u64..5_000, 1..9),
        ) {
            let limit = Duration::from_millis(limit);
            let mut countdown = Countdown::new(limit);
            let (mut ticks, mut counted) = (0, Duration::ZERO);
            while !countdown.is_over() {
                let late = Duration::from_millis(late[ticks % late.len()]);
                let tick = countdown.tick();
                let part = countdown.count(tick + late);
                prop_assert!(part <= tick + late && part <= 2 * tick + SLACK);
                counted += part;
                ticks += 1;
            }
            prop_assert!(counted >= limit);
            prop_assert!(counted <= limit + u32::from(GRACES) * GRACE);
        }
    }
}
