//! The event ring: a small lossy broadcast. A slow reader misses entries and is told how many.

use crate::lock;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

struct Shared<T> {
    entries: Mutex<Entries<T>>,
    changed: Notify,
    capacity: usize,
}

struct Entries<T> {
    queue: VecDeque<T>,
    /// The number of the first entry in `queue`.
    first: u64,
    readers: usize,
    closed: bool,
}

/// The writing end. Clones share the ring. Nothing is kept while nobody reads.
pub struct Ring<T>(Arc<Shared<T>>);

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// The next entry.
    Item(T),
    /// So many entries were overwritten before they were read.
    Missed(u64),
    /// The ring was closed.
    Closed,
}

impl<T: Clone + Send> Ring<T> {
    /// A ring that keeps the last `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared {
            entries: Mutex::new(Entries {
                queue: VecDeque::new(),
                first: 0,
                readers: 0,
                closed: false,
            }),
            changed: Notify::new(),
            capacity: capacity.max(1),
        }))
    }

    /// Adds an entry, unless the ring is closed; the oldest goes when it is full. Never waits.
    pub fn push(&self, item: T) {
        let mut entries = lock(&self.0.entries);
        if entries.closed {
            return;
        }
        if entries.readers == 0 {
            entries.first += 1;
            return;
        }
        if entries.queue.len() == self.0.capacity {
            entries.queue.pop_front();
            entries.first += 1;
        }
        entries.queue.push_back(item);
        drop(entries);
        self.0.changed.notify_waiters();
    }

    /// Ends the ring: readers get what is left, then [`Next::Closed`].
    pub fn close(&self) {
        lock(&self.0.entries).closed = true;
        self.0.changed.notify_waiters();
    }

    /// A reader that starts here.
    #[must_use]
    pub fn subscribe(&self) -> RingReader<T> {
        let mut entries = lock(&self.0.entries);
        entries.readers += 1;
        let at = entries.first + entries.queue.len() as u64;
        drop(entries);
        RingReader { ring: Arc::clone(&self.0), at }
    }
}

/// A reading end.
pub struct RingReader<T> {
    ring: Arc<Shared<T>>,
    at: u64,
}

impl<T: Clone + Send> RingReader<T> {
    /// The next entry, waiting for it. Cancel-safe.
    pub async fn next(&mut self) -> Next<T> {
        loop {
            let ring = Arc::clone(&self.ring);
            let changed = ring.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no push falls between the two.
            changed.as_mut().enable();
            if let Some(next) = self.try_next() {
                return next;
            }
            changed.await;
        }
    }

    /// The next entry, if there is one.
    pub fn try_next(&mut self) -> Option<Next<T>> {
        let entries = lock(&self.ring.entries);
        if self.at < entries.first {
            let missed = entries.first - self.at;
            self.at = entries.first;
            return Some(Next::Missed(missed));
        }
        let place = usize::try_from(self.at - entries.first).unwrap_or(usize::MAX);
        match entries.queue.get(place) {
            Some(item) => {
                self.at += 1;
                Some(Next::Item(item.clone()))
            }
            None => entries.closed.then_some(Next::Closed),
        }
    }
}

impl<T> Drop for RingReader<T> {
    fn drop(&mut self) {
        let mut entries = lock(&self.ring.entries);
        entries.readers -= 1;
        if entries.readers == 0 {
            entries.first += entries.queue.len() as u64;
            entries.queue = VecDeque::new();
        }
    }
}
