//! The actor kit: roles on `ractor`, with mailboxes that outlive them.
//!
//! What it adds to ractor: handlers that are plain functions and commit or do not happen; two
//! lanes per mailbox, one of them bounded by permits; a queue that survives its actor; places, so
//! that old state never overlaps a new incarnation; owned tasks that die with their role; child
//! specs, restarts with backoff, ordered stops; a live tree as data; fault injection.
//! It knows nothing of conversations.
//!
//! Actors are *not* linked in ractor: a link kills the children of a failing parent. Here a
//! supervisor's table outlives it as a mailbox does, so its children never notice its crash.

mod backoff;
mod child;
mod company;
mod context;
mod exit;
mod faults;
mod life;
mod mailbox;
mod place;
mod queue;
mod reply;
mod ring;
mod role;
mod root;
mod shell;
mod slow;
mod supervisor;
mod view;
mod watchdog;

pub use backoff::Backoff;
pub use child::{Child, ChildSpec, GiveUp, Restart, SpecBuilder};
pub use company::{Alive, Company, Order};
pub use context::Context;
pub use exit::Exit;
pub use faults::{Fault, Faults, Landed, Moment};
pub use life::{Life, ThreadLife};
pub use mailbox::{CallError, Kit, Mailbox, Refused};
pub use queue::Phase;
pub use reply::Reply;
pub use ring::{Next, Ring, RingReader};
pub use role::{Role, StartError};
pub use root::Root;
pub use supervisor::{Supervisor, SupervisorMessage};
pub use troupe_timer::{Countdown, Deadline, TimedOut, within};
pub use view::{LaneView, NodeView};
pub use watchdog::Stuck;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Locks, whatever happened to earlier holders: what these locks guard is changed in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a step of somebody else's in a drop: its panic must not take the rest with it.
pub(crate) fn contained(what: &'static str, step: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(step)) {
        tracing::error!(error = exit::panic_text(&*payload), "{what} panicked");
    }
}
