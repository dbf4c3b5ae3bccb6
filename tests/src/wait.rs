//! Deadlines of the harness, and the one poll for facts that come without an event.

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen, before it fails. Generous: two slow
/// cores run many tests at once.
pub const DEADLINE: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something; `None` after `deadline`.
///
/// For facts the system sends no event for (a process that is not ours is gone, a file of another
/// process has grown). Where there is an event, wait for that.
pub fn poll<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::park_timeout(INTERVAL);
    }
}
