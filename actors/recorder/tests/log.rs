//! The log through the recorder's mailbox, on real files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use troupe_kit::{
    ChildSpec, Company, Context, Fault, Kit, Life, Mailbox, Moment, Order, Role, Root, StartError,
};
use troupe_messages::{
    ConversationMessage, Durability, FaultKind, RecorderMessage, Replay, ReplayError, ReplayLine,
};
use troupe_recorder::{
    Args, Followed, Follower, HookAction, LogHook, LogPath, LogPoint, LogReader, Published,
    Recorder, Scribes, list_sessions, next_seq,
};
use troupe_types::{
    Checkpoint, Level, Notice, Op, OpAccepted, Record, SessionCreated, SessionId, Submission,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Stands in for the conversation.
struct Probe(mpsc::Sender<Result<u64, FaultKind>>);

impl Role for Probe {
    type Message = ConversationMessage;
    type Args = mpsc::Sender<Result<u64, FaultKind>>;

    async fn start(out: Self::Args, _: Life<ConversationMessage>) -> Result<Self, StartError> {
        Ok(Self(out))
    }

    fn handle(&mut self, message: &ConversationMessage, cx: &mut Context<ConversationMessage>) {
        let told = match message {
            ConversationMessage::Written(line) => Ok(line.seq),
            ConversationMessage::NotWritten { fault, .. } => Err(fault.kind),
            other => panic!("{other:?}"),
        };
        let out = self.0.clone();
        cx.run(move || out.try_send(told).unwrap());
    }
}

struct Stage {
    kit: Kit,
    root: Root,
    path: LogPath,
    scribes: Arc<Scribes>,
    recorder: Mailbox<RecorderMessage>,
    told: mpsc::Receiver<Result<u64, FaultKind>>,
    published: Arc<watch::Sender<Published>>,
}

impl Stage {
    fn new(dir: &Path) -> Self {
        Self::with(dir, SessionId::from_u128(7), None)
    }

    fn with(dir: &Path, session: SessionId, hook: Option<Arc<dyn LogHook>>) -> Self {
        Self::beside(dir, session, Scribes::new(1, hook))
    }

    /// One whose log is written by writers that write others, too.
    fn beside(dir: &Path, session: SessionId, scribes: Arc<Scribes>) -> Self {
        let kit = Kit::default();
        let path = LogPath::new(dir, session);
        let (out, told) = mpsc::channel(10_000);
        let conversation = Mailbox::new(&kit, "root/conversation", 4);
        let recorder = Mailbox::new(&kit, "root/recorder", 4);
        let published = Arc::new(watch::Sender::new(Published::default()));
        let args = Args {
            path: path.clone(),
            existing: path.file().exists(),
            scribes: Arc::clone(&scribes),
            published: Arc::clone(&published),
            conversation: conversation.clone(),
        };
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::of::<Recorder>("recorder", &recorder, args).build())
            .with(ChildSpec::of::<Probe>("conversation", &conversation, out).build());
        Self { kit, root: Root::start(company), path, scribes, recorder, told, published }
    }

    fn append(&self, seq: u64, record: impl Into<Record>, durability: Durability) {
        let record = Box::new(record.into());
        self.recorder
            .tell(RecorderMessage::Append { seq, record, durability, notify: None })
            .unwrap();
    }

    fn write(&self, seq: u64, text: &str) {
        self.append(seq, notice(text), Durability::Written);
    }

    async fn told(&mut self) -> Result<u64, FaultKind> {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap()
    }

    async fn replay(&self) -> Result<Replay, ReplayError> {
        let replay = |reply| RecorderMessage::Replay { before: None, reply };
        self.recorder.call(PATIENCE, replay).await.unwrap()
    }

    fn follow(&self, seq: u64) -> Follower {
        Follower::new(self.path.clone(), self.published.subscribe(), seq)
    }

    /// Closes it as the end of its process would.
    async fn end(self) {
        self.root.stop().await;
        self.scribes.flush(PATIENCE).await;
        self.scribes.release(&self.path);
        self.scribes.flush(PATIENCE).await;
    }
}

fn notice(text: &str) -> Notice {
    Notice { level: Level::Warning, text: text.to_owned() }
}

fn texts(replay: &Replay) -> Vec<String> {
    replay.rest.iter().map(text_of).collect()
}

fn text_of(line: &ReplayLine) -> String {
    match line {
        ReplayLine::Line { line, .. } => match &line.record {
            Record::Notice(body) => body.text.clone(),
            other => other.kind().to_owned(),
        },
        ReplayLine::Skipped { .. } => "skipped".to_owned(),
    }
}

#[tokio::test]
async fn lines_are_numbered_and_nothing_is_made_before_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("sessions");
    let mut stage = Stage::new(&home);
    assert_eq!(stage.replay().await.unwrap().next_seq, 0);
    assert!(!home.exists());
    stage.write(0, "a");
    stage.write(1, "b");
    stage.write(0, "a");
    stage.write(3, "gap");
    stage.append(2, notice("c"), Durability::Synced);
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(stage.told().await);
    }
    assert!(all.contains(&Err(FaultKind::Gap)));
    let order: Vec<u64> = all.iter().filter_map(|told| told.as_ref().ok().copied()).collect();
    assert_eq!(order.iter().filter(|seq| **seq == 0).count(), 2, "acknowledged again: {order:?}");
    let replay = stage.replay().await.unwrap();
    assert_eq!((texts(&replay), replay.next_seq), (vec!["a".into(), "b".into(), "c".into()], 3));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home), mode(&stage.path.file())), (0o700, 0o600));
    }
    stage.end().await;
}

#[tokio::test]
async fn an_incomplete_last_line_is_cut_off_kept_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(dir.path());
    stage.write(0, "a");
    stage.told().await.unwrap();
    let path = stage.path.clone();
    stage.end().await;
    let mut file = File::options().append(true).open(path.file()).unwrap();
    file.write_all(b"{\"seq\":1,\"at\":12").unwrap();
    assert_eq!(next_seq(&path).unwrap(), 1, "not there yet, for a reader");

    let mut stage = Stage::new(dir.path());
    let replay = stage.replay().await.unwrap();
    assert_eq!((texts(&replay), replay.next_seq), (vec!["a".to_owned()], 1));
    assert_eq!(replay.mended, Some((16, path.torn().display().to_string())));
    assert_eq!(fs::read(path.torn()).unwrap(), b"{\"seq\":1,\"at\":12\n");
    assert_eq!(stage.replay().await.unwrap().mended, None, "told once");
    stage.write(1, "b");
    assert_eq!(stage.told().await, Ok(1));
    stage.end().await;
}

#[tokio::test]
async fn another_process_keeps_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(dir.path());
    stage.write(0, "a");
    stage.told().await.unwrap();
    let path = stage.path.clone();
    stage.end().await;
    let holder = File::open(path.file()).unwrap();
    holder.lock().unwrap();
    let mut stage = Stage::new(dir.path());
    let refused = stage.replay().await.unwrap_err();
    assert!(refused.to_string().contains("open in another process"), "{refused}");
    stage.write(1, "b");
    assert_eq!(stage.told().await, Err(FaultKind::Busy));
    // One that waits gets it as soon as it is let go.
    let waiting = stage.replay();
    drop(holder);
    assert_eq!(waiting.await.unwrap().next_seq, 1);
    stage.end().await;
}

#[tokio::test]
async fn long_strings_are_kept_beside_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(dir.path());
    let long = "é".repeat(200_000);
    stage.write(0, &long);
    let schema = serde_json::json!({ "$blob": "x", "bytes": 3, "deep": [{ "$blob": 1 }] });
    let op = Op::Prompt { content: Vec::new(), output_schema: Some(schema) };
    let submission = Submission::new(op);
    stage.append(1, OpAccepted { submission: submission.clone() }, Durability::Synced);
    stage.told().await.unwrap();
    stage.told().await.unwrap();
    assert!(fs::metadata(stage.path.file()).unwrap().len() < 2000);
    let replay = stage.replay().await.unwrap();
    assert_eq!(text_of(&replay.rest[0]), long);
    let ReplayLine::Line { line, .. } = &replay.rest[1] else { panic!("{:?}", replay.rest[1]) };
    assert_eq!(line.record, Record::OpAccepted(OpAccepted { submission }));
    stage.end().await;
}

#[tokio::test]
async fn a_replay_starts_from_the_last_checkpoint_wherever_it_is() {
    for (before, after, size) in [(0, 0, 10), (3, 2, 10), (2000, 900, 300), (10, 40, 60_000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = Stage::new(dir.path());
        let text = "x".repeat(size);
        let mut seq = 0;
        for _ in 0..before {
            stage.write(seq, &text);
            seq += 1;
        }
        for _ in 0..before {
            stage.told().await.unwrap();
        }
        let at = fs::metadata(stage.path.file()).map_or(0, |meta| meta.len());
        let fake = r#"{"kind":"Checkpoint"} "kind":"Checkpoint""#;
        stage.append(seq, Checkpoint::new(at, Vec::new(), "s".into()), Durability::Written);
        stage.write(seq + 1, fake);
        for more in 0..after {
            stage.write(seq + 2 + more, &text);
        }
        for _ in 0..after + 2 {
            stage.told().await.unwrap();
        }
        let replay = stage.replay().await.unwrap();
        let (offset, checkpoint) = replay.checkpoint.unwrap();
        assert_eq!((checkpoint.at, &*checkpoint.state), (offset, "s"));
        assert_eq!(replay.rest.len() as u64, after + 1);
        assert_eq!(text_of(&replay.rest[0]), fake);
        let reader = LogReader::open(&stage.path).unwrap().unwrap();
        assert_eq!(reader.find(seq).unwrap(), Some(offset));
        let earlier = reader.replay(Some(offset)).unwrap();
        assert!(earlier.checkpoint.is_none());
        assert_eq!(earlier.rest.len() as u64, before + after + 2);
        stage.end().await;
    }
}

struct FailOnce(Mutex<Option<(LogPoint, u64, io::ErrorKind)>>);

impl LogHook for FailOnce {
    fn at(&self, point: LogPoint, seq: u64) -> HookAction {
        let mut fault = self.0.lock().unwrap();
        match *fault {
            Some((at, line, kind)) if at == point && line == seq => {
                *fault = None;
                HookAction::Fail(kind)
            }
            _ => HookAction::Go,
        }
    }
}

#[tokio::test]
async fn a_failed_write_is_a_fact_until_it_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let full = FailOnce(Mutex::new(Some((LogPoint::BeforeWrite, 1, io::ErrorKind::StorageFull))));
    let mut stage = Stage::with(dir.path(), SessionId::new(), Some(Arc::new(full)));
    stage.write(0, "a");
    assert_eq!(stage.told().await, Ok(0));
    let mut follower = stage.follow(0);
    stage.write(1, "b");
    assert_eq!(stage.told().await, Err(FaultKind::Full));
    stage.write(2, "c");
    assert_eq!(stage.told().await, Err(FaultKind::Full), "nothing later is written either");
    assert!(matches!(follower.next().await, Followed::Line { .. }));
    assert!(
        matches!(follower.next().await, Followed::Fault(fault) if fault.kind == FaultKind::Full)
    );
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(1, "b");
    assert_eq!(stage.told().await, Ok(1));
    assert_eq!(texts(&stage.replay().await.unwrap()), ["a", "b"]);
    stage.end().await;
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let hook = FailOnce(Mutex::new(Some((LogPoint::BeforeSync, 0, io::ErrorKind::Other))));
    let mut stage = Stage::with(dir.path(), SessionId::new(), Some(Arc::new(hook)));
    stage.append(0, notice("a"), Durability::Synced);
    assert_eq!(stage.told().await, Err(FaultKind::ReadOnly));
    // What was refused is neither shown nor left in the file.
    assert_eq!(stage.published.borrow().next_seq, 0);
    assert_eq!(fs::read(stage.path.file()).unwrap(), b"");
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(1, "b");
    assert_eq!(stage.told().await, Err(FaultKind::ReadOnly));
    stage.end().await;
}

/// What a hook does at the steps it is told of, once each.
struct Plan(Mutex<Vec<(LogPoint, u64, Deed)>>);

#[derive(Clone, Copy, PartialEq)]
enum Deed {
    Fail,
    Panic,
}

impl LogHook for Plan {
    fn at(&self, point: LogPoint, seq: u64) -> HookAction {
        let mut plan = self.0.lock().unwrap();
        let Some(place) = plan.iter().position(|(at, line, _)| *at == point && *line == seq) else {
            return HookAction::Go;
        };
        let (.., deed) = plan.remove(place);
        drop(plan);
        assert!(deed == Deed::Fail, "as planned");
        HookAction::Fail(io::ErrorKind::StorageFull)
    }
}

fn planned(plan: &[(LogPoint, u64, Deed)]) -> Option<Arc<dyn LogHook>> {
    Some(Arc::new(Plan(Mutex::new(plan.to_vec()))))
}

/// A sync that fails leaves bytes to cut off; where that fails as well, they never stand behind a
/// later line.
#[tokio::test]
async fn bytes_that_could_not_be_cut_off_are_before_anything_else_is_written() {
    let dir = tempfile::tempdir().unwrap();
    // The line is whole in the file when the writer fails, and is not cut off twice.
    let plan = [
        (LogPoint::AfterWrite, 1, Deed::Panic),
        (LogPoint::BeforeCut, 1, Deed::Fail),
        (LogPoint::BeforeCut, 1, Deed::Fail),
    ];
    let mut stage = Stage::with(dir.path(), SessionId::new(), planned(&plan));
    stage.write(0, "a");
    assert_eq!(stage.told().await, Ok(0));
    stage.write(1, &"long ".repeat(100));
    assert_eq!(stage.told().await, Err(FaultKind::Io));
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(1, "b");
    assert_eq!(stage.told().await, Err(FaultKind::Full), "it is not written behind them");
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(1, "c");
    assert_eq!(stage.told().await, Ok(1));
    assert_eq!(texts(&stage.replay().await.unwrap()), ["a", "c"]);
    stage.end().await;
}

/// Fails at these points while it is told to.
#[derive(Default)]
struct BadDisk(std::sync::atomic::AtomicBool);

impl LogHook for BadDisk {
    fn at(&self, point: LogPoint, _: u64) -> HookAction {
        let bad = self.0.load(std::sync::atomic::Ordering::SeqCst);
        match point {
            LogPoint::BeforeSync | LogPoint::BeforeCut if bad => {
                HookAction::Fail(io::ErrorKind::Other)
            }
            _ => HookAction::Go,
        }
    }
}

/// A write and its cut fail, the log rests, and another process goes on with it: what that one
/// wrote is not taken for our own.
#[tokio::test]
async fn what_another_process_wrote_is_not_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let bad = Arc::new(BadDisk::default());
    let hook: Arc<dyn LogHook> = bad.clone();
    let scribes = Scribes::new(1, Some(hook));
    let session = SessionId::from_u128(1);
    let mut ours = Stage::beside(dir.path(), session, Arc::clone(&scribes));
    ours.write(0, "ours 0");
    assert_eq!(ours.told().await, Ok(0));
    bad.0.store(true, std::sync::atomic::Ordering::SeqCst);
    ours.append(1, notice("not synced"), Durability::Synced);
    assert_eq!(ours.told().await, Err(FaultKind::ReadOnly));
    bad.0.store(false, std::sync::atomic::Ordering::SeqCst);
    // Until 64 others are used, and its lock is let go.
    let mut others = Vec::new();
    for number in 100..165 {
        let number = SessionId::from_u128(number);
        let mut other = Stage::beside(dir.path(), number, Arc::clone(&scribes));
        other.write(0, "x");
        other.told().await.unwrap();
        others.push(other);
    }
    let mut theirs = Stage::with(dir.path(), session, None);
    let next = theirs.replay().await.unwrap().next_seq;
    theirs.write(next, "theirs");
    assert_eq!(theirs.told().await, Ok(next));
    theirs.end().await;
    ours.recorder.tell(RecorderMessage::Retry).unwrap();
    ours.write(1, "ours 1");
    assert!(ours.told().await.is_err());
    let text = fs::read_to_string(ours.path.file()).unwrap();
    assert!(text.contains("theirs") && !text.contains("ours 1"), "{text}");
}

/// As on a file system without locks.
#[tokio::test]
async fn what_another_process_wrote_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(dir.path());
    stage.write(0, "a");
    assert_eq!(stage.told().await, Ok(0));
    let before = fs::read(stage.path.file()).unwrap();
    let other = [&before[..], b"another's line\n"].concat();
    fs::write(stage.path.file(), &other).unwrap();
    stage.write(1, "b");
    assert_eq!(stage.told().await, Err(FaultKind::Busy));
    assert_eq!(fs::read(stage.path.file()).unwrap(), other);
}

#[tokio::test]
async fn a_log_that_is_gone_is_noticed_at_the_next_write_and_read() {
    for moved in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("sessions");
        let mut stage = Stage::new(&home);
        stage.write(0, "a");
        assert_eq!(stage.told().await, Ok(0));
        if moved {
            fs::rename(&home, dir.path().join("moved")).unwrap();
        } else {
            fs::remove_dir_all(&home).unwrap();
        }
        stage.write(1, &"long ".repeat(20_000));
        assert_eq!(stage.told().await, Err(FaultKind::Io));
        let read = |reply| RecorderMessage::Read { offsets: vec![0], reply };
        let error = stage.recorder.call(PATIENCE, read).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("removed or moved"), "{error}");
        assert!(!home.exists(), "nothing is made at the old place");
    }
}

/// Where there is no room to keep an incomplete last line, the session opens all the same, and the
/// line is kept before anything is written.
#[tokio::test]
async fn an_incomplete_last_line_that_cannot_be_kept_yet_keeps_no_session_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(dir.path());
    stage.write(0, "a");
    stage.told().await.unwrap();
    let path = stage.path.clone();
    stage.end().await;
    let whole = fs::read(path.file()).unwrap();
    let torn = [&whole[..], b"{\"seq\":1,"].concat();
    fs::write(path.file(), &torn).unwrap();
    // Nothing can be kept under that name.
    fs::create_dir(path.torn()).unwrap();
    let mut stage = Stage::new(dir.path());
    let replay = stage.replay().await.unwrap();
    assert_eq!((texts(&replay), replay.next_seq), (vec!["a".to_owned()], 1));
    assert_eq!(replay.mended.map(|(bytes, _)| bytes), Some(9));
    stage.write(1, "b");
    assert!(stage.told().await.is_err());
    assert_eq!(fs::read(path.file()).unwrap(), torn, "nothing of it is lost");
    fs::remove_dir(path.torn()).unwrap();
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(1, "b");
    assert_eq!(stage.told().await, Ok(1));
    assert_eq!(fs::read(path.torn()).unwrap(), b"{\"seq\":1,\n");
    assert_eq!(texts(&stage.replay().await.unwrap()), ["a", "b"]);
    stage.end().await;
}

#[tokio::test]
async fn a_panic_while_one_log_is_written_is_that_logs_alone() {
    let dir = tempfile::tempdir().unwrap();
    for point in [LogPoint::BeforeWrite, LogPoint::AfterWrite, LogPoint::BeforeSync] {
        let plan = [(point, 1, Deed::Panic)];
        let mut stage = Stage::with(dir.path(), SessionId::new(), planned(&plan));
        stage.write(0, "a");
        assert_eq!(stage.told().await, Ok(0));
        stage.append(1, notice("b"), Durability::Synced);
        assert_eq!(stage.told().await, Err(FaultKind::Io));
        stage.recorder.tell(RecorderMessage::Retry).unwrap();
        stage.append(1, notice("c"), Durability::Synced);
        assert_eq!(stage.told().await, Ok(1), "the writer still works after {point:?}");
        assert_eq!(texts(&stage.replay().await.unwrap()), ["a", "c"]);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_follower_goes_on_after_a_damaged_line_wherever_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    for damaged in 0..3 {
        let mut stage = Stage::with(dir.path(), SessionId::new(), None);
        for seq in 0..3 {
            stage.write(seq, "text");
            stage.told().await.unwrap();
        }
        let mut lines: Vec<String> =
            fs::read_to_string(stage.path.file()).unwrap().lines().map(str::to_owned).collect();
        lines[damaged] = "#".repeat(lines[damaged].len());
        fs::write(stage.path.file(), lines.join("\n") + "\n").unwrap();
        let mut follower = stage.follow(damaged as u64);
        let found = tokio::time::timeout(PATIENCE, follower.next()).await.unwrap();
        assert!(matches!(found, Followed::Skipped { .. }), "{damaged}: {found:?}");
        for seq in damaged + 1..3 {
            let found = tokio::time::timeout(PATIENCE, follower.next()).await.unwrap();
            assert!(matches!(found, Followed::Line { line, .. } if line.seq == seq as u64));
        }
        stage.end().await;
    }
}

#[tokio::test]
async fn a_follower_sees_an_unbroken_sequence_from_any_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(dir.path());
    let mut first = stage.follow(0);
    for seq in 0..500u64 {
        stage.write(seq, &seq.to_string().repeat(usize::try_from(seq % 50 * 40).unwrap()));
    }
    for from in [0, 1, 250, 499] {
        let mut late = stage.follow(from);
        for seq in from..500 {
            let follower = if from == 0 { &mut first } else { &mut late };
            match follower.next().await {
                Followed::Line { line, .. } => assert_eq!(line.seq, seq),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(first.is_level());
    while stage.told().await != Ok(499) {}
    stage.end().await;
}

#[tokio::test]
async fn a_crash_of_the_recorder_is_invisible() {
    for moment in [Moment::Before, Moment::Within, Moment::After, Moment::Kill] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = Stage::new(dir.path());
        for at in [3, 10] {
            stage.kit.faults.inject(Fault { role: "root/recorder".to_owned(), at, moment });
        }
        for seq in 0..20 {
            stage.write(seq, &seq.to_string());
        }
        while stage.told().await.unwrap() != 19 {}
        assert_eq!(stage.kit.faults.landed().len(), 2);
        let expected: Vec<String> = (0..20).map(|seq| seq.to_string()).collect();
        assert_eq!(texts(&stage.replay().await.unwrap()), expected, "{moment:?}");
        stage.end().await;
    }
}

#[test]
fn sessions_are_listed_the_latest_first() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..=3u128 {
            let session = SessionId::from_u128(number);
            let mut stage = Stage::with(dir.path(), session, None);
            let created = SessionCreated {
                session,
                parent: None,
                source: "test".into(),
                cwd: format!("/work/{number}").into(),
                version: "0".into(),
            };
            stage.append(0, created, Durability::Written);
            let op = Op::prompt(format!("prompt {number}"));
            stage.append(1, OpAccepted { submission: Submission::new(op) }, Durability::Written);
            while stage.told().await != Ok(1) {}
            stage.end().await;
        }
        fs::write(dir.path().join("other.jsonl"), "x").unwrap();
        let all = list_sessions(dir.path(), 10, |_| true).unwrap();
        let prompts: Vec<_> = all.iter().map(|session| session.first_prompt.as_str()).collect();
        assert_eq!(prompts, ["prompt 3", "prompt 2", "prompt 1"]);
        let one = list_sessions(dir.path(), 1, |session| session.cwd.ends_with("2")).unwrap();
        assert_eq!(one[0].session, SessionId::from_u128(2));
        assert!(list_sessions(&dir.path().join("none"), 1, |_| true).unwrap().is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever fails on the way, the log holds what was accepted, in order, and nothing else.
    #[test]
    fn a_log_holds_what_was_accepted(
        faults in prop::collection::vec(
            (0..3usize, 0..12u64, any::<bool>()),
            0..12,
        ),
    ) {
        let points = [LogPoint::BeforeWrite, LogPoint::AfterWrite, LogPoint::BeforeCut];
        let plan: Vec<_> = faults
            .iter()
            .map(|(point, seq, panics)| match points[*point] {
                // A line that is in the file can only be lost by a panic.
                LogPoint::AfterWrite => (LogPoint::AfterWrite, *seq, Deed::Panic),
                point if *panics => (point, *seq, Deed::Panic),
                point => (point, *seq, Deed::Fail),
            })
            .filter(|(point, _, deed)| *point != LogPoint::BeforeCut || *deed == Deed::Fail)
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut stage = Stage::with(dir.path(), SessionId::from_u128(7), planned(&plan));
            let mut accepted = Vec::new();
            for attempt in 0..24 {
                let seq = accepted.len() as u64;
                let text = format!("{attempt} {}", "z".repeat(attempt * 37 % 100));
                stage.write(seq, &text);
                match stage.told().await {
                    Ok(_) => accepted.push(text),
                    Err(_) => stage.recorder.tell(RecorderMessage::Retry).unwrap(),
                }
            }
            assert!(accepted.len() >= 12, "{}", accepted.len());
            assert_eq!(texts(&stage.replay().await.unwrap()), accepted);
            stage.end().await;
            let stage = Stage::new(dir.path());
            assert_eq!(texts(&stage.replay().await.unwrap()), accepted);
            stage.end().await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_log_cut_anywhere_opens_with_its_whole_lines(
        sizes in prop::collection::vec(prop_oneof![0..300usize, Just(70_000usize)], 1..20),
        cut in 0..10_000usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut stage = Stage::new(dir.path());
            let texts_written: Vec<String> = sizes.iter().map(|size| "\\\"y".repeat(size / 2)).collect();
            for (seq, text) in (0u64..).zip(&texts_written) {
                stage.write(seq, text);
            }
            let last = sizes.len() as u64 - 1;
            while stage.told().await != Ok(last) {}
            let path = stage.path.clone();
            stage.end().await;
            let whole = fs::read(path.file()).unwrap();
            let cut = cut % (whole.len() + 1);
            fs::write(path.file(), &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let mut stage = Stage::new(dir.path());
            let replay = stage.replay().await.unwrap();
            assert_eq!(texts(&replay), texts_written[..lines]);
            assert_eq!(replay.next_seq, lines as u64);
            stage.write(lines as u64, "on");
            assert_eq!(stage.told().await, Ok(lines as u64));
            stage.end().await;
        });
    }
}
