//! The one ractor actor: it wraps a role, takes messages from its mailbox and commits.

use crate::{
    Context, Exit, Life, Mailbox, Moment, Phase, Role, StartError, ThreadLife, contained,
    context::{Effect, TaskFuture},
    exit::panic_text,
    lock,
    mailbox::Shared,
    place::{Gone, Place},
    queue::{Envelope, Lane, Taken},
    slow::Stopwatch,
    watchdog,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, atomic::Ordering},
    task::Poll,
    time::Duration,
};
use tokio::task::JoinSet;

/// ractor's only message here: there is something to do.
pub(crate) struct Wake;

/// Messages handled before other actors get their turn.
const ROUND: usize = 64;

pub(crate) struct Shell<R>(PhantomData<fn() -> R>);

type Started<R> = Arc<Mutex<Option<Result<R, Exit>>>>;

pub(crate) struct ShellState<R: Role> {
    role: Option<R>,
    starting: Option<(Started<R>, JoinSet<()>)>,
    place: Arc<Place<R::Message>>,
    tasks: Option<JoinSet<()>>,
    incarnation: u64,
    /// The message in hand, while an injected delay holds its handler back.
    delayed: Option<Box<(Lane, Envelope<R::Message>)>>,
}

/// What follows a round.
enum Next {
    /// Nothing until the next wake.
    Rest,
    /// An injected delay, then the message in hand.
    Wait(Duration),
    /// The incarnation is over.
    End(Exit),
}

pub(crate) struct ShellArgs<R: Role> {
    args: R::Args,
    place: Arc<Place<R::Message>>,
}

/// Starts an incarnation of the role behind `mailbox`.
///
/// # Errors
/// Gives `gone` back if the place is taken or the role is closed. Otherwise `gone` is told once.
pub(crate) fn launch<R: Role>(
    mailbox: &Mailbox<R::Message>,
    args: R::Args,
    gone: Gone,
) -> Result<(), Gone> {
    let place = Place::claim(&mailbox.0, gone)?;
    // A spawn fails only for a name that is taken; these have none. Whatever is dropped here
    // drops the place, which tells.
    match ractor::ActorRuntime::spawn_instant(
        None,
        Shell::<R>(PhantomData),
        ShellArgs { args, place },
    ) {
        Ok((actor, _)) => {
            let mut queue = lock(&mailbox.0.queue);
            if queue.taken {
                queue.actor = Some(actor);
                // What came before is served by this incarnation's first round.
                queue.wake_pending = false;
                queue.wake();
            }
        }
        Err(error) => tracing::error!(role = mailbox.path(), %error, "actor not spawned"),
    }
    Ok(())
}

impl<R: Role> Actor for Shell<R> {
    type Msg = Wake;
    type State = ShellState<R>;
    type Arguments = ShellArgs<R>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Wake>,
        args: ShellArgs<R>,
    ) -> Result<ShellState<R>, ActorProcessingErr> {
        let incarnation = lock(&args.place.shared().queue).incarnation;
        let mut state = ShellState {
            role: None,
            starting: None,
            place: args.place,
            tasks: None,
            incarnation,
            delayed: None,
        };
        state.begin_start(args.args);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Wake>,
        _: Wake,
        state: &mut ShellState<R>,
    ) -> Result<(), ActorProcessingErr> {
        let mut next = state.round();
        // Boxed, since every idle actor holds the room that its longest wait would take.
        while let Next::Wait(wait) = next {
            Box::pin(tokio::time::sleep(wait)).await;
            next = state.go_on();
        }
        if let Next::End(exit) = next {
            let normal = exit.is_normal();
            state.place.note_exit(exit);
            state.end();
            if normal {
                myself.stop(None);
            } else {
                return Err("the role failed".into());
            }
        }
        Ok(())
    }

    // The default would stop this actor when a linked one ends; none is linked.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Wake>,
        _: ractor::SupervisionEvent,
        _: &mut ShellState<R>,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

impl<R: Role> ShellState<R> {
    fn mailbox(&self) -> Mailbox<R::Message> {
        Mailbox(Arc::clone(self.place.shared()))
    }

    fn shared(&self) -> &Arc<Shared<R::Message>> {
        self.place.shared()
    }

    fn begin_start(&mut self, args: R::Args) {
        let shared = Arc::clone(self.shared());
        let faulty = shared.kit.faults.on_start(&shared.path);
        let life = Life(Arc::clone(&self.place));
        let slot = Started::<R>::default();
        let told = Arc::clone(&slot);
        let start = async move {
            #[expect(clippy::panic, reason = "an injected fault")]
            if faulty {
                panic!("injected: start");
            }
            R::start(args, life).await
        };
        let task = async move {
            let result = match Caught(Box::pin(start)).await {
                Ok(Ok(role)) => Ok(role),
                Ok(Err(StartError(why))) => Err(Exit::Failed(format!("could not start: {why}"))),
                Err(text) => Err(Exit::Panicked(text)),
            };
            *lock(&told) = Some(result);
            lock(&shared.queue).wake();
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(Owned::new(Box::pin(task), &self.place));
        self.starting = Some((slot, tasks));
    }

    /// Runs a future as a task that ends with the role.
    fn own(&mut self, task: TaskFuture) {
        let tasks = self.tasks.get_or_insert_with(JoinSet::new);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(Owned::new(task, &self.place));
        lock(&self.place.shared().stats).tasks = tasks.len();
    }

    /// One round, after a wake.
    fn round(&mut self) -> Next {
        let crashed = {
            let mut queue = lock(&self.shared().queue);
            // Before looking whether the start is done: its wake must not fall between.
            queue.wake_pending &= self.role.is_some();
            queue.crashed.take()
        };
        if let Some(text) = crashed {
            return Next::End(Exit::Panicked(text));
        }
        if self.role.is_none() {
            match self.take_start() {
                Ok(true) => {}
                Ok(false) => return self.round_while_starting().map_or(Next::Rest, Next::End),
                Err(exit) => return Next::End(exit),
            }
        }
        self.messages()
    }

    /// Goes on with the message that an injected delay held back.
    fn go_on(&mut self) -> Next {
        let delayed = self.delayed.take().map(|delayed| *delayed);
        match delayed.and_then(|(lane, envelope)| self.deliver(lane, envelope, None)) {
            Some(exit) => Next::End(exit),
            None => self.messages(),
        }
    }

    fn messages(&mut self) -> Next {
        for _ in 0..ROUND {
            let taken = lock(&self.shared().queue).take();
            let exit = match taken {
                Taken::Message(lane, envelope) => {
                    let shared = self.shared();
                    let fault = shared.kit.faults.on_message(&shared.path);
                    if let Some(Moment::Delay(wait)) = fault {
                        self.delayed = Some(Box::new((lane, envelope)));
                        return Next::Wait(wait);
                    }
                    self.deliver(lane, envelope, fault)
                }
                Taken::Stop => self.wind_up(),
                Taken::Nothing => break,
            };
            if let Some(exit) = exit {
                return Next::End(exit);
            }
        }
        self.reap();
        lock(&self.shared().queue).rest();
        Next::Rest
    }

    fn round_while_starting(&mut self) -> Option<Exit> {
        let mut queue = lock(&self.shared().queue);
        // A role that has not started has nothing to wind up.
        let ends = R::STOPS_BEFORE_START && std::mem::take(&mut queue.stop_ordered);
        ends.then_some(Exit::Normal)
    }

    fn wind_up(&mut self) -> Option<Exit> {
        self.guarded(|role, cx| role.stop(cx)).unwrap_or_else(|exit| {
            // The order stands, for a next incarnation.
            lock(&self.shared().queue).stop_ordered = true;
            Some(exit)
        })
    }

    fn take_start(&mut self) -> Result<bool, Exit> {
        let Some((slot, _)) = &self.starting else { return Ok(false) };
        let Some(result) = lock(slot).take() else { return Ok(false) };
        self.starting = None;
        self.role = Some(result?);
        {
            let mut queue = lock(&self.shared().queue);
            if queue.phase != Phase::Closed {
                queue.phase = Phase::Running;
            }
        }
        let stopwatch = Stopwatch::start();
        let in_hand = watchdog::begin(self.shared(), Some(&format_args!("started")));
        let started = self.guarded(|role, cx| role.started(cx));
        drop(in_hand);
        stopwatch.stop(&self.shared().path, &format_args!("started"), true);
        match started? {
            None => Ok(true),
            Some(exit) => Err(exit),
        }
    }

    fn reap(&mut self) {
        if let Some(tasks) = &mut self.tasks {
            while tasks.try_join_next().is_some() {}
            let count = tasks.len();
            if count == 0 {
                self.tasks = None;
            }
            lock(&self.place.shared().stats).tasks = count;
        }
    }

    fn deliver(
        &mut self,
        lane: Lane,
        mut envelope: Envelope<R::Message>,
        fault: Option<Moment>,
    ) -> Option<Exit> {
        let shared = Arc::clone(self.shared());
        let stopwatch = Stopwatch::start();
        let waited = stopwatch.began().duration_since(envelope.queued);
        let in_hand = watchdog::begin(&shared, Some(&envelope.message));
        let aside = envelope.panics > 1;
        let span = envelope.span.clone();
        let _entered = span.enter();
        let exit = {
            let message = &envelope.message;
            self.guarded(|role, cx| {
                strike(fault, Moment::Before);
                if aside {
                    role.set_aside(message, cx);
                } else {
                    role.handle(message, cx);
                }
                strike(fault, Moment::Within);
            })
        };
        {
            drop(in_hand);
            // An injected fault is none of the role's.
            let strict = !matches!(fault, Some(Moment::Block(_)));
            let took = stopwatch.stop(&shared.path, &envelope.message, strict);
            let mut stats = lock(&shared.stats);
            stats.handled += 1;
            stats.waited += waited;
            stats.handling += took;
            stats.handling_max = stats.handling_max.max(took);
        }
        let ended = match exit {
            Ok(ended) => ended,
            Err(exit) => {
                envelope.panics += 1;
                // Given again once; then set aside; if that panics as well, dropped.
                match &envelope.call {
                    // The caller decides, and has to know that this very message did it.
                    Some(crashed) => crashed.store(true, Ordering::Release),
                    None if R::IDEMPOTENT && envelope.panics <= 2 => {
                        lock(&shared.queue).put_back(lane, envelope);
                    }
                    None => {}
                }
                return Some(exit);
            }
        };
        ended.or(match fault {
            Some(Moment::After) => Some(Exit::Panicked("injected: after the message".to_owned())),
            Some(Moment::Kill) => Some(Exit::Killed),
            _ => None,
        })
    }

    /// Runs a part of the role and commits what it ordered; `Err` if the part panicked, in which
    /// case nothing of it has happened.
    fn guarded(
        &mut self,
        part: impl FnOnce(&mut R, &mut Context<R::Message>),
    ) -> Result<Option<Exit>, Exit> {
        let mut cx = Context::new(self.mailbox(), self.incarnation);
        let Some(role) = self.role.as_mut() else { return Ok(None) };
        match catch_unwind(AssertUnwindSafe(|| part(role, &mut cx))) {
            Ok(()) => Ok(self.commit(cx)),
            Err(payload) => Err(Exit::Panicked(panic_text(&*payload))),
        }
    }

    /// Carries out what a handler ordered, all of it: a step that panics ends the role afterwards.
    fn commit(&mut self, cx: Context<R::Message>) -> Option<Exit> {
        if let Some(paused) = cx.pause {
            lock(&self.shared().queue).paused = paused;
        }
        let mut failed = None;
        for effect in cx.effects {
            let done = catch_unwind(AssertUnwindSafe(|| self.carry_out(effect)));
            if let Err(payload) = done {
                let text = panic_text(&*payload);
                failed.get_or_insert(Exit::Panicked(format!("after the handler: {text}")));
            }
        }
        failed.or(cx.end)
    }

    fn carry_out(&mut self, effect: Effect<R::Message>) {
        match effect {
            Effect::Run(step) => step(),
            Effect::Task(task) => {
                let life = Life(Arc::clone(&self.place));
                self.own(task(life));
            }
            Effect::Thread(name, body) => self.start_thread(name, body),
        }
    }

    fn start_thread(
        &self,
        name: &'static str,
        body: Box<dyn FnOnce(ThreadLife<R::Message>) + Send>,
    ) {
        let life = ThreadLife { mailbox: self.mailbox(), mute: Arc::clone(&self.place.mute) };
        let shared = Arc::clone(self.shared());
        let mute = Arc::clone(&self.place.mute);
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body(life))) {
                let text = panic_text(&*payload);
                mute.unless_muted(|| {
                    let mut queue = lock(&shared.queue);
                    queue.crashed.get_or_insert(format!("in thread {name}: {text}"));
                    queue.wake();
                });
            }
        });
        if let Err(error) = spawned {
            let mut queue = lock(&self.shared().queue);
            queue.crashed.get_or_insert(format!("no thread: {error}"));
            queue.wake();
        }
    }

    /// Ends the incarnation's voice and state; the place follows when its tasks are gone.
    fn end(&mut self) {
        self.place.mute.mute();
        // A kill is not the message's fault: it does not count as a panic on it.
        if let Some((lane, envelope)) = self.delayed.take().map(|delayed| *delayed)
            && R::IDEMPOTENT
            && envelope.call.is_none()
        {
            lock(&self.shared().queue).put_back(lane, envelope);
        }
        {
            let mut queue = lock(&self.shared().queue);
            if queue.phase == Phase::Running {
                queue.phase = Phase::Restarting;
            }
            queue.actor = None;
            queue.paused = false;
        }
        let parts = (self.tasks.take(), self.starting.take(), self.role.take());
        // A state whose drop panics must not take the place with it.
        contained("the drop of a state", || drop(parts));
        lock(&self.shared().stats).tasks = 0;
    }
}

impl<R: Role> Drop for ShellState<R> {
    fn drop(&mut self) {
        self.end();
    }
}

fn strike(fault: Option<Moment>, moment: Moment) {
    if let (Some(Moment::Block(time)), Moment::Before) = (fault, moment) {
        #[expect(clippy::disallowed_methods, reason = "an injected fault")]
        std::thread::sleep(time);
    }
    #[expect(clippy::panic, reason = "an injected fault")]
    if fault == Some(moment) {
        panic!("injected: {moment:?}");
    }
}

/// A task of a role: it holds the place until after its own end, and its panic is the role's.
struct Owned<M> {
    // The order counts: dropped before the place.
    task: TaskFuture,
    span: tracing::Span,
    place: Arc<Place<M>>,
}

impl<M> Owned<M> {
    fn new(task: TaskFuture, place: &Arc<Place<M>>) -> Self {
        Self { task, span: tracing::Span::current(), place: Arc::clone(place) }
    }
}

impl<M: Send + 'static> Future for Owned<M> {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let _in_hand = watchdog::begin(this.place.shared(), None);
        let task = this.task.as_mut();
        catch_unwind(AssertUnwindSafe(|| task.poll(cx))).unwrap_or_else(|payload| {
            let text = panic_text(&*payload);
            let mut queue = lock(&this.place.shared().queue);
            queue.crashed.get_or_insert(format!("in a task: {text}"));
            queue.wake();
            Poll::Ready(())
        })
    }
}

/// A future whose panic is its result.
struct Caught<F>(F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Self::Output> {
        let inner = std::pin::Pin::new(&mut self.0);
        match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => Poll::Ready(Err(panic_text(&*payload))),
        }
    }
}
