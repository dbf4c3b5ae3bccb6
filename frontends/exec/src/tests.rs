//! Events in, lines out.

#![allow(clippy::disallowed_methods, reason = "tests wait for threads")]

use crate::{
    Asked, JsonEvents, Output, PromptError, Session, Signals, Sink, Source, StandardInput, Task,
    clean, drive, prompt_text,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tokio::sync::{mpsc, watch};
use troupe_types::{
    Access, AssistantItem, CallDetail, CallFinished, CallId, CallResult, CallStarted, CommandEnd,
    CommandResult, Content, Event, Failure, Item, ItemCompleted, Kept, Line, Op, OpId, Outcome,
    Printed, Record, RefusedHost, RequestId, RequestStarted, SessionId, TurnFinished, TurnId,
    TurnStarted, Usage,
};

/// A session that says what it is told to.
struct Told {
    op: OpId,
    events: mpsc::Receiver<Event>,
    submitted: mpsc::Sender<Op>,
}

impl Session for Told {
    fn id(&self) -> SessionId {
        SessionId::new()
    }

    async fn submit(&self, op: Op) -> Result<OpId, Failure> {
        drop(self.submitted.try_send(op));
        Ok(self.op)
    }

    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// Takes everything that is written, or fails.
#[derive(Clone, Default)]
struct Paper {
    text: Arc<Mutex<Vec<u8>>>,
    broken: bool,
}

impl Paper {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.lines()
            .iter()
            .map(|line| match line["item"]["type"].as_str() {
                Some(item) => format!("{} {item}", line["type"].as_str().unwrap()),
                None => line["type"].as_str().unwrap().to_owned(),
            })
            .collect()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream nobody reads.
struct Stalled(std::sync::mpsc::Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _never = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stage {
    op: OpId,
    events: mpsc::Sender<Event>,
    submitted: mpsc::Receiver<Op>,
    signals: watch::Sender<Option<Signals>>,
    running: tokio::task::JoinHandle<crate::ExecEnd>,
}

impl Stage {
    async fn new(stream: impl Write + Send + 'static) -> Self {
        Self::with(stream, JsonEvents::default()).await
    }

    async fn with(stream: impl Write + Send + 'static, events_as: JsonEvents) -> Self {
        let (events, given) = mpsc::channel(256);
        let (taken, submitted) = mpsc::channel(256);
        let (signals, heard) = watch::channel(None);
        let op = OpId::new();
        let mut session = Told { op, events: given, submitted: taken };
        let task = Task {
            prompt: Some(vec![Content::text("go")]),
            keep_last_message: true,
            ..Task::default()
        };
        let sink = Sink::new(stream).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let running = tokio::spawn(async move {
            drive(&mut session, task, Output::Json(events_as), sink, heard).await
        });
        let mut stage = Self { op, events, submitted, signals, running };
        assert!(matches!(stage.submitted.recv().await, Some(Op::Prompt { .. })));
        let body = TurnStarted {
            turn: TurnId::new(),
            op: stage.op,
            provider: "p".into(),
            model: "m".into(),
        };
        stage.tell(Record::TurnStarted(body));
        stage
    }

    fn tell(&self, record: Record) {
        let line = Line { seq: 0, at: 0, record };
        self.events.try_send(Event::Durable(line.into())).unwrap();
    }

    fn says(&self, request: RequestId, text: &str) {
        let item = AssistantItem { id: None, text: text.into(), phase: None, cut: false };
        let item = Item::Assistant(item);
        self.tell(Record::ItemCompleted(ItemCompleted { request, index: 0, item: item.into() }));
    }

    fn ends(&self, result: Outcome) {
        let body = TurnFinished {
            turn: TurnId::new(),
            result,
            no_final_message: false,
            usage: Some(Usage::default()),
            uncounted: 0,
        };
        self.tell(Record::TurnFinished(body));
    }

    fn signal(&self, number: i32, count: u32) {
        self.signals.send_replace(Some(Signals { number, count }));
    }
}

#[tokio::test]
async fn a_summary_of_the_context_is_no_message() {
    let paper = Paper::default();
    let stage = Stage::new(paper.clone()).await;
    let (summary, answer) = (RequestId::new(), RequestId::new());
    let turn = TurnId::new();
    stage.tell(Record::RequestStarted(RequestStarted {
        request: summary,
        turn,
        compaction: true,
        boot: String::new(),
    }));
    stage.says(summary, "What was done so far.");
    stage.tell(Record::RequestStarted(RequestStarted {
        request: answer,
        turn,
        compaction: false,
        boot: String::new(),
    }));
    stage.says(answer, "Done.");
    stage.ends(Outcome::Completed);
    let end = stage.running.await.unwrap();
    assert_eq!((end.code, end.last_message.as_deref()), (0, Some("Done.")));
    let kinds =
        ["thread.started", "turn.started", "item.completed agent_message", "turn.completed"];
    assert_eq!(paper.kinds(), kinds);
}

#[tokio::test]
async fn a_lost_call_stays_what_it_was() {
    let paper = Paper::default();
    let stage = Stage::new(paper.clone()).await;
    let call = CallId::new();
    let detail = CallDetail::Command {
        argv: vec!["bash".into(), "-c".into(), "true".into()],
        cwd: "/".into(),
        outside: false,
    };
    stage.tell(Record::CallStarted(CallStarted { call, detail, access: Access::Exclusive }));
    stage.tell(Record::CallFinished(CallFinished {
        call,
        outcome: Outcome::Lost,
        result: CallResult::Nothing,
        detail: None,
        took_ms: 0,
    }));
    stage.ends(Outcome::Completed);
    stage.running.await.unwrap();
    let kinds = paper.kinds();
    assert_eq!(kinds[2..4], ["item.started command_execution", "item.completed command_execution"]);
    let item = &paper.lines()[3]["item"];
    assert_eq!((&item["aggregated_output"], &item["status"]), (&"".into(), &"failed".into()));
    assert!(item["error"]["message"].as_str().unwrap().starts_with("lost: "), "{item}");
}

/// The items of commands that ended so.
async fn items(all: Vec<(Outcome, CommandResult)>) -> Vec<Value> {
    let paper = Paper::default();
    let stage = Stage::new(paper.clone()).await;
    for (outcome, result) in all {
        let detail = CallDetail::Command { argv: Vec::new(), cwd: "/".into(), outside: false };
        let result = CallResult::Command(Box::new(result));
        let (call, detail) = (CallId::new(), Some(detail));
        stage.tell(Record::CallFinished(CallFinished {
            call,
            outcome,
            result,
            detail,
            took_ms: 0,
        }));
    }
    stage.ends(Outcome::Completed);
    stage.running.await.unwrap();
    let lines = paper.lines().into_iter();
    let items = lines.map(|line| line["item"].clone());
    items.filter(|item| item["type"] == "command_execution").collect()
}

#[tokio::test]
async fn what_is_known_of_a_command_stands_beside_its_output() {
    let printed = || Printed { head: "Output:\nx".into(), ..Printed::default() };
    let ended = |end| CommandResult::new(end, 5, printed());
    let exited = || ended(CommandEnd::Exited { code: 0 });
    let cut = Printed { omitted: 7, tail: "z".into(), lines: 9, ..printed() };
    let cases = [
        (Outcome::Completed, exited(), json!({})),
        (Outcome::Completed, ended(CommandEnd::Signalled { signal: 6 }), json!({ "signal": 6 })),
        (
            Outcome::Completed,
            ended(CommandEnd::Running { process: 3 }),
            json!({ "process": 3, "running": true }),
        ),
        (
            Outcome::TimedOut,
            ended(CommandEnd::TimedOut { limit_ms: 9 }),
            json!({ "error": { "message": "timed out after 9 milliseconds" } }),
        ),
        (
            Outcome::Cancelled,
            ended(CommandEnd::Cancelled),
            json!({ "error": { "message": "stopped by the user" } }),
        ),
        (
            Outcome::Lost,
            ended(CommandEnd::Lost),
            json!({
                "lost": true,
                "error": { "message": "lost: the part of the host that ran it failed, so its effect is unknown" },
            }),
        ),
        (
            Outcome::Completed,
            CommandResult {
                strays: 2,
                sandbox: vec!["x is protected".into()],
                refused_hosts: vec![RefusedHost {
                    host: "a.b".into(),
                    port: 443,
                    reason: "no rule allows it".into(),
                }],
                ..exited()
            },
            json!({
                "strays_ended": 2,
                "sandbox": ["x is protected"],
                "refused_hosts": [{ "host": "a.b", "port": 443, "reason": "no rule allows it" }],
            }),
        ),
        (
            Outcome::Completed,
            CommandResult {
                output: cut.clone(),
                kept: Some(Kept::Start { path: "/k".into(), bytes: 1, reason: None }),
                ..exited()
            },
            json!({ "omitted_bytes": 7, "omitted_at": 9, "output_file": "/k" }),
        ),
        (
            Outcome::Completed,
            CommandResult {
                output: cut,
                kept: Some(Kept::Failed { reason: "full".into() }),
                ..exited()
            },
            json!({ "omitted_bytes": 7, "omitted_at": 9, "output_not_kept": "full" }),
        ),
    ];
    let given = cases.iter().map(|(outcome, result, _)| (outcome.clone(), result.clone()));
    let items = items(given.collect()).await;
    assert_eq!(items.len(), cases.len());
    for (mut item, (_, result, expected)) in items.into_iter().zip(cases) {
        assert_eq!(item["aggregated_output"], result.output.text().as_str());
        let fields = item.as_object_mut().unwrap();
        for name in ["id", "type", "command", "aggregated_output", "status", "exit_code"] {
            assert!(fields.remove(name).is_some(), "{name}");
        }
        assert_eq!(item, expected);
    }
}

#[tokio::test]
async fn the_second_signal_ends_a_turn_that_does_not_stop() {
    let paper = Paper::default();
    let mut stage = Stage::new(paper.clone()).await;
    stage.signal(2, 1);
    assert_eq!(stage.submitted.recv().await, Some(Op::Interrupt));
    stage.signal(15, 2);
    assert_eq!(stage.running.await.unwrap().code, 128 + 15);
    assert_eq!(paper.kinds(), ["thread.started", "turn.started", "turn.failed"]);
}

#[tokio::test]
async fn a_signal_is_heeded_while_nobody_reads() {
    let (_open, gate) = std::sync::mpsc::channel();
    let stage = Stage::new(Stalled(gate)).await;
    for _ in 0..100 {
        stage.says(RequestId::new(), "more");
    }
    stage.signal(15, 1);
    let end = stage.running.await.unwrap();
    assert_eq!((end.code, end.written.is_err()), (128 + 15, true));
}

#[tokio::test]
async fn a_reader_that_has_gone_does_not_end_the_task() {
    let stage = Stage::new(Paper { broken: true, ..Paper::default() }).await;
    for _ in 0..100 {
        stage.says(RequestId::new(), "more");
    }
    stage.ends(Outcome::Completed);
    let end = stage.running.await.unwrap();
    assert_eq!((end.code, end.last_message.as_deref()), (0, Some("more")));
    assert_eq!(end.written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn what_terminals_obey_is_taken_out() {
    assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\r\n\ttab\u{1b}]0;title\u{7}\u{9b}2J"), "red\n\ttab2J");
}

proptest! {
    #[test]
    fn no_text_brings_a_control_character(text in "(\\PC|\\x1b|\\x9b|[\\x00-\\x1f]|[\\[\\];m0-9])*") {
        let cleaned = clean(&text);
        prop_assert!(!cleaned.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    }

    #[test]
    fn plain_text_stays(text in "[a-zäöü€ \\n\\t]*") {
        prop_assert_eq!(clean(&text), text);
    }
}

/// Reads what stands in it, then never again.
struct Open(io::Cursor<Vec<u8>>, std::sync::mpsc::Receiver<()>);

impl io::Read for Open {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.0.read(bytes)? {
            0 => {
                let _never = self.1.recv();
                Ok(0)
            }
            count => Ok(count),
        }
    }
}

async fn prompt(
    asked: Asked<'_>,
    input: &StandardInput,
) -> (Result<Option<String>, PromptError>, Vec<String>) {
    let mut told = Vec::new();
    let text = prompt_text(asked, input, &mut |text| told.push(text.to_owned())).await;
    (text, told)
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_stays_silent_is_left_alone_and_told() {
    let (_open, gate) = std::sync::mpsc::channel();
    let silent = Open(io::Cursor::default(), gate);
    let input = StandardInput::of(Source::Stream, silent).unwrap();
    let (text, told) = prompt(Asked { given: Some("go"), ..Asked::default() }, &input).await;
    assert_eq!(text.unwrap().as_deref(), Some("go"));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("</dev/null") && told[1].contains("--stdin"), "{told:?}");
    // It is not waited for again.
    let began = tokio::time::Instant::now();
    input.drain(std::time::Duration::from_secs(5)).await;
    assert!(began.elapsed().is_zero());
}

#[tokio::test]
async fn what_a_pipe_brings_belongs_to_the_prompt() {
    let of =
        |source, bytes: &[u8]| StandardInput::of(source, io::Cursor::new(bytes.to_vec())).unwrap();
    let beside = Asked { given: Some("go"), ..Asked::default() };
    let alone = Asked::default();
    let resumed = Asked { optional: true, ..Asked::default() };
    let read = async |asked, source, bytes: &[u8]| prompt(asked, &of(source, bytes)).await.0;
    let block = Some("go\n\n<stdin>\nmore\n</stdin>".to_owned());
    for source in [Source::Stream, Source::File] {
        assert_eq!(read(beside, source, b"\xef\xbb\xbfmore\n\n").await.unwrap(), block);
    }
    let ignored = read(beside, Source::Nothing, b"more").await.unwrap();
    assert_eq!(ignored.as_deref(), Some("go"));
    assert_eq!(read(beside, Source::Stream, b" \n").await.unwrap().as_deref(), Some("go"));
    assert_eq!(read(alone, Source::Stream, b"task").await.unwrap().as_deref(), Some("task"));
    assert_eq!(read(resumed, Source::Stream, b"").await.unwrap(), None);
    assert_eq!(read(resumed, Source::Nothing, b"").await.unwrap(), None);
    assert!(matches!(read(alone, Source::Stream, b"").await, Err(PromptError::Empty)));
    assert!(matches!(read(alone, Source::Terminal, b"x").await, Err(PromptError::Missing)));
    assert!(matches!(read(beside, Source::Stream, b"ab\xff").await, Err(PromptError::NotText(2))));
    let blank = Asked { given: Some(" "), optional: true, ..Asked::default() };
    assert!(matches!(read(blank, Source::Stream, b"x").await, Err(PromptError::Blank)));
}

#[tokio::test]
async fn a_caller_that_knows_its_signals_gets_no_event_for_them() {
    for (knows, last) in [(true, "turn.started"), (false, "turn.failed")] {
        let paper = Paper::default();
        let mut stage = Stage::with(paper.clone(), JsonEvents::new(knows)).await;
        stage.signal(15, 1);
        assert_eq!(stage.submitted.recv().await, Some(Op::Interrupt));
        stage.ends(Outcome::Cancelled);
        assert_eq!(stage.running.await.unwrap().code, 128 + 15);
        assert_eq!(paper.kinds().pop().unwrap(), last);
    }
}
