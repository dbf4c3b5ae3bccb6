//! A log that cannot be written: what runs is let run to its end, and its end is not lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stage;

use stage::{Beat, Stage, answer, calls, outputs};
use std::sync::atomic::Ordering;
use troupe_types::{ErrorClass, ModelRequest, Op, OpId, Outcome, Record};

/// The number of the first line of this kind in a session that runs this script.
async fn number_of(kind: &'static str, script: fn(&ModelRequest) -> Vec<Beat>) -> u64 {
    let stage = Stage::new(script);
    stage.prompt("go").await;
    stage.turns(1).await;
    let lines = stage.log.lines();
    let found = lines.iter().position(|line| line.record.kind() == kind).unwrap();
    stage.root.stop().await;
    found as u64
}

/// One call, then the answer.
fn one_call(request: &ModelRequest) -> Vec<Beat> {
    match outputs(request) {
        0 => calls(&[("write", "w1")]),
        _ => answer("done"),
    }
}

fn ends(stage: &Stage) -> Vec<Outcome> {
    let lines = stage.log.lines().into_iter();
    lines
        .filter_map(|line| match line.record {
            Record::CallFinished(body) => Some(body.outcome),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_result_that_could_not_be_recorded_is_recorded_when_it_can() {
    let full_at = number_of("CallFinished", one_call).await;
    let stage = Stage::new(one_call);
    *stage.log.full_at.lock().unwrap() = Some(full_at);
    stage.prompt("go").await;
    assert_eq!(stage.rest().await.class, ErrorClass::Storage);
    assert_eq!(ends(&stage), []);
    // There is room again: the next operation tries.
    stage.submit(Op::Continue).await;
    stage.turns(1).await;
    assert_eq!(ends(&stage), [Outcome::Completed]);
    assert_eq!(stage.effects(), ["w1"]);
    assert_eq!(stage.requests().len(), 2);
    stage.root.stop().await;
}

#[tokio::test]
async fn the_ends_of_calls_and_of_the_turn_are_recorded_where_there_is_room_for_them() {
    let full_at = number_of("CallFinished", one_call).await;
    let stage = Stage::new(one_call);
    *stage.log.full_at.lock().unwrap() = Some(full_at);
    stage.log.reserve.store(true, Ordering::SeqCst);
    stage.prompt("go").await;
    assert_eq!(stage.rest().await.class, ErrorClass::Storage);
    assert_eq!(ends(&stage), [Outcome::Completed]);
    let lines = stage.log.lines();
    let Record::TurnFinished(turn) = &lines.last().unwrap().record else { panic!("{lines:?}") };
    let Outcome::Failed(failure) = &turn.result else { panic!("{turn:?}") };
    assert_eq!(failure.class, ErrorClass::Storage);
    assert_eq!(stage.requests().len(), 1, "nothing is asked that cannot be recorded");
    // It goes on with the result, in the same process.
    stage.submit(Op::Continue).await;
    stage.turns(2).await;
    assert_eq!(stage.effects(), ["w1"]);
    assert_eq!(outputs(stage.requests().last().unwrap()), 1);
    stage.root.stop().await;
}

#[tokio::test]
async fn a_call_that_runs_is_waited_for_and_can_be_interrupted() {
    let script = |request: &ModelRequest| match outputs(request) {
        0 => calls(&[("hang", "h1"), ("write", "w1")]),
        _ => answer("done"),
    };
    let stage = Stage::new(script);
    stage.log.reserve.store(true, Ordering::SeqCst);
    stage.prompt("go").await;
    stage.kind("CallStarted").await;
    *stage.log.full_at.lock().unwrap() = Some(stage.log.lines().len() as u64);
    // Something else is to be written: there is no room.
    let refused = stage.submit_as(OpId::new(), Op::prompt("more")).await;
    assert_eq!(refused.unwrap_err().class, ErrorClass::Storage);
    assert!(stage.rests.borrow().is_none(), "a call runs");
    stage.submit(Op::Interrupt).await;
    stage.rest().await;
    assert_eq!(ends(&stage)[0], Outcome::Cancelled);
    assert!(!stage.effects().contains(&"w1".to_owned()), "nothing more is begun");
    stage.root.stop().await;
}
