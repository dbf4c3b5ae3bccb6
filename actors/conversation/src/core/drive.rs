//! What happens next: a function of the state, asked after every input.
//!
//! Each step appends a record or starts something, so that asking again moves on; when nothing can
//! be done before something else reports, there is no step.

use super::{
    Effect, Effects, Machine, StreamPlan,
    append::After,
    context::{Entry, Place, assemble},
    silence::{self, AfterAnswer},
    state::Stop,
};
use crate::prompt;
use std::{sync::Arc, time::Duration};
use troupe_messages::{Cut, Durability, Gathered, ReplayError, ReplayLine};
use troupe_types::{
    Content, ContextItem, ContextKind, ErrorClass, Failure, Item, ItemAdded, Level, ModelRequest,
    Notice, Op, OpId, Outcome, RequestId, RequestOutcome, RequestStarted, Role, ToolSpec,
    TurnFinished, TurnId, TurnStarted, UserItem,
};

impl Machine {
    /// Does what can be done now.
    pub(crate) fn advance(&mut self, out: &mut Effects) {
        let live = &self.live;
        if live.storage.is_some() || live.read_only.is_some() || live.held || live.failed {
            return;
        }
        if self.live.settled && !self.live.reconciled {
            self.live.reconciled = true;
            self.reconcile(out);
        }
        self.watch_turn(out);
        while self.next(out) {}
        self.watch_turn(out);
    }

    fn next(&mut self, out: &mut Effects) -> bool {
        let Some(turn) = &self.state.core.turn else { return self.begin_turn(out) };
        let stop = turn.stop;
        if self.state.core.running_request().is_some()
            || self.state.core.open_calls().next().is_some()
        {
            return self.schedule(stop, out);
        }
        match stop {
            Some(Stop::Cancelled) => return self.finish_interrupted(Outcome::Cancelled, out),
            Some(Stop::TimedOut) => return self.finish_interrupted(Outcome::TimedOut, out),
            None => {}
        }
        let request = turn.request.as_ref();
        let compaction = request.is_some_and(|request| request.compaction);
        match request.and_then(|request| request.result.clone()) {
            None if turn.compact_only => self.start_compaction(out),
            None => self.start_request(out),
            Some(RequestOutcome::Completed) if compaction => self.replace_context(out),
            Some(RequestOutcome::Completed) => self.after_answer(out),
            Some(RequestOutcome::Cancelled) => self.finish_interrupted(Outcome::Cancelled, out),
            Some(RequestOutcome::Cut { reason, .. }) => self.after_cut(compaction, &reason, out),
            Some(RequestOutcome::Failed(failure)) => self.after_failure(compaction, failure, out),
        }
    }

    fn after_answer(&mut self, out: &mut Effects) -> bool {
        let Some(turn) = &self.state.core.turn else { return false };
        if !turn.calls.is_empty() || self.prompt_waits() {
            return self.start_request(out);
        }
        let wants_more = turn.request.as_ref().is_some_and(|r| r.end_turn == Some(false));
        match silence::after(turn) {
            AfterAnswer::GoOn if wants_more => self.start_request(out),
            AfterAnswer::AskAgain => self.ask_again(out),
            AfterAnswer::GoOn | AfterAnswer::Complete => {
                self.finish_turn(Outcome::Completed, out);
                true
            }
            AfterAnswer::Fail(failure) => {
                self.finish_turn(Outcome::Failed(failure), out);
                true
            }
        }
    }

    fn prompt_waits(&self) -> bool {
        self.state.core.inbox.iter().any(|waiting| matches!(waiting.op, Op::Prompt { .. }))
    }

    fn after_cut(&mut self, compaction: bool, reason: &str, out: &mut Effects) -> bool {
        let retries = self.state.core.turn.as_ref().map_or(0, |turn| turn.retries);
        let most = self.setup.settings.stream_retries;
        if retries > most {
            let message = format!("{reason} (given up after {most} retries)");
            self.finish_turn(Outcome::failed(ErrorClass::Network, message), out);
            return true;
        }
        if self.state.core.turn.as_ref().is_some_and(|turn| turn.after_cut.is_none()) {
            // No wait and no retry: the stream was gone with an actor or a process.
            let text = format!("the answer was interrupted and is requested again: {reason}");
            self.append(Notice { level: Level::Warning, text }, out);
        }
        if compaction { self.start_compaction(out) } else { self.start_request(out) }
    }

    fn after_failure(&mut self, compaction: bool, failure: Failure, out: &mut Effects) -> bool {
        if failure.class == ErrorClass::ContextWindow && self.shrink(compaction) {
            return self.start_compaction(out);
        }
        self.finish_turn(Outcome::Failed(failure), out);
        true
    }

    /// Begins the next turn, if something waits and everything it needs is at hand.
    fn begin_turn(&mut self, out: &mut Effects) -> bool {
        let Some(first) = self.state.core.inbox.front() else { return false };
        let (op, continues) = (first.id, first.op == Op::Continue);
        if !self.context_at_hand(out) || !self.surroundings_at_hand(out) {
            return false;
        }
        let turn = TurnId::new();
        let settings = Arc::clone(&self.setup.settings);
        self.append(
            TurnStarted {
                turn,
                op,
                provider: settings.provider.clone(),
                model: settings.model.clone(),
            },
            out,
        );
        let gathered = self.live.gathered.take().unwrap_or_default();
        for item in gathered.items {
            if !self.state.core.was_told(&item) {
                self.append(ItemAdded { op: None, item }, out);
            }
        }
        for text in gathered.warnings {
            if self.live.warned.insert(text.clone()) {
                self.append(Notice { level: Level::Warning, text }, out);
            }
        }
        if continues {
            let item = Item::Context(ContextItem {
                kind: ContextKind::Note,
                role: Role::User,
                text: prompt::GO_ON.to_owned(),
                files: Vec::new(),
            });
            self.append(ItemAdded { op: None, item }, out);
        }
        self.live.compact_skip = 0;
        out.push(Effect::Warm);
        true
    }

    /// Delivers what the user said meanwhile: all of it, or one prompt.
    fn deliver_prompts(&mut self, only: Option<OpId>, out: &mut Effects) {
        let prompts: Vec<_> = self
            .state
            .core
            .inbox
            .iter()
            .filter(|waiting| only.is_none_or(|op| op == waiting.id))
            .filter_map(|waiting| match &waiting.op {
                Op::Prompt { content, .. } => Some((waiting.id, content.clone())),
                _ => None,
            })
            .collect();
        for (op, content) in prompts {
            self.append(ItemAdded { op: Some(op), item: Item::User(UserItem { content }) }, out);
        }
    }

    pub(crate) fn start_request(&mut self, out: &mut Effects) -> bool {
        if !self.context_at_hand(out) {
            return false;
        }
        if self.is_context_full() {
            return self.start_compaction(out);
        }
        self.deliver_prompts(None, out);
        self.append_request(false, out)
    }

    pub(crate) fn append_request(&mut self, compaction: bool, out: &mut Effects) -> bool {
        let Some(turn) = &self.state.core.turn else { return false };
        let request = RequestId::new();
        let record = RequestStarted {
            request,
            turn: turn.turn,
            compaction,
            boot: self.setup.boot.to_string(),
        };
        self.append_then(record, After::Stream(request), out);
        false
    }

    /// The record of the request is written: asks the model.
    pub(crate) fn start_stream(&mut self, request: RequestId, out: &mut Effects) {
        let Some(open) = self.state.core.open_request(request) else { return };
        let compaction = open.compaction;
        let Some(turn) = &self.state.core.turn else { return };
        if turn.stop.is_some() {
            // The turn was stopped while the record was on its way to the log.
            return self.close_request(request, RequestOutcome::Cancelled, None, None, 0, out);
        }
        let settings = &self.setup.settings;
        let (mut items, tools): (_, Arc<[ToolSpec]>) = if compaction {
            (self.items_to_summarise(), Arc::new([]))
        } else {
            (assemble(&self.state.context), Arc::clone(&self.setup.tools))
        };
        items.shrink_to_fit();
        let request = ModelRequest {
            session: self.setup.session,
            request,
            model: settings.model.clone(),
            instructions: settings.instructions.as_deref().unwrap_or(prompt::INSTRUCTIONS).into(),
            items,
            tools,
            effort: settings.effort.clone(),
            summary: settings.summary.clone(),
            verbosity: settings.verbosity.clone(),
            max_output_tokens: settings.max_output_tokens,
            output_schema: turn.output_schema.clone().filter(|_| !compaction),
        };
        let cut = turn.after_cut.clone();
        let after_cut = cut.map(|(reason, ms)| Cut { reason, wait: ms.map(Duration::from_millis) });
        let retries = turn.retries;
        self.live.stream = Some(request.request);
        out.push(Effect::StartStream(Box::new(StreamPlan { request, after_cut, retries })));
    }

    fn finish_interrupted(&mut self, outcome: Outcome, out: &mut Effects) -> bool {
        let item = Item::Context(ContextItem {
            kind: ContextKind::Interrupted,
            role: Role::User,
            text: prompt::INTERRUPTED.to_owned(),
            files: Vec::new(),
        });
        self.append(ItemAdded { op: None, item }, out);
        self.finish_turn(outcome, out);
        true
    }

    /// Ends the turn: synced to the disk before anybody is told. A prompt that no request has
    /// carried yet joins the context, so that it neither is lost nor begins another turn.
    pub(crate) fn finish_turn(&mut self, result: Outcome, out: &mut Effects) {
        let Some(op) = self.state.core.turn.as_ref().map(|turn| turn.op) else { return };
        self.deliver_prompts(Some(op), out);
        let Some(turn) = &self.state.core.turn else { return };
        let record = TurnFinished {
            turn: turn.turn,
            no_final_message: result.is_completed() && turn.silent > 0,
            result,
            usage: self.state.core.usage,
            uncounted: self.state.core.uncounted,
        };
        self.live.attempts.clear();
        self.live.looked.clear();
        self.append_with(record.into(), Durability::Synced, None, Some(After::Idle), out);
    }

    /// Lets the items of the context go; they are read again when they are needed.
    pub(crate) fn let_context_go(&mut self) {
        if self.state.core.turn.is_some() || !self.state.core.inbox.is_empty() {
            return;
        }
        for entry in &mut self.state.context {
            if entry.place.is_some() {
                entry.items = None;
            }
        }
        self.state.context.shrink_to_fit();
        self.live.tools.shrink_to_fit();
        self.live.waiting.shrink_to_fit();
        self.live.attempts.shrink_to_fit();
        self.live.looked.shrink_to_fit();
    }

    /// Returns true if every item of the context is in memory; otherwise has them read.
    pub(crate) fn context_at_hand(&mut self, out: &mut Effects) -> bool {
        let missing = |entry: &&Entry| entry.items.is_none();
        let offsets: Vec<u64> = self
            .state
            .context
            .iter()
            .filter(missing)
            .filter_map(|entry| entry.place)
            .map(|place| place.offset)
            .collect();
        if offsets.is_empty() {
            return true;
        }
        if !self.live.reading {
            self.live.reading = true;
            out.push(Effect::ReadContext(offsets));
        }
        false
    }

    pub(crate) fn on_context_read(
        &mut self,
        lines: &Result<Vec<ReplayLine>, ReplayError>,
        out: &mut Effects,
    ) {
        self.live.reading = false;
        let lines = match lines {
            Ok(lines) => lines,
            // The recorder was restarted meanwhile, or the file cannot be read: a fresh start
            // tries again, and gives up in the end.
            Err(error) => return self.fail(error.to_string(), out),
        };
        let mut unreadable = 0;
        let mut lines = lines.iter();
        for entry in self.state.context.iter_mut().filter(|entry| entry.items.is_none()) {
            let Some(Place { offset: wanted, .. }) = entry.place else { continue };
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
            self.append(Notice { level: Level::Warning, text }, out);
        }
    }

    /// Returns true if the texts of the session's directory are in memory; otherwise has them read.
    fn surroundings_at_hand(&mut self, out: &mut Effects) -> bool {
        if self.live.gathered.is_some() {
            return true;
        }
        if !self.live.gathering {
            self.live.gathering = true;
            out.push(Effect::Gather);
        }
        false
    }

    pub(crate) fn on_gathered(&mut self, gathered: &Gathered) {
        self.live.gathering = false;
        self.live.gathered = Some(gathered.clone());
    }
}

/// A message of plain text from the user.
pub(crate) fn user_text(text: &str) -> Item {
    Item::User(UserItem { content: vec![Content::text(text)] })
}
