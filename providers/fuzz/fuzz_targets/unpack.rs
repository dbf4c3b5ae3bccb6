//! Any bytes as a packed body: nothing panics, pieces of any size give the bytes of the whole, and what was
//! packed is what comes out.

#![no_main]

#[allow(dead_code, reason = "answers are for the other targets")]
mod pieces;

use flate2::{Compression, write};
use libfuzzer_sys::fuzz_target;
use std::io::Write;
use troupe_providers::unpack_recorded;

const ENCODINGS: [&str; 4] = ["", "gzip", "deflate", "gzip, br"];

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let Some((body, pieces)) = pieces::body(rest) else { return };
    let encoding = ENCODINGS[usize::from(kind % 4)];
    let whole = unpack_recorded(encoding, [body]);
    let pieced = unpack_recorded(encoding, pieces.iter().copied());
    assert_eq!(whole, pieced);
    assert_eq!(whole, unpack_recorded(encoding, body.chunks(1)));
    let packed = pack(kind / 4 % 3, body);
    let encoding = if kind / 4 % 3 == 0 { "" } else { "deflate" };
    let size = usize::from(rest[0]).max(1);
    let (unpacked, result) = unpack_recorded(encoding, packed.chunks(size));
    assert_eq!((unpacked.as_slice(), result), (body, Ok(())));
});

fn pack(how: u8, body: &[u8]) -> Vec<u8> {
    let level = Compression::new(u32::from(how) * 4);
    let packed = match how {
        0 => packed(write::GzEncoder::new(Vec::new(), level), body).finish(),
        1 => packed(write::ZlibEncoder::new(Vec::new(), level), body).finish(),
        _ => packed(write::DeflateEncoder::new(Vec::new(), level), body).finish(),
    };
    packed.expect("packing into memory")
}

fn packed<W: Write>(mut encoder: W, body: &[u8]) -> W {
    encoder.write_all(body).expect("packing into memory");
    encoder
}
