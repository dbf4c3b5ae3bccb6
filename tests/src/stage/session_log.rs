//! The log of a session, as another program would read it.

use crate::wait::{DEADLINE, poll};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The log file of one session.
#[derive(Debug, Clone)]
pub struct SessionLog {
    path: PathBuf,
}

impl SessionLog {
    /// A log at a known place.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without its ending: the session's id.
    #[must_use]
    pub fn session(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The whole text.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn text(&self) -> String {
        fs::read_to_string(&self.path)
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// The whole lines. A last line without its newline is not there yet.
    ///
    /// # Panics
    /// If a whole line is not JSON.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
        };
        whole.map(parse).collect()
    }

    /// The kinds of the lines, in order.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let kind = |line: &Value| line["kind"].as_str().unwrap_or_default().to_owned();
        self.lines().iter().map(kind).collect()
    }

    /// The bodies of the lines of one kind.
    #[must_use]
    pub fn bodies(&self, kind: &str) -> Vec<Value> {
        let lines = self.lines().into_iter().filter(|line| line["kind"] == kind);
        lines.map(|line| line["body"].clone()).collect()
    }

    /// Checks that the numbers go from 0 without a gap.
    ///
    /// # Panics
    /// At the first line that has another number.
    pub fn assert_numbered(&self) {
        for (at, line) in self.lines().iter().enumerate() {
            assert_eq!(line["seq"], at, "the number of line {at} of {}", self.path.display());
        }
    }

    /// Blocks until so many lines of a kind are there.
    ///
    /// # Panics
    /// After [`DEADLINE`].
    pub fn wait_kind(&self, kind: &str, count: usize) {
        let there = poll(DEADLINE, || (self.bodies(kind).len() >= count).then_some(()));
        assert!(there.is_some(), "waited in vain for {count} {kind}: {:?}", self.kinds());
    }

    /// Cuts the file to so many bytes, as a crash in the middle of a write does.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn truncate(&self, bytes: u64) {
        fs::OpenOptions::new().write(true).open(&self.path).unwrap().set_len(bytes).unwrap();
    }

    /// Adds bytes at the end.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn append(&self, bytes: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new().append(true).open(&self.path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }
}

/// The logs below a folder. Their names begin with the time, so names sort by age.
pub(crate) fn find(folder: &Path) -> Vec<SessionLog> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "jsonl") {
                found.push(SessionLog { path });
            }
        }
    }
    found.sort_by(|one, other| one.path.file_name().cmp(&other.path.file_name()));
    found
}
