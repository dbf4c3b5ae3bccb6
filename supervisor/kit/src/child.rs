//! Child specs: what a supervisor needs to know to start, restart and stop a role.

use crate::{
    Backoff, Company, Exit, Mailbox, NodeView, Phase, Role, company::Last, contained, lock,
    place::Gone, shell,
};
use std::{any::Any, sync::Arc, time::Duration};

/// When a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends without having been told to.
    Permanent,
    /// When it ends other than by its own will.
    Transient,
    /// Never.
    Temporary,
}

/// What follows when a child failed too often, or a supervisor among the children gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// Its supervisor gives up too.
    Escalate,
    /// The child is closed and the others go on.
    Close,
}

/// A role behind its mailbox, whatever its type.
pub trait Child: Send + Sync {
    /// Starts an incarnation; `gone` is told once when it and all its tasks are gone.
    ///
    /// # Errors
    /// Gives `gone` back while the place is taken.
    fn launch(&self, gone: Gone) -> Result<(), Gone>;
    /// Calls `then` as soon as the place is vacant.
    fn when_vacant(&self, then: Box<dyn FnOnce() + Send>);
    /// Drops clones of `last` as its place, and those below it, become vacant.
    fn when_all_vacant(&self, last: &Arc<Last>);
    /// Whether its place, or one below it, is held.
    fn is_living(&self) -> bool;
    /// Whether a place below it is held.
    fn has_orphans(&self) -> bool;
    /// How it ended, if it has run and its place is vacant.
    fn ended(&self) -> Option<Exit>;
    /// Whether it is closed for good.
    fn is_closed(&self) -> bool;
    /// Lets a supervisor that is started now stop its children and end.
    fn order_end(&self);
    /// Orders a stop.
    fn order_stop(&self);
    /// Kills the incarnation. If it is a supervisor: kills all below it, whereupon it ends.
    fn kill(&self);
    /// Closes the role for good.
    fn close(&self);
    /// The role's mailbox, as a `Mailbox` of its message.
    fn mailbox(&self) -> Box<dyn Any + Send>;
    /// The role as part of the live tree.
    fn view(&self, name: &str) -> NodeView;
}

struct RoleChild<R: Role> {
    mailbox: Mailbox<R::Message>,
    args: R::Args,
    /// The children, if the role is a supervisor.
    company: Option<Company>,
}

impl<R: Role> Child for RoleChild<R> {
    fn launch(&self, gone: Gone) -> Result<(), Gone> {
        shell::launch::<R>(&self.mailbox, self.args.clone(), gone)
    }

    fn when_vacant(&self, then: Box<dyn FnOnce() + Send>) {
        let mut queue = lock(&self.mailbox.0.queue);
        if queue.taken {
            queue.waiting.push(then);
        } else {
            drop(queue);
            then();
        }
    }

    fn when_all_vacant(&self, last: &Arc<Last>) {
        let clone = Arc::clone(last);
        self.when_vacant(Box::new(move || drop(clone)));
        if let Some(company) = &self.company {
            company.when_all_vacant(last);
        }
    }

    fn is_living(&self) -> bool {
        lock(&self.mailbox.0.queue).taken || self.has_orphans()
    }

    fn has_orphans(&self) -> bool {
        self.company.as_ref().is_some_and(Company::any_living)
    }

    fn ended(&self) -> Option<Exit> {
        lock(&self.mailbox.0.queue).ended.clone()
    }

    fn is_closed(&self) -> bool {
        self.mailbox.phase() == Phase::Closed
    }

    fn order_end(&self) {
        if let Some(company) = &self.company {
            company.order_end(Exit::Normal);
        }
    }

    fn order_stop(&self) {
        let mut queue = lock(&self.mailbox.0.queue);
        queue.stop_ordered = true;
        queue.wake();
    }

    fn kill(&self) {
        if let Some(company) = &self.company {
            company.kill_all();
            return self.order_stop();
        }
        let actor = lock(&self.mailbox.0.queue).actor.take();
        if let Some(actor) = actor {
            actor.kill();
        }
    }

    fn close(&self) {
        self.mailbox.close();
        if let Some(company) = &self.company {
            company.close_all();
        }
    }

    fn mailbox(&self) -> Box<dyn Any + Send> {
        Box::new(self.mailbox.clone())
    }

    fn view(&self, name: &str) -> NodeView {
        let mut view = self.mailbox.view(name);
        if let Some(company) = &self.company {
            view.children = company.views();
        }
        view
    }
}

/// Told of each exit of a child, by the drop that ends it; see [`SpecBuilder::on_exit`].
pub(crate) type OnExit = Arc<dyn Fn(&Exit) + Send + Sync>;

/// Told once when a child is closed for good; see [`SpecBuilder::on_closed`].
pub(crate) type OnClosed = Box<dyn FnOnce(Option<String>) + Send + Sync>;

/// Why a child was not started.
pub(crate) enum LaunchError {
    /// Its place is held.
    Taken,
    /// Its mailbox is closed for good.
    Closed,
}

/// How a child is started, restarted and stopped.
pub struct ChildSpec {
    pub(crate) name: Box<str>,
    pub(crate) child: Arc<dyn Child>,
    pub(crate) restart: Restart,
    pub(crate) backoff: Backoff,
    pub(crate) grace: Duration,
    pub(crate) intensity: (u32, Duration),
    pub(crate) give_up: GiveUp,
    pub(crate) on_exit: Option<OnExit>,
    pub(crate) on_restart: Option<OnExit>,
    on_closed: Option<OnClosed>,
    launched: bool,
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChildSpec({})", self.name)
    }
}

impl ChildSpec {
    /// A spec for the role behind `mailbox`: permanent, with the default backoff, 2 s of grace,
    /// giving up after 5 restarts within 10 s.
    pub fn of<R: Role>(
        name: impl Into<Box<str>>,
        mailbox: &Mailbox<R::Message>,
        args: R::Args,
    ) -> SpecBuilder {
        SpecBuilder(Self {
            name: name.into(),
            child: Arc::new(RoleChild::<R> { mailbox: mailbox.clone(), args, company: None }),
            restart: Restart::Permanent,
            backoff: Backoff::DEFAULT,
            grace: Duration::from_secs(2),
            intensity: (5, Duration::from_secs(10)),
            give_up: GiveUp::Escalate,
            on_exit: None,
            on_restart: None,
            on_closed: None,
            launched: false,
        })
    }

    /// A spec for a supervisor.
    pub fn supervisor(name: impl Into<Box<str>>, company: &Company) -> SpecBuilder {
        let mut builder = Self::of::<crate::Supervisor>(name, company.mailbox(), company.clone());
        builder.0.child = Arc::new(RoleChild::<crate::Supervisor> {
            mailbox: company.mailbox().clone(),
            args: company.clone(),
            company: Some(company.clone()),
        });
        builder.0.grace = Duration::from_secs(10);
        builder
    }

    /// Starts an incarnation; every exit is told to `told` and to the spec's own listener.
    pub(crate) fn launch(
        &mut self,
        told: impl FnOnce(Exit) + Send + 'static,
    ) -> Result<(), LaunchError> {
        let on_exit = self.on_exit.clone();
        let gone: Gone = Box::new(move |exit| {
            if let Some(listener) = on_exit {
                contained("an exit listener", || listener(&exit));
            }
            told(exit);
        });
        match self.child.launch(gone) {
            Ok(()) => {
                self.launched = true;
                Ok(())
            }
            Err(_) if self.child.is_closed() => Err(LaunchError::Closed),
            Err(_) => Err(LaunchError::Taken),
        }
    }
}

impl ChildSpec {
    /// What tells that the child is closed for good; taken once, called under no lock.
    pub(crate) fn take_on_closed(&mut self) -> Option<OnClosed> {
        self.on_closed.take()
    }
}

impl Drop for ChildSpec {
    // A child that never ran is told as ended all the same: somebody waits for it.
    fn drop(&mut self) {
        if !self.launched
            && let Some(listener) = &self.on_exit
        {
            contained("an exit listener", || listener(&Exit::Killed));
        }
        if let Some(listener) = self.on_closed.take() {
            contained("a listener for the end", || listener(None));
        }
    }
}

/// Builds a [`ChildSpec`].
pub struct SpecBuilder(ChildSpec);

impl SpecBuilder {
    /// When it is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.0.restart = restart;
        self
    }

    /// How long restarts wait.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.0.backoff = backoff;
        self
    }

    /// How long an ordered stop may take before the child is killed.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.0.grace = grace;
        self
    }

    /// How many restarts within which time are too many.
    #[must_use]
    pub fn intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.0.intensity = (restarts, within);
        self
    }

    /// What follows too many restarts.
    #[must_use]
    pub fn give_up(mut self, give_up: GiveUp) -> Self {
        self.0.give_up = give_up;
        self
    }

    /// Told of each exit, by the drop that ends the incarnation, and once with [`Exit::Killed`] if
    /// the child never ran. Must not wait; sends at most a message.
    #[must_use]
    pub fn on_exit(mut self, listener: impl Fn(&Exit) + Send + Sync + 'static) -> Self {
        self.0.on_exit = Some(Arc::new(listener));
        self
    }

    /// Told when the child is started again, with the exit before. Must not wait.
    #[must_use]
    pub fn on_restart(mut self, listener: impl Fn(&Exit) + Send + Sync + 'static) -> Self {
        self.0.on_restart = Some(Arc::new(listener));
        self
    }

    /// Told once when the child is closed for good: it was removed, its work is done, or it was
    /// given up, then with the reason. Must not wait; sends at most a message.
    #[must_use]
    pub fn on_closed(
        mut self,
        listener: impl FnOnce(Option<String>) + Send + Sync + 'static,
    ) -> Self {
        self.0.on_closed = Some(Box::new(listener));
        self
    }

    /// The spec.
    #[must_use]
    pub fn build(self) -> ChildSpec {
        self.0
    }
}
