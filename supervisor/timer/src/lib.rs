//! Deadlines that count work: the time in which this process could run.
//!
//! A process that is stopped (SIGSTOP), asleep with its machine or starved of processor time hears
//! nothing and does nothing, so that time is no silence of a peer and no run time of a command. A
//! deadline is therefore measured in short ticks, and a tick that took much longer than its length
//! counts only its length. After such a tick at least a moment is left: what arrived meanwhile is
//! heard before the deadline passes.
//!
//! A wait that a calendar sets (a server's `Retry-After`, the pause before a restart) is no
//! deadline: it may pass while the process stands still.

mod countdown;
mod deadline;

pub use countdown::{Countdown, GRACE, LONGEST_TICK};
pub use deadline::{Deadline, TimedOut, within};
