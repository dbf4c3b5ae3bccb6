//! Starting: the state is rebuilt from the log, and those who live are asked for.

use crate::{Args, Conversation, Live, checkpoint, state::State};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use troupe_kit::{CallError, Context, Life, Mailbox, Reply, StartError, SupervisorMessage};
use troupe_messages::{
    ConversationMessage, RecorderMessage, Replay, ReplayError, ReplayLine, StreamMessage,
    ToolMessage,
};
use troupe_types::{CallId, Level, Mended, Notice, RequestId};

/// How long a start waits for the log: it may have to wait for another process's lock.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a replay comes to.
struct Rebuilt {
    state: State,
    since_checkpoint: (u64, u64),
    skipped: Vec<String>,
    read_only: Option<String>,
    mended: Option<(u64, String)>,
}

pub(crate) async fn start(
    args: Args,
    life: Life<ConversationMessage>,
) -> Result<Conversation, StartError> {
    let alive = ask(&args.supervisor, SupervisorMessage::Alive).await?;
    let rebuilt = rebuild(&args.recorder).await?;
    let mut stream = None;
    let mut tools = HashMap::new();
    for child in &alive {
        match child.name.split_once(':') {
            Some(("stream", id)) => {
                stream =
                    id.parse::<RequestId>().ok().zip(child.mailbox::<StreamMessage>()).or(stream);
            }
            Some(("tool", id)) => {
                if let Some((call, mailbox)) =
                    id.parse::<CallId>().ok().zip(child.mailbox::<ToolMessage>())
                {
                    tools.insert(call, Live { mailbox });
                }
            }
            _ => {}
        }
    }
    drop(life);
    let written = rebuilt.state.core.next_seq;
    let stream = stream.filter(|(id, _)| rebuilt.state.core.open_request(*id).is_some());
    Ok(Conversation {
        args,
        state: rebuilt.state,
        written,
        waiting: VecDeque::new(),
        accepted: HashMap::new(),
        stream,
        tools,
        attempts: HashMap::new(),
        since_checkpoint: rebuilt.since_checkpoint,
        paused: false,
        settled: false,
        reconciled: false,
        storage: None,
        read_only: rebuilt.read_only,
        reading: false,
        gathering: false,
        gathered: None,
        warned: HashSet::new(),
        compact_skip: 0,
        found: Found { skipped: rebuilt.skipped, mended: rebuilt.mended },
    })
}

/// What the replay found and the log does not say yet.
#[derive(Default)]
pub(crate) struct Found {
    skipped: Vec<String>,
    mended: Option<(u64, String)>,
}

/// A call that is repeated while the other side is being started again.
async fn ask<M: Send + 'static, T>(
    mailbox: &Mailbox<M>,
    message: impl Fn(Reply<T>) -> M,
) -> Result<T, StartError> {
    loop {
        match mailbox.call(DEADLINE, &message).await {
            Ok(answer) => return Ok(answer),
            Err(CallError::Restarted) => {}
            Err(error) => {
                return Err(StartError(format!("{} does not answer: {error}", mailbox.path())));
            }
        }
    }
}

/// Rebuilds the state; where the fold itself fails, from an earlier checkpoint, then read-only.
async fn rebuild(recorder: &Mailbox<RecorderMessage>) -> Result<Rebuilt, StartError> {
    let mut before = None;
    let mut why = String::new();
    for _ in 0..2 {
        let replay = ask(recorder, |reply| RecorderMessage::Replay { before, reply }).await?;
        let replay = replay.map_err(|ReplayError(text)| StartError(text))?;
        let at = replay.checkpoint.as_ref().map(|(offset, _)| *offset);
        match catch_unwind(AssertUnwindSafe(|| fold(replay))) {
            Ok(Some(rebuilt)) => return Ok(rebuilt),
            Ok(None) => "its last checkpoint cannot be read".clone_into(&mut why),
            Err(_) => "the state could not be rebuilt from its log".clone_into(&mut why),
        }
        before = Some(at.unwrap_or(0));
    }
    // From the very beginning, line by line; what makes the fold fail is left out.
    let replay = ask(recorder, |reply| RecorderMessage::Replay { before: Some(0), reply }).await?;
    let replay = replay.map_err(|ReplayError(text)| StartError(text))?;
    let next_seq = replay.next_seq;
    let mut state = State::default();
    for entry in &replay.rest {
        if let ReplayLine::Line { offset, line, .. } = entry {
            let before = state.clone();
            let applied = catch_unwind(AssertUnwindSafe(|| {
                state.apply(line.seq, Some(*offset), &line.record);
            }));
            if applied.is_err() {
                state = before;
            }
        }
    }
    state.core.next_seq = next_seq;
    Ok(Rebuilt {
        state,
        since_checkpoint: (0, 0),
        skipped: Vec::new(),
        read_only: Some(why),
        mended: None,
    })
}

/// Folds a replay; `None` if its checkpoint is of no use.
fn fold(replay: Replay) -> Option<Rebuilt> {
    let mut state = match &replay.checkpoint {
        Some((_, checkpoint)) => checkpoint::read(checkpoint)?,
        None => State::default(),
    };
    let mut since_checkpoint = (0, 0);
    let mut skipped = Vec::new();
    for entry in &replay.rest {
        match entry {
            ReplayLine::Line { offset, len, line } => {
                state.apply(line.seq, Some(*offset), &line.record);
                since_checkpoint.0 += 1;
                since_checkpoint.1 += len;
            }
            ReplayLine::Skipped { offset, reason } => {
                skipped.push(format!("the line at byte {offset} of the log is skipped: {reason}"));
            }
        }
    }
    state.core.next_seq = replay.next_seq;
    Some(Rebuilt { state, since_checkpoint, skipped, read_only: None, mended: replay.mended })
}

impl Conversation {
    pub(crate) fn on_started(&mut self, cx: &mut Context<ConversationMessage>) {
        let core = &self.state.core;
        if core.turn.is_none() && core.background.iter().all(|process| process.ended) {
            // Nothing is open: nothing to wait for.
            self.settled = true;
        } else {
            let incarnation = cx.incarnation();
            let marker = ConversationMessage::MarkerCame { incarnation };
            let myself = cx.myself().clone();
            cx.send_behind(&myself, marker);
            if cx.incarnation() > 1
                && let Some(turn) = &core.turn
            {
                self.arm_deadline(turn.turn, cx);
            }
        }
        if self.read_only.is_none() {
            let found = std::mem::take(&mut self.found);
            if let Some((bytes, kept_in)) = found.mended {
                self.append(Mended { bytes, kept_in }, cx);
            }
            if let Some(first) = found.skipped.first().filter(|_| cx.incarnation() == 1) {
                let more = found.skipped.len() - 1;
                let text =
                    if more > 0 { format!("{first} (and {more} more)") } else { first.clone() };
                self.append(Notice { level: Level::Warning, text }, cx);
            }
        }
        self.advance(cx);
    }
}
