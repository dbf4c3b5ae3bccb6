//! Tools that change nothing outside: they run at once, and tell no start.

use crate::stage::{Said, Scene, text};
use serde_json::json;
use troupe_types::{CallDetail, CallInput, ErrorClass, Outcome};

#[tokio::test]
async fn files_are_read_unasked() {
    let scene = Scene::new("read_file", &json!({"path": "a.txt"})).file("a.txt", "one\ntwo\n");
    let finished = scene.begin().finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert_eq!(text(&finished), "L1: one\nL2: two");
    assert_eq!(finished.detail, Some(CallDetail::Tool { summary: "read a.txt".to_owned() }));
}

#[tokio::test]
async fn every_looking_tool_ends_by_itself() {
    for (tool, arguments, expected) in
        [("list_dir", json!({}), "a.txt"), ("grep_files", json!({"pattern": "tw."}), "a.txt:2:two")]
    {
        let scene = Scene::new(tool, &arguments).file("a.txt", "one\ntwo\n");
        let finished = scene.begin().finished().await;
        assert_eq!(finished.outcome, Outcome::Completed, "{tool}");
        assert!(text(&finished).contains(expected), "{tool}: {finished:?}");
    }
}

/// The stage denies files called `secret`, whatever leads to them.
#[tokio::test]
async fn what_must_not_be_read_is_not() {
    for (tool, arguments) in [
        ("read_file", json!({"path": "secret"})),
        ("read_file", json!({"path": "./x/../secret"})),
        ("view_image", json!({"path": "secret"})),
        ("grep_files", json!({"pattern": "hush", "path": "secret"})),
        ("grep_files", json!({"pattern": "hush"})),
    ] {
        let scene = Scene::new(tool, &arguments).file("secret", "hush\n").folder("x");
        let finished = scene.begin().finished().await;
        assert!(
            !text(&finished).contains("hush\n") && !text(&finished).contains(":hush"),
            "{tool}: {finished:?}"
        );
        let refused = text(&finished).contains("sandbox_deny_read");
        assert!(refused || tool == "grep_files", "{tool}: {finished:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_failure_with_a_text() {
    let scene = Scene::new("view_image", &json!({"path": "a.png"})).file("a.png", "no image");
    let finished = scene.begin().finished().await;
    let Outcome::Failed(failure) = &finished.outcome else { panic!("{finished:?}") };
    assert_eq!((failure.class, failure.message.clone()), (ErrorClass::Tool, text(&finished)));
}

#[tokio::test]
async fn a_plan_is_told_and_done() {
    let plan = json!({"plan": [{"step": "read", "status": "completed"}, {"step": "write"}]});
    let mut stage = Scene::new("update_plan", &plan).begin();
    match stage.next().await {
        Said::Planned(plan) => {
            let steps: Vec<_> = plan.plan.iter().map(|step| step.step.as_str()).collect();
            assert_eq!((plan.call, steps), (stage.call, vec!["read", "write"]));
        }
        other => panic!("expected a plan: {other:?}"),
    }
    let finished = stage.finished().await;
    assert_eq!((finished.outcome.is_completed(), text(&finished).as_str()), (true, "Plan updated"));
}

#[tokio::test]
async fn calls_that_make_no_sense_are_told_so() {
    for (tool, input, expected) in [
        ("shell", r#"{"command": "#, "failed to parse function arguments: "),
        ("shell", "{}", "missing field `command`"),
        ("shell", "[[1]]", "failed to parse function arguments: "),
        ("teleport", "{}", "unsupported call: teleport. The tools are: shell, "),
        ("read_file", r#"{"path": 1, "offset": "x"}"#, "`offset` must be a whole number"),
        ("update_plan", r#"{"plan": 3}"#, "`plan` must be an array"),
    ] {
        let finished =
            Scene::with(tool, CallInput::Json(input.to_owned())).begin().finished().await;
        assert!(text(&finished).contains(expected), "{tool} {input}: {finished:?}");
        let failure = Outcome::failed(ErrorClass::Tool, text(&finished));
        assert_eq!(finished.outcome, failure);
        assert_eq!(finished.detail, None);
    }
}
