//! Any bytes as the body of an answer on the Responses wire: nothing panics, and pieces of any size read as the
//! whole does.

#![no_main]

mod pieces;

use libfuzzer_sys::fuzz_target;
use troupe_providers::Wire;

fuzz_target!(|bytes: &[u8]| pieces::same(Wire::Responses, bytes));
