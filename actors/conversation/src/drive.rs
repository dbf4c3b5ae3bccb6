//! What happens next: a function of the state, asked after every change.
//!
//! Each step appends a record or starts something, so that asking again moves on; when nothing can
//! be done before something else reports, there is no step.

use crate::{
    Conversation, Live,
    append::After,
    context::{Entry, assemble, find_call},
    prompt,
    silence::{self, AfterAnswer},
    state::{Call, Stop},
};
use std::{sync::Arc, time::Duration};
use troupe_kit::{Context, SupervisorMessage};
use troupe_messages::{
    ConversationMessage, Cut, Durability, Gathered, RecorderMessage, ReplayError, ReplayLine,
    SandboxMessage, StreamOrder, ToolMessage, ToolOrder,
};
use troupe_types::{
    Content, ContextItem, ContextKind, ErrorClass, Failure, Item, ItemAdded, Level, ModelRequest,
    Notice, Op, Outcome, RequestId, RequestOutcome, RequestStarted, Role, ToolSpec, Traits,
    TurnFinished, TurnId, TurnStarted, UserItem,
};

type Cx = Context<ConversationMessage>;

impl Conversation {
    /// Does what can be done now.
    pub(crate) fn advance(&mut self, cx: &mut Cx) {
        if self.storage.is_some() || self.read_only.is_some() || self.is_held() {
            return;
        }
        if self.settled && !self.reconciled {
            self.reconciled = true;
            self.reconcile(cx);
        }
        while self.step(cx) {}
    }

    fn step(&mut self, cx: &mut Cx) -> bool {
        let Some(turn) = &self.state.core.turn else { return self.begin_turn(cx) };
        let stop = turn.stop;
        if self.state.core.running_request().is_some()
            || self.state.core.open_calls().next().is_some()
        {
            return self.schedule(stop, cx);
        }
        match stop {
            Some(Stop::Cancelled) => return self.finish_interrupted(Outcome::Cancelled, cx),
            Some(Stop::TimedOut) => return self.finish_interrupted(Outcome::TimedOut, cx),
            None => {}
        }
        let request = turn.request.as_ref();
        let compaction = request.is_some_and(|request| request.compaction);
        match request.and_then(|request| request.result.clone()) {
            None if turn.compact_only => self.start_compaction(cx),
            None => self.start_request(cx),
            Some(RequestOutcome::Completed) if compaction => self.replace_context(cx),
            Some(RequestOutcome::Completed) => self.after_answer(cx),
            Some(RequestOutcome::Cancelled) => self.finish_interrupted(Outcome::Cancelled, cx),
            Some(RequestOutcome::Cut { reason, .. }) => self.after_cut(compaction, &reason, cx),
            Some(RequestOutcome::Failed(failure)) => self.after_failure(compaction, failure, cx),
        }
    }

    fn after_answer(&mut self, cx: &mut Cx) -> bool {
        let Some(turn) = &self.state.core.turn else { return false };
        if !turn.calls.is_empty() || self.prompt_waits() {
            return self.start_request(cx);
        }
        let wants_more = turn.request.as_ref().is_some_and(|r| r.end_turn == Some(false));
        match silence::after(turn) {
            AfterAnswer::GoOn if wants_more => self.start_request(cx),
            AfterAnswer::AskAgain => self.ask_again(cx),
            AfterAnswer::GoOn | AfterAnswer::Complete => {
                self.finish_turn(Outcome::Completed, cx);
                true
            }
            AfterAnswer::Fail(failure) => {
                self.finish_turn(Outcome::Failed(failure), cx);
                true
            }
        }
    }

    fn prompt_waits(&self) -> bool {
        self.state.core.inbox.iter().any(|waiting| matches!(waiting.op, Op::Prompt { .. }))
    }

    fn after_cut(&mut self, compaction: bool, reason: &str, cx: &mut Cx) -> bool {
        let retries = self.state.core.turn.as_ref().map_or(0, |turn| turn.retries);
        let most = self.args.settings.stream_retries;
        if retries > most {
            let message = format!("{reason} (given up after {most} retries)");
            self.finish_turn(Outcome::failed(ErrorClass::Network, message), cx);
            return true;
        }
        if compaction { self.start_compaction(cx) } else { self.start_request(cx) }
    }

    fn after_failure(&mut self, compaction: bool, failure: Failure, cx: &mut Cx) -> bool {
        if failure.class == ErrorClass::ContextWindow && self.shrink(compaction) {
            return self.start_compaction(cx);
        }
        self.finish_turn(Outcome::Failed(failure), cx);
        true
    }

    /// Begins the next turn, if something waits and everything it needs is at hand.
    fn begin_turn(&mut self, cx: &mut Cx) -> bool {
        let Some(first) = self.state.core.inbox.front() else { return false };
        let (op, continues) = (first.id, first.op == Op::Continue);
        if !self.context_at_hand(cx) || !self.surroundings_at_hand(cx) {
            return false;
        }
        let turn = TurnId::new();
        let settings = Arc::clone(&self.args.settings);
        self.append(
            TurnStarted {
                turn,
                op,
                provider: settings.provider.clone(),
                model: settings.model.clone(),
            },
            cx,
        );
        let gathered = self.gathered.take().unwrap_or_default();
        for item in gathered.items {
            if !self.state.core.was_told(&item) {
                self.append(ItemAdded { op: None, item }, cx);
            }
        }
        for text in gathered.warnings {
            if self.warned.insert(text.clone()) {
                self.append(Notice { level: Level::Warning, text }, cx);
            }
        }
        if continues {
            let item = Item::Context(ContextItem {
                kind: ContextKind::Note,
                role: Role::User,
                text: prompt::GO_ON.to_owned(),
                files: Vec::new(),
            });
            self.append(ItemAdded { op: None, item }, cx);
        }
        self.compact_skip = 0;
        self.arm_deadline(turn, cx);
        cx.send(&self.args.sandbox, SandboxMessage::Warm);
        true
    }

    /// Delivers what the user said meanwhile.
    fn deliver_prompts(&mut self, cx: &mut Cx) {
        let prompts: Vec<_> = self
            .state
            .core
            .inbox
            .iter()
            .filter_map(|waiting| match &waiting.op {
                Op::Prompt { content, .. } => Some((waiting.id, content.clone())),
                _ => None,
            })
            .collect();
        for (op, content) in prompts {
            self.append(ItemAdded { op: Some(op), item: Item::User(UserItem { content }) }, cx);
        }
    }

    pub(crate) fn start_request(&mut self, cx: &mut Cx) -> bool {
        if !self.context_at_hand(cx) {
            return false;
        }
        if self.is_context_full() {
            return self.start_compaction(cx);
        }
        self.deliver_prompts(cx);
        self.append_request(false, cx)
    }

    pub(crate) fn append_request(&mut self, compaction: bool, cx: &mut Cx) -> bool {
        let Some(turn) = &self.state.core.turn else { return false };
        let request = RequestId::new();
        let record = RequestStarted { request, turn: turn.turn, compaction };
        self.append_then(record, After::Stream(request), cx);
        false
    }

    /// The record of the request is written: asks the model.
    pub(crate) fn start_stream(&mut self, request: RequestId, cx: &mut Cx) {
        let Some(open) = self.state.core.open_request(request) else { return };
        let compaction = open.compaction;
        let Some(turn) = &self.state.core.turn else { return };
        let settings = &self.args.settings;
        let (mut items, tools): (_, Arc<[ToolSpec]>) = if compaction {
            (self.items_to_summarise(), Arc::new([]))
        } else {
            (assemble(&self.state.context), Arc::clone(&self.args.tools))
        };
        items.shrink_to_fit();
        let order = StreamOrder {
            request: ModelRequest {
                session: self.args.session,
                request,
                model: settings.model.clone(),
                instructions: settings
                    .instructions
                    .as_deref()
                    .unwrap_or(prompt::INSTRUCTIONS)
                    .into(),
                items,
                tools,
                effort: settings.effort.clone(),
                summary: settings.summary.clone(),
                verbosity: settings.verbosity.clone(),
                max_output_tokens: settings.max_output_tokens,
                output_schema: turn.output_schema.clone().filter(|_| !compaction),
            },
            settings: Arc::clone(settings),
            after_cut: turn
                .after_cut
                .clone()
                .map(|(reason, wait_ms)| Cut { reason, wait: wait_ms.map(Duration::from_millis) }),
            retries: turn.retries,
            conversation: cx.myself().clone(),
        };
        let (spec, mailbox) = self.args.crew.stream(order);
        cx.send(&self.args.supervisor, SupervisorMessage::add(spec));
        self.stream = Some((request, mailbox));
    }

    /// Starts the calls that may run now, or closes them if the turn has to stop.
    fn schedule(&mut self, stop: Option<Stop>, cx: &mut Cx) -> bool {
        if !self.settled {
            return false;
        }
        let mut earlier_effects = false;
        let mut earlier = false;
        let mut start = Vec::new();
        let mut close = Vec::new();
        for call in self.state.core.open_calls() {
            let read_only = self.is_read_only(&call.tool);
            let may_run = if read_only { !earlier_effects } else { !earlier };
            if !self.tools.contains_key(&call.call) {
                match stop {
                    Some(stop) if !call.started => close.push((call.call, stop)),
                    None if may_run && call.seq < self.written => start.push(call.clone()),
                    _ => {}
                }
            }
            earlier = true;
            earlier_effects |= !read_only;
        }
        let closed = !close.is_empty();
        for (call, stop) in close {
            let outcome = match stop {
                Stop::Cancelled => Outcome::Cancelled,
                Stop::TimedOut => Outcome::TimedOut,
            };
            self.finish_call(call, outcome, cx);
        }
        for call in start {
            self.start_tool(&call, cx);
        }
        closed
    }

    fn is_read_only(&self, tool: &str) -> bool {
        self.args.tools.iter().any(|spec| spec.name == tool && spec.traits == Traits::ReadOnly)
    }

    fn start_tool(&mut self, call: &Call, cx: &mut Cx) {
        let Some(item) = find_call(&self.state.context, call.call).cloned() else {
            // Its line is not at hand: after a resume the context is read first.
            if self.context_at_hand(cx) {
                let why = "the call's record cannot be read".to_owned();
                self.finish_call(call.call, Outcome::failed(ErrorClass::Storage, why), cx);
            }
            return;
        };
        *self.attempts.entry(call.call).or_default() += 1;
        let (spec, mailbox) = self.args.crew.tool(ToolOrder {
            session: self.args.session,
            call: item,
            settings: Arc::clone(&self.args.settings),
            approved: self.state.core.approved.iter().cloned().collect(),
            process: call.seq,
            background: self.background_processes(),
            conversation: cx.myself().clone(),
        });
        cx.send(&self.args.supervisor, SupervisorMessage::add(spec));
        if let Some(decision) = call.answer.clone() {
            let answered = troupe_messages::Answered { decision };
            cx.send(&mailbox, ToolMessage::Answered(answered));
        }
        self.tools.insert(call.call, Live { mailbox });
    }

    fn finish_interrupted(&mut self, outcome: Outcome, cx: &mut Cx) -> bool {
        let item = Item::Context(ContextItem {
            kind: ContextKind::Interrupted,
            role: Role::User,
            text: prompt::INTERRUPTED.to_owned(),
            files: Vec::new(),
        });
        self.append(ItemAdded { op: None, item }, cx);
        self.finish_turn(outcome, cx);
        true
    }

    /// Ends the turn: synced to the disk before anybody is told.
    pub(crate) fn finish_turn(&mut self, result: Outcome, cx: &mut Cx) {
        let Some(turn) = &self.state.core.turn else { return };
        let record = TurnFinished {
            turn: turn.turn,
            no_final_message: result.is_completed() && turn.silent > 0,
            result,
            usage: self.state.core.usage,
            uncounted: self.state.core.uncounted,
        };
        self.attempts.clear();
        self.append_with(record.into(), Durability::Synced, None, Some(After::Idle), cx);
    }

    /// Lets the items of the context go; they are read again when they are needed.
    pub(crate) fn let_context_go(&mut self) {
        if self.state.core.turn.is_some() || !self.state.core.inbox.is_empty() {
            return;
        }
        for entry in &mut self.state.context {
            if entry.offset.is_some() {
                entry.items = None;
            }
        }
        self.state.context.shrink_to_fit();
        self.tools.shrink_to_fit();
        self.waiting.shrink_to_fit();
        self.attempts.shrink_to_fit();
        self.accepted.shrink_to_fit();
    }

    /// Whether every item of the context is at hand; if not, they are being read.
    fn context_at_hand(&mut self, cx: &mut Cx) -> bool {
        let missing = |entry: &&Entry| entry.items.is_none();
        let offsets: Vec<u64> =
            self.state.context.iter().filter(missing).filter_map(|entry| entry.offset).collect();
        if offsets.is_empty() {
            return true;
        }
        if !self.reading {
            self.reading = true;
            let recorder = self.args.recorder.clone();
            cx.task(move |life| async move {
                let deadline = Duration::from_secs(60);
                let read = |reply| RecorderMessage::Read { offsets, reply };
                let lines = recorder.call(deadline, read).await.unwrap_or_else(|error| {
                    Err(ReplayError(format!("the context cannot be read: {error}")))
                });
                let _refused = life.tell(ConversationMessage::ContextRead(Box::new(lines)));
            });
        }
        false
    }

    pub(crate) fn on_context_read(
        &mut self,
        lines: &Result<Vec<ReplayLine>, ReplayError>,
        cx: &mut Cx,
    ) {
        self.reading = false;
        let lines = match lines {
            Ok(lines) => lines,
            // The recorder was restarted meanwhile, or the file cannot be read: a fresh start
            // tries again, and gives up in the end.
            Err(error) => return cx.fail(error.to_string()),
        };
        let mut unreadable = 0;
        let mut lines = lines.iter();
        for entry in self.state.context.iter_mut().filter(|entry| entry.items.is_none()) {
            let Some(wanted) = entry.offset else { continue };
            let line = lines.find(|line| match line {
                ReplayLine::Line { offset, .. } | ReplayLine::Skipped { offset, .. } => {
                    *offset == wanted
                }
            });
            let content = match line {
                Some(ReplayLine::Line { line, .. }) => Entry::content(&line.record),
                _ => None,
            };
            unreadable += u32::from(content.is_none());
            let (source, items) = content.unwrap_or((entry.source, Vec::new()));
            (entry.source, entry.items) = (source, Some(items));
        }
        if unreadable > 0 {
            let text = format!("{unreadable} lines of the context cannot be read and are left out");
            self.append(Notice { level: Level::Warning, text }, cx);
        }
        self.advance(cx);
    }

    /// Whether what the directory says to the model is at hand; if not, it is being gathered.
    fn surroundings_at_hand(&mut self, cx: &mut Cx) -> bool {
        if self.gathered.is_some() {
            return true;
        }
        if !self.gathering {
            self.gathering = true;
            let settings = Arc::clone(&self.args.settings);
            let (shell, today) = self.args.crew.surroundings();
            let open = self.args.crew.opener(&settings);
            cx.task(move |life| async move {
                let work = move || prompt::gather(&settings, &open, &shell, &today);
                match tokio::task::spawn_blocking(work).await {
                    Ok(gathered) => {
                        let _refused = life.tell(ConversationMessage::Gathered(gathered));
                    }
                    // The runtime is ending, or the work panicked: that is this role's crash.
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                }
            });
        }
        false
    }

    pub(crate) fn on_gathered(&mut self, gathered: &Gathered, cx: &mut Cx) {
        self.gathering = false;
        self.gathered = Some(gathered.clone());
        self.advance(cx);
    }
}

/// A message of plain text from the user.
pub(crate) fn user_text(text: &str) -> Item {
    Item::User(UserItem { content: vec![Content::text(text)] })
}
