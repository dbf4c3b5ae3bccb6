//! What a file is, from its first bytes.

use std::fs::FileType;

/// Kinds of images that models take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    Png,
    Jpeg,
    Gif,
    WebP,
}

impl Image {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }
}

/// The kind of image that a file is, if it is one.
pub(super) fn image(start: &[u8]) -> Option<Image> {
    match start {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Image::Png),
        [0xFF, 0xD8, 0xFF, ..] => Some(Image::Jpeg),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Image::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Image::WebP),
        _ => None,
    }
}

/// What a file that is not text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Image(Image),
    Pdf,
    Utf16,
    /// Of another known kind, by its name.
    Known(&'static str),
    Unknown,
}

impl Binary {
    /// Its name for the model.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Image(Image::Png) => "PNG image",
            Self::Image(Image::Jpeg) => "JPEG image",
            Self::Image(Image::Gif) => "GIF image",
            Self::Image(Image::WebP) => "WebP image",
            Self::Pdf => "PDF document",
            Self::Utf16 => "UTF-16 text",
            Self::Known(name) => name,
            Self::Unknown => "binary data",
        }
    }
}

/// How files begin that are neither text nor images.
const KINDS: [(&[u8], Binary); 13] = [
    (b"%PDF-", Binary::Pdf),
    (b"\x7FELF", Binary::Known("ELF program or library")),
    (b"MZ", Binary::Known("Windows program")),
    (b"\xCF\xFA\xED\xFE", Binary::Known("macOS program")),
    (b"\0asm", Binary::Known("WebAssembly module")),
    (b"PK\x03\x04", Binary::Known("ZIP archive")),
    (b"\x1F\x8B", Binary::Known("gzip data")),
    (b"\x28\xB5\x2F\xFD", Binary::Known("Zstandard data")),
    (b"\xFD7zXZ\0", Binary::Known("XZ data")),
    (b"BZh", Binary::Known("bzip2 data")),
    (b"SQLite format 3\0", Binary::Known("SQLite database")),
    (b"\xFF\xFE", Binary::Utf16),
    (b"\xFE\xFF", Binary::Utf16),
];

/// What a file that is not text is; `None` if its start looks like text.
pub(super) fn binary(start: &[u8]) -> Option<Binary> {
    if let Some(image) = image(start) {
        return Some(Binary::Image(image));
    }
    // `MZ` and `BZh` are letters: text may begin with them.
    let known = KINDS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind);
    let nul = memchr::memchr(0, start).is_some();
    match known {
        Some(kind) if nul || kind == Binary::Pdf || !is_utf8(start) => Some(kind),
        _ => nul.then_some(Binary::Unknown),
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
