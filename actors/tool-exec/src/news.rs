//! What front ends are shown of an output while it comes: the latest of it, in whole characters.
//!
//! At most [`SHOWN`] bytes are held; what is older is left out, since it can be read in the file.

use crate::output::orphaned;

/// What is held at most, in bytes.
pub(crate) const SHOWN: usize = 8 * 1024;

/// The latest of an output that has not been shown.
#[derive(Debug, Default)]
pub(crate) struct News {
    latest: Vec<u8>,
    /// Bytes of the call's output so far.
    total: u64,
}

impl News {
    /// Takes the next bytes of the output: whole characters, but at its end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let surplus = (self.latest.len() + bytes.len()).saturating_sub(SHOWN);
        let old = surplus.min(self.latest.len());
        self.latest.drain(..old);
        self.latest.extend_from_slice(&bytes[surplus - old..]);
        if surplus > 0 {
            // What is left of a character whose start was left out.
            self.latest.drain(..orphaned(&self.latest));
        }
    }

    /// Whether there is something that was not shown.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.latest.is_empty()
    }

    /// What is to be shown now: where it begins in the call's output, in bytes, and its text. Bytes
    /// that are no text become U+FFFD.
    pub(crate) fn take(&mut self) -> Option<(u64, String)> {
        if self.latest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.latest);
        let offset = self.total - bytes.len() as u64;
        Some((offset, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests;
