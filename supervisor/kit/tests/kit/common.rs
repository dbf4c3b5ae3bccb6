//! A scriptable role, a trace of what happened, and waits for events instead of the clock.
#![allow(unreachable_pub, reason = "private to the tests")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use troupe_kit::{
    Backoff, ChildSpec, Company, Context, Exit, Fault, Kit, Life, Mailbox, Moment, Order, Reply,
    Role, Root, SpecBuilder, StartError, SupervisorMessage,
};

/// The longest a test waits for something that is to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One line per panic: there are many, and most are ordered.
pub fn short_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|info| eprintln!("{info}"))));
}

/// What happened, in order.
#[derive(Clone)]
pub struct Trace(Arc<(Mutex<Vec<String>>, Notify)>);

impl Default for Trace {
    fn default() -> Self {
        short_panics();
        Self(Arc::default())
    }
}

impl Trace {
    pub fn add(&self, what: impl Into<String>) {
        self.0.0.lock().unwrap().push(what.into());
        self.0.1.notify_waiters();
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    pub fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|entry| *entry == what).count()
    }

    pub fn has(&self, what: &str) -> bool {
        self.count(what) > 0
    }

    /// The place of the first such entry.
    pub fn at(&self, what: &str) -> usize {
        self.all()
            .iter()
            .position(|entry| entry == what)
            .unwrap_or_else(|| panic!("no {what} in {:?}", self.all()))
    }

    /// Entries that begin so, without the beginning.
    pub fn after(&self, prefix: &str) -> Vec<String> {
        self.all().iter().filter_map(|e| e.strip_prefix(prefix).map(str::to_owned)).collect()
    }

    pub async fn until(&self, what: &str) {
        self.until_count(what, 1).await;
    }

    pub async fn until_count(&self, what: &str, count: usize) {
        let wait = async {
            loop {
                let changed = self.0.1.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.count(what) >= count {
                    return;
                }
                changed.await;
            }
        };
        if real_timeout(wait).await.is_none() {
            panic!("no {count} × {what:?} in {:?}", self.all());
        }
    }
}

/// A timeout by the real clock, also while tokio's is paused.
async fn real_timeout<T>(what: impl Future<Output = T>) -> Option<T> {
    let began = std::time::Instant::now();
    let mut what = std::pin::pin!(what);
    let (wake, woken) = tokio::sync::oneshot::channel::<()>();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _over = stopped.recv_timeout(PATIENCE);
        drop(wake);
    });
    let mut woken = std::pin::pin!(woken);
    let result = std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(value) = what.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(value));
        }
        if began.elapsed() >= PATIENCE || woken.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(None);
        }
        std::task::Poll::Pending
    })
    .await;
    drop(stop);
    result
}

/// Waits for what is to happen; panics if it does not.
pub async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    real_timeout(wait).await.unwrap_or_else(|| panic!("never: {what}"))
}

/// Stops a company.
pub async fn stopped(root: &Root) -> Exit {
    in_time("the company has stopped", root.stop()).await
}

/// Waits for the end of a company that ends by itself.
pub async fn ended(root: &Root) -> Exit {
    in_time("the company has ended", root.ended()).await
}

/// Yields until it is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::task::yield_now().await;
    }
}

pub type Act = Arc<dyn Fn(&mut Inner, &mut Context<Say>) + Send + Sync>;
pub type StartFuture = Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>>;

/// What a toy is told.
pub enum Say {
    /// Trace `note …`.
    Note(u64),
    /// Trace `boom …` and panic.
    Boom(u64),
    /// Answer the number.
    Ask(u64, Reply<u64>),
    /// Take the call, and panic.
    #[expect(dead_code, reason = "dropped with the message")]
    AskBoom(Reply<u64>),
    /// Take the call and never answer it.
    AskKeep(Reply<u64>),
    /// Anything.
    Do(Act),
}

impl std::fmt::Debug for Say {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Note(_) => "Note",
            Self::Boom(_) => "Boom",
            Self::Ask(..) | Self::AskBoom(_) | Self::AskKeep(_) => "Ask",
            Self::Do(_) => "Do",
        })
    }
}

impl Say {
    pub fn act(act: impl Fn(&mut Inner, &mut Context<Self>) + Send + Sync + 'static) -> Self {
        Self::Do(Arc::new(act))
    }
}

/// What each incarnation of a toy is started with.
#[derive(Clone, Default)]
pub struct Script {
    pub name: String,
    pub trace: Trace,
    pub live: Arc<AtomicI64>,
    pub start: Option<Arc<dyn Fn(Life<Say>) -> StartFuture + Send + Sync>>,
    pub started: Option<Act>,
    pub stop: Option<Act>,
    pub dropped: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// The state: counts itself.
pub struct Inner {
    pub script: Script,
    pub notes: u64,
    pub kept: Vec<Reply<u64>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(dropped) = &self.script.dropped {
            dropped();
        }
        self.script.trace.add(format!("{}drop", self.script.name));
        self.script.live.fetch_sub(1, Ordering::SeqCst);
    }
}

pub struct Toy<const IDEMPOTENT: bool>(Inner);

/// Not given the message in hand again.
pub type Plain = Toy<false>;

impl<const IDEMPOTENT: bool> Role for Toy<IDEMPOTENT> {
    type Message = Say;
    type Args = Script;
    const IDEMPOTENT: bool = IDEMPOTENT;

    async fn start(script: Script, life: Life<Say>) -> Result<Self, StartError> {
        script.trace.add(format!("{}starting", script.name));
        if let Some(start) = &script.start {
            start(life).await?;
        }
        script.live.fetch_add(1, Ordering::SeqCst);
        Ok(Self(Inner { script, notes: 0, kept: Vec::new() }))
    }

    fn started(&mut self, cx: &mut Context<Say>) {
        self.0.script.trace.add(format!("{}start {}", self.0.script.name, cx.incarnation()));
        if let Some(act) = self.0.script.started.clone() {
            act(&mut self.0, cx);
        }
    }

    fn handle(&mut self, message: &Say, cx: &mut Context<Say>) {
        let name = self.0.script.name.clone();
        match message {
            Say::Note(number) => {
                self.0.notes += 1;
                self.0.script.trace.add(format!("{name}note {number}"));
            }
            Say::Boom(number) => {
                self.0.script.trace.add(format!("{name}boom {number}"));
                panic!("boom {number}");
            }
            Say::Ask(number, reply) => cx.reply(reply, *number),
            Say::AskBoom(_) => {
                self.0.script.trace.add(format!("{name}asked"));
                panic!("asked");
            }
            Say::AskKeep(reply) => self.0.kept.push(reply.clone()),
            Say::Do(act) => act(&mut self.0, cx),
        }
    }

    fn set_aside(&mut self, message: &Say, _cx: &mut Context<Say>) {
        let number = match message {
            Say::Note(number) | Say::Boom(number) => *number,
            _ => 0,
        };
        self.0.script.trace.add(format!("{}aside {number}", self.0.script.name));
    }

    fn stop(&mut self, cx: &mut Context<Say>) {
        self.0.script.trace.add(format!("{}stop", self.0.script.name));
        match self.0.script.stop.clone() {
            Some(act) => act(&mut self.0, cx),
            None => cx.stop(),
        }
    }
}

/// A spec for a toy that traces its exits as `exit …`.
pub fn spec<const I: bool>(name: &str, mailbox: &Mailbox<Say>, script: Script) -> SpecBuilder {
    let (trace, prefix) = (script.trace.clone(), script.name.clone());
    ChildSpec::of::<Toy<I>>(name, mailbox, script)
        .intensity(u32::MAX, Duration::from_secs(10))
        .backoff(Backoff { first: Duration::ZERO, ..Backoff::DEFAULT })
        .on_exit(move |exit| trace.add(format!("{prefix}exit {exit}")))
}

/// One toy under a root.
pub struct Stage {
    pub kit: Kit,
    pub trace: Trace,
    pub live: Arc<AtomicI64>,
    pub toy: Mailbox<Say>,
    pub company: Company,
    pub root: Root,
}

impl Stage {
    pub fn steady(bulk: usize) -> Self {
        Self::new::<true>(bulk, Script::default(), |spec| spec)
    }

    pub fn plain(bulk: usize) -> Self {
        Self::new::<false>(bulk, Script::default(), |spec| spec)
    }

    pub fn new<const I: bool>(
        bulk: usize,
        script: Script,
        change: impl FnOnce(SpecBuilder) -> SpecBuilder,
    ) -> Self {
        let kit = Kit::default();
        let toy = Mailbox::new(&kit, "root/toy", bulk);
        let (trace, live) = (script.trace.clone(), Arc::clone(&script.live));
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(change(spec::<I>("toy", &toy, script)).build());
        let root = Root::start(company.clone());
        Self { kit, trace, live, toy, company, root }
    }

    pub async fn ask(&self, number: u64) -> u64 {
        ask(&self.toy, number).await
    }

    pub async fn stop(self) {
        assert_eq!(stopped(&self.root).await, Exit::Normal);
        assert_eq!(self.live.load(Ordering::SeqCst), 0);
    }
}

pub async fn ask(toy: &Mailbox<Say>, number: u64) -> u64 {
    toy.call(PATIENCE, |reply| Say::Ask(number, reply)).await.unwrap()
}

/// Injects a fault at the next message of a supervisor that has nothing to do, and lets it land.
pub async fn crash(kit: &Kit, supervisor: &Mailbox<SupervisorMessage>, moment: Moment) {
    let landed = kit.faults.landed().len();
    let at = kit.faults.counts().get(supervisor.path()).copied().unwrap_or(0) + 1;
    kit.faults.inject(Fault { role: supervisor.path().to_owned(), at, moment });
    supervisor.tell(SupervisorMessage::StartDue { name: "nobody".into() }).unwrap();
    eventually("the fault lands", || kit.faults.landed().len() > landed).await;
}

/// A gate that threads and drops wait at.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        let (open, result) = self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap();
        assert!(*open && !result.timed_out(), "the gate stayed shut");
    }
}

/// Runs a test on both kinds of runtime.
macro_rules! both {
    ($($(#[$doc:meta])* async fn $name:ident() $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;
            async fn body() $body
            #[tokio::test]
            async fn current_thread() { body().await }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn multi_thread() { body().await }
        }
    )*};
}
