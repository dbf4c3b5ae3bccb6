//! Any bytes as the body of an answer, on either wire: `cargo +nightly fuzz run answer`.
//!
//! The first byte chooses the wire, the second the size of the pieces. Beside not panicking, the answer
//! must read the same whole and in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use troupe_providers::{Endpoint, WireApi, read_recorded};

static ENDPOINTS: LazyLock<[Endpoint; 2]> = LazyLock::new(|| {
    [WireApi::Responses, WireApi::Chat].map(|wire| Endpoint::new("fuzz", wire, "http://localhost/v1"))
});

fuzz_target!(|bytes: &[u8]| {
    let [wire, size, body @ ..] = bytes else { return };
    let endpoint = &ENDPOINTS[usize::from(wire % 2)];
    let (whole, result) = read_recorded(endpoint, &[], [body]);
    let pieces = body.chunks(usize::from(*size).max(1));
    let (pieced, pieced_result) = read_recorded(endpoint, &[], pieces);
    assert_eq!(whole.len(), pieced.len());
    assert_eq!(result, pieced_result);
});
