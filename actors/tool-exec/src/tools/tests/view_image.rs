//! `view_image` on real files.

use super::{folder, run, text};
use crate::tools::{MAX_IMAGE_BYTES, Scope};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::fs;
use troupe_types::Content;

const PNG: &[u8] = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xE0\x08\x06\0\0\0";
const GIF: &[u8] = b"GIF89a\x0A\0\x14\0\0\0\0";
const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x04ab\xFF\xDB\0\x03x\xFF\xC2\0\x0B\x08\0\x10\0\x20\x01\0";
const WEBP_X: &[u8] = b"RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\x3F\x01\0\xEF\0\0";
const WEBP_L: &[u8] = b"RIFF\0\0\0\0WEBPVP8L\x0A\0\0\0\x2F\x03\x40\0\0";
const WEBP: &[u8] = b"RIFF\0\0\0\0WEBPVP8 \x0A\0\0\0\0\0\0\x9D\x01\x2A\x40\x01\xF0\0";

#[test]
fn images_by_their_bytes_whatever_their_names() {
    let table = [
        ("a.png", PNG, "PNG, 640x480 pixels", "image/png"),
        ("b.txt", GIF, "GIF, 10x20 pixels", "image/gif"),
        ("c.png", JPEG, "JPEG, 32x16 pixels", "image/jpeg"),
        ("d", WEBP_X, "WebP, 320x240 pixels", "image/webp"),
        ("e", WEBP_L, "WebP, 4x2 pixels", "image/webp"),
        ("f", WEBP, "WebP, 320x240 pixels", "image/webp"),
        ("cut", &PNG[..12], "PNG", "image/png"),
    ];
    let files: Vec<(&str, &[u8])> = table.iter().map(|row| (row.0, row.1)).collect();
    let dir = folder(&files);
    for (name, bytes, about, media) in table {
        let arguments = format!("{{\"path\":\"{name}\"}}");
        let scope = Scope::new(dir.path(), 10_000, &|| false);
        let content = run("view_image", &arguments, scope).unwrap();
        let path = dir.path().join(name);
        let line = format!("{}: {about}, {} bytes", path.display(), bytes.len());
        let url = format!("data:{media};base64,{}", BASE64_STANDARD.encode(bytes));
        assert_eq!(content, [Content::text(line), Content::Image { url }]);
    }
}

#[test]
fn what_is_no_image_is_refused_with_a_remedy() {
    let dir = folder(&[
        ("a.txt", b"text"),
        ("b.svg", b"<?xml?><svg/>"),
        ("c", b"\0\0"),
        ("d", b""),
        ("sub/", b""),
    ]);
    let not = "not a PNG, JPEG, GIF or WebP image";
    let table = [
        ("a.txt", format!("error: @/a.txt is text, {not}: use read_file")),
        (
            "b.svg",
            format!(
                "error: @/b.svg is an SVG drawing, {not}: read it with read_file or convert it to PNG"
            ),
        ),
        ("c", format!("error: @/c is binary data, {not}: convert it first")),
        ("d", format!("error: @/d is an empty file, {not}: nothing to show")),
        ("sub", "error: @/sub is a directory, not an image file".to_owned()),
        ("a.tx", "error: @/a.tx does not exist (similar in @: a.txt)".to_owned()),
    ];
    for (name, expected) in table {
        assert_eq!(text(dir.path(), "view_image", &format!("{{\"path\":\"{name}\"}}")), expected);
    }
}

#[test]
fn a_large_image_is_refused() {
    let dir = folder(&[("a.png", PNG)]);
    let file = fs::File::options().write(true).open(dir.path().join("a.png")).unwrap();
    file.set_len(MAX_IMAGE_BYTES).unwrap();
    assert!(text(dir.path(), "view_image", r#"{"path":"a.png"}"#).contains("PNG, 640x480"));
    file.set_len(MAX_IMAGE_BYTES + 1).unwrap();
    assert_eq!(
        text(dir.path(), "view_image", r#"{"path":"a.png"}"#),
        "error: @/a.png has 8388609 bytes, more than the 8388608 an image may have: make a smaller copy"
    );
}
