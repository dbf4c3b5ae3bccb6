//! Mailboxes: two lanes, permits, what survives a restart, the message in hand, calls.

use crate::common::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use troupe_kit::{
    CallError, ChildSpec, Company, Fault, Kit, Mailbox, Moment, Order, Phase, Refused, Restart,
    Root,
};

fn pause() -> Say {
    Say::act(|inner, cx| {
        inner.script.trace.add("paused");
        cx.pause_bulk();
    })
}

both! {
    /// A producer is stopped at the source, and control goes past what is queued.
    async fn a_slow_consumer_bounds_its_producer() {
        const ROOM: usize = 8;
        let stage = Stage::plain(ROOM);
        stage.toy.tell(pause()).unwrap();
        stage.ask(0).await;
        let sent = Arc::new(AtomicUsize::new(0));
        let (toy, count) = (stage.toy.clone(), Arc::clone(&sent));
        let producer = async move {
            for number in 0..1000 {
                toy.offer(Say::Note(number)).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let control = async {
            eventually("the lane is full", || sent.load(Ordering::SeqCst) == ROOM).await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(sent.load(Ordering::SeqCst), ROOM);
            assert_eq!(stage.ask(7).await, 7, "control is served while bulk is full");
            assert_eq!(stage.trace.after("note ").len(), 0);
            stage.toy.tell(Say::act(|_, cx| cx.resume_bulk())).unwrap();
        };
        tokio::join!(producer, control);
        stage.trace.until("note 999").await;
        let order: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        assert_eq!(stage.trace.after("note "), order);
        let view = stage.root.view().find("toy").unwrap().clone();
        assert!(view.bulk.high_water <= ROOM, "{view:?}");
        stage.stop().await;
    }

    async fn both_lanes_survive_a_restart_in_order() {
        let stage = Stage::plain(8);
        stage.toy.tell(pause()).unwrap();
        stage.ask(0).await;
        for number in 10..14 {
            stage.toy.offer(Say::Note(number)).await.unwrap();
        }
        stage.toy.tell_behind(Say::Note(14)).unwrap();
        stage.toy.tell(Say::Boom(0)).unwrap();
        for number in 0..5 {
            stage.toy.tell(Say::Note(number)).unwrap();
        }
        stage.trace.until("note 14").await;
        let first_last = (stage.trace.at("note 0"), stage.trace.at("start 2"));
        assert!(first_last.0 > first_last.1);
        assert_eq!(stage.trace.after("note "), ["0", "1", "2", "3", "4", "10", "11", "12", "13", "14"]);
        assert_eq!(stage.trace.after("boom "), ["0"]);
        stage.stop().await;
    }

    async fn an_idempotent_role_gets_the_message_in_hand_again_once() {
        let stage = Stage::steady(8);
        stage.kit.faults.inject(Fault { role: "root/toy".into(), at: 2, moment: Moment::Before });
        for number in 1..4 {
            stage.toy.offer(Say::Note(number)).await.unwrap();
        }
        stage.trace.until("note 3").await;
        assert_eq!(stage.trace.after("note "), ["1", "2", "3"]);
        assert_eq!(stage.trace.count("start 2"), 1);
        stage.stop().await;
    }

    async fn a_message_that_panics_twice_is_set_aside() {
        let stage = Stage::steady(8);
        stage.toy.tell(Say::Boom(5)).unwrap();
        stage.toy.tell(Say::Note(6)).unwrap();
        stage.trace.until("note 6").await;
        assert_eq!(stage.trace.after("boom "), ["5", "5"]);
        assert_eq!(stage.trace.after("aside "), ["5"]);
        assert!(stage.trace.at("aside 5") > stage.trace.at("start 3"));
        stage.stop().await;
    }

    async fn setting_aside_that_panics_drops_the_message() {
        let stage = Stage::steady(8);
        for at in 1..4 {
            stage.kit.faults.inject(Fault { role: "root/toy".into(), at, moment: Moment::Before });
        }
        stage.toy.tell(Say::Note(5)).unwrap();
        stage.toy.tell(Say::Note(6)).unwrap();
        stage.trace.until("note 6").await;
        assert!(!stage.trace.has("note 5") && !stage.trace.has("aside 5"));
        assert!(stage.trace.has("start 4"));
        stage.stop().await;
    }

    async fn another_role_loses_the_message_in_hand() {
        let stage = Stage::plain(8);
        stage.toy.tell(Say::Boom(5)).unwrap();
        stage.toy.tell(Say::Note(6)).unwrap();
        stage.trace.until("note 6").await;
        assert_eq!(stage.trace.after("boom "), ["5"]);
        assert!(!stage.trace.has("aside 5"));
        stage.stop().await;
    }

    async fn a_call_that_makes_its_role_panic_is_told_so_and_not_given_again() {
        let stage = Stage::steady(8);
        let answer = stage.toy.call(PATIENCE, Say::AskBoom).await;
        assert_eq!(answer, Err(CallError::Crashed));
        stage.trace.until("start 2").await;
        assert_eq!(stage.ask(3).await, 3);
        assert_eq!(stage.trace.count("asked"), 1, "not given again");
        stage.stop().await;
    }

    async fn a_call_that_panics_its_role_twice_is_set_aside() {
        let stage = Stage::steady(8);
        let answer = stage.toy.ask(PATIENCE, Say::AskBoom).await;
        assert_eq!(answer, Err(CallError::Crashed));
        stage.trace.until("start 3").await;
        assert_eq!(stage.ask(3).await, 3);
        assert_eq!(stage.trace.count("asked"), 2, "given again once");
        stage.stop().await;
    }

    /// A call that waits in the queue is answered by the next incarnation.
    async fn a_queued_call_survives_a_restart() {
        let stage = Stage::plain(8);
        stage.trace.until("start 1").await;
        stage.toy.tell(Say::Boom(1)).unwrap();
        assert_eq!(stage.ask(4).await, 4);
        stage.stop().await;
    }

    async fn a_closed_role_refuses_at_once() {
        let stage = Stage::plain(1);
        stage.toy.tell(pause()).unwrap();
        stage.ask(0).await;
        stage.toy.offer(Say::Note(1)).await.unwrap();
        let toy = stage.toy.clone();
        // A producer that waits for a permit is told as well, and so is a queued call.
        let waiting = toy.offer(Say::Note(2));
        let kept = toy.call(PATIENCE, Say::AskKeep);
        let (waiting, kept, _) = tokio::join!(waiting, kept, stopped(&stage.root));
        assert_eq!(waiting, Err(Refused));
        assert!(matches!(kept, Err(CallError::Restarted | CallError::Closed)));
        assert_eq!(toy.phase(), Phase::Closed);
        assert_eq!(toy.tell(Say::Note(3)), Err(Refused));
        assert_eq!(toy.tell_behind(Say::Note(3)), Err(Refused));
        assert_eq!(toy.offer(Say::Note(3)).await, Err(Refused));
        assert_eq!(toy.call(PATIENCE, |reply| Say::Ask(1, reply)).await, Err(CallError::Closed));
    }

    async fn a_late_call_times_out() {
        let stage = Stage::plain(1);
        let answer = stage.toy.call(Duration::from_millis(5), Say::AskKeep).await;
        assert_eq!(answer, Err(CallError::TimedOut));
        stage.stop().await;
    }

    /// Messages wait for a role that has not been started yet.
    async fn messages_wait_for_the_first_incarnation() {
        let kit = Kit::default();
        let toy = Mailbox::new(&kit, "root/toy", 4);
        toy.tell(Say::Note(1)).unwrap();
        toy.offer(Say::Note(2)).await.unwrap();
        assert_eq!(toy.phase(), Phase::Restarting);
        let script = Script::default();
        let trace = script.trace.clone();
        let spec = ChildSpec::of::<Plain>("toy", &toy, script).restart(Restart::Transient).build();
        let root = Root::start(Company::new(&kit, "root", Order::Reverse).with(spec));
        trace.until("note 2").await;
        assert_eq!(trace.after("note "), ["1", "2"]);
        stopped(&root).await;
    }
}

/// The permit comes back when the handler has returned, not when the message is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_covers_the_message_in_hand() {
    let stage = Stage::plain(1);
    let gate = Gate::default();
    let wait = gate.clone();
    let busy = Say::act(move |inner, _| {
        inner.script.trace.add("busy");
        wait.pass();
    });
    stage.toy.offer(busy).await.unwrap();
    stage.trace.until("busy").await;
    let toy = stage.toy.clone();
    let mut second = std::pin::pin!(toy.offer(Say::Note(2)));
    let once = std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx)));
    assert!(once.await.is_pending(), "the permit was given back too early");
    gate.open();
    second.await.unwrap();
    stage.trace.until("note 2").await;
    stage.stop().await;
}
