//! Places: nothing of an old incarnation is left when the next one starts.
//!
//! These are directed tests: a random stress does not catch what they catch.

use crate::common::*;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task,
};
use troupe_kit::{ChildSpec, Context, Exit, Life, Mailbox, Moment, Role, StartError};

/// A future that never ends, and blocks in its drop.
struct Stubborn<T> {
    trace: Trace,
    gate: Gate,
    _held: T,
}

impl<T: Unpin> Future for Stubborn<T> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<()> {
        self.trace.add("task polled");
        task::Poll::Pending
    }
}

impl<T> Drop for Stubborn<T> {
    fn drop(&mut self) {
        self.trace.add("task dropping");
        self.gate.pass();
        self.trace.add("task dropped");
    }
}

fn assert_no_overlap(trace: &Trace, end: &str) {
    assert!(trace.at(end) < trace.at("exit panicked: boom 1"), "{:?}", trace.all());
    assert!(trace.at("exit panicked: boom 1") < trace.at("start 2"));
    let starts: Vec<usize> = trace
        .all()
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| (entry == "starting").then_some(place))
        .collect();
    assert!(starts[1] > trace.at(end), "the second start began before the old state was gone");
}

/// Gives a start that would be too early every chance, also by crashing the supervisor.
async fn tempt(stage: &Stage) {
    for moment in [Moment::Before, Moment::After, Moment::Kill] {
        crash(&stage.kit, stage.company.mailbox(), moment).await;
        stage.company.mailbox().call(PATIENCE, troupe_kit::SupervisorMessage::Alive).await.unwrap();
    }
    assert_eq!(stage.trace.count("starting"), 1, "{:?}", stage.trace.all());
    assert!(stage.trace.after("exit ").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_drop_of_the_state_delays_the_next_start() {
    let script = Script::default();
    let (gate, trace) = (Gate::default(), script.trace.clone());
    let first = AtomicBool::new(true);
    let wait = gate.clone();
    let script = Script {
        dropped: Some(Arc::new(move || {
            if first.swap(false, Ordering::SeqCst) {
                trace.add("dropping");
                wait.pass();
                trace.add("dropped");
            }
        })),
        ..script
    };
    let stage = Stage::new::<false>(4, script, |spec| spec);
    stage.toy.tell(Say::Boom(1)).unwrap();
    stage.trace.until("dropping").await;
    tempt(&stage).await;
    gate.open();
    stage.trace.until("start 2").await;
    assert_no_overlap(&stage.trace, "dropped");
    stage.stop().await;
}

/// A task that the role started in a handler; it ignores its life, and holds the place all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_drop_of_a_task_delays_the_next_start() {
    let stage = Stage::plain(4);
    let gate = Gate::default();
    let wait = gate.clone();
    stage
        .toy
        .tell(Say::act(move |inner, cx| {
            let task =
                Stubborn { trace: inner.script.trace.clone(), gate: wait.clone(), _held: () };
            cx.task(move |_| task);
        }))
        .unwrap();
    stage.trace.until("task polled").await;
    stage.toy.tell(Say::Boom(1)).unwrap();
    stage.trace.until("task dropping").await;
    tempt(&stage).await;
    gate.open();
    stage.trace.until("start 2").await;
    assert_no_overlap(&stage.trace, "task dropped");
    stage.stop().await;
}

/// A task that is aborted before it was polled once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_never_ran_holds_the_place_as_well() {
    let stage = Stage::plain(4);
    let gate = Gate::default();
    let wait = gate.clone();
    stage
        .toy
        .tell(Say::act(move |inner, cx| {
            let task =
                Stubborn { trace: inner.script.trace.clone(), gate: wait.clone(), _held: () };
            cx.task(move |_| task);
            cx.fail("at once");
        }))
        .unwrap();
    stage.trace.until("task dropping").await;
    tempt(&stage).await;
    gate.open();
    stage.trace.until("start 2").await;
    assert!(stage.trace.at("task dropped") < stage.trace.at("exit failed: at once"));
    stage.stop().await;
}

/// A start that waits and is killed: what it holds counts as old state.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_drop_of_a_start_delays_the_exit() {
    let script = Script::default();
    let (gate, trace) = (Gate::default(), script.trace.clone());
    let wait = gate.clone();
    let script = Script {
        start: Some(Arc::new(move |_| {
            let stubborn = Stubborn { trace: trace.clone(), gate: wait.clone(), _held: () };
            Box::pin(async move {
                stubborn.await;
                Ok(())
            })
        })),
        ..script
    };
    let stage = Stage::new::<false>(4, script, |spec| spec);
    stage.trace.until("task polled").await;
    let root = stage.root.clone();
    let stopping = tokio::spawn(async move { stopped(&root).await });
    stage.trace.until("task dropping").await;
    assert!(stage.trace.after("exit ").is_empty());
    assert!(!stopping.is_finished() && !stage.root.is_over());
    gate.open();
    assert_eq!(stopping.await.unwrap(), Exit::Normal);
    assert!(stage.trace.at("task dropped") < stage.trace.at("exit stopped"));
    assert!(!stage.trace.has("stop"), "nothing had been built that could wind up");
}

/// A task that `start` began with its life is part of the old state until it lets go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_begun_in_start_holds_the_place() {
    let script = Script::default();
    let trace = script.trace.clone();
    let (gate, wait) = (Gate::default(), Gate::default());
    let (opened, held) = (gate.clone(), wait.clone());
    let first = AtomicBool::new(true);
    let script = Script {
        start: Some(Arc::new(move |life: Life<Say>| {
            if first.swap(false, Ordering::SeqCst) {
                let (trace, gate, wait) = (trace.clone(), opened.clone(), held.clone());
                drop(tokio::task::spawn_blocking(move || {
                    wait.pass();
                    trace.add(format!("alive {}", life.alive()));
                    trace.add(format!("told {}", life.tell(Say::Note(1)).is_ok()));
                    gate.pass();
                    trace.add("let go");
                }));
            }
            Box::pin(async { Ok(()) })
        })),
        ..script
    };
    let stage = Stage::new::<false>(4, script, |spec| spec);
    stage.toy.tell(Say::Boom(1)).unwrap();
    stage.trace.until("drop").await;
    wait.open();
    stage.trace.until("told false").await;
    assert!(stage.trace.has("alive false"));
    tempt(&stage).await;
    gate.open();
    stage.trace.until("start 2").await;
    assert_no_overlap(&stage.trace, "let go");
    assert!(!stage.trace.has("note 1"));
    stage.stop().await;
}

/// A task that is in the middle of its work when the role ends: what it says then is not heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_is_muted_before_the_state_is_dropped() {
    let listener = Stage::plain(4);
    let stage = Stage::plain(4);
    let (gate, heard) = (Gate::default(), listener.toy.clone());
    let wait = gate.clone();
    let busy = Say::act(move |inner, cx| {
        let (trace, gate, heard) = (inner.script.trace.clone(), wait.clone(), heard.clone());
        cx.task(move |life| async move {
            trace.add("working");
            gate.pass();
            trace.add(format!("told itself {}", life.tell(Say::Note(1)).is_ok()));
            trace.add(format!("told {}", life.tell_to(&heard, Say::Note(1)).is_ok()));
            trace.add(format!("offered {}", life.offer_to(&heard, Say::Note(1)).await.is_ok()));
        });
    });
    stage.toy.tell(busy).unwrap();
    stage.trace.until("working").await;
    stage.toy.tell(Say::Boom(1)).unwrap();
    stage.trace.until("drop").await;
    gate.open();
    stage.trace.until("start 2").await;
    assert!(stage.trace.at("told false") < stage.trace.at("exit panicked: boom 1"));
    assert!(stage.trace.has("told itself false") && !stage.trace.has("offered true"));
    listener.ask(1).await;
    assert!(!listener.trace.has("note 1") && !stage.trace.has("note 1"));
    stage.stop().await;
    listener.stop().await;
}

/// A fact of an incarnation, or its exit notice, in one of two lanes.
#[derive(Debug)]
struct Heard {
    lane: usize,
    incarnation: u64,
    gone: bool,
}

/// Notes facts of incarnations that it has been told are gone.
struct Ear {
    gone: [u64; 2],
    trace: Trace,
}

impl Role for Ear {
    type Message = Heard;
    type Args = Trace;

    async fn start(trace: Trace, _: Life<Heard>) -> Result<Self, StartError> {
        Ok(Self { gone: [0; 2], trace })
    }

    fn handle(&mut self, heard: &Heard, _: &mut Context<Heard>) {
        let gone = &mut self.gone[heard.lane];
        if heard.gone {
            *gone = heard.incarnation;
            self.trace.add(format!("gone {} in {}", heard.incarnation, heard.lane));
        } else if heard.incarnation <= *gone {
            self.trace.add(format!("late: {} in {}", heard.incarnation, heard.lane));
        }
    }
}

/// Speaks in both lanes without pause; only the mute stops it.
async fn babble(life: Life<Say>, to: Mailbox<Heard>, incarnation: u64) {
    loop {
        for lane in 0..2 {
            let fact = Heard { lane, incarnation, gone: false };
            let _refused = match lane {
                0 => life.tell_to(&to, fact),
                _ => life.offer_to(&to, fact).await,
            };
        }
        tokio::task::yield_now().await;
    }
}

/// Crashes by the hundred, with tasks that speak without pause: nothing that they say arrives
/// behind the exit notice, and no two incarnations live at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_arrives_after_the_exit_notice() {
    const ROUNDS: u64 = 200;
    let script = Script::default();
    let ear: Mailbox<Heard> = Mailbox::new(&troupe_kit::Kit::default(), "root/ear", 64);
    let to = ear.clone();
    let script = Script {
        started: Some(Arc::new(move |inner, cx| {
            let alone = inner.script.live.load(Ordering::SeqCst) == 1;
            inner.script.trace.add(if alone { "alone" } else { "overlap" });
            let incarnation = cx.incarnation();
            for _ in 0..3 {
                let to = to.clone();
                cx.task(move |life| babble(life, to, incarnation));
            }
        })),
        ..script
    };
    let (notices, exits) = (ear.clone(), AtomicU64::new(0));
    let stage = Stage::new::<false>(4, script, move |spec| {
        spec.on_exit(move |_| {
            let incarnation = exits.fetch_add(1, Ordering::SeqCst) + 1;
            let notice = |lane| Heard { lane, incarnation, gone: true };
            let _refused = notices.tell(notice(0));
            let _refused = notices.tell_behind(notice(1));
        })
    });
    let heard = Trace::default();
    let spec = ChildSpec::of::<Ear>("ear", &ear, heard.clone()).build();
    stage.company.mailbox().tell(troupe_kit::SupervisorMessage::add(spec)).unwrap();
    for round in 1..=ROUNDS {
        stage.trace.until(&format!("start {round}")).await;
        stage.toy.tell(Say::Boom(round)).unwrap();
    }
    stage.trace.until(&format!("start {}", ROUNDS + 1)).await;
    heard.until(&format!("gone {ROUNDS} in 0")).await;
    heard.until(&format!("gone {ROUNDS} in 1")).await;
    assert_eq!(heard.after("late: "), Vec::<String>::new());
    assert!(!stage.trace.has("overlap"));
    stage.stop().await;
}
