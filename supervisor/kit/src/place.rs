//! Places: who holds a mailbox.
//!
//! A place is held by an incarnation and every task it owns. When the role ends, the place is
//! muted, so that nothing its tasks send arrives any more; when the last holder is gone, the
//! place's drop tells the exit. Only then can the next incarnation claim it.

use crate::{Exit, Phase, contained, lock, mailbox::Shared};
use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// Told once, when an incarnation and all its tasks are gone.
pub(crate) type Gone = Box<dyn FnOnce(Exit) + Send>;

/// Lets the tasks of an incarnation speak, until it is muted.
#[derive(Default)]
pub(crate) struct Mute(RwLock<bool>);

impl Mute {
    /// Runs `speak` unless muted; while it runs, [`Mute::mute`] waits.
    pub(crate) fn unless_muted<T>(&self, speak: impl FnOnce() -> T) -> Option<T> {
        let muted = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if *muted { None } else { Some(speak()) }
    }

    pub(crate) fn mute(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    pub(crate) fn is_muted(&self) -> bool {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Place<M> {
    shared: Arc<Shared<M>>,
    pub(crate) mute: Arc<Mute>,
    exit: Mutex<Option<Exit>>,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
    gone: Mutex<Option<Gone>>,
}

impl<M> Place<M> {
    /// Claims the mailbox's place; gives `gone` back if it is taken.
    pub(crate) fn claim(shared: &Arc<Shared<M>>, gone: Gone) -> Result<Arc<Self>, Gone> {
        let mut queue = lock(&shared.queue);
        if queue.taken || queue.phase == Phase::Closed {
            return Err(gone);
        }
        queue.taken = true;
        queue.ended = None;
        queue.incarnation += 1;
        queue.paused = false;
        queue.crashed = None;
        queue.wake_pending = false;
        drop(queue);
        Ok(Arc::new(Self {
            shared: Arc::clone(shared),
            mute: Arc::default(),
            exit: Mutex::new(None),
            kept: Mutex::new(Vec::new()),
            gone: Mutex::new(Some(gone)),
        }))
    }

    /// Notes how the incarnation ended; the first note counts.
    pub(crate) fn note_exit(&self, exit: Exit) {
        lock(&self.exit).get_or_insert(exit);
    }

    /// Keeps a resource until the place is vacant.
    pub(crate) fn keep(&self, resource: Box<dyn Any + Send>) {
        lock(&self.kept).push(resource);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }
}

impl<M> Drop for Place<M> {
    fn drop(&mut self) {
        let kept = std::mem::take(&mut *lock(&self.kept));
        contained("the drop of a kept resource", || drop(kept));
        let exit = lock(&self.exit).take().unwrap_or(Exit::Killed);
        let waiting = {
            let mut queue = lock(&self.shared.queue);
            queue.taken = false;
            queue.ended = Some(exit.clone());
            queue.actor = None;
            queue.wake_pending = false;
            std::mem::take(&mut queue.waiting)
        };
        let gone = lock(&self.gone).take();
        contained("an exit notice", || gone.map_or((), |gone| gone(exit)));
        for tell in waiting {
            contained("a vacancy notice", tell);
        }
    }
}
