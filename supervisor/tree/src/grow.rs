//! Writes a session log of any size, so that opening can be measured.
//!
//! It holds completed turns as a conversation writes them, one compaction 200 items before the end,
//! and checkpoints from there on; what is before the compaction is never read when it is opened.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};
use troupe_conversation::Fold;
use troupe_recorder::LogPath;
use troupe_types::{
    Access, AssistantItem, CallDetail, CallFinished, CallId, CallInput, CallItem, CallRequested,
    CallResult, CallStarted, CommandEnd, CommandResult, Compacted, Content, Item, ItemAdded,
    ItemCompleted, Line, Op, OpAccepted, Outcome, Printed, Record, RequestFinished, RequestId,
    RequestOutcome, RequestStarted, SessionCreated, SessionId, SessionOpened, SessionSettings,
    Submission, SummaryItem, TurnFinished, TurnId, TurnStarted, Usage, UserItem, line_digest,
};

/// Items between the compaction and the end.
const TAIL_ITEMS: usize = 200;
/// Items that one turn adds.
const TURN_ITEMS: usize = 4;
/// Lines between two checkpoints, as a conversation writes them.
const CHECKPOINT_LINES: u64 = 256;

/// Writes a log of about `megabytes` MB for a new session, and returns its id.
///
/// # Errors
/// When the file cannot be written.
pub fn grow_log(
    sessions_dir: &Path,
    settings: &SessionSettings,
    megabytes: u64,
) -> io::Result<SessionId> {
    let session = SessionId::new();
    let file = LogPath::new(sessions_dir, session).file();
    fs::create_dir_all(sessions_dir)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut log = Log {
        out: BufWriter::with_capacity(1 << 20, options.open(file)?),
        settings: settings.clone(),
        fold: Fold::default(),
        compacted: false,
        seq: 0,
        offset: 0,
        since_checkpoint: 0,
    };
    log.write(SessionCreated {
        session,
        parent: None,
        source: "grow-log".to_owned(),
        cwd: settings.cwd.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    log.write(SessionOpened { settings: Box::new(settings.clone()) })?;
    let mut number = 0;
    while log.offset < megabytes * 1_000_000 {
        log.turn(number)?;
        number += 1;
    }
    log.compaction()?;
    for _ in 0..TAIL_ITEMS / TURN_ITEMS {
        log.turn(number)?;
        number += 1;
    }
    log.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(session)
}

struct Log {
    out: BufWriter<fs::File>,
    settings: SessionSettings,
    fold: Fold,
    compacted: bool,
    seq: u64,
    offset: u64,
    since_checkpoint: u64,
}

impl Log {
    fn write(&mut self, record: impl Into<Record>) -> io::Result<()> {
        // A fixed pace instead of the clock: the same size gives the same log.
        let at = 1_700_000_000_000 + self.seq * 10;
        let line = Line { seq: self.seq, at, record: record.into() };
        let text = line.render().map_err(io::Error::other)?;
        self.out.write_all(text.as_bytes())?;
        let digest = line_digest(text.as_bytes());
        self.fold.apply(self.seq, self.offset, digest, &line.record);
        self.since_checkpoint += 1;
        self.seq += 1;
        self.offset += text.len() as u64;
        Ok(())
    }

    fn begin(&mut self, op: Op) -> io::Result<(TurnId, Submission)> {
        let submission = Submission::new(op);
        let turn = TurnId::new();
        self.write(OpAccepted { submission: submission.clone() })?;
        let (provider, model) = (self.settings.provider.clone(), self.settings.model.clone());
        self.write(TurnStarted { turn, op: submission.id, provider, model })?;
        Ok((turn, submission))
    }

    fn turn(&mut self, number: u64) -> io::Result<()> {
        let text = format!("Look at module {number} and say what it does.");
        let (turn, submission) = self.begin(Op::prompt(text.clone()))?;
        let user = Item::User(UserItem { content: vec![Content::text(text)] });
        self.write(ItemAdded { op: Some(submission.id), item: user })?;
        let request = RequestId::new();
        self.write(RequestStarted { request, turn, compaction: false, boot: String::new() })?;
        self.call(request, number)?;
        self.finish_request(request)?;
        let request = RequestId::new();
        self.write(RequestStarted { request, turn, compaction: false, boot: String::new() })?;
        self.answer(request, format!("Module {number} reads its input and writes a report."))?;
        self.finish_request(request)?;
        self.end(turn)
    }

    fn call(&mut self, request: RequestId, number: u64) -> io::Result<()> {
        let call = CallId::new();
        let command = format!("sed -n 1,40p src/module_{number}.rs");
        let item = CallItem {
            call,
            wire_id: format!("call_{number}"),
            id: None,
            tool: "shell".to_owned(),
            input: CallInput::Json(serde_json::json!({ "command": command }).to_string()),
            opaque: None,
        };
        self.write(CallRequested { request, index: 0, item })?;
        let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), command];
        let cwd = self.settings.cwd.clone();
        let detail = CallDetail::Command { argv, cwd, outside: false };
        self.write(CallStarted { call, detail: detail.clone(), access: Access::Command })?;
        let line = format!("    let report_{number} = Report::read(&input)?; // and so on\n");
        self.write(CallFinished {
            call,
            outcome: Outcome::Completed,
            result: CallResult::Command(Box::new(CommandResult::new(
                CommandEnd::Exited { code: 0 },
                2,
                Printed { head: line.repeat(24), lines: 24, ..Printed::default() },
            ))),
            detail: Some(detail),
            took_ms: 2,
        })
    }

    fn answer(&mut self, request: RequestId, text: String) -> io::Result<()> {
        let item = Item::Assistant(AssistantItem { text, ..AssistantItem::default() });
        self.write(ItemCompleted { request, index: 0, item: item.into() })
    }

    fn finish_request(&mut self, request: RequestId) -> io::Result<()> {
        let usage = Some(Usage {
            input_tokens: 1000,
            output_tokens: 50,
            total_tokens: 1050,
            ..Usage::default()
        });
        let result = RequestOutcome::Completed;
        self.write(RequestFinished { request, result, usage, end_turn: None, retries: 0 })
    }

    fn end(&mut self, turn: TurnId) -> io::Result<()> {
        self.write(TurnFinished {
            turn,
            result: Outcome::Completed,
            no_final_message: false,
            usage: Some(Usage::default()),
            uncounted: 0,
        })?;
        self.fold.forget_items();
        // One before the compaction would carry the place of every item so far.
        if self.compacted
            && self.since_checkpoint >= CHECKPOINT_LINES
            && let Some(checkpoint) = self.fold.checkpoint(self.offset)
        {
            self.since_checkpoint = 0;
            self.write(checkpoint)?;
        }
        Ok(())
    }

    fn compaction(&mut self) -> io::Result<()> {
        let (turn, _) = self.begin(Op::Compact)?;
        let request = RequestId::new();
        self.write(RequestStarted { request, turn, compaction: true, boot: String::new() })?;
        let summary = "Each module was read; nothing was changed so far.".to_owned();
        self.answer(request, summary.clone())?;
        self.finish_request(request)?;
        let replacement = vec![Item::Summary(SummaryItem { text: summary })];
        self.write(Compacted { replacement })?;
        self.compacted = true;
        self.end(turn)
    }
}
