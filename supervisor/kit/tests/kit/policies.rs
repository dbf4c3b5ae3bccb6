//! Restart policies, backoff, and giving up.

use crate::common::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use troupe_kit::{
    Backoff, Company, Exit, GiveUp, Kit, Mailbox, Order, Phase, Restart, Root, SupervisorMessage,
};

/// How a toy is made to end, and the exit it gives.
fn ways() -> [(Say, &'static str); 3] {
    [
        (Say::act(|_, cx| cx.stop()), "exit stopped"),
        (Say::act(|_, cx| cx.fail("torn")), "exit failed: torn"),
        (Say::Boom(1), "exit panicked: boom 1"),
    ]
}

both! {
    async fn restart_policies() {
        for (restart, again) in [
            (Restart::Permanent, [true, true, true]),
            (Restart::Transient, [false, true, true]),
            (Restart::Temporary, [false, false, false]),
        ] {
            for ((end, exit), again) in ways().into_iter().zip(again) {
                let stage = Stage::new::<false>(1, Script::default(), |spec| spec.restart(restart));
                stage.toy.tell(end).unwrap();
                stage.trace.until(exit).await;
                if again {
                    stage.trace.until("start 2").await;
                    assert_eq!(stage.ask(2).await, 2);
                } else {
                    eventually("it is closed", || stage.toy.phase() == Phase::Closed).await;
                    assert!(stage.root.view().find("toy").is_none());
                }
                assert_eq!(stage.trace.after("exit ").len(), 1);
                stage.stop().await;
            }
        }
    }

    async fn a_child_that_fails_too_often_is_closed_alone() {
        let (kit, trace) = (Kit::default(), Trace::default());
        let boxes: Vec<_> =
            ["a", "b", "c"].map(|name| Mailbox::new(&kit, format!("root/{name}"), 1)).into();
        let mut company = Company::new(&kit, "root", Order::Reverse);
        for (name, mailbox) in ["a", "b", "c"].iter().zip(&boxes) {
            let script =
                Script { name: format!("{name} "), trace: trace.clone(), ..Script::default() };
            company = company.with(
                spec::<false>(name, mailbox, script)
                    .intensity(2, Duration::from_secs(1000))
                    .give_up(GiveUp::Close)
                    .build(),
            );
        }
        let root = Root::start(company.clone());
        for round in 1..=3 {
            trace.until(&format!("b start {round}")).await;
            boxes[1].tell(Say::Boom(round)).unwrap();
        }
        eventually("it is closed", || boxes[1].phase() == Phase::Closed).await;
        trace.until_count("b exit panicked: boom 3", 1).await;
        assert!(!trace.has("b start 4"));
        for (mailbox, number) in [(&boxes[0], 1), (&boxes[2], 3)] {
            assert_eq!(ask(mailbox, number).await, number);
        }
        let view = root.view().find("b").unwrap().clone();
        assert_eq!((view.phase, view.restarts), (Phase::Closed, 2));
        let error = view.last_error.unwrap();
        assert!(error.starts_with("panicked: boom 3; more than 2 restarts within"), "{error}");
        let alive: Vec<_> = company.alive().into_iter().map(|alive| alive.name).collect();
        assert_eq!(alive, ["a".into(), "c".into()]);
        // Somebody opens it again, under the same name.
        let again = Mailbox::new(&kit, "root/b", 1);
        let script = Script { name: "new b ".into(), trace: trace.clone(), ..Script::default() };
        let add = SupervisorMessage::add(spec::<false>("b", &again, script).build());
        company.mailbox().tell(add).unwrap();
        assert_eq!(ask(&again, 5).await, 5);
        assert_eq!(root.view().find("b").unwrap().last_error, None);
        assert_eq!(stopped(&root).await, Exit::Normal);
    }

    /// The first, the middle and the last child fail too often; the others are stopped in order.
    async fn escalation_is_an_ordered_stop_and_then_the_failure() {
        for failing in ["a", "b", "c"] {
            let (kit, trace) = (Kit::default(), Trace::default());
            let mut company = Company::new(&kit, "root", Order::Reverse);
            let mut target = None;
            for name in ["a", "b", "c"] {
                let mailbox = Mailbox::new(&kit, format!("root/{name}"), 1);
                let script =
                    Script { name: format!("{name} "), trace: trace.clone(), ..Script::default() };
                company = company.with(
                    spec::<false>(name, &mailbox, script)
                        .intensity(0, Duration::from_secs(10))
                        .give_up(GiveUp::Escalate)
                        .build(),
                );
                if name == failing {
                    target = Some(mailbox);
                }
            }
            let root = Root::start(company);
            for name in ["a", "b", "c"] {
                trace.until(&format!("{name} start 1")).await;
            }
            target.unwrap().tell(Say::Boom(1)).unwrap();
            let Exit::GaveUp(why) = ended(&root).await else { panic!("{failing}") };
            assert!(why.starts_with(&format!("{failing} panicked: boom 1")), "{why}");
            let stops: Vec<_> =
                trace.all().iter().filter_map(|e| e.strip_suffix(" stop").map(str::to_owned)).collect();
            let order: Vec<_> =
                ["c", "b", "a"].into_iter().filter(|name| *name != failing).collect();
            assert_eq!(stops, order);
            assert!(root.is_over());
        }
    }

    /// A supervisor that gave up is a failed child of the supervisor above.
    async fn a_supervisor_that_gave_up_is_given_up() {
        for (restart, give_up) in [
            (Restart::Permanent, GiveUp::Close),
            (Restart::Temporary, GiveUp::Close),
            (Restart::Permanent, GiveUp::Escalate),
        ] {
            let (kit, trace) = (Kit::default(), Trace::default());
            let toy = Mailbox::new(&kit, "root/middle/toy", 1);
            let script = Script { trace: trace.clone(), ..Script::default() };
            let middle = Company::new(&kit, "root/middle", Order::Reverse)
                .with(spec::<false>("toy", &toy, script).intensity(0, Duration::from_secs(9)).build());
            let told = trace.clone();
            let company = Company::new(&kit, "root", Order::Reverse).with(
                troupe_kit::ChildSpec::supervisor("middle", &middle)
                    .restart(restart)
                    .give_up(give_up)
                    .on_exit(move |exit| told.add(format!("middle {exit}")))
                    .build(),
            );
            let root = Root::start(company);
            toy.tell(Say::Boom(1)).unwrap();
            if give_up == GiveUp::Escalate {
                assert!(matches!(ended(&root).await, Exit::GaveUp(why) if why.starts_with("middle gave up: toy")));
                continue;
            }
            eventually("it is closed", || middle.mailbox().phase() == Phase::Closed).await;
            assert_eq!(toy.phase(), Phase::Closed);
            assert_eq!(trace.after("middle ").len(), 1);
            let view = root.view();
            let view = view.find("middle");
            if restart == Restart::Temporary {
                assert!(view.is_none());
            } else {
                let error = view.unwrap().last_error.clone().unwrap();
                assert!(error.starts_with("gave up: toy panicked: boom 1"), "{error}");
            }
            assert_eq!(stopped(&root).await, Exit::Normal);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn backoff_grows_up_to_its_cap() {
    let times = Arc::new(Mutex::new(Vec::<Instant>::new()));
    let noted = Arc::clone(&times);
    let script = Script {
        started: Some(Arc::new(move |_, cx| {
            noted.lock().unwrap().push(Instant::now());
            cx.fail("again");
        })),
        ..Script::default()
    };
    let backoff = Backoff {
        first: Duration::from_millis(100),
        factor: 2.0,
        max: Duration::from_secs(3),
        jitter: 0.1,
    };
    let stage = Stage::new::<false>(1, script, |spec| {
        spec.backoff(backoff).intensity(u32::MAX, Duration::from_secs(100_000))
    });
    stage.trace.until("start 12").await;
    let times = times.lock().unwrap().clone();
    let waits: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!(waits[0] < 0.01, "the first restart does not wait: {waits:?}");
    for (wait, plain) in waits[1..].iter().zip([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0, 3.0]) {
        // Timers have a grain of 1 ms.
        assert!(*wait > plain * 0.9 - 0.002 && *wait < plain * 1.1 + 0.002, "{waits:?}");
    }
    stage.stop().await;
}

#[test]
fn backoff_is_spread_and_total() {
    let backoff = Backoff::DEFAULT;
    let waits: Vec<Duration> = (0..50).map(|_| backoff.wait(5)).collect();
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    for n in [0, 1, 2, 100, 5000, u32::MAX] {
        assert!(backoff.wait(n) <= backoff.max.mul_f64(1.0 + backoff.jitter));
        let none = Backoff { first: Duration::ZERO, ..backoff };
        assert_eq!(none.wait(n), Duration::ZERO);
    }
    let wild = Backoff { jitter: 5.0, max: Duration::MAX, factor: f64::INFINITY, ..backoff };
    for _ in 0..50 {
        let _total = (wild.wait(3), wild.wait(0));
    }
}

/// Restarts that are far apart do not add up.
#[tokio::test(start_paused = true)]
async fn restarts_outside_the_window_are_forgotten() {
    let stage = Stage::new::<false>(1, Script::default(), |spec| {
        spec.intensity(1, Duration::from_secs(10))
    });
    for round in 1..20 {
        stage.trace.until(&format!("start {round}")).await;
        tokio::time::advance(Duration::from_secs(11)).await;
        stage.toy.tell(Say::Boom(round)).unwrap();
    }
    stage.trace.until("start 20").await;
    stage.toy.tell(Say::Boom(20)).unwrap();
    let exit = ended(&stage.root).await;
    assert!(matches!(&exit, Exit::GaveUp(why) if why.contains("boom 20")), "{exit:?}");
}
