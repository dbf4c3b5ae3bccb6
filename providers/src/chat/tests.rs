//! What the finish reasons of an answer are worth.

use super::Decoder;
use crate::{
    Endpoint, Wire,
    events::{Decode, Events, Rest},
};
use std::{collections::HashSet, sync::Arc};

/// What may be missing after chunks with these words and finish reasons.
fn rest(chunks: &[(&str, &str)]) -> Rest {
    let endpoint = Arc::new(Endpoint::new("x", Wire::Chat, "http://h/v1"));
    let (mut decoder, mut out) = (Decoder::new(endpoint, HashSet::new()), Events::default());
    for (words, reason) in chunks {
        let chunk = format!(
            "{{\"choices\":[{{\"delta\":{{\"content\":\"{words}\"}},\"finish_reason\":{reason}}}]}}"
        );
        decoder.event("", chunk.as_bytes(), &mut out).unwrap();
    }
    decoder.rest()
}

#[test]
fn a_finish_reason_ends_an_answer_unless_it_is_on_every_chunk() {
    const STOP: &str = "\"stop\"";
    for (chunks, expected) in [
        (&[("a", "null")][..], Rest::More),
        (&[("a", "\"null\"")], Rest::More),
        (&[("a", "\"\"")], Rest::More),
        (&[("a", "null"), ("", STOP)], Rest::Figures),
        (&[("a", "null"), ("b", STOP)], Rest::Figures),
        (&[("a", "null"), ("", STOP), ("", "null")], Rest::Figures),
        (&[("a", STOP)], Rest::Unsure),
        (&[("a", STOP), ("b", STOP)], Rest::Unsure),
        (&[("a", STOP), ("b", STOP), ("", STOP)], Rest::Figures),
        (&[("a", "null"), ("", STOP), ("b", "null")], Rest::Unsure),
    ] {
        assert_eq!(rest(chunks), expected, "{chunks:?}");
    }
}
