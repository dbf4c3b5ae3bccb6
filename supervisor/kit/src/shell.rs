//! The one ractor actor: it wraps a role, takes messages from its mailbox and commits.

use crate::{
    Context, Exit, Life, Mailbox, Moment, Phase, Role, StartError, ThreadLife,
    context::Effect,
    exit::panic_text,
    lock,
    mailbox::Shared,
    place::{Gone, Place},
    queue::{Envelope, Lane, Taken},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::Poll,
    time::Instant,
};
use tokio::task::JoinSet;
use tracing::Instrument;

/// ractor's only message here: there is something to do.
pub(crate) struct Wake;

/// Messages handled before other actors get their turn.
const ROUND: usize = 64;

pub(crate) struct Shell<R>(PhantomData<fn() -> R>);

type Started<R> = Arc<Mutex<Option<Result<R, Exit>>>>;

pub(crate) struct ShellState<R: Role> {
    role: Option<R>,
    starting: Option<Started<R>>,
    place: Arc<Place<R::Message>>,
    tasks: Option<JoinSet<()>>,
    incarnation: u64,
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
            starting: Some(Arc::default()),
            place: args.place,
            tasks: None,
            incarnation,
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
        if let Some(exit) = state.round().await {
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
        let Some(slot) = self.starting.clone() else { return };
        let shared = Arc::clone(self.shared());
        let faulty = shared.kit.faults.on_start(&shared.path);
        let start = R::start(args, Life(Arc::clone(&self.place)));
        self.own(async move {
            let started = Caught(Box::pin(async move {
                #[expect(clippy::panic, reason = "an injected fault")]
                if faulty {
                    panic!("injected: start");
                }
                start.await
            }))
            .await;
            let result = match started {
                Ok(Ok(role)) => Ok(role),
                Ok(Err(StartError(why))) => Err(Exit::Failed(format!("could not start: {why}"))),
                Err(text) => Err(Exit::Panicked(text)),
            };
            *lock(&slot) = Some(result);
            lock(&shared.queue).wake();
        });
    }

    /// Runs a future as a task that ends with the role.
    fn own(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.tasks.get_or_insert_with(JoinSet::new);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        lock(&self.place.shared().stats).tasks = tasks.len();
    }

    /// One round; `Some` when the incarnation is over.
    async fn round(&mut self) -> Option<Exit> {
        if let Some(text) = lock(&self.shared().queue).crashed.take() {
            return Some(Exit::Panicked(text));
        }
        if self.role.is_none() {
            match self.take_start() {
                Ok(true) => {}
                Ok(false) => return self.round_while_starting(),
                Err(exit) => return Some(exit),
            }
        }
        for _ in 0..ROUND {
            let taken = lock(&self.shared().queue).take();
            let exit = match taken {
                Taken::Message(lane, envelope) => self.deliver(lane, envelope).await,
                Taken::Stop => self.guarded(|role, cx| role.stop(cx)),
                Taken::Nothing => break,
            };
            if exit.is_some() {
                return exit;
            }
        }
        self.reap();
        lock(&self.shared().queue).rest();
        None
    }

    fn round_while_starting(&mut self) -> Option<Exit> {
        let mut queue = lock(&self.shared().queue);
        queue.wake_pending = false;
        // A role that has not started has nothing to wind up.
        std::mem::take(&mut queue.stop_ordered).then_some(Exit::Normal)
    }

    fn take_start(&mut self) -> Result<bool, Exit> {
        let Some(slot) = &self.starting else { return Ok(false) };
        let Some(result) = lock(slot).take() else { return Ok(false) };
        self.starting = None;
        self.role = Some(result?);
        {
            let mut queue = lock(&self.shared().queue);
            if queue.phase != Phase::Closed {
                queue.phase = Phase::Running;
            }
        }
        match self.guarded(|role, cx| role.started(cx)) {
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

    async fn deliver(&mut self, lane: Lane, mut envelope: Envelope<R::Message>) -> Option<Exit> {
        let shared = Arc::clone(self.shared());
        let fault = shared.kit.faults.on_message(&shared.path);
        if let Some(Moment::Delay(wait)) = fault {
            tokio::time::sleep(wait).await;
        }
        let began = Instant::now();
        let waited = began.duration_since(envelope.queued);
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
            let took = began.elapsed();
            let mut stats = lock(&shared.stats);
            stats.handled += 1;
            stats.waited += waited;
            stats.handling += took;
            stats.handling_max = stats.handling_max.max(took);
        }
        if matches!(exit, Some(Exit::Panicked(_))) {
            envelope.panics += 1;
            // Given again once; then set aside; a message whose setting aside panics is dropped.
            if R::IDEMPOTENT && !envelope.call && envelope.panics <= 2 {
                lock(&shared.queue).put_back(lane, envelope);
            }
            return exit;
        }
        exit.or(match fault {
            Some(Moment::After) => Some(Exit::Panicked("injected: after the message".to_owned())),
            Some(Moment::Kill) => Some(Exit::Killed),
            _ => None,
        })
    }

    /// Runs a part of the role; commits what it ordered unless it panics.
    fn guarded(&mut self, part: impl FnOnce(&mut R, &mut Context<R::Message>)) -> Option<Exit> {
        let mut cx = Context::new(self.mailbox(), self.incarnation);
        let role = self.role.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| part(role, &mut cx))) {
            Ok(()) => self.commit(cx),
            Err(payload) => Some(Exit::Panicked(panic_text(&*payload))),
        }
    }

    fn commit(&mut self, cx: Context<R::Message>) -> Option<Exit> {
        if let Some(paused) = cx.pause {
            lock(&self.shared().queue).paused = paused;
        }
        for effect in cx.effects {
            match effect {
                Effect::Run(step) => step(),
                Effect::Task(task) => {
                    let life = Life(Arc::clone(&self.place));
                    let shared = Arc::clone(self.shared());
                    let future = task(life);
                    let task = async move {
                        if let Err(text) = Caught(future).await {
                            let mut queue = lock(&shared.queue);
                            queue.crashed.get_or_insert(format!("in a task: {text}"));
                            queue.wake();
                        }
                    };
                    self.own(task.in_current_span());
                }
                Effect::Thread(name, body) => self.start_thread(name, body),
            }
        }
        cx.end
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
        {
            let mut queue = lock(&self.shared().queue);
            if queue.phase == Phase::Running {
                queue.phase = Phase::Restarting;
            }
            queue.actor = None;
            queue.paused = false;
        }
        self.tasks = None;
        self.starting = None;
        // A state whose drop panics must not take the place with it.
        let role = self.role.take();
        if catch_unwind(AssertUnwindSafe(|| drop(role))).is_err() {
            tracing::error!(role = %self.shared().path, "the state's drop panicked");
        }
        lock(&self.shared().stats).tasks = 0;
    }
}

impl<R: Role> Drop for ShellState<R> {
    fn drop(&mut self) {
        self.end();
    }
}

fn strike(fault: Option<Moment>, moment: Moment) {
    #[expect(clippy::panic, reason = "an injected fault")]
    if fault == Some(moment) {
        panic!("injected: {moment:?}");
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
