//! Server-sent events from bytes, in whatever pieces they arrive.
//!
//! Bounds: an event is at most [`MAX_EVENT`] bytes; one copy of an unfinished event is kept, and
//! its memory is given back when it was large. Tolerated: LF, CRLF and CR, a byte order mark, missing
//! `event:` lines, comments, data over several lines, a last event without its blank line.

use memchr::memchr2;

/// The largest event, in bytes.
pub(crate) const MAX_EVENT: usize = 64 << 20;

/// Above this an emptied buffer is given back.
const KEEP: usize = 1 << 20;

/// An event is larger than [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    /// The start of a line whose end has not arrived.
    line: Vec<u8>,
    /// The data of the event so far, from `data_start` on.
    data: Vec<u8>,
    data_start: usize,
    has_data: bool,
    name: String,
    /// The last piece ended in CR: a LF at the start of the next belongs to it.
    after_cr: bool,
    /// A line was seen, so a byte order mark can no longer come.
    begun: bool,
}

impl SseParser {
    /// Takes the next piece and gives each event that is complete (its name, often empty, and its
    /// data) to `sink`.
    pub(crate) fn feed(
        &mut self,
        mut piece: &[u8],
        sink: &mut dyn FnMut(&str, &[u8]),
    ) -> Result<(), TooLarge> {
        // The rest of a line end; a second LF is a line end of its own.
        if !piece.is_empty() && std::mem::take(&mut self.after_cr) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = memchr2(b'\n', b'\r', piece) {
            let (line, mut rest) = (&piece[..end], &piece[end + 1..]);
            if piece[end] == b'\r' {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            self.end_line(line, sink)?;
            piece = rest;
        }
        self.check(piece.len())?;
        self.line.extend_from_slice(piece);
        Ok(())
    }

    /// The stream is over: what is pending counts as complete.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(&str, &[u8])) -> Result<(), TooLarge> {
        if !self.line.is_empty() {
            self.end_line(b"", sink)?;
        }
        self.dispatch(sink);
        Ok(())
    }

    fn check(&self, more: usize) -> Result<(), TooLarge> {
        let size = self.line.len() + self.data.len() + more;
        if size > MAX_EVENT { Err(TooLarge) } else { Ok(()) }
    }

    fn end_line(&mut self, last: &[u8], sink: &mut dyn FnMut(&str, &[u8])) -> Result<(), TooLarge> {
        self.check(last.len())?;
        if self.line.is_empty() {
            let line = if self.begun { last } else { without_mark(last) };
            self.begun = true;
            match field(line) {
                Field::End => self.dispatch(sink),
                Field::Data(start) => self.add_data(&line[start..]),
                Field::Name(start) => self.set_name(&line[start..]),
                Field::Error(start) => self.add_error(&line[start..]),
                Field::Other => {}
            }
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(last);
        if !self.begun {
            let mark = line.len() - without_mark(&line).len();
            line.drain(..mark);
        }
        self.begun = true;
        match field(&line) {
            Field::End => self.dispatch(sink),
            // The line becomes the data, without a copy.
            Field::Data(start) if !self.has_data => {
                std::mem::swap(&mut self.data, &mut line);
                (self.data_start, self.has_data) = (start, true);
            }
            Field::Data(start) => self.add_data(&line[start..]),
            Field::Name(start) => self.set_name(&line[start..]),
            Field::Error(start) => self.add_error(&line[start..]),
            Field::Other => {}
        }
        line.clear();
        if line.capacity() <= KEEP {
            self.line = line;
        }
        Ok(())
    }

    fn add_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }

    /// Older llama.cpp writes `error: {…}` where `data:` belongs.
    fn add_error(&mut self, value: &[u8]) {
        self.set_name(b"error");
        self.add_data(value);
    }

    fn set_name(&mut self, value: &[u8]) {
        self.name.clear();
        self.name.push_str(&crate::json::utf8(value));
    }

    fn dispatch(&mut self, sink: &mut dyn FnMut(&str, &[u8])) {
        if self.has_data {
            sink(&self.name, &self.data[self.data_start..]);
        }
        self.has_data = false;
        self.data_start = 0;
        self.name.clear();
        self.data.clear();
        if self.data.capacity() > KEEP {
            self.data = Vec::new();
        }
    }
}

/// What a line is; the number is where its value starts.
enum Field {
    End,
    Data(usize),
    Name(usize),
    Error(usize),
    Other,
}

fn field(line: &[u8]) -> Field {
    let value = |name: usize| match line.get(name..name + 2) {
        Some(b": ") => name + 2,
        _ => (name + 1).min(line.len()),
    };
    let colon = line.iter().take(6).position(|&byte| byte == b':').unwrap_or(line.len());
    match &line[..colon] {
        b"" if line.is_empty() => Field::End,
        b"data" => Field::Data(value(4)),
        b"event" => Field::Name(value(5)),
        b"error" => Field::Error(value(5)),
        _ => Field::Other,
    }
}

fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
}

#[cfg(test)]
mod tests;
