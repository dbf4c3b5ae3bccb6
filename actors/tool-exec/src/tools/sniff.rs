//! What a file is, from its first bytes.

use std::fs::FileType;

/// Kinds of images that models take, with their media type.
pub(super) fn image(start: &[u8]) -> Option<(&'static str, &'static str)> {
    match start {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(("PNG", "image/png")),
        [0xFF, 0xD8, 0xFF, ..] => Some(("JPEG", "image/jpeg")),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(("GIF", "image/gif")),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            Some(("WebP", "image/webp"))
        }
        _ => None,
    }
}

/// Other kinds of files that are not text.
const KINDS: [(&[u8], &str); 13] = [
    (b"%PDF-", "PDF document"),
    (b"\x7FELF", "ELF program or library"),
    (b"MZ", "Windows program"),
    (b"\xCF\xFA\xED\xFE", "macOS program"),
    (b"\0asm", "WebAssembly module"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1F\x8B", "gzip data"),
    (b"\x28\xB5\x2F\xFD", "Zstandard data"),
    (b"\xFD7zXZ\0", "XZ data"),
    (b"BZh", "bzip2 data"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"\xFF\xFE", "UTF-16 text"),
    (b"\xFE\xFF", "UTF-16 text"),
];

/// What a file that is not text is; `None` if its start looks like text.
pub(super) fn binary(start: &[u8]) -> Option<&'static str> {
    if let Some((name, _)) = image(start) {
        return Some(match name {
            "PNG" => "PNG image",
            "JPEG" => "JPEG image",
            "GIF" => "GIF image",
            _ => "WebP image",
        });
    }
    // `MZ` and `BZh` are letters: text may begin with them.
    let known = KINDS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind);
    let nul = memchr::memchr(0, start).is_some();
    match known {
        Some(kind) if nul || kind == "PDF document" || !is_utf8(start) => Some(kind),
        _ => nul.then_some("binary data"),
    }
}

/// Whether it is UTF-8, but for a last character that is cut.
fn is_utf8(start: &[u8]) -> bool {
    std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// What something is that is neither a file nor a folder.
pub(super) fn special(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_block_device() || kind.is_char_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a directory" } else { "not a regular file" }
}
