//! Following a log: every line from a number on, as far as it is published.

use crate::{
    LogPath, Published,
    reader::{LogReader, read_exact_at, read_line},
};
use std::{fs::File, io, path::PathBuf};
use tokio::sync::watch;
use troupe_messages::{FaultKind, ReplayLine, StorageFault};
use troupe_types::{Line, LineError, LineHead, is_blank_line};

/// What is read ahead at most, unless a line is longer, in bytes.
const READ_AHEAD: u64 = 256 * 1024;

/// What a follower finds.
#[derive(Debug)]
pub enum Followed {
    /// The next line.
    Line {
        /// Where it starts, in bytes.
        offset: u64,
        /// The line.
        line: Box<Line>,
    },
    /// A line that cannot be used.
    Skipped {
        /// Where it starts, in bytes.
        offset: u64,
        /// Why.
        reason: LineError,
    },
    /// The log cannot be written, or not be read.
    Fault(StorageFault),
    /// Nobody publishes any more, and everything has been read.
    Closed,
}

/// Reads a log's lines in an unbroken sequence, as they are published. It has a position and a
/// small buffer; how far it is behind costs nothing.
pub struct Follower {
    path: LogPath,
    folder: PathBuf,
    published: watch::Receiver<Published>,
    file: Option<File>,
    /// The number of the next line.
    seq: u64,
    /// Where the next line starts, once that is known.
    at: Option<u64>,
    /// What was read ahead; starts at `at`.
    buffer: Vec<u8>,
    /// How much of the buffer has been used.
    used: usize,
    /// How many faults were reported.
    faults: u64,
    /// It cannot be read: nothing more comes.
    broken: bool,
}

impl Follower {
    /// Follows from the line with this number on.
    #[must_use]
    pub fn new(path: LogPath, published: watch::Receiver<Published>, seq: u64) -> Self {
        let folder = path.folder();
        let at = (seq == 0).then_some(0);
        Self {
            path,
            folder,
            published,
            file: None,
            seq,
            at,
            buffer: Vec::new(),
            used: 0,
            faults: 0,
            broken: false,
        }
    }

    /// The number of the next line.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.seq
    }

    /// Whether everything published has been read.
    #[must_use]
    pub fn is_level(&self) -> bool {
        let published = self.published.borrow();
        let read = match self.at {
            Some(at) => at >= published.offset,
            None => self.seq >= published.next_seq,
        };
        self.broken || read && self.faults >= published.faults
    }

    /// The next line, waiting for it. Cancel-safe. Reads what it needs in place: it was written a
    /// moment ago.
    pub async fn next(&mut self) -> Followed {
        loop {
            let published = self.published.borrow_and_update().clone();
            if !self.broken {
                match self.read(&published) {
                    Ok(Some(found)) => return found,
                    Ok(None) => {}
                    Err(error) => {
                        self.broken = true;
                        let message = format!(
                            "the session's log {} cannot be read: {error}",
                            self.path.file().display()
                        );
                        return Followed::Fault(StorageFault { kind: FaultKind::Io, message });
                    }
                }
            }
            if published.faults > self.faults {
                self.faults = published.faults;
                if let Some(fault) = published.fault {
                    return Followed::Fault(fault);
                }
            }
            if self.published.changed().await.is_err() {
                return Followed::Closed;
            }
        }
    }

    fn read(&mut self, published: &Published) -> io::Result<Option<Followed>> {
        loop {
            let Some(at) = self.locate(published)? else { return Ok(None) };
            if at >= published.offset {
                return Ok(None);
            }
            let len = loop {
                if let Some(len) = memchr::memchr(b'\n', &self.buffer[self.used..]) {
                    break len + 1;
                }
                if !self.read_more(at, published.offset)? {
                    return Ok(None);
                }
            };
            let text = &self.buffer[self.used..self.used + len];
            // A number that was not given out is damaged.
            let seq = LineHead::parse(text).map(|head| head.seq);
            self.seq = seq.filter(|seq| *seq < published.next_seq).map_or(self.seq, |seq| seq + 1);
            let found = match is_blank_line(text) {
                true => None,
                false => Some(match read_line(at, text, &self.folder) {
                    ReplayLine::Line { offset, line, .. } => Followed::Line { offset, line },
                    ReplayLine::Skipped { offset, reason, .. } => {
                        Followed::Skipped { offset, reason }
                    }
                }),
            };
            self.used += len;
            self.at = Some(at + len as u64);
            if self.used == self.buffer.len() {
                self.used = 0;
                self.buffer.clear();
                self.buffer.shrink_to(usize::try_from(READ_AHEAD).unwrap_or(0));
            }
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Where the next line starts, if it is published.
    fn locate(&mut self, published: &Published) -> io::Result<Option<u64>> {
        if self.at.is_some() || self.seq > published.next_seq {
            return Ok(self.at);
        }
        self.at = if self.seq == published.next_seq {
            Some(published.offset)
        } else {
            let reader = LogReader::open(&self.path)?;
            let reader = reader.ok_or(io::ErrorKind::NotFound)?.until(published.offset);
            Some(reader.place_of(self.seq)?)
        };
        Ok(self.at)
    }

    /// Reads ahead up to `end`; false if there is nothing more.
    fn read_more(&mut self, at: u64, end: u64) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let from = at + self.buffer.len() as u64;
        let more = (end - from.min(end)).min(READ_AHEAD.max(self.buffer.len() as u64));
        if more == 0 {
            return Ok(false);
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(self.path.file())?),
        };
        let old = self.buffer.len();
        self.buffer.resize(old + usize::try_from(more).unwrap_or(0), 0);
        read_exact_at(file, &mut self.buffer[old..], from)?;
        Ok(true)
    }
}
