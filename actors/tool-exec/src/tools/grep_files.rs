//! `grep_files`: regular-expression search through a tree, in the order of the paths.
//!
//! One thread walks and searches, so that the same tree gives the same answer and a full answer
//! ends the search. Files are streamed; a line longer than `LINE_HEAP` leaves its file out.

use super::{GrepFilesArgs, Scope, path};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use ignore::{
    WalkBuilder,
    overrides::{Override, OverrideBuilder},
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

mod report;

use report::Report;

/// The longest line that is searched, in bytes.
const LINE_HEAP: usize = 32 * 1024 * 1024;

/// Why nothing was searched.
#[derive(Debug, thiserror::Error)]
pub enum GrepFilesError {
    /// The pattern is not a regex.
    #[error(
        "{reason}\nThe pattern is a Rust regex, matched line by line: put \\ before a literal \
         . * + ? ( ) [ ] {{ }} | ^ $ and do without look-around and backreferences."
    )]
    Pattern {
        /// What is wrong, with the place.
        reason: String,
    },
    /// The glob cannot be read.
    #[error("`include` is not a glob: {reason}")]
    Include {
        /// What is wrong.
        reason: String,
    },
    /// The place to search does not exist.
    #[error("{path} does not exist{hint}")]
    Missing {
        /// The place.
        path: PathBuf,
        /// Similar names.
        hint: String,
    },
    /// The file that was named cannot be read.
    #[error("cannot search {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The user stopped it.
    #[error("stopped by the user")]
    Cancelled,
}

/// The matching lines as `path:line:text`, lines around them as `path-line-text`, `--` between
/// places that do not touch. Paths under the working directory are relative to it. Files that git
/// ignores, binary files and `.git` are left out; hidden files are not.
///
/// # Errors
/// See [`GrepFilesError`].
pub fn grep_files(args: &GrepFilesArgs, scope: Scope<'_>) -> Result<String, GrepFilesError> {
    let root = path::resolve(scope.cwd, &args.path);
    let matcher = matcher(&args.pattern)?;
    let mut searcher = searcher(args.context);
    let mut report = Report::new(args.limit, scope.room());
    if !root.exists() {
        let hint = path::hint(&root);
        return Err(GrepFilesError::Missing { path: root, hint });
    }
    if !root.is_dir() {
        return one_file(&root, &matcher, searcher, report, scope);
    }
    let include = include(&root, &args.include)?;
    for entry in walk(&root) {
        if (scope.cancelled)() {
            return Err(GrepFilesError::Cancelled);
        }
        let Ok(entry) = entry else {
            report.unreadable += 1;
            continue;
        };
        let file = entry.file_type().is_some_and(|kind| kind.is_file());
        if !file || include.matched(entry.path(), false).is_ignore() {
            continue;
        }
        if search(entry.path(), &matcher, &mut searcher, &mut report, scope)?.is_err() {
            report.unreadable += 1;
        }
        if report.is_full() {
            break;
        }
    }
    Ok(report.finish())
}

fn one_file(
    path: &Path,
    matcher: &RegexMatcher,
    mut searcher: Searcher,
    mut report: Report,
    scope: Scope<'_>,
) -> Result<String, GrepFilesError> {
    let unreadable = |reason| GrepFilesError::Unreadable { path: path.to_owned(), reason };
    if !path.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if let Err(error) = search(path, matcher, &mut searcher, &mut report, scope)? {
        return Err(unreadable(path::reason(&error)));
    }
    if report.binary > 0 {
        return Err(unreadable("it is a binary file".to_owned()));
    }
    Ok(report.finish())
}

/// Searches one file. The outer error ends the call, the inner one only leaves the file out.
fn search(
    path: &Path,
    matcher: &RegexMatcher,
    searcher: &mut Searcher,
    report: &mut Report,
    scope: Scope<'_>,
) -> Result<io::Result<()>, GrepFilesError> {
    if scope.denies(path) {
        return Ok(Err(path::denied()));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let label = path.strip_prefix(scope.cwd).unwrap_or(path).display().to_string();
    let reader = Stoppable { file, cancelled: scope.cancelled };
    let done = searcher.search_reader(matcher, reader, report.file(&label));
    if (scope.cancelled)() {
        return Err(GrepFilesError::Cancelled);
    }
    Ok(done)
}

/// A file whose reading ends once the call is stopped.
struct Stoppable<'a> {
    file: File,
    cancelled: &'a dyn Fn() -> bool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.cancelled)() {
            return Err(io::Error::other("stopped"));
        }
        self.file.read(buffer)
    }
}

fn matcher(pattern: &str) -> Result<RegexMatcher, GrepFilesError> {
    // `$` matches before CRLF too. `crlf` alone would also change the terminator, hence the order.
    RegexMatcherBuilder::new()
        .multi_line(true)
        .crlf(true)
        .line_terminator(Some(b'\n'))
        .build(pattern)
        .map_err(|error| GrepFilesError::Pattern { reason: place(&error.to_string(), pattern) })
}

/// The text of a regex error without the group `(?:…)` that is put around every pattern.
fn place(error: &str, pattern: &str) -> String {
    const INDENT: &str = "    ";
    let wrapped = format!("{INDENT}(?:{pattern})");
    let mut lines: Vec<String> = error.lines().map(str::to_owned).collect();
    let Some(at) = lines.iter().position(|line| *line == wrapped) else { return error.to_owned() };
    lines[at] = format!("{INDENT}{pattern}");
    let mark = lines.get(at + 1).and_then(|mark| mark.strip_prefix("   ")).map(str::to_owned);
    match mark {
        Some(mark) if mark.starts_with(INDENT) => lines[at + 1] = mark,
        // It points at the group itself.
        _ => drop(lines.drain(at + 1..lines.len().min(at + 2))),
    }
    lines.join("\n")
}

fn searcher(context: usize) -> Searcher {
    SearcherBuilder::new()
        .line_number(true)
        .before_context(context)
        .after_context(context)
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(LINE_HEAP))
        .build()
}

fn include(root: &Path, globs: &[String]) -> Result<Override, GrepFilesError> {
    let failed = |error: ignore::Error| GrepFilesError::Include { reason: error.to_string() };
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        builder.add(glob.strip_prefix("./").unwrap_or(glob)).map_err(failed)?;
    }
    builder.build().map_err(failed)
}

fn walk(root: &Path) -> ignore::Walk {
    WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git")
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .build()
}
