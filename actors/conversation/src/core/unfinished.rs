//! A turn that ended before it was done, and how it goes on.
//!
//! [`Op::Continue`] after such a turn begins a new one: with the prompt that was never delivered, or
//! with a note that asks the model to go on from where the last one stopped.

use super::state::{Core, Stop};
use serde::{Deserialize, Serialize};
use troupe_types::{Op, Outcome, Submission};

/// What is left of a turn that was stopped or failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Unfinished {
    /// A schema that the answer had to follow.
    pub(crate) output_schema: Option<serde_json::Value>,
}

/// What the next operation finds in a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// The last turn has ended well, or there was none.
    #[default]
    None,
    /// A prompt that has not begun.
    Prompt,
    /// A turn that the end of an earlier process broke off.
    Turn,
    /// A turn that was interrupted or failed: [`Op::Continue`] begins another one for it.
    Unfinished,
}

impl Core {
    /// What there is to do.
    pub(crate) fn work(&self) -> Work {
        match &self.turn {
            Some(turn) if turn.stop.is_some() => Work::Unfinished,
            Some(_) => Work::Turn,
            None if !self.inbox.is_empty() => Work::Prompt,
            None if self.unfinished.is_some() || self.undelivered.is_some() => Work::Unfinished,
            None => Work::None,
        }
    }

    /// The user stops what runs. A prompt that has not reached the model is kept for
    /// [`Op::Continue`]; what was typed behind it is not run behind the user's back.
    pub(crate) fn interrupt(&mut self) {
        let own = self.turn.as_ref().map(|turn| turn.op);
        let first = self.inbox.drain(..).next();
        let own_prompt = |first: &Submission| {
            matches!(first.op, Op::Prompt { .. }) && own.is_none_or(|own| own == first.id)
        };
        if let Some(first) = first.filter(own_prompt) {
            self.undelivered = Some(first);
        }
        self.stop_turn(Stop::Cancelled);
    }

    /// The user asks to go on: what is left of the last turn is next.
    pub(crate) fn go_on(&mut self, submission: &Submission) {
        if self.inbox.is_empty() && self.work() == Work::Unfinished {
            let next = self.undelivered.take().unwrap_or_else(|| submission.clone());
            self.inbox.push_back(next);
        }
    }

    /// The turn is over. A prompt that it did not deliver begins no other turn.
    pub(crate) fn end_turn(&mut self, result: &Outcome) {
        let ended = self.turn.take();
        if let Some(turn) = &ended {
            self.inbox.retain(|submission| submission.id != turn.op);
        }
        match ended {
            _ if result.is_completed() => self.unfinished = None,
            // A summary that was asked for is no work that could go on.
            Some(turn) if turn.compact_only => {}
            Some(turn) => {
                self.unfinished = Some(Unfinished { output_schema: turn.output_schema });
            }
            None => {}
        }
    }
}
