//! Mailboxes: the handle of a role, whichever incarnation serves it.

use crate::{
    Faults, NodeView, Phase, Reply, Stuck, lock,
    queue::{Envelope, Lane, Queue},
    watchdog::Listener,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use troupe_timer::within;

/// What every mailbox of one company shares.
#[derive(Clone, Default)]
pub struct Kit {
    /// The faults to inject.
    pub faults: Faults,
    pub(crate) listener: Listener,
}

impl Kit {
    /// A kit with these faults.
    #[must_use]
    pub fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Has somebody told of what is stuck, on a thread of its own: a handler or a task that has not come
    /// back for seconds. The first listener counts.
    pub fn on_stuck(&self, told: impl Fn(&Stuck) + Send + Sync + 'static) {
        self.listener.get_or_init(|| Arc::new(told));
    }
}

/// The role is closed: the message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the role is closed")]
pub struct Refused;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The role is closed.
    #[error("the role is closed")]
    Closed,
    /// The role was started again with the call in hand; it is not repeated.
    #[error("the role was restarted while it had the call in hand")]
    Restarted,
    /// The role panicked on this very call.
    #[error("the role failed on this message")]
    Crashed,
    /// The deadline passed. The call may still be carried out.
    #[error("no answer in time")]
    TimedOut,
}

#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) handled: u64,
    pub(crate) waited: Duration,
    pub(crate) handling: Duration,
    pub(crate) handling_max: Duration,
    pub(crate) tasks: usize,
}

pub(crate) struct Shared<M> {
    pub(crate) path: Box<str>,
    pub(crate) kit: Kit,
    pub(crate) queue: Mutex<Queue<M>>,
    pub(crate) stats: Mutex<Stats>,
    permits: Arc<Semaphore>,
}

/// The handle of a role. Clones share the queue; it outlives every incarnation.
pub struct Mailbox<M>(pub(crate) Arc<Shared<M>>);

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> std::fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({})", self.0.path)
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// A mailbox for the role at `path`, with room for `bulk` messages in the bulk lane.
    #[must_use]
    pub fn new(kit: &Kit, path: impl Into<Box<str>>, bulk: usize) -> Self {
        Self(Arc::new(Shared {
            path: path.into(),
            kit: kit.clone(),
            queue: Mutex::new(Queue::new()),
            stats: Mutex::new(Stats::default()),
            permits: Arc::new(Semaphore::new(bulk.max(1))),
        }))
    }

    /// The role's path in the tree.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Where the role stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        lock(&self.0.queue).phase
    }

    /// Queues a message; gives it back if the role is closed.
    pub(crate) fn try_push(&self, lane: Lane, envelope: Envelope<M>) -> Option<Envelope<M>> {
        let mut queue = lock(&self.0.queue);
        if queue.phase == Phase::Closed {
            return Some(envelope);
        }
        queue.push(lane, envelope);
        None
    }

    fn push(&self, lane: Lane, envelope: Envelope<M>) -> Result<(), Refused> {
        self.try_push(lane, envelope).map_or(Ok(()), |_| Err(Refused))
    }

    pub(crate) fn envelope(message: M) -> Envelope<M> {
        Envelope {
            message,
            queued: Instant::now(),
            span: tracing::Span::current(),
            panics: 0,
            call: None,
            permit: None,
        }
    }

    /// Into the control lane. Never waits. For edges; roles send through their context.
    ///
    /// # Errors
    /// When the role is closed.
    pub fn tell(&self, message: M) -> Result<(), Refused> {
        self.push(Lane::Control, Self::envelope(message))
    }

    /// To the tail of the bulk lane, without a permit: for notices that must stay in order behind
    /// what is queued there.
    ///
    /// # Errors
    /// When the role is closed.
    pub fn tell_behind(&self, message: M) -> Result<(), Refused> {
        self.push(Lane::Bulk, Self::envelope(message))
    }

    /// Into the bulk lane, waiting for a permit.
    ///
    /// # Errors
    /// When the role is closed.
    pub async fn offer(&self, message: M) -> Result<(), Refused> {
        let permit = self.permit().await?;
        self.push(Lane::Bulk, Envelope { permit: Some(permit), ..Self::envelope(message) })
    }

    pub(crate) async fn permit(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.0.permits).acquire_owned().await.map_err(|_| Refused)
    }

    /// A command with an answer and a deadline. For edges, front ends and tests.
    ///
    /// # Errors
    /// When the role is closed, was restarted with the call in hand, or is late.
    pub async fn call<T>(
        &self,
        deadline: Duration,
        message: impl FnOnce(Reply<T>) -> M,
    ) -> Result<T, CallError> {
        let (reply, answer) = Reply::new();
        let crashed = Arc::new(AtomicBool::new(false));
        let call = Some(Arc::clone(&crashed));
        let envelope = Envelope { call, ..Self::envelope(message(reply)) };
        self.push(Lane::Control, envelope).map_err(|Refused| CallError::Closed)?;
        match within(deadline, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) if self.phase() == Phase::Closed => Err(CallError::Closed),
            Ok(Err(_)) if crashed.load(Ordering::Acquire) => Err(CallError::Crashed),
            Ok(Err(_)) => Err(CallError::Restarted),
            Err(_) => Err(CallError::TimedOut),
        }
    }

    /// A call to an idempotent role: given again while the role is started again, but not once it
    /// has made the role panic twice.
    ///
    /// # Errors
    /// When the role is closed, is late, or panicked on it twice.
    pub async fn ask<T>(
        &self,
        deadline: Duration,
        message: impl Fn(Reply<T>) -> M,
    ) -> Result<T, CallError> {
        let mut crashed = false;
        loop {
            match self.call(deadline, &message).await {
                Err(CallError::Restarted) => {}
                Err(CallError::Crashed) if !crashed => crashed = true,
                other => return other,
            }
        }
    }

    /// Closes the role for good: what is queued is dropped, what comes is refused.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.0.queue);
        queue.phase = Phase::Closed;
        let dropped = queue.drain();
        drop(queue);
        self.0.permits.close();
        drop(dropped);
    }

    /// The role as part of the live tree; what its supervisor knows is filled in there.
    pub(crate) fn view(&self, name: &str) -> NodeView {
        let (phase, incarnation, (control, bulk)) = {
            let queue = lock(&self.0.queue);
            (queue.phase, queue.incarnation, queue.views())
        };
        let stats = lock(&self.0.stats);
        let count = u32::try_from(stats.handled.max(1)).unwrap_or(u32::MAX);
        NodeView {
            name: name.to_owned(),
            phase,
            incarnation,
            restarts: 0,
            last_error: None,
            control,
            bulk,
            handled: stats.handled,
            wait: stats.waited / count,
            handling: stats.handling / count,
            handling_max: stats.handling_max,
            tasks: stats.tasks,
            children: Vec::new(),
        }
    }
}
