//! Which step answers, and what faults do.

use super::script::Script;
use crate::{Endpoint, Http, ModelError, Retry, Wire, connect};
use futures_util::StreamExt;
use std::{io::Write, sync::Arc, time::Duration};
use troupe_types::{
    AssistantItem, CallId, Content, ErrorClass, Item, ModelEvent, ModelRequest, Outcome,
    OutputItem, RequestId, SessionId, UserItem,
};

fn user() -> Item {
    Item::User(UserItem { content: vec![Content::text("go")] })
}

fn output() -> Item {
    let (call, outcome, content) = (CallId::new(), Outcome::Completed, Vec::new());
    Item::Output(OutputItem { call, outcome, content, exit_code: None })
}

fn said() -> Item {
    Item::Assistant(AssistantItem::default())
}

fn request(session: SessionId, items: Vec<Item>) -> ModelRequest {
    ModelRequest {
        session,
        request: RequestId::new(),
        model: "m".to_owned(),
        instructions: Arc::from(""),
        items: items.into_iter().map(Arc::new).collect(),
        tools: Arc::from([]),
        effort: None,
        summary: None,
        verbosity: None,
        max_output_tokens: None,
        output_schema: None,
    }
}

fn endpoint(script: &str) -> (Endpoint, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let mut endpoint = Endpoint::new("rehearsal", Wire::Rehearsal, "");
    endpoint.script = Some(file.path().to_owned());
    (endpoint, file)
}

#[test]
fn the_context_alone_chooses_the_step() {
    let script = r#"{"steps": [
        {"text": "look", "calls": [{"tool": "a"}, {"tool": "b"}]},
        {"calls": [{"tool": "c"}]},
        {"text": "wait", "end_turn": false},
        {"text": "done"},
        {"text": "second turn"}]}"#;
    let script = Script::parse(script).unwrap();
    let at =
        |items: Vec<Item>| script.position(&items.into_iter().map(Arc::new).collect::<Vec<_>>());
    assert_eq!(at(vec![user()]), Some(0));
    assert_eq!(at(vec![user(), said(), output()]), Some(0), "one of two outputs");
    assert_eq!(at(vec![user(), said(), output(), output()]), Some(1));
    let mut items = vec![user(), said(), output(), output(), output()];
    assert_eq!(at(items.clone()), Some(2));
    items.push(said());
    assert_eq!(at(items.clone()), Some(3));
    items.extend([said(), user()]);
    assert_eq!(at(items.clone()), Some(4));
    items.extend([said(), user()]);
    assert_eq!(at(items), None);
}

#[tokio::test]
async fn a_step_plays_the_same_each_time_and_the_end_is_told() {
    let (endpoint, _file) = endpoint(
        r#"{"steps": [{"reasoning": "hm", "text": ["a", "b"], "calls": [{"tool": "t", "input": {"x": 1}}, {"tool": "p", "text": "free"}]}]}"#,
    );
    let provider = connect(&endpoint, &Http::default()).unwrap();
    let session = SessionId::new();
    let play = |items| provider.stream(request(session, items)).collect::<Vec<_>>();
    let kinds = |events: &[Result<ModelEvent, ModelError>]| {
        events
            .iter()
            .map(|event| format!("{:.9}", format!("{:?}", event.as_ref().unwrap())))
            .collect::<Vec<_>>()
    };
    let first = play(vec![user()]).await;
    assert_eq!(first.len(), 9, "{first:?}");
    assert_eq!(kinds(&first), kinds(&play(vec![user()]).await));
    assert!(matches!(first.last(), Some(Ok(ModelEvent::Completed { usage: Some(_), .. }))));
    let over = play(vec![user(), output(), output()]).await;
    assert!(over[0].as_ref().unwrap_err().to_string().contains("over after its 1 steps"));
}

#[tokio::test]
async fn faults_hit_the_first_attempts_only() {
    let (endpoint, _file) = endpoint(
        r#"{"steps": [{"text": ["a", "b"], "faults": [
        {"kind": "cut", "after": 2},
        {"kind": "error", "class": "rate_limit", "status": 429, "retry_after_ms": 7},
        {"kind": "error", "class": "auth", "message": "no"},
        {"kind": "delay", "ms": 1, "after": 1}]}]}"#,
    );
    let provider = connect(&endpoint, &Http::default()).unwrap();
    let session = SessionId::new();
    let mut attempts = Vec::new();
    for _ in 0..5 {
        attempts.push(provider.stream(request(session, vec![user()])).collect::<Vec<_>>().await);
    }
    let error = |at: usize| attempts[at].last().unwrap().as_ref().unwrap_err();
    assert_eq!((attempts[0].len(), error(0).retry), (3, Retry::Backoff));
    assert_eq!(
        (error(1).retry, error(1).status),
        (Retry::After(Duration::from_millis(7)), Some(429))
    );
    assert_eq!((error(2).retry, error(2).failure.class), (Retry::Never, ErrorClass::Auth));
    assert_eq!((attempts[3].len(), attempts[4].len()), (5, 5));
    assert!(attempts[4].iter().all(Result::is_ok));
    let other = provider.stream(request(SessionId::new(), vec![user()])).collect::<Vec<_>>().await;
    assert!(other.last().unwrap().is_err(), "another session has its own attempts");
}

#[test]
fn a_script_that_cannot_be_played_is_refused_with_its_place() {
    for (script, part) in [
        ("{", "line 1"),
        (r#"{"steps": []}"#, "no steps"),
        (r#"{"steps": [{"txt": "x"}]}"#, "unknown field `txt`"),
        (r#"{"steps": [{}, {"calls": [{"tool": "t", "input": {}, "text": "x"}]}]}"#, "step 2"),
        (r#"{"steps": [{"end_turn": false}]}"#, "step 1"),
    ] {
        let (endpoint, file) = endpoint(script);
        let error = connect(&endpoint, &Http::default()).err().expect(script).to_string();
        assert!(error.contains(part), "{error}");
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}

#[test]
fn the_built_in_script_can_be_played() {
    assert!(connect(&Endpoint::new("demo", Wire::Rehearsal, ""), &Http::default()).is_ok());
}
