//! The queue inside a mailbox: two lanes, the phase, who is served.

use crate::{Exit, shell::Wake, view::LaneView};
use ractor::ActorRef;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};
use tokio::sync::OwnedSemaphorePermit;

/// Where a role stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No incarnation serves the queue at the moment: messages wait.
    Restarting,
    /// Messages are handled.
    Running,
    /// It will not run again: messages are refused.
    Closed,
}

/// A message on its way.
pub(crate) struct Envelope<M> {
    pub(crate) message: M,
    pub(crate) queued: Instant,
    pub(crate) span: tracing::Span,
    /// How many handlers panicked on it.
    pub(crate) panics: u32,
    /// Of a call, which is never given again: set when a handler panicked on it.
    pub(crate) call: Option<Arc<AtomicBool>>,
    /// Given back when the handler has returned: by the envelope's drop.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Control,
    Bulk,
}

/// Room that an empty lane keeps. Ten thousand idle mailboxes hold little.
const KEPT: usize = 8;

pub(crate) struct LaneQueue<M> {
    queue: VecDeque<Envelope<M>>,
    high_water: usize,
}

impl<M> LaneQueue<M> {
    fn new() -> Self {
        Self { queue: VecDeque::new(), high_water: 0 }
    }

    fn push(&mut self, envelope: Envelope<M>) {
        self.queue.push_back(envelope);
        self.high_water = self.high_water.max(self.queue.len());
    }

    fn pop(&mut self) -> Option<Envelope<M>> {
        let envelope = self.queue.pop_front();
        // A burst must not leave its memory behind.
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        envelope
    }

    fn view(&self) -> LaneView {
        LaneView {
            depth: self.queue.len(),
            high_water: self.high_water,
            oldest: self.queue.front().map(|envelope| envelope.queued.elapsed()),
        }
    }
}

pub(crate) struct Queue<M> {
    control: LaneQueue<M>,
    bulk: LaneQueue<M>,
    pub(crate) phase: Phase,
    pub(crate) actor: Option<ActorRef<Wake>>,
    pub(crate) wake_pending: bool,
    pub(crate) paused: bool,
    pub(crate) stop_ordered: bool,
    /// A task panicked: the role has crashed.
    pub(crate) crashed: Option<String>,
    /// Whether an incarnation, or a task of one, still holds the place.
    pub(crate) taken: bool,
    /// How the last incarnation ended, while the place is vacant.
    pub(crate) ended: Option<Exit>,
    /// Told when the place is vacant.
    pub(crate) waiting: Vec<Box<dyn FnOnce() + Send>>,
    pub(crate) incarnation: u64,
}

pub(crate) enum Taken<M> {
    Message(Lane, Envelope<M>),
    Stop,
    Nothing,
}

impl<M> Queue<M> {
    pub(crate) fn new() -> Self {
        Self {
            control: LaneQueue::new(),
            bulk: LaneQueue::new(),
            phase: Phase::Restarting,
            actor: None,
            wake_pending: false,
            paused: false,
            stop_ordered: false,
            crashed: None,
            taken: false,
            ended: None,
            waiting: Vec::new(),
            incarnation: 0,
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneQueue<M> {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Bulk => &mut self.bulk,
        }
    }

    pub(crate) fn push(&mut self, lane: Lane, envelope: Envelope<M>) {
        self.lane(lane).push(envelope);
        self.wake();
    }

    /// Puts the message in hand back to where it was taken from.
    pub(crate) fn put_back(&mut self, lane: Lane, envelope: Envelope<M>) {
        self.lane(lane).queue.push_front(envelope);
    }

    pub(crate) fn take(&mut self) -> Taken<M> {
        if let Some(envelope) = self.control.pop() {
            return Taken::Message(Lane::Control, envelope);
        }
        if self.stop_ordered {
            self.stop_ordered = false;
            return Taken::Stop;
        }
        if !self.paused
            && let Some(envelope) = self.bulk.pop()
        {
            return Taken::Message(Lane::Bulk, envelope);
        }
        Taken::Nothing
    }

    fn has_work(&self) -> bool {
        self.crashed.is_some()
            || self.stop_ordered
            || !self.control.queue.is_empty()
            || (!self.paused && !self.bulk.queue.is_empty())
    }

    /// Wakes the incarnation, unless a wake is on its way.
    pub(crate) fn wake(&mut self) {
        if !self.wake_pending
            && let Some(actor) = &self.actor
        {
            self.wake_pending = actor.cast(Wake).is_ok();
        }
    }

    /// After a round: wakes again if there is more.
    pub(crate) fn rest(&mut self) {
        self.wake_pending = false;
        if self.has_work() {
            self.wake();
        }
    }

    /// Empties the lanes; the caller drops the messages outside the lock.
    pub(crate) fn drain(&mut self) -> Vec<Envelope<M>> {
        self.control.queue.drain(..).chain(self.bulk.queue.drain(..)).collect()
    }

    pub(crate) fn views(&self) -> (LaneView, LaneView) {
        (self.control.view(), self.bulk.view())
    }
}
