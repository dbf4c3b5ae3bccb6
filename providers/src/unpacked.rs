//! The body of an answer as it was before it was compressed.
//!
//! No compression is asked for, but gateways compress all the same, some without a word. gzip and
//! deflate are read; others are named. A piece of an answer unpacks to at most about a thousand
//! times its size.

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::{Response, header::CONTENT_ENCODING};
use std::io::{self, Write};

/// Why no more of a body can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// It is compressed in a way that cannot be read.
    #[error(
        "it is compressed ({0}), which cannot be read: switch the compression off at the server or the gateway before it"
    )]
    Compressed(String),
}

/// A body on its way.
pub(crate) struct Body {
    response: Response,
    unpacker: Unpacker,
    over: bool,
}

impl Body {
    /// The body of a response.
    pub(crate) fn new(response: Response) -> Self {
        let named = response.headers().get_all(CONTENT_ENCODING).iter();
        let named: Vec<_> = named.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let unpacker = Unpacker::new(&named.join(","));
        Self { response, unpacker, over: false }
    }

    /// Status and headers.
    pub(crate) fn response(&self) -> &Response {
        &self.response
    }

    /// The next piece; it may be empty. `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, BodyError> {
        if self.over {
            return Ok(None);
        }
        let piece = self.response.chunk().await;
        let piece =
            piece.map_err(|error| BodyError::Broken(crate::http::causes(&error.without_url())))?;
        match piece {
            Some(piece) if self.unpacker.is_plain() => Ok(Some(piece)),
            Some(piece) => Ok(Some(self.unpacker.feed(&piece)?.into())),
            None => {
                let last = self.unpacker.finish()?;
                self.over = last.is_empty();
                Ok((!last.is_empty()).then(|| last.into()))
            }
        }
    }
}

/// Unpacks a body piece by piece.
pub(crate) enum Unpacker {
    Plain,
    /// Its first bytes decide: what a header says is not always so.
    Undecided {
        deflate: bool,
        start: Vec<u8>,
    },
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
    Unknown(String),
    /// It cannot be read from here on.
    Damaged,
}

impl Unpacker {
    /// For a body with this list of encodings.
    pub(crate) fn new(encodings: &str) -> Self {
        let names = encodings.split(',').map(|name| name.trim().to_ascii_lowercase());
        // Some servers write what is none: a character set, or how the bytes are sent.
        let none = |name: &str| {
            matches!(
                name,
                "" | "identity" | "none" | "utf-8" | "utf8" | "binary" | "8bit" | "chunked"
            )
        };
        let names: Vec<_> = names.filter(|name| !none(name)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        match names[..] {
            [] | ["gzip" | "x-gzip"] => Self::Undecided { deflate: false, start: Vec::new() },
            ["deflate"] => Self::Undecided { deflate: true, start: Vec::new() },
            _ => Self::Unknown(names.join(", ")),
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// The bytes in the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Vec<u8>, BodyError> {
        match self {
            Self::Plain => Ok(piece.to_vec()),
            Self::Undecided { deflate, start } => {
                start.extend_from_slice(piece);
                if start.len() < 2 && is_beginning(start, *deflate) {
                    return Ok(Vec::new());
                }
                let (deflate, start) = (*deflate, std::mem::take(start));
                *self = Self::decide(deflate, &start);
                self.feed(&start)
            }
            Self::Gzip(decoder) => {
                let (bytes, fault) = unpack(&mut **decoder, piece, MultiGzDecoder::get_mut);
                self.rest(bytes, fault)
            }
            Self::Zlib(decoder) => {
                let (bytes, fault) = unpack(decoder, piece, ZlibDecoder::get_mut);
                self.rest(bytes, fault)
            }
            Self::Deflate(decoder) => {
                let (bytes, fault) = unpack(decoder, piece, DeflateDecoder::get_mut);
                self.rest(bytes, fault)
            }
            Self::Unknown(name) => Err(BodyError::Compressed(name.clone())),
            Self::Damaged => Err(damaged()),
        }
    }

    fn decide(deflate: bool, start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            [0x28, 0xb5, ..] => Self::Unknown("zstd".to_owned()),
            // RFC 1950: the two bytes are a multiple of 31.
            [a, b, ..]
                if deflate && a & 0xf == 8 && (256 * u32::from(*a) + u32::from(*b)) % 31 == 0 =>
            {
                Self::Zlib(ZlibDecoder::new(Vec::new()))
            }
            _ if deflate => Self::Deflate(DeflateDecoder::new(Vec::new())),
            _ => Self::Plain,
        }
    }

    /// The bytes are over: the last ones, until there are none.
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>, BodyError> {
        let (fault, unpacked) = match self {
            Self::Plain => return Ok(Vec::new()),
            Self::Undecided { start, .. } => return Ok(std::mem::take(start)),
            Self::Gzip(decoder) => (decoder.try_finish().err(), decoder.get_mut()),
            Self::Zlib(decoder) => (decoder.try_finish().err(), decoder.get_mut()),
            Self::Deflate(decoder) => (decoder.try_finish().err(), decoder.get_mut()),
            Self::Unknown(name) => return Err(BodyError::Compressed(name.clone())),
            Self::Damaged => return Err(damaged()),
        };
        let bytes = std::mem::take(unpacked);
        self.rest(bytes, fault)
    }

    /// What could be read before a fault is read first.
    fn rest(&mut self, bytes: Vec<u8>, fault: Option<io::Error>) -> Result<Vec<u8>, BodyError> {
        if fault.is_some() {
            *self = Self::Damaged;
            if bytes.is_empty() {
                return self.finish();
            }
        }
        Ok(bytes)
    }
}

/// Whether one byte may be the first of a packed body.
fn is_beginning(start: &[u8], deflate: bool) -> bool {
    deflate || matches!(start, [] | [0x1f | 0x28])
}

fn damaged() -> BodyError {
    BodyError::Broken("the compressed answer is damaged or cut".to_owned())
}

fn unpack<D: Write>(
    decoder: &mut D,
    piece: &[u8],
    unpacked: impl Fn(&mut D) -> &mut Vec<u8>,
) -> (Vec<u8>, Option<io::Error>) {
    // What is there is handed on at once: a stream is not over for a long time.
    let fault = decoder.write_all(piece).and_then(|()| decoder.flush()).err();
    if fault.is_some() {
        // Writing begins with handing on what was unpacked before the fault; it fails again, of course.
        let _ = decoder.write(&[0]);
    }
    (std::mem::take(unpacked(decoder)), fault)
}

#[cfg(test)]
mod tests;
