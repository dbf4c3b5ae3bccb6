//! The fold of a log, for those who write one without a conversation.

use crate::core::{Work, checkpoint, state::State};
use troupe_messages::{Replay, ReplayLine};
use troupe_types::{Checkpoint, Record};

/// The state that follows from the records so far.
#[derive(Debug, Default)]
pub struct Fold(State);

impl Fold {
    /// Takes one more record, number `seq`, whose line starts at `offset`.
    pub fn apply(&mut self, seq: u64, offset: u64, record: &Record) {
        self.0.apply(seq, Some(offset), record);
    }

    /// Lets the items of the context go; their places are kept.
    pub fn forget_items(&mut self) {
        for entry in self.0.context.iter_mut().rev().take_while(|entry| entry.items.is_some()) {
            entry.items = None;
        }
    }

    /// The state as a checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        checkpoint::write(&self.0)
    }
}

/// What is left to do in a session.
#[must_use]
pub fn work(replay: &Replay) -> Work {
    let checkpoint = replay.checkpoint.as_ref();
    let mut state =
        checkpoint.and_then(|(_, checkpoint)| checkpoint::read(checkpoint)).unwrap_or_default();
    for entry in &replay.rest {
        if let ReplayLine::Line { offset, line, .. } = entry {
            state.apply(line.seq, Some(*offset), &line.record);
        }
    }
    state.core.work()
}
