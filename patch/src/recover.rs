//! Taking back patches that were broken off.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::file_system::FileSystem;
use crate::journal::{Content, ENDING, Found, Journal, Place};
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
            let states: Vec<State> = journal.places().map(state).collect();
            clear_temporaries(&journal);
            let any = |wanted: &[State]| states.iter().any(|state| wanted.contains(state));
            match (any(&[State::Before, State::Torn]), any(&[State::After, State::Torn])) {
                // Through: what others changed since is theirs.
                (false, _) => {
                    journal.places().for_each(give_special_bits_back);
                    Recovered::Cleared
                }
                (true, false) if !any(&[State::Other]) => {
                    journal.places().for_each(give_special_bits_back);
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
    /// Half-written: the patch began to write it in place.
    Torn,
    Other,
}

fn state(found: Found<'_>) -> State {
    let Found { place, before, after, in_place } = found;
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
    } else if in_place && is_torn(&place.path, before, after) {
        State::Torn
    } else {
        State::Other
    }
}

/// Whether a file holds the old text in some places and the new one in all others. After a kill that
/// is the new one up to a point; a power failure may leave the blocks of the disk in any order.
fn is_torn(path: &Path, before: &[u8], after: &[u8]) -> bool {
    let most = before.len().max(after.len());
    let fits = |data: fs::Metadata| data.is_file() && data.len() <= most as u64;
    if !fs::symlink_metadata(path).is_ok_and(fits) {
        return false;
    }
    let Ok(found) = fs::read(path) else { return false };
    found.len() >= before.len().min(after.len())
        && found
            .iter()
            .enumerate()
            .all(|(at, byte)| before.get(at) == Some(byte) || after.get(at) == Some(byte))
}

/// Writing in place takes the set-id bits away, and a kill may come before they are given back.
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has them"))]
fn give_special_bits_back(found: Found<'_>) {
    #[cfg(unix)]
    if found.in_place
        && let Some(mode) = found.place.before.as_ref().and_then(|content| content.mode)
        && let Ok(data) = fs::symlink_metadata(&found.place.path)
        && data.is_file()
    {
        use std::os::unix::fs::PermissionsExt;
        let now = data.permissions().mode() & 0o7777;
        if now != mode && now == mode & !0o6000 {
            // If it may not be changed back, the file's owner sees that in the file itself.
            let _ = fs::set_permissions(&found.place.path, fs::Permissions::from_mode(mode));
        }
    }
}

/// Puts back what was there before; gives the places that hold something of somebody else's.
pub(crate) fn undo(journal: &Journal) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    // What is new goes first: it may be a directory's place, or in a directory that has to go.
    for found in journal.places() {
        if found.place.before.is_none() && state(found) == State::After {
            RealFileSystem.remove(&found.place.path)?;
        }
    }
    clear_directories(journal);
    for found in journal.places() {
        let place = found.place;
        match state(found) {
            State::Before => give_special_bits_back(found),
            // A file that was in the way of a directory is missing in between.
            State::Other if place.after.is_some() || place.path.exists() => {
                left.push(place.path.clone());
            }
            State::After | State::Torn | State::Other => {
                if let Some(content) = &place.before {
                    put_back(place, content, found.before)?;
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
