//! Files that several processes write: changed by one at a time, and replaced in one step.

use crate::file::read_settings;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// Changes a file that other processes change and read at the same time; it is made where it is
/// missing, for its user alone. `change` gets the text (an empty one for a missing file) and returns
/// the new one, or `None` to leave the file as it is. When this returns, the new text is on the disk.
///
/// Writers wait for each other. A reader sees the old text or the new one, whole, also if a writer is
/// killed. A link is followed and stays a link; the file keeps its permissions.
///
/// # Errors
/// When the file or its folder cannot be read or written, or `change` fails. The file is as it was.
pub fn update_shared(
    path: &Path,
    change: impl FnOnce(&str) -> io::Result<Option<String>>,
) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let place = Place::of(path)?;
    let _held = place.lock()?;
    let before = read_settings(path).map_err(io::Error::other)?;
    match change(before.as_deref().unwrap_or(""))? {
        Some(after) => place.replace(after.as_bytes()),
        None => Ok(()),
    }
}

/// The place of a file, behind all links.
struct Place {
    file: PathBuf,
    folder: PathBuf,
    name: OsString,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let file = match fs::canonicalize(path) {
            Ok(file) => file,
            // A link to nothing is refused when it is read.
            Err(error) if error.kind() == ErrorKind::NotFound => std::path::absolute(path)?,
            Err(error) => return Err(error),
        };
        let parts = file.parent().zip(file.file_name());
        let (folder, name) = parts.ok_or_else(|| io::Error::other("it is no place of a file"))?;
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Ok(Self { file, folder, name })
    }

    /// A file beside it that only we use.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(ending);
        self.folder.join(name)
    }

    /// Waits until nobody else changes the file. The lock is a file of its own, since the file itself
    /// is replaced.
    fn lock(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let lock = private(&mut options).open(self.beside(".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::WouldBlock) => lock.lock()?,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(lock)
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.beside(".new");
        let replaced = self.write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &self.file));
        if let Err(error) = replaced {
            let _left = fs::remove_file(&fresh);
            return Err(error);
        }
        sync_folder(&self.folder)
    }

    fn write(&self, fresh: &Path, bytes: &[u8]) -> io::Result<()> {
        // Only the holder of the lock has one: this is of a holder that was killed.
        match fs::remove_file(fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = private(options.write(true).create_new(true)).open(fresh)?;
        file.write_all(bytes)?;
        match fs::metadata(&self.file) {
            Ok(old) => file.set_permissions(old.permissions())?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.sync_all()
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes the new name last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(line: &str) -> impl FnOnce(&str) -> io::Result<Option<String>> {
        move |text| Ok(Some(format!("{text}{line}\n")))
    }

    #[test]
    fn a_file_is_made_for_its_user_and_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/rules.toml");
        update_shared(&file, add("a")).unwrap();
        update_shared(&file, add("b")).unwrap();
        update_shared(&file, |_| Ok(None)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
        let failed = update_shared(&file, |_| Err(io::Error::other("no")));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay_as_they_are() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (elsewhere, link) = (dir.path().join("dotfiles"), dir.path().join("link"));
        fs::create_dir(&elsewhere).unwrap();
        let real = elsewhere.join("rules");
        update_shared(&real, add("a")).unwrap();
        assert_eq!(mode(&real), 0o600);
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        update_shared(&link, add("b")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), real);
        assert_eq!((fs::read_to_string(&real).unwrap(), mode(&real)), ("a\nb\n".into(), 0o640));
        // One that leads nowhere is refused, and nothing is made.
        let nowhere = dir.path().join("nowhere");
        symlink(dir.path().join("gone"), &nowhere).unwrap();
        assert!(update_shared(&nowhere, add("c")).is_err());
        assert!(fs::read_link(&nowhere).is_ok() && !dir.path().join("gone").exists());
    }

    #[test]
    fn what_a_killed_writer_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules");
        fs::write(dir.path().join(".rules.new"), "half of a ru").unwrap();
        update_shared(&file, add("a")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\n");
        assert!(!dir.path().join(".rules.new").exists());
    }
}
