//! Checking a patch against the file system as a whole, before the first byte is written.
//!
//! Hunks are played in order on an [`Overlay`], so a later hunk sees what an earlier one leaves.
//! The result is a [`Plan`]: contents, diffs and paths, all known, nothing written yet.

mod outcome;
mod overlay;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::change::FileChange;
use crate::edit::{self, Mismatch};
use crate::file_system::FileSystem;
use crate::model::{Chunk, Hunk, Patch};
use crate::summary::Summary;
use overlay::Overlay;
pub(crate) use overlay::{Entry, snapshot};

/// A patch that fits, with everything needed to show, judge and [`crate::apply`] it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) entries: Vec<Entry>,
    pub(crate) summary: Summary,
    changes: Vec<FileChange>,
    touched: BTreeSet<PathBuf>,
    repeated: BTreeSet<PathBuf>,
}

impl Plan {
    /// The effect on each file, in the order the patch first names them.
    #[must_use]
    pub fn changes(&self) -> &[FileChange] {
        &self.changes
    }

    /// Every path the plan reads, writes or removes, absolute, without `.` and `..`: sources and
    /// targets of moves too. Where a link leads out of the working directory, the place it leads
    /// to is there beside the path as named.
    #[must_use]
    pub fn touched_paths(&self) -> Vec<PathBuf> {
        self.touched.iter().cloned().collect()
    }

    /// Files that more than one hunk works on. They are combined in order; a caller that wants
    /// one hunk for each file can refuse the plan.
    #[must_use]
    pub fn repeated_paths(&self) -> Vec<PathBuf> {
        self.repeated.iter().cloned().collect()
    }

    /// What [`crate::apply`] will report.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// Why a patch does not fit the files. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The patch has no hunk.
    #[error("No files were modified.")]
    Empty,
    /// A file to update is missing, or is not text in UTF-8.
    #[error("Failed to read file to update {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file to delete is missing, or is not a file.
    #[error("Failed to delete file {}: {source}", path.display())]
    Delete {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be put where it should go.
    #[error("Failed to write file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The line after `@@ ` is not in the file, or not below the chunk before.
    #[error("Failed to find context '{context}' in {}", path.display())]
    Context {
        /// The file.
        path: PathBuf,
        /// The line.
        context: String,
    },
    /// The old lines of a chunk are not in the file, or not below the chunk before.
    #[error("Failed to find expected lines in {}:\n{lines}", path.display())]
    Lines {
        /// The file.
        path: PathBuf,
        /// The lines, joined by LF.
        lines: String,
    },
}

/// Checks `patch` against the files and computes the results. Relative paths start at `cwd`,
/// which must be absolute. Reads each file it touches once; writes nothing.
///
/// # Errors
/// [`PlanError`] for the first hunk that does not fit.
pub fn plan(patch: &Patch, cwd: &Path, fs: &dyn FileSystem) -> Result<Plan, PlanError> {
    if patch.hunks.is_empty() {
        return Err(PlanError::Empty);
    }
    let mut overlay = Overlay::new(fs, cwd);
    let mut summary = Summary::default();
    for hunk in &patch.hunks {
        overlay.next_hunk();
        match hunk {
            Hunk::Add { path, contents } => {
                add(&mut overlay, path, contents)?;
                summary.added.push(path.clone());
            }
            Hunk::Delete { path } => {
                delete(&mut overlay, path)?;
                summary.deleted.push(path.clone());
            }
            Hunk::Update { path, move_to, chunks } => {
                update(&mut overlay, path, move_to.as_deref(), chunks)?;
                summary.modified.push(move_to.as_ref().unwrap_or(path).clone());
            }
        }
    }
    let Overlay { entries, touched, repeated, .. } = overlay;
    let changes = outcome::changes(&entries);
    Ok(Plan { entries, summary, changes, touched, repeated })
}

fn add(overlay: &mut Overlay, name: &str, contents: &str) -> Result<(), PlanError> {
    let failed = |overlay: &Overlay, source| PlanError::Write { path: overlay.path(name), source };
    let entry = overlay.open(name).map_err(|error| failed(overlay, error))?;
    overlay.put(entry, contents.as_bytes()).map_err(|error| failed(overlay, error))?;
    let entry = &mut overlay.entries[entry];
    entry.added = true;
    entry.origin = None;
    Ok(())
}

fn delete(overlay: &mut Overlay, name: &str) -> Result<(), PlanError> {
    let failed = |overlay: &Overlay, source| PlanError::Delete { path: overlay.path(name), source };
    let entry = overlay.open_itself(name).map_err(|error| failed(overlay, error))?;
    overlay.bytes_of(entry).map_err(|error| failed(overlay, error))?;
    overlay.take(entry);
    Ok(())
}

fn update(
    overlay: &mut Overlay,
    name: &str,
    move_to: Option<&str>,
    chunks: &[Chunk],
) -> Result<(), PlanError> {
    let path = overlay.path(name);
    let unread = |source| PlanError::Read { path: path.clone(), source };
    let entry = overlay.open(name).map_err(unread)?;
    let old = overlay.bytes_of(entry).map_err(unread)?;
    let old = std::str::from_utf8(&old)
        .map_err(|error| unread(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let new = edit::rewrite(old, chunks).map_err(|mismatch| match mismatch {
        Mismatch::Context(context) => PlanError::Context { path: path.clone(), context },
        Mismatch::Lines(lines) => PlanError::Lines { path: path.clone(), lines },
    })?;
    let Some(target_name) = move_to else {
        return overlay
            .put(entry, new.as_bytes())
            .map_err(|source| PlanError::Write { path, source });
    };
    move_file(overlay, name, target_name, new.as_bytes())
}

/// Puts the new bytes at the target and takes the source away. The source is the directory entry
/// itself: a moved link leaves the file it points to alone.
fn move_file(
    overlay: &mut Overlay,
    name: &str,
    target_name: &str,
    bytes: &[u8],
) -> Result<(), PlanError> {
    let target_path = overlay.path(target_name);
    let unwritten = |source| PlanError::Write { path: target_path.clone(), source };
    let source_entry = overlay.open_itself(name).map_err(unwritten)?;
    let target = overlay.open(target_name).map_err(unwritten)?;
    overlay.put(target, bytes).map_err(unwritten)?;
    if source_entry == target || overlay.path(name) == target_path {
        return Ok(());
    }
    let origin = overlay.entries[source_entry].origin.unwrap_or(source_entry);
    overlay.entries[target].origin = Some(origin);
    overlay.take(source_entry);
    Ok(())
}
