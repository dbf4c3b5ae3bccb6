//! The log in memory, and the role that stands in for the recorder.

use super::PATIENCE;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::watch;
use troupe_kit::{Context, Life, Mailbox, Role, StartError};
use troupe_messages::{
    Appended, ConversationMessage, FaultKind, Notify, RecorderMessage, Replay, ReplayLine,
    StorageFault,
};
use troupe_types::{Content, Item, Line, Op, Outcome, Record, RequestOutcome, RetryCause};

pub struct Log {
    lines: watch::Sender<Vec<Line>>,
    /// From this line on nothing can be written, until a retry.
    pub full_at: Mutex<Option<u64>>,
    /// But the ends of calls and turns can, if this is set.
    pub reserve: AtomicBool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            lines: watch::Sender::new(Vec::new()),
            full_at: Mutex::default(),
            reserve: AtomicBool::default(),
        }
    }
}

impl Log {
    pub fn lines(&self) -> Vec<Line> {
        self.lines.borrow().clone()
    }

    pub async fn until(&self, done: impl Fn(&[Line]) -> bool) {
        let mut lines = self.lines.subscribe();
        let waited = tokio::time::timeout(PATIENCE, lines.wait_for(|lines| done(lines))).await;
        if waited.is_err() {
            panic!("it does not come: {:#?}", self.transcript());
        }
    }

    /// A log that ends after the first `count` lines.
    pub fn cut(&self, count: usize) -> Arc<Self> {
        let lines = self.lines()[..count].to_vec();
        Arc::new(Self { lines: watch::Sender::new(lines), ..Self::default() })
    }

    /// What matters of each line, without ids.
    pub fn transcript(&self) -> Vec<String> {
        self.lines.borrow().iter().filter_map(|line| essence(&line.record)).collect()
    }

    /// Why nothing can be written, once that is so.
    fn full(&self) -> Option<StorageFault> {
        let next = self.lines.borrow().len() as u64;
        let full = self.full_at.lock().unwrap().is_some_and(|at| next >= at);
        full.then(|| fault(FaultKind::Full, "no space left"))
    }

    fn append(&self, seq: u64, record: &Record) -> Result<Appended, StorageFault> {
        let ends = match record {
            Record::CallFinished(_) | Record::RequestFinished(_) | Record::TurnFinished(_) => true,
            Record::OpAccepted(body) => body.submission.op == Op::Interrupt,
            _ => false,
        };
        if self.full_at.lock().unwrap().is_some_and(|at| seq >= at)
            && !(ends && self.reserve.load(Ordering::SeqCst))
        {
            return Err(fault(FaultKind::Full, "no space left"));
        }
        let mut result = Ok(Appended { seq, offset: None, len: 100, digest: 0 });
        self.lines.send_modify(|lines| {
            let next = lines.len() as u64;
            if seq == next {
                lines.push(Line { seq, at: 0, record: record.clone() });
                result = Ok(Appended { seq, offset: Some(seq * 100), len: 100, digest: 0 });
            } else if seq > next {
                result = Err(fault(FaultKind::Gap, "a gap"));
            }
        });
        result
    }
}

fn fault(kind: FaultKind, message: &str) -> StorageFault {
    StorageFault { kind, message: message.to_owned() }
}

fn texts(content: &[Content]) -> String {
    content.iter().filter_map(Content::as_text).collect()
}

fn essence(record: &Record) -> Option<String> {
    Some(match record {
        Record::ItemAdded(body) => match &body.item {
            Item::User(user) => format!("user: {}", texts(&user.content)),
            Item::Context(context) => format!("context: {:?}", context.kind),
            other => format!("{other:?}"),
        },
        Record::ItemCompleted(body) => match &*body.item {
            Item::Assistant(item) if item.cut => format!("cut: {}", item.text),
            Item::Assistant(item) => format!("says: {}", item.text),
            other => format!("{other:?}"),
        },
        Record::CallRequested(body) => format!("call: {} {}", body.item.tool, body.item.wire_id),
        Record::CallFinished(body) => {
            format!("{}: {}", outcome(&body.outcome), texts(&body.for_model()))
        }
        Record::RequestFinished(body) => match &body.result {
            RequestOutcome::Completed => "answered".to_owned(),
            other => format!("{other:?}"),
        },
        Record::RequestRetried(body) => format!(
            "again {}/{}: {}",
            body.retry,
            body.most,
            match &body.cause {
                RetryCause::Silent => "it said nothing",
                RetryCause::Cut { reason } => reason,
                RetryCause::Failed(failure) => &failure.message,
            }
        ),
        Record::TurnFinished(body) if body.no_final_message => {
            format!("turn {} without a final message", outcome(&body.result))
        }
        Record::TurnFinished(body) => format!("turn {}", outcome(&body.result)),
        Record::Notice(body) => format!("notice: {}", body.text),
        Record::TextPart(_) | Record::Checkpoint(_) => return None,
        other => other.kind().to_owned(),
    })
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => format!("failed ({})", failure.message),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[derive(Clone)]
pub struct Args {
    pub log: Arc<Log>,
    pub conversation: Mailbox<ConversationMessage>,
}

pub struct Recorder(Args);

impl Role for Recorder {
    type Message = RecorderMessage;
    type Args = Args;
    const IDEMPOTENT: bool = true;

    async fn start(args: Args, _: Life<RecorderMessage>) -> Result<Self, StartError> {
        Ok(Self(args))
    }

    fn handle(&mut self, message: &RecorderMessage, cx: &mut Context<RecorderMessage>) {
        let Args { log, conversation } = self.0.clone();
        match message {
            RecorderMessage::Append { seq, record, notify, .. } => {
                let (seq, record, notify) = (*seq, record.clone(), notify.clone());
                cx.run(move || {
                    let told = match log.append(seq, &record) {
                        Ok(appended) => {
                            if let Some(notify) = notify {
                                let _ = notify.tool.tell(Notify::message(&record));
                            }
                            ConversationMessage::Written(appended)
                        }
                        Err(fault) => ConversationMessage::NotWritten { seq, fault },
                    };
                    let _ = conversation.tell(told);
                });
            }
            RecorderMessage::Replay { before, reply } => {
                let lines = log.lines();
                let usable = |line: &Line| before.is_none_or(|before| line.seq * 100 < before);
                let checkpoint = lines.iter().rev().filter(|line| usable(line)).find_map(|line| {
                    match &line.record {
                        Record::Checkpoint(body) => Some((line.seq * 100, body.clone())),
                        _ => None,
                    }
                });
                let from = checkpoint.as_ref().map_or(0, |(offset, _)| offset / 100 + 1);
                let rest = lines.iter().filter(|line| line.seq >= from).map(entry).collect();
                let next_seq = lines.len() as u64;
                let fault = log.full();
                let replay = Replay { checkpoint, rest, next_seq, fault, ..Replay::default() };
                cx.reply(reply, Ok(replay));
            }
            RecorderMessage::Read { offsets, reply } => {
                let lines = log.lines();
                let of = |offset: &u64| entry(&lines[usize::try_from(offset / 100).unwrap()]);
                cx.reply(reply, Ok(offsets.iter().map(of).collect()));
            }
            RecorderMessage::Retry => cx.run(move || *log.full_at.lock().unwrap() = None),
        }
    }
}

fn entry(line: &Line) -> ReplayLine {
    let (seq, line) = (Some(line.seq), Box::new(line.clone()));
    ReplayLine::Line { offset: line.seq * 100, len: 100, digest: 0, seq, line }
}
