//! Checkpoints: the state as one line, with the context as places in the log.

use super::{
    context::Entry,
    state::{Core, State},
};
use troupe_types::{Checkpoint, LinePlace};

/// Writes the checkpoint whose line will start at `at`, once the place of every entry is known.
pub(crate) fn write(state: &State, at: u64) -> Option<Checkpoint> {
    let line = |entry: &Entry| {
        let place = entry.place?;
        Some(LinePlace { offset: place.offset, seq: entry.seq, digest: place.digest })
    };
    let lines = state.context.iter().map(line).collect::<Option<_>>()?;
    Some(Checkpoint::new(at, lines, serde_json::to_string(&state.core).ok()?))
}

/// Reads one; `None` if it is of no use.
pub(crate) fn read(checkpoint: &Checkpoint) -> Option<State> {
    let mut core: Core = serde_json::from_str(&checkpoint.state).ok()?;
    // Its own number was the next one.
    core.next_seq = core.next_seq.checked_add(1)?;
    let context = checkpoint.lines.iter().copied().map(Entry::at).collect();
    Some(State { core, context })
}
