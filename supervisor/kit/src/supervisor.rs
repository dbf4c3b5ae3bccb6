//! Supervisors: ordinary roles whose table outlives them.
//!
//! A [`Company`] holds the children, their order and their restart counts; a [`Supervisor`] is the
//! role that looks after them. When it crashes, its children go on, what they report waits in its
//! mailbox, and the next incarnation finds the table as it was. Everything it changes it changes
//! when its handler commits.
//!
//! A supervisor that has to end while children live is started once more to stop them in order;
//! if it crashes too often for that, whoever looks after it kills them and waits for their end.

use crate::{
    Alive, ChildSpec, Company, Context, Exit, GiveUp, Life, Order, Reply, Restart, Role,
    StartError,
    company::{Entry, Last, State, Table},
    contained, lock,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// What a supervisor is told.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// From anybody who owns the right to add children: start this one. A known name is ignored,
    /// unless that child was given up. If the supervisor dies first, the message waits.
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
    /// A call: the children that have not ended, in order.
    Alive(Reply<Vec<Alive>>),
}

impl SupervisorMessage {
    /// The order to start a child.
    #[must_use]
    pub fn add(spec: ChildSpec) -> Self {
        Self::Add(Arc::new(Mutex::new(Some(spec))))
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
    const STOPS_BEFORE_START: bool = false;

    async fn start(company: Company, _: Life<SupervisorMessage>) -> Result<Self, StartError> {
        Ok(Self { company })
    }

    fn started(&mut self, cx: &mut Context<SupervisorMessage>) {
        self.take_over(cx);
        if lock(&self.company.0.table).ending.is_some() {
            return self.end_children(cx, None, Exit::Normal);
        }
        // Backoff timers died with the incarnation before.
        let company = self.company.clone();
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let due: Vec<Box<str>> = table
                .in_order()
                .filter(|(_, entry)| entry.due())
                .map(|(name, _)| name.into())
                .collect();
            let closed: Vec<_> =
                due.iter().filter_map(|name| company.launch(&mut table, name)).collect();
            drop(table);
            drop(closed);
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
        self.end_children(cx, None, Exit::Normal);
    }
}

/// What follows the end of a child.
enum Next {
    /// Start it again after a while.
    Restart(Duration),
    /// It is not needed any more.
    Forget,
    /// It stays in the table as given up.
    GiveUp(String),
    /// A supervisor that crashed, and is to end: start it to stop its children.
    WindUp,
    /// The same, but it crashed too often: kill its children, then look again.
    Sweep,
}

impl Supervisor {
    /// What the incarnation before may have left undone: timers of ordered stops, and notices
    /// that were set aside.
    fn take_over(&self, cx: &mut Context<SupervisorMessage>) {
        let myself = cx.myself().clone();
        let table = lock(&self.company.0.table);
        for (name, entry) in table.in_order().filter(|(_, entry)| entry.live()) {
            let (name, launch): (Box<str>, _) = (name.into(), entry.launch);
            if let Some(exit) = entry.spec.child.ended() {
                // The child's own notice, if it is still queued, stands before this one.
                cx.send(&myself, SupervisorMessage::Gone { name, launch, exit });
            } else if entry.state == State::Stopping {
                cx.deadline(entry.spec.grace, SupervisorMessage::GraceDue { name, launch });
            }
        }
    }

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
            let inserted = table.insert(spec);
            let closed = if inserted.is_ok() { company.launch(&mut table, &name) } else { None };
            drop(table);
            drop((inserted, closed));
        });
    }

    fn on_remove(&self, name: &str, done: Option<&Reply<()>>, cx: &mut Context<SupervisorMessage>) {
        let (company, name, done) = (self.company.clone(), Box::<str>::from(name), done.cloned());
        let table = lock(&company.0.table);
        let Some(entry) = table.children.get(&name) else {
            if let Some(done) = done {
                cx.reply(&done, ());
            }
            return;
        };
        if entry.state == State::Live {
            let (name, launch) = (name.clone(), entry.launch);
            cx.deadline(entry.spec.grace, SupervisorMessage::GraceDue { name, launch });
        }
        drop(table);
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let Some(entry) = table.children.get_mut(&name) else { return };
            entry.removed.extend(done);
            if entry.state == State::Live {
                entry.state = State::Stopping;
                entry.spec.child.order_stop();
            } else if !entry.live() {
                let forgotten = table.forget(&name);
                drop(table);
                forgotten.into_iter().for_each(Entry::finish);
            }
        });
    }

    fn on_gone(&self, name: &str, launch: u64, exit: &Exit, cx: &mut Context<SupervisorMessage>) {
        let now = Instant::now();
        let table = lock(&self.company.0.table);
        let Some(next) = what_follows(&table, name, launch, exit, now) else { return };
        let ending = table.ending.is_some();
        let escalates = table.children.get(name).is_some_and(|entry| {
            entry.spec.give_up == GiveUp::Escalate && entry.state == State::Live
        });
        drop(table);
        match next {
            Next::Restart(wait) => self.order_restart(name, exit, now, wait, cx),
            Next::WindUp => self.wind_up(name, exit, now, cx),
            Next::Sweep => self.sweep(name, launch, exit, cx),
            Next::Forget => {
                let (company, child) = (self.company.clone(), Box::<str>::from(name));
                cx.run(move || {
                    let forgotten = lock(&company.0.table).forget(&child);
                    forgotten.into_iter().for_each(Entry::finish);
                });
                if ending {
                    self.end_children(cx, Some(name), Exit::Normal);
                } else if escalates && matches!(exit, Exit::GaveUp(_)) {
                    self.end_children(cx, Some(name), Exit::GaveUp(format!("{name} {exit}")));
                }
            }
            Next::GiveUp(why) => {
                self.give_up_on(name, format!("{exit}{why}"), cx);
                if escalates {
                    let why = Exit::GaveUp(format!("{name} {exit}{why}"));
                    self.end_children(cx, Some(name), why);
                }
            }
        }
    }

    fn order_restart(
        &self,
        name: &str,
        exit: &Exit,
        now: Instant,
        wait: Duration,
        cx: &mut Context<SupervisorMessage>,
    ) {
        tracing::warn!(child = name, %exit, ?wait, "restarting");
        let (company, name, exit) = (self.company.clone(), Box::<str>::from(name), exit.clone());
        if !wait.is_zero() {
            cx.after(wait, SupervisorMessage::StartDue { name: name.clone() });
        }
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let Some(entry) = table.children.get_mut(&name) else { return };
            entry.state = State::Waiting;
            entry.note_restart(&exit, now);
            let listener = entry.spec.on_restart.clone();
            let closed = if wait.is_zero() { company.launch(&mut table, &name) } else { None };
            drop(table);
            drop(closed);
            if let Some(listener) = listener {
                listener(&exit);
            }
        });
    }

    fn wind_up(&self, name: &str, exit: &Exit, now: Instant, cx: &mut Context<SupervisorMessage>) {
        tracing::warn!(child = name, %exit, "starting once more, to stop its children");
        let (company, name, exit) = (self.company.clone(), Box::<str>::from(name), exit.clone());
        {
            let table = lock(&company.0.table);
            if let Some(entry) = table.children.get(&name) {
                let launch = table.launches + 1; // The one below.
                let name = name.clone();
                cx.deadline(entry.spec.grace, SupervisorMessage::GraceDue { name, launch });
            }
        }
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let Some(entry) = table.children.get_mut(&name) else { return };
            entry.note_restart(&exit, now);
            entry.spec.child.order_end();
            let closed = company.launch_as(&mut table, &name, State::Stopping);
            drop(table);
            drop(closed);
        });
    }

    fn sweep(&self, name: &str, launch: u64, exit: &Exit, cx: &mut Context<SupervisorMessage>) {
        tracing::error!(child = name, %exit, "failed too often: killing its children");
        let told = cx.myself().clone();
        let (company, name, exit) = (self.company.clone(), Box::<str>::from(name), exit.clone());
        cx.run(move || {
            let table = lock(&company.0.table);
            let Some(entry) = table.children.get(&name) else { return };
            let child = Arc::clone(&entry.spec.child);
            drop(table);
            child.kill();
            let last = Last::new(move || {
                let _refused = told.tell(SupervisorMessage::Gone { name, launch, exit });
            });
            child.when_all_vacant(&last);
        });
    }

    fn give_up_on(&self, name: &str, error: String, cx: &mut Context<SupervisorMessage>) {
        tracing::error!(child = name, error, "given up");
        let (company, name) = (self.company.clone(), Box::<str>::from(name));
        cx.run(move || {
            let mut table = lock(&company.0.table);
            let Some(entry) = table.children.get_mut(&name) else { return };
            entry.state = State::GivenUp;
            entry.last_error = Some(error.clone());
            let listener = entry.spec.take_on_closed();
            let child = Arc::clone(&entry.spec.child);
            drop(table);
            child.close();
            if let Some(listener) = listener {
                contained("a listener for the end", || listener(Some(error)));
            }
        });
    }

    fn on_start_due(&self, name: &str, cx: &mut Context<SupervisorMessage>) {
        let (company, name) = (self.company.clone(), Box::<str>::from(name));
        cx.run(move || {
            let mut table = lock(&company.0.table);
            if table.children.get(&name).is_some_and(|entry| entry.due()) {
                let closed = company.launch(&mut table, &name);
                drop(table);
                drop(closed);
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

    /// Begins, or goes on with, the ordered stop of all children but the one that has just gone;
    /// `exit` is how to end then, unless that is known already.
    fn end_children(&self, cx: &mut Context<SupervisorMessage>, gone: Option<&str>, exit: Exit) {
        let table = lock(&self.company.0.table);
        let begun = table.ending.is_some();
        let exit = table.ending.clone().unwrap_or(exit);
        let live = |name: &str, entry: &Entry| Some(name) != gone && entry.live();
        if !table.children.iter().any(|(name, entry)| live(name, entry)) {
            drop(table);
            return self.finish(exit, cx);
        }
        let company = self.company.clone();
        cx.run(move || company.order_end(exit));
        let order = self.company.0.order;
        if begun && gone.is_some() && order == Order::Together {
            return; // All have been told already.
        }
        let most = if order == Order::Reverse { 1 } else { usize::MAX };
        let mut names: Vec<Box<str>> = Vec::new();
        for (name, entry) in
            table.in_order().rev().filter(|(name, entry)| live(name, entry)).take(most)
        {
            if entry.state == State::Live {
                let (name, launch) = (Box::<str>::from(name), entry.launch);
                names.push(name.clone());
                cx.deadline(entry.spec.grace, SupervisorMessage::GraceDue { name, launch });
            }
        }
        drop(table);
        self.order_stops(names, cx);
    }

    fn order_stops(&self, names: Vec<Box<str>>, cx: &mut Context<SupervisorMessage>) {
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
        let noted = exit.clone();
        cx.run(move || {
            company.order_end(noted);
            company.close_all();
        });
        match exit {
            Exit::GaveUp(why) => cx.give_up(why),
            _ => cx.stop(),
        }
    }
}

/// What follows the end of a child; `None` if the notice is not about its last launch.
fn what_follows(table: &Table, name: &str, launch: u64, exit: &Exit, now: Instant) -> Option<Next> {
    let entry = table.children.get(name)?;
    if entry.launch != launch || !entry.live() {
        return None;
    }
    let (most, within) = entry.spec.intensity;
    let recent = entry.recent.iter().filter(|at| now.duration_since(**at) < within).count();
    let too_many = recent >= most as usize;
    let wanted = table.ending.is_none() && entry.state == State::Live;
    let again = wanted && wants_restart(entry.spec.restart, exit);
    let orphans = entry.spec.child.has_orphans();
    Some(if orphans && too_many {
        Next::Sweep
    } else if orphans && !again {
        Next::WindUp
    } else if again && too_many {
        Next::GiveUp(format!("; more than {most} restarts within {within:?}"))
    } else if again {
        // The first restart in a while does not wait.
        Next::Restart(match u32::try_from(recent).unwrap_or(u32::MAX) {
            0 => Duration::ZERO,
            n => entry.spec.backoff.wait(n),
        })
    } else if wanted && entry.spec.restart != Restart::Temporary && matches!(exit, Exit::GaveUp(_))
    {
        Next::GiveUp(String::new())
    } else {
        Next::Forget
    })
}

fn wants_restart(restart: Restart, exit: &Exit) -> bool {
    match (restart, exit) {
        (_, Exit::GaveUp(_)) | (Restart::Temporary, _) | (Restart::Transient, Exit::Normal) => {
            false
        }
        (Restart::Permanent | Restart::Transient, _) => true,
    }
}
