//! A supervisor's table of children. It outlives the supervisor as a mailbox outlives its actor.
//!
//! Locks are taken downwards only: a table's, then those of its children's mailboxes and tables.
//! What a child leaves behind (its queue, its spec) is dropped outside the table's lock.

use crate::{
    ChildSpec, Exit, Kit, Mailbox, NodeView, Reply, SupervisorMessage, child::LaunchError,
    contained, lock, watchdog::Listener,
};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::time::Instant;

/// How children are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One after the other, the last started first.
    Reverse,
    /// All at once.
    Together,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// To be started.
    Due,
    /// Started; told when it is gone.
    Live,
    /// Waits for its backoff, or for its place.
    Waiting,
    /// Told to stop.
    Stopping,
    /// Failed too often; kept so that the tree shows it.
    GivenUp,
}

pub(crate) struct Entry {
    pub(crate) spec: ChildSpec,
    pub(crate) state: State,
    /// The number of its last launch.
    pub(crate) launch: u64,
    pub(crate) restarts: u64,
    pub(crate) recent: VecDeque<Instant>,
    pub(crate) last_error: Option<String>,
    pub(crate) removed: Vec<Reply<()>>,
    /// Its key in the order.
    number: u64,
}

impl Entry {
    /// Whether an incarnation was started whose end is not known yet.
    pub(crate) fn live(&self) -> bool {
        matches!(self.state, State::Live | State::Stopping)
    }

    pub(crate) fn due(&self) -> bool {
        matches!(self.state, State::Due | State::Waiting)
    }

    /// Notes one more restart.
    pub(crate) fn note_restart(&mut self, exit: &Exit, now: Instant) {
        let within = self.spec.intensity.1;
        self.restarts += 1;
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= within) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.last_error = Some(exit.to_string());
    }

    /// Closes a forgotten child and tells who waits for that. Not under the table's lock.
    pub(crate) fn finish(mut self) {
        self.spec.child.close();
        if let Some(listener) = self.spec.take_on_closed() {
            contained("a listener for the end", || listener(None));
        }
        for reply in &self.removed {
            reply.send(());
        }
    }
}

#[derive(Default)]
pub(crate) struct Table {
    /// Names in the order they were added.
    order: BTreeMap<u64, Box<str>>,
    pub(crate) children: HashMap<Box<str>, Entry>,
    /// Set when the supervisor is to end, with the exit to end with.
    pub(crate) ending: Option<Exit>,
    /// The number of the last launch.
    pub(crate) launches: u64,
    added: u64,
}

impl Table {
    /// Adds a child, and gives back the one of that name that had been given up.
    ///
    /// # Errors
    /// Gives the spec back if the name is in use.
    #[expect(clippy::result_large_err, reason = "given back, not an error to pass on")]
    pub(crate) fn insert(&mut self, spec: ChildSpec) -> Result<Option<Entry>, ChildSpec> {
        let mut old = None;
        match self.children.get(&spec.name) {
            Some(entry) if entry.state == State::GivenUp => old = self.forget(&spec.name),
            Some(_) => return Err(spec),
            None => {}
        }
        self.added += 1;
        self.order.insert(self.added, spec.name.clone());
        let name = spec.name.clone();
        let entry = Entry {
            spec,
            state: State::Due,
            launch: 0,
            restarts: 0,
            recent: VecDeque::new(),
            last_error: None,
            removed: Vec::new(),
            number: self.added,
        };
        self.children.insert(name, entry);
        Ok(old)
    }

    /// Takes a child out; the caller finishes it when the lock is released.
    #[must_use]
    pub(crate) fn forget(&mut self, name: &str) -> Option<Entry> {
        let entry = self.children.remove(name)?;
        self.order.remove(&entry.number);
        Some(entry)
    }

    #[must_use]
    pub(crate) fn forget_all(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.order)
            .into_values()
            .filter_map(|name| self.children.remove(&name))
            .collect()
    }

    /// The children in the order they were added.
    pub(crate) fn in_order(&self) -> impl DoubleEndedIterator<Item = (&str, &Entry)> {
        self.order.values().filter_map(|name| Some((&**name, self.children.get(name)?)))
    }
}

/// A child that has not ended.
pub struct Alive {
    /// Its name.
    pub name: Box<str>,
    mailbox: Box<dyn Any + Send>,
}

impl Alive {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its mailbox, if it takes messages of this type.
    #[must_use]
    pub fn mailbox<M: Send + 'static>(&self) -> Option<Mailbox<M>> {
        self.mailbox.downcast_ref::<Mailbox<M>>().cloned()
    }
}

impl std::fmt::Debug for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Alive({})", self.name)
    }
}

pub(crate) struct Shared {
    pub(crate) mailbox: Mailbox<SupervisorMessage>,
    pub(crate) order: Order,
    pub(crate) table: Mutex<Table>,
}

/// The children of one supervisor. Clones share them.
#[derive(Clone)]
pub struct Company(pub(crate) Arc<Shared>);

impl Company {
    /// A company without children, whose supervisor will live at `path`.
    #[must_use]
    pub fn new(kit: &Kit, path: impl Into<Box<str>>, order: Order) -> Self {
        Self(Arc::new(Shared {
            mailbox: Mailbox::new(kit, path, 16),
            order,
            table: Mutex::default(),
        }))
    }

    /// Adds a child before the supervisor is started.
    #[must_use]
    pub fn with(self, spec: ChildSpec) -> Self {
        let known = lock(&self.0.table).insert(spec);
        drop(known);
        self
    }

    /// The supervisor's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox<SupervisorMessage> {
        &self.0.mailbox
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.0.mailbox.0.kit.listener
    }

    /// The children as part of the live tree.
    #[must_use]
    pub fn views(&self) -> Vec<NodeView> {
        let table = lock(&self.0.table);
        table
            .in_order()
            .map(|(name, entry)| {
                let mut view = entry.spec.child.view(name);
                view.restarts = entry.restarts;
                view.last_error.clone_from(&entry.last_error);
                view
            })
            .collect()
    }

    /// The children that are up or about to be, in order.
    #[must_use]
    pub fn alive(&self) -> Vec<Alive> {
        let table = lock(&self.0.table);
        table
            .in_order()
            .filter(|(_, entry)| entry.state != State::GivenUp)
            .map(|(name, entry)| Alive { name: name.into(), mailbox: entry.spec.child.mailbox() })
            .collect()
    }

    /// Kills everything below; supervisors end by themselves when their children are gone.
    pub(crate) fn kill_all(&self) {
        let mut table = lock(&self.0.table);
        table.ending.get_or_insert(Exit::Killed);
        for entry in table.children.values() {
            entry.spec.child.kill();
        }
    }

    /// Notes how the supervisor is to end: its next incarnation stops the children.
    pub(crate) fn order_end(&self, exit: Exit) {
        lock(&self.0.table).ending.get_or_insert(exit);
    }

    /// Forgets and closes all children: their supervisor will not run again.
    pub(crate) fn close_all(&self) {
        let forgotten = lock(&self.0.table).forget_all();
        for entry in forgotten {
            entry.finish();
        }
    }

    /// Whether anything below holds its place.
    pub(crate) fn any_living(&self) -> bool {
        lock(&self.0.table).children.values().any(|entry| entry.spec.child.is_living())
    }

    /// Drops clones of `last` as the places below become vacant.
    pub(crate) fn when_all_vacant(&self, last: &Arc<Last>) {
        for entry in lock(&self.0.table).children.values() {
            entry.spec.child.when_all_vacant(last);
        }
    }

    /// Starts a child, unless the supervisor is to end. What is given back is to be finished when
    /// the table's lock, held by the caller, is released.
    #[must_use]
    pub(crate) fn launch(&self, table: &mut Table, name: &str) -> Option<Entry> {
        if table.ending.is_some() { None } else { self.launch_as(table, name, State::Live) }
    }

    /// Starts a child that is then in the state `started`.
    #[must_use]
    pub(crate) fn launch_as(&self, table: &mut Table, name: &str, started: State) -> Option<Entry> {
        let entry = table.children.get_mut(name)?;
        table.launches += 1;
        let launch = table.launches;
        entry.launch = launch;
        let told = self.0.mailbox.clone();
        let child: Box<str> = name.into();
        let result = entry.spec.launch(move |exit| {
            let _refused = told.tell(SupervisorMessage::Gone { name: child, launch, exit });
        });
        match result {
            Ok(()) => entry.state = started,
            Err(LaunchError::Taken) => {
                // Old state still holds the place: start when it is gone.
                entry.state = State::Waiting;
                let told = self.0.mailbox.clone();
                let child: Box<str> = name.into();
                entry.spec.child.when_vacant(Box::new(move || {
                    let _refused = told.tell(SupervisorMessage::StartDue { name: child });
                }));
            }
            Err(LaunchError::Closed) => return table.forget(name),
        }
        None
    }
}

/// Runs its step when the last clone of its `Arc` is dropped.
pub struct Last(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Last {
    pub(crate) fn new(step: impl FnOnce() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Some(Box::new(step))))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(step) = self.0.take() {
            step();
        }
    }
}
