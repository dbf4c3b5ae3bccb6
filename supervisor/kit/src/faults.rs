//! Fault injection, for tests and demonstrations through the embedding API.
//!
//! A fault names a role and the number of the message it strikes at. What struck is recorded: a
//! fault that never landed would count as survived.

use crate::lock;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Panics before the handler.
    Before,
    /// Panics after the handler, before what it ordered is carried out.
    Within,
    /// Panics after what the handler ordered was carried out.
    After,
    /// Kills the actor after the message.
    Kill,
    /// Panics while the role starts.
    Start,
    /// Delays the handler.
    Delay(Duration),
    /// Blocks the thread in the handler.
    Block(Duration),
}

/// One fault. It strikes once.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The role: a path, or its end (`recorder` strikes the first recorder that gets so far).
    pub role: String,
    /// At which of its messages, from 1, over all incarnations; starts count for `Moment::Start`.
    pub at: u64,
    /// When.
    pub moment: Moment,
}

/// A fault that struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The role's path.
    pub role: String,
    /// The number of the message.
    pub at: u64,
    /// When it struck.
    pub moment: Moment,
}

#[derive(Default)]
struct Plan {
    faults: Vec<Fault>,
    messages: HashMap<String, u64>,
    starts: HashMap<String, u64>,
    landed: Vec<Landed>,
}

#[derive(Default)]
struct Shared {
    armed: AtomicBool,
    plan: Mutex<Plan>,
}

/// The faults to inject. Clones share them; without any it costs one load per message.
#[derive(Clone, Default)]
pub struct Faults(Arc<Shared>);

impl Faults {
    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        lock(&self.0.plan).faults.push(fault);
        self.0.armed.store(true, Ordering::Release);
    }

    /// What struck so far.
    #[must_use]
    pub fn landed(&self) -> Vec<Landed> {
        lock(&self.0.plan).landed.clone()
    }

    /// How many messages each role has been given since the first fault was added.
    #[must_use]
    pub fn counts(&self) -> HashMap<String, u64> {
        lock(&self.0.plan).messages.clone()
    }

    pub(crate) fn on_message(&self, role: &str) -> Option<Moment> {
        if !self.0.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut plan = lock(&self.0.plan);
        let count = plan.messages.entry(role.to_owned()).or_default();
        *count += 1;
        let at = *count;
        plan.strike(role, at, |moment| moment != Moment::Start)
    }

    pub(crate) fn on_start(&self, role: &str) -> bool {
        if !self.0.armed.load(Ordering::Acquire) {
            return false;
        }
        let mut plan = lock(&self.0.plan);
        let count = plan.starts.entry(role.to_owned()).or_default();
        *count += 1;
        let at = *count;
        plan.strike(role, at, |moment| moment == Moment::Start).is_some()
    }
}

impl Plan {
    fn strike(&mut self, role: &str, at: u64, fits: impl Fn(Moment) -> bool) -> Option<Moment> {
        let place = self
            .faults
            .iter()
            .position(|fault| fault.at == at && names(&fault.role, role) && fits(fault.moment))?;
        let fault = self.faults.swap_remove(place);
        self.landed.push(Landed { role: role.to_owned(), at, moment: fault.moment });
        Some(fault.moment)
    }
}

/// Whether `pattern` is `path`, its end at a `/`, or the kind of its last name (`stream`, `stream:`).
fn names(pattern: &str, path: &str) -> bool {
    path == pattern
        || path.strip_suffix(pattern).is_some_and(|rest| rest.ends_with('/'))
        || path
            .rsplit('/')
            .next()
            .and_then(|name| name.split_once(':'))
            .is_some_and(|(kind, _)| kind == pattern || pattern.strip_suffix(':') == Some(kind))
}
