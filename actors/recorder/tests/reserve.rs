//! A disk that is full: the ends of what runs are written, and nothing else.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test: its disk is a mount of another process, and its queues end with it"
)]

#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
#[path = "../../../tests/src/skip.rs"]
mod skip;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use troupe_kit::{ChildSpec, Company, Context, Kit, Life, Mailbox, Order, Role, Root, StartError};
use troupe_messages::{
    ConversationMessage, Durability, FaultKind, Notify, RecorderMessage, Replay, ReplayLine,
    ToolMessage,
};
use troupe_recorder::{Args, HookAction, LogHook, LogPath, LogPoint, Published, Recorder, Scribes};
use troupe_types::{
    Access, CallDetail, CallFinished, CallId, CallResult, CallStarted, CommandEnd, CommandResult,
    ErrorClass, Level, Notice, Outcome, Printed, Record, SessionId, TurnFinished, TurnId,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Passes on what it is told.
struct Probe(mpsc::UnboundedSender<Result<u64, FaultKind>>);

impl Role for Probe {
    type Message = ConversationMessage;
    type Args = mpsc::UnboundedSender<Result<u64, FaultKind>>;

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
        cx.run(move || out.send(told).unwrap());
    }
}

/// Stands in for a tool exec.
struct Tool(mpsc::UnboundedSender<&'static str>);

impl Role for Tool {
    type Message = ToolMessage;
    type Args = mpsc::UnboundedSender<&'static str>;

    async fn start(out: Self::Args, _: Life<ToolMessage>) -> Result<Self, StartError> {
        Ok(Self(out))
    }

    fn handle(&mut self, message: &ToolMessage, cx: &mut Context<ToolMessage>) {
        let told = match message {
            ToolMessage::StartRecorded => "start",
            ToolMessage::FinishRecorded => "finish",
            other => panic!("{other:?}"),
        };
        let out = self.0.clone();
        cx.run(move || out.send(told).unwrap());
    }
}

struct Stage {
    _root: Root,
    path: LogPath,
    recorder: Mailbox<RecorderMessage>,
    tool: Mailbox<ToolMessage>,
    told: mpsc::UnboundedReceiver<Result<u64, FaultKind>>,
    tool_told: mpsc::UnboundedReceiver<&'static str>,
    next: u64,
}

impl Stage {
    fn new(dir: &Path, hook: Option<Arc<dyn LogHook>>) -> Self {
        let kit = Kit::default();
        let path = LogPath::new(dir, SessionId::from_u128(7));
        let (out, told) = mpsc::unbounded_channel();
        let (tool_out, tool_told) = mpsc::unbounded_channel();
        let conversation = Mailbox::new(&kit, "root/conversation", 4);
        let recorder = Mailbox::new(&kit, "root/recorder", 4);
        let tool = Mailbox::new(&kit, "root/tool", 4);
        let args = Args {
            path: path.clone(),
            existing: false,
            scribes: Scribes::new(1, hook),
            published: Arc::new(watch::Sender::new(Published::default())),
            conversation: conversation.clone(),
        };
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::of::<Recorder>("recorder", &recorder, args).build())
            .with(ChildSpec::of::<Tool>("tool", &tool, tool_out).build())
            .with(ChildSpec::of::<Probe>("conversation", &conversation, out).build());
        let root = Root::start(company);
        Self { _root: root, path, recorder, tool, told, tool_told, next: 0 }
    }

    /// Writes the next line.
    async fn write(&mut self, record: impl Into<Record>) -> Result<(), FaultKind> {
        let record = Box::new(record.into());
        let (durability, notify) = match &*record {
            Record::TurnFinished(_) => (Durability::Synced, None),
            Record::CallStarted(CallStarted { call, .. })
            | Record::CallFinished(CallFinished { call, .. }) => {
                (Durability::Written, Some(Notify { call: *call, tool: self.tool.clone() }))
            }
            _ => (Durability::Written, None),
        };
        let append = RecorderMessage::Append { seq: self.next, record, durability, notify };
        self.recorder.tell(append).unwrap();
        let told = tokio::time::timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap();
        told.map(|seq| {
            assert_eq!(seq, self.next);
            self.next += 1;
        })
    }

    async fn replay(&self) -> Replay {
        let replay = |reply| RecorderMessage::Replay { before: None, reply };
        self.recorder.call(PATIENCE, replay).await.unwrap().unwrap()
    }

    async fn tool_hears(&mut self) -> &'static str {
        tokio::time::timeout(PATIENCE, self.tool_told.recv()).await.unwrap().unwrap()
    }

    /// What the log takes of the disk behind its end, in bytes.
    fn reserved(&self) -> u64 {
        let data = fs::metadata(self.path.file()).unwrap();
        (data.blocks() * 512).saturating_sub(data.len().next_multiple_of(4096))
    }
}

fn started(call: CallId) -> CallStarted {
    CallStarted {
        call,
        detail: CallDetail::Tool { summary: "x".to_owned() },
        access: Access::Exclusive,
    }
}

fn finished(call: CallId, printed: Printed) -> CallFinished {
    let result = CommandResult::new(CommandEnd::Exited { code: 0 }, 1, printed);
    let result = CallResult::Command(Box::new(result));
    CallFinished { call, outcome: Outcome::Completed, result, detail: None, took_ms: 1 }
}

fn turn_ended() -> TurnFinished {
    TurnFinished {
        turn: TurnId::new(),
        result: Outcome::failed(ErrorClass::Storage, "full"),
        no_final_message: false,
        usage: None,
        uncounted: 0,
    }
}

fn notice(bytes: usize) -> Notice {
    Notice { level: Level::Warning, text: "x".repeat(bytes) }
}

fn fill(dir: &Path) {
    let mut file = File::create(dir.join("fill")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}

/// Runs the test with this name once more, with a small disk of its own; the disk, in that run.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os("SMALL_DISK") {
        return Some(disk.into());
    }
    if !skip::user_namespaces() {
        skip::skipped(test, "needs user namespaces");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=600k none \"$SMALL_DISK\" && exec \"$0\" \"$@\"";
    let status = Command::new("unshare")
        .args(["-Urm", "sh", "-c", mount])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("SMALL_DISK", folder.path())
        .status();
    assert!(status.unwrap().success());
    None
}

#[tokio::test]
async fn on_a_full_disk_the_ends_of_what_runs_are_written() {
    let test = "on_a_full_disk_the_ends_of_what_runs_are_written";
    let Some(disk) = small_disk(test) else { return };
    let mut stage = Stage::new(&disk, None);
    let calls = [CallId::new(), CallId::new()];
    stage.write(notice(10)).await.unwrap();
    assert_eq!(stage.reserved(), 0, "nothing runs");
    for call in calls {
        stage.write(started(call)).await.unwrap();
        assert_eq!(stage.tool_hears().await, "start");
    }
    fill(&disk);
    // A bit of room is left for anything; then only for ends.
    let mut notices = 0;
    while stage.write(notice(3000)).await == Ok(()) {
        notices += 1;
    }
    assert!((1..100).contains(&notices), "{notices}");
    assert_eq!(stage.write(notice(1)).await, Err(FaultKind::Full));
    assert_eq!(stage.replay().await.fault.map(|fault| fault.kind), Some(FaultKind::Full));
    // As long as a line may be, with characters that need an escape; and longer.
    let short = Printed { head: "\"line\"\n".repeat(6_000), lines: 6_000, ..Printed::default() };
    let (head, tail) = ("a".repeat(300_000), "z".repeat(300_000));
    let long = Printed { head, omitted: 5, tail, lines: 1 };
    for (call, printed) in calls.into_iter().zip([short.clone(), long]) {
        stage.write(finished(call, printed)).await.unwrap();
        assert_eq!(stage.tool_hears().await, "finish");
    }
    stage.write(turn_ended()).await.unwrap();
    assert_eq!(stage.reserved(), 0, "given back");
    assert_eq!(stage.write(turn_ended()).await, Err(FaultKind::Full), "there is no reserve now");
    let replay = stage.replay().await;
    let printed: Vec<&Printed> = replay.rest.iter().filter_map(printed).collect();
    assert_eq!(*printed[0], short);
    let Printed { head, omitted, tail, lines: 1 } = printed[1] else { panic!("{printed:?}") };
    assert_eq!(head.len() + tail.len() + usize::try_from(*omitted).unwrap(), 600_005);
    assert!(head.len() > 5_000 && head.bytes().all(|byte| byte == b'a'));
    assert!(tail.len() > 5_000 && tail.bytes().all(|byte| byte == b'z'));
    // In the same process, once there is room.
    fs::remove_file(disk.join("fill")).unwrap();
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(notice(100_000)).await.unwrap();
    assert_eq!(stage.replay().await.fault, None);
}

fn printed(line: &ReplayLine) -> Option<&Printed> {
    let ReplayLine::Line { line, .. } = line else { return None };
    let Record::CallFinished(body) = &line.record else { return None };
    body.result.command().map(|result| &result.output)
}

#[tokio::test]
async fn a_call_without_room_for_its_end_is_not_begun() {
    let Some(disk) = small_disk("a_call_without_room_for_its_end_is_not_begun") else { return };
    let mut stage = Stage::new(&disk, None);
    stage.write(notice(10)).await.unwrap();
    // Room for the line, and for no more.
    let room = File::create(disk.join("room")).unwrap();
    (&room).write_all(&[0; 40_000]).unwrap();
    fill(&disk);
    fs::remove_file(disk.join("room")).unwrap();
    drop(room);
    assert_eq!(stage.write(started(CallId::new())).await, Err(FaultKind::Full));
    stage.recorder.tell(RecorderMessage::Retry).unwrap();
    stage.write(notice(1000)).await.unwrap();
}

/// Fails every write with this kind of error, while it is there.
struct Failing(std::sync::Mutex<Option<std::io::ErrorKind>>);

impl LogHook for Failing {
    fn at(&self, point: LogPoint, _: u64) -> HookAction {
        match *self.0.lock().unwrap() {
            Some(kind) if point == LogPoint::BeforeWrite => HookAction::Fail(kind),
            _ => HookAction::Go,
        }
    }
}

#[tokio::test]
async fn each_way_of_having_no_room_is_told_as_such() {
    use std::io::ErrorKind;
    for (kind, told) in [
        (ErrorKind::StorageFull, FaultKind::Full),
        (ErrorKind::QuotaExceeded, FaultKind::Full),
        (ErrorKind::FileTooLarge, FaultKind::Full),
        (ErrorKind::ReadOnlyFilesystem, FaultKind::ReadOnly),
        (ErrorKind::Other, FaultKind::Io),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let hook = Arc::new(Failing(std::sync::Mutex::default()));
        let mut stage = Stage::new(dir.path(), Some(hook.clone()));
        let call = CallId::new();
        stage.write(started(call)).await.unwrap();
        assert_eq!(stage.tool_hears().await, "start");
        *hook.0.lock().unwrap() = Some(kind);
        assert_eq!(stage.write(notice(1)).await, Err(told), "{kind}");
        *hook.0.lock().unwrap() = None;
        // Where only room was missing, what ends is tried all the same; the rest waits for a retry.
        assert_eq!(stage.write(notice(1)).await, Err(told), "{kind}");
        let end = stage.write(finished(call, Printed::default())).await;
        let taken = if told == FaultKind::Full { Ok(()) } else { Err(told) };
        assert_eq!(end, taken, "{kind}");
        stage.recorder.tell(RecorderMessage::Retry).unwrap();
        stage.write(turn_ended()).await.unwrap();
    }
}
