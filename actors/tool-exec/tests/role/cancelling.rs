//! A cancel ends the call wherever it is.

use crate::{
    puppet::Puppet,
    stage::{Scene, Stage, result, text},
};
use serde_json::json;
use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use troupe_messages::{Judged, Process, ProcessExit, ToolMessage, Verdict};
use troupe_types::{CallFinished, CommandEnd, Outcome};

fn shell() -> Stage {
    Scene::new("shell", &json!({"command": "sleep 1000"})).begin()
}

async fn cancelled(stage: &mut Stage) -> CallFinished {
    stage.tell(ToolMessage::Cancel);
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Cancelled);
    finished
}

#[tokio::test(start_paused = true)]
async fn before_it_has_begun() {
    let mut stage = shell();
    // Waits in the mailbox while the call is looked at.
    stage.tell(ToolMessage::Cancel);
    stage.question().await;
    assert_eq!(stage.finished().await.outcome, Outcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn while_policy_decides() {
    let mut stage = shell();
    stage.question().await;
    let finished = cancelled(&mut stage).await;
    assert_eq!(text(&finished), "aborted by user");
    // A verdict that comes late finds nobody.
    assert!(
        stage
            .tool
            .tell(ToolMessage::Judged(Judged { verdict: Verdict::Allow, read_only: false }))
            .is_err()
    );
    stage.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_start_is_recorded() {
    let mut stage = shell();
    stage.question().await;
    stage.judge(Verdict::Allow);
    stage.starting().await;
    cancelled(&mut stage).await;
    assert!(stage.tool.tell(ToolMessage::StartRecorded).is_err());
    stage.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_process_is_launched() {
    let mut stage = shell();
    stage.reach_launch().await;
    cancelled(&mut stage).await;
    let (mut process, running) = Puppet::new(0);
    let _refused = stage.tool.tell(ToolMessage::Launched(Ok(Process::new(running))));
    process.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn what_it_printed_while_it_was_launched_is_told() {
    for (tool, name) in [("shell", "command"), ("exec_command", "cmd")] {
        let mut stage = Scene::new(tool, &json!({ name: "echo begun; sleep 1000" })).begin();
        stage.reach_launch().await;
        stage.tell(ToolMessage::Cancel);
        let (mut process, running) = Puppet::new(0);
        process.print(b"begun\n").await;
        stage.launched(running);
        process.killed().await;
        let finished = stage.finished().await;
        assert_eq!(finished.outcome, Outcome::Cancelled);
        assert_eq!(result(&finished).output.head, "begun\n");
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_runs_and_at_once() {
    let mut stage = shell();
    stage.reach_launch().await;
    let (mut process, running) = Puppet::new(1);
    stage.launched(running);
    process.print(b"so far so good\n").await;
    stage.quiet().await;
    let asked = tokio::time::Instant::now();
    stage.tell(ToolMessage::Cancel);
    stage.tell(ToolMessage::Cancel);
    process.killed().await;
    assert_eq!(asked.elapsed(), Duration::ZERO);
    // Somebody holds its outputs open; that is not waited for.
    let finished = stage.finished().await;
    assert!(asked.elapsed() <= Duration::from_millis(100), "{:?}", asked.elapsed());
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(text(&finished).ends_with("command stopped by the user\nso far so good\n"));
    assert_eq!((result(&finished).end, result(&finished).strays), (CommandEnd::Cancelled, 0));
    process.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_just_ended_is_done() {
    let mut stage = shell();
    stage.reach_launch().await;
    let (mut process, running) = Puppet::new(0);
    stage.launched(running);
    stage.quiet().await;
    process.end(ProcessExit::Code(0));
    assert_eq!(stage.finished().await.outcome, Outcome::Completed);
    assert!(stage.tool.tell(ToolMessage::Cancel).is_err());
}

#[tokio::test]
async fn a_search_in_a_large_tree() {
    let scene = Scene::new("grep_files", &json!({"pattern": "needle"}));
    for n in 0..40 {
        fs::write(scene.folder.path().join(format!("{n}.txt")), "hay\n".repeat(64 * 1024)).unwrap();
    }
    let mut stage = scene.begin();
    let finished = cancelled(&mut stage).await;
    assert_eq!(text(&finished), "aborted by user");
    assert!(finished.took_ms < 1000, "{}", finished.took_ms);
}

#[tokio::test]
async fn a_patch_that_is_being_applied_is_let_finish() {
    let patch =
        "*** Begin Patch\n*** Add File: a.txt\n+one\n*** Add File: b.txt\n+two\n*** End Patch";
    let mut stage = Scene::new("apply_patch", &json!({"input": patch})).begin();
    stage.question().await;
    stage.judge(Verdict::Allow);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    stage.tell(ToolMessage::Cancel);
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert_eq!(stage.names(), ["a.txt", "b.txt"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_closes_takes_its_process_along() {
    let mut stage = shell();
    stage.reach_launch().await;
    let (mut process, running) = Puppet::new(0);
    stage.launched(running);
    stage.quiet().await;
    assert_eq!(process.kills.load(Ordering::SeqCst), 0);
    let asked = Instant::now();
    stage.root.stop().await;
    process.dropped().await;
    assert!(asked.elapsed() < Duration::from_secs(5));
}
