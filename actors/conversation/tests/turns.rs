//! Turns: what is said to the model, in which order calls run, what an interruption leaves.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use insta::assert_debug_snapshot;
use stage::{Beat, Log, Stage, answer, calls, cut, nothing, only, outputs, says, settings};
use std::sync::{Arc, Mutex};
use troupe_types::{
    AssistantItem, Decision, ErrorClass, Item, ModelRequest, Op, OpId, Opaque, OpaqueItem, Outcome,
    ReasoningItem, Record, SessionSettings, Wire,
};

/// Writes `a`, `b` and `c`, one at a time, then says so.
fn three_steps(request: &ModelRequest) -> Vec<Beat> {
    match outputs(request) {
        0 => calls(&[("write", "a")]),
        1 => calls(&[("write", "b")]),
        2 => calls(&[("write", "c")]),
        _ => answer("all done"),
    }
}

#[tokio::test]
async fn a_turn_from_prompt_to_end() {
    let stage = Stage::new(three_steps);
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_debug_snapshot!(stage.log.transcript());
    assert_debug_snapshot!(stage.last_request());
    assert_eq!(stage.effects(), ["a", "b", "c"]);
    stage.root.stop().await;
}

#[tokio::test]
async fn read_only_calls_run_beside_each_other_and_outputs_follow_the_calls() {
    let stage = Stage::new(|request| match outputs(request) {
        0 => calls(&[("read_slow", "1"), ("read", "2"), ("write", "3"), ("read", "4")]),
        _ => answer("done"),
    });
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_eq!(
        stage.last_request()[1..],
        [
            "call 1",
            "call 2",
            "call 3",
            "call 4",
            "output done 1",
            "output done 2",
            "output done 3",
            "output done 4"
        ]
    );
    let ends: Vec<_> =
        stage.log.transcript().into_iter().filter(|line| line.starts_with("completed")).collect();
    assert_eq!(
        ends,
        ["completed: done 2", "completed: done 1", "completed: done 3", "completed: done 4"]
    );
    stage.root.stop().await;
}

#[tokio::test]
async fn what_is_said_meanwhile_is_delivered_at_the_next_boundary() {
    let stage =
        Stage::new(|request| match (outputs(request), request.items.iter().any(is_steer)) {
            (0, false) => calls(&[("ask", "1")]),
            (_, true) => answer("as you say"),
            _ => answer("not told"),
        });
    stage.prompt("go").await;
    stage.kind("ApprovalAsked").await;
    stage.prompt("steer").await;
    let call = stage.log.lines().iter().find_map(asked).unwrap();
    stage.submit(Op::Answer { call, decision: Decision::Approved }).await;
    stage.turns(1).await;
    assert_eq!(stage.last_request(), ["user go", "call 1", "output done 1", "user steer"]);
    assert_eq!(stage.requests().len(), 2);
    stage.root.stop().await;
}

fn is_steer(item: &Arc<Item>) -> bool {
    matches!(&**item, Item::User(user) if user.content[0].as_text() == Some("steer"))
}

fn asked(line: &troupe_types::Line) -> Option<troupe_types::CallId> {
    match &line.record {
        Record::ApprovalAsked(body) => Some(body.call),
        _ => None,
    }
}

#[tokio::test]
async fn a_denied_call_tells_the_model_why() {
    let stage = Stage::new(|request| match outputs(request) {
        0 => calls(&[("ask", "1")]),
        _ => answer("then not"),
    });
    stage.prompt("go").await;
    stage.kind("ApprovalAsked").await;
    let call = stage.log.lines().iter().find_map(asked).unwrap();
    let decision = Decision::Denied { reason: "no".to_owned() };
    stage.submit(Op::Answer { call, decision }).await;
    stage.turns(1).await;
    assert!(stage.effects().is_empty());
    assert!(stage.log.transcript().contains(&"failed (no): done 1".to_owned()));
    stage.root.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_the_stream_or_the_call_and_the_session_goes_on() {
    for script in [
        vec![Beat::Part(0, "half".to_owned()), Beat::Hang],
        calls(&[("hang", "1"), ("write", "2")]),
    ] {
        let first = Mutex::new(Some(script));
        let stage =
            Stage::new(move |_| first.lock().unwrap().take().unwrap_or_else(|| answer("here")));
        stage.prompt("go").await;
        stage
            .log
            .until(|lines| {
                lines.iter().any(|line| matches!(line.record.kind(), "TextPart" | "CallStarted"))
            })
            .await;
        stage.submit(Op::Interrupt).await;
        stage.turns(1).await;
        assert_debug_snapshot!(stage.log.transcript());
        stage.prompt("still there?").await;
        stage.turns(2).await;
        assert_eq!(stage.log.transcript().last().unwrap(), "turn completed");
        stage.root.stop().await;
    }
}

#[tokio::test]
async fn sending_an_operation_again_changes_nothing() {
    let stage = Stage::new(|_| answer("once"));
    let id = OpId::new();
    let first = stage.submit_as(id, Op::prompt("go")).await.unwrap();
    assert_eq!(stage.submit_as(id, Op::prompt("go")).await.unwrap(), first);
    stage.turns(1).await;
    assert_eq!(stage.submit_as(id, Op::prompt("go")).await.unwrap(), first);
    assert_eq!(stage.requests().len(), 1);
    stage.root.stop().await;
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_again_with_what_came() {
    let attempts = Mutex::new(0);
    let stage = Stage::new(move |request| {
        let mut attempts = attempts.lock().unwrap();
        *attempts += 1;
        match (*attempts, outputs(request)) {
            (1, _) => cut(calls(&[("write", "1")])),
            (2, 1) => {
                [says(0, "then"), vec![Beat::Part(1, "lost in".to_owned()), Beat::Panic]].concat()
            }
            _ => answer("done"),
        }
    });
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_debug_snapshot!(stage.log.transcript());
    assert_debug_snapshot!(stage.last_request());
    stage.root.stop().await;
}

#[tokio::test]
async fn a_tool_that_dies_under_way_is_lost_and_not_repeated() {
    let stage = Stage::new(|request| match outputs(request) {
        0 => calls(&[("die", "1"), ("write", "2")]),
        _ => answer("I see"),
    });
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_eq!(stage.effects(), ["1", "2"]);
    assert!(stage.log.transcript().iter().any(|line| line.starts_with("lost: lost:")));
    assert_eq!(stage.log.transcript().last().unwrap(), "turn completed");
    stage.root.stop().await;
}

#[tokio::test]
async fn a_full_context_is_summarised_and_the_turn_goes_on() {
    let settings = SessionSettings { auto_compact_tokens: Some(100), ..settings() };
    let stage = Stage::with(
        Arc::default(),
        false,
        settings,
        Arc::new(|request: &ModelRequest| {
            let summarised = request.items.iter().any(|item| matches!(**item, Item::Summary(_)));
            match (request.tools.is_empty(), summarised, outputs(request)) {
                (true, _, _) => answer("what happened so far"),
                (false, false, 0) => {
                    let mut beats = calls(&[("write", "1")]);
                    *beats.last_mut().unwrap() = Beat::End(100);
                    beats
                }
                _ => answer("done"),
            }
        }),
    );
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_debug_snapshot!(stage.log.transcript());
    assert_eq!(stage.last_request(), ["user go", "summary what happened so far"]);
    stage.root.stop().await;
}

#[tokio::test]
async fn a_full_disk_stops_the_turn_and_the_next_operation_tries_again() {
    let stage = Stage::new(three_steps);
    *stage.log.full_at.lock().unwrap() = Some(14);
    stage.prompt("go").await;
    stage.log.until(|lines| lines.len() == 14).await;
    // The next operation finds the disk still full, or clears it: the double retries at once.
    loop {
        if stage.submit_as(OpId::new(), Op::Continue).await.is_ok() {
            break;
        }
    }
    stage.turns(1).await;
    let mut effects = stage.effects();
    effects.dedup();
    assert_eq!(effects, ["a", "b", "c"]);
    stage.root.stop().await;
}

#[tokio::test]
async fn a_later_process_holds_the_turn_until_it_is_asked() {
    let stage = Stage::new(three_steps);
    stage.prompt("go").await;
    stage.turns(1).await;
    let whole = stage.log.lines().len();
    stage.root.stop().await;
    for count in 1..whole {
        let log = stage.log.cut(count);
        let finished = |log: &Log| {
            log.transcript().iter().filter(|line| line.starts_with("completed")).count()
        };
        let (before, accepted) =
            (finished(&log), log.transcript().contains(&"OpAccepted".to_owned()));
        let later = Stage::with(log, true, settings(), Arc::new(three_steps));
        later.submit(Op::Continue).await;
        if !accepted {
            later.prompt("go").await;
        }
        later.turns(1).await;
        let transcript = later.log.transcript();
        let lost = transcript.iter().filter(|line| line.starts_with("lost")).count();
        assert_eq!(before + later.effects().len() + lost, 3, "cut at {count}: {transcript:#?}");
        assert_eq!(transcript.last().unwrap(), "turn completed", "cut at {count}");
        later.root.stop().await;
    }
}

fn text(text: &str) -> Item {
    Item::Assistant(AssistantItem { text: text.to_owned(), ..AssistantItem::default() })
}

/// Answers that hold neither text nor a call.
fn silences() -> Vec<Vec<Beat>> {
    let opaque = Opaque { wire: Wire::Chat, json: "{}".to_owned() };
    let thought = ReasoningItem { content: vec!["hm".to_owned()], ..ReasoningItem::default() };
    let mut all = vec![
        nothing(),
        only(Item::Reasoning(thought)),
        only(Item::Opaque(OpaqueItem { kind: "web_search_call".to_owned(), opaque })),
    ];
    all.extend(["", " \n\t ", "\u{a0}\u{2003}", "\u{200b}\u{feff}", "\u{1b}"].map(text).map(only));
    all
}

fn ended(stage: &Stage) -> (Outcome, bool) {
    let lines = stage.log.lines();
    let mut ends = lines.iter().filter_map(|line| match &line.record {
        Record::TurnFinished(body) => Some((body.result.clone(), body.no_final_message)),
        _ => None,
    });
    let end = ends.next().unwrap();
    assert!(ends.next().is_none(), "one end");
    end
}

fn class(outcome: &Outcome) -> Option<ErrorClass> {
    match outcome {
        Outcome::Failed(failure) => Some(failure.class),
        _ => None,
    }
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_asked_for_once_more_and_then_fails() {
    for silence in silences() {
        let stage = Stage::new({
            let silence = silence.clone();
            move |_| silence.clone()
        });
        stage.prompt("go").await;
        stage.turns(1).await;
        assert_eq!(stage.requests().len(), 2, "{silence:?}");
        let (outcome, flag) = ended(&stage);
        assert_eq!((class(&outcome), flag), (Some(ErrorClass::NoAnswer), false), "{silence:?}");
        let transcript = stage.log.transcript();
        assert!(transcript.contains(&"again 1/1: it said nothing".to_owned()), "{transcript:?}");
        // What holds no words is not sent back: servers refuse it.
        assert!(!stage.last_request().iter().any(|line| line.starts_with("says")));
        stage.root.stop().await;
    }
}

#[tokio::test]
async fn an_answer_on_the_second_asking_is_an_answer_like_any_other() {
    for silence in silences() {
        let first = Mutex::new(Some(silence));
        let stage =
            Stage::new(move |_| first.lock().unwrap().take().unwrap_or_else(|| answer("here")));
        stage.prompt("go").await;
        stage.turns(1).await;
        assert_eq!(ended(&stage), (Outcome::Completed, false));
        assert_eq!(stage.requests().len(), 2);
        stage.root.stop().await;
    }
}

#[tokio::test]
async fn what_a_reader_sees_is_an_answer() {
    for said in ["I cannot help with that.", ".", "\u{1f44d}", " x "] {
        let stage = Stage::new(move |_| only(text(said)));
        stage.prompt("go").await;
        stage.turns(1).await;
        assert_eq!(ended(&stage), (Outcome::Completed, false), "{said}");
        assert_eq!(stage.requests().len(), 1);
        stage.root.stop().await;
    }
}

#[tokio::test]
async fn after_a_call_that_was_completed_the_turn_is_completed_and_says_what_is_missing() {
    let with_schema = Op::Prompt {
        content: vec![troupe_types::Content::text("go")],
        output_schema: Some(serde_json::json!({ "type": "object" })),
    };
    let cases = [
        ("write", Op::prompt("go"), None, true),
        ("write", with_schema, Some(ErrorClass::NoAnswer), false),
        // It took no effect, so nothing was done.
        ("die", Op::prompt("go"), Some(ErrorClass::NoAnswer), false),
    ];
    for (tool, op, failed, flag) in cases {
        let stage = Stage::new(move |request| match outputs(request) {
            0 => [says(0, "I look first."), calls(&[(tool, "1")])].concat(),
            _ => nothing(),
        });
        stage.submit(op).await;
        stage.turns(1).await;
        let (outcome, told) = ended(&stage);
        assert_eq!((class(&outcome), told), (failed, flag), "{tool}: {outcome:?}");
        assert_eq!(stage.requests().len(), 3, "{tool}");
        stage.root.stop().await;
    }
}

#[tokio::test]
async fn a_call_between_two_silences_is_progress() {
    let asked = Mutex::new(0);
    let stage = Stage::new(move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 | 3 | 5 => nothing(),
            2 => calls(&[("write", "1")]),
            4 => calls(&[("write", "2")]),
            _ => answer("done"),
        }
    });
    stage.prompt("go").await;
    stage.turns(1).await;
    assert_eq!(ended(&stage), (Outcome::Completed, false));
    assert_eq!((stage.effects().len(), stage.requests().len()), (2, 6));
    stage.root.stop().await;
}

#[tokio::test]
async fn a_later_process_does_not_ask_more_often() {
    let silent = |request: &ModelRequest| match outputs(request) {
        0 => calls(&[("write", "1")]),
        _ => nothing(),
    };
    let stage = Stage::new(silent);
    stage.prompt("go").await;
    stage.turns(1).await;
    let whole = stage.log.lines().len();
    stage.root.stop().await;
    let finished = |log: &Log, what: &str| {
        log.transcript().iter().filter(|line| line.starts_with(what)).count()
    };
    for count in 1..whole {
        let log = stage.log.cut(count);
        let accepted = log.transcript().contains(&"OpAccepted".to_owned());
        let later = Stage::with(log, true, settings(), Arc::new(silent));
        later.submit(Op::Continue).await;
        if !accepted {
            later.prompt("go").await;
        }
        later.turns(1).await;
        let log = &later.log;
        let transcript = log.transcript();
        let behind = transcript
            .iter()
            .rev()
            .take_while(|line| !line.starts_with("completed: ") && !line.starts_with("lost: "));
        let answers = behind.filter(|line| *line == "answered").count();
        assert_eq!(answers, 2, "cut at {count}: {transcript:#?}");
        assert_eq!(finished(log, "again 1/1"), 1, "cut at {count}: {:#?}", log.transcript());
        later.root.stop().await;
    }
}

#[tokio::test]
async fn tokens_that_nobody_told_are_not_none() {
    let stage = Stage::new(|_| vec![Beat::Part(0, "half".to_owned()), Beat::Hang]);
    stage.prompt("go").await;
    stage.kind("TextPart").await;
    stage.submit(Op::Interrupt).await;
    stage.turns(1).await;
    let lines = stage.log.lines();
    let figures = lines.iter().find_map(|line| match &line.record {
        Record::TurnFinished(body) => Some((body.usage, body.uncounted)),
        _ => None,
    });
    assert_eq!(figures, Some((None, 1)));
    stage.root.stop().await;
}
