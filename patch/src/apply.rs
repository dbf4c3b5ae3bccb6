//! Writing a plan.
//!
//! All new contents are first written beside their places, so that a full disk or a missing right
//! shows before any file changes; then they are put in place one by one, then files are removed.
//! A failure in between leaves whole files only and says which. Only a kill can leave a half-written
//! one, if it cannot be replaced and so is written in place; the journal takes it back.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_system::{FileSystem, Staged};
use crate::plan::{Entry, Plan, snapshot};
use crate::summary::Summary;

/// Why a plan was not, or not wholly, applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file is not what it was when the plan was made. Nothing was written.
    #[error(
        "{} changed after the patch was checked. Nothing was written; read the file again and \
         send a new patch.",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// What would undo the patch could not be noted. Nothing was written.
    #[error("the journal of patches cannot be written: {source}. Nothing was written.")]
    Journal {
        /// The cause.
        source: io::Error,
    },
    /// A file could not be written or removed.
    #[error("{}", Report(failure))]
    Failed {
        /// Where, why, and how far it came.
        #[source]
        failure: Failure,
    },
}

/// A write or a removal that failed, and the state it leaves.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Failure {
    /// The file that failed.
    pub path: PathBuf,
    /// Whether it was to be removed rather than written.
    pub removing: bool,
    /// The cause.
    pub source: io::Error,
    /// What was done, each as in the summary (`M src/a.rs`).
    pub done: Vec<String>,
    /// What was not done, the failed file included.
    pub not_done: Vec<String>,
}

/// The text of a failure.
struct Report<'a>(&'a Failure);

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { path, removing, source, done, not_done } = self.0;
        let verb = if *removing { "delete" } else { "write" };
        write!(out, "Failed to {verb} file {}: {source}", path.display())?;
        if done.is_empty() {
            return write!(out, "\nNothing was written.");
        }
        write!(out, "\nDone before that:\n{}", done.join("\n"))?;
        write!(out, "\nNot done:\n{}", not_done.join("\n"))
    }
}

/// Writes what `plan` says.
///
/// # Errors
/// [`ApplyError::Changed`] if a file differs from what was planned for; [`ApplyError::Failed`] if
/// one could not be written or removed.
pub fn apply(plan: &Plan, fs: &dyn FileSystem) -> Result<Summary, ApplyError> {
    apply_noted(plan, fs, &mut Unnoted)
}

/// Told before what cannot be undone without it.
pub(crate) trait Notes {
    /// Everything fits, and nothing is written yet. A failure stops the patch.
    fn begin(&mut self, plan: &Plan) -> io::Result<()>;

    /// These places are about to be written in place. A failure stops the patch.
    fn in_place(&mut self, places: &[&Path]) -> io::Result<()>;
}

struct Unnoted;

impl Notes for Unnoted {
    fn begin(&mut self, _: &Plan) -> io::Result<()> {
        Ok(())
    }

    fn in_place(&mut self, _: &[&Path]) -> io::Result<()> {
        Ok(())
    }
}

/// [`apply`], with somebody who notes what is done.
pub(crate) fn apply_noted(
    plan: &Plan,
    fs: &dyn FileSystem,
    notes: &mut dyn Notes,
) -> Result<Summary, ApplyError> {
    check_unchanged(plan, fs)?;
    notes.begin(plan).map_err(|source| ApplyError::Journal { source })?;
    let mut work = Work::new(plan, fs);
    let outcome = work.run(notes);
    match outcome {
        Ok(()) => Ok(plan.summary.clone()),
        Err(stop) => Err(work.failure(stop)),
    }
}

fn check_unchanged(plan: &Plan, fs: &dyn FileSystem) -> Result<(), ApplyError> {
    for entry in &plan.entries {
        match snapshot(fs, &entry.place, &entry.path) {
            Ok(now) if now == entry.before => {}
            _ => return Err(ApplyError::Changed { path: entry.path.clone() }),
        }
    }
    Ok(())
}

/// The steps of a plan and how many of them are done.
struct Work<'a> {
    fs: &'a dyn FileSystem,
    entries: &'a [Entry],
    /// Files in the way of a new directory, removed before anything is written.
    clear: Vec<&'a Entry>,
    write: Vec<&'a Entry>,
    remove: Vec<&'a Entry>,
    done: usize,
}

/// The step that failed.
struct Stop<'a> {
    entry: &'a Entry,
    source: io::Error,
}

impl<'a> Work<'a> {
    fn new(plan: &'a Plan, fs: &'a dyn FileSystem) -> Self {
        let entries = &plan.entries;
        let write: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.after.is_some())
            .filter(|entry| entry.is_link || entry.before != entry.after)
            .collect();
        let in_the_way =
            |entry: &&Entry| write.iter().any(|new| new.place.starts_with(&entry.place));
        let (clear, remove) = entries
            .iter()
            .filter(|entry| entry.before.is_some() && entry.after.is_none())
            .partition(in_the_way);
        Self { fs, entries, clear, write, remove, done: 0 }
    }

    fn run(&mut self, notes: &mut dyn Notes) -> Result<(), Stop<'a>> {
        for &entry in self.clear.iter().chain(&self.remove) {
            self.fs.check_remove(&entry.place).map_err(|source| Stop { entry, source })?;
        }
        for entry in self.clear.clone() {
            self.remove(entry)?;
        }
        self.replace(notes)?;
        for entry in self.remove.clone() {
            self.remove(entry)?;
        }
        Ok(())
    }

    /// Stages all new contents, then commits them.
    fn replace(&mut self, notes: &mut dyn Notes) -> Result<(), Stop<'a>> {
        let mut staged: Vec<Box<dyn Staged + 'a>> = Vec::with_capacity(self.write.len());
        let mut outcome = Ok(());
        for &entry in &self.write {
            match self.stage(entry) {
                Ok(file) => staged.push(file),
                Err(source) => {
                    outcome = Err(Stop { entry, source });
                    break;
                }
            }
        }
        if outcome.is_ok() {
            outcome = self.note_in_place(&staged, notes);
        }
        if outcome.is_ok() {
            outcome = self.commit(&mut staged);
        }
        // What is left is taken back, later files before the directories of earlier ones.
        while staged.pop().is_some() {}
        outcome
    }

    fn note_in_place(
        &self,
        staged: &[Box<dyn Staged + 'a>],
        notes: &mut dyn Notes,
    ) -> Result<(), Stop<'a>> {
        let both = self.write.iter().zip(staged);
        let entries: Vec<&'a Entry> =
            both.filter(|(_, file)| file.is_in_place()).map(|(&entry, _)| entry).collect();
        let Some(&entry) = entries.first() else { return Ok(()) };
        let places: Vec<&Path> = entries.iter().map(|entry| entry.place.as_path()).collect();
        notes.in_place(&places).map_err(|source| Stop { entry, source })
    }

    fn commit(&mut self, staged: &mut [Box<dyn Staged + 'a>]) -> Result<(), Stop<'a>> {
        for (&entry, file) in self.write.iter().zip(staged) {
            file.commit().map_err(|source| Stop { entry, source })?;
            self.done += 1;
        }
        Ok(())
    }

    fn stage(&self, entry: &Entry) -> io::Result<Box<dyn Staged + 'a>> {
        let bytes = entry.after.as_deref().unwrap_or_default();
        let like = entry.origin.map_or(entry, |origin| &self.entries[origin]);
        self.fs.stage(&entry.place, bytes, &like.place)
    }

    fn remove(&mut self, entry: &'a Entry) -> Result<(), Stop<'a>> {
        self.fs.remove(&entry.place).map_err(|source| Stop { entry, source })?;
        self.done += 1;
        Ok(())
    }

    fn failure(&self, stop: Stop<'_>) -> ApplyError {
        let steps = self.clear.iter().chain(&self.write).chain(&self.remove);
        let mut done: Vec<String> = steps.map(|entry| label(entry)).collect();
        let not_done = done.split_off(self.done);
        ApplyError::Failed {
            failure: Failure {
                path: stop.entry.path.clone(),
                removing: stop.entry.after.is_none(),
                source: stop.source,
                done,
                not_done,
            },
        }
    }
}

/// A step as the summary would list it.
fn label(entry: &Entry) -> String {
    let letter = match (&entry.before, &entry.after) {
        (_, None) => 'D',
        (None, Some(_)) if entry.origin.is_none() => 'A',
        _ if entry.added => 'A',
        _ => 'M',
    };
    format!("{letter} {}", entry.display)
}
