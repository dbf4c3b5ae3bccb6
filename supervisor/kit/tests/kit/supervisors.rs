//! Crashing supervisors: at every level, at every message, at start, while stopping.

use crate::common::*;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use troupe_kit::{
    Backoff, ChildSpec, Company, Exit, Fault, GiveUp, Kit, Mailbox, Moment, Order, Phase, Reply,
    Restart, Root, SupervisorMessage,
};

const SUPERVISORS: [&str; 3] = ["root", "root/middle", "root/middle/leaf"];
const MOMENTS: [Moment; 4] = [Moment::Before, Moment::Within, Moment::After, Moment::Kill];

/// root ─ (a, middle ─ (b, leaf ─ (c, d))).
struct Tree {
    kit: Kit,
    trace: Trace,
    live: Arc<std::sync::atomic::AtomicI64>,
    root: Root,
    companies: Vec<Company>,
    toys: Vec<Mailbox<Say>>,
}

impl Tree {
    fn new(kit: Kit, change: impl Fn(troupe_kit::SpecBuilder) -> troupe_kit::SpecBuilder) -> Self {
        let (trace, live) = (Trace::default(), Arc::default());
        let mut toys = Vec::new();
        let mut toy = |path: &str, name: &str| {
            let mailbox = Mailbox::new(&kit, format!("{path}/{name}"), 4);
            toys.push(mailbox.clone());
            let script = Script {
                name: format!("{name} "),
                trace: trace.clone(),
                live: Arc::clone(&live),
                ..Script::default()
            };
            spec::<true>(name, &mailbox, script).build()
        };
        let paths = SUPERVISORS;
        let leaf = Company::new(&kit, paths[2], Order::Reverse)
            .with(toy(paths[2], "c"))
            .with(toy(paths[2], "d"));
        let middle = Company::new(&kit, paths[1], Order::Together)
            .with(toy(paths[1], "b"))
            .with(change(ChildSpec::supervisor("leaf", &leaf)).build());
        let root = Company::new(&kit, paths[0], Order::Reverse)
            .with(toy(paths[0], "a"))
            .with(change(ChildSpec::supervisor("middle", &middle)).build());
        Self {
            root: Root::start(root.clone()),
            kit,
            trace,
            live,
            companies: vec![root, middle, leaf],
            toys,
        }
    }

    /// Supervisors that may crash as often as a test wants.
    fn lasting(kit: Kit) -> Self {
        Self::new(kit, |spec| {
            spec.intensity(1000, Duration::from_secs(10))
                .backoff(Backoff { first: Duration::ZERO, ..Backoff::DEFAULT })
        })
    }

    async fn all_started(&self) {
        for name in ["a", "b", "c", "d"] {
            self.trace.until(&format!("{name} start 1")).await;
        }
        for company in &self.companies {
            company.mailbox().call(PATIENCE, SupervisorMessage::Alive).await.unwrap();
        }
    }

    fn inject_next(&self, company: &Company, moment: Moment) {
        let role = company.mailbox().path().to_owned();
        let at = self.kit.faults.counts().get(&role).copied().unwrap_or(0) + 1;
        self.kit.faults.inject(Fault { role, at, moment });
    }

    async fn landed(&self, count: usize) {
        eventually("the fault lands", || self.kit.faults.landed().len() == count).await;
    }

    fn script(&self, name: &str) -> Script {
        Script {
            name: format!("{name} "),
            trace: self.trace.clone(),
            live: Arc::clone(&self.live),
            ..Script::default()
        }
    }

    /// The toys are the same as ever, with what they have been told.
    async fn toys_are_untouched(&self, notes: u64) {
        for (mailbox, name) in self.toys.iter().zip(["c", "d", "b", "a"]) {
            let (told, state) = tokio::sync::oneshot::channel();
            let told = std::sync::Mutex::new(Some(told));
            mailbox
                .tell(Say::act(move |inner, _| {
                    if let Some(told) = told.lock().unwrap().take() {
                        let _late = told.send(inner.notes);
                    }
                }))
                .unwrap();
            assert_eq!(state.await, Ok(notes), "{name}");
            assert_eq!(self.trace.after(&format!("{name} start ")), ["1"]);
        }
    }

    async fn stop(self) {
        assert_eq!(stopped(&self.root).await, Exit::Normal);
        assert_eq!(self.live.load(Ordering::SeqCst), 0, "{:?}", self.trace.all());
        for company in &self.companies {
            assert_eq!(company.mailbox().phase(), Phase::Closed);
            assert!(company.alive().is_empty());
        }
        for name in ["a", "b", "c", "d"] {
            let exits = self.trace.after(&format!("{name} exit "));
            assert_eq!(exits.iter().filter(|exit| *exit == "stopped").count(), 1, "{exits:?}");
        }
    }
}

both! {
    async fn children_go_on_while_their_supervisor_crashes() {
        let tree = Tree::lasting(Kit::default());
        tree.all_started().await;
        for toy in &tree.toys {
            toy.tell(Say::Note(1)).unwrap();
        }
        for company in tree.companies.clone() {
            // The root may crash 5 times in 10 s.
            for moment in MOMENTS {
                crash(&tree.kit, company.mailbox(), moment).await;
                company.mailbox().call(PATIENCE, SupervisorMessage::Alive).await.unwrap();
                tree.toys_are_untouched(1).await;
            }
        }
        let view = tree.root.view();
        assert_eq!((view.restarts, view.incarnation), (4, 5));
        let leaf = view.find("middle/leaf").unwrap();
        assert_eq!((leaf.restarts, leaf.incarnation), (4, 5));
        assert_eq!(leaf.last_error.as_deref(), Some("killed"));
        tree.stop().await;
    }

    async fn a_supervisor_that_crashes_at_its_start() {
        for at in [1, 2] {
            let kit = Kit::default();
            for role in SUPERVISORS {
                for at in 1..=at {
                    kit.faults.inject(Fault { role: role.into(), at, moment: Moment::Start });
                }
            }
            let tree = Tree::lasting(kit);
            tree.all_started().await;
            assert_eq!(tree.kit.faults.landed().len() as u64, 3 * at);
            tree.toys_are_untouched(0).await;
            tree.stop().await;
        }
    }

    async fn every_message_survives_a_crash_at_every_moment() {
        for moment in MOMENTS {
            for level in 0..3 {
                every_message(moment, level).await;
            }
        }
    }

    /// A stop is carried out whatever crashes in it, at every level, at every message.
    async fn a_crash_while_stopping() {
        for role in SUPERVISORS {
            for moment in MOMENTS {
                for step in 1..=4 {
                    let tree = Tree::lasting(Kit::default());
                    tree.all_started().await;
                    tree.kit.faults.inject(Fault { role: role.into(), at: step, moment });
                    tree.stop().await;
                }
            }
        }
    }

    /// The order to stop waits for the next incarnation, which finds the children alive.
    async fn a_stop_ordered_while_a_supervisor_is_restarting() {
        for level in 0..3 {
            for moment in [Moment::Before, Moment::Kill] {
                let tree = Tree::lasting(Kit::default());
                tree.all_started().await;
                let company = tree.companies[level].clone();
                tree.inject_next(&company, moment);
                let nobody = SupervisorMessage::StartDue { name: "nobody".into() };
                company.mailbox().tell(nobody).unwrap();
                tree.stop().await;
            }
        }
    }

    /// The notice of a child's end is not lost when the supervisor's handler panics on it again
    /// and again.
    async fn a_notice_that_is_set_aside_is_told_again() {
        for moment in [Moment::Before, Moment::Within] {
            let tree = Tree::lasting(Kit::default());
            tree.all_started().await;
            let role = SUPERVISORS[2].to_owned();
            for at in 1..=3 {
                tree.kit.faults.inject(Fault { role: role.clone(), at, moment });
            }
            tree.toys[0].tell(Say::Boom(1)).unwrap();
            tree.toys[0].tell(Say::Note(5)).unwrap();
            tree.trace.until("c note 5").await;
            assert_eq!(tree.kit.faults.landed().len(), 3);
            tree.stop().await;
        }
    }

    async fn a_root_that_crashes_too_often_gives_up() {
        let tree = Tree::lasting(Kit::default());
        tree.all_started().await;
        for at in 1..=6 {
            tree.kit.faults.inject(Fault { role: "root".into(), at, moment: Moment::Before });
        }
        for _ in 0..6 {
            let _refused = tree.companies[0]
                .mailbox()
                .tell(SupervisorMessage::StartDue { name: "nobody".into() });
        }
        let exit = ended(&tree.root).await;
        assert!(matches!(&exit, Exit::GaveUp(why) if why.contains("root failed too often")), "{exit:?}");
        assert_eq!(tree.live.load(Ordering::SeqCst), 0, "all are gone when it is told");
        assert!(tree.root.is_over());
        for toy in &tree.toys {
            assert_eq!(toy.phase(), Phase::Closed);
        }
        for name in ["a", "b", "c", "d"] {
            assert_eq!(tree.trace.after(&format!("{name} exit ")), ["killed"]);
        }
    }

    /// Its children are gone before it counts as given up.
    async fn a_supervisor_that_crashes_too_often_is_given_up() {
        for give_up in [GiveUp::Close, GiveUp::Escalate] {
            let tree = Tree::new(Kit::default(), |spec| {
                spec.intensity(2, Duration::from_secs(100)).give_up(give_up)
            });
            tree.all_started().await;
            for at in 1..=3 {
                tree.kit.faults.inject(Fault { role: SUPERVISORS[1].into(), at, moment: Moment::Before });
            }
            for _ in 0..3 {
                let _refused = tree.companies[1]
                    .mailbox()
                    .tell(SupervisorMessage::StartDue { name: "nobody".into() });
            }
            if give_up == GiveUp::Escalate {
                let exit = ended(&tree.root).await;
                assert!(matches!(&exit, Exit::GaveUp(why) if why.starts_with("middle panicked")), "{exit:?}");
                assert_eq!(tree.trace.after("a exit "), ["stopped"]);
            } else {
                eventually("it is closed", || tree.companies[1].mailbox().phase() == Phase::Closed).await;
                assert_eq!(tree.live.load(Ordering::SeqCst), 1, "only a is left");
                let view = tree.root.view();
                let error = view.find("middle").unwrap().last_error.clone().unwrap();
                assert!(error.contains("more than 2 restarts"), "{error}");
                assert_eq!(ask(&tree.toys[3], 1).await, 1);
                assert_eq!(stopped(&tree.root).await, Exit::Normal);
            }
            for name in ["b", "c", "d"] {
                assert_eq!(tree.trace.after(&format!("{name} exit ")), ["killed"]);
            }
            assert_eq!(tree.live.load(Ordering::SeqCst), 0);
        }
    }

    /// A supervisor that is never restarted still stops its children in order.
    async fn a_temporary_supervisor_that_crashes_winds_up() {
        let tree = Tree::new(Kit::default(), |spec| spec.restart(Restart::Temporary));
        tree.all_started().await;
        crash(&tree.kit, tree.companies[2].mailbox(), Moment::Before).await;
        eventually("it is forgotten", || tree.root.view().find("middle/leaf").is_none()).await;
        let all = tree.trace.all();
        let ends: Vec<&String> = all.iter().filter(|entry| entry.ends_with("exit stopped")).collect();
        assert_eq!(ends, ["d exit stopped", "c exit stopped"]);
        assert_eq!(ask(&tree.toys[2], 2).await, 2, "b goes on");
        tree.stop().await;
    }
}

/// Each kind of message to the supervisor of one level, with a crash at its first delivery.
async fn every_message(moment: Moment, level: usize) {
    let tree = Tree::lasting(Kit::default());
    tree.all_started().await;
    let company = tree.companies[level].clone();
    let mailbox = company.mailbox();
    let mut faults = 0;
    let mut inject = || {
        tree.inject_next(&company, moment);
        faults += 1;
        faults
    };
    // Add.
    let extra = Mailbox::new(&tree.kit, format!("{}/extra", mailbox.path()), 1);
    let count = inject();
    let spec = spec::<true>("extra", &extra, tree.script("extra")).grace(Duration::ZERO).build();
    mailbox.tell(SupervisorMessage::add(spec)).unwrap();
    assert_eq!(ask(&extra, 1).await, 1);
    tree.landed(count).await;
    // Gone.
    let count = inject();
    extra.tell(Say::act(|_, cx| cx.fail("for the test"))).unwrap();
    tree.trace.until("extra start 2").await;
    tree.landed(count).await;
    // Alive: a call in hand is not given again.
    let count = inject();
    let alive = mailbox.call(PATIENCE, SupervisorMessage::Alive).await;
    assert_eq!(alive.is_ok(), matches!(moment, Moment::After | Moment::Kill));
    tree.landed(count).await;
    if level > 0 {
        // The root may crash 5 times only.
        let count = inject();
        mailbox.tell(SupervisorMessage::StartDue { name: "extra".into() }).unwrap();
        tree.landed(count).await;
    }
    // Remove; the grace of nothing makes a GraceDue of it, too.
    let count = inject();
    let (done, gone) = Reply::new();
    mailbox.tell(SupervisorMessage::Remove { name: "extra".into(), done: Some(done) }).unwrap();
    in_time("the child is gone", gone).await.unwrap();
    tree.landed(count).await;
    assert_eq!(extra.phase(), Phase::Closed);
    assert_eq!(tree.trace.after("extra exit ").len(), 2);
    tree.toys_are_untouched(0).await;
    tree.stop().await;
}

/// The runtime goes away with everything running: all states are dropped, and waiters are told.
#[test]
fn a_runtime_that_shuts_down_ends_the_company() {
    for threads in [0, 2] {
        let runtime = if threads == 0 {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
        } else {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build()
                .unwrap()
        };
        let tree = runtime.block_on(async {
            let tree = Tree::lasting(Kit::default());
            tree.all_started().await;
            tree.toys[0].tell(Say::act(|_, cx| cx.task(|_| std::future::pending()))).unwrap();
            ask(&tree.toys[0], 1).await;
            tree
        });
        drop(runtime);
        assert_eq!(tree.live.load(Ordering::SeqCst), 0);
        for name in ["a", "b", "c", "d"] {
            assert_eq!(tree.trace.after(&format!("{name} exit ")), ["killed"]);
            assert_eq!(tree.trace.after(&format!("{name} start ")), ["1"]);
        }
        let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(other.block_on(ended(&tree.root)), Exit::Killed);
        assert!(tree.root.is_over());
    }
}

/// A root that gives up is over when the last state is gone, not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn giving_up_waits_for_slow_states() {
    let script = Script::default();
    let (gate, trace) = (Gate::default(), script.trace.clone());
    let wait = gate.clone();
    let script = Script {
        dropped: Some(Arc::new(move || {
            trace.add("dropping");
            wait.pass();
        })),
        ..script
    };
    let stage = Stage::new::<false>(1, script, |spec| spec);
    stage.trace.until("start 1").await;
    for at in 1..=6 {
        let fault = Fault { role: "root".into(), at, moment: Moment::Kill };
        stage.kit.faults.inject(fault);
        let nobody = SupervisorMessage::StartDue { name: "nobody".into() };
        stage.company.mailbox().tell(nobody).unwrap();
    }
    stage.trace.until("dropping").await;
    assert!(!stage.root.is_over());
    gate.open();
    assert!(matches!(ended(&stage.root).await, Exit::GaveUp(_)));
    assert_eq!(stage.trace.after("exit "), ["killed"]);
    assert_eq!(stage.live.load(Ordering::SeqCst), 0);
}
