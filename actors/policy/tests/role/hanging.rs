//! A stage that hangs keeps nothing else waiting: neither the next question nor the runtime.

use crate::stage::Stage;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use troupe_kit::{Fault, Moment};
use troupe_messages::Verdict;
use troupe_policy::{Hook, Pipeline};
use troupe_types::CallId;

/// The longest that anything may stand still.
const GAP: Duration = Duration::from_millis(100);

/// Holds questions up until it is dropped.
struct Hold {
    _hold: Sender<()>,
    came: watch::Receiver<usize>,
}

impl Hold {
    /// Waits until so many questions hang.
    async fn has(&mut self, count: usize) {
        self.came.wait_for(|came| *came >= count).await.unwrap();
    }
}

/// A pipeline whose first `count` questions hang.
fn hanging(count: usize) -> (Pipeline, Hold) {
    let (hold, held) = channel::<()>();
    let held: Vec<Mutex<Receiver<()>>> = vec![Mutex::new(held)];
    let (arrived, came) = watch::channel(0);
    let released = AtomicBool::new(false);
    let hook: Hook = Arc::new(move |stage| {
        let mut place = 0;
        if stage == "files" {
            arrived.send_modify(|came| {
                place = *came;
                *came += 1;
            });
        }
        if stage == "files" && place < count {
            while !released.load(Ordering::SeqCst) {
                let gone = held[0].lock().unwrap().recv_timeout(Duration::from_millis(5));
                let gone = gone == Err(std::sync::mpsc::RecvTimeoutError::Disconnected);
                released.fetch_or(gone, Ordering::SeqCst);
            }
        }
        Ok(())
    });
    (Pipeline { hook: Some(hook), ..Pipeline::default() }, Hold { _hold: hold, came })
}

/// The longest time in which this thread's runtime did not come round, while `work` ran.
async fn worst_gap<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let worst = Mutex::new(Duration::ZERO);
    let beat = async {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = Instant::now();
            let mut worst = worst.lock().unwrap();
            *worst = worst.max(now - last);
            last = now;
        }
    };
    let done = tokio::select! {
        never = beat => match never {},
        done = work => done,
    };
    let worst = *worst.lock().unwrap();
    (worst, done)
}

#[tokio::test]
async fn the_runtime_goes_on_and_the_question_is_refused_in_the_end() {
    let mut gaps = Vec::new();
    // A machine that is busy with something else may take the processor away for longer than that.
    for _ in 0..3 {
        let (pipeline, hold) = hanging(1);
        let mut stage = Stage::new(pipeline);
        let asked = Instant::now();
        let (gap, verdict) = worst_gap(stage.judge("ls")).await;
        assert!(
            matches!(&verdict, Verdict::Deny(why) if why.contains("took too long")),
            "{verdict:?}"
        );
        let took = asked.elapsed();
        assert!((4..9).contains(&took.as_secs()), "{took:?}");
        // The thread that hangs is not asked again.
        assert_eq!(stage.judge("ls").await, Verdict::Allow);
        drop(hold);
        gaps.push(gap);
        if gap <= GAP {
            return;
        }
    }
    panic!("the runtime stood still: {gaps:?}");
}

#[tokio::test]
async fn other_questions_are_answered_meanwhile() {
    // As many hang at once as leave one thread.
    let (pipeline, mut hold) = hanging(7);
    let mut stage = Stage::new(pipeline);
    let asked = Instant::now();
    for _ in 0..7 {
        stage.ask(CallId::new(), "git push");
    }
    hold.has(7).await;
    for _ in 0..20 {
        assert_eq!(stage.judge("ls").await, Verdict::Allow);
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop(hold);
    for _ in 0..7 {
        assert!(matches!(stage.verdict().await, Verdict::Ask(_)));
    }
}

#[tokio::test]
async fn questions_of_one_call_keep_their_order() {
    let (pipeline, mut hold) = hanging(1);
    let mut stage = Stage::new(pipeline);
    let call = CallId::new();
    stage.ask(call, "git push");
    hold.has(1).await;
    stage.ask(call, "ls");
    assert_eq!(stage.judge("pwd").await, Verdict::Allow);
    drop(hold);
    assert!(matches!(stage.verdict().await, Verdict::Ask(_)));
    assert_eq!(stage.verdict().await, Verdict::Allow);
}

#[tokio::test]
async fn a_burst_is_answered_whole() {
    let mut stage = Stage::new(Pipeline::default());
    for _ in 0..500 {
        stage.ask(CallId::new(), "ls");
    }
    for _ in 0..500 {
        assert_eq!(stage.verdict().await, Verdict::Allow);
    }
}

#[tokio::test]
async fn what_the_threads_have_is_answered_after_the_role_is_gone() {
    let (pipeline, mut hold) = hanging(1);
    let mut stage = Stage::new(pipeline);
    let kill = Fault { role: "policy".to_owned(), at: 1, moment: Moment::Kill };
    stage.faults.inject(kill);
    stage.ask(CallId::new(), "git push");
    hold.has(1).await;
    assert_eq!(stage.judge("pwd").await, Verdict::Allow);
    assert_eq!(stage.faults.landed().len(), 1);
    drop(hold);
    assert!(matches!(stage.verdict().await, Verdict::Ask(_)));
}
