//! The root: starts the top supervisor, starts it again if it crashes, and tells when it is over.

use crate::{
    Company, Exit, NodeView, Phase, company::Last, lock, place::Gone, shell,
    supervisor::Supervisor, watchdog,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, time::Instant};

/// Restarts of the root supervisor that are too many, and within which time.
const INTENSITY: (usize, Duration) = (5, Duration::from_secs(10));

struct Shared {
    company: Company,
    runtime: Handle,
    ended: watch::Sender<Option<Exit>>,
    recent: Mutex<VecDeque<Instant>>,
    restarts: Mutex<(u64, Option<String>)>,
    /// Has the runtime watched while it is there.
    watched: Mutex<Option<Arc<()>>>,
}

/// A running company.
#[derive(Clone)]
pub struct Root(Arc<Shared>);

impl Root {
    /// Starts the company's supervisor on the current tokio runtime.
    #[must_use]
    pub fn start(company: Company) -> Self {
        let (ended, _) = watch::channel(None);
        let runtime = Handle::current();
        let watched = watchdog::watch(&runtime, company.listener());
        let root = Self(Arc::new(Shared {
            company,
            runtime,
            ended,
            recent: Mutex::default(),
            restarts: Mutex::default(),
            watched: Mutex::new(Some(watched)),
        }));
        root.launch();
        root
    }

    fn launch(&self) {
        let root = self.clone();
        let gone: Gone = Box::new(move |exit| root.on_gone(exit));
        let company = &self.0.company;
        if shell::launch::<Supervisor>(company.mailbox(), company.clone(), gone).is_err() {
            self.end(Exit::Failed("the root's place is taken".to_owned()));
        }
    }

    /// Starts the supervisor again from a task of its own: drops may run on any thread, and also
    /// while the runtime shuts down; then the task is dropped, and it is over.
    fn launch_again(&self) {
        let mut launch = Relaunch { root: Some(self.clone()) };
        drop(self.0.runtime.spawn(async move {
            if let Some(root) = launch.root.take() {
                root.launch();
            }
        }));
    }

    fn on_gone(&self, exit: Exit) {
        match exit {
            Exit::Normal | Exit::GaveUp(_) => return self.end(exit),
            _ => {}
        }
        let now = Instant::now();
        {
            let mut recent = lock(&self.0.recent);
            recent.retain(|at| now.duration_since(*at) < INTENSITY.1);
            recent.push_back(now);
            if recent.len() > INTENSITY.0 {
                drop(recent);
                return self.give_up(Exit::GaveUp(format!("the root failed too often: {exit}")));
            }
        }
        {
            let mut restarts = lock(&self.0.restarts);
            restarts.0 += 1;
            restarts.1 = Some(exit.to_string());
        }
        self.launch_again();
    }

    /// Kills everything, and ends when it is gone.
    fn give_up(&self, exit: Exit) {
        self.0.company.kill_all();
        let root = self.clone();
        let last = Last::new(move || root.end(exit));
        self.0.company.when_all_vacant(&last);
    }

    fn end(&self, exit: Exit) {
        self.0.company.mailbox().close();
        self.0.company.close_all();
        drop(lock(&self.0.watched).take());
        self.0.ended.send_replace(Some(exit));
    }

    /// Orders everything to stop, the last started first, and waits for the end.
    pub async fn stop(&self) -> Exit {
        {
            let mut queue = lock(&self.0.company.mailbox().0.queue);
            queue.stop_ordered = true;
            queue.wake();
        }
        self.ended().await
    }

    /// Waits until the company has ended.
    pub async fn ended(&self) -> Exit {
        let mut ended = self.0.ended.subscribe();
        loop {
            if let Some(exit) = ended.borrow_and_update().clone() {
                return exit;
            }
            if ended.changed().await.is_err() {
                return Exit::Killed;
            }
        }
    }

    /// The live tree.
    #[must_use]
    pub fn view(&self) -> NodeView {
        let mut view = self.0.company.mailbox().view(self.0.company.mailbox().path());
        (view.restarts, view.last_error) = lock(&self.0.restarts).clone();
        view.children = self.0.company.views();
        view
    }

    /// Whether the company has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.company.mailbox().phase() == Phase::Closed
    }
}

struct Relaunch {
    root: Option<Root>,
}

impl Drop for Relaunch {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            root.end(Exit::Killed);
        }
    }
}
