//! The form of a script: JSON, checked in full when it is read.

use crate::{ConnectError, file};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::{path::Path, sync::Arc, time::Duration};
use troupe_types::{CallInput, ErrorClass, Item};

/// A list of answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// The answers, in order.
    pub(crate) steps: Vec<Step>,
}

/// One answer of the model. A step without calls ends the turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Step {
    /// Thoughts, as one text or as deltas.
    #[serde(deserialize_with = "deltas")]
    pub(crate) reasoning: Vec<String>,
    /// Words, as one text or as deltas.
    #[serde(deserialize_with = "deltas")]
    pub(crate) text: Vec<String>,
    /// Tool calls.
    pub(crate) calls: Vec<ScriptCall>,
    /// What goes wrong: the first attempt at the step gets the first fault, and so on.
    pub(crate) faults: Vec<Fault>,
    /// The pause before each event, in milliseconds.
    pub(crate) pace_ms: u64,
    /// What the usage figures say.
    pub(crate) input_tokens: Option<u64>,
    /// What the usage figures say.
    pub(crate) output_tokens: Option<u64>,
    /// `false`: the model wants to go on although it called no tool.
    pub(crate) end_turn: Option<bool>,
}

/// A tool call: `input` is its JSON arguments, `text` free text in their place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptCall {
    /// The tool's name.
    pub(crate) tool: String,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default)]
    text: Option<String>,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// Silence of `ms` after that many events; the answer then goes on.
    Delay {
        ms: u64,
        #[serde(default)]
        after: usize,
    },
    /// The stream ends after that many events.
    Cut {
        #[serde(default)]
        after: usize,
    },
    /// A refusal.
    Error {
        class: ErrorClass,
        message: Option<String>,
        retry_after_ms: Option<u64>,
        status: Option<u16>,
    },
}

impl Script {
    /// Reads a script file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConnectError> {
        let fail = |cause| ConnectError::Script { path: path.display().to_string(), cause };
        let bytes = file::read(path).map_err(fail)?;
        let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?;
        Self::parse(&text).map_err(fail)
    }

    /// Reads a script.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let script: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if script.steps.is_empty() {
            return Err("it has no steps".to_owned());
        }
        for (number, step) in (1..).zip(&script.steps) {
            if step.calls.iter().any(|call| call.text.is_some() && call.input.is_some()) {
                return Err(format!("step {number}: a call has either `input` or `text`"));
            }
            let goes_on = step.end_turn == Some(false);
            if goes_on && (step.text.is_empty() || !step.calls.is_empty()) {
                return Err(format!("step {number}: `end_turn: false` needs a text and no calls"));
            }
        }
        Ok(script)
    }

    /// The step that answers a context: one step for every answer the context already holds. A step with
    /// calls is past when that many outputs are there, a step without when a further user
    /// message is. `None` when the script is over.
    pub(crate) fn position(&self, items: &[Arc<Item>]) -> Option<usize> {
        let count = |wanted: fn(&Item) -> bool| items.iter().filter(|item| wanted(item)).count();
        let mut outputs = count(|item| matches!(item, Item::Output(_)));
        let mut turns = count(|item| matches!(item, Item::User(_))).max(1) - 1;
        let mut said = count(|item| matches!(item, Item::Assistant(_)));
        self.steps.iter().position(|step| {
            let left = match step.calls.len() {
                // It asked to go on by itself: past once its words are in the context.
                0 if step.end_turn == Some(false) => &mut said,
                0 => &mut turns,
                _ => &mut outputs,
            };
            let needed = step.calls.len().max(1);
            let past = *left >= needed;
            if past {
                *left -= needed;
            }
            if !step.text.is_empty() && step.end_turn != Some(false) {
                said = said.saturating_sub(1);
            }
            !past
        })
    }
}

impl Step {
    pub(crate) fn pace(&self) -> Duration {
        Duration::from_millis(self.pace_ms)
    }
}

impl ScriptCall {
    pub(crate) fn input(&self) -> CallInput {
        match (&self.text, &self.input) {
            (Some(text), _) => CallInput::Text(text.clone()),
            (None, Some(json)) => CallInput::Json(json.get().to_owned()),
            (None, None) => CallInput::Json("{}".to_owned()),
        }
    }
}

fn deltas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Words::deserialize(deserializer)? {
        Words::One(text) => vec![text],
        Words::Many(deltas) => deltas,
    })
}
