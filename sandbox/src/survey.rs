//! What is worth protecting below a folder, found by a bounded walk that remembers what it saw.
//!
//! A folder is read again only when its time stamp has changed, so a walk costs one `stat` for each
//! folder. Links are not followed. Beyond the bounds nothing is found, and that is said.

use crate::{
    deny::DenyRead,
    names::{NOT_SEARCHED, is_protected_name},
};
use std::{
    collections::{HashMap, VecDeque},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// The most folders that are looked at in one walk.
const MOST_FOLDERS: usize = 4000;
/// How deep.
const MOST_LEVELS: usize = 12;
/// A folder that changed so short ago may change again without another time stamp.
const SETTLED: Duration = Duration::from_millis(50);

/// What was found below a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Entries with protected names.
    pub(crate) protected: Vec<PathBuf>,
    /// Entries that a pattern denies.
    pub(crate) denied: Vec<PathBuf>,
    /// Whether the bounds were reached.
    pub(crate) cut: bool,
}

/// Walks folders and remembers them. Shared by all sessions of a process.
#[derive(Debug, Default)]
pub struct Surveyor {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The patterns that the folders were read with.
    patterns: Vec<String>,
    folders: HashMap<PathBuf, Folder>,
}

#[derive(Debug, Clone)]
struct Folder {
    /// When it had changed last; `None` if that was too short ago to rely on.
    changed: Option<SystemTime>,
    below: Vec<OsString>,
    protected: Vec<OsString>,
    /// Files that a pattern denies.
    denied: Vec<OsString>,
}

impl Surveyor {
    /// What is below `root` (a real path), itself included.
    pub(crate) fn survey(&self, root: &Path, deny: &DenyRead) -> Survey {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.patterns != deny.patterns() || known.folders.len() > 4 * MOST_FOLDERS {
            *known = Known { patterns: deny.patterns().to_vec(), folders: HashMap::new() };
        }
        let mut found = Survey::default();
        let mut open = VecDeque::from([(root.to_owned(), 0)]);
        let mut count = 0;
        while let Some((path, level)) = open.pop_front() {
            count += 1;
            if count > MOST_FOLDERS {
                found.cut = true;
                break;
            }
            // What cannot be read here, a command of the same user cannot either.
            let Ok(folder) = read(&path, &mut known.folders, deny) else { continue };
            found.protected.extend(folder.protected.iter().map(|name| path.join(name)));
            found.denied.extend(folder.denied.iter().map(|name| path.join(name)));
            for name in &folder.below {
                let below = path.join(name);
                if deny.is_match(&below) && !below.join("pyvenv.cfg").exists() {
                    found.denied.push(below);
                } else if level < MOST_LEVELS {
                    open.push_back((below, level + 1));
                } else {
                    found.cut = true;
                }
            }
        }
        found
    }
}

fn read<'a>(
    path: &Path,
    known: &'a mut HashMap<PathBuf, Folder>,
    deny: &DenyRead,
) -> io::Result<&'a Folder> {
    let data = fs::symlink_metadata(path)?;
    if !data.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let changed = data.modified()?;
    let fresh = known.get(path).is_some_and(|folder| folder.changed == Some(changed));
    if !fresh {
        let settled = changed.elapsed().is_ok_and(|age| age > SETTLED);
        let folder = list(path, settled.then_some(changed), deny)?;
        known.insert(path.to_owned(), folder);
    }
    known.get(path).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn list(path: &Path, changed: Option<SystemTime>, deny: &DenyRead) -> io::Result<Folder> {
    let mut folder =
        Folder { changed, below: Vec::new(), protected: Vec::new(), denied: Vec::new() };
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let text = name.to_str().unwrap_or("");
        if is_protected_name(text) {
            folder.protected.push(name);
        } else if kind.is_dir() {
            if !NOT_SEARCHED.contains(&text) {
                folder.below.push(name);
            }
        } else if deny.is_match(&entry.path()) {
            folder.denied.push(name);
        }
    }
    Ok(folder)
}
