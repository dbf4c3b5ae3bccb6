//! Starting: the state is rebuilt from the log, and those who live are asked for.

use crate::{
    Args, Conversation, Opened,
    core::{Found, Live, Machine, Setup, state::State},
    fold::{Fold, take},
};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use troupe_kit::{Life, Mailbox, Reply, StartError, SupervisorMessage};
use troupe_messages::{
    ConversationMessage, FaultKind, RecorderMessage, Replay, ReplayError, ReplayLine, StorageFault,
    StreamMessage, ToolMessage,
};
use troupe_types::{CallId, LineError, LogFlaw, Record, RequestId};

/// How long a start waits for the log: it may have to wait for another process's lock.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a replay comes to.
struct Rebuilt {
    state: State,
    since_checkpoint: (u64, u64),
    flaws: Vec<LogFlaw>,
    read_only: Option<String>,
    mended: Option<(u64, String)>,
    fault: Option<StorageFault>,
}

pub(crate) async fn start(
    args: Args,
    life: Life<ConversationMessage>,
) -> Result<Conversation, StartError> {
    let alive = ask(&args.supervisor, SupervisorMessage::Alive).await?;
    let rebuilt = rebuild(&args.recorder).await?;
    args.opened.send_if_modified(|opened| {
        let core = &rebuilt.state.core;
        let first = opened.is_none();
        opened.get_or_insert(Opened { first: core.next_seq, work: core.work() });
        first
    });
    let mut stream = None;
    let mut tools = HashMap::new();
    for child in &alive {
        match child.name.split_once(':') {
            Some(("stream", id)) => {
                // The stream of an earlier request may be about to end.
                let open = |id: &RequestId| rebuilt.state.core.open_request(*id).is_some();
                let id = id.parse::<RequestId>().ok().filter(open);
                stream = id.zip(child.mailbox::<StreamMessage>()).or(stream);
            }
            Some(("tool", id)) => {
                if let Some((call, mailbox)) =
                    id.parse::<CallId>().ok().zip(child.mailbox::<ToolMessage>())
                {
                    tools.insert(call, mailbox);
                }
            }
            _ => {}
        }
    }
    drop(life);
    let live = Live {
        written: rebuilt.state.core.next_seq,
        stream: stream.as_ref().map(|(id, _)| *id),
        tools: tools.keys().copied().collect(),
        since_checkpoint: rebuilt.since_checkpoint,
        held: args.held.load(Ordering::Acquire),
        read_only: rebuilt.read_only,
        winding: rebuilt.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Full),
        storage: rebuilt.fault,
        found: Found { flaws: rebuilt.flaws, mended: rebuilt.mended },
        ..Live::default()
    };
    let setup = Setup {
        session: args.session,
        parent: args.parent,
        settings: Arc::clone(&args.settings),
        source: Arc::clone(&args.source),
        version: args.version,
        boot: Arc::clone(&args.boot),
        tools: Arc::clone(&args.tools),
    };
    let machine = Machine { setup, state: rebuilt.state, live };
    Ok(Conversation { args, machine, stream, tools, replies: HashMap::new(), tick: None })
}

/// A call that is repeated while the other side is being started again.
async fn ask<M: Send + 'static, T>(
    mailbox: &Mailbox<M>,
    message: impl Fn(Reply<T>) -> M,
) -> Result<T, StartError> {
    let late = |error| StartError(format!("{} does not answer: {error}", mailbox.path()));
    mailbox.ask(DEADLINE, message).await.map_err(late)
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
    for line in &replay.rest {
        let before = state.clone();
        let taken = catch_unwind(AssertUnwindSafe(|| take(&mut state, line)));
        if taken.is_err() {
            state = before;
        }
    }
    state.core.next_seq = next_seq;
    Ok(Rebuilt {
        state,
        since_checkpoint: (0, 0),
        flaws: Vec::new(),
        read_only: Some(why),
        mended: None,
        fault: None,
    })
}

/// Folds a replay; `None` if its checkpoint is of no use.
fn fold(replay: Replay) -> Option<Rebuilt> {
    let state = Fold::replayed(&replay)?.into_state();
    let lens = replay.rest.iter().filter_map(|line| match line {
        ReplayLine::Line { len, .. } => Some(*len),
        ReplayLine::Skipped { .. } => None,
    });
    let since_checkpoint = lens.fold((0, 0), |(lines, bytes), len| (lines + 1, bytes + len));
    let read_only = replay.later.map(|version| LineError::Version { version }.to_string());
    let flaws = untold(replay.flaws, &replay.rest);
    // What a later program wrote is never written to, which is told otherwise.
    let fault = replay.fault.filter(|_| read_only.is_none());
    let mended = replay.mended;
    Some(Rebuilt { state, since_checkpoint, flaws, read_only, mended, fault })
}

/// The flaws that the log does not tell yet.
fn untold(mut flaws: Vec<LogFlaw>, lines: &[ReplayLine]) -> Vec<LogFlaw> {
    let mut more = 0;
    for line in lines {
        if let ReplayLine::Line { line, .. } = line
            && let Record::LogFlaws(told) = &line.record
        {
            flaws.retain(|flaw| !told.flaws.contains(flaw));
            more = more.max(told.more);
        }
    }
    // Those that were too many to be told one by one.
    if flaws.len() as u64 <= more { Vec::new() } else { flaws }
}
