//! Gates: a scripted answer waits at one until the test opens it.

use crate::wait::DEADLINE;
use std::{
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};
use tokio::sync::watch;

/// A door that is closed until somebody opens it; it stays open. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    open: watch::Sender<bool>,
    arrived: Mutex<usize>,
    changed: Condvar,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        let open = watch::Sender::new(false);
        Self(Arc::new(Inner { open, arrived: Mutex::new(0), changed: Condvar::new() }))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Whether it was opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.0.open.borrow()
    }

    /// How many have come to the gate so far, those that passed included.
    #[must_use]
    pub fn arrived(&self) -> usize {
        *self.0.arrived.lock().unwrap()
    }

    /// Blocks until `count` have come to the gate: what was scripted before it has been sent.
    ///
    /// # Panics
    /// After [`DEADLINE`].
    pub fn wait_arrived(&self, count: usize) {
        let end = Instant::now() + DEADLINE;
        let mut arrived = self.0.arrived.lock().unwrap();
        while *arrived < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {count} at the gate, only {arrived} came");
            arrived = self.0.changed.wait_timeout(arrived, left).unwrap().0;
        }
    }

    /// Comes to the gate and waits until it is open.
    pub(crate) async fn pass(&self) {
        let mut open = self.0.open.subscribe();
        *self.0.arrived.lock().unwrap() += 1;
        self.0.changed.notify_all();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = open.wait_for(|open| *open).await;
    }
}
