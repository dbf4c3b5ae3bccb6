//! What a model server remembers: requests, how their answers ended, and what was wrong.

use super::{Ending, Request};
use crate::wait::DEADLINE;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How the answer to a request ended, and when.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// When the last byte was handed to the system, or the client's going was seen.
    pub at: Instant,
}

/// The facts of a server so far.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) requests: Vec<Arc<Request>>,
    pub(crate) ended: Vec<Option<Ended>>,
    pub(crate) violations: Vec<String>,
    pub(crate) connections: usize,
    pub(crate) open_connections: usize,
    pub(crate) tolerated: bool,
}

impl Facts {
    /// Requests for an answer of the model.
    pub(crate) fn model(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.requests.iter().filter(|request| request.wire.is_model())
    }
}

/// Facts that can be waited for.
pub(crate) struct Record {
    facts: Mutex<Facts>,
    changed: Condvar,
    version: watch::Sender<u64>,
}

impl Record {
    pub(crate) fn new() -> Self {
        let version = watch::Sender::new(0);
        Self { facts: Mutex::default(), changed: Condvar::new(), version }
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        let out = change(&mut self.read());
        self.changed.notify_all();
        self.version.send_modify(|version| *version += 1);
        out
    }

    /// Blocks until `look` finds something.
    pub(crate) fn wait_blocking<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Facts) -> Option<T>,
    ) -> T {
        let end = Instant::now() + DEADLINE;
        let mut facts = self.read();
        loop {
            if let Some(found) = look(&facts) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "waited in vain for {what}: {}", state(&facts));
            facts = self.changed.wait_timeout(facts, left).unwrap().0;
        }
    }

    /// Waits until `look` finds something.
    pub(crate) async fn wait<T>(&self, what: &str, mut look: impl FnMut(&Facts) -> Option<T>) -> T {
        let mut version = self.version.subscribe();
        let found = async {
            loop {
                version.borrow_and_update();
                if let Some(found) = look(&self.read()) {
                    return found;
                }
                // The sender lives as long as `self`, so this cannot fail.
                let _ = version.changed().await;
            }
        };
        match tokio::time::timeout(DEADLINE, found).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for {what}: {}", state(&self.read())),
        }
    }
}

fn state(facts: &Facts) -> String {
    let paths: Vec<_> = facts.requests.iter().map(|request| request.path.as_str()).collect();
    format!("{} requests so far {paths:?}, violations: {:?}", paths.len(), facts.violations)
}
