//! Rules that a person answers with: kept for the next question, and for the next run.

use crate::stage::Stage;
use std::time::Duration;
use troupe_messages::Verdict;

#[tokio::test]
async fn what_is_answered_with_a_rule_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    let mut stage = Stage::with_rules(&rules);
    assert!(matches!(stage.judge("git commit -m x").await, Verdict::Ask(_)));
    stage.keep(&["git", "commit"], "git commit -m x");
    stage.keep(&["git", "commit"], "git commit -m x");
    assert_eq!(stage.judge("git commit -m y").await, Verdict::Allow);
    assert!(matches!(stage.judge("git push").await, Verdict::Ask(_)));
    let file = rules.join("approved.toml");
    let began = std::time::Instant::now();
    // Nobody reports that it is written.
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("commit")) {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not written down");
        tokio::task::yield_now().await;
    }
    stage.root.stop().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().matches("[[rule]]").count(), 1);
    let mut next = Stage::with_rules(&rules);
    assert_eq!(next.judge("git commit -m z").await, Verdict::Allow);
}

#[tokio::test]
async fn what_may_run_anything_is_never_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::with_rules(folder.path());
    for (prefix, script) in [
        (vec!["python3"], "python3 x.py"),
        (vec!["bash"], "bash"),
        (vec!["git"], "git commit"),
        (vec!["git", "push"], "git commit"),
        (vec![], "git commit"),
        (vec!["mkdir"], "mkdir a; $X"),
    ] {
        stage.keep(&prefix, script);
        assert!(matches!(stage.judge(script).await, Verdict::Ask(_)), "{script}");
    }
    stage.root.stop().await;
    assert!(!folder.path().join("approved.toml").exists());
}
