//! A handler commits or it does not happen; tasks and threads belong to their role.

use crate::common::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};
use troupe_kit::{Fault, Kit, Landed, Life, Mailbox, Moment, Reply, StartError};

/// Orders one of everything, then traces `ordered`.
fn everything(to: &Mailbox<Say>, reply: Reply<u64>) -> Say {
    let to = to.clone();
    Say::act(move |inner, cx| {
        let trace = inner.script.trace.clone();
        cx.send(&to, Say::Note(1));
        cx.send_behind(&to, Say::Note(2));
        cx.after(Duration::ZERO, Say::Note(3));
        let in_task = to.clone();
        cx.task(move |life| async move {
            let _refused = life.tell_to(&in_task, Say::Note(4));
            let _refused = life.offer_to(&in_task, Say::Note(5)).await;
        });
        cx.thread("toy", |life| {
            let _refused = life.tell(Say::Note(6));
        });
        cx.reply(&reply, 7);
        cx.run(move || trace.add("ran"));
        inner.script.trace.add("ordered");
    })
}

/// Runs `everything` under a fault; what happened of it, and whether it was answered.
async fn under(moment: Option<Moment>) -> (Vec<String>, bool, Stage) {
    let stage = Stage::plain(8);
    stage.trace.until("start 1").await;
    if let Some(moment) = moment {
        stage.kit.faults.inject(Fault { role: "root/toy".into(), at: 1, moment });
    }
    let toy = stage.toy.clone();
    let answer = stage.toy.call(PATIENCE, |reply| everything(&toy, reply)).await;
    if let Some(moment) = moment {
        eventually("the fault lands", || {
            let landed = Landed { role: "root/toy".into(), at: 1, moment };
            stage.kit.faults.landed() == [landed]
        })
        .await;
    }
    (stage.trace.after("note "), answer == Ok(7), stage)
}

/// What never happened cannot be waited for: lets everything run that could.
async fn settle(stage: &Stage) {
    for number in 100..200 {
        stage.ask(number).await;
        tokio::task::yield_now().await;
    }
}

both! {
    async fn a_handler_that_returns_commits() {
        let (_, answered, stage) = under(None).await;
        assert!(answered);
        for number in 1..=6 {
            stage.trace.until(&format!("note {number}")).await;
        }
        assert!(stage.trace.has("ran"));
        stage.stop().await;
    }

    async fn nothing_of_a_panicking_handler_happens() {
        for moment in [Moment::Before, Moment::Within] {
            let (_, answered, stage) = under(Some(moment)).await;
            assert!(!answered);
            stage.trace.until("start 2").await;
            settle(&stage).await;
            assert_eq!(stage.trace.after("note "), Vec::<String>::new(), "{moment:?}");
            assert!(!stage.trace.has("ran"));
            assert_eq!(stage.trace.has("ordered"), moment == Moment::Within);
            stage.stop().await;
        }
    }

    /// Sends are out, the message is consumed; tasks and timers have ended with the role.
    async fn a_crash_after_the_handler_repeats_nothing() {
        for moment in [Moment::After, Moment::Kill] {
            let (_, answered, stage) = under(Some(moment)).await;
            assert!(answered);
            stage.trace.until("start 2").await;
            stage.trace.until("note 2").await;
            settle(&stage).await;
            for what in ["note 1", "note 2", "ran", "ordered"] {
                assert_eq!(stage.trace.count(what), 1, "{moment:?} {what}");
            }
            let exit = if moment == Moment::Kill { "exit killed" } else { "exit panicked: injected: after the message" };
            assert!(stage.trace.has(exit), "{:?}", stage.trace.all());
            stage.stop().await;
        }
    }

    async fn a_delayed_handler_commits_as_well() {
        let (_, answered, stage) = under(Some(Moment::Delay(Duration::from_millis(2)))).await;
        assert!(answered);
        stage.trace.until("note 1").await;
        stage.stop().await;
    }

    async fn a_start_that_panics_is_a_crash() {
        let kit = Kit::default();
        kit.faults.inject(Fault { role: "toy".into(), at: 1, moment: Moment::Start });
        let toy = Mailbox::new(&kit, "root/toy", 8);
        let script = Script::default();
        let trace = script.trace.clone();
        let company = troupe_kit::Company::new(&kit, "root", troupe_kit::Order::Reverse)
            .with(spec::<false>("toy", &toy, script).build());
        let root = troupe_kit::Root::start(company);
        trace.until("start 2").await;
        assert!(trace.has("exit panicked: injected: start"));
        assert_eq!(trace.count("starting"), 1);
        stopped(&root).await;
    }

    async fn a_start_that_fails_is_a_crash() {
        let failed = Arc::new(AtomicBool::new(false));
        let script = Script {
            start: Some(Arc::new(move |_| {
                let first = !failed.swap(true, Ordering::SeqCst);
                Box::pin(async move {
                    if first { Err(StartError("no paper".into())) } else { Ok(()) }
                })
            })),
            ..Script::default()
        };
        let stage = Stage::new::<false>(1, script, |spec| spec);
        stage.trace.until("start 2").await;
        assert!(stage.trace.has("exit failed: could not start: no paper"));
        let view = stage.root.view().find("toy").unwrap().clone();
        assert_eq!(view.last_error.as_deref(), Some("failed: could not start: no paper"));
        stage.stop().await;
    }

    async fn a_step_that_panics_is_a_crash_after_the_rest_was_carried_out() {
        let stage = Stage::steady(1);
        let toy = stage.toy.clone();
        stage.toy.tell(Say::act(move |inner, cx| {
            inner.script.trace.add("handled");
            cx.run(|| panic!("a bad step"));
            cx.send(&toy, Say::Note(1));
        })).unwrap();
        stage.trace.until("note 1").await;
        assert!(stage.trace.has("exit panicked: after the handler: a bad step"));
        assert_eq!(stage.trace.count("handled"), 1, "consumed, so not given again");
        stage.stop().await;
    }

    async fn a_failure_is_told_as_such() {
        let stage = Stage::plain(1);
        stage.toy.tell(Say::act(|_, cx| cx.fail("lost the log"))).unwrap();
        stage.trace.until("start 2").await;
        assert!(stage.trace.has("exit failed: lost the log"));
        stage.stop().await;
    }

    async fn a_panicking_task_is_its_roles_crash() {
        let stage = Stage::plain(1);
        stage.toy.tell(Say::act(|_, cx| cx.task(|_| async { panic!("dropped the tray") }))).unwrap();
        stage.trace.until("start 2").await;
        assert!(stage.trace.has("exit panicked: in a task: dropped the tray"));
        stage.stop().await;
    }

    async fn a_panicking_thread_is_its_roles_crash() {
        let stage = Stage::plain(1);
        stage.toy.tell(Say::act(|_, cx| cx.thread("waiter", |_| panic!("dropped the tray")))).unwrap();
        stage.trace.until("start 2").await;
        assert!(stage.trace.has("exit panicked: in thread waiter: dropped the tray"));
        stage.stop().await;
    }

    /// What a thread says or does after its role has ended reaches nobody.
    async fn a_thread_is_muted_with_its_role() {
        let stage = Stage::plain(1);
        let (said, heard) = mpsc::channel();
        let gate = Gate::default();
        let (opened, said) = (gate.clone(), std::sync::Mutex::new(Some(said)));
        stage.toy.tell(Say::act(move |inner, cx| {
            let Some(said) = said.lock().unwrap().take() else { return };
            inner.script.trace.add("threaded");
            let gate = opened.clone();
            cx.thread("old", move |life| {
                gate.pass();
                said.send((life.alive(), life.tell(Say::Note(1)).is_ok())).unwrap();
                panic!("too late to matter");
            });
        })).unwrap();
        stage.trace.until("threaded").await;
        stage.toy.tell(Say::Boom(1)).unwrap();
        stage.trace.until("start 2").await;
        gate.open();
        assert_eq!(heard.recv_timeout(PATIENCE), Ok((false, false)));
        // The thread ends when its end of the channel is dropped.
        assert!(heard.recv_timeout(PATIENCE).is_err());
        settle(&stage).await;
        assert!(!stage.trace.has("note 1") && !stage.trace.has("start 3"));
        stage.stop().await;
    }

    /// Kept by a task: the state's drop does not release it, the last task's end does.
    async fn what_a_life_keeps_is_released_when_the_place_is_vacant() {
        struct Kept(Trace);
        impl Drop for Kept {
            fn drop(&mut self) {
                self.0.add("released");
                panic!("must not take the place with it");
            }
        }
        let script = Script::default();
        let trace = script.trace.clone();
        let script = Script {
            start: Some(Arc::new(move |life: Life<Say>| {
                life.keep(Kept(trace.clone()));
                Box::pin(async { Ok(()) })
            })),
            ..script
        };
        let stage = Stage::new::<false>(1, script, |spec| spec);
        stage.toy.tell(Say::Boom(1)).unwrap();
        stage.trace.until("start 2").await;
        let trace = &stage.trace;
        assert_eq!(trace.count("released"), 1);
        assert!(trace.at("drop") < trace.at("released"));
        assert!(trace.at("released") < trace.at("exit panicked: boom 1"));
        stage.stop().await;
    }
}
