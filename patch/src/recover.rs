//! Taking back patches that were broken off.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::file_system::FileSystem;
use crate::journal::{Content, ENDING, Journal, Place};
use crate::real::RealFileSystem;

/// What was found and done about one patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It had changed some of its files: all are as they were before it.
    TakenBack {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// It was broken off before it changed anything, or after it was through.
    Cleared,
    /// Some files hold neither what was there before nor what it put there: somebody else changed
    /// them since. They are left; the rest is as it was before the patch.
    Conflict {
        /// The files.
        paths: Vec<PathBuf>,
        /// The journal, with what was there before.
        kept: PathBuf,
    },
    /// The journal could not be used.
    Failed {
        /// The journal.
        journal: PathBuf,
        /// Why.
        why: String,
    },
}

/// Takes back every patch whose journal is in `folder` and whose process is gone. The files of each
/// are then wholly as before it, or wholly as after it. Cheap where there is none; may be broken off
/// and called again.
pub fn recover(folder: &Path) -> Vec<Recovered> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut journals: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new(ENDING)))
        .collect();
    // The latest first: it may stand on an earlier one.
    journals.sort();
    journals.reverse();
    journals
        .iter()
        .filter_map(|path| one(path).transpose())
        .map(|found| match found {
            Ok(found) => found,
            Err((journal, error)) => Recovered::Failed { journal, why: error.to_string() },
        })
        .collect()
}

/// `None` if its process lives.
fn one(path: &Path) -> Result<Option<Recovered>, (PathBuf, io::Error)> {
    let failed = |error: io::Error| (path.to_path_buf(), error);
    let file = match File::open(path) {
        // Somebody else took it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Ok(()) => {}
    }
    let copy = file.try_clone().map_err(failed)?;
    let found = match Journal::read(copy).map_err(failed)? {
        None => Recovered::Cleared,
        Some(journal) => {
            let states: Vec<State> = journal.states();
            clear_temporaries(&journal);
            let (old, new) = (states.contains(&State::Before), states.contains(&State::After));
            match (old, new) {
                // Through: what others changed since is theirs.
                (false, _) => Recovered::Cleared,
                (true, false) if !states.contains(&State::Other) => {
                    clear_directories(&journal);
                    Recovered::Cleared
                }
                (true, _) => {
                    let left = undo(&journal).map_err(failed)?;
                    if left.is_empty() {
                        let places = journal.head.places.iter().map(|place| place.path.clone());
                        Recovered::TakenBack { paths: places.collect() }
                    } else {
                        let kept = path.with_extension("conflict");
                        fs::rename(path, &kept).map_err(failed)?;
                        return Ok(Some(Recovered::Conflict { paths: left, kept }));
                    }
                }
            }
        }
    };
    fs::remove_file(path).map_err(failed)?;
    Ok(Some(found))
}

/// What is in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    After,
    Other,
}

impl Journal {
    fn states(&self) -> Vec<State> {
        let places = self.head.places.iter().zip(&self.contents);
        places.map(|(place, (before, after))| state(place, before, after)).collect()
    }
}

fn state(place: &Place, before: &[u8], after: &[u8]) -> State {
    let is = |content: &Option<Content>, bytes: &[u8]| match (
        content,
        fs::symlink_metadata(&place.path),
    ) {
        (None, Err(error)) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
        (Some(Content { link: Some(link), .. }), Ok(data)) => {
            data.is_symlink() && fs::read_link(&place.path).is_ok_and(|found| found == *link)
        }
        (Some(_), Ok(data)) => {
            data.is_file()
                && data.len() == bytes.len() as u64
                && fs::read(&place.path).is_ok_and(|found| found == bytes)
        }
        _ => false,
    };
    if is(&place.before, before) {
        State::Before
    } else if is(&place.after, after) {
        State::After
    } else {
        State::Other
    }
}

/// Puts back what was there before; gives the places that hold something of somebody else's.
pub(crate) fn undo(journal: &Journal) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    let places = || journal.head.places.iter().zip(&journal.contents);
    // What is new goes first: it may be a directory's place, or in a directory that has to go.
    for (place, (before, after)) in places() {
        if place.before.is_none() && state(place, before, after) == State::After {
            RealFileSystem.remove(&place.path)?;
        }
    }
    clear_directories(journal);
    for (place, (before, after)) in places() {
        match state(place, before, after) {
            State::Before => {}
            // A file that was in the way of a directory is missing in between.
            State::Other if place.after.is_some() || place.path.exists() => {
                left.push(place.path.clone());
            }
            State::After | State::Other => {
                if let Some(content) = &place.before {
                    put_back(place, content, before)?;
                }
            }
        }
    }
    clear_temporaries(journal);
    Ok(left)
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "modes and links are kept on Unix"))]
fn put_back(place: &Place, content: &Content, bytes: &[u8]) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(link) = &content.link {
        if place.path.symlink_metadata().is_ok() {
            RealFileSystem.remove(&place.path)?;
        }
        return std::os::unix::fs::symlink(link, &place.path);
    }
    RealFileSystem.write_atomic(&place.path, bytes)?;
    #[cfg(unix)]
    if let Some(mode) = content.mode {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&place.path, permissions)?;
    }
    Ok(())
}

/// Removes the directories that the patch made, as far as they are empty.
fn clear_directories(journal: &Journal) {
    for folder in journal.head.directories.iter().rev() {
        // Not empty any more means that somebody uses it.
        let _used = fs::remove_dir(folder);
    }
}

/// Removes what it staged and did not put in place.
fn clear_temporaries(journal: &Journal) {
    let mut folders: Vec<&Path> =
        journal.head.places.iter().filter_map(|place| place.path.parent()).collect();
    folders.sort();
    folders.dedup();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| {
                name.starts_with(&journal.head.temporary) && name.ends_with(".tmp")
            });
            if ours {
                let _left = fs::remove_file(entry.path());
            }
        }
    }
}
