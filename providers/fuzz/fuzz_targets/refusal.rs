//! Any bytes as the body and the headers of a refusal: nothing panics, the text is bounded and has no key
//! in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe_providers::{Endpoint, Secret, Wire, refuse_recorded};

const KEY: &str = "sk-0123456789";

fuzz_target!(|bytes: &[u8]| {
    let Some((&[high, low], rest)) = bytes.split_first_chunk::<2>() else { return };
    let status = 300 + u16::from_be_bytes([high, low]) % 300;
    let mut endpoint = Endpoint::new("fuzz", Wire::Chat, "http://localhost/v1");
    endpoint.key = Some(Secret::new(KEY));
    let text = String::from_utf8_lossy(rest);
    let (head, body) = text.split_once("\n\n").unwrap_or(("", &text));
    let headers: Vec<_> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let error = refuse_recorded(&endpoint, status, &headers, body.as_bytes());
    let message = &error.failure.message;
    assert!(!message.contains(KEY), "{message}");
    assert!(message.len() <= head.len() + 8 * 1024, "{} bytes", message.len());
});
