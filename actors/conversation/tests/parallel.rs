//! Calls of one answer: what runs beside what, and in which order the model is told.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use stage::{Beat, Stage, answer, calls, outputs, settings};
use std::sync::Arc;
use troupe_types::{CallId, Decision, ModelRequest, Op, Record, SessionSettings};

/// A session whose model makes these calls in one answer.
fn making(of: &'static [(&'static str, &'static str)], settings: SessionSettings) -> Stage {
    let script = move |request: &ModelRequest| -> Vec<Beat> {
        match outputs(request) {
            0 => calls(of),
            _ => answer("done"),
        }
    };
    Stage::with(Arc::default(), false, settings, Arc::new(script))
}

fn side_by_side() -> SessionSettings {
    SessionSettings { parallel_commands: true, ..settings() }
}

/// The wire ids of the calls whose starts and ends are in the log, in its order.
fn starts_and_ends(stage: &Stage) -> Vec<String> {
    let lines = stage.log.lines();
    let name = |wanted: CallId| {
        let requested = lines.iter().filter_map(|line| match &line.record {
            Record::CallRequested(body) => Some(&body.item),
            _ => None,
        });
        let wire_id = requested.filter(|item| item.call == wanted).map(|item| item.wire_id.clone());
        wire_id.collect::<String>()
    };
    let said = lines.iter().filter_map(|line| match &line.record {
        Record::CallStarted(body) => Some(format!("{} starts", name(body.call))),
        Record::CallFinished(body) => Some(format!("{} ends", name(body.call))),
        _ => None,
    });
    said.collect()
}

fn asked_calls(stage: &Stage) -> Vec<CallId> {
    let lines = stage.log.lines();
    let asked = lines.iter().filter_map(|line| match &line.record {
        Record::ApprovalAsked(body) => Some(body.call),
        _ => None,
    });
    asked.collect()
}

/// Waits until the log says these, in any order.
async fn until(stage: &Stage, wanted: &[&str]) {
    let count = wanted.len();
    stage
        .log
        .until(move |lines| {
            let said = lines.iter().filter(|line| {
                matches!(line.record, Record::CallStarted(_) | Record::CallFinished(_))
            });
            said.count() >= count
        })
        .await;
    let mut said = starts_and_ends(stage);
    said.truncate(count);
    said.sort();
    assert_eq!(said, wanted);
}

#[tokio::test]
async fn commands_that_change_nothing_overlap() {
    // Each ends when all three have started.
    let stage = making(&[("meet", "1"), ("meet", "2"), ("meet", "3")], settings());
    stage.prompt("go").await;
    stage.turns(1).await;
    let said = starts_and_ends(&stage);
    assert_eq!(said[..3], ["1 starts", "2 starts", "3 starts"]);
    assert_eq!(said.len(), 6);
    assert_eq!(
        stage.last_request()[4..],
        ["output done 1", "output done 2", "output done 3"],
        "in call order"
    );
    stage.root.stop().await;
}

#[tokio::test]
async fn what_changes_something_waits_and_is_waited_for() {
    let stage = making(
        &[("look", "1"), ("run", "2"), ("run", "3"), ("look", "4"), ("write", "5"), ("look", "6")],
        settings(),
    );
    stage.prompt("go").await;
    stage.turns(1).await;
    let in_order: Vec<_> =
        (1..=6).flat_map(|n| [format!("{n} starts"), format!("{n} ends")]).collect();
    assert_eq!(starts_and_ends(&stage), in_order);
    stage.root.stop().await;
}

#[tokio::test]
async fn commands_run_side_by_side_where_the_user_lets_them_and_a_patch_does_not() {
    let three = &[
        ("meet_to_write", "1"),
        ("meet_to_write", "2"),
        ("meet_to_write", "3"),
        ("write", "4"),
        ("run", "5"),
    ];
    let stage = making(three, side_by_side());
    stage.prompt("go").await;
    stage.turns(1).await;
    let said = starts_and_ends(&stage);
    assert_eq!(said[..3], ["1 starts", "2 starts", "3 starts"]);
    assert_eq!(said[6..], ["4 starts", "4 ends", "5 starts", "5 ends"]);
    stage.root.stop().await;
}

#[tokio::test]
async fn no_more_run_at_once_than_the_setting_says() {
    let one = SessionSettings { max_parallel_calls: Some(1), ..settings() };
    let stage = making(&[("look", "1"), ("read_slow", "2"), ("look", "3")], one);
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_eq!(
        starts_and_ends(&stage),
        ["1 starts", "1 ends", "2 ends", "3 starts", "3 ends"],
        "one after another"
    );
    stage.root.stop().await;

    let ten = &[("look_long", "x"); 10];
    let stage = making(ten, settings());
    stage.prompt("go").await;
    until(&stage, &["x starts"; 8]).await;
    // What a ninth would have said stands before the answer to this.
    stage.prompt("still there?").await;
    assert_eq!(starts_and_ends(&stage).len(), 8);
    stage.submit(Op::Interrupt).await;
    stage.turns(1).await;
    assert_eq!(stage.effects().len(), 8);
    stage.root.stop().await;
}

#[tokio::test]
async fn a_question_to_a_person_holds_up_no_reads_beside_it() {
    let stage = making(
        &[("ask_to_look", "1"), ("look", "2"), ("read", "3"), ("ask", "4"), ("look", "5")],
        settings(),
    );
    stage.prompt("go").await;
    until(&stage, &["2 ends", "2 starts", "3 ends"]).await;
    stage
        .log
        .until(|lines| {
            2 == lines.iter().filter(|line| line.record.kind() == "ApprovalAsked").count()
        })
        .await;
    let [first, fourth] = asked_calls(&stage)[..] else { panic!("two were asked about") };
    // The answer to the later one lets it start when the earlier one has ended.
    stage.submit(Op::Answer { call: fourth, decision: Decision::Approved }).await;
    stage.submit(Op::Answer { call: first, decision: Decision::Approved }).await;
    stage.turns(1).await;
    assert_eq!(
        starts_and_ends(&stage)[3..],
        ["1 starts", "1 ends", "4 starts", "4 ends", "5 starts", "5 ends"]
    );
    stage.root.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_all_that_run_and_starts_none_that_wait() {
    let stage = making(
        &[("look_long", "1"), ("look_long", "2"), ("look_long", "3"), ("run", "4"), ("write", "5")],
        settings(),
    );
    stage.prompt("go").await;
    until(&stage, &["1 starts", "2 starts", "3 starts"]).await;
    stage.submit(Op::Interrupt).await;
    stage.turns(1).await;
    let mut ends = starts_and_ends(&stage)[3..].to_vec();
    ends.sort();
    assert_eq!(ends, ["1 ends", "2 ends", "3 ends", "4 ends", "5 ends"]);
    assert_eq!(stage.effects().len(), 3);
    stage.root.stop().await;
}

#[tokio::test]
async fn each_call_that_dies_is_lost_by_itself() {
    let stage = making(&[("meet", "1"), ("meet", "2"), ("meet", "3"), ("die", "4")], settings());
    stage.prompt("go").await;
    stage.turns(1).await;
    let transcript = stage.log.transcript();
    let ends: Vec<_> = transcript
        .iter()
        .filter(|line| line.starts_with("completed: ") || line.starts_with("lost: "))
        .collect();
    assert_eq!(ends.iter().filter(|end| end.starts_with("completed: ")).count(), 3, "{ends:?}");
    assert!(ends[3].starts_with("lost: "), "{ends:?}");
    stage.root.stop().await;
}
