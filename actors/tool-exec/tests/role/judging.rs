//! Nothing runs before policy, perhaps a person, and the log have had their say.

use crate::{
    puppet::Puppet,
    stage::{Said, Scene, Stage, text},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, advance};
use troupe_messages::{
    Judged, LaunchRefusal, Process, ProcessExit, Question, ToolMessage, Verdict,
};
use troupe_types::{Access, ApprovalAsk, CallDetail, Decision, ErrorClass, Outcome, SandboxMode};

fn shell() -> Scene {
    let mut scene = Scene::new("shell", &json!({"command": "make test"}));
    scene.settings.sandbox.mode = SandboxMode::WorkspaceWrite;
    scene
}

fn escalated() -> Scene {
    let arguments = json!({
        "command": "make install",
        "sandbox_permissions": "require_escalated",
        "justification": "may I install it?"
    });
    Scene::new("shell", &arguments)
}

fn ask() -> Verdict {
    Verdict::Ask(ApprovalAsk {
        rule: Vec::new(),
        action: "make test".to_owned(),
        reason: "it is not known".to_owned(),
        leaves_sandbox: false,
        key: String::new(),
    })
}

async fn asked(stage: &mut Stage) {
    stage.question().await;
    stage.judge(ask());
    match stage.next().await {
        Said::Asked(asked, _) => assert_eq!(Verdict::Ask(asked), ask()),
        other => panic!("expected a question to a person: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_call_may_change_is_told_when_it_is_ready() {
    let patch = "*** Begin Patch\n*** Add File: new\n+text\n*** End Patch\n";
    let cases = [
        ("shell", json!({"command": "sleep 1"}), true, Access::Read),
        ("shell", json!({"command": "make"}), false, Access::Command),
        ("exec_command", json!({"cmd": "sleep 1"}), true, Access::Read),
        ("apply_patch", json!({"input": patch}), false, Access::Exclusive),
        // A patch that stands in a command is one.
        (
            "shell",
            json!({"command": format!("apply_patch <<'EOF'\n{patch}EOF")}),
            false,
            Access::Exclusive,
        ),
    ];
    for (tool, arguments, read_only, wanted) in cases {
        for ends_with in ["start", "question"] {
            let mut stage = Scene::new(tool, &arguments).begin();
            stage.question().await;
            let verdict = if ends_with == "start" { Verdict::Allow } else { ask() };
            stage.tell(ToolMessage::Judged(Judged { verdict, read_only }));
            match stage.next().await {
                Said::Starting(_, access) | Said::Asked(_, access) => {
                    assert_eq!(access, wanted, "{tool} {arguments}");
                }
                other => panic!("expected a start or a question: {other:?}"),
            }
            // A conversation that was started again hears the same once more.
            stage.tell(ToolMessage::Report);
            match (ends_with, stage.next().await) {
                ("start", Said::Starting(_, access)) | ("question", Said::Asked(_, access)) => {
                    assert_eq!(access, wanted, "{tool} {arguments}");
                }
                (_, other) => panic!("expected it again: {other:?}"),
            }
        }
    }
}

fn denied(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(failure) if failure.class == ErrorClass::Denied => &failure.message,
        other => panic!("not denied: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_its_way_step_by_step() {
    let mut stage = shell().begin();
    let argv = ["/bin/sh", "-c", "make test"].map(str::to_owned).to_vec();
    let cwd = stage.folder.path().to_owned();
    let question = Question::Command { argv: argv.clone(), cwd: cwd.clone(), escalate: None };
    assert_eq!(stage.question().await, question);
    // An acknowledgement of nothing runs nothing.
    stage.tell(ToolMessage::StartRecorded);
    stage.quiet().await;
    stage.judge(Verdict::Allow);
    let detail = CallDetail::Command { argv: argv.clone(), cwd: cwd.clone(), outside: false };
    assert_eq!(stage.starting().await, detail);
    stage.quiet().await;
    stage.tell(ToolMessage::StartRecorded);
    let order = stage.order().await;
    assert_eq!((order.call, &order.argv, &order.cwd), (stage.call, &argv, &cwd));
    assert_eq!((order.sandbox.mode, &order.workspace), (SandboxMode::WorkspaceWrite, &cwd));
    // Only the first acknowledgement counts, and only the first process.
    stage.tell(ToolMessage::StartRecorded);
    let (mut process, running) = Puppet::new(0);
    stage.launched(running);
    stage.tell(ToolMessage::StartRecorded);
    let (mut second, running) = Puppet::new(0);
    stage.launched(running);
    second.dropped().await;
    stage.quiet().await;
    process.print(b"all green\n").await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert_eq!(text(&finished), "Exit code: 0\nWall time: 0.0 seconds\nOutput:\nall green\n");
    let detail = CallDetail::Command { argv, cwd, outside: false };
    assert_eq!(finished.detail, Some(detail));
}

#[tokio::test(start_paused = true)]
async fn a_login_shell_is_used_only_if_it_is_wanted() {
    let mut scene = shell();
    scene.settings.login_shell = true;
    let order = scene.begin().reach_launch().await;
    assert_eq!(order.argv, ["/bin/sh", "-lc", "make test"]);
}

#[tokio::test(start_paused = true)]
async fn what_policy_denies_is_not_begun() {
    let mut stage = shell().begin();
    stage.question().await;
    stage.judge(Verdict::Deny("rm is off limits".to_owned()));
    let finished = stage.finished().await;
    assert_eq!(denied(&finished.outcome), "rm is off limits");
    assert_eq!(text(&finished), "rm is off limits");
}

#[tokio::test(start_paused = true)]
async fn a_silent_policy_says_no() {
    let asked = Instant::now();
    let mut stage = shell().begin();
    stage.question().await;
    let finished = stage.finished().await;
    assert!(denied(&finished.outcome).contains("did not answer"), "{finished:?}");
    let waited = asked.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_stands_still_while_a_person_is_asked() {
    let mut stage = shell().begin();
    asked(&mut stage).await;
    advance(Duration::from_secs(3600)).await;
    stage.quiet().await;
    // Policy has had its say; from now on it is the person's.
    stage.judge(Verdict::Allow);
    stage.quiet().await;
    stage.answer(Decision::Approved);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    assert_eq!(stage.order().await.sandbox.mode, SandboxMode::WorkspaceWrite);
}

#[tokio::test(start_paused = true)]
async fn a_person_can_say_no() {
    for (reason, expected) in
        [("not on a Friday", "the user said no: not on a Friday"), (" ", "the user said no")]
    {
        let mut stage = shell().begin();
        asked(&mut stage).await;
        stage.answer(Decision::Denied { reason: reason.to_owned() });
        let finished = stage.finished().await;
        assert_eq!(denied(&finished.outcome), expected);
        assert_eq!(text(&finished), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_can_stop_it_all() {
    let mut stage = shell().begin();
    asked(&mut stage).await;
    stage.answer(Decision::Abort);
    assert_eq!(stage.finished().await.outcome, Outcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn leaving_the_sandbox_takes_a_yes() {
    let mut stage = escalated().begin();
    match stage.question().await {
        Question::Command { escalate, .. } => {
            assert_eq!(escalate.as_deref(), Some("may I install it?"));
        }
        other => panic!("{other:?}"),
    }
    stage.judge(ask());
    stage.next().await;
    stage.answer(Decision::ApprovedForSession);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    assert_eq!(stage.order().await.sandbox.mode, SandboxMode::DangerFullAccess);
    // Policy's plain yes keeps it inside, whatever the model asked for.
    assert_eq!(escalated().begin().reach_launch().await.sandbox.mode, SandboxMode::ReadOnly);
}

#[tokio::test(start_paused = true)]
async fn policy_can_let_it_out() {
    let mut stage = shell().begin();
    stage.question().await;
    stage.judge(Verdict::AllowOutside);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    assert_eq!(stage.order().await.sandbox.mode, SandboxMode::DangerFullAccess);
}

#[tokio::test(start_paused = true)]
async fn a_refused_launch_is_a_failure_of_its_class() {
    let mut stage = shell().begin();
    stage.reach_launch().await;
    let message = "user namespaces are off: see docs".to_owned();
    stage.answer_launch(Err(LaunchRefusal::Refused { class: ErrorClass::Sandbox, message }));
    let finished = stage.finished().await;
    assert_eq!(
        finished.outcome,
        Outcome::failed(ErrorClass::Sandbox, "user namespaces are off: see docs")
    );
    assert_eq!(text(&finished), "user namespaces are off: see docs");
}

#[tokio::test(start_paused = true)]
async fn a_lost_launch_is_lost() {
    let mut stage = shell().begin();
    stage.reach_launch().await;
    stage.answer_launch(Err(LaunchRefusal::Lost));
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Lost);
    assert!(text(&finished).starts_with("lost:"), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_sandbox_is_a_loss_and_a_late_process_is_ended() {
    let mut stage = shell().begin();
    stage.reach_launch().await;
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Lost);
    let (mut process, running) = Puppet::new(0);
    let _refused = stage.tool.tell(ToolMessage::Launched(Ok(Process::new(running))));
    process.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_rule_is_a_yes_and_the_rule_is_handed_over() {
    let mut stage = shell().begin();
    asked(&mut stage).await;
    let prefix = vec!["make".to_owned()];
    stage.answer(Decision::ApprovedWithRule { prefix: prefix.clone() });
    match stage.next().await {
        Said::Keep(kept) => assert_eq!(kept, prefix),
        other => panic!("{other:?}"),
    }
    stage.starting().await;
}
