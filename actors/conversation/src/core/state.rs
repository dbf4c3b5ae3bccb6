//! The state of a conversation: a fold of its log.
//!
//! [`State::apply`] is total: it takes any record in any order and never fails, so a session always
//! opens. The conversation applies each record when it appends it, and the replay applies the same
//! records again; nothing that decides what happens next is kept anywhere else.

use super::{
    context::{Entry, Place, Source},
    pieces::Pieces,
    unfinished::Unfinished,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, path::PathBuf};
use troupe_types::{
    Access, ApprovalAsk, CallDetail, CallFinished, CallId, Channel, CommandEnd, ContextKind,
    Decision, Item, Op, OpId, OutputItem, Record, RequestId, RequestOutcome, RequestRetried,
    RetryCause, SessionId, SessionSettings, Submission, TurnId, TurnWorked, Usage,
};

/// How many operations are remembered, so that sending one again changes nothing.
const OPS_REMEMBERED: usize = 256;

/// Everything that follows from the log, but the items of the context, which can be let go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Core {
    pub(crate) session: Option<SessionId>,
    pub(crate) cwd: PathBuf,
    pub(crate) source: String,
    /// The next line's number.
    pub(crate) next_seq: u64,
    /// The settings last recorded.
    pub(crate) settings: Option<Box<SessionSettings>>,
    /// Operations accepted lately, with the numbers of their records.
    ops: VecDeque<(OpId, u64)>,
    /// Operations that have not begun: prompts and compactions.
    pub(crate) inbox: VecDeque<Submission>,
    pub(crate) turn: Option<Turn>,
    /// The last turn, if it ended before it was done.
    pub(crate) unfinished: Option<Unfinished>,
    /// Its prompt, if that has not reached the model.
    pub(crate) undelivered: Option<Submission>,
    /// Tokens of the session, once the provider has told any.
    pub(crate) usage: Option<Usage>,
    /// Answers, whole or in part, whose tokens it did not tell.
    pub(crate) uncounted: u32,
    /// Tokens in the context after the last answer, as the provider counts.
    pub(crate) context_tokens: u64,
    /// Texts of the host that stand in the context, by kind, hashed: what differs is said anew.
    pub(crate) told: Vec<(ContextKind, u64)>,
    /// Keys of what was approved for the session, the latest last.
    pub(crate) approved: VecDeque<String>,
    /// Processes that calls left in the background, the latest last.
    pub(crate) background: Vec<Background>,
    /// What was last said of a sandbox that is weaker than promised.
    warned: Vec<String>,
}

/// A process that a call left in the background.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Background {
    pub(crate) process: u64,
    pub(crate) call: CallId,
    pub(crate) command: String,
    pub(crate) cwd: PathBuf,
    pub(crate) outside: bool,
    /// It has ended.
    pub(crate) ended: bool,
}

/// The most processes that are remembered; the oldest that have ended are forgotten.
const MOST_BACKGROUND: usize = 32;

/// The most approvals that are remembered for a session.
const MOST_APPROVED: usize = 500;

/// The turn that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) turn: TurnId,
    pub(crate) op: OpId,
    /// Its operation asked for a summary only.
    pub(crate) compact_only: bool,
    pub(crate) output_schema: Option<serde_json::Value>,
    /// The request that runs, or the last one.
    pub(crate) request: Option<Request>,
    /// The calls of that request.
    pub(crate) calls: Vec<Call>,
    /// Retries since there was progress.
    pub(crate) retries: u32,
    /// Why the last request broke off, and the wait that was decided (in milliseconds), until one
    /// ends in another way.
    #[serde(default)]
    pub(crate) after_cut: Option<(String, Option<u64>)>,
    /// How many complete answers in a row said nothing and called nothing.
    #[serde(default)]
    pub(crate) silent: u32,
    /// A call was completed.
    #[serde(default)]
    pub(crate) worked: bool,
    /// Milliseconds that processes worked on it, as far as records tell.
    #[serde(default)]
    pub(crate) worked_ms: u64,
    /// Why it has to stop at the next boundary.
    pub(crate) stop: Option<Stop>,
    /// A summary was tried because the context did not fit.
    pub(crate) compacted: bool,
}

/// Why a turn has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stop {
    Cancelled,
    TimedOut,
}

/// A request to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) request: RequestId,
    pub(crate) compaction: bool,
    /// The boot of the machine in which it began; empty where that is not known.
    #[serde(default)]
    pub(crate) boot: String,
    /// Text that came and is not yet part of a completed item.
    pub(crate) parts: Vec<Part>,
    pub(crate) result: Option<RequestOutcome>,
    /// Attempts of it that failed, once it has ended.
    #[serde(default)]
    pub(crate) retries: u32,
    pub(crate) end_turn: Option<bool>,
    /// Something of an answer came.
    #[serde(default)]
    pub(crate) answered: bool,
    /// It said something to a reader, or called a tool.
    #[serde(default)]
    pub(crate) said: bool,
    /// It said nothing, and is sent again.
    #[serde(default)]
    pub(crate) retried: bool,
    /// The summary, once it is complete.
    pub(crate) summary: Option<String>,
}

/// Text of an item that is still coming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) index: u32,
    pub(crate) channel: Channel,
    pub(crate) text: Pieces,
}

/// A call of the running turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) call: CallId,
    pub(crate) tool: String,
    pub(crate) seq: u64,
    pub(crate) asked: Option<ApprovalAsk>,
    pub(crate) answer: Option<Decision>,
    pub(crate) started: bool,
    /// The most that it may change, as the record of its start says.
    #[serde(default)]
    pub(crate) access: Option<Access>,
    pub(crate) finished: bool,
}

/// The fold of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) context: Vec<Entry>,
}

impl State {
    /// Takes one more record, number `seq`, whose line is at `place` where that is known. A record
    /// that was taken before changes nothing; where numbers are missing, open calls may have begun.
    pub(crate) fn apply(&mut self, seq: u64, place: Option<Place>, record: &Record) {
        if seq < self.core.next_seq {
            return;
        }
        if seq > self.core.next_seq {
            self.core.doubt_open_calls();
        }
        self.core.next_seq = seq + 1;
        match record {
            Record::SessionCreated(body) => {
                self.core.session = Some(body.session);
                self.core.cwd.clone_from(&body.cwd);
                self.core.source.clone_from(&body.source);
            }
            Record::SessionOpened(body) => self.core.settings = Some(body.settings.clone()),
            Record::OpAccepted(body) => self.on_op(seq, &body.submission),
            Record::TurnStarted(body) => self.on_turn_started(body.turn, body.op),
            Record::RequestStarted(body) => {
                if let Some(turn) = &mut self.core.turn {
                    turn.calls.clear();
                    turn.request = Some(Request {
                        request: body.request,
                        compaction: body.compaction,
                        boot: body.boot.clone(),
                        parts: Vec::new(),
                        result: None,
                        retries: 0,
                        end_turn: None,
                        answered: false,
                        said: false,
                        retried: false,
                        summary: None,
                    });
                }
            }
            Record::TextPart(body) => {
                if let Some(request) = self.core.open_request_mut(body.request) {
                    request.add_part(body.index, body.channel, &body.text);
                }
            }
            Record::CallRequested(body) => {
                if let Some(request) = self.core.open_request_mut(body.request) {
                    (request.answered, request.said) = (true, true);
                }
                let mut turn = self.core.turn.as_mut();
                let known = |call: &Call| call.call == body.item.call;
                if turn.as_ref().is_some_and(|turn| turn.calls.iter().any(known)) {
                    // Under another number: what the numbers say of the lines that are there is
                    // not to be relied on.
                    self.core.doubt_open_calls();
                } else if let Some(turn) = &mut turn {
                    turn.calls.push(Call {
                        call: body.item.call,
                        tool: body.item.tool.clone(),
                        seq,
                        asked: None,
                        answer: None,
                        started: false,
                        access: None,
                        finished: false,
                    });
                }
            }
            Record::ApprovalAsked(body) => {
                self.core.with_call(body.call, |call| call.asked = Some(body.ask.clone()));
            }
            Record::ApprovalAnswered(body) => {
                let mut key = None;
                self.core.with_call(body.call, |call| {
                    call.answer = Some(body.decision.clone());
                    key = call.asked.as_ref().map(|ask| ask.key.clone());
                });
                if body.decision == Decision::ApprovedForSession
                    && let Some(key) = key.filter(|key| !key.is_empty())
                    && !self.core.approved.contains(&key)
                {
                    self.core.approved.push_back(key);
                    if self.core.approved.len() > MOST_APPROVED {
                        self.core.approved.pop_front();
                    }
                }
                if body.decision == Decision::Abort {
                    self.core.stop_turn(Stop::Cancelled);
                }
            }
            Record::CallStarted(body) => {
                let mut known = false;
                self.core.with_call(body.call, |call| {
                    call.started = true;
                    call.access = Some(body.access);
                    known = true;
                });
                if !known {
                    // One of them has begun, and a damaged line does not say which.
                    self.core.doubt_open_calls();
                }
            }
            Record::CallFinished(body) => {
                let mut known = false;
                self.core.with_call(body.call, |call| {
                    call.finished = true;
                    known = true;
                });
                if let Some(turn) = &mut self.core.turn {
                    turn.worked |= known && body.outcome.is_completed();
                }
                self.core.keep_process(body);
            }
            Record::ProcessEnded(body) => {
                let mut all = self.core.background.iter_mut();
                if let Some(process) = all.find(|known| known.call == body.call) {
                    process.ended = true;
                }
            }
            Record::RequestFinished(body) => self.on_request_finished(body),
            Record::SandboxWeaker(body) => self.core.warned.clone_from(&body.ways),
            Record::RequestRetried(body) => self.on_request_retried(body),
            Record::Compacted(_) => {
                self.context.clear();
                self.core.context_tokens = 0;
                if let Some(turn) = &mut self.core.turn {
                    turn.request = None;
                    turn.calls.clear();
                }
            }
            Record::TurnWorked(body) => self.core.on_worked(body),
            Record::TurnFinished(body) => self.core.end_turn(&body.result),
            Record::ItemAdded(body) => self.on_item_added(body.op, &body.item),
            Record::ItemCompleted(body) => {
                self.on_item_completed(body.request, body.index, &body.item)
            }
            Record::PlanUpdated(_)
            | Record::HostDecided(_)
            | Record::Notice(_)
            | Record::Checkpoint(_)
            | Record::Mended(_)
            | Record::LogFlaws(_) => {}
        }
        if let Some(entry) = self.entry(seq, place, record) {
            self.context.push(entry);
        }
    }

    /// Takes what a line adds to the context, where it is not known which record it is: its number
    /// is that of another line.
    pub(crate) fn take_stray(&mut self, place: Place, record: &Record) {
        self.core.doubt_open_calls();
        let seq = self.core.next_seq.saturating_sub(1);
        if !matches!(record, Record::Compacted(_))
            && let Some(entry) = self.entry(seq, Some(place), record)
        {
            self.context.push(entry);
        }
    }

    /// The place in the context of a record, if it has one.
    fn entry(&self, seq: u64, place: Option<Place>, record: &Record) -> Option<Entry> {
        let compaction = |id| self.core.open_request(id).is_some_and(|request| request.compaction);
        let (source, items) = Entry::content(record)?;
        if let Source::Model(request) = source
            && compaction(request)
        {
            return None;
        }
        Some(Entry { seq, place, source, items: Some(items) })
    }

    fn on_op(&mut self, seq: u64, submission: &Submission) {
        if self.core.accepted(submission.id).is_some() {
            return;
        }
        self.core.ops.push_back((submission.id, seq));
        if self.core.ops.len() > OPS_REMEMBERED {
            self.core.ops.pop_front();
        }
        match &submission.op {
            Op::Prompt { .. } | Op::Compact => self.core.inbox.push_back(submission.clone()),
            Op::Interrupt => self.core.interrupt(),
            Op::Continue => self.core.go_on(submission),
            Op::Answer { .. } | Op::EndProcess { .. } => {}
        }
    }

    fn on_turn_started(&mut self, turn: TurnId, op: OpId) {
        let begun = self.core.inbox.iter().find(|submission| submission.id == op);
        let (compact_only, output_schema) = match begun.map(|submission| &submission.op) {
            Some(Op::Compact) => (true, None),
            Some(Op::Prompt { output_schema, .. }) => (false, output_schema.clone()),
            Some(Op::Continue) => {
                (false, self.core.unfinished.as_ref().and_then(|last| last.output_schema.clone()))
            }
            _ => (false, None),
        };
        let leaves = !matches!(begun.map(|submission| &submission.op), Some(Op::Prompt { .. }));
        if !compact_only {
            (self.core.unfinished, self.core.undelivered) = (None, None);
        }
        if leaves {
            self.core.inbox.retain(|submission| submission.id != op);
        }
        self.core.turn = Some(Turn {
            turn,
            op,
            compact_only,
            output_schema,
            request: None,
            calls: Vec::new(),
            retries: 0,
            after_cut: None,
            silent: 0,
            worked: false,
            worked_ms: 0,
            stop: None,
            compacted: false,
        });
    }

    fn on_item_added(&mut self, op: Option<OpId>, item: &Item) {
        if let Some(op) = op {
            self.core.inbox.retain(|submission| submission.id != op);
            // It is another question now.
            if let Some(turn) = &mut self.core.turn {
                turn.silent = 0;
            }
        }
        if let Item::Context(item) = item {
            let hash = text_hash(&item.text);
            match self.core.told.iter_mut().find(|(kind, _)| *kind == item.kind) {
                Some(told) => told.1 = hash,
                None => self.core.told.push((item.kind, hash)),
            }
        }
    }

    fn on_item_completed(&mut self, id: RequestId, index: u32, item: &Item) {
        if let Some(request) = self.core.open_request_mut(id) {
            let answer = matches!(item, Item::Assistant(_));
            request.answered = true;
            request.said |= matches!(item, Item::Assistant(item) if item.says_something());
            request
                .parts
                .retain(|part| part.index != index && !(answer && part.channel == Channel::Answer));
            if request.compaction
                && let Item::Assistant(item) = item
            {
                request.summary.get_or_insert_default().push_str(&item.text);
            }
        }
    }

    fn on_request_finished(&mut self, body: &troupe_types::RequestFinished) {
        let open = self.core.open_request(body.request);
        let completed = body.result == RequestOutcome::Completed;
        let answered = completed || open.is_some_and(|request| request.answered);
        match body.usage {
            Some(usage) => *self.core.usage.get_or_insert_default() += usage,
            None => self.core.uncounted += u32::from(answered),
        }
        let Some(turn) = &mut self.core.turn else { return };
        let Some(request) = &mut turn.request else { return };
        if request.request != body.request {
            return;
        }
        turn.retries = match &body.result {
            // Progress fills the retries up again: the next trouble begins without a wait.
            RequestOutcome::Completed => 0,
            RequestOutcome::Cut { .. } if !turn.calls.is_empty() => body.retries.min(1),
            _ => turn.retries + body.retries,
        };
        turn.after_cut = match &body.result {
            RequestOutcome::Cut { reason, wait_ms } if body.retries > 0 => {
                Some((reason.clone(), *wait_ms))
            }
            _ => None,
        };
        if completed && !request.compaction {
            turn.silent = if request.said { 0 } else { turn.silent + 1 };
        }
        request.result = Some(body.result.clone());
        request.retries = body.retries;
        request.end_turn = body.end_turn;
        request.parts.clear();
        if request.compaction {
            turn.compacted = true;
            return;
        }
        if let Some(usage) = body.usage {
            self.core.context_tokens = usage.total_tokens;
        }
    }

    fn on_request_retried(&mut self, body: &RequestRetried) {
        let Some(request) = self.core.turn.as_mut().and_then(|turn| turn.request.as_mut()) else {
            return;
        };
        if request.request != body.request {
            return;
        }
        request.retried |= body.cause == RetryCause::Silent;
        if request.result.is_none() {
            // What was written was paid for all the same.
            self.core.uncounted += u32::from(request.answered);
            request.answered = false;
            request.parts.clear();
        }
    }

    /// The output of a finished call, as an item of the context.
    pub(crate) fn output(body: &troupe_types::CallFinished) -> OutputItem {
        let exit_code = body.result.command().and_then(|result| result.end.exit_code());
        let (outcome, content) = (body.outcome.clone(), body.for_model());
        OutputItem { call: body.call, outcome, content, exit_code }
    }
}

impl Request {
    fn add_part(&mut self, index: u32, channel: Channel, text: &str) {
        self.answered = true;
        match self.parts.iter_mut().find(|part| part.index == index && part.channel == channel) {
            Some(part) => part.text.push_str(text),
            None => self.parts.push(Part { index, channel, text: text.into() }),
        }
    }
}

impl Call {
    /// A person has been asked and has not answered.
    pub(crate) fn waits_for_person(&self) -> bool {
        !self.finished && self.asked.is_some() && self.answer.is_none()
    }
}

impl Core {
    /// The number of the record that accepted this operation, if it was.
    pub(crate) fn accepted(&self, op: OpId) -> Option<u64> {
        self.ops.iter().rev().find(|(id, _)| *id == op).map(|(_, seq)| *seq)
    }

    /// The request that is running.
    pub(crate) fn running_request(&self) -> Option<&Request> {
        self.turn.as_ref()?.request.as_ref().filter(|request| request.result.is_none())
    }

    /// The request with this id, while it runs.
    pub(crate) fn open_request(&self, id: RequestId) -> Option<&Request> {
        self.running_request().filter(|request| request.request == id)
    }

    /// Bytes of the answer that is still coming.
    pub(crate) fn open_bytes(&self) -> u64 {
        let request = self.turn.as_ref().and_then(|turn| turn.request.as_ref());
        request.map_or(0, |request| request.parts.iter().map(|part| part.text.len() as u64).sum())
    }

    fn open_request_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        let request = self.turn.as_mut()?.request.as_mut()?;
        (request.result.is_none() && request.request == id).then_some(request)
    }

    /// The calls of the running turn that have not finished, in order.
    pub(crate) fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.turn.iter().flat_map(|turn| &turn.calls).filter(|call| !call.finished)
    }

    /// A call that has not finished.
    pub(crate) fn open_call(&self, id: CallId) -> Option<&Call> {
        self.open_calls().find(|call| call.call == id)
    }

    fn with_call(&mut self, id: CallId, change: impl FnOnce(&mut Call)) {
        let calls = self.turn.iter_mut().flat_map(|turn| &mut turn.calls);
        if let Some(call) = calls.into_iter().find(|call| call.call == id) {
            change(call);
        }
    }

    fn keep_process(&mut self, body: &CallFinished) {
        let Some(CallDetail::Command { argv, cwd, outside }) = &body.detail else { return };
        let Some(CommandEnd::Running { process }) = body.result.command().map(|result| result.end)
        else {
            return;
        };
        let over = self.background.len() >= MOST_BACKGROUND;
        if let Some(oldest) = self.background.iter().position(|known| known.ended).filter(|_| over)
        {
            self.background.remove(oldest);
        }
        self.background.push(Background {
            process,
            call: body.call,
            command: argv.last().cloned().unwrap_or_default(),
            cwd: cwd.clone(),
            outside: *outside,
            ended: false,
        });
    }

    /// Whether exactly this was said already.
    pub(crate) fn is_warned(&self, ways: &[String]) -> bool {
        self.warned == ways
    }

    /// Whether this call left a process in the background that is remembered.
    pub(crate) fn background(&self, call: CallId) -> Option<&Background> {
        self.background.iter().find(|known| known.call == call)
    }

    /// Lines are missing, or may be: a call without an end may have begun.
    pub(crate) fn doubt_open_calls(&mut self) {
        let calls = self.turn.iter_mut().flat_map(|turn| &mut turn.calls);
        for call in calls.filter(|call| !call.finished) {
            call.started = true;
        }
    }

    fn on_worked(&mut self, body: &TurnWorked) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.turn == body.turn) else { return };
        turn.worked_ms = turn.worked_ms.max(body.worked_ms);
        if body.timed_out {
            self.stop_turn(Stop::TimedOut);
        }
    }

    pub(crate) fn stop_turn(&mut self, stop: Stop) {
        if let Some(turn) = &mut self.turn {
            turn.stop.get_or_insert(stop);
        }
    }

    /// Whether this text of the host stands in the context already.
    pub(crate) fn was_told(&self, item: &Item) -> bool {
        let Item::Context(item) = item else { return false };
        let hash = text_hash(&item.text);
        self.told.iter().any(|(kind, told)| *kind == item.kind && *told == hash)
    }
}

/// A hash that is the same in every process (FNV-1a).
fn text_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
