//! Patches: checked before anybody is asked, written when the start is recorded.

use crate::stage::{Scene, Stage, text};
use serde_json::json;
use std::fs;
use troupe_messages::{Question, ToolMessage, Verdict};
use troupe_types::{CallDetail, CallInput, ErrorClass, FileChangeKind, Outcome};

const PATCH: &str = "*** Begin Patch
*** Update File: a.txt
@@
-one
+two
*** Add File: new/b.txt
+hello
*** Delete File: c.txt
*** End Patch
";

fn scene(tool: &str, arguments: &serde_json::Value) -> Scene {
    Scene::new(tool, arguments).file("a.txt", "one\n").file("c.txt", "bye\n")
}

fn untouched(stage: &Stage) {
    assert_eq!(stage.names(), ["a.txt", "c.txt"]);
    assert_eq!((stage.read("a.txt"), stage.read("c.txt")), ("one\n".into(), "bye\n".into()));
}

/// From policy's question to the end, with nothing written before its time.
async fn carried_out(mut stage: Stage) {
    let Question::Patch { paths } = stage.question().await else { panic!() };
    let at = |name: &str| stage.folder.path().join(name);
    assert_eq!(paths, [at("a.txt"), at("c.txt"), at("new/b.txt")]);
    stage.judge(Verdict::Allow);
    let CallDetail::Patch { changes } = stage.starting().await else { panic!() };
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [FileChangeKind::Update, FileChangeKind::Add, FileChangeKind::Delete]);
    assert!(changes[0].diff.contains("-one\n+two\n"), "{:?}", changes[0]);
    stage.quiet().await;
    untouched(&stage);
    stage.tell(ToolMessage::StartRecorded);
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert_eq!(
        text(&finished),
        "Success. Updated the following files:\nA new/b.txt\nM a.txt\nD c.txt\n"
    );
    assert_eq!(finished.detail, Some(CallDetail::Patch { changes }));
    assert_eq!((stage.read("a.txt"), stage.read("new/b.txt")), ("two\n".into(), "hello\n".into()));
    assert_eq!(stage.names(), ["a.txt", "new"]);
}

#[tokio::test]
async fn a_patch_is_judged_recorded_and_written() {
    carried_out(scene("apply_patch", &json!({"input": PATCH})).begin()).await;
}

#[tokio::test]
async fn a_patch_in_a_shell_command_is_a_patch() {
    let script = format!("apply_patch <<'EOF'\n{PATCH}EOF\n");
    carried_out(scene("shell", &json!({"command": script})).begin()).await;
}

#[tokio::test]
async fn a_patch_in_another_folder_stays_there() {
    let patch = "*** Begin Patch\n*** Add File: x.txt\n+x\n*** End Patch\n";
    let script = format!("cd deep && apply_patch <<EOF\n{patch}EOF\n");
    let scene = Scene::new("shell", &json!({"command": script, "workdir": "sub"}));
    fs::create_dir_all(scene.folder.path().join("sub/deep")).unwrap();
    let mut stage = scene.begin();
    let Question::Patch { paths } = stage.question().await else { panic!() };
    assert_eq!(paths, [stage.folder.path().join("sub/deep/x.txt")]);
    stage.judge(Verdict::Allow);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    assert_eq!(stage.finished().await.outcome, Outcome::Completed);
    assert_eq!(stage.read("sub/deep/x.txt"), "x\n");
}

#[tokio::test]
async fn a_patch_that_does_not_fit_changes_nothing_and_asks_nobody() {
    for (patch, expected) in [
        (PATCH.replace("-one", "-once"), "Failed to find expected lines in "),
        (PATCH.replace("c.txt", "d.txt"), "Failed to delete file "),
        (PATCH.replace("*** End Patch\n", ""), "*** End Patch"),
        ("*** Begin Patch\n*** End Patch\n".to_owned(), "No files were modified."),
    ] {
        let mut stage = scene("apply_patch", &json!({"input": patch})).begin();
        let finished = stage.finished().await;
        assert!(text(&finished).contains(expected), "{finished:?}");
        let failure = Outcome::failed(ErrorClass::Tool, text(&finished));
        assert_eq!(finished.outcome, failure);
        untouched(&stage);
    }
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_stops_the_whole_patch() {
    let mut stage = scene("apply_patch", &json!({"input": PATCH})).begin();
    stage.question().await;
    stage.judge(Verdict::Allow);
    stage.starting().await;
    fs::write(stage.folder.path().join("a.txt"), "one\nand more\n").unwrap();
    stage.tell(ToolMessage::StartRecorded);
    stage.tell(ToolMessage::StartRecorded);
    let finished = stage.finished().await;
    assert!(text(&finished).contains("changed after the patch was checked"), "{finished:?}");
    assert!(matches!(finished.outcome, Outcome::Failed(ref f) if f.class == ErrorClass::Tool));
    assert_eq!(stage.names(), ["a.txt", "c.txt"]);
    assert_eq!(stage.read("a.txt"), "one\nand more\n");
}

#[tokio::test]
async fn a_patch_that_is_denied_is_not_written() {
    let mut stage = scene("apply_patch", &json!({"input": PATCH})).begin();
    stage.question().await;
    stage.judge(Verdict::Deny("outside of the workspace".to_owned()));
    let failure = Outcome::failed(ErrorClass::Denied, "outside of the workspace");
    assert_eq!(stage.finished().await.outcome, failure);
    untouched(&stage);
}

#[tokio::test]
async fn a_bare_patch_is_taken_as_one() {
    let scene = Scene::with("apply_patch", CallInput::Text(PATCH.to_owned()));
    carried_out(scene.file("a.txt", "one\n").file("c.txt", "bye\n").begin()).await;
}
