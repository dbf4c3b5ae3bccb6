//! The fold of a log, also for those who write or check one without a conversation.

use crate::core::{checkpoint, context::Place, state::State};
use troupe_messages::{Replay, ReplayLine};
use troupe_types::{CallId, Checkpoint, Record};

/// The state that follows from the records so far.
#[derive(Debug, Default)]
pub struct Fold(State);

impl Fold {
    /// The state that follows from a replay; `None` if its checkpoint is of no use.
    #[must_use]
    pub fn replayed(replay: &Replay) -> Option<Self> {
        let mut state = match &replay.checkpoint {
            Some((_, checkpoint)) => checkpoint::read(checkpoint)?,
            None => State::default(),
        };
        replay.rest.iter().for_each(|line| take(&mut state, line));
        state.core.next_seq = replay.next_seq;
        Some(Self(state))
    }

    /// Where the lines of the context start, in bytes.
    #[must_use]
    pub fn places(&self) -> Vec<u64> {
        self.0.context.iter().filter_map(|entry| entry.place).map(|place| place.offset).collect()
    }

    /// The open calls that would be started, with their tools: nothing says that they may have
    /// begun.
    pub fn not_begun(&self) -> impl Iterator<Item = (CallId, &str)> {
        let open = self.0.core.open_calls().filter(|call| !call.started);
        open.map(|call| (call.call, call.tool.as_str()))
    }

    pub(crate) fn into_state(self) -> State {
        self.0
    }

    /// Takes one more record, number `seq`, whose line starts at `offset` and has this digest.
    pub fn apply(&mut self, seq: u64, offset: u64, digest: u32, record: &Record) {
        self.0.apply(seq, Some(Place { offset, digest }), record);
    }

    /// Lets the items of the context go; their places are kept.
    pub fn forget_items(&mut self) {
        for entry in self.0.context.iter_mut().rev().take_while(|entry| entry.items.is_some()) {
            entry.items = None;
        }
    }

    /// The state as the checkpoint whose line will start at `at`.
    #[must_use]
    pub fn checkpoint(&self, at: u64) -> Option<Checkpoint> {
        checkpoint::write(&self.0, at)
    }
}

/// Takes the lines of a replay, in order.
pub(crate) fn take(state: &mut State, line: &ReplayLine) {
    match line {
        ReplayLine::Line { offset, digest, seq, line, .. } => {
            let place = Place { offset: *offset, digest: *digest };
            match seq {
                Some(seq) => state.apply(*seq, Some(place), &line.record),
                None => state.take_stray(place, &line.record),
            }
            if *seq != Some(line.seq) {
                state.core.doubt_open_calls();
            }
        }
        // It may have said that a call begins.
        ReplayLine::Skipped { seq, .. } => {
            state.core.doubt_open_calls();
            let after = seq.map_or(0, |seq| seq.saturating_add(1));
            state.core.next_seq = state.core.next_seq.max(after);
        }
    }
}
