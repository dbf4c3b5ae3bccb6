//! Supervisors: ordinary roles whose table outlives them.
//!
//! A [`Company`] holds the children, their order and their restart counts; a [`Supervisor`] is the
//! role that looks after them. When it crashes, its children go on, what they report waits in its
//! mailbox, and the next incarnation finds the table as it was. Everything it changes it changes
//! when its handler commits, in one step.

use crate::{
    ChildSpec, Context, Exit, GiveUp, Kit, Life, Mailbox, NodeView, Reply, Restart, Role,
    StartError, lock,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How children are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One after the other, the last started first.
    Reverse,
    /// All at once.
    Together,
}

/// What a supervisor is told.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// From anybody who owns the right to add children: start this one. A known name is ignored.
    /// If the supervisor dies first, the message waits.
    Add(Arc<Mutex<Option<ChildSpec>>>),
    /// Stop this child and forget it. An unknown name is ignored.
    Remove {
        /// The child's name.
        name: Box<str>,
        /// Answered when it is gone.
        done: Option<Reply<()>>,
    },
    /// From the drop that ended an incarnation: it and its tasks are gone.
    Gone {
        /// The child's name.
        name: Box<str>,
        /// Which launch it was.
        launch: u64,
        /// How it ended.
        exit: Exit,
    },
    /// Own timer, or a vacant place: start the child now.
    StartDue {
        /// The child's name.
        name: Box<str>,
    },
    /// Own timer: the grace of an ordered stop is over.
    GraceDue {
        /// The child's name.
        name: Box<str>,
        /// The launch that was to stop.
        launch: u64,
    },
    /// Names of the children that have not ended, in order.
    Alive(Reply<Vec<Box<str>>>),
}

impl SupervisorMessage {
    /// The order to start a child.
    #[must_use]
    pub fn add(spec: ChildSpec) -> Self {
        Self::Add(Arc::new(Mutex::new(Some(spec))))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be started.
    Due,
    /// Started; told when it is gone.
    Live,
    /// Waits for its backoff.
    Waiting,
    /// Told to stop.
    Stopping,
    /// Failed too often; kept so that the tree shows it.
    GivenUp,
}

struct Entry {
    spec: ChildSpec,
    state: State,
    launch: u64,
    restarts: u64,
    recent: VecDeque<Instant>,
    last_error: Option<String>,
    remove: bool,
    removed: Vec<Reply<()>>,
}

#[derive(Default)]
struct Table {
    /// Names in the order they were added.
    order: Vec<Box<str>>,
    children: HashMap<Box<str>, Entry>,
    /// Set when the supervisor is to end, with the exit to end with.
    ending: Option<Exit>,
    launches: u64,
}

struct Shared {
    mailbox: Mailbox<SupervisorMessage>,
    order: Order,
    table: Mutex<Table>,
}

/// The children of one supervisor. Clones share them.
#[derive(Clone)]
pub struct Company(Arc<Shared>);

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

    /// Adds a child before the supervisor is started, or from an edge.
    #[must_use]
    pub fn with(self, spec: ChildSpec) -> Self {
        drop(lock(&self.0.table).insert(spec));
        self
    }

    /// The supervisor's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox<SupervisorMessage> {
        &self.0.mailbox
    }

    /// The children as part of the live tree.
    #[must_use]
    pub fn views(&self) -> Vec<NodeView> {
        let table = lock(&self.0.table);
        table
            .order
            .iter()
            .filter_map(|name| {
                let entry = table.children.get(name)?;
                let mut view = entry.spec.child.view(name);
                view.restarts = entry.restarts;
                view.last_error.clone_from(&entry.last_error);
                Some(view)
            })
            .collect()
    }

    /// Names of the children that are up or about to be.
    #[must_use]
    pub fn alive(&self) -> Vec<Box<str>> {
        let table = lock(&self.0.table);
        let up = |name: &str| {
            table.children.get(name).is_some_and(|entry| entry.state != State::GivenUp)
        };
        table.order.iter().filter(|name| up(name)).cloned().collect()
    }

    pub(crate) fn kill_all(&self) {
        let mut table = lock(&self.0.table);
        table.ending.get_or_insert(Exit::Killed);
        for entry in table.children.values() {
            entry.spec.child.kill();
        }
    }

    pub(crate) fn close_all(&self) {
        for entry in lock(&self.0.table).children.values() {
            entry.spec.child.close();
        }
    }

    /// Starts the child, under the table's lock held by the caller.
    fn launch(&self, table: &mut Table, name: &str) {
        table.launches += 1;
        let launch = table.launches;
        let Some(entry) = table.children.get_mut(name) else { return };
        entry.launch = launch;
        let told = self.0.mailbox.clone();
        let child: Box<str> = name.into();
        let started = entry.spec.launch(move |exit| {
            let _refused = told.tell(SupervisorMessage::Gone { name: child, launch, exit });
        });
        if started {
            entry.state = State::Live;
        } else {
            // Old state still holds the place: start when it is gone.
            entry.state = State::Waiting;
            let told = self.0.mailbox.clone();
            let child: Box<str> = name.into();
            entry.spec.child.when_vacant(Box::new(move || {
                let _refused = told.tell(SupervisorMessage::StartDue { name: child });
            }));
        }
    }
}

impl Table {
    /// Adds a child; gives the spec back if the name is known.
    fn insert(&mut self, spec: ChildSpec) -> Option<ChildSpec> {
        if self.children.contains_key(&spec.name) {
            return Some(spec);
        }
        let name = spec.name.clone();
        self.order.push(name.clone());
        let entry = Entry {
            spec,
            state: State::Due,
            launch: 0,
            restarts: 0,
            recent: VecDeque::new(),
            last_error: None,
            remove: false,
            removed: Vec::new(),
        };
        self.children.insert(name, entry);
        None
    }

    fn forget(&mut self, name: &str) {
        if let Some(entry) = self.children.remove(name) {
            // Mostly the last ones go first.
            if let Some(place) = self.order.iter().rposition(|other| &**other == name) {
                self.order.remove(place);
            }
            entry.spec.child.close();
            for reply in &entry.removed {
                reply.send(());
            }
        }
    }

    fn stopped(&self) -> bool {
        self.children.values().all(|entry| !matches!(entry.state, State::Live | State::Stopping))
    }
}

/// The role that looks after a [`Company`].
pub struct Supervisor {
    company: Company,
}

impl Role for Supervisor {
    type Message = SupervisorMessage;
    type Args = Company;
    const IDEMPOTENT: bool = true;

    async fn start(company: Company, _: Life<SupervisorMessage>) -> Result<Self, StartError> {
        Ok(Self { company })
    }

    fn started(&mut self, cx: &mut Context<SupervisorMessage>) {
        if lock(&self.company.0.table).ending.is_some() {
            return self.end_children(cx, None);
        }
        // Backoff timers died with the incarnation before.
        let company = self.company.clone();
        cx.run(move || {
            let mut table = lock(&company.0.table);
            for name in table.order.clone() {
                let due = |entry: &Entry| matches!(entry.state, State::Due | State::Waiting);
                if table.children.get(&name).is_some_and(due) {
                    company.launch(&mut table, &name);
                }
            }
        });
    }

    fn handle(&mut self, message: &SupervisorMessage, cx: &mut Context<SupervisorMessage>) {
        match message {
            SupervisorMessage::Add(spec) => self.on_add(spec, cx),
            SupervisorMessage::Remove { name, done } => self.on_remove(name, done.as_ref(), cx),
            SupervisorMessage::Gone { name, launch, exit } => {
                self.on_gone(name, *launch, exit, cx);
            }
            SupervisorMessage::StartDue { name } => self.on_start_due(name, cx),
            SupervisorMessage::GraceDue { name, launch } => self.on_grace_due(name, *launch),
            SupervisorMessage::Alive(reply) => {
                let alive = self.company.alive();
                cx.reply(reply, alive);
            }
        }
    }

    fn stop(&mut self, cx: &mut Context<SupervisorMessage>) {
        self.end_children(cx, Some(Exit::Normal));
    }
}

impl Supervisor {
    fn on_add(&self, spec: &Arc<Mutex<Option<ChildSpec>>>, cx: &mut Context<SupervisorMessage>) {
        let (company, spec) = (self.company.clone(), Arc::clone(spec));
        cx.run(move || {
            let Some(spec) = lock(&spec).take() else { return };
            let mut table = lock(&company.0.table);
            if table.ending.is_some() {
                drop(table);
                return; // Dropping the spec tells that the child never ran.
            }
            let name = spec.name.clone();
            let known = table.insert(spec);
            if known.is_none() {
                company.launch(&mut table, &name);
            }
            drop(table);
        });
    }

    fn on_remove(&self, name: &str, done: Option<&Reply<()>>, cx: &mut Context<SupervisorMessage>) {
        let (company, name, done) = (self.company.clone(), Box::<str>::from(name), done.cloned());
        let mut table = lock(&company.0.table);
        let Some(entry) = table.children.get_mut(&name) else {
            if let Some(done) = done {
                cx.reply(&done, ());
            }
            return;
        };
        let live = matches!(entry.state, State::Live | State::Stopping);
        if live {
            cx.after(
                entry.spec.grace,
                SupervisorMessage::GraceDue { name: name.clone(), launch: entry.launch },
            );
        }
        drop(table);
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let Some(entry) = table.children.get_mut(&name) else { return };
            entry.remove = true;
            entry.removed.extend(done);
            if live {
                entry.state = State::Stopping;
                entry.spec.child.order_stop();
            } else {
                table.forget(&name);
            }
        });
    }

    fn on_gone(&self, name: &str, launch: u64, exit: &Exit, cx: &mut Context<SupervisorMessage>) {
        let mut table = lock(&self.company.0.table);
        let ending = table.ending.is_some();
        let Some(entry) = table.children.get_mut(name) else { return };
        if entry.launch != launch {
            return;
        }
        let stopping = entry.state == State::Stopping || entry.remove;
        let company = self.company.clone();
        let child: Box<str> = name.into();
        if ending {
            drop(table);
            cx.run(move || {
                if let Some(entry) = lock(&company.0.table).children.get_mut(&child) {
                    entry.state = State::Due;
                }
            });
            // Looks at the table after the step above.
            return self.end_after(name, cx);
        }
        if stopping || !wants_restart(entry.spec.restart, exit) {
            let kept = !stopping && matches!(exit, Exit::GaveUp(_));
            let escalate = kept && entry.spec.give_up == GiveUp::Escalate;
            drop(table);
            cx.run(move || {
                lock(&company.0.table).forget(&child);
            });
            if escalate {
                self.end_children(cx, Some(Exit::GaveUp(format!("{name} {exit}"))));
            }
            return;
        }
        let now = Instant::now();
        let (most, within) = entry.spec.intensity;
        let recent = entry.recent.iter().filter(|at| now.duration_since(**at) < within).count();
        if recent >= most as usize {
            let give_up = entry.spec.give_up;
            drop(table);
            let reason = exit.to_string();
            cx.run(move || {
                if let Some(entry) = lock(&company.0.table).children.get_mut(&child) {
                    entry.state = State::GivenUp;
                    entry.last_error = Some(format!("{reason}; failed too often"));
                    entry.spec.child.close();
                }
            });
            if give_up == GiveUp::Escalate {
                let why = format!("{name} failed more than {most} times in {within:?}: {exit}");
                self.end_children(cx, Some(Exit::GaveUp(why)));
            }
            return;
        }
        // The first restart in a while does not wait.
        let wait = match u32::try_from(recent).unwrap_or(u32::MAX) {
            0 => Duration::ZERO,
            n => entry.spec.backoff.wait(n),
        };
        drop(table);
        self.order_restart(child, exit, now, within, wait, cx);
    }

    fn order_restart(
        &self,
        name: Box<str>,
        exit: &Exit,
        now: Instant,
        within: Duration,
        wait: Duration,
        cx: &mut Context<SupervisorMessage>,
    ) {
        tracing::warn!(child = &*name, %exit, ?wait, "restarting");
        let company = self.company.clone();
        let exit = exit.clone();
        if !wait.is_zero() {
            cx.after(wait, SupervisorMessage::StartDue { name: name.clone() });
        }
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let Some(entry) = table.children.get_mut(&name) else { return };
            entry.state = State::Waiting;
            entry.restarts += 1;
            while entry.recent.front().is_some_and(|at| now.duration_since(*at) >= within) {
                entry.recent.pop_front();
            }
            entry.recent.push_back(now);
            entry.last_error = Some(exit.to_string());
            let listener = entry.spec.on_restart.clone();
            if wait.is_zero() {
                company.launch(&mut table, &name);
            }
            drop(table);
            if let Some(listener) = listener {
                listener(&exit);
            }
        });
    }

    fn on_start_due(&self, name: &str, cx: &mut Context<SupervisorMessage>) {
        let company = self.company.clone();
        let name: Box<str> = name.into();
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let waits = |entry: &Entry| matches!(entry.state, State::Due | State::Waiting);
            if table.ending.is_none() && table.children.get(&name).is_some_and(waits) {
                company.launch(&mut table, &name);
            }
        });
    }

    fn on_grace_due(&self, name: &str, launch: u64) {
        let table = lock(&self.company.0.table);
        if let Some(entry) = table.children.get(name)
            && entry.launch == launch
            && entry.state == State::Stopping
        {
            entry.spec.child.kill();
        }
    }

    /// Goes on with the end after a child has gone.
    fn end_after(&self, gone: &str, cx: &mut Context<SupervisorMessage>) {
        let table = lock(&self.company.0.table);
        let live = |entry: &Entry| matches!(entry.state, State::Live | State::Stopping);
        if table.children.iter().any(|(name, entry)| &**name != gone && live(entry)) {
            // Together: all have been told already.
            if self.company.0.order == Order::Reverse {
                let next = self.next_to_stop(&table, Some(gone));
                drop(table);
                self.order_stops(next, cx);
            }
        } else {
            let exit = table.ending.clone().unwrap_or(Exit::Normal);
            drop(table);
            self.finish(exit, cx);
        }
    }

    /// Begins, or goes on with, the ordered stop of all children; `exit` is how to end then.
    fn end_children(&self, cx: &mut Context<SupervisorMessage>, exit: Option<Exit>) {
        let table = lock(&self.company.0.table);
        let exit = table.ending.clone().or(exit).unwrap_or(Exit::Normal);
        let company = self.company.clone();
        let noted = exit.clone();
        cx.run(move || {
            lock(&company.0.table).ending.get_or_insert(noted);
        });
        if table.stopped() {
            drop(table);
            return self.finish(exit, cx);
        }
        let next = self.next_to_stop(&table, None);
        drop(table);
        self.order_stops(next, cx);
    }

    fn next_to_stop(&self, table: &Table, gone: Option<&str>) -> Vec<Box<str>> {
        let live = table.order.iter().rev().filter(|name| {
            Some(&***name) != gone
                && table
                    .children
                    .get(*name)
                    .is_some_and(|entry| matches!(entry.state, State::Live | State::Stopping))
        });
        match self.company.0.order {
            Order::Reverse => live.take(1).cloned().collect(),
            Order::Together => live.cloned().collect(),
        }
    }

    fn order_stops(&self, names: Vec<Box<str>>, cx: &mut Context<SupervisorMessage>) {
        let table = lock(&self.company.0.table);
        for name in &names {
            if let Some(entry) = table.children.get(name)
                && entry.state == State::Live
            {
                cx.after(
                    entry.spec.grace,
                    SupervisorMessage::GraceDue { name: name.clone(), launch: entry.launch },
                );
            }
        }
        drop(table);
        let company = self.company.clone();
        cx.run(move || {
            let mut table = lock(&company.0.table);
            for name in names {
                if let Some(entry) = table.children.get_mut(&name)
                    && entry.state == State::Live
                {
                    entry.state = State::Stopping;
                    entry.spec.child.order_stop();
                }
            }
        });
    }

    fn finish(&self, exit: Exit, cx: &mut Context<SupervisorMessage>) {
        let company = self.company.clone();
        cx.run(move || {
            let mut table = lock(&company.0.table);
            for name in std::mem::take(&mut table.order) {
                table.forget(&name);
            }
        });
        match exit {
            Exit::GaveUp(why) => cx.give_up(why),
            _ => cx.stop(),
        }
    }
}

fn wants_restart(restart: Restart, exit: &Exit) -> bool {
    match (restart, exit) {
        (_, Exit::GaveUp(_)) | (Restart::Temporary, _) | (Restart::Transient, Exit::Normal) => {
            false
        }
        (Restart::Permanent | Restart::Transient, _) => true,
    }
}
