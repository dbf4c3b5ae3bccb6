//! `view_image`: an image file as content the model can see.

use super::{Scope, ViewImageArgs, path, sniff, sniff::Image};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use troupe_types::Content;

/// The largest image that is shown, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 8 * 1024 * 1024;

/// Why an image cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewImageError {
    /// It does not exist.
    #[error("{path} does not exist{hint}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Similar names.
        hint: String,
    },
    /// It is a folder, a pipe, a device.
    #[error("{path} is {kind}, not an image file")]
    NotFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It is too large.
    #[error(
        "{path} has {bytes} bytes, more than the {MAX_IMAGE_BYTES} an image may have: make a smaller copy"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is no image that models take.
    #[error("{path} is {kind}, not a PNG, JPEG, GIF or WebP image: {remedy}")]
    NotImage {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// What helps.
        remedy: &'static str,
    },
    /// The system says no.
    #[error("cannot read {path}: {}", path::reason(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A line about the image (kind, size in pixels and bytes), and the image as a `data:` URL.
///
/// # Errors
/// See [`ViewImageError`].
pub fn view_image(args: &ViewImageArgs, scope: Scope<'_>) -> Result<Vec<Content>, ViewImageError> {
    let path = path::resolve(scope.cwd, &args.path);
    if scope.denies(&path) {
        return Err(ViewImageError::Io { path, source: path::denied() });
    }
    let bytes = read(&path)?;
    let Some(image) = sniff::image(&bytes) else { return Err(not_image(path, &bytes)) };
    let (name, media) = (image.name(), image.media_type());
    let pixels =
        dimensions(image, &bytes).map_or(String::new(), |(w, h)| format!(", {w}x{h} pixels"));
    let text = format!("{}: {name}{pixels}, {} bytes", path.display(), bytes.len());
    let url = format!("data:{media};base64,{}", BASE64_STANDARD.encode(&bytes));
    Ok(vec![Content::text(text), Content::Image { url }])
}

fn read(path: &Path) -> Result<Vec<u8>, ViewImageError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ViewImageError::Missing { path: path.to_owned(), hint: path::hint(path) }
        }
        _ => ViewImageError::Io { path: path.to_owned(), source },
    };
    let meta = fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        let kind = sniff::special(meta.file_type());
        return Err(ViewImageError::NotFile { path: path.to_owned(), kind });
    }
    let too_large = |bytes| ViewImageError::TooLarge { path: path.to_owned(), bytes };
    if meta.len() > MAX_IMAGE_BYTES {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    // It may have grown since its size was read.
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        Err(too_large(bytes.len() as u64))
    } else {
        Ok(bytes)
    }
}

fn not_image(path: PathBuf, bytes: &[u8]) -> ViewImageError {
    let start = &bytes[..bytes.len().min(8192)];
    let (kind, remedy) = match sniff::binary(start) {
        _ if bytes.is_empty() => ("an empty file", "nothing to show"),
        Some(kind) => (kind.name(), "convert it first"),
        None if memchr::memmem::find(start, b"<svg").is_some() => {
            ("an SVG drawing", "read it with read_file or convert it to PNG")
        }
        None => ("text", "use read_file"),
    };
    ViewImageError::NotImage { path, kind, remedy }
}

/// Width and height, where the header tells.
fn dimensions(image: Image, bytes: &[u8]) -> Option<(u32, u32)> {
    match image {
        Image::Png => Some((big(bytes, 16, 4)?, big(bytes, 20, 4)?)),
        Image::Gif => Some((little(bytes, 6, 2)?, little(bytes, 8, 2)?)),
        Image::Jpeg => jpeg(bytes),
        Image::WebP => webp(bytes),
    }
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((little(bytes, 24, 3)? + 1, little(bytes, 27, 3)? + 1)),
        b"VP8 " => Some((little(bytes, 26, 2)? & 0x3FFF, little(bytes, 28, 2)? & 0x3FFF)),
        b"VP8L" => {
            let bits = little(bytes, 21, 4)?;
            Some(((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1))
        }
        _ => None,
    }
}

/// Walks the segments to the frame header, whose marker is C0 to CF without C4, C8 and CC.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    while *bytes.get(at)? == 0xFF {
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xFF => at += 1,
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                return Some((big(bytes, at + 7, 2)?, big(bytes, at + 5, 2)?));
            }
            0x01 | 0xD0..=0xD8 => at += 2,
            _ => at += 2 + usize::try_from(big(bytes, at + 2, 2)?).ok()?,
        }
    }
    None
}

fn big(bytes: &[u8], at: usize, len: usize) -> Option<u32> {
    Some(bytes.get(at..at + len)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

fn little(bytes: &[u8], at: usize, len: usize) -> Option<u32> {
    Some(bytes.get(at..at + len)?.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}
