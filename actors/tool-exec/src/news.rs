//! What front ends are shown of an output while it comes: the latest of it, in whole characters.
//!
//! At most [`SHOWN`] bytes are held; what is older is left out, since it can be read in the file.

use crate::output::{orphaned, partial_char};
use std::collections::VecDeque;
use troupe_types::OutputStream;

/// What is held at most, in bytes.
pub(crate) const SHOWN: usize = 8 * 1024;
/// How many pieces are held at most: outputs that alternate byte by byte are not shown as such.
const PIECES: usize = 64;

/// Bytes of one stream that follow each other.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    stream: OutputStream,
    /// Where it begins in the call's output.
    offset: u64,
    bytes: Vec<u8>,
}

/// A piece to be shown: its stream, where it begins in the call's output, its text.
pub(crate) type Shown = (OutputStream, u64, String);

/// The latest of an output that has not been shown.
#[derive(Debug, Default)]
pub(crate) struct News {
    pieces: VecDeque<Piece>,
    held: usize,
    /// Bytes of the call's output so far.
    total: u64,
    /// Something came since it was last taken.
    fresh: bool,
}

impl News {
    /// Takes the next bytes of the output.
    pub(crate) fn push(&mut self, stream: OutputStream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.fresh = true;
        let skipped = bytes.len().saturating_sub(SHOWN);
        let (offset, latest) = (self.total + skipped as u64, &bytes[skipped..]);
        self.total += bytes.len() as u64;
        self.held += latest.len();
        match self.pieces.back_mut() {
            Some(last) if last.stream == stream && skipped == 0 => {
                last.bytes.extend_from_slice(latest);
            }
            _ => self.pieces.push_back(Piece { stream, offset, bytes: latest.to_vec() }),
        }
        self.forget_oldest();
        if skipped > 0 {
            self.begin_whole();
        }
    }

    fn forget_oldest(&mut self) {
        while self.pieces.len() > PIECES {
            self.held -= self.pieces.pop_front().map_or(0, |piece| piece.bytes.len());
        }
        let mut surplus = self.held.saturating_sub(SHOWN);
        if surplus == 0 {
            return;
        }
        while let Some(first) = self.pieces.front_mut() {
            if first.bytes.len() > surplus {
                first.forget(surplus);
                self.held -= surplus;
                break;
            }
            surplus -= first.bytes.len();
            self.held -= first.bytes.len();
            self.pieces.pop_front();
        }
        self.begin_whole();
    }

    /// Leaves out what is left of a character whose start was left out.
    fn begin_whole(&mut self) {
        if let Some(first) = self.pieces.front_mut() {
            let rest = orphaned(&first.bytes);
            first.forget(rest);
            self.held -= rest;
        }
    }

    /// Whether there is something that was not there when it was last taken.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// What is to be shown now. A last character that is not complete waits, unless the output has
    /// ended; bytes that are no text become U+FFFD.
    pub(crate) fn take(&mut self, ended: bool) -> Vec<Shown> {
        self.fresh = false;
        let waiting = if ended { None } else { self.take_partial() };
        let pieces = std::mem::take(&mut self.pieces);
        self.held = waiting.as_ref().map_or(0, |piece| piece.bytes.len());
        self.pieces.extend(waiting);
        let whole = pieces.into_iter().filter(|piece| !piece.bytes.is_empty());
        whole
            .map(|piece| {
                let text = String::from_utf8_lossy(&piece.bytes).into_owned();
                (piece.stream, piece.offset, text)
            })
            .collect()
    }

    fn take_partial(&mut self) -> Option<Piece> {
        let last = self.pieces.back_mut()?;
        let whole = last.bytes.len() - partial_char(&last.bytes);
        let bytes = last.bytes.split_off(whole);
        let offset = last.offset + whole as u64;
        (!bytes.is_empty()).then_some(Piece { stream: last.stream, offset, bytes })
    }
}

impl Piece {
    fn forget(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        self.offset += bytes as u64;
    }
}

#[cfg(test)]
mod tests;
