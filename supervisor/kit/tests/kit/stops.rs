//! Ordered stops, grace, and the exit notice that comes exactly once.

use crate::common::*;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use troupe_kit::{
    Backoff, ChildSpec, Company, Exit, Kit, Mailbox, Order, Phase, Reply, Root, SupervisorMessage,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three toys that share a trace; `change` gives each its script.
fn trio(kit: &Kit, trace: &Trace, order: Order, change: impl Fn(Script) -> Script) -> Company {
    NAMES.iter().fold(Company::new(kit, "root", order), |company, name| {
        let mailbox = Mailbox::new(kit, format!("root/{name}"), 1);
        let script =
            change(Script { name: format!("{name} "), trace: trace.clone(), ..Script::default() });
        company.with(spec::<false>(name, &mailbox, script).build())
    })
}

async fn all_started(trace: &Trace) {
    for name in NAMES {
        trace.until(&format!("{name} start 1")).await;
    }
}

fn remove(name: &str) -> (SupervisorMessage, tokio::sync::oneshot::Receiver<()>) {
    let (done, gone) = Reply::new();
    (SupervisorMessage::Remove { name: name.into(), done: Some(done) }, gone)
}

both! {
    async fn in_reverse_order_one_after_the_other() {
        let trace = Trace::default();
        let root = Root::start(trio(&Kit::default(), &trace, Order::Reverse, |script| script));
        all_started(&trace).await;
        assert_eq!(stopped(&root).await, Exit::Normal);
        let end: Vec<String> = NAMES
            .iter()
            .rev()
            .flat_map(|name| ["stop", "drop", "exit stopped"].map(|what| format!("{name} {what}")))
            .collect();
        let all = trace.all();
        assert_eq!(all[all.len() - 9..], end);
        assert_eq!(stopped(&root).await, Exit::Normal, "a second stop finds it over");
    }

    /// None of them stops before all were told.
    async fn all_together() {
        let trace = Trace::default();
        let root = Root::start(trio(&Kit::default(), &trace, Order::Together, |script| Script {
            stop: Some(Arc::new(|inner, cx| {
                let trace = inner.script.trace.clone();
                cx.task(move |life| async move {
                    for name in NAMES {
                        trace.until(&format!("{name} stop")).await;
                    }
                    let _refused = life.tell(Say::act(|_, cx| cx.stop()));
                });
            })),
            ..script
        }));
        all_started(&trace).await;
        assert_eq!(stopped(&root).await, Exit::Normal);
        for name in NAMES {
            assert_eq!(trace.count(&format!("{name} exit stopped")), 1);
        }
    }

    async fn a_stop_ends_a_start_that_waits() {
        let script = Script {
            start: Some(Arc::new(|_| Box::pin(std::future::pending()))),
            ..Script::default()
        };
        let stage = Stage::new::<false>(1, script, |spec| spec);
        stage.trace.until("starting").await;
        assert_eq!(stopped(&stage.root).await, Exit::Normal);
        assert_eq!(stage.trace.all(), ["starting", "exit stopped"]);
    }

    async fn a_stop_before_anything_has_started() {
        let trace = Trace::default();
        let root = Root::start(trio(&Kit::default(), &trace, Order::Reverse, |script| script));
        assert_eq!(stopped(&root).await, Exit::Normal);
        for name in NAMES {
            assert_eq!(trace.after(&format!("{name} exit ")).len(), 1, "{:?}", trace.all());
        }
    }

    async fn exits_are_told_once_per_incarnation() {
        let stage = Stage::plain(1);
        for round in 1..=30 {
            stage.trace.until(&format!("start {round}")).await;
            stage.toy.tell(Say::Boom(round)).unwrap();
        }
        stage.trace.until("start 31").await;
        let trace = stage.trace.clone();
        stage.stop().await;
        assert_eq!(trace.after("exit ").len(), 31);
        assert_eq!(trace.count("exit stopped"), 1);
    }

    async fn a_child_that_never_runs_is_told_as_ended() {
        let trace = Trace::default();
        let gate = Arc::new(tokio::sync::Notify::new());
        let kit = Kit::default();
        let waiting = Arc::clone(&gate);
        let company = trio(&kit, &trace, Order::Reverse, move |script| {
            let gate = Arc::clone(&waiting);
            Script {
                stop: Some(Arc::new(move |_, cx| {
                    let gate = Arc::clone(&gate);
                    cx.task(move |life| async move {
                        gate.notified().await;
                        let _refused = life.tell(Say::act(|_, cx| cx.stop()));
                    });
                })),
                ..script
            }
        });
        let late = |name: &str| {
            let script =
                Script { name: format!("{name} "), trace: trace.clone(), ..Script::default() };
            let mailbox = Mailbox::new(&kit, format!("root/{name}"), 1);
            // A known name is told as ended, too: whoever added it waits for it.
            let child = if name == "twice" { "a" } else { name };
            SupervisorMessage::add(spec::<false>(child, &mailbox, script).build())
        };
        let supervisor = company.mailbox().clone();
        let root = Root::start(company);
        all_started(&trace).await;
        supervisor.tell(late("twice")).unwrap();
        trace.until("twice exit killed").await;
        let end = async {
            trace.until("c stop").await;
            supervisor.tell(late("ending")).unwrap();
            trace.until("ending exit killed").await;
            for name in ["c", "b", "a"] {
                trace.until(&format!("{name} stop")).await;
                gate.notify_one();
                trace.until(&format!("{name} exit stopped")).await;
            }
        };
        tokio::join!(end, stopped(&root));
        assert!(supervisor.tell(late("closed")).is_err());
        for name in ["twice", "ending", "closed"] {
            assert_eq!(trace.after(&format!("{name} ")), ["exit killed"]);
        }
    }

    async fn a_removed_child_is_gone_when_it_is_told() {
        let (kit, trace) = (Kit::default(), Trace::default());
        let company = trio(&kit, &trace, Order::Reverse, |script| script);
        let supervisor = company.mailbox().clone();
        let root = Root::start(company.clone());
        all_started(&trace).await;
        let (message, gone) = remove("b");
        supervisor.tell(message).unwrap();
        in_time("the child is gone", gone).await.unwrap();
        assert_eq!(trace.count("b exit stopped"), 1);
        assert!(root.view().find("b").is_none());
        let (message, gone) = remove("b");
        supervisor.tell(message).unwrap();
        in_time("the child is gone", gone).await.unwrap();
        assert_eq!(company.alive().len(), 2);
        // Under the same name with a new mailbox it may come back.
        let b = Mailbox::new(&kit, "root/b", 1);
        let script = Script { name: "new ".into(), trace: trace.clone(), ..Script::default() };
        supervisor.tell(SupervisorMessage::add(spec::<false>("b", &b, script).build())).unwrap();
        assert_eq!(ask(&b, 1).await, 1);
        stopped(&root).await;
    }

    /// A mailbox is closed for good: a spec that brings it again never runs.
    async fn a_closed_mailbox_is_not_started_again() {
        let stage = Stage::plain(1);
        let supervisor = stage.company.mailbox().clone();
        let (message, gone) = remove("toy");
        supervisor.tell(message).unwrap();
        in_time("the child is gone", gone).await.unwrap();
        let script = Script { name: "again ".into(), trace: stage.trace.clone(), ..Script::default() };
        let again = spec::<false>("toy", &stage.toy, script).build();
        supervisor.tell(SupervisorMessage::add(again)).unwrap();
        stage.trace.until("again exit killed").await;
        let alive = supervisor.call(PATIENCE, SupervisorMessage::Alive).await.unwrap();
        assert!(alive.is_empty());
        assert!(stage.root.view().handled < 10, "it does not try for ever");
        assert_eq!(stage.trace.after("again "), ["exit killed"]);
        stopped(&stage.root).await;
    }

    /// Two specs for one mailbox: the second waits until the place is free, and then is started.
    async fn a_taken_place_is_waited_for() {
        let hour = Duration::from_secs(3600);
        let slow = Backoff { first: hour, max: hour, ..Backoff::DEFAULT };
        let stage = Stage::new::<false>(1, Script::default(), |spec| spec.backoff(slow));
        stage.toy.tell(Say::Boom(1)).unwrap();
        stage.trace.until("start 2").await; // The next restart waits.
        let script = Script {
            name: "second ".into(),
            trace: stage.trace.clone(),
            live: Arc::clone(&stage.live),
            ..Script::default()
        };
        let second = spec::<false>("second", &stage.toy, script).build();
        stage.company.mailbox().tell(SupervisorMessage::add(second)).unwrap();
        let alive = || stage.company.mailbox().call(PATIENCE, SupervisorMessage::Alive);
        assert_eq!(alive().await.unwrap().len(), 2);
        assert!(!stage.trace.has("second starting"));
        stage.toy.tell(Say::Boom(2)).unwrap();
        stage.trace.until("second start 3").await;
        assert_eq!(stage.live.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert!(stage.trace.at("exit panicked: boom 2") < stage.trace.at("second starting"));
        stage.stop().await;
    }

    async fn nested_supervisors_stop_their_children_first() {
        let (kit, trace) = (Kit::default(), Trace::default());
        let toy = |path: &str, name: &str| {
            let mailbox = Mailbox::new(&kit, path, 1);
            let script =
                Script { name: format!("{name} "), trace: trace.clone(), ..Script::default() };
            spec::<false>(name, &mailbox, script).build()
        };
        let inner = Company::new(&kit, "root/inner", Order::Reverse)
            .with(toy("root/inner/b", "b"))
            .with(toy("root/inner/c", "c"));
        let told = trace.clone();
        let company = Company::new(&kit, "root", Order::Reverse).with(toy("root/a", "a")).with(
            ChildSpec::supervisor("inner", &inner)
                .on_exit(move |exit| told.add(format!("inner {exit}")))
                .build(),
        );
        let root = Root::start(company);
        all_started(&trace).await;
        assert_eq!(stopped(&root).await, Exit::Normal);
        let ends: Vec<String> = trace
            .all()
            .into_iter()
            .filter(|entry| entry.ends_with("exit stopped") || entry.starts_with("inner"))
            .collect();
        assert_eq!(ends, ["c exit stopped", "b exit stopped", "inner stopped", "a exit stopped"]);
        assert_eq!(inner.mailbox().phase(), Phase::Closed);
    }
}

/// A stop comes after the control lane and before the bulk lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_control_lane() {
    let stage = Stage::plain(8);
    let last = Mailbox::new(&stage.kit, "root/last", 1);
    let script = Script { name: "last ".into(), trace: stage.trace.clone(), ..Script::default() };
    let supervisor = stage.company.mailbox();
    supervisor.tell(SupervisorMessage::add(spec::<false>("last", &last, script).build())).unwrap();
    let gate = Gate::default();
    let wait = gate.clone();
    let busy = Say::act(move |inner, _| {
        inner.script.trace.add("busy");
        wait.pass();
    });
    stage.toy.tell(busy).unwrap();
    stage.trace.until("busy").await;
    for number in 0..10 {
        stage.toy.tell(Say::Note(number)).unwrap();
        stage.toy.tell_behind(Say::Note(100 + number)).unwrap();
    }
    let ordered = async {
        let forgotten = || stage.root.view().find("last").is_none();
        eventually("its notice is handled", forgotten).await;
        // When this is answered, all of what that handler ordered is done.
        supervisor.call(PATIENCE, SupervisorMessage::Alive).await.unwrap();
        gate.open();
    };
    let (exit, ()) = tokio::join!(stopped(&stage.root), ordered);
    assert_eq!(exit, Exit::Normal);
    assert_eq!(stage.trace.after("note ").len(), 10, "{:?}", stage.trace.all());
    assert!(stage.trace.at("note 9") < stage.trace.at("stop"));
}

/// A toy that does not stop is killed when its grace is over, also inside a supervisor.
#[tokio::test(start_paused = true)]
async fn grace_and_then_kill() {
    for nested in [false, true] {
        let (kit, trace) = (Kit::default(), Trace::default());
        let mailbox = Mailbox::new(&kit, "root/toy", 1);
        let script =
            Script { trace: trace.clone(), stop: Some(Arc::new(|_, _| {})), ..Script::default() };
        let long = Duration::from_secs(if nested { 1000 } else { 7 });
        let toy = spec::<false>("toy", &mailbox, script).grace(long).build();
        let mut company = Company::new(&kit, "root", Order::Reverse);
        company = if nested {
            let inner = Company::new(&kit, "root/inner", Order::Reverse).with(toy);
            let told = trace.clone();
            company.with(
                ChildSpec::supervisor("inner", &inner)
                    .grace(Duration::from_secs(7))
                    .on_exit(move |exit| told.add(format!("inner {exit}")))
                    .build(),
            )
        } else {
            company.with(toy)
        };
        let root = Root::start(company);
        trace.until("start 1").await;
        let began = Instant::now();
        assert_eq!(stopped(&root).await, Exit::Normal);
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(7) && took < Duration::from_secs(8), "{took:?}");
        assert_eq!(trace.after("exit "), ["killed"]);
        if nested {
            assert!(trace.at("exit killed") < trace.at("inner stopped"));
        }
    }
}

/// The timers of an ordered stop outlive a crash of the supervisor.
#[tokio::test(start_paused = true)]
async fn grace_survives_a_crash_of_the_supervisor() {
    let script = Script { stop: Some(Arc::new(|_, _| {})), ..Script::default() };
    let stage = Stage::new::<false>(1, script, |spec| spec.grace(Duration::from_secs(3)));
    stage.trace.until("start 1").await;
    let (root, trace) = (stage.root.clone(), stage.trace.clone());
    let crash = async {
        trace.until("stop").await;
        crash(&stage.kit, stage.company.mailbox(), troupe_kit::Moment::Before).await;
    };
    let (exit, ()) = tokio::join!(stopped(&root), crash);
    assert_eq!(exit, Exit::Normal);
    assert_eq!(trace.after("exit "), ["killed"]);
    // The same for a child that is removed.
    let script = Script { stop: Some(Arc::new(|_, _| {})), ..Script::default() };
    let stage = Stage::new::<false>(1, script, |spec| spec.grace(Duration::from_secs(3)));
    stage.trace.until("start 1").await;
    let (message, gone) = remove("toy");
    stage.company.mailbox().tell(message).unwrap();
    stage.trace.until("stop").await;
    self::crash_now(&stage).await;
    in_time("the child is gone", gone).await.unwrap();
    assert_eq!(stage.trace.after("exit "), ["killed"]);
    stopped(&stage.root).await;
}

async fn crash_now(stage: &Stage) {
    crash(&stage.kit, stage.company.mailbox(), troupe_kit::Moment::Kill).await;
}

/// A timer of a backoff dies with its supervisor: the next incarnation starts the child.
#[tokio::test(start_paused = true)]
async fn a_child_in_backoff_is_started_after_a_crash_of_the_supervisor() {
    let backoff = Backoff {
        first: Duration::from_secs(100),
        max: Duration::from_secs(100),
        ..Backoff::DEFAULT
    };
    let stage = Stage::new::<false>(1, Script::default(), |spec| spec.backoff(backoff));
    stage.toy.tell(Say::Boom(1)).unwrap();
    stage.trace.until("start 2").await;
    let began = Instant::now();
    stage.toy.tell(Say::Boom(2)).unwrap();
    stage.trace.until("exit panicked: boom 2").await;
    crash_now(&stage).await;
    stage.trace.until("start 3").await;
    assert!(began.elapsed() < Duration::from_secs(90), "it waited for the timer");
    stage.stop().await;
}
