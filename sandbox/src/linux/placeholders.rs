//! Empty folders that stand where a name must not be made, for as long as commands run.
//!
//! Several processes may need the same one (all share `/tmp`), and its removal would take the
//! mounts on it away from commands that still run. So whoever needs it holds a shared lock on it,
//! and it is removed by whoever gets the lock alone.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What they are told from other folders by, also after a process that could not remove them.
const MODE: u32 = 0o1500;

/// Whether it is such a folder.
pub(crate) fn is_placeholder(data: &fs::Metadata) -> bool {
    data.is_dir() && data.mode() & 0o7777 == MODE
}

/// Those that this process holds.
#[derive(Default)]
pub(crate) struct Placeholders {
    held: HashMap<PathBuf, Held>,
}

struct Held {
    lock: File,
    /// How many commands it stands for.
    commands: u32,
}

impl Placeholders {
    /// Makes and holds those that can be made: what this user cannot make, its commands cannot.
    pub(crate) fn hold<'a>(&mut self, paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
        let mut holding = Vec::new();
        for path in paths {
            match self.held.get_mut(path) {
                // Nobody else removes it; the user may have.
                Some(held) if is_at(&held.lock, path) => held.commands += 1,
                _ => {
                    let Ok(lock) = make(path) else { continue };
                    let commands = self.held.get(path).map_or(0, |held| held.commands) + 1;
                    self.held.insert(path.clone(), Held { lock, commands });
                }
            }
            holding.push(path.clone());
        }
        holding
    }

    /// Lets those of a command go, and removes those that nobody holds and nothing is in.
    pub(crate) fn release(&mut self, paths: &[PathBuf]) {
        for path in paths {
            let Some(held) = self.held.get_mut(path) else { continue };
            held.commands -= 1;
            if held.commands > 0 {
                continue;
            }
            if let Some(Held { lock, .. }) = self.held.remove(path)
                && lock.try_lock().is_ok()
                && is_at(&lock, path)
                && lock.metadata().is_ok_and(|data| is_placeholder(&data))
            {
                // One that a command has filled from elsewhere stays.
                let _used = fs::remove_dir(path);
            }
        }
    }
}

/// Makes the folder, unless it is there, with a shared lock on it.
fn make(path: &Path) -> io::Result<File> {
    loop {
        let made = fs::DirBuilder::new().mode(MODE).create(path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let folder = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        folder.lock_shared()?;
        // Whoever removed it meanwhile held the lock before.
        if is_at(&folder, path) {
            return Ok(folder);
        }
    }
}

/// Whether the folder is the one that is there by this name.
fn is_at(folder: &File, path: &Path) -> bool {
    let id = |data: fs::Metadata| (data.dev(), data.ino());
    match (folder.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        _ => false,
    }
}
