//! Processes that outlast their call: what the call says, how others speak to them, how they end.

use crate::{
    puppet::Puppet,
    stage::{Scene, Stage, result, text},
};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use troupe_kit::{Kit, Mailbox, Next};
use troupe_messages::{
    BackgroundProcess, Interact, Interaction, ProcessExit, Question, Remarked, Running,
    ToolMessage, Verdict,
};
use troupe_types::{
    CallDetail, CallFinished, CallId, CallResult, CommandEnd, CommandResult, ErrorClass,
    HostDecided, Outcome, Printed, Progress,
};

async fn launch(arguments: &serde_json::Value, running: Running) -> Stage {
    let mut stage = Scene::new("exec_command", arguments).begin();
    let order = stage.reach_launch().await;
    assert_eq!(order.terminal, running.input.is_some());
    stage.launched(running);
    stage
}

fn interact(stage: &Stage, input: &str, wait_ms: u64) {
    let (input, wait) = (input.to_owned(), Duration::from_millis(wait_ms));
    let asker = stage.asker.clone();
    stage.tell(ToolMessage::Interact(Interact { input, wait, tokens: None, asker }));
}

fn read(answer: Option<Interaction>) -> CommandResult {
    match answer {
        Some(Interaction::Read(result)) => *result,
        other => panic!("{other:?}"),
    }
}

/// What the model is told of an answer.
fn said(answer: Option<Interaction>) -> String {
    let result = CallResult::Command(Box::new(read(answer)));
    let (call, outcome) = (CallId::new(), Outcome::Completed);
    text(&CallFinished { call, outcome, result, detail: None, took_ms: 0 })
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_time_is_like_any_command() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "make"}), running).await;
    process.print(b"made\n").await;
    process.end(ProcessExit::Code(2));
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert!(text(&finished).starts_with("Exit code: 2\n"), "{finished:?}");
    assert!(text(&finished).ends_with("Output:\nmade\n"), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_typed_into_read_once_and_told_when_it_ends() {
    let (mut process, running) = Puppet::on_terminal();
    let mut stage = launch(&json!({"cmd": "sh", "tty": true, "yield_time_ms": 500}), running).await;
    process.print(b"$ ").await;
    let left = stage.left().await;
    assert!(text(&left).starts_with("Process running with session ID 12\n"), "{left:?}");
    assert!(text(&left).ends_with("Output:\n$ "), "{left:?}");
    assert_eq!(result(&left).end, CommandEnd::Running { process: 12 });

    interact(&stage, "ls\n", 300);
    assert_eq!(process.read_typed(3).await, "ls\n");
    process.print(b"a b\n$ ").await;
    let answer = said(stage.interacted().await);
    assert!(answer.starts_with("Process running with session ID 12\n"), "{answer}");
    assert!(answer.ends_with("Output:\na b\n$ "), "what was told is not told again: {answer}");

    // It ends while nobody looks: that is told at once, and the rest is kept until it is asked for.
    process.print(b"bye\n").await;
    process.end(ProcessExit::Code(3));
    let end = stage.ended().await;
    assert_eq!((end.process, end.exit_code, end.outcome), (12, Some(3), Outcome::Completed));
    stage.quiet().await;
    interact(&stage, "", 5000);
    let answer = said(stage.interacted().await);
    assert!(answer.starts_with("Exit code: 3\n") && answer.ends_with("Output:\nbye\n"), "{answer}");
    stage.gone().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_heard_is_told_again() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "sleep 9", "yield_time_ms": 250}), running).await;
    stage.left().await;
    process.print(b"precious\n").await;
    let other = Scene::new("read_file", &json!({"path": "x"})).begin();
    let closed = other.asker.clone();
    other.root.stop().await;
    stage.tell(ToolMessage::Interact(Interact {
        input: String::new(),
        wait: Duration::from_millis(250),
        tokens: None,
        asker: closed,
    }));
    interact(&stage, "", 250);
    assert!(said(stage.interacted().await).ends_with("Output:\nprecious\n"));
}

#[tokio::test(start_paused = true)]
async fn without_a_terminal_it_can_only_be_interrupted() {
    let (process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "serve", "yield_time_ms": 250}), running).await;
    stage.left().await;
    interact(&stage, "quit\n", 300);
    let Some(Interaction::Refused(why)) = stage.interacted().await else { panic!() };
    assert!(why.contains("tty") && !why.contains("  "), "{why}");
    interact(&stage, "\u{3}", 300);
    said(stage.interacted().await);
    assert_eq!(process.interrupts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_ended_on_request_and_with_its_owner() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "serve", "yield_time_ms": 250}), running).await;
    stage.left().await;
    stage.tell(ToolMessage::Cancel);
    process.killed().await;
    drop((process.output.take(), process.notes.take()));
    assert_eq!(stage.ended().await.outcome, Outcome::Cancelled);
    stage.gone().await;

    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "serve", "yield_time_ms": 250}), running).await;
    stage.left().await;
    stage.root.stop().await;
    process.dropped().await;
}

/// Someone who writes to a process that another tool exec holds: the asker of the stage.
fn writer(arguments: &serde_json::Value, background: &[(u64, bool)]) -> Scene {
    let mut scene = Scene::new("write_stdin", arguments);
    let tool = Mailbox::new(&Kit::default(), "other", 1);
    scene.background = background
        .iter()
        .map(|(process, ended)| BackgroundProcess {
            process: *process,
            command: "npm run dev".to_owned(),
            cwd: "/work".into(),
            outside: true,
            ended: *ended,
            tool: tool.clone(),
        })
        .collect();
    scene
}

#[tokio::test(start_paused = true)]
async fn typing_is_asked_about_recorded_and_answered() {
    let mut stage = writer(&json!({"session_id": 7, "chars": "rs\n"}), &[(7, false)]).begin();
    let question = stage.question().await;
    let Question::Input { command, outside: true, input, .. } = question else {
        panic!("{question:?}")
    };
    assert_eq!((command.as_str(), input.as_str()), ("npm run dev", "rs\n"));
    stage.judge(Verdict::Allow);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    let end = CommandEnd::Running { process: 7 };
    let read = CommandResult::new(end, 50, Printed::default());
    stage.tell(ToolMessage::Interacted(Some(Interaction::Read(Box::new(read.clone())))));
    let finished = stage.finished().await;
    assert_eq!(result(&finished), &read);
    let detail = CallDetail::Interact {
        process: 7,
        command: "npm run dev".to_owned(),
        input: "rs\n".to_owned(),
    };
    assert_eq!(finished.detail, Some(detail));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_never_answers_is_given_up() {
    let mut stage = writer(&json!({"session_id": 7}), &[(7, false)]).begin();
    stage.question().await;
    stage.judge(Verdict::Allow);
    stage.starting().await;
    stage.tell(ToolMessage::StartRecorded);
    assert_eq!(stage.finished().await.outcome, Outcome::Lost);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_number_names_those_there_are() {
    let mut stage = writer(&json!({"session_id": 9}), &[(7, false)]).begin();
    let finished = stage.finished().await;
    assert!(matches!(&finished.outcome, Outcome::Failed(f) if f.class == ErrorClass::Tool));
    assert!(text(&finished).contains("7 `npm run dev`"), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn there_is_a_cap_on_those_that_run() {
    let all: Vec<_> = (0..16).map(|process| (process, false)).collect();
    let mut scene = writer(&json!({}), &all);
    let crowd = std::mem::take(&mut scene.background);
    let mut scene = Scene::new("exec_command", &json!({"cmd": "one more"}));
    scene.background = crowd;
    let mut stage = scene.begin();
    let finished = stage.finished().await;
    assert!(text(&finished).starts_with("16 processes run in the background"), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn what_it_was_refused_is_told_with_the_next_answer() {
    let (mut process, mut running) = Puppet::new(0);
    running.aftermath = Some(std::sync::Arc::new(|code, output| Remarked {
        sentences: vec![format!("{code:?} after {output:?}")],
        not_written: None,
    }));
    let mut stage = launch(&json!({"cmd": "serve", "yield_time_ms": 250}), running).await;
    stage.left().await;
    let decided = HostDecided {
        call: stage.call,
        host: "example.com".to_owned(),
        port: 443,
        allowed: false,
        reason: "no rule allows it".to_owned(),
    };
    stage.tell(ToolMessage::HostDecided(decided.clone()));
    assert_eq!(stage.decided().await, decided);
    interact(&stage, "", 250);
    let answer = said(stage.interacted().await);
    assert!(answer.contains("example.com:443 (no rule allows it)"), "{answer}");
    interact(&stage, "", 250);
    assert!(!said(stage.interacted().await).contains("example.com"), "it is told once");
    process.print(b"no such port\n").await;
    process.end(ProcessExit::Code(1));
    stage.ended().await;
    interact(&stage, "", 250);
    let answer = said(stage.interacted().await);
    assert!(answer.ends_with("Sandbox: Some(1) after \"no such port\\n\"."), "{answer}");
    stage.gone().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_ended_also_while_it_does_not_read_what_is_typed() {
    let (mut process, running) = Puppet::on_terminal();
    let mut stage =
        launch(&json!({"cmd": "cat", "tty": true, "yield_time_ms": 250}), running).await;
    stage.left().await;
    // More than its terminal takes.
    interact(&stage, &"x".repeat(5000), 60_000);
    stage.quiet().await;
    let began = tokio::time::Instant::now();
    stage.tell(ToolMessage::Cancel);
    process.killed().await;
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn characters_are_whole_in_every_answer() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "serve", "yield_time_ms": 250}), running).await;
    let text = "a€𝄞b\u{0}é\r\n€".as_bytes();
    let mut told = String::new();
    for (place, byte) in text.iter().enumerate() {
        process.print(&[*byte]).await;
        if place == 0 {
            told.push_str(&result(&stage.left().await).output.head);
            continue;
        }
        interact(&stage, "", 250);
        told.push_str(&read(stage.interacted().await).output.head);
        assert!(!told.contains('\u{FFFD}'), "{told:?}");
    }
    assert_eq!(told, "a€𝄞b\u{0}é\r\n€");
    // What never becomes a character is told once, at the end.
    process.print(b"\xE2\x82").await;
    interact(&stage, "", 250);
    assert_eq!(read(stage.interacted().await).output.head, "");
    process.end(ProcessExit::Code(0));
    stage.ended().await;
    interact(&stage, "", 250);
    assert_eq!(read(stage.interacted().await).output.head, "\u{FFFD}");
    stage.gone().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_sandbox_notes_is_told_once_it_has_ended() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "git commit", "yield_time_ms": 250}), running).await;
    process.print(b"done\n").await;
    process.note(b"not taken over into .git: config\n").await;
    let left = stage.left().await;
    assert_eq!(
        (result(&left).output.head.as_str(), &result(&left).sandbox[..]),
        ("done\n", &[][..])
    );
    process.end(ProcessExit::Code(0));
    stage.ended().await;
    interact(&stage, "", 250);
    let answer = read(stage.interacted().await);
    assert_eq!(answer.sandbox, ["not taken over into .git: config"]);
    assert_eq!((answer.output.head.as_str(), answer.read_from), ("", Some(12)));
    stage.gone().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_model_wants_at_most_bounds_its_text_and_not_the_record() {
    let (mut process, running) = Puppet::new(0);
    let arguments = json!({"cmd": "make", "yield_time_ms": 250, "max_output_tokens": 2});
    let mut stage = launch(&arguments, running).await;
    process.print(b"0123456789abcdef").await;
    let left = stage.left().await;
    assert!(text(&left).ends_with("Output:\n0123…2 tokens truncated…cdef"), "{left:?}");
    assert_eq!(result(&left).output.head, "0123456789abcdef");
}

/// Whatever bytes come, in whatever parts: the answers together are the text of the whole, and so is
/// what front ends were shown.
#[tokio::test(start_paused = true)]
async fn answers_together_are_the_text_of_the_whole() {
    const BYTES: &[u8] = b"a\n\x00\xC3\xA9\xE2\x82\xAC\xF0\x9F\x80\xFF\xED\xA0\xC0\xF4";
    let mut state = 7_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"cmd": "noise", "yield_time_ms": 250}), running).await;
    let mut shown = stage.progress.subscribe();
    let (mut all, mut told) = (Vec::new(), result(&stage.left().await).output.head.clone());
    for _ in 0..400 {
        let part: Vec<u8> = (0..=random(5)).map(|_| BYTES[random(BYTES.len())]).collect();
        process.print(&part).await;
        all.extend_from_slice(&part);
        interact(&stage, "", 250);
        told.push_str(&read(stage.interacted().await).output.head);
    }
    process.end(ProcessExit::Code(0));
    stage.ended().await;
    interact(&stage, "", 250);
    told.push_str(&read(stage.interacted().await).output.head);
    stage.gone().await;
    let whole = String::from_utf8_lossy(&all);
    assert_eq!(told, whole);
    let mut seen = String::new();
    while let Some(next) = shown.try_next() {
        let Next::Item(Progress::CallOutput { offset, text, .. }) = next else {
            panic!("{next:?}")
        };
        assert_eq!(String::from_utf8_lossy(&all[..usize::try_from(offset).unwrap()]), seen);
        seen.push_str(&text);
    }
    assert_eq!(seen, whole);
}
