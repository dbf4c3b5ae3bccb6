//! Any bytes as a stream of events: nothing panics, and pieces of any size give the events of the whole.

#![no_main]

#[allow(dead_code, reason = "answers are for the other targets")]
mod pieces;

use libfuzzer_sys::fuzz_target;
use troupe_providers::split_recorded;

fuzz_target!(|bytes: &[u8]| {
    let Some((body, pieces)) = pieces::body(bytes) else { return };
    let whole = split_recorded([body]);
    assert_eq!(whole, split_recorded(pieces));
    assert_eq!(whole, split_recorded(body.chunks(1)));
    let size: usize = whole.iter().flatten().map(|(name, data)| name.len() + data.len()).sum();
    // A byte that is no text takes three as a name.
    assert!(size <= 3 * body.len());
});
