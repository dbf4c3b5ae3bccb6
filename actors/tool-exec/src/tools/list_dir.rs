//! `list_dir`: a folder as an indented list, level by level, sorted by name.

use super::{ListDirArgs, Scope, path, sniff};
use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// Entries shown of each folder below the first; more are only counted.
const NESTED: usize = 100;
/// Entries looked at in one call.
const MOST_ENTRIES: usize = 200_000;

/// Why a folder cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListDirError {
    /// It does not exist.
    #[error("{path} does not exist{hint}")]
    Missing {
        /// The folder.
        path: PathBuf,
        /// Similar names.
        hint: String,
    },
    /// It is a file.
    #[error("{0} is not a directory: use read_file")]
    NotDirectory(PathBuf),
    /// It has fewer entries.
    #[error("{path} has only {entries} entries: offset {offset} is past its end")]
    PastEnd {
        /// The folder.
        path: PathBuf,
        /// How many there are.
        entries: usize,
        /// The entry asked for.
        offset: usize,
    },
    /// The system says no.
    #[error("cannot list {path}: {}", path::reason(source))]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user stopped it.
    #[error("stopped by the user")]
    Cancelled,
}

/// The entries of a folder: its absolute path, then one entry a line, indented by level, folders
/// with `/`, links with ` -> target`, and a note when there are more.
///
/// # Errors
/// See [`ListDirError`].
pub fn list_dir(args: &ListDirArgs, scope: Scope<'_>) -> Result<String, ListDirError> {
    let root = path::resolve(scope.cwd, &args.path);
    if scope.denies(&root) {
        return Err(ListDirError::Io { path: root, source: path::denied() });
    }
    let meta = fs::metadata(&root).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ListDirError::Missing { path: root.clone(), hint: path::hint(&root) }
        }
        _ => ListDirError::Io { path: root.clone(), source },
    })?;
    if !meta.is_dir() {
        return Err(ListDirError::NotDirectory(root));
    }
    let mut text = root.display().to_string();
    if !text.ends_with(std::path::MAIN_SEPARATOR) {
        text.push('/');
    }
    text.push('\n');
    let mut list = Listing { args, scope, text, seen: 0, shown: 0, full: false, visited: 0 };
    let entries = list.read(&root).map_err(|error| match error {
        Stop::Cancelled => ListDirError::Cancelled,
        Stop::Io(source) => ListDirError::Io { path: root.clone(), source },
    })?;
    list.level(&root, entries, 1)?;
    list.finish(root)
}

enum Stop {
    Cancelled,
    Io(io::Error),
}

struct Entry {
    name: String,
    path: PathBuf,
    folder: bool,
    suffix: String,
}

struct Listing<'a> {
    args: &'a ListDirArgs,
    scope: Scope<'a>,
    text: String,
    /// Lines there would be so far.
    seen: usize,
    /// Lines written.
    shown: usize,
    /// The room is used up.
    full: bool,
    /// Entries looked at.
    visited: usize,
}

impl Listing<'_> {
    /// The entries of a folder, sorted by name.
    fn read(&mut self, folder: &Path) -> Result<Vec<Entry>, Stop> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(Stop::Io)? {
            if self.visited >= MOST_ENTRIES {
                break;
            }
            self.visited += 1;
            if self.visited.is_multiple_of(256) && (self.scope.cancelled)() {
                return Err(Stop::Cancelled);
            }
            entries.extend(entry.ok().map(|entry| describe(&entry)));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn level(
        &mut self,
        folder: &Path,
        entries: Vec<Entry>,
        depth: usize,
    ) -> Result<(), ListDirError> {
        let most = if depth == 1 { usize::MAX } else { NESTED };
        let left = entries.len().saturating_sub(most);
        for entry in entries.into_iter().take(most) {
            // `.git` is large and says nothing about the project.
            let open = entry.folder && depth < self.args.depth && entry.name != ".git";
            let inside = if open { Some(self.read(&entry.path)) } else { None };
            let denied = matches!(inside, Some(Err(Stop::Io(_))));
            let note = if denied { " [cannot be listed]" } else { "" };
            self.line(depth, &format!("{}{}{note}", shown(&entry.name), entry.suffix));
            match inside {
                Some(Ok(inside)) => self.level(&entry.path, inside, depth + 1)?,
                Some(Err(Stop::Cancelled)) => return Err(ListDirError::Cancelled),
                Some(Err(Stop::Io(_))) | None => {}
            }
        }
        if left > 0 {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            self.line(depth, &format!("… {left} more in {}/", shown(&name)));
        }
        Ok(())
    }

    /// Writes a line, if it is among those asked for.
    fn line(&mut self, depth: usize, line: &str) {
        self.seen += 1;
        if self.seen < self.args.offset || self.shown >= self.args.limit || self.full {
            return;
        }
        let indent = (depth - 1) * 2;
        if self.shown > 0 && self.text.len() + indent + line.len() + 1 > self.scope.room() {
            self.full = true;
            return;
        }
        self.shown += 1;
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }

    fn finish(mut self, path: PathBuf) -> Result<String, ListDirError> {
        let Self { args, seen, shown, .. } = self;
        if seen == 0 {
            self.text.push_str("[the directory is empty]");
            return Ok(self.text);
        }
        if shown == 0 {
            return Err(ListDirError::PastEnd { path, entries: seen, offset: args.offset });
        }
        let next = args.offset + shown;
        if next <= seen {
            let _ = writeln!(self.text, "[{} more entries; next offset {next}]", seen + 1 - next);
        }
        if self.visited >= MOST_ENTRIES {
            let _ =
                writeln!(self.text, "[stopped after {MOST_ENTRIES} entries: list a smaller part]");
        }
        self.text.truncate(self.text.trim_end_matches('\n').len());
        Ok(self.text)
    }
}

fn describe(entry: &fs::DirEntry) -> Entry {
    let path = entry.path();
    let name = entry.file_name().to_string_lossy().into_owned();
    let Ok(kind) = entry.file_type() else {
        return Entry { name, path, folder: false, suffix: String::new() };
    };
    let suffix = if kind.is_symlink() {
        let target = fs::read_link(&path).unwrap_or_default();
        format!(" -> {}", shown(&target.to_string_lossy()))
    } else if kind.is_dir() {
        "/".to_owned()
    } else if kind.is_file() {
        String::new()
    } else {
        format!(" ({})", sniff::special(kind))
    };
    Entry { name, path, folder: kind.is_dir(), suffix }
}

/// A name on one line.
fn shown(name: &str) -> std::borrow::Cow<'_, str> {
    if name.chars().any(char::is_control) {
        return name.escape_debug().to_string().into();
    }
    name.into()
}
