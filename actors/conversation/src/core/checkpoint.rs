//! Checkpoints: the state as one line, with the context as places in the log.

use super::{
    context::Entry,
    state::{Core, State},
};
use troupe_types::Checkpoint;

/// Writes a checkpoint, once the place of every entry is known.
pub(crate) fn write(state: &State) -> Option<Checkpoint> {
    let mut context = Vec::with_capacity(state.context.len());
    let mut last = 0;
    for entry in &state.context {
        let offset = entry.offset?;
        context.push(offset.checked_sub(last)?);
        last = offset;
    }
    Some(Checkpoint { context, state: serde_json::to_string(&state.core).ok()? })
}

/// Reads one; `None` if it is of no use.
pub(crate) fn read(checkpoint: &Checkpoint) -> Option<State> {
    let core: Core = serde_json::from_str(&checkpoint.state).ok()?;
    let mut context = Vec::with_capacity(checkpoint.context.len());
    let mut offset = 0u64;
    for distance in &checkpoint.context {
        offset = offset.checked_add(*distance)?;
        context.push(Entry::at(offset));
    }
    Some(State { core, context })
}
