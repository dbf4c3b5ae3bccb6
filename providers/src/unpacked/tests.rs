//! Packed bodies, whole and in any pieces.

use super::{BodyError, Unpacker};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use std::io::Write;

fn unpacked(encoding: &str, body: &[u8], size: usize) -> Result<Vec<u8>, BodyError> {
    let mut unpacker = Unpacker::new(encoding);
    let mut all = Vec::new();
    for piece in body.chunks(size) {
        all.extend(unpacker.feed(piece)?);
    }
    all.extend(unpacker.finish()?);
    Ok(all)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_body_is_unpacked_by_its_header_or_its_first_bytes() {
    let text = "data: {\"a\": 1}\n\n".repeat(2000).into_bytes();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&text).unwrap();
    let zlib = zlib.finish().unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    raw.write_all(&text).unwrap();
    let raw = raw.finish().unwrap();
    let two = [gzip(&text[..100]), gzip(&text[100..])].concat();
    for (encoding, body) in [
        ("", &text),
        ("identity", &text),
        ("gzip", &gzip(&text)),
        ("X-GZIP", &gzip(&text)),
        ("", &gzip(&text)),
        ("gzip", &two),
        // Said to be packed and is not.
        ("gzip", &text),
        ("deflate", &zlib),
        ("deflate", &raw),
    ] {
        for size in [1, 7, 4096, body.len()] {
            assert_eq!(unpacked(encoding, body, size).unwrap(), text, "{encoding:?} by {size}");
        }
    }
    assert_eq!(unpacked("", b"", 1).unwrap(), b"");
    assert_eq!(unpacked("gzip", b"(", 1).unwrap(), b"(");
}

#[test]
fn what_cannot_be_unpacked_is_named() {
    for (encoding, body, name) in [
        ("br", &b"\x8b\x02\x80hi\x03"[..], "br"),
        ("zstd", b"\x28\xb5\x2f\xfd", "zstd"),
        ("", b"\x28\xb5\x2f\xfd", "zstd"),
        ("gzip, br", b"x", "gzip, br"),
    ] {
        let error = unpacked(encoding, body, 1).unwrap_err();
        assert!(error.to_string().contains(&format!("compressed ({name})")), "{error}");
    }
}

#[test]
fn what_was_cut_is_read_as_far_as_it_came() {
    let text = b"data: some words that are long enough\n\n".repeat(50);
    let packed = gzip(&text);
    let mut unpacker = Unpacker::new("gzip");
    let mut all = Vec::new();
    for piece in packed[..packed.len() - 12].chunks(3) {
        all.extend(unpacker.feed(piece).unwrap());
    }
    assert!(text.starts_with(&all));
    assert!(matches!(unpacker.finish(), Err(BodyError::Broken(_))));
}

/// What can be read of a body, and why not all of it.
fn readable(encoding: &str, body: &[u8], size: usize) -> (Vec<u8>, Option<String>) {
    let (bytes, result) = crate::unpack_recorded(encoding, body.chunks(size));
    (bytes, result.err())
}

#[test]
fn a_fault_is_met_at_the_same_place_in_any_pieces() {
    let text: Vec<u8> =
        (0..30u32).flat_map(|n| format!("data: {}\n\n", n * n).into_bytes()).collect();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&text).unwrap();
    let zlib = zlib.finish().unwrap();
    for (encoding, body) in [("gzip", gzip(&text)), ("deflate", zlib)] {
        for at in (2..body.len()).step_by(4) {
            let mut damaged = body.clone();
            damaged[at] ^= 0x5a;
            let whole = readable(encoding, &damaged, damaged.len());
            for size in [1, 7, 256] {
                assert_eq!(
                    whole,
                    readable(encoding, &damaged, size),
                    "{encoding} at {at} by {size}"
                );
            }
            let cut = readable(encoding, &body[..at], at);
            assert!(text.starts_with(&cut.0) && cut.1.is_some(), "{encoding} cut at {at}: {cut:?}");
            assert_eq!(cut, readable(encoding, &body[..at], 1), "{encoding} cut at {at}");
        }
    }
}

#[test]
fn words_arrive_before_the_end() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"data: first\n\n").unwrap();
    encoder.flush().unwrap();
    let first = std::mem::take(encoder.get_mut());
    let mut unpacker = Unpacker::new("gzip");
    assert_eq!(unpacker.feed(&first).unwrap(), b"data: first\n\n");
}
