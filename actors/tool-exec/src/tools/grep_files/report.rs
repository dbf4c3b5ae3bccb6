//! The growing answer of a search: bounded in lines and bytes.

use crate::output::partial_char;
use grep_searcher::{Searcher, Sink, SinkContext, SinkContextKind, SinkMatch};
use std::{fmt::Write as _, io};

/// The most bytes of one line that are shown.
const MAX_LINE: usize = 400;

/// What has been found.
pub(super) struct Report {
    text: String,
    matches: usize,
    limit: usize,
    room: usize,
    searched: u64,
    /// There is at least one match more than the limit.
    over_limit: bool,
    /// There is more than the room holds.
    over_room: bool,
    /// Files (or folders) that could not be read.
    pub(super) unreadable: u64,
    /// Files left out as binary.
    pub(super) binary: u64,
}

impl Report {
    pub(super) fn new(limit: usize, room: usize) -> Self {
        Self {
            text: String::new(),
            matches: 0,
            limit,
            room,
            searched: 0,
            over_limit: false,
            over_room: false,
            unreadable: 0,
            binary: 0,
        }
    }

    /// Whether nothing more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.over_limit || self.over_room
    }

    /// Takes what is found in the file called `label`.
    pub(super) fn file<'a>(&'a mut self, label: &'a str) -> FileReport<'a> {
        self.searched += 1;
        FileReport {
            start: self.text.len(),
            matches: self.matches,
            first: true,
            label,
            report: self,
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.text.ends_with("\n--\n") {
            self.text.truncate(self.text.len() - 3);
        }
        if self.matches == 0 {
            let _ = writeln!(self.text, "No matches in {} files.", self.searched);
        } else if self.over_room {
            let _ = writeln!(
                self.text,
                "[output full after {} matches, there are more: narrow pattern, path or include]",
                self.matches
            );
        } else if self.over_limit {
            let _ = writeln!(
                self.text,
                "[first {} matches, there are more: narrow the search or raise limit]",
                self.matches
            );
        }
        if self.unreadable > 0 {
            let _ = writeln!(self.text, "[{} files could not be read]", self.unreadable);
        }
        self.text.truncate(self.text.trim_end_matches('\n').len());
        self.text
    }

    /// Adds a line; `false` if there is no room.
    fn line(&mut self, label: &str, separator: char, number: Option<u64>, bytes: &[u8]) -> bool {
        let before = self.text.len();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let _ = write!(self.text, "{label}{separator}{}{separator}", number.unwrap_or(0));
        if bytes.len() <= MAX_LINE {
            self.text.push_str(&String::from_utf8_lossy(bytes));
        } else {
            let cut = &bytes[..MAX_LINE];
            let cut = &cut[..MAX_LINE - partial_char(cut)];
            self.text.push_str(&String::from_utf8_lossy(cut));
            let _ = write!(self.text, "…[{} more bytes]", bytes.len() - cut.len());
        }
        self.text.push('\n');
        if self.text.len() > self.room && before > 0 {
            self.text.truncate(before);
            self.over_room = true;
        }
        !self.over_room
    }
}

/// What is found in one file.
pub(super) struct FileReport<'a> {
    report: &'a mut Report,
    label: &'a str,
    /// Where the file's lines start, and the matches before it: to take them back.
    start: usize,
    matches: usize,
    first: bool,
}

impl FileReport<'_> {
    fn gap(&mut self) {
        if !self.report.text.is_empty() {
            self.report.text.push_str("--\n");
        }
    }

    /// With context, a file's first line is set apart from the file before it.
    fn begin_lines(&mut self, searcher: &Searcher) {
        if std::mem::take(&mut self.first)
            && searcher.before_context() + searcher.after_context() > 0
        {
            self.gap();
        }
    }
}

impl Sink for FileReport<'_> {
    type Error = io::Error;

    fn matched(&mut self, searcher: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        if self.report.matches >= self.report.limit {
            self.report.over_limit = true;
            return Ok(false);
        }
        self.begin_lines(searcher);
        let taken = self.report.line(self.label, ':', found.line_number(), found.bytes());
        self.report.matches += usize::from(taken);
        Ok(taken)
    }

    fn context(&mut self, searcher: &Searcher, line: &SinkContext<'_>) -> io::Result<bool> {
        // Context before a match that is one too many.
        if *line.kind() == SinkContextKind::Before && self.report.matches >= self.report.limit {
            self.report.over_limit = true;
            return Ok(false);
        }
        self.begin_lines(searcher);
        Ok(self.report.line(self.label, '-', line.line_number(), line.bytes()))
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        if !self.first {
            self.gap();
        }
        Ok(true)
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.report.binary += 1;
        self.report.text.truncate(self.start);
        self.report.matches = self.matches;
        Ok(false)
    }
}
