//! Reading a log: from the tail, from a place, or line by line. Never writes, never locks.

use crate::{LogPath, blob};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};
use troupe_messages::{Replay, ReplayLine};
use troupe_types::{Checkpoint, Line, LineError, LineHead, Record, is_blank_line};

/// The first block read from the tail; each next one is twice as long, up to [`BLOCK_MAX`].
const BLOCK: usize = 64 * 1024;
const BLOCK_MAX: usize = 4 * 1024 * 1024;
/// What is looked at first of each line to tell its number and kind; enough for a line that this
/// program wrote.
const HEAD: usize = 160;
/// The kind of a checkpoint.
const CHECKPOINT: &str = "Checkpoint";

/// A log opened for reading. An incomplete last line is not there yet.
pub struct LogReader {
    file: File,
    folder: PathBuf,
    /// Where the whole lines end.
    end: u64,
}

impl LogReader {
    /// Opens a log; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &LogPath) -> io::Result<Option<Self>> {
        let found = path.file().metadata();
        if found.is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is not a file"));
        }
        let file = match File::open(path.file()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        let end = last_newline(&file, len)?;
        Ok(Some(Self { file, folder: path.folder(), end }))
    }

    /// Where the whole lines end, in bytes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Reads no further than this, where more is being written.
    #[must_use]
    pub fn until(mut self, end: u64) -> Self {
        self.end = self.end.min(end);
        self
    }

    /// The number after the last line's.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_seq(&self) -> io::Result<u64> {
        let found = self.scan_back(self.end, |head| self.plausible(head))?;
        Ok(found.map_or(0, |(_, seq)| seq + 1))
    }

    /// The number of a line, unless there cannot be so many lines.
    pub(crate) fn plausible(&self, head: &LineHead<'_>) -> Option<u64> {
        (head.seq < self.end).then_some(head.seq)
    }

    /// Where the line with this number starts; `None` if there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, seq: u64) -> io::Result<Option<u64>> {
        let found = self.scan_back(self.end, |head| (head.seq == seq).then_some(()))?;
        Ok(found.map(|(offset, ())| offset))
    }

    /// Where the line with this number starts, or would start: after the last one before it. What
    /// stands there may be damaged.
    pub(crate) fn place_of(&self, seq: u64) -> io::Result<u64> {
        let before = |head: &LineHead<'_>| Some(head.seq).filter(|number| *number <= seq);
        let Some((offset, number)) = self.scan_back(self.end, before)? else { return Ok(0) };
        if number == seq {
            return Ok(offset);
        }
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(offset))?;
        Ok(offset + reader.take(self.end - offset).skip_until(b'\n')? as u64)
    }

    /// The last checkpoint that starts before `before`, and every line after it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn replay(&self, before: Option<u64>) -> io::Result<Replay> {
        let mut limit = before.unwrap_or(self.end).min(self.end);
        let mut from = 0;
        let mut checkpoint = None;
        while let Some((offset, ())) =
            self.scan_back(limit, |head| (head.kind == CHECKPOINT).then_some(()))?
        {
            if let Some((len, body)) = self.checkpoint_at(offset)? {
                from = offset + len;
                checkpoint = Some((offset, body));
                break;
            }
            limit = offset;
        }
        let rest = self.lines(from)?.collect::<io::Result<Vec<_>>>()?;
        Ok(Replay { checkpoint, rest, next_seq: self.next_seq()?, mended: None })
    }

    fn checkpoint_at(&self, offset: u64) -> io::Result<Option<(u64, Checkpoint)>> {
        let text = self.line_at(offset)?;
        let line = blob::parse(&text, &self.folder);
        Ok(match line.map(|line| line.record) {
            Ok(Record::Checkpoint(body)) => Some((text.len() as u64, body)),
            _ => None,
        })
    }

    /// The bytes of the line that starts at this place, with its end.
    fn line_at(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(offset))?;
        reader.take(self.end - offset).read_until(b'\n', &mut text)?;
        Ok(text)
    }

    /// The lines that start at these places, in ascending order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines_at(&self, offsets: &[u64]) -> io::Result<Vec<ReplayLine>> {
        let mut reader = BufReader::with_capacity(BLOCK, &self.file);
        reader.seek(SeekFrom::Start(0))?;
        let mut at = 0u64;
        let mut text = Vec::new();
        let mut lines = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            // Stays within the buffer where it can.
            reader.seek_relative(offset.cast_signed().wrapping_sub(at.cast_signed()))?;
            text.clear();
            reader.read_until(b'\n', &mut text)?;
            at = offset + text.len() as u64;
            lines.push(read_line(offset, &text, &self.folder));
        }
        Ok(lines)
    }

    /// Every line from this place on, but blank ones.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&self, from: u64) -> io::Result<impl Iterator<Item = io::Result<ReplayLine>>> {
        let mut reader = BufReader::with_capacity(BLOCK, &self.file);
        reader.seek(SeekFrom::Start(from))?;
        let mut reader = reader.take(self.end.saturating_sub(from));
        let mut offset = from;
        let mut text = Vec::new();
        Ok(std::iter::from_fn(move || {
            loop {
                text.clear();
                match reader.read_until(b'\n', &mut text) {
                    Ok(0) => return None,
                    Ok(len) => {
                        let start = offset;
                        offset += len as u64;
                        if !is_blank_line(&text) {
                            return Some(Ok(read_line(start, &text, &self.folder)));
                        }
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        }))
    }

    /// What `found` makes of the last line of one of these kinds that it takes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn last_of<T>(
        &self,
        kinds: &[&str],
        mut found: impl FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut limit = self.end;
        let is_one = |head: &LineHead<'_>| kinds.contains(&&*head.kind).then_some(());
        while let Some((offset, ())) = self.scan_back(limit, is_one)? {
            if let Some(one) = found(&self.line_at(offset)?) {
                return Ok(Some(one));
            }
            limit = offset;
        }
        Ok(None)
    }

    /// The last line that starts before `limit` and in whose head `wanted` finds something.
    fn scan_back<T>(
        &self,
        limit: u64,
        mut wanted: impl FnMut(&LineHead<'_>) -> Option<T>,
    ) -> io::Result<Option<(u64, T)>> {
        self.each_back(limit, |_, line| LineHead::parse(line).and_then(|head| wanted(&head)))
    }

    /// The last line that starts before `limit` and in which `wanted` finds something. It is given
    /// where the line starts and, of a line of our own form, at least the head.
    fn each_back<T>(
        &self,
        limit: u64,
        mut wanted: impl FnMut(u64, &[u8]) -> Option<T>,
    ) -> io::Result<Option<(u64, T)>> {
        let mut stop = limit;
        let mut size = BLOCK;
        let mut block = Vec::new();
        while stop > 0 {
            // Lines that start in [start, stop): each after a newline in [start - 1, stop - 1).
            let start = stop.saturating_sub(size as u64);
            let lead = u64::from(start > 0);
            let until = (stop + HEAD as u64).min(self.end);
            block.resize(usize::try_from(until - start + lead).unwrap_or(0), 0);
            read_exact_at(&self.file, &mut block, start - lead)?;
            let lead = usize::from(lead == 1);
            let mut upto = usize::try_from(stop - start).unwrap_or(0) + lead - 1;
            // Where the line ends, once that is known.
            let mut end = None;
            loop {
                let newline = memchr::memrchr(b'\n', &block[..upto]);
                let at = match newline {
                    Some(place) => place + 1,
                    None if start == 0 => 0,
                    None => break,
                };
                let offset = start + at as u64 - lead as u64;
                let end_here =
                    end.or_else(|| memchr::memchr(b'\n', &block[at..]).map(|len| at + len + 1));
                let line = &block[at..end_here.unwrap_or(block.len())];
                let ours = end_here.is_some() || LineHead::written_by_us(line).is_some();
                let found = match ours {
                    true => wanted(offset, line),
                    // It goes on behind what was read.
                    false => wanted(offset, &self.line_at(offset)?),
                };
                if let Some(found) = found {
                    return Ok(Some((offset, found)));
                }
                match newline {
                    Some(place) => (upto, end) = (place, Some(place + 1)),
                    None => break,
                }
            }
            stop = start;
            size = (size * 2).min(BLOCK_MAX);
        }
        Ok(None)
    }
}

/// The number after the last line's, or 0 without a log. Reads the tail only.
///
/// # Errors
/// When the log cannot be read.
pub fn next_seq(path: &LogPath) -> io::Result<u64> {
    LogReader::open(path)?.map_or(Ok(0), |reader| reader.next_seq())
}

pub(crate) fn read_line(offset: u64, text: &[u8], folder: &std::path::Path) -> ReplayLine {
    match blob::parse(text, folder) {
        Ok(line) => ReplayLine::Line { offset, len: text.len() as u64, line: Box::new(line) },
        Err(reason) => ReplayLine::Skipped { offset, reason },
    }
}

/// The place after the last newline before `len`.
pub(crate) fn last_newline(file: &File, len: u64) -> io::Result<u64> {
    let mut stop = len;
    let mut size = 256usize;
    let mut block = Vec::new();
    while stop > 0 {
        let start = stop.saturating_sub(size as u64);
        block.resize(usize::try_from(stop - start).unwrap_or(0), 0);
        read_exact_at(file, &mut block, start)?;
        if let Some(place) = memchr::memrchr(b'\n', &block) {
            return Ok(start + place as u64 + 1);
        }
        stop = start;
        size = (size * 2).min(BLOCK_MAX);
    }
    Ok(0)
}

#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
pub(crate) fn read_exact_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// Reads one line of a log, without context.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_line(text: &str, path: &LogPath) -> Result<Line, LineError> {
    blob::parse(text.as_bytes(), &path.folder())
}
