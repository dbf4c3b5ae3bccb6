//! `read_file`: numbered lines of a text file, streamed.

use super::{ReadFileArgs, Scope, path, sniff, sniff::Binary};
use crate::output::partial_char;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// The most bytes of one line that are shown.
const MAX_LINE: usize = 2000;
/// Up to this size a file is read to its end to tell how many lines it has.
const COUNT_BYTES: u64 = 256 * 1024 * 1024;
const BUFFER: usize = 64 * 1024;
const EMPTY: &str = "[the file is empty]";

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// It does not exist.
    #[error("{path} does not exist{hint}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Similar names.
        hint: String,
    },
    /// It is a folder.
    #[error("{0} is a directory: use list_dir")]
    Directory(PathBuf),
    /// It is a pipe, a socket, a device.
    #[error("{path} is {kind}, not a file: use shell")]
    Special {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It is not text.
    #[error("{path} is not UTF-8 text but {kind} ({bytes} bytes): {remedy}")]
    Binary {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// Its size.
        bytes: u64,
        /// What helps.
        remedy: &'static str,
    },
    /// It has fewer lines.
    #[error("{path} has only {lines} lines: offset {offset} is past its end")]
    PastEnd {
        /// The file.
        path: PathBuf,
        /// How many lines it has.
        lines: u64,
        /// The line asked for.
        offset: u64,
    },
    /// The system says no.
    #[error("cannot read {path}: {}", path::reason(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user stopped it.
    #[error("stopped by the user")]
    Cancelled,
}

/// The lines of a text file as `L<number>: text`, with notes in brackets at the end: which lines
/// these are, and what else there is to know (bytes that are not UTF-8, CRLF line ends).
///
/// # Errors
/// See [`ReadFileError`].
pub fn read_file(args: &ReadFileArgs, scope: Scope<'_>) -> Result<String, ReadFileError> {
    let path = path::resolve(scope.cwd, &args.path);
    if scope.denies(&path) {
        return Err(ReadFileError::Io { path, source: path::denied() });
    }
    let (file, size) = open(&path)?;
    let mut reader = Lines { reader: BufReader::with_capacity(BUFFER, file), scope };
    let failed = |error: io::Error| failed(&path, error, scope);
    let start = reader.reader.fill_buf().map_err(failed)?;
    if let Some(kind) = sniff::binary(&start[..start.len().min(8192)]) {
        return Err(binary(path, kind, size));
    }
    if start.is_empty() {
        return Ok(EMPTY.to_owned());
    }
    let bom = start.starts_with(b"\xEF\xBB\xBF");
    if bom {
        reader.reader.consume(3);
    }
    let skipped = reader.skip(args.offset - 1).map_err(failed)?;
    let mut page = Page { bom, ..Page::default() };
    let ended = page.fill(&mut reader, args, scope.room()).map_err(failed)?;
    if page.lines == 0 && args.offset == 1 {
        return Ok(EMPTY.to_owned());
    }
    if page.lines == 0 {
        return Err(ReadFileError::PastEnd { path, lines: skipped, offset: args.offset });
    }
    let total = match ended {
        true => Some(skipped + page.lines),
        false if size <= COUNT_BYTES => {
            Some(skipped + page.lines + reader.skip(u64::MAX).map_err(failed)?)
        }
        false => None,
    };
    Ok(page.finish(args.offset, total))
}

fn open(path: &Path) -> Result<(File, u64), ReadFileError> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ReadFileError::Missing { path: path.to_owned(), hint: path::hint(path) }
        }
        _ => ReadFileError::Io { path: path.to_owned(), source: error },
    };
    // Opening a pipe would wait for its other end, so the kind comes first.
    let meta = fs::metadata(path).map_err(missing)?;
    if meta.is_dir() {
        return Err(ReadFileError::Directory(path.to_owned()));
    }
    if !meta.is_file() {
        let kind = sniff::special(meta.file_type());
        return Err(ReadFileError::Special { path: path.to_owned(), kind });
    }
    Ok((File::open(path).map_err(missing)?, meta.len()))
}

fn failed(path: &Path, source: io::Error, scope: Scope<'_>) -> ReadFileError {
    if (scope.cancelled)() {
        return ReadFileError::Cancelled;
    }
    ReadFileError::Io { path: path.to_owned(), source }
}

fn binary(path: PathBuf, kind: Binary, bytes: u64) -> ReadFileError {
    let remedy = match kind {
        Binary::Utf16 => "convert it with iconv -f UTF-16 -t UTF-8",
        Binary::Image(_) => "use view_image",
        Binary::Pdf | Binary::Known(_) | Binary::Unknown => {
            "use shell with a program for such files"
        }
    };
    ReadFileError::Binary { path, kind: kind.name(), bytes, remedy }
}

/// A file read line by line, never held as a whole.
struct Lines<'a> {
    reader: BufReader<File>,
    scope: Scope<'a>,
}

impl Lines<'_> {
    /// The next bytes; empty at the end. An error once cancelled.
    fn chunk(&mut self) -> io::Result<&[u8]> {
        if (self.scope.cancelled)() {
            return Err(io::Error::other("stopped by the user"));
        }
        self.reader.fill_buf()
    }

    /// Passes over up to `lines` lines and says how many there were.
    fn skip(&mut self, lines: u64) -> io::Result<u64> {
        let mut passed = 0;
        let mut inside = false;
        while passed < lines {
            let chunk = self.chunk()?;
            let (len, newlines) = (chunk.len(), memchr::memchr_iter(b'\n', chunk).count() as u64);
            if len == 0 {
                return Ok(passed + u64::from(inside));
            }
            if passed + newlines < lines {
                inside = chunk[len - 1] != b'\n';
                passed += newlines;
                self.reader.consume(len);
                continue;
            }
            let nth = usize::try_from(lines - passed - 1).unwrap_or(usize::MAX);
            let end = memchr::memchr_iter(b'\n', chunk).nth(nth).map_or(len, |at| at + 1);
            self.reader.consume(end);
            passed = lines;
        }
        Ok(passed)
    }

    /// Reads a line without its `\n` into `line`, up to [`MAX_LINE`] bytes, and says how many bytes
    /// it is longer; `None` at the end of the file.
    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        line.clear();
        let (mut dropped, mut any) = (0, false);
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(any.then_some(dropped));
            }
            any = true;
            let newline = memchr::memchr(b'\n', chunk);
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            let kept = part.len().min(MAX_LINE - line.len());
            line.extend_from_slice(&part[..kept]);
            dropped += (part.len() - kept) as u64;
            let used = part.len() + usize::from(newline.is_some());
            self.reader.consume(used);
            if newline.is_some() {
                return Ok(Some(dropped));
            }
        }
    }
}

/// The lines gathered so far.
#[derive(Default)]
struct Page {
    text: String,
    lines: u64,
    full: bool,
    lossy: bool,
    crlf: bool,
    bom: bool,
}

impl Page {
    /// Takes lines up to the limit or the room, and says whether the file ended.
    fn fill(&mut self, from: &mut Lines<'_>, args: &ReadFileArgs, room: usize) -> io::Result<bool> {
        let mut line = Vec::new();
        while self.lines < args.limit {
            let Some(dropped) = from.next(&mut line)? else { return Ok(true) };
            let before = self.text.len();
            self.add(args.offset + self.lines, &line, dropped);
            if self.text.len() > room && self.lines > 0 {
                self.text.truncate(before);
                self.full = true;
                // The line is read but not shown: it is counted as the first of those left.
                return Ok(false);
            }
            self.lines += 1;
        }
        Ok(from.chunk()?.is_empty())
    }

    fn add(&mut self, number: u64, line: &[u8], dropped: u64) {
        let mut line = line;
        let mut dropped = dropped;
        if dropped > 0 {
            let partial = partial_char(line);
            line = &line[..line.len() - partial];
            dropped += partial as u64;
        } else if let Some(rest) = line.strip_suffix(b"\r") {
            line = rest;
            self.crlf = true;
        }
        let text = String::from_utf8_lossy(line);
        self.lossy |= matches!(text, std::borrow::Cow::Owned(_));
        let _ = write!(self.text, "L{number}: {text}");
        if dropped > 0 {
            let _ = write!(self.text, "…[{dropped} more bytes in this line]");
        }
        self.text.push('\n');
    }

    fn finish(mut self, offset: u64, total: Option<u64>) -> String {
        let last = offset + self.lines - 1;
        let total = total.map(|total| total + u64::from(self.full));
        if total != Some(last) {
            let of = total.map_or("a large file".to_owned(), |total| total.to_string());
            let why = if self.full { "; output full" } else { "" };
            let _ = writeln!(
                self.text,
                "[lines {offset}-{last} of {of}{why}; next offset {}]",
                last + 1
            );
        }
        for (is, note) in [
            (self.lossy, "[bytes that are not UTF-8 are shown as \u{FFFD}]\n"),
            (self.crlf, "[lines end with CRLF]\n"),
            (self.bom, "[the file begins with a byte order mark]\n"),
        ] {
            if is {
                self.text.push_str(note);
            }
        }
        self.text.truncate(self.text.trim_end_matches('\n').len());
        self.text
    }
}
