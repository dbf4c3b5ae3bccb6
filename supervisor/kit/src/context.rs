//! What a handler can order. Everything but pausing happens when the handler returns.

use crate::{Exit, Life, Mailbox, Reply, ThreadLife};
use std::{future::Future, pin::Pin, time::Duration};
use troupe_timer::Deadline;

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) enum Effect<M: Send + 'static> {
    Run(Box<dyn FnOnce() + Send>),
    Task(Box<dyn FnOnce(Life<M>) -> TaskFuture + Send>),
    Thread(&'static str, Box<dyn FnOnce(ThreadLife<M>) + Send>),
}

/// Collects what a handler orders, and carries it out if the handler returns.
pub struct Context<M: Send + 'static> {
    myself: Mailbox<M>,
    pub(crate) effects: Vec<Effect<M>>,
    pub(crate) pause: Option<bool>,
    pub(crate) end: Option<Exit>,
    incarnation: u64,
}

impl<M: Send + 'static> Context<M> {
    pub(crate) fn new(myself: Mailbox<M>, incarnation: u64) -> Self {
        Self { myself, effects: Vec::new(), pause: None, end: None, incarnation }
    }

    /// The role's own mailbox.
    #[must_use]
    pub fn myself(&self) -> &Mailbox<M> {
        &self.myself
    }

    /// Which incarnation this is, from 1.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Sends into the control lane of a role; nothing happens if it is closed.
    pub fn send<N: Send + 'static>(&mut self, to: &Mailbox<N>, message: N) {
        let to = to.clone();
        self.run(move || {
            let _refused = to.tell(message);
        });
    }

    /// Sends to the tail of the bulk lane of a role, without a permit.
    pub fn send_behind<N: Send + 'static>(&mut self, to: &Mailbox<N>, message: N) {
        let to = to.clone();
        self.run(move || {
            let _refused = to.tell_behind(message);
        });
    }

    /// Answers a call.
    pub fn reply<T: Send + 'static>(&mut self, reply: &Reply<T>, value: T) {
        let reply = reply.clone();
        self.run(move || reply.send(value));
    }

    /// Runs a short step that neither waits nor fails, such as a change to something shared.
    pub fn run(&mut self, step: impl FnOnce() + Send + 'static) {
        self.effects.push(Effect::Run(Box::new(step)));
    }

    /// Starts a task that the role owns: it ends with the role.
    pub fn task<F>(&mut self, task: impl FnOnce(Life<M>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.effects.push(Effect::Task(Box::new(move |life| Box::pin(task(life)))));
    }

    /// Starts a thread that the role owns: it is muted when the role ends.
    pub fn thread(
        &mut self,
        name: &'static str,
        body: impl FnOnce(ThreadLife<M>) + Send + 'static,
    ) {
        self.effects.push(Effect::Thread(name, Box::new(body)));
    }

    /// Sends a message to the role itself after a while by the clock; forgotten if the role ends
    /// before.
    pub fn after(&mut self, wait: Duration, message: M) {
        self.task(move |life| async move {
            tokio::time::sleep(wait).await;
            let _refused = life.tell(message);
        });
    }

    /// Sends a message to the role itself once this process had so much time to work: a deadline for
    /// somebody else's answer. Time in which the process stood still does not count.
    pub fn deadline(&mut self, limit: Duration, message: M) {
        self.task(move |life| async move {
            Deadline::after(limit).passed().await;
            let _refused = life.tell(message);
        });
    }

    /// Stops serving the bulk lane, from now until [`Context::resume_bulk`] or the next incarnation.
    pub fn pause_bulk(&mut self) {
        self.pause = Some(true);
    }

    /// Serves the bulk lane again.
    pub fn resume_bulk(&mut self) {
        self.pause = Some(false);
    }

    /// Ends the role, normally.
    pub fn stop(&mut self) {
        self.end.get_or_insert(Exit::Normal);
    }

    /// Ends the role as failed: its supervisor decides what follows.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.end.get_or_insert(Exit::Failed(reason.into()));
    }

    pub(crate) fn give_up(&mut self, reason: String) {
        self.end.get_or_insert(Exit::GaveUp(reason));
    }
}
