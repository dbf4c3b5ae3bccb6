//! Reading a log: from the tail, from a place, or line by line. Never writes, never locks.

use crate::{LogPath, blob, order::order};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};
use troupe_messages::{Replay, ReplayLine};
use troupe_types::{
    Checkpoint, FORMAT, Line, LineError, LineHead, Record, is_blank_line, later_version,
    line_digest,
};

/// The first block read from the tail; each next one is twice as long, up to [`BLOCK_MAX`].
const BLOCK: usize = 64 * 1024;
const BLOCK_MAX: usize = 4 * 1024 * 1024;
/// What is looked at first of each line to tell its number and kind; enough for a line that this
/// program wrote.
const HEAD: usize = 160;
/// The kind of a checkpoint.
const CHECKPOINT: &str = "Checkpoint";

/// How a log ends.
#[derive(Default)]
pub(crate) struct Tail {
    /// The number after the last line's.
    pub(crate) next: u64,
    /// The form of a later program that a line has.
    pub(crate) later: Option<u32>,
}

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
        Ok(self.tail()?.next)
    }

    /// Reads from the end as far back as a checkpoint that fits; where a line until there is not
    /// as it should be, everything.
    pub(crate) fn tail(&self) -> io::Result<Tail> {
        let mut tail = Tail { next: 0, later: None };
        let mut sound = true;
        let mut expected = None;
        self.each_back(self.end, |offset, line| {
            if is_blank_line(line) {
                return None;
            }
            let Some(head) = LineHead::parse(line) else {
                sound = false;
                tail.later = tail.later.max(later_version(line));
                return None;
            };
            tail.later = tail.later.max(Some(head.version).filter(|version| *version > FORMAT));
            sound &= head.seq < self.end && expected.is_none_or(|seq| Some(head.seq) == seq);
            expected = Some(head.seq.checked_sub(1));
            tail.next = tail.next.max(head.seq.saturating_add(1));
            let checkpoint = sound && head.kind == CHECKPOINT;
            (checkpoint && self.fitting_checkpoint(offset).is_ok_and(|found| found.is_some()))
                .then_some(())
        })?;
        if !sound {
            tail.next = self.replay(None)?.next_seq;
        }
        Ok(tail)
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

    /// The last checkpoint that starts before `before` and still fits, and every line after it in
    /// order. Where lines are missing there, or belong before it, everything from the beginning.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn replay(&self, before: Option<u64>) -> io::Result<Replay> {
        let mut limit = before.unwrap_or(self.end).min(self.end);
        let is_one = |head: &LineHead<'_>| (head.kind == CHECKPOINT).then_some(());
        while let Some((offset, ())) = self.scan_back(limit, is_one)? {
            if let Some((after, seq, body)) = self.fitting_checkpoint(offset)? {
                let (replay, whole) = self.ordered(after, seq + 1)?;
                if whole {
                    return Ok(Replay { checkpoint: Some((offset, body)), ..replay });
                }
                break;
            }
            limit = offset;
        }
        Ok(self.ordered(0, 0)?.0)
    }

    /// The lines from this place on, in order, and whether they are all there.
    fn ordered(&self, from: u64, first: u64) -> io::Result<(Replay, bool)> {
        let found = self.lines(from)?.collect::<io::Result<Vec<_>>>()?;
        let later = found.iter().filter_map(|line| match line {
            ReplayLine::Skipped { reason: LineError::Version { version }, .. } => Some(*version),
            _ => None,
        });
        let later = later.max();
        let ordered = order(found, first, self.end);
        let replay = Replay {
            checkpoint: None,
            rest: ordered.lines,
            flaws: ordered.flaws,
            later,
            next_seq: ordered.next,
            mended: None,
            fault: None,
        };
        Ok((replay, ordered.whole))
    }

    /// The checkpoint whose line starts here, with the place behind it and its number, if it and
    /// every line it points at are as it says.
    fn fitting_checkpoint(&self, offset: u64) -> io::Result<Option<(u64, u64, Checkpoint)>> {
        let text = self.line_at(offset)?;
        let Ok(Line { seq, record: Record::Checkpoint(body), .. }) =
            blob::parse(&text, &self.folder)
        else {
            return Ok(None);
        };
        let behind = body.lines.iter().all(|line| line.offset < offset);
        if body.at != offset || !body.is_whole() || !behind || seq >= self.end {
            return Ok(None);
        }
        let mut digests = body.lines.iter().map(|line| line.digest);
        let mut fits = true;
        self.each_at(body.lines.iter().map(|line| line.offset), |_, text| {
            fits &= digests.next() == Some(line_digest(text));
        })?;
        Ok(fits.then_some((offset + text.len() as u64, seq, body)))
    }

    /// The bytes of the line that starts at this place, with its end.
    fn line_at(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(offset))?;
        reader.take(self.end - offset).read_until(b'\n', &mut text)?;
        Ok(text)
    }

    /// The lines that start at these places; quickest in ascending order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines_at(&self, offsets: &[u64]) -> io::Result<Vec<ReplayLine>> {
        let mut lines = Vec::with_capacity(offsets.len());
        self.each_at(offsets.iter().copied(), |offset, text| {
            lines.push(read_line(offset, text, &self.folder));
        })?;
        Ok(lines)
    }

    fn each_at(
        &self,
        offsets: impl Iterator<Item = u64>,
        mut each: impl FnMut(u64, &[u8]),
    ) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(BLOCK, &self.file);
        reader.seek(SeekFrom::Start(0))?;
        let mut at = 0u64;
        let mut text = Vec::new();
        for offset in offsets {
            // Stays within the buffer where it can.
            reader.seek_relative(offset.cast_signed().wrapping_sub(at.cast_signed()))?;
            text.clear();
            reader.read_until(b'\n', &mut text)?;
            at = offset + text.len() as u64;
            each(offset, &text);
        }
        Ok(())
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

    /// Whether there is any line of a log in it.
    pub(crate) fn holds_lines(&self) -> io::Result<bool> {
        Ok(self.scan_back(self.end, |_| Some(()))?.is_some())
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
        Ok(line) => ReplayLine::Line {
            offset,
            len: text.len() as u64,
            digest: line_digest(text),
            seq: Some(line.seq),
            line: Box::new(line),
        },
        Err(reason) => {
            let seq = LineHead::parse(text).map(|head| head.seq);
            ReplayLine::Skipped { offset, seq, reason }
        }
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
